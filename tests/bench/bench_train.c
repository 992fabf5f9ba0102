/* Training on a CPU against the machine's own matrix products: one step of the model (embedding, products, activations,
 * loss, the way back, clipping, Adam) against the very same products alone, in turn, in the same process.
 *
 *     bench_train [ROWS [HIDDEN [ROUNDS]]]      default 256 256 15; one BLAS thread */
#include "tests/bench/bench.h"
#include "worker/model/model.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MAX = 63, STEPS = 20 };

struct rig {
    struct cfg_model_shape shape;
    struct cfg_model *model;
    uint32_t rows;
    unsigned char *contexts, *targets;
    float *a, *b, *c; /* operands of the products, as large as the largest */
    uint64_t step;
};

static void *need(void *p)
{
    if (p == NULL) {
        (void)fprintf(stderr, "bench_train: out of memory\n");
        exit(1);
    }
    return p;
}

static void begin(struct rig *r)
{
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_model_options o = {.shape = r->shape, .backend = "cpu", .train_rows = r->rows, .threads = 1};
    if (cfg_model_new(&r->model, &o, &err) != 0) {
        (void)fprintf(stderr, "bench_train: %s\n", err.text);
        exit(1);
    }
    size_t n = cfg_model_n_parameters(&r->shape);
    size_t wide = (size_t)r->shape.context * r->shape.embed;
    wide = wide > r->shape.hidden ? wide : r->shape.hidden;
    wide = wide > CFG_MODEL_SYMBOLS ? wide : CFG_MODEL_SYMBOLS;
    size_t most = wide * (wide > r->rows ? wide : r->rows);
    float *w = need(calloc(n, sizeof *w));
    cfg_model_initialise(w, &r->shape, 1);
    if (cfg_model_load(r->model, w, &err) != 0) {
        exit(1);
    }
    free(w);
    r->contexts = need(malloc((size_t)r->rows * r->shape.context));
    r->targets = need(malloc(r->rows));
    for (size_t i = 0; i < (size_t)r->rows * r->shape.context; i++) {
        r->contexts[i] = (unsigned char)(cfg_sample_uniform_at(2, i) * CFG_MODEL_SYMBOLS);
    }
    memcpy(r->targets, r->contexts, r->rows);
    r->a = need(aligned_alloc(64, (most * sizeof(float) + 63) / 64 * 64));
    r->b = need(aligned_alloc(64, (most * sizeof(float) + 63) / 64 * 64));
    r->c = need(aligned_alloc(64, (most * sizeof(float) + 63) / 64 * 64));
    for (size_t i = 0; i < most; i++) {
        r->a[i] = r->b[i] = (float)cfg_sample_uniform_at(3, i) - 0.5F;
        r->c[i] = 0;
    }
}

static void train(struct rig *r)
{
    double loss = 0;
    struct cfg_model_updated done;
    const struct cfg_model_update u = {.lr = 1e-3, .clip = 1, .scale = 1.0 / r->rows, .step = ++r->step};
    if (cfg_model_gradients(r->model, r->contexts, r->targets, r->rows, &loss, NULL) != 0 ||
        cfg_model_apply(r->model, &u, &done, NULL) != 0) {
        exit(1);
    }
}

/* Forward, to the weights, to the inputs: the three products of a layer. */
static void products(struct rig *r, int in, int cols)
{
    int rows = (int)r->rows;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, cols, in, 1, r->a, in, r->b, cols, 1, r->c, cols);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, cols, rows, 1, r->a, in, r->b, cols, 1, r->c, cols);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, in, cols, 1, r->a, cols, r->b, cols, 0, r->c, in);
}

static void products_only(struct rig *r)
{
    for (uint32_t l = 0; l < r->shape.layers; l++) {
        products(r, (int)cfg_model_layer_inputs(&r->shape, l), (int)r->shape.hidden);
    }
    products(r, (int)r->shape.hidden, CFG_MODEL_SYMBOLS);
}

/* CPU time: one thread computes, and others on the machine are no matter of the ratio. */
static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rate(struct rig *r, void (*work)(struct rig *))
{
    double started = cpu_s();
    for (int i = 0; i < STEPS; i++) {
        work(r);
    }
    return 3 * cfg_model_row_flops(&r->shape) * r->rows * STEPS / (cpu_s() - started) / 1e9;
}

int main(int argc, char **argv)
{
    double ours[ROUNDS_MAX], floor[ROUNDS_MAX];
    struct rig r = {.shape = {16, 16, 256, 3}, .rows = 256};
    r.rows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : r.rows;
    r.shape.hidden = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : r.shape.hidden;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 15;
    rounds = rounds > ROUNDS_MAX || rounds == 0 ? ROUNDS_MAX : rounds;
    begin(&r);
    (void)rate(&r, train);
    (void)rate(&r, products_only);
    for (size_t i = 0; i < rounds; i++) {
        ours[i] = rate(&r, train);
        floor[i] = rate(&r, products_only);
    }
    (void)printf("training: context %u × embed %u, hidden %u, %u layers (%zu parameters), %u rows per step\n",
                 r.shape.context, r.shape.embed, r.shape.hidden, r.shape.layers, cfg_model_n_parameters(&r.shape),
                 r.rows);
    bench_print_ratio("train step", "GFLOP/s", ours, floor, rounds, "0.6 of the products alone");
    cfg_model_free(r.model);
    free(r.contexts), free(r.targets), free(r.a), free(r.b), free(r.c);
    return 0;
}
