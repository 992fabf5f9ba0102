/* Starting, starting again, and the cache. */
#include "rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], cache[96];

static void setup(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/cfg-restart-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(cache, sizeof cache, "%s/view", dir);
}

static void teardown(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(restart, .init = setup, .fini = teardown, .timeout = 30);

/* A worker that has run on temperature `temp` at `revision` and left. */
static void run_once(const char *revision, double temp)
{
    struct rig r;
    rig_open(&r, cache, false);
    rig_connect(&r);
    rig_push(&r, revision, temp);
    rig_start(&r);
    (void)rig_until(&r, revision);
    rig_close(&r);
}

static int start(struct rig *r, unsigned timeout_ms, struct cfg_error *err)
{
    *err = (struct cfg_error)CFG_ERROR_INIT;
    return cfg_worker_start(r->w, timeout_ms, err);
}

Test(restart, without_configd_it_runs_on_the_saved_view_and_says_how_old)
{
    struct rig r;
    struct cfg_error err;
    run_once("1-10", 1.25);
    rig_open(&r, cache, false);
    cr_assert_eq(start(&r, 0, &err), 0, "%s", err.text);
    cr_assert_str_eq(cfg_memory_resumed(r.source), "1-10");
    cr_assert_float_eq(cfg_get_f64(rig_step(&r), r.temp), 1.25, 1e-12);
    uint64_t age = rig_status(&r).age_ms;
    while (rig_status(&r).age_ms <= age) { /* it grows */
    }
    cr_assert_str_eq(rig_status(&r).revision, "1-10");
    /* An older view (a replica that lags) does not move it, a newer one does. */
    rig_connect(&r);
    rig_push(&r, "1-9", 0.1);
    rig_push(&r, "1-11", 0.2);
    cr_assert_float_eq(cfg_get_f64(rig_until(&r, "1-11"), r.temp), 0.2, 1e-12);
    rig_close(&r);
    cr_assert_not_null(strstr(r.log, "running on the saved view 1-10"), "%s", r.log);
}

Test(restart, a_mark_confirms_the_saved_view)
{
    struct rig r;
    run_once("1-10", 1.25);
    rig_open(&r, cache, false);
    rig_connect(&r);
    cfg_memory_push_mark(r.source, "1-20");
    rig_start(&r);
    cr_assert_float_eq(cfg_get_f64(rig_step(&r), r.temp), 1.25, 1e-12);
    cr_assert_eq(rig_status(&r).age_ms, 0U);
    rig_close(&r);
}

Test(restart, no_view_and_no_cache_is_a_timeout_that_names_the_reason)
{
    struct rig r;
    struct cfg_error err, why = CFG_ERROR_INIT;
    rig_open(&r, cache, false);
    (void)cfg_fail(&why, CFG_E_CONNECT, "no server answers at http://127.0.0.1:7117");
    cfg_memory_push_state(r.source, CFG_SOURCE_CONNECTING, &why);
    cr_assert_eq(start(&r, 30, &err), CFG_E_TIMEOUT);
    cr_assert_not_null(strstr(err.text, "127.0.0.1:7117"), "%s", err.text);
    cr_assert_float_eq(cfg_get_f64(rig_step(&r), r.temp), 0.7, 1e-12, "the code's defaults");
    cr_assert_str_eq(rig_step(&r)->revision, "0-0");
    rig_connect(&r);
    rig_push(&r, "1-3", 1);
    cr_assert_eq(start(&r, 10000, &err), 0, "start may be called again: %s", err.text);
    cr_assert_eq(start(&r, 0, &err), 0);
    (void)rig_until(&r, "1-3");
    rig_close(&r);
}

static void truncate_to(off_t n)
{
    cr_assert_eq(truncate(cache, n), 0);
}

Test(restart, a_damaged_cache_is_no_cache)
{
    struct rig r;
    struct cfg_error err;
    run_once("1-10", 1.25);
    truncate_to(100);
    rig_open(&r, cache, false);
    cr_assert_eq(start(&r, 0, &err), CFG_E_TIMEOUT);
    cr_assert_str_eq(cfg_memory_resumed(r.source), "");
    rig_connect(&r);
    rig_push(&r, "1-2", 0.5);
    (void)rig_until(&r, "1-2");
    rig_close(&r);
    cr_assert_not_null(strstr(r.log, "the saved view is ignored"), "%s", r.log);
    rig_open(&r, cache, false);
    cr_assert_eq(start(&r, 0, &err), 0, "written anew: %s", err.text);
    rig_close(&r);
}

Test(restart, a_cache_that_fits_the_code_no_more_still_bounds_the_order)
{
    struct rig r;
    struct cfg_error err;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    run_once("1-10", 1.25);
    memset(&r, 0, sizeof r);
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = cache;
    cr_assert_eq(cfg_memory_source_new(&r.source, &err), 0);
    cr_assert_eq(cfg_worker_open_source(&r.w, &o, cfg_memory_source_base(r.source), &err), 0);
    r.temp = cfg_param_f64(r.w, "sampling.temperature", CFG_LIVE, 0, 1, 0.5);
    rig_connect(&r);
    rig_push(&r, "1-9", 0.1);
    rig_push(&r, "1-11", 0.2);
    rig_start(&r);
    cr_assert_str_eq(rig_step(&r)->revision, "1-11", "1-9 is older than what this worker has run on");
    rig_close(&r);
}

Test(restart, what_was_reported_is_on_disk_already)
{
    struct rig r;
    rig_open(&r, cache, false);
    rig_connect(&r);
    rig_push(&r, "1-10", 0.5);
    rig_start(&r);
    for (int i = 11; i < 40; i++) {
        char revision[16], quoted[32];
        struct cfg_cached c;
        struct cfg_error err;
        (void)snprintf(revision, sizeof revision, "1-%d", i);
        (void)snprintf(quoted, sizeof quoted, "\"revision\":\"%s\"", revision);
        rig_push(&r, revision, i / 40.0);
        (void)rig_until(&r, revision);
        free(rig_report_with(&r, quoted));
        cr_assert_eq(cfg_cache_load(&c, cache, "blue", &err), 0, "%s", err.text);
        cr_assert_str_eq(c.revision, revision);
        cfg_cached_finish(&c);
    }
    rig_close(&r);
}

Test(restart, refusals_are_final_and_named)
{
    static const int codes[] = {CFG_E_PIN_MISMATCH, CFG_E_NOT_FOUND, CFG_E_UNAUTHORIZED};
    run_once("1-10", 1.25);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct rig r;
        struct cfg_error err, why = CFG_ERROR_INIT;
        rig_open(&r, cache, false);
        (void)cfg_fail(&why, codes[i], "distributed.tp");
        cfg_memory_push_state(r.source, CFG_SOURCE_REFUSED, &why);
        cr_expect_eq(start(&r, 10000, &err), codes[i]);
        cr_expect_str_eq(err.text, "distributed.tp");
        rig_close(&r);
    }
}

Test(restart, a_bad_first_view_is_refused)
{
    struct rig r;
    struct cfg_error err;
    rig_open(&r, cache, false);
    rig_connect(&r);
    rig_push(&r, "1-10", 9);
    cr_assert_eq(start(&r, 10000, &err), CFG_E_VALUE);
    cr_assert_str_eq(err.path, "sampling.temperature");
    rig_close(&r);
    cr_assert_neq(access(cache, F_OK), 0, "nothing bad is saved");
}

Test(restart, a_bad_newest_view_leaves_the_saved_one)
{
    struct rig r;
    struct cfg_error err;
    run_once("1-10", 1.25);
    rig_open(&r, cache, false);
    rig_connect(&r);
    rig_push(&r, "1-11", 9);
    cr_assert_eq(start(&r, 10000, &err), 0, "%s", err.text);
    cr_assert_str_eq(rig_step(&r)->revision, "1-10");
    free(rig_report_with(&r, "\"rejects\":[{\"revision\":\"1-11\""));
    rig_close(&r);
}

Test(restart, a_saved_view_of_another_pin_is_no_way_out)
{
    struct rig r;
    struct cfg_error err;
    run_once("1-10", 1.25);
    rig_open(&r, cache, false);
    rig_connect(&r);
    rig_push_view(&r, "S", "1-11", "{\"sampling\":{\"temperature\":9}}", "{\"distributed\":{\"tp\":2}}");
    cr_assert_eq(start(&r, 10000, &err), CFG_E_VALUE);
    rig_close(&r);
}

Test(restart, a_foreign_store_leaves_the_saved_view)
{
    struct rig r;
    struct cfg_error err;
    run_once("1-10", 1.25);
    rig_open(&r, cache, false);
    cfg_memory_push_state(r.source, CFG_SOURCE_FOREIGN, NULL);
    cr_assert_eq(start(&r, 10000, &err), 0, "%s", err.text);
    cr_assert_str_eq(rig_step(&r)->revision, "1-10");
    cr_assert_str_eq(rig_status(&r).state, "foreign");
    rig_close(&r);
}

Test(restart, a_cache_that_cannot_be_written_is_a_warning)
{
    struct rig r;
    rig_open(&r, "/dev/null/view", false);
    rig_connect(&r);
    rig_push(&r, "1-10", 0.5);
    rig_start(&r);
    (void)rig_until(&r, "1-10");
    rig_push(&r, "1-11", 0.5);
    (void)rig_until(&r, "1-11");
    rig_close(&r);
    const char *first = strstr(r.log, "could not be saved");
    cr_assert_not_null(first, "%s", r.log);
    cr_assert_null(strstr(first + 1, "could not be saved"), "said once: %s", r.log);
}

Test(restart, declarations_and_overrides_are_checked_at_start)
{
    struct rig r;
    struct cfg_error err;
    rig_open(&r, NULL, false);
    cr_assert_eq(cfg_param_f64(r.w, "sampling.temperature", CFG_LIVE, 0, 1, 0).index, UINT32_MAX);
    cr_assert_eq(start(&r, 0, &err), CFG_E_EXISTS);
    cr_assert_eq(start(&r, 0, &err), CFG_E_EXISTS, "and stay wrong");
    rig_close(&r);
    (void)setenv("RANK", "0", 1);
    (void)setenv("WORLD_SIZE", "2", 1);
    rig_open(&r, NULL, false);
    (void)cfg_param_f64(r.w, "train.lr", CFG_BARRIER, 0, 1, 0);
    cr_assert_eq(start(&r, 0, &err), CFG_E_UNSUPPORTED, "a barrier among ranks needs a group");
    rig_close(&r);
}

Test(restart, bad_options)
{
    struct cfg_worker *w = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.deployment = "blue";
    o.source = "http:x";
    cr_assert_eq(cfg_worker_open(&w, &o, &err), CFG_E_INVALID);
    o.source = "file:";
    cr_assert_eq(cfg_worker_open(&w, &o, &err), CFG_E_INVALID);
    o.size = 0;
    cr_assert_eq(cfg_worker_open(&w, &o, &err), CFG_E_INVALID);
    o.size = sizeof o + 8;
    cr_assert_eq(cfg_worker_open(&w, &o, &err), CFG_E_INVALID);
    cr_assert_null(w);
    cfg_worker_close(NULL);
}

Test(restart, closing_what_never_started)
{
    struct rig r;
    rig_open(&r, cache, false);
    cr_assert_eq(cfg_step_begin(r.w, 0)->n, 0U, "before start every read is zero");
    cr_assert_float_eq(cfg_get_f64(cfg_step_begin(r.w, 0), r.temp), 0, 1e-12);
    rig_close(&r);
}
