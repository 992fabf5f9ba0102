/* The caller's loop, and hooks around a change: one thread, so every order of events can be played. */
#include "rig.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig r;
static char story[1024];

static void tell(const char *what, const struct cfg_view *v)
{
    size_t n = strlen(story);
    (void)snprintf(story + n, sizeof story - n, "%s(%g) ", what, cfg_get_f64(v, r.temp));
}

static int prepare(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    (void)arg;
    tell("prepare", next);
    return cfg_get_f64(next, r.temp) > 1.9 ? cfg_fail(err, CFG_E_VALUE, "too hot for this card") : 0;
}

static void commit(void *arg, const struct cfg_view *now)
{
    (void)arg;
    tell("commit", now);
}

static void drop(void *arg, const struct cfg_view *dropped)
{
    (void)arg;
    tell("abort", dropped);
}

static void begin(void)
{
    rig_open(&r, NULL, true);
    story[0] = '\0';
}

static void end(void)
{
    if (r.w != NULL) {
        rig_close(&r);
    }
}

TestSuite(loop, .init = begin, .fini = end, .timeout = 30);

static void start_with_hook(const char *prefix)
{
    const struct cfg_change_hooks h = {prepare, commit, drop, NULL};
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_worker_on_change(r.w, prefix, &h, &err), 0);
    rig_connect(&r);
    rig_push(&r, "1-10", 0.5);
    rig_start(&r);
    cr_assert_eq(cfg_worker_on_change(r.w, prefix, &h, &err), CFG_E_INVALID, "before start only");
}

static void process(void)
{
    struct pollfd p = {cfg_worker_poll_fd(r.w), POLLIN, 0};
    cr_assert_eq(poll(&p, 1, 10000), 1);
    cfg_worker_process(r.w);
}

Test(loop, the_caller_drives)
{
    start_with_hook("");
    cr_assert_float_eq(cfg_get_f64(rig_step(&r), r.temp), 0.5, 1e-12);
    rig_push(&r, "1-11", 1);
    cr_assert_float_eq(cfg_get_f64(rig_step(&r), r.temp), 0.5, 1e-12, "nothing moves by itself");
    process();
    cr_assert_float_eq(cfg_get_f64(rig_step(&r), r.temp), 1, 1e-12);
    process();
    cr_assert_geq(cfg_memory_reports(r.source), 1U);
    cr_assert_gt(cfg_worker_timeout_ms(r.w), 0);
}

Test(loop, start_times_out_in_the_callers_loop_too)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_worker_start(r.w, 10, &err), CFG_E_TIMEOUT);
}

Test(loop, hooks_run_in_order)
{
    start_with_hook("sampling");
    (void)rig_step(&r);
    rig_push(&r, "1-11", 1);
    process();
    (void)rig_step(&r);
    cr_assert_str_eq(story, "prepare(0.5) commit(0.5) prepare(1) commit(1) ");
}

Test(loop, a_hook_that_refuses_refuses_the_view)
{
    start_with_hook("sampling");
    (void)rig_step(&r);
    rig_push(&r, "1-11", 1.95);
    process();
    cr_assert_str_eq(rig_step(&r)->revision, "1-10");
    cr_assert_str_eq(story, "prepare(0.5) commit(0.5) prepare(1.95) ");
    cr_assert_not_null(strstr(rig_status(&r).last_reject, "too hot"));
    unsigned n = 1;
    char *report = cfg_memory_wait_report(r.source, &n);
    cr_assert_not_null(strstr(report, "\"path\":\"sampling\",\"reason\":\"too hot for this card\""), "%s", report);
    free(report);
}

Test(loop, a_prepared_view_dropped_for_a_newer_one_is_aborted)
{
    start_with_hook("sampling");
    (void)rig_step(&r);
    rig_push(&r, "1-11", 1);
    process();
    rig_push(&r, "1-12", 1.5);
    process();
    (void)rig_step(&r);
    cr_assert_str_eq(story, "prepare(0.5) commit(0.5) prepare(1) prepare(1.5) abort(1) commit(1.5) ");
}

Test(loop, the_way_back_is_a_change_while_the_way_there_is_prepared)
{
    start_with_hook("sampling");
    (void)rig_step(&r);
    rig_push(&r, "1-11", 1);
    process();
    rig_push(&r, "1-12", 0.5);
    process();
    (void)rig_step(&r);
    cr_assert_str_eq(story, "prepare(0.5) commit(0.5) prepare(1) prepare(0.5) abort(1) commit(0.5) ");
}

Test(loop, other_prefixes_are_not_asked)
{
    start_with_hook("inference");
    (void)rig_step(&r);
    rig_push(&r, "1-11", 1);
    process();
    (void)rig_step(&r);
    cr_assert_str_eq(story, "prepare(0.5) commit(0.5) ");
}

Test(loop, what_was_prepared_at_the_end_is_aborted)
{
    start_with_hook("");
    (void)rig_step(&r);
    rig_push(&r, "1-11", 1);
    process();
    rig_close(&r);
    cr_assert_str_eq(story, "prepare(0.5) commit(0.5) prepare(1) abort(1) ");
}

Test(loop, the_boot_view_survives_being_dropped)
{
    rig_connect(&r);
    rig_push_view(&r, "S", "1-10", "{\"data\":{\"path\":\"/boot\"}}", "{}");
    rig_start(&r);
    rig_push_view(&r, "S", "1-11", "{\"data\":{\"path\":\"/later\"}}", "{}");
    process();
    cr_assert_str_eq(cfg_get_string(rig_step(&r), r.path), "/boot");
    for (int i = 12; i < 40; i++) {
        char revision[16];
        (void)snprintf(revision, sizeof revision, "1-%d", i);
        rig_push(&r, revision, 1);
        process();
        cr_assert_str_eq(cfg_get_string(rig_step(&r), r.path), "/boot");
        process();
    }
}

Test(loop, idle_with_the_callers_loop)
{
    start_with_hook("");
    (void)rig_step(&r);
    cr_assert_not(cfg_worker_idle(r.w, 0));
    rig_push(&r, "1-11", 1);
    process();
    cr_assert(cfg_worker_idle(r.w, 0));
    cr_assert_str_eq(rig_status(&r).revision, "1-11");
    cr_assert_str_eq(rig_step(&r)->revision, "1-11");
}
