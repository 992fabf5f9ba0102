#include "configd/lock.h"

#include <string.h>

enum { FORMAT = 1 };

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* The lock's own digest covers everything but itself. */
static int digest_of(char out[CFG_DIGEST_TEXT], const cJSON *lock)
{
    cJSON *copy = cJSON_Duplicate(lock, true);
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "lock_digest");
    int rc = copy ? cfg_digest_json(out, copy) : CFG_E_NOMEM;
    cJSON_Delete(copy);
    return rc;
}

int cfg_lock_seal(cJSON *lock, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    if (cfg_json_set(lock, "lock", cJSON_CreateNumber(FORMAT)) != 0 || digest_of(digest, lock) != 0 ||
        cfg_json_set(lock, "lock_digest", cJSON_CreateString(digest)) != 0)
        return no_memory(err);
    return 0;
}

static int bad(struct cfg_error *err, const char *member, const char *why)
{
    (void)cfg_fail(err, CFG_E_VALUE, "the lock's %s %s", member, why);
    cfg_error_set_path(err, "lock.%s", member);
    cfg_error_set_hint(err, "use the file as cfgctl lock wrote it");
    return CFG_E_VALUE;
}

static int check_digest(const cJSON *value, const cJSON *lock, const char *member, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    if (cfg_digest_json(digest, value) != 0)
        return no_memory(err);
    return strcmp(digest, cfg_json_get_str(lock, member, "")) == 0
               ? 0
               : bad(err, member, "does not fit its content: it was changed since it was made");
}

static int check_names(const cJSON *lock, struct cfg_error *err)
{
    int rc = cfg_check_name("namespace", cfg_slice_str(cfg_json_get_str(lock, "config", "")), err);
    const cJSON *item, *flags = cfg_json_get(lock, "flags"), *keys = cfg_json_get(lock, "pin_keys");
    if (rc == 0 && !cJSON_IsArray(flags))
        rc = bad(err, "flags", "must be an array of namespaces");
    if (rc == 0 && !cJSON_IsArray(keys))
        rc = bad(err, "pin_keys", "must be an array of paths");
    cJSON_ArrayForEach(item, flags)
    {
        if (rc == 0)
            rc = cJSON_IsString(item) ? cfg_check_name("flag namespace", cfg_slice_str(item->valuestring), err)
                                      : bad(err, "flags", "must be an array of namespaces");
    }
    cJSON_ArrayForEach(item, keys)
    {
        if (rc == 0)
            rc = cJSON_IsString(item) ? cfg_path_check(cfg_slice_str(item->valuestring), err)
                                      : bad(err, "pin_keys", "must be an array of paths");
    }
    return rc;
}

static int check_view(const cJSON *lock, struct cfg_error *err)
{
    static const char *const parts[] = {"parameters", "pinned", "flags"};
    const cJSON *view = cfg_json_get(lock, "view"), *m;
    size_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!cJSON_IsObject(cfg_json_get(view, parts[i])))
            return bad(err, "view", "must hold parameters, pinned and flags");
    cJSON_ArrayForEach(m, view)
    {
        n++;
    }
    if (n != sizeof parts / sizeof parts[0])
        return bad(err, "view", "must hold parameters, pinned and flags alone");
    int rc = cfg_path_check_document(cfg_json_get(view, "parameters"), err);
    rc = rc ? rc : cfg_path_check_document(cfg_json_get(view, "pinned"), err);
    rc = rc ? rc : check_digest(view, lock, "digest", err);
    return rc ? rc : check_digest(cfg_json_get(view, "pinned"), lock, "pin_digest", err);
}

int cfg_lock_check(const cJSON *lock, struct cfg_error *err)
{
    char digest[CFG_DIGEST_TEXT];
    struct cfg_release release = {0};
    if (!cJSON_IsObject(lock) || cfg_json_get_num(lock, "lock", 0) < 1)
        return cfg_fail(err, CFG_E_VALUE, "this is no lock: it has no member \"lock\" with the format's number");
    if (cfg_json_get_num(lock, "lock", 0) > FORMAT)
        return cfg_fail(err, CFG_E_UNSUPPORTED, "the lock's format is %.0f; this configd reads %d",
                        cfg_json_get_num(lock, "lock", 0), FORMAT);
    if (digest_of(digest, lock) != 0)
        return no_memory(err);
    if (strcmp(digest, cfg_json_get_str(lock, "lock_digest", "")) != 0)
        return bad(err, "lock_digest", "does not fit its content: the file was changed since it was made");
    int rc = check_names(lock, err);
    rc = rc ? rc : check_view(lock, err);
    const cJSON *versions = cfg_json_get(lock, "release");
    if (rc == 0 && (!cJSON_IsObject(versions) || versions->child)) /* {}: nothing of it is in this store */
        rc = cfg_release_read(&release, versions, err);
    cfg_release_finish(&release);
    if (rc == 0 && !cJSON_IsArray(cfg_json_get(lock, "inputs")))
        rc = bad(err, "inputs", "must be an array");
    return rc;
}

cJSON *cfg_lock_content(const cJSON *lock)
{
    const cJSON *view = cfg_json_get(lock, "view");
    cJSON *content = cJSON_CreateObject();
    /* All of them in any case, so that nothing leaks when one fails. */
    bool ok = cfg_json_set(content, "digest", cJSON_Duplicate(cfg_json_get(lock, "digest"), true)) == 0;
    ok = cfg_json_set(content, "inputs", cJSON_Duplicate(cfg_json_get(lock, "inputs"), true)) == 0 && ok;
    ok = cfg_json_set(content, "parameters", cJSON_Duplicate(cfg_json_get(view, "parameters"), true)) == 0 && ok;
    ok = cfg_json_set(content, "flags", cJSON_Duplicate(cfg_json_get(view, "flags"), true)) == 0 && ok;
    if (!ok) {
        cJSON_Delete(content);
        return NULL;
    }
    return content;
}

const char *cfg_lock_input(const cJSON *lock, const char *object, uint64_t version)
{
    const cJSON *input;
    cJSON_ArrayForEach(input, cfg_json_get(lock, "inputs"))
    {
        if (strcmp(cfg_json_get_str(input, "object", ""), object) == 0 &&
            cfg_json_get_num(input, "version", 0) == (double)version)
            return cfg_json_get_str(input, "digest", NULL);
    }
    return NULL;
}
