/* One request on its way: what was asked, who asked, what the flags decided, and the bytes produced so far.
 *
 * Made on the HTTP thread, then the stepper's until its last piece goes out; after that the HTTP thread's again. The
 * bytes of a piece that went out do not change any more. */
#ifndef CFG_INFER_SEQ_H
#define CFG_INFER_SEQ_H

#include "worker/cfg-infer/policy.h"
#include "worker/cfg-infer/request.h"
#include "worker/cfg-infer/sched.h"
#include <stdatomic.h>

/* Under which view, and with which variants, bytes were made, from a step on. A sequence has one for each view that it
 * has met; the newest leads to the older ones, which do not change any more. */
struct cfg_mark {
    const struct cfg_mark *next;
    uint64_t from_step;
    char revision[48];
    char *variants, *header; /* {"experiment/ab.flag":"on"} and experiment/ab.flag=on; owned */
};

/* How a sequence is sampled in this step. */
struct cfg_how {
    double knobs[CFG_KNOBS];
    unsigned own; /* bit k: knob k differs from the live parameters */
    struct cfg_stops stops;
    bool greedy_start; /* the first CFG_GREEDY_START bytes are the most probable ones */
};
enum { CFG_GREEDY_START = 16 };

struct cfg_seq {
    struct cfg_sched_entry entry; /* first: the scheduler's entry is the sequence */
    struct cfg_seq *next;
    void *owner;                       /* the HTTP side's; NULL: of our own load */
    struct cfg_infer_request *request; /* who asks, for flags; NULL: nobody. Owned */
    struct cfg_ask ask;
    struct cfg_caller caller;
    uint64_t seed;
    _Atomic(bool) gone; /* the client has left */
    bool decided;
    uint32_t serial; /* of the view that `how` was decided under */
    struct cfg_how how;
    const struct cfg_mark *marks; /* newest first; owned */
    uint64_t first_step, last_step;
    const struct cfg_mark *first_mark;
    uint64_t begun_us, first_us; /* read; its first byte was made, of streams. 0: not yet */
    uint32_t readable;           /* of the bytes produced: those that texts are made of */
    size_t prompt_len, len;      /* bytes holds the prompt, then what was produced */
    unsigned char bytes[];
};

/* ask is consumed, also on failure; request stays the caller's until it is put in. Returned-owned; NULL without memory.
 */
struct cfg_seq *cfg_seq_new(struct cfg_ask *ask, uint64_t seed);
void cfg_seq_free(struct cfg_seq *s); /* NULL is fine */
void cfg_seq_free_list(struct cfg_seq *s);

uint64_t cfg_infer_now_us(void); /* monotonic, as begun_us is */

static inline size_t cfg_seq_produced(const struct cfg_seq *s)
{
    return s->len - s->prompt_len;
}

/* Why a sequence ended. */
enum cfg_finish {
    CFG_GOES_ON,
    CFG_FINISH_STOP,    /* a stop sequence */
    CFG_FINISH_LENGTH,  /* max_tokens */
    CFG_FINISH_GONE,    /* nobody reads it any more */
    CFG_FINISH_REFUSED, /* the queue is full */
    CFG_FINISH_CUT,     /* the server ends */
};

/* What a step did for one sequence. */
struct cfg_piece {
    struct cfg_seq *seq; /* with anything but CFG_GOES_ON the receiver's to free */
    size_t len, shown;   /* bytes produced, and how many of them may be seen */
    uint64_t step;
    const struct cfg_mark *mark; /* lives as long as seq; NULL: no step was taken */
    enum cfg_finish finish;
};

/* What one step did for all: travels to the HTTP thread in one block. */
struct cfg_pieces {
    struct cfg_pieces *next;
    size_t n, room;
    struct cfg_piece of[];
};
/* Returned-owned (free); NULL without memory. */
struct cfg_pieces *cfg_pieces_new(size_t room);

#endif
