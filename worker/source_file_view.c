/* What a file means: a whole view, or just a configuration document. Pure. */
#include "flags/flag.h"
#include "proto/limits.h"
#include "proto/path.h"
#include "worker/source.h"
#include <stdlib.h>
#include <string.h>

static bool is_view(const cJSON *root)
{
    return cJSON_IsObject(cfg_json_get(root, "parameters")) &&
           (cfg_json_get(root, "pinned") == NULL || cJSON_IsObject(cfg_json_get(root, "pinned"))) &&
           (cfg_json_get(root, "flags") == NULL || cJSON_IsObject(cfg_json_get(root, "flags")));
}

/* `"ab.flag": true` in a file stands for the envelope of a boolean flag that is on. */
static int expand_flags(cJSON *flags, struct cfg_error *err)
{
    const cJSON *ns = NULL;
    cJSON_ArrayForEach(ns, flags)
    {
        cJSON *flag = ns->child;
        while (flag != NULL) {
            cJSON *next = flag->next;
            if (cJSON_IsBool(flag)) {
                cJSON *envelope = cfg_flag_new_boolean(cJSON_IsTrue(flag) != 0);
                if (envelope == NULL ||
                    !cJSON_ReplaceItemInObjectCaseSensitive((cJSON *)(uintptr_t)ns, flag->string, envelope)) {
                    cJSON_Delete(envelope);
                    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
                }
            }
            flag = next;
        }
    }
    return 0;
}

/* Moves (or makes) the member `name` of `root` into `view`. */
static bool move_part(cJSON *view, cJSON *root, const char *name)
{
    cJSON *part = cJSON_DetachItemFromObjectCaseSensitive(root, name);
    if (part == NULL) {
        part = cJSON_CreateObject();
    }
    if (part == NULL || !cJSON_AddItemToObject(view, name, part)) {
        cJSON_Delete(part);
        return false;
    }
    return true;
}

/* Consumes root. */
static cJSON *build_view(cJSON *root)
{
    cJSON *view = cJSON_CreateObject();
    bool ok = view != NULL;
    if (ok && !is_view(root)) {
        cJSON *wrapped = cJSON_CreateObject();
        ok = wrapped != NULL && cJSON_AddItemToObject(wrapped, "parameters", root);
        if (!ok) {
            cJSON_Delete(wrapped);
            wrapped = NULL;
        } else {
            root = wrapped;
        }
    }
    ok = ok && move_part(view, root, "parameters") && move_part(view, root, "pinned") && move_part(view, root, "flags");
    cJSON_Delete(root);
    if (!ok) {
        cJSON_Delete(view);
        return NULL;
    }
    return view;
}

static int print_view(char **out, char digest[CFG_DIGEST_TEXT], const cJSON *view, struct cfg_error *err)
{
    char d[CFG_DIGEST_TEXT];
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_EVENT);
    cfg_json_print(&text, view);
    int rc = cfg_buf_status(&text);
    char *s = cfg_buf_steal(&text);
    cfg_buf_finish(&text);
    if (rc == 0) {
        rc = cfg_digest_json(d, view);
    }
    if (rc != 0 || s == NULL) {
        free(s);
        return cfg_fail(err, rc != 0 ? rc : CFG_E_NOMEM, "the file is too large, or memory is out");
    }
    memcpy(digest, d, sizeof d);
    *out = s;
    return 0;
}

int cfg_source_file_view(char **out, char digest[CFG_DIGEST_TEXT], struct cfg_slice text, struct cfg_error *err)
{
    if (text.len == 0) {
        return cfg_fail(err, CFG_E_JSON, "the file is empty");
    }
    cJSON *root = NULL;
    int rc = cfg_json_parse(&root, text, CFG_LIMIT_DEPTH + 4, err);
    if (rc != 0) {
        return rc;
    }
    if (!cJSON_IsObject(root)) {
        rc = cfg_fail(err, CFG_E_VALUE, "expected an object, found %s", cfg_json_type(root));
        cJSON_Delete(root);
        return rc;
    }
    cJSON *view = build_view(root);
    if (view == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    rc = cfg_path_check_document(cfg_json_get(view, "parameters"), err);
    if (rc == 0) {
        rc = expand_flags(cfg_json_get(view, "flags"), err);
    }
    if (rc == 0) {
        rc = print_view(out, digest, view, err);
    }
    cJSON_Delete(view);
    return rc;
}
