#include "client/cfgctl/fleet.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>

enum { PATH_ROOM = 256 };

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

int fleet_fetch_rollout(struct cli *c, const char *deployment, const char *rest, cJSON **out, struct cfg_error *err)
{
    char path[PATH_ROOM];
    int rc = cfg_check_name("deployment", cfg_slice_str(deployment), err);
    if (rc != 0)
        return rc;
    (void)snprintf(path, sizeof path, "/v1/rollouts/%s%s", deployment, rest);
    return cli_get(c, path, out, err);
}

int fleet_fetch_summary(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err)
{
    return fetch(c, "/v1/deployments/*/fleet", deployment, out, err);
}
