/* Opening, starting, being superseded and closing while views keep coming, for ThreadSanitizer and the leak checker. */
#include "worker/open.h"
#include "worker/source_memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIVES = 150, VIEWS = 40 };

struct life {
    struct cfg_worker *w;
    struct cfg_memory_source *source;
    bool superseded;
};

static void die(const char *what)
{
    (void)fprintf(stderr, "worker_lives: %s\n", what);
    exit(1);
}

static void push(struct cfg_memory_source *source, unsigned i)
{
    char revision[32], view[128];
    (void)snprintf(revision, sizeof revision, "1-%u", i);
    (void)snprintf(view, sizeof view, "{\"parameters\":{\"s\":\"v%u\"},\"pinned\":{},\"flags\":{}}", i);
    cfg_memory_push_view(source, revision, "sha256:x", "S", view);
}

static void *feed(void *arg)
{
    struct life *l = arg;
    cfg_memory_push_registered(l->source, 50);
    cfg_memory_push_state(l->source, CFG_SOURCE_CONNECTED, NULL);
    for (unsigned i = 1; i <= VIEWS; i++) {
        push(l->source, i);
    }
    if (l->superseded) {
        cfg_memory_push_state(l->source, CFG_SOURCE_SUPERSEDED, NULL);
        push(l->source, VIEWS + 1);
    }
    return NULL;
}

static void live(unsigned number)
{
    struct life l = {NULL, NULL, number % 2 == 0};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    pthread_t feeder;
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = "";
    if (cfg_memory_source_new(&l.source, &err) != 0 ||
        cfg_worker_open_source(&l.w, &o, cfg_memory_source_base(l.source), &err) != 0 ||
        pthread_create(&feeder, NULL, feed, &l) != 0) {
        die("cannot begin");
    }
    cfg_param s = cfg_param_string(l.w, "s", CFG_LIVE, "none");
    if (cfg_worker_start(l.w, 10000, &err) != 0 && !(l.superseded && err.code == CFG_E_SUPERSEDED)) {
        die(err.text);
    }
    for (uint64_t step = 0; step < number || l.superseded; step++) {
        const struct cfg_view *v = cfg_step_begin(l.w, step);
        if (v == NULL) {
            break;
        }
        if (cfg_get_string(v, s) == NULL) {
            die("a view without its text");
        }
        if (step % 3 == 0) {
            (void)cfg_worker_idle(l.w, 1);
        }
    }
    (void)pthread_join(feeder, NULL);
    cfg_worker_close(l.w);
}

int main(void)
{
    for (unsigned i = 1; i <= LIVES; i++) {
        live(i);
    }
    (void)printf("worker_lives: %d lives\n", LIVES);
    return 0;
}
