/* What a simulated worker measures: an expression (proto/expr.h) over its parameters and flags, and noise around it.
 *
 *     2.1                         always that
 *     2.1 ~ 0.05                  normal, with that deviation
 *     2.1 ~ 3%                    normal, with a deviation of 3 % of the value
 *     0.002 ~ coin                1 with that probability, else 0: a share that converges on it
 *     50 ~ exp                    exponential with that mean
 *     0.002 + (0.05 if sampling.temperature > 1.0 else 0) ~ coin      a planted effect of a parameter
 *
 * Pure: chance is the caller's state. */
#ifndef CFG_FLEET_SIGNAL_H
#define CFG_FLEET_SIGNAL_H

#include "proto/expr.h"

enum cfg_noise { CFG_NOISE_NONE, CFG_NOISE_DEVIATION, CFG_NOISE_SHARE, CFG_NOISE_COIN, CFG_NOISE_EXPONENTIAL };

struct cfg_signal {
    struct cfg_expr *expr; /* owned */
    enum cfg_noise noise;
    double amount;
};

/* CFG_E_VALUE (the expression, with its column), CFG_E_INVALID (the noise), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_signal_parse(struct cfg_signal *out, const char *text, struct cfg_error *err);
void cfg_signal_finish(struct cfg_signal *s); /* takes a zeroed struct */
/* The expression's value: a number. CFG_E_VALUE, also for a value that is none yet (null). */
CFG_MUST_CHECK int cfg_signal_base(double *out, const struct cfg_signal *s, const struct cfg_expr_names *names,
                                   struct cfg_error *err);
double cfg_signal_sample(const struct cfg_signal *s, double base, uint64_t *chance);

#endif
