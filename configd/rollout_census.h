/* Which rank groups a split could take, told worker by worker: how many there are, which of them have a point, and
 * between which shares those lie. Used on the workers of one replica, and on what all replicas list. Pure. */
#ifndef CFG_CONFIGD_ROLLOUT_CENSUS_H
#define CFG_CONFIGD_ROLLOUT_CENSUS_H

#include "configd/arms.h"
#include "configd/rollout_observe.h"

struct cfg_census {
    const struct cfg_split *split; /* borrowed */
    void *seen, *values;           /* trees of groups, and of values of the label that they move by; owned */
    uint64_t groups;
    uint64_t eligible, units; /* groups with a point; what moves together counts once */
    double lowest, highest;   /* of their points; 1 and 0: none */
    uint64_t mixed;           /* groups whose ranks differ in the labels that the split looks at */
    const char *mixed_group;  /* the first of them, borrowed from its worker; NULL: none */
};
void cfg_census_begin(struct cfg_census *out, const struct cfg_split *split);
/* Does another worker of this group say anything new? If not it need not be added. */
bool cfg_census_wants(const struct cfg_census *c, const char *group);
/* One worker. group is borrowed until the end, labels (an object, or NULL) for the call. True: the group's first. What
 * there is no memory for is left out. */
bool cfg_census_add(struct cfg_census *c, const char *group, const cJSON *labels);
void cfg_census_finish(struct cfg_census *c); /* the numbers stay */
/* The same, with the numbers written into *out. */
void cfg_census_tell(struct cfg_observation *out, struct cfg_census *c);

#endif
