/* A lock: what a deployment's arm was told at one moment, as a file that lies beside a checkpoint, and a deployment
 * made from it that is told the same, whatever has been written since.
 *
 *     {"lock": 1, "deployment", "arm", "store", "revision", "generation", "config", "release": {"chat":43,"base":7},
 *      "inputs": [{"object","version","digest"}], "flags": [namespaces], "pin_keys", "view": {"parameters","pinned",
 *      "flags"}, "digest", "pin_digest", "lock_digest"}
 *
 * The lock carries the whole view, so it outlives the history it came from. lock_digest covers all the rest. Pure. */
#ifndef CFG_CONFIGD_LOCK_H
#define CFG_CONFIGD_LOCK_H

#include "configd/closure.h"

/* Adds "lock" and "lock_digest" to a lock without them. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_lock_seal(cJSON *lock, struct cfg_error *err);
/* Is it whole, unchanged and one of ours? CFG_E_VALUE (with the member's path), CFG_E_UNSUPPORTED (a later format),
 * CFG_E_ADDRESS, CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_lock_check(const cJSON *lock, struct cfg_error *err);
/* What lies under live/locked/<deployment>: the part of the view that the deployment's record does not hold, and the
 * inputs. Returned-owned; NULL without memory. */
cJSON *cfg_lock_content(const cJSON *lock);
/* The digest that the lock gives of an input such as "config/chat", at this version; NULL: none. Borrowed. */
const char *cfg_lock_input(const cJSON *lock, const char *object, uint64_t version);

#endif
