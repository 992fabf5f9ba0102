/* What the guards of a rollout saw, drawn over time: from its history, and while it is under way. Pure. */
#ifndef CFG_CFGCTL_ROLLOUT_PLOT_H
#define CFG_CFGCTL_ROLLOUT_PLOT_H

#include "proto/buf.h"
#include "proto/json.h"

/* The newest rollout among the versions of a record (newest first, as GET …/history has them): a chart for each guard,
 * with the moments of its decisions. Nothing where nobody watched. */
void rollout_plot_history(struct cfg_buf *out, const cJSON *versions, size_t width, bool color);
/* One that is under way, since its last decision. Nothing where another configd drives it. */
void rollout_plot_live(struct cfg_buf *out, const cJSON *rollout, size_t width, bool color);

#endif
