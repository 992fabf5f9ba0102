/* What groups did in the past, as a deployment's log tells it: who was first to adopt a revision, who started again,
 * whose run ended. Pure. */
#ifndef CFG_CONFIGD_PAST_RUNS_H
#define CFG_CONFIGD_PAST_RUNS_H

#include "configd/fleet_past.h"

/* The log's items of these records, the latest first, at most `most`, of the time from since_us to until_us. Each
 * revision is told once, with the first group that adopted it and how many did. Returned-owned array; NULL without
 * memory. */
cJSON *cfg_past_runs(const struct fleet_past *p, int64_t since_us, int64_t until_us, unsigned most);

#endif
