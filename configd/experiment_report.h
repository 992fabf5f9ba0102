/* What an experiment says so far: one treatment's samples against the control's, in words that a statistician would
 * sign.
 *
 * Units (targeting keys, or rank groups) were assigned by shares; each gave samples of the metrics. Three things are
 * said, in this order: whether the assignment may be believed (a mismatch makes everything else void), the effect on
 * each metric with an interval that stays valid however often somebody looks, and a verdict. Only the primary metric
 * decides; its alpha is shared among the treatments (Bonferroni). Other metrics are shown with intervals at the same
 * alpha, and decide nothing. Pure. */
#ifndef CFG_CONFIGD_EXPERIMENT_REPORT_H
#define CFG_CONFIGD_EXPERIMENT_REPORT_H

#include "proto/parts.h"

enum { CFG_EXPERIMENT_METRICS_MAX = 16 };

enum cfg_experiment_want { CFG_WANT_INCREASE, CFG_WANT_DECREASE };

struct cfg_experiment_metric {
    const char *name;
    enum cfg_experiment_want want;
};

/* What one side has told of one metric. */
struct cfg_experiment_sample {
    struct cfg_moments moments;
    const struct cfg_parts *parts; /* the same samples by parts of the units, borrowed; NULL: one sample a unit */
    /* The variance of one unit's first sample, or anything like it that stays where it is while samples come. */
    double scale;
};

struct cfg_experiment_side {
    const char *name;                            /* a variant's or arm's */
    double share;                                /* of the units; any scale, > 0 */
    uint64_t units;                              /* seen */
    const struct cfg_experiment_sample *metrics; /* as many as there are metrics, in their order */
};

struct cfg_experiment_data {
    const struct cfg_experiment_metric *metrics; /* the first is the primary one */
    size_t n_metrics;                            /* 1 … CFG_EXPERIMENT_METRICS_MAX */
    const struct cfg_experiment_side *sides;     /* the first is the control */
    size_t n_sides;                              /* 2 … CFG_STATS_ARMS_MAX */
    /* How far off a count of units may be, as a share of it: 0 when counted, else a sketch's standard error. */
    double units_error;
    double alpha;         /* two-sided, over all looks and treatments */
    double planned_units; /* of all sides, at the planned end; > 0 */
    size_t units_min;     /* of each side, and samples, before anything is said; ≥ 2 */
    bool units_come;      /* not all have had their turn to tell: the split says nothing yet */
    double p_floor;       /* the smallest mismatch p seen at an earlier look; 1 at first */
};

/* {"mismatch":{"p","void":bool,"resolution"?}, "verdict":"void|early|none|better|worse|mixed", "why",
 * "treatments":[{"name",
 * "units","verdict":"early|none|better|worse","metrics":[{"name","primary"?,"want","n","bad","control","treatment","difference","se",
 * "low","high","p","relative"?,"relative_low"?,"relative_high"?,"significant"}]}], "control":{"name","units"}}.
 * A metric of which a side has no samples says so by "n":0 and has no figures. Returned-owned; NULL without memory. */
cJSON *cfg_experiment_report(const struct cfg_experiment_data *d);

/* The smallest mismatch p over all looks with this one; what d->p_floor should be next time. */
double cfg_experiment_mismatch(const struct cfg_experiment_data *d);

#endif
