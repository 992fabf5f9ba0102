/* Moving a deployment's arm to another release. Internal to change_*.c. Pure. */
#ifndef CFG_CONFIGD_CHANGE_RELEASE_H
#define CFG_CONFIGD_CHANGE_RELEASE_H

#include "configd/change_draft.h"
#include "configd/closure.h"

/* The release that an entry's {"release":{"chat":43,"base":7}} means for the deployment d: what it names; a namespace
 * that it does not name stays where the arm holds it, or is taken from its head. The view must resolve, under the
 * deployment's pin. *out is the caller's to finish. CFG_E_NOT_FOUND (version), CFG_E_VALUE, CFG_E_UNKNOWN_KEY,
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_release_decide(struct cfg_release *out, struct cfg_bench *b, const struct cfg_draft *d,
                                      const struct cfg_change_entry *e, struct cfg_error *err);

#endif
