/* What a write did and whom it reaches, in words. Pure. */
#ifndef CFG_CFGCTL_REACH_H
#define CFG_CFGCTL_REACH_H

#include "proto/json.h"

#include <stdbool.h>

/* reply: that of any write. Appends lines to out; to warnings what deserves a second look: a change that nobody reads,
 * with the server's hint. */
void reach_describe(struct cfg_buf *out, struct cfg_buf *warnings, const cJSON *reply);
/* Of one entry of "results": do all deployments that read it hold an older version, so that it is only stored? */
bool reach_all_hold(const cJSON *result);
/* One entry of "changes": "a.b 1 → 2", "a.b=2", "removed a.b". */
void reach_put_change(struct cfg_buf *out, const cJSON *change);

#endif
