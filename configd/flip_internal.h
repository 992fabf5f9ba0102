/* What flip.c and flip_plan.c share. */
#ifndef CFG_CONFIGD_FLIP_INTERNAL_H
#define CFG_CONFIGD_FLIP_INTERNAL_H

#include "configd/flip.h"
#include "configd/flip_decide.h"

/* A namespace as the store shows it. changed: the write that is the news (its time is when everything before it was
 * heard); NULL: nothing is known yet, all of them count. Pure but for memory: without it the namespace is left out
 * until its next change. */
void cfg_flips_plan_space(struct cfg_flip_plan *p, const struct cfg_store *store, const char *ns,
                          const struct cfg_object *changed, int64_t now);
/* Everything anew. */
void cfg_flips_plan_all(struct cfg_flip_plan *p, const struct cfg_store *store, int64_t now);
/* What one revision changed. Only namespaces where a rule that looks at the time came, went or may have moved are
 * compiled anew, and only their flags that look at it. */
void cfg_flips_plan_changes(struct cfg_flip_plan *p, const struct cfg_store *store,
                            const struct cfg_store_change *changes, size_t n, int64_t now);

#endif
