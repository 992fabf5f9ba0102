/* The one clock: `epoch-revision`. The revision is etcd's; the epoch survives a store that goes back. Pure values. */
#ifndef CFG_PROTO_REVISION_H
#define CFG_PROTO_REVISION_H

#include "proto/buf.h"

struct cfg_rev {
    uint64_t epoch, revision; /* {0,0} = none */
};

enum { CFG_REV_TEXT = 44 };

int cfg_rev_cmp(struct cfg_rev a, struct cfg_rev b); /* <0, 0, >0 in (epoch, revision) order */
bool cfg_rev_is_none(struct cfg_rev r);
/* Writes "E-R" into out and returns out. */
const char *cfg_rev_format(struct cfg_rev r, char out[CFG_REV_TEXT]);
/* Decimal digits, one dash, no sign, no leading zeros, ≤ 2^63−1. CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_rev_parse(struct cfg_rev *out, struct cfg_slice text, struct cfg_error *err);

#endif
