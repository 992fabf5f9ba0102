/* step_begin without a change, reading a parameter, and whole steps of a worker that tells configd what they do, in
 * nanoseconds. */
#include "tests/bench/bench.h"

#include <cfg/worker.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROUNDS = 15, LOOPS = 20000000, STEPS = 2000000 };

static struct cfg_worker *open_worker(cfg_param *p)
{
    char path[] = "/tmp/bench-step.XXXXXX.json", source[64];
    int fd = mkstemps(path, 5);
    static const char text[] = "{\"sampling\":{\"temperature\":0.5}}";
    if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1)
        exit(1);
    close(fd);
    (void)snprintf(source, sizeof source, "file:%s", path);
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.source = source;
    o.deployment = "bench";
    o.cache = "";
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    if (cfg_worker_open(&w, &o, &err) == 0) {
        *p = cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
        if (cfg_worker_start(w, 5000, &err) == 0) {
            (void)unlink(path);
            return w;
        }
    }
    fprintf(stderr, "bench: %s\n", err.text);
    exit(1);
}

/* A worker that would tell configd, if there was one: it runs on the code's defaults. */
static struct cfg_worker *open_teller(cfg_metric *m)
{
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    o.servers = "http://127.0.0.1:9";
    o.deployment = "bench";
    o.cache = "";
    if (cfg_worker_open(&w, &o, &err) != 0) {
        fprintf(stderr, "bench: %s\n", err.text);
        exit(1);
    }
    *m = cfg_metric_declare(w, "loss");
    if (cfg_worker_start(w, 0, &err) != CFG_E_TIMEOUT)
        exit(1);
    return w;
}

static double per_step(struct cfg_worker *w, cfg_metric m, int samples, const char *json)
{
    uint64_t start = bench_now_ns();
    for (int i = 0; i < STEPS; i++) {
        (void)cfg_step_begin(w, (uint64_t)i);
        for (int j = 0; j < samples; j++)
            cfg_worker_metric(w, m, i);
        cfg_step_end(w, json);
    }
    return (double)(bench_now_ns() - start) / STEPS;
}

static void whole_steps(void)
{
    cfg_metric m;
    struct cfg_worker *w = open_teller(&m);
    double bare[ROUNDS], sampled[ROUNDS], text[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        bare[r] = per_step(w, m, 0, NULL);
        sampled[r] = per_step(w, m, 1, NULL);
        text[r] = per_step(w, m, 0, "{\"loss\":0.25,\"tokens_per_s\":812}");
    }
    struct bench_spread b = bench_spread(bare, ROUNDS), s = bench_spread(sampled, ROUNDS),
                        t = bench_spread(text, ROUNDS);
    printf("an empty step, begin and end, measured  %.1f ns (%.1f … %.1f)\n", b.median, b.min, b.max);
    printf("  with one sample by handle             %.1f ns (%.1f … %.1f)\n", s.median, s.min, s.max);
    printf("  with two samples as JSON              %.1f ns (%.1f … %.1f)\n", t.median, t.min, t.max);
    cfg_worker_close(w);
}

static double per_loop(uint64_t start)
{
    return (double)(bench_now_ns() - start) / LOOPS;
}

int main(void)
{
    bench_pin(1);
    cfg_param p;
    struct cfg_worker *w = open_worker(&p);
    const struct cfg_view *v = cfg_step_begin(w, 0);
    double step[ROUNDS], read[ROUNDS], nothing[ROUNDS];
    double sum = 0;
    for (int r = 0; r < ROUNDS; r++) {
        uint64_t start = bench_now_ns();
        for (int i = 0; i < LOOPS; i++)
            __asm__ volatile("" : : : "memory");
        nothing[r] = per_loop(start);
        start = bench_now_ns();
        for (int i = 0; i < LOOPS; i++)
            v = cfg_step_begin(w, (uint64_t)i);
        step[r] = per_loop(start);
        start = bench_now_ns();
        for (int i = 0; i < LOOPS; i++) {
            __asm__ volatile("" : : : "memory"); /* the value must be read anew each time */
            double x = cfg_get_f64(v, p);
            __asm__ volatile("" : : "x"(x));
        }
        read[r] = per_loop(start);
        sum += cfg_get_f64(v, p);
    }
    struct bench_spread s = bench_spread(step, ROUNDS), g = bench_spread(read, ROUNDS),
                        n = bench_spread(nothing, ROUNDS);
    printf("step_begin without a change   %.2f ns (%.2f … %.2f, %d rounds)   goal ≤ 5\n", s.median, s.min, s.max,
           ROUNDS);
    printf("reading a parameter           %.2f ns (%.2f … %.2f, %d rounds)   goal ≤ 2\n", g.median, g.min, g.max,
           ROUNDS);
    printf("the empty loop (contained in both) %.2f ns\n", n.median);
    cfg_worker_close(w);
    whole_steps();
    return sum > 0 ? 0 : 1;
}
