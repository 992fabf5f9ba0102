/* What a rollout starts with: where the deployment is, where it is to go, and whether it may. Internal to
 * change_rollout.c. Pure. */
#ifndef CFG_CONFIGD_CHANGE_ROLLOUT_START_H
#define CFG_CONFIGD_CHANGE_ROLLOUT_START_H

#include "configd/change_draft.h"

/* The rollout's record without state and decision, returned-owned. e->body:
 *     {"release"?: {"chat":43}, "flags"?: {"experiment/ab.flag":7} or ["experiment/ab.flag"], "seed", plan …}
 * Without "release" it goes to what the heads are after this change; with flags alone the release stays what it is.
 * run: the version that this becomes. */
CFG_MUST_CHECK int cfg_rollout_start(cJSON **out, struct cfg_bench *b, const struct cfg_draft *deployment,
                                     const struct cfg_change_entry *e, uint64_t run, struct cfg_error *err);
/* "experiment/ab.flag". CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_rollout_flag_id(struct cfg_object_id *out, const char *text, struct cfg_error *err);
/* The i-th version from history that the start of a rollout is decided on: for cfg_change_needs. */
bool cfg_rollout_needs(struct cfg_object_id *id, uint64_t *version, const struct cfg_change_entry *e, size_t i,
                       const struct cfg_heads *heads);

#endif
