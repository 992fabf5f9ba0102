/* Rollouts, driven: every configd observes its workers of deployments whose rollout runs and tells the others through
 * etcd; the one that holds the lock live/lock/rollouts judges what all of them say and writes what follows, from the
 * version that it judged. Nothing is decided while etcd is away or a replica with workers is silent.
 *
 *    tick ─► observe here ─► live/observed/DEPLOYMENT/REPLICA ─watch─► collect ─► judge ─► a change of the rollout
 *
 * Bake time is counted between ticks in monotonic time, a pause of this process not included, and written to
 * live/progress/DEPLOYMENT as it grows, so that the next driver goes on from there. One thread. */
#ifndef CFG_CONFIGD_ROLLOUTS_H
#define CFG_CONFIGD_ROLLOUTS_H

#include "configd/fleet.h"

struct cfg_rollouts;
struct cfg_rollouts_options {
    struct cfg_loop *loop; /* all borrowed, outlive the rollouts */
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_service *service;
    struct cfg_fleet *fleet;
    const struct cfg_clock *clock;
    const char *prefix;     /* "/configd/v1/"; copied */
    const char *replica_id; /* names the holder, and is the author of its decisions; copied */
};
CFG_MUST_CHECK int cfg_rollouts_new(struct cfg_rollouts **out, const struct cfg_rollouts_options *o,
                                    struct cfg_error *err);
/* Before the service and the etcd client; gives the lock back. NULL is fine. */
void cfg_rollouts_free(struct cfg_rollouts *r);

/* What this replica sees of a rollout that is under way: {"driver","baked_ms","arms","guards","waits","reason",
 * "observed"}, by what all replicas observed; reason: a word of rollout_waits.h; observed: {REPLICA: ms since it was
 * last heard to tell of its workers}. Returned-owned; NULL without memory or when none is under way. */
cJSON *cfg_rollouts_live(struct cfg_rollouts *r, const char *deployment);
bool cfg_rollouts_drives(const struct cfg_rollouts *r); /* holds the lock */

#endif
