/* What a namespace's write means for the deployments that run it, told in its result. */
#include "configd/change_views.h"
#include "configd/release.h"

#include <stdio.h>
#include <string.h>

enum { PATHS_MAX = 32 }; /* told of one deployment */

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* Consumes entry, which may be NULL. */
static int push(cJSON *list, cJSON *entry, struct cfg_error *err)
{
    if (entry && cJSON_AddItemToArray(list, entry))
        return 0;
    cJSON_Delete(entry);
    return no_memory(err);
}

/* The version of the written namespace that each arm holds, and whether a rollout is under way there. */
static int add_held(cJSON *held, const struct cfg_deployment *d, const char *ns, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < d->n_arms && rc == 0; i++) {
        uint64_t version = cfg_release_version(&d->arms[i].release, ns);
        if (version == 0)
            continue;
        cJSON *entry = cJSON_CreateObject();
        bool ok = entry && cJSON_AddStringToObject(entry, "deployment", d->name) &&
                  cJSON_AddStringToObject(entry, "namespace", d->config) &&
                  cJSON_AddStringToObject(entry, "arm", d->arms[i].name) &&
                  (d->split.arm[0] == '\0' || cJSON_AddTrueToObject(entry, "rollout")) &&
                  cJSON_AddNumberToObject(entry, "version", (double)version);
        if (!ok) {
            cJSON_Delete(entry);
            return no_memory(err);
        }
        rc = push(held, entry, err);
    }
    return rc;
}

/* Deployments that share a view are told one by one. */
static int add_kept(cJSON *kept, const struct cfg_concern *c, struct cfg_error *err)
{
    const cJSON *item;
    int rc = 0;
    cJSON_ArrayForEach(item, c->composed->kept)
    {
        cJSON *entry = rc == 0 ? cJSON_Duplicate(item, true) : NULL;
        if (entry && cJSON_AddStringToObject(entry, "deployment", c->deployment.name) == NULL)
            rc = no_memory(err);
        if (rc == 0)
            rc = push(kept, entry, err);
        else
            cJSON_Delete(entry);
    }
    return rc;
}

static int add_affected(cJSON *affected, const struct cfg_concern *c, struct cfg_error *err)
{
    const cJSON *paths = c->composed->paths, *path = paths->child;
    cJSON *entry = cJSON_CreateObject();
    if (entry == NULL || cJSON_AddStringToObject(entry, "deployment", c->deployment.name) == NULL ||
        cJSON_AddStringToObject(entry, "namespace", c->deployment.config) == NULL) {
        cJSON_Delete(entry);
        return no_memory(err);
    }
    cJSON *list = cJSON_AddArrayToObject(entry, "paths");
    bool ok = list != NULL;
    for (int i = 0; path && ok && i < PATHS_MAX; path = path->next, i++)
        ok = cJSON_AddItemToArray(list, cJSON_CreateString(path->valuestring));
    int more = cJSON_GetArraySize(paths) - PATHS_MAX;
    if (ok && more > 0)
        ok = cJSON_AddNumberToObject(entry, "more", more) != NULL;
    if (!ok) {
        cJSON_Delete(entry);
        return no_memory(err);
    }
    return push(affected, entry, err);
}

/* A namespace that nobody runs may be incomplete: a base that others complete. */
static int hint_incomplete(struct cfg_bench *b, const struct cfg_draft *config, cJSON *result, struct cfg_error *err)
{
    struct cfg_closure closure;
    const struct cfg_release_options o = {.incomplete = false};
    struct cfg_error why = CFG_ERROR_INIT;
    cJSON *document = NULL;
    char hint[512];
    if (config->after == NULL || cfg_json_get(result, "hint"))
        return 0;
    int rc = cfg_spaces_closure(&closure, b, config->id.ns, true, err);
    if (rc != 0)
        return rc;
    if (!cfg_release_is_plain(&closure) && cfg_release_resolve(&document, NULL, &closure, &o, &why) != 0) {
        (void)snprintf(hint, sizeof hint, "%s cannot be run as it is: %s", config->id.ns, why.text);
        rc = why.code != CFG_E_NOMEM && cJSON_AddStringToObject(result, "hint", hint) ? 0 : no_memory(err);
    }
    cJSON_Delete(document);
    cfg_closure_finish(&closure);
    return rc;
}

int cfg_views_report(const struct cfg_views *v, struct cfg_bench *b, const struct cfg_draft *config, cJSON *result,
                     struct cfg_error *err)
{
    const struct cfg_touched_space *space = v->spaces;
    cJSON *held = cJSON_AddArrayToObject(result, "held"), *kept = cJSON_AddArrayToObject(result, "kept");
    cJSON *affected = cJSON_AddArrayToObject(result, "affected");
    bool run = false;
    int rc = held && kept && affected ? 0 : no_memory(err);
    while (rc == 0 && space->draft != config)
        space++;
    for (size_t i = 0; i < v->n && rc == 0; i++) {
        const struct cfg_concern *c = &v->concerns[i];
        if (!cfg_names_has(&space->above, c->deployment.config))
            continue;
        run = true;
        rc = add_held(held, &c->deployment, config->id.ns, err);
        if (rc == 0 && c->composed)
            rc = add_kept(kept, c, err);
        if (rc == 0 && c->composed && c->follows && !c->touched)
            rc = add_affected(affected, c, err);
    }
    return rc == 0 && !run ? hint_incomplete(b, config, result, err) : rc;
}
