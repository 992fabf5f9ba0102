/* flag segment: rules with a name, shared by the flags of a namespace (flagd's $evaluators). */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_expr.h"
#include "client/cfgctl/flag_load.h"
#include "client/cfgctl/table.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

static int usage(const struct cli *c, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_INVALID, "a segment is set, listed, shown or deleted, not '%.60s'", c->args[0]);
    cfg_error_set_hint(err, "segment set NS/NAME 'CONDITION' | list NS | get NS/NAME | delete NS/NAME");
    return CFG_E_INVALID;
}

static void show_all(const struct cli *c, const cJSON *shared)
{
    struct table t;
    struct cfg_buf text;
    const cJSON *rule;
    table_init(&t, "SEGMENT|CONDITION");
    cfg_buf_init(&text, (size_t)1 << 22);
    cJSON_ArrayForEach(rule, cfg_json_get(shared, "evaluators"))
    {
        table_add(&t, rule->string);
        cfg_buf_clear(&text);
        flag_expr_print(&text, rule);
        table_add(&t, text.data ? text.data : "");
    }
    cfg_buf_finish(&text);
    cli_print_table(c, &t);
}

static int list(struct cli *c, struct cfg_error *err)
{
    cJSON *shared = NULL;
    int rc = cfg_check_name("namespace", cfg_slice_str(c->args[1]), err);
    if (rc == 0)
        rc = flag_fetch_shared(c, c->args[1], &shared, err);
    if (rc == 0 && !cli_show_tree(c, cfg_json_get(shared, "evaluators")))
        show_all(c, shared);
    cJSON_Delete(shared);
    return rc;
}

static int not_found(const struct cfg_address *a, const cJSON *all, struct cfg_error *err)
{
    const char *near = flag_near_name(all, a->name);
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "there is no segment %s in %s", a->name, a->ns);
    if (near)
        cfg_error_set_hint(err, "did you mean %s/%s?", a->ns, near);
    else
        cfg_error_set_hint(err, "`cfgctl flag segment list %s` shows them", a->ns);
    return CFG_E_NOT_FOUND;
}

static int get(const struct cli *c, const struct cfg_address *a, const cJSON *all, struct cfg_error *err)
{
    const cJSON *rule = cfg_json_get(all, a->name);
    if (rule == NULL)
        return not_found(a, all, err);
    if (!cli_show_tree(c, rule)) {
        struct cfg_buf out;
        cfg_buf_init(&out, (size_t)1 << 24);
        flag_expr_print(&out, rule);
        cfg_buf_putc(&out, '\n');
        cli_print(&out);
    }
    return 0;
}

static int read_rule(cJSON **out, const struct cli *c, struct cfg_error *err)
{
    const char *json = cli_value(c, OPT_RULE), *text = c->n_args == 3 ? c->args[2] : cli_value(c, OPT_IF);
    if ((json == NULL) == (text == NULL)) {
        (void)cfg_fail(err, CFG_E_INVALID, "a segment has one condition");
        cfg_error_set_hint(err, "cfgctl flag segment set %s 'team in [infra, research]', or --rule JSON", c->args[1]);
        return CFG_E_INVALID;
    }
    return flag_expr_read(out, text, json,
                          "JsonLogic in single quotes: --rule '{\"in\": [{\"var\": \"team\"}, [\"infra\"]]}'", err);
}

static void put_rule(struct cfg_buf *out, char sign, const char *name, const cJSON *rule)
{
    if (rule == NULL)
        return;
    cfg_buf_printf(out, "%c segment %s: ", sign, name);
    flag_expr_print(out, rule);
    cfg_buf_putc(out, '\n');
}

/* Puts the whole back, if nobody was faster. rule is consumed; NULL deletes. */
static int write_rule(struct cli *c, const struct cfg_address *a, const cJSON *shared, cJSON *rule,
                      struct cfg_error *err)
{
    char object[CFG_LIMIT_NAME + 16];
    struct cfg_buf out;
    (void)snprintf(object, sizeof object, "evaluators/%s", a->ns);
    cfg_buf_init(&out, (size_t)1 << 24);
    put_rule(&out, '-', a->name, cfg_json_get(cfg_json_get(shared, "evaluators"), a->name));
    put_rule(&out, '+', a->name, rule);
    cJSON *changes = cJSON_CreateArray(), *entry = cJSON_CreateObject(), *body = cJSON_AddObjectToObject(entry, "put");
    cJSON *all = cJSON_Duplicate(cfg_json_get(shared, "evaluators"), true);
    bool good = all && (rule == NULL || cfg_json_set(all, a->name, rule) == 0);
    if (rule == NULL)
        cJSON_DeleteItemFromObjectCaseSensitive(all, a->name);
    const cJSON *metadata = cfg_json_get(shared, "metadata");
    good = cfg_json_set(body, "evaluators", all) == 0 && good;
    if (metadata)
        good = cfg_json_set(body, "metadata", cJSON_Duplicate(metadata, true)) == 0 && good;
    good = good && cJSON_AddStringToObject(entry, "object", object) &&
           cJSON_AddNumberToObject(entry, "if_version", cfg_json_get_num(shared, "version", 0)) &&
           cJSON_AddItemToArray(changes, entry);
    if (c->output == OUTPUT_JSON || c->output == OUTPUT_YAML)
        cfg_buf_finish(&out);
    else
        cli_print(&out);
    (void)fflush(stdout); /* before it is done; main looks at the outcome */
    int rc = good ? cli_write(c, "POST", "/v1/changes", changes, NULL, err) : cli_no_memory(err);
    if (!good)
        cJSON_Delete(entry);
    cJSON_Delete(changes);
    return rc;
}

int cmd_flag_segment(struct cli *c, struct cfg_error *err)
{
    const char *what = c->args[0];
    bool sets = strcmp(what, "set") == 0, deletes = strcmp(what, "delete") == 0, shows = strcmp(what, "get") == 0;
    if (strcmp(what, "list") == 0)
        return list(c, err);
    if (!sets && !deletes && !shows)
        return usage(c, err);
    struct cfg_address a;
    cJSON *rule = NULL, *shared = NULL;
    int rc = cfg_address_parse(&a, cfg_slice_str(c->args[1]), false, err);
    if (rc == 0 && sets)
        rc = read_rule(&rule, c, err);
    if (rc == 0)
        rc = flag_fetch_shared(c, a.ns, &shared, err);
    const cJSON *all = cfg_json_get(shared, "evaluators");
    if (rc == 0 && shows)
        rc = get(c, &a, all, err);
    else if (rc == 0 && deletes && cfg_json_get(all, a.name) == NULL)
        rc = not_found(&a, all, err);
    else if (rc == 0) {
        rc = write_rule(c, &a, shared, rule, err);
        rule = NULL;
    }
    cJSON_Delete(rule);
    cJSON_Delete(shared);
    return rc;
}
