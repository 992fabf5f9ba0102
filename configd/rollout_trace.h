/* What the guards of a rollout saw between two decisions, for whoever looks back: a point now and then, as many as
 * there is room for, each for the whole time. When the room is full every other point goes, and the rest come half as
 * often. Pure. */
#ifndef CFG_CONFIGD_ROLLOUT_TRACE_H
#define CFG_CONFIGD_ROLLOUT_TRACE_H

#include "configd/rollout_verdict.h"

enum { CFG_TRACE_POINTS = 60, CFG_TRACE_EVERY_MS = 400 };

struct cfg_rollout_trace {
    uint64_t version; /* of the rollout's record that the points were seen under */
    uint64_t every_ms;
    size_t n;
    struct {
        uint64_t ms;
        double canary[CFG_GUARDS_OF_ROLLOUT_MAX], base[CFG_GUARDS_OF_ROLLOUT_MAX]; /* NAN: none */
    } points[CFG_TRACE_POINTS];
};

/* A look at now_ms (monotonic). Another version begins anew; what comes too soon, or has no value at all, is left out.
 * A zeroed struct is empty. */
void cfg_rollout_trace_add(struct cfg_rollout_trace *t, uint64_t version, const struct cfg_rollout *r,
                           const struct cfg_rollout_verdict *v, uint64_t now_ms);
/* {"ms": [-1500, -1000, …], "guards": [{"guard", "canary": [0.91, null, …], "base": […]}]}, ms before now_ms, of this
 * version. Returned-owned; NULL where there is nothing, and without memory. */
cJSON *cfg_rollout_trace_json(const struct cfg_rollout_trace *t, uint64_t version, const struct cfg_rollout *r,
                              uint64_t now_ms);

#endif
