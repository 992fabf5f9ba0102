/* A name or path, a byte FF, and a document: names are checked, and get, set and remove agree about the document. */
#include "proto/path.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_names(struct cfg_slice text)
{
    static const char *const candidates[] = {"sampling.temperature", "batch_size", "a"};
    struct cfg_address address;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_check_name("namespace", text, &err) != 0 && err.text[0] == '\0')
        abort();
    if (cfg_check_id("worker", text, &err) != 0 && err.text[0] == '\0')
        abort();
    if (cfg_check_flag_name(text, &err) != 0 && err.text[0] == '\0')
        abort();
    if (cfg_address_parse(&address, text, true, &err) == 0 && address.name[0] &&
        cfg_path_check(cfg_slice_str(address.name), NULL) != 0)
        abort();
    char *name = cfg_slice_dup(text);
    if (name)
        (void)cfg_near_miss(name, candidates, sizeof candidates / sizeof candidates[0]); /* any answer will do */
    free(name);
}

static void check_set(const cJSON *doc, const char *path)
{
    cJSON *changed = cJSON_Duplicate(doc, true), *value = cJSON_CreateString("new");
    int code = cfg_path_set(changed, path, value, NULL);
    if (code ? !cfg_json_equal(changed, doc) : cfg_path_get(changed, path) != value)
        abort();
    if (code == 0 && cfg_path_remove(changed, path, NULL) != 0)
        abort();
    cJSON_Delete(changed);
    changed = cJSON_Duplicate(doc, true);
    bool existed = cfg_path_get(doc, path) != NULL;
    if ((cfg_path_remove(changed, path, NULL) == 0) != existed || cfg_json_equal(changed, doc) == existed)
        abort();
    cJSON_Delete(changed);
}

static bool leaf_is_found(const char *path, const cJSON *value, void *arg)
{
    if (cfg_path_get(arg, path) != value)
        abort();
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *cut = n ? memchr(bytes, 0xFF, n) : NULL;
    size_t first = cut ? (size_t)(cut - bytes) : n;
    struct cfg_slice text = {(const char *)bytes, first};
    check_names(text);
    cJSON *doc = NULL;
    char *path = cfg_slice_dup(text);
    if (path && cut && cfg_json_parse(&doc, (struct cfg_slice){(const char *)cut + 1, n - first - 1}, 0, NULL) == 0) {
        check_set(doc, path);
        if (cfg_path_check_document(doc, NULL) == 0 && !cfg_path_each_leaf(doc, leaf_is_found, doc))
            abort();
    }
    cJSON_Delete(doc);
    free(path);
    return 0;
}
