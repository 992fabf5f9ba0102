/* What agreement costs a step without a change: 4 ranks, each a process, over tcp on loopback; step_begin of rank 0
 * with a round in every step, and amortised with one in every sixteen. Beside it the floor: the same star of bare
 * sockets, which does nothing but send and receive as many bytes. */
#include "tests/bench/bench.h"
#include "worker/open.h"
#include "worker/source_memory.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORLD = 4, STEPS = 20000, WARM = 1000, ROUNDS = 5 };

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

static uint64_t took[STEPS];

/* Rank 0's figure of a run, in microseconds: the median step where every step has a round, else the mean. */
static void tell(int out, unsigned every)
{
    uint64_t all = 0;
    for (size_t i = 0; i < STEPS; i++)
        all += took[i];
    qsort(took, STEPS, sizeof took[0], by_value);
    double us = every == 1 ? (double)took[STEPS / 2] / 1e3 : (double)all / 1e3 / STEPS;
    if (write(out, &us, sizeof us) != (ssize_t)sizeof us)
        exit(1);
}

/* --- the floor --- */

enum { ROUND_BYTES = 32 + 14 * 8 };

static void move(int fd, bool out)
{
    char bytes[ROUND_BYTES] = {0};
    for (size_t done = 0; done < sizeof bytes;) {
        ssize_t n =
            out ? send(fd, bytes + done, sizeof bytes - done, 0) : recv(fd, bytes + done, sizeof bytes - done, 0);
        if (n <= 0)
            exit(1);
        done += (size_t)n;
    }
}

static int meet(uint32_t rank, int listener, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    a.sin_port = htons((uint16_t)port);
    int fd = rank == 0 ? accept(listener, NULL, NULL) : socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || (rank != 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        exit(1);
    return fd;
}

static void bare(uint32_t rank, unsigned every, int port, int listener, int out)
{
    int fds[WORLD];
    for (uint32_t i = 1; i < (rank == 0 ? WORLD : 2); i++)
        fds[i] = meet(rank, listener, port);
    for (uint64_t step = 0; step < STEPS + WARM; step++) {
        uint64_t begin = bench_now_ns();
        bool round = step % every == 0;
        for (uint32_t i = 1; round && i < (rank == 0 ? WORLD : 2); i++)
            move(fds[i], rank != 0);
        for (uint32_t i = 1; round && i < (rank == 0 ? WORLD : 2); i++)
            move(fds[i], rank == 0);
        if (step >= WARM)
            took[step - WARM] = bench_now_ns() - begin;
    }
    if (rank == 0)
        tell(out, every);
}

/* --- ranks --- */

static void live(uint32_t rank, unsigned every, int port, int out)
{
    struct cfg_worker *w = start(rank, every, port);
    for (uint64_t step = 0; step < STEPS + WARM; step++) {
        uint64_t begin = bench_now_ns();
        if (cfg_step_begin(w, step) == NULL)
            exit(1);
        if (step >= WARM)
            took[step - WARM] = bench_now_ns() - begin;
    }
    if (rank == 0)
        tell(out, every);
    cfg_worker_close(w);
}

static int listen_on(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, WORLD) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        exit(1);
    *port = ntohs(a.sin_port);
    return fd;
}

/* Every rank a process; rank 0's figure. */
static double run(unsigned every, bool floor)
{
    int port = 0, listener = floor ? listen_on(&port) : -1, told[2];
    double us = 0;
    port = floor ? port : bench_free_port();
    if (pipe(told) != 0)
        exit(1);
    for (uint32_t rank = 0; rank < WORLD; rank++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (floor)
                bare(rank, every, port, listener, told[1]);
            else
                live(rank, every, port, told[1]);
            _exit(0);
        }
    }
    bool ok = true;
    for (int status, n = 0; n < WORLD; n++)
        ok = wait(&status) >= 0 && status == 0 && ok;
    if (floor)
        (void)close(listener);
    if (!ok || read(told[0], &us, sizeof us) != (ssize_t)sizeof us)
        exit(1);
    (void)close(told[0]);
    (void)close(told[1]);
    return us;
}

int main(void)
{
    static const struct {
        unsigned every;
        const char *what, *goal;
    } rows[] = {{1, "step_begin, 4 ranks, K = 1, p50", "ours at most 60 us"},
                {16, "step_begin, 4 ranks, K = 16, mean", "ours at most 5 us"}};
    for (size_t k = 0; k < 2; k++) {
        double ours[ROUNDS], floor[ROUNDS];
        for (size_t i = 0; i < ROUNDS; i++) {
            floor[i] = run(rows[k].every, true);
            ours[i] = run(rows[k].every, false);
        }
        bench_print_ratio(rows[k].what, "us", ours, floor, ROUNDS, rows[k].goal);
        (void)fflush(stdout);
    }
    return 0;
}
