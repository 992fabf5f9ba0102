/* Two ranks of a group on threads of their own, each with the library's thread beside it, while views come in quick
 * succession and somebody reads the status: what both ran on, step by step, must be the same and never fall. */
#include "tests/lib/testlib.h"
#include "worker/open.h"
#include "worker/source_memory.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORLD = 2, VIEWS = 150, STEPS = 200000 };

struct member {
    uint32_t rank;
    struct cfg_memory_source *source;
    struct cfg_worker *w;
    uint64_t steps;
    uint16_t ran[STEPS];
    pthread_t thread;
};

static struct member m[WORLD];
static char group[64];

static void open_member(struct member *r)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    char id[16];
    (void)snprintf(id, sizeof id, "w%u", r->rank);
    o.deployment = "train";
    o.worker = id;
    o.cache = "";
    o.overrides = "";
    o.rank = r->rank;
    o.world = WORLD;
    o.group = group;
    if (cfg_memory_source_new(&r->source, &err) != 0 ||
        cfg_worker_open_source(&r->w, &o, cfg_memory_source_base(r->source), &err) != 0) {
        cfg_test_die("rank %u: %s", r->rank, err.text);
    }
    (void)cfg_param_i64(r->w, "n", CFG_BARRIER, 0, VIEWS, 0);
    cfg_memory_push_state(r->source, CFG_SOURCE_CONNECTED, NULL);
}

static void give(struct member *r, int n)
{
    char view[128], digest[CFG_DIGEST_TEXT], revision[16];
    (void)snprintf(view, sizeof view, "{\"parameters\":{\"n\":%d},\"pinned\":{},\"flags\":{}}", n);
    (void)snprintf(revision, sizeof revision, "1-%d", n);
    if (cfg_digest_bytes(digest, cfg_slice_str(view)) != 0) {
        cfg_test_die("no digest");
    }
    cfg_memory_archive(r->source, revision, digest, "S", view);
    cfg_memory_push_view(r->source, revision, digest, "S", view);
}

static void *live(void *arg)
{
    struct member *r = arg;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_worker_start(r->w, 20000, &err) != 0) {
        cfg_test_die("rank %u: %s", r->rank, err.text);
    }
    for (uint64_t step = 0; step < STEPS; step++) {
        const struct cfg_view *v = cfg_step_begin(r->w, step);
        if (v == NULL) {
            (void)cfg_worker_why(r->w, &err);
            cfg_test_die("rank %u: %s", r->rank, err.text);
        }
        r->ran[step] = (uint16_t)v->values[0].i64;
        r->steps = step + 1;
        if (v->values[0].i64 == VIEWS) {
            return NULL;
        }
    }
    cfg_test_die("rank %u: the last view never came", r->rank);
}

int main(void)
{
    (void)snprintf(group, sizeof group, "tcp:127.0.0.1:%d", cfg_test_free_port());
    for (uint32_t i = 0; i < WORLD; i++) {
        m[i].rank = i;
        open_member(&m[i]);
        give(&m[i], 1);
        if (pthread_create(&m[i].thread, NULL, live, &m[i]) != 0) {
            cfg_test_die("no thread");
        }
    }
    for (int n = 2; n <= VIEWS; n++) {
        struct cfg_worker_status s;
        give(&m[n % WORLD], n);
        give(&m[(n + 1) % WORLD], n);
        cfg_worker_status(m[n % WORLD].w, &s);
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        (void)pthread_join(m[i].thread, NULL);
    }
    for (uint64_t s = 0; s < m[0].steps; s++) {
        if (m[0].steps != m[1].steps || m[0].ran[s] != m[1].ran[s] || (s > 0 && m[0].ran[s] < m[0].ran[s - 1])) {
            cfg_test_die("step %llu: rank 0 ran %u, rank 1 %u", (unsigned long long)s, m[0].ran[s], m[1].ran[s]);
        }
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        cfg_worker_close(m[i].w);
    }
    return 0;
}
