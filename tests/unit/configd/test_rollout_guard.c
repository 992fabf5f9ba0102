/* Guards over what two arms reported. */
#include <criterion/criterion.h>

#include "configd/rollout_guard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_arm_report canary, base;
static enum cfg_guard_base left = CFG_BASE_THERE;

static void start(void)
{
    memset(&canary, 0, sizeof canary);
    memset(&base, 0, sizeof base);
    canary.groups = base.groups = 4;
}

/* n samples around mean, half of them `spread` above, half below. */
static void feed(struct cfg_arm_report *r, const char *metric, unsigned n, double mean, double spread)
{
    struct cfg_moments *m = cfg_arm_report_add(r, metric);
    cr_assert(m);
    for (unsigned i = 0; i < n; i++)
        cfg_moments_add(m, i % 2 ? mean + spread : mean - spread);
}

static void feed_steps(struct cfg_arm_report *r, unsigned n, double ms)
{
    for (unsigned i = 0; i < n; i++)
        cfg_histogram_add(&r->latency, (uint64_t)(ms * 1000 * (0.8 + 0.4 * i / n)));
}

static struct cfg_guard_reading judge(const char *text)
{
    struct cfg_rollout_guard *g = NULL;
    struct cfg_guard_reading r;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_rollout_guard_new(&g, text, &err), 0, "%s: %s", text, err.text);
    cr_assert_str_eq(cfg_rollout_guard_text(g), text);
    cfg_rollout_guard_judge(&r, g, &canary, &base, 30, left);
    cfg_rollout_guard_free(g);
    return r;
}

static void expect(const char *text, enum cfg_guard_verdict verdict)
{
    struct cfg_guard_reading r = judge(text);
    cr_assert_eq(r.verdict, verdict, "%s %s: %s", text, cfg_guard_verdict_name(r.verdict), r.why);
    cr_assert(verdict == CFG_VERDICT_PASSES || r.why[0], "%s says no reason", text);
}

Test(guard, a_mean_against_a_number, .init = start)
{
    feed(&canary, "error_rate", 200, 0.002, 0.002);
    expect("error_rate<1%", CFG_VERDICT_PASSES);
    expect("error_rate < 0.0001", CFG_VERDICT_FAILS);
    expect("error_rate.max <= 0.004", CFG_VERDICT_PASSES);
    expect("0 <= error_rate < 1% and error_rate.n > 100", CFG_VERDICT_PASSES);
}

Test(guard, the_base_in_the_same_window, .init = start)
{
    feed_steps(&canary, 400, 10);
    feed_steps(&base, 400, 10);
    expect("p99_ms<1.1*base", CFG_VERDICT_PASSES);
    start();
    feed_steps(&canary, 400, 20);
    feed_steps(&base, 400, 10);
    struct cfg_guard_reading r = judge("p99_ms<1.1*base");
    cr_assert_eq(r.verdict, CFG_VERDICT_FAILS);
    cr_assert(r.has_canary && r.has_base && r.n_canary == 400 && r.canary > 1.8 * r.base, "%s", r.why);
    feed(&canary, "quality", 100, 5, 1);
    feed(&base, "quality", 100, 9, 1);
    expect("quality > 0.9*base.quality", CFG_VERDICT_FAILS);
    expect("quality > 0.5*base", CFG_VERDICT_PASSES);
}

Test(guard, chance_is_no_reason_to_go_back, .init = start)
{
    feed(&canary, "loss", 40, 1.05, 1);
    feed(&base, "loss", 40, 1, 1);
    expect("loss <= base", CFG_VERDICT_HOLDS);
    start();
    feed(&canary, "loss", 40000, 1.05, 1);
    feed(&base, "loss", 40000, 1, 1);
    expect("loss <= base", CFG_VERDICT_FAILS);
}

/* Few samples without a rare event do not say that there is none: not where the other arm shows that it happens. */
Test(guard, a_small_base_without_errors_is_no_better, .init = start)
{
    feed(&base, "errors", 60, 0, 0);
    feed(&canary, "errors", 5970, 0, 0);
    feed(&canary, "errors", 30, 1, 0);
    expect("errors <= 1.5*base", CFG_VERDICT_HOLDS);
    expect("errors < 0.001", CFG_VERDICT_FAILS);
    feed(&base, "errors", 100000, 0, 0);
    expect("errors <= 1.5*base", CFG_VERDICT_FAILS);
    start();
    feed(&base, "hits", 6000, 1, 1);
    feed(&canary, "hits", 40, 0, 0);
    expect("hits >= 0.9*base", CFG_VERDICT_FAILS);
}

/* Sixty steps have no 99th percentile to speak of: the longest of them may lie far below it. */
Test(guard, too_few_steps_bound_no_percentile_from_above, .init = start)
{
    feed_steps(&base, 60, 5);
    feed_steps(&canary, 4000, 10);
    expect("p99_ms<1.1*base", CFG_VERDICT_HOLDS);
    expect("p99_ms - base < 1", CFG_VERDICT_HOLDS);
    expect("p50_ms<1.1*base", CFG_VERDICT_FAILS);
    feed_steps(&base, 700, 5);
    expect("p99_ms<1.1*base", CFG_VERDICT_FAILS);
}

/* Two medians of 10.2 and 10.3 ms lie in different buckets, which are 5 % apart. */
Test(guard, buckets_are_no_difference, .init = start)
{
    for (unsigned i = 0; i < 5000; i++) {
        cfg_histogram_add(&base.latency, 10230);
        cfg_histogram_add(&canary.latency, 10250);
    }
    expect("p50_ms <= 1.02*base", CFG_VERDICT_HOLDS);
    expect("p50_ms <= 1.1*base", CFG_VERDICT_PASSES);
}

/* Eight ranks tell of one step eight times. */
Test(guard, ranks_of_a_group_are_no_independent_samples, .init = start)
{
    feed(&canary, "loss", 800, 1.12, 1);
    feed(&base, "loss", 80000, 1, 1);
    expect("loss <= base", CFG_VERDICT_FAILS);
    feed_steps(&canary, 800, 10);
    feed_steps(&base, 80000, 10);
    canary.workers = base.workers = 32;
    expect("loss <= base", CFG_VERDICT_HOLDS);
    expect("loss.bad < 1", CFG_VERDICT_PASSES);
    start();
    feed(&canary, "loss", 800, 1.12, 1); /* one rank of each group tells it */
    feed(&base, "loss", 80000, 1, 1);
    feed_steps(&canary, 6400, 10);
    feed_steps(&base, 640000, 10);
    canary.workers = base.workers = 32;
    expect("loss <= base", CFG_VERDICT_FAILS);
    start();
    feed_steps(&base, 160, 10);
    feed_steps(&canary, 160, 12);
    expect("p50_ms<1.01*base", CFG_VERDICT_FAILS);
    canary.workers = base.workers = 32;
    expect("p50_ms<1.01*base", CFG_VERDICT_HOLDS);
}

Test(guard, absence_of_data_is_not_health, .init = start)
{
    expect("error_rate<1%", CFG_VERDICT_HOLDS);
    expect("p99_ms<100", CFG_VERDICT_HOLDS);
    expect("loss finite", CFG_VERDICT_HOLDS);
    feed(&canary, "error_rate", 29, 0, 0);
    expect("error_rate<1%", CFG_VERDICT_HOLDS);
    expect("error_rate<=base", CFG_VERDICT_HOLDS);
    feed(&canary, "error_rate", 1, 0, 0);
    expect("error_rate<1%", CFG_VERDICT_PASSES);
    expect("error_rate<=base", CFG_VERDICT_HOLDS);
    expect("1/error_rate<5", CFG_VERDICT_HOLDS);
}

Test(guard, one_sample_that_is_not_finite_fails, .init = start)
{
    feed(&canary, "loss", 3, 1, 0);
    cfg_moments_add(cfg_arm_report_add(&canary, "loss"), NAN);
    expect("loss finite", CFG_VERDICT_FAILS);
    expect("  loss   finite ", CFG_VERDICT_FAILS);
    start();
    feed(&canary, "loss", 30, 1, 0);
    feed(&base, "loss", 1, 1, 0);
    cfg_moments_add(cfg_arm_report_add(&base, "loss"), INFINITY);
    expect("loss finite", CFG_VERDICT_PASSES);
}

Test(guard, nothing_to_compare_with_at_the_last_step, .init = start)
{
    left = CFG_BASE_LEFT;
    feed_steps(&canary, 100, 10);
    struct cfg_guard_reading r = judge("p99_ms<1.1*base");
    cr_assert(r.verdict == CFG_VERDICT_PASSES && strstr(r.why, "nobody runs the base"), "%s", r.why);
    expect("p99_ms<5", CFG_VERDICT_FAILS);
    left = CFG_BASE_MISSING; /* the first step took everybody by chance */
    expect("p99_ms<1.1*base", CFG_VERDICT_HOLDS);
    expect("p99_ms<5", CFG_VERDICT_FAILS);
}

Test(guard, reports_of_replicas_add_up, .init = start)
{
    struct cfg_arm_report other;
    memset(&other, 0, sizeof other);
    other.groups = 2;
    feed(&canary, "a", 10, 1, 0);
    feed(&other, "a", 30, 2, 0);
    feed(&other, "b", 5, 7, 0);
    feed_steps(&other, 10, 1);
    cfg_arm_report_merge(&canary, &other);
    cr_assert(canary.groups == 6 && cfg_arm_report_metric(&canary, "a")->n == 40);
    cr_assert_float_eq(cfg_arm_report_metric(&canary, "a")->mean, 1.75, 1e-9);
    cr_assert(cfg_arm_report_metric(&canary, "b")->n == 5 && canary.latency.n == 10);
    cr_assert_null(cfg_arm_report_metric(&canary, "c"));
}

static void refused(const char *text, const char *why)
{
    struct cfg_rollout_guard *g = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_lt(cfg_rollout_guard_new(&g, text, &err), 0, "%s", text);
    cr_assert(strstr(err.text, why), "%s: %s", text, err.text);
}

Test(guard, what_is_no_guard_is_refused)
{
    refused("1 < 2", "names no metric");
    refused("error_rate <", "guard 'error_rate <'");
    refused("a", "true or false");
    refused("a < \"b\"", "column");
    refused("a / 0 < 1", "division by zero");
    refused("a + b < base", "base stands for one metric");
    refused("a+b+c+d+e<1", "too many metrics");
    refused("", "guard ''");
    refused("base < 1", "names no metric");
}

static void count(const char *metric, void *arg)
{
    cr_assert_str_eq(metric, "loss");
    ++*(unsigned *)arg;
}

Test(guard, the_metrics_that_it_needs)
{
    struct cfg_rollout_guard *g = NULL;
    unsigned n = 0;
    cr_assert_eq(cfg_rollout_guard_new(&g, "loss.max < 2*base and p50_ms < 5 and base.p50_ms < 9", NULL), CFG_E_VALUE);
    cr_assert_eq(cfg_rollout_guard_new(&g, "loss.max < 2*base.loss and p50_ms < 5", NULL), 0);
    cfg_rollout_guard_each_metric(g, count, &n);
    cr_assert_eq(n, 2);
    cr_assert(cfg_rollout_guard_is_relative(g));
    cfg_rollout_guard_free(g);
}
