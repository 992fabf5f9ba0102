/* The workers of a deployment, wherever they are connected. */
#ifndef CFG_CFGCTL_FLEET_H
#define CFG_CFGCTL_FLEET_H

#include "client/cfgctl/cli.h"

/* GET /v1/deployments/{d}/workers, completed from the other configd that it names: each knows only the workers that
 * are connected to it. *out is returned-owned, in the API's own form; "partial" stays true, and "unasked" counts
 * workers, where one could not be asked. Errors: those of the first request. */
CFG_MUST_CHECK int fleet_fetch(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err);
/* Takes `other`, the reply of another replica, into `fleet`; a worker known already is left out. Consumes other. Pure.
 */
void fleet_merge(cJSON *fleet, cJSON *other);

#endif
