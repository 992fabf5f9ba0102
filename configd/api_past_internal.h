/* What the files api_past*.c share: the versions that concern a deployment, gathered from etcd for one call, and what
 * is answered from them. One thread. */
#ifndef CFG_CONFIGD_API_PAST_INTERNAL_H
#define CFG_CONFIGD_API_PAST_INTERNAL_H

#include "configd/api.h"
#include "configd/fleet_past.h"
#include "configd/timeline.h"

enum { PAST_MAX_NAMES = 512 };

struct past {
    struct cfg_app *app;
    struct cfg_call *call;
    struct cfg_object_id deployment;
    int64_t since_us, until_us;
    void (*reply)(struct past *g); /* answers the call and ends it */
    unsigned limit;
    bool tells_rollouts; /* and experiments: gathered, too */
    struct cfg_timeline versions;
    char names[PAST_MAX_NAMES][CFG_LIMIT_NAME + 1]; /* namespaces to be read */
    size_t n_names, next_name;
    struct cfg_object_id want;
    struct cfg_object_id gone[64]; /* whose version before is no longer in history */
    size_t n_gone;
    bool incomplete;        /* the walk met one of those */
    struct fleet_past runs; /* of the log: what groups adopted, and that they ended */
};

/* For the deployment that the call names. Returned-owned; consumed by past_end. NULL, with err filled, without it. */
struct past *past_begin(struct cfg_app *app, struct cfg_call *c, struct cfg_error *err);
/* Gathers what was written from since_us on, and what was there before; then reply(), or the call has failed. */
void past_go(struct past *g);
/* Consumes g. err: fails the call with it; NULL: it has been answered. */
void past_end(struct past *g, const struct cfg_error *err);
/* For cfg_timeline_walk_new, with a struct past: what was there at since_us. Borrowed; NULL: nothing, or it is no
 * longer in history (then incomplete is set). */
struct cfg_object *past_was(void *arg, const struct cfg_object_id *id);

/* A query's time in microseconds; fallback where it is not given. */
int past_read_time(int64_t *out, const struct cfg_call *c, const char *name, int64_t fallback, struct cfg_error *err);
int64_t past_now_us(const struct cfg_app *app);

#endif
