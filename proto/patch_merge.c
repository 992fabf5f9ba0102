/* RFC 7396 merge patches. */
#include "proto/patch.h"

#include <stdlib.h>
#include <string.h>

static int merge_object(cJSON *target, const cJSON *patch);

enum { FEW_LOOKUPS = 16 }; /* up to here searching pays more than sorting */

static int compare_key(const void *key, const void *member)
{
    const cJSON *const *m = member;
    return cfg_json_key_cmp(key, (*m)->string);
}

/* What `value` makes of a member that is `old` (NULL: absent), returned-owned; old stays. NULL without memory. */
static cJSON *merged_copy(const cJSON *value)
{
    if (!cJSON_IsObject(value))
        return cJSON_Duplicate(value, true);
    cJSON *object = cJSON_CreateObject(); /* an object merges into nothing as into {}: its nulls go */
    if (object && merge_object(object, value)) {
        cJSON_Delete(object);
        object = NULL;
    }
    return object;
}

static int merge_member(cJSON *target, cJSON *old, const cJSON *value)
{
    if (cJSON_IsNull(value)) {
        if (old)
            cJSON_Delete(cJSON_DetachItemViaPointer(target, old));
        return 0;
    }
    if (cJSON_IsObject(value) && cJSON_IsObject(old))
        return merge_object(old, value);
    cJSON *made = merged_copy(value);
    if (made == NULL)
        return CFG_E_NOMEM;
    size_t size = strlen(value->string) + 1;
    char *key = cJSON_malloc(size);
    if (key == NULL) {
        cJSON_Delete(made);
        return CFG_E_NOMEM;
    }
    memcpy(key, value->string, size);
    cfg_json_forget_key(made);
    made->string = key;
    if (old)
        (void)cJSON_ReplaceItemViaPointer(target, old, made); /* these two fail on NULL arguments only */
    else
        (void)cJSON_AddItemToArray(target, made);
    return 0;
}

static int merge_few(cJSON *target, const cJSON *patch)
{
    int code = 0;
    for (const cJSON *value = patch->child; value && code == 0; value = value->next)
        code = merge_member(target, cfg_json_get(target, value->string), value);
    return code;
}

/* Looks every member up in sorted order before the first one changes. The patch names no key twice. */
static int merge_many(cJSON *target, const cJSON *patch, size_t n)
{
    const cJSON **sorted = NULL;
    size_t n_sorted = 0, i = 0;
    cJSON **old = calloc(n, sizeof *old);
    int code = old ? cfg_json_sorted(&sorted, &n_sorted, target) : CFG_E_NOMEM;
    for (const cJSON *value = patch->child; value && code == 0 && n_sorted > 0; value = value->next) {
        /* The array holds const nodes because cfg_json_sorted takes a const object; this one is ours. */
        cJSON *const *found = bsearch(value->string, sorted, n_sorted, sizeof *sorted, compare_key);
        old[i++] = found ? *found : NULL;
    }
    i = 0;
    for (const cJSON *value = patch->child; value && code == 0; value = value->next)
        code = merge_member(target, old[i++], value);
    free(sorted);
    free(old);
    return code;
}

/* Bounded in depth by the patch. */
static int merge_object(cJSON *target, const cJSON *patch)
{
    size_t n = (size_t)cJSON_GetArraySize(patch);
    return n <= FEW_LOOKUPS ? merge_few(target, patch) : merge_many(target, patch, n);
}

int cfg_patch_merge(cJSON **out, const cJSON *doc, const cJSON *patch, struct cfg_error *err)
{
    cJSON *result = NULL;
    int code = CFG_E_NOMEM;
    if (cJSON_IsObject(patch) && cJSON_IsObject(doc)) {
        result = cJSON_Duplicate(doc, true);
        code = result ? merge_object(result, patch) : CFG_E_NOMEM;
    } else {
        result = merged_copy(patch);
        code = result ? 0 : CFG_E_NOMEM;
    }
    if (code) {
        cJSON_Delete(result);
        return cfg_fail(err, code, "out of memory");
    }
    cfg_json_forget_key(result);
    *out = result;
    return 0;
}
