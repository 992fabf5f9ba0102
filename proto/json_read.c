/* The strict JSON reader: RFC 8259 grammar with the limits of I-JSON (RFC 7493), straight into cJSON nodes.
 *
 * One pass, recursive by nesting (bounded by max_depth), no copy of the input. A string is decoded once, into memory
 * that becomes the node's. Lines and columns are not tracked on the way; they are counted from the start only when an
 * error is reported. A column is a byte's number within its line, from 1.
 *
 * Duplicate keys: the keys of every open object lie on one stack as (hash, key, position); when an object closes, its
 * part is sorted and neighbours are compared. The hash only makes comparisons cheap: colliding keys cost a strcmp,
 * never more than O(n log n) of them, so no choice of keys makes a document slow to read. */
#include "proto/json.h"
#include "proto/json_number.h"
#include "proto/limits.h"
#include "proto/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW_MEMBERS = 12 }; /* up to here comparing every pair beats sorting */

struct member {
    uint64_t hash;
    const char *key; /* borrowed from its node */
    const char *at;  /* where the key begins in the input */
    cJSON *node;
};

struct reader {
    const char *begin, *p, *end;
    unsigned depth, max_depth;
    struct member *members; /* of every open object, innermost last */
    size_t n_members, cap_members;
    bool lenient;
    struct cfg_error *err;
};

static int read_value(struct reader *r, cJSON **out);

static int refuse_as(struct reader *r, int code, const char *at, const char *why)
{
    unsigned long line = 1, column = 1;
    for (const char *p = r->begin; p < at; p++) {
        column++;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    cfg_fail(r->err, code, "line %lu column %lu: %s", line, column, why);
    cfg_error_set_path(r->err, "line %lu column %lu", line, column);
    return code;
}

static int refuse(struct reader *r, const char *at, const char *why)
{
    return refuse_as(r, CFG_E_JSON, at, why);
}

static int no_memory(struct reader *r)
{
    return cfg_fail(r->err, CFG_E_NOMEM, "out of memory while reading JSON");
}

static void skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

/* --- strings --- */

/* Four hex digits at p; −1 when there are not that many. */
static int32_t hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* After "\u", with r->p on the digits. A high surrogate must be followed by the escape of a low one. */
static int read_unicode_escape(struct reader *r, char **to)
{
    const char *at = r->p - 2;
    int32_t first = hex4(r->p, r->end);
    if (first < 0)
        return refuse(r, at, "\\u needs four hex digits");
    r->p += 4;
    if (first >= 0xDC00 && first <= 0xDFFF)
        return refuse(r, at, "lone low surrogate");
    if (first < 0xD800 || first > 0xDBFF) {
        *to = cfg_utf8_put(*to, (uint32_t)first);
        return 0;
    }
    int32_t second = r->end - r->p >= 2 && r->p[0] == '\\' && r->p[1] == 'u' ? hex4(r->p + 2, r->end) : -1;
    if (second < 0xDC00 || second > 0xDFFF)
        return refuse(r, at, "lone high surrogate");
    r->p += 6;
    *to = cfg_utf8_put(*to, 0x10000u + (((uint32_t)first - 0xD800u) << 10) + ((uint32_t)second - 0xDC00u));
    return 0;
}

static int read_escape(struct reader *r, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *at = r->p++;
    char c = r->p < r->end ? *r->p : '\0';
    const char *found = c ? strchr(from, c) : NULL;
    if (found == NULL && c != 'u')
        return refuse(r, at, "unknown escape in a string");
    r->p++;
    if (found == NULL)
        return read_unicode_escape(r, to);
    *(*to)++ = into[found - from];
    return 0;
}

/* The length of the run of printable ASCII from p without quote or backslash: nearly all of nearly every string, so it
 * is measured eight bytes at a time (a byte's high bit in `stop` says that it ends the run; a borrow may set a bit
 * above the first such byte, never below, and the byte loop finds the exact end). */
static size_t plain_run(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    const char *at = p;
    for (; end - at >= 8; at += 8) {
        uint64_t w;
        memcpy(&w, at, sizeof w);
        uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';
        uint64_t stop = w | ((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
        if (stop & highs)
            break;
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return (size_t)(at - p);
}

/* Decodes the string whose opening quote was passed into `to`, up to and over its closing quote. */
static int decode_string(struct reader *r, char *to)
{
    for (;;) {
        size_t run = plain_run(r->p, r->end);
        memcpy(to, r->p, run);
        to += run;
        r->p += run;
        if (r->p >= r->end)
            return refuse(r, r->p, "unterminated string");
        unsigned char c = (unsigned char)*r->p;
        if (c == '"')
            break;
        if (c < 0x20)
            return refuse(r, r->p, "control character in a string; escape it");
        if (c == '\\') {
            int code = read_escape(r, &to);
            if (code)
                return code;
            continue;
        }
        size_t n = cfg_utf8_length((const unsigned char *)r->p, (const unsigned char *)r->end);
        if (n == 0)
            return refuse(r, r->p, "invalid UTF-8 in a string");
        memcpy(to, r->p, n);
        to += n;
        r->p += n;
    }
    r->p++;
    *to = '\0';
    return 0;
}

/* *out is owned by the caller (cJSON_free). */
static int read_string(struct reader *r, char **out)
{
    const char *close = ++r->p;
    close += plain_run(close, r->end);
    while (close < r->end && *close != '"') {
        close += *close == '\\' && r->end - close > 1 ? 2 : 1;
        close += plain_run(close, r->end);
    }
    char *text = cJSON_malloc((size_t)(close - r->p) + 1); /* no escape is shorter than what it stands for */
    if (text == NULL)
        return no_memory(r);
    int code = decode_string(r, text);
    if (code)
        cJSON_free(text);
    else
        *out = text;
    return code;
}

/* --- scalars --- */

static int make_number(struct reader *r, cJSON **out)
{
    const char *at = r->p;
    struct cfg_number n;
    const char *why = cfg_number_scan(&n, &r->p, r->end);
    if (why)
        return refuse(r, r->p, why);
    double value = 0;
    int code = cfg_number_value(&value, &n);
    if (code)
        return no_memory(r);
    if (isinf(value))
        return refuse(r, at, "the number is beyond a double");
    if (n.is_integer && !r->lenient && fabs(value) > CFG_JSON_MAX_INTEGER)
        return refuse(r, at, "the integer is beyond ±(2^53−1); write it as a string or with an exponent");
    *out = cJSON_CreateNumber(value);
    return *out ? 0 : no_memory(r);
}

static int make_string(struct reader *r, cJSON **out)
{
    char *text = NULL;
    int code = read_string(r, &text);
    if (code)
        return code;
    cJSON *node = cJSON_CreateNull(); /* takes the decoded text over, where cJSON_CreateString would copy it */
    if (node == NULL) {
        cJSON_free(text);
        return no_memory(r);
    }
    node->type = cJSON_String;
    node->valuestring = text;
    *out = node;
    return 0;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return false;
    r->p += n;
    return true;
}

static int make_word(struct reader *r, cJSON **out)
{
    if (take_word(r, "true"))
        *out = cJSON_CreateTrue();
    else if (take_word(r, "false"))
        *out = cJSON_CreateFalse();
    else if (take_word(r, "null"))
        *out = cJSON_CreateNull();
    else
        return refuse(r, r->p, "expected a value");
    return *out ? 0 : no_memory(r);
}

/* --- containers --- */

static int enter(struct reader *r)
{
    if (r->depth >= r->max_depth)
        return refuse_as(r, CFG_E_LIMIT, r->p, "nested too deeply");
    r->depth++;
    r->p++;
    skip_space(r);
    return 0;
}

static int read_items(struct reader *r, cJSON *array)
{
    if (r->p < r->end && *r->p == ']')
        return 0;
    for (;;) {
        cJSON *item = NULL;
        int code = read_value(r, &item);
        if (code)
            return code;
        cJSON_AddItemToArray(array, item);
        skip_space(r);
        if (r->p < r->end && *r->p == ']')
            return 0;
        if (r->p >= r->end || *r->p != ',')
            return refuse(r, r->p, "expected ',' or ']'");
        r->p++;
    }
}

static int make_array(struct reader *r, cJSON **out)
{
    int code = enter(r);
    if (code)
        return code;
    cJSON *array = cJSON_CreateArray();
    if (array == NULL)
        return no_memory(r);
    code = read_items(r, array);
    if (code) {
        cJSON_Delete(array);
        return code;
    }
    r->p++;
    r->depth--;
    *out = array;
    return 0;
}

static int remember_key(struct reader *r, cJSON *node, const char *at)
{
    if (r->n_members == r->cap_members) {
        size_t cap = r->cap_members ? r->cap_members * 2 : 32;
        struct member *grown = realloc(r->members, cap * sizeof *grown);
        if (grown == NULL)
            return no_memory(r);
        r->members = grown;
        r->cap_members = cap;
    }
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *p = node->string; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    r->members[r->n_members++] = (struct member){hash, node->string, at, node};
    return 0;
}

static int read_member(struct reader *r, cJSON *object)
{
    skip_space(r);
    const char *at = r->p;
    if (at >= r->end || *at != '"')
        return refuse(r, at, "expected a key in double quotes");
    char *key = NULL;
    int code = read_string(r, &key);
    if (code)
        return code;
    cJSON *value = NULL;
    skip_space(r);
    if (r->p >= r->end || *r->p != ':') {
        code = refuse(r, r->p, "expected ':' after a key");
    } else {
        r->p++;
        code = read_value(r, &value);
    }
    if (code) {
        cJSON_free(key);
        return code;
    }
    value->string = key;
    cJSON_AddItemToArray(object, value); /* the key is in place already; AddItemToObject would copy it */
    return remember_key(r, value, at);
}

static int compare_members(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int by_key = strcmp(a->key, b->key);
    if (by_key)
        return by_key;
    return a->at < b->at ? -1 : a->at > b->at;
}

static bool same_key(const struct member *a, const struct member *b)
{
    return a->hash == b->hash && strcmp(a->key, b->key) == 0;
}

/* The first repetition of a key among the members from `base` on, or NULL. */
static const struct member *find_duplicate(struct reader *r, size_t base)
{
    struct member *m = r->members + base;
    size_t n = r->n_members - base;
    const struct member *first = NULL;
    if (n <= FEW_MEMBERS) {
        for (size_t i = 1; i < n; i++)
            for (size_t k = 0; k < i; k++)
                if (same_key(&m[i], &m[k]))
                    return &m[i];
        return NULL;
    }
    qsort(m, n, sizeof *m, compare_members);
    for (size_t i = 1; i < n; i++)
        if (same_key(&m[i - 1], &m[i]) && (first == NULL || m[i].at < first->at))
            first = &m[i];
    return first;
}

/* Removes all but the last member of each key. */
static void keep_last(struct reader *r, size_t base, cJSON *object)
{
    struct member *m = r->members + base;
    size_t n = r->n_members - base;
    qsort(m, n, sizeof *m, compare_members);
    for (size_t i = 1; i < n; i++)
        if (same_key(&m[i - 1], &m[i]))
            cJSON_Delete(cJSON_DetachItemViaPointer(object, m[i - 1].node));
}

static int read_members(struct reader *r, cJSON *object)
{
    size_t base = r->n_members;
    if (r->p < r->end && *r->p == '}')
        return 0;
    for (;;) {
        int code = read_member(r, object);
        if (code)
            return code;
        skip_space(r);
        if (r->p < r->end && *r->p == '}')
            break;
        if (r->p >= r->end || *r->p != ',')
            return refuse(r, r->p, "expected ',' or '}'");
        r->p++;
    }
    const struct member *twice = find_duplicate(r, base);
    if (twice && r->lenient)
        keep_last(r, base, object);
    else if (twice) {
        char why[128];
        (void)snprintf(why, sizeof why, "duplicate key \"%.80s\"", twice->key);
        return refuse(r, twice->at, why);
    }
    r->n_members = base;
    return 0;
}

static int make_object(struct reader *r, cJSON **out)
{
    int code = enter(r);
    if (code)
        return code;
    cJSON *object = cJSON_CreateObject();
    if (object == NULL)
        return no_memory(r);
    code = read_members(r, object);
    if (code) {
        cJSON_Delete(object);
        return code;
    }
    r->p++;
    r->depth--;
    *out = object;
    return 0;
}

static int read_value(struct reader *r, cJSON **out)
{
    skip_space(r);
    if (r->p >= r->end)
        return refuse(r, r->p, r->p == r->begin ? "the text is empty" : "the text ends where a value is expected");
    switch (*r->p) {
    case '{':
        return make_object(r, out);
    case '[':
        return make_array(r, out);
    case '"':
        return make_string(r, out);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return make_number(r, out);
    default:
        return make_word(r, out);
    }
}

static int parse(cJSON **out, struct cfg_slice in, unsigned max_depth, bool lenient, struct cfg_error *err)
{
    const char *begin = in.ptr ? in.ptr : "";
    struct reader r = {.begin = begin, .p = begin, .end = begin + in.len, .lenient = lenient, .err = err};
    r.max_depth = max_depth ? max_depth : CFG_LIMIT_DEPTH;
    if (in.len >= 3 && memcmp(begin, "\xEF\xBB\xBF", 3) == 0)
        return refuse(&r, begin, "the text begins with a byte order mark; save it as UTF-8 without one");
    cJSON *value = NULL;
    int code = read_value(&r, &value);
    skip_space(&r);
    if (code == 0 && r.p < r.end) {
        code = refuse(&r, r.p, "more text follows the value");
        cJSON_Delete(value);
    }
    free(r.members);
    if (code == 0)
        *out = value;
    return code;
}

int cfg_json_parse(cJSON **out, struct cfg_slice in, unsigned max_depth, struct cfg_error *err)
{
    return parse(out, in, max_depth, false, err);
}

int cfg_json_parse_lenient(cJSON **out, struct cfg_slice in, unsigned max_depth, struct cfg_error *err)
{
    return parse(out, in, max_depth, true, err);
}
