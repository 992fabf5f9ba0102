/* What the command line says about failures, labels and deployments, as values. Pure. */
#ifndef CFG_FLEET_PLAN_H
#define CFG_FLEET_PLAN_H

#include <cfg/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CFG_PLAN_TIMES = 16, CFG_LABEL_VALUES = 16 };

/* "0.1%/s,5%@10s": how many of the workers fail per second, and what share of them at given times. */
struct cfg_failure_plan {
    double per_s; /* share of the workers */
    struct cfg_failure_time {
        uint64_t at_us; /* since all were up */
        double share;
    } times[CFG_PLAN_TIMES]; /* by time */
    size_t n;
};
/* NULL or "": none. CFG_E_INVALID, CFG_E_LIMIT. */
CFG_MUST_CHECK int cfg_failure_plan_parse(struct cfg_failure_plan *out, const char *text, struct cfg_error *err);
/* How many of `workers` fail in (from_us, to_us]: the mean of the rate, and whole ones at the times. */
void cfg_failure_plan_due(double *mean, size_t *whole, const struct cfg_failure_plan *p, uint64_t from_us,
                          uint64_t to_us, size_t workers);

/* "region=eu:0.3,us:0.7" or "gpu=H200". Strings are borrowed from what was parsed, which is cut apart. */
struct cfg_label {
    const char *key;
    const char *values[CFG_LABEL_VALUES];
    double upto[CFG_LABEL_VALUES]; /* shares, added up; the last is 1 */
    size_t n;
};
CFG_MUST_CHECK int cfg_label_parse(struct cfg_label *out, char *text, struct cfg_error *err);
const char *cfg_label_value(const struct cfg_label *l, double share); /* share: [0, 1) */

/* "5%" or "0.05": a share of 0 to 1. CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_share_parse(double *out, const char *text, struct cfg_error *err);
/* "250ms", "10s", "5m", "1h". CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_duration_parse(uint64_t *out_us, const char *text, struct cfg_error *err);

#endif
