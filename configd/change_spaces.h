/* Namespaces as a decision sees them: before the change (the heads) and after it (the drafts over the heads), with what
 * lies below and above them. Internal to change_*.c. Pure.
 *
 * Whatever is read becomes a guard: every head of a closure, and the edges above a namespace, so that none can begin to
 * extend it meanwhile. */
#ifndef CFG_CONFIGD_CHANGE_SPACES_H
#define CFG_CONFIGD_CHANGE_SPACES_H

#include "configd/change_draft.h"
#include "configd/closure.h"

/* The release of ns, before or after the change. *out is the caller's to finish; its bodies live as long as the bench.
 * What cfg_closure_walk says. */
CFG_MUST_CHECK int cfg_spaces_closure(struct cfg_closure *out, struct cfg_bench *b, const char *ns, bool after,
                                      struct cfg_error *err);
void cfg_spaces_free(struct cfg_spaces *s); /* NULL is fine; with the bench */

/* Names of namespaces, each once, in the order in which they were added. */
struct cfg_names {
    char (*items)[CFG_LIMIT_NAME + 1]; /* owned */
    size_t n, cap;
    void *index; /* of the names, for search.h */
};
void cfg_names_finish(struct cfg_names *n); /* takes a zeroed struct */
CFG_MUST_CHECK int cfg_names_add(struct cfg_names *n, const char *name, struct cfg_error *err);
bool cfg_names_has(const struct cfg_names *n, const char *name);

/* ns and everything that extends it after the change, however far above. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_spaces_above(struct cfg_names *out, struct cfg_bench *b, const char *ns, struct cfg_error *err);

#endif
