/* How often rollouts moved, by what moved them, and how they ended: counted as the store shows it, from this process's
 * start on, so every replica counts all of them. For /metrics. One thread. */
#ifndef CFG_CONFIGD_ROLLOUT_COUNTS_H
#define CFG_CONFIGD_ROLLOUT_COUNTS_H

#include "configd/rollout_machine.h"
#include "configd/store.h"

struct cfg_rollout_count {
    uint64_t started, inputs[CFG_ROLLOUT_INPUTS];
    uint64_t ended[CFG_ROLLOUT_PHASES]; /* in final phases */
};
struct cfg_rollout_counts;
/* The store is borrowed and outlives it. Returned-owned; NULL without memory. */
struct cfg_rollout_counts *cfg_rollout_counts_new(struct cfg_store *store);
void cfg_rollout_counts_free(struct cfg_rollout_counts *c); /* NULL is fine */
/* Of a deployment's rollouts; all 0 where none has moved. */
struct cfg_rollout_count cfg_rollout_counts_get(const struct cfg_rollout_counts *c, const char *deployment);

#endif
