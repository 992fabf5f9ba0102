/* Exposures: how often each variant was served and to how many units, in total for this process.
 *
 * Counting is for any thread: an atomic add on one of a few counters, so that threads seldom meet, and rarely the store
 * of a register of the sketch. Which (flag, variant) pairs there are is the library's thread's business alone; a pair
 * keeps its counters for the life of the worker, whatever view it is part of. */
#ifndef CFG_WORKER_EXPOSURES_H
#define CFG_WORKER_EXPOSURES_H

#include "flags/hll.h"
#include "proto/buf.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    CFG_EXPOSURES_MAX = 4096,   /* pairs; what comes later is not counted */
    CFG_EXPOSURES_REPORT = 128, /* pairs one report carries; the rest come with the next */
    CFG_EXPOSURE_STRIPES = 4
};

struct cfg_outcome;
struct cfg_outcomes;

struct cfg_exposure {
    struct {
        _Alignas(64) _Atomic(uint64_t) n;
    } count[CFG_EXPOSURE_STRIPES];
    _Atomic(uint8_t) registers[CFG_HLL_REGISTERS];
    struct cfg_outcomes *outcomes; /* borrowed, where samples of who was served this go; NULL: nowhere */
    struct cfg_outcome *outcome;   /* the newest of them, under their lock; NULL: none since they were taken */
    char *flag, *variant;          /* owned; never change */
    /* --- the library's thread --- */
    /* As offered with the newest report, and as known to have arrived: the count, and the sum of the registers, which
     * only ever grows. */
    uint64_t offered, arrived, offered_sum, arrived_sum;
};

struct cfg_exposures {
    struct cfg_exposure **items; /* sorted by flag and variant */
    uint32_t n, cap;
    uint32_t next;                 /* where the next report begins to look */
    bool full;                     /* a pair found no room */
    struct cfg_outcomes *outcomes; /* borrowed; what each pair gets */
};

void cfg_exposures_finish(struct cfg_exposures *x); /* takes a zeroed struct */
/* The pair's counters, made when there are none; NULL when there is no room or memory. Lives until finish. */
struct cfg_exposure *cfg_exposures_at(struct cfg_exposures *x, const char *flag, const char *variant);

/* Any thread. unit 0: nobody that could be told apart. */
static inline void cfg_exposure_add(struct cfg_exposure *e, uint64_t unit)
{
    uint64_t thread = (uint64_t)pthread_self() * 0x9E3779B97F4A7C15U;
    (void)atomic_fetch_add_explicit(&e->count[thread >> 62].n, 1, memory_order_relaxed);
    if (unit == 0) {
        return;
    }
    _Atomic(uint8_t) *r = &e->registers[cfg_hll_register(unit)];
    uint8_t rank = cfg_hll_rank(unit);
    uint8_t old = atomic_load_explicit(r, memory_order_relaxed);
    while (rank > old &&
           !atomic_compare_exchange_weak_explicit(r, &old, rank, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Appends `,"exposures":[…]` with the pairs that have changed since they last arrived: the total as "count", and how
 * much of it has arrived as "since"; nothing when there are none. What it prints counts as offered. The library's
 * thread. */
void cfg_exposures_print(struct cfg_buf *out, struct cfg_exposures *x);
void cfg_exposures_arrived(struct cfg_exposures *x); /* what was offered last has arrived */
/* Perhaps another configd listens now. It is told only what none has taken, since each adds up what comes in there, but
 * with whole sketches, which can be united however often they come. */
void cfg_exposures_forget(struct cfg_exposures *x);

#endif
