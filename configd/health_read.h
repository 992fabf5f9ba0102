/* What etcd says of itself, read. Pure. */
#ifndef CFG_CONFIGD_HEALTH_READ_H
#define CFG_CONFIGD_HEALTH_READ_H

#include "proto/json.h"

/* [{"id","name","learner","urls":[…]}] of a list of members. Returned-owned; NULL when it is none, or without memory.
 */
cJSON *cfg_health_members(struct cfg_slice body);
/* [{"member","alarm"}] ("NOSPACE", "CORRUPT") of a list of alarms. Returned-owned; NULL as above. */
cJSON *cfg_health_alarms(struct cfg_slice body);
/* The value of a metric without labels in Prometheus' text; fallback when it is not there. */
double cfg_health_metric(struct cfg_slice text, const char *name, double fallback);

#endif
