/* A plan in words. */
#include "client/cfgctl/plan.h"
#include "client/cfgctl/table.h"

#include <stdio.h>
#include <stdlib.h>
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

static bool is_refused(const cJSON *o)
{
    return strcmp(cfg_json_get_str(o, "action", ""), "refused") == 0;
}

/* What a value would do where it is refused is of no use to anybody. refused: the entries that say so. */
static bool is_overruled(const cJSON *const *refused, size_t n, const cJSON *o)
{
    for (size_t i = 0; i < n && !is_refused(o); i++)
        if (strcmp(cfg_json_get_str(refused[i], "deployment", ""), cfg_json_get_str(o, "deployment", "")) == 0 &&
            strcmp(cfg_json_get_str(refused[i], "path", ""), cfg_json_get_str(o, "path", "")) == 0)
            return true;
    return false;
}

struct row {
    const cJSON *first; /* of its entries */
    struct cfg_buf paths;
    int n;
};

/* The row of an entry, made when it is the first one. rows has room for all. */
static struct row *row_of(struct row *rows, size_t *n, const cJSON *o)
{
    size_t i = 0;
    while (i < *n && !same_row(rows[i].first, o))
        i++;
    if (i == *n) {
        rows[(*n)++] = (struct row){.first = o};
        cfg_buf_init(&rows[i].paths, (size_t)1 << 16);
    }
    return &rows[i];
}

static void add_path(struct row *r, const char *path)
{
    if (path[0] == '\0' || r->n++ >= SHOWN_PATHS)
        return;
    cfg_buf_puts(&r->paths, r->n > 1 ? ", " : "");
    cli_put_text(&r->paths, path);
}

/* The version that a deployment holds says more than that it holds one. */
static bool put_held(struct cfg_buf *out, const cJSON *result, const cJSON *o)
{
    const cJSON *held;
    cJSON_ArrayForEach(held, cfg_json_get(result, "held"))
    {
        if (strcmp(cfg_json_get_str(o, "action", ""), "held") != 0 ||
            strcmp(cfg_json_get_str(held, "deployment", ""), cfg_json_get_str(o, "deployment", "?")) != 0)
            continue;
        cfg_buf_printf(out, "holds v%.0f", cfg_json_get_num(held, "version", 0));
        return true;
    }
    return false;
}

/* Which paths, and why. */
static void finish_paths(struct row *r, const cJSON *result)
{
    const char *reason = cfg_json_get_str(r->first, "reason", "");
    if (put_held(&r->paths, result, r->first))
        return;
    if (r->n > SHOWN_PATHS)
        cfg_buf_printf(&r->paths, " and %d more", r->n - SHOWN_PATHS);
    if (reason[0]) {
        cfg_buf_puts(&r->paths, r->n > 0 ? ": " : "");
        cli_put_text(&r->paths, reason);
    }
    if (r->paths.len == 0)
        cfg_buf_putc(&r->paths, '-');
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

static void add_row(struct table *t, struct row *r, const cJSON *result)
{
    struct cfg_buf name;
    cfg_buf_init(&name, 4096);
    cfg_buf_puts(&name, "  ");
    cli_put_text(&name, cfg_json_get_str(r->first, "deployment", "?"));
    finish_paths(r, result);
    table_add(t, name.data ? name.data : "?");
    table_add(t, when(cfg_json_get_str(r->first, "action", "?")));
    add_workers(t, r->first);
    add_count(t, r->first, "groups");
    table_add(t, r->paths.data ? r->paths.data : "?");
    cfg_buf_finish(&name);
    cfg_buf_finish(&r->paths);
}

/* Entries of one deployment that do the same share a row. */
static size_t gather(struct row *rows, const cJSON **refused, const cJSON *plan)
{
    const cJSON *o;
    size_t n_rows = 0, n_refused = 0;
    cJSON_ArrayForEach(o, plan)
    {
        if (is_refused(o))
            refused[n_refused++] = o;
    }
    cJSON_ArrayForEach(o, plan)
    {
        if (!is_overruled(refused, n_refused, o))
            add_path(row_of(rows, &n_rows, o), cfg_json_get_str(o, "path", ""));
    }
    return n_rows;
}

static void put_actions(struct cfg_buf *out, const cJSON *result)
{
    const cJSON *plan = cfg_json_get(result, "plan");
    size_t most = (size_t)cJSON_GetArraySize(plan);
    struct row *rows = calloc(most + 1, sizeof *rows);
    const cJSON **refused = calloc(most + 1, sizeof *refused);
    if (rows && refused && most > 0) {
        struct table t;
        size_t n = gather(rows, refused, plan);
        table_init(&t, "  DEPLOYMENT|WHEN|WORKERS|GROUPS|WHAT");
        for (size_t i = 0; i < n; i++)
            add_row(&t, &rows[i], result);
        table_print(out, &t, 0, false);
        table_finish(&t);
    } else if (most > 0) {
        cfg_buf_puts(out, "  (no memory for the plan)\n");
    }
    free(rows);
    free(refused);
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

static void put_violation(struct cfg_buf *out, const cJSON *v, const char *word, bool color)
{
    const char *ns = cfg_json_get_str(v, "namespace", ""), *path = cfg_json_get_str(v, "path", "");
    double workers = cfg_json_get_num(v, "workers", 1);
    cfg_buf_printf(out, color ? "  \033[31m%s\033[0m: " : "  %s: ", word);
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
        put_violation(out, v, "blocked", color);
    }
    cJSON_ArrayForEach(v, cfg_json_get(o, "forced"))
    {
        put_violation(out, v, "forced", color);
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
            put_actions(out, result);
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
