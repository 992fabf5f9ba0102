/* Attribution: from which step on this worker ran under which revision. The latest 64 adoptions, in the order in which
 * their first steps began; where a program goes back to an earlier step (a checkpoint), the later word counts.
 *
 * The stepper writes, any thread reads, nobody waits: each slot carries the number of its entry, before and after. */
#ifndef CFG_WORKER_RUNS_H
#define CFG_WORKER_RUNS_H

#include "proto/revision.h"
#include <cfg/worker.h>
#include <stdatomic.h>

enum { CFG_RUNS_MAX = 64 };

struct cfg_runs {
    _Atomic(uint64_t) n; /* entries ever */
    struct {
        _Atomic(uint64_t) mark; /* 2 i + 2 while it holds entry i; odd while it is written */
        _Atomic(uint64_t) from_step, epoch, revision;
        _Atomic(int64_t) at_us;
    } slots[CFG_RUNS_MAX];
};

/* The stepper: from `step` on under rev, which was adopted at at_us (wall clock). */
void cfg_runs_add(struct cfg_runs *r, uint64_t step, struct cfg_rev rev, int64_t at_us);
/* Entry i; false when it is no longer, or not yet, there. Any thread. */
bool cfg_runs_get(const struct cfg_runs *r, uint64_t i, struct cfg_run *out);
uint64_t cfg_runs_count(const struct cfg_runs *r); /* entries ever; any thread */
/* The entry that `step` belongs to: the latest one that began at or before it. False: none that is kept. Any thread. */
bool cfg_runs_at(const struct cfg_runs *r, uint64_t step, struct cfg_run *out);

#endif
