#include "configd/hub_compose.h"
#include "configd/release.h"

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

/* --- the release --- */

/* Namespaces as the arm runs them, with the trees that a closure borrows. */
struct reading {
    const struct cfg_store *store;
    const struct cfg_hub_history *history;
    const struct cfg_deployment *deployment;
    const struct cfg_arm *arm;
    struct cfg_composing *what;
    struct cfg_hub_trees *trees;
};

void cfg_hub_trees_clear(struct cfg_hub_trees *t)
{
    cfg_release_bases_free(t->bases);
    t->bases = NULL;
    while (t->n > 0) {
        t->n--;
        (void)cfg_object_unref(t->items[t->n].object);
        cJSON_Delete(t->items[t->n].tree);
    }
}

/* Borrowed from t; NULL without memory. */
static const cJSON *tree_of(struct cfg_hub_trees *t, struct cfg_object *o)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].object == o)
            return t->items[i].tree;
    cJSON *tree = t->n < CFG_HUB_TREES ? cfg_object_tree(o) : NULL;
    if (tree == NULL)
        return NULL;
    t->items[t->n].object = cfg_object_ref(o);
    t->items[t->n++].tree = tree;
    return tree;
}

/* Makes room for one closure more, and starts the set of bases. */
static bool trees_ready(struct cfg_hub_trees *t)
{
    if (t->n + CFG_LIMIT_LAYERS > CFG_HUB_TREES)
        cfg_hub_trees_clear(t);
    if (t->bases == NULL)
        t->bases = cfg_release_bases_new();
    return t->bases != NULL;
}

static int note_space(struct cfg_composing *what, const char *ns, struct cfg_error *err)
{
    for (size_t i = 0; i < what->n_spaces; i++)
        if (strcmp(what->spaces[i], ns) == 0)
            return 0;
    if (what->spaces == NULL)
        what->spaces = calloc(CFG_LIMIT_LAYERS + 1, sizeof *what->spaces);
    if (what->spaces == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (what->n_spaces <= CFG_LIMIT_LAYERS)
        memcpy(what->spaces[what->n_spaces++], ns, strlen(ns));
    return 0;
}

/* A namespace that is gone (deleted by force, or by a hand that knows nothing of deployments) leaves everybody with
 * what they have: empty never replaces good. */
static int gone(const struct cfg_deployment *d, const char *ns, struct cfg_error *err)
{
    (void)cfg_fail(err, CFG_E_NOT_READY, "namespace %s, which deployment %s runs, is gone; workers keep what they have",
                   ns, d->name);
    cfg_error_set_hint(err, "bring it back (cfgctl rollback %s VERSION), or delete the deployment", ns);
    return CFG_E_NOT_READY;
}

static int find_held(struct cfg_object **out, const struct reading *r, const struct cfg_object_id *id,
                     struct cfg_error *err)
{
    uint64_t version = cfg_release_version(&r->arm->release, id->ns);
    if (version == 0)
        return cfg_fail(err, CFG_E_VALUE, "deployment %s holds no version of %s, which its release needs",
                        r->deployment->name, id->ns);
    struct cfg_object *o = cfg_store_get(r->store, id);
    if (o == NULL || o->version != version)
        o = r->history->version(r->history->arg, id, version);
    if (o == NULL)
        return cfg_fail(err, CFG_E_NOT_READY, "version %llu of %s, which %s holds, is being fetched",
                        (unsigned long long)version, id->ns, r->deployment->name);
    *out = o;
    return 0;
}

static int read_space(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    struct reading *r = arg;
    struct cfg_object *o = NULL;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
    int rc = note_space(r->what, item->ns, err);
    if (rc == 0 && r->what->fixed)
        rc = find_held(&o, r, &id, err);
    else if (rc == 0)
        o = cfg_store_get(r->store, &id);
    if (rc != 0)
        return rc;
    if (o == NULL || o->deleted)
        return gone(r->deployment, item->ns, err);
    item->body = tree_of(r->trees, o);
    if (item->body == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the view of %s", r->deployment->name);
    item->version = o->version;
    item->mod_revision = o->mod_revision;
    return 0;
}

/* --- the view --- */

/* In the place of heads, the versions that the arm fixes. A flag that was deleted since is one, too. */
static int fix_flags(struct objects *flags, const struct reading *r, struct cfg_error *err)
{
    for (size_t i = 0; i < flags->n; i++) {
        uint64_t version = cfg_arm_flag_version(r->arm, &flags->v[i]->id);
        if (version == 0 || version == flags->v[i]->version)
            continue;
        struct cfg_object *o = r->history->version(r->history->arg, &flags->v[i]->id, version);
        if (o == NULL)
            return cfg_fail(err, CFG_E_NOT_READY, "version %llu of flag %s/%s, which %s holds, is being fetched",
                            (unsigned long long)version, flags->v[i]->id.ns, flags->v[i]->id.name, r->deployment->name);
        flags->v[i] = o;
    }
    return 0;
}

static int compose_with(struct cfg_view_out *view, const struct reading *r, struct cfg_view_inputs *in,
                        struct cfg_error *err)
{
    struct objects flags = {0};
    for (size_t i = 0; i < r->deployment->n_flags; i++)
        cfg_store_each_of_flags(r->store, r->deployment->flags[i], collect, &flags);
    int rc = flags.failed ? cfg_fail(err, CFG_E_NOMEM, "out of memory for the view of %s", r->deployment->name)
                          : fix_flags(&flags, r, err);
    in->flags = flags.v;
    in->n_flags = flags.n;
    rc = rc ? rc : cfg_view_compose(view, in, err);
    free(flags.v);
    return rc;
}

static int compose_locked(struct cfg_view_out *view, const struct reading *r,
                          const struct cfg_object *deployment_object, struct cfg_error *err)
{
    const struct cfg_object *locked = cfg_store_find(r->store, CFG_KIND_LOCKED, r->deployment->name, "");
    if (locked)
        return cfg_view_locked(view, r->deployment, r->arm, deployment_object, locked, err);
    return cfg_fail(err, CFG_E_NOT_READY, "the view that deployment %s was locked to is gone", r->deployment->name);
}

int cfg_hub_compose(struct cfg_view_out *view, struct cfg_composing *what, const struct cfg_store *store,
                    const struct cfg_hub_history *history, struct cfg_hub_trees *trees,
                    struct cfg_object *deployment_object, const char *arm_name, struct cfg_error *err)
{
    *what = (struct cfg_composing){.n_spaces = 0};
    int rc = cfg_deployment_read(&what->deployment, deployment_object, err);
    if (rc != 0)
        return rc;
    const struct cfg_deployment *d = &what->deployment;
    struct reading r = {.store = store, .history = history, .deployment = d, .what = what, .trees = trees};
    r.arm = cfg_deployment_arm(d, arm_name);
    if (r.arm == NULL)
        return cfg_fail(err, CFG_E_NOT_FOUND, "deployment %s has no arm %s", d->name, arm_name);
    what->fixed = !cfg_arm_follows(r.arm);
    if (r.arm->locked[0])
        return compose_locked(view, &r, deployment_object, err);
    if (!trees_ready(trees))
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the view of %s", d->name);
    struct cfg_closure closure = {0};
    struct cfg_view_inputs in = {
        .deployment = d, .deployment_object = deployment_object, .closure = &closure, .bases = trees->bases};
    rc = cfg_closure_walk(&closure, d->config, &(struct cfg_closure_reader){read_space, &r}, err);
    if (rc == 0)
        rc = compose_with(view, &r, &in, err);
    cfg_closure_finish(&closure);
    return rc;
}

void cfg_composing_finish(struct cfg_composing *c)
{
    cfg_deployment_finish(&c->deployment);
    free(c->spaces);
    *c = (struct cfg_composing){.n_spaces = 0};
}

/* --- a topic's inputs --- */

static bool is_listed(char (*list)[CFG_LIMIT_NAME + 1], size_t n, const char *ns)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], ns) == 0)
            return true;
    return false;
}

bool cfg_topic_depends(const struct cfg_topic *t, const struct cfg_object *o)
{
    switch (o->id.kind) {
    case CFG_KIND_DEPLOYMENT:
    case CFG_KIND_LOCKED:
        return strcmp(o->id.ns, t->deployment) == 0;
    case CFG_KIND_CONFIG:
        return !t->fixed && is_listed(t->spaces, t->n_spaces, o->id.ns);
    case CFG_KIND_FLAG:
    case CFG_KIND_EVALUATORS:
    case CFG_KIND_FLIP:
        return is_listed(t->flags, t->n_flags, o->id.ns);
    case CFG_KIND_SCHEMA:
    case CFG_KIND_LOCK:
    case CFG_KIND_PRESENCE:
    case CFG_KIND_EXTENDS:
    case CFG_KIND_ROLLOUT:
    case CFG_KIND_EXPERIMENT:
    case CFG_KIND_PROGRESS:
    case CFG_KIND_OBSERVED:
    case CFG_KIND_OTHER:
        return false;
    }
    return false;
}

/* NULL for an empty list, and without memory. */
static void *copy_list(const void *list, size_t n)
{
    void *copy = n > 0 ? malloc(n * (CFG_LIMIT_NAME + 1)) : NULL;
    return copy ? memcpy(copy, list, n * (CFG_LIMIT_NAME + 1)) : NULL;
}

int cfg_topic_set_inputs(struct cfg_topic *t, const struct cfg_composing *what)
{
    const struct cfg_deployment *d = &what->deployment;
    char(*flags)[CFG_LIMIT_NAME + 1] = copy_list(d->flags, d->n_flags);
    char(*spaces)[CFG_LIMIT_NAME + 1] = copy_list(what->spaces, what->n_spaces);
    if ((flags == NULL && d->n_flags > 0) || (spaces == NULL && what->n_spaces > 0)) {
        free(flags);
        free(spaces);
        return CFG_E_NOMEM;
    }
    free(t->flags);
    free(t->spaces);
    t->flags = flags;
    t->n_flags = d->n_flags;
    t->spaces = spaces;
    t->n_spaces = what->n_spaces;
    t->fixed = what->fixed;
    return 0;
}
