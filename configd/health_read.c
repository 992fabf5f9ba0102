#include "configd/health_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ids are decimal strings there, hexadecimal everywhere people see them. */
static bool add_id(cJSON *out, const char *name, const char *decimal)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llx", strtoull(decimal, NULL, 10));
    return cJSON_AddStringToObject(out, name, text) != NULL;
}

static bool add_member(cJSON *list, const cJSON *m)
{
    const cJSON *urls = cfg_json_get(m, "clientURLs");
    cJSON *out = cJSON_CreateObject();
    bool ok = add_id(out, "id", cfg_json_get_str(m, "ID", "0")) &&
              cJSON_AddStringToObject(out, "name", cfg_json_get_str(m, "name", "")) &&
              cJSON_AddBoolToObject(out, "learner", cfg_json_get_bool(m, "isLearner", false)) &&
              cfg_json_set(out, "urls", urls ? cJSON_Duplicate(urls, true) : cJSON_CreateArray()) == 0;
    if (ok && cJSON_AddItemToArray(list, out))
        return true;
    cJSON_Delete(out);
    return false;
}

static bool add_alarm(cJSON *list, const cJSON *a)
{
    cJSON *out = cJSON_CreateObject();
    if (add_id(out, "member", cfg_json_get_str(a, "memberID", "0")) &&
        cJSON_AddStringToObject(out, "alarm", cfg_json_get_str(a, "alarm", "NONE")) && cJSON_AddItemToArray(list, out))
        return true;
    cJSON_Delete(out);
    return false;
}

static cJSON *read_list(struct cfg_slice body, const char *member, bool (*add)(cJSON *list, const cJSON *item))
{
    cJSON *tree = NULL, *list = NULL;
    const cJSON *item;
    if (cfg_json_parse(&tree, body, 0, NULL) != 0 || !cJSON_IsObject(tree)) {
        cJSON_Delete(tree);
        return NULL;
    }
    list = cJSON_CreateArray();
    cJSON_ArrayForEach(item, cfg_json_get(tree, member))
    {
        if (list && !add(list, item)) {
            cJSON_Delete(list);
            list = NULL;
        }
    }
    cJSON_Delete(tree);
    return list;
}

cJSON *cfg_health_members(struct cfg_slice body)
{
    return read_list(body, "members", add_member);
}

cJSON *cfg_health_alarms(struct cfg_slice body)
{
    return read_list(body, "alarms", add_alarm);
}

double cfg_health_metric(struct cfg_slice text, const char *name, double fallback)
{
    size_t len = strlen(name);
    const char *p = text.ptr, *end = text.ptr + text.len;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = newline ? (size_t)(newline - p) : (size_t)(end - p);
        if (n > len + 1 && n - len < 40 && memcmp(p, name, len) == 0 && p[len] == ' ') {
            char number[40], *rest;
            memcpy(number, p + len + 1, n - len - 1);
            number[n - len - 1] = '\0';
            double value = strtod(number, &rest);
            return rest != number ? value : fallback;
        }
        p += n + 1;
    }
    return fallback;
}
