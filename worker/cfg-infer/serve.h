/* One step of serving: requests come and go, everyone who runs gets its next byte from one call of the model.
 *
 * Everything is read from the step's view, once, at its beginning; nothing else moves a value inside a step. Live
 * sampling parameters go to the model as one versioned struct, and the version that it says it ran with must be the
 * view's. A row gets values of its own only where its request, its variants or its policy differ from them.
 *
 * One thread, the stepper. The model's arithmetic aside there is no I/O here, and no clock. */
#ifndef CFG_INFER_SERVE_H
#define CFG_INFER_SERVE_H

#include "worker/cfg-infer/live.h"
#include "worker/cfg-infer/seq.h"
#include "worker/model/model.h"

struct cfg_serve {
    struct cfg_sched sched;
    struct cfg_model *model;     /* borrowed; its buckets are captured */
    const struct cfg_live *live; /* borrowed */
    const struct cfg_view *view; /* the step's */
    struct cfg_live_params params;
    double knobs[CFG_KNOBS]; /* the view's */
    unsigned cap, queue;
    struct cfg_stops stops;
    bool greedy_start;
    uint64_t tokens, finished, n_own; /* n_own: of our own load that run or wait */
    uint64_t readable;                /* of the tokens: bytes that texts are made of */
    unsigned char *contexts, *bytes;
    struct cfg_model_row *rows;
};

/* For as many rows as the model's greatest bucket holds. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_serve_init(struct cfg_serve *s, struct cfg_model *model, const struct cfg_live *live,
                                  struct cfg_error *err);
/* Frees everything but what cfg_serve_cut handed out. Takes a zeroed struct. */
void cfg_serve_finish(struct cfg_serve *s);

/* A step under v: takes `in` (a list, consumed) into the queue, lets go of those whose clients have left (`sweep`: some
 * have), admits, and gives every running sequence a byte. *out: what to tell the HTTP side, returned-owned, NULL when
 * there is nothing. Also on failure. Errors end the service: the model's, and CFG_E_INTERNAL when the model ran with
 * other parameters than the view's. */
CFG_MUST_CHECK int cfg_serve_step(struct cfg_serve *s, struct cfg_pieces **out, const struct cfg_view *v, uint64_t step,
                                  struct cfg_seq *in, bool sweep, struct cfg_error *err);
/* Ends everything that runs, waits or is in `in`: a last piece for each. NULL when there is nothing. */
struct cfg_pieces *cfg_serve_cut(struct cfg_serve *s, struct cfg_seq *in);

static inline unsigned cfg_serve_load(const struct cfg_serve *s)
{
    return s->sched.n_running + s->sched.n_waiting;
}

#endif
