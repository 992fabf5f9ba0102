#include "tests/bench/bench.h"

#include "proto/etcd_msg.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PROCESSES = 16, WAIT_MS = 20000 };

/* All processes live here and nowhere else: what stops them runs at exit, when no caller's stack is left. */
static struct bench_process table[MAX_PROCESSES];

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_pin(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core % (size_t)sysconf(_SC_NPROCESSORS_ONLN), &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* an unpinned run is noisier, not wrong */
}

int bench_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        die("no free port: %m");
    close(fd);
    return ntohs(a.sin_port);
}

static int try_connect(const char *host_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strrchr(host_port, ':');
    a.sin_port = htons((uint16_t)atoi(colon ? colon + 1 : host_port));
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %m");
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

int bench_connect(const char *host_port)
{
    int fd = try_connect(host_port);
    if (fd < 0)
        die("cannot connect to %s: %m", host_port);
    return fd;
}

static void wait_serving(struct bench_process *p, const char *path, const char *body)
{
    for (int waited = 0; waited < WAIT_MS; waited += 20) {
        int fd = try_connect(p->host_port), status = 0;
        if (fd >= 0) {
            struct cfg_buf reply;
            cfg_buf_init(&reply, 1 << 20);
            status = bench_call(fd, body ? "POST" : "GET", path, NULL, body, &reply);
            cfg_buf_finish(&reply);
            close(fd);
            if (status == 200)
                return;
        }
        (void)usleep(20000);
    }
    die("%s did not begin to serve %s; its log is %s/log", p->host_port, path, p->dir);
}

static void spawn(struct bench_process *p, int core, char *const *argv)
{
    static bool registered;
    if (!registered && atexit(bench_stop_all) == 0)
        registered = true;
    char log[sizeof p->dir + 8];
    (void)snprintf(log, sizeof log, "%s/log", p->dir);
    p->pid = fork();
    if (p->pid == 0) {
        bench_pin(core);
        if (freopen(log, "w", stdout) == NULL || dup2(1, 2) < 0)
            _exit(126);
        execvp(argv[0], argv);
        _exit(127);
    }
    if (p->pid < 0)
        die("fork: %m");
}

static const char *const folder_patterns[] = {"/dev/shm/configd-bench.XXXXXX", "/tmp/configd-bench.XXXXXX"};

/* A free row of the table with a fresh folder and a free port. */
static struct bench_process *new_process(void)
{
    struct bench_process *p = table;
    while (p < table + MAX_PROCESSES && p->pid != 0)
        p++;
    if (p == table + MAX_PROCESSES)
        die("too many processes");
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(p->dir, sizeof p->dir, "%s", folder_patterns[i]);
        if (mkdtemp(p->dir) != NULL) {
            (void)snprintf(p->host_port, sizeof p->host_port, "127.0.0.1:%d", bench_free_port());
            return p;
        }
    }
    die("mkdtemp: %m");
    return NULL;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

/* Only ever a folder that mkdtemp made from one of our patterns. */
static void remove_folder(const char *dir)
{
    for (size_t i = 0; i < 2; i++) {
        size_t fixed = strlen(folder_patterns[i]) - 6;
        if (strncmp(dir, folder_patterns[i], fixed) == 0 && strlen(dir) == fixed + 6 &&
            strchr(dir + fixed, '/') == NULL) {
            if (nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
                (void)fprintf(stderr, "bench: %s is left behind\n", dir);
            return;
        }
    }
}

struct bench_process *bench_etcd(int core)
{
    struct bench_process *out = new_process();
    char client[96], peer[96], data[160];
    (void)snprintf(client, sizeof client, "http://%s", out->host_port);
    (void)snprintf(peer, sizeof peer, "http://127.0.0.1:%d", bench_free_port());
    (void)snprintf(data, sizeof data, "%s/data", out->dir);
    const char *argv[] = {"etcd",  "--data-dir",
                          data,    "--listen-client-urls",
                          client,  "--advertise-client-urls",
                          client,  "--listen-peer-urls",
                          peer,    "--initial-advertise-peer-urls",
                          peer,    "--initial-cluster",
                          NULL,    "--logger",
                          "zap",   "--log-level",
                          "error", NULL};
    char cluster[128];
    (void)snprintf(cluster, sizeof cluster, "default=%s", peer);
    argv[12] = cluster;
    char *copy[sizeof argv / sizeof argv[0]];
    memcpy(copy, argv, sizeof argv);
    spawn(out, core, copy);
    wait_serving(out, "/v3/kv/range", "{\"key\":\"eA==\"}");
    return out;
}

struct bench_process *bench_configd(const struct bench_process *etcd, int core, const char *const *extra)
{
    struct bench_process *out = new_process();
    char endpoint[96], program[4096];
    const char *build = getenv("CFG_BUILD_DIR");
    (void)snprintf(endpoint, sizeof endpoint, "http://%s", etcd->host_port);
    (void)snprintf(program, sizeof program, "%s/configd/configd", build ? build : "build/release");
    const char *argv[32] = {program, "--etcd", endpoint, "--listen", out->host_port};
    size_t n = 5;
    for (; extra && *extra && n < 31; extra++)
        argv[n++] = *extra;
    char *copy[32];
    memcpy(copy, argv, sizeof argv);
    spawn(out, core, copy);
    wait_serving(out, "/readyz", NULL);
    return out;
}

struct bench_process *bench_infer(int core, const char *const *options)
{
    struct bench_process *out = new_process();
    char program[4096];
    const char *build = getenv("CFG_BUILD_DIR");
    (void)snprintf(program, sizeof program, "%s/worker/cfg-infer/cfg-infer", build ? build : "build/release");
    const char *argv[32] = {program, "--listen", out->host_port, "--cache", "", "--quiet"};
    size_t n = 6;
    for (; *options && n < 31; options++)
        argv[n++] = *options;
    char *copy[32];
    memcpy(copy, argv, sizeof argv);
    spawn(out, core, copy);
    wait_serving(out, "/readyz", NULL);
    return out;
}

void bench_stop(struct bench_process *p)
{
    if (p->pid <= 0)
        return;
    (void)kill(p->pid, SIGTERM);
    (void)waitpid(p->pid, NULL, 0);
    remove_folder(p->dir);
    *p = (struct bench_process){0};
}

void bench_stop_all(void)
{
    for (size_t i = MAX_PROCESSES; i-- > 0;)
        bench_stop(&table[i]);
}

uint64_t bench_cpu_ns(pid_t pid)
{
    char path[64], line[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    unsigned long long user = 0, sys = 0;
    if (f && fgets(line, sizeof line, f)) {
        const char *p = strrchr(line, ')');
        if (p == NULL || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys) != 2)
            user = sys = 0;
    }
    if (f)
        (void)fclose(f);
    return (user + sys) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t bench_anonymous_bytes(pid_t pid)
{
    char path[64], line[256];
    unsigned long kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Anonymous: %lu", &kib) == 1)
            break;
    if (f)
        (void)fclose(f);
    return (uint64_t)kib * 1024;
}

void bench_request(struct cfg_buf *out, const char *method, const char *path, const char *content_type,
                   struct cfg_slice body)
{
    cfg_buf_printf(out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, path);
    if (body.len > 0)
        cfg_buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                       content_type ? content_type : "application/json", body.len);
    cfg_buf_puts(out, "\r\n");
    cfg_buf_put(out, body.ptr, body.len);
}

size_t bench_reply_length(const struct cfg_buf *b, int *status)
{
    const char *end = b->len ? strstr(b->data, "\r\n\r\n") : NULL;
    if (end == NULL)
        return 0;
    *status = atoi(b->data + 9);
    size_t head = (size_t)(end - b->data) + 4;
    const char *length = strcasestr(b->data, "\r\nContent-Length:");
    if (length && length < end) {
        size_t total = head + strtoul(length + 17, NULL, 10);
        return b->len >= total ? total : 0;
    }
    const char *chunked = strcasestr(b->data, "\r\nTransfer-Encoding: chunked");
    if (chunked && chunked < end) {
        const char *last = memmem(b->data + head - 2, b->len - head + 2, "\r\n0\r\n\r\n", 7);
        return last ? (size_t)(last - b->data) + 7 : 0;
    }
    return head;
}

int bench_call(int fd, const char *method, const char *path, const char *content_type, const char *body,
               struct cfg_buf *reply)
{
    struct cfg_buf request;
    int status = 0;
    cfg_buf_init(&request, 16 << 20);
    bench_request(&request, method, path, content_type, cfg_slice_str(body));
    if (send(fd, request.data, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
        die("send: %m");
    cfg_buf_finish(&request);
    cfg_buf_clear(reply);
    size_t length = 0;
    while ((length = bench_reply_length(reply, &status)) == 0) {
        char bytes[65536];
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return 0; /* closed before a reply: the caller tries again or gives up */
        cfg_buf_put(reply, bytes, (size_t)n);
    }
    return status;
}

void bench_must_call(int fd, const char *method, const char *path, const char *content_type, const char *body,
                     struct cfg_buf *reply)
{
    int status = bench_call(fd, method, path, content_type, body, reply);
    if (status / 100 != 2)
        die("%s %s: %d %s", method, path, status, reply->len > 0 ? reply->data : "");
}

void bench_tell(int fd, const char *method, const char *path, const char *content_type, const char *body)
{
    struct cfg_buf reply;
    cfg_buf_init(&reply, 1 << 20);
    bench_must_call(fd, method, path, content_type, body, &reply);
    cfg_buf_finish(&reply);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_spread bench_spread(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    return (struct bench_spread){values[0], median, values[n - 1]};
}

void bench_print_ratio(const char *what, const char *unit, double *ours, double *baseline, size_t rounds,
                       const char *goal)
{
    double ratios[64];
    for (size_t i = 0; i < rounds; i++)
        ratios[i] = ours[i] / baseline[i];
    struct bench_spread r = bench_spread(ratios, rounds), o = bench_spread(ours, rounds),
                        b = bench_spread(baseline, rounds);
    printf("%-44s ours %10.4g %s   baseline %10.4g %s   ratio %.3f (%.3f … %.3f, %zu rounds)%s%s\n", what, o.median,
           unit, b.median, unit, r.median, r.min, r.max, rounds, goal ? "   goal " : "", goal ? goal : "");
    (void)fflush(stdout);
}

void bench_base64(struct cfg_buf *out, const char *text)
{
    cfg_base64_encode(out, cfg_slice_str(text));
}
