/* Whole experiments, simulated from fixed seeds as they run: units come at random to sides, tell samples, and somebody
 * looks after every batch at what cfg_experiment_report says. Empty ones of many kinds are called different in at most
 * alpha; planted effects are found as often as the plan said. CFG_TRIALS=N runs N of each kind instead. */
#include "configd/experiment_report.h"
#include "proto/json.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKS = 20 };

static uint64_t state;

static uint64_t bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545F4914F6CDD1DU;
}

static double uniform(void)
{
    return ((double)(bits() >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* --- what units do --- */

static double gauss(double mean)
{
    return mean + normal();
}

static double rare(double mean)
{
    return uniform() < mean ? 1 : 0;
}

static double skewed(double mean)
{
    return mean - log(uniform());
}

static double heavy(double mean) /* lognormal, a coefficient of variation of 2.9 */
{
    return mean + exp(1.5 * normal());
}

static double infinite(double mean) /* Pareto, 1.8: there is no variance */
{
    return mean + pow(uniform(), -1 / 1.8);
}

struct world {
    const char *name;
    double (*draw)(double mean);
    double mean, effect; /* of the first treatment */
    double shares[3];
    unsigned units, sides;
    double alike, uneven; /* share of variance between units; sigma of how much they tell, 0: one sample each */
    bool groups;
};

struct run {
    struct cfg_experiment_sample samples[3];
    struct cfg_parts parts[3];
    struct cfg_experiment_side sides[3];
    struct cfg_experiment_data data;
};

static void tell_unit(struct run *r, const struct world *w, size_t side)
{
    double effect = side == 1 ? w->effect : 0, own = sqrt(w->alike) * normal();
    unsigned n = w->uneven > 0 ? 1 + (unsigned)fmin(500, 2 * exp(w->uneven * normal())) : 1;
    uint64_t unit = bits();
    for (unsigned i = 0; i < n; i++) {
        double x = w->uneven > 0 ? w->mean + effect + own + sqrt(1 - w->alike) * normal() : w->draw(w->mean + effect);
        cfg_moments_add(&r->samples[side].moments, x);
        cfg_parts_add(&r->parts[side], unit, x);
    }
    r->sides[side].units++;
}

static size_t assigned(const struct world *w)
{
    double all = w->shares[0] + w->shares[1] + w->shares[2], at = uniform() * all;
    return at < w->shares[0] ? 0 : at < w->shares[0] + w->shares[1] ? 1 : 2;
}

/* Does any look find a difference, or (out) call the split broken? */
static bool found(const struct world *w, bool *broken)
{
    static const struct cfg_experiment_metric metric = {"m", CFG_WANT_INCREASE};
    static const char *const names[] = {"off", "on", "hot"};
    struct run r;
    memset(&r, 0, sizeof r);
    for (size_t i = 0; i < w->sides; i++)
        r.sides[i] = (struct cfg_experiment_side){.name = names[i], .share = w->shares[i], .metrics = &r.samples[i]};
    r.data = (struct cfg_experiment_data){.metrics = &metric,
                                          .n_metrics = 1,
                                          .sides = r.sides,
                                          .n_sides = w->sides,
                                          .alpha = 0.05,
                                          .planned_units = w->units,
                                          .units_min = w->groups ? 20 : 100,
                                          .p_floor = 1};
    for (unsigned look = 1; look <= LOOKS; look++) {
        while ((r.sides[0].units + r.sides[1].units + r.sides[2].units) * LOOKS < (uint64_t)w->units * look)
            tell_unit(&r, w, assigned(w));
        for (size_t i = 0; i < w->sides; i++) {
            r.samples[i].parts = w->groups ? NULL : &r.parts[i];
            r.samples[i].scale = cfg_moments_variance(&r.samples[i].moments);
        }
        cJSON *report = cfg_experiment_report(&r.data);
        const char *verdict = cfg_json_get_str(report, "verdict", "");
        *broken = *broken || strcmp(verdict, "void") == 0;
        bool hit = strcmp(verdict, "early") != 0 && strcmp(verdict, "none") != 0 && strcmp(verdict, "void") != 0;
        cJSON_Delete(report);
        if (hit)
            return true;
    }
    return false;
}

/* The same groups all the time, in two arms that are alike, each looked at by the mean of all it has told so far: while
 * time passes no group comes, and yet every look is another chance to err. */
static bool found_in_time(double alike, bool moving_plan)
{
    enum { GROUPS = 60, END = 60000 };
    static const struct cfg_experiment_metric metric = {"m", CFG_WANT_INCREASE};
    struct cfg_experiment_sample samples[2];
    struct cfg_experiment_side sides[2] = {{"base", 1, GROUPS / 2, &samples[0]},
                                           {"canary", 1, GROUPS / 2, &samples[1]}};
    const struct cfg_experiment_data data = {.metrics = &metric,
                                             .n_metrics = 1,
                                             .sides = sides,
                                             .n_sides = 2,
                                             .alpha = 0.05,
                                             .planned_units = GROUPS,
                                             .units_min = 20,
                                             .p_floor = 1};
    double own[GROUPS], sum[GROUPS] = {0}, first[GROUPS];
    for (size_t i = 0; i < GROUPS; i++)
        own[i] = alike > 0 ? sqrt(alike) * normal() : 0;
    for (double t = 1, step = 1; t <= END; step = ceil(t / 10), t += step) {
        struct cfg_moments firsts[2];
        memset(firsts, 0, sizeof firsts);
        memset(samples, 0, sizeof samples);
        for (size_t i = 0; i < GROUPS; i++) {
            sum[i] += sqrt(step) * normal();
            first[i] = t <= 1 ? own[i] + sum[i] : first[i];
            cfg_moments_add(&samples[i % 2].moments, own[i] + sum[i] / t);
            cfg_moments_add(&firsts[i % 2], first[i]);
        }
        for (size_t i = 0; i < 2; i++)
            samples[i].scale = cfg_moments_variance(moving_plan ? &samples[i].moments : &firsts[i]);
        cJSON *report = cfg_experiment_report(&data);
        bool hit = strcmp(cfg_json_get_str(report, "verdict", ""), "none") != 0;
        cJSON_Delete(report);
        if (hit)
            return true;
    }
    return false;
}

static unsigned trials(unsigned otherwise)
{
    const char *n = getenv("CFG_TRIALS");
    return n ? (unsigned)strtoul(n, NULL, 10) : otherwise;
}

static double share_found(const struct world *w, unsigned n)
{
    unsigned hits = 0, voids = 0;
    state = 20261123;
    for (unsigned i = 0; i < n; i++) {
        bool broken = false;
        hits += found(w, &broken);
        voids += broken;
    }
    cr_assert(voids <= 2 + n / 500, "%s: %u of %u fair splits are void", w->name, voids, n);
    return (double)hits / n;
}

Test(experiment_trials, nothing_is_found_where_nothing_is)
{
    static const struct world worlds[] = {
        {.name = "normal", .draw = gauss, .shares = {1, 1}, .units = 2000, .sides = 2},
        {.name = "three sides", .draw = gauss, .shares = {2, 1, 1}, .units = 2000, .sides = 3},
        {.name = "rare", .draw = rare, .mean = 0.02, .shares = {1, 1}, .units = 4000, .sides = 2},
        {.name = "rare, a tenth", .draw = rare, .mean = 0.01, .shares = {9, 1}, .units = 4000, .sides = 2},
        {.name = "rare, a twentieth", .draw = rare, .mean = 0.02, .shares = {19, 1}, .units = 4000, .sides = 2},
        {.name = "very rare", .draw = rare, .mean = 0.001, .shares = {9, 1}, .units = 10000, .sides = 2},
        {.name = "skewed", .draw = skewed, .shares = {9, 1}, .units = 4000, .sides = 2},
        {.name = "heavy", .draw = heavy, .shares = {1, 1}, .units = 1000, .sides = 2},
        {.name = "heavy, a tenth", .draw = heavy, .shares = {9, 1}, .units = 3000, .sides = 2},
        {.name = "without variance", .draw = infinite, .shares = {9, 1}, .units = 3000, .sides = 2},
        {.name = "barely begun", .draw = gauss, .shares = {1, 1}, .units = 220, .sides = 2},
        {.name = "few groups", .draw = gauss, .shares = {1, 1}, .units = 60, .sides = 2, .groups = true},
        {.name = "few skewed groups", .draw = skewed, .shares = {4, 1}, .units = 150, .sides = 2, .groups = true},
        {.name = "alike", .shares = {1, 1}, .units = 1500, .sides = 2, .alike = 0.5, .uneven = 0.01},
        {.name = "a few tell most", .shares = {1, 1}, .units = 1500, .sides = 2, .alike = 0.5, .uneven = 1.5},
        {.name = "a few tell most, alike", .shares = {3, 1}, .units = 1500, .sides = 2, .alike = 0.9, .uneven = 1.5},
    };
    unsigned n = trials(100);
    double bound = 0.05 + 3 * sqrt(0.05 * 0.95 / n); /* what exactly 5 % may come to in n trials */
    for (size_t i = 0; i < sizeof worlds / sizeof worlds[0]; i++) {
        double share = share_found(&worlds[i], n);
        if (getenv("CFG_TRIALS"))
            (void)fprintf(stderr, "%-24s %.4f\n", worlds[i].name, share);
        cr_assert(share <= bound, "%s: %.3f of %u", worlds[i].name, share, n);
    }
}

Test(experiment_trials, time_alone_finds_nothing)
{
    unsigned n = trials(100), of[3] = {0};
    state = 5;
    for (unsigned i = 0; i < n; i++) {
        of[0] += found_in_time(0, false);
        of[1] += found_in_time(0.5, false);
        of[2] += found_in_time(0, true);
    }
    double bound = 0.05 * n + 3 * sqrt(0.05 * 0.95 * n);
    cr_assert(of[0] <= bound && of[1] <= bound, "%u and %u of %u", of[0], of[1], n);
    cr_assert(of[2] > 2 * of[0] && of[2] > 0.05 * n, "%u of %u: a plan that moves must show", of[2], n);
}

Test(experiment_trials, what_is_planted_is_found_as_often_as_planned)
{
    static const struct world worlds[] = {
        {.name = "even", .draw = gauss, .effect = 0.2, .shares = {1, 1}, .sides = 2},
        {.name = "a fifth", .draw = gauss, .effect = 0.25, .shares = {4, 1}, .sides = 2},
        {.name = "down", .draw = gauss, .effect = -0.2, .shares = {1, 1}, .sides = 2},
    };
    unsigned n = trials(500);
    for (size_t i = 0; i < sizeof worlds / sizeof worlds[0]; i++)
        for (double power = 0.5; power < 0.95; power += 0.3) {
            struct world w = worlds[i];
            double all = w.shares[0] + w.shares[1];
            const struct cfg_experiment_plan plan = {.alpha = 0.05,
                                                     .power = power,
                                                     .difference = w.effect,
                                                     .base_variance = 1,
                                                     .treatment_variance = 1,
                                                     .base_share = w.shares[0] / all,
                                                     .treatment_share = w.shares[1] / all,
                                                     .looks = LOOKS,
                                                     .freedom = CFG_PARTS - 1};
            w.units = (unsigned)cfg_experiment_samples(NULL, &plan);
            double share = share_found(&w, n);
            if (getenv("CFG_TRIALS"))
                (void)fprintf(stderr, "%-8s planned %.2f (%u units): %.4f\n", w.name, power, w.units, share);
            cr_assert(fabs(share - power) <= 0.05, "%s: planned %.2f, seen %.3f", w.name, power, share);
        }
}
