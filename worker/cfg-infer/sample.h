/* Choosing the next byte from its probabilities. Pure functions over an array of CFG_SYMBOLS weights that sum to one;
 * each leaves such an array. Ties go to the smaller symbol, so results do not depend on a sort's whims. */
#ifndef CFG_INFER_SAMPLE_H
#define CFG_INFER_SAMPLE_H

#include <stdint.h>

enum { CFG_SYMBOLS = 256 };

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

#endif
