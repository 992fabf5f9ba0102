/* OmegaConf's tests of its interpolation grammar and of merging, one JSON object per line.
 *
 * grammar: {id, rule, expr, expect: {status, value}}, evaluated in the configuration that those tests share. Left out
 * is nothing: where a value is no JSON (NaN, keys that are no strings) its spelling is compared. merge: {id, inputs,
 * expected}: both sides resolved, as OmegaConf compares them; a value that cannot be resolved is compared as it stands.
 */
#include "proto/layers.h"
#include "tests/conformance/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The configuration of OmegaConf's grammar tests. */
static const char configuration[] =
    "{\"str\":\"hi\",\"int\":123,\"float\":1.2,\"dict\":{\"a\":0,\"b\":{\"c\":1}},\"list\":[-1,0,1,2,3,4,5,6,7,8,9],"
    "\"null\":null,\"x@y\":123,\"$x$y$z$\":456,\"0\":0,\"1\":{\"2\":12},\"FalsE\":{\"TruE\":true},"
    "\"None\":{\"null\":1},\"str_test\":\"test\",\"ref_str\":\"str\",\"options\":{\"a\":\"A\",\"b\":\"B\"},"
    "\"choice\":\"a\",\"rel_opt\":\".options\"}";

/* --- the resolvers of those tests --- */

/* test: its only argument, or the list of them. first: the first key of a dict, typed again. */
static int resolve_call(cJSON **out, void *arg, const char *name, const cJSON *arguments, struct cfg_error *err)
{
    (void)arg;
    (void)err;
    int n = cJSON_GetArraySize(arguments);
    if (strcmp(name, "test") == 0 || strcmp(name, "ns1.ns2.test") == 0) {
        *out = cJSON_Duplicate(n == 1 ? arguments->child : arguments, true);
        return *out ? 0 : CFG_E_NOMEM;
    }
    const cJSON *first = n == 1 && arguments->child->child ? arguments->child->child : NULL;
    if (strcmp(name, "first") != 0 || first == NULL)
        return CFG_E_UNKNOWN_KEY;
    char *end = NULL;
    double number = strtod(first->string, &end);
    *out = *end == '\0' ? cJSON_CreateNumber(number) : cJSON_CreateString(first->string);
    return *out ? 0 : CFG_E_NOMEM;
}

/* --- comparing --- */

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* A dict's key there has a type; a document keeps its spelling. */
static bool key_matches(const cJSON *expected, const char *key)
{
    const char *f = cfg_json_get_str(expected, "$f", NULL);
    if (f)
        return same_number(strtod(f, NULL), strtod(key, NULL));
    char *text = cfg_suite_text(expected);
    bool same = strcmp(cJSON_IsString(expected) ? expected->valuestring : text, key) == 0;
    free(text);
    return same;
}

static bool matches(const cJSON *expected, const cJSON *v)
{
    const char *f = cfg_json_get_str(expected, "$f", NULL);
    const cJSON *pairs = cfg_json_get(expected, "$d");
    if (f)
        return cJSON_IsNumber(v) && same_number(v->valuedouble, strtod(f, NULL));
    if (!pairs && !cJSON_IsArray(expected))
        return cfg_json_equal(expected, v);
    if (pairs ? !cJSON_IsObject(v) : !cJSON_IsArray(v))
        return false;
    const cJSON *x = pairs ? pairs->child : expected->child, *y = v->child;
    for (; x && y; x = x->next, y = y->next)
        if (pairs ? !key_matches(x->child, y->string) || !matches(x->child->next, y) : !matches(x, y))
            return false;
    return x == y;
}

/* --- grammar --- */

static void judge_error(struct cfg_suite_run *run, const char *name, const char *wanted, int code,
                        const struct cfg_error *err)
{
    int right = strcmp(wanted, "InterpolationKeyError") == 0          ? CFG_E_UNKNOWN_KEY
                : strcmp(wanted, "UnsupportedInterpolationType") == 0 ? CFG_E_UNSUPPORTED
                                                                      : CFG_E_VALUE;
    if (code == 0)
        cfg_suite_fail(run, name, "it must fail with %s", wanted);
    else if (code != right)
        cfg_suite_fail(run, name, "it must fail with %s, and failed so: %s", wanted, err->text);
    else
        cfg_suite_pass(run);
}

static void evaluate(struct cfg_suite_run *run, const char *name, const cJSON *row, const cJSON *document)
{
    const cJSON *expect = cfg_json_get(row, "expect"), *wanted = cfg_json_get(expect, "value");
    const char *text = cfg_json_get_str(row, "expr", ""), *status = cfg_json_get_str(expect, "status", "");
    bool element = strcmp(cfg_json_get_str(row, "rule", ""), "configValue") != 0;
    struct cfg_layer layer = {"base", document};
    struct cfg_layers_options options = {.resolver = resolve_call};
    struct cfg_layers *l = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = NULL;
    if (strcmp(status, "parse_error") == 0) {
        judge_error(run, name, "a parse error", cfg_interpolation_check(text, element, &err), &err);
        return;
    }
    int code = cfg_interpolation_check(text, element, &err);
    if (code) {
        cfg_suite_fail(run, name, "it was refused: %s", err.text);
        return;
    }
    code = cfg_layers_merge(&l, &layer, 1, &options, &err);
    if (code == 0)
        code = cfg_layers_evaluate(&v, l, text, element, &err);
    if (strcmp(status, "ok") != 0) {
        judge_error(run, name, cJSON_IsString(wanted) ? wanted->valuestring : "", code, &err);
    } else if (code) {
        cfg_suite_fail(run, name, "it failed: %s", err.text);
    } else if (!matches(wanted, v)) {
        char *got = cfg_suite_text(v);
        cfg_suite_fail(run, name, "it gave %s", got);
        free(got);
    } else {
        cfg_suite_pass(run);
    }
    cJSON_Delete(v);
    cfg_layers_free(l);
}

static void run_grammar(struct cfg_suite_run *run, const char *name, const cJSON *row)
{
    cJSON *document = NULL;
    if (cfg_json_parse(&document, CFG_SLICE_LIT(configuration), 0, NULL) == 0)
        evaluate(run, name, row, document);
    else
        cfg_suite_fail(run, name, "the configuration cannot be read");
    cJSON_Delete(document);
}

/* --- merging --- */

enum { MOST_INPUTS = 16 };

/* Merged and resolved as far as possible; NULL with *err filled. */
static cJSON *merged(const cJSON *inputs, struct cfg_error *err)
{
    struct cfg_layer layers[MOST_INPUTS];
    size_t n = 0;
    cJSON *failures = cJSON_CreateArray(), *result = NULL;
    struct cfg_layers_options options = {.failures = failures};
    struct cfg_layers *l = NULL;
    for (const cJSON *in = inputs->child; in && n < MOST_INPUTS; in = in->next)
        layers[n++] = (struct cfg_layer){"input", in};
    if (cfg_layers_merge(&l, layers, n, &options, err) == 0 && cfg_layers_resolve(&result, l, err) != 0)
        result = NULL;
    cfg_layers_free(l);
    cJSON_Delete(failures);
    return result;
}

static void run_merge(struct cfg_suite_run *run, const char *name, const cJSON *row)
{
    const cJSON *expected = cfg_json_get(row, "expected");
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *result = merged(cfg_json_get(row, "inputs"), &err);
    bool must_fail = expected == NULL || cfg_json_get(expected, "$raises");
    if (must_fail || result == NULL) {
        if (must_fail && result == NULL)
            cfg_suite_pass(run);
        else
            cfg_suite_fail(run, name, "%s", result ? "it must be refused" : err.text);
        cJSON_Delete(result);
        return;
    }
    cJSON *one = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(one, cJSON_Duplicate(expected, true)); /* out of memory shows as a failed case */
    cJSON *right = one->child ? merged(one, &err) : NULL;
    if (right && cfg_json_equal(right, result)) {
        cfg_suite_pass(run);
    } else {
        char *got = cfg_suite_text(result);
        cfg_suite_fail(run, name, "it gave %s", got);
        free(got);
    }
    cJSON_Delete(one);
    cJSON_Delete(right);
    cJSON_Delete(result);
}

/* --- rows --- */

static void run_row(struct cfg_suite_run *run, unsigned line, struct cfg_slice text)
{
    cJSON *row = NULL;
    char name[160];
    struct cfg_error err = CFG_ERROR_INIT;
    (void)snprintf(name, sizeof name, "line %u", line);
    if (cfg_json_parse(&row, text, 0, &err)) {
        cfg_suite_fail(run, name, "the row cannot be read: %s", err.text);
        return;
    }
    (void)snprintf(name, sizeof name, "%u %.100s", line, cfg_json_get_str(row, "id", "?"));
    if (cfg_json_get(row, "expr"))
        run_grammar(run, name, row);
    else if (cJSON_IsArray(cfg_json_get(row, "inputs")))
        run_merge(run, name, row);
    else
        cfg_suite_leave_out(run, name, "no runner for this kind of row");
    cJSON_Delete(row);
}

void cfg_suite_omegaconf(struct cfg_suite_run *run, struct cfg_slice content)
{
    unsigned line = 0;
    while (content.len > 0) {
        const char *newline = memchr(content.ptr, '\n', content.len);
        size_t n = newline ? (size_t)(newline - content.ptr) : content.len;
        line++;
        if (n > 0)
            run_row(run, line, (struct cfg_slice){content.ptr, n});
        n += newline != NULL;
        content = (struct cfg_slice){content.ptr + n, content.len - n};
    }
}
