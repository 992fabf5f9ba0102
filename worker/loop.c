#include "worker/loop.h"
#include "worker/internal.h"
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>

struct cfg_worker_loop {
    struct cfg_session_loop *sessions;
    _Atomic(struct cfg_worker *) called; /* a stack */
    struct cfg_heap heap;                /* of workers' deadlines */
    size_t n;
    bool processing;
};

static struct cfg_worker *of_due(struct cfg_heap_node *due)
{
    return (struct cfg_worker *)(void *)((char *)due - offsetof(struct cfg_worker, seat.due));
}

struct cfg_session_loop *cfg_worker_loop_sessions(const struct cfg_worker_loop *l)
{
    return l->sessions;
}

int cfg_worker_loop_join(struct cfg_worker *w, struct cfg_error *err)
{
    struct cfg_worker_loop *l = w->seat.loop;
    if (cfg_heap_reserve(&l->heap, l->n + 1) != 0) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    l->n++;
    w->seat.joined = true;
    cfg_worker_loop_call(w);
    return 0;
}

void cfg_worker_loop_call(struct cfg_worker *w)
{
    struct cfg_worker_loop *l = w->seat.loop;
    if (!w->seat.joined || atomic_exchange_explicit(&w->seat.called, true, memory_order_acq_rel)) {
        return;
    }
    struct cfg_worker *top = atomic_load_explicit(&l->called, memory_order_relaxed);
    do {
        w->seat.next = top;
    } while (!atomic_compare_exchange_weak_explicit(&l->called, &top, w, memory_order_acq_rel, memory_order_relaxed));
    if (top == NULL) {
        cfg_session_loop_wake(l->sessions);
    }
}

/* What was called, the first one first. */
static struct cfg_worker *take_called(struct cfg_worker_loop *l)
{
    struct cfg_worker *stack = atomic_exchange_explicit(&l->called, NULL, memory_order_acq_rel), *in_order = NULL;
    while (stack != NULL) {
        struct cfg_worker *next = stack->seat.next;
        stack->seat.next = in_order;
        in_order = stack;
        stack = next;
    }
    return in_order;
}

void cfg_worker_loop_leave(struct cfg_worker *w)
{
    struct cfg_worker_loop *l = w->seat.loop;
    if (l == NULL || !w->seat.joined) {
        return;
    }
    struct cfg_worker *next = NULL;
    for (struct cfg_worker *c = take_called(l); c != NULL; c = next) { /* the others are called again */
        next = c->seat.next;
        (void)atomic_exchange_explicit(&c->seat.called, false, memory_order_acq_rel);
        if (c != w) {
            cfg_worker_loop_call(c);
        }
    }
    cfg_heap_remove(&l->heap, &w->seat.due);
    l->n--;
    w->seat.joined = false;
}

static void process(struct cfg_worker *w)
{
    cfg_engine_process(w);
    int wait = cfg_engine_timeout_ms(w);
    cfg_heap_set(&w->seat.loop->heap, &w->seat.due, wait < 0 ? CFG_HEAP_NEVER : cfg_now_ms() + (unsigned)wait);
}

void cfg_worker_loop_process(struct cfg_worker_loop *l)
{
    if (l->processing) { /* from inside a hook */
        return;
    }
    l->processing = true;
    if (cfg_session_loop_process(l->sessions)) {
        l->processing = false; /* views first: they are in the mailboxes; reports and the rest after them */
        return;
    }
    uint64_t now = cfg_now_ms();
    for (struct cfg_heap_node *due; (due = cfg_heap_pop(&l->heap, now)) != NULL;) {
        cfg_worker_loop_call(of_due(due));
    }
    struct cfg_worker *next = NULL;
    for (struct cfg_worker *w = take_called(l); w != NULL; w = next) {
        next = w->seat.next;
        /* From here on it may be called again; what those did who found it called already is seen now. */
        (void)atomic_exchange_explicit(&w->seat.called, false, memory_order_acq_rel);
        process(w);
    }
    l->processing = false;
}

int cfg_worker_loop_timeout_ms(const struct cfg_worker_loop *l)
{
    if (atomic_load_explicit(&l->called, memory_order_acquire) != NULL) {
        return 0;
    }
    uint64_t due = cfg_heap_due(&l->heap), now = cfg_now_ms();
    if (due == CFG_HEAP_NEVER) {
        return -1;
    }
    return due <= now ? 0 : (int)(due - now > INT32_MAX ? INT32_MAX : due - now);
}

void cfg_worker_loop_turn(struct cfg_worker_loop *l, int max_ms)
{
    int wait = cfg_worker_loop_timeout_ms(l);
    struct pollfd p = {cfg_worker_loop_poll_fd(l), POLLIN, 0};
    /* Interrupted or ready: process looks at everything. */
    (void)poll(&p, 1, wait < 0 || (max_ms >= 0 && max_ms < wait) ? max_ms : wait);
    cfg_worker_loop_process(l);
}

int cfg_worker_loop_poll_fd(const struct cfg_worker_loop *l)
{
    return cfg_session_loop_poll_fd(l->sessions);
}

int cfg_worker_loop_open(struct cfg_worker_loop **out, struct cfg_error *err)
{
    struct cfg_worker_loop *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    int rc = cfg_session_loop_new(&l->sessions, err);
    if (rc != 0) {
        free(l);
        return rc;
    }
    *out = l;
    return 0;
}

void cfg_worker_loop_close(struct cfg_worker_loop *l)
{
    if (l == NULL) {
        return;
    }
    cfg_session_loop_free(l->sessions);
    cfg_heap_finish(&l->heap);
    free(l);
}
