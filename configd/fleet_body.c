#include "configd/fleet_body.h"

#include "proto/limits.h"

#include <string.h>

enum { TEXT_MAX_BYTES = 255 };

int fleet_invalid(struct cfg_error *err, const char *key, const char *must)
{
    (void)cfg_fail(err, CFG_E_INVALID, "%s must be %s", key, must);
    cfg_error_set_path(err, "%s", key);
    return CFG_E_INVALID;
}

int fleet_check_text(const cJSON *body, const char *key, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(body, key);
    if (v && !cJSON_IsNull(v) && (!cJSON_IsString(v) || strlen(v->valuestring) > TEXT_MAX_BYTES))
        return fleet_invalid(err, key, "a string of at most 255 bytes");
    return 0;
}

int fleet_check_count(const cJSON *body, const char *key, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(body, key);
    uint64_t n;
    if (v && cfg_json_need_u64(body, key, &n, NULL) != 0)
        return fleet_invalid(err, key, "an integer of 0 or more");
    return 0;
}

int fleet_check_kind(const cJSON *body, const char *key, bool object, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(body, key);
    if (v && !(object ? cJSON_IsObject(v) : cJSON_IsArray(v)))
        return fleet_invalid(err, key, object ? "an object" : "an array");
    return 0;
}

char *fleet_print(const cJSON *v)
{
    struct cfg_buf text;
    cfg_buf_init(&text, FLEET_KEPT_MAX);
    cfg_json_print(&text, v);
    char *copy = cfg_buf_status(&text) == 0 ? cfg_slice_dup(cfg_buf_slice(&text)) : NULL;
    cfg_buf_finish(&text);
    return copy;
}

cJSON *fleet_parse(const char *text)
{
    cJSON *v = NULL;
    return text && cfg_json_parse(&v, cfg_slice_str(text), CFG_LIMIT_DEPTH + 8, NULL) == 0 ? v : NULL;
}

/* --- replies --- */

void fleet_put(struct fleet_reply *r, cJSON *o, const char *key, cJSON *value)
{
    if (o && value && cJSON_AddItemToObject(o, key, value))
        return;
    cJSON_Delete(value);
    r->failed = true;
}

void fleet_put_text(struct fleet_reply *r, cJSON *o, const char *key, const char *text)
{
    fleet_put(r, o, key, cJSON_CreateString(text));
}

void fleet_put_number(struct fleet_reply *r, cJSON *o, const char *key, double n)
{
    fleet_put(r, o, key, cJSON_CreateNumber(n));
}

void fleet_put_bool(struct fleet_reply *r, cJSON *o, const char *key, bool b)
{
    fleet_put(r, o, key, cJSON_CreateBool(b));
}

void fleet_put_copy(struct fleet_reply *r, cJSON *o, const char *key, const cJSON *from, cJSON *(*otherwise)(void))
{
    const cJSON *v = cfg_json_get(from, key);
    fleet_put(r, o, key, v ? cJSON_Duplicate(v, true) : otherwise());
}

cJSON *fleet_add_entry(struct fleet_reply *r, cJSON *array)
{
    cJSON *o = cJSON_CreateObject();
    if (array && o && cJSON_AddItemToArray(array, o))
        return o;
    cJSON_Delete(o);
    r->failed = true;
    return NULL;
}

void fleet_add_text(struct fleet_reply *r, cJSON *array, const char *text)
{
    cJSON *item = cJSON_CreateString(text);
    if (item && array && cJSON_AddItemToArray(array, item))
        return;
    cJSON_Delete(item);
    r->failed = true;
}

cJSON *fleet_put_array(struct fleet_reply *r, cJSON *o, const char *key)
{
    cJSON *v = cJSON_CreateArray();
    fleet_put(r, o, key, v);
    return r->failed ? NULL : v;
}

cJSON *fleet_put_object(struct fleet_reply *r, cJSON *o, const char *key)
{
    cJSON *v = cJSON_CreateObject();
    fleet_put(r, o, key, v);
    return r->failed ? NULL : v;
}

cJSON *fleet_finish(const struct fleet_reply *r, cJSON *whole)
{
    if (!r->failed)
        return whole;
    cJSON_Delete(whole);
    return NULL;
}
