/* Sampling: the steps on weights, and whole draws from logits. */
#include "worker/model/sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static void weights(double p[CFG_SYMBOLS], const double *w, unsigned n)
{
    memset(p, 0, CFG_SYMBOLS * sizeof *p);
    for (unsigned i = 0; i < n; i++) {
        p['a' + i] = w[i];
    }
}

static double sum(const double p[CFG_SYMBOLS])
{
    double s = 0;
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        s += p[i];
    }
    return s;
}

static unsigned support(const double p[CFG_SYMBOLS])
{
    unsigned n = 0;
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        n += p[i] > 0;
    }
    return n;
}

static const double five[] = {0.1, 0.4, 0.2, 0.2, 0.1};

Test(sample, temperature_zero_is_greedy)
{
    double p[CFG_SYMBOLS];
    weights(p, five, 5);
    cfg_sample_temperature(p, 0);
    cr_assert_eq(support(p), 1U);
    uint64_t state = 1;
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(cfg_sample_draw(p, cfg_sample_uniform(&state)), (unsigned)'b');
    }
}

Test(sample, temperature_one_changes_nothing_and_others_are_powers)
{
    static const double temperatures[] = {0.25, 0.5, 1, 1.7, 2};
    for (size_t k = 0; k < sizeof temperatures / sizeof temperatures[0]; k++) {
        double p[CFG_SYMBOLS];
        double z = 0;
        weights(p, five, 5);
        cfg_sample_temperature(p, temperatures[k]);
        for (unsigned i = 0; i < 5; i++) {
            z += pow(five[i], 1 / temperatures[k]);
        }
        for (unsigned i = 0; i < 5; i++) {
            cr_expect_float_eq(p['a' + i], pow(five[i], 1 / temperatures[k]) / z, 1e-12);
        }
        cr_expect_float_eq(sum(p), 1, 1e-12);
    }
}

Test(sample, a_tiny_temperature_does_not_underflow)
{
    double p[CFG_SYMBOLS];
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        p[i] = 1.0 / CFG_SYMBOLS;
    }
    p[7] += 1e-9;
    cfg_sample_temperature(p, 1e-12);
    cr_assert_float_eq(sum(p), 1, 1e-12);
    cr_assert_float_eq(p[7], 1, 1e-12);
}

Test(sample, top_k_keeps_exactly_k)
{
    for (unsigned k = 1; k <= 5; k++) {
        double p[CFG_SYMBOLS];
        weights(p, five, 5);
        cfg_sample_top_k(p, k);
        cr_expect_eq(support(p), k);
        cr_expect_float_eq(sum(p), 1, 1e-12);
        cr_expect_gt(p['b'], 0);
        cr_expect(k < 2 || p['c'] > 0, "of equals the smaller symbol stays");
        cr_expect(k < 3 || p['d'] > 0);
        cr_expect(k < 4 || p['a'] > 0);
    }
    double p[CFG_SYMBOLS];
    weights(p, five, 5);
    cfg_sample_top_k(p, 0);
    cr_assert_eq(support(p), 5U);
}

Test(sample, top_p_keeps_the_smallest_set_that_reaches_the_mass)
{
    static const struct {
        double mass;
        unsigned kept;
    } cases[] = {{0, 1}, {0.39, 1}, {0.41, 2}, {0.59, 2}, {0.61, 3}, {0.79, 3}, {0.81, 4}, {0.95, 5}, {1, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double p[CFG_SYMBOLS];
        weights(p, five, 5);
        cfg_sample_top_p(p, cases[i].mass);
        cr_expect_eq(support(p), cases[i].kept, "mass %g kept %u", cases[i].mass, support(p));
        cr_expect_float_eq(sum(p), 1, 1e-12);
    }
}

/* Pearson's χ² over 100,000 draws with a fixed seed: 4 degrees of freedom, 18.47 is passed once in 1,000. */
Test(sample, draws_follow_the_weights)
{
    enum { DRAWS = 100000 };
    double p[CFG_SYMBOLS];
    unsigned counts[CFG_SYMBOLS] = {0};
    uint64_t state = 20261122;
    double chi = 0;
    weights(p, five, 5);
    cfg_sample_temperature(p, 0.8);
    for (int i = 0; i < DRAWS; i++) {
        counts[cfg_sample_draw(p, cfg_sample_uniform(&state))]++;
    }
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        if (p[i] > 0) {
            double want = p[i] * DRAWS;
            chi += (counts[i] - want) * (counts[i] - want) / want;
        } else {
            cr_assert_eq(counts[i], 0U, "never one of weight zero");
        }
    }
    cr_assert_lt(chi, 18.47);
}

Test(sample, the_ends_of_the_unit_interval)
{
    double p[CFG_SYMBOLS];
    weights(p, five, 5);
    cr_assert_eq(cfg_sample_draw(p, 0), (unsigned)'a');
    cr_assert_eq(cfg_sample_draw(p, 1 - 0x1p-53), (unsigned)'e');
    cr_assert_eq(cfg_sample_draw(p, 1), (unsigned)'e', "rounding lands on a symbol that can be");
}

/* --- from logits --- */

static const float no_limits = 1;

static void some_logits(float out[CFG_SYMBOLS])
{
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        out[i] = (float)(3 * sin(i * 1.7) - 0.01 * i);
    }
}

Test(logits, temperature_zero_is_the_greatest_whatever_else_is_asked)
{
    float logits[CFG_SYMBOLS];
    some_logits(logits);
    logits[200] = 9;
    for (unsigned k = 0; k < 4; k++) {
        const struct cfg_sample_how how = {0, k % 2 != 0 ? 0.1F : no_limits, k};
        for (unsigned i = 0; i < 100; i++) {
            cr_assert_eq(cfg_sample(logits, &how, i / 100.0), 200U);
        }
    }
    logits[201] = 9;
    cr_assert_eq(cfg_sample_greedy(logits), 200U, "of equals the smaller symbol");
}

Test(logits, the_distribution_is_the_softmax)
{
    static const float temperatures[] = {0.2F, 0.7F, 1, 1.5F, 2};
    float logits[CFG_SYMBOLS];
    some_logits(logits);
    for (size_t t = 0; t < sizeof temperatures / sizeof temperatures[0]; t++) {
        const struct cfg_sample_how how = {temperatures[t], no_limits, 0};
        double p[CFG_SYMBOLS], z = 0;
        cfg_sample_distribution(p, logits, &how);
        for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
            z += exp((double)logits[i] / (double)temperatures[t]);
        }
        for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
            cr_expect_float_eq(p[i], exp((double)logits[i] / (double)temperatures[t]) / z, 1e-12);
        }
    }
}

/* Pearson's χ² of draws against the distribution, over the symbols with at least 5 expected draws (the others are one
 * cell), at several temperatures, with and without limits. z ≈ (χ² − df) / √(2 df) passes 4 once in 30,000. */
Test(logits, draws_follow_the_softmax_at_several_temperatures)
{
    enum { DRAWS = 20000 };
    static const struct cfg_sample_how hows[] = {{0.3F, 1, 0}, {0.7F, 1, 0}, {1, 1, 0},       {2, 1, 0},
                                                 {1, 1, 7},    {1, 0.8F, 0}, {1.3F, 0.6F, 20}};
    float logits[CFG_SYMBOLS];
    some_logits(logits);
    for (size_t k = 0; k < sizeof hows / sizeof hows[0]; k++) {
        double p[CFG_SYMBOLS], chi = 0, rest = 0;
        unsigned counts[CFG_SYMBOLS] = {0}, cells = 0, rest_count = 0;
        cfg_sample_distribution(p, logits, &hows[k]);
        for (uint64_t i = 0; i < DRAWS; i++) {
            counts[cfg_sample(logits, &hows[k], cfg_sample_uniform_at(77 + k, i))]++;
        }
        for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
            double want = p[i] * DRAWS;
            cr_assert(p[i] > 0 || counts[i] == 0, "never one of weight zero");
            if (want < 5) {
                rest += want;
                rest_count += counts[i];
            } else {
                chi += (counts[i] - want) * (counts[i] - want) / want;
                cells++;
            }
        }
        if (rest >= 5) {
            chi += (rest_count - rest) * (rest_count - rest) / rest;
            cells++;
        }
        double df = cells - 1;
        cr_expect_lt((chi - df) / sqrt(2 * df), 4.0, "case %zu: chi-square %g with %g degrees", k, chi, df);
    }
}

/* The sets that limits keep, computed the plain way: sorted by logit, ties to the smaller symbol. */
Test(logits, limits_keep_exactly_their_sets)
{
    float logits[CFG_SYMBOLS];
    some_logits(logits);
    logits[9] = logits[10] = logits[11] = 2.5F; /* equals on the border */
    unsigned order[CFG_SYMBOLS];
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        unsigned at = i;
        for (; at > 0 && logits[order[at - 1]] < logits[i]; at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    static const unsigned ks[] = {0, 1, 2, 13, 100, 255, 256};
    static const float masses[] = {0, 0.05F, 0.5F, 0.9F, 0.999F, 1};
    for (size_t a = 0; a < sizeof ks / sizeof ks[0]; a++) {
        for (size_t b = 0; b < sizeof masses / sizeof masses[0]; b++) {
            const struct cfg_sample_how free_how = {0.9F, 1, 0}, how = {0.9F, masses[b], ks[a]};
            double all[CFG_SYMBOLS], p[CFG_SYMBOLS], kept_mass = 0, sum_before = 0;
            unsigned n = ks[a] == 0 ? CFG_SYMBOLS : ks[a], want = 0;
            cfg_sample_distribution(all, logits, &free_how);
            cfg_sample_distribution(p, logits, &how);
            for (unsigned i = 0; i < n; i++) {
                kept_mass += all[order[i]];
            }
            while (want < n && (want == 0 || masses[b] >= 1 || sum_before / kept_mass < (double)masses[b])) {
                sum_before += all[order[want++]];
            }
            for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
                cr_expect_eq(p[order[i]] > 0, i < want, "k %u p %g: place %u", ks[a], (double)masses[b], i);
            }
        }
    }
}

Test(logits, what_is_not_a_number_is_never_drawn)
{
    float logits[CFG_SYMBOLS];
    const struct cfg_sample_how how = {1, 1, 0};
    some_logits(logits);
    logits[3] = NAN;
    logits[4] = -INFINITY;
    for (unsigned i = 0; i < 1000; i++) {
        unsigned s = cfg_sample(logits, &how, i / 1000.0);
        cr_assert(s != 3 && s != 4 && s < CFG_SYMBOLS);
    }
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        logits[i] = NAN;
    }
    cr_assert_lt(cfg_sample(logits, &how, 0.5), (unsigned)CFG_SYMBOLS);
}

Test(logits, the_numbers_of_a_sequence_need_no_state)
{
    uint64_t state = 42;
    for (uint64_t i = 0; i < 100; i++) {
        double u = cfg_sample_uniform(&state);
        cr_assert_eq(memcmp(&u, &(double){cfg_sample_uniform_at(42, i)}, sizeof u), 0);
    }
}
