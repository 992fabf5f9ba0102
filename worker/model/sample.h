/* Choosing the next byte. Pure functions; ties go to the smaller symbol, so results do not depend on a sort's whims.
 *
 * The CUDA kernel (kernels.cu) does the same in the same order: softmax at a temperature, the k most probable, the
 * nucleus of what is left, one draw by a uniform number that the caller brings. */
#ifndef CFG_MODEL_SAMPLE_H
#define CFG_MODEL_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

enum { CFG_SYMBOLS = 256 };

/* How one row is sampled. */
struct cfg_sample_how {
    float temperature; /* 0: greedy, whatever the rest says */
    float top_p;       /* ≥ 1: everything */
    uint32_t top_k;    /* 0: everything */
};

/* The byte for these logits; u ∈ [0, 1). */
unsigned cfg_sample(const float logits[CFG_SYMBOLS], const struct cfg_sample_how *how, double u);
/* The probabilities that cfg_sample draws from (one 1 when greedy); they sum to one up to rounding. */
void cfg_sample_distribution(double p[CFG_SYMBOLS], const float logits[CFG_SYMBOLS], const struct cfg_sample_how *how);
/* The symbol with the greatest logit. A NaN is never the greatest; without any other, symbol 0. */
unsigned cfg_sample_greedy(const float logits[CFG_SYMBOLS]);

/* The steps, on weights that sum to one; each leaves such an array. */
/* p_i^(1/t), normalised: 1 changes nothing, smaller sharpens, larger flattens; 0 leaves the most probable symbol only.
 */
void cfg_sample_temperature(double p[CFG_SYMBOLS], double t);
/* Keeps the k most probable symbols; 0 keeps all. */
void cfg_sample_top_k(double p[CFG_SYMBOLS], unsigned k);
/* Keeps the smallest set of most probable symbols whose weights reach `mass`, at least one; ≥ 1 keeps all. */
void cfg_sample_top_p(double p[CFG_SYMBOLS], double mass);
/* The symbol at u ∈ [0, 1) of the cumulated weights. Never one of weight zero. */
unsigned cfg_sample_draw(const double p[CFG_SYMBOLS], double u);

/* A small generator (splitmix64): *state is any number and moves on; the result lies in [0, 1). */
double cfg_sample_uniform(uint64_t *state);
/* The number that the generator gives for draw `i` of a sequence with this seed: needs no state between draws, so a
 * row may be computed anywhere, in any order. */
double cfg_sample_uniform_at(uint64_t seed, uint64_t i);

#endif
