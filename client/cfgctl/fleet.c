#include "client/cfgctl/fleet.h"
#include "client/url.h"

static int fetch(struct cli *c, const char *pattern, const char *deployment, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, pattern, deployment);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

int fleet_fetch(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err)
{
    return fetch(c, "/v1/deployments/*/workers", deployment, out, err);
}

int fleet_fetch_summary(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err)
{
    return fetch(c, "/v1/deployments/*/fleet", deployment, out, err);
}
