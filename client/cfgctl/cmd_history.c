/* history, diff, rollback: versions of one object. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/reach.h"
#include "client/cfgctl/table.h"
#include "client/url.h"

#include <stdio.h>
#include <string.h>

void history_print(const struct cli *c, const cJSON *reply, bool log)
{
    struct table t;
    const cJSON *o;
    bool wide = c->output == OUTPUT_WIDE;
    table_init(&t, log    ? "OBJECT|VERSION|AGE|AUTHOR|MESSAGE"
                   : wide ? "VERSION|TIME|REVISION|DIGEST|STATE|AUTHOR|MESSAGE"
                          : "VERSION|AGE|STATE|AUTHOR|MESSAGE");
    cJSON_ArrayForEach(o, cfg_json_get(reply, "items"))
    {
        char age[32];
        const char *time = cfg_json_get_str(o, "time", "-");
        if (log) {
            struct cfg_buf object;
            cfg_buf_init(&object, 4096);
            cli_put_object(&object, o);
            table_add(&t, object.data ? object.data : "?");
            cfg_buf_finish(&object);
        }
        table_add_number(&t, cfg_json_get_num(o, "version", 0));
        table_add(&t, wide && !log ? time : cli_age(age, time));
        if (wide && !log) {
            table_add(&t, cfg_json_get_str(o, "revision", "-"));
            table_add(&t, cfg_json_get_str(o, "digest", "-"));
        }
        if (!log)
            table_add(&t, cfg_json_get_bool(o, "deleted", false) ? "deleted" : "-");
        table_add(&t, cfg_json_get_str(o, "author", "-"));
        table_add(&t, cfg_json_get_str(o, "message", ""));
    }
    cli_print_page(c, &t, reply);
}

int cmd_history(struct cli *c, struct cfg_error *err)
{
    static const char rollout[] = "rollout/";
    struct object_path o = {"/v1/log", ""};
    uint64_t limit = 0;
    if (c->n_args == 1 && strncmp(c->args[0], rollout, sizeof rollout - 1) == 0) {
        c->args[0] += sizeof rollout - 1;
        return cmd_rollout_history(c, err);
    }
    int rc = cli_number(c, OPT_LIMIT, &limit, err);
    if (rc == 0 && c->n_args == 1)
        rc = object_path_parse(&o, c->args[0], err);
    if (rc == 0 && limit == 0 && cli_has(c, OPT_LIMIT))
        rc = cfg_fail(err, CFG_E_INVALID, "--limit 0 would show nothing");
    if (rc != 0)
        return rc;
    if (strncmp(o.object, "flag/", 5) == 0)
        return flag_history(c, &o, err);
    struct cfg_buf path;
    cfg_buf_init(&path, 2048);
    cfg_buf_printf(&path, c->n_args == 1 ? "%s/versions" : "%s", o.base);
    if (limit > 0)
        cfg_url_query(&path, "limit", cli_value(c, OPT_LIMIT));
    cJSON *reply = NULL;
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == 0 && !cli_show_tree(c, reply))
        history_print(c, reply, c->n_args == 0);
    cJSON_Delete(reply);
    return rc;
}

/* --- diff --- */

static void put_line(struct cfg_buf *out, const struct cli *c, char sign, const char *path, const cJSON *value)
{
    if (c->color)
        cfg_buf_puts(out, sign == '-' ? "\033[31m" : "\033[32m");
    cfg_buf_printf(out, "%c ", sign);
    cli_put_text(out, path);
    cfg_buf_puts(out, " = ");
    cfg_json_print(out, value);
    cfg_buf_puts(out, c->color ? "\033[0m\n" : "\n");
}

static void print_diff(const struct cli *c, const cJSON *reply)
{
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 26);
    cfg_buf_printf(&out, "%s v%.0f → v%.0f\n", c->args[0], cfg_json_get_num(reply, "from", 0),
                   cfg_json_get_num(reply, "to", 0));
    const cJSON *change;
    cJSON_ArrayForEach(change, cfg_json_get(reply, "changes"))
    {
        const char *path = cfg_json_get_str(change, "path", "?"), *op = cfg_json_get_str(change, "op", "");
        if (strcmp(op, "add") != 0)
            put_line(&out, c, '-', path, cfg_json_get(change, "from"));
        if (strcmp(op, "remove") != 0)
            put_line(&out, c, '+', path, cfg_json_get(change, "to"));
    }
    const cJSON *extends = cfg_json_get(reply, "extends");
    if (extends) {
        put_line(&out, c, '-', "(extends)", cfg_json_get(extends, "from"));
        put_line(&out, c, '+', "(extends)", cfg_json_get(extends, "to"));
    } else if (cJSON_GetArraySize(cfg_json_get(reply, "changes")) == 0)
        cfg_buf_puts(&out, "no difference\n");
    cli_print(&out);
}

static int check_version(const char *text, struct cfg_error *err)
{
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && digits <= 15 && text[digits] == '\0')
        return 0;
    return cfg_fail(err, CFG_E_INVALID, "'%s' is no version", text);
}

/* --- of a flag: both versions in words --- */

/* version NULL: the newest. "0", before there was one, is an empty object. */
static int read_version(struct cli *c, const char *base, const char *version, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    if (version && strspn(version, "0") == strlen(version)) {
        *out = cJSON_CreateObject();
        return *out ? 0 : cli_no_memory(err);
    }
    cfg_buf_init(&path, 2048);
    cfg_buf_puts(&path, base);
    if (version)
        cfg_url_query(&path, "version", version);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

static void print_flag_diff(const struct cli *c, const cJSON *from, const cJSON *to)
{
    struct cfg_buf before, after, out;
    cfg_buf_init(&before, (size_t)1 << 24);
    cfg_buf_init(&after, (size_t)1 << 24);
    cfg_buf_init(&out, (size_t)1 << 26);
    if (from->child)
        flag_describe(&before, from, false);
    if (to->child)
        flag_describe(&after, to, false);
    cfg_buf_printf(&out, "%s v%.0f → v%.0f\n", c->args[0], cfg_json_get_num(from, "version", 0),
                   cfg_json_get_num(to, "version", 0));
    size_t head = out.len;
    flag_diff(&out, before.data ? before.data : "", after.data ? after.data : "", c->color);
    if (out.len == head)
        cfg_buf_puts(&out, "no difference\n");
    cli_print(&out);
    cfg_buf_finish(&before);
    cfg_buf_finish(&after);
}

/* {"from": VERSION, "to": VERSION, "before": as read, "after": as read}; both are consumed. */
static cJSON *both_versions(cJSON *from, cJSON *to)
{
    cJSON *out = cJSON_CreateObject();
    bool good = cJSON_AddNumberToObject(out, "from", cfg_json_get_num(from, "version", 0)) &&
                cJSON_AddNumberToObject(out, "to", cfg_json_get_num(to, "version", 0));
    good = cfg_json_set(out, "before", from) == 0 && good;
    good = cfg_json_set(out, "after", to) == 0 && good;
    if (good)
        return out;
    cJSON_Delete(out);
    return NULL;
}

static int check_versions(const struct cli *c, struct cfg_error *err)
{
    int rc = 0;
    for (int i = 1; rc == 0 && i < c->n_args; i++)
        rc = check_version(c->args[i], err);
    return rc;
}

int diff_versions(struct cli *c, const char *base, diff_print_fn print, struct cfg_error *err)
{
    cJSON *from = NULL, *to = NULL;
    char before[32];
    int rc = check_versions(c, err);
    if (rc == 0)
        rc = read_version(c, base, c->n_args > 2 ? c->args[2] : NULL, &to, err);
    double newest = cfg_json_get_num(to, "version", 0);
    (void)snprintf(before, sizeof before, "%.0f", newest > 1 ? newest - 1 : 0);
    if (rc == 0)
        rc = read_version(c, base, c->n_args > 1 ? c->args[1] : before, &from, err);
    if (rc == 0 && c->output != OUTPUT_JSON && c->output != OUTPUT_YAML) {
        print(c, from, to);
    } else if (rc == 0) {
        cJSON *tree = both_versions(from, to);
        from = to = NULL;
        rc = tree ? 0 : cli_no_memory(err);
        if (tree)
            (void)cli_show_tree(c, tree); /* json or yaml: it is shown */
        cJSON_Delete(tree);
    }
    cJSON_Delete(from);
    cJSON_Delete(to);
    return rc;
}

int cmd_diff(struct cli *c, struct cfg_error *err)
{
    struct object_path o;
    int rc = object_path_parse(&o, c->args[0], err);
    if (rc == 0)
        rc = check_versions(c, err);
    if (rc != 0)
        return rc;
    if (strncmp(o.object, "flag/", 5) == 0)
        return diff_versions(c, o.base, print_flag_diff, err);
    if (strncmp(o.object, "config/", 7) != 0)
        return cfg_fail(err, CFG_E_INVALID, "diff compares versions of a namespace or a flag, and %s is neither",
                        c->args[0]);
    struct cfg_buf path;
    cfg_buf_init(&path, 2048);
    cfg_buf_printf(&path, "%s/diff", o.base);
    if (c->n_args > 1)
        cfg_url_query(&path, "from", c->args[1]);
    if (c->n_args > 2)
        cfg_url_query(&path, "to", c->args[2]);
    cJSON *reply = NULL;
    rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == 0 && !cli_show_tree(c, reply))
        print_diff(c, reply);
    cJSON_Delete(reply);
    return rc;
}

/* --- rollback --- */

/* What becomes of a flag. A version that cannot be read is the server's to refuse; one that was deleted is nothing. */
static void show_rollback(struct cli *c, const char *base, uint64_t to)
{
    struct cfg_error ignored;
    struct cfg_buf before, after, out;
    cJSON *head = NULL, *old = NULL;
    char version[32];
    (void)snprintf(version, sizeof version, "%llu", (unsigned long long)to);
    cfg_buf_init(&before, (size_t)1 << 24);
    cfg_buf_init(&after, (size_t)1 << 24);
    cfg_buf_init(&out, (size_t)1 << 26);
    if (read_version(c, base, NULL, &head, &ignored) == 0 && cJSON_IsObject(cfg_json_get(head, "definition")))
        flag_describe(&before, head, false);
    if (read_version(c, base, version, &old, &ignored) == 0 && cJSON_IsObject(cfg_json_get(old, "definition"))) {
        flag_describe(&after, old, false);
        flag_diff(&out, before.data ? before.data : "", after.data ? after.data : "", c->color);
        cli_print(&out);
        (void)fflush(stdout); /* before it is done; main looks at the outcome */
    }
    cfg_buf_finish(&before);
    cfg_buf_finish(&after);
    cfg_buf_finish(&out);
    cJSON_Delete(head);
    cJSON_Delete(old);
}

int cmd_rollback(struct cli *c, struct cfg_error *err)
{
    struct object_path o;
    uint64_t to = 0, version = 0;
    if (cli_has(c, OPT_WHEN))
        return rollback_at(c, err);
    int rc = object_path_parse(&o, c->args[0], err);
    if (rc == 0)
        rc = cli_number(c, OPT_TO, &to, err);
    if (rc == 0)
        rc = cli_number(c, OPT_IF_VERSION, &version, err);
    if (rc == 0 && to == 0) {
        rc = cfg_fail(err, CFG_E_INVALID, "rollback to which version?");
        cfg_error_set_hint(err, "cfgctl rollback %s --to N; `cfgctl history %s` lists them", c->args[0], c->args[0]);
    }
    if (rc != 0)
        return rc;
    if (strncmp(o.object, "flag/", 5) == 0 && c->output != OUTPUT_JSON && c->output != OUTPUT_YAML)
        show_rollback(c, o.base, to);
    cJSON *changes = cJSON_CreateArray(), *entry = cJSON_CreateObject();
    bool ok = changes && entry && cJSON_AddStringToObject(entry, "object", o.object) &&
              cJSON_AddNumberToObject(entry, "rollback_to", (double)to);
    if (ok && cli_has(c, OPT_IF_VERSION))
        ok = cJSON_AddNumberToObject(entry, "if_version", (double)version) != NULL;
    if (ok && cJSON_AddItemToArray(changes, entry)) {
        rc = cli_write(c, "POST", "/v1/changes", changes, NULL, err);
    } else {
        cJSON_Delete(entry);
        rc = cli_no_memory(err);
    }
    cJSON_Delete(changes);
    return rc;
}
