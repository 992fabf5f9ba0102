/* Drain parameters at work: the new value governs admission at once, and the program says how much is still in use
 * above it. The stepper writes, any thread reads. */
#ifndef CFG_WORKER_DRAIN_H
#define CFG_WORKER_DRAIN_H

#include "worker/contract.h"
#include <stdatomic.h>

struct cfg_drains {
    _Atomic(double) *now; /* in use, by index of the parameter; 0 until said. NULL: no drain parameter */
    bool *above;          /* as it was when last said; the stepper's alone */
    uint32_t n;
    _Atomic(bool) moved; /* one has begun or ended to drain; for the library to report */
};

/* Before the first step. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_drains_start(struct cfg_drains *d, const struct cfg_contract *c, struct cfg_error *err);
void cfg_drains_finish(struct cfg_drains *d); /* takes a zeroed struct */

/* The stepper: `now` of a parameter is in use under view v. True when it has begun or ended to drain. CFG_E_INVALID (no
 * number of class drain), CFG_E_VALUE (not finite, or negative). */
CFG_MUST_CHECK int cfg_drains_set(struct cfg_drains *d, const struct cfg_contract *c, const struct cfg_view *v,
                                  cfg_param p, double now, bool *moved);

struct cfg_draining {
    uint32_t index;
    double now, target;
};
/* The next parameter from `from` on of which more is in use than v has: true, and it in *out. */
bool cfg_drains_next(const struct cfg_drains *d, const struct cfg_contract *c, const struct cfg_view *v, uint32_t from,
                     struct cfg_draining *out);
/* ,"draining":[…]: a member that follows others. Nothing where nothing drains; v NULL: nothing. */
void cfg_drains_print(struct cfg_buf *out, const struct cfg_drains *d, const struct cfg_contract *c,
                      const struct cfg_view *v);

#endif
