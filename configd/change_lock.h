/* Deployments made from a lock. Internal to change_*.c. Pure. */
#ifndef CFG_CONFIGD_CHANGE_LOCK_H
#define CFG_CONFIGD_CHANGE_LOCK_H

#include "configd/change_draft.h"

/* Fills the new deployment's record from the entry's lock. The view is the lock's own; its release keeps what this
 * store has, or had, under the same digest. What cfg_lock_check says, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_lock_apply(struct cfg_bench *b, struct cfg_draft *d, const struct cfg_change_entry *e,
                                  struct cfg_error *err);
/* A record that an arm of which is locked needs what it is locked to. CFG_E_CONFLICT when that is gone. */
CFG_MUST_CHECK int cfg_lock_check_kept(const struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err);
/* Puts what deployments are locked to, and takes it away with them. out->writes has room for one per touched draft.
 * CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_lock_write(struct cfg_decision *out, const struct cfg_bench *b, struct cfg_error *err);

#endif
