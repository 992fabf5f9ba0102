/* Inside the cuda back end: model_cuda.c lives and serves, model_train_cuda.c trains, model_state_cuda.c moves state.
 */
#ifndef CFG_MODEL_CUDA_H
#define CFG_MODEL_CUDA_H

#include "worker/model/kernels.h"
#include "worker/model/model_internal.h"
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

enum { CFG_CUDA_SLOTS = 2, CFG_CUDA_TILE = 32 };

/* Pinned host memory: device copies run beside the CPU only from there. */
struct cfg_cuda_words {
    struct cfg_live_params live[CFG_CUDA_SLOTS]; /* a slot is written again only after its copy has left */
    uint64_t version;
};
struct cfg_cuda_host {
    struct cfg_cuda_words *words;
    unsigned char *contexts, *bytes;
    struct cfg_model_row *rows;
    float *logits;
};

struct cfg_model_cuda {
    struct cfg_model base;
    int device;
    size_t n; /* parameters */
    cudaStream_t stream;
    cublasHandle_t blas;
    void *workspace; /* of cuBLAS: its own would not be the graph's */
    float *weights;  /* float32, the truth */
    void *weights16; /* bf16 of the same, for products; NULL with float32 */
    void *a16, *b16; /* bf16 of other operands */
    size_t room16;   /* values in each */
    /* Inference, for the largest bucket in whole tiles. */
    uint32_t rows;
    unsigned char *contexts, *bytes;
    struct cfg_model_row *how;
    struct cfg_live_params *live;
    uint64_t *version;
    float *x, *h, *z, *logits;
    struct cfg_cuda_host host;
    cudaEvent_t copied[CFG_CUDA_SLOTS];
    unsigned slot;
    cudaGraphExec_t graphs[CFG_MODEL_BUCKETS_MAX];
    /* Training; NULL without. */
    float *gradient, *first, *second, *inputs, *states, *slopes, *outputs, *back, *inward, *losses;
    unsigned char *train_contexts, *targets;
    float *losses_host;
    double *squares;
    unsigned long long *nonfinite;
};

/* CFG_E_NOMEM or CFG_E_IO with CUDA's reason; 0 for success. */
CFG_MUST_CHECK int cfg_cuda_check(cudaError_t rc, const char *what, struct cfg_error *err);
CFG_MUST_CHECK int cfg_cuda_blas(cublasStatus_t rc, const char *what, struct cfg_error *err);
/* Makes the model's device this thread's, as CUDA's calls go by the thread. */
CFG_MUST_CHECK int cfg_cuda_use(const struct cfg_model_cuda *m, struct cfg_error *err);
/* What came of the kernels queued since the last check, as far as their launch goes. */
CFG_MUST_CHECK int cfg_cuda_launched(struct cfg_error *err);
/* Zeroed device memory in *out. */
CFG_MUST_CHECK int cfg_cuda_alloc(void **out, size_t bytes, struct cfg_error *err);

/* One row-major product, c (rows × cols) = keep · c + op(a) op(b), with `in` summed over. With bf16, operands are
 * rounded to it first and summed in float32; parameters are found in weights16. */
struct cfg_cuda_product {
    float *c;
    const float *a, *b;
    size_t rows, in, cols;
    bool turn_a, turn_b; /* a lies as in × rows, b as cols × in */
    float keep;
};
CFG_MUST_CHECK int cfg_cuda_multiply(struct cfg_model_cuda *m, const struct cfg_cuda_product *p, struct cfg_error *err);
/* After the weights have changed. */
void cfg_cuda_round_weights(struct cfg_model_cuda *m);

/* --- model_train_cuda.c --- */
CFG_MUST_CHECK int cfg_cuda_train_new(struct cfg_model_cuda *m, struct cfg_error *err);
void cfg_cuda_train_free(struct cfg_model_cuda *m);
int cfg_cuda_gradients(struct cfg_model *base, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                       double *loss, struct cfg_error *err);
int cfg_cuda_loss(struct cfg_model *base, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                  double *loss, struct cfg_error *err);
int cfg_cuda_update(struct cfg_model *base, const struct cfg_model_update *u, struct cfg_model_updated *out,
                    struct cfg_error *err);

/* --- model_state_cuda.c: members of the vtable --- */
int cfg_cuda_load(struct cfg_model *base, const float *weights, struct cfg_error *err);
int cfg_cuda_store(struct cfg_model *base, float *weights, struct cfg_error *err);
float *cfg_cuda_gradient(struct cfg_model *base);
int cfg_cuda_gradient_read(struct cfg_model *base, float *out, struct cfg_error *err);
int cfg_cuda_gradient_write(struct cfg_model *base, const float *in, struct cfg_error *err);
int cfg_cuda_extra_read(struct cfg_model *base, float out[CFG_GRADIENT_EXTRA], struct cfg_error *err);
int cfg_cuda_extra_write(struct cfg_model *base, const float in[CFG_GRADIENT_EXTRA], struct cfg_error *err);
int cfg_cuda_moments_read(struct cfg_model *base, float *first, float *second, struct cfg_error *err);
int cfg_cuda_moments_write(struct cfg_model *base, const float *first, const float *second, struct cfg_error *err);

#endif
