/* A worker that is one of several ranks: the agreement (agree.h) over a group (group.h), between the two sides of a
 * worker.
 *
 *   the stepper   runs the rounds, in step_begin, and the forming, in start and cfg_worker_form.
 *   the library   prepares views as ever, but hands them to the slate instead of the mailbox: at most one at a time
 *                 stands there prepared. While a round is about it, or a candidate is asked for, newer views wait aside
 *                 as text; hooks so see one view prepared at a time, in the order in which views may be adopted.
 *
 * The slate lies under a lock that both hold for moments only. Boxes on it are the library's to free. */
#ifndef CFG_WORKER_RANKS_H
#define CFG_WORKER_RANKS_H

#include "worker/agree.h"
#include "worker/fingerprint.h"
#include "worker/group.h"
#include "worker/group_locate.h"
#include "worker/internal.h"

struct cfg_slate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct cfg_box *prepared; /* the view that stands ready; NULL: none */
    bool forming;             /* until then nothing may be put */
    bool held;                /* a round about it is under way */
    bool putting;             /* the library waits for the round to end: it goes before the next one */
    bool waiting;             /* the library has put a view aside */
    int64_t want;             /* the candidate; 0: none */
    enum cfg_agree_ready ready;
    struct cfg_aside given;  /* forming: the candidate's text, as it was broadcast */
    struct cfg_box *dropped; /* for the library to abort */
    char refused[CFG_REV_TEXT];
    struct cfg_error refusal; /* code 0: none; why the group dropped `refused` */
    struct cfg_box *formed;   /* what the incarnation begins with, until the library has taken note */
    struct cfg_group_state state;
    bool state_moved; /* since the library last looked */
};

struct cfg_ranks {
    struct cfg_slate slate;
    /* the stepper's alone */
    struct cfg_group *group;
    struct cfg_agree agree;
    uint32_t every, since; /* K; steps since the last round */
    unsigned join_ms, deadline_ms;
    bool wants_nccl;         /* "nccl": the program has to bring it */
    bool in_flight;          /* a round whose result has not been read (deferred groups) */
    struct cfg_box *granted; /* the view that forming agreed on, until the next step */
    struct cfg_error why;    /* code 0: steps may run */
    /* the library's alone */
    struct cfg_aside aside;
    int64_t fetching; /* the candidate that is being fetched; 0: none */
    uint64_t fetch_at_ms;
    unsigned fetch_backoff_ms;
};

struct cfg_ranks_options {
    const char *group; /* "tcp:HOST:PORT", "tcp", "configd", "configd:HOST", "nccl", "solo" */
    const char *name;  /* the job's */
    const char *root;  /* the launcher's word for where rank 0 is; "": it has none */
    uint32_t rank, world;
    struct cfg_locator_options configd;
    unsigned every, deadline_ms, join_ms; /* 0: 1, 60000 and 300000 */
};

/* *out is returned-owned. CFG_E_INVALID, and what the group says. */
CFG_MUST_CHECK int cfg_ranks_new(struct cfg_ranks **out, const struct cfg_ranks_options *o, struct cfg_error *err);
void cfg_ranks_free(struct cfg_ranks *r); /* NULL is fine */
/* Where this rank 0 listens, for the others to be told; "" when they need not be. Borrowed. */
const char *cfg_ranks_address(const struct cfg_ranks *r);

/* --- the stepper: ranks.c, ranks_form.c --- */

/* A step begins: the rounds that are due. False: no step may run, r->why says why. */
bool cfg_ranks_step(struct cfg_worker *w, uint64_t step);
CFG_MUST_CHECK int cfg_ranks_form(struct cfg_worker *w, struct cfg_error *err);
void cfg_ranks_leave(struct cfg_worker *w, const char *reason);
/* What is prepared beyond the applied view: true. */
bool cfg_ranks_news(struct cfg_worker *w);
/* Lets the library know, for the next report, whether the group stands and why not. */
void cfg_ranks_tell(struct cfg_worker *w);

/* --- the library: slate.c --- */

/* Keeps the view as text while a candidate is asked for or the group forms: true. */
bool cfg_slate_defer(struct cfg_worker *w, const struct cfg_view_input *in);
/* Puts a prepared view on the slate; *replaced: what stood there. Waits for a round to end. False when the
 * slate is busy with something longer. */
bool cfg_slate_put(struct cfg_worker *w, struct cfg_box *b, struct cfg_box **replaced);
void cfg_slate_process(struct cfg_worker *w);
struct cfg_group_state cfg_slate_state(struct cfg_worker *w);
int cfg_slate_timeout_ms(struct cfg_worker *w); /* −1: nothing to do */

#endif
