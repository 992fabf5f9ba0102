/* Layers: five of 1,000 keys merged and resolved, a tenth of the values interpolations; and a base of 1,000 keys
 * resolved again under each of 1,000 namespaces that override 50 of them. Beside each the plain C of layers_plain.h. */
#include "proto/layers.h"
#include "tests/bench/bench.h"
#include "tests/bench/layers_plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 15, LOOPS = 50, LAYERS = 5, NAMESPACES = 1000, OWN = 50 };

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_layers: %s\n", what);
    exit(1);
}

static cJSON *ours(const struct cfg_layer *layers, size_t n)
{
    struct cfg_layers *l = NULL;
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_layers_merge(&l, layers, n, NULL, &err) || cfg_layers_resolve(&v, l, &err))
        fail(err.text);
    cfg_layers_free(l);
    return v;
}

/* --- rounds --- */

static double five_ms(cJSON *(*merge)(const struct cfg_layer *, size_t), cJSON *const *documents)
{
    struct cfg_layer layers[LAYERS];
    for (size_t i = 0; i < LAYERS; i++)
        layers[i] = (struct cfg_layer){"layer", documents[i]};
    uint64_t start = cpu_ns();
    for (int i = 0; i < LOOPS; i++)
        cJSON_Delete(merge(layers, LAYERS));
    return (double)(cpu_ns() - start) / 1e6 / LOOPS;
}

static double thousand_ms(cJSON *(*merge)(const struct cfg_layer *, size_t), const cJSON *base, cJSON *const *own)
{
    uint64_t start = cpu_ns();
    for (int i = 0; i < NAMESPACES; i++) {
        struct cfg_layer layers[2] = {{"base", base}, {"own", own[i]}};
        cJSON_Delete(merge(layers, 2));
    }
    return (double)(cpu_ns() - start) / 1e6;
}

int main(void)
{
    static cJSON *own[NAMESPACES];
    cJSON *layers[LAYERS];
    double a[ROUNDS], b[ROUNDS], c[ROUNDS], d[ROUNDS];
    bench_pin(0);
    for (unsigned i = 0; i < LAYERS; i++)
        layers[i] = bench_layer(i, 0, 1, i == 0 || i == LAYERS - 1);
    for (unsigned i = 0; i < NAMESPACES; i++)
        own[i] = bench_layer(i, i % 20 + 1, BENCH_LAYER_KEYS / OWN, false);
    for (size_t r = 0; r < ROUNDS; r++) {
        a[r] = five_ms(ours, layers);
        b[r] = five_ms(bench_plain_merge, layers);
        c[r] = thousand_ms(ours, layers[0], own);
        d[r] = thousand_ms(bench_plain_merge, layers[0], own);
    }
    bench_print_ratio("five layers of 1,000 keys", " ms", a, b, ROUNDS, "2 ms");
    bench_print_ratio("a base of 1,000 keys under 1,000 namespaces", " ms", c, d, ROUNDS, "1,000 ms");
    for (size_t i = 0; i < LAYERS; i++)
        cJSON_Delete(layers[i]);
    for (size_t i = 0; i < NAMESPACES; i++)
        cJSON_Delete(own[i]);
    return 0;
}
