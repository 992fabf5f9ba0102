/* Semantic versions as the operator sem_ver compares them, which is flagd's way. Pure. */
#ifndef CFG_FLAGS_SEMVER_H
#define CFG_FLAGS_SEMVER_H

#include "proto/buf.h"

/* "v" in front and missing parts are allowed, build metadata is ignored. op is "=", "!=", "<", "<=", ">", ">=", "~"
 * (same major and minor) or "^" (same major). False when anything of it is not valid. */
bool cfg_semver_compare(bool *out, struct cfg_slice a, struct cfg_slice op, struct cfg_slice b);
bool cfg_semver_operator_known(struct cfg_slice op);

#endif
