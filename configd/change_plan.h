/* What a change would do to whom, told in a dry run's results. Internal to change_*.c. Pure. */
#ifndef CFG_CONFIGD_CHANGE_PLAN_H
#define CFG_CONFIGD_CHANGE_PLAN_H

#include "configd/change_checks.h"

/* Adds "plan" to the result of d: per deployment that is concerned, and per parameter that differs in what it is told,
 * which class it is of there and how many connected workers declare it; what is refused last. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_plan_report(struct cfg_bench *b, const struct cfg_views *v, const struct cfg_draft *d,
                                   cJSON *result, struct cfg_error *err);

#endif
