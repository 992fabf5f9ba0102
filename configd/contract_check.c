#include "configd/contract_check.h"
#include "proto/path.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOT_MAX = 60 };

/* A value as messages show it; never the inside of an object or array. */
static void show(char out[GOT_MAX + 4], const cJSON *value)
{
    struct cfg_buf text;
    if (cJSON_IsObject(value) || cJSON_IsArray(value)) {
        (void)snprintf(out, GOT_MAX, "an %s", cfg_json_type(value));
        return;
    }
    cfg_buf_init(&text, 4 * CFG_LIMIT_DOCUMENT);
    cfg_json_print(&text, value);
    bool cut = text.len > GOT_MAX;
    (void)snprintf(out, GOT_MAX + 4, "%.*s%s", cut ? GOT_MAX - 3 : (int)text.len, text.data ? text.data : "",
                   cut ? "..." : "");
    cfg_buf_finish(&text);
}

static int report(cJSON *list, const char *path, const char *keyword, const char *expected, const cJSON *value)
{
    char got[GOT_MAX + 4], message[200];
    if (value)
        show(got, value);
    (void)snprintf(message, sizeof message, "the worker expects %s, %s%s", expected,
                   value ? "not " : "and there is none", value ? got : "");
    cJSON *v = cJSON_CreateObject();
    if (v && cJSON_AddStringToObject(v, "path", path) && cJSON_AddStringToObject(v, "keyword", keyword) &&
        cJSON_AddStringToObject(v, "message", message) && cJSON_AddStringToObject(v, "expected", expected) &&
        (value == NULL || cJSON_AddStringToObject(v, "got", got)) && cJSON_AddItemToArray(list, v))
        return 0;
    cJSON_Delete(v);
    return CFG_E_NOMEM;
}

/* What the type wants; NULL: the value has it. Workers take a whole number for f64, never a fraction for i64. */
static const char *wants(const char *type, const cJSON *value)
{
    if (cJSON_IsString(value) && strcmp(value->valuestring, "???") == 0)
        return "a value";
    if (strcmp(type, "bool") == 0)
        return cJSON_IsBool(value) ? NULL : "true or false";
    if (strcmp(type, "f64") == 0)
        return cJSON_IsNumber(value) ? NULL : "a number";
    if (strcmp(type, "string") == 0)
        return cJSON_IsString(value) ? NULL : "a string";
    if (strcmp(type, "i64") != 0)
        return NULL;
    bool whole = cJSON_IsNumber(value) && fabs(value->valuedouble) <= 9007199254740991.0 &&
                 !(floor(value->valuedouble) < value->valuedouble);
    return whole ? NULL : "an integer";
}

static int check_param(const cJSON *p, const char *path, const cJSON *value, cJSON *list)
{
    const char *type = cfg_json_get_str(p, "type", "json"), *want = wants(type, value);
    const cJSON *min = cfg_json_get(p, "min"), *max = cfg_json_get(p, "max");
    char expected[80];
    if (want)
        return report(list, path, "type", want, value);
    if (!cJSON_IsNumber(value))
        return 0;
    bool low = cJSON_IsNumber(min) && value->valuedouble < min->valuedouble;
    bool high = cJSON_IsNumber(max) && value->valuedouble > max->valuedouble;
    if (!low && !high)
        return 0;
    if (cJSON_IsNumber(min) && cJSON_IsNumber(max))
        (void)snprintf(expected, sizeof expected, "%.17g to %.17g", min->valuedouble, max->valuedouble);
    else if (low)
        (void)snprintf(expected, sizeof expected, "at least %.17g", min->valuedouble);
    else
        (void)snprintf(expected, sizeof expected, "at most %.17g", max->valuedouble);
    return report(list, path, low ? "minimum" : "maximum", expected, value);
}

int cfg_contract_check(const cJSON *contract, const cJSON *document, cJSON *violations)
{
    const cJSON *p;
    int rc = 0;
    cJSON_ArrayForEach(p, contract)
    {
        if (rc != 0 || p->string == NULL || strcmp(cfg_json_get_str(p, "type", ""), "flag") == 0)
            continue;
        const cJSON *value = cfg_path_get(document, p->string);
        if (value)
            rc = check_param(p, p->string, value, violations);
        else if (cfg_json_get_bool(p, "required", false))
            rc = report(violations, p->string, "missing", "a value", NULL);
    }
    return rc;
}

int cfg_contract_check_value(const cJSON *contract, const char *path, const cJSON *value, cJSON *violations)
{
    const cJSON *p = cfg_json_get(contract, path);
    return p ? check_param(p, path, value, violations) : 0;
}

int cfg_ceilings_check(const cJSON *ceilings, const cJSON *document, cJSON *violations)
{
    const cJSON *c;
    int rc = 0;
    cJSON_ArrayForEach(c, ceilings)
    {
        const cJSON *value = c->string ? cfg_path_get(document, c->string) : NULL;
        const cJSON *limit = cJSON_IsObject(c) ? cfg_json_get(c, "lowest") : c;
        const char *worker = cfg_json_get_str(c, "worker", NULL);
        char expected[48];
        if (rc != 0 || !cJSON_IsNumber(limit) || !cJSON_IsNumber(value) || value->valuedouble <= limit->valuedouble)
            continue;
        (void)snprintf(expected, sizeof expected, "at most %.17g", limit->valuedouble);
        rc = report(violations, c->string, "ceiling", expected, value);
        if (rc == 0 && worker &&
            !cJSON_AddStringToObject(cJSON_GetArrayItem(violations, cJSON_GetArraySize(violations) - 1), "worker",
                                     worker))
            rc = CFG_E_NOMEM;
    }
    return rc;
}
