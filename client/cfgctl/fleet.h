/* The workers of a deployment, wherever they are connected: the server asks every configd that has some. */
#ifndef CFG_CFGCTL_FLEET_H
#define CFG_CFGCTL_FLEET_H

#include "client/cfgctl/cli.h"

/* GET /v1/deployments/{d}/workers, worker by worker, and …/fleet, summed up. *out is returned-owned. Errors: the
 * request's. */
CFG_MUST_CHECK int fleet_fetch(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err);
CFG_MUST_CHECK int fleet_fetch_summary(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err);

/* GET /v1/rollouts/{d}, and what is below it: rest "" or "/history?limit=…". As above. */
CFG_MUST_CHECK int fleet_fetch_rollout(struct cli *c, const char *deployment, const char *rest, cJSON **out,
                                       struct cfg_error *err);

#endif
