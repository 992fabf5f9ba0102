/* The cuda back end's training: as model_cpu_train.c, queued on the model's stream. */
#include "worker/model/model_cuda.h"
#include <math.h>
#include <string.h>

static struct cfg_model_cuda *self(struct cfg_model *m)
{
    return (struct cfg_model_cuda *)m;
}

int cfg_cuda_train_new(struct cfg_model_cuda *m, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t rows = m->base.train_rows;
    struct {
        void **at;
        size_t bytes;
    } all[] = {
        {(void **)&m->gradient, (m->n + CFG_GRADIENT_EXTRA) * sizeof(float)},
        {(void **)&m->first, m->n * sizeof(float)},
        {(void **)&m->second, m->n * sizeof(float)},
        {(void **)&m->inputs, rows * s->context * s->embed * sizeof(float)},
        {(void **)&m->states, rows * s->hidden * s->layers * sizeof(float)},
        {(void **)&m->slopes, rows * s->hidden * s->layers * sizeof(float)},
        {(void **)&m->outputs, rows * CFG_MODEL_SYMBOLS * sizeof(float)},
        {(void **)&m->back, rows * s->hidden * sizeof(float)},
        {(void **)&m->inward, rows * s->hidden * sizeof(float)},
        {(void **)&m->losses, rows * sizeof(float)},
        {(void **)&m->train_contexts, rows * s->context},
        {(void **)&m->targets, rows},
        {(void **)&m->squares, CFG_KERNEL_PARTS * sizeof(double)},
        {(void **)&m->nonfinite, CFG_KERNEL_PARTS * sizeof(unsigned long long)},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof all[0]; i++) {
        rc = cfg_cuda_alloc(all[i].at, all[i].bytes, err);
    }
    return rc == 0
               ? cfg_cuda_check(cudaMallocHost((void **)&m->losses_host, rows * sizeof(float)), "pinned memory", err)
               : rc;
}

void cfg_cuda_train_free(struct cfg_model_cuda *m)
{
    void *all[] = {m->gradient, m->first,  m->second, m->inputs,  m->states,         m->slopes,  m->outputs,
                   m->back,     m->inward, m->losses, m->squares, m->train_contexts, m->targets, m->nonfinite};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        (void)cudaFree(all[i]);
    }
    (void)cudaFreeHost(m->losses_host);
}

/* --- forward, keeping what the way back needs --- */

static int layer(struct cfg_model_cuda *m, float *out, const float *x, size_t weight, size_t bias, size_t rows,
                 size_t in, size_t cols, struct cfg_error *err)
{
    const struct cfg_cuda_product p = {
        .c = out, .a = x, .b = m->weights + weight, .rows = rows, .in = in, .cols = cols, .keep = 1};
    cfg_kernel_rows_set(out, m->weights + bias, rows, cols, m->stream);
    return cfg_cuda_multiply(m, &p, err);
}

static int forward(struct cfg_model_cuda *m, size_t rows, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t plane = rows * s->hidden;
    int rc = 0;
    cfg_kernel_embed(m->inputs, m->weights, m->train_contexts, rows * s->context, s->embed, m->stream);
    for (uint32_t l = 0; rc == 0 && l < s->layers; l++) {
        float *state = m->states + l * plane;
        const float *before = l == 0 ? m->inputs : state - plane;
        rc = layer(m, state, before, cfg_model_at_weight(s, l), cfg_model_at_bias(s, l), rows,
                   cfg_model_layer_inputs(s, l), s->hidden, err);
        cfg_kernel_silu(state, m->slopes + l * plane, plane, m->stream);
        if (l > 0) {
            cfg_kernel_add(state, before, plane, m->stream);
        }
    }
    return rc == 0 ? layer(m, m->outputs, m->states + (s->layers - 1) * plane, cfg_model_at_head(s),
                           cfg_model_at_head_bias(s), rows, s->hidden, CFG_MODEL_SYMBOLS, err)
                   : rc;
}

/* --- and back --- */

/* g (in × cols) += aᵀ d */
static int weight_back(struct cfg_model_cuda *m, size_t weight, const float *a, const float *d, size_t rows, size_t in,
                       size_t cols, struct cfg_error *err)
{
    const struct cfg_cuda_product p = {
        .c = m->gradient + weight, .a = a, .b = d, .rows = in, .in = rows, .cols = cols, .turn_a = true, .keep = 1};
    return cfg_cuda_multiply(m, &p, err);
}

/* to (rows × in) = keep · to + d wᵀ */
static int input_back(struct cfg_model_cuda *m, float *to, const float *d, size_t weight, size_t rows, size_t in,
                      size_t cols, float keep, struct cfg_error *err)
{
    const struct cfg_cuda_product p = {
        .c = to, .a = d, .b = m->weights + weight, .rows = rows, .in = cols, .cols = in, .turn_b = true, .keep = keep};
    return cfg_cuda_multiply(m, &p, err);
}

static int layer_back(struct cfg_model_cuda *m, uint32_t l, size_t rows, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t plane = rows * s->hidden, in = cfg_model_layer_inputs(s, l), weight = cfg_model_at_weight(s, l);
    cfg_kernel_multiply(m->inward, m->back, m->slopes + l * plane, plane, m->stream);
    cfg_kernel_rows_sum(m->gradient + cfg_model_at_bias(s, l), m->inward, rows, s->hidden, m->stream);
    int rc =
        weight_back(m, weight, l == 0 ? m->inputs : m->states + (l - 1) * plane, m->inward, rows, in, s->hidden, err);
    return rc == 0 ? input_back(m, l == 0 ? m->inputs : m->back, m->inward, weight, rows, in, s->hidden, l == 0 ? 0 : 1,
                                err)
                   : rc;
}

static int backward(struct cfg_model_cuda *m, size_t rows, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    const float *last = m->states + (s->layers - 1) * rows * s->hidden;
    int rc = weight_back(m, cfg_model_at_head(s), last, m->outputs, rows, s->hidden, CFG_MODEL_SYMBOLS, err);
    cfg_kernel_rows_sum(m->gradient + cfg_model_at_head_bias(s), m->outputs, rows, CFG_MODEL_SYMBOLS, m->stream);
    rc = rc == 0 ? input_back(m, m->back, m->outputs, cfg_model_at_head(s), rows, s->hidden, CFG_MODEL_SYMBOLS, 0, err)
                 : rc;
    for (uint32_t l = s->layers; rc == 0 && l-- > 0;) {
        rc = layer_back(m, l, rows, err);
    }
    cfg_kernel_embed_back(m->gradient, m->inputs, m->train_contexts, rows * s->context, s->embed, m->stream);
    return rc;
}

static int copy_in(struct cfg_model_cuda *m, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                   struct cfg_error *err)
{
    int rc = cfg_cuda_use(m, err);
    if (rc != 0) {
        return rc;
    }
    rc = cfg_cuda_check(cudaMemcpyAsync(m->train_contexts, contexts, (size_t)n * m->base.shape.context,
                                        cudaMemcpyHostToDevice, m->stream),
                        "a micro batch", err);
    return rc == 0 ? cfg_cuda_check(cudaMemcpyAsync(m->targets, targets, n, cudaMemcpyHostToDevice, m->stream),
                                    "a micro batch", err)
                   : rc;
}

/* Waits for the stream. */
static int add_losses(struct cfg_model_cuda *m, uint32_t n, double *loss, struct cfg_error *err)
{
    int rc = cfg_cuda_launched(err);
    rc = rc == 0 ? cfg_cuda_check(
                       cudaMemcpyAsync(m->losses_host, m->losses, n * sizeof(float), cudaMemcpyDeviceToHost, m->stream),
                       "losses", err)
                 : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaStreamSynchronize(m->stream), "a micro batch", err) : rc;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        *loss += (double)m->losses_host[i];
    }
    return rc;
}

int cfg_cuda_gradients(struct cfg_model *base, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                       double *loss, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    int rc = copy_in(m, contexts, targets, n, err);
    rc = rc == 0 ? forward(m, n, err) : rc;
    if (rc != 0) {
        return rc;
    }
    cfg_kernel_cross_entropy(m->outputs, m->losses, m->targets, n, true, m->stream);
    rc = backward(m, n, err);
    return rc == 0 ? add_losses(m, n, loss, err) : rc;
}

int cfg_cuda_loss(struct cfg_model *base, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                  double *loss, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    int rc = copy_in(m, contexts, targets, n, err);
    rc = rc == 0 ? forward(m, n, err) : rc;
    if (rc != 0) {
        return rc;
    }
    cfg_kernel_cross_entropy(m->outputs, m->losses, m->targets, n, false, m->stream);
    return add_losses(m, n, loss, err);
}

/* --- the optimizer --- */

static int measure(struct cfg_model_cuda *m, double *squares, uint64_t *nonfinite, struct cfg_error *err)
{
    double parts[CFG_KERNEL_PARTS];
    unsigned long long counts[CFG_KERNEL_PARTS];
    cfg_kernel_norm(m->squares, m->nonfinite, m->gradient, m->n, m->stream);
    int rc = cfg_cuda_check(cudaMemcpyAsync(parts, m->squares, sizeof parts, cudaMemcpyDeviceToHost, m->stream),
                            "the norm", err);
    rc = rc == 0
             ? cfg_cuda_check(cudaMemcpyAsync(counts, m->nonfinite, sizeof counts, cudaMemcpyDeviceToHost, m->stream),
                              "the norm", err)
             : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaStreamSynchronize(m->stream), "the norm", err) : rc;
    *squares = 0;
    *nonfinite = 0;
    for (size_t i = 0; rc == 0 && i < CFG_KERNEL_PARTS; i++) {
        *squares += parts[i];
        *nonfinite += counts[i];
    }
    return rc;
}

int cfg_cuda_update(struct cfg_model *base, const struct cfg_model_update *u, struct cfg_model_updated *out,
                    struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    double squares;
    uint64_t nonfinite;
    int rc = cfg_cuda_use(m, err);
    rc = rc == 0 ? measure(m, &squares, &nonfinite, err) : rc;
    if (rc != 0) {
        return rc;
    }
    out->nonfinite = nonfinite;
    out->grad_norm = nonfinite > 0 ? NAN : sqrt(squares) * u->scale;
    if (nonfinite == 0) {
        const struct cfg_vec_adam a = cfg_model_adam(u, out->grad_norm);
        const struct cfg_kernel_adam k = {a.beta1, a.beta2, a.scale, a.rate, a.correction, a.zero};
        cfg_kernel_adam(m->weights, m->first, m->second, m->gradient, m->n, &k, m->stream);
        cfg_cuda_round_weights(m);
    }
    rc = cfg_cuda_launched(err);
    return rc != 0
               ? rc
               : cfg_cuda_check(cudaMemsetAsync(m->gradient, 0, (m->n + CFG_GRADIENT_EXTRA) * sizeof(float), m->stream),
                                "the gradient", err);
}
