/* Rollouts in words: where one is, and its story. Pure. */
#ifndef CFG_CFGCTL_ROLLOUT_TEXT_H
#define CFG_CFGCTL_ROLLOUT_TEXT_H

#include "client/cfgctl/cli.h"

/* A rollout as GET /v1/rollouts/{d} tells it. */
void rollout_describe(struct cfg_buf *out, const cJSON *rollout, bool bold);
/* The same in two to four lines: where it is, what comes next and by which command, what waits for its end. */
void rollout_summarize(struct cfg_buf *out, const cJSON *rollout);
/* One version of its record as one line or a few: when, who, what, on which values. */
void rollout_tell(struct cfg_buf *out, const cJSON *version);
/* "chat v42 → v43", or the flags that are stepped. */
void rollout_put_sides(struct cfg_buf *out, const cJSON *rollout);
bool rollout_is_final(const cJSON *rollout);

#endif
