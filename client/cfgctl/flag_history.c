/* Versions of one flag, with what each of them changed. Each version listed is read, so a long history is as many
 * requests. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1 << 24 };

/* The flag as it was, without a definition where it was deleted; NULL where that is no longer kept. Returned-owned. */
static cJSON *read_then(struct cli *c, const char *base, double version)
{
    struct cfg_error ignored;
    struct cfg_buf path;
    char text[32];
    cJSON *v = NULL;
    (void)snprintf(text, sizeof text, "%.0f", version);
    cfg_buf_init(&path, 2048);
    cfg_buf_puts(&path, base);
    cfg_url_query(&path, "version", text);
    if (version < 1 || cfg_buf_status(&path) != 0 || cli_get(c, path.data, &v, &ignored) != 0)
        v = NULL;
    cfg_buf_finish(&path);
    return v;
}

static void add_row(const struct cli *c, struct table *t, const cJSON *item, const cJSON *before, const cJSON *after)
{
    char age[32];
    struct cfg_buf what;
    bool wide = c->output == OUTPUT_WIDE, deleted = cfg_json_get_bool(item, "deleted", false);
    const char *time = cfg_json_get_str(item, "time", "-");
    double version = cfg_json_get_num(item, "version", 0);
    cfg_buf_init(&what, TEXT_MAX);
    if (deleted)
        cfg_buf_puts(&what, "deleted");
    else if (after && (before ? !cJSON_IsObject(cfg_json_get(before, "definition")) : version == 1))
        cfg_buf_puts(&what, "created");
    else if (after && before)
        flag_name_changes(&what, before, after);
    table_add_number(t, version);
    table_add(t, wide ? time : cli_age(age, time));
    if (wide) {
        table_add(t, cfg_json_get_str(item, "revision", "-"));
        table_add(t, cfg_json_get_str(item, "digest", "-"));
    }
    table_add(t, deleted ? "deleted" : !after ? "-" : cfg_json_get_bool(after, "enabled", true) ? "on" : "off");
    table_add(t, what.len > 0 ? what.data : "-");
    table_add(t, cfg_json_get_str(item, "author", "-"));
    table_add(t, cfg_json_get_str(item, "message", ""));
    cfg_buf_finish(&what);
}

static void print_table(struct cli *c, const char *base, const cJSON *reply)
{
    struct table t;
    const cJSON *items = cfg_json_get(reply, "items"), *item = items ? items->child : NULL;
    bool wide = c->output == OUTPUT_WIDE;
    cJSON *after = item ? read_then(c, base, cfg_json_get_num(item, "version", 0)) : NULL;
    table_init(&t, wide ? "VERSION|TIME|REVISION|DIGEST|STATE|CHANGED|AUTHOR|MESSAGE"
                        : "VERSION|AGE|STATE|CHANGED|AUTHOR|MESSAGE");
    for (; item; item = item->next) {
        cJSON *before = read_then(c, base, cfg_json_get_num(item, "version", 0) - 1);
        add_row(c, &t, item, before, after);
        cJSON_Delete(after);
        after = before;
    }
    cJSON_Delete(after);
    cli_print_page(c, &t, reply);
}

int flag_history(struct cli *c, const struct object_path *o, struct cfg_error *err)
{
    struct cfg_buf path;
    cJSON *reply = NULL;
    cfg_buf_init(&path, 2048);
    cfg_buf_printf(&path, "%s/versions", o->base);
    if (cli_has(c, OPT_LIMIT))
        cfg_url_query(&path, "limit", cli_value(c, OPT_LIMIT));
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == CFG_E_NOT_FOUND && err->hint[0] == '\0')
        cfg_error_set_hint(err, "parameters have the history of their namespace: cfgctl history %.*s",
                           (int)strcspn(c->args[0], "/"), c->args[0]);
    if (rc == 0 && !cli_show_tree(c, reply))
        print_table(c, o->base, reply);
    cJSON_Delete(reply);
    return rc;
}
