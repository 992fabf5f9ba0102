/* Sampling. See sample.h. */
#include "worker/model/sample.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static void normalise(double p[CFG_SYMBOLS])
{
    double sum = 0;
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        sum += p[i];
    }
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        p[i] /= sum;
    }
}

static unsigned most_probable(const double p[CFG_SYMBOLS])
{
    unsigned best = 0;
    for (unsigned i = 1; i < CFG_SYMBOLS; i++) {
        if (p[i] > p[best]) {
            best = i;
        }
    }
    return best;
}

void cfg_sample_temperature(double p[CFG_SYMBOLS], double t)
{
    unsigned best = most_probable(p);
    if (t <= 0) {
        for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
            p[i] = i == best ? 1 : 0;
        }
        return;
    }
    /* Relative to the greatest, so that a small t underflows the others and never the whole. */
    double top = p[best];
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        p[i] = p[i] > 0 ? pow(p[i] / top, 1 / t) : 0;
    }
    normalise(p);
}

struct ranked {
    double p;
    unsigned symbol;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->p > y->p || x->p < y->p) {
        return x->p > y->p ? -1 : 1;
    }
    return x->symbol < y->symbol ? -1 : 1;
}

static void rank(struct ranked out[CFG_SYMBOLS], const double p[CFG_SYMBOLS])
{
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        out[i] = (struct ranked){p[i], i};
    }
    qsort(out, CFG_SYMBOLS, sizeof out[0], by_rank);
}

static void keep(double p[CFG_SYMBOLS], const struct ranked *ranked, unsigned n)
{
    for (unsigned i = n; i < CFG_SYMBOLS; i++) {
        p[ranked[i].symbol] = 0;
    }
    normalise(p);
}

void cfg_sample_top_k(double p[CFG_SYMBOLS], unsigned k)
{
    if (k == 0 || k >= CFG_SYMBOLS) {
        return;
    }
    struct ranked ranked[CFG_SYMBOLS];
    rank(ranked, p);
    keep(p, ranked, k);
}

void cfg_sample_top_p(double p[CFG_SYMBOLS], double mass)
{
    if (mass >= 1) {
        return;
    }
    struct ranked ranked[CFG_SYMBOLS];
    rank(ranked, p);
    unsigned n = 1;
    for (double sum = ranked[0].p; sum < mass && n < CFG_SYMBOLS; n++) {
        sum += ranked[n].p;
    }
    keep(p, ranked, n);
}

unsigned cfg_sample_draw(const double p[CFG_SYMBOLS], double u)
{
    unsigned last = 0;
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        if (p[i] <= 0) {
            continue;
        }
        last = i;
        u -= p[i];
        if (u < 0) {
            break;
        }
    }
    return last; /* rounding may leave a crumb behind the last symbol */
}

static double mixed(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1.0p-53;
}

double cfg_sample_uniform(uint64_t *state)
{
    return mixed(*state += UINT64_C(0x9e3779b97f4a7c15));
}

double cfg_sample_uniform_at(uint64_t seed, uint64_t i)
{
    return mixed(seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

unsigned cfg_sample_greedy(const float logits[CFG_SYMBOLS])
{
    unsigned best = 0;
    float most = -INFINITY;
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        if (logits[i] > most) {
            most = logits[i];
            best = i;
        }
    }
    return best;
}

void cfg_sample_distribution(double p[CFG_SYMBOLS], const float logits[CFG_SYMBOLS], const struct cfg_sample_how *how)
{
    unsigned best = cfg_sample_greedy(logits);
    double top = (double)logits[best];
    double t = (double)how->temperature;
    double sum = 0;
    bool greedy = !(t > 0) || how->top_k == 1;
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        /* Relative to the greatest, so that nothing overflows; a NaN has no weight. */
        double d = ((double)logits[i] - top) / t;
        p[i] = greedy ? (i == best ? 1 : 0) : i == best ? 1 : d <= 0 ? exp(d) : 0;
        sum += p[i];
    }
    for (unsigned i = 0; i < CFG_SYMBOLS; i++) {
        p[i] /= sum;
    }
    if (!greedy) {
        cfg_sample_top_k(p, how->top_k);
        cfg_sample_top_p(p, (double)how->top_p);
    }
}

unsigned cfg_sample(const float logits[CFG_SYMBOLS], const struct cfg_sample_how *how, double u)
{
    double p[CFG_SYMBOLS];
    if (!(how->temperature > 0) || how->top_k == 1) {
        return cfg_sample_greedy(logits);
    }
    cfg_sample_distribution(p, logits, how);
    return cfg_sample_draw(p, u);
}
