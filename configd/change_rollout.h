/* Rollouts: starting one, and moving it on. Internal to change_*.c. Pure.
 *
 * An entry for rollout/DEPLOYMENT is either the start of one (CREATE: the plan, and what to roll out) or an input to
 * its machine (MERGE_PATCH: {"input": "pause", "why": …} by a person; by the driver, who holds the lock, also what it
 * saw). Both write the rollout's record and, where who runs what changes, the deployment's. */
#ifndef CFG_CONFIGD_CHANGE_ROLLOUT_H
#define CFG_CONFIGD_CHANGE_ROLLOUT_H

#include "configd/change_draft.h"

/* The lock that whoever drives rollouts holds; its record says {"holder": the author of what it writes}. */
#define CFG_ROLLOUT_LOCK_NAME "rollouts"

/* CFG_E_CONFLICT (one is under way; the input has no place now; there is nothing to roll out; the lock is not held),
 * CFG_E_PINNED, CFG_E_NOT_FOUND, CFG_E_VALUE, CFG_E_INVALID, CFG_E_LIMIT, CFG_E_NOMEM, and what checks of views say. */
CFG_MUST_CHECK int cfg_apply_rollout(struct cfg_bench *b, size_t entry, struct cfg_error *err);
/* CFG_E_CONFLICT while a rollout has split the deployment: that must end first. what: "deleted", … */
CFG_MUST_CHECK int cfg_rollout_refuse_split(const struct cfg_draft *deployment, const char *what,
                                            struct cfg_error *err);

#endif
