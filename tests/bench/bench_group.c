/* What agreement costs a step without a change: 4 ranks, each a process, over tcp on loopback; step_begin of rank 0
 * with a round in every step, and amortised with one in every sixteen. */
#include "tests/bench/bench.h"
#include "worker/open.h"
#include "worker/source_memory.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORLD = 4, STEPS = 20000, WARM = 1000 };

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        exit(1);
    (void)close(fd);
    return ntohs(a.sin_port);
}

static struct cfg_worker *start(uint32_t rank, unsigned every, int port)
{
    char group[64], id[16];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    struct cfg_memory_source *source = NULL;
    struct cfg_worker *w = NULL;
    (void)snprintf(group, sizeof group, "tcp:127.0.0.1:%d", port);
    (void)snprintf(id, sizeof id, "w%u", rank);
    o.deployment = "bench";
    o.worker = id;
    o.cache = "";
    o.overrides = "";
    o.rank = rank;
    o.world = WORLD;
    o.group = group;
    o.group_every = every;
    if (cfg_memory_source_new(&source, &err) == 0 &&
        cfg_worker_open_source(&w, &o, cfg_memory_source_base(source), &err) == 0) {
        (void)cfg_param_f64(w, "optimizer.lr", CFG_BARRIER, 0, 10, 0.5);
        cfg_memory_push_state(source, CFG_SOURCE_CONNECTED, NULL);
        cfg_memory_push_view(source, "1-1", "sha256:", "S", "{\"parameters\":{},\"pinned\":{},\"flags\":{}}");
        if (cfg_worker_start(w, 5000, &err) == 0)
            return w;
    }
    fprintf(stderr, "bench: rank %u: %s\n", rank, err.text);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void live(uint32_t rank, unsigned every, int port)
{
    static uint64_t took[STEPS];
    struct cfg_worker *w = start(rank, every, port);
    uint64_t all = 0;
    for (uint64_t step = 0; step < STEPS + WARM; step++) {
        uint64_t begin = bench_now_ns();
        if (cfg_step_begin(w, step) == NULL)
            exit(1);
        if (step >= WARM) {
            took[step - WARM] = bench_now_ns() - begin;
            all += took[step - WARM];
        }
    }
    if (rank == 0) {
        qsort(took, STEPS, sizeof took[0], by_value);
        printf("step_begin, 4 ranks, tcp on loopback, K = %-2u  p50 %6.2f us  p99 %7.2f us  mean %6.2f us   goal: %s\n",
               every, (double)took[STEPS / 2] / 1e3, (double)took[STEPS * 99 / 100] / 1e3, (double)all / 1e3 / STEPS,
               every == 1 ? "p50 at most 60 us" : "mean at most 5 us");
        (void)fflush(stdout);
    }
    cfg_worker_close(w);
}

int main(void)
{
    static const unsigned every[] = {1, 16};
    for (size_t k = 0; k < 2; k++) {
        int port = free_port();
        for (uint32_t rank = 0; rank < WORLD; rank++) {
            pid_t pid = fork();
            if (pid == 0) {
                live(rank, every[k], port);
                _exit(0);
            }
        }
        for (int status, n = 0; n < WORLD; n++) {
            if (wait(&status) < 0 || status != 0)
                return 1;
        }
    }
    return 0;
}
