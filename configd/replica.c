/* The replica's life and its state. The chain that leads back to a good state is in replica_check.c, what the watch
 * brings in replica_watch.c, comparisons with etcd's revision in replica_level.c. */
#include "configd/replica_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 2000, MAX_KEY = 64 * 1024 };

static uint64_t now_ns(const struct cfg_replica *r)
{
    return r->clock->monotonic_ns(r->clock->arg);
}

void cfg_replica_heard(struct cfg_replica *r)
{
    r->heard_ns = now_ns(r);
}

static void put_key(struct cfg_buf *b, const char *prefix, const char *rest)
{
    cfg_buf_init(b, MAX_KEY);
    cfg_buf_puts(b, prefix);
    cfg_buf_puts(b, rest);
}

int cfg_replica_new(struct cfg_replica **out, struct cfg_loop *loop, struct cfg_etcd *etcd, const char *prefix,
                    const struct cfg_clock *clock, const struct cfg_replica_sink *sink, struct cfg_error *err)
{
    struct cfg_replica *r = calloc(1, sizeof *r);
    if (r == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the replica");
    r->loop = loop;
    r->etcd = etcd;
    r->clock = clock ? clock : &cfg_clock_system;
    r->sink = *sink;
    put_key(&r->prefix, prefix, "");
    put_key(&r->first, prefix, "live/");
    put_key(&r->end, prefix, "meta0");
    put_key(&r->meta_key, prefix, "meta/store");
    cfg_buf_init(&r->newest_key, MAX_KEY);
    cfg_buf_init(&r->listed_key, MAX_KEY);
    cfg_buf_init(&r->meta_value, MAX_KEY);
    r->retry = cfg_timer_new(loop, cfg_replica_check, r);
    r->refuse = cfg_timer_new(loop, cfg_replica_refuse_timer, r);
    r->level = cfg_timer_new(loop, cfg_replica_level_timer, r);
    r->heard_ns = now_ns(r);
    if (r->retry == NULL || r->refuse == NULL || r->level == NULL || cfg_buf_status(&r->meta_key) ||
        cfg_buf_status(&r->first) || cfg_buf_status(&r->end) || cfg_buf_status(&r->prefix)) {
        cfg_replica_free(r);
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the replica");
    }
    *out = r;
    return 0;
}

static void destroy(struct cfg_replica *r)
{
    cfg_buf_finish(&r->prefix);
    cfg_buf_finish(&r->first);
    cfg_buf_finish(&r->end);
    cfg_buf_finish(&r->meta_key);
    cfg_buf_finish(&r->newest_key);
    cfg_buf_finish(&r->listed_key);
    cfg_buf_finish(&r->meta_value);
    free(r->scratch);
    free(r->waiting.items);
    free(r->reading.items);
    free(r);
}

void cfg_replica_free(struct cfg_replica *r)
{
    if (r == NULL)
        return;
    cfg_replica_watch_drop(r);
    cfg_replica_cancel_reads(r);
    cfg_timer_free(r->retry);
    cfg_timer_free(r->refuse);
    cfg_timer_free(r->level);
    r->dead = true;
    if (r->pending == 0)
        destroy(r);
}

void cfg_replica_enter(struct cfg_replica *r)
{
    r->pending++;
}

bool cfg_replica_leave(struct cfg_replica *r)
{
    r->pending--;
    if (r->dead && r->pending == 0) {
        destroy(r);
        return true;
    }
    return r->dead;
}

void cfg_replica_start(struct cfg_replica *r)
{
    r->sink.state(r->sink.arg, r->state, NULL);
    cfg_replica_check(r);
}

uint64_t cfg_replica_silence_ms(const struct cfg_replica *r)
{
    return r->state == CFG_REPLICA_LIVE ? 0 : (now_ns(r) - r->heard_ns) / 1000000u;
}

void cfg_replica_move(struct cfg_replica *r, enum cfg_replica_state to, const struct cfg_error *why)
{
    struct cfg_error next = why ? *why : (struct cfg_error)CFG_ERROR_INIT;
    assert(to == r->state || cfg_replica_may_move(r->state, to));
    if (to == r->state && next.code == r->why.code && strcmp(next.text, r->why.text) == 0)
        return;
    r->state = to;
    r->why = next;
    r->sink.state(r->sink.arg, to, next.code ? &r->why : NULL);
}

/* 50 ms, 100 ms, … 2 s, of which a random half is left out, so that replicas do not come back in step. */
static unsigned pause_ms(struct cfg_replica *r)
{
    unsigned most = r->failures < 6 ? (unsigned)FIRST_PAUSE_MS << r->failures : LONGEST_PAUSE_MS;
    uint32_t random;
    r->failures++;
    r->clock->random(r->clock->arg, &random, sizeof random);
    return most / 2 + random % (most / 2 + 1);
}

void cfg_replica_recheck(struct cfg_replica *r, const struct cfg_error *why, bool pause)
{
    cfg_replica_watch_drop(r);
    if (r->state == CFG_REPLICA_LIVE || r->state == CFG_REPLICA_LISTING)
        cfg_replica_move(r, CFG_REPLICA_RECONNECTING, why);
    else if (r->state != CFG_REPLICA_FOREIGN) /* there the first reason stays the one to tell */
        cfg_replica_move(r, r->state, why);
    if (r->chain_busy)
        return; /* it is on its way already */
    if (pause)
        cfg_timer_start(r->retry, pause_ms(r));
    else
        cfg_replica_check(r);
}
