/* The fleet's part of an observation: who of a deployment's workers here runs which arm, and what the arms reported. */
#ifndef CFG_CONFIGD_FLEET_OBSERVE_H
#define CFG_CONFIGD_FLEET_OBSERVE_H

#include "configd/fleet.h"
#include "configd/rollout_observe.h"

/* What is looked at: reports that came in [since, until) of the fleet's clock, workers that went from `gone_ms` on, and
 * the metrics' names, borrowed. */
struct cfg_fleet_lately {
    uint64_t since_ms, until_ms, gone_ms;
    const char *const *metrics;
    size_t n_metrics;
};
uint64_t cfg_fleet_now_ms(const struct cfg_fleet *f); /* monotonic */
/* Fills a zeroed *out but for its seq and versions. False: no worker of the deployment is connected here. */
bool cfg_fleet_observe(struct cfg_observation *out, struct cfg_fleet *f, const struct cfg_deployment *record,
                       const struct cfg_fleet_lately *lately);
/* Another release runs under the arm's name from this revision on: what was reported of older ones does not count. */
void cfg_fleet_forget_arm(struct cfg_fleet *f, const char *deployment, const char *arm, struct cfg_rev since);
/* The names of what the deployment's workers have reported here in the last minutes, each once, at most max; borrowed
 * until the next turn. */
size_t cfg_fleet_metrics(const struct cfg_fleet *f, const char *deployment, const char *names[], size_t max);
size_t cfg_fleet_connected_here(const struct cfg_fleet *f, const char *deployment); /* to this replica */

#endif
