/* The model on a CPU: its layout, what it computes, its gradients, and that a row's result is its own. */
#include "worker/model/model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct cfg_model_shape small = {5, 3, 19, 3}, one_layer = {4, 6, 32, 1}, even = {16, 16, 128, 2};

static struct cfg_model *model(const struct cfg_model_shape *s, uint32_t train_rows, uint64_t seed)
{
    struct cfg_model *m = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_model_options o = {.shape = *s, .backend = "cpu", .train_rows = train_rows};
    cr_assert_eq(cfg_model_new(&m, &o, &err), 0, "%s", err.text);
    float *w = calloc(cfg_model_n_parameters(s), sizeof *w);
    cr_assert_not_null(w);
    cfg_model_initialise(w, s, seed);
    for (uint32_t l = 0; l < s->layers; l++) { /* biases begin at 0, which would hide mistakes */
        for (uint32_t j = 0; j < s->hidden; j++) {
            w[cfg_model_at_bias(s, l) + j] = 0.1F * (float)((int)(j % 7) - 3);
        }
    }
    cr_assert_eq(cfg_model_load(m, w, &err), 0);
    free(w);
    return m;
}

static void bytes(unsigned char *out, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (unsigned char)(cfg_sample_uniform_at(seed, i) * 256);
    }
}

/* --- the shape --- */

Test(shape, tensors_follow_one_another_without_holes)
{
    const struct cfg_model_shape *shapes[] = {&small, &one_layer, &even};
    for (size_t k = 0; k < 3; k++) {
        size_t at = 0;
        for (size_t i = 0; i < cfg_model_n_tensors(shapes[k]); i++) {
            struct cfg_model_tensor t = cfg_model_tensor(shapes[k], i);
            cr_assert_eq(t.offset, at, "%s", t.name);
            cr_assert_eq(t.count, (size_t)(t.rows > 0 ? t.rows : 1) * t.cols);
            at += t.count;
        }
        cr_assert_eq(at, cfg_model_n_parameters(shapes[k]));
    }
    cr_assert_str_eq(cfg_model_tensor(&small, 0).name, "embed.weight");
    cr_assert_str_eq(cfg_model_tensor(&small, 5).name, "layers.2.weight");
    cr_assert_str_eq(cfg_model_tensor(&small, 6).name, "layers.2.bias");
    cr_assert_str_eq(cfg_model_tensor(&small, 8).name, "head.bias");
}

Test(shape, what_cannot_be_is_named)
{
    static const struct {
        struct cfg_model_shape s;
        const char *says;
    } bad[] = {{{0, 1, 1, 1}, "model.context=0"},
               {{1, 0, 1, 1}, "model.embed=0"},
               {{1, 1, 16385, 1}, "model.hidden=16385"},
               {{1, 1, 1, 33}, "model.layers=33"},
               {{1024, 1024, 16384, 32}, "too large"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        cr_expect_eq(cfg_model_shape_check(&bad[i].s, &err), CFG_E_VALUE);
        cr_expect(strstr(err.text, bad[i].says) != NULL, "%s", err.text);
    }
    uint32_t a, b;
    const struct cfg_model_shape other = {5, 3, 20, 3};
    cr_assert_str_eq(cfg_model_shape_differs(&small, &other, &a, &b), "model.hidden");
    cr_assert(a == 19 && b == 20 && cfg_model_shape_equal(&small, &small));
}

Test(shape, a_context_is_the_last_bytes_behind_zeros)
{
    unsigned char c[5];
    cfg_model_context(c, &small, (const unsigned char *)"abcdefgh", 8);
    cr_assert_eq(memcmp(c, "defgh", 5), 0);
    cfg_model_context(c, &small, (const unsigned char *)"ab", 2);
    cr_assert_eq(memcmp(c, "\0\0\0ab", 5), 0);
    cfg_model_context(c, &small, NULL, 0);
    cr_assert_eq(memcmp(c, "\0\0\0\0\0", 5), 0);
}

/* --- a plain model in double, to compare with --- */

struct plain {
    struct cfg_model_shape s;
    double *w;
};

static void plain_logits(const struct plain *p, const unsigned char *context, double *logits)
{
    const struct cfg_model_shape *s = &p->s;
    double x[256], h[256] = {0}, next[256];
    for (uint32_t i = 0; i < s->context * s->embed; i++) {
        x[i] = p->w[context[i / s->embed] * s->embed + i % s->embed];
    }
    for (uint32_t l = 0; l < s->layers; l++) {
        uint32_t in = cfg_model_layer_inputs(s, l);
        for (uint32_t j = 0; j < s->hidden; j++) {
            double z = p->w[cfg_model_at_bias(s, l) + j];
            for (uint32_t k = 0; k < in; k++) {
                z += (l == 0 ? x[k] : h[k]) * p->w[cfg_model_at_weight(s, l) + k * s->hidden + j];
            }
            next[j] = (l == 0 ? 0 : h[j]) + z / (1 + exp(-z));
        }
        memcpy(h, next, s->hidden * sizeof *h);
    }
    for (uint32_t j = 0; j < 256; j++) {
        logits[j] = p->w[cfg_model_at_head_bias(s) + j];
        for (uint32_t k = 0; k < s->hidden; k++) {
            logits[j] += h[k] * p->w[cfg_model_at_head(s) + k * 256 + j];
        }
    }
}

static double plain_loss(const struct plain *p, const unsigned char *contexts, const unsigned char *targets, uint32_t n)
{
    double loss = 0;
    for (uint32_t r = 0; r < n; r++) {
        double logits[256], z = 0;
        plain_logits(p, contexts + r * p->s.context, logits);
        for (unsigned j = 0; j < 256; j++) {
            z += exp(logits[j]);
        }
        loss += log(z) - logits[targets[r]];
    }
    return loss;
}

static struct plain plain_of(struct cfg_model *m)
{
    size_t n = cfg_model_n_parameters(&m->shape);
    struct plain p = {m->shape, calloc(n, sizeof(double))};
    float *w = calloc(n, sizeof *w);
    cr_assert(p.w != NULL && w != NULL && cfg_model_store(m, w, NULL) == 0);
    for (size_t i = 0; i < n; i++) {
        p.w[i] = (double)w[i];
    }
    free(w);
    return p;
}

enum { ROWS = 5 };

/* Every eleventh parameter of two small models: the float32 gradient against central differences of the double model.
 */
Test(train, gradients_agree_with_finite_differences)
{
    const struct cfg_model_shape *shapes[] = {&small, &one_layer};
    for (size_t k = 0; k < 2; k++) {
        struct cfg_model *m = model(shapes[k], ROWS, 3 + k);
        struct plain p = plain_of(m);
        unsigned char contexts[ROWS * 8], targets[ROWS];
        double loss = 0, loss_only = 0, worst = 0, norm = 0;
        size_t n = cfg_model_n_parameters(shapes[k]);
        bytes(contexts, sizeof contexts, 1);
        bytes(targets, sizeof targets, 2);
        contexts[3] = contexts[1]; /* one byte at two places: its embedding hears of both */
        cr_assert_eq(cfg_model_gradients(m, contexts, targets, ROWS, &loss, NULL), 0);
        cr_assert_eq(cfg_model_loss(m, contexts, targets, ROWS, &loss_only, NULL), 0);
        cr_expect_float_eq(loss, plain_loss(&p, contexts, targets, ROWS), 1e-4);
        cr_expect_float_eq(loss_only, loss, 1e-5);
        const float *g = cfg_model_gradient(m);
        for (size_t i = k; i < n; i += 11) {
            const double e = 1e-5, was = p.w[i];
            if (i < 256 * shapes[k]->embed &&
                memchr(contexts, (int)(i / shapes[k]->embed), ROWS * shapes[k]->context) == NULL) {
                cr_assert_eq(g[i], 0.0F, "an embedding that nobody used");
                continue;
            }
            p.w[i] = was + e;
            double up = plain_loss(&p, contexts, targets, ROWS);
            p.w[i] = was - e;
            double down = plain_loss(&p, contexts, targets, ROWS);
            p.w[i] = was;
            double want = (up - down) / (2 * e);
            worst = fmax(worst, fabs(want - (double)g[i]));
            norm += want * want;
        }
        cr_expect_gt(sqrt(norm), 1.0);
        cr_expect_lt(worst / sqrt(norm), 2e-6, "worst difference %g of a gradient of norm %g", worst, sqrt(norm));
        free(p.w);
        cfg_model_free(m);
    }
}

Test(train, micro_batches_add_up)
{
    struct cfg_model *whole = model(&even, 32, 9), *parts = model(&even, 32, 9);
    unsigned char contexts[32 * 16], targets[32];
    double a = 0, b = 0;
    bytes(contexts, sizeof contexts, 5);
    bytes(targets, sizeof targets, 6);
    cr_assert_eq(cfg_model_gradients(whole, contexts, targets, 32, &a, NULL), 0);
    for (uint32_t i = 0; i < 32; i += 8) {
        cr_assert_eq(cfg_model_gradients(parts, contexts + i * 16, targets + i, 8, &b, NULL), 0);
    }
    cr_expect_float_eq(a, b, 1e-4);
    for (size_t i = 0; i < cfg_model_n_parameters(&even); i++) {
        cr_assert_float_eq(cfg_model_gradient(whole)[i], cfg_model_gradient(parts)[i], 1e-4);
    }
    cfg_model_free(whole);
    cfg_model_free(parts);
}

/* One step of Adam with clipping, in double by the book. */
Test(train, an_update_is_adam_with_clipping)
{
    struct cfg_model *m = model(&one_layer, ROWS, 1);
    size_t n = cfg_model_n_parameters(&one_layer);
    float *before = calloc(n, sizeof *before), *after = calloc(n, sizeof *after), *g = calloc(n + 4, sizeof *g);
    float *first = calloc(n, sizeof *first), *second = calloc(n, sizeof *second);
    cr_assert(before != NULL && after != NULL && g != NULL && first != NULL && second != NULL);
    double norm = 0;
    for (size_t i = 0; i < n; i++) {
        g[i] = (float)sin((double)i);
        norm += (double)g[i] * (double)g[i];
    }
    norm = sqrt(norm) / 8;
    cr_assert_eq(cfg_model_store(m, before, NULL), 0);
    cr_assert_eq(cfg_model_gradient_write(m, g, NULL), 0);
    const struct cfg_model_update u = {.lr = 0.01, .clip = 0.5, .scale = 1.0 / 8, .step = 3};
    struct cfg_model_updated done;
    cr_assert_eq(cfg_model_apply(m, &u, &done, NULL), 0);
    cr_expect_float_eq(done.grad_norm, norm, 1e-4 * norm);
    cr_expect_eq(done.nonfinite, 0U);
    cr_assert_eq(cfg_model_store(m, after, NULL), 0);
    cr_assert_eq(cfg_model_moments_read(m, first, second, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        double d = (double)g[i] / 8 * (0.5 / norm);
        double mom = 0.1 * d, var = 0.01 * d * d;
        double step = 0.01 * (mom / (1 - pow(0.9, 3))) / (sqrt(var / (1 - pow(0.99, 3))) + 1e-8);
        cr_assert_float_eq((double)after[i], (double)before[i] - step, 1e-6);
        cr_assert_float_eq((double)first[i], mom, 1e-8);
        cr_assert_float_eq((double)second[i], var, 1e-10);
        cr_assert_eq(cfg_model_gradient(m)[i], 0.0F, "cleared for the next step");
    }
    free(before), free(after), free(g), free(first), free(second);
    cfg_model_free(m);
}

Test(train, a_gradient_that_is_not_finite_updates_nothing)
{
    struct cfg_model *m = model(&one_layer, ROWS, 1);
    size_t n = cfg_model_n_parameters(&one_layer);
    float *before = calloc(n, sizeof *before), *after = calloc(n, sizeof *after);
    struct cfg_model_updated done;
    const struct cfg_model_update u = {.lr = 0.01, .scale = 1, .step = 1};
    cr_assert(before != NULL && after != NULL && cfg_model_store(m, before, NULL) == 0);
    cfg_model_gradient(m)[7] = NAN;
    cfg_model_gradient(m)[n - 1] = -INFINITY;
    cr_assert_eq(cfg_model_apply(m, &u, &done, NULL), 0);
    cr_expect_eq(done.nonfinite, 2U);
    cr_expect(!isfinite(done.grad_norm));
    cr_assert_eq(cfg_model_store(m, after, NULL), 0);
    cr_expect_eq(memcmp(before, after, n * sizeof *after), 0);
    cr_expect_eq(cfg_model_gradient(m)[7], 0.0F);
    free(before), free(after);
    cfg_model_free(m);
}

Test(train, learning_lowers_the_loss_and_twice_gives_the_same_bits)
{
    enum { STEPS = 40 };
    float *w[2];
    size_t n = cfg_model_n_parameters(&even);
    for (size_t k = 0; k < 2; k++) {
        struct cfg_model *m = model(&even, 64, 4);
        unsigned char contexts[64 * 16], targets[64];
        double first = 0, last = 0;
        bytes(contexts, sizeof contexts, 8);
        bytes(targets, sizeof targets, 9);
        for (uint64_t i = 1; i <= STEPS; i++) {
            struct cfg_model_updated done;
            const struct cfg_model_update u = {.lr = 0.01, .clip = 1, .scale = 1.0 / 64, .step = i};
            last = 0;
            cr_assert_eq(cfg_model_gradients(m, contexts, targets, 64, &last, NULL), 0);
            cr_assert_eq(cfg_model_apply(m, &u, &done, NULL), 0);
            first = i == 1 ? last : first;
        }
        cr_expect_lt(last, first / 4, "from %g to %g", first, last);
        w[k] = calloc(n, sizeof *w[k]);
        cr_assert(w[k] != NULL && cfg_model_store(m, w[k], NULL) == 0);
        cfg_model_free(m);
    }
    cr_expect_eq(memcmp(w[0], w[1], n * sizeof *w[0]), 0);
    free(w[0]), free(w[1]);
}

/* --- inference --- */

Test(infer, logits_agree_with_the_plain_model)
{
    const struct cfg_model_shape *shapes[] = {&small, &one_layer};
    for (size_t k = 0; k < 2; k++) {
        struct cfg_model *m = model(shapes[k], 0, 3);
        struct plain p = plain_of(m);
        unsigned char contexts[ROWS * 8];
        float logits[ROWS * 256];
        struct cfg_model_batch b = {.n = ROWS, .contexts = contexts, .logits = logits};
        bytes(contexts, sizeof contexts, 1);
        cr_assert_eq(cfg_model_capture(m, (uint32_t[]){4, 16}, 2, NULL), 0);
        cr_assert_eq(cfg_model_infer(m, &b, NULL), 0);
        cr_expect_eq(b.bucket, 16U, "5 rows do not fit into 4");
        for (uint32_t r = 0; r < ROWS; r++) {
            double want[256];
            plain_logits(&p, contexts + r * shapes[k]->context, want);
            for (unsigned j = 0; j < 256; j++) {
                cr_assert_float_eq((double)logits[r * 256 + j], want[j], 1e-5);
            }
        }
        free(p.w);
        cfg_model_free(m);
    }
}

/* A row alone, and the same row at every place of batches of many sizes: the same bits, whoever else is there. */
Test(infer, a_row_does_not_depend_on_what_shares_its_batch)
{
    enum { MOST = 33 };
    const struct cfg_model_shape *shapes[] = {&small, &even};
    for (size_t k = 0; k < 2; k++) {
        struct cfg_model *m = model(shapes[k], 0, 12);
        size_t context = shapes[k]->context;
        unsigned char contexts[MOST * 16], mine[16], byte[MOST];
        float alone[256], *logits = calloc((size_t)MOST * 256, sizeof *logits);
        struct cfg_model_row rows[MOST];
        cr_assert(logits != NULL && cfg_model_capture(m, (uint32_t[]){1, 8, 20, MOST}, 4, NULL) == 0);
        bytes(mine, sizeof mine, 100);
        struct cfg_model_batch b = {.n = 1, .contexts = mine, .logits = alone};
        cr_assert_eq(cfg_model_infer(m, &b, NULL), 0);
        for (uint32_t n = 1; n <= MOST; n += n < 9 ? 1 : 8) {
            for (uint32_t at = 0; at < n; at++) {
                bytes(contexts, sizeof contexts, 1000 * n + at);
                memcpy(contexts + at * context, mine, context);
                for (uint32_t i = 0; i < n; i++) {
                    rows[i] = (struct cfg_model_row){.uniform = cfg_sample_uniform_at(i, n)};
                }
                b = (struct cfg_model_batch){
                    .n = n, .contexts = contexts, .rows = rows, .bytes = byte, .logits = logits};
                cr_assert_eq(cfg_model_infer(m, &b, NULL), 0);
                cr_assert_eq(memcmp(logits + at * 256, alone, sizeof alone), 0, "row %u of %u", at, n);
                cr_assert_eq(byte[at], cfg_sample_greedy(alone));
            }
        }
        free(logits);
        cfg_model_free(m);
    }
}

Test(infer, live_parameters_take_hold_with_the_next_call_and_cost_no_capture)
{
    enum { N = 16 };
    struct cfg_model *m = model(&even, 0, 12);
    unsigned char contexts[N * 16], byte[N];
    float logits[N * 256];
    struct cfg_model_row rows[N];
    struct cfg_model_batch b = {.n = N, .contexts = contexts, .rows = rows, .bytes = byte, .logits = logits};
    bytes(contexts, sizeof contexts, 4);
    cr_assert_eq(cfg_model_capture(m, (uint32_t[]){N}, 1, NULL), 0);
    cr_assert_eq(m->figures.captures, 1U);
    for (uint32_t v = 0; v < 50; v++) {
        const struct cfg_live_params p = {v + 1, v % 3 == 0 ? 0 : 0.5F * (float)(v % 3), 0.95F, 30, 0};
        cr_assert_eq(cfg_model_live(m, &p, NULL), 0);
        for (uint32_t i = 0; i < N; i++) {
            rows[i] = (struct cfg_model_row){cfg_sample_uniform_at(i, v), 0, 1, 3,
                                             i % 2   ? CFG_OWN_TEMPERATURE
                                             : i % 4 ? CFG_OWN_TOP_K
                                                     : 0};
        }
        cr_assert_eq(cfg_model_infer(m, &b, NULL), 0);
        cr_assert_eq(b.version, v + 1);
        for (uint32_t i = 0; i < N; i++) {
            struct cfg_sample_how how = {i % 2 ? 0 : p.temperature, p.top_p, i % 2 == 0 && i % 4 ? 3 : 30};
            cr_assert_eq(byte[i], cfg_sample(logits + i * 256, &how, rows[i].uniform));
        }
    }
    cr_assert_eq(m->figures.captures, 1U);
    cr_assert_eq(m->figures.launches, 50U);
    cfg_model_free(m);
}

Test(infer, batches_that_do_not_fit_are_refused)
{
    struct cfg_model *m = model(&small, 0, 1);
    struct cfg_error err = CFG_ERROR_INIT;
    unsigned char contexts[9 * 5] = {0};
    float logits[9 * 256];
    struct cfg_model_batch b = {.n = 9, .contexts = contexts, .logits = logits};
    double loss = 0;
    cr_expect_eq(cfg_model_infer(m, &b, &err), CFG_E_LIMIT, "nothing captured");
    cr_assert_eq(cfg_model_capture(m, (uint32_t[]){2, 8}, 2, &err), 0);
    cr_expect_eq(cfg_model_infer(m, &b, &err), CFG_E_LIMIT);
    cr_expect_str_eq(err.text, "a batch of 9 rows; the largest captured has 8");
    b.n = 0;
    cr_expect_eq(cfg_model_infer(m, &b, &err), CFG_E_INVALID);
    cr_expect_eq(cfg_model_capture(m, (uint32_t[]){8, 8}, 2, &err), CFG_E_INVALID);
    cr_expect_eq(cfg_model_capture(m, (uint32_t[]){0}, 1, &err), CFG_E_INVALID);
    cr_expect_eq(cfg_model_capture(m, NULL, 0, &err), CFG_E_INVALID);
    cr_expect_eq(cfg_model_gradients(m, contexts, contexts, 1, &loss, &err), CFG_E_LIMIT, "made for inference only");
    cfg_model_free(m);
}

Test(model, unknown_back_ends_and_precisions_are_named)
{
    struct cfg_model *m = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_model_options o = {.shape = small, .backend = "tpu"};
    enum cfg_model_precision p = CFG_FLOAT32;
    cr_expect_eq(cfg_model_new(&m, &o, &err), CFG_E_INVALID);
    o.backend = "cpu";
    o.precision = CFG_BF16;
    cr_expect_eq(cfg_model_new(&m, &o, &err), CFG_E_UNSUPPORTED);
    cr_expect_str_eq(err.text, "the cpu back end computes in float32, not bf16");
    cr_expect_eq(cfg_model_precision_read(&p, "fp8", &err), CFG_E_INVALID);
    cr_expect_eq(cfg_model_precision_read(&p, "bf16", &err), 0);
    cr_expect_eq(p, CFG_BF16);
    cr_expect_null(m);
}
