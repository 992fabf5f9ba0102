/* Experiments simulated from fixed seeds: who looks after every batch is still wrong in at most alpha of them, and what
 * is there is found as often as was predicted. Estimates against SciPy: tests/interop/stats.py. */
#include "proto/stats.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { LOOKS = 60, BATCH = 50 };

static uint64_t state;

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

static void batch(struct cfg_moments *m, double mean, bool rare)
{
    for (int i = 0; i < BATCH; i++) {
        cfg_moments_add(m, rare ? uniform() < mean : mean + normal());
    }
}

/* Does a look at any time exclude 0? */
static bool found(const struct cfg_sequence *s, double base, double treatment, bool rare)
{
    struct cfg_moments b, t;
    memset(&b, 0, sizeof b);
    memset(&t, 0, sizeof t);
    bool out = false;
    for (int look = 0; look < LOOKS && !out; look++) {
        struct cfg_effect e;
        batch(&b, base, rare);
        batch(&t, treatment, rare);
        if (b.n >= CFG_STATS_SAMPLES_MIN && cfg_effect_of(&e, &t, &b)) {
            out = fabs(e.difference) > cfg_sequence_half_width(s, e.cautious, e.freedom);
            cr_assert_eq(out, cfg_sequence_p(s, e.difference, e.cautious, e.freedom) < s->alpha,
                         "p and interval agree");
        }
    }
    return out;
}

static double share_found(int experiments, const struct cfg_sequence *s, double base, double treatment, bool rare)
{
    int n = 0;
    for (int i = 0; i < experiments; i++) {
        n += found(s, base, treatment, rare);
    }
    return (double)n / experiments;
}

Test(stats, looking_at_nothing_finds_it_in_at_most_one_of_twenty)
{
    state = 20261122;
    struct cfg_sequence s = cfg_sequence_for(0.05, 2.0 / (LOOKS * BATCH));
    double normal_rate = share_found(2000, &s, 3, 3, false);
    s = cfg_sequence_for(0.05, 2 * 0.1 * 0.9 / (LOOKS * BATCH));
    double rare_rate = share_found(2000, &s, 0.1, 0.1, true);
    cr_assert(normal_rate <= 0.05 && rare_rate <= 0.05, "%.4f of normal, %.4f of rare", normal_rate, rare_rate);
    cr_assert(normal_rate > 0.002 && rare_rate > 0.002, "%.4f, %.4f: a test that never errs never finds", normal_rate,
              rare_rate);
}

Test(stats, what_is_planted_is_found_as_often_as_predicted)
{
    state = 4711;
    double end = 2.0 / (LOOKS * BATCH);
    struct cfg_sequence s = cfg_sequence_for(0.05, end);
    for (double d = 0.06; d < 0.13; d += 0.03) {
        double predicted = cfg_sequence_power(&s, d, end, LOOKS, INFINITY), seen = share_found(800, &s, 0, d, false);
        cr_assert(fabs(predicted - seen) < 0.05, "difference %.2f: predicted %.3f, seen %.3f", d, predicted, seen);
    }
}

Test(stats, a_plan_finds_what_it_promises)
{
    struct cfg_experiment_plan p = {.alpha = 0.05,
                                    .power = 0.8,
                                    .difference = 0.1,
                                    .base_variance = 1,
                                    .treatment_variance = 1,
                                    .base_share = 0.5,
                                    .treatment_share = 0.5,
                                    .looks = LOOKS};
    struct cfg_sequence s;
    double samples = cfg_experiment_samples(&s, &p);
    cr_assert(samples > 3140, "%.0f: more than a test with a single look, which needs 3,140", samples);
    cr_assert(samples < 2 * 3140, "%.0f", samples);
    double power = cfg_sequence_power(&s, 0.1, 4 / samples, LOOKS, INFINITY);
    cr_assert(fabs(power - 0.8) < 0.002, "%.4f", power);
    p.treatment_share = 0.1; /* fewer of one arm, more of all */
    cr_assert(cfg_experiment_samples(NULL, &p) > samples);
    p.difference = -0.1; /* either way */
    p.treatment_share = 0.5;
    cr_assert_eq(cfg_experiment_samples(NULL, &p), samples);
    p.difference = 50; /* seen at once, but not on fewer samples than the method asks for */
    cr_assert_eq(cfg_experiment_samples(NULL, &p), 2 * CFG_STATS_SAMPLES_MIN);
}

Test(stats, a_plan_that_makes_no_sense_is_none)
{
    const struct cfg_experiment_plan good = {.alpha = 0.05,
                                             .power = 0.8,
                                             .difference = 0.1,
                                             .base_variance = 1,
                                             .treatment_variance = 1,
                                             .base_share = 0.5,
                                             .treatment_share = 0.5,
                                             .looks = 10};
    struct cfg_experiment_plan bad[] = {good, good, good, good, good, good, good, good, good};
    bad[0].alpha = 0;
    bad[1].power = 1;
    bad[2].difference = 0;
    bad[3].base_variance = -1;
    bad[4].base_variance = NAN;
    bad[5].base_share = 0.6;
    bad[6].looks = 0;
    bad[7].looks = 201;
    bad[8].difference = 1e-12; /* 1e25 samples */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(cfg_experiment_samples(NULL, &bad[i]), 0, "%zu", i);
    }
}

Test(stats, an_effect_needs_samples_and_a_ratio_a_base)
{
    struct cfg_moments b = {.n = 1, .mean = 4}, t = {.n = 10, .mean = 5, .m2 = 9};
    struct cfg_effect e = {.difference = 42};
    cr_assert(!cfg_effect_of(&e, &t, &b) && e.difference == 42);
    b = (struct cfg_moments){.n = 5, .mean = 4, .m2 = 8};
    cr_assert(cfg_effect_of(&e, &t, &b));
    cr_assert(e.difference == 1 && fabs(e.variance - (1.0 / 10 + 2.0 / 5)) < 1e-15);
    cr_assert(e.has_relative && fabs(e.relative - 0.25) < 1e-15);
    b.mean = 0.5; /* its standard error is 0.63 */
    cr_assert(cfg_effect_of(&e, &t, &b) && !e.has_relative);
}

Test(stats, an_arm_that_met_no_rare_event_is_not_sure_of_it)
{
    struct cfg_moments b = {.n = 9900, .mean = 0.02, .m2 = 9900 * 0.02 * 0.98, .max = 1}, t = {.n = 100};
    struct cfg_effect e;
    struct cfg_sequence s = cfg_sequence_for(0.05, 0.02 * 0.98 / 100);
    cr_assert(cfg_effect_of(&e, &t, &b));
    cr_assert(e.variance < 3e-6 && e.difference * e.difference > 100 * e.variance, "Welch is sure");
    cr_assert_float_eq(e.cautious, 0.02 * 0.98 * (1 / 100.0 + 1 / 9900.0), 5e-6);
    cr_assert_eq(cfg_sequence_p(&s, e.difference, e.cautious, e.freedom), 1, "one in eight arms are like this");
    cr_assert(e.has_relative && e.relative == -1 && sqrt(e.relative_variance) > 0.5);
    t = (struct cfg_moments){.n = 9900, .mean = 0.02, .m2 = 400, .max = 1}; /* as many of each: Welch's is enough */
    cr_assert(cfg_effect_of(&e, &t, &b) && fabs(e.cautious / e.variance - 1) < 1e-12);
    t = (struct cfg_moments){.n = 100, .mean = 0.02, .m2 = 40, .max = 1}; /* varies more itself */
    cr_assert(cfg_effect_of(&e, &t, &b) && e.cautious == e.variance);
}

Test(stats, few_degrees_of_freedom_are_less_sure)
{
    struct cfg_sequence s = cfg_sequence_for(0.05, 1);
    double z = cfg_sequence_half_width(&s, 1, INFINITY), before = INFINITY;
    for (double freedom = 3; freedom < 1e7; freedom *= 3) {
        double half = cfg_sequence_half_width(&s, 1, freedom);
        cr_assert(half < before && half > z, "%g: %g", freedom, half);
        cr_assert_gt(cfg_sequence_p(&s, half * 0.999, 1, freedom), 0.05);
        cr_assert_lt(cfg_sequence_p(&s, half * 1.001, 1, freedom), 0.05);
        before = half;
    }
    cr_assert_float_eq(before, z, 1e-5);
    cr_assert_float_eq(cfg_sequence_half_width(&s, 1, 19), 3.49, 0.03, "Student's quantile of what %g is for a normal",
                       z);
}

Test(stats, numbers_at_the_edge_of_doubles)
{
    struct cfg_moments b = {.n = 1000000000000, .mean = 1e12, .m2 = 1e12, .min = 1e12 - 9, .max = 1e12 + 9}, t = b;
    struct cfg_effect e;
    t.mean += 1e-3;
    cr_assert(cfg_effect_of(&e, &t, &b));
    cr_assert(fabs(e.difference - 1e-3) < 2e-4 && fabs(e.variance / 2e-12 - 1) < 1e-9 && e.freedom > 1e12);
    struct cfg_sequence s = cfg_sequence_for(0.05, 2e-12);
    double p = cfg_sequence_p(&s, e.difference, e.cautious, e.freedom);
    cr_assert(p > 0 && p < 1e-300, "%g: never 0", p);
    t = b = (struct cfg_moments){.n = 500, .mean = 1e-150, .m2 = 500e-300}; /* its square is no double's */
    t.mean = 2e-150;
    cr_assert(cfg_effect_of(&e, &t, &b) && fabs(e.freedom - 998) < 1e-6, "%g", e.freedom);
    t.m2 = b.m2 = 0;
    cr_assert(cfg_effect_of(&e, &t, &b) && e.variance == 0 && e.cautious == 0 && isinf(e.freedom));
    static const double half[2] = {1, 1};
    const uint64_t even[2] = {1000000000000, 1000000000000}, off[2] = {1000000000000, 1000010000000};
    cr_assert_gt(cfg_mismatch_p(even, half, 2), 0.9);
    cr_assert_lt(cfg_mismatch_p(off, half, 2), 1e-3, "seven standard errors");
}

Test(stats, without_variance_nothing_is_known)
{
    struct cfg_sequence s = cfg_sequence_for(0.05, 0.01);
    const double none[] = {0, -1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        cr_assert(isinf(cfg_sequence_half_width(&s, none[i], INFINITY)));
        cr_assert_eq(cfg_sequence_p(&s, 5, none[i], INFINITY), 1);
    }
    cr_assert_eq(cfg_sequence_p(&s, NAN, 0.01, INFINITY), 1);
    cr_assert_lt(cfg_sequence_p(&s, 100, 0.01, INFINITY), 1e-300);
}

/* Units drawn at a share, counted after every hundred: does any look call it a mismatch? */
static bool mismatched(double share, const double *planned, int hundreds)
{
    uint64_t counts[2] = {0, 0};
    for (int i = 0; i < hundreds; i++) {
        for (int j = 0; j < 100; j++) {
            counts[uniform() < share]++;
        }
        if (cfg_mismatch_p(counts, planned, 2) < CFG_STATS_MISMATCH) {
            return true;
        }
    }
    return false;
}

Test(stats, a_mismatch_is_found_and_a_fair_split_is_not)
{
    static const double planned[2] = {9, 1};
    state = 99;
    int wrong = 0, right = 0;
    for (int i = 0; i < 1000; i++) {
        wrong += mismatched(0.1, planned, 100);
    }
    for (int i = 0; i < 50; i++) {
        right += mismatched(0.12, planned, 200);
    }
    cr_assert(wrong <= 2, "%d of 1000 fair splits", wrong);
    cr_assert(right >= 49, "%d of 50 broken ones", right);
    uint64_t none[3] = {0, 0, 0}, all[3] = {100000000, 0, 0};
    static const double three[3] = {1, 1, 1};
    cr_assert_eq(cfg_mismatch_p(none, three, 3), 1);
    double p = cfg_mismatch_p(all, three, 3);
    cr_assert(p > 0 && p < 1e-300);
}
