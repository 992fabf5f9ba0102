#include "configd/hub_compose.h"

#include <stdlib.h>
#include <string.h>

enum { NEAR_MAX = 256 }; /* deployments looked at for a near miss */

struct objects {
    const struct cfg_object **v;
    size_t n, cap;
    bool failed;
};

static bool collect(struct cfg_object *o, void *arg)
{
    struct objects *all = arg;
    if (all->n == all->cap) {
        size_t cap = all->cap ? all->cap * 2 : 32;
        const struct cfg_object **v = realloc(all->v, cap * sizeof *v);
        if (v == NULL) {
            all->failed = true;
            return false;
        }
        all->v = v;
        all->cap = cap;
    }
    all->v[all->n++] = o;
    return true;
}

static int no_deployment(const struct cfg_store *store, const char *name, const struct cfg_object *grave,
                         struct cfg_error *err)
{
    struct objects all = {0};
    cfg_store_each(store, CFG_KIND_DEPLOYMENT, NULL, collect, &all);
    const char *names[NEAR_MAX];
    size_t n = 0;
    for (size_t i = 0; i < all.n && n < NEAR_MAX; i++)
        if (!all.v[i]->deleted)
            names[n++] = all.v[i]->id.ns;
    const char *near = cfg_near_miss(name, names, n);
    if (grave)
        (void)cfg_fail(err, CFG_E_NOT_FOUND, "deployment %s was deleted at version %llu", name,
                       (unsigned long long)grave->version);
    else
        (void)cfg_fail(err, CFG_E_NOT_FOUND, "there is no deployment %s", name);
    if (near)
        cfg_error_set_hint(err, "did you mean %s?", near);
    else
        cfg_error_set_hint(err, "cfgctl deployment create %s --config NAMESPACE", name);
    free(all.v);
    return CFG_E_NOT_FOUND;
}

int cfg_hub_deployment(struct cfg_object **out, const struct cfg_store *store, const char *name, struct cfg_error *err)
{
    if (!cfg_store_ready(store))
        return cfg_fail(err, CFG_E_NOT_READY, "this configd has not read the store yet");
    struct cfg_object *o = cfg_store_find(store, CFG_KIND_DEPLOYMENT, name, "");
    if (o == NULL || o->deleted)
        return no_deployment(store, name, o, err);
    *out = o;
    return 0;
}

/* The config object an arm runs: the head where it follows it. A namespace that is gone (deleted by force, or by a hand
 * that knows nothing of deployments) leaves everybody with what they have: empty never replaces good. */
static int find_config(const struct cfg_object **out, const struct cfg_store *store,
                       const struct cfg_hub_history *history, const struct cfg_deployment *d, const struct cfg_arm *arm,
                       struct cfg_error *err)
{
    struct cfg_object_id id = {.kind = CFG_KIND_CONFIG};
    memcpy(id.ns, d->config, sizeof id.ns);
    struct cfg_object *head = cfg_store_get(store, &id);
    if (arm->fixed == 0 && (head == NULL || head->deleted)) {
        (void)cfg_fail(err, CFG_E_NOT_READY,
                       "namespace %s, which deployment %s runs, is gone; workers keep what they have", d->config,
                       d->name);
        cfg_error_set_hint(err, "bring it back (cfgctl rollback %s VERSION), or delete the deployment", d->config);
        return CFG_E_NOT_READY;
    }
    if (arm->fixed == 0 || (head && head->version == arm->fixed)) {
        *out = head;
        return 0;
    }
    struct cfg_object *o = history->version(history->arg, &id, arm->fixed);
    if (o == NULL)
        return cfg_fail(err, CFG_E_NOT_READY, "version %llu of %s, which %s holds, is being fetched",
                        (unsigned long long)arm->fixed, d->config, d->name);
    *out = o;
    return 0;
}

static int compose(struct cfg_view_out *view, const struct cfg_deployment *d, const struct cfg_store *store,
                   const struct cfg_hub_history *history, const struct cfg_object *deployment_object,
                   const char *arm_name, struct cfg_error *err)
{
    const struct cfg_arm *arm = cfg_deployment_arm(d, arm_name);
    if (arm == NULL)
        return cfg_fail(err, CFG_E_NOT_FOUND, "deployment %s has no arm %s", d->name, arm_name);
    struct cfg_view_inputs in = {.deployment = d, .deployment_object = deployment_object};
    int rc = find_config(&in.config, store, history, d, arm, err);
    if (rc != 0)
        return rc;
    struct objects flags = {0};
    for (size_t i = 0; i < d->n_flags; i++)
        cfg_store_each_of_flags(store, d->flags[i], collect, &flags);
    in.flags = flags.v;
    in.n_flags = flags.n;
    rc = flags.failed ? cfg_fail(err, CFG_E_NOMEM, "out of memory for the view of %s", d->name)
                      : cfg_view_compose(view, &in, err);
    free(flags.v);
    return rc;
}

int cfg_hub_compose(struct cfg_view_out *view, struct cfg_deployment *d, const struct cfg_store *store,
                    const struct cfg_hub_history *history, struct cfg_object *deployment_object, const char *arm,
                    struct cfg_error *err)
{
    struct cfg_deployment read;
    int rc = cfg_deployment_read(&read, deployment_object, err);
    if (rc != 0)
        return rc;
    rc = compose(view, &read, store, history, deployment_object, arm, err);
    if (rc != 0 && rc != CFG_E_NOT_READY) {
        cfg_deployment_finish(&read);
        return rc;
    }
    *d = read;
    return rc;
}

bool cfg_topic_depends(const struct cfg_topic *t, const struct cfg_object *o)
{
    switch (o->id.kind) {
    case CFG_KIND_DEPLOYMENT:
        return strcmp(o->id.ns, t->deployment) == 0;
    case CFG_KIND_CONFIG:
        return strcmp(o->id.ns, t->config) == 0;
    case CFG_KIND_FLAG:
    case CFG_KIND_EVALUATORS:
    case CFG_KIND_FLIP:
        for (size_t i = 0; i < t->n_flags; i++)
            if (strcmp(o->id.ns, t->flags[i]) == 0)
                return true;
        return false;
    case CFG_KIND_LOCK:
    case CFG_KIND_PRESENCE:
    case CFG_KIND_OTHER:
        return false;
    }
    return false;
}

int cfg_topic_set_inputs(struct cfg_topic *t, const struct cfg_deployment *d)
{
    char(*flags)[CFG_LIMIT_NAME + 1] = NULL;
    if (d->n_flags > 0) {
        flags = calloc(d->n_flags, sizeof *flags);
        if (flags == NULL)
            return CFG_E_NOMEM;
        memcpy(flags, d->flags, d->n_flags * sizeof *flags);
    }
    free(t->flags);
    t->flags = flags;
    t->n_flags = d->n_flags;
    memcpy(t->config, d->config, sizeof t->config);
    return 0;
}
