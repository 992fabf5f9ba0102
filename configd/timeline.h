/* What a deployment was made of while time went on, decided over versions from history: its own record, its namespace,
 * that namespace's bases (which come and go with `extends`), their schemas, the flag namespaces that it sees, its
 * rollouts, and the experiments on it.
 *
 * A timeline holds versions as they were read, in any order; each object's versions from some time on, and the one
 * before. A walk starts with what was in force at its beginning and is given the versions in order of their revisions.
 * Pure. */
#ifndef CFG_CONFIGD_TIMELINE_H
#define CFG_CONFIGD_TIMELINE_H

#include "configd/closure.h"

/* Microseconds since 1970 at which a version was written, by its record; 0: it does not say. */
int64_t cfg_timeline_time(const struct cfg_object *o);

/* --- versions --- */

struct cfg_timeline_item {
    struct cfg_object *object; /* owned reference */
    int64_t time_us;
};
struct cfg_timeline {
    struct cfg_timeline_item *items; /* by id, then by version */
    size_t n, cap, bytes;
};
/* Adds a reference; a version that is there already is left out. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_timeline_add(struct cfg_timeline *t, struct cfg_object *o, struct cfg_error *err);
void cfg_timeline_finish(struct cfg_timeline *t); /* takes a zeroed struct */
/* Those written at or after since_us, by revision, then by id: *out is a returned-owned array (free) of *n borrowed
 * objects. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_timeline_window(struct cfg_object ***out, size_t *n, const struct cfg_timeline *t,
                                       int64_t since_us, struct cfg_error *err);
/* The next version that is needed to know what was there before since_us and is not held, from item *at on, which moves
 * past it. False: there is none. */
bool cfg_timeline_missing(struct cfg_object_id *id, uint64_t *version, const struct cfg_timeline *t, int64_t since_us,
                          size_t *at);
/* Borrowed; NULL: not held. */
struct cfg_object *cfg_timeline_find(const struct cfg_timeline *t, const struct cfg_object_id *id, uint64_t version);
/* A version that the transaction of this revision wrote: the first in the order of kinds, from this kind on; NULL: none
 * is held. Borrowed. */
struct cfg_object *cfg_timeline_written(const struct cfg_timeline *t, uint64_t revision, enum cfg_kind from);
/* The oldest held version of an object that was written at or after since_us; NULL: none. Borrowed. */
struct cfg_object *cfg_timeline_first(const struct cfg_timeline *t, const struct cfg_object_id *id, int64_t since_us);

/* What was in force just before since_us: a version (borrowed), or nothing. */
enum cfg_timeline_was {
    CFG_WAS_THERE, /* a version, which may be a tombstone */
    CFG_WAS_NOT,   /* it did not exist yet */
    CFG_WAS_GONE,  /* it existed, but its version is no longer in history */
};
/* head: the object's head in the replica, for one that was not written since; may be NULL. *out is set with
 * CFG_WAS_THERE. */
enum cfg_timeline_was cfg_timeline_before(struct cfg_object **out, const struct cfg_timeline *t,
                                          const struct cfg_object_id *id, struct cfg_object *head, int64_t since_us);

/* --- the walk --- */

enum cfg_timeline_why {
    CFG_WHY_NONE,
    CFG_WHY_DEPLOYMENT,
    CFG_WHY_NAMESPACE,
    CFG_WHY_BASE,
    CFG_WHY_SCHEMA,
    CFG_WHY_FLAGS,
    CFG_WHY_ROLLOUT,
    CFG_WHY_EXPERIMENT,
};
const char *cfg_timeline_why_name(enum cfg_timeline_why why); /* "deployment", "namespace", …; "" for none */

/* Finds what was in force at the beginning, when the walk first needs it; NULL: nothing. */
typedef struct cfg_object *(*cfg_timeline_start_fn)(void *arg, const struct cfg_object_id *id);
struct cfg_timeline_walk;
/* deployment is copied. Returned-owned; NULL without memory. */
struct cfg_timeline_walk *cfg_timeline_walk_new(const char *deployment, cfg_timeline_start_fn start, void *arg);
void cfg_timeline_walk_free(struct cfg_timeline_walk *w); /* NULL is fine */
/* How a version that is written now concerns the deployment, by what it was made of before or is made of afterwards.
 * Versions come in order. */
enum cfg_timeline_why cfg_timeline_walk_next(struct cfg_timeline_walk *w, const struct cfg_object *o);
/* What the deployment is made of now: {"config","flags":[…],"track","held":{ns: version}|null,"locked":bool,
 * "spaces":[…]}, where spaces are the namespace and its bases, lowest first, as far as they exist. Returned-owned; NULL
 * when there is no deployment, or no memory. */
cJSON *cfg_timeline_walk_state(struct cfg_timeline_walk *w);

/* What a version changed against the one before (NULL: nothing was there): an array of {"op","path","from"?,"to"?},
 * the first `most`, *more counts the rest. Values longer than a line are left out. Of namespaces paths are those of
 * parameters and "(extends)". Returned-owned; NULL without memory. */
cJSON *cfg_timeline_changes(unsigned *more, const struct cfg_object *before, const struct cfg_object *after,
                            unsigned most);

#endif
