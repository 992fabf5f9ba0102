/* Starting, starting again, and the cache. */
#include "rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* Prepare runs before the view is saved, so its moment is the last before publication that a test can hold on to; the
 * stepper's first sight of a view is its commit. */
static void commit_looks_at_disk(void *arg, const struct cfg_view *now)
{
    struct cfg_cached c;
    struct cfg_error err;
    unsigned *commits = arg;
    cr_assert_eq(cfg_cache_load(&c, cache, "blue", &err), 0, "%s: %s", now->revision, err.text);
    struct cfg_rev held, saved;
    cr_assert_eq(cfg_rev_parse(&held, cfg_slice_str(now->revision), NULL), 0);
    cr_assert_eq(cfg_rev_parse(&saved, cfg_slice_str(c.revision), NULL), 0);
    cr_assert_geq(cfg_rev_cmp(saved, held), 0, "runs on %s with %s on disk", now->revision, c.revision);
    cfg_cached_finish(&c);
    ++*commits;
}

Test(restart, what_the_stepper_sees_is_on_disk_already)
{
    struct rig r;
    unsigned commits = 0;
    const struct cfg_change_hooks hooks = {.commit = commit_looks_at_disk, .arg = &commits};
    rig_open(&r, cache, false);
    cr_assert_eq(cfg_worker_on_change(r.w, "", &hooks, NULL), 0);
    rig_connect(&r);
    rig_push(&r, "1-10", 0.5);
    rig_start(&r);
    for (int i = 11; i < 400; i++) {
        char revision[16];
        (void)snprintf(revision, sizeof revision, "1-%d", i);
        rig_push(&r, revision, i / 400.0);
        while (strcmp(rig_step(&r)->revision, revision) != 0) { /* as fast as it can: adopts at once */
        }
    }
    cr_assert_gt(commits, 300U);
    rig_close(&r);
}

Test(restart, a_superseded_worker_leaves_the_cache_to_its_successor)
{
    struct rig old, next;
    struct cfg_error err;
    struct cfg_cached c;
    rig_open(&old, cache, false);
    rig_connect(&old);
    rig_push(&old, "1-10", 0.5);
    rig_start(&old);
    (void)rig_until(&old, "1-10");
    rig_open(&next, cache, false);
    rig_connect(&next);
    rig_push(&next, "1-12", 1);
    rig_start(&next);
    (void)rig_until(&next, "1-12");
    rig_close(&old);
    cr_assert_eq(cfg_cache_load(&c, cache, "blue", &err), 0, "%s", err.text);
    cr_assert_str_eq(c.revision, "1-12");
    cfg_cached_finish(&c);
    rig_close(&next);
}

Test(restart, steps_on_the_defaults_fix_what_is_structural)
{
    struct rig r;
    struct cfg_error err;
    rig_open(&r, NULL, false);
    cr_assert_eq(start(&r, 0, &err), CFG_E_TIMEOUT);
    cr_assert_eq(cfg_get_i64(rig_step(&r), r.tp), 1);
    rig_connect(&r);
    rig_push_view(&r, "S", "1-3", "{\"data\":{\"path\":\"/new\"},\"sampling\":{\"temperature\":2}}",
                  "{\"distributed\":{\"tp\":4}}");
    const struct cfg_view *v = rig_until(&r, "1-3");
    cr_assert_float_eq(cfg_get_f64(v, r.temp), 2, 1e-12);
    cr_assert_eq(cfg_get_i64(v, r.tp), 1, "the process has been running on 1");
    cr_assert_str_eq(cfg_get_string(v, r.path), "/none");
    free(rig_report_with(&r, "\"pending\":[\"data.path\",\"distributed.tp\"]"));
    cr_assert_not_null(strstr(cfg_memory_registration(r.source), "\"pin\":{\"distributed\":{\"tp\":1}}"));
    rig_close(&r);
}

Test(restart, a_start_that_is_called_again_boots_on_the_first_view)
{
    struct rig r;
    struct cfg_error err;
    rig_open(&r, NULL, false);
    cr_assert_eq(start(&r, 0, &err), CFG_E_TIMEOUT);
    (void)cfg_worker_idle(r.w, 0); /* no step */
    rig_connect(&r);
    rig_push_view(&r, "S", "1-3", "{\"data\":{\"path\":\"/new\"}}", "{\"distributed\":{\"tp\":4}}");
    cr_assert_eq(start(&r, 10000, &err), 0, "%s", err.text);
    const struct cfg_view *v = rig_step(&r);
    cr_assert_str_eq(v->revision, "1-3");
    cr_assert_eq(cfg_get_i64(v, r.tp), 4);
    cr_assert_str_eq(cfg_get_string(v, r.path), "/new");
    rig_close(&r);
}

Test(restart, a_saved_view_that_fits_no_more_still_names_its_store)
{
    struct rig r;
    struct cfg_error err;
    run_once("1-10", 1.25);
    rig_open(&r, cache, false);
    (void)cfg_param_f64(r.w, "sampling", CFG_LIVE, 0, 1, 0.5); /* an object in the saved view */
    cr_assert_eq(start(&r, 0, &err), CFG_E_TIMEOUT);
    cr_assert_str_eq(cfg_memory_resumed(r.source), "1-10", "a foreign store must be told from ours");
    rig_close(&r);
}

Test(restart, nothing_undoes_a_refusal)
{
    struct rig r;
    struct cfg_error err;
    run_once("1-10", 1.25);
    rig_open(&r, cache, true);
    rig_connect(&r);
    rig_push_view(&r, "S", "1-11", "{\"sampling\":{\"temperature\":9}}", "{\"distributed\":{\"tp\":2}}");
    cr_assert_eq(start(&r, 10000, &err), CFG_E_VALUE);
    cfg_memory_push_mark(r.source, "1-12"); /* speaks of the refused view, not of the saved one */
    cfg_worker_process(r.w);
    cr_assert_eq(start(&r, 10000, &err), CFG_E_VALUE);
    cr_assert_str_eq(rig_step(&r)->revision, "0-0");
    rig_close(&r);
}

Test(restart, superseded_while_looking_on)
{
    struct rig r;
    struct cfg_error err;
    rig_open(&r, NULL, true);
    cr_assert_eq(start(&r, 0, &err), CFG_E_TIMEOUT);
    cfg_memory_push_state(r.source, CFG_SOURCE_SUPERSEDED, NULL);
    cfg_worker_process(r.w);
    cr_assert_eq(start(&r, 600000, &err), CFG_E_SUPERSEDED, "at once");
    rig_close(&r);
}

Test(restart, a_forked_child_leaves_the_worker_alone)
{
    struct rig r;
    struct stat before, after;
    rig_open(&r, cache, true); /* nobody writes the cache but who calls process or close */
    rig_connect(&r);
    rig_push(&r, "1-10", 0.5);
    rig_start(&r);
    cr_assert_str_eq(rig_step(&r)->revision, "1-10");
    cr_assert_eq(stat(cache, &before), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        cfg_worker_close(r.w);
        _exit(strcmp(rig_step(&r)->revision, "1-10") == 0 ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "the child's copy is as it was");
    cr_assert_eq(stat(cache, &after), 0);
    cr_assert_eq(after.st_ino, before.st_ino, "the child has written the parent's cache");
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
