/* Rank groups as the fleet knows them: which of a group's ranks are here, and where the others meet rank 0.
 *
 * A rank 0 that listens says where in its registration; this replica tells the others through its presence record, so
 * any configd can say it, half a group at each of two included. One thread. */
#ifndef CFG_CONFIGD_FLEET_GROUPS_H
#define CFG_CONFIGD_FLEET_GROUPS_H

#include "configd/fleet.h"

enum { CFG_GROUP_WAIT_MAX_MS = 30000 };

/* {"group","world","incarnation","ranks":[{"rank","worker","state"}],"root":{"worker","address"}|null,"partial"}: ranks
 * of this replica; partial: others may be at other replicas. Returned-owned; NULL without memory. */
cJSON *cfg_fleet_group(struct cfg_fleet *f, const char *deployment, const char *group);
/* Does anybody know where its rank 0 is? */
bool cfg_fleet_group_has_root(struct cfg_fleet *f, const char *deployment, const char *group);
/* Calls fn(arg) once, in a later turn: when it is known, or after timeout_ms. Waits that are pending when the fleet is
 * freed are dropped. Names are copied. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_fleet_group_wait(struct cfg_fleet *f, const char *deployment, const char *group,
                                        unsigned timeout_ms, cfg_loop_fn fn, void *arg, struct cfg_error *err);

#endif
