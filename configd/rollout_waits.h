/* For what a rollout waits, in one word of a short list: for metrics, alerts and programs, beside the sentence that
 * people read. Pure. */
#ifndef CFG_CONFIGD_ROLLOUT_WAITS_H
#define CFG_CONFIGD_ROLLOUT_WAITS_H

#include "proto/json.h"

/* record: the rollout's; live: what cfg_rollouts_live says of it; now_s: the wall clock. Borrowed, static:
 *
 *     driver      nobody holds the lock: nothing is decided
 *     replica     a configd with workers is silent, or behind: what they run is not known
 *     schedule gate paused frozen      the plan, or a person
 *     groups      nobody is there who would run, or runs, the release
 *     converging  workers are on their way to it, or back
 *     baking      its time is not over
 *     guard       that is over, and a guard holds
 *     nothing     the next decision is due, or it has ended */
const char *cfg_rollout_waits(const cJSON *record, const cJSON *live, int64_t now_s);

#endif
