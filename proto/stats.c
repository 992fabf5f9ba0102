/* Effects, confidence sequences and the mismatch check. See stats.h. */
#include "proto/stats.h"
#include <math.h>

bool cfg_effect_of(struct cfg_effect *out, const struct cfg_moments *treatment, const struct cfg_moments *base)
{
    if (treatment->n < 2 || base->n < 2) {
        return false;
    }
    double vt = cfg_moments_variance(treatment) / (double)treatment->n;
    double vb = cfg_moments_variance(base) / (double)base->n;
    double b = base->mean, t = treatment->mean;
    struct cfg_effect e = {.base = b, .treatment = t, .difference = t - b, .variance = vt + vb};
    /* A ratio whose denominator may be 0 has no usable variance: three standard errors away, it has. */
    e.has_relative = b != 0 && b * b > 9 * vb;
    if (e.has_relative) {
        double ratio = t / b;
        e.relative = ratio - 1;
        e.relative_variance = (vt + ratio * ratio * vb) / (b * b);
    }
    *out = e;
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

double cfg_sequence_half_width(const struct cfg_sequence *s, double variance)
{
    if (!usable(variance)) {
        return INFINITY;
    }
    double grown = variance + s->mix;
    return sqrt(2 * variance * grown / s->mix * (log(grown / variance) / 2 - log(s->alpha)));
}

double cfg_sequence_p(const struct cfg_sequence *s, double difference, double variance)
{
    if (!usable(variance) || !isfinite(difference)) {
        return 1;
    }
    double grown = variance + s->mix;
    double evidence = s->mix * difference * difference / (2 * variance * grown) - log(grown / variance) / 2;
    return evidence <= 0 ? 1 : exp(-evidence);
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
    static const double concentrations[] = {100, 1000, 10000};
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
    return evidence <= 0 ? 1 : fmax(exp(-evidence), 5e-324);
}
