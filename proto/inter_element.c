/* Elements: words, numbers, lists and dicts between the commas of a resolver's arguments. */
#include "proto/inter_parser.h"
#include "proto/json_number.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* --- numbers --- */

/* DIGIT ('_'? DIGIT)* */
static size_t digits(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && (is_digit(*q) || (*q == '_' && q > p && end - q > 1 && is_digit(q[1]))))
        q++;
    return (size_t)(q - p);
}

/* The longest number at p, infinities and nan included; 0 when there is none. */
static size_t number_length(const char *p, const char *end, bool *is_float)
{
    const char *q = p + (p < end && (*p == '+' || *p == '-'));
    *is_float = true;
    if (end - q >= 3 && (strncasecmp(q, "inf", 3) == 0 || strncasecmp(q, "nan", 3) == 0))
        return (size_t)(q + 3 - p);
    size_t whole = q < end && *q == '0' ? 1 : digits(q, end), fraction = 0;
    q += whole;
    *is_float = false;
    if (q < end && *q == '.') {
        fraction = digits(q + 1, end);
        *is_float = whole + fraction > 0;
        q += *is_float ? 1 + fraction : 0;
    }
    if (whole + fraction == 0)
        return 0;
    if (q < end && (*q == 'e' || *q == 'E')) {
        const char *e = q + 1 + (end - q > 1 && (q[1] == '+' || q[1] == '-'));
        size_t n = digits(e, end);
        if (n > 0) {
            *is_float = true;
            q = e + n;
        }
    }
    return (size_t)(q - p);
}

static int number_value(struct inter_parser *s, double *out, struct cfg_slice text)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    struct cfg_number number = {.is_integer = true};
    char *plain = cfg_arena_alloc(s->arena, text.len);
    size_t n = 0;
    if (plain == NULL)
        return inter_no_memory(s);
    if (*p == '+' || *p == '-')
        number.negative = *p++ == '-';
    if (*p == 'i' || *p == 'I' || *p == 'n' || *p == 'N') {
        *out = *p == 'i' || *p == 'I' ? (number.negative ? -INFINITY : INFINITY) : NAN;
        return 0;
    }
    for (; p < end && *p != '.' && *p != 'e' && *p != 'E'; p++)
        if (*p != '_')
            plain[n++] = *p;
    number.whole = (struct cfg_slice){plain, n};
    if (p < end && *p == '.')
        for (p++; p < end && *p != 'e' && *p != 'E'; p++)
            if (*p != '_')
                plain[n++] = *p;
    number.fraction = (struct cfg_slice){plain + number.whole.len, n - number.whole.len};
    if (p < end) {
        bool negative = p[1] == '-';
        for (p++; p < end; p++)
            if (is_digit(*p) && number.exponent < 1000000)
                number.exponent = number.exponent * 10 + (*p - '0');
        number.exponent = negative ? -number.exponent : number.exponent;
    }
    return cfg_number_value(out, &number) ? cfg_fail(s->err, CFG_E_NOMEM, "out of memory") : 0;
}

/* --- words --- */

struct word {
    struct cfg_buf text; /* unescaped, of the tokens since the last interpolation */
    struct inter_row row;
    struct inter *first; /* the only token, typed; NULL when it is more than one */
    size_t tokens;
    bool only_blanks;
};

static bool is_escape(const struct inter_parser *s)
{
    return s->end - s->p > 1 && *s->p == '\\' && s->p[1] && strchr("\\()[]{}:=, \t", s->p[1]);
}

static int scalar_token(struct inter_parser *s, struct word *w, enum inter_kind kind, struct cfg_slice text,
                        bool is_float)
{
    struct inter *node = inter_new(s, kind);
    if (node == NULL)
        return inter_no_memory(s);
    node->is_float = is_float;
    node->boolean = text.len == 4;
    int code = kind == INTER_NUMBER ? number_value(s, &node->number, text) : 0;
    w->first = node;
    return code;
}

/* A word or number at s->p by the longest match; 0 in *used when neither begins here. */
static int take_plain(struct inter_parser *s, struct word *w, size_t *used)
{
    bool is_float = false;
    size_t number = number_length(s->p, s->end, &is_float), id = inter_identifier(s->p, s->end);
    struct cfg_slice text = {s->p, id > number ? id : number};
    *used = text.len;
    if (text.len == 0)
        return 0;
    s->p += text.len;
    cfg_buf_put(&w->text, text.ptr, text.len);
    if (w->tokens > 0)
        return 0;
    if (id <= number)
        return scalar_token(s, w, INTER_NUMBER, text, is_float);
    if ((id == 4 && strncasecmp(text.ptr, "true", 4) == 0) || (id == 5 && strncasecmp(text.ptr, "false", 5) == 0))
        return scalar_token(s, w, INTER_BOOL, text, false);
    return id == 4 && strncasecmp(text.ptr, "null", 4) == 0 ? scalar_token(s, w, INTER_NULL, text, false) : 0;
}

static int flush(struct inter_parser *s, struct word *w)
{
    if (w->text.len == 0 && cfg_buf_status(&w->text) == 0)
        return 0;
    struct cfg_slice copy = {cfg_arena_dup(s->arena, cfg_buf_slice(&w->text)), w->text.len};
    if (cfg_buf_status(&w->text) || copy.ptr == NULL)
        return cfg_fail(s->err, CFG_E_NOMEM, "out of memory");
    cfg_buf_clear(&w->text);
    return inter_push_text(s, &w->row, copy);
}

/* Blanks that no delimiter swallows, and colons with the blanks around them. False at the word's end. */
static bool take_blanks(struct inter_parser *s, struct word *w, bool is_key)
{
    const char *from = s->p;
    inter_skip_blanks(s);
    if (s->p < s->end && *s->p == ':' && !is_key) {
        s->p++;
        inter_skip_blanks(s);
        w->only_blanks = false;
    } else if (s->p == from || (s->p < s->end && strchr(",]}:", *s->p))) {
        s->p = from;
        return false;
    }
    cfg_buf_put(&w->text, from, (size_t)(s->p - from));
    return true;
}

/* One token of a word; *more is false where the word ends. */
static int take_token(struct inter_parser *s, struct word *w, bool is_key, bool *more)
{
    size_t used = 0;
    *more = true;
    if (!is_key && inter_at_open(s)) {
        struct inter *inner = NULL;
        int code = flush(s, w);
        if (code == 0)
            code = inter_parse_inter(s, &inner);
        w->only_blanks = false;
        if (w->tokens == 0)
            w->first = inner;
        return code ? code : inter_push(s, &w->row, inner);
    }
    if (is_blank(*s->p) || *s->p == ':') {
        *more = take_blanks(s, w, is_key);
        return 0;
    }
    if (is_escape(s)) {
        for (; is_escape(s); s->p += 2)
            cfg_buf_putc(&w->text, s->p[1]);
        w->only_blanks = false;
        return 0;
    }
    int code = take_plain(s, w, &used);
    if (code == 0 && used == 0) {
        *more = *s->p && strchr("/-\\+.$%*@?|", *s->p);
        if (*more)
            cfg_buf_putc(&w->text, *s->p++);
    }
    w->only_blanks = w->only_blanks && !*more;
    return code;
}

static int finish_word(struct inter_parser *s, struct word *w, const char *at, struct inter **out)
{
    if (w->tokens == 0 || w->only_blanks)
        return inter_refuse(s, at, "expected a value");
    if (w->tokens == 1 && w->first && cfg_buf_status(&w->text) == 0) {
        *out = w->first;
        return 0;
    }
    int code = flush(s, w);
    if (code)
        return code;
    if (w->row.n == 1 && w->row.items[0]->kind == INTER_STRING) {
        *out = w->row.items[0];
        return 0;
    }
    struct inter *node = inter_new(s, INTER_CONCAT);
    if (node == NULL)
        return inter_no_memory(s);
    node->items = w->row.items;
    node->n = w->row.n;
    *out = node;
    return 0;
}

static int parse_word(struct inter_parser *s, struct inter **out, bool is_key)
{
    const char *at = s->p;
    struct word w = {.only_blanks = true};
    bool more = true;
    int code = 0;
    cfg_buf_init(&w.text, (size_t)(s->end - s->p) + 1);
    while (code == 0 && s->p < s->end) {
        code = take_token(s, &w, is_key, &more);
        if (code || !more)
            break;
        w.tokens++;
    }
    if (code == 0)
        code = finish_word(s, &w, at, out);
    cfg_buf_finish(&w.text);
    return code;
}

/* --- lists and dicts --- */

int inter_parse_sequence(struct inter_parser *s, struct inter_row *row, char close)
{
    bool behind_comma = true, empty = true;
    for (;;) {
        inter_skip_blanks(s);
        int code = 0;
        char c = s->p < s->end ? *s->p : '\0';
        if (s->p >= s->end)
            return inter_refuse(s, s->p, "a closing bracket or brace is missing");
        if (c == close || c == ',') {
            if (behind_comma && !(c == close && empty))
                code = inter_push_text(s, row, (struct cfg_slice){"", 0});
            behind_comma = true;
            s->p++;
            if (code || c == close)
                return code;
            inter_skip_blanks(s);
        } else {
            struct inter *item = NULL;
            if (!behind_comma)
                return inter_refuse(s, s->p, "a comma or a closing bracket or brace is missing");
            code = inter_parse_element(s, &item);
            if (code == 0)
                code = inter_push(s, row, item);
            if (code)
                return code;
            behind_comma = false;
        }
        empty = false;
    }
}

/* A key's spelling in a document: numbers and words as JSON writes them. */
static int key_text(struct inter_parser *s, struct inter *key)
{
    char text[CFG_NUMBER_TEXT + 2];
    size_t n = 0;
    if (key->kind == INTER_STRING)
        return 0;
    if (key->kind == INTER_NUMBER && isfinite(key->number)) {
        n = cfg_number_format(text, key->number, false);
        if (key->is_float && !memchr(text, '.', n) && !memchr(text, 'e', n)) {
            memcpy(text + n, ".0", 2);
            n += 2;
        }
    } else {
        const char *word = key->kind == INTER_NULL   ? "null"
                           : key->kind == INTER_BOOL ? (key->boolean ? "true" : "false")
                           : isnan(key->number)      ? "nan"
                           : key->number < 0         ? "-inf"
                                                     : "inf";
        n = strlen(word);
        memcpy(text, word, n);
    }
    key->kind = INTER_STRING;
    key->text = (struct cfg_slice){cfg_arena_dup(s->arena, (struct cfg_slice){text, n}), n};
    return key->text.ptr ? 0 : inter_no_memory(s);
}

static int parse_pair(struct inter_parser *s, struct inter_row *keys, struct inter_row *values)
{
    struct inter *key = NULL, *value = NULL;
    int code = parse_word(s, &key, true);
    inter_skip_blanks(s);
    if (code == 0 && (s->p >= s->end || *s->p != ':'))
        code = inter_refuse(s, s->p, "expected : behind a key");
    if (code == 0)
        code = key_text(s, key);
    if (code)
        return code;
    s->p++;
    inter_skip_blanks(s);
    code = inter_parse_element(s, &value);
    if (code == 0)
        code = inter_push(s, keys, key);
    return code ? code : inter_push(s, values, value);
}

static int parse_dict(struct inter_parser *s, struct inter *dict)
{
    struct inter_row keys = {NULL, 0, 0}, values = {NULL, 0, 0};
    inter_skip_blanks(s);
    while (s->p < s->end) {
        if (*s->p == '}' && keys.n == 0)
            break;
        int code = parse_pair(s, &keys, &values);
        if (code)
            return code;
        inter_skip_blanks(s);
        if (s->p < s->end && *s->p == '}')
            break;
        if (s->p >= s->end || *s->p != ',')
            return inter_refuse(s, s->p, "expected , or }");
        s->p++;
        inter_skip_blanks(s);
    }
    if (s->p >= s->end)
        return inter_refuse(s, s->p, "the dict has no closing }");
    s->p++;
    dict->names = keys.items;
    dict->items = values.items;
    dict->n = dict->n_names = values.n;
    return 0;
}

static int parse_container(struct inter_parser *s, struct inter **out)
{
    bool list = *s->p++ == '[';
    struct inter *node = inter_new(s, list ? INTER_LIST : INTER_DICT);
    int code = node ? inter_enter(s) : inter_no_memory(s);
    if (code)
        return code;
    if (list) {
        struct inter_row row = {NULL, 0, 0};
        inter_skip_blanks(s);
        code = inter_parse_sequence(s, &row, ']');
        node->items = row.items;
        node->n = row.n;
    } else {
        code = parse_dict(s, node);
    }
    s->depth--;
    if (code == 0)
        *out = node;
    return code;
}

int inter_parse_element(struct inter_parser *s, struct inter **out)
{
    char c = s->p < s->end ? *s->p : '\0';
    if (c == '[' || c == '{')
        return parse_container(s, out);
    if (c == '\'' || c == '"')
        return inter_parse_quoted(s, out);
    return parse_word(s, out, false);
}
