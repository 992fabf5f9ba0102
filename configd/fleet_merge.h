/* The parts that replicas know, put together into answers about the whole fleet. Pure.
 *
 * A part is what a replica says of its own workers (cfg_fleet_summary, cfg_fleet_workers, cfg_fleet_exposures). Of
 * whoever does not answer, the workers that its presence record names and that are nowhere else become `unknown`, never
 * nobody, and make the whole `partial`. A worker that two parts tell of is one process that moved (the part that heard
 * of it last counts), or twins (both named), see fleet_state.h. */
#ifndef CFG_CONFIGD_FLEET_MERGE_H
#define CFG_CONFIGD_FLEET_MERGE_H

#include "proto/json.h"

#include <stddef.h>

/* What another replica answered. All borrowed but body. */
struct fleet_answer {
    const char *replica, *url;
    uint64_t workers;   /* that its presence record counts */
    uint64_t elsewhere; /* those of them that are known to be connected to a replica that answers, or to one of those
                         * before it; of one that did not answer */
    cJSON *body;        /* its part, which merging takes pieces of; NULL: none came */
    const char *why;    /* none came; NULL otherwise */
};

/* Each consumes `own` and answers with the whole, returned-owned; NULL without memory (or own NULL). as_part: what
 * another replica needs to merge stays in. */
cJSON *fleet_merge_workers(cJSON *own, struct fleet_answer *answers, size_t n);
cJSON *fleet_merge_exposures(cJSON *own, struct fleet_answer *answers, size_t n, bool as_part);
cJSON *fleet_merge_summary(cJSON *own, struct fleet_answer *answers, size_t n, bool as_part);

enum { FLEET_GROUPS_SHOWN = 200, FLEET_GROUPS_PART = 2000, FLEET_STRAGGLERS = 20 };
/* Orders an array of groups, or of stragglers, by "state" (worst first), then by the member `name`; keeps `most`.
 * Returns how many it dropped. */
size_t fleet_worst_first(cJSON *array, const char *name, size_t most);

#endif
