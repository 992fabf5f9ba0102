/* The way back to a good state: is it our store, where we left it? Then initialise, raise the epoch, list or resume.
 * One chain at a time; every failure ends it and starts another after a pause. */
#include "configd/replica_internal.h"

#include <stdio.h>
#include <string.h>

enum { CHECK_TIMEOUT_MS = 3000, FOREIGN_PAUSE_MS = 1000 };

static void fail_chain(struct cfg_replica *r, const struct cfg_error *err)
{
    struct cfg_error why = *err;
    r->chain_busy = false;
    cfg_replica_recheck(r, &why, true);
}

static void again(struct cfg_replica *r)
{
    r->chain_busy = false;
    cfg_replica_check(r);
}

static void ask(struct cfg_replica *r, const struct cfg_etcd_range_req *q, cfg_etcd_range_fn fn)
{
    cfg_replica_enter(r);
    cfg_etcd_range(r->etcd, q, CHECK_TIMEOUT_MS, fn, r);
}

static void be_foreign(struct cfg_replica *r, const struct cfg_error *reason)
{
    struct cfg_error why;
    if (reason)
        why = *reason;
    else if (r->known.identity.store_id[0] == '\0')
        (void)cfg_fail(&why, CFG_E_FOREIGN_STORE, "etcd holds data under '%s' but no meta/store", r->first.data);
    else if (!r->seen.meta_present)
        (void)cfg_fail(&why, CFG_E_FOREIGN_STORE, "the store was emptied: meta/store is gone; '%s' was followed",
                       r->known.identity.store_id);
    else
        (void)cfg_fail(&why, CFG_E_FOREIGN_STORE, "etcd holds another store: '%s'; '%s' was followed",
                       r->seen.meta.store_id, r->known.identity.store_id);
    if (why.hint[0] == '\0')
        cfg_error_set_hint(&why,
                           "bring the old store back (cfgctl restore FILE), or restart configd to follow this one");
    r->chain_busy = false;
    cfg_replica_move(r, CFG_REPLICA_FOREIGN, &why);
    cfg_timer_start(r->retry, FOREIGN_PAUSE_MS);
}

static void written(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    (void)reply; /* done or not, by us or by another: what lies there now is read afresh */
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    if (err)
        fail_chain(r, err);
    else
        again(r);
}

/* Creates meta/store where nothing of ours lies; a second configd that does the same at once loses, and reads. */
static void initialise(struct cfg_replica *r)
{
    unsigned char random[16];
    struct cfg_store_identity id = {.epoch = 1};
    r->clock->random(r->clock->arg, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(id.store_id + 2 * i, 3, "%02x", random[i]);
    struct cfg_buf value;
    cfg_buf_init(&value, 256);
    cfg_replica_meta_print(&value, &id);
    const struct cfg_etcd_compare nothing[] = {
        {.key = cfg_buf_slice(&r->meta_key), .target = CFG_ETCD_CREATE, .result = CFG_ETCD_EQUAL},
        {.key = cfg_buf_slice(&r->first),
         .range_end = cfg_buf_slice(&r->end),
         .target = CFG_ETCD_CREATE,
         .result = CFG_ETCD_EQUAL},
    };
    const struct cfg_etcd_op put = {
        .kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&r->meta_key), .value = cfg_buf_slice(&value)};
    const struct cfg_etcd_txn_req q = {.compare = nothing, .n_compare = 2, .success = &put, .n_success = 1};
    cfg_replica_enter(r);
    cfg_etcd_txn(r->etcd, &q, CHECK_TIMEOUT_MS, written, r);
    cfg_buf_finish(&value);
}

static void raise_epoch(struct cfg_replica *r)
{
    struct cfg_error err;
    struct cfg_buf value;
    uint64_t epoch = cfg_replica_next_epoch(r->known.identity.epoch, r->seen.meta.epoch, r->token_epoch);
    cfg_buf_init(&value, 2 * r->meta_value.max);
    if (cfg_replica_meta_raise(&value, cfg_buf_slice(&r->meta_value), epoch, &err) != 0) {
        cfg_buf_finish(&value);
        fail_chain(r, &err);
        return;
    }
    const struct cfg_etcd_compare same = {.key = cfg_buf_slice(&r->meta_key),
                                          .target = CFG_ETCD_MOD,
                                          .result = CFG_ETCD_EQUAL,
                                          .number = (int64_t)r->seen.meta.mod_revision};
    const struct cfg_etcd_op put = {
        .kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&r->meta_key), .value = cfg_buf_slice(&value)};
    const struct cfg_etcd_txn_req q = {.compare = &same, .n_compare = 1, .success = &put, .n_success = 1};
    cfg_replica_enter(r);
    cfg_etcd_txn(r->etcd, &q, CHECK_TIMEOUT_MS, written, r);
    cfg_buf_finish(&value);
}

/* A client's token has shown what etcd itself does not: the history it came from is not the one that lies there. */
static enum cfg_replica_step with_token(struct cfg_replica *r, enum cfg_replica_step step)
{
    if (!r->raise_wanted || (step != CFG_STEP_LIST && step != CFG_STEP_RESUME))
        return step;
    if (r->seen.meta.epoch > r->known.identity.epoch && r->seen.meta.epoch > r->token_epoch) {
        r->raise_wanted = false; /* done, by whomever */
        return step;
    }
    return CFG_STEP_RAISE;
}

static void conclude(struct cfg_replica *r)
{
    enum cfg_replica_step step = with_token(r, cfg_replica_decide(&r->known, &r->seen));
    if (step == CFG_STEP_RESUME && r->must_list)
        step = CFG_STEP_LIST;
    switch (step) {
    case CFG_STEP_INITIALISE:
        initialise(r);
        break;
    case CFG_STEP_LIST:
        cfg_replica_list(r);
        break;
    case CFG_STEP_RESUME:
        r->chain_busy = false;
        cfg_replica_watch(r);
        break;
    case CFG_STEP_RAISE:
        raise_epoch(r);
        break;
    case CFG_STEP_FOREIGN:
        be_foreign(r, NULL);
        break;
    }
}

static void got_newest(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    if (err && err->code != CFG_E_COMPACTED) {
        fail_chain(r, err);
        return;
    }
    cfg_replica_heard(r);
    r->seen.newest =
        err ? CFG_EVIDENCE_COMPACTED : cfg_replica_compare(&r->newest, reply->n > 0 ? &reply->kvs[0] : NULL);
    conclude(r);
}

static void got_live_count(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    if (err) {
        fail_chain(r, err);
        return;
    }
    r->seen.live_empty = reply->count == 0;
    conclude(r);
}

static void meta_absent(struct cfg_replica *r)
{
    r->seen.meta_present = false;
    if (r->known.identity.store_id[0]) {
        conclude(r);
        return;
    }
    const struct cfg_etcd_range_req q = {
        .key = cfg_buf_slice(&r->first), .range_end = cfg_buf_slice(&r->end), .count_only = true};
    ask(r, &q, got_live_count);
}

static void got_meta(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    if (err) {
        fail_chain(r, err);
        return;
    }
    cfg_replica_heard(r);
    r->seen.revision = reply->header.revision;
    if (reply->n == 0) {
        meta_absent(r);
        return;
    }
    struct cfg_error why;
    if (cfg_replica_meta_read(&r->seen.meta, reply->kvs[0].value, &why) != 0) {
        be_foreign(r, &why);
        return;
    }
    r->seen.meta_present = true;
    r->seen.meta.mod_revision = (uint64_t)reply->kvs[0].mod_revision;
    cfg_buf_clear(&r->meta_value);
    cfg_buf_put(&r->meta_value, reply->kvs[0].value.ptr, reply->kvs[0].value.len);
    if (!r->newest.known || !cfg_replica_wants_evidence(&r->known, &r->seen)) {
        conclude(r);
        return;
    }
    const struct cfg_etcd_range_req q = {.key = cfg_buf_slice(&r->newest_key), .revision = r->known.revision};
    ask(r, &q, got_newest);
}

void cfg_replica_check(void *replica)
{
    struct cfg_replica *r = replica;
    if (r->chain_busy)
        return;
    r->chain_busy = true;
    cfg_timer_stop(r->retry);
    r->seen = (struct cfg_replica_seen){0};
    const struct cfg_etcd_range_req q = {.key = cfg_buf_slice(&r->meta_key)};
    ask(r, &q, got_meta);
}

/* --- the list --- */

static void begin_snapshot(struct cfg_replica *r)
{
    r->listed_count = 0;
    r->listed_meta = (struct cfg_store_identity){0};
    r->listed_newest = (struct cfg_replica_newest){0};
    r->sink.snapshot_begin(r->sink.arg);
}

static void list_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct cfg_replica *r = arg;
    for (size_t i = 0; !r->dead && i < page->n; i++) {
        struct cfg_etcd_kv kv = page->kvs[i];
        r->listed_count++;
        if (kv.mod_revision > r->listed_newest.mod_revision) {
            r->listed_newest = (struct cfg_replica_newest){.known = true, .mod_revision = kv.mod_revision};
            if (cfg_digest_bytes(r->listed_newest.digest, kv.value) != 0)
                r->listed_newest.known = false;
            cfg_buf_clear(&r->listed_key);
            cfg_buf_put(&r->listed_key, kv.key.ptr, kv.key.len);
        }
        if (cfg_slice_eq(kv.key, cfg_buf_slice(&r->meta_key)) &&
            cfg_replica_meta_read(&r->listed_meta, kv.value, NULL) == 0)
            r->listed_meta.mod_revision = (uint64_t)kv.mod_revision;
        kv.key.ptr += r->prefix.len;
        kv.key.len -= r->prefix.len;
        r->sink.snapshot_put(r->sink.arg, &kv);
    }
}

static void list_restarted(void *arg)
{
    struct cfg_replica *r = arg;
    if (!r->dead)
        begin_snapshot(r);
}

static void list_done(void *arg, int64_t revision, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    if (err) {
        fail_chain(r, err);
        return;
    }
    cfg_replica_heard(r);
    const struct cfg_store_identity *id = &r->known.identity;
    if (strcmp(r->listed_meta.store_id, id->store_id) != 0 || r->listed_meta.epoch != id->epoch ||
        r->listed_meta.mod_revision != id->mod_revision) {
        again(r); /* meta/store has changed since it was read: what was listed is not what was announced */
        return;
    }
    r->known.complete = true;
    r->known.revision = revision;
    r->newest = r->listed_newest;
    cfg_buf_clear(&r->newest_key);
    cfg_buf_put(&r->newest_key, r->listed_key.data, r->listed_key.len);
    r->count = r->listed_count;
    r->must_list = false;
    r->chain_busy = false;
    r->sink.snapshot_end(r->sink.arg, (uint64_t)revision);
    cfg_replica_watch(r);
}

void cfg_replica_list(struct cfg_replica *r)
{
    static const struct cfg_etcd_list_fns fns = {list_page, list_restarted, list_done};
    if (r->seen.meta.epoch != r->known.identity.epoch) { /* revisions of another epoch prove nothing about this one */
        r->known.complete = false;
        r->known.revision = 0;
        r->newest.known = false;
    }
    r->known.identity = r->seen.meta;
    r->level_wanted = 0;
    r->must_list = true; /* what is held belongs to the identity before this one, until the list is complete */
    cfg_replica_move(r, CFG_REPLICA_LISTING, NULL);
    r->sink.identity(r->sink.arg, &r->known.identity);
    begin_snapshot(r);
    cfg_replica_enter(r);
    cfg_etcd_list(r->etcd, cfg_buf_slice(&r->first), cfg_buf_slice(&r->end), 0, &fns, r);
}
