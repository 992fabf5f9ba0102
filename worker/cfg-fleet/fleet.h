/* All simulated workers, in one loop: their sessions, their steps, and what goes wrong with them. */
#ifndef CFG_FLEET_FLEET_H
#define CFG_FLEET_FLEET_H

#include "worker/cfg-fleet/sim.h"
#include <signal.h>

/* Called in the run, now and then and when a deployment's workers all run on one revision. */
struct cfg_fleet_watcher {
    void (*tick)(void *arg, const struct cfg_fleet *f, uint64_t now_us); /* about ten times a second */
    void (*ready)(void *arg, const struct cfg_fleet *f, uint64_t now_us);
    void (*applied)(void *arg, const struct cfg_fleet_deployment *d, const struct cfg_change *c);
    void *arg;
};

/* `o` is borrowed for f's life; its declarations get their handles. CFG_E_NOMEM, CFG_E_IO. */
CFG_MUST_CHECK int cfg_fleet_init(struct cfg_fleet *f, struct cfg_fleet_options *o, struct cfg_error *err);
void cfg_fleet_finish(struct cfg_fleet *f); /* takes a zeroed struct */
/* Runs until *stop is set (by a handler of a signal in `wait_mask`'s complement), the time is over or all steps are
 * taken. CFG_E_TIMEOUT and refusals: no first views. */
CFG_MUST_CHECK int cfg_fleet_run(struct cfg_fleet *f, const struct cfg_fleet_watcher *watcher,
                                 const volatile sig_atomic_t *stop, const sigset_t *wait_mask, struct cfg_error *err);

#endif
