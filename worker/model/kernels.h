/* The kernels of the cuda back end, as C calls. They are queued on `stream` (a cudaStream_t) and return at once; an
 * error shows at the next check of the stream. All pointers are device memory. Sums run in a fixed order: the same
 * input gives the same bits. */
#ifndef CFG_MODEL_KERNELS_H
#define CFG_MODEL_KERNELS_H

#ifdef __cplusplus
extern "C" {
#endif

#include "worker/model/model.h"

enum { CFG_KERNEL_PARTS = 256 }; /* partial results of a reduction */

/* x[i · embed …] = table[contexts[i] · embed …] for `count` bytes of context. */
void cfg_kernel_embed(float *x, const float *table, const unsigned char *contexts, size_t count, uint32_t embed,
                      void *stream);
/* The other way: table[s] += Σ of x over the places whose byte is s. */
void cfg_kernel_embed_back(float *table, const float *x, const unsigned char *contexts, size_t count, uint32_t embed,
                           void *stream);
void cfg_kernel_rows_set(float *out, const float *bias, size_t rows, size_t cols, void *stream);
void cfg_kernel_rows_sum(float *out, const float *x, size_t rows, size_t cols, void *stream); /* out += Σ rows */
/* In place; with slope (not NULL) the derivative is left there. */
void cfg_kernel_silu(float *z, float *slope, size_t n, void *stream);
void cfg_kernel_add(float *out, const float *x, size_t n, void *stream);
void cfg_kernel_multiply(float *out, const float *a, const float *b, size_t n, void *stream);
/* Rows of 256 logits; losses[r] is the row's loss; with `gradient`, the logits become the loss's gradient. */
void cfg_kernel_cross_entropy(float *logits, float *losses, const unsigned char *targets, size_t rows, bool gradient,
                              void *stream);
/* CFG_KERNEL_PARTS partial sums of squares and counts of what is not finite. */
void cfg_kernel_norm(double *squares, unsigned long long *nonfinite, const float *x, size_t n, void *stream);

struct cfg_kernel_adam {
    float beta1, beta2, scale, rate, correction, zero;
};
void cfg_kernel_adam(float *w, float *m, float *v, const float *g, size_t n, const struct cfg_kernel_adam *a,
                     void *stream);
void cfg_kernel_bf16(void *out, const float *x, size_t n, void *stream);

/* The last kernel of a step: samples a byte per row as sample.h says, and writes the version that it read. */
void cfg_kernel_sample(unsigned char *bytes, uint64_t *version, const float *logits, const struct cfg_model_row *rows,
                       const struct cfg_live_params *live, uint32_t n, void *stream);

#ifdef __cplusplus
}
#endif
#endif
