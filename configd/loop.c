#include "configd/loop.h"

#include <event2/event.h>
#include <event2/util.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct deferred {
    cfg_loop_fn fn;
    void *arg;
};

struct cfg_loop {
    struct event_base *base;
    struct event *turn_end; /* pending while the queue is not empty */
    struct deferred *queue;
    size_t n, cap;
};

struct cfg_timer {
    struct event *event;
    cfg_loop_fn fn;
    void *arg;
};

struct cfg_reader {
    struct event *event;
    cfg_loop_fn fn;
    void *arg;
};

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t); /* both clocks exist on every Linux */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t system_monotonic(void *arg)
{
    (void)arg;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t system_wall(void *arg)
{
    (void)arg;
    return read_clock(CLOCK_REALTIME);
}

static void system_random(void *arg, void *out, size_t n)
{
    (void)arg;
    if (RAND_bytes(out, (int)n) != 1)
        abort(); /* a system without entropy cannot make store ids or tokens */
}

const struct cfg_clock cfg_clock_system = {system_monotonic, system_wall, system_random, NULL};

/* Deferred calls may defer more: those run in the same turn, in order, so the queue is walked by index. */
static void run_deferred(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cfg_loop *l = arg;
    for (size_t i = 0; i < l->n; i++) {
        struct deferred d = l->queue[i];
        d.fn(d.arg);
    }
    l->n = 0;
}

int cfg_loop_new(struct cfg_loop **out, struct cfg_error *err)
{
    struct cfg_loop *l = calloc(1, sizeof *l);
    if (l && (l->base = event_base_new()) != NULL) {
        /* Of one priority with everything else: activated, it queues behind the events of this turn. A lower priority
         * would starve, since libevent looks at it only in a turn without other events. */
        l->turn_end = event_new(l->base, -1, 0, run_deferred, l);
    }
    if (l == NULL || l->turn_end == NULL) {
        cfg_loop_free(l);
        return cfg_fail(err, CFG_E_NOMEM, "the event loop could not be created");
    }
    *out = l;
    return 0;
}

void cfg_loop_free(struct cfg_loop *l)
{
    if (l == NULL)
        return;
    if (l->turn_end) {
        run_deferred(-1, 0, l);
        event_free(l->turn_end);
    }
    if (l->base)
        event_base_free(l->base);
    free(l->queue);
    free(l);
}

struct event_base *cfg_loop_base(struct cfg_loop *l)
{
    return l->base;
}

void cfg_loop_run(struct cfg_loop *l)
{
    (void)event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void wake_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

void cfg_loop_run_once(struct cfg_loop *l, unsigned max_wait_ms)
{
    struct timeval limit = {max_wait_ms / 1000, (long)(max_wait_ms % 1000) * 1000};
    struct event *timeout = evtimer_new(l->base, wake_up, NULL);
    if (timeout)
        (void)event_add(timeout, &limit); /* without it this turn merely waits for the next event */
    (void)event_base_loop(l->base, EVLOOP_ONCE);
    if (timeout)
        event_free(timeout);
}

void cfg_loop_stop(struct cfg_loop *l)
{
    (void)event_base_loopbreak(l->base); /* fails only on a null base */
}

void cfg_loop_defer(struct cfg_loop *l, cfg_loop_fn fn, void *arg)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        struct deferred *queue = realloc(l->queue, cap * sizeof *queue);
        if (queue == NULL)
            abort(); /* dropping a deferred free or reply would corrupt the daemon's state */
        l->queue = queue;
        l->cap = cap;
    }
    l->queue[l->n++] = (struct deferred){fn, arg};
    event_active(l->turn_end, EV_TIMEOUT, 1);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cfg_timer *t = arg;
    t->fn(t->arg);
}

struct cfg_timer *cfg_timer_new(struct cfg_loop *l, cfg_loop_fn fn, void *arg)
{
    struct cfg_timer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->fn = fn;
    t->arg = arg;
    t->event = evtimer_new(l->base, timer_fired, t);
    if (t->event == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

void cfg_timer_start(struct cfg_timer *t, uint64_t delay_ms)
{
    struct timeval delay = {(time_t)(delay_ms / 1000), (suseconds_t)(delay_ms % 1000) * 1000};
    (void)event_add(t->event, &delay); /* fails only without memory for the timer heap */
}

void cfg_timer_stop(struct cfg_timer *t)
{
    (void)event_del(t->event);
}

void cfg_timer_free(struct cfg_timer *t)
{
    if (t == NULL)
        return;
    event_free(t->event);
    free(t);
}

static void became_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cfg_reader *r = arg;
    r->fn(r->arg);
}

struct cfg_reader *cfg_reader_new(struct cfg_loop *l, int fd, cfg_loop_fn fn, void *arg)
{
    struct cfg_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->fn = fn;
    r->arg = arg;
    r->event = event_new(l->base, fd, EV_READ | EV_PERSIST, became_readable, r);
    if (r->event == NULL || event_add(r->event, NULL) != 0) {
        cfg_reader_free(r);
        return NULL;
    }
    return r;
}

void cfg_reader_free(struct cfg_reader *r)
{
    if (r == NULL)
        return;
    if (r->event)
        event_free(r->event);
    free(r);
}

const char *cfg_time_format(uint64_t wall_ns, char out[CFG_TIME_TEXT])
{
    time_t seconds = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    size_t n = strftime(out, CFG_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, CFG_TIME_TEXT - n, ".%06uZ", (unsigned)(wall_ns % 1000000000u / 1000u));
    return out;
}
