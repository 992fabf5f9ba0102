/* A fleet of simulated workers (cfg-fleet, one process, the real client library) under one configd: from a change to
 * the last worker that has applied it, against a plain fan-out of the same bytes; and what a connected worker costs
 * configd in memory.
 *
 *     bench_fleet [WORKERS [ROUNDS [EVENTS]]]         5000 workers, 9 rounds of 5 changes
 *
 * configd and the plain server share core 0, cfg-fleet and the plain client core 1. A change is a PATCH over HTTP (so
 * its time counts the request, etcd's transaction and watch, composing and sending), an event of the floor a byte in a
 * pipe that makes the server send() as many bytes to as many sockets, which one process reads. The workers are idle:
 * they adopt a view as soon as it is prepared. */
#include "tests/bench/bench.h"
#include "tests/bench/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ROUNDS = 64, MAX_EVENTS = 100, SETTLE_US = 3000000, BREATHE_US = 1000000 };

static size_t workers = 5000;
static char frame[BENCH_FRAME_MAX];
static size_t frame_len;
static int configd_fd;
static FILE *fleet_out;
static pid_t fleet;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void change(unsigned event)
{
    char text[128];
    (void)snprintf(text, sizeof text, "{\"sampling\":{\"temperature\":0.%u}}", 10000 + event);
    bench_tell(configd_fd, "PATCH", "/v1/config/bench", "application/merge-patch+json", text);
}

/* One frame as configd sends it, so that the floor can send as many bytes. */
static void learn_frame(const char *host_port)
{
    static const char request[] = "GET /v1/deployments/bench/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    int fd = bench_connect(host_port);
    size_t n = 0;
    char *at = NULL;
    if (write(fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1)
        fail("configd's stream");
    for (bool caused = false; at == NULL || strstr(at, "\n\n") == NULL; at = strstr(frame, BENCH_STREAMS_MARK)) {
        ssize_t got = read(fd, frame + n, sizeof frame - 1 - n);
        if (got <= 0)
            fail("configd's stream");
        n += (size_t)got;
        frame[n] = '\0';
        if (!caused && strstr(frame, "event: view")) {
            change(0);
            caused = true;
        }
    }
    frame_len = (size_t)(strstr(at, "\n\n") - at) + 2;
    close(fd);
}

/* --- the simulated workers --- */

static void await_event(const char *event)
{
    char line[4096], what[64];
    (void)snprintf(what, sizeof what, "\"event\":\"%s\"", event);
    do {
        if (fgets(line, sizeof line, fleet_out) == NULL) {
            fprintf(stderr, "bench: cfg-fleet ended\n");
            exit(1);
        }
    } while (strstr(line, what) == NULL);
}

static void start_fleet(const char *host_port)
{
    char program[4096], url[128], n[32];
    const char *build = getenv("CFG_BUILD_DIR");
    int out[2];
    (void)snprintf(program, sizeof program, "%s/worker/cfg-fleet/cfg-fleet", build ? build : "build/release");
    (void)snprintf(url, sizeof url, "http://%s", host_port);
    (void)snprintf(n, sizeof n, "%zu", workers);
    if (pipe(out) != 0)
        fail("pipe");
    fleet = bench_child(1);
    if (fleet == 0) {
        (void)dup2(out[1], 1);
        close(out[0]);
        execl(program, program, "--server", url, "--deployment", "bench", "--workers", n, "--step-ms", "0",
              "--start-ms", "120000", "-o", "ndjson", (char *)NULL);
        perror(program);
        _exit(127);
    }
    close(out[1]);
    fleet_out = fdopen(out[0], "r");
    await_event("ready");
}

static double one_change(unsigned event)
{
    uint64_t start = bench_now_ns();
    change(event);
    await_event("applied");
    return (double)(bench_now_ns() - start) / 1e6;
}

static double one_plain(struct bench_raw *raw, struct bench_streams *plain)
{
    bench_streams_arm(plain);
    uint64_t start = bench_now_ns();
    bench_raw_send(raw, frame_len);
    bench_streams_await(plain);
    return (double)(bench_now_ns() - start) / 1e6;
}

/* --- memory --- */

static void print_memory(const char *what, uint64_t before, uint64_t after, const char *goal)
{
    printf("%-66s %6.0f B%s%s\n", what, ((double)after - (double)before) / (double)workers, goal ? "   goal " : "",
           goal ? goal : "");
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 9, events = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
    double ours[MAX_ROUNDS], floor[MAX_ROUNDS], ms[MAX_EVENTS];
    struct bench_raw raw;
    struct bench_streams plain, kept;
    unsigned event = 0;
    if (argc > 1)
        workers = strtoul(argv[1], NULL, 10);
    if (workers == 0 || workers > BENCH_STREAMS_MAX / 2 || rounds == 0 || rounds > MAX_ROUNDS || events == 0 ||
        events > MAX_EVENTS) {
        fprintf(stderr, "usage: bench_fleet [WORKERS ≤ %d [ROUNDS ≤ %d [EVENTS ≤ %d]]]\n", BENCH_STREAMS_MAX / 2,
                MAX_ROUNDS, MAX_EVENTS);
        return 2;
    }
    struct bench_process *configd = bench_configd(bench_etcd(0), 0, NULL);
    configd_fd = bench_connect(configd->host_port);
    bench_tell(
        configd_fd, "POST", "/v1/changes", NULL,
        "[{\"namespace\":\"bench\",\"set\":[{\"name\":\"sampling.temperature\",\"mode\":\"set\",\"value\":0.5}]}]");
    bench_tell(configd_fd, "POST", "/v1/deployments", NULL,
               "{\"name\":\"bench\",\"config\":\"bench\",\"pin\":[],\"flags\":[],\"track\":\"head\"}");
    learn_frame(configd->host_port);
    uint64_t before = bench_anonymous_bytes(configd->pid);
    start_fleet(configd->host_port);
    bench_raw_start(&raw, 0);
    bench_streams_open(&plain, 1, raw.host_port, workers, "hello", NULL);
    (void)one_change(++event); /* warms up, and everybody has something to report */
    (void)one_plain(&raw, &plain);
    (void)usleep(SETTLE_US);
    uint64_t connected = bench_anonymous_bytes(configd->pid);
    for (size_t r = 0; r < rounds; r++) {
        for (size_t e = 0; e < events; e++) {
            ms[e] = one_change(++event);
            (void)usleep(BREATHE_US); /* their reports */
        }
        ours[r] = bench_spread(ms, events).median;
        for (size_t e = 0; e < events; e++)
            ms[e] = one_plain(&raw, &plain);
        floor[r] = bench_spread(ms, events).median;
    }
    uint64_t after = bench_anonymous_bytes(configd->pid);
    bench_streams_open(&kept, 1, configd->host_port, workers, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                       "HTTP/1.1 200");
    uint64_t with_kept = bench_anonymous_bytes(configd->pid);
    printf("%zu simulated workers, frames of %zu bytes, %zu changes per round\n", workers, frame_len, events);
    bench_print_ratio("change to last applied, against a plain fan-out", "ms", ours, floor, rounds, "≤ 2");
    print_memory("configd, anonymous memory per connected worker with its report", before, connected, "≤ 8192");
    print_memory("the same after the changes", before, after, NULL);
    print_memory("more for a connection of its own that each keeps for reports", after, with_kept, NULL);
    bench_streams_close(&kept);
    bench_streams_close(&plain);
    bench_raw_stop(&raw);
    return 0;
}
