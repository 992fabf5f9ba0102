/* One simulated worker: a real cfg_worker whose steps are waits.
 *
 *     DOWN ──open──▶ STARTING ──first view──▶ UP ──crash──▶ DOWN
 *
 * While UP a timer ends a step, reports its metrics and begins the next; an idle worker (--step-ms 0) takes a step
 * whenever a view is ready. A hung one takes none. Chance comes from its own state, so what it does depends on the seed
 * alone. One thread. */
#ifndef CFG_FLEET_SIM_H
#define CFG_FLEET_SIM_H

#include "proto/heap.h"
#include "worker/cfg-fleet/changes.h"
#include "worker/cfg-fleet/options.h"
#include <cfg/flags.h>

enum cfg_sim_state { CFG_SIM_DOWN, CFG_SIM_STARTING, CFG_SIM_UP };

struct cfg_fleet;

struct cfg_sim {
    struct cfg_heap_node next; /* µs: when it has something to do */
    struct cfg_fleet *fleet;
    struct cfg_worker *w; /* NULL: down */
    struct cfg_sim *next_fresh;
    uint64_t chance, step, requests; /* requests: of all its lives */
    uint64_t hung_until_us, slow_until_us;
    uint64_t on; /* number of the change it runs on; 0: none */
    const struct cfg_view *view;
    struct cfg_reading reading;
    double *bases; /* owned: of the step's duration and each metric under this view; NAN: no number */
    uint32_t index, deployment, serial;
    enum cfg_sim_state state;
    bool fresh, was_up;
};

/* Counted over all workers. */
struct cfg_fleet_counts {
    uint64_t steps, requests, lost, adoptions, rejects, crashes, hangs, slows, disconnects, superseded;
    size_t up, starting;
};

struct cfg_fleet_deployment {
    const char *name;
    size_t workers, up;
    uint64_t told; /* the newest change that all of them run on */
    struct cfg_changes changes;
};

struct cfg_fleet {
    const struct cfg_fleet_options *o;
    struct cfg_declared *declared;
    struct cfg_worker_loop *loop;
    struct cfg_sim *sims;
    struct cfg_heap heap;
    struct cfg_sim *fresh; /* those with a view that is ready */
    struct cfg_fleet_deployment deployments[CFG_FLEET_DEPLOYMENTS];
    struct cfg_fleet_counts counts;
    uint64_t started_us, chance;
    bool step_varies, idle, metric_varies[CFG_FLEET_METRICS];
    bool warned;
    cfg_metric handles[CFG_FLEET_METRICS]; /* the same in every worker, since all declare in one order */
    cfg_flag flags[CFG_DECLARED_MAX];      /* likewise, by declared item; with requests only */
};

uint64_t cfg_fleet_now_us(void); /* monotonic */

/* Opens and starts it, without waiting for a view. A refusal that is known at once is returned. */
CFG_MUST_CHECK int cfg_sim_open(struct cfg_sim *s, struct cfg_error *err);
void cfg_sim_close(struct cfg_sim *s);                  /* as a crash would: the connection just ends */
void cfg_sim_run(struct cfg_sim *s, uint64_t now_us);   /* its time has come */
void cfg_sim_fresh(struct cfg_sim *s, uint64_t now_us); /* a view is ready */
void cfg_sim_crash(struct cfg_sim *s, uint64_t now_us); /* closes it, and has it start again later */
void cfg_sim_hang(struct cfg_sim *s, uint64_t now_us);
void cfg_sim_slow(struct cfg_sim *s, uint64_t now_us);

#endif
