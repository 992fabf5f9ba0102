/* Guards: what a rollout's canary must keep to, judged on the reports of both arms in the same window.
 *
 *     error_rate<1%            the mean of the canary's samples of error_rate
 *     p99_ms<1.1*base          the 99th percentile of step durations, against the base's
 *     loss.max < 2*base + 0.1  .mean .min .max .sd .last .n .bad of a metric
 *     queue <= base.queue      the base's value by name, where a guard looks at several
 *     loss finite              no sample of loss was NaN or infinite
 *
 * The language is that of proto/expr.h. What arms report are estimates, so a guard is judged on intervals: it FAILS
 * when it is false whatever values within three standard errors are taken, PASSES when it is true of the estimates, and
 * HOLDS in between, below the minimum of samples, and without data: absence of data is not health. Pure. */
#ifndef CFG_CONFIGD_ROLLOUT_GUARD_H
#define CFG_CONFIGD_ROLLOUT_GUARD_H

#include "proto/expr.h"
#include "proto/histogram.h"
#include "proto/moments.h"

enum {
    CFG_GUARDS_OF_ROLLOUT_MAX = 16,
    CFG_GUARD_TEXT = 255,
    CFG_GUARD_NAMES = 4, /* different quantities in one guard, the base's counted again */
    CFG_METRIC_NAME = 64,
};

/* What one arm's workers reported in the window. */
struct cfg_arm_metric {
    char name[CFG_METRIC_NAME + 1];
    struct cfg_moments moments;
};
struct cfg_arm_report {
    uint64_t groups, workers; /* assigned to the arm and connected */
    uint64_t converged;       /* of the workers: run the arm's view */
    uint64_t rejecting;       /* of the workers: report that they cannot take it */
    uint64_t lost;            /* that went since the step began, less those that came */
    struct cfg_arm_metric metrics[CFG_GUARDS_OF_ROLLOUT_MAX * CFG_GUARD_NAMES];
    size_t n_metrics;
    struct cfg_histogram latency; /* step durations */
};
/* The metric's moments; NULL: never reported. Borrowed. */
const struct cfg_moments *cfg_arm_report_metric(const struct cfg_arm_report *r, const char *name);
/* The same to write to, added when new; NULL: no room. */
struct cfg_moments *cfg_arm_report_add(struct cfg_arm_report *r, const char *name);
/* Adds what another replica saw. Metrics beyond the room are left out. */
void cfg_arm_report_merge(struct cfg_arm_report *r, const struct cfg_arm_report *other);

struct cfg_rollout_guard; /* compiled; immutable */
/* text is copied; *out is returned-owned. CFG_E_VALUE with the column: no condition, no metric in it, `base` among
 * several metrics; CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_rollout_guard_new(struct cfg_rollout_guard **out, const char *text, struct cfg_error *err);
void cfg_rollout_guard_free(struct cfg_rollout_guard *g); /* NULL is fine */
const char *cfg_rollout_guard_text(const struct cfg_rollout_guard *g);
bool cfg_rollout_guard_is_relative(const struct cfg_rollout_guard *g); /* it looks at the base */
/* Calls fn for every metric that must be reported for this guard; step durations (p99_ms) are none. */
void cfg_rollout_guard_each_metric(const struct cfg_rollout_guard *g, void (*fn)(const char *metric, void *arg),
                                   void *arg);

enum cfg_guard_verdict { CFG_VERDICT_HOLDS, CFG_VERDICT_PASSES, CFG_VERDICT_FAILS };
const char *cfg_guard_verdict_name(enum cfg_guard_verdict v); /* "holds", "passes", "fails" */
struct cfg_guard_reading {
    enum cfg_guard_verdict verdict;
    bool has_canary, has_base;
    double canary, base; /* of the first quantity the guard looks at */
    uint64_t n_canary, n_base;
    char why[200]; /* of what holds or fails, for people */
};
/* Is there a base to compare with? Where it has no groups left, guards that look at it pass if that has been done
 * before (an earlier step of the rollout), or is not to be expected (a step that begins with everybody); else they
 * hold. The reading says so. */
enum cfg_guard_base { CFG_BASE_THERE, CFG_BASE_LEFT, CFG_BASE_MISSING };
/* min_samples: of each quantity, in each arm. */
void cfg_rollout_guard_judge(struct cfg_guard_reading *out, const struct cfg_rollout_guard *g,
                             const struct cfg_arm_report *canary, const struct cfg_arm_report *base,
                             uint64_t min_samples, enum cfg_guard_base left);

#endif
