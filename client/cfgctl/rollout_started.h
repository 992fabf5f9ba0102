/* What the start of a rollout says: what was written, what the release changes for those who will run it, and what
 * deserves a second look. Pure. */
#ifndef CFG_CFGCTL_ROLLOUT_STARTED_H
#define CFG_CFGCTL_ROLLOUT_STARTED_H

#include "proto/json.h"

struct rollout_started {
    const char *deployment;
    const cJSON *reply; /* of the write; borrowed, like all of them */
    const cJSON *plan;  /* what was asked for: guards, flags */
    const cJSON *diff;  /* of the namespace between what the deployment runs and what was its head; NULL: nothing */
    bool now;           /* past steps and guards, on purpose */
};
/* Appends lines to out, warnings to warnings. */
void rollout_put_started(struct cfg_buf *out, struct cfg_buf *warnings, const struct rollout_started *s);

#endif
