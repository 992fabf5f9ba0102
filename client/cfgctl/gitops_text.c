/* What becomes of every object, in words and as a tree. */
#include "client/cfgctl/gitops.h"
#include "client/cfgctl/plan.h"
#include "proto/patch.h"

#include <stdio.h>
#include <string.h>

enum { VERSIONS_SHOWN = 5, LINES_SHOWN = 12 };

size_t gitops_conflicts(const struct gitops *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += reconcile_conflicts(g->objects[i].action);
    return n;
}

static void put_name(struct cfg_buf *out, const struct gitops_object *o)
{
    char object[GITOPS_OBJECT_ROOM];
    gitops_object_text(object, o);
    plan_put_object(out, object);
    if (o->file)
        cfg_buf_printf(out, " (%s)", o->file);
}

static void put_why(struct cfg_buf *out, const struct gitops_object *o)
{
    switch (o->action) {
    case RECONCILE_DRIFT:
        cfg_buf_printf(out, ": changed outside the files since v%.0f", o->last_version);
        break;
    case RECONCILE_CLASH:
        cfg_buf_printf(out, ": changed in the file, and outside of it since v%.0f", o->last_version);
        break;
    case RECONCILE_REMOVED:
        cfg_buf_printf(out, ": deleted outside the files since v%.0f", o->last_version);
        break;
    case RECONCILE_FOREIGN:
        cfg_buf_printf(out, ": is there already, at v%.0f, and was not made from these files", o->version);
        break;
    case RECONCILE_DELETE:
        cfg_buf_puts(out, ": no file has it any more");
        break;
    case RECONCILE_LEFT:
        cfg_buf_puts(out, ": no file has it any more; --prune deletes it");
        break;
    default:
        break;
    }
    cfg_buf_putc(out, '\n');
}

/* Who wrote since, newest first. */
static void put_versions(struct cfg_buf *out, const struct gitops_object *o)
{
    const cJSON *v;
    int n = 0, total = cJSON_GetArraySize(o->outside);
    cJSON_ArrayForEach(v, o->outside)
    {
        char age[32];
        const char *message = cfg_json_get_str(v, "message", "");
        if (n++ == VERSIONS_SHOWN) {
            cfg_buf_printf(out, "    … and %d more\n", total - VERSIONS_SHOWN);
            return;
        }
        cfg_buf_printf(out, "    v%.0f by ", cfg_json_get_num(v, "version", 0));
        cli_put_text(out, cfg_json_get_str(v, "author", "?"));
        cfg_buf_printf(out, ", %s ago", cli_age(age, cfg_json_get_str(v, "time", "")));
        cfg_buf_puts(out, cfg_json_get_bool(v, "deleted", false) ? ", deleted" : "");
        cfg_buf_puts(out, message[0] ? ": " : "");
        cli_put_text(out, message);
        cfg_buf_putc(out, '\n');
    }
}

/* A namespace's document without the words around it. */
static const char *short_path(const struct gitops_object *o, const char *path)
{
    static const char document[] = "document.";
    bool inside = o->kind == GITOPS_CONFIG && strncmp(path, document, sizeof document - 1) == 0;
    return inside ? path + sizeof document - 1 : path;
}

/* What others changed; of what was never ours, what the file would change. */
static void put_difference(struct cfg_buf *out, const struct gitops_object *o, bool color)
{
    bool foreign = o->action == RECONCILE_FOREIGN;
    cJSON *changes = cfg_patch_describe(foreign ? o->head : o->last, foreign ? o->wanted : o->head);
    const cJSON *change;
    int n = 0, total = cJSON_GetArraySize(changes);
    cJSON_ArrayForEach(change, changes)
    {
        const char *path = short_path(o, cfg_json_get_str(change, "path", "?"));
        if (n++ == LINES_SHOWN) {
            cfg_buf_printf(out, "  … and %d more\n", total - LINES_SHOWN);
            break;
        }
        plan_put_change(out, change, path, color);
    }
    cJSON_Delete(changes);
}

void gitops_describe(struct cfg_buf *out, const struct gitops *g, bool color)
{
    static const char signs[] = "  +~-?!!!!";
    size_t counts[RECONCILE_FOREIGN + 1] = {0};
    for (size_t i = 0; i < g->n; i++) {
        const struct gitops_object *o = &g->objects[i];
        counts[o->action]++;
        if (o->action == RECONCILE_NONE || o->action == RECONCILE_SAME)
            continue;
        cfg_buf_printf(out, "%c ", signs[o->action]);
        put_name(out, o);
        put_why(out, o);
        if (!reconcile_conflicts(o->action))
            continue;
        put_versions(out, o);
        if (o->head && (o->last || o->action == RECONCILE_FOREIGN))
            put_difference(out, o, color);
    }
    cfg_buf_printf(out, "%s: %zu new, %zu changed, %zu gone, %zu as they are", g->source, counts[RECONCILE_CREATE],
                   counts[RECONCILE_UPDATE], counts[RECONCILE_DELETE], counts[RECONCILE_SAME]);
    if (gitops_conflicts(g) > 0)
        cfg_buf_printf(out, ", %zu in conflict", gitops_conflicts(g));
    cfg_buf_putc(out, '\n');
}

static cJSON *object_tree(const struct gitops_object *o)
{
    char object[GITOPS_OBJECT_ROOM];
    cJSON *t = cJSON_CreateObject();
    gitops_object_text(object, o);
    bool good = cJSON_AddStringToObject(t, "object", object) &&
                cJSON_AddStringToObject(t, "action", reconcile_name(o->action)) &&
                cJSON_AddNumberToObject(t, "version", o->version) &&
                cJSON_AddNumberToObject(t, "last", o->last_version);
    if (good && o->file)
        good = cJSON_AddStringToObject(t, "file", o->file) != NULL;
    if (good && o->outside && reconcile_conflicts(o->action))
        good = cfg_json_set(t, "outside", cJSON_Duplicate(o->outside, true)) == 0;
    if (good)
        return t;
    cJSON_Delete(t);
    return NULL;
}

cJSON *gitops_tree(const struct gitops *g)
{
    cJSON *all = cJSON_CreateArray();
    for (size_t i = 0; all && i < g->n; i++) {
        cJSON *one = g->objects[i].action == RECONCILE_NONE ? NULL : object_tree(&g->objects[i]);
        if (g->objects[i].action == RECONCILE_NONE || (one && cJSON_AddItemToArray(all, one)))
            continue;
        cJSON_Delete(one);
        cJSON_Delete(all);
        return NULL;
    }
    return all;
}
