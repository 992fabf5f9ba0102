/* What the watch brings. meta/store is looked at before a batch is handed on: the end or the exchange of the store
 * under the replica is no change of its content. */
#include "configd/replica_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_LIFE_NS = 1000000000 };

void cfg_replica_watch_drop(struct cfg_replica *r)
{
    cfg_etcd_watch_free(r->watch);
    r->watch = NULL;
    r->watch_created = false;
}

static void on_created(void *arg, int64_t revision)
{
    struct cfg_replica *r = arg;
    cfg_replica_heard(r);
    r->failures = 0;
    r->watch_created = true;
    r->watch_since_ns = r->heard_ns;
    cfg_replica_move(r, CFG_REPLICA_LIVE, NULL);
    cfg_replica_level_check(r, revision, 50);
}

/* False: the store is not what it was; the batch is left aside and the chain finds out more. */
static bool same_store(struct cfg_replica *r, const struct cfg_etcd_event *e)
{
    struct cfg_store_identity id;
    if (e->is_delete || cfg_replica_meta_read(&id, e->kv.value, NULL) != 0 ||
        strcmp(id.store_id, r->known.identity.store_id) != 0 || id.epoch != r->known.identity.epoch)
        return false;
    r->known.identity.mod_revision = (uint64_t)e->kv.mod_revision;
    r->sink.identity(r->sink.arg, &r->known.identity);
    return true;
}

static void remember_newest(struct cfg_replica *r, const struct cfg_etcd_event *events, size_t n)
{
    const struct cfg_etcd_event *e = &events[n - 1];
    for (size_t i = n; i-- > 0 && e->is_delete;)
        e = &events[i]; /* a put proves more than an absence */
    if (n > 1 && e->is_delete)
        e = &events[n - 1];
    r->newest =
        (struct cfg_replica_newest){.known = true, .is_delete = e->is_delete, .mod_revision = e->kv.mod_revision};
    if (!e->is_delete && cfg_digest_bytes(r->newest.digest, e->kv.value) != 0)
        r->newest.known = false;
    cfg_buf_clear(&r->newest_key);
    cfg_buf_put(&r->newest_key, e->kv.key.ptr, e->kv.key.len);
}

static bool reserve_scratch(struct cfg_replica *r, size_t n)
{
    if (n <= r->cap_scratch)
        return true;
    struct cfg_etcd_event *more = realloc(r->scratch, n * sizeof *more);
    if (more == NULL)
        return false;
    r->scratch = more;
    r->cap_scratch = n;
    return true;
}

static void on_events(void *arg, int64_t revision, const struct cfg_etcd_event *events, size_t n)
{
    struct cfg_replica *r = arg;
    cfg_replica_heard(r);
    cfg_replica_level_heard(r);
    if (!reserve_scratch(r, n)) {
        struct cfg_error err;
        (void)cfg_fail(&err, CFG_E_NOMEM, "no memory for a batch of %zu events", n);
        cfg_replica_recheck(r, &err, true);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (cfg_slice_eq(events[i].kv.key, cfg_buf_slice(&r->meta_key)) && !same_store(r, &events[i])) {
            cfg_replica_recheck(r, NULL, false);
            return;
        }
    }
    for (size_t i = 0; i < n; i++) {
        r->scratch[i] = events[i];
        r->scratch[i].kv.key.ptr += r->prefix.len;
        r->scratch[i].kv.key.len -= r->prefix.len;
        if (events[i].is_delete)
            r->count--;
        else if (events[i].kv.create_revision == events[i].kv.mod_revision)
            r->count++;
    }
    remember_newest(r, events, n);
    r->known.revision = revision;
    r->sink.batch(r->sink.arg, (uint64_t)revision, r->scratch, n);
}

static void on_progress(void *arg, int64_t revision)
{
    struct cfg_replica *r = arg;
    cfg_replica_heard(r);
    cfg_replica_level_heard(r);
    if (revision <= r->known.revision)
        return;
    r->known.revision = revision;
    r->sink.progress(r->sink.arg, (uint64_t)revision);
}

static void on_compacted(void *arg, int64_t compact_revision)
{
    (void)compact_revision;
    struct cfg_replica *r = arg;
    cfg_replica_heard(r);
    r->must_list = true;
    cfg_replica_recheck(r, NULL, false);
}

static void on_behind(void *arg, int64_t header_revision)
{
    cfg_replica_level_check(arg, header_revision, 0);
}

static void on_lost(void *arg, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    /* Lost after a while: at once. One that never lives long must not become a busy loop. */
    uint64_t lived_ns = r->clock->monotonic_ns(r->clock->arg) - r->watch_since_ns;
    cfg_replica_recheck(r, err, !r->watch_created || lived_ns < SHORT_LIFE_NS);
}

void cfg_replica_watch(struct cfg_replica *r)
{
    static const struct cfg_etcd_watch_fns fns = {on_created, on_events, on_progress, on_compacted, on_behind, on_lost};
    struct cfg_error err;
    r->watch_created = false;
    if (cfg_etcd_watch_start(&r->watch, r->etcd, cfg_buf_slice(&r->first), cfg_buf_slice(&r->end),
                             r->known.revision + 1, &fns, r, &err) != 0)
        cfg_replica_recheck(r, &err, true);
}
