/* Sums over ranks: right, the same bits everywhere and every time, and a clear end when a rank goes. Ranks are
 * threads, as every rank has its own sockets. */
#include "worker/allreduce.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_RANKS = 5, JOIN_MS = 20000 };

static char address[64];
static void free_address(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    (void)close(fd);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
}

struct rank {
    pthread_t thread;
    uint32_t rank, world;
    size_t n, rounds;
    float *values;
    uint32_t leaves; /* this rank goes after so many sums; UINT32_MAX: none does */
    bool quietly;
    unsigned deadline_ms;
    const char *name;
    int rc;
    struct cfg_error err;
};

static float value(uint32_t rank, size_t i, size_t round)
{
    return (float)(sin((double)(i * 7 + rank * 31 + round)) * 1e3);
}

static void *run(void *arg)
{
    struct rank *r = arg;
    struct cfg_allreduce *a = NULL;
    const struct cfg_allreduce_options o = {.address = address,
                                            .name = r->name,
                                            .rank = r->rank,
                                            .world = r->world,
                                            .join_ms = JOIN_MS,
                                            .deadline_ms = r->deadline_ms};
    r->rc = cfg_allreduce_new(&a, &o, &r->err);
    for (size_t k = 0; r->rc == 0 && k < r->rounds; k++) {
        if (r->leaves == k) {
            if (!r->quietly) {
                a->ops->leave(a, "the disk is full");
            }
            break;
        }
        for (size_t i = 0; i < r->n; i++) {
            r->values[i] = value(r->rank, i, k);
        }
        r->rc = a->ops->sum(a, r->values, r->n, &r->err);
    }
    if (r->rc != 0 && a != NULL) {
        struct cfg_error again = CFG_ERROR_INIT;
        cr_expect_eq(a->ops->sum(a, r->values, r->n, &again), CFG_E_AGREEMENT, "over is over");
        cr_expect_str_eq(again.text, r->err.text);
    }
    cfg_allreduce_free(a);
    return NULL;
}

static void start_ranks(struct rank *all, uint32_t world, size_t n, size_t rounds)
{
    for (uint32_t i = 0; i < world; i++) {
        all[i] = (struct rank){.rank = i, .world = world, .n = n, .rounds = rounds, .leaves = UINT32_MAX};
        all[i].name = "job";
        all[i].deadline_ms = 20000;
        all[i].values = calloc(n + 1, sizeof(float));
        cr_assert_not_null(all[i].values);
    }
}

static void run_all(struct rank *all, uint32_t world)
{
    for (uint32_t i = 0; i < world; i++) {
        cr_assert_eq(pthread_create(&all[i].thread, NULL, run, &all[i]), 0);
    }
    for (uint32_t i = 0; i < world; i++) {
        cr_assert_eq(pthread_join(all[i].thread, NULL), 0);
    }
}

static void finish(struct rank *all, uint32_t world)
{
    for (uint32_t i = 0; i < world; i++) {
        free(all[i].values);
    }
}

/* Lengths below the number of ranks, not divisible by it, and beyond what socket buffers hold. */
Test(allreduce, sums_are_right_and_the_same_on_every_rank_and_every_time, .init = free_address)
{
    static const size_t lengths[] = {0, 1, 4, 1001, 700000};
    for (uint32_t world = 1; world <= MOST_RANKS; world += world < 3 ? 1 : 2) {
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            size_t n = lengths[k];
            float *before = NULL;
            for (int twice = 0; twice < 2; twice++) {
                struct rank all[MOST_RANKS];
                start_ranks(all, world, n, 2);
                run_all(all, world);
                for (uint32_t i = 0; i < world; i++) {
                    cr_assert_eq(all[i].rc, 0, "rank %u: %s", i, all[i].err.text);
                    cr_assert_eq(memcmp(all[i].values, all[0].values, n * sizeof(float)), 0, "rank %u of %u", i, world);
                }
                for (size_t i = 0; i < n; i += 13) {
                    double want = 0;
                    for (uint32_t r = 0; r < world; r++) {
                        want += (double)value(r, i, 1);
                    }
                    cr_assert_float_eq((double)all[0].values[i], want, 1e-3);
                }
                if (before != NULL) {
                    cr_assert_eq(memcmp(before, all[0].values, n * sizeof(float)), 0, "again the same bits");
                }
                free(before);
                before = all[0].values;
                all[0].values = NULL;
                finish(all, world);
            }
            free(before);
        }
    }
}

static void one_goes(bool quietly, const char *says, uint32_t who)
{
    struct rank all[4];
    start_ranks(all, 4, 100000, 50);
    for (uint32_t i = 0; i < 4; i++) {
        all[i].leaves = i == who ? 20 : UINT32_MAX;
        all[i].quietly = quietly;
    }
    run_all(all, 4);
    for (uint32_t i = 0; i < 4; i++) {
        if (i != who) {
            cr_expect_eq(all[i].rc, CFG_E_AGREEMENT);
            cr_expect(strstr(all[i].err.text, says) != NULL, "rank %u: %s", i, all[i].err.text);
        }
    }
    finish(all, 4);
}

Test(allreduce, who_goes_is_named_to_all_with_the_reason, .init = free_address)
{
    one_goes(false, "rank 2: the disk is full", 2);
    one_goes(false, "rank 0: the disk is full", 0);
    one_goes(true, "rank 1", 1);
    one_goes(true, "rank 0", 0);
}

Test(allreduce, ranks_of_another_job_or_world_do_not_meet, .init = free_address)
{
    struct rank all[2];
    start_ranks(all, 2, 1, 1);
    all[1].name = "other";
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&all[i].thread, NULL, run, &all[i]), 0);
    }
    cr_assert_eq(pthread_join(all[1].thread, NULL), 0);
    cr_expect_eq(all[1].rc, CFG_E_AGREEMENT, "%s", all[1].err.text);
    cr_expect(strstr(all[1].err.text, "it belongs to other") != NULL, "%s", all[1].err.text);
    /* Rank 0 goes on waiting for its own; one that fits lets it through. */
    all[1].name = "job";
    cr_assert_eq(pthread_create(&all[1].thread, NULL, run, &all[1]), 0);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(pthread_join(all[i].thread, NULL), 0);
        cr_expect_eq(all[i].rc, 0, "%s", all[i].err.text);
    }
    finish(all, 2);
}

Test(allreduce, what_cannot_be_is_refused)
{
    struct cfg_allreduce *a = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_allreduce_options o = {.rank = 1, .world = 1};
    cr_expect_eq(cfg_allreduce_new(&a, &o, &err), CFG_E_INVALID);
    o = (struct cfg_allreduce_options){.world = 2};
    cr_expect_eq(cfg_allreduce_new(&a, &o, &err), CFG_E_INVALID);
    cr_expect(strstr(err.text, "2 ranks need an address") != NULL, "%s", err.text);
    o = (struct cfg_allreduce_options){.world = 2, .kind = "mpi"};
    cr_expect_eq(cfg_allreduce_new(&a, &o, &err), CFG_E_INVALID);
    o = (struct cfg_allreduce_options){.world = 2, .address = "nowhere", .name = "job"};
    cr_expect_neq(cfg_allreduce_new(&a, &o, &err), 0);
    cr_expect_null(a);
}
