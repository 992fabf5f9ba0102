/* Ranks of a group whose programs drive the library themselves (external_loop), alone and beside one that does not. */
#include "tests/lib/testlib.h"
#include "worker/open.h"
#include "worker/source_memory.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { WORLD = 3, STEPS = 100000, LAST = 9 };

struct member {
    struct cfg_memory_source *source;
    struct cfg_worker *w;
    bool external;
    uint64_t steps;
    uint8_t ran[STEPS]; /* by step: the view's number */
    struct cfg_error end;
    pthread_t thread;
};

static struct member m[WORLD];

static void archive(struct member *r, int number, bool push)
{
    char view[128], digest[CFG_DIGEST_TEXT], revision[16];
    (void)snprintf(view, sizeof view, "{\"parameters\":{\"lr\":%d},\"pinned\":{},\"flags\":{}}", number);
    (void)snprintf(revision, sizeof revision, "1-%d", number);
    cr_assert_eq(cfg_digest_bytes(digest, cfg_slice_str(view)), 0);
    cfg_memory_archive(r->source, revision, digest, "S", view);
    if (push) {
        cfg_memory_push_view(r->source, revision, digest, "S", view);
    }
}

static void open_member(uint32_t rank, const char *group, bool external)
{
    struct member *r = &m[rank];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    char id[8];
    (void)snprintf(id, sizeof id, "w%u", rank);
    memset(r, 0, sizeof *r);
    r->external = external;
    o.deployment = "train";
    o.worker = id;
    o.cache = "";
    o.overrides = "";
    o.rank = rank;
    o.world = WORLD;
    o.group = group;
    o.group_id = "g";
    o.group_deadline_ms = 10000;
    o.group_join_ms = 20000;
    o.external_loop = external;
    cr_assert_eq(cfg_memory_source_new(&r->source, &err), 0);
    cr_assert_eq(cfg_worker_open_source(&r->w, &o, cfg_memory_source_base(r->source), &err), 0, "%s", err.text);
    (void)cfg_param_f64(r->w, "lr", CFG_BARRIER, 0, 100, 0);
    cfg_memory_push_registered(r->source, 50);
    cfg_memory_push_state(r->source, CFG_SOURCE_CONNECTED, NULL);
}

/* As a program with a loop of its own would: poll, process, step. */
static void turn(struct member *r)
{
    if (r->external) {
        struct pollfd p = {cfg_worker_poll_fd(r->w), POLLIN, 0};
        if (poll(&p, 1, 0) > 0 || cfg_worker_timeout_ms(r->w) == 0) {
            cfg_worker_process(r->w);
        }
    }
}

static void *live(void *arg)
{
    struct member *r = arg;
    if (cfg_worker_start(r->w, 5000, &r->end) != 0) {
        return NULL;
    }
    while (r->steps < STEPS) {
        turn(r);
        const struct cfg_view *v = cfg_step_begin(r->w, r->steps);
        if (v == NULL) {
            (void)cfg_worker_why(r->w, &r->end);
            return NULL;
        }
        int number = (int)v->values[0].f64;
        r->ran[r->steps++] = (uint8_t)number;
        cfg_step_end(r->w, NULL);
        if (number == LAST) {
            return NULL;
        }
    }
    (void)cfg_fail(&r->end, CFG_E_TIMEOUT, "the last view never came");
    return NULL;
}

static void run(bool one_has_a_thread)
{
    char group[64];
    (void)snprintf(group, sizeof group, "tcp:127.0.0.1:%d", cfg_test_free_port());
    for (uint32_t i = 0; i < WORLD; i++) {
        open_member(i, group, !(one_has_a_thread && i == 1));
        archive(&m[i], 1, i == 0); /* the others are given it */
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(pthread_create(&m[i].thread, NULL, live, &m[i]), 0);
    }
    for (int n = 2; n <= LAST; n++) { /* each change reaches another rank first, and most of them only that
                                       * one */
        for (uint32_t i = 0; i < WORLD; i++) {
            archive(&m[i], n, false); /* before anybody may ask for it */
        }
        archive(&m[(uint32_t)n % WORLD], n, true);
        (void)poll(NULL, 0, 2);
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(pthread_join(m[i].thread, NULL), 0);
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        cr_assert_eq(m[i].end.code, 0, "rank %u: %s", i, m[i].end.text);
        cr_assert_eq(m[i].steps, m[0].steps);
        cr_assert_eq(memcmp(m[i].ran, m[0].ran, m[0].steps), 0, "rank %u ran on other views", i);
        /* What its library says of its past is what its loop has seen. */
        for (uint64_t s = m[i].steps; s-- > 0;) {
            struct cfg_run past;
            char want[16];
            (void)snprintf(want, sizeof want, "1-%d", m[i].ran[s]);
            cr_assert_eq(cfg_worker_revision_at(m[i].w, s, &past, NULL), 0);
            cr_assert_str_eq(past.revision, want, "rank %u, step %llu", i, (unsigned long long)s);
        }
        cr_assert(m[i].ran[0] >= 1, "rank %u began on its defaults", i);
    }
    for (uint64_t s = 1; s < m[0].steps; s++) {
        cr_assert(m[0].ran[s] >= m[0].ran[s - 1], "step %llu went back", (unsigned long long)s);
    }
    for (uint32_t i = 0; i < WORLD; i++) {
        cfg_worker_close(m[i].w);
    }
}

Test(ranks_loop, every_program_drives_its_own)
{
    run(false);
}

Test(ranks_loop, beside_a_rank_with_a_thread)
{
    run(true);
}
