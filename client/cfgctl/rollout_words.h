/* Rollouts as people type them, into what the API takes. Pure. */
#ifndef CFG_CFGCTL_ROLLOUT_WORDS_H
#define CFG_CFGCTL_ROLLOUT_WORDS_H

#include "proto/json.h"

/* "250ms", "60s", "5m", "2h", "60": milliseconds. CFG_E_INVALID. */
CFG_MUST_CHECK int rollout_parse_duration(uint64_t *out_ms, const char *text, struct cfg_error *err);
/* "1%,10%:5m,50%!,100%" → [{"share":0.01},{"share":0.1,"bake_ms":300000},{"share":0.5,"gate":true},{"share":1}]: a
 * share, how long it bakes, and ! where somebody approves what comes after. *out is returned-owned. CFG_E_INVALID. */
CFG_MUST_CHECK int rollout_parse_steps(cJSON **out, const char *text, struct cfg_error *err);
/* "linear:4", "exponential:1%:10" → {"linear":4}, {"exponential":{"first":0.01,"factor":10}}. */
CFG_MUST_CHECK int rollout_parse_plan(cJSON **out, const char *text, struct cfg_error *err);
/* "region=eu,gpu=H200" into the object; a label given again has several values. CFG_E_INVALID. */
CFG_MUST_CHECK int rollout_parse_where(cJSON *object, const char *text, struct cfg_error *err);
/* "sat,sun", "22:00-06:00", "fri 18:00-24:00" → {"days":["fri"],"from":"18:00","to":"24:00"}. CFG_E_INVALID. */
CFG_MUST_CHECK int rollout_parse_freeze(cJSON **out, const char *text, struct cfg_error *err);

#endif
