/* Where does etcd stand, and does the replica stand there too?
 *
 * A watch on a store that others use as well says nothing while they write, and a dead one says nothing at all. When
 * somebody needs to know, the replica compares: keys of its range newer than what it knows, and their number. Level
 * means that its content is etcd's at that revision, whether or not the watch has said so; news that the watch does not
 * bring within a second mean that it is deaf. */
#include "configd/replica_internal.h"

#include <stdlib.h>

enum { READ_TIMEOUT_MS = 2000, AGAIN_MS = 200, DEAF_AFTER = 5 };

/* --- a linearizable revision, coalesced --- */

static void answer(struct cfg_rev_waiters *w, uint64_t revision, const struct cfg_error *err)
{
    struct cfg_rev_waiters told = *w; /* whoever asks again inside waits for the next read */
    *w = (struct cfg_rev_waiters){0};
    for (size_t i = 0; i < told.n; i++)
        told.items[i].fn(told.items[i].arg, revision, err);
    free(told.items);
}

void cfg_replica_cancel_reads(struct cfg_replica *r)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_CANCELED, "the replica was closed");
    answer(&r->reading, 0, &err);
    answer(&r->waiting, 0, &err);
}

static void read_next(struct cfg_replica *r);

static void got_revision(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    r->read_busy = false;
    if (err == NULL) {
        cfg_replica_heard(r);
        if (reply->header.revision > r->known.revision)
            cfg_replica_level_check(r, reply->header.revision, 50);
    }
    answer(&r->reading, err ? 0 : (uint64_t)reply->header.revision, err);
    read_next(r);
}

static bool nobody_to_ask(const struct cfg_replica *r)
{
    return r->state == CFG_REPLICA_FOREIGN || (r->state != CFG_REPLICA_LIVE && r->why.code != 0);
}

static void read_next(struct cfg_replica *r)
{
    if (r->read_busy || r->waiting.n == 0)
        return;
    if (nobody_to_ask(r)) {
        cfg_timer_start(r->refuse, 0);
        return;
    }
    r->reading = r->waiting;
    r->waiting = (struct cfg_rev_waiters){0};
    r->read_busy = true;
    const struct cfg_etcd_range_req q = {.key = cfg_buf_slice(&r->meta_key), .count_only = true};
    cfg_replica_enter(r);
    cfg_etcd_range(r->etcd, &q, READ_TIMEOUT_MS, got_revision, r);
}

void cfg_replica_refuse_timer(void *replica)
{
    struct cfg_replica *r = replica;
    struct cfg_error why = r->why;
    if (!nobody_to_ask(r)) {
        read_next(r);
        return;
    }
    answer(&r->waiting, 0, &why);
}

void cfg_replica_read_revision(struct cfg_replica *r, cfg_replica_rev_fn fn, void *arg)
{
    struct cfg_rev_waiters *w = &r->waiting;
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 8;
        struct cfg_rev_waiter *items = realloc(w->items, cap * sizeof *items);
        if (items == NULL)
            abort(); /* a caller that is never answered would hang */
        w->items = items;
        w->cap = cap;
    }
    w->items[w->n++] = (struct cfg_rev_waiter){fn, arg};
    read_next(r);
}

/* --- level? --- */

void cfg_replica_level_heard(struct cfg_replica *r)
{
    r->deaf = 0;
    r->remakes = 0;
}

void cfg_replica_level_check(struct cfg_replica *r, int64_t wanted, unsigned delay_ms)
{
    if (wanted > r->level_wanted)
        r->level_wanted = wanted;
    if (!r->level_busy)
        cfg_timer_start(r->level, delay_ms);
}

/* News that the watch does not bring: a new one is made; when that does not hear them either, everything is listed. */
static void suspect(struct cfg_replica *r)
{
    if (++r->deaf < DEAF_AFTER) {
        cfg_timer_start(r->level, AGAIN_MS);
        return;
    }
    r->deaf = 0;
    r->must_list = ++r->remakes > 1;
    struct cfg_error why;
    (void)cfg_fail(&why, CFG_E_UNAVAILABLE, "etcd has changes that the watch did not bring");
    cfg_replica_recheck(r, &why, false);
}

static void compared(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    r->level_busy = false;
    if (err || r->state != CFG_REPLICA_LIVE)
        return; /* the watch's own probe finds out when etcd is gone */
    cfg_replica_heard(r);
    if (r->known.revision != r->level_from) {
        if (r->known.revision < r->level_wanted) /* it moved while we asked: the answer is about another state */
            cfg_timer_start(r->level, AGAIN_MS / 4);
        return;
    }
    if (!cfg_replica_is_level(reply->n, reply->count, r->count)) {
        suspect(r);
        return;
    }
    cfg_replica_level_heard(r);
    r->known.revision = reply->header.revision;
    cfg_etcd_watch_advance(r->watch, r->known.revision);
    r->sink.progress(r->sink.arg, (uint64_t)r->known.revision);
}

void cfg_replica_level_timer(void *replica)
{
    struct cfg_replica *r = replica;
    if (r->state != CFG_REPLICA_LIVE || r->level_busy || r->known.revision >= r->level_wanted)
        return;
    r->level_busy = true;
    r->level_from = r->known.revision;
    const struct cfg_etcd_range_req q = {.key = cfg_buf_slice(&r->first),
                                         .range_end = cfg_buf_slice(&r->end),
                                         .min_mod_revision = r->known.revision + 1,
                                         .limit = 1,
                                         .keys_only = true};
    cfg_replica_enter(r);
    cfg_etcd_range(r->etcd, &q, READ_TIMEOUT_MS, compared, r);
}

/* --- tokens --- */

static void got_meta_for_token(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_replica *r = arg;
    if (cfg_replica_leave(r))
        return;
    r->token_busy = false;
    if (err || r->state != CFG_REPLICA_LIVE)
        return; /* shown again, it is looked at again */
    struct cfg_replica_seen seen = {.revision = reply->header.revision};
    seen.meta_present = reply->n > 0 && cfg_replica_meta_read(&seen.meta, reply->kvs[0].value, NULL) == 0;
    switch (cfg_replica_judge_token(&r->known.identity, r->token, &seen)) {
    case CFG_TOKEN_FINE:
        break;
    case CFG_TOKEN_CHECK:
        cfg_replica_recheck(r, NULL, false);
        break;
    case CFG_TOKEN_RAISE:
        r->raise_wanted = true;
        if (r->token.epoch > r->token_epoch)
            r->token_epoch = r->token.epoch;
        cfg_replica_recheck(r, NULL, false);
        break;
    }
}

void cfg_replica_check_token(struct cfg_replica *r, struct cfg_rev token)
{
    struct cfg_rev here = {r->known.identity.epoch, (uint64_t)r->known.revision};
    if (r->state != CFG_REPLICA_LIVE || r->token_busy || cfg_rev_cmp(token, here) <= 0)
        return;
    r->token = token;
    r->token_busy = true;
    const struct cfg_etcd_range_req q = {.key = cfg_buf_slice(&r->meta_key)};
    cfg_replica_enter(r);
    cfg_etcd_range(r->etcd, &q, READ_TIMEOUT_MS, got_meta_for_token, r);
}
