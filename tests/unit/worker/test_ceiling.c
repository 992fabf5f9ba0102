/* The most that a process can take: said to configd, and held to by the worker itself. One thread drives. */
#include "rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define BATCH "inference.batch_size"

static struct rig r;

static void begin(void)
{
    rig_open(&r, NULL, true);
}

static void end(void)
{
    rig_close(&r);
}

TestSuite(ceiling, .init = begin, .fini = end, .timeout = 30);

static int set(const char *path, double most, struct cfg_error *err)
{
    *err = (struct cfg_error)CFG_ERROR_INIT;
    return cfg_worker_ceiling(r.w, path, most, err);
}

static void push_batch(const char *revision, const char *parameters)
{
    rig_push_view(&r, "S", revision, parameters, "{}");
}

static void process(void)
{
    struct pollfd p = {cfg_worker_poll_fd(r.w), POLLIN, 0};
    cr_assert_eq(poll(&p, 1, 10000), 1);
    cfg_worker_process(r.w);
}

/* The newest report, which must have come by now. */
static void report_says(const char *part)
{
    unsigned n = cfg_memory_reports(r.source);
    cr_assert_gt(n, 0U);
    char *report = cfg_memory_wait_report(r.source, &n);
    cr_assert_not_null(strstr(report, part), "%s", report);
    free(report);
}

static void start_at_16(void)
{
    struct cfg_error err;
    cr_assert_eq(set(BATCH, 16, &err), 0, "%s", err.text);
    rig_connect(&r);
    push_batch("1-10", "{\"inference\":{\"batch_size\":12}}");
    rig_start(&r);
    cr_assert_eq(cfg_get_i64(rig_step(&r), r.batch), 12);
}

Test(ceiling, what_can_have_none)
{
    struct cfg_error err;
    cr_assert_eq(set("inference.batch_sizes", 16, &err), CFG_E_UNKNOWN_KEY);
    cr_assert_not_null(strstr(err.hint, BATCH), "%s", err.hint);
    cr_assert_eq(set("data.path", 16, &err), CFG_E_VALUE);
    cr_assert_eq(set("experiment/ab.flag", 16, &err), CFG_E_VALUE);
    cr_assert_eq(set(BATCH, (double)NAN, &err), CFG_E_VALUE);
    cr_assert_eq(set(BATCH, (double)INFINITY, &err), CFG_E_VALUE);
    cr_assert_eq(set(BATCH, 7, &err), CFG_E_CEILING, "the default is 8");
    cr_assert_eq(set(BATCH, 8, &err), 0);
    cr_assert_eq(set("sampling.temperature", 0.7, &err), 0);
    cr_assert_eq(set("sampling.temperature", 0.69, &err), CFG_E_CEILING);
}

Test(ceiling, a_local_override_above_it_stops_the_start)
{
    struct cfg_error err;
    cr_assert_eq(set(BATCH, 16, &err), 0);
    free(r.w->overrides);
    r.w->overrides = strdup(BATCH "=17");
    cr_assert_eq(cfg_worker_start(r.w, 1000, &err), CFG_E_CEILING);
    cr_assert_str_eq(err.path, BATCH);
}

Test(ceiling, is_told_and_held)
{
    struct cfg_error err;
    start_at_16();
    process();
    cr_assert_not_null(strstr(cfg_memory_registration(r.source), "\"ceilings\":{\"" BATCH "\":16}"), "%s",
                       cfg_memory_registration(r.source));
    report_says("\"ceilings\":{\"" BATCH "\":16}");

    push_batch("1-11", "{\"inference\":{\"batch_size\":17}}");
    process();
    cr_assert_str_eq(rig_step(&r)->revision, "1-10");
    cr_assert_eq(rig_status(&r).rejects, 1U);
    report_says("\"rejects\":[{\"revision\":\"1-11\",\"path\":\"" BATCH "\",\"reason\":\"" BATCH
                ": 17 is above 16, the most that this worker can take\"}]");

    cr_assert_eq(set(BATCH, 11, &err), CFG_E_CEILING, "it runs on 12");
    cr_assert_str_eq(err.path, BATCH);
    cr_assert_eq(set(BATCH, 12, &err), 0);
    cr_assert_eq(set(BATCH, 20, &err), 0);
    process();
    cr_assert_not_null(strstr(cfg_memory_registration(r.source), "\"ceilings\":{\"" BATCH "\":20}"));
    report_says("\"ceilings\":{\"" BATCH "\":20}");
    push_batch("1-12", "{\"inference\":{\"batch_size\":20}}");
    process();
    cr_assert_eq(set(BATCH, 19, &err), CFG_E_CEILING, "the next step runs on 20");
    cr_assert_eq(cfg_get_i64(rig_step(&r), r.batch), 20);
}

Test(ceiling, a_first_view_above_it_is_refused)
{
    struct cfg_error err;
    cr_assert_eq(set(BATCH, 16, &err), 0);
    rig_connect(&r);
    push_batch("1-10", "{\"inference\":{\"batch_size\":17}}");
    cr_assert_eq(cfg_worker_start(r.w, 10000, &err), CFG_E_CEILING);
}

Test(ceiling, holds_for_what_a_variant_overrides)
{
    struct cfg_error err;
    cr_assert_eq(set("sampling.temperature", 1, &err), 0);
    rig_connect(&r);
    push_batch("1-10", "{}");
    rig_start(&r);
    cfg_memory_push_view(r.source, "1-11", "sha256:b", "S",
                         "{\"parameters\":{},\"pinned\":{},\"flags\":{\"experiment\":{\"heat\":{\"definition\":{"
                         "\"state\":\"ENABLED\",\"variants\":{\"hot\":1},\"defaultVariant\":\"hot\"},"
                         "\"overrides\":{\"hot\":{\"sampling.temperature\":1.5}}}}}}");
    process();
    cr_assert_str_eq(rig_step(&r)->revision, "1-10");
    cr_assert_not_null(strstr(rig_status(&r).last_reject, "experiment/heat: variant hot: sampling.temperature: 1.5"),
                       "%s", rig_status(&r).last_reject);
    report_says("\"path\":\"experiment/heat.overrides.hot.sampling.temperature\"");
}

static int lowered;

static int lower_it(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    struct cfg_error own = CFG_ERROR_INIT;
    (void)arg, (void)err;
    if (cfg_get_i64(next, r.batch) == 15) {
        lowered = cfg_worker_ceiling(r.w, BATCH, 14, &own);
    }
    return 0;
}

Test(ceiling, cannot_go_below_a_view_on_its_way)
{
    struct cfg_error err;
    const struct cfg_change_hooks hooks = {lower_it, NULL, NULL, NULL};
    cr_assert_eq(cfg_worker_on_change(r.w, "", &hooks, &err), 0);
    start_at_16();
    push_batch("1-11", "{\"inference\":{\"batch_size\":15}}");
    process();
    cr_assert_eq(lowered, CFG_E_CEILING);
    cr_assert_eq(cfg_get_i64(rig_step(&r), r.batch), 15);
    push_batch("1-12", "{\"inference\":{\"batch_size\":10}}");
    process();
    (void)rig_step(&r);
    cr_assert_eq(set(BATCH, 14, &err), 0, "nothing keeps it up any more: %s", err.text);
}
