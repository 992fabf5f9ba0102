/* Two JSON texts with a byte FF between them, as document and patch: applying fails or gives a tree and leaves its
 * arguments alone, merging twice is merging once, and the difference of the two, applied to one, gives the other. */
#include "proto/patch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_apply(const cJSON *doc, const cJSON *patch)
{
    cJSON *before = cJSON_Duplicate(doc, true), *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_patch_apply(&out, doc, patch, &err);
    if (code ? out != NULL || err.text[0] == '\0' : out == NULL)
        abort();
    if (!cfg_json_equal(before, doc))
        abort();
    cJSON_Delete(before);
    cJSON_Delete(out);
}

static void check_merge(const cJSON *doc, const cJSON *patch)
{
    cJSON *once = NULL, *twice = NULL;
    if (cfg_patch_merge(&once, doc, patch, NULL) != 0 || cfg_patch_merge(&twice, once, patch, NULL) != 0)
        abort();
    if (!cfg_json_equal(once, twice))
        abort();
    cJSON_Delete(once);
    cJSON_Delete(twice);
}

static void check_diff(const cJSON *a, const cJSON *b)
{
    cJSON *patch = cfg_patch_diff(a, b), *people = cfg_patch_describe(a, b), *out = NULL;
    if (patch == NULL || people == NULL || cfg_patch_apply(&out, a, patch, NULL) != 0 || !cfg_json_equal(out, b))
        abort();
    if (cJSON_GetArraySize(patch) != cJSON_GetArraySize(people))
        abort();
    cJSON_Delete(patch);
    cJSON_Delete(people);
    cJSON_Delete(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *cut = n ? memchr(bytes, 0xFF, n) : NULL;
    if (cut == NULL)
        return 0;
    cJSON *doc = NULL, *patch = NULL;
    size_t first = (size_t)(cut - bytes);
    if (cfg_json_parse(&doc, (struct cfg_slice){(const char *)bytes, first}, 0, NULL) == 0 &&
        cfg_json_parse(&patch, (struct cfg_slice){(const char *)cut + 1, n - first - 1}, 0, NULL) == 0) {
        check_apply(doc, patch);
        check_merge(doc, patch);
        check_diff(doc, patch);
        check_diff(patch, doc);
    }
    cJSON_Delete(doc);
    cJSON_Delete(patch);
    return 0;
}
