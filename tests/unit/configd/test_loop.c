#include "configd/loop.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static struct cfg_loop *loop;
static char trace[64];

static void open_loop(void)
{
    struct cfg_error err;
    cr_assert_eq(cfg_loop_new(&loop, &err), 0);
}

static void close_loop(void)
{
    cfg_loop_free(loop);
}

TestSuite(loop, .init = open_loop, .fini = close_loop);

static void note(void *arg)
{
    (void)strncat(trace, arg, sizeof trace - strlen(trace) - 1);
}

static char a[] = "a", b[] = "b", c[] = "c";

static void defer_c(void *arg)
{
    note(arg);
    cfg_loop_defer(loop, note, c);
}

Test(loop, deferred_calls_run_in_order_also_those_made_meanwhile)
{
    cfg_loop_defer(loop, defer_c, a);
    cfg_loop_defer(loop, note, b);
    cr_assert_str_eq(trace, "", "nothing runs inside the call");
    cfg_loop_run_once(loop, 1000);
    cr_assert_str_eq(trace, "abc");
}

Test(loop, what_is_deferred_at_the_end_still_runs)
{
    struct cfg_loop *other = NULL;
    cr_assert_eq(cfg_loop_new(&other, NULL), 0);
    cfg_loop_defer(other, note, a);
    cfg_loop_free(other);
    cr_assert_str_eq(trace, "a");
}

struct busy {
    int fd[2];
    int turns;
    bool ran;
};

static void deferred_beside(void *arg)
{
    struct busy *x = arg;
    x->ran = true;
    cfg_loop_stop(loop);
}

/* A descriptor that is always readable: every turn has an event. */
static void always(void *arg)
{
    struct busy *x = arg;
    if (x->turns++ == 0)
        cfg_loop_defer(loop, deferred_beside, x);
    cr_assert_lt(x->turns, 1000, "deferred calls starve");
}

Test(loop, deferred_calls_do_not_starve_under_load)
{
    struct busy x = {0};
    cr_assert_eq(pipe(x.fd), 0);
    cr_assert_eq(write(x.fd[1], "x", 1), 1);
    struct cfg_reader *r = cfg_reader_new(loop, x.fd[0], always, &x);
    cfg_loop_run(loop);
    cr_assert(x.ran);
    cr_assert_leq(x.turns, 2, "at the end of the turn, not some turns later");
    cfg_reader_free(r);
    (void)close(x.fd[0]);
    (void)close(x.fd[1]);
}

static void stop(void *arg)
{
    note(arg);
    cfg_loop_stop(loop);
}

static struct cfg_timer *own;

static void free_own(void *arg)
{
    note(arg);
    cfg_timer_free(own);
    own = NULL;
}

Test(loop, timers_fire_once_in_order_and_may_be_stopped_moved_and_freed_inside)
{
    struct cfg_timer *first = cfg_timer_new(loop, note, a), *last = cfg_timer_new(loop, stop, c);
    struct cfg_timer *stopped = cfg_timer_new(loop, note, b);
    own = cfg_timer_new(loop, free_own, b);
    cfg_timer_start(last, 60);
    cfg_timer_start(first, 10000);
    cfg_timer_start(first, 1); /* re-armed */
    cfg_timer_start(own, 20);
    cfg_timer_start(stopped, 5);
    cfg_timer_stop(stopped);
    cfg_timer_stop(stopped);
    cfg_loop_run(loop);
    cr_assert_str_eq(trace, "abc");
    cfg_timer_free(first);
    cfg_timer_free(last);
    cfg_timer_free(stopped);
    cfg_timer_free(own);
    cfg_timer_free(NULL);
}

Test(loop, time_is_printed_in_utc_with_microseconds)
{
    char text[CFG_TIME_TEXT];
    cr_assert_str_eq(cfg_time_format(0, text), "1970-01-01T00:00:00.000000Z");
    cr_assert_str_eq(cfg_time_format(1795369193123456789u, text), "2026-11-22T17:39:53.123456Z");
}

Test(loop, the_system_clock_moves_and_its_randomness_differs)
{
    const struct cfg_clock *k = &cfg_clock_system;
    uint64_t before = k->monotonic_ns(k->arg);
    unsigned char x[16] = {0}, y[16] = {0};
    k->random(k->arg, x, sizeof x);
    k->random(k->arg, y, sizeof y);
    cr_assert_neq(memcmp(x, y, sizeof x), 0);
    cr_assert_geq(k->monotonic_ns(k->arg), before);
    cr_assert_gt(k->wall_ns(k->arg), 1700000000000000000u);
}
