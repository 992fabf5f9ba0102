/* A release: the versions of a namespace and of every base it extends, in the order in which they are merged.
 *
 * Bases come before what extends them, left to right, and each namespace once: at the first place where a walk from the
 * namespace down into its bases leaves it. With chat extending [a, b] and both of these extending x, the order is
 * x a b chat. Pure. */
#ifndef CFG_CONFIGD_CLOSURE_H
#define CFG_CONFIGD_CLOSURE_H

#include "configd/object.h"

/* --- a release by its versions, as an arm's record holds it --- */

struct cfg_release_item {
    char ns[CFG_LIMIT_NAME + 1];
    uint64_t version;
};
struct cfg_release {
    struct cfg_release_item *items; /* owned */
    size_t n;
};
/* Reads {"chat":43,"base":7}. *out is the caller's to finish. CFG_E_VALUE, CFG_E_JSON, CFG_E_ADDRESS, CFG_E_LIMIT,
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_release_read(struct cfg_release *out, const cJSON *object, struct cfg_error *err);
void cfg_release_finish(struct cfg_release *r);                                   /* takes a zeroed struct */
uint64_t cfg_release_version(const struct cfg_release *r, const char *ns);        /* 0: not part of it */
bool cfg_release_equal(const struct cfg_release *a, const struct cfg_release *b); /* in any order */
cJSON *cfg_release_json(const struct cfg_release *r); /* returned-owned; NULL without memory */

/* --- the namespaces themselves --- */

struct cfg_closure_item {
    char ns[CFG_LIMIT_NAME + 1];
    uint64_t version, mod_revision;
    const cJSON *body; /* {"document","extends"}, borrowed from the reader */
};
struct cfg_closure {
    struct cfg_closure_item *items; /* owned; lowest layer first, the namespace itself last */
    size_t n;
};
/* Where a walk finds namespaces. read fills version, mod_revision and body of item->ns; the body must live until the
 * closure has been used. CFG_E_NOT_FOUND for a namespace that is not there or deleted; whatever else it answers ends
 * the walk as it is (CFG_E_NOT_READY: not here yet). */
struct cfg_closure_reader {
    int (*read)(void *arg, struct cfg_closure_item *item, struct cfg_error *err);
    void *arg;
};
/* *out is the caller's to finish. CFG_E_NOT_FOUND names the missing namespace and who extends it, CFG_E_VALUE a circle
 * with all of its members or a list that is none of ours, CFG_E_LIMIT (more than CFG_LIMIT_LAYERS namespaces, or a
 * chain longer than CFG_LIMIT_EXTENDS_DEPTH), CFG_E_NOMEM, and what read says. */
CFG_MUST_CHECK int cfg_closure_walk(struct cfg_closure *out, const char *root, const struct cfg_closure_reader *reader,
                                    struct cfg_error *err);
void cfg_closure_finish(struct cfg_closure *c); /* takes a zeroed struct */
bool cfg_closure_has(const struct cfg_closure *c, const char *ns);
uint64_t cfg_closure_revision(const struct cfg_closure *c); /* greatest mod_revision; 0 when empty */
/* Its versions. *out is the caller's to finish. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_closure_release(struct cfg_release *out, const struct cfg_closure *c, struct cfg_error *err);

/* The form of an `extends` list: names of namespaces, each once, none of them `ns` itself, at most CFG_LIMIT_EXTENDS.
 * CFG_E_VALUE, CFG_E_ADDRESS, CFG_E_LIMIT; the path is "extends". */
CFG_MUST_CHECK int cfg_extends_check(const cJSON *list, const char *ns, struct cfg_error *err);

#endif
