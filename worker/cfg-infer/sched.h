/* Who runs in the next step: continuous batching as a state machine. Requests go in, a plan per step comes out.
 *
 *     submit → waiting ──plan──▶ running ──remove──▶ gone
 *                 └──────────────remove────────────────┘
 *
 * The cap governs admission (apply class `drain`): lowering it stops admission at once, and what runs above it
 * finishes. A free place goes to the tenant that has the fewest requests running, of equals to the one that has
 * waited the longest since it came or was served, within a tenant to the oldest request: whoever floods the queue
 * delays himself, and nobody starves however many new tenants come. No preemption: what was admitted runs until it is
 * done. What runs stays in the order of its admission.
 *
 * No clock, no I/O; one thread. The entries lie inside the caller's requests. */
#ifndef CFG_INFER_SCHED_H
#define CFG_INFER_SCHED_H

#include <cfg/error.h>
#include <stddef.h>
#include <stdint.h>

struct cfg_sched_tenant;

/* The scheduler's part of a request: the first member, or found by container. Zeroed by the caller, not touched after.
 */
struct cfg_sched_entry {
    struct cfg_sched_tenant *tenant; /* NULL: not here */
    struct cfg_sched_entry *prev, *next;
    bool running;
};

struct cfg_sched {
    unsigned capacity; /* the most that may ever run at once */
    unsigned n_running, n_waiting;
    uint64_t turns; /* begun so far: their order */
    struct cfg_sched_tenant *tenants;
    struct cfg_sched_entry *first, *last; /* running, in the order of admission */
};

void cfg_sched_init(struct cfg_sched *s, unsigned capacity);
/* Forgets all entries; they are the caller's. */
void cfg_sched_finish(struct cfg_sched *s);

/* Puts e behind the tenant's others. limit: how many may wait beyond the places that are free under `cap`.
 * CFG_E_RATE: they do already; CFG_E_NOMEM. tenant is copied. */
CFG_MUST_CHECK int cfg_sched_submit(struct cfg_sched *s, struct cfg_sched_entry *e, const char *tenant, unsigned cap,
                                    unsigned limit, struct cfg_error *err);
/* Ends an entry, waiting or running: done, or its client has gone. One that is not here is left alone. */
void cfg_sched_remove(struct cfg_sched *s, struct cfg_sched_entry *e);

/* Begins a step: admits up to min(cap, capacity). Returns the first of n_running entries, linked by next. */
struct cfg_sched_entry *cfg_sched_plan(struct cfg_sched *s, unsigned cap);
/* More runs than the cap now allows. */
bool cfg_sched_draining(const struct cfg_sched *s, unsigned cap);
/* Removes every entry that `leaves` says so of, waiting or running; returns them linked by next. */
struct cfg_sched_entry *cfg_sched_sweep(struct cfg_sched *s, bool (*leaves)(const struct cfg_sched_entry *e));

/* The batch sizes to prepare for a capacity: 1, 2, 4, … and the capacity itself. Returns how many; max ≥ 1. */
size_t cfg_sched_buckets(uint32_t *out, size_t max, unsigned capacity);

#endif
