/* log: everything that concerned a deployment, in one list. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/table.h"
#include "client/cfgctl/when.h"
#include "client/url.h"
#include "proto/path.h"

#include <string.h>

enum { SHORT = 2 }; /* changes of one version that a table has room for */

static void put_change(struct cfg_buf *out, const cJSON *change)
{
    const char *op = cfg_json_get_str(change, "op", "");
    const cJSON *from = cfg_json_get(change, "from"), *to = cfg_json_get(change, "to");
    bool removed = strcmp(op, "remove") == 0;
    cli_put_text(out, removed ? "-" : strcmp(op, "add") == 0 ? "+" : "");
    cli_put_text(out, cfg_json_get_str(change, "path", "?"));
    if (removed)
        return;
    cfg_buf_putc(out, ' ');
    if (from && to) {
        cli_put_value(out, from);
        cfg_buf_puts(out, " → ");
    }
    if (to)
        cli_put_value(out, to);
    else
        cfg_buf_puts(out, "(long)");
}

/* "sampling.temperature 0.7 → 0.2, 3 more" */
static void put_changes(struct cfg_buf *out, const cJSON *item, bool all)
{
    const cJSON *changes = cfg_json_get(item, "changes"), *change;
    int n = 0, total = cJSON_GetArraySize(changes) + (int)cfg_json_get_num(item, "more_changes", 0);
    if (cJSON_IsNull(changes)) {
        cfg_buf_puts(out, "(the version before is no longer in history)");
        return;
    }
    if (cfg_json_get_bool(item, "deleted", false)) {
        cfg_buf_puts(out, "deleted");
        return;
    }
    if (cfg_json_get_str(item, "what", NULL)) {
        cli_put_text(out, cfg_json_get_str(item, "what", ""));
        return;
    }
    if (cfg_json_get_str(item, "by", NULL)) {
        cfg_buf_puts(out, "by ");
        cli_put_text(out, cfg_json_get_str(item, "by", ""));
        if (!all)
            return; /* which has a row of its own */
        cfg_buf_puts(out, ": ");
    }
    bool created = cfg_json_get_num(item, "version", 0) < 2 && changes;
    cfg_buf_puts(out, created ? "created" : "");
    if (created && !all && strcmp(cfg_json_get_str(item, "kind", ""), "config") != 0)
        return; /* everything that it is made of */
    cfg_buf_puts(out, created && total > 0 ? ": " : "");
    cJSON_ArrayForEach(change, changes)
    {
        if (!all && n == SHORT)
            break;
        cfg_buf_puts(out, n++ > 0 ? ", " : "");
        put_change(out, change);
    }
    if (total > n)
        cfg_buf_printf(out, ", %d more", total - n);
}

static void add_row(struct table *t, const cJSON *item, bool wide)
{
    struct cfg_buf what;
    char time[32];
    double version = cfg_json_get_num(item, "version", 0);
    table_add(t, wide ? cfg_json_get_str(item, "time", "-") : when_local(time, cfg_json_get_str(item, "time", "-")));
    const char *author = cfg_json_get_str(item, "author", "");
    table_add(t, author[0] ? author : "-");
    table_add(t, cfg_json_get_str(item, "object", "-"));
    if (version > 0)
        table_add_number(t, version);
    else
        table_add(t, "-");
    if (wide) {
        table_add(t, cfg_json_get_str(item, "why", "-"));
        table_add(t, cfg_json_get_str(item, "revision", "-"));
    }
    cfg_buf_init(&what, (size_t)1 << 16);
    put_changes(&what, item, wide);
    table_add(t, what.len > 0 ? what.data : "-");
    cfg_buf_finish(&what);
    /* what a rollout's version says has its message in it, also for the deployment's */
    bool told = version > 0 && (cfg_json_get(item, "what") || (!wide && cfg_json_get(item, "by")));
    table_add(t, told ? "" : cfg_json_get_str(item, "message", ""));
}

static void print_log(const struct cli *c, const cJSON *reply)
{
    bool wide = c->output == OUTPUT_WIDE;
    struct cfg_buf out;
    struct table t;
    char since[32];
    const cJSON *item;
    table_init(&t, wide ? "TIME|AUTHOR|OBJECT|VERSION|WHY|REVISION|WHAT|MESSAGE"
                        : "TIME|AUTHOR|OBJECT|VERSION|WHAT|MESSAGE");
    cJSON_ArrayForEach(item, cfg_json_get(reply, "items"))
    {
        add_row(&t, item, wide);
    }
    cfg_buf_init(&out, (size_t)1 << 26);
    if (cJSON_GetArraySize(cfg_json_get(reply, "items")) > 0)
        cli_put_table(&out, c, &t);
    else
        cfg_buf_printf(&out, "nothing since %s\n", when_local(since, cfg_json_get_str(reply, "since", "?")));
    if (cfg_json_get_bool(reply, "more", false))
        cfg_buf_puts(&out, "older ones: --limit N, or --until the last one's time\n");
    if (cfg_json_get_bool(reply, "incomplete", false))
        cfg_buf_puts(&out, "a part of that time is no longer in history: there may have been more\n");
    cli_print(&out);
    table_finish(&t);
}

int cmd_log(struct cli *c, struct cfg_error *err)
{
    char since[32], until[32];
    uint64_t limit = 0;
    int rc = cfg_check_name("deployment", cfg_slice_str(c->args[0]), err);
    rc = rc ? rc : when_option(since, c, OPT_SINCE, err);
    rc = rc ? rc : when_option(until, c, OPT_UNTIL, err);
    rc = rc ? rc : cli_number(c, OPT_LIMIT, &limit, err);
    if (rc != 0)
        return rc;
    struct cfg_buf path;
    cfg_buf_init(&path, 4096);
    cfg_url_format(&path, "/v1/deployments/*/log", c->args[0]);
    if (since[0])
        cfg_url_query(&path, "since", since);
    if (until[0])
        cfg_url_query(&path, "until", until);
    if (cli_has(c, OPT_AUTHOR))
        cfg_url_query(&path, "author", cli_value(c, OPT_AUTHOR));
    if (cli_has(c, OPT_OBJECT))
        cfg_url_query(&path, "object", cli_value(c, OPT_OBJECT));
    if (cli_has(c, OPT_LIMIT))
        cfg_url_query(&path, "limit", cli_value(c, OPT_LIMIT));
    cJSON *reply = NULL;
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == 0 && !cli_show_tree(c, reply))
        print_log(c, reply);
    cJSON_Delete(reply);
    return rc;
}
