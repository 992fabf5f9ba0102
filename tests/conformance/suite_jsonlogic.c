/* json-logic/compat-tables: a file is an array of {rule, data, result | error: {type}, description} with comments as
 * strings between them. */
#include "flags/logic.h"
#include "tests/conformance/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool equals(const struct cfg_flag_value *v, const cJSON *expected)
{
    const cJSON *e;
    uint32_t i = 0;
    switch (v->kind) {
    case CFG_VALUE_NULL:
        return cJSON_IsNull(expected);
    case CFG_VALUE_BOOL:
        return cJSON_IsBool(expected) && v->as.boolean == (cJSON_IsTrue(expected) != 0);
    case CFG_VALUE_NUMBER:
        return cJSON_IsNumber(expected) && fabs(v->as.number - expected->valuedouble) <= 1e-9 * fabs(v->as.number);
    case CFG_VALUE_STRING:
        return cJSON_IsString(expected) &&
               cfg_slice_eq_str((struct cfg_slice){v->as.string, v->len}, expected->valuestring);
    case CFG_VALUE_ARRAY:
        if (!cJSON_IsArray(expected))
            return false;
        for (e = expected->child; e != NULL && i < v->len; e = e->next)
            if (!equals(&v->as.items[i++], e))
                return false;
        return e == NULL && i == v->len;
    case CFG_VALUE_OBJECT:
        break;
    }
    for (i = 0; cJSON_IsObject(expected) && i < v->len; i++) {
        char name[256];
        (void)snprintf(name, sizeof name, "%.*s", (int)v->as.members[i].name_len, v->as.members[i].name);
        e = cfg_json_get(expected, name);
        if (e == NULL || !equals(&v->as.members[i].value, e))
            return false;
    }
    return cJSON_IsObject(expected) && cJSON_GetArraySize(expected) == (int)v->len;
}

/* The type of the error that a run or a compilation ended with, NULL when it did not. */
static const char *error_type(int compiled, const struct logic_run *r)
{
    static char thrown[128];
    if (compiled == CFG_E_UNSUPPORTED)
        return "Unknown Operator";
    if (compiled != 0)
        return "Invalid Arguments";
    switch ((enum logic_error)r->error) {
    case LOGIC_NAN:
        return "NaN";
    case LOGIC_BAD_ARGUMENTS:
        return "Invalid Arguments";
    case LOGIC_THROWN:
        (void)snprintf(thrown, sizeof thrown, "%.*s", (int)r->thrown.len,
                       r->thrown.kind == CFG_VALUE_STRING ? r->thrown.as.string : "");
        return thrown;
    case LOGIC_LIMIT:
        return "limit";
    case LOGIC_OK:
        break;
    }
    return NULL;
}

static void judge(struct cfg_suite_run *run, const char *name, const cJSON *test, const char *error,
                  const struct cfg_flag_value *value)
{
    const cJSON *expected = cfg_json_get(test, "result"), *wanted = cfg_json_get(test, "error");
    const char *type = wanted ? cfg_json_get_str(wanted, "type", "") : NULL;
    char *text = cfg_suite_text(wanted ? wanted : expected);
    if (wanted && error && strcmp(type, error) == 0)
        cfg_suite_pass(run);
    else if (error)
        cfg_suite_fail(run, name, "the error %s instead of %s", error, text);
    else if (wanted || !equals(value, expected))
        cfg_suite_fail(run, name, "a %s instead of %s", wanted ? "value" : "different value", text);
    else
        cfg_suite_pass(run);
    free(text);
}

static void run_case(struct cfg_suite_run *run, const char *name, const cJSON *test)
{
    _Alignas(16) static char scratch[1 << 16];
    static const cJSON null = {.type = cJSON_NULL};
    const cJSON *data = cfg_json_get(test, "data"), *rule = cfg_json_get(test, "rule");
    struct logic_scope scope = {value_null(), 0, NULL};
    struct cfg_error err = CFG_ERROR_INIT;
    struct flag_arena arena;
    void *memory = NULL;
    cfg_flag_arena_init(&arena, 0);
    struct logic_compiler c = {.arena = &arena, .rules = CFG_RULES_JSONLOGIC, .root = "rule", .err = &err};
    struct logic_node node;
    int compiled = cfg_logic_compile(&node, &c, rule);
    if (cfg_flag_value_from_json(&scope.data, &memory, data ? data : &null, NULL) != 0)
        abort();
    struct logic_run r = {.scope = &scope,
                          .scratch = scratch,
                          .size = sizeof scratch,
                          .work = LOGIC_WORK,
                          .hash_version = 2,
                          .rules = CFG_RULES_JSONLOGIC};
    struct cfg_flag_value value = compiled == 0 ? cfg_logic_eval(&r, &node) : value_null();
    judge(run, name, test, error_type(compiled, &r), &value);
    cJSON_free(memory);
    cfg_flag_arena_finish(&arena);
}

void cfg_suite_jsonlogic(struct cfg_suite_run *run, struct cfg_slice content)
{
    cJSON *tests = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_json_parse(&tests, content, 0, &err) != 0) {
        cfg_suite_fail(run, "", "cannot be read: %s", err.text);
        return;
    }
    unsigned index = 0;
    const cJSON *test;
    cJSON_ArrayForEach(test, tests)
    {
        char name[200];
        char *rule = cfg_suite_text(cfg_json_get(test, "rule"));
        (void)snprintf(name, sizeof name, "[%u] %.160s", index++, rule);
        if (cJSON_IsObject(test) && cfg_json_get(test, "rule"))
            run_case(run, name, test);
        free(rule);
    }
    cJSON_Delete(tests);
}
