/* Simulated requests: in each step some users ask, every flag that is declared is decided for each, and what came of it
 * is told by the variants that were served, as a server would (<cfg/flags.h>), and as metrics of the step.
 *
 * A user is a targeting key: another one for each request, or one of --users, whom all workers share. In the
 * expressions of requests a flag is what this one is served, and a parameter is what its variants make of it. One
 * thread. */
#ifndef CFG_FLEET_REQUESTS_H
#define CFG_FLEET_REQUESTS_H

#include "worker/cfg-fleet/sim.h"

/* Before the worker starts. The handles are the same in every worker, since all declare in one order. */
void cfg_requests_declare(struct cfg_fleet *f, struct cfg_worker *w);
/* Those of the step that is about to end. Without memory they are left out. */
void cfg_requests_serve(struct cfg_sim *s);

#endif
