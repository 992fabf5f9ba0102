/* Local overrides: `CONFIGD_SET="sampling.temperature=0.1;experiment/ab.flag=on"`, this worker's own last word. Pure.
 */
#ifndef CFG_WORKER_LOCAL_H
#define CFG_WORKER_LOCAL_H

#include "worker/contract.h"

/* One entry per declared parameter, in the contract's order. */
struct cfg_local {
    bool *set;
    union cfg_value *values; /* texts are owned */
    const struct cfg_contract *contract;
};

/* Parses `text` (NULL or "": none) against the contract, which is borrowed for *out's life. Entries are separated by
 * semicolons outside of quotes and brackets; values follow the grammar of the command line (true, 1e-4, [1,2], bare
 * words are strings); `on` and `off` set booleans and flags. Errors: CFG_E_UNKNOWN_KEY (not declared; with the nearest
 * name), CFG_E_PINNED (pinned parameters take no override), CFG_E_VALUE (type or range), CFG_E_INVALID (no `=`). */
CFG_MUST_CHECK int cfg_local_parse(struct cfg_local *out, const struct cfg_contract *c, const char *text,
                                   struct cfg_error *err);
void cfg_local_finish(struct cfg_local *l); /* takes a zeroed struct */

#endif
