/* An experiment, as its record says it: who is compared, by which metrics, since when.
 *
 *     {"config": the deployment's namespace,"deployment","flag":"NS/NAME" | "arms":true, "sides":[{"name","share"}, …],
 * "metrics":[{"name","want"}, …], "alpha","power","effect"?,"planned_units",
 * "run","state":"running|stopped","started","stopped"?,"why"?,"result"?}
 *
 * The first side is the control, the first metric the primary one. Sides are variants of the flag, whose units are
 * targeting keys, or arms of the deployment, whose units are rank groups. Pure. */
#ifndef CFG_CONFIGD_EXPERIMENT_H
#define CFG_CONFIGD_EXPERIMENT_H

#include "configd/experiment_report.h"
#include "proto/json.h"

#define CFG_EXPERIMENT_UNITS_ERROR 0.033 /* of a sketch's count */
enum {
    CFG_EXPERIMENT_KEYS_MIN = 100,  /* targeting keys per side before anything is said */
    CFG_EXPERIMENT_GROUPS_MIN = 20, /* rank groups */
    CFG_EXPERIMENT_PLANNED_KEYS = 10000,
    CFG_EXPERIMENT_PLANNED_GROUPS = 200,
};

struct cfg_experiment {
    cJSON *record;                 /* owned; what all texts below are borrowed from */
    const char *deployment, *flag; /* flag NULL: arms */
    const char *started;
    bool running;
    uint64_t run; /* the version of the record that began it: totals of another run are not its own */
    size_t n_sides, n_metrics;
    const char *sides[CFG_STATS_ARMS_MAX];
    double shares[CFG_STATS_ARMS_MAX];
    struct cfg_experiment_metric metrics[CFG_EXPERIMENT_METRICS_MAX];
    double alpha, power, effect, planned_units; /* effect 0: not said */
};

/* Reads a record, or what is to become one (without run, state and started, which are then 0, false and ""); it is
 * copied. *out is the caller's to finish. CFG_E_VALUE with the member's path, CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_experiment_read(struct cfg_experiment *out, const cJSON *record, struct cfg_error *err);
void cfg_experiment_finish(struct cfg_experiment *x); /* takes a zeroed struct */

/* The record that a request asks for:
 * {"deployment","flag"|"arms","control"?,"treatments"?,"shares"?,"metrics","alpha"?,
 * "power"?,"effect"?,"planned_units"?}, with what it leaves out: shares from the flag's definition, where its whole
 * targeting is one `fractional`, or from the deployment's split; all other sides as treatments. definition, off_variant
 * (NULL: none), whether a group or holdout keeps units out, and whether it is off: of the flag; split: the
 * deployment's, NULL: none. *out is returned-owned. CFG_E_VALUE with path and hint, CFG_E_INVALID, CFG_E_LIMIT,
 * CFG_E_NOMEM. */
struct cfg_experiment_ground {
    const cJSON *definition;
    const char *off_variant;
    bool keeps_out, is_off;
    const cJSON *split;
};
CFG_MUST_CHECK int cfg_experiment_plan_record(cJSON **out, const cJSON *request,
                                              const struct cfg_experiment_ground *ground, struct cfg_error *err);
/* {VARIANT: WEIGHT} when the definition's whole targeting is one `fractional` of named variants; NULL otherwise, and
 * without memory. Returned-owned. */
cJSON *cfg_experiment_shares(const cJSON *definition);

#endif
