/* The model on the device at hand: bytes per second at each batch, the time of a training step, and from `set` sent to
 * the first byte sampled under the new revision. Beside each the floor of this device: the weights must be read once
 * per step, and the products must be computed, at the memory's and the units' greatest rates.
 *
 *     bench_model [auto|cpu|cuda [float32|bf16 [HIDDEN [LAYERS]]]] */
#include "tests/bench/bench.h"
#include "worker/model/model.h"

#include <cfg/worker.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 200, CHANGES = 100, SERVED = 8, TRAIN_STEPS = 20 };
static const uint32_t buckets[] = {1, 8, 64, 256};
enum { N_BUCKETS = sizeof buckets / sizeof buckets[0] };
static const uint32_t micro[] = {256, 1024};

static void fail(const char *what, const struct cfg_error *err)
{
    (void)fprintf(stderr, "bench_model: %s: %s\n", what, err->text);
    exit(1);
}

static struct cfg_model *model(const struct cfg_model_options *o)
{
    struct cfg_model *m = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    float *w = calloc(cfg_model_n_parameters(&o->shape), sizeof *w);
    if (w == NULL || cfg_model_new(&m, o, &err) != 0) {
        fail("the model", &err);
    }
    cfg_model_initialise(w, &o->shape, 1);
    if (cfg_model_load(m, w, &err) != 0 || cfg_model_capture(m, buckets, N_BUCKETS, &err) != 0) {
        fail("the model", &err);
    }
    free(w);
    return m;
}

/* Seconds that `rows` rows need at least; 0 when the device does not say. times: 1 forward, 3 with the way back. */
static double floor_s(const struct cfg_model *m, uint32_t rows, double times)
{
    double weights = (double)cfg_model_n_parameters(&m->shape) * (m->precision == CFG_BF16 ? 2 : 4);
    if (m->device_flops <= 0 || m->device_bytes_per_s <= 0) {
        return 0;
    }
    double read = times * weights / m->device_bytes_per_s;
    double computed = times * cfg_model_row_flops(&m->shape) * rows / m->device_flops;
    return read > computed ? read : computed;
}

static void print_times(const char *what, double *seconds, size_t n, uint32_t rows, double floor)
{
    const struct bench_spread s = bench_spread(seconds, n);
    (void)printf("%-28s %8.1f µs (%.1f … %.1f)   %10.0f bytes/s", what, s.median * 1e6, s.min * 1e6, s.max * 1e6,
                 rows / s.median);
    if (floor > 0) {
        (void)printf("   floor %.2f µs, ratio %.1f", floor * 1e6, s.median / floor);
    }
    (void)printf("\n");
    (void)fflush(stdout);
}

/* --- serving --- */

static void step(struct cfg_model *m, struct cfg_model_batch *b)
{
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_model_infer(m, b, &err) != 0) {
        fail("a step", &err);
    }
}

static void serve(struct cfg_model *m, uint32_t bucket)
{
    static unsigned char contexts[256 * CFG_MODEL_CONTEXT_MAX], bytes[256];
    static struct cfg_model_row rows[256];
    double seconds[ROUNDS];
    char what[64];
    struct cfg_model_batch b = {.n = bucket, .contexts = contexts, .rows = rows, .bytes = bytes};
    for (size_t i = 0; i < ROUNDS; i++) {
        for (uint32_t r = 0; r < bucket; r++) {
            rows[r].uniform = cfg_sample_uniform_at(r, i);
            contexts[r * m->shape.context + i % m->shape.context] = bytes[r];
        }
        uint64_t started = bench_now_ns();
        step(m, &b);
        seconds[i] = (double)(bench_now_ns() - started) / 1e9;
    }
    (void)snprintf(what, sizeof what, "decode step, batch %u", bucket);
    print_times(what, seconds, ROUNDS, bucket, floor_s(m, bucket, 1));
}

/* --- training --- */

static void train(const struct cfg_model_options *base, uint32_t rows)
{
    struct cfg_model_options o = *base;
    struct cfg_error err = CFG_ERROR_INIT;
    double seconds[TRAIN_STEPS];
    char what[64];
    o.train_rows = rows;
    struct cfg_model *m = model(&o);
    unsigned char *contexts = calloc(rows, o.shape.context), *targets = calloc(rows, 1);
    if (contexts == NULL || targets == NULL) {
        fail("memory", &err);
    }
    for (size_t i = 0; i < (size_t)rows * o.shape.context; i++) {
        contexts[i] = (unsigned char)(cfg_sample_uniform_at(2, i) * CFG_MODEL_SYMBOLS);
    }
    for (size_t i = 0; i < TRAIN_STEPS; i++) {
        double loss = 0;
        struct cfg_model_updated done;
        const struct cfg_model_update u = {.lr = 1e-3, .clip = 1, .scale = 1.0 / rows, .step = i + 1};
        uint64_t started = bench_now_ns();
        if (cfg_model_gradients(m, contexts, targets, rows, &loss, &err) != 0 ||
            cfg_model_apply(m, &u, &done, &err) != 0) {
            fail("a training step", &err);
        }
        seconds[i] = (double)(bench_now_ns() - started) / 1e9;
    }
    (void)snprintf(what, sizeof what, "train step, batch %u", rows);
    print_times(what, seconds, TRAIN_STEPS, rows, floor_s(m, rows, 3));
    free(contexts);
    free(targets);
    cfg_model_free(m);
}

/* --- from set to the first byte --- */

struct watch {
    char host_port[64];
    atomic_uint_fast64_t sent_ns; /* of the change at hand */
    atomic_int wanted;            /* top_k that it sets; −1: over */
    atomic_int seen;              /* of the last step */
    atomic_uint_fast64_t seen_ns; /* when its first byte was there */
    double seconds[CHANGES];
};

static void *write_changes(void *arg)
{
    struct watch *w = arg;
    struct cfg_buf reply;
    int fd = bench_connect(w->host_port);
    cfg_buf_init(&reply, 1 << 20);
    for (int i = 0; i < CHANGES; i++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"sampling\":{\"top_k\":%d}}", i + 2);
        atomic_store(&w->wanted, i + 2);
        atomic_store(&w->sent_ns, bench_now_ns());
        cfg_buf_clear(&reply);
        (void)bench_call(fd, "PATCH", "/v1/config/bench", "application/merge-patch+json", body, &reply);
        while (atomic_load(&w->seen) != i + 2) {
            (void)usleep(100);
        }
        w->seconds[i] = (double)(atomic_load(&w->seen_ns) - atomic_load(&w->sent_ns)) / 1e9;
        (void)usleep(2000);
    }
    atomic_store(&w->wanted, -1);
    cfg_buf_finish(&reply);
    (void)close(fd);
    return NULL;
}

/* The loop of a server: a view, live parameters where it is another one, a step, and the version that ran. */
static void follow(struct cfg_model *m, struct cfg_worker *w, cfg_param top_k, struct watch *watch)
{
    static unsigned char contexts[SERVED * CFG_MODEL_CONTEXT_MAX], bytes[SERVED];
    static struct cfg_model_row rows[SERVED];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_model_batch b = {.n = SERVED, .contexts = contexts, .rows = rows, .bytes = bytes};
    uint32_t serial = UINT32_MAX;
    uint64_t before = m->figures.captures;
    for (uint64_t i = 0; atomic_load(&watch->wanted) >= 0; i++) {
        const struct cfg_view *v = cfg_step_begin(w, i);
        int k = (int)cfg_get_i64(v, top_k);
        if (v->serial != serial) {
            serial = v->serial;
            const struct cfg_live_params p = {(uint64_t)k, 0.8F, 1, (uint32_t)k, 0};
            if (cfg_model_live(m, &p, &err) != 0) {
                fail("live parameters", &err);
            }
        }
        step(m, &b);
        if (b.version != (uint64_t)k) {
            fail("a step ran on other parameters than the view's", &err);
        }
        if (atomic_load(&watch->seen) != k) {
            atomic_store(&watch->seen_ns, bench_now_ns());
            atomic_store(&watch->seen, k);
        }
        cfg_step_end(w, NULL);
    }
    (void)printf("graphs captured while %d changes came: %llu\n", CHANGES,
                 (unsigned long long)(m->figures.captures - before));
}

static void make_deployment(const struct bench_process *configd)
{
    struct cfg_buf reply;
    int fd = bench_connect(configd->host_port);
    cfg_buf_init(&reply, 1 << 20);
    (void)bench_call(fd, "POST", "/v1/changes", "application/json",
                     "[{\"object\":\"config/bench\",\"put\":{\"sampling\":{\"top_k\":1}}}]", &reply);
    cfg_buf_clear(&reply);
    (void)bench_call(fd, "POST", "/v1/deployments", "application/json", "{\"name\":\"bench\",\"config\":\"bench\"}",
                     &reply);
    cfg_buf_finish(&reply);
    (void)close(fd);
}

static void changes(struct cfg_model *m)
{
    static struct watch watch;
    pthread_t writer;
    char server[96];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    struct bench_process *etcd = bench_etcd(0), *configd = bench_configd(etcd, 0, NULL);
    make_deployment(configd);
    (void)snprintf(server, sizeof server, "http://%s", configd->host_port);
    (void)snprintf(watch.host_port, sizeof watch.host_port, "%s", configd->host_port);
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.servers = server;
    o.deployment = "bench";
    o.worker = "bench-model";
    o.cache = "";
    if (cfg_worker_open(&w, &o, &err) != 0) {
        fail("a worker", &err);
    }
    cfg_param top_k = cfg_param_i64(w, "sampling.top_k", CFG_LIVE, 0, 256, 1);
    if (cfg_worker_start(w, 10000, &err) != 0 || pthread_create(&writer, NULL, write_changes, &watch) != 0) {
        fail("a worker", &err);
    }
    follow(m, w, top_k, &watch);
    (void)pthread_join(writer, NULL);
    cfg_worker_close(w);
    const struct bench_spread s = bench_spread(watch.seconds, CHANGES);
    (void)printf("set sent → first byte under it: %.2f ms (%.2f … %.2f, p99 %.2f), batch %d\n", s.median * 1e3,
                 s.min * 1e3, s.max * 1e3, watch.seconds[CHANGES * 99 / 100] * 1e3, SERVED);
}

int main(int argc, char **argv)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_model_options o = {.shape = {16, 16, 256, 3}, .backend = argc > 1 ? argv[1] : "auto"};
    if (argc > 2 && cfg_model_precision_read(&o.precision, argv[2], &err) != 0) {
        fail("the precision", &err);
    }
    o.shape.hidden = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : o.shape.hidden;
    o.shape.layers = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : o.shape.layers;
    struct cfg_model *m = model(&o);
    (void)printf("%s, %s, %s: context %u × embed %u, hidden %u, %u layers, %zu parameters\n", m->device, m->ops->name,
                 cfg_model_precision_name(m->precision), m->shape.context, m->shape.embed, m->shape.hidden,
                 m->shape.layers, cfg_model_n_parameters(&m->shape));
    for (size_t i = 0; i < N_BUCKETS; i++) {
        serve(m, buckets[i]);
    }
    for (size_t i = 0; i < sizeof micro / sizeof micro[0]; i++) {
        train(&o, micro[i]);
    }
    changes(m);
    cfg_model_free(m);
    return 0;
}
