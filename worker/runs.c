#include "worker/runs.h"
#include <string.h>

void cfg_runs_add(struct cfg_runs *r, uint64_t step, struct cfg_rev rev, int64_t at_us)
{
    uint64_t i = atomic_load_explicit(&r->n, memory_order_relaxed);
    size_t at = i % CFG_RUNS_MAX;
    /* Releases, so that nobody sees a new value under the old mark. */
    atomic_store_explicit(&r->slots[at].mark, 2 * i + 1, memory_order_relaxed);
    atomic_store_explicit(&r->slots[at].from_step, step, memory_order_release);
    atomic_store_explicit(&r->slots[at].epoch, rev.epoch, memory_order_release);
    atomic_store_explicit(&r->slots[at].revision, rev.revision, memory_order_release);
    atomic_store_explicit(&r->slots[at].at_us, at_us, memory_order_release);
    atomic_store_explicit(&r->slots[at].mark, 2 * i + 2, memory_order_release);
    atomic_store_explicit(&r->n, i + 1, memory_order_release);
}

bool cfg_runs_get(const struct cfg_runs *r, uint64_t i, struct cfg_run *out)
{
    size_t at = i % CFG_RUNS_MAX;
    uint64_t before = atomic_load_explicit(&r->slots[at].mark, memory_order_acquire);
    struct cfg_rev rev;
    struct cfg_run run;
    memset(&run, 0, sizeof run);
    run.from_step = atomic_load_explicit(&r->slots[at].from_step, memory_order_acquire);
    rev.epoch = atomic_load_explicit(&r->slots[at].epoch, memory_order_acquire);
    rev.revision = atomic_load_explicit(&r->slots[at].revision, memory_order_acquire);
    run.adopted_at_us = atomic_load_explicit(&r->slots[at].at_us, memory_order_acquire);
    uint64_t after = atomic_load_explicit(&r->slots[at].mark, memory_order_relaxed);
    if (before != 2 * i + 2 || after != before) {
        return false;
    }
    (void)cfg_rev_format(rev, run.revision);
    *out = run;
    return true;
}

uint64_t cfg_runs_count(const struct cfg_runs *r)
{
    return atomic_load_explicit(&r->n, memory_order_acquire);
}

bool cfg_runs_at(const struct cfg_runs *r, uint64_t step, struct cfg_run *out)
{
    uint64_t n = cfg_runs_count(r);
    uint64_t oldest = n > CFG_RUNS_MAX ? n - CFG_RUNS_MAX : 0;
    while (n-- > oldest) {
        struct cfg_run run;
        if (!cfg_runs_get(r, n, &run)) {
            return false; /* overwritten meanwhile, like whatever came before it */
        }
        if (run.from_step <= step) {
            *out = run;
            return true;
        }
    }
    return false;
}
