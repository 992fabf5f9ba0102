/* Shape and layout. See shape.h. */
#include "worker/model/shape.h"
#include "worker/model/sample.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_MEMBERS = 4 };
static const uint64_t most_parameters = UINT64_C(1) << 30;

static const struct {
    const char *name;
    size_t at;
    uint32_t max;
} members[N_MEMBERS] = {
    {"model.context", offsetof(struct cfg_model_shape, context), CFG_MODEL_CONTEXT_MAX},
    {"model.embed", offsetof(struct cfg_model_shape, embed), CFG_MODEL_EMBED_MAX},
    {"model.hidden", offsetof(struct cfg_model_shape, hidden), CFG_MODEL_HIDDEN_MAX},
    {"model.layers", offsetof(struct cfg_model_shape, layers), CFG_MODEL_LAYERS_MAX},
};

static uint32_t member(const struct cfg_model_shape *s, size_t i)
{
    uint32_t v;
    memcpy(&v, (const char *)s + members[i].at, sizeof v);
    return v;
}

int cfg_model_shape_check(const struct cfg_model_shape *s, struct cfg_error *err)
{
    for (size_t i = 0; i < N_MEMBERS; i++) {
        uint32_t v = member(s, i);
        if (v == 0 || v > members[i].max) {
            return cfg_fail(err, CFG_E_VALUE, "%s=%u: it lies between 1 and %u", members[i].name, v, members[i].max);
        }
    }
    /* Each product is below 2^36, so that nothing can overflow before it is compared. */
    uint64_t n = (uint64_t)s->context * s->embed * s->hidden;
    n += (uint64_t)s->hidden * s->hidden * (s->layers - 1U);
    if (n > most_parameters) {
        return cfg_fail(err, CFG_E_VALUE, "a model of context %u, embed %u, hidden %u and %u layers is too large",
                        s->context, s->embed, s->hidden, s->layers);
    }
    return 0;
}

bool cfg_model_shape_equal(const struct cfg_model_shape *a, const struct cfg_model_shape *b)
{
    uint32_t x, y;
    return cfg_model_shape_differs(a, b, &x, &y) == NULL;
}

const char *cfg_model_shape_differs(const struct cfg_model_shape *a, const struct cfg_model_shape *b, uint32_t *in_a,
                                    uint32_t *in_b)
{
    for (size_t i = 0; i < N_MEMBERS; i++) {
        if (member(a, i) != member(b, i)) {
            *in_a = member(a, i);
            *in_b = member(b, i);
            return members[i].name;
        }
    }
    return NULL;
}

uint32_t cfg_model_layer_inputs(const struct cfg_model_shape *s, uint32_t layer)
{
    return layer == 0 ? s->context * s->embed : s->hidden;
}

size_t cfg_model_at_weight(const struct cfg_model_shape *s, uint32_t layer)
{
    size_t at = (size_t)CFG_MODEL_SYMBOLS * s->embed;
    if (layer > 0) {
        at += ((size_t)cfg_model_layer_inputs(s, 0) + 1) * s->hidden;
        at += (layer - 1U) * ((size_t)s->hidden + 1) * s->hidden;
    }
    return at;
}

size_t cfg_model_at_bias(const struct cfg_model_shape *s, uint32_t layer)
{
    return cfg_model_at_weight(s, layer) + (size_t)cfg_model_layer_inputs(s, layer) * s->hidden;
}

size_t cfg_model_at_head(const struct cfg_model_shape *s)
{
    return cfg_model_at_bias(s, s->layers - 1) + s->hidden;
}

size_t cfg_model_at_head_bias(const struct cfg_model_shape *s)
{
    return cfg_model_at_head(s) + (size_t)s->hidden * CFG_MODEL_SYMBOLS;
}

size_t cfg_model_n_parameters(const struct cfg_model_shape *s)
{
    return cfg_model_at_head_bias(s) + CFG_MODEL_SYMBOLS;
}

size_t cfg_model_n_tensors(const struct cfg_model_shape *s)
{
    return 3 + 2 * (size_t)s->layers;
}

struct cfg_model_tensor cfg_model_tensor(const struct cfg_model_shape *s, size_t i)
{
    struct cfg_model_tensor t = {.name = "embed.weight", .rows = CFG_MODEL_SYMBOLS, .cols = s->embed};
    size_t last = cfg_model_n_tensors(s) - 1;
    uint32_t layer = (uint32_t)((i - 1) / 2);
    if (i >= last - 1) {
        bool bias = i == last;
        (void)snprintf(t.name, sizeof t.name, "head.%s", bias ? "bias" : "weight");
        t.rows = bias ? 0 : s->hidden;
        t.cols = CFG_MODEL_SYMBOLS;
        t.offset = bias ? cfg_model_at_head_bias(s) : cfg_model_at_head(s);
    } else if (i > 0) {
        bool bias = i % 2 == 0;
        (void)snprintf(t.name, sizeof t.name, "layers.%u.%s", layer, bias ? "bias" : "weight");
        t.rows = bias ? 0 : cfg_model_layer_inputs(s, layer);
        t.cols = s->hidden;
        t.offset = bias ? cfg_model_at_bias(s, layer) : cfg_model_at_weight(s, layer);
    }
    t.count = (size_t)(t.rows > 0 ? t.rows : 1) * t.cols;
    return t;
}

double cfg_model_row_flops(const struct cfg_model_shape *s)
{
    double n = (double)CFG_MODEL_SYMBOLS * s->hidden;
    for (uint32_t l = 0; l < s->layers; l++) {
        n += (double)cfg_model_layer_inputs(s, l) * s->hidden;
    }
    return 2 * n;
}

void cfg_model_context(unsigned char *out, const struct cfg_model_shape *s, const unsigned char *bytes, size_t len)
{
    size_t take = len < s->context ? len : s->context;
    memset(out, 0, s->context - take);
    if (take > 0) {
        memcpy(out + (s->context - take), bytes + (len - take), take);
    }
}

/* A matrix begins even between ± its bound, which keeps the variance of what passes through; a bias begins at 0. */
static double bound_of(const struct cfg_model_tensor *t, const struct cfg_model_shape *s, size_t i)
{
    if (i == 0) {
        return 1.0;
    }
    double bound = t->rows == 0 ? 0 : sqrt(3.0 / t->rows);
    bool inner = i > 2 && i + 2 < cfg_model_n_tensors(s);
    return inner ? bound / sqrt((double)s->layers) : i + 2 == cfg_model_n_tensors(s) ? 0.5 * bound : 1.6 * bound;
}

void cfg_model_initialise(float *values, const struct cfg_model_shape *s, uint64_t seed)
{
    for (size_t i = 0; i < cfg_model_n_tensors(s); i++) {
        struct cfg_model_tensor t = cfg_model_tensor(s, i);
        double bound = bound_of(&t, s, i);
        for (size_t k = 0; k < t.count; k++) {
            double u = cfg_sample_uniform_at(seed, t.offset + k);
            values[t.offset + k] = (float)((2 * u - 1) * bound);
        }
    }
}
