/* What flags have served to a deployment's workers: per flag, variant and arm how often, and to about how many units.
 *
 * In memory, since this replica started. A worker reports totals of its process, so a report that comes twice, or after
 * one that was lost, counts once; a new incarnation begins anew and adds to what its predecessors told. With each total
 * comes how much of it some configd has taken already: a worker that moves between replicas, or back to one that has
 * forgotten it, is counted where it was when it served. */
#ifndef CFG_CONFIGD_FLEET_EXPOSURES_H
#define CFG_CONFIGD_FLEET_EXPOSURES_H

#include "proto/json.h"

struct fleet_exposure;

/* Of one deployment. Zero is empty. */
struct fleet_exposures {
    struct fleet_exposure **items; /* sorted by flag, variant and arm; owned */
    size_t n, cap;
};

/* What one incarnation of a worker has told so far. Zero is nothing. */
struct fleet_told {
    struct fleet_told_item *items; /* sorted */
    size_t n, cap;
};

/* Is this a report's member "exposures" (NULL: none is fine)? CFG_E_INVALID with the path. */
CFG_MUST_CHECK int fleet_exposures_check(const cJSON *exposures, struct cfg_error *err);
/* Takes in what a worker of `arm` reports, checked before. What there is no memory or room for is left out. */
void fleet_exposures_take(struct fleet_exposures *x, struct fleet_told *told, const char *arm, const cJSON *exposures);
/* [{"flag","variant","arm","count","units"}], with "sketch", which can be united with others', where it is asked for;
 * returned-owned, NULL without memory. */
cJSON *fleet_exposures_list(const struct fleet_exposures *x, bool sketches);

void fleet_exposures_finish(struct fleet_exposures *x);
void fleet_told_finish(struct fleet_told *t);

#endif
