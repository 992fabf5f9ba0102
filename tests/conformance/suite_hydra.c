/* Hydra's tests of its override parser, one JSON object per line: {id, test, params}. A key there becomes NAMESPACE/key
 * here. Sweeps, inf and nan must be refused, and refused as what they are: a document cannot hold them. Config groups
 * and packages in keys are judged by the grammar, and must then be refused for a document. Left out is writing
 * overrides, which nothing here does, and a rule's text of blanks alone, which no override leads to. */
#include "proto/override.h"
#include "tests/conformance/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char namespace[] = "ns/";

/* Is this expectation, or one inside it, something that a document cannot hold? Then the word that the refusal must
 * hold. */
static const char *refusal_word(const cJSON *expected)
{
    const char *type = cfg_json_get_str(expected, "$type", ""), *f = cfg_json_get_str(expected, "$f", "");
    if (cfg_json_get(expected, "$raises"))
        return "";
    if (strstr(type, "Sweep") || strcmp(type, "Glob") == 0)
        return "sweep";
    if (strcmp(type, "ListExtensionOverrideValue") == 0)
        return "extend_list";
    if (strstr(f, "inf") || strstr(f, "nan"))
        return "JSON";
    for (const cJSON *child = expected ? expected->child : NULL; child; child = child->next) {
        const char *word = refusal_word(child);
        if (word)
            return word;
    }
    return NULL;
}

/* A dict's key: Hydra types it, a document keeps its text. */
static bool key_matches(const cJSON *expected, const char *key)
{
    const char *f = cfg_json_get_str(expected, "$f", NULL);
    if (f)
        return strtod(f, NULL) == strtod(key, NULL);
    char *text = cfg_suite_text(expected);
    bool same = strcmp(cJSON_IsString(expected) ? expected->valuestring : text, key) == 0;
    free(text);
    return same;
}

static bool matches(const cJSON *expected, const cJSON *v)
{
    const char *f = cfg_json_get_str(expected, "$f", NULL), *text = cfg_json_get_str(expected, "text", NULL);
    const cJSON *pairs = cfg_json_get(expected, "$d");
    if (f)
        return cJSON_IsNumber(v) && v->valuedouble == strtod(f, NULL);
    if (text)
        return cJSON_IsString(v) && strcmp(v->valuestring, text) == 0;
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

static void judge(struct cfg_suite_run *run, const char *name, const cJSON *expected, int code, const cJSON *v,
                  const struct cfg_error *err)
{
    const char *word = refusal_word(expected);
    char *text = cfg_suite_text(v);
    if (word && code == 0)
        cfg_suite_fail(run, name, "it must be refused, and gave %s", text);
    else if (word && !strstr(err->text, word))
        cfg_suite_fail(run, name, "it must be refused as \"%s\", and was refused so: %s", word, err->text);
    else if (!word && code)
        cfg_suite_fail(run, name, "it was refused: %s", err->text);
    else if (!word && !matches(expected, v))
        cfg_suite_fail(run, name, "it gave %s", text);
    else
        cfg_suite_pass(run);
    free(text);
}

static void run_value(struct cfg_suite_run *run, const char *name, const cJSON *params)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_value_parse(&v, cfg_slice_str(cfg_json_get_str(params, "value", "")), &err);
    judge(run, name, cfg_json_get(params, "expected"), code, v, &err);
    cJSON_Delete(v);
}

static bool is_plain_key(const char *key)
{
    return key[strcspn(key, "=@/")] != '@' && key[strcspn(key, "=@/")] != '/';
}

static bool mode_matches(const cJSON *params, enum cfg_override_mode mode)
{
    static const char *const names[] = {"OverrideType.CHANGE", "OverrideType.ADD", "OverrideType.FORCE_ADD",
                                        "OverrideType.DEL"};
    const cJSON *type = cfg_json_get(params, "override_type");
    if (type == NULL)
        type = cfg_json_get(cfg_json_get(params, "expected"), "type");
    const char *wanted = cfg_json_get_str(type, "$enum", NULL);
    return wanted == NULL || strcmp(wanted, names[mode]) == 0;
}

/* A line whose key names a group or package: refused when it is meant for a document, so its two halves are judged. */
static void run_grouped(struct cfg_suite_run *run, const char *name, const cJSON *params, const cJSON *expected,
                        struct cfg_slice line)
{
    struct cfg_override_key key;
    struct cfg_override o = {.on_off = -1};
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = NULL;
    if (cfg_override_key_parse(&key, line, &err)) {
        cfg_suite_fail(run, name, "the key was refused: %s", err.text);
        return;
    }
    if (cfg_override_parse_word(&o, "ns", line, &err) != CFG_E_ADDRESS) {
        cfg_suite_fail(run, name, "a document took a config group or package");
        cfg_override_finish(&o);
        return;
    }
    struct cfg_slice value = {line.ptr + key.length, line.len - key.length};
    int code = 0;
    if (value.len > 0)
        code = cfg_value_parse(&v, (struct cfg_slice){value.ptr + 1, value.len - 1}, &err);
    if (!mode_matches(params, key.mode))
        cfg_suite_fail(run, name, "it was read as another kind of override");
    else if (value.len == 0)
        cfg_suite_pass(run);
    else
        judge(run, name, expected, code, v, &err);
    cJSON_Delete(v);
}

static void run_override(struct cfg_suite_run *run, const char *name, const cJSON *params)
{
    const char *text = cfg_json_get_str(params, "value", ""), *prefix = cfg_json_get_str(params, "prefix", "");
    const cJSON *expected = cfg_json_get(params, "expected");
    if (cfg_json_get(params, "expected_value"))
        expected = cfg_json_get(params, "expected_value");
    else if (cfg_json_get(expected, "_value"))
        expected = cfg_json_get(expected, "_value");
    size_t own = strspn(text, "+~");
    struct cfg_buf line;
    cfg_buf_init(&line, 1 << 20);
    if (!is_plain_key(text + own) && !cfg_json_get(expected, "$raises")) {
        cfg_buf_printf(&line, "%s%s", prefix, text);
        run_grouped(run, name, params, expected, cfg_buf_slice(&line));
        cfg_buf_finish(&line);
        return;
    }
    cfg_buf_printf(&line, "%s%.*s%s%s", prefix, (int)own, text, namespace, text + own);
    struct cfg_override o = {.on_off = -1};
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_override_parse(&o, cfg_buf_slice(&line), &err);
    if (code == 0 && !mode_matches(params, o.mode))
        cfg_suite_fail(run, name, "it was read as another kind of override");
    else if (code == 0 && o.value == NULL && cJSON_IsNull(expected)) /* a deletion that names no value */
        cfg_suite_pass(run);
    else
        judge(run, name, expected, code, o.value, &err);
    cfg_override_finish(&o);
    cfg_buf_finish(&line);
}

static void run_error(struct cfg_suite_run *run, const char *name, const cJSON *params)
{
    const char *text = cfg_json_get_str(params, "value", "");
    if (strcmp(cfg_json_get_str(params, "rule", ""), "override") == 0)
        run_override(run, name, params);
    else if (text[strspn(text, " \t")] == '\0')
        cfg_suite_leave_out(
            run, name,
            "blanks alone are an error of this rule, and no override reaches it: `key= ` sets an empty text");
    else
        run_value(run, name, params);
}

static bool slice_is(struct cfg_slice s, const char *wanted)
{
    return wanted == NULL ? s.ptr == NULL : cfg_slice_eq_str(s, wanted);
}

/* A key, with or without what follows it. Groups and packages are judged by the grammar alone; any other key must also
 * be one that a document can hold. */
static void run_key(struct cfg_suite_run *run, const char *name, const cJSON *params)
{
    const char *text = cfg_json_get_str(params, "value", cfg_json_get_str(params, "override", ""));
    const cJSON *expected = cfg_json_get(params, "expected"), *package = cfg_json_get(expected, "package");
    struct cfg_override_key key;
    struct cfg_error err = CFG_ERROR_INIT;
    bool right = true;
    if (cfg_override_key_parse(&key, cfg_slice_str(text), &err)) {
        cfg_suite_fail(run, name, "the key was refused: %s", err.text);
        return;
    }
    if (cJSON_IsString(expected))
        right = slice_is((struct cfg_slice){text, key.length}, expected->valuestring);
    else if (cfg_json_get(expected, "key_or_group"))
        right = slice_is(key.key, cfg_json_get_str(expected, "key_or_group", "")) &&
                slice_is(key.package, cJSON_IsString(package) ? package->valuestring : NULL);
    if (!right)
        cfg_suite_fail(run, name, "it was read as key %.*s, package %.*s", (int)key.key.len, key.key.ptr,
                       (int)key.package.len, key.package.ptr ? key.package.ptr : "");
    else if (!key.is_group && key.package.ptr == NULL && cfg_path_check(key.key, &err))
        cfg_suite_fail(run, name, "the key was refused: %s", err.text);
    else
        cfg_suite_pass(run);
}

static void run_writer(struct cfg_suite_run *run, const char *name, const cJSON *params)
{
    (void)params; /* what must come out of a writer that does not exist here */
    cfg_suite_leave_out(run, name, "overrides are read here, never written");
}

static const struct kind {
    const char *test;
    void (*fn)(struct cfg_suite_run *run, const char *name, const cJSON *params);
} kinds[] = {
    {"test_element", run_value},
    {"test_value", run_value},
    {"test_primitive", run_value},
    {"test_primitive_quoted_string", run_value},
    {"test_list_container", run_value},
    {"test_dict_container", run_value},
    {"test_simple_choice_sweep", run_value},
    {"test_parse_errors", run_error},
    {"test_override", run_override},
    {"test_override_del", run_override},
    {"test_whitespaces", run_override},
    {"test_key", run_key},
    {"test_package_or_group", run_key},
    {"test_get_key_element", run_key},
    {"test_override_get_value_element_method", run_writer},
    {"test_escape_special_characters", run_writer},
};

static void run_row(struct cfg_suite_run *run, unsigned line, struct cfg_slice text)
{
    cJSON *row = NULL;
    char name[160];
    struct cfg_error err = CFG_ERROR_INIT;
    (void)snprintf(name, sizeof name, "line %u", line);
    if (cfg_json_parse(&row, text, 0, &err)) {
        if (strstr(err.text, "2^53"))
            cfg_suite_leave_out(run, name, "no I-JSON: an integer beyond ±(2^53−1), which no document holds");
        else
            cfg_suite_fail(run, name, "the row cannot be read: %s", err.text);
        return;
    }
    const char *test = cfg_json_get_str(row, "test", "?");
    const struct kind *kind = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].test, test) == 0)
            kind = &kinds[i];
    (void)snprintf(name, sizeof name, "%u %s %.80s", line, test, cfg_json_get_str(row, "id", "?"));
    if (kind)
        kind->fn(run, name, cfg_json_get(row, "params"));
    else
        cfg_suite_leave_out(run, name, "no runner for this kind of row");
    cJSON_Delete(row);
}

void cfg_suite_hydra(struct cfg_suite_run *run, struct cfg_slice content)
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
