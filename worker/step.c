/* The step path: what a program pays per step.
 *
 * Without a change, step_begin is one atomic load of the mailbox (a second load, of `attend`, shares its cache line and
 * is of what this very thread wrote) and one plain store of the step number. Everything else happens in `adopt`, out of
 * line.
 */
#include "worker/adopt.h"
#include "worker/ranks.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

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
    return w->current;
}

const struct cfg_view *cfg_step_begin(struct cfg_worker *w, uint64_t step)
{
    atomic_store_explicit(&w->step, step, memory_order_relaxed);
    if (__builtin_expect(atomic_load_explicit(&w->mailbox, memory_order_acquire) == NULL, 1) &&
        __builtin_expect(!w->attend, 1)) {
        return w->current;
    }
    return adopt(w, step);
}

void cfg_step_end(struct cfg_worker *w, const char *metrics_json)
{
    if (metrics_json == NULL) {
        return;
    }
    char *copy = strdup(metrics_json);
    if (copy != NULL) {
        free(atomic_exchange_explicit(&w->metrics, copy, memory_order_acq_rel));
    }
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
