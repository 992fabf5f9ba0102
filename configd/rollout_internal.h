/* What rollout.c and rollout_plan.c share. */
#ifndef CFG_CONFIGD_ROLLOUT_INTERNAL_H
#define CFG_CONFIGD_ROLLOUT_INTERNAL_H

#include "configd/rollout.h"

/* {"days": ["sat",…] (left out: every day), "from": "HH:MM", "to": "HH:MM"}, in UTC. CFG_E_VALUE. */
CFG_MUST_CHECK int cfg_freeze_read(struct cfg_freeze_window *out, const cJSON *window, struct cfg_error *err);

#endif
