/* Moving values between the documents of two environments. Pure. */
#ifndef CFG_CFGCTL_PROMOTE_H
#define CFG_CFGCTL_PROMOTE_H

#include "proto/json.h"

struct promote {
    const cJSON *from, *to; /* documents; borrowed */
    const cJSON *keys;      /* an array of dotted paths, each with all that is below it; empty: everything */
    const cJSON *except;    /* likewise, of what stays as it is */
    bool prune;             /* remove what is below the keys in `to` and not in `from` */
    bool change_type;       /* allow a value to change its JSON type */
};

/* *out is `to` with the chosen values of `from`, returned-owned. CFG_E_UNKNOWN_KEY for a key that is in neither (of
 * keys: that is not in `from`), with the nearest one as hint; CFG_E_TYPE_CHANGE naming the path; CFG_E_ADDRESS for a
 * malformed path; CFG_E_NOMEM. */
CFG_MUST_CHECK int promote_values(cJSON **out, const struct promote *p, struct cfg_error *err);

#endif
