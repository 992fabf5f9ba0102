/* Steps that end as fast as they can while the library collects what they did, views come and other threads ask, for
 * ThreadSanitizer.
 *
 * What it asserts besides: every step is told exactly once, under the revision it ran under, however reports are
 * taken; every sample is told once; and the answers about past steps are those of the stepper's own log. */
#include "proto/histogram.h"
#include "proto/moments.h"
#include "worker/open.h"
#include "worker/source_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VIEWS = 300, STEPS_MAX = 4000000 };

static struct cfg_worker *w;
static struct cfg_memory_source *source;
static cfg_param batch;
static _Atomic(bool) done;
static uint16_t *ran; /* by step: the view's number; written by the stepper */
static uint64_t ended[VIEWS + 1], told[VIEWS + 1], samples[VIEWS + 1];
static uint64_t next_seq = 1;
static _Atomic(unsigned) newest_told; /* more than eight revisions between two reports would be lost */

static void die(const char *what)
{
    (void)fprintf(stderr, "worker_windows: %s\n", what);
    exit(1);
}

static void push(unsigned i)
{
    char revision[32], view[128], digest[80];
    (void)snprintf(revision, sizeof revision, "1-%u", i);
    (void)snprintf(digest, sizeof digest, "sha256:%u", i);
    (void)snprintf(view, sizeof view, "{\"parameters\":{\"b\":%u},\"pinned\":{},\"flags\":{}}", i);
    cfg_memory_push_view(source, revision, digest, "S", view);
}

static unsigned number_of(const char *revision)
{
    const char *dash = strchr(revision, '-');
    unsigned long n = dash != NULL ? strtoul(dash + 1, NULL, 10) : 0;
    if (n > VIEWS) {
        die("a revision that nobody pushed");
    }
    return (unsigned)n;
}

static void take_window(const cJSON *v)
{
    struct cfg_error err = CFG_ERROR_INIT;
    static struct cfg_histogram h;
    struct cfg_moments m;
    unsigned n = number_of(cfg_json_get_str(v, "revision", ""));
    double seq = cfg_json_get_num(v, "seq", 0), steps = cfg_json_get_num(v, "steps", 0);
    if (seq < (double)next_seq) {
        return; /* sent again: counted already */
    }
    if (seq > (double)next_seq) {
        die("a window is missing");
    }
    next_seq++;
    if (cfg_histogram_parse(&h, cfg_json_get(v, "latency"), &err) != 0 || (double)h.n > steps) {
        die("a histogram of other steps");
    }
    told[n] += (uint64_t)steps;
    atomic_store(&newest_told, n);
    const cJSON *metric = cfg_json_get(cfg_json_get(v, "metrics"), "x");
    if (metric != NULL) {
        if (cfg_moments_parse(&m, metric, &err) != 0 || m.min != m.max || m.min != n) {
            die("samples of another revision's steps");
        }
        samples[n] += m.n;
    }
}

static void take_report(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_json_parse(&v, cfg_slice_str(text), 0, &err) != 0) {
        die(err.text);
    }
    const cJSON *windows = cfg_json_get(v, "windows");
    for (const cJSON *i = windows != NULL ? windows->child : NULL; i != NULL; i = i->next) {
        take_window(i);
    }
    cJSON_Delete(v);
}

/* A configd: takes reports, now and then twice before it says so. */
static void *taker(void *arg)
{
    (void)arg;
    for (unsigned n = 1;; n++) {
        char *text = cfg_memory_wait_report(source, &n);
        bool last = strstr(text, "\"state\":\"idle\"") != NULL && strstr(text, "windows") == NULL && atomic_load(&done);
        take_report(text);
        if (n % 7 != 0 || atomic_load(&done)) {
            cfg_memory_push_taken(source, text);
        }
        free(text);
        if (last) {
            return NULL;
        }
    }
}

static void *asker(void *arg)
{
    (void)arg;
    while (!atomic_load(&done)) {
        struct cfg_worker_status s;
        struct cfg_run run;
        cfg_worker_status(w, &s);
        if (cfg_worker_revision_at(w, s.changes * 100, &run, NULL) == 0 && number_of(run.revision) == 0) {
            die("a run under no revision");
        }
    }
    return NULL;
}

static void run_steps(cfg_metric x)
{
    unsigned pushed = 1;
    uint64_t step = 0;
    for (unsigned seen = 0; seen < VIEWS && step < STEPS_MAX; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        unsigned n = (unsigned)cfg_get_i64(v, batch);
        ran[step] = (uint16_t)n;
        ended[n]++;
        if (step % 2 == 0) {
            cfg_worker_metric(w, x, n);
        }
        (void)cfg_worker_draining(w, batch, (double)(step % VIEWS));
        cfg_step_end(w, step % 64 == 0 ? "{\"tok_s\":1.5}" : NULL);
        seen = n;
        if (n == pushed && pushed < VIEWS && pushed < atomic_load(&newest_told) + 4 && step % 16 == 0) {
            push(++pushed);
        }
    }
    uint64_t known = 0;
    for (uint64_t back = step; back-- > 0; known++) { /* of the latest 64 runs all is known */
        struct cfg_run run;
        if (cfg_worker_revision_at(w, back, &run, NULL) != 0) {
            break;
        }
        if (number_of(run.revision) != ran[back]) {
            die("a step is said to have run under another revision");
        }
    }
    (void)printf("worker_windows: %llu steps, %llu of them attributed\n", (unsigned long long)step,
                 (unsigned long long)known);
}

int main(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    pthread_t threads[2];
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = "";
    ran = calloc(STEPS_MAX, sizeof *ran);
    if (ran == NULL || cfg_memory_source_new(&source, &err) != 0 ||
        cfg_worker_open_source(&w, &o, cfg_memory_source_base(source), &err) != 0) {
        die(err.text);
    }
    batch = cfg_param_i64(w, "b", CFG_DRAIN, 0, 1000000, 0);
    cfg_metric x = cfg_metric_declare(w, "x");
    cfg_memory_push_registered(source, 50);
    cfg_memory_push_state(source, CFG_SOURCE_CONNECTED, NULL);
    push(1);
    if (cfg_worker_start(w, 10000, &err) != 0 || pthread_create(&threads[0], NULL, taker, NULL) != 0 ||
        pthread_create(&threads[1], NULL, asker, NULL) != 0) {
        die(err.text);
    }
    run_steps(x);
    (void)cfg_worker_draining(w, batch, 0);
    (void)cfg_worker_idle(w, 0);
    atomic_store(&done, true);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    cfg_worker_close(w);
    for (unsigned i = 0; i <= VIEWS; i++) {
        if (told[i] != ended[i]) {
            (void)fprintf(stderr, "revision 1-%u: %llu steps ended, %llu were told\n", i, (unsigned long long)ended[i],
                          (unsigned long long)told[i]);
            die("steps are missing, or told twice");
        }
        if (samples[i] > ended[i] / 2 + 1 || samples[i] + 1 < ended[i] / 2) {
            die("samples are missing, or told twice");
        }
    }
    free(ran);
    return 0;
}
