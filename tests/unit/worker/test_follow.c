/* What a running worker takes, refuses and says. */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct rig r;

static void begin(void)
{
    rig_open(&r, NULL, false);
    rig_connect(&r);
    rig_push(&r, "1-10", 0.5);
    rig_start(&r);
}

static void end(void)
{
    rig_close(&r);
}

TestSuite(follow, .init = begin, .fini = end, .timeout = 30);

Test(follow, a_view_changes_between_steps_only)
{
    const struct cfg_view *v = cfg_step_begin(r.w, 7);
    cr_assert_str_eq(v->revision, "1-10");
    cr_assert_float_eq(cfg_get_f64(v, r.temp), 0.5, 1e-12);
    rig_push(&r, "1-11", 0.25);
    while (strcmp(rig_status(&r).newest, "1-11") != 0) {
    }
    cr_assert_float_eq(cfg_get_f64(v, r.temp), 0.5, 1e-12);
    cr_assert_str_eq(rig_status(&r).revision, "1-10");
    cfg_step_end(r.w, NULL);
    v = cfg_step_begin(r.w, 8);
    cr_assert_float_eq(cfg_get_f64(v, r.temp), 0.25, 1e-12);
    cr_assert_str_eq(rig_status(&r).revision, "1-11");
    cr_assert_eq(rig_status(&r).changes, 2U);
    char *report = rig_report_with(&r, "\"revision\":\"1-11\"");
    cr_assert_not_null(strstr(report, "\"step\":8,\"at\":\"20"), "%s", report);
    free(report);
}

Test(follow, serials_rise)
{
    uint32_t last = rig_until(&r, "1-10")->serial;
    rig_push(&r, "1-11", 1);
    cr_assert_gt(rig_until(&r, "1-11")->serial, last);
}

Test(follow, bad_is_never_applied_and_reported_with_path_and_reason)
{
    (void)rig_until(&r, "1-10");
    rig_push(&r, "1-11", 9);
    char *report = rig_report_with(&r, "1-11");
    cr_assert_not_null(strstr(report, "\"applied\":{\"revision\":\"1-10\""), "%s", report);
    cr_assert_not_null(strstr(report,
                              "\"rejects\":[{\"revision\":\"1-11\",\"path\":\"sampling.temperature\",\"reason\":"
                              "\"sampling.temperature: 9 lies outside of 0 to 2\"}]"),
                       "%s", report);
    free(report);
    cr_assert_str_eq(rig_step(&r)->revision, "1-10");
    cr_assert_eq(rig_status(&r).rejects, 1U);
    cr_assert_not_null(strstr(rig_status(&r).last_reject, "1-11"));
    rig_push(&r, "1-12", 1);
    cr_assert_float_eq(cfg_get_f64(rig_until(&r, "1-12"), r.temp), 1, 1e-12);
    report = rig_report_with(&r, "\"revision\":\"1-12\"");
    cr_assert_not_null(strstr(report, "\"rejects\":[]"), "a newer good view settles it: %s", report);
    free(report);
}

Test(follow, forward_only_within_a_store)
{
    (void)rig_until(&r, "1-10");
    rig_push(&r, "1-9", 0.1);
    rig_push(&r, "0-99", 0.1);
    rig_push(&r, "1-10", 0.1);
    rig_push(&r, "1-12", 0.3);
    rig_push(&r, "1-11", 0.2);
    rig_push(&r, "2-1", 0.4);
    cr_assert_float_eq(cfg_get_f64(rig_until(&r, "2-1"), r.temp), 0.4, 1e-12);
    cr_assert_eq(rig_status(&r).rejects, 0U, "older views are no news, not bad ones");
}

Test(follow, a_there_and_back_again_change_arrives)
{
    (void)rig_until(&r, "1-10");
    rig_push(&r, "1-11", 1.5);
    rig_push(&r, "1-12", 0.5);
    cr_assert_float_eq(cfg_get_f64(rig_until(&r, "1-12"), r.temp), 0.5, 1e-12);
}

Test(follow, an_adopted_store_starts_the_order_afresh)
{
    (void)rig_until(&r, "1-10");
    rig_push_view(&r, "T", "1-2", "{\"sampling\":{\"temperature\":1}}", "{}");
    cr_assert_float_eq(cfg_get_f64(rig_until(&r, "1-2"), r.temp), 1, 1e-12);
    cr_assert_str_eq(rig_status(&r).store, "T");
}

Test(follow, restart_and_pinned_are_pending)
{
    (void)rig_until(&r, "1-10");
    cr_assert_not_null(strstr(cfg_memory_registration(r.source), "\"pin\":{}"), "a default is nobody's pin");
    rig_push_view(&r, "S", "1-11", "{\"data\":{\"path\":\"/new\"}}", "{\"distributed\":{\"tp\":2}}");
    const struct cfg_view *v = rig_until(&r, "1-11");
    cr_assert_str_eq(cfg_get_string(v, r.path), "/none");
    cr_assert_eq(cfg_get_i64(v, r.tp), 1);
    char *report = rig_report_with(&r, "\"revision\":\"1-11\"");
    cr_assert_not_null(strstr(report, "\"pending\":[\"data.path\",\"distributed.tp\"]"), "%s", report);
    free(report);
}

Test(follow, idle_adopts_between_steps_and_reports_it)
{
    const struct cfg_view *v = cfg_step_begin(r.w, 3);
    cfg_step_end(r.w, NULL);
    rig_push(&r, "1-11", 0.25);
    while (!cfg_worker_idle(r.w, 1000)) {
    }
    cr_assert_float_eq(cfg_get_f64(v, r.temp), 0.5, 1e-12, "the step before stays readable");
    cr_assert_str_eq(rig_status(&r).revision, "1-11");
    char *report = rig_report_with(&r, "\"revision\":\"1-11\"");
    cr_assert_not_null(strstr(report, "\"step\":4,\"at\""), "it holds from the next step: %s", report);
    free(report);
    cr_assert_str_eq(cfg_step_begin(r.w, 4)->revision, "1-11");
}

Test(follow, reports_say_whether_it_idles)
{
    cfg_memory_push_registered(r.source, 50);
    (void)rig_until(&r, "1-10");
    (void)cfg_worker_idle(r.w, 0);
    char *report = rig_report_with(&r, "\"state\":\"idle\"");
    free(report);
    (void)cfg_step_begin(r.w, 1);
    report = rig_report_with(&r, "\"state\":\"running\"");
    free(report);
}

Test(follow, idling_between_steps_is_no_reason_to_report)
{
    (void)rig_until(&r, "1-10");
    char *report = rig_report_with(&r, "1-10");
    free(report);
    unsigned n = cfg_memory_reports(r.source);
    for (int i = 0; i < 50; i++) {
        (void)rig_step(&r);
        (void)cfg_worker_idle(r.w, 1);
    }
    rig_push(&r, "1-11", 1);
    (void)rig_until(&r, "1-11");
    report = rig_report_with(&r, "1-11");
    free(report);
    cr_assert_leq(cfg_memory_reports(r.source), n + 2);
}

Test(follow, wake_ends_idling)
{
    (void)rig_until(&r, "1-10");
    cfg_worker_wake(r.w);
    cr_assert_not(cfg_worker_idle(r.w, 600000));
    cr_assert_not(cfg_worker_idle(r.w, 0), "one wake, one end");
}

Test(follow, metrics_go_with_the_next_report)
{
    (void)cfg_step_begin(r.w, 1);
    cfg_step_end(r.w, "{\"tok_s\":1}");
    cfg_step_end(r.w, "{\"tok_s\":2}");
    rig_push(&r, "1-11", 1);
    (void)rig_until(&r, "1-11");
    char *report = rig_report_with(&r, "\"metrics\":{\"tok_s\":2}");
    free(report);
    cfg_step_end(r.w, "[1]");
    rig_push(&r, "1-12", 1);
    (void)rig_until(&r, "1-12");
    report = rig_report_with(&r, "\"revision\":\"1-12\"");
    cr_assert_not_null(strstr(report, "\"metrics\":{\"tok_s\":2}"), "rubbish loses itself, not the report: %s", report);
    free(report);
}

Test(follow, superseded_ends_the_loop)
{
    (void)rig_until(&r, "1-10");
    cfg_memory_push_state(r.source, CFG_SOURCE_SUPERSEDED, NULL);
    while (!cfg_worker_idle(r.w, 1000)) {
    }
    cr_assert_null(cfg_step_begin(r.w, 99));
    cr_assert_null(cfg_step_begin(r.w, 100));
    rig_push(&r, "1-11", 1);
    cr_assert_str_eq(rig_status(&r).state, "superseded");
    cr_assert_null(cfg_step_begin(r.w, 101));
}

Test(follow, age_counts_from_the_last_confirmation)
{
    (void)rig_until(&r, "1-10");
    cr_assert_eq(rig_status(&r).age_ms, 0U, "connected and current");
    struct cfg_error why = CFG_ERROR_INIT;
    (void)cfg_fail(&why, CFG_E_CONNECT, "no server");
    cfg_memory_push_state(r.source, CFG_SOURCE_CONNECTING, &why);
    while (rig_status(&r).age_ms < 20) { /* grows by itself */
    }
    cr_assert_str_eq(rig_status(&r).state, "connecting");
    cfg_memory_push_state(r.source, CFG_SOURCE_CONNECTED, NULL);
    while (strcmp(rig_status(&r).state, "connected") != 0) {
    }
    cr_assert_geq(rig_status(&r).age_ms, 20U, "a connection alone confirms nothing");
    cfg_memory_push_mark(r.source, "1-15");
    while (rig_status(&r).age_ms != 0) {
    }
    cr_assert_str_eq(rig_status(&r).revision, "1-10");
}

Test(follow, a_stale_configd_confirms_nothing)
{
    (void)rig_until(&r, "1-10");
    cfg_memory_push_state(r.source, CFG_SOURCE_STALE, NULL);
    cfg_memory_push_mark(r.source, "1-10");
    while (rig_status(&r).age_ms < 5) {
    }
    cr_assert_str_eq(rig_status(&r).state, "stale");
}

Test(follow, a_stale_mark_makes_the_view_no_younger)
{
    (void)rig_until(&r, "1-10");
    cfg_memory_push_state(r.source, CFG_SOURCE_STALE, NULL);
    while (rig_status(&r).age_ms < 100) {
    }
    cfg_memory_push_mark(r.source, "1-10");
    cfg_memory_push_state(r.source, CFG_SOURCE_CONNECTING, NULL); /* shows that the mark is through */
    while (strcmp(rig_status(&r).state, "connecting") != 0) {
    }
    cr_assert_geq(rig_status(&r).age_ms, 100U);
}

Test(follow, a_mark_behind_a_refused_view_confirms_nothing)
{
    (void)rig_until(&r, "1-10");
    rig_push(&r, "1-11", 9);
    cfg_memory_push_mark(r.source, "1-12");
    while (rig_status(&r).rejects == 0) {
    }
    while (rig_status(&r).age_ms == 0) { /* the newest view is not the one we run on: it ages */
    }
    rig_push(&r, "1-13", 1);
    (void)rig_until(&r, "1-13");
    while (rig_status(&r).age_ms != 0) {
    }
}

Test(follow, another_view_under_the_same_revision_is_taken)
{
    (void)rig_until(&r, "1-10");
    rig_push(&r, "1-10", 0.25);
    while (cfg_get_f64(rig_step(&r), r.temp) > 0.3) {
    }
    cr_assert_str_eq(rig_status(&r).revision, "1-10");
}

Test(follow, known_again_reports_at_once)
{
    (void)rig_until(&r, "1-10");
    char *report = rig_report_with(&r, "1-10");
    free(report);
    unsigned n = cfg_memory_reports(r.source) + 1;
    cfg_memory_push_registered(r.source, 3600000);
    report = cfg_memory_wait_report(r.source, &n);
    cr_assert_not_null(strstr(report, "\"revision\":\"1-10\""));
    free(report);
}

Test(follow, reports_repeat)
{
    cfg_memory_push_registered(r.source, 50);
    unsigned n = cfg_memory_reports(r.source) + 4;
    char *report = cfg_memory_wait_report(r.source, &n);
    free(report);
}
