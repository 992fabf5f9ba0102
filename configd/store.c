#include "configd/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Owned references, sorted by id once `sort_heads` ran. */
struct heads {
    struct cfg_object **items;
    size_t n, cap;
};

struct changes {
    struct cfg_store_change *items; /* owned references */
    size_t n, cap;
};

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
    struct heads heads, snapshot;
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

/* A replica that dropped a record would serve a lie: the process cannot go on without memory. */
static void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static void heads_push(struct heads *h, struct cfg_object *o)
{
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->items = need(realloc(h->items, h->cap * sizeof *h->items));
    }
    h->items[h->n++] = o;
}

static void heads_finish(struct heads *h)
{
    for (size_t i = 0; i < h->n; i++)
        (void)cfg_object_unref(h->items[i]);
    free(h->items);
    *h = (struct heads){0};
}

/* The place of id, or where it would go. */
static size_t heads_place(const struct heads *h, const struct cfg_object_id *id)
{
    size_t low = 0, high = h->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (cfg_object_id_cmp(&h->items[mid]->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct cfg_object *heads_get(const struct heads *h, const struct cfg_object_id *id)
{
    size_t i = heads_place(h, id);
    return i < h->n && cfg_object_id_eq(&h->items[i]->id, id) ? h->items[i] : NULL;
}

/* Takes the reference over; returns the replaced one (NULL: there was none), which the caller then owns. */
static struct cfg_object *heads_replace(struct heads *h, struct cfg_object *o)
{
    size_t i = heads_place(h, &o->id);
    if (i < h->n && cfg_object_id_eq(&h->items[i]->id, &o->id)) {
        struct cfg_object *before = h->items[i];
        h->items[i] = o;
        return before;
    }
    heads_push(h, o);
    memmove(h->items + i + 1, h->items + i, (h->n - 1 - i) * sizeof *h->items);
    h->items[i] = o;
    return NULL;
}

static struct cfg_object *heads_remove(struct heads *h, const struct cfg_object_id *id)
{
    size_t i = heads_place(h, id);
    if (i == h->n || !cfg_object_id_eq(&h->items[i]->id, id))
        return NULL;
    struct cfg_object *before = h->items[i];
    h->n--;
    memmove(h->items + i, h->items + i + 1, (h->n - i) * sizeof *h->items);
    return before;
}

static int by_id(const void *a, const void *b)
{
    const struct cfg_object *const *x = a, *const *y = b;
    return cfg_object_id_cmp(&(*x)->id, &(*y)->id);
}

/* Takes both references over. */
static void changes_push(struct changes *c, struct cfg_object *before, struct cfg_object *after)
{
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 8;
        c->items = need(realloc(c->items, c->cap * sizeof *c->items));
    }
    c->items[c->n++] = (struct cfg_store_change){before, after};
}

static void changes_finish(struct changes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        (void)cfg_object_unref(c->items[i].before);
        (void)cfg_object_unref(c->items[i].after);
    }
    free(c->items);
}

/* --- telling others --- */

static void tell_changed(struct cfg_store *s, const struct changes *c, bool full)
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
    heads_finish(&s->snapshot);
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
        o = cfg_object_ref(heads_get(&s->heads, &id)); /* unreadable: the last good record stays */
    if (o)
        heads_push(&s->snapshot, o);
}

/* What differs between two sorted sets; references for both sides. */
static void diff_heads(struct changes *out, const struct heads *before, const struct heads *after)
{
    size_t i = 0, j = 0;
    while (i < before->n || j < after->n) {
        struct cfg_object *b = i < before->n ? before->items[i] : NULL;
        struct cfg_object *a = j < after->n ? after->items[j] : NULL;
        int order = b == NULL ? 1 : a == NULL ? -1 : cfg_object_id_cmp(&b->id, &a->id);
        i += order <= 0;
        j += order >= 0;
        if (order == 0 && b->mod_revision == a->mod_revision &&
            cfg_slice_eq(cfg_bytes_slice(b->json), cfg_bytes_slice(a->json)))
            continue;
        changes_push(out, order <= 0 ? cfg_object_ref(b) : NULL, order >= 0 ? cfg_object_ref(a) : NULL);
    }
}

static void on_snapshot_end(void *arg, uint64_t revision)
{
    struct cfg_store *s = arg;
    s->restoring = s->snapshot_restoring;
    if (s->restoring) {
        heads_finish(&s->snapshot); /* half of a restore: keep what was there before, or stay unready */
        return;
    }
    struct changes c = {0};
    if (s->snapshot.n > 1)
        qsort(s->snapshot.items, s->snapshot.n, sizeof *s->snapshot.items, by_id);
    diff_heads(&c, &s->heads, &s->snapshot);
    struct heads old = s->heads;
    s->heads = s->snapshot;
    s->snapshot = (struct heads){0};
    heads_finish(&old);

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
    changes_finish(&c);
    wake_waits(s);
}

static void apply_event(struct cfg_store *s, struct changes *c, const struct cfg_etcd_event *ev)
{
    struct cfg_object_id id;
    if (ev->is_delete) {
        if (cfg_object_id_from_key(&id, ev->kv.key, NULL) != 0)
            return;
        struct cfg_object *gone = heads_remove(&s->heads, &id);
        if (gone)
            changes_push(c, gone, NULL);
        return;
    }
    struct cfg_object *o = read_object(s, &ev->kv);
    if (o)
        changes_push(c, heads_replace(&s->heads, o), cfg_object_ref(o));
}

static void on_batch(void *arg, uint64_t revision, const struct cfg_etcd_event *events, size_t n)
{
    struct cfg_store *s = arg;
    struct changes c = {0};
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
    changes_finish(&c);
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
    heads_finish(&s->heads);
    heads_finish(&s->snapshot);
    free(s);
}

const struct cfg_replica_sink *cfg_store_sink(struct cfg_store *s)
{
    return &s->sink;
}

struct cfg_object *cfg_store_get(const struct cfg_store *s, const struct cfg_object_id *id)
{
    return heads_get(&s->heads, id);
}

struct cfg_object *cfg_store_find(const struct cfg_store *s, enum cfg_kind kind, const char *ns, const char *name)
{
    const struct cfg_object_id id = cfg_object_id_of(kind, ns, name);
    return heads_get(&s->heads, &id);
}

void cfg_store_each(const struct cfg_store *s, enum cfg_kind kind, const char *ns, cfg_store_fn fn, void *arg)
{
    const struct cfg_object_id from = cfg_object_id_of(kind, ns ? ns : "", NULL);
    for (size_t i = heads_place(&s->heads, &from); i < s->heads.n; i++) {
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
    struct wait *w = need(malloc(sizeof *w));
    *w = (struct wait){.store = s, .rev = rev, .fn = fn, .arg = arg, .next = s->waits};
    w->timer = need(cfg_timer_new(loop, wait_ended, w));
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
