/* Threads that evaluate flags inside steps, while views change underneath, for ThreadSanitizer.
 *
 * What it asserts besides: in a step everybody gets one view's answers (two flags and an override that views change
 * together), and in the end the exposures told are exactly the evaluations made, and the units those that there are. */
#include "worker/open.h"
#include "worker/source_memory.h"

#include "flags/hll.h"
#include <cfg/flags.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VIEWS = 400, THREADS = 3, PER_STEP = 20, UNITS = 50 };

static struct cfg_worker *w;
static struct cfg_memory_source *source;
static cfg_param heat;
static cfg_flag first, second, timed;
static pthread_barrier_t begun, ended;
static const struct cfg_view *current; /* between the barriers */
static bool over;                      /* likewise */
static _Atomic(unsigned) evaluated[2]; /* how often `first` served a and b */

static void die(const char *what)
{
    (void)fprintf(stderr, "worker_flags: %s\n", what);
    exit(1);
}

static void push(unsigned i)
{
    static const char flag[] =
        "{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":\"a\",\"b\":\"b\"},"
        "\"defaultVariant\":\"%c\",\"targeting\":{\"if\":[{\"==\":[{\"var\":\"x\"},1]},\"b\"]}}%s}";
    char revision[32], digest[32], one[512], two[512], view[2048];
    char variant = i % 2 == 0 ? 'a' : 'b';
    char overrides[128];
    (void)snprintf(overrides, sizeof overrides, ",\"overrides\":{\"%c\":{\"heat\":%u}}", variant, i);
    (void)snprintf(one, sizeof one, flag, variant, "");
    (void)snprintf(two, sizeof two, flag, variant, overrides);
    (void)snprintf(revision, sizeof revision, "1-%u", i);
    (void)snprintf(digest, sizeof digest, "sha256:%u", i);
    (void)snprintf(view, sizeof view,
                   "{\"parameters\":{\"heat\":%u},\"pinned\":{},\"flags\":{\"e\":{\"first\":%s,\"second\":%s,\"timed\":"
                   "{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"t\":true},\"targeting\":{\"if\":[{\">\":"
                   "[{\"var\":\"$flagd.timestamp\"},1]},\"t\"]}}}}}}",
                   i, one, two);
    cfg_memory_push_view(source, revision, digest, "S", view);
}

static void *pusher(void *arg)
{
    (void)arg;
    for (unsigned i = 2; i <= VIEWS; i++) {
        push(i);
        cfg_memory_push_reported(source);
    }
    return NULL;
}

static void evaluate(const struct cfg_view *v, unsigned unit)
{
    struct cfg_context who;
    struct cfg_overlay o;
    char key[16];
    (void)snprintf(key, sizeof key, "u%u", unit % UNITS);
    cfg_context_init(&who, key);
    cfg_context_number(&who, "x", 0);
    const char *one = cfg_flag_string(v, first, &who, "?");
    const char *two = cfg_flag_string(v, second, &who, "?");
    cfg_overlay_begin(&o, v, &who);
    if (strcmp(one, two) != 0 || o.n_served != 1 || strcmp(o.served[0].variant, one) != 0) {
        die("two flags that change together differ in a step");
    }
    unsigned revision = (unsigned)strtoul(v->revision + 2, NULL, 10);
    if ((unsigned)cfg_overlay_f64(&o, heat) != revision || (one[0] == 'a') != (revision % 2 == 0)) {
        die("half of one view, half of another");
    }
    if (!cfg_flag_bool(v, timed, &who, false)) {
        die("the step has no time");
    }
    (void)atomic_fetch_add(&evaluated[one[0] - 'a'], 1);
}

static void *reader(void *arg)
{
    unsigned unit = *(const unsigned *)arg;
    for (;;) {
        (void)pthread_barrier_wait(&begun);
        if (over) {
            return NULL;
        }
        for (unsigned i = 0; i < PER_STEP; i++) {
            evaluate(current, unit++);
        }
        (void)pthread_barrier_wait(&ended);
    }
}

static void run(void)
{
    unsigned revision = 0;
    for (uint64_t step = 0; revision < VIEWS; step++) {
        current = cfg_step_begin(w, step);
        revision = (unsigned)strtoul(current->revision + 2, NULL, 10);
        (void)pthread_barrier_wait(&begun);
        evaluate(current, (unsigned)step);
        (void)pthread_barrier_wait(&ended);
        cfg_step_end(w, NULL);
    }
    over = true;
    (void)pthread_barrier_wait(&begun);
}

/* The totals that a report tells of `first`; 0 when it does not. */
static unsigned told(const char *report, char variant, double *units)
{
    char start[64];
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    char text[CFG_HLL_REGISTERS + 1] = "";
    (void)snprintf(start, sizeof start, "{\"flag\":\"e/first\",\"variant\":\"%c\",\"count\":", variant);
    const char *at = strstr(report, start);
    if (at == NULL) {
        return 0;
    }
    char *end;
    unsigned n = (unsigned)strtoul(at + strlen(start), &end, 10);
    if (strncmp(end, ",\"since\":", 9) == 0) {
        (void)strtoul(end + 9, &end, 10);
    }
    if (strncmp(end, ",\"units\":\"", 10) == 0) {
        memcpy(text, end + 10, CFG_HLL_REGISTERS);
        if (!cfg_hll_unite(registers, text)) {
            die("a sketch that is none");
        }
        *units = cfg_hll_estimate(registers);
    }
    return n;
}

/* Serves both variants once more: what has not changed since it arrived is not told again. */
static void serve_both(void)
{
    struct cfg_context who;
    for (int x = 0; x < 2; x++) {
        cfg_context_init(&who, "u0");
        cfg_context_number(&who, "x", x);
        (void)atomic_fetch_add(&evaluated[cfg_flag_string(current, first, &who, "a")[0] - 'a'], 1);
    }
}

static void check_totals(void)
{
    double units[2] = {0, 0};
    cfg_memory_push_registered(source, 50); /* whoever listens now is told whole sketches */
    unsigned settled = cfg_memory_reports(source) + 2;
    free(cfg_memory_wait_report(source, &settled)); /* whatever had arrived is known by now */
    serve_both();
    for (unsigned n = cfg_memory_reports(source) + 1, last = n + 20;; n++) {
        char *report = cfg_memory_wait_report(source, &n);
        unsigned a = told(report, 'a', &units[0]), b = told(report, 'b', &units[1]);
        free(report);
        if (a > atomic_load(&evaluated[0]) || b > atomic_load(&evaluated[1])) {
            die("more exposures than evaluations");
        }
        if (a == atomic_load(&evaluated[0]) && b == atomic_load(&evaluated[1])) {
            break;
        }
        if (n > last) {
            die("evaluations that were not counted");
        }
    }
    if (fabs(units[0] - UNITS) > UNITS / 5.0 || fabs(units[1] - UNITS) > UNITS / 5.0) {
        die("the units are not those that there are");
    }
}

static void open_worker(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = "";
    if (cfg_memory_source_new(&source, &err) != 0 ||
        cfg_worker_open_source(&w, &o, cfg_memory_source_base(source), &err) != 0) {
        die(err.text);
    }
    heat = cfg_param_f64(w, "heat", CFG_LIVE, 0, 1e9, 0);
    first = cfg_flag_declare(w, "e/first");
    second = cfg_flag_declare(w, "e/second");
    timed = cfg_flag_declare(w, "e/timed");
    cfg_memory_push_registered(source, 50);
    cfg_memory_push_state(source, CFG_SOURCE_CONNECTED, NULL);
    push(1);
    if (cfg_worker_start(w, 10000, &err) != 0) {
        die(err.text);
    }
}

int main(void)
{
    pthread_t threads[THREADS + 1];
    unsigned starts[THREADS];
    open_worker();
    (void)pthread_barrier_init(&begun, NULL, THREADS + 1);
    (void)pthread_barrier_init(&ended, NULL, THREADS + 1);
    for (unsigned i = 0; i <= THREADS; i++) {
        if (i < THREADS) {
            starts[i] = i * 7;
        }
        if (pthread_create(&threads[i], NULL, i < THREADS ? reader : pusher, i < THREADS ? &starts[i] : NULL) != 0) {
            die("no thread");
        }
    }
    run();
    for (unsigned i = 0; i <= THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    check_totals();
    cfg_worker_close(w);
    (void)pthread_barrier_destroy(&begun);
    (void)pthread_barrier_destroy(&ended);
    (void)printf("worker_flags: %u and %u evaluations, all told\n", atomic_load(&evaluated[0]),
                 atomic_load(&evaluated[1]));
    return 0;
}
