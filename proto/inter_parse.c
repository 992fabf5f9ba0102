/* Text with `${…}` in it, and what stands inside the braces. */
#include "proto/expr.h"
#include "proto/inter_parser.h"

#include <string.h>

enum { MAX_DEPTH = 32 }; /* of interpolations, lists and dicts inside one another */

/* --- the parser's tools --- */

int inter_refuse(struct inter_parser *s, const char *at, const char *why)
{
    size_t column = (size_t)(at - s->begin) + 1;
    cfg_fail(s->err, CFG_E_VALUE, "column %zu: %s", column, why);
    cfg_error_set_path(s->err, "column %zu", column);
    return CFG_E_VALUE;
}

int inter_no_memory(struct inter_parser *s)
{
    return cfg_arena_status(s->arena, "the interpolation", s->err);
}

int inter_enter(struct inter_parser *s)
{
    if (s->depth >= MAX_DEPTH)
        return cfg_fail(s->err, CFG_E_LIMIT, "an interpolation is nested more than %d levels deep", MAX_DEPTH);
    s->depth++;
    return 0;
}

struct inter *inter_new(struct inter_parser *s, enum inter_kind kind)
{
    struct inter *node = cfg_arena_alloc(s->arena, sizeof *node);
    if (node)
        node->kind = kind;
    return node;
}

int inter_push(struct inter_parser *s, struct inter_row *row, struct inter *item)
{
    if (row->n == row->cap) {
        size_t cap = row->cap ? row->cap * 2 : 4;
        struct inter **items = cfg_arena_alloc(s->arena, cap * sizeof(struct inter *));
        if (items == NULL)
            return inter_no_memory(s);
        if (row->n > 0)
            memcpy(items, row->items, row->n * sizeof(struct inter *));
        row->items = items;
        row->cap = cap;
    }
    row->items[row->n++] = item;
    return 0;
}

int inter_push_text(struct inter_parser *s, struct inter_row *row, struct cfg_slice text)
{
    struct inter *item = inter_new(s, INTER_STRING);
    if (item == NULL)
        return inter_no_memory(s);
    item->text = text;
    return inter_push(s, row, item);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

void inter_skip_blanks(struct inter_parser *s)
{
    while (s->p < s->end && is_blank(*s->p))
        s->p++;
}

bool inter_at_open(const struct inter_parser *s)
{
    return s->end - s->p > 1 && s->p[0] == '$' && s->p[1] == '{';
}

size_t inter_identifier(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && ((*q >= 'a' && *q <= 'z') || (*q >= 'A' && *q <= 'Z') || *q == '_' ||
                       (q > p && ((*q >= '0' && *q <= '9') || *q == '-'))))
        q++;
    return (size_t)(q - p);
}

/* --- text --- */

/* A run of k backslashes at s->p, by what follows it: in front of `${` they escape it or each other; in a quoted string
 * also in front of the quote; elsewhere they stand for themselves. */
static void take_backslashes(struct inter_parser *s, struct cfg_buf *literal, char quote)
{
    size_t k = 0, kept, over = 0;
    while (s->p + k < s->end && s->p[k] == '\\')
        k++;
    const char *next = s->p + k;
    bool inter = s->end - next > 1 && next[0] == '$' && next[1] == '{';
    bool closes = quote && next < s->end && *next == quote;
    kept = inter || closes ? k / 2 : k;
    for (size_t i = 0; i < kept; i++)
        cfg_buf_putc(literal, '\\');
    if (k % 2 == 1 && (inter || closes)) {
        over = inter ? 2 : 1;
        cfg_buf_put(literal, next, over);
    }
    s->p = next + over;
}

static int flush(struct inter_parser *s, struct inter_row *row, struct cfg_buf *literal)
{
    if (literal->len == 0 && cfg_buf_status(literal) == 0)
        return 0;
    struct cfg_slice copy = {cfg_arena_dup(s->arena, cfg_buf_slice(literal)), literal->len};
    if (cfg_buf_status(literal) || copy.ptr == NULL)
        return cfg_fail(s->err, CFG_E_NOMEM, "out of memory");
    cfg_buf_clear(literal);
    return inter_push_text(s, row, copy);
}

/* Up to the end, or to the closing quote (which stays). */
static int read_parts(struct inter_parser *s, struct inter_row *row, struct cfg_buf *literal, char quote)
{
    while (s->p < s->end && !(quote && *s->p == quote)) {
        if (inter_at_open(s)) {
            struct inter *inner = NULL;
            int code = flush(s, row, literal);
            if (code == 0)
                code = inter_parse_inter(s, &inner);
            if (code == 0)
                code = inter_push(s, row, inner);
            if (code)
                return code;
        } else if (*s->p == '\\') {
            take_backslashes(s, literal, quote);
        } else {
            const char *from = s->p;
            do
                s->p++;
            while (s->p < s->end && *s->p != '$' && *s->p != '\\' && !(quote && *s->p == quote));
            cfg_buf_put(literal, from, (size_t)(s->p - from));
        }
    }
    return flush(s, row, literal);
}

static int parse_text(struct inter_parser *s, struct inter **out, char quote)
{
    struct inter_row row = {NULL, 0, 0};
    struct cfg_buf literal;
    cfg_buf_init(&literal, (size_t)(s->end - s->p) + 1);
    int code = read_parts(s, &row, &literal, quote);
    cfg_buf_finish(&literal);
    if (code)
        return code;
    if (!quote && row.n == 1) {
        *out = row.items[0];
        return 0;
    }
    struct inter *text = inter_new(s, INTER_CONCAT);
    if (text == NULL)
        return inter_no_memory(s);
    text->items = row.items;
    text->n = row.n;
    *out = text;
    return 0;
}

int inter_parse_quoted(struct inter_parser *s, struct inter **out)
{
    const char *open = s->p;
    char quote = *s->p++;
    int code = parse_text(s, out, quote);
    if (code == 0 && s->p >= s->end)
        code = inter_refuse(s, open, "the quoted string has no end");
    if (code == 0)
        s->p++;
    return code;
}

/* --- inside ${…} --- */

/* A name: any run without the characters that have a meaning. */
static size_t key_length(const struct inter_parser *s)
{
    const char *q = s->p;
    while (q < s->end && *q && !strchr("\\{}()[]:. \t'\"", *q))
        q++;
    return (size_t)(q - s->p);
}

/* One piece: a dot, a bracket, a name or a nested interpolation. */
static int read_piece(struct inter_parser *s, struct inter_row *row)
{
    if (inter_at_open(s)) {
        struct inter *inner = NULL;
        int code = inter_parse_inter(s, &inner);
        return code ? code : inter_push(s, row, inner);
    }
    size_t n = *s->p == '.' || *s->p == '[' || *s->p == ']' ? 1 : key_length(s);
    if (n == 0)
        return inter_refuse(s, s->p, is_blank(*s->p) ? "white space inside a name" : "this has no place in a name");
    struct cfg_slice text = {s->p, n};
    s->p += n;
    return inter_push_text(s, row, text);
}

static bool is_sign(const struct inter *piece, char sign)
{
    return piece->kind == INTER_STRING && piece->text.len == 1 && piece->text.ptr[0] == sign;
}

static bool is_key(const struct inter_row *row, size_t i)
{
    return i < row->n && !is_sign(row->items[i], '.') && !is_sign(row->items[i], '[') && !is_sign(row->items[i], ']');
}

static bool is_bracketed(const struct inter_row *row, size_t i)
{
    return i + 2 < row->n && is_sign(row->items[i], '[') && is_key(row, i + 1) && is_sign(row->items[i + 2], ']');
}

/* dots, then `key` or `[key]`, then `.key` or `[key]` as often as wanted. */
static bool is_node_key(const struct inter_row *row)
{
    size_t i = 0;
    while (i < row->n && is_sign(row->items[i], '.'))
        i++;
    if (is_bracketed(row, i))
        i += 3;
    else if (is_key(row, i))
        i++;
    else
        return false;
    while (i < row->n) {
        if (is_bracketed(row, i))
            i += 3;
        else if (is_sign(row->items[i], '.') && is_key(row, i + 1))
            i += 2;
        else
            return false;
    }
    return true;
}

/* Identifiers or interpolations with dots between them. */
static bool is_resolver_name(const struct inter_row *row)
{
    if (row->n % 2 == 0)
        return false;
    for (size_t i = 0; i < row->n; i++) {
        const struct inter *piece = row->items[i];
        bool dot = is_sign(piece, '.');
        if (dot != (i % 2 == 1))
            return false;
        if (!dot && piece->kind == INTER_STRING &&
            inter_identifier(piece->text.ptr, piece->text.ptr + piece->text.len) != piece->text.len)
            return false;
    }
    return true;
}

static struct cfg_slice trim(struct cfg_slice s)
{
    while (s.len > 0 && is_blank(*s.ptr)) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* An expression that is one quoted string is what stands in the quotes. */
static struct cfg_slice unquote(struct cfg_slice s)
{
    if (s.len < 2 || (s.ptr[0] != '\'' && s.ptr[0] != '"') || s.ptr[s.len - 1] != s.ptr[0])
        return s;
    for (size_t i = 1; i + 1 < s.len; i++)
        if (s.ptr[i] == s.ptr[0] || s.ptr[i] == '\\')
            return s;
    return (struct cfg_slice){s.ptr + 1, s.len - 2};
}

/* `${eval: …}`: everything up to the closing brace, with the parser behind the colon. */
static int parse_eval(struct inter_parser *s, const char *open, struct inter **out)
{
    size_t n = cfg_expr_span_braces((struct cfg_slice){open, (size_t)(s->end - open)});
    if (n == 0)
        return inter_refuse(s, open, "the interpolation has no closing }");
    struct inter *node = inter_new(s, INTER_EVAL);
    if (node == NULL)
        return inter_no_memory(s);
    node->text = unquote(trim((struct cfg_slice){s->p, (size_t)(open + n - 1 - s->p)}));
    s->p = open + n;
    *out = node;
    return 0;
}

static int parse_resolver(struct inter_parser *s, const char *open, const struct inter_row *name, struct inter **out)
{
    struct inter_row args = {NULL, 0, 0};
    if (!is_resolver_name(name))
        return inter_refuse(s, open, "a resolver's name is made of identifiers with dots between them");
    inter_skip_blanks(s);
    if (name->n == 1 && name->items[0]->kind == INTER_STRING && cfg_slice_eq_str(name->items[0]->text, "eval"))
        return parse_eval(s, open, out);
    int code = inter_parse_sequence(s, &args, '}');
    if (code)
        return code;
    struct inter *node = inter_new(s, INTER_RESOLVER);
    if (node == NULL)
        return inter_no_memory(s);
    node->names = name->items;
    node->n_names = name->n;
    node->items = args.items;
    node->n = args.n;
    *out = node;
    return 0;
}

static int parse_node(struct inter_parser *s, const char *open, const struct inter_row *key, struct inter **out)
{
    if (!is_node_key(key))
        return inter_refuse(s, open, "expected ${NAME}, ${.NAME}, ${A.B}, ${A[B]} or ${RESOLVER:…}");
    struct inter *node = inter_new(s, INTER_NODE);
    if (node == NULL)
        return inter_no_memory(s);
    node->items = key->items;
    node->n = key->n;
    *out = node;
    return 0;
}

int inter_parse_inter(struct inter_parser *s, struct inter **out)
{
    const char *open = s->p;
    struct inter_row row = {NULL, 0, 0};
    int code = inter_enter(s);
    s->p += 2;
    inter_skip_blanks(s);
    while (code == 0) {
        const char *at = s->p;
        inter_skip_blanks(s);
        if (s->p >= s->end)
            return inter_refuse(s, open, "the interpolation has no closing }");
        if (*s->p == '}' || *s->p == ':') {
            bool resolver = *s->p++ == ':';
            code = resolver ? parse_resolver(s, open, &row, out) : parse_node(s, open, &row, out);
            break;
        }
        s->p = at;
        code = read_piece(s, &row);
    }
    s->depth--;
    return code;
}

int inter_parse(struct inter **out, struct cfg_arena *arena, struct cfg_slice text, bool element, struct cfg_error *err)
{
    struct inter_parser s = {.arena = arena, .begin = text.ptr, .p = text.ptr, .end = text.ptr + text.len, .err = err};
    if (!element)
        return parse_text(&s, out, 0);
    int code = inter_parse_element(&s, out);
    if (code == 0 && s.p < s.end)
        code = inter_refuse(&s, s.p, "unexpected text behind the value");
    return code;
}
