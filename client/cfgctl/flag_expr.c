#include "client/cfgctl/flag_expr.h"

#include "flags/semver.h"
#include "proto/path.h"
#include "proto/rfc3339.h"
#include "proto/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NESTING = 40, WORD = 512 };

static const char *const OPERATORS[] = {
    "==", "=", "!=", "<", "<=", ">", ">=", "in", "not", "contains", "starts_with", "ends_with", "exists", "sem_ver"};

struct parser {
    const char *text, *p;
    unsigned depth;
    struct cfg_error *err;
};

static cJSON *parse_any(struct parser *p);

static cJSON *fail(struct parser *p, const char *at, const char *why)
{
    (void)cfg_fail(p->err, CFG_E_VALUE, "the condition, column %zu: %s", (size_t)(at - p->text) + 1, why);
    cfg_error_set_path(p->err, "column %zu", (size_t)(at - p->text) + 1);
    cfg_error_set_hint(p->err, "such as: email ends_with \"@example.com\" and plan in [pro, team]");
    return NULL;
}

static cJSON *no_memory(struct parser *p)
{
    (void)cfg_fail(p->err, CFG_E_NOMEM, "out of memory");
    return NULL;
}

/* --- trees; everything handed in is consumed --- */

static cJSON *operation(const char *op, cJSON *a, cJSON *b)
{
    cJSON *out = cJSON_CreateObject(), *operands = cJSON_AddArrayToObject(out, op);
    bool good = operands && a && cJSON_AddItemToArray(operands, a);
    if (!good)
        cJSON_Delete(a);
    if (b && !(good && cJSON_AddItemToArray(operands, b))) {
        cJSON_Delete(b);
        good = false;
    }
    if (good)
        return out;
    cJSON_Delete(out);
    return NULL;
}

static cJSON *member(const char *key, const char *text)
{
    cJSON *out = cJSON_CreateObject();
    if (cJSON_AddStringToObject(out, key, text))
        return out;
    cJSON_Delete(out);
    return NULL;
}

static cJSON *var(const char *path)
{
    return member("var", strcmp(path, "now") == 0 ? "$flagd.timestamp" : path);
}

/* Joins to an operation of the same kind instead of nesting. */
static cJSON *join(const char *op, cJSON *a, cJSON *b)
{
    cJSON *operands = cfg_json_get(a, op);
    if (operands && a->child == operands && b && cJSON_AddItemToArray(operands, b))
        return a;
    return operation(op, a, b);
}

/* --- words --- */

static void skip_blank(struct parser *p)
{
    p->p += strspn(p->p, " \t\r\n");
}

static size_t word_length(const char *p)
{
    return strcspn(p, " \t\r\n()[],\"'=!<>");
}

/* Takes the word, or nothing. */
static bool take(struct parser *p, const char *word)
{
    skip_blank(p);
    size_t n = strlen(word);
    bool letters = word_length(word) > 0;
    if (strncmp(p->p, word, n) != 0 || (letters && word_length(p->p) != n))
        return false;
    p->p += n;
    return true;
}

/* A bare word; false when there is none, or it is too long. */
static bool take_word(struct parser *p, char out[WORD])
{
    skip_blank(p);
    size_t n = word_length(p->p);
    if (n == 0 || n >= WORD)
        return false;
    memcpy(out, p->p, n);
    out[n] = '\0';
    p->p += n;
    return true;
}

/* --- values --- */

static cJSON *quoted(struct parser *p)
{
    const char *begin = p->p, *end = begin + 1;
    char quote = *begin;
    while (*end && *end != quote)
        end += quote == '"' && end[0] == '\\' && end[1] ? 2 : 1;
    if (*end == '\0')
        return fail(p, begin, "the text has no closing quote");
    p->p = end + 1;
    cJSON *v = NULL;
    if (quote == '"')
        return cfg_json_parse(&v, (struct cfg_slice){begin, (size_t)(end + 1 - begin)}, 0, NULL) == 0
                   ? v
                   : fail(p, begin, "the text in quotes is not valid");
    char *text = strndup(begin + 1, (size_t)(end - begin - 1));
    v = text ? cJSON_CreateString(text) : NULL;
    free(text);
    return v ? v : no_memory(p);
}

static cJSON *parse_value(struct parser *p)
{
    char word[WORD];
    cJSON *v = NULL;
    skip_blank(p);
    const char *at = p->p;
    if (*at == '"' || *at == '\'')
        return quoted(p);
    if (!take_word(p, word))
        return fail(p, at, *at ? "a value is expected here" : "a value is missing at the end");
    if (cfg_json_parse(&v, cfg_slice_str(word), 0, NULL) != 0)
        v = cJSON_CreateString(word);
    return v ? v : no_memory(p);
}

/* Seconds since 1970, written so or as a date. Anything else would be compared with the time and never hold. */
static cJSON *parse_time(struct parser *p)
{
    skip_blank(p);
    const char *at = p->p;
    cJSON *v = parse_value(p);
    if (v == NULL || cJSON_IsNumber(v))
        return v;
    int64_t us = 0;
    int rc = cfg_rfc3339_parse(&us, cfg_slice_str(cJSON_IsString(v) ? v->valuestring : ""), NULL);
    cJSON_Delete(v);
    if (rc != 0) {
        (void)fail(p, at, "this is no time");
        cfg_error_set_hint(p->err, "now >= 2026-12-01T00:00:00Z (UTC; or +01:00, say, for Z), or seconds since 1970");
        return NULL;
    }
    v = cJSON_CreateNumber((double)(us / 1000000));
    return v ? v : no_memory(p);
}

static cJSON *parse_list(struct parser *p)
{
    if (!take(p, "["))
        return fail(p, p->p, "`in` takes a list: [a, b]");
    cJSON *list = cJSON_CreateArray();
    while (!take(p, "]")) {
        cJSON *v = list && (list->child == NULL || take(p, ",")) ? parse_value(p) : fail(p, p->p, "expected , or ]");
        if (v == NULL || !cJSON_AddItemToArray(list, v)) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list ? list : no_memory(p);
}

/* --- tests --- */

static cJSON *unknown_operator(struct parser *p, const char *path)
{
    char word[WORD] = "", why[160];
    skip_blank(p);
    const char *at = p->p;
    if (!take_word(p, word) || strcmp(word, "and") == 0 || strcmp(word, "or") == 0) {
        (void)fail(p, at, "an operator is missing");
        cfg_error_set_hint(p->err, "%.100s == true, or %.100s exists", path, path);
        return NULL;
    }
    const char *near = cfg_near_miss(word, OPERATORS, sizeof OPERATORS / sizeof OPERATORS[0]);
    (void)snprintf(why, sizeof why, "unknown operator '%.60s'", word);
    (void)fail(p, at, why);
    if (near)
        cfg_error_set_hint(p->err, "did you mean %s?", near);
    else
        cfg_error_set_hint(p->err,
                           "one of == != < <= > >= in, not in, contains, starts_with, ends_with, exists, sem_ver");
    return NULL;
}

static cJSON *versions(struct parser *p, const char *path)
{
    static const char *const ops[] = {"<=", ">=", "!=", "<", ">", "=", "~", "^"};
    char word[WORD];
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        skip_blank(p);
        size_t n = strlen(ops[i]);
        if (strncmp(p->p, ops[i], n) != 0)
            continue;
        p->p += n;
        skip_blank(p);
        const char *at = p->p;
        if (!take_word(p, word))
            return fail(p, at, "a version is missing");
        bool same;
        if (!cfg_semver_compare(&same, cfg_slice_str(word), cfg_slice_str("="), cfg_slice_str(word))) {
            (void)fail(p, at, "this is no version");
            cfg_error_set_hint(p->err, "such as 2.1 or 1.4.0-rc.1");
            return NULL;
        }
        cJSON *out = operation("sem_ver", var(path), cJSON_CreateString(ops[i]));
        cJSON *version = cJSON_CreateString(word);
        if (out && version && cJSON_AddItemToArray(out->child, version))
            return out;
        cJSON_Delete(version);
        cJSON_Delete(out);
        return no_memory(p);
    }
    return fail(p, p->p, "sem_ver takes one of = != < <= > >= ~ ^ and a version");
}

static cJSON *binary(struct parser *p, const char *op, const char *path, cJSON *value, bool swapped)
{
    if (value == NULL)
        return NULL;
    cJSON *out = swapped ? operation(op, value, var(path)) : operation(op, var(path), value);
    return out ? out : no_memory(p);
}

/* The tests that `not` may stand before. NULL with *none set when there is none of them. */
static cJSON *word_test(struct parser *p, const char *path, bool *none)
{
    *none = false;
    if (take(p, "in"))
        return binary(p, "in", path, parse_list(p), false);
    if (take(p, "contains"))
        return binary(p, "in", path, parse_value(p), true);
    if (take(p, "starts_with"))
        return binary(p, "starts_with", path, parse_value(p), false);
    if (take(p, "ends_with"))
        return binary(p, "ends_with", path, parse_value(p), false);
    if (take(p, "exists"))
        return binary(p, "!=", path, cJSON_CreateNull(), false);
    *none = true;
    return NULL;
}

static cJSON *negated(struct parser *p, cJSON *v)
{
    if (v == NULL)
        return NULL;
    cJSON *different = cfg_json_get(v, "!=");
    if (different && !(different->child && cJSON_IsNull(different->child->next))) /* not `exists` */
        different = NULL;
    cJSON *out = different ? operation("==", cJSON_DetachItemFromArray(different, 0), cJSON_CreateNull())
                           : operation("!", v, NULL);
    if (different)
        cJSON_Delete(v);
    return out ? out : no_memory(p);
}

static cJSON *parse_test(struct parser *p, const char *path)
{
    static const char *const symbols[] = {"==", "!=", "<=", ">=", "=", "<", ">"};
    bool none, time = strcmp(path, "now") == 0 || strcmp(path, "$flagd.timestamp") == 0;
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
        if (take(p, symbols[i]))
            return binary(p, strcmp(symbols[i], "=") == 0 ? "==" : symbols[i], path,
                          time ? parse_time(p) : parse_value(p), false);
    if (take(p, "sem_ver"))
        return versions(p, path);
    bool no = take(p, "not");
    cJSON *v = word_test(p, path, &none);
    return none ? unknown_operator(p, path) : no ? negated(p, v) : v;
}

static cJSON *parse_one(struct parser *p)
{
    char word[WORD];
    skip_blank(p);
    const char *at = p->p;
    if (p->depth >= NESTING)
        return fail(p, at, "nested too deeply");
    if (take(p, "not")) {
        p->depth++;
        cJSON *v = parse_one(p);
        p->depth--;
        return negated(p, v);
    }
    if (take(p, "(")) {
        p->depth++;
        cJSON *v = parse_any(p);
        p->depth--;
        if (v == NULL || take(p, ")"))
            return v;
        cJSON_Delete(v);
        return fail(p, p->p, "expected )");
    }
    if (take(p, "everyone"))
        return cJSON_CreateTrue();
    bool segment = take(p, "segment");
    if (!take_word(p, word))
        return fail(p, at,
                    segment ? "which segment?"
                    : *at   ? "the name of an attribute is expected here"
                            : "it ends too early");
    cJSON *out = segment ? member("$ref", word) : parse_test(p, word);
    return out || !segment ? out : no_memory(p);
}

static cJSON *parse_all(struct parser *p)
{
    cJSON *v = parse_one(p);
    while (v && take(p, "and")) {
        cJSON *more = parse_one(p);
        if (more == NULL) {
            cJSON_Delete(v);
            return NULL;
        }
        v = join("and", v, more);
    }
    return v;
}

static cJSON *parse_any(struct parser *p)
{
    cJSON *v = parse_all(p);
    while (v && take(p, "or")) {
        cJSON *more = parse_all(p);
        if (more == NULL) {
            cJSON_Delete(v);
            return NULL;
        }
        v = join("or", v, more);
    }
    return v;
}

/* Where UTF-8 breaks; NULL: nowhere. */
static const char *broken_text(const char *text)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);
    while (p < end) {
        size_t n = cfg_utf8_length(p, end);
        if (n == 0)
            return (const char *)p;
        p += n;
    }
    return NULL;
}

int flag_expr_parse(cJSON **out, const char *text, struct cfg_error *err)
{
    struct cfg_error why = CFG_ERROR_INIT;
    struct parser p = {.text = text, .p = text, .err = &why};
    const char *broken = broken_text(text);
    cJSON *v = broken ? fail(&p, broken, "not valid UTF-8") : parse_any(&p);
    skip_blank(&p);
    if (v && *p.p) {
        cJSON_Delete(v);
        v = fail(&p, p.p, "only `and`, `or` or the end can follow here");
    }
    if (v) {
        *out = v;
        return 0;
    }
    if (why.code == 0)
        (void)no_memory(&p);
    if (err)
        *err = why;
    return why.code;
}

int flag_expr_read(cJSON **out, const char *words, const char *json, const char *hint, struct cfg_error *err)
{
    if (words)
        return flag_expr_parse(out, words, err);
    int rc = cfg_json_parse(out, cfg_slice_str(json), 0, err);
    if (rc == 0)
        return 0;
    rc = cfg_error_wrap(err, "--rule");
    cfg_error_set_hint(err, "%s", hint);
    return rc;
}
