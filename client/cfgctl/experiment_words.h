/* An experiment as it is typed: `latency_ms:decrease quality:increase control=off effect=2.5 shares=off:50,on:50`.
 * Pure.
 */
#ifndef CFG_CFGCTL_EXPERIMENT_WORDS_H
#define CFG_CFGCTL_EXPERIMENT_WORDS_H

#include "proto/json.h"

/* Adds one word to a request of POST /v1/experiments (or …/plan): a metric NAME:increase|decrease, or one of control=,
 * treatments=A,B, shares=A:N,B:N, effect=N (effect=5% for a plan: of the mean), alpha=, power=, units=N,
 * baseline=MEAN:SD, rate=UNITS-PER-HOUR. CFG_E_INVALID (also a setting that is said twice) with a hint, CFG_E_NOMEM. */
CFG_MUST_CHECK int experiment_add_word(cJSON *request, const char *word, struct cfg_error *err);
/* CFG_E_INVALID: there is something in the request that only a plan takes. */
CFG_MUST_CHECK int experiment_check_start(const cJSON *request, struct cfg_error *err);

#endif
