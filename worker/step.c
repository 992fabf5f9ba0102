/* The step path: what a program pays per step.
 *
 * Without a change, step_begin is one atomic load of the mailbox (a second load, of `attend`, shares its cache line and
 * is of what this very thread wrote) and one plain store of the step number; a program that ends its steps pays for
 * two looks at the clock and one exchange besides. Everything else happens in `adopt`, out of line.
 */
#include "worker/adopt.h"
#include "worker/ranks.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* Which steps run under b: from this one on, or, adopted between two steps, from the next on, whichever that will be.
 */
static void begin_run(struct cfg_worker *w, const struct cfg_box *b, uint64_t step)
{
    if (atomic_load_explicit(&w->idle, memory_order_relaxed)) {
        w->starts = b;
        return;
    }
    cfg_runs_add(&w->runs, step, b->rev, b->adopted_at_us);
    w->starts = NULL;
    w->ended = step;
}

void cfg_adopt_box(struct cfg_worker *w, struct cfg_box *b, uint64_t step, int64_t agreed_s)
{
    b->adopted_step = step;
    b->adopted_at_us = cfg_wall_us();
    if (b->pub.flags != NULL && b->pub.flags->timed) { /* hooks see what the step will */
        cfg_flag_view_tell_time(b->pub.flags, agreed_s != 0 ? agreed_s : cfg_wall_s());
    }
    for (size_t i = 0; i < w->n_hooks; i++) {
        if ((b->hooks >> i & 1U) != 0 && w->hooks[i].fn.commit != NULL) {
            w->hooks[i].fn.commit(w->hooks[i].fn.arg, &b->pub);
        }
    }
    w->current = &b->pub;
    begin_run(w, b, step);
    w->timed = b->pub.flags != NULL && b->pub.flags->timed;
    atomic_fetch_add_explicit(&w->changes, 1, memory_order_relaxed);
    atomic_store_explicit(&w->applied, b, memory_order_release);
}

/* Takes the prepared view, if there still is one, and makes it the current one. */
static bool take(struct cfg_worker *w, uint64_t step)
{
    struct cfg_box *b = atomic_load_explicit(&w->mailbox, memory_order_acquire);
    if (b == NULL || b == &cfg_superseded_box || b == &cfg_unstepped_box) {
        return false;
    }
    b = atomic_exchange_explicit(&w->mailbox, NULL, memory_order_acq_rel);
    if (b == NULL) {
        return false; /* the library took it back for a newer one, which arrives next */
    }
    if (b == &cfg_superseded_box) {
        atomic_store_explicit(&w->mailbox, b, memory_order_release); /* nobody publishes after it */
        return false;
    }
    cfg_adopt_box(w, b, step, 0);
    return true;
}

/* Not inlined: keeps the common path a handful of instructions. */
__attribute__((noinline, cold)) static const struct cfg_view *adopt(struct cfg_worker *w, uint64_t step)
{
    struct cfg_box *unstepped = &cfg_unstepped_box;
    atomic_store_explicit(&w->idle, false, memory_order_relaxed);
    (void)atomic_compare_exchange_strong_explicit(&w->mailbox, &unstepped, NULL, memory_order_acq_rel,
                                                  memory_order_acquire);
    bool taken = take(w, step);
    if (atomic_load_explicit(&w->mailbox, memory_order_acquire) == &cfg_superseded_box) {
        if (w->ranks != NULL) {
            cfg_ranks_leave(w, "a newer process has taken over this worker");
        }
        return NULL;
    }
    if (w->ranks != NULL && !cfg_ranks_step(w, step)) {
        return NULL;
    }
    w->attend = w->timed || w->ranks != NULL;
    /* From here on the step before is over: nobody reads its view any more. */
    atomic_store_explicit(&w->free_below, w->current->serial, memory_order_release);
    if (taken) {
        cfg_engine_wake(w); /* to report it, and to free the one before */
    }
    if (w->timed) { /* rules about time see one time throughout a step */
        cfg_flag_view_tell_time(w->current->flags, w->ranks != NULL ? w->ranks->agree.now_s : cfg_wall_s());
    }
    if (w->starts != NULL) {
        begin_run(w, w->starts, step);
    }
    w->began_ns = w->clocked ? cfg_now_ns() : 0;
    return w->current;
}

/* Not inlined either: a program that does not end its steps need not save registers for it. */
__attribute__((noinline)) static const struct cfg_view *start_clock(struct cfg_worker *w)
{
    w->began_ns = cfg_now_ns();
    return w->current;
}

const struct cfg_view *cfg_step_begin(struct cfg_worker *w, uint64_t step)
{
    atomic_store_explicit(&w->step, step, memory_order_relaxed);
    if (__builtin_expect(atomic_load_explicit(&w->mailbox, memory_order_acquire) == NULL, 1) &&
        __builtin_expect(!w->attend, 1)) {
        return w->clocked ? start_clock(w) : w->current;
    }
    return adopt(w, step);
}

/* The box of what steps run on; there is one once the worker has been started. */
static const struct cfg_box *box_of(const struct cfg_worker *w)
{
    return (const struct cfg_box *)(const void *)w->current;
}

/* The program has gone back, to a checkpoint, without a change of its view: what runs from here on is another run. */
__attribute__((noinline, cold)) static void go_back(struct cfg_worker *w, uint64_t step)
{
    if (cfg_runs_count(&w->runs) > 0) {
        cfg_runs_add(&w->runs, step, box_of(w)->rev, cfg_wall_us());
    }
}

/* The numbers in a step's text; the text itself goes to the library, for the next report. */
__attribute__((noinline)) static void read_metrics(struct cfg_worker *w, const char *json,
                                                   struct cfg_metric_batch *batch)
{
    unsigned complaints = 0;
    bool exact = false;
    size_t n = strnlen(json, CFG_METRICS_TEXT + 1);
    batch->n = 0;
    if (n > CFG_METRICS_TEXT) {
        complaints = CFG_METRICS_BAD_JSON;
    } else if (cfg_metrics_scan(batch, &exact, (struct cfg_slice){json, n}, &w->gather->names, &complaints) && exact) {
        char *copy = strdup(json);
        if (copy != NULL) {
            free(atomic_exchange_explicit(&w->metrics, copy, memory_order_acq_rel));
        }
    }
    if (complaints != 0) {
        atomic_fetch_or_explicit(&w->gather->complaints, complaints, memory_order_relaxed);
    }
}

void cfg_step_end(struct cfg_worker *w, const char *metrics_json)
{
    uint64_t step = atomic_load_explicit(&w->step, memory_order_relaxed);
    if (__builtin_expect(step < w->ended, 0)) {
        go_back(w, step);
    }
    w->ended = step;
    if (!w->gathers) {
        return;
    }
    uint64_t ended_ns = cfg_now_ns();
    if (metrics_json == NULL) {
        cfg_gather_step(w->gather, box_of(w), step, w->began_ns, ended_ns, NULL);
    } else {
        struct cfg_metric_batch batch;
        read_metrics(w, metrics_json, &batch);
        cfg_gather_step(w->gather, box_of(w), step, w->began_ns, ended_ns, &batch);
    }
    w->began_ns = 0;
    w->clocked = true;
}

void cfg_worker_metric(struct cfg_worker *w, cfg_metric metric, double sample)
{
    if (w->gathers && metric.index < CFG_METRICS_MAX) {
        uint64_t step = atomic_load_explicit(&w->step, memory_order_relaxed);
        cfg_gather_sample(w->gather, box_of(w), step, metric.index, sample);
    }
}

int cfg_worker_draining(struct cfg_worker *w, cfg_param p, double now)
{
    bool moved = false;
    int rc = cfg_drains_set(&w->drains, &w->contract, w->current, p, now, &moved);
    if (moved) {
        atomic_store_explicit(&w->drains.moved, true, memory_order_release);
        cfg_engine_wake(w); /* to report it */
    }
    return rc;
}

int cfg_worker_revision_at(const struct cfg_worker *w, uint64_t step, struct cfg_run *out, struct cfg_error *err)
{
    uint64_t now = atomic_load_explicit(&w->step, memory_order_relaxed);
    if (step > now) {
        return cfg_fail(err, CFG_E_NOT_FOUND, "step %llu has not begun: this worker is at step %llu",
                        (unsigned long long)step, (unsigned long long)now);
    }
    if (!cfg_runs_at(&w->runs, step, out)) {
        (void)cfg_fail(err, CFG_E_NOT_FOUND, "step %llu ran before the first of the %d latest changes of this process",
                       (unsigned long long)step, CFG_RUNS_MAX);
        cfg_error_set_hint(err, "cfgctl at DEPLOYMENT --step %llu", (unsigned long long)step);
        return CFG_E_NOT_FOUND;
    }
    return 0;
}

/* An idle worker stands between two steps, so it may adopt: its next step runs on that view whatever happens, and the
 * fleet need not wait for that step. The view of the step before stays readable until the next step_begin. */
static bool adopt_idle(struct cfg_worker *w)
{
    uint64_t next = atomic_load_explicit(&w->step, memory_order_relaxed) + 1;
    /* A rank does not change alone: it is told that the next step may. */
    bool taken = w->ranks != NULL ? cfg_ranks_news(w) : take(w, next);
    if (taken) {
        cfg_engine_wake(w);
    }
    return taken || atomic_load_explicit(&w->mailbox, memory_order_acquire) == &cfg_superseded_box;
}

bool cfg_worker_idle(struct cfg_worker *w, unsigned max_wait_ms)
{
    atomic_store_explicit(&w->idle, true, memory_order_relaxed);
    w->attend = true;
    uint64_t end = cfg_now_ms() + max_wait_ms;
    for (;;) {
        if (adopt_idle(w)) {
            return true;
        }
        if (atomic_exchange_explicit(&w->woken, false, memory_order_acq_rel)) {
            return false;
        }
        uint64_t now = cfg_now_ms();
        if (now >= end) {
            return false;
        }
        struct pollfd p = {w->idle_fd, POLLIN, 0};
        uint64_t left = end - now;
        int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0) {
            cfg_event_drain(w->idle_fd);
        } else if (n < 0 && errno == EINTR) {
            return adopt_idle(w); /* a signal: the program may want to look at its flags */
        }
    }
}

void cfg_worker_wake(struct cfg_worker *w)
{
    atomic_store_explicit(&w->woken, true, memory_order_release);
    cfg_event_signal(w->idle_fd);
}
