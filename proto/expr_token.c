/* The operands of an expression: words, numbers, strings, names and interpolations. */
#include "proto/expr_parser.h"
#include "proto/json_number.h"
#include "proto/path.h"
#include "proto/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- errors --- */

static unsigned column_of(const struct expr_parser *s, const char *at)
{
    return (unsigned)(at - s->begin) + 1;
}

int expr_refuse(struct expr_parser *s, const char *at, const char *why, const char *hint)
{
    cfg_fail(s->err, CFG_E_VALUE, "column %u: %s", column_of(s, at), why);
    cfg_error_set_path(s->err, "column %u", column_of(s, at));
    if (hint)
        cfg_error_set_hint(s->err, "%s", hint);
    return CFG_E_VALUE;
}

/* What stands at `at`, for "expected …, found …". */
int expr_refuse_found(struct expr_parser *s, const char *expected)
{
    char why[120];
    if (s->p >= s->end)
        (void)snprintf(why, sizeof why, "expected %s, found the end", expected);
    else {
        size_t n = cfg_utf8_length((const unsigned char *)s->p, (const unsigned char *)s->end);
        (void)snprintf(why, sizeof why, "expected %s, found %.*s", expected, n ? (int)n : 1, n ? s->p : "?");
    }
    const char *hint = s->p < s->end && *s->p == '=' ? "== compares; an expression assigns nothing" : NULL;
    return expr_refuse(s, s->p, why, hint);
}

int expr_too_large(struct expr_parser *s, const char *what)
{
    return cfg_fail(s->err, CFG_E_LIMIT, "the expression has too many %s", what);
}

struct expr_node *expr_new_node(struct expr_parser *s, enum expr_op op, const char *at, size_t n)
{
    struct expr_node *node = NULL;
    if (++s->nodes <= CFG_EXPR_MAX_NODES)
        node = cfg_arena_alloc(&s->e->arena, sizeof *node);
    if (node && n > 0)
        node->args = cfg_arena_alloc(&s->e->arena, n * sizeof(struct expr_node *));
    if (node == NULL || (n > 0 && node->args == NULL))
        return NULL;
    node->op = op;
    node->column = column_of(s, at);
    node->n = n;
    return node;
}

int expr_no_node(struct expr_parser *s)
{
    if (s->e->arena.failed == CFG_E_NOMEM)
        return cfg_fail(s->err, CFG_E_NOMEM, "out of memory");
    return expr_too_large(s, "operations");
}

/* --- words --- */

bool expr_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool expr_begins_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(char c)
{
    return expr_begins_name(c) || expr_is_digit(c);
}

void expr_skip_blanks(struct expr_parser *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

bool expr_at_text(const struct expr_parser *s, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(s->end - s->p) >= n && memcmp(s->p, text, n) == 0;
}

/* Steps over a keyword: one that no longer word begins with. */
bool expr_take_word(struct expr_parser *s, const char *word)
{
    size_t n = strlen(word);
    expr_skip_blanks(s);
    if (!expr_at_text(s, word) || (s->p + n < s->end && is_name_char(s->p[n])))
        return false;
    s->p += n;
    return true;
}

bool expr_take_sign(struct expr_parser *s, const char *sign)
{
    expr_skip_blanks(s);
    if (!expr_at_text(s, sign))
        return false;
    s->p += strlen(sign);
    return true;
}

struct cfg_slice expr_name_at(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && is_name_char(*q))
        q++;
    return (struct cfg_slice){p, (size_t)(q - p)};
}

/* --- braces --- */

static const char *span_braces(const char *p, const char *end, unsigned depth);

/* Behind an opening quote: the place behind the closing one, NULL when there is none. */
static const char *span_quotes(const char *p, const char *end, char quote, unsigned depth)
{
    while (p && p < end) {
        if (*p == quote)
            return p + 1;
        if (*p == '\\')
            p += end - p > 1 ? 2 : 1;
        else if (*p == '$' && end - p > 1 && p[1] == '{')
            p = span_braces(p + 2, end, depth + 1);
        else
            p++;
    }
    return NULL;
}

/* Behind an opening brace. */
static const char *span_braces(const char *p, const char *end, unsigned depth)
{
    if (depth > CFG_EXPR_MAX_DEPTH)
        return NULL;
    while (p && p < end) {
        if (*p == '}')
            return p + 1;
        if (*p == '{')
            p = span_braces(p + 1, end, depth + 1);
        else if (*p == '\'' || *p == '"')
            p = span_quotes(p + 1, end, *p, depth);
        else
            p++;
    }
    return NULL;
}

size_t cfg_expr_span_braces(struct cfg_slice text)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    if (p < end && *p == '$')
        p++;
    if (p >= end || *p != '{')
        return 0;
    p = span_braces(p + 1, end, 0);
    return p ? (size_t)(p - text.ptr) : 0;
}

/* --- numbers --- */

/* Digits with single underscores between them, appended to `to` without those. */
static struct cfg_slice take_digits(struct expr_parser *s, char *to, size_t *n)
{
    size_t before = *n;
    while (s->p < s->end && (expr_is_digit(*s->p) || (*s->p == '_' && *n > before && s->end - s->p > 1 &&
                                                      expr_is_digit(s->p[1]) && s->p[-1] != '_'))) {
        if (*s->p != '_')
            to[(*n)++] = *s->p;
        s->p++;
    }
    return (struct cfg_slice){to + before, *n - before};
}

static int take_exponent(struct expr_parser *s, struct cfg_number *number)
{
    bool negative = s->end - s->p > 1 && s->p[1] == '-';
    const char *at = s->p;
    s->p += 1 + (s->end - s->p > 1 && (s->p[1] == '-' || s->p[1] == '+'));
    if (s->p >= s->end || !expr_is_digit(*s->p))
        return expr_refuse(s, at, "expected digits in the exponent", NULL);
    for (; s->p < s->end && expr_is_digit(*s->p); s->p++)
        if (number->exponent < 1000000)
            number->exponent = number->exponent * 10 + (*s->p - '0');
    number->is_integer = false;
    if (negative)
        number->exponent = -number->exponent;
    return 0;
}

/* A % is a percent sign where it touches the number before it and no operand behind it: 1%, but 5%3 and 5 % 3. */
static bool is_percent(const struct expr_parser *s)
{
    if (s->p >= s->end || *s->p != '%')
        return false;
    const char *next = s->p + 1;
    return next >= s->end || !(is_name_char(*next) || strchr(".([\"'$", *next));
}

int expr_parse_number(struct expr_parser *s, struct expr_node **out)
{
    char small[64], *digits = small;
    const char *at = s->p;
    struct cfg_number number = {.is_integer = true};
    size_t n = 0;
    if ((size_t)(s->end - s->p) > sizeof small)
        digits = cfg_arena_alloc(&s->e->arena, (size_t)(s->end - s->p));
    if (digits == NULL)
        return expr_too_large(s, "digits");
    number.whole = take_digits(s, digits, &n);
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        number.is_integer = false;
        number.fraction = take_digits(s, digits, &n);
    }
    int code = 0;
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E'))
        code = take_exponent(s, &number);
    if (code)
        return code;
    if (s->p < s->end && is_name_char(*s->p))
        return expr_refuse(s, s->p, "a number ends here", "an operator belongs between a number and a name");
    double value = 0;
    if (cfg_number_value(&value, &number))
        return cfg_fail(s->err, CFG_E_NOMEM, "out of memory");
    if (isinf(value) || (number.is_integer && value > CFG_JSON_MAX_INTEGER))
        return expr_refuse(s, at, "the number is too large",
                           "whole numbers are exact up to 2^53−1; write 1e20 for a float");
    if (is_percent(s)) {
        s->p++;
        value /= 100;
        number.is_integer = false;
    }
    struct expr_node *node = expr_new_node(s, EXPR_CONSTANT, at, 0);
    if (node == NULL)
        return expr_no_node(s);
    node->constant = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = !number.is_integer, .number = value};
    *out = node;
    return 0;
}

/* --- strings and names --- */

static void link_name(struct expr_parser *s, struct expr_node *node)
{
    *s->last_name = node;
    s->last_name = &node->next;
}

static int parse_text_with_inter(struct expr_parser *s, const char *at, const char *close, struct expr_node **out)
{
    struct expr_node *node = expr_new_node(s, EXPR_TEXT, at, 0);
    if (node == NULL)
        return expr_no_node(s);
    node->text = (struct cfg_slice){at + 1, (size_t)(close - 1 - (at + 1))};
    link_name(s, node);
    s->p = close;
    *out = node;
    return 0;
}

static bool holds_inter(const char *p, const char *end)
{
    for (; end - p > 1; p++)
        if (p[0] == '$' && p[1] == '{')
            return true;
    return false;
}

int expr_parse_string(struct expr_parser *s, struct expr_node **out)
{
    const char *at = s->p, *close = span_quotes(s->p + 1, s->end, *s->p, 0);
    if (close == NULL)
        return expr_refuse(s, at, "the string has no end", NULL);
    if (holds_inter(at, close))
        return parse_text_with_inter(s, at, close, out);
    char *text = cfg_arena_alloc(&s->e->arena, (size_t)(close - at));
    struct expr_node *node = text ? expr_new_node(s, EXPR_CONSTANT, at, 0) : NULL;
    if (node == NULL)
        return expr_no_node(s);
    size_t n = 0;
    for (const char *p = at + 1; p < close - 1; p++) {
        if (*p != '\\') {
            text[n++] = *p;
            continue;
        }
        const char *known = p[1] ? strchr("\\'\"nt", p[1]) : NULL;
        if (known == NULL)
            return expr_refuse(s, p, "unknown escape", "known are \\\\ \\' \\\" \\n and \\t");
        text[n++] = *known == 'n' ? '\n' : *known == 't' ? '\t' : *known;
        p++;
    }
    node->constant = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = {text, n}};
    s->p = close;
    *out = node;
    return 0;
}

int expr_parse_inter(struct expr_parser *s, struct expr_node **out)
{
    size_t n = cfg_expr_span_braces((struct cfg_slice){s->p, (size_t)(s->end - s->p)});
    if (n == 0)
        return expr_refuse(s, s->p, "expected ${NAME}", NULL);
    struct expr_node *node = expr_new_node(s, EXPR_INTER, s->p, 0);
    if (node == NULL)
        return expr_no_node(s);
    node->text = (struct cfg_slice){s->p, n};
    s->p += n;
    link_name(s, node);
    *out = node;
    return 0;
}

/* `[3]` or `["key"]` behind a name: as a path spells it. False when it is neither. */
static bool take_bracket(struct expr_parser *s, char *path, size_t *n)
{
    const char *p = s->p + 1, *close = s->end - s->p > 1 ? memchr(p, ']', (size_t)(s->end - p)) : NULL;
    if (close == NULL || close == p)
        return false;
    if (expr_is_digit(*p)) {
        memcpy(path + *n, s->p, (size_t)(close - s->p) + 1);
        *n += (size_t)(close - s->p) + 1;
        for (; p < close; p++)
            if (!expr_is_digit(*p))
                return false;
    } else {
        if ((*p != '"' && *p != '\'') || close - p < 3 || close[-1] != *p)
            return false;
        path[(*n)++] = '.';
        memcpy(path + *n, p + 1, (size_t)(close - p) - 2);
        *n += (size_t)(close - p) - 2;
    }
    s->p = close + 1;
    return true;
}

/* With the parser behind the first word of a name. */
int expr_parse_path(struct expr_parser *s, const char *at, struct expr_node **out)
{
    char *path = cfg_arena_alloc(&s->e->arena, (size_t)(s->end - at) + 1);
    struct expr_node *node = path ? expr_new_node(s, EXPR_NAME, at, 0) : NULL;
    if (node == NULL)
        return expr_no_node(s);
    size_t n = (size_t)(s->p - at);
    memcpy(path, at, n);
    while (s->p < s->end && (*s->p == '.' || *s->p == '[')) {
        if (*s->p == '[') {
            if (!take_bracket(s, path, &n))
                return expr_refuse(s, s->p, "expected an index or a quoted key in brackets", "stages[0] or a[\"x-y\"]");
            continue;
        }
        struct cfg_slice word = expr_name_at(s->p + 1, s->end);
        if (word.len == 0)
            return expr_refuse(s, s->p, "a name must follow the dot", NULL);
        memcpy(path + n, s->p, word.len + 1);
        n += word.len + 1;
        s->p += word.len + 1;
    }
    if (n > CFG_LIMIT_PATH)
        return expr_refuse(s, at, "the name is longer than a path may be", NULL);
    node->text = (struct cfg_slice){path, n};
    link_name(s, node);
    *out = node;
    return 0;
}
