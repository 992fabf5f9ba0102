/* Verdicts of experiments over planted and empty effects, mismatches, and units that answer more than once. */
#include "configd/experiment_report.h"
#include "proto/json.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static uint64_t state = 7;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static const struct cfg_experiment_metric metrics[] = {{"quality", CFG_WANT_INCREASE},
                                                       {"latency_ms", CFG_WANT_DECREASE}};
enum { METRICS = 2, SIDES = 3 };

struct trial {
    struct cfg_experiment_sample samples[SIDES][METRICS];
    struct cfg_parts parts[SIDES][METRICS];
    bool naive; /* samples of one unit are taken for independent */
    struct cfg_experiment_side sides[SIDES];
    struct cfg_experiment_data data;
};

static void begin(struct trial *t, size_t sides)
{
    static const char *const names[SIDES] = {"off", "on", "hot"};
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < sides; i++) {
        t->sides[i] = (struct cfg_experiment_side){.name = names[i], .share = 1, .metrics = t->samples[i]};
    }
    t->data = (struct cfg_experiment_data){.metrics = metrics,
                                           .n_metrics = METRICS,
                                           .sides = t->sides,
                                           .n_sides = sides,
                                           .alpha = 0.05,
                                           .planned_units = 4000,
                                           .units_min = 100,
                                           .p_floor = 1};
}

static uint64_t unit_count;

static void tell(struct trial *t, size_t side, size_t metric, uint64_t unit, double x)
{
    cfg_moments_add(&t->samples[side][metric].moments, x);
    cfg_parts_add(&t->parts[side][metric], unit, x);
}

/* n units of one side, each with `samples` samples around its own mean. */
static void feed(struct trial *t, size_t side, int n, int samples, double quality)
{
    for (int i = 0; i < n; i++) {
        double unit = quality + normal();
        uint64_t bits = (++unit_count * 0x9E3779B97F4A7C15U) >> 20;
        for (int j = 0; j < samples; j++) {
            tell(t, side, 0, bits, samples == 1 ? unit : unit + 0.1 * normal());
            tell(t, side, 1, bits, 20 + uniform());
        }
    }
    t->sides[side].units += (uint64_t)n;
}

static cJSON *report_of(struct trial *t)
{
    for (size_t i = 0; i < SIDES; i++) {
        for (size_t m = 0; m < METRICS; m++) {
            t->samples[i][m].parts = t->naive ? NULL : &t->parts[i][m];
            t->samples[i][m].scale = cfg_moments_variance(&t->samples[i][m].moments);
        }
    }
    cJSON *r = cfg_experiment_report(&t->data);
    cr_assert_not_null(r);
    return r;
}

static const char *verdict(const cJSON *report)
{
    return cfg_json_get_str(report, "verdict", "");
}

static const cJSON *metric(const cJSON *report, int treatment, int m)
{
    const cJSON *t = cJSON_GetArrayItem(cfg_json_get(report, "treatments"), treatment);
    return cJSON_GetArrayItem(cfg_json_get(t, "metrics"), m);
}

static double figure(const cJSON *of, const char *name)
{
    const cJSON *v = cfg_json_get(of, name);
    cr_assert(cJSON_IsNumber(v), "%s", name);
    return v->valuedouble;
}

Test(experiment_report, says_nothing_before_there_is_enough)
{
    struct trial t;
    begin(&t, 2);
    cJSON *r = report_of(&t);
    cr_assert_str_eq(verdict(r), "early");
    cr_assert_null(cfg_json_get(metric(r, 0, 0), "difference"));
    cJSON_Delete(r);
    feed(&t, 0, 1000, 1, 0);
    feed(&t, 1, 99, 1, 9);
    r = report_of(&t);
    cr_assert_eq(figure(cfg_json_get(r, "mismatch"), "p") < CFG_STATS_MISMATCH, true);
    cJSON_Delete(r);
    t.sides[0].share = 10;
    r = report_of(&t);
    cr_assert_str_eq(verdict(r), "early");
    cJSON_Delete(r);
}

Test(experiment_report, finds_what_is_better_and_what_is_worse)
{
    struct trial t;
    begin(&t, 3);
    for (size_t i = 0; i < 3; i++) {
        feed(&t, i, 1300, 1, i == 1 ? 0.3 : i == 2 ? -0.3 : 0);
    }
    cJSON *r = report_of(&t);
    cr_assert_str_eq(verdict(r), "mixed");
    cr_assert(figure(metric(r, 0, 0), "low") > 0.1 && figure(metric(r, 0, 0), "high") < 0.5);
    cr_assert(figure(metric(r, 1, 0), "high") < -0.1);
    cr_assert(cJSON_IsTrue(cfg_json_get(metric(r, 0, 0), "primary")) && !cfg_json_get(metric(r, 0, 1), "primary"));
    cr_assert(cJSON_IsFalse(cfg_json_get(metric(r, 0, 1), "significant")));
    cr_assert_null(cfg_json_get(metric(r, 0, 0), "relative"), "a control around 0 has no ratio");
    cr_assert(fabs(figure(metric(r, 0, 1), "relative")) < 0.01);
    cJSON_Delete(r);
}

Test(experiment_report, a_wanted_decrease_is_better)
{
    static const struct cfg_experiment_metric latency = {"latency_ms", CFG_WANT_DECREASE};
    struct trial t;
    begin(&t, 2);
    feed(&t, 0, 2000, 1, 0);
    feed(&t, 1, 2000, 1, -0.5);
    t.data.metrics = &latency;
    t.data.n_metrics = 1;
    cJSON *r = report_of(&t);
    cr_assert_str_eq(verdict(r), "better");
    cJSON_Delete(r);
}

Test(experiment_report, a_mismatch_voids_for_good)
{
    struct trial t;
    begin(&t, 2);
    feed(&t, 0, 2000, 1, 0);
    feed(&t, 1, 1500, 1, 1);
    cJSON *r = report_of(&t);
    cr_assert_str_eq(verdict(r), "void");
    cJSON_Delete(r);
    t.data.p_floor = cfg_experiment_mismatch(&t.data);
    feed(&t, 1, 500, 1, 1); /* even now, but something was broken */
    r = report_of(&t);
    cr_assert_str_eq(verdict(r), "void");
    cJSON_Delete(r);
}

Test(experiment_report, a_sketch_forgives_what_it_may_have_got_wrong)
{
    struct trial t;
    begin(&t, 2);
    feed(&t, 0, 10000, 1, 0);
    feed(&t, 1, 10700, 1, 0); /* certainly broken if counted, possible with ±3.3 % on either */
    cr_assert_lt(cfg_experiment_mismatch(&t.data), CFG_STATS_MISMATCH);
    t.data.units_error = 0.033;
    cr_assert_eq(cfg_experiment_mismatch(&t.data), 1);
    cJSON *r = report_of(&t);
    double resolution = figure(cfg_json_get(r, "mismatch"), "resolution");
    cr_assert(resolution > 0.15 && resolution < 0.3, "%g", resolution);
    cJSON_Delete(r);
    feed(&t, 1, (int)(10000 * (resolution + 0.05)), 1, 0);
    cr_assert_lt(cfg_experiment_mismatch(&t.data), CFG_STATS_MISMATCH);
}

Test(experiment_report, a_side_that_nobody_comes_of_is_a_mismatch)
{
    struct trial t;
    begin(&t, 2);
    t.data.units_error = 0.033;
    feed(&t, 0, 10, 1, 0);
    cr_assert_gt(cfg_experiment_mismatch(&t.data), CFG_STATS_MISMATCH, "ten heads in a row happen");
    feed(&t, 0, 5000, 1, 0);
    cJSON *r = report_of(&t);
    cr_assert_str_eq(verdict(r), "void");
    cJSON_Delete(r);
}

Test(experiment_report, a_metric_that_few_units_tell_is_early)
{
    struct trial t;
    begin(&t, 2);
    for (size_t side = 0; side < 2; side++) {
        feed(&t, side, 1000, 1, 0);
        memset(&t.samples[side][1], 0, sizeof t.samples[side][1]);
        memset(&t.parts[side][1], 0, sizeof t.parts[side][1]);
        for (int i = 0; i < (side ? 99 : 300); i++)
            tell(&t, side, 1, (uint64_t)i, (double)side * 9 + uniform());
    }
    cJSON *r = report_of(&t);
    cr_assert(cfg_json_get(metric(r, 0, 0), "se") && !cfg_json_get(metric(r, 0, 1), "difference"));
    cJSON_Delete(r);
    tell(&t, 1, 1, 99, 9);
    r = report_of(&t);
    cr_assert_lt(figure(metric(r, 0, 1), "p"), 1e-6);
    cJSON_Delete(r);
}

/* The interval for a treatment with a tenth of the units is planned for what a tenth can tell. */
Test(experiment_report, the_plan_goes_by_shares)
{
    struct trial t;
    begin(&t, 2);
    t.sides[0].share = 9;
    feed(&t, 0, 3600, 1, 0);
    feed(&t, 1, 400, 1, 0);
    cJSON *r = report_of(&t);
    const cJSON *m = metric(r, 0, 0);
    double half = (figure(m, "high") - figure(m, "low")) / 2, se = sqrt(1 / 3600.0 + 1 / 400.0);
    struct cfg_sequence s = cfg_sequence_for(0.05, se * se);
    double known = cfg_sequence_half_width(&s, se * se, INFINITY);
    cr_assert(fabs(half / known - 1.05) < 0.2, "%g, of a known variance %g", half, known);
    cJSON_Delete(r);
}

/* Empty experiments looked at 20 times: in how many is something found? */
static int wrong(int experiments, int samples, bool naive)
{
    int n = 0;
    for (int i = 0; i < experiments; i++) {
        struct trial t;
        begin(&t, 2);
        t.naive = naive;
        bool found = false;
        for (int look = 0; look < 20 && !found; look++) {
            feed(&t, 0, 100, samples, 0);
            feed(&t, 1, 100, samples, 0);
            cJSON *r = report_of(&t);
            found = strcmp(verdict(r), "none") != 0;
            cJSON_Delete(r);
        }
        n += found;
    }
    return n;
}

Test(experiment_report, units_that_answer_often_do_not_count_often)
{
    int alone = wrong(200, 1, false), clustered = wrong(200, 5, false), naive = wrong(200, 5, true);
    cr_assert(alone <= 16, "%d of 200", alone); /* 5 % and three standard errors */
    cr_assert(clustered <= 16, "%d of 200", clustered);
    cr_assert(naive > 40, "%d of 200: taking a unit's samples for independent must show", naive);
}
