/* How likely a confidence sequence is to exclude 0: its sub-density over the looks, integrated step by step.
 *
 * In information time I = 1/variance, the sum S = difference·I moves like a Brownian motion with drift: from look to
 * look it gains a normal with mean d·ΔI and variance ΔI. What is still inside at a look, |S| < half width·I, is carried
 * on a grid; what has left is the power. */
#include "proto/stats.h"
#include <math.h>
#include <string.h>

enum { GRID = 301, LOOKS_MAX = 200 };

static double boundary(const struct cfg_sequence *s, double information, double freedom)
{
    return cfg_sequence_half_width(s, 1 / information, freedom) * information;
}

/* A normal density but for its constant factor. */
static double bell(double x, double mean, double variance)
{
    double z = x - mean;
    return exp(-z * z / (2 * variance));
}

static double bell_factor(double variance)
{
    return 1 / sqrt(6.283185307179586 * variance);
}

/* What of `from`, on [−a, a], arrives at x after a gain of mean g and variance v (trapezoidal rule). */
static double arriving(const double *from, double a, double x, double g, double v)
{
    double h = 2 * a / (GRID - 1), reach = 9 * sqrt(v), sum = 0;
    double low = (x - g - reach + a) / h, high = (x - g + reach + a) / h;
    int first = low <= 0 ? 0 : low >= GRID ? GRID : (int)low;
    int last = high >= GRID - 1 ? GRID - 1 : high < 0 ? -1 : (int)high;
    for (int i = first; i <= last; i++) {
        double weight = i == 0 || i == GRID - 1 ? 0.5 : 1;
        sum += weight * from[i] * bell(x, -a + h * i + g, v);
    }
    return sum * h * bell_factor(v);
}

static double inside(const double *f, double a)
{
    double sum = (f[0] + f[GRID - 1]) / 2;
    for (int i = 1; i < GRID - 1; i++) {
        sum += f[i];
    }
    return sum * 2 * a / (GRID - 1);
}

double cfg_sequence_power(const struct cfg_sequence *s, double difference, double end, unsigned looks, double freedom)
{
    double f[GRID], next[GRID];
    double step = 1 / (end * looks), a = boundary(s, step, freedom);
    for (int i = 0; i < GRID; i++) {
        f[i] = bell(-a + 2 * a * i / (GRID - 1), difference * step, step) * bell_factor(step);
    }
    for (unsigned look = 2; look <= looks; look++) {
        double b = boundary(s, step * look, freedom);
        for (int i = 0; i < GRID; i++) {
            next[i] = arriving(f, a, -b + 2 * b * i / (GRID - 1), difference * step, step);
        }
        memcpy(f, next, sizeof f);
        a = b;
    }
    double left = 1 - inside(f, a);
    return left < 0 ? 0 : left;
}

static bool plan_is_usable(const struct cfg_experiment_plan *p)
{
    return p->alpha > 0 && p->alpha < 1 && p->power > p->alpha && p->power < 1 && p->difference != 0 &&
           isfinite(p->difference) && p->base_variance >= 0 && p->treatment_variance >= 0 &&
           isfinite(p->base_variance + p->treatment_variance) && p->base_variance + p->treatment_variance > 0 &&
           p->base_share > 0 && p->treatment_share > 0 && p->base_share + p->treatment_share <= 1 + 1e-9 &&
           p->looks >= 1 && p->looks <= LOOKS_MAX && p->freedom >= 0;
}

double cfg_experiment_samples(struct cfg_sequence *out, const struct cfg_experiment_plan *p)
{
    if (!plan_is_usable(p)) {
        return 0;
    }
    /* Only the ratio of difference to standard error matters, so one factor solves it: variance(N) = one / N. */
    double one = p->base_variance / p->base_share + p->treatment_variance / p->treatment_share;
    double base = p->base_variance / p->base_share / one, treatment = 1 - base;
    double freedom = p->freedom > 0 ? p->freedom / (base * base + treatment * treatment) : INFINITY;
    double low = 0, high = 32; /* difference / standard error at the end */
    for (int i = 0; i < 20; i++) {
        double ratio = (low + high) / 2;
        struct cfg_sequence s = cfg_sequence_for(p->alpha, 1);
        *(cfg_sequence_power(&s, ratio, 1, p->looks, freedom) < p->power ? &low : &high) = ratio;
    }
    double variance = p->difference * p->difference / (high * high);
    double samples = ceil(one / variance);
    double least = CFG_STATS_SAMPLES_MIN / fmin(p->base_share, p->treatment_share);
    samples = fmax(samples, ceil(least));
    if (!(samples <= 1e15)) {
        return 0;
    }
    if (out != NULL) {
        *out = cfg_sequence_for(p->alpha, one / samples);
    }
    return samples;
}
