/* Effects, confidence sequences and the mismatch check. See stats.h. */
#include "proto/stats.h"
#include <math.h>

#define LEAST 5e-324 /* the smallest p that there is a double for */

bool cfg_estimate_of(struct cfg_estimate *out, const struct cfg_moments *m)
{
    if (m->n < 2) {
        return false;
    }
    double n = (double)m->n, spread = cfg_moments_variance(m);
    *out = (struct cfg_estimate){.n = n, .mean = m->mean, .spread = spread, .variance = spread / n, .freedom = n - 1};
    return true;
}

/* Welch and Satterthwaite's degrees of freedom of the sum of two variances. */
static double freedom_of(const struct cfg_estimate *a, const struct cfg_estimate *b)
{
    double most = fmax(a->variance, b->variance);
    if (!(most > 0)) {
        return INFINITY;
    }
    double va = a->variance / most, vb = b->variance / most; /* squares of tiny ones would vanish */
    return (va + vb) * (va + vb) / (va * va / a->freedom + vb * vb / b->freedom);
}

/* How much greater the difference's variance would be if all samples had one spread; ≥ 1. */
static double caution(const struct cfg_estimate *a, const struct cfg_estimate *b)
{
    double apart = a->spread / a->n + b->spread / b->n;
    double one = (a->n * a->spread + b->n * b->spread) / (a->n + b->n), common = one / a->n + one / b->n;
    return common > apart && apart > 0 ? common / apart : 1;
}

void cfg_effect_between(struct cfg_effect *out, const struct cfg_estimate *treatment, const struct cfg_estimate *base)
{
    double b = base->mean, t = treatment->mean, vb = base->variance, vt = treatment->variance;
    struct cfg_effect e = {.base = b,
                           .treatment = t,
                           .difference = t - b,
                           .variance = vt + vb,
                           .cautious = (vt + vb) * caution(treatment, base),
                           .freedom = freedom_of(treatment, base)};
    /* A ratio whose denominator may be 0 has no usable variance: three standard errors away, it has. */
    e.has_relative = b != 0 && b * b > 9 * vb;
    if (e.has_relative) {
        double ratio = t / b, square = ratio * ratio;
        e.relative = ratio - 1;
        e.relative_variance = (vt + square * vb + fmax(1, square) * (e.cautious - e.variance)) / (b * b);
    }
    *out = e;
}

bool cfg_effect_of(struct cfg_effect *out, const struct cfg_moments *treatment, const struct cfg_moments *base)
{
    struct cfg_estimate t, b;
    if (!cfg_estimate_of(&t, treatment) || !cfg_estimate_of(&b, base)) {
        return false;
    }
    cfg_effect_between(out, &t, &b);
    return true;
}

struct cfg_sequence cfg_sequence_for(double alpha, double planned)
{
    double a = -2 * log(alpha);
    return (struct cfg_sequence){.alpha = alpha, .mix = planned * (a + log(a + 1))};
}

static bool usable(double variance)
{
    return variance > 0 && isfinite(variance);
}

/* A normal deviate's and Student's statistic that are as unlikely as each other, and back. */
static double student(double z, double freedom)
{
    double scaled = z * (8 * freedom + 3) / (8 * freedom + 1);
    return isinf(freedom) ? z : sqrt(freedom * expm1(scaled * scaled / freedom));
}

static double deviate(double t, double freedom)
{
    return isinf(freedom) ? t : (8 * freedom + 1) / (8 * freedom + 3) * sqrt(freedom * log1p(t * t / freedom));
}

double cfg_sequence_half_width(const struct cfg_sequence *s, double variance, double freedom)
{
    if (!usable(variance)) {
        return INFINITY;
    }
    double grown = variance + s->mix;
    double z = sqrt(2 * grown / s->mix * (log(grown / variance) / 2 - log(s->alpha)));
    return sqrt(variance) * student(z, freedom);
}

double cfg_sequence_p(const struct cfg_sequence *s, double difference, double variance, double freedom)
{
    if (!usable(variance) || !isfinite(difference)) {
        return 1;
    }
    double grown = variance + s->mix, z = deviate(difference / sqrt(variance), freedom);
    double evidence = s->mix / grown * z * z / 2 - log(grown / variance) / 2;
    return evidence <= 0 ? 1 : fmax(exp(-evidence), LEAST);
}

/* log of Γ(k)/Γ(k+n) · Π Γ(k·share+count)/Γ(k·share) / Π share^count */
static double mismatch_evidence(double k, const uint64_t *counts, const double *shares, double total, size_t n)
{
    double units = 0, log_e = 0;
    int sign;
    for (size_t i = 0; i < n; i++) {
        double share = shares[i] / total, count = (double)counts[i];
        units += count;
        log_e += lgamma_r(k * share + count, &sign) - lgamma_r(k * share, &sign) - count * log(share);
    }
    return log_e + lgamma_r(k, &sign) - lgamma_r(k + units, &sign);
}

double cfg_mismatch_p(const uint64_t *counts, const double *shares, size_t n)
{
    static const double concentrations[] = {10, 100, 1000, 10000};
    enum { K = sizeof concentrations / sizeof concentrations[0] };
    double total = 0, log_e[K], most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) {
        total += shares[i];
    }
    for (size_t j = 0; j < K; j++) {
        log_e[j] = mismatch_evidence(concentrations[j], counts, shares, total, n);
        most = fmax(most, log_e[j]);
    }
    for (size_t j = 0; j < K; j++) {
        sum += exp(log_e[j] - most);
    }
    double evidence = most + log(sum / K);
    return evidence <= 0 ? 1 : fmax(exp(-evidence), LEAST);
}
