/* The cpu back end's training: products of a whole micro batch by OpenBLAS, the rest by the loops of vec.h. */
#include "worker/model/model_cpu.h"
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_model_cpu *self(struct cfg_model *m)
{
    return (struct cfg_model_cpu *)m;
}

int cfg_model_cpu_train_new(struct cfg_model_cpu *m, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t rows = m->base.train_rows;
    struct {
        float **at;
        size_t count;
    } all[] = {
        {&m->gradient, m->n + CFG_GRADIENT_EXTRA},
        {&m->first, m->n},
        {&m->second, m->n},
        {&m->inputs, rows * s->context * s->embed},
        {&m->states, rows * s->hidden * s->layers},
        {&m->slopes, rows * s->hidden * s->layers},
        {&m->outputs, rows * CFG_MODEL_SYMBOLS},
        {&m->back, rows * s->hidden},
        {&m->inward, rows * s->hidden},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        *all[i].at = cfg_model_cpu_floats(all[i].count);
        if (*all[i].at == NULL) {
            return cfg_fail(err, CFG_E_NOMEM, "out of memory for training with micro batches of %zu rows", rows);
        }
    }
    return 0;
}

void cfg_model_cpu_train_free(struct cfg_model_cpu *m)
{
    float *all[] = {m->gradient, m->first, m->second, m->inputs, m->states, m->slopes, m->outputs, m->back, m->inward};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        free(all[i]);
    }
}

/* --- products; all row-major --- */

/* c (rows × cols) += a (rows × in) w (in × cols) */
static void product(float *c, const float *a, const float *w, size_t rows, size_t in, size_t cols)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)rows, (blasint)cols, (blasint)in, 1, a, (blasint)in,
                w, (blasint)cols, 1, c, (blasint)cols);
}

/* g (in × cols) += aᵀ d, summed over the rows */
static void product_weight(float *g, const float *a, const float *d, size_t rows, size_t in, size_t cols)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)in, (blasint)cols, (blasint)rows, 1, a, (blasint)in,
                d, (blasint)cols, 1, g, (blasint)cols);
}

/* b (rows × in) = keep · b + d (rows × cols) wᵀ */
static void product_back(float *b, const float *d, const float *w, size_t rows, size_t in, size_t cols, float keep)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)in, (blasint)cols, 1, d, (blasint)cols,
                w, (blasint)cols, keep, b, (blasint)in);
}

/* --- forward, keeping what the way back needs --- */

static void forward(struct cfg_model_cpu *m, const unsigned char *contexts, size_t rows)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t plane = rows * s->hidden;
    cfg_model_cpu_embed(m, m->inputs, contexts, rows);
    for (uint32_t l = 0; l < s->layers; l++) {
        float *state = m->states + l * plane;
        const float *before = l == 0 ? m->inputs : state - plane;
        cfg_vec_rows_set(state, m->weights + cfg_model_at_bias(s, l), rows, s->hidden);
        product(state, before, m->weights + cfg_model_at_weight(s, l), rows, cfg_model_layer_inputs(s, l), s->hidden);
        cfg_vec_silu(state, m->slopes + l * plane, plane);
        if (l > 0) {
            cfg_vec_add(state, before, plane);
        }
    }
    cfg_vec_rows_set(m->outputs, m->weights + cfg_model_at_head_bias(s), rows, CFG_MODEL_SYMBOLS);
    product(m->outputs, m->states + (s->layers - 1) * plane, m->weights + cfg_model_at_head(s), rows, s->hidden,
            CFG_MODEL_SYMBOLS);
}

/* --- and back --- */

/* The gradient with respect to the embeddings, added to the rows of the bytes they came from. */
static void embed_back(struct cfg_model_cpu *m, const unsigned char *contexts, size_t rows)
{
    size_t embed = m->base.shape.embed;
    for (size_t i = 0; i < rows * m->base.shape.context; i++) {
        float *to = m->gradient + contexts[i] * embed;
        const float *from = m->inputs + i * embed;
        for (size_t k = 0; k < embed; k++) {
            to[k] += from[k];
        }
    }
}

static void backward(struct cfg_model_cpu *m, const unsigned char *contexts, size_t rows)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t plane = rows * s->hidden;
    float *g = m->gradient;
    product_weight(g + cfg_model_at_head(s), m->states + (s->layers - 1) * plane, m->outputs, rows, s->hidden,
                   CFG_MODEL_SYMBOLS);
    cfg_vec_rows_sum(g + cfg_model_at_head_bias(s), m->outputs, rows, CFG_MODEL_SYMBOLS);
    product_back(m->back, m->outputs, m->weights + cfg_model_at_head(s), rows, s->hidden, CFG_MODEL_SYMBOLS, 0);
    for (uint32_t l = s->layers; l-- > 0;) {
        const float *w = m->weights + cfg_model_at_weight(s, l);
        size_t in = cfg_model_layer_inputs(s, l);
        memcpy(m->inward, m->back, plane * sizeof *m->back);
        cfg_vec_multiply(m->inward, m->slopes + l * plane, plane);
        cfg_vec_rows_sum(g + cfg_model_at_bias(s, l), m->inward, rows, s->hidden);
        product_weight(g + cfg_model_at_weight(s, l), l == 0 ? m->inputs : m->states + (l - 1) * plane, m->inward, rows,
                       in, s->hidden);
        /* Past a further layer the gradient also goes straight on; the first has no such way around it. */
        product_back(l == 0 ? m->inputs : m->back, m->inward, w, rows, in, s->hidden, l == 0 ? 0 : 1);
    }
    embed_back(m, contexts, rows);
}

int cfg_model_cpu_gradients(struct cfg_model *base, const unsigned char *contexts, const unsigned char *targets,
                            uint32_t n, double *loss, struct cfg_error *err)
{
    struct cfg_model_cpu *m = self(base);
    (void)err;
    forward(m, contexts, n);
    *loss += cfg_vec_cross_entropy(m->outputs, targets, n);
    backward(m, contexts, n);
    return 0;
}

int cfg_model_cpu_loss(struct cfg_model *base, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                       double *loss, struct cfg_error *err)
{
    struct cfg_model_cpu *m = self(base);
    (void)err;
    forward(m, contexts, n);
    *loss += cfg_vec_loss(m->outputs, targets, n);
    return 0;
}

int cfg_model_cpu_update(struct cfg_model *base, const struct cfg_model_update *u, struct cfg_model_updated *out,
                         struct cfg_error *err)
{
    struct cfg_model_cpu *m = self(base);
    (void)err;
    out->nonfinite = cfg_vec_nonfinite(m->gradient, m->n);
    out->grad_norm = out->nonfinite > 0 ? NAN : sqrt(cfg_vec_sum_of_squares(m->gradient, m->n)) * u->scale;
    if (out->nonfinite == 0) {
        const struct cfg_vec_adam a = cfg_model_adam(u, out->grad_norm);
        cfg_vec_adam(m->weights, m->first, m->second, m->gradient, m->n, &a);
    }
    memset(m->gradient, 0, (m->n + CFG_GRADIENT_EXTRA) * sizeof *m->gradient);
    return 0;
}
