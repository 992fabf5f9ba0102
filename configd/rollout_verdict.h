/* What follows for a rollout from what all replicas see of it: an input for the machine, or what it waits for. Pure. */
#ifndef CFG_CONFIGD_ROLLOUT_VERDICT_H
#define CFG_CONFIGD_ROLLOUT_VERDICT_H

#include "configd/rollout_observe.h"

struct cfg_rollout_verdict {
    bool any;      /* there is an input for the machine */
    bool bakes;    /* it bakes, and the canary is there to be watched: this time counts */
    bool short_of; /* somebody of the canary has gone and is not back */
    bool dying;    /* the canary has lost workers beyond what chance explains, the base has not */
    enum cfg_rollout_input input;
    char why[CFG_GUARD_TEXT + 400]; /* of the input; or what it waits for */
    struct cfg_guard_reading readings[CFG_GUARDS_OF_ROLLOUT_MAX];
};
struct cfg_rollout_clock {
    int64_t now_s;     /* this process's wall clock, for the start time and freeze windows */
    uint64_t baked_ms; /* of this step, monotonic */
    uint64_t dying_ms; /* for how long verdicts have said `dying`, less how long nobody was missing since; monotonic */
};
/* A release that kills its workers has nobody who reports it. So a canary that is dying for a third of the step's bake
 * time, and for CFG_ROLLOUT_DEATH_MS at least, has failed: who is only restarted is back by then. A person who takes
 * workers of the canary down pauses the rollout first. */
enum { CFG_ROLLOUT_DEATH_MS = 5000 };
/* Wall clocks may be wrong. So a start waits until every known clock shows that its time has come, a window holds while
 * any known clock is within it, and a rollout that is frozen stays so while this clock shows a time before it froze. */
void cfg_rollout_judge(struct cfg_rollout_verdict *out, const struct cfg_rollout *r, const struct cfg_whole *w,
                       const struct cfg_rollout_clock *clock);
/* [{"guard","verdict","canary","base","n","n_base","why"}] of the verdict, returned-owned; NULL without memory. */
cJSON *cfg_rollout_readings_json(const struct cfg_rollout *r, const struct cfg_rollout_verdict *v);

#endif
