#include "client/cfgctl/view.h"
#include "client/url.h"
#include "proto/dotenv.h"
#include "proto/path.h"
#include "proto/yaml.h"

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 1024 };

static int get(struct cli *c, const char *pattern, const char *deployment, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    int rc = cfg_check_name("deployment", cfg_slice_str(deployment), err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&path, PATH_ROOM);
    cfg_url_format(&path, pattern, deployment);
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

int view_namespace(struct cli *c, const char *deployment, char *ns, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = get(c, "/v1/deployments/*", deployment, &reply, err);
    if (rc == 0) {
        const char *config = cfg_json_get_str(reply, "config", "");
        rc = cfg_check_name("namespace", cfg_slice_str(config), err);
        if (rc == 0)
            (void)snprintf(ns, CFG_LIMIT_NAME + 1, "%s", config);
        else
            rc = cfg_fail(err, CFG_E_PROTOCOL, "the server's reply does not say what %s runs on", deployment);
    }
    cJSON_Delete(reply);
    return rc;
}

int view_fetch(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err)
{
    return get(c, "/v1/deployments/*/view", deployment, out, err);
}

int view_document(cJSON **out, const cJSON *view, struct cfg_error *err)
{
    const cJSON *parameters = cfg_json_get(view, "parameters"), *pin;
    cJSON *document = cJSON_IsObject(parameters) ? cJSON_Duplicate(parameters, true) : cJSON_CreateObject();
    int rc = document ? 0 : cli_no_memory(err);
    if (rc == 0)
        cfg_json_forget_key(document);
    cJSON_ArrayForEach(pin, cfg_json_get(view, "pinned"))
    {
        cJSON *copy = rc == 0 ? cJSON_Duplicate(pin, true) : NULL;
        if (copy)
            cfg_json_forget_key(copy);
        if (rc == 0 && cfg_json_set(document, pin->string, copy) != 0)
            rc = cli_no_memory(err);
    }
    if (rc != 0) {
        cJSON_Delete(document);
        return rc;
    }
    *out = document;
    return 0;
}

bool view_format_parse(enum view_format *out, const char *name)
{
    static const char *const names[] = {"json", "yaml", "env", "dotenv"};
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (enum view_format)i;
            return true;
        }
    return false;
}

int view_print(struct cfg_buf *out, enum view_format format, const char *ns, const cJSON *document,
               struct cfg_error *err)
{
    cJSON *variables = NULL, *resolved = NULL;
    int rc = 0;
    if (format == VIEW_JSON) {
        cfg_json_print_pretty(out, document);
        cfg_buf_putc(out, '\n');
    } else if (format == VIEW_YAML) {
        rc = cfg_yaml_print(out, document);
    } else {
        rc = view_read_environment(&resolved, document, err);
        if (rc == 0)
            rc = cfg_env_make(&variables, ns, resolved, err);
        cJSON_Delete(resolved);
        if (rc != 0)
            return rc;
        cfg_env_print(out, variables, format == VIEW_ENV ? CFG_ENV_SHELL : CFG_ENV_DOTENV);
    }
    cJSON_Delete(variables);
    rc = rc != 0 ? rc : cfg_buf_status(out);
    return rc != 0 ? cfg_fail(err, rc, "the view is too large to print") : 0;
}
