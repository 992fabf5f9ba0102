/* A deployment's record, read into types. */
#include "configd/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int broken(const struct cfg_deployment *d, struct cfg_error *err, const char *what)
{
    return cfg_fail(err, CFG_E_VALUE, "deployment %s: %s is malformed", d->name, what);
}

static int read_flags(struct cfg_deployment *d, const cJSON *list, struct cfg_error *err)
{
    int n = cJSON_GetArraySize(list);
    if (n == 0)
        return 0;
    d->flags = calloc((size_t)n, sizeof *d->flags);
    if (d->flags == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item) || strlen(item->valuestring) > CFG_LIMIT_NAME)
            return broken(d, err, "flags");
        (void)snprintf(d->flags[d->n_flags++], sizeof *d->flags, "%s", item->valuestring);
    }
    return 0;
}

/* {"experiment/ab.flag": 7, …} */
static int read_arm_flags(struct cfg_arm *arm, const struct cfg_deployment *d, const cJSON *flags,
                          struct cfg_error *err)
{
    int n = cJSON_GetArraySize(flags);
    if (flags == NULL || n == 0)
        return 0;
    arm->flags = calloc((size_t)n, sizeof *arm->flags);
    if (arm->flags == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    const cJSON *item;
    cJSON_ArrayForEach(item, flags)
    {
        struct cfg_arm_flag *f = &arm->flags[arm->n_flags];
        const char *slash = item->string ? strchr(item->string, '/') : NULL;
        size_t ns = slash ? (size_t)(slash - item->string) : 0;
        if (slash == NULL || ns > CFG_LIMIT_NAME || strlen(slash + 1) > CFG_LIMIT_FLAG_NAME ||
            cfg_json_need_u64(flags, item->string, &f->version, NULL) != 0 || f->version == 0)
            return broken(d, err, "an arm's flags");
        f->id = (struct cfg_object_id){.kind = CFG_KIND_FLAG};
        memcpy(f->id.ns, item->string, ns);
        memcpy(f->id.name, slash + 1, strlen(slash + 1));
        arm->n_flags++;
    }
    return 0;
}

static int read_arm(struct cfg_arm *arm, const struct cfg_deployment *d, const cJSON *item, struct cfg_error *err)
{
    if (strlen(item->string) > CFG_LIMIT_NAME)
        return broken(d, err, "arms");
    (void)snprintf(arm->name, sizeof arm->name, "%s", item->string);
    int rc = read_arm_flags(arm, d, cfg_json_get(item, "flags"), err);
    if (rc != 0)
        return rc;
    if (strcmp(cfg_json_get_str(item, "follows", "head"), "fixed") != 0)
        return 0;
    const char *locked = cfg_json_get_str(item, "locked", "");
    const cJSON *release = cfg_json_get(item, "release");
    if (strlen(locked) >= sizeof arm->locked)
        return broken(d, err, "an arm's lock");
    (void)snprintf(arm->locked, sizeof arm->locked, "%s", locked);
    if (locked[0] && release == NULL)
        return 0;
    rc = cfg_release_read(&arm->release, release, err);
    if (rc == 0 && !locked[0] && cfg_release_version(&arm->release, d->config) == 0)
        return broken(d, err, "an arm's release");
    return rc;
}

static int read_arms(struct cfg_deployment *d, const cJSON *arms, struct cfg_error *err)
{
    int n = cJSON_GetArraySize(arms);
    if (!cJSON_IsObject(arms) || n == 0)
        return broken(d, err, "arms");
    d->arms = calloc((size_t)n, sizeof *d->arms);
    if (d->arms == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    const cJSON *item;
    cJSON_ArrayForEach(item, arms)
    {
        int rc = read_arm(&d->arms[d->n_arms++], d, item, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_fields(struct cfg_deployment *d, const char *name, cJSON *tree, struct cfg_error *err)
{
    const char *config = cfg_json_get_str(tree, "config", "");
    (void)snprintf(d->name, sizeof d->name, "%s", name);
    if (config[0] == '\0' || strlen(config) > CFG_LIMIT_NAME)
        return broken(d, err, "config");
    (void)snprintf(d->config, sizeof d->config, "%s", config);
    d->hold = strcmp(cfg_json_get_str(tree, "track", "head"), "hold") == 0;
    int rc = cfg_json_need_u64(tree, "generation", &d->generation, err);
    if (rc == 0)
        rc = read_flags(d, cfg_json_get(tree, "flags"), err);
    if (rc == 0)
        rc = read_arms(d, cfg_json_get(tree, "arms"), err);
    const cJSON *split = cfg_json_get(tree, "split");
    if (rc == 0 && split)
        rc = cfg_split_read(&d->split, split, err);
    if (rc != 0)
        return rc;
    d->pin_keys = cJSON_DetachItemFromObjectCaseSensitive(tree, "pin_keys");
    d->pin = cJSON_DetachItemFromObjectCaseSensitive(tree, "pin");
    d->adopted_stores = cJSON_DetachItemFromObjectCaseSensitive(tree, "adopted_stores");
    d->requires = cJSON_DetachItemFromObjectCaseSensitive(tree, "requires");
    if (!cJSON_IsArray(d->pin_keys) || !cJSON_IsObject(d->pin) || !cJSON_IsArray(d->adopted_stores))
        return broken(d, err, "pin, pin_keys or adopted_stores");
    const cJSON *key;
    cJSON_ArrayForEach(key, d->pin_keys)
    {
        if (!cJSON_IsString(key))
            return broken(d, err, "pin_keys");
    }
    cJSON_ArrayForEach(key, d->requires)
    {
        if (!cJSON_IsString(key))
            return broken(d, err, "requires");
    }
    return 0;
}

/* Consumes tree. */
static int read_tree(struct cfg_deployment *out, const char *name, cJSON *tree, struct cfg_error *err)
{
    if (tree == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    struct cfg_deployment d = {0};
    int rc = read_fields(&d, name, tree, err);
    cJSON_Delete(tree);
    if (rc != 0) {
        cfg_deployment_finish(&d);
        return rc;
    }
    *out = d;
    return 0;
}

int cfg_deployment_read(struct cfg_deployment *out, const struct cfg_object *o, struct cfg_error *err)
{
    if (o->deleted)
        return cfg_fail(err, CFG_E_NOT_FOUND, "deployment %s is deleted", o->id.ns);
    return read_tree(out, o->id.ns, cfg_object_tree(o), err);
}

int cfg_deployment_read_body(struct cfg_deployment *out, const char *name, const cJSON *body, struct cfg_error *err)
{
    return read_tree(out, name, cJSON_Duplicate(body, true), err);
}

void cfg_deployment_finish(struct cfg_deployment *d)
{
    for (size_t i = 0; i < d->n_arms; i++) {
        cfg_release_finish(&d->arms[i].release);
        free(d->arms[i].flags);
    }
    cfg_split_finish(&d->split);
    free(d->flags);
    free(d->arms);
    cJSON_Delete(d->pin_keys);
    cJSON_Delete(d->pin);
    cJSON_Delete(d->adopted_stores);
    cJSON_Delete(d->requires);
    *d = (struct cfg_deployment){0};
}

const struct cfg_arm *cfg_deployment_arm(const struct cfg_deployment *d, const char *name)
{
    for (size_t i = 0; i < d->n_arms; i++)
        if (strcmp(d->arms[i].name, name) == 0)
            return &d->arms[i];
    return NULL;
}

bool cfg_deployment_sees_flags(const struct cfg_deployment *d, const char *ns)
{
    for (size_t i = 0; i < d->n_flags; i++)
        if (strcmp(d->flags[i], ns) == 0)
            return true;
    return false;
}

uint64_t cfg_arm_flag_version(const struct cfg_arm *a, const struct cfg_object_id *flag)
{
    for (size_t i = 0; i < a->n_flags; i++)
        if (cfg_object_id_eq(&a->flags[i].id, flag))
            return a->flags[i].version;
    return 0;
}

const char *cfg_deployment_assign(const struct cfg_deployment *d, const char *group, const cJSON *labels)
{
    const char *arm = cfg_split_arm(&d->split, group, labels);
    return cfg_deployment_arm(d, arm) ? arm : CFG_ARM_BASE;
}

bool cfg_arm_follows(const struct cfg_arm *a)
{
    return a->release.n == 0 && a->locked[0] == '\0';
}

bool cfg_deployment_follows(const struct cfg_deployment *d)
{
    for (size_t i = 0; i < d->n_arms; i++)
        if (cfg_arm_follows(&d->arms[i]))
            return true;
    return false;
}
