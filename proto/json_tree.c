/* Reading JSON trees: order of keys, equality, typed members. */
#include "proto/json.h"
#include "proto/json_number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rank of a byte of the tree's UTF-8 so that comparing ranks compares UTF-16 code units. Bytes order as code points do,
 * with two exceptions: a supplementary character (lead F0..F4) is a surrogate pair in UTF-16 and so comes before
 * U+E000..U+FFFF (leads EE, EF); and U+0000, spelt C0 80, comes before all others. Where two texts first differ, either
 * both bytes are leads or the leads were equal, so the rule may look at single bytes. */
static int utf16_rank(unsigned char c)
{
    if (c == 0xEE || c == 0xEF)
        return c + 0x100;
    if (c == 0xC0)
        return 1;
    return c ? c + 1 : 0;
}

int cfg_json_key_cmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return utf16_rank((unsigned char)*a) - utf16_rank((unsigned char)*b);
}

static int compare_nodes(const void *left, const void *right)
{
    const cJSON *const *a = left, *const *b = right;
    return cfg_json_key_cmp((*a)->string, (*b)->string);
}

int cfg_json_sorted(const cJSON ***out, size_t *n, const cJSON *object)
{
    size_t count = 0;
    for (const cJSON *m = object->child; m; m = m->next)
        count++;
    const cJSON **members = NULL;
    if (count > 0) {
        members = malloc(count * sizeof *members);
        if (members == NULL)
            return CFG_E_NOMEM;
        size_t i = 0;
        for (const cJSON *m = object->child; m; m = m->next)
            members[i++] = m;
        qsort(members, count, sizeof *members, compare_nodes);
    }
    *out = members;
    *n = count;
    return 0;
}

/* Every member of a has an equal one in b. Without memory for sorting: one look-up per member. */
static bool members_found(const cJSON *a, const cJSON *b)
{
    for (const cJSON *m = a->child; m; m = m->next) {
        const cJSON *other = cfg_json_get(b, m->string);
        if (other == NULL || !cfg_json_equal(m, other))
            return false;
    }
    return true;
}

static bool sorted_members_equal(const cJSON *a, const cJSON *b)
{
    const cJSON **left = NULL, **right = NULL;
    size_t n_left = 0, n_right = 0;
    bool equal = false;
    if (cfg_json_sorted(&left, &n_left, a) || cfg_json_sorted(&right, &n_right, b)) {
        free(left);
        return cJSON_GetArraySize(a) == cJSON_GetArraySize(b) && members_found(a, b);
    }
    if (n_left == n_right) {
        size_t i = 0;
        while (i < n_left && strcmp(left[i]->string, right[i]->string) == 0 && cfg_json_equal(left[i], right[i]))
            i++;
        equal = i == n_left;
    }
    free(left);
    free(right);
    return equal;
}

/* Objects mostly come in the same order: walk both, and sort only from where the orders differ. */
static bool objects_equal(const cJSON *a, const cJSON *b)
{
    const cJSON *x = a->child, *y = b->child;
    while (x && y && strcmp(x->string, y->string) == 0) {
        if (!cfg_json_equal(x, y))
            return false;
        x = x->next;
        y = y->next;
    }
    if (x == NULL || y == NULL)
        return x == y;
    return sorted_members_equal(a, b);
}

static bool arrays_equal(const cJSON *a, const cJSON *b)
{
    const cJSON *x = a->child, *y = b->child;
    for (; x && y; x = x->next, y = y->next)
        if (!cfg_json_equal(x, y))
            return false;
    return x == y;
}

bool cfg_json_equal(const cJSON *a, const cJSON *b)
{
    if (cJSON_IsObject(a))
        return cJSON_IsObject(b) && objects_equal(a, b);
    if (cJSON_IsArray(a))
        return cJSON_IsArray(b) && arrays_equal(a, b);
    if (cJSON_IsString(a))
        return cJSON_IsString(b) && strcmp(a->valuestring, b->valuestring) == 0;
    if (cJSON_IsNumber(a))
        return cJSON_IsNumber(b) && a->valuedouble == b->valuedouble;
    if (cJSON_IsBool(a))
        return cJSON_IsBool(b) && cJSON_IsTrue(a) == cJSON_IsTrue(b);
    return cJSON_IsNull(a) && cJSON_IsNull(b);
}

const char *cfg_json_type(const cJSON *v)
{
    if (cJSON_IsObject(v))
        return "object";
    if (cJSON_IsArray(v))
        return "array";
    if (cJSON_IsString(v))
        return "string";
    if (cJSON_IsNumber(v))
        return "number";
    return cJSON_IsBool(v) ? "boolean" : "null";
}

cJSON *cfg_json_get(const cJSON *o, const char *key)
{
    return cJSON_IsObject(o) ? cJSON_GetObjectItemCaseSensitive(o, key) : NULL;
}

void cfg_json_forget_key(cJSON *v)
{
    if (!(v->type & cJSON_StringIsConst))
        cJSON_free(v->string);
    v->type &= ~cJSON_StringIsConst;
    v->string = NULL;
}

int cfg_json_set(cJSON *object, const char *key, cJSON *value)
{
    size_t size = strlen(key) + 1;
    char *copy = value ? cJSON_malloc(size) : NULL;
    if (copy == NULL) {
        cJSON_Delete(value);
        return CFG_E_NOMEM;
    }
    memcpy(copy, key, size);
    cfg_json_forget_key(value);
    value->string = copy;
    cJSON *old = cfg_json_get(object, key);
    if (old)
        (void)cJSON_ReplaceItemViaPointer(object, old, value); /* fails on NULL arguments only */
    else
        (void)cJSON_AddItemToArray(object, value); /* the key is in place; AddItemToObject would copy it again */
    return 0;
}

const char *cfg_json_get_str(const cJSON *o, const char *key, const char *fallback)
{
    const cJSON *v = cfg_json_get(o, key);
    return cJSON_IsString(v) ? v->valuestring : fallback;
}

double cfg_json_get_num(const cJSON *o, const char *key, double fallback)
{
    const cJSON *v = cfg_json_get(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : fallback;
}

bool cfg_json_get_bool(const cJSON *o, const char *key, bool fallback)
{
    const cJSON *v = cfg_json_get(o, key);
    return cJSON_IsBool(v) ? cJSON_IsTrue(v) : fallback;
}

int cfg_json_need_u64(const cJSON *o, const char *key, uint64_t *out, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(o, key);
    int code = 0;
    if (v == NULL)
        code = cfg_fail(err, CFG_E_JSON, "\"%s\" is missing", key);
    else if (!cJSON_IsNumber(v) || v->valuedouble < 0 || v->valuedouble > CFG_JSON_MAX_INTEGER ||
             v->valuedouble != trunc(v->valuedouble))
        code = cfg_fail(err, CFG_E_JSON, "\"%s\" must be an integer from 0 to 2^53−1", key);
    if (code) {
        cfg_error_set_path(err, "%s", key);
        return code;
    }
    *out = (uint64_t)v->valuedouble;
    return 0;
}
