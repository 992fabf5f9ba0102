#include "configd/heads.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct wait {
    struct cfg_store *store;
    struct cfg_rev rev;
    struct cfg_timer *timer; /* the time limit; fires at once when the revision came */
    bool reached;
    cfg_store_wait_fn fn;
    void *arg;
    struct wait *next;
};

struct cfg_store {
    struct cfg_heads heads, snapshot;
    bool ready, restoring, snapshot_restoring;
    struct cfg_store_identity identity; /* what is shown belongs to it */
    struct cfg_store_identity next_identity;
    uint64_t revision, seen;
    enum cfg_replica_state state;
    struct cfg_error why;
    uint64_t rejected;
    struct cfg_error rejected_why;
    struct cfg_store_listener *listeners, *cursor; /* cursor: the next to be told, kept right by unlisten */
    struct wait *waits;
    struct cfg_replica_sink sink;
};

/* --- telling others --- */

static void tell_changed(struct cfg_store *s, const struct cfg_head_changes *c, bool full)
{
    struct cfg_rev rev = cfg_store_rev(s);
    for (struct cfg_store_listener *l = s->listeners; l; l = s->cursor) {
        s->cursor = l->next;
        if (l->changed)
            l->changed(l->arg, rev, c->items, c->n, full);
    }
}

static void tell_progress(struct cfg_store *s)
{
    struct cfg_rev seen = cfg_store_seen(s);
    for (struct cfg_store_listener *l = s->listeners; l; l = s->cursor) {
        s->cursor = l->next;
        if (l->progress)
            l->progress(l->arg, seen);
    }
}

static void wake_waits(struct cfg_store *s)
{
    struct cfg_rev seen = cfg_store_seen(s);
    for (struct wait *w = s->waits; w; w = w->next) {
        if (!w->reached && cfg_rev_cmp(w->rev, seen) <= 0) {
            w->reached = true;
            cfg_timer_start(w->timer, 0);
        }
    }
}

/* --- the sink --- */

bool cfg_store_is_restoring(struct cfg_slice value)
{
    cJSON *tree = NULL;
    bool restoring = cfg_json_parse(&tree, value, 0, NULL) == 0 && cJSON_IsObject(cfg_json_get(tree, "restoring"));
    cJSON_Delete(tree);
    return restoring;
}

static bool is_meta(struct cfg_slice key)
{
    return cfg_slice_eq_str(key, "meta/store");
}

/* NULL for keys that are none of ours and for records that cannot be read; those are counted. */
static struct cfg_object *read_object(struct cfg_store *s, const struct cfg_etcd_kv *kv)
{
    struct cfg_object_id id;
    struct cfg_object *o = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_object_id_from_key(&id, kv->key, &err);
    if (rc == 0 && id.kind == CFG_KIND_OTHER)
        return NULL;
    if (rc == 0)
        rc = cfg_object_new(&o, &id, kv->value, (uint64_t)kv->mod_revision, &err);
    if (rc == CFG_E_NOMEM)
        abort();
    if (rc != 0) {
        s->rejected++;
        s->rejected_why = err;
    }
    return o;
}

static void on_identity(void *arg, const struct cfg_store_identity *id)
{
    struct cfg_store *s = arg;
    s->next_identity = *id;
    if (!s->ready || (id->epoch == s->identity.epoch && strcmp(id->store_id, s->identity.store_id) == 0))
        s->identity = *id;
}

static void on_snapshot_begin(void *arg)
{
    struct cfg_store *s = arg;
    cfg_heads_finish(&s->snapshot);
    s->snapshot_restoring = false;
}

static void on_snapshot_put(void *arg, const struct cfg_etcd_kv *kv)
{
    struct cfg_store *s = arg;
    if (is_meta(kv->key)) {
        s->snapshot_restoring = cfg_store_is_restoring(kv->value);
        return;
    }
    struct cfg_object *o = read_object(s, kv);
    struct cfg_object_id id;
    if (o == NULL && cfg_object_id_from_key(&id, kv->key, NULL) == 0)
        o = cfg_object_ref(cfg_heads_get(&s->heads, &id)); /* unreadable: the last good record stays */
    if (o)
        cfg_heads_push(&s->snapshot, o);
}

static void on_snapshot_end(void *arg, uint64_t revision)
{
    struct cfg_store *s = arg;
    s->restoring = s->snapshot_restoring;
    if (s->restoring) {
        cfg_heads_finish(&s->snapshot); /* half of a restore: keep what was there before, or stay unready */
        return;
    }
    struct cfg_head_changes c = {0};
    cfg_heads_sort(&s->snapshot);
    cfg_heads_differ(&c, &s->heads, &s->snapshot);
    struct cfg_heads old = s->heads;
    s->heads = s->snapshot;
    s->snapshot = (struct cfg_heads){0};
    cfg_heads_finish(&old);

    bool same_epoch = s->ready && s->identity.epoch == s->next_identity.epoch;
    uint64_t newest = same_epoch ? s->revision : 0; /* keys that vanished have moved it, too */
    if (newest < s->next_identity.mod_revision)
        newest = s->next_identity.mod_revision;
    for (size_t i = 0; i < s->heads.n; i++)
        if (s->heads.items[i]->mod_revision > newest)
            newest = s->heads.items[i]->mod_revision;
    s->identity = s->next_identity;
    s->revision = newest;
    s->seen = same_epoch && s->seen > revision ? s->seen : revision;
    s->ready = true;
    tell_changed(s, &c, true);
    cfg_head_changes_finish(&c);
    wake_waits(s);
}

static void apply_event(struct cfg_store *s, struct cfg_head_changes *c, const struct cfg_etcd_event *ev)
{
    struct cfg_object_id id;
    if (ev->is_delete) {
        if (cfg_object_id_from_key(&id, ev->kv.key, NULL) != 0)
            return;
        struct cfg_object *gone = cfg_heads_remove(&s->heads, &id);
        if (gone)
            cfg_head_changes_push(c, gone, NULL);
        return;
    }
    struct cfg_object *o = read_object(s, &ev->kv);
    if (o)
        cfg_head_changes_push(c, cfg_heads_replace(&s->heads, o), cfg_object_ref(o));
}

static void on_batch(void *arg, uint64_t revision, const struct cfg_etcd_event *events, size_t n)
{
    struct cfg_store *s = arg;
    struct cfg_head_changes c = {0};
    for (size_t i = 0; i < n; i++)
        if (is_meta(events[i].kv.key) && !events[i].is_delete && cfg_store_is_restoring(events[i].kv.value))
            s->restoring = true; /* only a snapshot ends it: the restore ends with a raised epoch */
    if (s->restoring)
        return;
    for (size_t i = 0; i < n; i++)
        apply_event(s, &c, &events[i]);
    s->revision = revision;
    s->seen = revision > s->seen ? revision : s->seen;
    tell_changed(s, &c, false);
    cfg_head_changes_finish(&c);
    wake_waits(s);
}

static void on_progress(void *arg, uint64_t revision)
{
    struct cfg_store *s = arg;
    if (s->restoring || revision <= s->seen)
        return;
    s->seen = revision;
    tell_progress(s);
    wake_waits(s);
}

static void on_state(void *arg, enum cfg_replica_state state, const struct cfg_error *why)
{
    struct cfg_store *s = arg;
    s->state = state;
    s->why = why ? *why : (struct cfg_error)CFG_ERROR_INIT;
    for (struct cfg_store_listener *l = s->listeners; l; l = s->cursor) {
        s->cursor = l->next;
        if (l->state)
            l->state(l->arg, state);
    }
}

/* --- the public face --- */

int cfg_store_new(struct cfg_store **out, struct cfg_error *err)
{
    struct cfg_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    s->sink = (struct cfg_replica_sink){
        .identity = on_identity,
        .snapshot_begin = on_snapshot_begin,
        .snapshot_put = on_snapshot_put,
        .snapshot_end = on_snapshot_end,
        .batch = on_batch,
        .progress = on_progress,
        .state = on_state,
        .arg = s,
    };
    *out = s;
    return 0;
}

static void wait_free(struct wait *w)
{
    cfg_timer_free(w->timer);
    free(w);
}

void cfg_store_free(struct cfg_store *s)
{
    if (s == NULL)
        return;
    for (struct wait *w = s->waits, *next; w; w = next) {
        next = w->next;
        wait_free(w);
    }
    cfg_heads_finish(&s->heads);
    cfg_heads_finish(&s->snapshot);
    free(s);
}

const struct cfg_replica_sink *cfg_store_sink(struct cfg_store *s)
{
    return &s->sink;
}

struct cfg_object *cfg_store_get(const struct cfg_store *s, const struct cfg_object_id *id)
{
    return cfg_heads_get(&s->heads, id);
}

struct cfg_object *cfg_store_find(const struct cfg_store *s, enum cfg_kind kind, const char *ns, const char *name)
{
    const struct cfg_object_id id = cfg_object_id_of(kind, ns, name);
    return cfg_heads_get(&s->heads, &id);
}

void cfg_store_each(const struct cfg_store *s, enum cfg_kind kind, const char *ns, cfg_store_fn fn, void *arg)
{
    const struct cfg_object_id from = cfg_object_id_of(kind, ns ? ns : "", NULL);
    for (size_t i = cfg_heads_place(&s->heads, &from); i < s->heads.n; i++) {
        struct cfg_object *o = s->heads.items[i];
        if (o->id.kind != kind || (ns && strcmp(o->id.ns, ns) != 0) || !fn(o, arg))
            return;
    }
}

struct cfg_rev cfg_store_rev(const struct cfg_store *s)
{
    return s->ready ? (struct cfg_rev){s->identity.epoch, s->revision} : (struct cfg_rev){0, 0};
}

struct cfg_rev cfg_store_seen(const struct cfg_store *s)
{
    return s->ready ? (struct cfg_rev){s->identity.epoch, s->seen} : (struct cfg_rev){0, 0};
}

const struct cfg_store_identity *cfg_store_identity(const struct cfg_store *s)
{
    return &s->identity;
}

bool cfg_store_ready(const struct cfg_store *s)
{
    return s->ready;
}

bool cfg_store_restoring(const struct cfg_store *s)
{
    return s->restoring;
}

uint64_t cfg_store_rejected(const struct cfg_store *s, const struct cfg_error **why)
{
    if (why)
        *why = s->rejected > 0 ? &s->rejected_why : NULL;
    return s->rejected;
}

enum cfg_replica_state cfg_store_state(const struct cfg_store *s, const struct cfg_error **why)
{
    if (why)
        *why = s->why.code != 0 ? &s->why : NULL;
    return s->state;
}

void cfg_store_listen(struct cfg_store *s, struct cfg_store_listener *l)
{
    l->next = NULL;
    struct cfg_store_listener **end = &s->listeners;
    while (*end)
        end = &(*end)->next;
    *end = l;
}

void cfg_store_unlisten(struct cfg_store *s, struct cfg_store_listener *l)
{
    for (struct cfg_store_listener **p = &s->listeners; *p; p = &(*p)->next) {
        if (*p == l) {
            *p = l->next;
            if (s->cursor == l)
                s->cursor = l->next;
            return;
        }
    }
}

/* --- waiting --- */

static void wait_ended(void *arg)
{
    struct wait *w = arg;
    for (struct wait **p = &w->store->waits; *p; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            break;
        }
    }
    struct wait ended = *w;
    wait_free(w);
    if (ended.reached) {
        ended.fn(ended.arg, NULL);
        return;
    }
    char text[CFG_REV_TEXT];
    struct cfg_error err = CFG_ERROR_INIT;
    (void)cfg_fail(&err, CFG_E_TIMEOUT, "this replica has not seen revision %s in time",
                   cfg_rev_format(ended.rev, text));
    ended.fn(ended.arg, &err);
}

void cfg_store_wait(struct cfg_store *s, struct cfg_loop *loop, struct cfg_rev rev, unsigned timeout_ms,
                    cfg_store_wait_fn fn, void *arg)
{
    struct wait *w = cfg_need(malloc(sizeof *w));
    *w = (struct wait){.store = s, .rev = rev, .fn = fn, .arg = arg, .next = s->waits};
    w->timer = cfg_need(cfg_timer_new(loop, wait_ended, w));
    s->waits = w;
    w->reached = s->ready && cfg_rev_cmp(rev, cfg_store_seen(s)) <= 0;
    cfg_timer_start(w->timer, w->reached ? 0 : timeout_ms);
}

void cfg_store_wait_cancel(struct cfg_store *s, const void *arg)
{
    for (struct wait **p = &s->waits; *p;) {
        struct wait *w = *p;
        if (w->arg == arg) {
            *p = w->next;
            wait_free(w);
        } else {
            p = &w->next;
        }
    }
}
