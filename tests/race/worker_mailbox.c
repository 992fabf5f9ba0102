/* A stepper, the library's thread and readers of the status, all at once, for ThreadSanitizer.
 *
 * What it asserts besides: inside a step every read belongs to one view (temperature and batch size are pushed in
 * pairs), revisions never go back, the last view pushed is the last one adopted, and every prepared view was either
 * committed or aborted exactly once; no ceiling goes below what runs. */
#include "worker/open.h"
#include "worker/source_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VIEWS = 3000, READERS = 2 };

static struct cfg_worker *w;
static struct cfg_memory_source *source;
static cfg_param temp, batch, name;
static _Atomic(bool) done;
static _Atomic(unsigned) prepared, committed, aborted;

static void die(const char *what)
{
    (void)fprintf(stderr, "worker_mailbox: %s\n", what);
    exit(1);
}

static int prepare(void *arg, const struct cfg_view *next, struct cfg_error *err)
{
    (void)arg;
    (void)err;
    (void)next;
    atomic_fetch_add(&prepared, 1);
    return 0;
}

static void commit(void *arg, const struct cfg_view *now)
{
    (void)arg;
    if (cfg_get_i64(now, batch) < 1) {
        die("committed a view that cannot be");
    }
    atomic_fetch_add(&committed, 1);
}

static void drop(void *arg, const struct cfg_view *dropped)
{
    (void)arg;
    (void)dropped;
    atomic_fetch_add(&aborted, 1);
}

static void push(unsigned i)
{
    char revision[32], view[256], digest[80];
    (void)snprintf(revision, sizeof revision, "1-%u", i);
    (void)snprintf(digest, sizeof digest, "sha256:%u", i);
    (void)snprintf(view, sizeof view,
                   "{\"parameters\":{\"t\":%u,\"b\":%u,\"name\":\"n%u\"},\"pinned\":{},\"flags\":{}}", i, i, i);
    cfg_memory_push_view(source, revision, digest, "S", view);
}

static void *pusher(void *arg)
{
    (void)arg;
    for (unsigned i = 2; i <= VIEWS; i++) {
        push(i);
        if (i % 64 == 0) {
            cfg_memory_push_mark(source, "1-1");
            cfg_memory_push_state(source, i % 128 == 0 ? CFG_SOURCE_CONNECTED : CFG_SOURCE_STALE, NULL);
        }
        if (i % 16 == 0) {
            cfg_worker_wake(w);
        }
    }
    return NULL;
}

static void *reader(void *arg)
{
    (void)arg;
    uint64_t last = 0;
    for (unsigned i = 0; !atomic_load(&done); i++) {
        struct cfg_worker_status s;
        struct cfg_error err = CFG_ERROR_INIT;
        if (cfg_worker_ceiling(w, "b", 0.5, &err) != CFG_E_CEILING ||
            (i % 64 == 0 && cfg_worker_ceiling(w, "b", VIEWS + i % 128, &err) != 0)) {
            die("a ceiling below what runs, or none above it");
        }
        cfg_worker_status(w, &s);
        const char *dash = strchr(s.revision, '-');
        uint64_t now = dash != NULL ? strtoull(dash + 1, NULL, 10) : 0;
        if (now < last) {
            die("the status went back");
        }
        last = now;
    }
    return NULL;
}

static void check_view(const struct cfg_view *v, int64_t *last)
{
    char want[32];
    int64_t b = cfg_get_i64(v, batch);
    (void)snprintf(want, sizeof want, "n%lld", (long long)b);
    if ((int64_t)cfg_get_f64(v, temp) != b || strcmp(cfg_get_string(v, name), want) != 0) {
        die("half of one view, half of another");
    }
    if (b < *last) {
        die("the view went back");
    }
    *last = b;
}

static void run(void)
{
    int64_t last = 0;
    for (uint64_t step = 0; last < VIEWS; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        check_view(v, &last);
        check_view(v, &last);
        cfg_step_end(w, step % 32 == 0 ? "{\"n\":1}" : NULL);
        if (step % 8 == 0) {
            (void)cfg_worker_idle(w, 1);
            check_view(v, &last);
        }
    }
}

int main(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    const struct cfg_change_hooks hooks = {prepare, commit, drop, NULL};
    pthread_t threads[READERS + 1];
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = "";
    if (cfg_memory_source_new(&source, &err) != 0 ||
        cfg_worker_open_source(&w, &o, cfg_memory_source_base(source), &err) != 0) {
        die(err.text);
    }
    temp = cfg_param_f64(w, "t", CFG_LIVE, 0, 1e9, 0);
    batch = cfg_param_i64(w, "b", CFG_DRAIN, 0, 1000000, 0);
    name = cfg_param_string(w, "name", CFG_LIVE, "n0");
    cfg_memory_push_registered(source, 50);
    cfg_memory_push_state(source, CFG_SOURCE_CONNECTED, NULL);
    push(1);
    if (cfg_worker_on_change(w, "", &hooks, &err) != 0 || cfg_worker_start(w, 10000, &err) != 0) {
        die(err.text);
    }
    for (size_t i = 0; i < READERS + 1; i++) {
        if (pthread_create(&threads[i], NULL, i == 0 ? pusher : reader, NULL) != 0) {
            die("no thread");
        }
    }
    run();
    atomic_store(&done, true);
    for (size_t i = 0; i < READERS + 1; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    unsigned n = 1;
    free(cfg_memory_wait_report(source, &n));
    cfg_worker_close(w);
    if (atomic_load(&prepared) != atomic_load(&committed) + atomic_load(&aborted)) {
        die("a prepared view was neither committed nor aborted, or both");
    }
    (void)printf("worker_mailbox: %u views prepared, %u adopted, %u dropped\n", atomic_load(&prepared),
                 atomic_load(&committed), atomic_load(&aborted));
    return 0;
}
