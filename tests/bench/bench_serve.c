/* Serving with configd against serving without: the same cfg-infer twice, one that follows a deployment whose live
 * parameters change in every round, one that follows a file that nobody touches. Both on core 1, configd, etcd and the
 * load on core 0. Rounds are paired and take turns in who goes first; the interval is Student's over the logarithms of
 * their ratios. On a busy machine bytes per second of the server's own CPU time say more than bytes per second: both
 * are shown. Then what the changes cost in captured batches: nothing. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 24, CLIENTS = 8, TOKENS = 600 };

struct rates {
    double wall[ROUNDS], cpu[ROUNDS]; /* bytes per second, and per second of CPU time */
};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void call(const struct bench_process *p, const char *method, const char *path, const char *type,
                 const char *body, struct cfg_buf *reply)
{
    int fd = bench_connect(p->host_port);
    bench_must_call(fd, method, path, type, body, reply);
    close(fd);
}

/* All threads', in nanoseconds; /proc counts in hundredths of a second. */
static double cpu_s(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        die("no CPU clock");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* All requests at once, then all answers. The text at temperature 0 ends by its length alone. */
static void load(struct rates *out, int round, const struct bench_process *p, const int *fds, bool stream)
{
    struct cfg_buf request, body, reply;
    cfg_buf_init(&request, 4096);
    cfg_buf_init(&body, 1024);
    cfg_buf_init(&reply, 8 << 20);
    cfg_buf_printf(&body, "{\"prompt\":\"The Fox \",\"max_tokens\":%d,\"stream\":%s}", TOKENS,
                   stream ? "true" : "false");
    bench_request(&request, "POST", "/v1/completions", NULL, cfg_buf_slice(&body));
    double cpu = cpu_s(p->pid);
    uint64_t begun = bench_now_ns();
    for (int i = 0; i < CLIENTS; i++)
        if (write(fds[i], request.data, request.len) != (ssize_t)request.len)
            die("cannot send");
    for (int i = 0; i < CLIENTS; i++) {
        static const char end[] = "\r\n0\r\n\r\n";
        int status = 0;
        cfg_buf_clear(&reply);
        for (bool whole = false; !whole;) {
            char bytes[65536];
            ssize_t n = read(fds[i], bytes, sizeof bytes);
            if (n <= 0)
                die("the server has gone");
            cfg_buf_put(&reply, bytes, (size_t)n);
            whole = stream ? reply.len > 8 && memcmp(reply.data + reply.len - 7, end, 7) == 0
                           : bench_reply_length(&reply, &status) != 0;
        }
        if (strncmp(reply.data, "HTTP/1.1 200", 12) != 0)
            die("a request was refused");
    }
    out->wall[round] = CLIENTS * TOKENS / ((double)(bench_now_ns() - begun) / 1e9);
    out->cpu[round] = CLIENTS * TOKENS / (cpu_s(p->pid) - cpu);
    cfg_buf_finish(&request);
    cfg_buf_finish(&body);
    cfg_buf_finish(&reply);
}

static void connect_all(int fds[CLIENTS], const struct bench_process *p)
{
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = bench_connect(p->host_port);
}

/* A figure of /metrics. */
static double metric(const struct bench_process *p, const char *name)
{
    struct cfg_buf reply;
    char key[96];
    cfg_buf_init(&reply, 1 << 20);
    call(p, "GET", "/metrics", NULL, NULL, &reply);
    (void)snprintf(key, sizeof key, "\n%s ", name);
    const char *at = strstr(reply.data, key);
    if (at == NULL)
        die("a metric is missing");
    double value = strtod(at + strlen(key), NULL);
    cfg_buf_finish(&reply);
    return value;
}

static void change(const struct bench_process *configd, int round)
{
    struct cfg_buf reply;
    char body[96];
    cfg_buf_init(&reply, 1 << 20);
    (void)snprintf(body, sizeof body, "{\"sampling\":{\"top_k\":%d}}", 1 + round % 200);
    call(configd, "PATCH", "/v1/config/chat", "application/merge-patch+json", body, &reply);
    cfg_buf_finish(&reply);
}

static void interval(const char *what, const double *ours, const double *theirs)
{
    double mean = 0, square = 0;
    for (int i = 0; i < ROUNDS; i++)
        mean += log(ours[i] / theirs[i]) / ROUNDS;
    for (int i = 0; i < ROUNDS; i++)
        square += pow(log(ours[i] / theirs[i]) - mean, 2);
    double half = 2.069 * sqrt(square / (ROUNDS - 1) / ROUNDS); /* t of 23 degrees of freedom, 97.5 % */
    printf("%-44s ratio %.4f, 95 %% interval %.4f … %.4f   goal: reaches 0.99\n", what, exp(mean), exp(mean - half),
           exp(mean + half));
}

static void compare(const char *what, const struct bench_process *configd, const struct bench_process *with,
                    const struct bench_process *without, bool stream)
{
    struct rates ours, theirs;
    char line[96];
    int a[CLIENTS], b[CLIENTS];
    connect_all(a, with);
    connect_all(b, without);
    load(&ours, 0, with, a, stream);
    load(&theirs, 0, without, b, stream);
    for (int r = 0; r < ROUNDS; r++) {
        if (r % 2 == 0)
            load(&theirs, r, without, b, stream);
        change(configd, r);
        load(&ours, r, with, a, stream);
        if (r % 2 == 1)
            load(&theirs, r, without, b, stream);
    }
    interval(what, ours.wall, theirs.wall);
    bench_print_ratio(what, "bytes/s", ours.wall, theirs.wall, ROUNDS, NULL);
    (void)snprintf(line, sizeof line, "%s, per CPU second", what);
    interval(line, ours.cpu, theirs.cpu);
    bench_print_ratio(line, "bytes/s", ours.cpu, theirs.cpu, ROUNDS, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        close(a[i]);
        close(b[i]);
    }
}

int main(void)
{
    static const char first[] = "{\"sampling\":{\"temperature\":0,\"top_k\":0},\"inference\":{\"batch_size\":8}}";
    char file[] = "/tmp/bench-serve.XXXXXX.json", source[64], server[96];
    struct cfg_buf reply;
    bench_pin(0);
    int fd = mkstemps(file, 5);
    if (fd < 0 || write(fd, first, sizeof first - 1) != (ssize_t)sizeof first - 1)
        die("no file");
    close(fd);
    struct bench_process *etcd = bench_etcd(0);
    struct bench_process *configd = bench_configd(etcd, 0, NULL);
    cfg_buf_init(&reply, 1 << 20);
    call(configd, "POST", "/v1/changes", NULL,
         "[{\"namespace\":\"chat\",\"set\":[{\"name\":\"sampling.temperature\",\"value\":0},"
         "{\"name\":\"inference.batch_size\",\"value\":8}]}]",
         &reply);
    call(configd, "POST", "/v1/deployments", NULL, "{\"name\":\"blue\",\"config\":\"chat\"}", &reply);
    cfg_buf_finish(&reply);
    (void)snprintf(source, sizeof source, "file:%s", file);
    (void)snprintf(server, sizeof server, "http://%s", configd->host_port);
    const char *with_options[] = {"--server", server, "--deployment", "blue", "--worker", "w0", NULL};
    const char *without_options[] = {"--source", source, NULL};
    struct bench_process *with = bench_infer(1, with_options), *without = bench_infer(1, without_options);
    double captures = metric(with, "cfg_infer_captures_total");
    compare("serving, whole answers", configd, with, without, false);
    compare("serving, streams", configd, with, without, true);
    printf("views adopted meanwhile %.0f, batches captured for them %.0f\n",
           metric(with, "cfg_infer_view_changes_total") - 1, metric(with, "cfg_infer_captures_total") - captures);
    (void)unlink(file);
    return 0;
}
