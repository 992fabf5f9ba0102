/* get: a namespace's document, one parameter, or a flag. A name is a parameter or a flag, never both, so the one
 * address serves for both. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATES = 512 };

static int fetch(struct cli *c, const char *pattern, const char *ns, const char *name, cJSON **out,
                 struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 2048);
    cfg_url_format(&path, pattern, ns, name);
    if (cli_has(c, OPT_VERSION))
        cfg_url_query(&path, "version", cli_value(c, OPT_VERSION));
    if (cli_has(c, OPT_RESOLVED) && name[0] == '\0')
        cfg_url_query(&path, "resolved", "true");
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

static void put_envelope(struct cfg_buf *out, const cJSON *o, const char *comment)
{
    cfg_buf_printf(out, "%s%s v%.0f at %s, %s by ", comment, cfg_json_get_str(o, "namespace", "?"),
                   cfg_json_get_num(o, "version", 0), cfg_json_get_str(o, "revision", "?"),
                   cfg_json_get_str(o, "time", "?"));
    cli_put_text(out, cfg_json_get_str(o, "author", "?"));
    if (cfg_json_get_str(o, "message", "")[0]) {
        cfg_buf_puts(out, ": ");
        cli_put_text(out, cfg_json_get_str(o, "message", ""));
    }
    cfg_buf_putc(out, '\n');
}

static void show_config(const struct cli *c, const cJSON *config)
{
    if (cli_show_tree(c, config))
        return;
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 26);
    if (c->output == OUTPUT_WIDE)
        put_envelope(&out, config, "# ");
    cfg_json_print_pretty(&out, cfg_json_get(config, "document"));
    cfg_buf_putc(&out, '\n');
    cli_print(&out);
}

static void show_value(const struct cli *c, const cJSON *config, const cJSON *value)
{
    if (cli_show_tree(c, value))
        return;
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 26);
    if (c->output == OUTPUT_WIDE)
        put_envelope(&out, config, "# ");
    if (cJSON_IsObject(value) || cJSON_IsArray(value))
        cfg_json_print_pretty(&out, value);
    else
        cli_put_value(&out, value);
    cfg_buf_putc(&out, '\n');
    cli_print(&out);
}

void show_flag(const struct cli *c, const cJSON *flag)
{
    if (cli_show_tree(c, flag))
        return;
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 22);
    if (c->output == OUTPUT_WIDE) {
        put_envelope(&out, flag, "# ");
        flag_describe(&out, flag, true);
        cli_print(&out);
        return;
    }
    const cJSON *value = cfg_json_get(flag, "value");
    cfg_buf_puts(&out, cfg_json_get_bool(flag, "enabled", false) ? "on" : "off");
    if (value && !cJSON_IsBool(value)) {
        cfg_buf_puts(&out, ": ");
        cli_put_value(&out, value);
    }
    cfg_buf_putc(&out, '\n');
    cli_print(&out);
}

/* --- what was meant --- */

struct names {
    char *list[CANDIDATES];
    size_t n;
};

static bool add_name(const char *path, const cJSON *value, void *arg)
{
    (void)value;
    struct names *names = arg;
    char *copy = names->n < CANDIDATES ? strdup(path) : NULL;
    if (copy)
        names->list[names->n++] = copy;
    return copy != NULL;
}

/* Where there is neither document nor flag, *err, which says that there is no such namespace, stays. */
static int unknown(struct cli *c, const struct cfg_address *a, const cJSON *config, struct cfg_error *err)
{
    struct names names = {.n = 0};
    struct cfg_error ignored;
    cJSON *flags = NULL;
    if (config)
        (void)cfg_path_each_leaf(cfg_json_get(config, "document"), add_name, &names); /* the first ones will do */
    if (fetch(c, "/v1/flags/*", a->ns, "", &flags, &ignored) == 0) {
        const cJSON *flag;
        cJSON_ArrayForEach(flag, cfg_json_get(flags, "flags"))
        {
            (void)add_name(flag->string, NULL, &names); /* as above */
        }
    }
    cJSON_Delete(flags);
    if (config == NULL && names.n == 0)
        return CFG_E_NOT_FOUND;
    const char *near = cfg_near_miss(a->name, (const char *const *)names.list, names.n);
    cfg_fail(err, CFG_E_UNKNOWN_KEY, "%s has neither a parameter nor a flag %s", a->ns, a->name);
    cfg_error_set_path(err, "%s", a->name);
    if (near)
        cfg_error_set_hint(err, "did you mean %s/%s?", a->ns, near);
    else if (cJSON_GetArraySize(cfg_json_get(config, "extends")) > 0 && !cli_has(c, OPT_RESOLVED))
        cfg_error_set_hint(err, "%s extends others: cfgctl get %s/%s --resolved", a->ns, a->ns, a->name);
    else
        cfg_error_set_hint(err, "see `cfgctl list %s`", a->ns);
    for (size_t i = 0; i < names.n; i++)
        free(names.list[i]);
    return CFG_E_UNKNOWN_KEY;
}

/* *err says why there is no document, if there is none. */
static int get_flag_or_explain(struct cli *c, const struct cfg_address *a, const cJSON *config, struct cfg_error *err)
{
    struct cfg_error why;
    cJSON *flag = NULL;
    int rc = fetch(c, "/v1/flags/*/*", a->ns, a->name, &flag, &why);
    if (rc == 0)
        show_flag(c, flag);
    else if (rc == CFG_E_ADDRESS || (rc == CFG_E_NOT_FOUND && !cli_has(c, OPT_VERSION)))
        rc = unknown(c, a, config, err); /* a path such as stop[9] can name no flag */
    else
        *err = why;
    cJSON_Delete(flag);
    return rc;
}

/* What a resolved namespace does not have yet. */
static void print_unresolved(const cJSON *config)
{
    const cJSON *u;
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 20);
    cJSON_ArrayForEach(u, cfg_json_get(config, "unresolved"))
    {
        cfg_buf_puts(&out, "warning: ");
        cli_put_text(&out, cfg_json_get_str(u, "path", "?"));
        cfg_buf_puts(&out, ": ");
        cli_put_text(&out, cfg_json_get_str(u, "message", "?"));
        cfg_buf_putc(&out, '\n');
    }
    if (out.len > 0)
        (void)fwrite(out.data, 1, out.len, stderr); /* a warning that nobody can read is nobody's loss */
    cfg_buf_finish(&out);
}

static void print_dependents(const struct cli *c, const cJSON *reply)
{
    struct table t;
    const cJSON *d;
    table_init(&t, "NAMESPACE|EXTENDS IT|DEPLOYMENTS");
    cJSON_ArrayForEach(d, cfg_json_get(reply, "dependents"))
    {
        table_add(&t, cfg_json_get_str(d, "namespace", "?"));
        table_add(&t, cfg_json_get_bool(d, "direct", false) ? "directly" : "through others");
        cli_add_list(&t, cfg_json_get(d, "deployments"));
    }
    cli_print_table(c, &t);
}

static int get_dependents(struct cli *c, const char *ns, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = fetch(c, "/v1/config/*/dependents", ns, "", &reply, err);
    if (rc == 0 && !cli_show_tree(c, reply))
        print_dependents(c, reply);
    cJSON_Delete(reply);
    return rc;
}

int cmd_get(struct cli *c, struct cfg_error *err)
{
    struct cfg_address a;
    uint64_t version = 0;
    int rc = cfg_address_parse(&a, cfg_slice_str(c->args[0]), true, err);
    if (rc == 0)
        rc = cli_number(c, OPT_VERSION, &version, err);
    if (rc != 0)
        return rc;
    if (cli_has(c, OPT_DEPENDENTS))
        return get_dependents(c, a.ns, err);
    cJSON *config = NULL;
    rc = fetch(c, "/v1/config/*", a.ns, "", &config, err);
    if (rc == 0 && cli_has(c, OPT_RESOLVED))
        print_unresolved(config);
    if (rc == 0 && a.name[0] == '\0') {
        show_config(c, config);
    } else if (a.name[0] && (rc == 0 || rc == CFG_E_NOT_FOUND)) {
        const cJSON *value = config ? cfg_path_get(cfg_json_get(config, "document"), a.name) : NULL;
        rc = 0;
        if (value)
            show_value(c, config, value);
        else
            rc = get_flag_or_explain(c, &a, config, err);
    }
    cJSON_Delete(config);
    return rc;
}
