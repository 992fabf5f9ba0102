/* What groups did in the past, as a deployment's log tells it: who was first to adopt a revision, who started again,
 * whose run ended. Pure. */
#ifndef CFG_CONFIGD_PAST_RUNS_H
#define CFG_CONFIGD_PAST_RUNS_H

#include "configd/fleet_past.h"
#include "configd/timeline.h"

/* The log's items of these records, the latest first, at most `most`, of the time from since_us to until_us. Each
 * revision is told once, by what was written in it as far as `versions` holds that ("config/chat v5 (1-43)"; NULL: by
 * its number alone), with the first group that adopted it and how many did. Returned-owned array; NULL without
 * memory. */
cJSON *cfg_past_runs(const struct fleet_past *p, const struct cfg_timeline *versions, int64_t since_us,
                     int64_t until_us, unsigned most);

#endif
