/* The cpu back end: its life, and inference. See model.h and model_cpu.h.
 *
 * Inference takes rows in tiles through loops of our own (cfg_vec_affine) and not through a BLAS, whose kernels are
 * chosen by the shape of the whole product: what a row gives must not depend on who shares its batch. */
#include "worker/model/model_cpu.h"
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 16, ALIGNMENT = 64 };

static struct cfg_model_cpu *self(struct cfg_model *m)
{
    return (struct cfg_model_cpu *)m;
}

float *cfg_model_cpu_floats(size_t count)
{
    size_t bytes = (count * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    float *p = aligned_alloc(ALIGNMENT, bytes);
    if (p != NULL) {
        memset(p, 0, bytes);
    }
    return p;
}

void cfg_model_cpu_embed(const struct cfg_model_cpu *m, float *out, const unsigned char *contexts, size_t rows)
{
    size_t embed = m->base.shape.embed;
    for (size_t i = 0; i < rows * m->base.shape.context; i++) {
        memcpy(out + i * embed, m->weights + contexts[i] * embed, embed * sizeof *out);
    }
}

/* --- inference --- */

static void forward(struct cfg_model_cpu *m, const unsigned char *contexts, size_t rows)
{
    const struct cfg_model_shape *s = &m->base.shape;
    cfg_model_cpu_embed(m, m->x, contexts, rows);
    for (uint32_t l = 0; l < s->layers; l++) {
        const float *w = m->weights + cfg_model_at_weight(s, l);
        const float *bias = m->weights + cfg_model_at_bias(s, l);
        float *out = l == 0 ? m->h : m->z;
        cfg_vec_affine(out, l == 0 ? m->x : m->h, w, bias, rows, cfg_model_layer_inputs(s, l), s->hidden);
        for (size_t r = 0; r < rows; r++) { /* row by row: where vectors end must not depend on the row */
            cfg_vec_silu(out + r * s->hidden, NULL, s->hidden);
        }
        if (l > 0) {
            cfg_vec_add(m->h, m->z, rows * s->hidden);
        }
    }
    cfg_vec_affine(m->logits, m->h, m->weights + cfg_model_at_head(s), m->weights + cfg_model_at_head_bias(s), rows,
                   s->hidden, CFG_MODEL_SYMBOLS);
}

static int cpu_infer(struct cfg_model *base, struct cfg_model_batch *b, struct cfg_error *err)
{
    struct cfg_model_cpu *m = self(base);
    (void)err;
    for (uint32_t r = 0; r < b->n; r += TILE) {
        uint32_t rows = b->n - r < TILE ? b->n - r : TILE;
        forward(m, b->contexts + (size_t)r * base->shape.context, rows);
        for (uint32_t i = 0; b->rows != NULL && i < rows; i++) {
            const struct cfg_model_row *row = &b->rows[r + i];
            const struct cfg_sample_how how = cfg_model_how(&m->live, row);
            b->bytes[r + i] = (unsigned char)cfg_sample(m->logits + i * CFG_MODEL_SYMBOLS, &how, row->uniform);
        }
        if (b->logits != NULL) {
            memcpy(b->logits + (size_t)r * CFG_MODEL_SYMBOLS, m->logits,
                   (size_t)rows * CFG_MODEL_SYMBOLS * sizeof(float));
        }
    }
    b->version = m->live.version;
    return 0;
}

/* Buckets need nothing prepared here: a batch of any size is tiles. */
static int cpu_capture(struct cfg_model *base, struct cfg_error *err)
{
    (void)base;
    (void)err;
    return 0;
}

static int cpu_live(struct cfg_model *base, const struct cfg_live_params *p, struct cfg_error *err)
{
    (void)err;
    self(base)->live = *p;
    return 0;
}

/* --- state --- */

static int cpu_load(struct cfg_model *base, const float *weights, struct cfg_error *err)
{
    (void)err;
    memcpy(self(base)->weights, weights, self(base)->n * sizeof *weights);
    return 0;
}

static int cpu_store(struct cfg_model *base, float *weights, struct cfg_error *err)
{
    (void)err;
    memcpy(weights, self(base)->weights, self(base)->n * sizeof *weights);
    return 0;
}

static float *cpu_gradient(struct cfg_model *base)
{
    return self(base)->gradient;
}

static int cpu_gradient_read(struct cfg_model *base, float *out, struct cfg_error *err)
{
    (void)err;
    memcpy(out, self(base)->gradient, (self(base)->n + CFG_GRADIENT_EXTRA) * sizeof *out);
    return 0;
}

static int cpu_gradient_write(struct cfg_model *base, const float *in, struct cfg_error *err)
{
    (void)err;
    memcpy(self(base)->gradient, in, (self(base)->n + CFG_GRADIENT_EXTRA) * sizeof *in);
    return 0;
}

static int cpu_extra_read(struct cfg_model *base, float out[CFG_GRADIENT_EXTRA], struct cfg_error *err)
{
    (void)err;
    memcpy(out, self(base)->gradient + self(base)->n, CFG_GRADIENT_EXTRA * sizeof *out);
    return 0;
}

static int cpu_extra_write(struct cfg_model *base, const float in[CFG_GRADIENT_EXTRA], struct cfg_error *err)
{
    (void)err;
    memcpy(self(base)->gradient + self(base)->n, in, CFG_GRADIENT_EXTRA * sizeof *in);
    return 0;
}

static int cpu_moments_read(struct cfg_model *base, float *first, float *second, struct cfg_error *err)
{
    (void)err;
    memcpy(first, self(base)->first, self(base)->n * sizeof *first);
    memcpy(second, self(base)->second, self(base)->n * sizeof *second);
    return 0;
}

static int cpu_moments_write(struct cfg_model *base, const float *first, const float *second, struct cfg_error *err)
{
    (void)err;
    memcpy(self(base)->first, first, self(base)->n * sizeof *first);
    memcpy(self(base)->second, second, self(base)->n * sizeof *second);
    return 0;
}

/* --- life --- */

static void cpu_free(struct cfg_model *base)
{
    struct cfg_model_cpu *m = self(base);
    cfg_model_cpu_train_free(m);
    free(m->weights);
    free(m->x);
    free(m->h);
    free(m->z);
    free(m->logits);
    free(m);
}

static int allocate(struct cfg_model_cpu *m, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    m->n = cfg_model_n_parameters(s);
    m->weights = cfg_model_cpu_floats(m->n);
    m->x = cfg_model_cpu_floats((size_t)TILE * s->context * s->embed);
    m->h = cfg_model_cpu_floats((size_t)TILE * s->hidden);
    m->z = cfg_model_cpu_floats((size_t)TILE * s->hidden);
    m->logits = cfg_model_cpu_floats((size_t)TILE * CFG_MODEL_SYMBOLS);
    if (m->weights == NULL || m->x == NULL || m->h == NULL || m->z == NULL || m->logits == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a model of %zu parameters", m->n);
    }
    return m->base.train_rows > 0 ? cfg_model_cpu_train_new(m, err) : 0;
}

int cfg_model_cpu_new(struct cfg_model **out, const struct cfg_model_options *o, struct cfg_error *err)
{
    static const struct cfg_model_ops ops = {
        .name = "cpu",
        .load = cpu_load,
        .store = cpu_store,
        .capture = cpu_capture,
        .live = cpu_live,
        .infer = cpu_infer,
        .gradients = cfg_model_cpu_gradients,
        .loss = cfg_model_cpu_loss,
        .update = cfg_model_cpu_update,
        .gradient = cpu_gradient,
        .gradient_read = cpu_gradient_read,
        .gradient_write = cpu_gradient_write,
        .extra_read = cpu_extra_read,
        .extra_write = cpu_extra_write,
        .moments_read = cpu_moments_read,
        .moments_write = cpu_moments_write,
        .free = cpu_free,
    };
    if (o->precision != CFG_FLOAT32) {
        return cfg_fail(err, CFG_E_UNSUPPORTED, "the cpu back end computes in float32, not %s",
                        cfg_model_precision_name(o->precision));
    }
    struct cfg_model_cpu *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    m->base =
        (struct cfg_model){.ops = &ops, .shape = o->shape, .precision = o->precision, .train_rows = o->train_rows};
    (void)snprintf(m->base.device, sizeof m->base.device, "CPU (%s)", openblas_get_corename());
    int rc = allocate(m, err);
    if (rc != 0) {
        cpu_free(&m->base);
        return rc;
    }
    openblas_set_num_threads(o->threads > 0 ? (int)o->threads : 1);
    *out = &m->base;
    return 0;
}
