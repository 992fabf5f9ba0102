/* schema: what a namespace's document must keep to. contract: what a deployment's workers declare. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/refusal.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1 << 26 };

/* A file as a tree: YAML by its name, else JSON. *out is returned-owned. */
static int load(cJSON **out, const char *name, struct cfg_error *err)
{
    return read_tree(out, name, strcmp(name, "-") == 0 ? "standard input" : name, CFG_LIMIT_BODY, err);
}

/* GET of /v1/schemas/NS and what follows it. */
static int get_schema(struct cli *c, const char *rest, cJSON **reply, struct cfg_error *err)
{
    struct cfg_buf path;
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[0]), err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/schemas/*", c->args[0]);
    cfg_buf_puts(&path, rest);
    if (cli_has(c, OPT_VERSION))
        cfg_url_query(&path, "version", cli_value(c, OPT_VERSION));
    if (cli_has(c, OPT_LIMIT))
        cfg_url_query(&path, "limit", cli_value(c, OPT_LIMIT));
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == CFG_E_NOT_FOUND && err->hint[0] == '\0')
        cfg_error_set_hint(err, "give it one: cfgctl schema set %s FILE", c->args[0]);
    return rc;
}

int cmd_schema_get(struct cli *c, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = get_schema(c, "", &reply, err);
    if (rc == 0 && !cli_show_tree(c, reply)) {
        struct cfg_buf out;
        cfg_buf_init(&out, (size_t)1 << 24);
        cfg_json_print_pretty(&out, cfg_json_get(reply, "schema"));
        cfg_buf_putc(&out, '\n');
        cli_print(&out);
    }
    cJSON_Delete(reply);
    return rc;
}

/* [{"object":"schema/NS", operation: value}]; value is consumed. Returned-owned; NULL without memory. */
static cJSON *change_of(const struct cli *c, const char *operation, cJSON *value, uint64_t if_version)
{
    char object[CFG_LIMIT_NAME + sizeof "schema/"];
    (void)snprintf(object, sizeof object, "schema/%s", c->args[0]);
    cJSON *body = cJSON_CreateArray(), *entry = cJSON_CreateObject();
    bool ok = body && entry && cJSON_AddStringToObject(entry, "object", object);
    if (ok)
        ok = cfg_json_set(entry, operation, value) == 0;
    else
        cJSON_Delete(value);
    if (ok && cli_has(c, OPT_IF_VERSION))
        ok = cJSON_AddNumberToObject(entry, "if_version", (double)if_version) != NULL;
    if (ok && cJSON_AddItemToArray(body, entry))
        return body;
    cJSON_Delete(entry);
    cJSON_Delete(body);
    return NULL;
}

/* Consumes value. */
static int change(struct cli *c, const char *path, const char *operation, cJSON *value, struct cfg_error *err)
{
    uint64_t version = 0;
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[0]), err);
    rc = rc ? rc : cli_number(c, OPT_IF_VERSION, &version, err);
    if (rc != 0) {
        cJSON_Delete(value);
        return rc;
    }
    cJSON *body = change_of(c, operation, value, version);
    rc = body ? cli_write(c, "POST", path, body, NULL, err) : cli_no_memory(err);
    cJSON_Delete(body);
    return rc;
}

int cmd_schema_set(struct cli *c, struct cfg_error *err)
{
    cJSON *schema = NULL;
    int rc = load(&schema, c->args[1], err);
    return rc == 0 ? change(c, "/v1/changes", "put", schema, err) : rc;
}

/* What a set would say, without doing it. */
int cmd_schema_check(struct cli *c, struct cfg_error *err)
{
    cJSON *schema = NULL;
    int rc = load(&schema, c->args[1], err);
    return rc == 0 ? change(c, "/v1/changes?dry_run=true", "put", schema, err) : rc;
}

int cmd_schema_delete(struct cli *c, struct cfg_error *err)
{
    return change(c, "/v1/changes", "delete", cJSON_CreateTrue(), err);
}

int cmd_schema_history(struct cli *c, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = get_schema(c, "/versions", &reply, err);
    if (rc == 0 && !cli_show_tree(c, reply))
        history_print(c, reply, false);
    cJSON_Delete(reply);
    return rc;
}

int cmd_schema_rollback(struct cli *c, struct cfg_error *err)
{
    uint64_t to = 0;
    int rc = cli_number(c, OPT_TO, &to, err);
    if (rc == 0 && to == 0) {
        rc = cfg_fail(err, CFG_E_INVALID, "rollback to which version?");
        cfg_error_set_hint(err, "cfgctl schema rollback %s --to N; `cfgctl schema history %s` lists them", c->args[0],
                           c->args[0]);
    }
    return rc == 0 ? change(c, "/v1/changes", "rollback_to", cJSON_CreateNumber((double)to), err) : rc;
}

static void put_schema(struct cfg_buf *out, const cJSON *version)
{
    const cJSON *schema = cfg_json_get(version, "schema");
    if (schema)
        cfg_json_print_pretty(out, schema);
    cfg_buf_putc(out, '\n');
}

static void print_diff(const struct cli *c, const cJSON *from, const cJSON *to)
{
    struct cfg_buf before, after, out;
    cfg_buf_init(&before, TEXT_MAX);
    cfg_buf_init(&after, TEXT_MAX);
    cfg_buf_init(&out, 2 * (size_t)TEXT_MAX);
    put_schema(&before, from);
    put_schema(&after, to);
    cfg_buf_printf(&out, "schema of %s v%.0f → v%.0f\n", c->args[0], cfg_json_get_num(from, "version", 0),
                   cfg_json_get_num(to, "version", 0));
    size_t head = out.len;
    flag_diff(&out, before.data ? before.data : "", after.data ? after.data : "", c->color);
    if (out.len == head)
        cfg_buf_puts(&out, "no difference\n");
    cli_print(&out);
    cfg_buf_finish(&before);
    cfg_buf_finish(&after);
}

int cmd_schema_diff(struct cli *c, struct cfg_error *err)
{
    char base[CFG_LIMIT_NAME + 16];
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[0]), err);
    (void)snprintf(base, sizeof base, "/v1/schemas/%s", rc == 0 ? c->args[0] : "");
    return rc == 0 ? diff_versions(c, base, print_diff, err) : rc;
}

/* --- contracts --- */

static int get_workers(struct cli *c, cJSON **reply, struct cfg_error *err)
{
    struct cfg_buf path;
    int rc = cfg_check_name("deployment", cfg_slice_str(c->args[0]), err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/contract", c->args[0]);
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

static void add_range(struct table *t, const cJSON *p)
{
    char text[80];
    const cJSON *min = cfg_json_get(p, "min"), *max = cfg_json_get(p, "max");
    if (min && max)
        (void)snprintf(text, sizeof text, "%g to %g", min->valuedouble, max->valuedouble);
    else if (min || max)
        (void)snprintf(text, sizeof text, "%s %g", min ? "at least" : "at most", (min ? min : max)->valuedouble);
    else
        (void)snprintf(text, sizeof text, "-");
    table_add(t, text);
}

static void add_contract(struct table *t, const cJSON *entry)
{
    const cJSON *p;
    cJSON_ArrayForEach(p, cfg_json_get(entry, "contract"))
    {
        table_add(t, p->string);
        table_add(t, cfg_json_get_str(p, "type", "?"));
        table_add(t, cfg_json_get_str(p, "class", "?"));
        add_range(t, p);
        table_add(t, cfg_json_get_bool(p, "required", false) ? "yes" : "-");
        table_add_number(t, cfg_json_get_num(entry, "workers", 0));
        table_add(t, cfg_json_get_str(entry, "replica", "-"));
    }
}

static void print_contracts(const struct cli *c, const cJSON *reply)
{
    struct table t;
    struct cfg_buf out;
    const cJSON *entry;
    cfg_buf_init(&out, (size_t)1 << 24);
    table_init(&t, "PARAMETER|TYPE|CLASS|RANGE|REQUIRED|WORKERS|REPLICA");
    cJSON_ArrayForEach(entry, cfg_json_get(reply, "contracts"))
    {
        add_contract(&t, entry);
    }
    cli_put_table(&out, c, &t);
    cJSON_ArrayForEach(entry, cfg_json_get(reply, "ceilings"))
    {
        cfg_buf_puts(&out, "ceiling of ");
        cli_put_text(&out, entry->string);
        cfg_buf_printf(&out, ": %g (", cfg_json_get_num(entry, "lowest", 0));
        cli_put_text(&out, cfg_json_get_str(entry, "worker", "?"));
        cfg_buf_puts(&out, ")\n");
    }
    double unknown = cfg_json_get_num(reply, "unknown", 0);
    if (unknown > 0)
        cfg_buf_printf(&out, "what %.0f more worker%s declare%s cannot be told\n", unknown, unknown == 1 ? "" : "s",
                       unknown == 1 ? "s" : "");
    cli_print(&out);
    table_finish(&t);
}

int cmd_contract_show(struct cli *c, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = get_workers(c, &reply, err);
    if (rc == 0 && !cli_show_tree(c, reply))
        print_contracts(c, reply);
    cJSON_Delete(reply);
    return rc;
}

/* The server judges: what there is now, or the parameters of a file instead. */
int cmd_contract_check(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf path;
    cJSON *body = NULL, *reply = NULL;
    int rc = cfg_check_name("deployment", cfg_slice_str(c->args[0]), err);
    if (rc == 0 && cli_has(c, OPT_FILE))
        rc = load(&body, cli_value(c, OPT_FILE), err);
    else if (rc == 0 && (body = cJSON_CreateObject()) == NULL)
        rc = cli_no_memory(err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/contract/check", c->args[0]);
    rc = cfg_buf_status(&path) == 0 ? cli_call(c, "POST", path.data, body, NULL, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    cJSON_Delete(body);
    const cJSON *violations = cfg_json_get(reply, "violations");
    int n = cJSON_GetArraySize(violations);
    if (rc == 0 && !cli_show_tree(c, reply)) {
        refusal_print(stdout, violations);
        if (n == 0)
            (void)printf("%.0f connected workers take it\n", cfg_json_get_num(reply, "workers", 0));
    }
    if (rc == 0 && n > 0)
        rc = cfg_fail(err, CFG_E_CONTRACT, "%d thing%s that connected workers would reject", n, n == 1 ? "" : "s");
    cJSON_Delete(reply);
    return rc;
}
