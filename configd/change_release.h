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

/* A release as a closure: what `named` says, else what `held` says, else heads as they are after the change (or before
 * it). Both releases are borrowed; zero the rest. */
struct cfg_release_walk {
    struct cfg_bench *bench;
    const struct cfg_change_entry *entry; /* whose sources hold the versions */
    const struct cfg_release *named, *held;
    bool after;
    cJSON *trees[CFG_LIMIT_LAYERS + 1];
    size_t n_trees;
    struct cfg_error no_version; /* the walk takes a version that is not there for a base that is not there */
};
/* Guards all that it reads. Bodies in *out live until the walk is finished; *out is the caller's to finish, before
 * that. CFG_E_NOT_FOUND (version, namespace), CFG_E_VALUE, CFG_E_LIMIT, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_release_walk(struct cfg_closure *out, struct cfg_release_walk *w, const char *ns,
                                    struct cfg_error *err);
void cfg_release_walk_finish(struct cfg_release_walk *w);
/* Everything that was named must be part of it. CFG_E_VALUE. */
CFG_MUST_CHECK int cfg_release_check_named(const struct cfg_closure *c, const struct cfg_release *named, const char *ns,
                                           struct cfg_error *err);
/* The view that the deployment d would be told must resolve and keep to its schemas; *document, when not NULL, gets it,
 * returned-owned. */
CFG_MUST_CHECK int cfg_release_check_view(cJSON **document, struct cfg_bench *b, const struct cfg_closure *c,
                                          const struct cfg_draft *d, struct cfg_error *err);

#endif
