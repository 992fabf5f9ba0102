/* A plan in words. */
#include "client/cfgctl/plan.h"
#include "client/cfgctl/table.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_LINES = 200, SHOWN_PATHS = 4, VALUE_ROOM = 1 << 22, VALUE_WIDTH = 160 };

/* --- what changes --- */

void plan_put_object(struct cfg_buf *out, const char *object)
{
    static const struct {
        const char *kind, *lead;
    } kinds[] = {{"config/", ""},
                 {"flag/", ""},
                 {"schema/", "schema of "},
                 {"evaluators/", "segments of "},
                 {"deployment/", "deployment "}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i].kind);
        if (strncmp(object, kinds[i].kind, n) == 0) {
            cfg_buf_puts(out, kinds[i].lead);
            cli_put_text(out, object + n);
            return;
        }
    }
    cli_put_text(out, object);
}

static void put_header(struct cfg_buf *out, const cJSON *result)
{
    double version = cfg_json_get_num(result, "version", 0), previous = cfg_json_get_num(result, "previous", 0);
    plan_put_object(out, cfg_json_get_str(result, "object", "?"));
    if (cfg_json_get_bool(result, "unchanged", false))
        cfg_buf_printf(out, " v%.0f stays as it is\n", version);
    else if (cfg_json_get_bool(result, "created", false))
        cfg_buf_printf(out, " v%.0f, new\n", version);
    else
        cfg_buf_printf(out, " v%.0f → v%.0f%s\n", previous, version,
                       cfg_json_get_bool(result, "deleted", false) ? ", deleted" : "");
}

static void put_value(struct cfg_buf *out, const cJSON *v)
{
    struct cfg_buf text;
    cfg_buf_init(&text, VALUE_ROOM);
    cfg_json_print(&text, v);
    size_t n = text.len;
    if (n > VALUE_WIDTH)
        for (n = VALUE_WIDTH; n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80;)
            n--;
    if (text.data)
        cfg_buf_put(out, text.data, n);
    cfg_buf_puts(out, n < text.len ? "…" : "");
    cfg_buf_finish(&text);
}

static void put_line(struct cfg_buf *out, char sign, const char *path, const cJSON *value, bool color)
{
    if (color)
        cfg_buf_puts(out, sign == '-' ? "\033[31m" : "\033[32m");
    cfg_buf_printf(out, "  %c ", sign);
    cli_put_text(out, path);
    cfg_buf_puts(out, " = ");
    put_value(out, value);
    cfg_buf_puts(out, color ? "\033[0m\n" : "\n");
}

void plan_put_change(struct cfg_buf *out, const cJSON *change, const char *path, bool color)
{
    const char *op = cfg_json_get_str(change, "op", "");
    path = path[0] ? path : "(all)";
    if (strcmp(op, "add") != 0)
        put_line(out, '-', path, cfg_json_get(change, "from"), color);
    if (strcmp(op, "remove") != 0)
        put_line(out, '+', path, cfg_json_get(change, "to"), color);
}

static void put_changes(struct cfg_buf *out, const cJSON *result, bool color)
{
    const cJSON *change, *extends = cfg_json_get(result, "extends");
    int n = 0, total = cJSON_GetArraySize(cfg_json_get(result, "changes"));
    if (cJSON_IsObject(extends)) {
        put_line(out, '-', "(extends)", cfg_json_get(extends, "from"), color);
        put_line(out, '+', "(extends)", cfg_json_get(extends, "to"), color);
    }
    cJSON_ArrayForEach(change, cfg_json_get(result, "changes"))
    {
        if (n++ == SHOWN_LINES) {
            cfg_buf_printf(out, "  … and %d more; -o json has all\n", total - SHOWN_LINES);
            return;
        }
        plan_put_change(out, change, cfg_json_get_str(change, "path", "?"), color);
    }
}

/* --- who does what about it --- */

static const char *when(const char *action)
{
    static const struct {
        const char *action, *words;
    } names[] = {{"live", "live at the next step"},
                 {"drain", "new work at once, running work drains"},
                 {"barrier", "same step on all ranks of a group"},
                 {"restart", "pending until a restart"},
                 {"pinned", "pinned, keeps its value"},
                 {"held", "held, stays where it is"},
                 {"refused", "refused"},
                 {"unread", "read by nobody"},
                 {"unknown", "unknown: not to be asked now"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(action, names[i].action) == 0)
            return names[i].words;
    return action;
}

static bool same_row(const cJSON *a, const cJSON *b)
{
    static const char *const members[] = {"deployment", "action", "reason"};
    for (int i = 0; i < 3; i++)
        if (strcmp(cfg_json_get_str(a, members[i], ""), cfg_json_get_str(b, members[i], "")) != 0)
            return false;
    static const char *const numbers[] = {"workers", "groups", "unknown"};
    for (int i = 0; i < 3; i++)
        if (cfg_json_get_num(a, numbers[i], -1) != cfg_json_get_num(b, numbers[i], -1))
            return false;
    return true;
}

/* Has an earlier entry of the list taken this one into its row? */
static bool is_taken(const cJSON *plan, const cJSON *o)
{
    const cJSON *earlier = plan->child;
    while (earlier != o && !same_row(earlier, o))
        earlier = earlier->next;
    return earlier != o;
}

static void put_paths(struct cfg_buf *out, const cJSON *first)
{
    int n = 0, left = 0;
    for (const cJSON *o = first; o; o = o->next) {
        const char *path = cfg_json_get_str(o, "path", "");
        if (path[0] == '\0' || !same_row(o, first))
            continue;
        if (n == SHOWN_PATHS) {
            left++;
            continue;
        }
        cfg_buf_puts(out, n++ > 0 ? ", " : "");
        cli_put_text(out, path);
    }
    if (left > 0)
        cfg_buf_printf(out, " and %d more", left);
    const char *reason = cfg_json_get_str(first, "reason", "");
    if (reason[0]) {
        cfg_buf_puts(out, n > 0 ? ": " : "");
        cli_put_text(out, reason);
    }
    cfg_buf_puts(out, n == 0 && reason[0] == '\0' ? "-" : "");
}

static void add_count(struct table *t, const cJSON *o, const char *member)
{
    double n = cfg_json_get_num(o, member, -1);
    if (n >= 0)
        table_add_number(t, n);
    else
        table_add(t, "-");
}

/* "4", "4 + 2 unknown" where a configd could not be asked about its workers. */
static void add_workers(struct table *t, const cJSON *o)
{
    char text[64];
    double unknown = cfg_json_get_num(o, "unknown", 0);
    if (unknown <= 0) {
        add_count(t, o, "workers");
        return;
    }
    (void)snprintf(text, sizeof text, "%.0f + %.0f unknown", cfg_json_get_num(o, "workers", 0), unknown);
    table_add(t, text);
}

static void put_actions(struct cfg_buf *out, const cJSON *plan)
{
    struct table t;
    const cJSON *o;
    table_init(&t, "  DEPLOYMENT|WHEN|WORKERS|GROUPS|WHAT");
    cJSON_ArrayForEach(o, plan)
    {
        struct cfg_buf text;
        if (is_taken(plan, o))
            continue;
        cfg_buf_init(&text, (size_t)1 << 16);
        cfg_buf_puts(&text, "  ");
        cli_put_text(&text, cfg_json_get_str(o, "deployment", "?"));
        table_add(&t, text.data ? text.data : "?");
        table_add(&t, when(cfg_json_get_str(o, "action", "?")));
        add_workers(&t, o);
        add_count(&t, o, "groups");
        cfg_buf_clear(&text);
        put_paths(&text, o);
        table_add(&t, text.data ? text.data : "?");
        cfg_buf_finish(&text);
    }
    if (t.n > 0)
        table_print(out, &t, 0, false);
    table_finish(&t);
}

/* --- what stands against it --- */

static void put_member(struct cfg_buf *out, const cJSON *v, const char *member, const char *lead)
{
    const cJSON *m = cfg_json_get(v, member);
    if (m == NULL || (cJSON_IsString(m) && m->valuestring[0] == '\0'))
        return;
    cfg_buf_puts(out, lead);
    if (cJSON_IsString(m))
        cli_put_text(out, m->valuestring);
    else
        put_value(out, m);
}

static void put_violation(struct cfg_buf *out, const cJSON *v, bool color)
{
    const char *ns = cfg_json_get_str(v, "namespace", ""), *path = cfg_json_get_str(v, "path", "");
    double workers = cfg_json_get_num(v, "workers", 1);
    cfg_buf_puts(out, color ? "  \033[31mblocked\033[0m: " : "  blocked: ");
    cli_put_text(out, ns);
    cfg_buf_puts(out, ns[0] && path[0] ? "/" : "");
    cli_put_text(out, path);
    cfg_buf_puts(out, ns[0] || path[0] ? ": " : "");
    cli_put_text(out, cfg_json_get_str(v, "message", "?"));
    put_member(out, v, "deployment", ", deployment ");
    put_member(out, v, "worker", ", worker ");
    if (workers > 1)
        cfg_buf_printf(out, " and %.0f more", workers - 1);
    put_member(out, v, "hint", " · ");
    cfg_buf_putc(out, '\n');
}

static void put_warning(struct cfg_buf *out, const cJSON *w)
{
    const char *path = cfg_json_get_str(w, "path", "");
    cfg_buf_puts(out, "  warning: ");
    cli_put_text(out, path);
    cfg_buf_puts(out, path[0] ? ": " : "");
    cli_put_text(out, cJSON_IsString(w) ? w->valuestring : cfg_json_get_str(w, "message", "?"));
    cfg_buf_putc(out, '\n');
}

static void put_findings(struct cfg_buf *out, const cJSON *o, bool color)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, cfg_json_get(o, "violations"))
    {
        put_violation(out, v, color);
    }
    cJSON_ArrayForEach(v, cfg_json_get(o, "warnings"))
    {
        put_warning(out, v);
    }
}

void plan_describe(struct cfg_buf *out, const cJSON *reply, bool quiet, bool color)
{
    const cJSON *result;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        const char *hint = cfg_json_get_str(result, "hint", "");
        bool unchanged = cfg_json_get_bool(result, "unchanged", false);
        if (unchanged && quiet)
            continue;
        put_header(out, result);
        if (!unchanged) {
            put_changes(out, result, color);
            put_actions(out, cfg_json_get(result, "plan"));
        }
        put_findings(out, result, color);
        if (hint[0]) {
            cfg_buf_puts(out, "  hint: ");
            cli_put_text(out, hint);
            cfg_buf_putc(out, '\n');
        }
    }
    put_findings(out, reply, color);
}
