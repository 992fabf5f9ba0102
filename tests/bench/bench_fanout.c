/* One event to N streams: CPU of the server per stream and time until the last has it, for configd's stream path, a raw
 * epoll + send server (the floor) and Redis pub/sub where it is installed; and the private memory an idle
 * stream costs each of them.
 *
 *     bench_fanout [STREAMS [ROUNDS [EVENTS]]]        10000 streams, 9 rounds of 10 events
 *
 * Servers share core 0; each has a client process of its own on core 1 that holds its N connections. An event is a
 * PATCH for configd (its CPU counts everything: request, transaction, watch, composing, patch), a byte in a pipe for
 * the raw server, a PUBLISH for Redis; frames have the same size everywhere. */
#include "tests/bench/bench.h"
#include "tests/bench/streams.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_STREAMS = BENCH_STREAMS_MAX, MAX_ROUNDS = 64, SYSTEMS = 3, SETTLE_US = 20000 };

static const char mark[] = BENCH_STREAMS_MARK;

struct system {
    const char *name;
    pid_t server;
    char host_port[64];
    int trigger; /* where an event is caused */
    struct bench_streams client;
    struct bench_raw raw;
    uint64_t before_bytes, idle_bytes, after_bytes;
    double cpu_us[MAX_ROUNDS], last_ms[MAX_ROUNDS];
    bool present;
};

static size_t streams = 10000;
static char frame[BENCH_FRAME_MAX]; /* as configd sends it; the others send as many bytes */
static size_t frame_len;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        fail("the server's CPU clock");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void write_all(int fd, const void *bytes, size_t n)
{
    if (send(fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
        fail("send");
}

static void start_raw(struct system *s)
{
    bench_raw_start(&s->raw, 0);
    (void)snprintf(s->host_port, sizeof s->host_port, "%s", s->raw.host_port);
    s->server = s->raw.server;
    s->present = true;
}

/* --- Redis --- */

static void start_redis(struct system *s)
{
    int port = 20000 + (int)(bench_now_ns() / 1000 % 10000);
    char text[16];
    (void)snprintf(text, sizeof text, "%d", port);
    (void)snprintf(s->host_port, sizeof s->host_port, "127.0.0.1:%d", port);
    s->server = bench_child(0);
    if (s->server == 0) {
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, 1);
        execlp("redis-server", "redis-server", "--port", text, "--save", "", "--appendonly", "no", "--maxclients",
               "19900", (char *)NULL);
        _exit(127);
    }
    (void)usleep(500000);
    if (waitpid(s->server, NULL, WNOHANG) != 0)
        return; /* not installed */
    s->trigger = bench_connect(s->host_port);
    s->present = true;
}

/* --- configd --- */

static void start_configd(struct system *s)
{
    struct bench_process *configd = bench_configd(bench_etcd(0), 0, NULL);
    (void)snprintf(s->host_port, sizeof s->host_port, "%s", configd->host_port);
    s->server = configd->pid;
    s->trigger = bench_connect(configd->host_port);
    s->present = true;
    bench_tell(
        s->trigger, "POST", "/v1/changes", NULL,
        "[{\"namespace\":\"bench\",\"set\":[{\"name\":\"sampling.temperature\",\"mode\":\"set\",\"value\":0.5}]}]");
    bench_tell(s->trigger, "POST", "/v1/deployments", NULL,
               "{\"name\":\"bench\",\"config\":\"bench\",\"pin\":[],\"flags\":[],\"track\":\"head\"}");
}

static void cause(struct system *s, int which, unsigned event)
{
    char text[8192];
    if (which == 0) {
        bench_raw_send(&s->raw, frame_len);
    } else if (which == 1) {
        (void)snprintf(text, sizeof text, "{\"sampling\":{\"temperature\":0.%u}}", 10000 + event);
        bench_tell(s->trigger, "PATCH", "/v1/config/bench", "application/merge-patch+json", text);
    } else {
        /* "*3 message c" and the payload together are as long as configd's frame */
        size_t n = frame_len - strlen("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$300\r\n\r\n");
        int head = snprintf(text, sizeof text, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%zu\r\n%s", n, mark);
        size_t from = (size_t)head - strlen(mark);
        memset(text + head, 'x', n - strlen(mark));
        memcpy(text + from + n, "\r\n", 2);
        write_all(s->trigger, text, from + n + 2);
        if (recv(s->trigger, text, sizeof text, 0) <= 0)
            fail("PUBLISH");
    }
}

/* --- clients --- */

static const char *request_of(int which)
{
    return which == 2 ? "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n"
                      : "GET /v1/deployments/bench/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
}

static void start_client(struct system *s, int which)
{
    const char *first = which == 1 ? "event: view" : which == 2 ? "subscribe" : NULL;
    s->before_bytes = bench_anonymous_bytes(s->server);
    bench_streams_open(&s->client, 1, s->host_port, streams, request_of(which), first);
    (void)usleep(1000000);
    s->idle_bytes = bench_anonymous_bytes(s->server);
}

static double one_event(struct system *s, int which, unsigned event)
{
    bench_streams_arm(&s->client);
    uint64_t start = bench_now_ns();
    cause(s, which, event);
    bench_streams_await(&s->client);
    return (double)(bench_now_ns() - start) / 1e6;
}

/* One frame as configd sends it, seen by a stream of the bench's own, so that the others can send as many bytes. */
static void learn_frame(struct system *s)
{
    int fd = bench_connect(s->host_port);
    const char *request = request_of(1);
    write_all(fd, request, strlen(request));
    size_t n = 0;
    char *at = NULL;
    for (bool caused = false; at == NULL || strstr(at, "\n\n") == NULL; at = strstr(frame, mark)) {
        ssize_t got = recv(fd, frame + n, sizeof frame - 1 - n, 0);
        if (got <= 0)
            fail("configd's stream");
        n += (size_t)got;
        frame[n] = '\0';
        if (!caused && strstr(frame, "event: view"))
            cause(s, 1, 0);
        caused = caused || strstr(frame, "event: view");
    }
    frame_len = (size_t)(strstr(at, "\n\n") - at) + 2;
    close(fd);
}

static void report(const struct system *s, const struct system *raw, size_t rounds)
{
    char what[64];
    double ours[MAX_ROUNDS], floor[MAX_ROUNDS];
    (void)snprintf(what, sizeof what, "%s: CPU per stream, against raw send", s->name);
    memcpy(ours, s->cpu_us, sizeof ours);
    memcpy(floor, raw->cpu_us, sizeof floor);
    bench_print_ratio(what, "us", ours, floor, rounds, s == raw + 1 ? "≤ 1.15" : NULL);
    (void)snprintf(what, sizeof what, "%s: until the last has it, against raw send", s->name);
    memcpy(ours, s->last_ms, sizeof ours);
    memcpy(floor, raw->last_ms, sizeof floor);
    bench_print_ratio(what, "ms", ours, floor, rounds, NULL);
}

int main(int argc, char **argv)
{
    static struct system all[SYSTEMS] = {{.name = "raw"}, {.name = "configd"}, {.name = "redis"}};
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 9, events = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
    unsigned event = 0;
    if (argc > 1)
        streams = strtoul(argv[1], NULL, 10);
    if (streams == 0 || streams > MAX_STREAMS || rounds == 0 || rounds > MAX_ROUNDS || events == 0) {
        fprintf(stderr, "usage: bench_fanout [STREAMS ≤ %d [ROUNDS ≤ %d [EVENTS]]]\n", MAX_STREAMS, MAX_ROUNDS);
        return 2;
    }
    start_raw(&all[0]);
    start_configd(&all[1]);
    start_redis(&all[2]);
    learn_frame(&all[1]);
    for (int i = 0; i < SYSTEMS; i++)
        if (all[i].present)
            start_client(&all[i], i);
    for (size_t r = 0; r < rounds + 1; r++) /* the first warms up */
        for (int k = 0; k < SYSTEMS; k++) {
            int which = (int)((r + (size_t)k) % SYSTEMS);
            struct system *s = &all[which];
            double ms[1024];
            if (!s->present)
                continue;
            uint64_t cpu = cpu_ns(s->server);
            for (size_t e = 0; e < events; e++)
                ms[e % 1024] = one_event(s, which, ++event);
            (void)usleep(SETTLE_US);
            if (r == 0)
                continue;
            s->cpu_us[r - 1] = (double)(cpu_ns(s->server) - cpu) / 1e3 / (double)(events * streams);
            s->last_ms[r - 1] = bench_spread(ms, events < 1024 ? events : 1024).median;
        }
    printf("%zu streams, frames of %zu bytes, %zu events per round\n", streams, frame_len, events);
    for (int i = 1; i < SYSTEMS; i++)
        if (all[i].present)
            report(&all[i], &all[0], rounds);
    if (all[2].present) {
        double ours[MAX_ROUNDS], redis[MAX_ROUNDS];
        memcpy(ours, all[1].cpu_us, sizeof ours);
        memcpy(redis, all[2].cpu_us, sizeof redis);
        bench_print_ratio("configd: CPU per stream, against Redis", "us", ours, redis, rounds, "≤ 1");
    }
    for (int i = 0; i < SYSTEMS; i++)
        if (all[i].present) {
            all[i].after_bytes = bench_anonymous_bytes(all[i].server);
            printf("%-8s anonymous bytes per idle stream: %.0f, after the events %.0f%s\n", all[i].name,
                   ((double)all[i].idle_bytes - (double)all[i].before_bytes) / (double)streams,
                   ((double)all[i].after_bytes - (double)all[i].before_bytes) / (double)streams,
                   i == 1 ? "   goal ≤ 2048" : "");
        }
    for (int i = 0; i < SYSTEMS; i++) {
        if (all[i].present)
            bench_streams_close(&all[i].client);
        if (all[i].present && i != 1)
            (void)kill(all[i].server, SIGKILL);
    }
    return 0;
}
