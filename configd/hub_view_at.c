/* Views of the past: each object as it was at a revision, from the replica's head where that is old enough, else from
 * history in pages, one object after the other. */
#include "configd/hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 16,               /* versions read at a time */
    CATCH_UP_MS = 2000,      /* how long a replica that is behind is waited for */
    VIEW_TEXT_MAX = 32 << 20 /* a bound for the printer; the objects' limits bound it before */
};

enum phase { PHASE_DEPLOYMENT, PHASE_CONFIG, PHASE_FLAGS };

struct job {
    struct cfg_view_job link; /* first */
    char arm[CFG_LIMIT_NAME + 1];
    cfg_hub_assign_fn assign; /* says the arm; NULL: it is known */
    struct cfg_rev at;
    cfg_hub_view_fn fn;
    void *arg;
    enum phase phase;
    struct cfg_object_id want; /* being looked for */
    uint64_t exact;            /* that version instead of the newest at `at`; 0: none */
    struct cfg_object *deployment_object;
    struct cfg_deployment deployment;
    struct space { /* a namespace of the release, as it was */
        char ns[CFG_LIMIT_NAME + 1];
        struct cfg_object *object; /* NULL: it was not there */
        cJSON *tree;
    } spaces[CFG_LIMIT_LAYERS + 1];
    size_t n_spaces;
    struct cfg_closure closure;
    struct cfg_object **flags; /* heads first, each replaced by what it was; NULL: not there yet */
    size_t n_flags, cap_flags, next_flag;
    bool failed; /* out of memory for the flags */
};

static void free_job(struct job *j)
{
    if (j->link.hub) {
        if (j->link.prev)
            j->link.prev->next = j->link.next;
        else
            j->link.hub->jobs = j->link.next;
        if (j->link.next)
            j->link.next->prev = j->link.prev;
    }
    for (size_t i = 0; i < j->n_flags; i++)
        if (j->flags[i])
            (void)cfg_object_unref(j->flags[i]);
    free(j->flags);
    if (j->deployment_object)
        (void)cfg_object_unref(j->deployment_object);
    cfg_closure_finish(&j->closure);
    for (size_t i = 0; i < j->n_spaces; i++) {
        cJSON_Delete(j->spaces[i].tree);
        (void)cfg_object_unref(j->spaces[i].object);
    }
    if (j->deployment.name[0])
        cfg_deployment_finish(&j->deployment);
    free(j);
}

static void fail(struct job *j, const struct cfg_error *err)
{
    j->fn(j->arg, (struct cfg_slice){"", 0}, err);
    free_job(j);
}

static void print_view(struct job *j, struct cfg_view_out *view)
{
    struct cfg_topic_text text = {
        .deployment = j->deployment.name,
        .arm = j->arm,
        .store_id = cfg_store_identity(j->link.hub->store)->store_id,
        .generation = j->deployment.generation,
        .label = {j->at.epoch, view->revision},
        .stale = cfg_hub_stale(j->link.hub),
        .view = view,
    };
    struct cfg_buf out;
    cfg_buf_init(&out, VIEW_TEXT_MAX);
    cfg_topic_print_view(&out, &text);
    if (cfg_buf_status(&out) == 0) {
        j->fn(j->arg, cfg_buf_slice(&out), NULL);
        free_job(j);
    } else {
        struct cfg_error err;
        (void)cfg_fail(&err, cfg_buf_status(&out), "the view of %s could not be printed", j->deployment.name);
        fail(j, &err);
    }
    cfg_buf_finish(&out);
}

static void compose(struct job *j)
{
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_object **flags = j->failed ? NULL : calloc(j->n_flags + 1, sizeof *flags);
    struct cfg_view_inputs in = {.deployment = &j->deployment,
                                 .deployment_object = j->deployment_object,
                                 .closure = &j->closure,
                                 .flags = flags};
    for (size_t i = 0; flags && i < j->n_flags; i++)
        if (j->flags[i])
            flags[in.n_flags++] = j->flags[i];
    struct cfg_view_out view = {0};
    int rc = flags ? cfg_view_compose(&view, &in, &err) : cfg_fail(&err, CFG_E_NOMEM, "out of memory for a view");
    free(flags);
    if (rc != 0) {
        fail(j, &err);
        return;
    }
    print_view(j, &view);
    cfg_view_finish(&view);
}

static void look_for(struct job *j);

static bool add_flag(struct cfg_object *o, void *arg)
{
    struct job *j = arg;
    if (j->n_flags == j->cap_flags) {
        size_t cap = j->cap_flags ? j->cap_flags * 2 : 32;
        struct cfg_object **flags = realloc(j->flags, cap * sizeof(struct cfg_object *));
        if (flags == NULL) {
            j->failed = true;
            return false;
        }
        j->flags = flags;
        j->cap_flags = cap;
    }
    j->flags[j->n_flags++] = cfg_object_ref(o);
    return true;
}

/* As it has to be: at the version that the arm fixes, else no younger than `at`. */
static bool is_found(const struct job *j, const struct cfg_object *flag)
{
    uint64_t exact = cfg_arm_flag_version(cfg_deployment_arm(&j->deployment, j->arm), &flag->id);
    return exact ? flag->version == exact : flag->mod_revision <= j->at.revision;
}

/* The next flag whose head is another than the one wanted; composes when there is none. */
static void next_flag(struct job *j)
{
    while (j->next_flag < j->n_flags && is_found(j, j->flags[j->next_flag]))
        j->next_flag++;
    if (j->failed || j->next_flag == j->n_flags) {
        compose(j);
        return;
    }
    j->want = j->flags[j->next_flag]->id;
    j->exact = cfg_arm_flag_version(cfg_deployment_arm(&j->deployment, j->arm), &j->want);
    look_for(j);
}

/* --- the release --- */

/* One namespace of the release; CFG_E_NOT_READY with j->want set when it has not been looked for yet. */
static int read_space(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    struct job *j = arg;
    const struct cfg_arm *arm = cfg_deployment_arm(&j->deployment, j->arm);
    for (size_t i = 0; i < j->n_spaces; i++) {
        const struct space *s = &j->spaces[i];
        if (strcmp(s->ns, item->ns) != 0)
            continue;
        if (s->object == NULL || s->object->deleted)
            return cfg_fail(err, CFG_E_NOT_FOUND, "there was no namespace %s", item->ns);
        item->body = s->tree;
        item->version = s->object->version;
        item->mod_revision = s->object->mod_revision;
        return s->tree ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory for a view");
    }
    j->want = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
    j->exact = cfg_release_version(&arm->release, item->ns);
    if (arm->release.n > 0 && j->exact == 0)
        return cfg_fail(err, CFG_E_VALUE, "deployment %s held no version of %s", j->deployment.name, item->ns);
    return cfg_fail(err, CFG_E_NOT_READY, "%s is being looked for", item->ns);
}

static void begin_flags(struct job *j)
{
    j->phase = PHASE_FLAGS;
    for (size_t i = 0; i < j->deployment.n_flags; i++)
        cfg_store_each_of_flags(j->link.hub->store, j->deployment.flags[i], add_flag, j);
    next_flag(j);
}

static void next_space(struct job *j)
{
    struct cfg_error err = CFG_ERROR_INIT;
    bool was_there = j->n_spaces > 0 && j->spaces[0].object && !j->spaces[0].object->deleted;
    if (j->n_spaces > 0 && !was_there) { /* no namespace, no parameters */
        begin_flags(j);
        return;
    }
    int rc = cfg_closure_walk(&j->closure, j->deployment.config, &(struct cfg_closure_reader){read_space, j}, &err);
    if (rc == CFG_E_NOT_READY && j->n_spaces <= CFG_LIMIT_LAYERS)
        look_for(j);
    else if (rc != 0)
        fail(j, &err);
    else
        begin_flags(j);
}

static void got_space(struct job *j, struct cfg_object *o)
{
    struct space *s = &j->spaces[j->n_spaces++];
    memcpy(s->ns, j->want.ns, sizeof s->ns);
    s->object = cfg_object_ref(o);
    s->tree = o ? cfg_object_tree(o) : NULL;
    next_space(j);
}

/* A locked view has no history; it lies under its deployment's name as long as the deployment does. */
static void compose_locked(struct job *j, const struct cfg_arm *arm)
{
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_object *locked = cfg_store_find(j->link.hub->store, CFG_KIND_LOCKED, j->deployment.name, "");
    struct cfg_view_out view = {0};
    int rc = locked ? cfg_view_locked(&view, &j->deployment, arm, j->deployment_object, locked, &err) : CFG_E_VALUE;
    if (rc == CFG_E_VALUE)
        rc = cfg_fail(&err, CFG_E_COMPACTED, "what deployment %s was locked to then is no longer here",
                      j->deployment.name);
    if (rc != 0) {
        fail(j, &err);
        return;
    }
    print_view(j, &view);
    cfg_view_finish(&view);
}

static void got_deployment(struct job *j, struct cfg_object *o)
{
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = o == NULL || o->deleted ? cfg_fail(&err, CFG_E_NOT_FOUND, "there was no deployment %s at revision %llu",
                                                j->want.ns, (unsigned long long)j->at.revision)
                                     : cfg_deployment_read(&j->deployment, o, &err);
    if (rc == 0 && j->assign)
        (void)snprintf(j->arm, sizeof j->arm, "%s", j->assign(j->arg, &j->deployment));
    if (rc == 0 && cfg_deployment_arm(&j->deployment, j->arm) == NULL)
        rc = cfg_fail(&err, CFG_E_NOT_FOUND, "deployment %s had no arm %s", j->want.ns, j->arm);
    if (rc != 0) {
        fail(j, &err);
        return;
    }
    j->deployment_object = cfg_object_ref(o);
    j->phase = PHASE_CONFIG;
    const struct cfg_arm *arm = cfg_deployment_arm(&j->deployment, j->arm);
    if (arm->locked[0])
        compose_locked(j, arm);
    else
        next_space(j);
}

static void got(struct job *j, struct cfg_object *o)
{
    switch (j->phase) {
    case PHASE_DEPLOYMENT:
        got_deployment(j, o);
        return;
    case PHASE_CONFIG:
        got_space(j, o);
        return;
    case PHASE_FLAGS:
        (void)cfg_object_unref(j->flags[j->next_flag]);
        j->flags[j->next_flag] = o ? cfg_object_ref(o) : NULL;
        if (o == NULL) { /* created later: it takes the last one's place */
            j->flags[j->next_flag] = j->flags[--j->n_flags];
        }
        next_flag(j);
        return;
    }
}

static bool fits(const struct job *j, const struct cfg_object *o)
{
    return j->exact ? o->version == j->exact : o->mod_revision <= j->at.revision;
}

static void page(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct job *j = arg;
    if (j->link.hub == NULL) {
        free_job(j);
        return;
    }
    if (err) {
        fail(j, err);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (fits(j, objects[i])) {
            got(j, objects[i]);
            return;
        }
    if (n > 0 && more && !j->exact) {
        struct cfg_hub_history *history = &j->link.hub->history;
        history->versions(history->arg, &j->want, objects[n - 1]->version, PAGE, page, j);
    } else if (n > 0 && objects[n - 1]->version == 1 && !j->exact) {
        got(j, NULL);
    } else {
        struct cfg_error gone = CFG_ERROR_INIT;
        (void)cfg_fail(&gone, CFG_E_COMPACTED, "what %s %s was at revision %llu is no longer in history",
                       cfg_kind_name(j->want.kind), j->want.ns, (unsigned long long)j->at.revision);
        fail(j, &gone);
    }
}

/* Finds j->want as it was, here or in history, and goes on with got(). */
static void look_for(struct job *j)
{
    struct cfg_hub *h = j->link.hub;
    struct cfg_object *head = cfg_store_get(h->store, &j->want);
    if (head == NULL || fits(j, head)) {
        got(j, head);
        return;
    }
    if (head->version == 1) {
        got(j, NULL); /* its first version is younger */
        return;
    }
    h->history.versions(h->history.arg, &j->want, j->exact ? j->exact + 1 : head->version, j->exact ? 1 : PAGE, page,
                        j);
}

static void begin(void *arg, const struct cfg_error *err)
{
    struct job *j = arg;
    if (j->link.hub == NULL) {
        free_job(j);
        return;
    }
    struct cfg_error why = CFG_ERROR_INIT;
    struct cfg_rev seen = cfg_store_seen(j->link.hub->store);
    if (err)
        (void)cfg_fail(&why, CFG_E_NOT_READY, "this configd shows revision %llu-%llu, not yet the one asked for",
                       (unsigned long long)seen.epoch, (unsigned long long)seen.revision);
    else if (j->at.epoch != seen.epoch)
        (void)cfg_fail(&why, CFG_E_COMPACTED, "epoch %llu has ended: the store went back since",
                       (unsigned long long)j->at.epoch);
    if (why.code != 0)
        fail(j, &why);
    else
        look_for(j);
}

/* One of arm and assign is NULL. */
static void view_at(struct cfg_hub *h, const char *deployment, const char *arm, cfg_hub_assign_fn assign,
                    struct cfg_rev at, cfg_hub_view_fn fn, void *arg)
{
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL)
        abort(); /* fn must be called later, and nothing is left to remember it in */
    j->at = at;
    j->fn = fn;
    j->arg = arg;
    j->assign = assign;
    j->want.kind = CFG_KIND_DEPLOYMENT;
    (void)snprintf(j->want.ns, sizeof j->want.ns, "%s", deployment);
    (void)snprintf(j->arm, sizeof j->arm, "%s", arm ? arm : CFG_ARM_BASE);
    j->link.hub = h;
    j->link.next = h->jobs;
    if (h->jobs)
        h->jobs->prev = &j->link;
    h->jobs = &j->link;
    cfg_store_wait(h->store, h->loop, at, CATCH_UP_MS, begin, j);
}

void cfg_hub_view_at(struct cfg_hub *h, const char *deployment, const char *arm, struct cfg_rev at, cfg_hub_view_fn fn,
                     void *arg)
{
    view_at(h, deployment, arm, NULL, at, fn, arg);
}

void cfg_hub_view_at_assigned(struct cfg_hub *h, const char *deployment, cfg_hub_assign_fn assign, struct cfg_rev at,
                              cfg_hub_view_fn fn, void *arg)
{
    view_at(h, deployment, NULL, assign, at, fn, arg);
}
