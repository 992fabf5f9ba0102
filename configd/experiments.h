/* Running experiments, counted: every configd adds up what its workers report for each, in memory, and keeps its totals
 * in etcd so that they outlive it.
 *
 *    report ─► tally here ─every few seconds─► tally/EXPERIMENT/RUN/REPLICA.SINCE
 *    a look  ◄─ all those keys, this replica's from memory ─► report
 *
 * A restarted configd begins a key of its own, so totals are only ever added up, never taken over; what a killed one
 * had not written is lost: CFG_EXPERIMENTS_SAVE_MS of its workers' samples at most. A look sees other replicas' workers
 * as late as that. Totals lie outside of live/: nobody but a look reads them. One thread. */
#ifndef CFG_CONFIGD_EXPERIMENTS_H
#define CFG_CONFIGD_EXPERIMENTS_H

#include "configd/experiment_tally.h"
#include "configd/fleet.h"

enum { CFG_EXPERIMENTS_SAVE_MS = 5000 };

struct cfg_experiments;
struct cfg_experiments_options {
    struct cfg_loop *loop; /* all borrowed, outlive the experiments */
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_fleet *fleet; /* hears of its samples; one listener at a time */
    const struct cfg_clock *clock;
    const char *prefix, *replica_id; /* copied */
};
CFG_MUST_CHECK int cfg_experiments_new(struct cfg_experiments **out, const struct cfg_experiments_options *o,
                                       struct cfg_error *err);
/* Before the fleet and the etcd client. Looks under way are dropped. NULL is fine. */
void cfg_experiments_free(struct cfg_experiments *x);

/* The report of an experiment that runs: returned-owned by fn (NULL with err), called once, from inside this call only
 * with an error; not after cfg_experiments_free. Errors through fn: CFG_E_NOT_FOUND (it does not run here (yet)),
 * CFG_E_UNAVAILABLE and what reading etcd says, CFG_E_NOMEM. */
typedef void (*cfg_experiments_fn)(void *arg, cJSON *report, const struct cfg_error *err);
void cfg_experiments_report(struct cfg_experiments *x, const char *name, cfg_experiments_fn fn, void *arg);

/* What workers of a deployment have told here of a flag's variant since this replica started, or (flag NULL) of an arm
 * in the last minute: for planning. False: nothing. units: of keys seen, 0 for arms; since_ms: how long that took. */
struct cfg_experiments_baseline {
    struct cfg_moments metric;
    double units, since_ms;
};
bool cfg_experiments_baseline(struct cfg_experiments_baseline *out, const struct cfg_experiments *x,
                              const char *deployment, const char *flag, const char *side, const char *metric);
/* The names of metrics that were told of a deployment's flags, each once, at most max; borrowed until the next turn. */
size_t cfg_experiments_metrics(const struct cfg_experiments *x, const char *deployment, const char *names[],
                               size_t max);

#endif
