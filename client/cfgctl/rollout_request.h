/* What the options of `rollout start` and `set --rollout` ask for, as the body that the server takes. No I/O but for
 * the clock, which times to come are read by. */
#ifndef CFG_CFGCTL_ROLLOUT_REQUEST_H
#define CFG_CFGCTL_ROLLOUT_REQUEST_H

#include "client/cfgctl/cli.h"

/* Adds steps, guards and the rest to plan (borrowed). steps: what --rollout said, shares or a plan; NULL: --steps or
 * --plan. CFG_E_INVALID: what cannot be read, or would be forgotten beside something else; CFG_E_NOMEM. */
CFG_MUST_CHECK int rollout_fill_plan(cJSON *plan, const struct cli *c, const char *steps, struct cfg_error *err);
/* Options that say how a rollout goes, where there is none: CFG_E_INVALID. */
CFG_MUST_CHECK int rollout_refuse_words(const struct cli *c, struct cfg_error *err);

#endif
