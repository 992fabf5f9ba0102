/* What the names in expressions are for one simulated worker: what it has read of its view, then what the simulator
 * itself knows (step, seconds, worker, …), then its labels. One thread. */
#ifndef CFG_FLEET_NAMES_H
#define CFG_FLEET_NAMES_H

#include "worker/cfg-fleet/sim.h"

struct cfg_asking { /* all borrowed */
    const struct cfg_sim *s;
    const struct cfg_reading *reading;
    const char *revision;
};
struct cfg_expr_names cfg_asking_names(struct cfg_asking *a); /* borrows it */

/* The signal's value under the view that s runs on, with these readings; NAN where it has none, and why is printed
 * once.
 */
double cfg_sim_base(struct cfg_sim *s, const struct cfg_reading *reading, const struct cfg_signal *signal);
/* The same for every life of the worker, and for every rank of a group. Borrowed from the options. */
const char *cfg_sim_label(const struct cfg_sim *s, size_t label);
double cfg_revision_number(const char *revision); /* what stands behind the dash */

#endif
