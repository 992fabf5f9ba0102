/* The parser of override values: a recursive descent over one line, bounded by CFG_LIMIT_DEPTH. The grammar is
 * Hydra 1.3's OverrideLexer/OverrideParser, whose tokens are only kept apart where it changes a result: unquoted text
 * is one run of characters, and is a number, bool or null only when the whole run spells one. */
#include "proto/override_value.h"
#include "proto/limits.h"
#include "proto/override.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct parser {
    const char *begin, *p, *end; /* columns count from begin */
    unsigned depth;
    struct cfg_error *err;
};

static int read_element(struct parser *s, cJSON **out);

static int refuse(struct parser *s, const char *at, const char *why, const char *hint)
{
    size_t column = (size_t)(at - s->begin) + 1;
    cfg_fail(s->err, CFG_E_VALUE, "column %zu: %s", column, why);
    cfg_error_set_path(s->err, "column %zu", column);
    if (hint)
        cfg_error_set_hint(s->err, "%s", hint);
    return CFG_E_VALUE;
}

/* Puts the column in front of an error that a helper filled. */
static int refuse_wrapped(struct parser *s, const char *at, int code)
{
    size_t column = (size_t)(at - s->begin) + 1;
    (void)cfg_error_wrap(s->err, "column %zu", column); /* the code is known already */
    cfg_error_set_path(s->err, "column %zu", column);
    return code;
}

static int no_memory(struct parser *s)
{
    return cfg_fail(s->err, CFG_E_NOMEM, "out of memory");
}

static bool at_char(const struct parser *s, char c)
{
    return s->p < s->end && *s->p == c;
}

static void skip_blanks(struct parser *s)
{
    while (at_char(s, ' ') || at_char(s, '\t'))
        s->p++;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool is_identifier(struct cfg_slice s)
{
    if (s.len == 0 || (s.ptr[0] >= '0' && s.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_word_char(s.ptr[i]) && (i == 0 || s.ptr[i] != '-'))
            return false;
    return true;
}

static int make_string(struct parser *s, cJSON **out, struct cfg_buf *text)
{
    *out = cfg_buf_status(text) ? NULL : cJSON_CreateString(text->len ? text->data : "");
    return *out ? 0 : no_memory(s);
}

/* --- quoted strings --- */

/* Hydra's rule: a quote ends the string unless an odd number of backslashes precedes it; backslashes count as escapes
 * in front of a quote only, and are taken as they stand elsewhere. */
static int read_quoted_text(struct parser *s, struct cfg_buf *text)
{
    const char *open = s->p;
    char quote = *s->p++;
    while (s->p < s->end) {
        size_t slashes = 0;
        while (s->p < s->end && *s->p == '\\') {
            s->p++;
            slashes++;
        }
        bool quoted = at_char(s, quote);
        for (size_t i = 0; i < (quoted ? slashes / 2 : slashes); i++)
            cfg_buf_putc(text, '\\');
        if (quoted && slashes % 2 == 0) {
            s->p++;
            return 0;
        }
        if (s->p == s->end)
            break;
        size_t n = *s->p ? cfg_utf8_length((const unsigned char *)s->p, (const unsigned char *)s->end) : 0;
        if (n == 0)
            return refuse(s, s->p, "invalid UTF-8 or a NUL byte in a quoted string", NULL);
        cfg_buf_put(text, s->p, n);
        s->p += n;
    }
    return refuse(s, open, "the quoted string has no end",
                  "close it with the same quote; write \\' or \\\" for one inside");
}

static int read_quoted(struct parser *s, cJSON **out)
{
    struct cfg_buf text;
    cfg_buf_init(&text, (size_t)(s->end - s->p) + 1);
    int code = read_quoted_text(s, &text);
    if (code == 0)
        code = make_string(s, out, &text);
    cfg_buf_finish(&text);
    return code;
}

/* --- unquoted text --- */

struct run {
    struct cfg_buf text; /* unescaped */
    size_t trimmed;      /* its length without blanks at the end */
    bool plain;          /* no escape and no interpolation: may be a number or word */
};

/* Steps over `${…}`, nested ones and quotes inside it included. */
static int read_interpolation(struct parser *s, struct run *run)
{
    const char *open = s->p;
    int braces = 0;
    char quote = 0;
    do {
        char c = *s->p;
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '\'' || c == '"')
            quote = c;
        else
            braces += (c == '{') - (c == '}');
        size_t n = c ? cfg_utf8_length((const unsigned char *)s->p, (const unsigned char *)s->end) : 0;
        if (n == 0)
            return refuse(s, s->p, "invalid UTF-8 or a NUL byte in an interpolation", NULL);
        s->p += n;
    } while (s->p < s->end && (braces > 0 || s->p == open + 1));
    if (braces > 0 || s->p - open <= 3)
        return refuse(s, open, braces > 0 ? "the interpolation has no closing }" : "the interpolation is empty", NULL);
    cfg_buf_put(&run->text, open, (size_t)(s->p - open));
    run->trimmed = run->text.len;
    run->plain = false;
    return 0;
}

static bool take_escape(struct parser *s, struct run *run)
{
    if (*s->p != '\\' || s->end - s->p < 2 || s->p[1] == '\0' || !strchr("\\()[]{}:=, \t", s->p[1]))
        return false;
    cfg_buf_putc(&run->text, s->p[1]);
    s->p += 2;
    run->trimmed = run->text.len;
    run->plain = false;
    return true;
}

/* Reads characters up to one that cannot stand unquoted. In a dict's key neither `:` nor an interpolation can. */
static int read_run(struct parser *s, struct run *run, bool is_key)
{
    *run = (struct run){.plain = true};
    cfg_buf_init(&run->text, (size_t)(s->end - s->p) + 1);
    while (s->p < s->end) {
        char c = *s->p;
        if (take_escape(s, run))
            continue;
        if (!is_key && c == '$' && s->end - s->p > 1 && s->p[1] == '{') {
            int code = read_interpolation(s, run);
            if (code)
                return code;
            continue;
        }
        if (!is_word_char(c) && !(c && strchr("/-\\+.$%*@?| \t", c)) && (is_key || c != ':'))
            break;
        cfg_buf_putc(&run->text, c);
        s->p++;
        if (c == ':') /* blanks behind a colon belong to it */
            for (; at_char(s, ' ') || at_char(s, '\t'); s->p++)
                cfg_buf_putc(&run->text, *s->p);
        if (c != ' ' && c != '\t')
            run->trimmed = run->text.len;
    }
    return cfg_buf_status(&run->text) ? no_memory(s) : 0;
}

static struct cfg_slice run_text(const struct run *run)
{
    return (struct cfg_slice){run->text.len ? run->text.data : "", run->trimmed};
}

/* --- functions --- */

static const char sweep_hint[] = "to store the text, quote it ('1,2,3'); to store a list, use brackets ([1,2,3])";

static int refuse_sweep(struct parser *s, const char *at)
{
    return refuse(s, at, "a sweep has no place in a document: it stands for several runs", sweep_hint);
}

static int refuse_function(struct parser *s, const char *at, struct cfg_slice name)
{
    static const char *const sweeps[] = {"choice", "range", "interval", "glob", "shuffle", "tag"};
    for (size_t i = 0; i < sizeof sweeps / sizeof sweeps[0]; i++)
        if (cfg_slice_eq_str(name, sweeps[i]))
            return refuse_sweep(s, at);
    if (cfg_slice_eq_str(name, "extend_list"))
        return refuse(s, at, "extend_list() is not supported",
                      "set the whole list, or one item behind its end: list[3]=x");
    return refuse(s, at, "unknown function; known are int, float, str, bool and sort",
                  "quote the value if text is meant");
}

/* Behind a list in sort(): `, reverse=BOOL` or nothing. */
static int read_reverse(struct parser *s, const char *at, bool *reverse)
{
    static const char word[] = "reverse";
    skip_blanks(s);
    if (!at_char(s, ','))
        return 0;
    s->p++;
    skip_blanks(s);
    if ((size_t)(s->end - s->p) < sizeof word || memcmp(s->p, word, sizeof word - 1) != 0)
        return refuse_sweep(s, at);
    s->p += sizeof word - 1;
    skip_blanks(s);
    if (!at_char(s, '='))
        return refuse_sweep(s, at);
    s->p++;
    cJSON *value = NULL;
    int code = read_element(s, &value);
    if (code == 0 && !cJSON_IsBool(value))
        code = refuse(s, at, "reverse is true or false", NULL);
    *reverse = cJSON_IsTrue(value);
    cJSON_Delete(value);
    return code;
}

/* sort() of one list is a list; sort() of several values arranges a sweep. */
static int sort_argument(struct parser *s, const char *at, cJSON *value)
{
    bool reverse = false;
    if (!cJSON_IsArray(value))
        return refuse_sweep(s, at);
    int code = read_reverse(s, at, &reverse);
    if (code == 0 && (code = cfg_value_sort(value, reverse, s->err)) != 0)
        code = refuse_wrapped(s, at, code);
    return code;
}

/* The arguments and what the function makes of them; with the parser behind "(". */
static int read_arguments(struct parser *s, cJSON **value, const char *at, struct cfg_slice name)
{
    int code = read_element(s, value);
    if (code == 0 && cfg_slice_eq_str(name, "sort"))
        code = sort_argument(s, at, *value);
    skip_blanks(s);
    if (code == 0 && !at_char(s, ')'))
        code =
            at_char(s, ',')
                ? refuse(s, s->p, "a function of several values makes a sweep, and a sweep has no place in a document",
                         sweep_hint)
                : refuse(s, s->p, "expected )", NULL);
    if (code == 0 && cfg_value_is_cast(name) && (code = cfg_value_cast(value, name, s->err)) != 0)
        code = refuse_wrapped(s, at, code);
    return code;
}

/* With the parser on the "(" behind `name`. */
static int read_function(struct parser *s, cJSON **out, const char *at, struct cfg_slice name)
{
    if (!cfg_value_is_cast(name) && !cfg_slice_eq_str(name, "sort"))
        return refuse_function(s, at, name);
    if (s->depth >= CFG_LIMIT_DEPTH)
        return refuse(s, at, "nested too deeply", NULL);
    s->depth++;
    s->p++;
    cJSON *value = NULL;
    int code = read_arguments(s, &value, at, name);
    if (code) {
        cJSON_Delete(value);
        return code;
    }
    s->p++;
    s->depth--;
    *out = value;
    return 0;
}

static int read_unquoted(struct parser *s, cJSON **out)
{
    const char *at = s->p;
    struct run run;
    cJSON *value = NULL;
    int code = read_run(s, &run, false);
    struct cfg_slice text = run_text(&run);
    if (code)
        goto out;
    if (at_char(s, '(') && run.plain && is_identifier(text)) {
        code = read_function(s, out, at, text);
        goto out;
    }
    if (text.len == 0) {
        code = refuse(s, s->p, "expected a value", s->p < s->end ? "quote text that holds special characters" : NULL);
        goto out;
    }
    if (run.plain && (code = cfg_value_word(&value, text, s->err)) != 0) {
        code = refuse_wrapped(s, at, code);
        goto out;
    }
    if (value == NULL) {
        run.text.data[run.trimmed] = '\0';
        value = cJSON_CreateString(run.text.data);
    }
    if (value)
        *out = value;
    else
        code = no_memory(s);
out:
    cfg_buf_finish(&run.text);
    return code;
}

/* --- lists and dicts --- */

/* Behind an item: steps over "," or the closing character; 1 when it closed. */
static int read_separator(struct parser *s, char close, const char *why)
{
    skip_blanks(s);
    if (at_char(s, close)) {
        s->p++;
        return 1;
    }
    if (!at_char(s, ','))
        return refuse(s, s->p, why, "quote text that holds special characters");
    s->p++;
    return 0;
}

static int read_items(struct parser *s, cJSON *list)
{
    skip_blanks(s);
    if (at_char(s, ']')) {
        s->p++;
        return 0;
    }
    for (;;) {
        cJSON *item = NULL;
        int code = read_element(s, &item);
        if (code)
            return code;
        (void)cJSON_AddItemToArray(list, item); /* fails on NULL arguments only */
        code = read_separator(s, ']', "expected , or ]");
        if (code)
            return code > 0 ? 0 : code;
    }
}

static void lower_word(char *key)
{
    if (strcasecmp(key, "true") != 0 && strcasecmp(key, "false") != 0 && strcasecmp(key, "null") != 0)
        return;
    for (; *key; key++)
        if (*key >= 'A' && *key <= 'Z')
            *key = (char)(*key - 'A' + 'a');
}

static int read_pair(struct parser *s, cJSON *dict)
{
    skip_blanks(s);
    const char *at = s->p;
    struct run run;
    cJSON *value = NULL;
    int code = read_run(s, &run, true);
    if (code == 0 && run.trimmed == 0)
        code = refuse(s, at, "expected a key", "keys are written without quotes: {a: 1}");
    if (code == 0 && !at_char(s, ':'))
        code = refuse(s, s->p, "expected : behind a key", "escape special characters in a key with \\");
    if (code == 0) {
        run.text.data[run.trimmed] = '\0';
        if (run.plain)
            lower_word(run.text.data);
        if (cfg_json_get(dict, run.text.data))
            code = refuse(s, at, "this key was given before", NULL);
    }
    if (code == 0) {
        s->p++;
        code = read_element(s, &value);
    }
    if (code == 0 && cfg_json_set(dict, run.text.data, value))
        code = no_memory(s);
    cfg_buf_finish(&run.text);
    return code;
}

static int read_pairs(struct parser *s, cJSON *dict)
{
    skip_blanks(s);
    if (at_char(s, '}')) {
        s->p++;
        return 0;
    }
    for (;;) {
        int code = read_pair(s, dict);
        if (code == 0)
            code = read_separator(s, '}', "expected , or }");
        if (code)
            return code > 0 ? 0 : code;
    }
}

static int read_container(struct parser *s, cJSON **out)
{
    bool is_list = *s->p == '[';
    if (s->depth >= CFG_LIMIT_DEPTH)
        return refuse(s, s->p, "nested too deeply", NULL);
    cJSON *container = is_list ? cJSON_CreateArray() : cJSON_CreateObject();
    if (container == NULL)
        return no_memory(s);
    s->depth++;
    s->p++;
    int code = is_list ? read_items(s, container) : read_pairs(s, container);
    if (code) {
        cJSON_Delete(container);
        return code;
    }
    s->depth--;
    *out = container;
    return 0;
}

static int read_element(struct parser *s, cJSON **out)
{
    skip_blanks(s);
    if (at_char(s, '[') || at_char(s, '{'))
        return read_container(s, out);
    if (at_char(s, '\'') || at_char(s, '"'))
        return read_quoted(s, out);
    return read_unquoted(s, out);
}

/* --- whole values --- */

static int refuse_rest(struct parser *s)
{
    if (at_char(s, ','))
        return refuse(s, s->p, "an unquoted comma makes a sweep, and a sweep has no place in a document", sweep_hint);
    if ((unsigned char)*s->p >= 0x80)
        return refuse(s, s->p, "only ASCII may stand unquoted",
                      "put the value in quotes, inside the shell's: 'k=\"…\"'");
    return refuse(s, s->p, "unexpected text behind the value",
                  "quote the value ('…' or \"…\", inside the shell's quotes) or put \\ before \\()[]{}:=,");
}

int cfg_value_parse_at(cJSON **out, const char *begin, struct cfg_slice text, struct cfg_error *err)
{
    struct parser s = {.begin = begin, .p = text.ptr, .end = text.ptr + text.len, .err = err};
    cJSON *value = NULL;
    skip_blanks(&s);
    if (s.p == s.end) {
        value = cJSON_CreateString("");
        if (value == NULL)
            return no_memory(&s);
    } else {
        int code = read_element(&s, &value);
        if (code)
            return code;
    }
    skip_blanks(&s);
    if (s.p < s.end) {
        cJSON_Delete(value);
        return refuse_rest(&s);
    }
    cfg_value_forget_spelling(value);
    *out = value;
    return 0;
}

int cfg_value_parse(cJSON **out, struct cfg_slice text, struct cfg_error *err)
{
    const char *begin = text.ptr ? text.ptr : "";
    return cfg_value_parse_at(out, begin, (struct cfg_slice){begin, text.len}, err);
}
