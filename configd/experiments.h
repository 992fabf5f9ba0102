/* Running experiments, counted: every configd adds up what its workers report for each, in memory, and keeps its totals
 * in etcd so that they outlive it.
 *
 *    report ─► tally here ─every few seconds─► tally/EXPERIMENT/RUN/REPLICA.SINCE
 *    a look  ◄─ all those keys, what others tell when asked, this process' from memory ─► report
 *    a stop  ◄─ a look, whose report goes into the record; then the run's keys are deleted
 *
 * A restarted configd begins a key of its own, so totals are only ever added up, never taken over; what a killed one
 * had not written is lost: CFG_EXPERIMENTS_SAVE_MS of its workers' samples at most. Totals lie outside of live/: nobody
 * but a look reads them. One thread. */
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

/* What this process holds of a deployment's experiments and has seen of its flags, for another that looks or plans:
 * {"replica","experiments":[{"name","run","key","totals"}],"seen":[…]}. Returned-owned; NULL without memory. */
cJSON *cfg_experiments_part(const struct cfg_experiments *x, const char *deployment);

/* The report of an experiment that runs. told (consumed; NULL: nobody was asked): {"parts": what others answered just
 * now, "silent":[{"replica","why"}]}; of a process that told nothing what it last wrote is counted, and the silent are
 * named in the report, as "silent" (then "partial" is true). The report is returned-owned by fn (NULL with err), called
 * once, from inside this call only with an error; not after cfg_experiments_free. Errors through fn: CFG_E_NOT_FOUND
 * (it does not run here (yet)), CFG_E_UNAVAILABLE and what reading etcd says, CFG_E_NOMEM. */
typedef void (*cfg_experiments_fn)(void *arg, cJSON *report, const struct cfg_error *err);
void cfg_experiments_report(struct cfg_experiments *x, const char *name, cJSON *told, cfg_experiments_fn fn, void *arg);

/* What workers of a deployment have told of a flag's variant since replicas started, here and (told, as above;
 * borrowed; may be NULL) elsewhere: for planning. False: nothing. */
struct cfg_experiments_baseline {
    struct cfg_moments metric;
    struct cfg_parts parts;
    double units, since_ms; /* keys seen, in how long */
};
bool cfg_experiments_baseline(struct cfg_experiments_baseline *out, const struct cfg_experiments *x, const cJSON *told,
                              const char *deployment, const char *flag, const char *side, const char *metric);
/* The names of metrics that were told of a deployment's flags, each once, at most max; borrowed until the next turn. */
size_t cfg_experiments_metrics(const struct cfg_experiments *x, const char *deployment, const char *names[],
                               size_t max);

#endif
