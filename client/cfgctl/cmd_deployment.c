/* deployment …: running fleets and what is frozen in them. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MERGE_PATCH "application/merge-patch+json"

enum { STORE_ID = 32 }; /* hexadecimal digits */

/* Checks the name that a command was given and makes its path. */
static int deployment_path(const struct cli *c, struct object_path *out, struct cfg_error *err)
{
    char text[CFG_LIMIT_NAME + sizeof "deployment/"];
    int rc = cfg_check_name("deployment", cfg_slice_str(c->args[0]), err);
    if (rc != 0)
        return rc;
    (void)snprintf(text, sizeof text, "deployment/%s", c->args[0]);
    return object_path_parse(out, text, err);
}

/* Consumes value; *ok turns false when it cannot be added. */
static void add(cJSON *o, const char *key, cJSON *value, bool *ok)
{
    if (*ok && value && cJSON_AddItemToObject(o, key, value))
        return;
    cJSON_Delete(value);
    *ok = false;
}

/* Given with nothing, it takes away what was required. */
static cJSON *required(const struct cli *c)
{
    return cli_value(c, OPT_REQUIRES)[0] ? cli_items(c, OPT_REQUIRES) : cJSON_CreateArray();
}

/* Everything but the name is in the file. */
static int create_from_lock(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf text;
    cJSON *lock = NULL, *body = cJSON_CreateObject();
    bool ok = body != NULL;
    if (cli_has(c, OPT_CONFIG) || cli_has(c, OPT_PIN) || cli_has(c, OPT_FLAGS) || cli_has(c, OPT_TRACK) ||
        cli_has(c, OPT_REQUIRES)) {
        cJSON_Delete(body);
        return cfg_fail(err, CFG_E_INVALID, "a lock says what it is made of: --from-lock goes alone");
    }
    cfg_buf_init(&text, CFG_LIMIT_BODY);
    int rc = read_file(&text, cli_value(c, OPT_FROM_LOCK), err);
    if (rc == 0 && cfg_json_parse(&lock, cfg_buf_slice(&text), 200, err) != 0)
        rc = cfg_error_wrap(err, "%s", cli_value(c, OPT_FROM_LOCK));
    cfg_buf_finish(&text);
    add(body, "name", cJSON_CreateString(c->args[0]), &ok);
    if (rc == 0)
        add(body, "lock", lock, &ok);
    if (rc == 0)
        rc = ok ? cli_write(c, "POST", "/v1/deployments", body, NULL, err) : cli_no_memory(err);
    cJSON_Delete(body);
    return rc;
}

int cmd_deployment_create(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    int rc = deployment_path(c, &path, err);
    if (rc == 0 && cli_has(c, OPT_FROM_LOCK))
        return create_from_lock(c, err);
    if (rc == 0 && !cli_has(c, OPT_CONFIG)) {
        rc = cfg_fail(err, CFG_E_INVALID, "a deployment needs a namespace to run on");
        cfg_error_set_hint(err, "cfgctl deployment create %s --config chat --pin distributed", c->args[0]);
    }
    if (rc != 0)
        return rc;
    cJSON *body = cJSON_CreateObject();
    bool ok = body != NULL;
    add(body, "name", cJSON_CreateString(c->args[0]), &ok);
    add(body, "config", cJSON_CreateString(cli_value(c, OPT_CONFIG)), &ok);
    add(body, "pin", cli_items(c, OPT_PIN), &ok);
    add(body, "flags", cli_items(c, OPT_FLAGS), &ok);
    if (cli_has(c, OPT_TRACK))
        add(body, "track", cJSON_CreateString(cli_value(c, OPT_TRACK)), &ok);
    if (cli_has(c, OPT_REQUIRES))
        add(body, "requires", required(c), &ok);
    rc = ok ? cli_write(c, "POST", "/v1/deployments", body, NULL, err) : cli_no_memory(err);
    cJSON_Delete(body);
    return rc;
}

/* "chat v43 (head)" */
static void add_release(struct table *t, const cJSON *deployment)
{
    const cJSON *base = cfg_json_get(cfg_json_get(deployment, "arms"), "base"), *version;
    struct cfg_buf text;
    cfg_buf_init(&text, (size_t)1 << 16);
    cJSON_ArrayForEach(version, cfg_json_get(base, "release"))
    {
        cfg_buf_printf(&text, "%s%s v%.0f", text.len > 0 ? ", " : "", version->string, version->valuedouble);
    }
    if (text.len == 0)
        cfg_buf_puts(&text, cfg_json_get_str(deployment, "config", "-"));
    cfg_buf_printf(&text, " (%s)", cfg_json_get_str(base, "follows", "?"));
    table_add(t, text.data ? text.data : "-");
    cfg_buf_finish(&text);
}

static void add_row(struct table *t, const cJSON *d, bool wide)
{
    table_add(t, cfg_json_get_str(d, "name", "?"));
    add_release(t, d);
    table_add(t, cfg_json_get_str(d, "track", "?"));
    cli_add_list(t, cfg_json_get(d, "pin_keys"));
    cli_add_list(t, cfg_json_get(d, "flags"));
    table_add_number(t, cfg_json_get_num(d, "workers", 0));
    if (wide) {
        table_add_number(t, cfg_json_get_num(d, "generation", 0));
        table_add(t, cfg_json_get_str(cfg_json_get(d, "view"), "revision", "-"));
        table_add(t, cfg_json_get_str(cfg_json_get(d, "view"), "digest", "-"));
    }
}

static const char *header(const struct cli *c)
{
    return c->output == OUTPUT_WIDE ? "NAME|RELEASE|TRACK|PINS|FLAGS|WORKERS|GENERATION|VIEW|DIGEST"
                                    : "NAME|RELEASE|TRACK|PINS|FLAGS|WORKERS";
}

int cmd_deployment_list(struct cli *c, struct cfg_error *err)
{
    return cli_list(c, "/v1/deployments", header(c), add_row, err);
}

static void show_one(const struct cli *c, cJSON *d)
{
    cJSON *list = cJSON_CreateArray();
    if (list == NULL || !cJSON_AddItemReferenceToArray(list, d)) {
        cJSON_Delete(list);
        return;
    }
    cli_print_items(c, list, header(c), add_row);
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 22);
    cfg_buf_puts(&out, "pinned: ");
    cfg_json_print_pretty(&out, cfg_json_get(d, "pin"));
    cfg_buf_putc(&out, '\n');
    cli_print(&out);
    cJSON_Delete(list);
}

int cmd_deployment_get(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    cJSON *reply = NULL;
    int rc = deployment_path(c, &path, err);
    if (rc == 0)
        rc = cli_get(c, path.base, &reply, err);
    if (rc == 0 && !cli_show_tree(c, reply))
        show_one(c, reply);
    cJSON_Delete(reply);
    return rc;
}

/* "43" or "base=8"; name is "" for the former. */
static int read_to(char name[CFG_LIMIT_NAME + 1], double *version, const char *text, struct cfg_error *err)
{
    const char *equals = strchr(text, '='), *digits = equals ? equals + 1 : text;
    size_t n = strspn(digits, "0123456789");
    name[0] = '\0';
    if (equals) {
        struct cfg_slice ns = {text, (size_t)(equals - text)};
        int rc = cfg_check_name("namespace", ns, err);
        if (rc != 0)
            return rc;
        (void)snprintf(name, CFG_LIMIT_NAME + 1, "%.*s", (int)ns.len, ns.ptr);
    }
    if (n == 0 || n > 15 || digits[n] != '\0' || strspn(digits, "0") == n)
        return cfg_fail(err, CFG_E_INVALID, "--to needs a version from 1 on, and '%.60s' is none", digits);
    *version = strtod(digits, NULL);
    return 0;
}

/* --to N speaks of the namespace the deployment runs on, which only the server knows. */
static int add_release_to(struct cli *c, const char *base, cJSON *body, struct cfg_error *err)
{
    cJSON *deployment = NULL, *release = cJSON_CreateObject();
    bool ok = release != NULL;
    int rc = cli_get(c, base, &deployment, err);
    for (size_t i = 0; i < c->n_given && rc == 0; i++) {
        char ns[CFG_LIMIT_NAME + 1];
        double version = 0;
        if (c->given[i].id != OPT_TO)
            continue;
        rc = read_to(ns, &version, c->given[i].value, err);
        if (rc == 0)
            add(release, ns[0] ? ns : cfg_json_get_str(deployment, "config", "?"), cJSON_CreateNumber(version), &ok);
    }
    cJSON_Delete(deployment);
    if (rc != 0) {
        cJSON_Delete(release);
        return rc;
    }
    add(body, "release", release, &ok);
    return ok ? 0 : cli_no_memory(err);
}

static int patch(struct cli *c, const char *base, cJSON *body, int rc, struct cfg_error *err)
{
    if (rc == 0)
        rc = cli_write(c, "PATCH", base, body, MERGE_PATCH, err);
    cJSON_Delete(body);
    return rc;
}

int cmd_deployment_update(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    int rc = deployment_path(c, &path, err);
    if (rc != 0)
        return rc;
    cJSON *body = cJSON_CreateObject();
    bool ok = body != NULL;
    if (cli_has(c, OPT_TRACK))
        add(body, "track", cJSON_CreateString(cli_value(c, OPT_TRACK)), &ok);
    if (cli_has(c, OPT_FLAGS))
        add(body, "flags", cli_items(c, OPT_FLAGS), &ok);
    if (cli_has(c, OPT_REQUIRES))
        add(body, "requires", required(c), &ok);
    rc = ok ? 0 : cli_no_memory(err);
    if (rc == 0 && cli_has(c, OPT_TO))
        rc = add_release_to(c, path.base, body, err);
    if (rc == 0 && body->child == NULL) {
        rc = cfg_fail(err, CFG_E_INVALID, "nothing to update");
        cfg_error_set_hint(err, "--to N, --track head|hold, --flags NS[,NS], --requires C[,C]; a pin is never moved");
    }
    return patch(c, path.base, body, rc, err);
}

int cmd_deployment_adopt(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    int rc = deployment_path(c, &path, err);
    if (rc == 0 && !cli_has(c, OPT_FROM)) {
        rc = cfg_fail(err, CFG_E_INVALID, "adopt the workers of which store?");
        cfg_error_set_hint(err, "--from ID: the store that the workers of %s hold, as their refusals say", c->args[0]);
    }
    const char *store = cli_value(c, OPT_FROM);
    if (rc == 0 && (strlen(store) != STORE_ID || strspn(store, "0123456789abcdef") != STORE_ID)) {
        rc = cfg_fail(err, CFG_E_INVALID, "'%.80s' is no store's id, which has %d hexadecimal digits", store, STORE_ID);
        cfg_error_set_hint(err, "the workers of %s name theirs in their log, `cfgctl status` shows this server's",
                           c->args[0]);
    }
    if (rc != 0)
        return rc;
    cJSON *body = cJSON_CreateObject();
    bool ok = body != NULL;
    add(body, "adopt_store", cJSON_CreateString(store), &ok);
    return patch(c, path.base, body, ok ? 0 : cli_no_memory(err), err);
}

int cmd_deployment_delete(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    int rc = deployment_path(c, &path, err);
    if (rc != 0)
        return rc;
    struct cfg_buf full;
    cfg_buf_init(&full, 2048);
    cfg_buf_puts(&full, path.base);
    if (cli_has(c, OPT_FORCE))
        cfg_url_query(&full, "force", "true");
    rc = cfg_buf_status(&full) == 0 ? cli_write(c, "DELETE", full.data, NULL, NULL, err) : cli_no_memory(err);
    cfg_buf_finish(&full);
    return rc;
}
