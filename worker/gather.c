#include "worker/gather.h"
#include <stdlib.h>
#include <string.h>

enum { TRIES = 16 };

struct cfg_gather *cfg_gather_new(void)
{
    struct cfg_gather *g = aligned_alloc(64, (sizeof *g + 63) / 64 * 64);
    if (g != NULL) {
        memset(g, 0, sizeof *g);
    }
    return g;
}

void cfg_gather_free(struct cfg_gather *g)
{
    if (g == NULL) {
        return;
    }
    cfg_window_free(atomic_load_explicit(&g->open, memory_order_acquire));
    for (struct cfg_window *w = atomic_load_explicit(&g->closed, memory_order_acquire); w != NULL;) {
        struct cfg_window *next = w->next;
        cfg_window_free(w);
        w = next;
    }
    free(g);
}

bool cfg_gather_start(struct cfg_gather *g, const struct cfg_box *b)
{
    struct cfg_window *w = cfg_window_new(b);
    atomic_store_explicit(&g->open, w, memory_order_release);
    return w != NULL;
}

/* --- the stepper --- */

static void push_closed(struct cfg_gather *g, struct cfg_window *w)
{
    struct cfg_window *top = atomic_load_explicit(&g->closed, memory_order_relaxed);
    do {
        w->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&g->closed, &top, w, memory_order_release, memory_order_relaxed));
}

/* The view is another one: the window is closed, unless nothing is in it. Not inlined: seldom. */
__attribute__((noinline, cold)) static struct cfg_window *turn(struct cfg_gather *g, struct cfg_window *w,
                                                               const struct cfg_box *now)
{
    struct cfg_window *fresh = cfg_window_empty(w) ? NULL : cfg_window_new(now);
    if (fresh != NULL) {
        push_closed(g, w);
        fresh->order = ++g->order;
        return fresh;
    }
    if (!cfg_window_empty(w)) { /* out of memory: the steps under the view before are lost */
        atomic_fetch_or_explicit(&g->complaints, CFG_METRICS_NO_MEMORY, memory_order_relaxed);
    }
    cfg_window_reset(w, now);
    w->order = ++g->order;
    return w;
}

static struct cfg_window *take(struct cfg_gather *g, const struct cfg_box *now)
{
    struct cfg_window *w = atomic_exchange_explicit(&g->open, NULL, memory_order_acq_rel);
    return __builtin_expect(w->serial != now->pub.serial, 0) ? turn(g, w, now) : w;
}

static void give(struct cfg_gather *g, struct cfg_window *w)
{
    atomic_store_explicit(&g->open, w, memory_order_release);
}

static void sample(struct cfg_gather *g, struct cfg_window *w, uint64_t step, uint32_t index, double x)
{
    if (!cfg_window_sample(w, step, index, x)) {
        atomic_fetch_or_explicit(&g->complaints, CFG_METRICS_NO_MEMORY, memory_order_relaxed);
    }
}

void cfg_gather_step(struct cfg_gather *g, const struct cfg_box *now, uint64_t step, uint64_t began_ns,
                     uint64_t ended_ns, const struct cfg_metric_batch *metrics)
{
    struct cfg_window *w = take(g, now);
    cfg_window_step(w, step, began_ns, ended_ns);
    for (uint32_t i = 0; metrics != NULL && i < metrics->n; i++) {
        sample(g, w, step, metrics->items[i].index, metrics->items[i].value);
    }
    give(g, w);
}

void cfg_gather_sample(struct cfg_gather *g, const struct cfg_box *now, uint64_t step, uint32_t index, double x)
{
    struct cfg_window *w = take(g, now);
    sample(g, w, step, index, x);
    give(g, w);
}

/* --- the library --- */

/* The open window, with an empty one in its place; NULL when there is nothing in it or somebody is writing. */
static struct cfg_window *take_open(struct cfg_gather *g)
{
    static const struct cfg_box nobody = {.pub = {.serial = UINT32_MAX}}; /* the stepper will say whose it is */
    struct cfg_window *fresh = cfg_window_new(&nobody);
    for (int i = 0; fresh != NULL && i < TRIES; i++) {
        struct cfg_window *w = atomic_load_explicit(&g->open, memory_order_relaxed);
        if (w != NULL &&
            atomic_compare_exchange_strong_explicit(&g->open, &w, fresh, memory_order_acq_rel, memory_order_relaxed)) {
            fresh = w;
            break;
        }
    }
    if (fresh != NULL && cfg_window_empty(fresh)) {
        cfg_window_free(fresh);
        fresh = NULL;
    }
    return fresh;
}

static struct cfg_window *insert(struct cfg_window *list, struct cfg_window *w)
{
    struct cfg_window **at = &list;
    while (*at != NULL && (*at)->order < w->order) {
        at = &(*at)->next;
    }
    w->next = *at;
    *at = w;
    return list;
}

struct cfg_window *cfg_gather_take(struct cfg_gather *g)
{
    /* In this order: whatever began before the open window has been closed by now. What began after it may have been
     * closed meanwhile, too. */
    struct cfg_window *open = take_open(g);
    struct cfg_window *w = atomic_exchange_explicit(&g->closed, NULL, memory_order_acquire);
    struct cfg_window *list = open != NULL ? insert(NULL, open) : NULL;
    while (w != NULL) {
        struct cfg_window *before = w->next;
        list = insert(list, w);
        w = before;
    }
    return list;
}
