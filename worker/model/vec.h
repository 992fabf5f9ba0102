/* The loops of the cpu back end that are no matrix products of a whole batch. Written so that compilers vectorise them,
 * and so that a result does not depend on how: sums run in a fixed order. Pure. Arrays do not overlap unless said. */
#ifndef CFG_MODEL_VEC_H
#define CFG_MODEL_VEC_H

#include <stddef.h>
#include <stdint.h>

/* out[r] = x[r] W + bias for `rows` rows; W is in × cols, row-major. Every element is bias + Σ in the order of the
 * inputs, computed by the same instructions whatever `rows` is and wherever the row lies: this is what makes inference
 * independent of the batch. */
void cfg_vec_affine(float *out, const float *x, const float *w, const float *bias, size_t rows, size_t in, size_t cols);

/* z = silu(z), in place; with `slope`, the derivative at z is left there. n values. */
void cfg_vec_silu(float *z, float *slope, size_t n);
/* out[r] = bias, for each row of cols. */
void cfg_vec_rows_set(float *out, const float *bias, size_t rows, size_t cols);
void cfg_vec_add(float *out, const float *x, size_t n);                      /* out += x */
void cfg_vec_multiply(float *out, const float *x, size_t n);                 /* out *= x */
void cfg_vec_rows_sum(float *out, const float *x, size_t rows, size_t cols); /* out += Σ rows */

/* Rows of 256 logits become the gradient of the summed loss with respect to them; returns the summed loss. */
double cfg_vec_cross_entropy(float *logits, const unsigned char *targets, size_t rows);
/* Only the loss. */
double cfg_vec_loss(const float *logits, const unsigned char *targets, size_t rows);

double cfg_vec_sum_of_squares(const float *x, size_t n);
uint64_t cfg_vec_nonfinite(const float *x, size_t n); /* NaN or infinite */

struct cfg_vec_adam {
    float beta1, beta2;
    float scale;            /* of the gradient */
    float rate;             /* lr / (1 − β₁ᵗ) */
    float correction, zero; /* 1 / (1 − β₂ᵗ); what keeps from dividing by zero */
};
void cfg_vec_adam(float *w, float *m, float *v, const float *g, size_t n, const struct cfg_vec_adam *a);

#endif
