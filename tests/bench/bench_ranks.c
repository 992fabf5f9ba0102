/* From a change to the last of the 4 ranks of a group that has applied it: real processes, each a worker with the
 * library's thread, over tcp on loopback, under a real configd; steps are sleeps.
 *
 *     bench_ranks [CHANGES [STEP_MS]]         400 changes, steps of 10 ms
 *
 * The time counts from before the PATCH is sent to the last rank's step_begin that gives the value. Changes come at
 * any point of a step. The baseline is one worker alone with the same steps: what agreement adds is the difference. */
#include "tests/bench/bench.h"
#include "tests/bench/streams.h"

#include <arpa/inet.h>
#include <cfg/worker.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORLD = 4, MAX_CHANGES = 5000 };

/* What a rank tells: the newest value it runs on, and since when. */
struct told {
    _Alignas(64) _Atomic(int64_t) value;
    _Atomic(uint64_t) at_ns;
};

static struct told *told; /* shared between the processes: the ranks, then the one alone */
static unsigned step_ms = 10;
static int configd_fd;

static _Noreturn void fail(const char *why)
{
    fprintf(stderr, "bench: %s\n", why);
    _exit(1);
}

/* A rank of the group, or (group NULL) a worker alone. */
static _Noreturn void live(const char *url, const char *group, uint32_t rank, struct told *t)
{
    char id[32];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    struct cfg_worker *w = NULL;
    (void)snprintf(id, sizeof id, "%s%u", group ? "rank" : "alone", rank);
    o.servers = url;
    o.deployment = "bench";
    o.worker = id;
    o.source = o.cache = o.overrides = "";
    o.rank = group ? rank : 0;
    o.world = group ? WORLD : 1;
    o.group = group ? group : "";
    o.group_id = group ? "job" : id;
    if (cfg_worker_open(&w, &o, &err) != 0)
        fail(err.text);
    cfg_param p = cfg_param_i64(w, "train.n", group ? CFG_BARRIER : CFG_LIVE, INT64_MIN, INT64_MAX, 0);
    if (cfg_worker_start(w, 10000, &err) != 0)
        fail(err.text);
    for (uint64_t step = 0;; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        if (v == NULL)
            _exit(0);
        int64_t value = cfg_get_i64(v, p);
        if (value != atomic_load_explicit(&t->value, memory_order_relaxed)) {
            atomic_store_explicit(&t->at_ns, bench_now_ns(), memory_order_relaxed);
            atomic_store_explicit(&t->value, value, memory_order_release);
        }
        struct timespec nap = {0, (long)step_ms * 1000000};
        (void)nanosleep(&nap, NULL);
        cfg_step_end(w, NULL);
    }
}

static pid_t start(const char *url, const char *group, uint32_t rank, struct told *t)
{
    pid_t pid = bench_child((int)(rank % 2));
    if (pid == 0)
        live(url, group, rank, t);
    return pid;
}

static uint64_t await(const struct told *from, size_t n, int64_t value)
{
    uint64_t last = 0, end = bench_now_ns() + 10000000000U;
    for (size_t i = 0; i < n; i++) {
        struct timespec nap = {0, 200000};
        while (atomic_load_explicit(&from[i].value, memory_order_acquire) != value) {
            if (bench_now_ns() > end) {
                fprintf(stderr, "bench: rank %zu never came to run on %lld\n", i, (long long)value);
                exit(1);
            }
            (void)nanosleep(&nap, NULL);
        }
        uint64_t at = atomic_load_explicit(&from[i].at_ns, memory_order_relaxed);
        last = at > last ? at : last;
    }
    return last;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *what, double *ms, size_t n, const char *goal)
{
    qsort(ms, n, sizeof ms[0], by_value);
    printf("%-56s p50 %6.2f ms  p99 %6.2f ms  max %6.2f ms%s\n", what, ms[n / 2], ms[n * 99 / 100], ms[n - 1], goal);
}

int main(int argc, char **argv)
{
    static double ranks[MAX_CHANGES], alone[MAX_CHANGES];
    size_t changes = argc > 1 ? strtoul(argv[1], NULL, 10) : 400;
    step_ms = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : step_ms;
    if (changes == 0 || changes > MAX_CHANGES || step_ms == 0 || step_ms > 500) {
        fprintf(stderr, "usage: bench_ranks [CHANGES ≤ %d [STEP_MS ≤ 500]]\n", MAX_CHANGES);
        return 2;
    }
    char url[128], group[64], text[64], goal[64];
    pid_t pids[WORLD + 1];
    told = mmap(NULL, sizeof *told * (WORLD + 1), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct bench_process *configd = bench_configd(bench_etcd(0), 0, NULL);
    (void)snprintf(url, sizeof url, "http://%s", configd->host_port);
    (void)snprintf(group, sizeof group, "tcp:127.0.0.1:%d", bench_free_port());
    configd_fd = bench_connect(configd->host_port);
    bench_tell(configd_fd, "POST", "/v1/changes", NULL,
               "[{\"namespace\":\"bench\",\"set\":[{\"name\":\"train.n\",\"mode\":\"set\",\"value\":1}]}]");
    bench_tell(configd_fd, "POST", "/v1/deployments", NULL,
               "{\"name\":\"bench\",\"config\":\"bench\",\"pin\":[],\"flags\":[],\"track\":\"head\"}");
    for (uint32_t i = 0; i < WORLD; i++)
        pids[i] = start(url, group, i, &told[i]);
    pids[WORLD] = start(url, NULL, WORLD, &told[WORLD]);
    (void)await(told, WORLD + 1, 1);
    unsigned seed = 1;
    for (size_t i = 0; i < changes; i++) {
        (void)usleep(3 * step_ms * 1000 + (unsigned)rand_r(&seed) % (step_ms * 1000));
        (void)snprintf(text, sizeof text, "{\"train\":{\"n\":%zu}}", i + 2);
        uint64_t sent = bench_now_ns();
        bench_tell(configd_fd, "PATCH", "/v1/config/bench", "application/merge-patch+json", text);
        ranks[i] = (double)(await(told, WORLD, (int64_t)i + 2) - sent) / 1e6;
        alone[i] = (double)(await(told + WORLD, 1, (int64_t)i + 2) - sent) / 1e6;
    }
    (void)snprintf(goal, sizeof goal, "   goal p99 ≤ a step + 2 ms = %u ms", step_ms + 2);
    printf("%zu changes, steps of %u ms\n", changes, step_ms);
    print("change to applied on all 4 ranks, tcp, K = 1", ranks, changes, goal);
    print("the same on a worker alone", alone, changes, "");
    for (size_t i = 0; i <= WORLD; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
    return 0;
}
