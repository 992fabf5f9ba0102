#include "client/cfgctl/restore_point.h"
#include "client/cfgctl/plan.h"
#include "proto/path.h"

#include <string.h>

/* "config/chat" is also called "chat". */
static bool is_excepted(const char *object, const cJSON *except)
{
    const char *slash = strchr(object, '/');
    const cJSON *e;
    cJSON_ArrayForEach(e, except)
    {
        if (cJSON_IsString(e) &&
            (strcmp(e->valuestring, object) == 0 || (slash && strcmp(e->valuestring, slash + 1) == 0)))
            return true;
    }
    return false;
}

/* NULL without memory. */
static cJSON *entry_of(const char *object, double if_version)
{
    cJSON *entry = cJSON_CreateObject();
    if (cJSON_AddStringToObject(entry, "object", object) && cJSON_AddNumberToObject(entry, "if_version", if_version))
        return entry;
    cJSON_Delete(entry);
    return NULL;
}

static bool add_entry(cJSON *changes, cJSON *entry)
{
    if (entry && cJSON_AddItemToArray(changes, entry))
        return true;
    cJSON_Delete(entry);
    return false;
}

/* A namespace that was not there is left: nothing of that time lies over it. */
static bool add_object(cJSON *changes, const cJSON *o, bool moves_release)
{
    const char *object = cfg_json_get_str(o, "object", "");
    double then = cfg_json_get_num(o, "then", 0);
    bool config = strncmp(object, "config/", 7) == 0;
    if (config && (moves_release || then < 1))
        return true;
    cJSON *entry = entry_of(object, cfg_json_get_num(o, "now", 0));
    if (entry && !(then < 1 ? cJSON_AddTrueToObject(entry, "delete") != NULL
                            : cJSON_AddNumberToObject(entry, "rollback_to", then) != NULL)) {
        cJSON_Delete(entry);
        return false;
    }
    return add_entry(changes, entry);
}

/* What the record itself says: the flag namespaces that it sees, and the release that it holds. */
static bool add_record(cJSON *changes, const cJSON *past, const cJSON *deployment, bool moves_release)
{
    const cJSON *base = cfg_json_get(cfg_json_get(deployment, "arms"), "base");
    const cJSON *release = cfg_json_get(past, "release"), *flags = cfg_json_get(past, "flags");
    bool move = moves_release && !cfg_json_equal(release, cfg_json_get(base, "release"));
    bool see = !cfg_json_equal(flags, cfg_json_get(deployment, "flags"));
    struct cfg_buf object;
    if (!move && !see)
        return true;
    cfg_buf_init(&object, 256);
    cfg_buf_printf(&object, "deployment/%s", cfg_json_get_str(deployment, "name", ""));
    cJSON *entry = cfg_buf_status(&object) == 0 ? entry_of(object.data, cfg_json_get_num(past, "now", 0)) : NULL;
    cfg_buf_finish(&object);
    cJSON *patch = cJSON_AddObjectToObject(entry, "patch");
    bool ok = patch != NULL;
    if (ok && move)
        ok = cfg_json_set(patch, "release", cJSON_Duplicate(release, true)) == 0;
    if (ok && see)
        ok = cfg_json_set(patch, "flags", cJSON_Duplicate(flags, true)) == 0;
    if (ok)
        return add_entry(changes, entry);
    cJSON_Delete(entry);
    return false;
}

/* One that follows now but held then gets the held versions into its namespaces. */
static bool add_held(cJSON *changes, const cJSON *past, const cJSON *deployment, const cJSON *except)
{
    const cJSON *now = cfg_json_get(cfg_json_get(cfg_json_get(deployment, "arms"), "base"), "release"), *item;
    cJSON_ArrayForEach(item, cfg_json_get(past, "held"))
    {
        struct cfg_buf object;
        double head = cfg_json_get_num(now, item->string, -1);
        if (head == item->valuedouble) /* versions are whole numbers */
            continue;
        cfg_buf_init(&object, 256);
        cfg_buf_printf(&object, "config/%s", item->string);
        bool skip = cfg_buf_status(&object) == 0 && is_excepted(object.data, except);
        cJSON *entry = skip || cfg_buf_status(&object) != 0 ? NULL : cJSON_CreateObject();
        bool ok = skip || (cJSON_AddStringToObject(entry, "object", object.data) &&
                           cJSON_AddNumberToObject(entry, "rollback_to", item->valuedouble) &&
                           (head < 1 || cJSON_AddNumberToObject(entry, "if_version", head)));
        cfg_buf_finish(&object);
        if (!skip && (!ok || !add_entry(changes, entry)))
            return false;
    }
    return true;
}

static int check(const cJSON *past, const cJSON *deployment, bool locked_now, struct cfg_error *err)
{
    bool locked_then = cfg_json_get_bool(past, "locked", false);
    const char *name = cfg_json_get_str(deployment, "name", "?");
    if (locked_then == locked_now)
        return 0;
    (void)cfg_fail(err, CFG_E_UNSUPPORTED, "%s %s a lock then and %s now: no change of values brings that back", name,
                   locked_then ? "ran" : "did not run", locked_now ? "does" : "does not");
    cfg_error_set_hint(err, "cfgctl history deployment/%s", name);
    return CFG_E_UNSUPPORTED;
}

int restore_point_changes(cJSON **out, const cJSON *past, const cJSON *deployment, const cJSON *except,
                          struct cfg_error *err)
{
    const cJSON *base = cfg_json_get(cfg_json_get(deployment, "arms"), "base"), *o;
    bool locked = cfg_json_get(base, "locked") != NULL;
    bool holds = !locked && strcmp(cfg_json_get_str(base, "follows", ""), "head") != 0;
    int rc = check(past, deployment, locked, err);
    if (rc != 0)
        return rc;
    cJSON *changes = cJSON_CreateArray();
    bool ok = changes && add_record(changes, past, deployment, holds);
    if (ok && !holds && !locked)
        ok = add_held(changes, past, deployment, except);
    cJSON_ArrayForEach(o, cfg_json_get(past, "objects"))
    {
        if (ok && !is_excepted(cfg_json_get_str(o, "object", ""), except))
            ok = add_object(changes, o, holds || locked);
    }
    int n = cJSON_GetArraySize(changes);
    if (ok && n <= CFG_LIMIT_CHANGE_OBJECTS) {
        *out = changes;
        return 0;
    }
    cJSON_Delete(changes);
    if (!ok)
        return cli_no_memory(err);
    (void)cfg_fail(err, CFG_E_LIMIT, "%d objects differ, and one change takes %d", n, CFG_LIMIT_CHANGE_OBJECTS);
    cfg_error_set_hint(err, "--except NS[,NS] leaves some as they are; -o json with --dry-run lists them");
    return CFG_E_LIMIT;
}

void restore_point_put(struct cfg_buf *out, const cJSON *changes)
{
    const cJSON *entry;
    bool first = true;
    cJSON_ArrayForEach(entry, changes)
    {
        double to = cfg_json_get_num(entry, "rollback_to", 0);
        cfg_buf_puts(out, first ? "" : ", ");
        first = false;
        plan_put_object(out, cfg_json_get_str(entry, "object", "?"));
        if (to > 0)
            cfg_buf_printf(out, " v%.0f", to);
        else
            cfg_buf_puts(out, cfg_json_get(entry, "delete") ? " (not there yet)" : " as it was");
    }
}
