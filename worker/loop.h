/* One loop for the workers of a process: their sessions' loop, a stack of workers that want to be looked at, and a heap
 * of when to look at them at the latest.
 *
 * A worker with descriptors of its own is processed whenever anything wakes it. Here it is processed when its session
 * has told it something, when its stepper has adopted a view, or when its time has come. The stack is pushed to from
 * any thread without a lock, and emptied by the loop's thread as a whole; everything else is that thread's alone. */
#ifndef CFG_WORKER_LOOP_H
#define CFG_WORKER_LOOP_H

#include "proto/heap.h"
#include <cfg/client.h>
#include <cfg/worker.h>
#include <stdatomic.h>

/* Part of every worker. */
struct cfg_loop_seat {
    struct cfg_worker_loop *loop; /* NULL: the worker has descriptors of its own */
    struct cfg_worker *next;      /* on the stack */
    _Atomic(bool) called;         /* on the stack, or about to be */
    bool joined;
    struct cfg_heap_node due; /* ms */
};

struct cfg_session_loop *cfg_worker_loop_sessions(const struct cfg_worker_loop *l);
/* Counts w, whose seat names the loop, among those that are processed. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_worker_loop_join(struct cfg_worker *w, struct cfg_error *err);
void cfg_worker_loop_leave(struct cfg_worker *w); /* does nothing for a worker that has not joined */
void cfg_worker_loop_call(struct cfg_worker *w);  /* any thread: process it soon */
/* Waits for something to do, at most max_ms (−1: as long as it takes), and does it. */
void cfg_worker_loop_turn(struct cfg_worker_loop *l, int max_ms);

#endif
