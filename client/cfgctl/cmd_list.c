/* list: what there is; with a namespace, what is in it. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <string.h>

static void add_envelope(const struct cli *c, struct table *t, const cJSON *o)
{
    char age[32];
    table_add_number(t, cfg_json_get_num(o, "version", 0));
    if (c->output == OUTPUT_WIDE) {
        table_add(t, cfg_json_get_str(o, "revision", "-"));
        table_add(t, cfg_json_get_str(o, "time", "-"));
    } else {
        table_add(t, cli_age(age, cfg_json_get_str(o, "time", "")));
    }
    table_add(t, cfg_json_get_str(o, "author", "-"));
    table_add(t, cfg_json_get_str(o, "message", ""));
}

static void add_flag_name(struct table *t, const cJSON *flag)
{
    struct cfg_buf name;
    cfg_buf_init(&name, 1024);
    cfg_buf_printf(&name, "%s/%s", cfg_json_get_str(flag, "namespace", "?"), cfg_json_get_str(flag, "name", "?"));
    table_add(t, name.data ? name.data : "?");
    cfg_buf_finish(&name);
}

static void table_of_all(const struct cli *c, const cJSON *configs, const cJSON *flags)
{
    struct table t;
    const cJSON *o;
    table_init(&t, c->output == OUTPUT_WIDE ? "NAME|STATE|VERSION|REVISION|TIME|AUTHOR|MESSAGE"
                                            : "NAME|STATE|VERSION|AGE|AUTHOR|MESSAGE");
    cJSON_ArrayForEach(o, cfg_json_get(configs, "items"))
    {
        table_add(&t, cfg_json_get_str(o, "namespace", "?"));
        table_add(&t, "config");
        add_envelope(c, &t, o);
    }
    cJSON_ArrayForEach(o, cfg_json_get(flags, "items"))
    {
        add_flag_name(&t, o);
        table_add(&t, cfg_json_get_bool(o, "enabled", false) ? "on" : "off");
        add_envelope(c, &t, o);
    }
    cli_print_table(c, &t);
}

static void add_value(struct table *t, const cJSON *value)
{
    struct cfg_buf text;
    cfg_buf_init(&text, (size_t)1 << 20);
    cfg_json_print(&text, value);
    table_add(t, text.data ? text.data : "");
    cfg_buf_finish(&text);
}

static bool add_leaf(const char *path, const cJSON *value, void *arg)
{
    table_add(arg, path);
    add_value(arg, value);
    return true;
}

/* What it serves: the flag as flagd would have it, so a killed one has no rules and is its off variant. */
static void add_flag_value(struct table *t, const cJSON *flag)
{
    const cJSON *targeting = cfg_json_get(flag, "targeting");
    struct cfg_buf text;
    cfg_buf_init(&text, 1024);
    if (strcmp(cfg_json_get_str(flag, "state", "ENABLED"), "ENABLED") != 0)
        cfg_buf_puts(&text, "the caller's default");
    else
        cfg_buf_printf(&text, "%s%s", targeting && targeting->child ? "by its rules, else " : "",
                       cfg_json_get_str(flag, "defaultVariant", "the caller's default"));
    table_add(t, text.data ? text.data : "");
    cfg_buf_finish(&text);
}

static int list_all(struct cli *c, cJSON **configs, cJSON **flags, struct cfg_error *err)
{
    int rc = cli_get(c, "/v1/config", configs, err);
    if (rc == 0)
        rc = cli_get(c, "/v1/flags", flags, err);
    if (rc == 0 && c->output != OUTPUT_JSON && c->output != OUTPUT_YAML)
        table_of_all(c, *configs, *flags);
    return rc;
}

/* A namespace may hold flags only: then it has no document, and that is no error. */
static int list_one(struct cli *c, cJSON **config, cJSON **flags, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 512);
    cfg_url_format(&path, "/v1/config/*", c->args[0]);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, config, err) : cli_no_memory(err);
    cfg_buf_clear(&path);
    cfg_url_format(&path, "/v1/flags/*", c->args[0]);
    if (rc == 0 || rc == CFG_E_NOT_FOUND) {
        struct cfg_error missing;
        int flags_rc = cli_get(c, path.data, flags, &missing);
        bool some = flags_rc == 0 && cfg_json_get(*flags, "flags") && cfg_json_get(*flags, "flags")->child;
        if (some || (rc == 0 && flags_rc == CFG_E_NOT_FOUND))
            rc = 0;
        else if (rc == 0 && flags_rc != 0) {
            *err = missing;
            rc = flags_rc;
        }
    }
    cfg_buf_finish(&path);
    if (rc != 0 || c->output == OUTPUT_JSON || c->output == OUTPUT_YAML)
        return rc;
    struct table t;
    const cJSON *flag;
    table_init(&t, "NAME|VALUE");
    if (*config)
        (void)cfg_path_each_leaf(cfg_json_get(*config, "document"), add_leaf, &t); /* add_leaf never stops it */
    cJSON_ArrayForEach(flag, cfg_json_get(*flags, "flags"))
    {
        table_add(&t, flag->string);
        add_flag_value(&t, flag);
    }
    cli_print_table(c, &t);
    return 0;
}

int cmd_list(struct cli *c, struct cfg_error *err)
{
    cJSON *configs = NULL, *flags = NULL, *both = cJSON_CreateObject();
    int rc = both ? 0 : cli_no_memory(err);
    if (rc == 0 && c->n_args == 1)
        rc = cfg_check_name("namespace", cfg_slice_str(c->args[0]), err);
    if (rc == 0)
        rc = c->n_args == 1 ? list_one(c, &configs, &flags, err) : list_all(c, &configs, &flags, err);
    if (configs)
        cJSON_AddItemToObject(both, "config", configs);
    if (flags)
        cJSON_AddItemToObject(both, "flags", flags);
    if (rc == 0)
        (void)cli_show_tree(c, both); /* the tables are shown already */
    cJSON_Delete(both);
    return rc;
}
