/* What the handlers of experiments share: who may, and what other replicas know. Internal to api_experiment*.c. */
#ifndef CFG_CONFIGD_API_EXPERIMENTS_H
#define CFG_CONFIGD_API_EXPERIMENTS_H

#include "configd/api.h"
#include "configd/fleet_peers.h"

/* May the caller see (and, by the route's role, change) what a request or record is about? */
CFG_MUST_CHECK int experiments_check_rights(struct cfg_app *app, const struct cfg_call *c, const cJSON *about,
                                            struct cfg_error *err);
/* Asks the other replicas with workers of the deployment for their part (cfg_experiments_part); fn gets the call. */
void experiments_ask_others(struct cfg_app *app, struct cfg_call *c, const char *deployment, cfg_peers_fn fn);
/* The answer: {"parts":[what each told],"silent":[{"replica","why"}]}, as cfg_experiments_report takes it.
 * Returned-owned; NULL without memory. */
cJSON *experiments_told(struct cfg_slice json);

#endif
