/* From a JSON value to a declared one: type and range. Pure. */
#ifndef CFG_WORKER_EXTRACT_H
#define CFG_WORKER_EXTRACT_H

#include "worker/contract.h"

/* *out is filled on success only; for STRING and JSON its text is returned-owned (free). Errors: CFG_E_VALUE with
 * err->path = the declared path, for another type, a number out of range, a null, or the marker "???" of a value that
 * is required and missing; CFG_E_NOMEM. Not for flags. */
CFG_MUST_CHECK int cfg_extract(union cfg_value *out, const struct cfg_decl *d, const cJSON *v, struct cfg_error *err);

#endif
