/* The cuda back end against the cpu one: outputs, gradients, training, sampling, and what inference promises. Skipped
 * where no GPU can be used. Tolerances: float32 products sum in another order on a GPU, bf16 rounds operands to 8 bits.
 */
#include "worker/allreduce.h"
#include "worker/model/model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cfg_model_shape shape = {16, 16, 256, 3};
enum { ROWS = 96 };

static void need_gpu(void)
{
    const char *why;
    if (!cfg_model_has_backend("cuda", &why)) {
        (void)printf("SKIP: no GPU: %s\n", why);
        (void)fflush(stdout);
        cr_skip_test("no GPU");
    }
}

static struct cfg_model *model(const char *backend, enum cfg_model_precision precision, uint32_t train_rows)
{
    struct cfg_model *m = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_model_options o = {
        .shape = shape, .backend = backend, .precision = precision, .train_rows = train_rows};
    cr_assert_eq(cfg_model_new(&m, &o, &err), 0, "%s", err.text);
    float *w = calloc(cfg_model_n_parameters(&shape), sizeof *w);
    cr_assert_not_null(w);
    cfg_model_initialise(w, &shape, 3);
    cr_assert_eq(cfg_model_load(m, w, &err), 0, "%s", err.text);
    free(w);
    return m;
}

static void bytes(unsigned char *out, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (unsigned char)(cfg_sample_uniform_at(seed, i) * 256);
    }
}

/* The greatest difference, relative to the norm of a. */
static double distance(const float *a, const float *b, size_t n)
{
    double worst = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        norm = fmax(norm, fabs((double)a[i]));
    }
    return worst / norm;
}

static float *logits(struct cfg_model *m, const unsigned char *contexts, uint32_t n)
{
    float *out = calloc((size_t)n * 256, sizeof *out);
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_model_batch b = {.n = n, .contexts = contexts, .logits = out};
    cr_assert_not_null(out);
    cr_assert_eq(cfg_model_infer(m, &b, &err), 0, "%s", err.text);
    return out;
}

static const struct {
    enum cfg_model_precision precision;
    double logits, gradient, loss;
} tolerances[] = {{CFG_FLOAT32, 1e-5, 1e-4, 1e-3}, {CFG_BF16, 2e-2, 5e-2, 5e-2}};

Test(cuda, outputs_and_gradients_agree_with_the_cpu, .init = need_gpu)
{
    for (size_t k = 0; k < 2; k++) {
        struct cfg_model *cpu = model("cpu", CFG_FLOAT32, ROWS), *gpu = model("cuda", tolerances[k].precision, ROWS);
        unsigned char contexts[ROWS * 16], targets[ROWS];
        double loss[2] = {0, 0};
        size_t n = cfg_model_n_parameters(&shape);
        bytes(contexts, sizeof contexts, 1);
        bytes(targets, sizeof targets, 2);
        cr_assert_eq(cfg_model_capture(cpu, (uint32_t[]){ROWS}, 1, NULL), 0);
        cr_assert_eq(cfg_model_capture(gpu, (uint32_t[]){ROWS}, 1, NULL), 0);
        float *a = logits(cpu, contexts, ROWS), *b = logits(gpu, contexts, ROWS);
        cr_expect_lt(distance(a, b, (size_t)ROWS * 256), tolerances[k].logits);
        cr_assert_eq(cfg_model_gradients(cpu, contexts, targets, ROWS, &loss[0], NULL), 0);
        cr_assert_eq(cfg_model_gradients(gpu, contexts, targets, ROWS, &loss[1], NULL), 0);
        cr_expect_float_eq(loss[0], loss[1], tolerances[k].loss * ROWS);
        float *g = calloc(n + CFG_GRADIENT_EXTRA, sizeof *g);
        cr_assert(g != NULL && cfg_model_gradient_read(gpu, g, NULL) == 0);
        cr_expect_lt(distance(cfg_model_gradient(cpu), g, n), tolerances[k].gradient);
        free(a), free(b), free(g);
        cfg_model_free(cpu);
        cfg_model_free(gpu);
    }
}

static double train(struct cfg_model *m, int steps)
{
    unsigned char contexts[ROWS * 16], targets[ROWS];
    double loss = 0;
    bytes(contexts, sizeof contexts, 8);
    bytes(targets, sizeof targets, 9);
    for (int i = 1; i <= steps; i++) {
        struct cfg_model_updated done;
        const struct cfg_model_update u = {.lr = 0.003, .clip = 1, .scale = 1.0 / ROWS, .step = (uint64_t)i};
        loss = 0;
        cr_assert_eq(cfg_model_gradients(m, contexts, targets, ROWS, &loss, NULL), 0);
        cr_assert_eq(cfg_model_apply(m, &u, &done, NULL), 0);
        cr_assert_eq(done.nonfinite, 0U);
    }
    return loss / ROWS;
}

Test(cuda, training_goes_the_same_way_and_twice_gives_the_same_bits, .init = need_gpu)
{
    struct cfg_model *cpu = model("cpu", CFG_FLOAT32, ROWS);
    double want = train(cpu, 20);
    size_t n = cfg_model_n_parameters(&shape);
    for (size_t k = 0; k < 2; k++) {
        struct cfg_model *a = model("cuda", tolerances[k].precision, ROWS);
        struct cfg_model *b = model("cuda", tolerances[k].precision, ROWS);
        float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
        cr_expect_float_eq(train(a, 20), want, 20 * tolerances[k].loss);
        (void)train(b, 20);
        cr_assert(x != NULL && y != NULL);
        cr_assert_eq(cfg_model_store(a, x, NULL), 0);
        cr_assert_eq(cfg_model_store(b, y, NULL), 0);
        cr_expect_eq(memcmp(x, y, n * sizeof *x), 0);
        free(x), free(y);
        cfg_model_free(a);
        cfg_model_free(b);
    }
    cfg_model_free(cpu);
}

Test(cuda, a_gradient_that_is_not_finite_updates_nothing, .init = need_gpu)
{
    struct cfg_model *m = model("cuda", CFG_FLOAT32, ROWS);
    size_t n = cfg_model_n_parameters(&shape);
    float *g = calloc(n + CFG_GRADIENT_EXTRA, sizeof *g), *before = calloc(n, sizeof *before);
    float *after = calloc(n, sizeof *after);
    const struct cfg_model_update u = {.lr = 0.01, .scale = 1, .step = 1};
    struct cfg_model_updated done;
    cr_assert(g != NULL && before != NULL && after != NULL && cfg_model_store(m, before, NULL) == 0);
    g[5] = NAN;
    g[n - 1] = INFINITY;
    cr_assert_eq(cfg_model_gradient_write(m, g, NULL), 0);
    cr_assert_eq(cfg_model_apply(m, &u, &done, NULL), 0);
    cr_expect_eq(done.nonfinite, 2U);
    cr_assert_eq(cfg_model_store(m, after, NULL), 0);
    cr_expect_eq(memcmp(before, after, n * sizeof *after), 0);
    free(g), free(before), free(after);
    cfg_model_free(m);
}

/* A row alone and at places of batches of all buckets, whoever else is there. */
Test(cuda, a_row_does_not_depend_on_what_shares_its_batch, .init = need_gpu)
{
    static const uint32_t buckets[] = {1, 8, 32, 100};
    for (size_t k = 0; k < 2; k++) {
        struct cfg_model *m = model("cuda", tolerances[k].precision, 0);
        unsigned char contexts[100 * 16], mine[16];
        cr_assert_eq(cfg_model_capture(m, buckets, 4, NULL), 0);
        bytes(mine, sizeof mine, 100);
        float *alone = logits(m, mine, 1);
        for (uint32_t n = 1; n <= 100; n += n < 10 ? 1 : 15) {
            for (uint32_t at = 0; at<n; at += n> 10 ? 7 : 1) {
                bytes(contexts, sizeof contexts, 1000 * n + at);
                memcpy(contexts + at * 16, mine, 16);
                float *all = logits(m, contexts, n);
                cr_assert_eq(memcmp(all + at * 256, alone, 256 * sizeof *alone), 0, "row %u of %u", at, n);
                free(all);
            }
        }
        free(alone);
        cfg_model_free(m);
    }
}

/* The kernel draws what sample.c draws from the same logits; an exponential that differs in its last bit may move one
 * draw in many. The version that comes back is the one that was set; nothing is captured anew. */
Test(cuda, sampling_and_live_parameters, .init = need_gpu)
{
    enum { N = 64, CHANGES = 200 };
    struct cfg_model *m = model("cuda", CFG_FLOAT32, 0);
    unsigned char contexts[N * 16], byte[N];
    float out[N * 256];
    unsigned differ = 0;
    struct cfg_model_row rows[N];
    struct cfg_model_batch b = {.n = N, .contexts = contexts, .rows = rows, .bytes = byte, .logits = out};
    cr_assert_eq(cfg_model_capture(m, (uint32_t[]){8, N}, 2, NULL), 0);
    for (uint32_t v = 1; v <= CHANGES; v++) {
        const struct cfg_live_params p = {v, 0.25F * (float)(v % 7), v % 3 ? 0.9F : 1, v % 5 ? 40 : 0, 0};
        bytes(contexts, sizeof contexts, v);
        for (uint32_t i = 0; i < N; i++) {
            rows[i] = (struct cfg_model_row){cfg_sample_uniform_at(i, v), 0.5F, 1, 3,
                                             i % 4 == 0   ? CFG_OWN_TEMPERATURE
                                             : i % 4 == 1 ? CFG_OWN_TOP_K
                                                          : 0};
        }
        cr_assert_eq(cfg_model_live(m, &p, NULL), 0);
        cr_assert_eq(cfg_model_infer(m, &b, NULL), 0);
        cr_assert_eq(b.version, v);
        for (uint32_t i = 0; i < N; i++) {
            const struct cfg_sample_how how = {i % 4 == 0 ? 0.5F : p.temperature, p.top_p, i % 4 == 1 ? 3 : p.top_k};
            unsigned want = cfg_sample(out + i * 256, &how, rows[i].uniform);
            differ += byte[i] != want ? 1 : 0;
            cr_assert(how.temperature > 0 || byte[i] == want, "greedy is exact");
        }
    }
    cr_expect_leq(differ, (unsigned)(N * CHANGES / 1000));
    cr_expect_eq(m->figures.captures, 2U);
    cfg_model_free(m);
}

/* NCCL refuses two ranks on one GPU; a world of one runs the same calls. */
Test(cuda, nccl_sums_what_lies_on_the_device, .init = need_gpu)
{
    struct cfg_model *m = model("cuda", CFG_FLOAT32, ROWS);
    struct cfg_allreduce *a = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    size_t n = cfg_model_n_parameters(&shape) + CFG_GRADIENT_EXTRA;
    const struct cfg_allreduce_options o = {.kind = "nccl",
                                            .address = "127.0.0.1:0",
                                            .name = "job",
                                            .world = 1,
                                            .join_ms = 30000,
                                            .deadline_ms = 30000,
                                            .stream = m->stream};
    float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
    cr_assert(x != NULL && y != NULL);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)i;
    }
    cr_assert_eq(cfg_allreduce_new(&a, &o, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_model_gradient_write(m, x, &err), 0);
    cr_assert_eq(a->ops->sum(a, cfg_model_gradient(m), n, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_model_gradient_read(m, y, &err), 0);
    cr_expect_eq(memcmp(x, y, n * sizeof *x), 0);
    free(x), free(y);
    cfg_allreduce_free(a);
    cfg_model_free(m);
}
