/* What a whole worker tells of its steps: windows, metrics, runs, draining. */
#include "rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The newest report as a tree, once it holds `part`; free with cJSON_Delete. */
static cJSON *report_with(struct rig *r, const char *part)
{
    struct cfg_error err = CFG_ERROR_INIT;
    char *text = rig_report_with(r, part);
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    free(text);
    return v;
}

static const cJSON *window(const cJSON *report, int i)
{
    return cJSON_GetArrayItem(cfg_json_get(report, "windows"), i);
}

/* A rejected view makes the worker report at once: a report that the test can ask for. */
static void ask_report(struct rig *r, unsigned i)
{
    struct cfg_error why = CFG_ERROR_INIT;
    (void)cfg_fail(&why, CFG_E_CONNECT, "ask %u", i);
    cfg_memory_push_state(r->source, i % 2 == 0 ? CFG_SOURCE_STALE : CFG_SOURCE_CONNECTED, &why);
}

Test(steps, windows_close_when_another_revision_is_adopted)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cfg_metric loss = cfg_metric_declare(r.w, "loss");
    rig_connect(&r);
    rig_push(&r, "1-7", 0.1);
    rig_start(&r);
    (void)cfg_step_begin(r.w, r.step++); /* no end yet: no window */
    cJSON_Delete(report_with(&r, "\"runs\":[{\"from_step\":0,\"revision\":\"1-7\""));
    cfg_memory_push_reported(r.source);
    for (int i = 0; i < 10; i++) {
        (void)cfg_step_begin(r.w, r.step++);
        cfg_worker_metric(r.w, loss, i);
        cfg_step_end(r.w, "{\"tok_s\":5}");
    }
    rig_push(&r, "1-8", 0.2);
    (void)rig_until(&r, "1-8");
    (void)rig_step(&r);
    cJSON *v = report_with(&r, "{\"seq\":1,\"revision\":\"1-7\"");
    const cJSON *w = window(v, 0);
    /* rig_until took steps of its own. */
    cr_assert(cfg_json_get_num(w, "steps", 0) >= 10 && cfg_json_get_num(w, "from_step", 9) == 1);
    const cJSON *m = cfg_json_get(w, "metrics");
    cr_assert(cfg_json_get_num(cfg_json_get(m, "loss"), "n", 0) == 10);
    cr_assert(cfg_json_get_num(cfg_json_get(m, "loss"), "mean", 0) == 4.5);
    cr_assert(cfg_json_get_num(cfg_json_get(m, "tok_s"), "max", 0) == 5);
    cr_assert_str_eq(cfg_json_get_str(w, "arm", ""), "base");
    bool told = cJSON_GetArraySize(cfg_json_get(v, "runs")) > 0;
    cJSON_Delete(v);
    if (!told) { /* the view came while idling: its first step was still to begin */
        cfg_memory_push_reported(r.source);
        ask_report(&r, 0);
        cJSON_Delete(report_with(&r, "\"revision\":\"1-8\",\"at\""));
    }
    rig_close(&r);
}

Test(steps, local_attribution)
{
    struct rig r;
    struct cfg_run run;
    struct cfg_error err = CFG_ERROR_INIT;
    rig_open(&r, NULL, false);
    rig_connect(&r);
    rig_push(&r, "1-7", 0.1);
    rig_start(&r);
    cr_assert_eq(cfg_worker_revision_at(r.w, 0, &run, &err), CFG_E_NOT_FOUND);
    r.step = 100;
    for (int i = 0; i < 5; i++) {
        (void)rig_step(&r);
    }
    rig_push(&r, "1-8", 0.2);
    const struct cfg_view *v = rig_until(&r, "1-8");
    cr_assert_not_null(v);
    uint64_t changed = r.step - 1;
    cr_assert_eq(cfg_worker_revision_at(r.w, 100, &run, &err), 0, "%s", err.text);
    cr_assert_str_eq(run.revision, "1-7");
    cr_assert_eq(run.from_step, 100U);
    cr_assert_eq(cfg_worker_revision_at(r.w, changed - 1, &run, &err), 0);
    cr_assert_str_eq(run.revision, "1-7");
    cr_assert_eq(cfg_worker_revision_at(r.w, changed, &run, &err), 0);
    cr_assert_str_eq(run.revision, "1-8");
    cr_assert(run.adopted_at_us > 1700000000000000);
    cr_assert_eq(cfg_worker_revision_at(r.w, changed + 1, &run, &err), CFG_E_NOT_FOUND);
    cr_assert_not_null(strstr(err.text, "has not begun"), "%s", err.text);
    cr_assert_eq(cfg_worker_revision_at(r.w, 99, &run, &err), CFG_E_NOT_FOUND);
    /* Back to a checkpoint without a change: those steps ran again, under 1-8. */
    r.step = 102;
    (void)rig_step(&r);
    cr_assert_eq(cfg_worker_revision_at(r.w, 102, &run, &err), 0);
    cr_assert_str_eq(run.revision, "1-8");
    cr_assert_eq(cfg_worker_revision_at(r.w, 101, &run, &err), 0);
    cr_assert_str_eq(run.revision, "1-7");
    rig_close(&r);
}

Test(steps, an_idle_worker_runs_from_its_next_step_on)
{
    struct rig r;
    struct cfg_run run;
    struct cfg_error err = CFG_ERROR_INIT;
    rig_open(&r, NULL, false);
    rig_connect(&r);
    rig_push(&r, "1-7", 0.1);
    rig_start(&r);
    while (strcmp(rig_status(&r).revision, "1-7") != 0) {
        (void)cfg_worker_idle(r.w, 1000);
    }
    r.step = 50;
    (void)rig_step(&r);
    cr_assert_eq(cfg_worker_revision_at(r.w, 50, &run, &err), 0, "%s", err.text);
    cr_assert_eq(run.from_step, 50U);
    cr_assert_eq(cfg_worker_revision_at(r.w, 49, &run, &err), CFG_E_NOT_FOUND);
    rig_close(&r);
}

Test(steps, rubbish_is_reported_once_and_the_step_is_unharmed)
{
    struct rig r;
    rig_open(&r, NULL, true);
    rig_connect(&r);
    rig_push(&r, "1-7", 0.1);
    rig_start(&r);
    static char huge[20000];
    memset(huge, ' ', sizeof huge - 1);
    huge[0] = '{';
    huge[sizeof huge - 2] = '}';
    static const char *const bad[] = {"", "{", "nonsense", "[1,2]", "{\"a\":}", "{\"a\":tru}", huge};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            const struct cfg_view *v = cfg_step_begin(r.w, r.step++);
            cr_assert_not_null(v);
            cfg_step_end(r.w, bad[i]);
            cfg_worker_process(r.w);
        }
    }
    (void)cfg_step_begin(r.w, r.step++);
    cfg_step_end(r.w, "{\"good\":1,\"bad name\":2,\"nan\":NaN}");
    ask_report(&r, 0);
    cfg_worker_process(r.w);
    cJSON *v = report_with(&r, "");
    cJSON_Delete(v);
    cfg_worker_close(r.w);
    const char *first = strstr(r.log, "metrics of a step are dropped");
    cr_assert_not_null(first, "%s", r.log);
    cr_assert_null(strstr(first + 1, "metrics of a step are dropped"), "%s", r.log);
    cr_assert_not_null(strstr(r.log, "a metric is left out"), "%s", r.log);
}

Test(steps, samples_that_are_not_finite_are_counted_as_bad)
{
    struct rig r;
    rig_open(&r, NULL, true);
    cfg_metric loss = cfg_metric_declare(r.w, "loss");
    cr_assert_eq(cfg_metric_declare(r.w, "loss").index, loss.index);
    rig_connect(&r);
    rig_push(&r, "1-7", 0.1);
    rig_start(&r);
    cfg_worker_process(r.w);
    cfg_memory_push_reported(r.source);
    cfg_worker_process(r.w);
    (void)cfg_step_begin(r.w, 0);
    cfg_worker_metric(r.w, loss, NAN);
    cfg_worker_metric(r.w, loss, INFINITY);
    cfg_worker_metric(r.w, loss, 2);
    cfg_worker_metric(r.w, (cfg_metric){77}, 2);
    cfg_step_end(r.w, "{\"loss\":NaN,\"g\":1e999}");
    cfg_worker_process(r.w);
    cJSON *v = report_with(&r, "windows");
    const cJSON *m = cfg_json_get(window(v, 0), "metrics");
    cr_assert(cfg_json_get_num(cfg_json_get(m, "loss"), "bad", 0) == 3);
    cr_assert(cfg_json_get_num(cfg_json_get(m, "loss"), "n", 0) == 1);
    cr_assert(cfg_json_get_num(cfg_json_get(m, "g"), "bad", 0) == 1);
    cJSON_Delete(v);
    rig_close(&r);
}

Test(steps, a_wrong_metric_stops_the_start)
{
    static const char *const bad[] = {"", "a b", "caf\xc3\xa9", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rig r;
        struct cfg_error err = CFG_ERROR_INIT;
        rig_open(&r, NULL, false);
        (void)cfg_metric_declare(r.w, bad[i]);
        cr_assert_eq(cfg_worker_start(r.w, 1000, &err), CFG_E_INVALID, "%s", err.text);
        cr_assert_not_null(strstr(err.text, "metric"), "%s", err.text);
        (void)cfg_step_begin(r.w, 0); /* a program that does not look */
        cfg_worker_metric(r.w, (cfg_metric){0}, 1);
        cfg_step_end(r.w, "{\"a\":1}");
        rig_close(&r);
    }
    struct rig r;
    struct cfg_error err = CFG_ERROR_INIT;
    rig_open(&r, NULL, false);
    for (int i = 0; i < 65; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%d", i);
        (void)cfg_metric_declare(r.w, name);
    }
    cr_assert_eq(cfg_worker_start(r.w, 1000, &err), CFG_E_LIMIT, "%s", err.text);
    rig_close(&r);
}

Test(steps, draining_until_no_more_is_in_use_than_may_be)
{
    struct rig r;
    rig_open(&r, NULL, false);
    rig_connect(&r);
    rig_push_view(&r, "S", "1-7", "{\"inference\":{\"batch_size\":8}}", "{}");
    rig_start(&r);
    (void)rig_until(&r, "1-7");
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, 7), 0);
    cr_assert_eq(rig_status(&r).draining, 0U);
    rig_push_view(&r, "S", "1-8", "{\"inference\":{\"batch_size\":4}}", "{}");
    const struct cfg_view *v = rig_until(&r, "1-8");
    cr_assert_eq(cfg_get_i64(v, r.batch), 4); /* admission goes by it at once */
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, 7), 0);
    cJSON_Delete(report_with(&r, "\"draining\":[{\"path\":\"inference.batch_size\",\"now\":7,\"target\":4}]"));
    struct cfg_worker_status s = rig_status(&r);
    cr_assert_eq(s.draining, 1U);
    cr_assert_str_eq(s.draining_path, "inference.batch_size");
    cr_assert(s.draining_now == 7 && s.draining_target == 4);
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, 5), 0);
    cr_assert(rig_status(&r).draining_now == 5);
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, 4), 0);
    cr_assert_eq(rig_status(&r).draining, 0U);
    for (unsigned n = 1;; n++) { /* the end is reported at once, too */
        char *text = cfg_memory_wait_report(r.source, &n);
        bool over = strstr(text, "draining") == NULL && strstr(text, "\"1-8\"") != NULL;
        free(text);
        if (over) {
            break;
        }
    }
    rig_close(&r);
}

Test(steps, draining_is_for_numbers_of_its_class)
{
    struct rig r;
    rig_open(&r, NULL, false);
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, 1), CFG_E_INVALID); /* not started */
    rig_connect(&r);
    rig_push(&r, "1-7", 0.1);
    rig_start(&r);
    cr_assert_eq(cfg_worker_draining(r.w, r.temp, 1), CFG_E_INVALID);
    cr_assert_eq(cfg_worker_draining(r.w, r.path, 1), CFG_E_INVALID);
    cr_assert_eq(cfg_worker_draining(r.w, CFG_PARAM_NONE, 1), CFG_E_INVALID);
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, -1), CFG_E_VALUE);
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, NAN), CFG_E_VALUE);
    cr_assert_eq(cfg_worker_draining(r.w, r.batch, INFINITY), CFG_E_VALUE);
    cr_assert_eq(rig_status(&r).draining, 0U);
    rig_close(&r);
}

Test(steps, a_bad_view_leaves_the_step_under_way_unharmed)
{
    static const struct {
        const char *parameters, *says;
    } bad[] = {
        {"{\"sampling\":{\"temperature\":2.5}}", "sampling.temperature"},
        {"{\"sampling\":{\"temperature\":-1e300}}", "sampling.temperature"},
        {"{\"sampling\":{\"temperature\":\"hot\"}}", "sampling.temperature"},
        {"{\"sampling\":{\"temperature\":null}}", "sampling.temperature"},
        {"{\"inference\":{\"batch_size\":0}}", "inference.batch_size"},
        {"{\"inference\":{\"batch_size\":2.5}}", "inference.batch_size"},
        {"{\"inference\":{\"batch_size\":40}}", "above"},
        {"{\"sampling\":{\"temperature\":\"???\"}}", "sampling.temperature"},
    };
    /* What strict JSON has no number for never becomes a view at all. */
    static const char *const no_json[] = {
        "{\"parameters\":{\"sampling\":{\"temperature\":1e999}},\"pinned\":{},\"flags\":{}}",
        "{\"parameters\":{\"sampling\":{\"temperature\":NaN}},\"pinned\":{},\"flags\":{}}"};
    struct rig r;
    struct cfg_error err = CFG_ERROR_INIT;
    rig_open(&r, NULL, true);
    cr_assert_eq(cfg_worker_ceiling(r.w, "inference.batch_size", 32, &err), 0, "%s", err.text);
    rig_connect(&r);
    rig_push_view(&r, "S", "1-7", "{\"sampling\":{\"temperature\":0.5},\"inference\":{\"batch_size\":16}}", "{}");
    rig_start(&r);
    const struct cfg_view *v = cfg_step_begin(r.w, 0);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0] + 2; i++) {
        char revision[16];
        unsigned n = i < sizeof bad / sizeof bad[0] ? i : UINT32_MAX;
        (void)snprintf(revision, sizeof revision, "1-%u", 10 + i);
        if (n != UINT32_MAX) {
            rig_push_view(&r, "S", revision, bad[n].parameters, "{}");
        } else {
            cfg_memory_push_view(r.source, revision, "sha256:0", "S", no_json[i - sizeof bad / sizeof bad[0]]);
        }
        cfg_worker_process(r.w);
        cr_assert(cfg_get_f64(v, r.temp) == 0.5 && cfg_get_i64(v, r.batch) == 16, "%s", revision);
        struct cfg_worker_status s = rig_status(&r);
        cr_assert_eq(s.rejects, i + 1U, "%s", revision);
        cr_assert_not_null(strstr(s.last_reject, n != UINT32_MAX ? bad[n].says : "line 1"), "%s", s.last_reject);
        cr_assert_str_eq(s.revision, "1-7");
    }
    cfg_step_end(r.w, NULL);
    v = cfg_step_begin(r.w, 1);
    cr_assert_str_eq(v->revision, "1-7");
    rig_push(&r, "1-90", 0.25);
    cfg_worker_process(r.w);
    v = cfg_step_begin(r.w, 2);
    cr_assert(strcmp(v->revision, "1-90") == 0 && cfg_get_f64(v, r.temp) == 0.25);
    rig_close(&r);
}

Test(steps, overrides_that_are_no_numbers_of_the_range_stop_the_start)
{
    static const char *const bad[] = {"t=nan", "t=inf", "t=1e999", "t=3", "t=hot", "t="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
        struct cfg_memory_source *source = NULL;
        struct cfg_worker *w = NULL;
        o.deployment = "blue";
        o.worker = "w0";
        o.cache = "";
        o.overrides = bad[i];
        cr_assert_eq(cfg_memory_source_new(&source, &err), 0);
        cr_assert_eq(cfg_worker_open_source(&w, &o, cfg_memory_source_base(source), &err), 0, "%s", err.text);
        (void)cfg_param_f64(w, "t", CFG_LIVE, 0, 2, 1);
        cr_assert_lt(cfg_worker_start(w, 1000, &err), 0, "%s", bad[i]);
        cr_assert_not_null(strchr(err.text, 't'), "%s: %s", bad[i], err.text);
        cfg_worker_close(w);
    }
}
