/* What rollouts.c (which there are, when), rollouts_observe.c (what is seen) and rollouts_drive.c (what follows) share.
 */
#ifndef CFG_CONFIGD_ROLLOUTS_INTERNAL_H
#define CFG_CONFIGD_ROLLOUTS_INTERNAL_H

#include "configd/fleet_observe.h"
#include "configd/lease_lock.h"
#include "configd/rollout_trace.h"
#include "configd/rollouts.h"

enum {
    ROLLOUTS_TICK_MS = 500,
    ROLLOUTS_OBSERVE_MS = 1000, /* between two records, unless what they tell has changed */
    ROLLOUTS_FRESH_MS = 4000,   /* a record older than this says nothing */
    ROLLOUTS_PEERS = CFG_WHOLE_REPLICAS,
};

/* When a replica's record was last heard to change. */
struct rollout_peer {
    char name[CFG_WHOLE_NAME];
    uint64_t heard_ms;
};

/* One rollout that is under way. */
struct rollout_drive {
    struct cfg_rollout rollout;
    uint64_t version;  /* of the record that `rollout` was read from */
    uint64_t step_ms;  /* when its step was first seen here: reports count from then on */
    uint64_t gone_ms;  /* likewise, or when it was last resumed: whoever goes from then on is missed */
    uint64_t began_ms; /* when it was first seen here */
    struct rollout_peer peers[ROLLOUTS_PEERS];
    size_t n_peers;
    /* observing */
    uint64_t seq, observed_ms;
    uint64_t told[6]; /* the counts in the last record */
    bool observing;   /* a record is being written */
    /* driving */
    bool taken;    /* over: baked_ms was taken up from the record of progress */
    bool watched;  /* at the last look the whole canary was there: the time since counts */
    bool short_of; /* at the last look somebody of the canary was gone */
    bool dying; /* at the last look workers of the canary were gone; dying_ms: for how long, less the time in which none
                   were */
    uint64_t baked_ms, progress_ms, dying_ms;
    uint64_t ticked_ms, ticked_version; /* when it was looked at last, and which version */
    bool deciding, noting;              /* a decision, progress is being written */
    struct cfg_rollout_trace trace;
    struct rollout_drive *next;
};

/* What requests under way hold of it: their replies may come after it is gone. */
struct rollouts_link {
    struct cfg_rollouts *r; /* NULL: gone */
    size_t refs;
};

struct cfg_rollouts {
    struct cfg_rollouts_options o;
    char *prefix, *replica_id; /* owned */
    struct cfg_lease_lock *lock;
    struct cfg_store_listener listener;
    struct cfg_timer *tick;
    bool ticking;
    struct rollout_drive *drives; /* owned */
    struct rollouts_link *link;
};

uint64_t rollouts_now_ms(const struct cfg_rollouts *r);                                    /* monotonic */
int64_t rollouts_wall_s(const struct cfg_rollouts *r);                                     /* unix seconds */
struct rollout_drive *rollouts_find(const struct cfg_rollouts *r, const char *deployment); /* NULL: none */
struct rollouts_link *rollouts_hold(struct cfg_rollouts *r);
struct cfg_rollouts *rollouts_drop(struct rollouts_link *link); /* NULL: gone */

/* Writes this replica's record where that is due. */
void rollouts_observe(struct cfg_rollouts *r, struct rollout_drive *d);
/* A record of a replica came. */
void rollouts_heard(struct cfg_rollouts *r, const struct cfg_object *o);
/* All that is known of a rollout now. */
void rollouts_collect(struct cfg_whole *out, struct cfg_rollouts *r, const struct rollout_drive *d);
/* Judges, counts bake time, decides. */
void rollouts_drive(struct cfg_rollouts *r, struct rollout_drive *d);
/* Bake time as the record of progress has it; 0: none of this step. */
uint64_t rollouts_progress(const struct cfg_rollouts *r, const struct rollout_drive *d);

#endif
