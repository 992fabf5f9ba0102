/* The parts of cfg-fleet that decide: options, failures' times, labels, signals, and who runs on what. */
#include "worker/cfg-fleet/chance.h"
#include "worker/cfg-fleet/changes.h"
#include "worker/cfg-fleet/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* --- chance --- */

Test(fleet_parts, chance_repeats_and_is_fair)
{
    uint64_t a = 5, b = 5;
    double sum = 0, squares = 0, exponential = 0, poisson = 0;
    for (int i = 0; i < 20000; i++) {
        cr_assert_eq(cfg_chance_next(&a), cfg_chance_next(&b));
        double x = cfg_chance_normal(&a);
        (void)cfg_chance_normal(&b);
        sum += x;
        squares += x * x;
    }
    for (int i = 0; i < 20000; i++) {
        exponential += cfg_chance_exponential(&a);
        poisson += (double)cfg_chance_poisson(&a, i % 2 == 0 ? 0.3 : 80);
    }
    cr_assert_float_eq(sum / 20000, 0, 0.03);
    cr_assert_float_eq(squares / 20000, 1, 0.05);
    cr_assert_float_eq(exponential / 20000, 1, 0.05);
    cr_assert_float_eq(poisson / 20000, 40.15, 0.3);
    cr_assert_neq(cfg_chance_mix(1, 2), cfg_chance_mix(2, 1));
}

/* --- plans --- */

Test(fleet_parts, failures_by_rate_and_at_times)
{
    struct cfg_failure_plan p;
    struct cfg_error err;
    double mean = 0;
    size_t whole = 0;
    cr_assert_eq(cfg_failure_plan_parse(&p, "6%/m,0.1%/s,10%@5s,0.5@250ms", &err), 0, "%s", err.text);
    cfg_failure_plan_due(&mean, &whole, &p, 0, 1000000, 1000);
    cr_assert_float_eq(mean, 2, 1e-9);
    cr_assert_eq(whole, 500U);
    cfg_failure_plan_due(&mean, &whole, &p, 4900000, 5000000, 1000);
    cr_assert_eq(whole, 100U);
    cfg_failure_plan_due(&mean, &whole, &p, 5000000, 5100000, 1000);
    cr_assert_eq(whole, 0U, "once");
    static const char *const bad[] = {"1", "1%", "1%/d", "150%/s", "-1%/s", "1%@", "1%@5", "x%/s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(cfg_failure_plan_parse(&p, bad[i], &err), CFG_E_INVALID, "%s", bad[i]);
}

Test(fleet_parts, labels_by_share)
{
    struct cfg_label l;
    struct cfg_error err;
    char text[] = "region=eu:0.3,us:60%,ap";
    cr_assert_eq(cfg_label_parse(&l, text, &err), 0, "%s", err.text);
    cr_assert_str_eq(l.key, "region");
    cr_assert_str_eq(cfg_label_value(&l, 0), "eu");
    cr_assert_str_eq(cfg_label_value(&l, 0.31), "us");
    cr_assert_str_eq(cfg_label_value(&l, 0.95), "ap");
    cr_assert_str_eq(cfg_label_value(&l, 0.9999999), "ap");
    char all[] = "gpu=H200";
    cr_assert_eq(cfg_label_parse(&l, all, &err), 0);
    cr_assert_str_eq(cfg_label_value(&l, 0.5), "H200");
    char over[] = "a=x:0.7,y:0.7", under[] = "a=x:0.1,y:0.2", none[] = "a";
    cr_assert_eq(cfg_label_parse(&l, over, &err), CFG_E_INVALID);
    cr_assert_eq(cfg_label_parse(&l, under, &err), CFG_E_INVALID);
    cr_assert_eq(cfg_label_parse(&l, none, &err), CFG_E_INVALID);
}

/* --- signals --- */

static int look_up(struct cfg_expr_value *out, void *arg, struct cfg_slice path, struct cfg_arena *arena,
                   struct cfg_error *err)
{
    (void)arena;
    if (!cfg_slice_eq_str(path, "sampling.temperature"))
        return cfg_fail(err, CFG_E_UNKNOWN_KEY, "no such name");
    *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = true, .number = *(double *)arg};
    return 0;
}

Test(fleet_parts, a_planted_effect_shows_in_the_mean)
{
    struct cfg_signal s;
    struct cfg_error err;
    double temperature = 0.7, base = 0, sum = 0;
    const struct cfg_expr_names names = {look_up, NULL, &temperature};
    uint64_t chance = 1;
    cr_assert_eq(cfg_signal_parse(&s, "0.002 + (0.05 if sampling.temperature > 1.0 else 0) ~ coin", &err), 0, "%s",
                 err.text);
    cr_assert_eq(cfg_signal_base(&base, &s, &names, &err), 0, "%s", err.text);
    cr_assert_float_eq(base, 0.002, 1e-12);
    temperature = 1.5;
    cr_assert_eq(cfg_signal_base(&base, &s, &names, &err), 0);
    cr_assert_float_eq(base, 0.052, 1e-12);
    for (int i = 0; i < 50000; i++)
        sum += cfg_signal_sample(&s, base, &chance);
    cr_assert_float_eq(sum / 50000, 0.052, 0.005);
    cfg_signal_finish(&s);
}

Test(fleet_parts, noise_of_every_kind)
{
    static const struct {
        const char *text;
        enum cfg_noise noise;
        double amount;
    } good[] = {{"2", CFG_NOISE_NONE, 0},
                {"2~0.5", CFG_NOISE_DEVIATION, 0.5},
                {"2 ~ 5%", CFG_NOISE_SHARE, 0.05},
                {"2~exp", CFG_NOISE_EXPONENTIAL, 0}};
    struct cfg_signal s;
    struct cfg_error err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        double sum = 0;
        uint64_t chance = 3;
        cr_assert_eq(cfg_signal_parse(&s, good[i].text, &err), 0, "%s: %s", good[i].text, err.text);
        cr_assert_eq(s.noise, good[i].noise);
        cr_assert_float_eq(s.amount, good[i].amount, 1e-12);
        for (int k = 0; k < 20000; k++)
            sum += cfg_signal_sample(&s, 2, &chance);
        cr_assert_float_eq(sum / 20000, 2, 0.06, "%s", good[i].text);
        cfg_signal_finish(&s);
    }
    cr_assert_eq(cfg_signal_parse(&s, "2~much", &err), CFG_E_INVALID);
    cr_assert_eq(cfg_signal_parse(&s, "2 +", &err), CFG_E_VALUE);
    cr_assert_eq(cfg_signal_parse(&s, "2~-1", &err), CFG_E_INVALID);
}

/* --- who runs on what --- */

Test(fleet_parts, a_change_is_timed_from_the_first_that_heard_of_it)
{
    static struct cfg_changes c;
    uint64_t a = cfg_changes_applied(&c, 0, "1-5", 100, false), b = cfg_changes_applied(&c, 0, "1-5", 200, false);
    cr_assert_eq(a, b);
    cr_assert_eq(cfg_changes_newest(&c)->on, 2U);
    cr_assert_eq(c.took.n, 0U, "to start is no change");
    (void)cfg_changes_heard(&c, "1-6", 1000);
    (void)cfg_changes_heard(&c, "1-6", 3000);
    a = cfg_changes_applied(&c, a, "1-6", 4000, true);
    const struct cfg_change *newest = cfg_changes_newest(&c);
    cr_assert_str_eq(newest->revision, "1-6");
    cr_assert_eq(newest->heard_us, 1000U);
    cr_assert_eq(newest->on, 1U);
    b = cfg_changes_applied(&c, b, "1-6", 9000, true);
    cr_assert_eq(newest->on, 2U);
    cr_assert_eq(c.max_us, 8000U);
    cr_assert_eq(c.took.n, 2U);
    cfg_changes_left(&c, a);
    cr_assert_eq(newest->on, 1U);
    for (int i = 7; i < 30; i++) { /* older ones are forgotten, and may still be left */
        char revision[16];
        (void)snprintf(revision, sizeof revision, "1-%d", i);
        (void)cfg_changes_heard(&c, revision, 10000);
    }
    cfg_changes_left(&c, b);
    cr_assert_eq(cfg_changes_newest(&c)->on, 0U);
}

/* --- the command line --- */

static int parse(struct cfg_fleet_options *o, struct cfg_error *err, size_t n, const char *const *args)
{
    char *argv[24] = {(char *)(uintptr_t) "cfg-fleet"};
    for (size_t i = 0; i < n; i++)
        argv[i + 1] = (char *)(uintptr_t)args[i];
    return cfg_fleet_options_read(o, (int)n + 1, argv, err);
}
#define PARSE(o, err, ...) \
    parse(o, err, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

Test(fleet_parts, options)
{
    static struct cfg_fleet_options o;
    struct cfg_error err;
    cr_assert_eq(PARSE(&o, &err, "--deployment", "blue", "--deployment=green", "--workers", "12", "--group-size", "4",
                       "--param", "train.batch=8:barrier", "--param", "name=x", "--flag", "ab/new=on", "--metric",
                       "loss=2.1 * optimizer.lr + (1 if ${ab/other} else 0)~3%", "-o", "json", "--for", "90s",
                       "--label", "gpu=H200", "--seed=9"),
                 0, "%s", err.text);
    cr_assert_eq(o.n_deployments, 2U);
    cr_assert_eq(o.workers, 12U);
    cr_assert_eq(o.output, CFG_OUTPUT_JSON);
    cr_assert_eq(o.run_us, 90000000U);
    cr_assert_eq(o.seed, 9U);
    static const struct {
        const char *path;
        enum cfg_type type;
        enum cfg_class apply;
    } want[] = {{"train.batch", CFG_I64, CFG_BARRIER},
                {"name", CFG_STRING, CFG_LIVE},
                {"ab/new", CFG_FLAG, CFG_LIVE},
                {"optimizer.lr", CFG_JSON, CFG_LIVE},
                {"ab/other", CFG_FLAG, CFG_LIVE}};
    cr_assert_eq(o.declared.n, sizeof want / sizeof want[0], "names in expressions are declared too");
    for (size_t i = 0; i < o.declared.n; i++) {
        cr_assert_str_eq(o.declared.items[i].path, want[i].path);
        cr_assert_eq(o.declared.items[i].type, want[i].type, "%s", want[i].path);
        cr_assert_eq(o.declared.items[i].apply, want[i].apply, "%s", want[i].path);
    }
    cfg_fleet_options_finish(&o);
}

Test(fleet_parts, options_of_requests)
{
    static struct cfg_fleet_options o;
    struct cfg_error err;
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "--metric", "loss=1", "--outcome",
                       "ms=40 + (2 if ${ab/new} else 0) ~ 5", "--lose", "0.5 if ${ab/other} else 0", "--users", "9"),
                 0, "%s", err.text);
    cr_assert_eq(o.requests, 1U, "an outcome is of a request");
    cr_assert_eq(o.users, 9U);
    cr_assert_eq(o.n_metrics, 2U);
    cr_assert(!o.metrics[0].of_requests && o.metrics[1].of_requests);
    cr_assert_eq(o.lose.noise, CFG_NOISE_COIN);
    cr_assert_eq(o.declared.n, 2U, "names of --outcome and --lose are declared too");
    cfg_fleet_options_finish(&o);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x"), 0);
    cr_assert_eq(o.requests, 0U);
    cfg_fleet_options_finish(&o);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "--metric", "ms=1", "--outcome", "ms=2"), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.text, "ms is measured twice"), "%s", err.text);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "--lose", "0.5 ~ 1%"), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.text, "no noise"), "%s", err.text);
}

/* What one request reads is its own. */
Test(fleet_parts, values_laid_over_a_reading)
{
    static struct cfg_declared d;
    struct cfg_reading whole = {0}, own = {0};
    struct cfg_expr *e;
    struct cfg_error err;
    const union cfg_value values[] = {{.f64 = 0.7}, {.string = "4"}, {0}}, hot = {.f64 = 1.5}, five = {.string = "5"};
    const struct cfg_view v = {.n = 2, .values = values, .revision = "1-1"};
    const struct cfg_slice temperature = cfg_slice_str("t"), any = cfg_slice_str("any");
    cr_assert_eq(cfg_declared_param(&d, "t=0.5", &err), 0);
    cr_assert_eq(cfg_expr_compile(&e, any, &err), 0);
    cr_assert_eq(cfg_declared_names(&d, e, &err), 0);
    d.items[1].param.index = 1;
    cr_assert_eq(cfg_reading_take(&whole, &d, &v, &err), 0);
    cr_assert_eq(cfg_reading_copy(&own, &whole, d.n), 0);
    cfg_reading_put(&own, &d, 0, &hot);
    cr_assert_float_eq(cfg_reading_find(&own, &d, any)->number, 4, 0);
    cfg_reading_put(&own, &d, 1, &five);
    cfg_reading_put(&own, &d, 1, &five);
    cr_assert_float_eq(cfg_reading_find(&own, &d, temperature)->number, 1.5, 0);
    cr_assert_float_eq(cfg_reading_find(&own, &d, any)->number, 5, 0);
    cr_assert_float_eq(cfg_reading_find(&whole, &d, temperature)->number, 0.7, 0);
    cr_assert_float_eq(cfg_reading_find(&whole, &d, any)->number, 4, 0);
    cfg_reading_finish(&own, d.n);
    cr_assert_eq(cfg_reading_copy(&own, &own, d.n), CFG_E_NOMEM, "nothing was read");
    cfg_reading_finish(&whole, d.n);
    cfg_expr_free(e);
    cfg_declared_finish(&d);
}

Test(fleet_parts, wrong_options_are_named)
{
    static struct cfg_fleet_options o;
    struct cfg_error err;
    cr_assert_eq(PARSE(&o, &err, "--deploymnet", "x"), CFG_E_INVALID);
    cr_assert_not_null(strstr(err.hint, "--deployment"), "%s", err.hint);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "--workers", "10", "--group-size", "4"), CFG_E_INVALID);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "--metric", "loss"), CFG_E_INVALID);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "--metric", "loss=1 +"), CFG_E_VALUE);
    cr_assert_not_null(strstr(err.text, "--metric"), "%s", err.text);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "--crash", "often"), CFG_E_INVALID);
    cr_assert_eq(PARSE(&o, &err, "--deployment", "x", "-o", "xml"), CFG_E_INVALID);
    cr_assert_eq(PARSE(&o, &err, "--deployment"), CFG_E_INVALID);
}
