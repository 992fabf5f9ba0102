/* A store in memory that commits decisions at once: what etcd and its watch do, without them. Guards are checked as
 * etcd would check them. For tests of decisions and views. */
#ifndef CFG_TESTS_CONFIGD_WORLD_H
#define CFG_TESTS_CONFIGD_WORLD_H

#include "configd/change.h"
#include "configd/store.h"

struct world {
    struct cfg_store *store;
    struct cfg_heads heads;
    struct cfg_object *history[512];
    size_t n_history;
    uint64_t revision;
    cJSON *results; /* of the last change: {"r":[…]} */
    struct cfg_error err;
    struct cfg_decision decision; /* the last one */
    bool force, plan;
    const char *message;
};

void world_open(struct world *w);
void world_close(struct world *w);
/* Decides without committing; w->decision and w->err hold the outcome. */
int world_decide(struct world *w, const char *entries);
/* Decides and commits; returns the code. */
int world_change(struct world *w, const char *entries);
/* Both commit nothing and check that, if they expect an error: code and a part of the text. */
void world_ok(struct world *w, const char *entries);
void world_fails(struct world *w, const char *entries, int code, const char *text);
/* A record without versions, as other hands put it there: "live/lock/rollouts". json NULL: it goes. */
void world_put(struct world *w, const char *key, const char *json);
/* The last results at a path, as compact JSON ("r[0].version"); "" when absent. Valid until the next call. */
const char *world_result(struct world *w, const char *path);
/* A head's body at a path ("document.a.b"), as compact JSON; "deleted" for a tombstone, "" when absent. */
const char *world_head(struct world *w, const char *object, const char *path);
struct cfg_object *world_object(struct world *w, const char *object);
struct cfg_object *world_version(struct world *w, const char *object, uint64_t version);
/* Whether the last decision's guards still hold in the store as it is now. */
bool world_guards_hold(const struct world *w);

#endif
