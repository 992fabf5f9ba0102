/* What the model is made of, once for all back ends: its shape, and where each tensor lies in one flat array.
 *
 *     x  = the embeddings of the `context` bytes before the one to predict, side by side   (context × embed)
 *     h₁ = silu(x W₀ + b₀)                                                                 (hidden)
 *     hᵢ = hᵢ₋₁ + silu(hᵢ₋₁ Wᵢ₋₁ + bᵢ₋₁)        for every further layer
 *     logits = h W + b                                                                     (256)
 *
 * All of it is matrix products over the rows of a batch. Parameters, gradients and the optimizer's moments are flat
 * float32 arrays of the same layout, so that reducing, clipping, updating and saving are loops over one array. Matrices
 * are row-major with one row per input. Pure; no allocation. */
#ifndef CFG_MODEL_SHAPE_H
#define CFG_MODEL_SHAPE_H

#include <cfg/error.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFG_MODEL_SYMBOLS = 256,
    CFG_MODEL_CONTEXT_MAX = 1024,
    CFG_MODEL_EMBED_MAX = 1024,
    CFG_MODEL_HIDDEN_MAX = 16384,
    CFG_MODEL_LAYERS_MAX = 32,
    CFG_MODEL_TENSOR_NAME = 32,
};

struct cfg_model_shape {
    uint32_t context; /* bytes that a prediction sees */
    uint32_t embed;   /* floats per byte of context */
    uint32_t hidden;  /* floats per hidden layer */
    uint32_t layers;  /* hidden layers, at least 1 */
};

/* CFG_E_VALUE names the member that is zero, beyond its maximum, or with the others more than 2^30 parameters. */
CFG_MUST_CHECK int cfg_model_shape_check(const struct cfg_model_shape *s, struct cfg_error *err);
bool cfg_model_shape_equal(const struct cfg_model_shape *a, const struct cfg_model_shape *b);
/* The name of a member that differs ("model.hidden") with both values, NULL when none does. Static storage. */
const char *cfg_model_shape_differs(const struct cfg_model_shape *a, const struct cfg_model_shape *b, uint32_t *in_a,
                                    uint32_t *in_b);

struct cfg_model_tensor {
    char name[CFG_MODEL_TENSOR_NAME]; /* "embed.weight", "layers.0.weight", "layers.0.bias", …, "head.bias" */
    uint32_t rows, cols;              /* rows 0: a vector of cols */
    size_t offset, count;             /* floats */
};

/* The shape must have passed its check. Tensors are in the order of their offsets, without holes; i < the number. */
size_t cfg_model_n_tensors(const struct cfg_model_shape *s);
struct cfg_model_tensor cfg_model_tensor(const struct cfg_model_shape *s, size_t i);
size_t cfg_model_n_parameters(const struct cfg_model_shape *s);
/* Offsets, for the back ends. layer < layers. */
size_t cfg_model_at_weight(const struct cfg_model_shape *s, uint32_t layer);
size_t cfg_model_at_bias(const struct cfg_model_shape *s, uint32_t layer);
size_t cfg_model_at_head(const struct cfg_model_shape *s);
size_t cfg_model_at_head_bias(const struct cfg_model_shape *s);
uint32_t cfg_model_layer_inputs(const struct cfg_model_shape *s, uint32_t layer);

/* The floating-point operations of the matrix products for one row, forward; training costs three times that. */
double cfg_model_row_flops(const struct cfg_model_shape *s);

/* The last `context` of len bytes, with zero bytes in front where there are fewer. out holds s->context bytes. */
void cfg_model_context(unsigned char *out, const struct cfg_model_shape *s, const unsigned char *bytes, size_t len);

/* Where training begins: a pure function of shape and seed. values: cfg_model_n_parameters floats. */
void cfg_model_initialise(float *values, const struct cfg_model_shape *s, uint64_t seed);

#endif
