/* Continuous batching: sequences come and go between steps, each step gives every running one its next byte.
 *
 * The batch size governs admission: a smaller one lets the work above it finish (apply class `drain`). Everything else
 * is read afresh at every step (`live`). No I/O, no clock; one thread. */
#ifndef CFG_INFER_BATCH_H
#define CFG_INFER_BATCH_H

#include "worker/cfg-infer/lm.h"
#include "worker/cfg-infer/request.h"

enum { CFG_PROMPT_MAX = 8192, CFG_TOKENS_MAX = 4096, CFG_GREEDY_START = 16 };

struct cfg_sampling {
    double temperature, top_p;
    unsigned top_k, max_tokens;
    bool greedy_start; /* the first CFG_GREEDY_START bytes are the most probable ones */
};

/* What a step stamps on the work it touches. */
struct cfg_stamp {
    uint64_t step;
    char revision[48];
};

struct cfg_seq {
    struct cfg_seq *next;
    void *owner;                       /* the submitter's; not touched */
    struct cfg_infer_request *request; /* who asked; NULL: nobody. Owned */
    unsigned max_tokens;               /* 0: whatever the parameter says at the time */
    uint64_t seed;                     /* of its own draws */
    struct cfg_stamp first, last;      /* of the steps that produced its first and its last byte */
    size_t prompt_len, len;            /* bytes holds the prompt, then what was produced */
    unsigned char bytes[];
};

/* Room for the prompt (copied) and CFG_TOKENS_MAX bytes. Returned-owned; NULL without memory or beyond CFG_PROMPT_MAX.
 */
struct cfg_seq *cfg_seq_new(const char *prompt, size_t len, unsigned max_tokens, uint64_t seed, void *owner);
/* request (or NULL) and all. */
void cfg_seq_free_list(struct cfg_seq *s);

struct cfg_batch {
    const struct cfg_lm *lm; /* borrowed */
    struct cfg_seq *waiting, **waiting_tail;
    struct cfg_seq *running;
    unsigned n_waiting, n_running;
    uint64_t tokens; /* produced so far */
    /* How this step treats a sequence that has a request: *how is the step's own to begin with. NULL: as all others. */
    void (*decide)(void *arg, struct cfg_infer_request *request, struct cfg_sampling *how);
    void *arg;
};

void cfg_batch_init(struct cfg_batch *b, const struct cfg_lm *lm);
void cfg_batch_finish(struct cfg_batch *b);                    /* frees what waits and runs */
void cfg_batch_submit(struct cfg_batch *b, struct cfg_seq *s); /* consumed */
/* One step: admits up to batch_size, gives each running sequence one byte, returns the finished ones (a list, owned by
 * the caller), in the order of submission. */
struct cfg_seq *cfg_batch_step(struct cfg_batch *b, const struct cfg_sampling *s, unsigned batch_size,
                               const struct cfg_stamp *stamp);

#endif
