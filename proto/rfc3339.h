/* Points in time as text (RFC 3339) and as microseconds since 1970 in UTC. Pure. */
#ifndef CFG_PROTO_RFC3339_H
#define CFG_PROTO_RFC3339_H

#include "proto/buf.h"

#include <cfg/error.h>
#include <stdint.h>

/* "2026-11-22T17:39:53.123456Z", with an offset instead of Z as well; a fraction is cut to microseconds. Years 1970 to
 * 9999. A leap second counts as the first of the next minute. CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_rfc3339_parse(int64_t *out_us, struct cfg_slice text, struct cfg_error *err);

/* In UTC with six digits, so that such texts sort as their times do. us is from 1970 to 9999. Returns out. */
enum { CFG_RFC3339_TEXT = 32 };
const char *cfg_rfc3339_print(char out[CFG_RFC3339_TEXT], int64_t us);

#endif
