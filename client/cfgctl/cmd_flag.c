/* flag …: switches and their list. A flag is made by `set NS/NAME=on`. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_load.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

static int flag_path(const struct cli *c, struct object_path *out, struct cfg_error *err)
{
    struct cfg_address a;
    int rc = cfg_address_parse(&a, cfg_slice_str(c->args[0]), false, err);
    return rc != 0 ? rc : object_path_parse(out, c->args[0], err);
}

static int change(struct cli *c, const char *key, cJSON *value, struct cfg_error *err)
{
    struct object_path path;
    uint64_t version = 0;
    int rc = flag_path(c, &path, err);
    if (rc == 0)
        rc = cli_number(c, OPT_IF_VERSION, &version, err);
    cJSON *changes = cJSON_CreateArray(), *entry = cJSON_CreateObject();
    bool ok = changes && entry && value && cJSON_AddStringToObject(entry, "object", path.object);
    if (ok && cli_has(c, OPT_IF_VERSION))
        ok = cJSON_AddNumberToObject(entry, "if_version", (double)version) != NULL;
    if (rc == 0 && ok && cJSON_AddItemToObject(entry, key, value)) {
        (void)cJSON_AddItemToArray(changes, entry); /* both are there: cannot fail */
        rc = cli_write(c, "POST", "/v1/changes", changes, NULL, err);
    } else {
        cJSON_Delete(value);
        cJSON_Delete(entry);
        rc = rc != 0 ? rc : cli_no_memory(err);
    }
    cJSON_Delete(changes);
    return rc;
}

static int switch_to(struct cli *c, bool on, struct cfg_error *err)
{
    cJSON *patch = cJSON_CreateObject();
    if (patch && cJSON_AddBoolToObject(patch, "enabled", on)) {
        int rc = change(c, "patch", patch, err);
        if (rc == CFG_E_NOT_FOUND && err->hint[0] == '\0')
            cfg_error_set_hint(err, "`cfgctl set %s=%s` creates it", c->args[0], on ? "on" : "off");
        return rc;
    }
    cJSON_Delete(patch);
    return cli_no_memory(err);
}

int cmd_flag_on(struct cli *c, struct cfg_error *err)
{
    return switch_to(c, true, err);
}

int cmd_flag_off(struct cli *c, struct cfg_error *err)
{
    return switch_to(c, false, err);
}

int cmd_flag_delete(struct cli *c, struct cfg_error *err)
{
    return change(c, "delete", cJSON_CreateTrue(), err);
}

int cmd_flag_get(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    cJSON *flag = NULL;
    int rc = flag_path(c, &path, err);
    struct cfg_buf url;
    cfg_buf_init(&url, 2048);
    if (rc == 0)
        cfg_buf_puts(&url, path.base);
    if (rc == 0 && cli_has(c, OPT_VERSION))
        cfg_url_query(&url, "version", cli_value(c, OPT_VERSION));
    if (rc == 0)
        rc = cfg_buf_status(&url) == 0 ? cli_get(c, url.data, &flag, err) : cli_no_memory(err);
    cfg_buf_finish(&url);
    if (rc == 0)
        show_flag(c, flag);
    cJSON_Delete(flag);
    return rc;
}

/* What a flag answers: its value, or how many rules and what else. envelope NULL: not known. */
static void put_answer(struct cfg_buf *out, const cJSON *envelope, const cJSON *value)
{
    const cJSON *otherwise = flag_rule_outcome(envelope, 0);
    size_t n = flag_rules_count(envelope);
    bool on = cfg_json_get_bool(envelope, "enabled", false);
    if (on && n > 0)
        cfg_buf_printf(out, "%zu %s, else ", n, n == 1 ? "rule" : "rules");
    if (on && otherwise &&
        (cJSON_IsString(otherwise) || flag_split_unit(otherwise) ||
         cfg_json_get(flag_split_inside(otherwise), "fractional")))
        flag_outcome_print(out, otherwise);
    else if (on && otherwise)
        cfg_buf_puts(out, "by a rule");
    else
        cli_put_value(out, value);
}

/* Lists have no rules in them: those of each namespace are read once. Whether there were any. */
static bool table_of(struct cli *c, const cJSON *reply)
{
    bool any = false;
    char read[CFG_LIMIT_NAME + 1] = "";
    cJSON *space = NULL;
    struct cfg_error ignored;
    struct table t;
    const cJSON *flag;
    table_init(&t, "FLAG|STATE|VALUE|VERSION|AUTHOR|MESSAGE");
    cJSON_ArrayForEach(flag, cfg_json_get(reply, "items"))
    {
        const char *ns = cfg_json_get_str(flag, "namespace", "?");
        struct cfg_buf text;
        if (c->n_args == 1 && strcmp(ns, c->args[0]) != 0)
            continue;
        any = true;
        cfg_buf_init(&text, (size_t)1 << 20);
        cfg_buf_printf(&text, "%s/%s", ns, cfg_json_get_str(flag, "name", "?"));
        table_add(&t, text.data ? text.data : "?");
        table_add(&t, cfg_json_get_bool(flag, "enabled", false) ? "on" : "off");
        cfg_buf_clear(&text);
        if (strcmp(read, ns) != 0) {
            (void)snprintf(read, sizeof read, "%s", ns);
            cJSON_Delete(space);
            if (flag_fetch_space(c, ns, &space, &ignored) != 0)
                space = NULL;
        }
        put_answer(&text, cfg_json_get(cfg_json_get(space, "flags"), cfg_json_get_str(flag, "name", "")),
                   cfg_json_get(flag, "value"));
        table_add(&t, text.data ? text.data : "");
        cfg_buf_finish(&text);
        table_add_number(&t, cfg_json_get_num(flag, "version", 0));
        table_add(&t, cfg_json_get_str(flag, "author", "-"));
        table_add(&t, cfg_json_get_str(flag, "message", ""));
    }
    cJSON_Delete(space);
    cli_print_table(c, &t);
    return any;
}

/* With a namespace and -o json, what flagd reads. */
int cmd_flag_list(struct cli *c, struct cfg_error *err)
{
    bool tree = c->output == OUTPUT_JSON || c->output == OUTPUT_YAML;
    int rc = c->n_args == 1 ? cfg_check_name("namespace", cfg_slice_str(c->args[0]), err) : 0;
    struct cfg_buf path;
    cfg_buf_init(&path, 512);
    if (c->n_args == 1 && tree)
        cfg_url_format(&path, "/v1/flags/*", c->args[0]);
    else
        cfg_buf_puts(&path, "/v1/flags");
    cJSON *reply = NULL;
    if (rc == 0)
        rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == 0 && !cli_show_tree(c, reply) && !table_of(c, reply) && c->n_args == 1)
        (void)fprintf(stderr, "cfgctl: %s has no flags; `cfgctl flag list` shows those of all namespaces\n",
                      c->args[0]);
    cJSON_Delete(reply);
    return rc;
}
