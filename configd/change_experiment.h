/* Experiments: starting one, and stopping it. Internal to change_*.c. Pure.
 *
 * An entry for experiment/NAME is either the start of one (CREATE: what cfg_experiment_plan_record reads, and "hint",
 * which goes into the reply) or its end (MERGE_PATCH: {"result","why"?}). A name whose experiment has ended may be used
 * again: the record's versions are its runs. */
#ifndef CFG_CONFIGD_CHANGE_EXPERIMENT_H
#define CFG_CONFIGD_CHANGE_EXPERIMENT_H

#include "configd/change_draft.h"

/* CFG_E_CONFLICT (it runs already; another one runs on the flag, or on the arms; it has ended), CFG_E_NOT_FOUND,
 * CFG_E_VALUE, CFG_E_INVALID, CFG_E_UNSUPPORTED, CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_apply_experiment(struct cfg_bench *b, size_t entry, struct cfg_error *err);

/* CFG_E_CONFLICT: d is a flag or a deployment that an experiment runs on, which would count nothing from then on. 0 for
 * all else. CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_experiment_refuse_delete(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err);

#endif
