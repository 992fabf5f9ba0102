/* From the stepper to the library: windows, without a lock in the step.
 *
 * The open window lies in `open`. Whoever works on it takes it out by an exchange and puts it back: the stepper to
 * write, for the few nanoseconds of a step's end; the library to collect, and then it leaves an empty one behind. The
 * library never finds the place taken for long, and if it does it comes back later; the stepper never finds it empty.
 * When the view is another than the window's, the stepper puts the window on `closed`, a stack that the library takes
 * as a whole, so no window spans two views. */
#ifndef CFG_WORKER_GATHER_H
#define CFG_WORKER_GATHER_H

#include "worker/window.h"

struct cfg_gather {
    _Alignas(64) _Atomic(struct cfg_window *) open; /* NULL: the stepper writes, or nothing is gathered */
    _Atomic(struct cfg_window *) closed;            /* by `next`, the latest first */
    _Atomic(unsigned) complaints;                   /* CFG_METRICS_…, for the library to tell */
    uint64_t order;                                 /* the stepper's alone */
    struct cfg_metric_names names;
};

/* *out is returned-owned (cfg_gather_free). NULL without memory. */
struct cfg_gather *cfg_gather_new(void);
void cfg_gather_free(struct cfg_gather *g); /* NULL is fine; nobody steps any more */

/* From here on it gathers, for steps under b's view. False without memory. Before the first step. */
bool cfg_gather_start(struct cfg_gather *g, const struct cfg_box *b);

/* --- the stepper; now: the view its steps run under --- */
void cfg_gather_step(struct cfg_gather *g, const struct cfg_box *now, uint64_t step, uint64_t began_ns,
                     uint64_t ended_ns, const struct cfg_metric_batch *metrics); /* metrics NULL: none */
void cfg_gather_sample(struct cfg_gather *g, const struct cfg_box *now, uint64_t step, uint32_t index, double x);

/* --- the library --- */
/* What has been gathered since this was last asked, the earliest first, without what is being written right now: a list
 * by `next`, returned-owned. NULL: nothing. */
struct cfg_window *cfg_gather_take(struct cfg_gather *g);

#endif
