#include "configd/hub_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    STALE_AFTER_MS = 1000, /* a replica that finds etcd again sooner has not gone stale */
    RETRY_MS = 500,        /* a version that could not be fetched is asked for again */
    MARK_MIN_MS = 1000,    /* how long unrelated changes are gathered for one mark … */
    MARK_MAX_MS = 15000,   /* … at least and at most: */
    MARKS_PER_S = 1000,    /* in between so that marks cost about 1 % of a core */
    MAX_TOPICS = 4096,     /* every (deployment, arm) ever asked for */
    SLICE_TOPICS = 64,     /* composed in one go, while heartbeats and requests wait, … */
    SLICE_NS = 15000000,   /* … and for how long */
};

/* --- composing --- */

static struct cfg_rev label_of(const struct cfg_hub *h, const struct cfg_topic *t, const struct cfg_view_out *view)
{
    struct cfg_rev label = {cfg_store_identity(h->store)->epoch, view->revision};
    bool same_epoch = t->serial != 0 && t->label.epoch == label.epoch;
    bool changed = t->serial != 0 && strcmp(view->digest, t->view.digest) != 0;
    /* A key taken away by a foreign hand would lower the label: the clock goes forward all the same. */
    if (same_epoch && (cfg_rev_cmp(label, t->label) < 0 || (changed && cfg_rev_cmp(label, t->label) == 0)))
        return changed ? cfg_store_rev(h->store) : t->label;
    return label;
}

/* Brings t up to date with the store. CFG_E_NOT_FOUND: the deployment is gone; CFG_E_NOT_READY: later, by itself. On
 * other failures the view before stands. */
static int refresh(struct cfg_hub *h, struct cfg_topic *t, bool continuous, enum cfg_topic_effect *effect,
                   struct cfg_error *err)
{
    struct cfg_object *o;
    *effect = CFG_TOPIC_NOTHING;
    int rc = cfg_hub_deployment(&o, h->store, t->deployment, err);
    t->known = rc == 0;
    if (rc != 0)
        return rc;
    struct cfg_view_out view = {0};
    struct cfg_composing what;
    rc = cfg_hub_compose(&view, &what, h->store, &h->history, &h->trees, o, t->arm, err);
    t->pending = rc == CFG_E_NOT_READY;
    if (what.deployment.name[0] && cfg_topic_set_inputs(t, &what) != 0) {
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory for the view of %s", t->deployment);
        cfg_view_finish(&view);
    } else if (rc == 0) {
        *effect = cfg_topic_adopt(t, &view, label_of(h, t, &view), what.deployment.generation,
                                  cfg_store_identity(h->store)->store_id, continuous && !t->dirty);
        t->dirty = false;
        cfg_topic_seen(t, cfg_store_seen(h->store));
    } else if (t->pending) {
        cfg_timer_start(h->retry_timer, RETRY_MS);
    }
    cfg_composing_finish(&what);
    return rc;
}

/* Composes t anew and tells its subscribers. */
static void update(struct cfg_hub *h, struct cfg_topic *t, bool continuous)
{
    t->due = false;
    if (t->n == 0) { /* nobody looks: composed when somebody does */
        t->dirty = true;
        return;
    }
    enum cfg_topic_effect effect;
    int rc = refresh(h, t, continuous, &effect, NULL);
    if (t->known)
        cfg_hub_assign(h, t);
    if (rc == CFG_E_NOT_FOUND && !t->known)
        cfg_topic_end(t);
    else if (rc != 0)
        t->dirty = t->dirty || !t->pending; /* the view before stands, but it is no longer what the store says */
    else {
        if (effect == CFG_TOPIC_RENEWED)
            cfg_topic_renew(t);
        cfg_topic_deliver(t); /* whatever the effect: who joined a pending topic holds nothing yet */
        if (effect == CFG_TOPIC_RELABELLED)
            cfg_topic_send_marks(t);
    }
}

/* Composes what is due, as much as a slice takes; the rest in later turns, so that a base under a thousand deployments
 * holds up nobody's heartbeat. Who asks for a topic that is due finds it up to date (cfg_hub_topic). */
static void work(void *arg)
{
    struct cfg_hub *h = arg;
    uint64_t start = cfg_clock_system.monotonic_ns(NULL);
    size_t done = 0;
    for (struct cfg_topic *t = h->topics; t; t = t->next) {
        if (!t->due)
            continue;
        if (done == SLICE_TOPICS || (done > 0 && cfg_clock_system.monotonic_ns(NULL) - start > SLICE_NS)) {
            cfg_timer_start(h->work_timer, 0);
            break;
        }
        update(h, t, true);
        done++;
    }
    cfg_hub_trees_clear(&h->trees);
}

/* A second change before the first was composed: an equal digest no longer says that nothing happened. */
static void make_due(struct cfg_topic *t, bool continuous)
{
    t->dirty = t->dirty || t->n == 0 || t->due || !continuous;
    t->due = t->n > 0;
}

/* --- what the store tells --- */

static void want_marks(struct cfg_hub *h)
{
    size_t n = cfg_hub_subscribers(h);
    if (h->mark_due || n == 0)
        return;
    uint64_t delay = MARK_MIN_MS + (uint64_t)n * 1000 / MARKS_PER_S;
    h->mark_due = true;
    cfg_timer_start(h->mark_timer, delay < MARK_MAX_MS ? delay : MARK_MAX_MS);
}

static void send_marks(void *arg)
{
    struct cfg_hub *h = arg;
    h->mark_due = false;
    for (struct cfg_topic *t = h->topics; t; t = t->next) {
        if (t->dirty || t->pending || t->due)
            continue;
        cfg_topic_seen(t, cfg_store_seen(h->store));
        cfg_topic_send_marks(t);
    }
}

static bool touches(const struct cfg_topic *t, const struct cfg_store_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct cfg_object *o = changes[i].after ? changes[i].after : changes[i].before;
        if (cfg_topic_depends(t, o))
            return true;
    }
    return false;
}

static void store_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    (void)rev;
    struct cfg_hub *h = arg;
    for (struct cfg_topic *t = h->topics; t; t = t->next)
        if (full || touches(t, changes, n))
            make_due(t, !full);
    work(h);
    want_marks(h);
}

static void store_progress(void *arg, struct cfg_rev seen)
{
    (void)seen;
    want_marks(arg);
}

static void set_stale(struct cfg_hub *h, bool stale)
{
    if (h->stale == stale)
        return;
    h->stale = stale;
    for (struct cfg_topic *t = h->topics; t; t = t->next) {
        cfg_topic_set_stale(t, stale);
        if (!t->pending && !t->dirty && !t->due)
            cfg_topic_send_marks(t);
    }
}

static void gone_stale(void *arg)
{
    set_stale(arg, true);
}

static void store_state(void *arg, enum cfg_replica_state state)
{
    struct cfg_hub *h = arg;
    bool live = state == CFG_REPLICA_LIVE;
    if (live) {
        cfg_timer_stop(h->stale_timer);
        set_stale(h, false);
    } else if (h->live) { /* counted from the moment it was lost, however often the replica tries meanwhile */
        cfg_timer_start(h->stale_timer, STALE_AFTER_MS);
    }
    h->live = live;
}

void cfg_hub_fetched(struct cfg_hub *h)
{
    for (struct cfg_topic *t = h->topics; t; t = t->next)
        if (t->pending)
            update(h, t, true);
    cfg_hub_trees_clear(&h->trees);
}

static void retry(void *arg)
{
    cfg_hub_fetched(arg);
}

/* --- life --- */

int cfg_hub_new_with(struct cfg_hub **out, struct cfg_loop *loop, struct cfg_store *store,
                     const struct cfg_hub_history *history, struct cfg_error *err)
{
    struct cfg_hub *h = calloc(1, sizeof *h);
    if (h == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the hub");
    h->loop = loop;
    h->store = store;
    h->history = *history;
    h->stale_timer = cfg_timer_new(loop, gone_stale, h);
    h->mark_timer = cfg_timer_new(loop, send_marks, h);
    h->retry_timer = cfg_timer_new(loop, retry, h);
    h->work_timer = cfg_timer_new(loop, work, h);
    if (h->stale_timer == NULL || h->mark_timer == NULL || h->retry_timer == NULL || h->work_timer == NULL) {
        cfg_timer_free(h->work_timer);
        cfg_timer_free(h->stale_timer);
        cfg_timer_free(h->mark_timer);
        cfg_timer_free(h->retry_timer);
        free(h);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the hub");
    }
    h->listener = (struct cfg_store_listener){store_changed, store_progress, store_state, h, NULL};
    cfg_store_listen(store, &h->listener);
    *out = h;
    return 0;
}

void cfg_hub_free(struct cfg_hub *h)
{
    if (h == NULL)
        return;
    for (struct cfg_view_job *j = h->jobs; j; j = j->next)
        j->hub = NULL;
    cfg_store_unlisten(h->store, &h->listener);
    cfg_timer_free(h->stale_timer);
    cfg_timer_free(h->mark_timer);
    cfg_timer_free(h->retry_timer);
    cfg_timer_free(h->work_timer);
    while (h->topics) {
        struct cfg_topic *t = h->topics;
        h->topics = t->next;
        cfg_topic_free(t);
    }
    free(h);
}

void cfg_hub_stats(const struct cfg_hub *h, struct cfg_hub_stats *out)
{
    *out = (struct cfg_hub_stats){0};
    for (const struct cfg_topic *t = h->topics; t; t = t->next) {
        out->views += t->stats.views;
        out->frames += t->stats.frames;
        out->bytes += t->stats.bytes;
        out->skipped += t->stats.skipped;
    }
}

static struct cfg_topic *find_topic(const struct cfg_hub *h, const char *deployment, const char *arm)
{
    struct cfg_topic *t = h->topics;
    while (t && (strcmp(t->deployment, deployment) != 0 || strcmp(t->arm, arm) != 0))
        t = t->next;
    return t;
}

static int add_topic(struct cfg_topic **out, struct cfg_hub *h, const char *deployment, const char *arm,
                     struct cfg_error *err)
{
    if (h->n_topics == MAX_TOPICS)
        return cfg_fail(err, CFG_E_LIMIT, "more than %d deployments and arms are followed on this configd", MAX_TOPICS);
    struct cfg_topic *t = cfg_topic_new(deployment, arm);
    if (t == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for deployment %s", deployment);
    t->stale = h->stale;
    t->next = h->topics;
    h->topics = t;
    h->n_topics++;
    *out = t;
    return 0;
}

int cfg_hub_topic(struct cfg_topic **out, struct cfg_hub *h, const char *deployment, const char *arm,
                  struct cfg_error *err)
{
    struct cfg_topic *t = find_topic(h, deployment, arm);
    if (t == NULL) { /* only what exists becomes a topic, so that strangers' names do not pile up */
        struct cfg_object *o;
        struct cfg_deployment d;
        int rc = cfg_hub_deployment(&o, h->store, deployment, err);
        if (rc == 0)
            rc = cfg_deployment_read(&d, o, err);
        if (rc != 0)
            return rc;
        bool has_arm = cfg_deployment_arm(&d, arm) != NULL;
        cfg_deployment_finish(&d);
        if (!has_arm)
            return cfg_fail(err, CFG_E_NOT_FOUND, "deployment %s has no arm %s", deployment, arm);
        rc = add_topic(&t, h, deployment, arm, err);
        if (rc != 0)
            return rc;
    }
    enum cfg_topic_effect effect;
    if (t->due)
        update(h, t, true);
    int rc = t->dirty || t->pending || !t->known ? refresh(h, t, false, &effect, err) : 0;
    cfg_hub_trees_clear(&h->trees);
    if (rc == 0 || (rc == CFG_E_NOT_READY && t->known))
        *out = t;
    return rc;
}

void cfg_hub_subscribe(struct cfg_hub *h, struct cfg_topic *t, struct cfg_subscriber *s, struct cfg_rev have,
                       const char *digest)
{
    enum cfg_topic_effect effect;
    if (t->due)
        update(h, t, true);
    if (t->dirty)
        (void)refresh(h, t, false, &effect, NULL); /* not ready: the view follows; gone: `ended` follows */
    cfg_hub_trees_clear(&h->trees);
    cfg_topic_seen(t, t->dirty || t->pending ? t->seen : cfg_store_seen(h->store));
    cfg_topic_join(t, s, have, digest);
}

void cfg_hub_unsubscribe(struct cfg_hub *h, struct cfg_subscriber *s)
{
    (void)h;
    cfg_topic_leave(s);
}

void cfg_hub_drained(struct cfg_hub *h, struct cfg_subscriber *s)
{
    (void)h;
    cfg_topic_drained(s);
}

size_t cfg_hub_subscribers(const struct cfg_hub *h)
{
    size_t n = 0;
    for (const struct cfg_topic *t = h->topics; t; t = t->next)
        n += t->n;
    return n;
}

bool cfg_hub_stale(const struct cfg_hub *h)
{
    return h->stale;
}
