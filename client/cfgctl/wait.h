/* Waiting until every worker that a write concerns has applied it. */
#ifndef CFG_CFGCTL_WAIT_H
#define CFG_CFGCTL_WAIT_H

#include "client/cfgctl/cli.h"
#include "proto/revision.h"

/* One worker of the endpoint's list, seen from a write at `rev` (none: a write that changed nothing) sent at `sent_us`
 * (wall clock). Pure. */
struct wait_worker {
    bool applied;
    double latency_ms; /* from sent to applied, by both hosts' clocks; negative: unknown */
    double step;
};
struct wait_worker wait_judge(const cJSON *worker, struct cfg_rev target, struct cfg_rev rev, int64_t sent_us);
/* Is this worker waited for? Those that have gone, or were replaced by a newer incarnation, are not. Pure. */
bool wait_counts(const cJSON *worker);

/* Follows the deployments that `reply` (of a write) names until all their workers have applied its revision, or the
 * time is out: CFG_E_TIMEOUT, naming the stragglers, or CFG_E_NOT_LET_IN where there are only workers that were not
 * let in. *outcome, returned-owned: {"converged","total","refused","workers":[…]}.
 * Who waits for nobody (below) is told so, at once.
 * Progress goes to stderr: a bar on a terminal, lines elsewhere. */
CFG_MUST_CHECK int wait_converged(struct cli *c, const cJSON *reply, int64_t sent_us, cJSON **outcome,
                                  struct cfg_error *err);
/* Where all that read what was written hold an older version, nothing moves: true, and a line for each that says so and
 * what to run, appended to out. Pure. */
bool wait_for_nobody(struct cfg_buf *out, const cJSON *reply);
/* The outcome in words: one line per worker. */
void wait_describe(struct cfg_buf *out, const cJSON *outcome);

#endif
