#include "proto/dotenv.h"
#include "proto/path.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <string.h>

#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

enum { NAME_MAX_BYTES = 1024, LINE_MAX_BYTES = 1 << 24 };

static bool is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* ASCII only: the locale has no say in names. */
static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- names and values --- */

static void put_name(struct cfg_buf *out, const char *text)
{
    for (const char *p = text; *p; p++)
        cfg_buf_putc(out, is_in(*p, UPPER LOWER DIGITS) ? upper(*p) : '_');
}

void cfg_env_name(struct cfg_buf *out, const char *ns, const char *path)
{
    if (is_in(ns[0], DIGITS))
        cfg_buf_putc(out, '_');
    put_name(out, ns);
    cfg_buf_putc(out, '_');
    put_name(out, path);
}

static void put_value(struct cfg_buf *out, const cJSON *v)
{
    if (cJSON_IsString(v))
        cfg_buf_puts(out, v->valuestring);
    else
        cfg_json_print(out, v);
}

struct making {
    const char *ns;
    cJSON *variables, *paths; /* name → value, name → path */
    struct cfg_error *err;
    int rc;
};

static int add_leaf(struct making *m, const char *path, const cJSON *value)
{
    struct cfg_buf name, text;
    int rc = 0;
    if (cJSON_IsNull(value))
        return 0;
    cfg_buf_init(&name, NAME_MAX_BYTES);
    cfg_buf_init(&text, LINE_MAX_BYTES);
    cfg_env_name(&name, m->ns, path);
    put_value(&text, value);
    const cJSON *other = cfg_buf_status(&name) == 0 ? cfg_json_get(m->paths, name.data) : NULL;
    if (cfg_buf_status(&name) != 0 || cfg_buf_status(&text) != 0) {
        rc = no_memory(m->err);
    } else if (cJSON_IsString(value) && strstr(value->valuestring, "\xC0\x80")) {
        rc = cfg_fail(m->err, CFG_E_VALUE, "%.100s has a text with U+0000, which no environment can hold", path);
        cfg_error_set_path(m->err, "%s", path);
    } else if (other) {
        rc = cfg_fail(m->err, CFG_E_CONFLICT, "%.100s and %.100s would both be the variable %.120s", other->valuestring,
                      path, name.data);
        cfg_error_set_path(m->err, "%s", path);
        cfg_error_set_hint(m->err, "rename one of them, or export json or yaml");
    } else if (!cJSON_AddStringToObject(m->variables, name.data, text.data ? text.data : "") ||
               !cJSON_AddStringToObject(m->paths, name.data, path)) {
        rc = no_memory(m->err);
    }
    cfg_buf_finish(&name);
    cfg_buf_finish(&text);
    return rc;
}

static bool each_leaf(const char *path, const cJSON *value, void *arg)
{
    struct making *m = arg;
    m->rc = add_leaf(m, path, value);
    return m->rc == 0;
}

int cfg_env_make(cJSON **out, const char *ns, const cJSON *document, struct cfg_error *err)
{
    struct making m = {.ns = ns, .variables = cJSON_CreateObject(), .paths = cJSON_CreateObject(), .err = err};
    if (m.variables == NULL || m.paths == NULL || (!cfg_path_each_leaf(document, each_leaf, &m) && m.rc == 0))
        m.rc = no_memory(err);
    cJSON_Delete(m.paths);
    if (m.rc != 0) {
        cJSON_Delete(m.variables);
        return m.rc;
    }
    *out = m.variables;
    return 0;
}

/* --- printing --- */

static void put_shell(struct cfg_buf *out, const char *value)
{
    cfg_buf_putc(out, '\'');
    for (const char *p = value; *p; p++) {
        if (*p == '\'')
            cfg_buf_puts(out, "'\\''");
        else
            cfg_buf_putc(out, *p);
    }
    cfg_buf_putc(out, '\'');
}

/* Bare where nothing could be taken for something else, '…' where that suffices, else "…" with escapes. */
static void put_dotenv(struct cfg_buf *out, const char *value)
{
    if (value[0] && strspn(value, UPPER LOWER DIGITS "_./:@%+,-") == strlen(value)) {
        cfg_buf_puts(out, value);
        return;
    }
    if (strpbrk(value, "'\\\n\r") == NULL) {
        cfg_buf_printf(out, "'%s'", value);
        return;
    }
    cfg_buf_putc(out, '"');
    for (const char *p = value; *p; p++) {
        if (is_in(*p, "\"\\$"))
            cfg_buf_putc(out, '\\');
        if (*p == '\n' || *p == '\r')
            cfg_buf_puts(out, *p == '\n' ? "\\n" : "\\r");
        else
            cfg_buf_putc(out, *p);
    }
    cfg_buf_putc(out, '"');
}

void cfg_env_print(struct cfg_buf *out, const cJSON *variables, enum cfg_env_style style)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, variables)
    {
        cfg_buf_printf(out, style == CFG_ENV_SHELL ? "export %s=" : "%s=", v->string);
        if (style == CFG_ENV_SHELL)
            put_shell(out, v->valuestring);
        else
            put_dotenv(out, v->valuestring);
        cfg_buf_putc(out, '\n');
    }
}

/* --- reading --- */

struct reader {
    const char *p, *end;
    unsigned line;
    struct cfg_error *err;
};

static int fail(struct reader *r, unsigned line, const char *what)
{
    cfg_fail(r->err, CFG_E_VALUE, "line %u: %s", line, what);
    cfg_error_set_path(r->err, "line %u", line);
    return CFG_E_VALUE;
}

static bool at(const struct reader *r, char c)
{
    return r->p < r->end && *r->p == c;
}

static void skip_blanks(struct reader *r)
{
    while (at(r, ' ') || at(r, '\t'))
        r->p++;
}

/* `$` that another reader would expand. */
static bool expands(const struct reader *r)
{
    return at(r, '$') && r->p + 1 < r->end && is_in(r->p[1], UPPER LOWER "_{(");
}

static int expansion(struct reader *r)
{
    int rc = fail(r, r->line, "nothing is expanded here");
    cfg_error_set_hint(r->err, "write the value itself; in single quotes a $ is text");
    return rc;
}

static int read_quoted(struct reader *r, struct cfg_buf *out)
{
    char quote = *r->p++;
    unsigned begin = r->line;
    for (; r->p < r->end && *r->p != quote; r->p++) {
        r->line += *r->p == '\n';
        if (quote == '"' && expands(r))
            return expansion(r);
        if (quote == '"' && *r->p == '\\' && r->p + 1 < r->end && is_in(r->p[1], "nrt\"\\$")) {
            char c = *++r->p;
            cfg_buf_putc(out, c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c);
        } else {
            cfg_buf_putc(out, *r->p);
        }
    }
    if (r->p == r->end)
        return fail(r, begin, "the quote that opens here is never closed");
    r->p++;
    return 0;
}

static int read_bare(struct reader *r, struct cfg_buf *out)
{
    for (; r->p < r->end && *r->p != '\n'; r->p++) {
        bool blank = out->len == 0 || is_in(r->p[-1], " \t");
        if (*r->p == '#' && blank)
            break;
        if (expands(r))
            return expansion(r);
        cfg_buf_putc(out, *r->p);
    }
    while (out->len > 0 && is_in(out->data[out->len - 1], " \t\r"))
        out->data[--out->len] = '\0';
    return 0;
}

/* Behind a value: blanks, a comment, the end of the line. */
static int end_line(struct reader *r)
{
    skip_blanks(r);
    if (at(r, '#'))
        while (r->p < r->end && *r->p != '\n')
            r->p++;
    if (at(r, '\r'))
        r->p++;
    if (r->p < r->end && *r->p != '\n')
        return fail(r, r->line, "there is text behind the closing quote");
    if (r->p < r->end) {
        r->p++;
        r->line++;
    }
    return 0;
}

static int read_name(struct reader *r, struct cfg_slice *out)
{
    static const char export[] = "export";
    size_t n = sizeof export - 1;
    if ((size_t)(r->end - r->p) > n && memcmp(r->p, export, n) == 0 && is_in(r->p[n], " \t")) {
        r->p += n;
        skip_blanks(r);
    }
    const char *begin = r->p;
    if (r->p < r->end && is_in(*r->p, UPPER LOWER "_"))
        while (r->p < r->end && is_in(*r->p, UPPER LOWER DIGITS "_"))
            r->p++;
    *out = (struct cfg_slice){begin, (size_t)(r->p - begin)};
    if (out->len == 0)
        return fail(r, r->line, "expected a name of letters, digits and underscores");
    skip_blanks(r);
    if (!at(r, '='))
        return fail(r, r->line, "expected NAME=value");
    r->p++;
    skip_blanks(r);
    return 0;
}

static int check_twice(struct reader *r, const cJSON *list, const char *name, unsigned line)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, list)
    {
        if (strcmp(cfg_json_get_str(e, "name", ""), name) == 0) {
            int rc = fail(r, line, "a name is there twice");
            cfg_error_set_hint(r->err, "%.100s is set on line %.0f already", name, cfg_json_get_num(e, "line", 0));
            return rc;
        }
    }
    return 0;
}

static int add_entry(struct reader *r, cJSON *list, struct cfg_slice name, const char *value, bool quoted,
                     unsigned line)
{
    char *copy = cfg_slice_dup(name);
    cJSON *e = copy ? cJSON_CreateObject() : NULL;
    int rc = e ? check_twice(r, list, copy, line) : no_memory(r->err);
    if (rc == 0 && !(cJSON_AddStringToObject(e, "name", copy) && cJSON_AddStringToObject(e, "value", value) &&
                     cJSON_AddBoolToObject(e, "quoted", quoted) && cJSON_AddNumberToObject(e, "line", line)))
        rc = no_memory(r->err);
    free(copy);
    if (rc != 0) {
        cJSON_Delete(e);
        return rc;
    }
    (void)cJSON_AddItemToArray(list, e); /* both are there: cannot fail */
    return 0;
}

static int read_entry(struct reader *r, cJSON *list, unsigned n)
{
    struct cfg_slice name;
    struct cfg_buf value;
    unsigned line = r->line;
    if (n >= CFG_DOTENV_MAX) /* each name is compared with all before it */
        return cfg_fail(r->err, CFG_E_LIMIT, "line %u: more than %d variables", line, CFG_DOTENV_MAX);
    int rc = read_name(r, &name);
    if (rc != 0)
        return rc;
    bool quoted = at(r, '\'') || at(r, '"');
    cfg_buf_init(&value, LINE_MAX_BYTES);
    rc = quoted ? read_quoted(r, &value) : read_bare(r, &value);
    if (rc == 0)
        rc = end_line(r);
    if (rc == 0)
        rc = cfg_buf_status(&value) == 0 ? add_entry(r, list, name, value.data ? value.data : "", quoted, line)
                                         : no_memory(r->err);
    cfg_buf_finish(&value);
    return rc;
}

static int check_text(struct reader *r)
{
    unsigned line = 1;
    for (const char *p = r->p; p < r->end;) {
        size_t n = cfg_utf8_length((const unsigned char *)p, (const unsigned char *)r->end);
        if (n == 0 || *p == '\0')
            return fail(r, line, n == 0 ? "this is no UTF-8" : "U+0000 has no place in an environment");
        line += *p == '\n';
        p += n;
    }
    return 0;
}

int cfg_dotenv_parse(cJSON **out, struct cfg_slice text, struct cfg_error *err)
{
    struct cfg_slice all = text.len > 0 ? text : CFG_SLICE_LIT("");
    if (all.len >= 3 && memcmp(all.ptr, "\xEF\xBB\xBF", 3) == 0)
        all = (struct cfg_slice){all.ptr + 3, all.len - 3};
    struct reader r = {all.ptr, all.ptr + all.len, 1, err};
    cJSON *list = cJSON_CreateArray();
    unsigned n = 0;
    int rc = list ? check_text(&r) : no_memory(err);
    while (rc == 0 && r.p < r.end) {
        skip_blanks(&r);
        if (r.p == r.end || is_in(*r.p, "#\r\n"))
            rc = end_line(&r);
        else
            rc = read_entry(&r, list, n++);
    }
    if (rc != 0) {
        cJSON_Delete(list);
        return rc;
    }
    *out = list;
    return 0;
}

/* --- back to paths --- */

struct looking {
    const char *ns, *name;
    size_t prefix; /* of NS_ in a full name */
    char *found;   /* owned */
    char *other;   /* owned: a second one */
    bool failed;
};

static bool look(const char *path, const cJSON *value, void *arg)
{
    (void)value;
    struct looking *l = arg;
    struct cfg_buf full;
    cfg_buf_init(&full, NAME_MAX_BYTES);
    cfg_env_name(&full, l->ns, path);
    int status = cfg_buf_status(&full); /* a name beyond the limit is nobody's */
    bool same = status == 0 && (strcmp(full.data, l->name) == 0 || strcmp(full.data + l->prefix, l->name) == 0);
    cfg_buf_finish(&full);
    l->failed = status == CFG_E_NOMEM;
    if (l->failed)
        return false;
    if (!same)
        return true;
    char **to = l->found ? &l->other : &l->found;
    *to = strdup(path);
    l->failed = *to == NULL;
    return l->other == NULL && !l->failed;
}

static void put_guess(struct cfg_buf *out, const char *name)
{
    for (const char *p = name; *p; p++) {
        bool dot = p[0] == '_' && p[1] == '_' && p > name && p[2];
        cfg_buf_putc(out, dot ? '.' : lower(*p));
        p += dot;
    }
}

int cfg_env_path(struct cfg_buf *out, bool *known, const char *ns, const char *name, const cJSON *document,
                 struct cfg_error *err)
{
    struct cfg_buf prefix;
    cfg_buf_init(&prefix, NAME_MAX_BYTES);
    cfg_env_name(&prefix, ns, "");
    struct looking l = {.ns = ns, .name = name, .prefix = prefix.len};
    if (document && !cfg_path_each_leaf(document, look, &l) && l.other == NULL)
        l.failed = true; /* it ends early for a second one, otherwise for want of memory */
    int rc = l.failed || cfg_buf_status(&prefix) != 0 ? no_memory(err) : 0;
    *known = l.found != NULL;
    if (rc == 0 && l.other)
        rc = cfg_fail(err, CFG_E_CONFLICT, "%.100s could be %.100s or %.100s", name, l.found, l.other);
    else if (rc == 0 && l.found)
        cfg_buf_puts(out, l.found);
    else if (rc == 0)
        put_guess(out, strncmp(name, prefix.data, prefix.len) == 0 && name[prefix.len] ? name + prefix.len : name);
    free(l.found);
    free(l.other);
    cfg_buf_finish(&prefix);
    return rc;
}
