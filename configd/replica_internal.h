/* The replica's inside, shared by replica*.c only. */
#ifndef CFG_CONFIGD_REPLICA_INTERNAL_H
#define CFG_CONFIGD_REPLICA_INTERNAL_H

#include "configd/replica_decide.h"

struct cfg_rev_waiter {
    cfg_replica_rev_fn fn;
    void *arg;
};
struct cfg_rev_waiters {
    struct cfg_rev_waiter *items;
    size_t n, cap;
};

struct cfg_replica {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
    const struct cfg_clock *clock;
    struct cfg_replica_sink sink;
    struct cfg_buf prefix, first, end, meta_key; /* "P", "P live/", "P meta0", "P meta/store" */
    enum cfg_replica_state state;
    struct cfg_error why; /* code 0: all is well */
    struct cfg_replica_known known;
    struct cfg_replica_newest newest;
    struct cfg_buf newest_key;
    int64_t count; /* keys of the range, as heard */
    uint64_t heard_ns;

    /* The one chain of "check, then initialise, raise, list or watch": no two run at once. */
    bool chain_busy;
    struct cfg_replica_seen seen;
    struct cfg_buf meta_value; /* as seen by the check under way */
    uint64_t token_epoch;      /* the greatest a client has shown since the last raise */
    bool raise_wanted;         /* a token has proved that the store went back */
    bool must_list;            /* resuming is out of the question */
    struct cfg_timer *retry;
    unsigned failures;
    struct cfg_store_identity listed_meta; /* meta/store as the list under way shows it */
    struct cfg_replica_newest listed_newest;
    struct cfg_buf listed_key;
    int64_t listed_count;

    struct cfg_etcd_watch *watch;
    bool watch_created;
    uint64_t watch_since_ns;
    struct cfg_etcd_event *scratch; /* a batch with the prefix taken off its keys */
    size_t cap_scratch;

    /* replica_level.c */
    struct cfg_rev_waiters waiting, reading;
    bool read_busy, level_busy, token_busy;
    struct cfg_timer *refuse; /* answers `waiting` when there is nobody to ask */
    struct cfg_timer *level;
    int64_t level_from;   /* the revision at which the comparison under way began */
    int64_t level_wanted; /* nothing needs to be compared once the watch has brought this revision */
    unsigned deaf;        /* comparisons in a row that found news the watch has not brought */
    unsigned remakes;     /* watches made anew since the last one that heard something */
    struct cfg_rev token;

    unsigned pending; /* callbacks that still have to come; memory lives until the last */
    bool dead;
};

/* Counts a request in (before it starts) and out (first thing in its callback; true: the replica is gone, return). */
void cfg_replica_enter(struct cfg_replica *r);
bool cfg_replica_leave(struct cfg_replica *r);
void cfg_replica_heard(struct cfg_replica *r);
/* The one place where the state changes. why NULL: all is well. */
void cfg_replica_move(struct cfg_replica *r, enum cfg_replica_state to, const struct cfg_error *why);
/* Drops the watch and checks continuity, now or after a pause. why NULL: nothing is wrong so far. */
void cfg_replica_recheck(struct cfg_replica *r, const struct cfg_error *why, bool pause);

/* replica_check.c: the chain */
void cfg_replica_check(void *replica);
void cfg_replica_list(struct cfg_replica *r);

/* replica_watch.c: starts the watch behind the known revision; the state stays until etcd has accepted it. */
void cfg_replica_watch(struct cfg_replica *r);
void cfg_replica_watch_drop(struct cfg_replica *r);

/* replica_level.c */

/* The watch has brought something. */
void cfg_replica_level_heard(struct cfg_replica *r);
/* Compares the replica with etcd after delay_ms, unless the watch has brought `wanted` by then. */
void cfg_replica_level_check(struct cfg_replica *r, int64_t wanted, unsigned delay_ms);
void cfg_replica_level_timer(void *replica);
void cfg_replica_refuse_timer(void *replica);
void cfg_replica_cancel_reads(struct cfg_replica *r);

#endif
