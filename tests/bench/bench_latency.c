/* From `set` sent to applied: one libcfgworker against one raw etcd gateway watch, then 1,000 and 5,000 streams of
 * configd against as many raw gateway watches (time until the last has it, and server memory per watcher). Servers
 * share core 0, the clients have core 1; the worker, which idles between its empty steps, and the watch: unpinned. */
#include "tests/bench/bench.h"

#include "proto/etcd_msg.h"
#include <cfg/worker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SINGLE_ROUNDS = 15, SINGLE_SAMPLES = 40, MANY_ROUNDS = 9, MAX_STREAMS = 5000 };

struct servers {
    struct bench_process *etcd_raw, *etcd_ours, *configd;
    int raw_fd, ours_fd; /* writers' connections */
    long n;              /* value of the next write */
};

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "bench: %s: %.400s\n", what, detail);
    exit(1);
}

static void fail_errno(const char *what)
{
    perror(what);
    exit(1);
}

static void make_set(struct cfg_buf *out, long n)
{
    char body[160];
    (void)snprintf(
        body, sizeof body,
        "{\"counter\":%ld,\"text\":\"a value of the usual length, so that the event has about three hundred bytes\"}",
        n);
    bench_request(out, "PATCH", "/v1/config/bench", "application/merge-patch+json", cfg_slice_str(body));
}

/* The same write as configd makes it: a guarded put of head and history record. The guard is always true, as it is for
 * configd's. */
static void make_raw(struct cfg_buf *out, long n)
{
    char value[512], history[64];
    (void)snprintf(value, sizeof value,
                   "{\"version\":%ld,\"parent\":%ld,\"digest\":\"sha256:"
                   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"author\":\"b\","
                   "\"document\":{\"counter\":%ld,\"text\":\"a value of the usual length, so that the event has about "
                   "three hundred bytes\"}}",
                   n, n - 1, n);
    (void)snprintf(history, sizeof history, "/configd/v1/history/config/bench/%010ld", n);
    struct cfg_etcd_compare guard = {
        .key = cfg_slice_str(history), .target = CFG_ETCD_CREATE, .result = CFG_ETCD_EQUAL};
    struct cfg_etcd_op puts[] = {
        {.kind = CFG_ETCD_PUT, .key = CFG_SLICE_LIT("/configd/v1/live/config/bench"), .value = cfg_slice_str(value)},
        {.kind = CFG_ETCD_PUT, .key = cfg_slice_str(history), .value = cfg_slice_str(value)}};
    struct cfg_etcd_txn_req txn = {.compare = &guard, .n_compare = 1, .success = puts, .n_success = 2};
    struct cfg_buf body;
    cfg_buf_init(&body, 1 << 16);
    cfg_etcd_txn_print(&body, &txn);
    bench_request(out, "POST", "/v3/kv/txn", NULL, cfg_buf_slice(&body));
    cfg_buf_finish(&body);
}

static void send_all(int fd, const struct cfg_buf *b)
{
    if (send(fd, b->data, b->len, MSG_NOSIGNAL) != (ssize_t)b->len)
        fail_errno("send");
}

static void send_write(struct servers *s, bool raw)
{
    struct cfg_buf request;
    cfg_buf_init(&request, 1 << 16);
    s->n++;
    (raw ? make_raw : make_set)(&request, s->n);
    send_all(raw ? s->raw_fd : s->ours_fd, &request);
    cfg_buf_finish(&request);
}

static void read_reply(struct servers *s, bool raw)
{
    struct cfg_buf reply;
    int status = 0;
    char bytes[16384];
    cfg_buf_init(&reply, 1 << 20);
    while (bench_reply_length(&reply, &status) == 0) {
        ssize_t n = recv(raw ? s->raw_fd : s->ours_fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            fail_errno("reply");
        cfg_buf_put(&reply, bytes, (size_t)n);
    }
    if (status / 100 != 2)
        fail("write refused", reply.data);
    cfg_buf_finish(&reply);
}

static void start_servers(struct servers *s)
{
    struct cfg_buf reply;
    cfg_buf_init(&reply, 1 << 20);
    s->etcd_raw = bench_etcd(0);
    s->etcd_ours = bench_etcd(0);
    s->configd = bench_configd(s->etcd_ours, 0, NULL);
    s->raw_fd = bench_connect(s->etcd_raw->host_port);
    s->ours_fd = bench_connect(s->configd->host_port);
    if (bench_call(s->ours_fd, "POST", "/v1/changes", NULL, "[{\"object\":\"config/bench\",\"put\":{\"counter\":0}}]",
                   &reply) /
            100 !=
        2)
        fail("namespace", reply.data);
    if (bench_call(s->ours_fd, "POST", "/v1/deployments", NULL,
                   "{\"name\":\"bench\",\"config\":\"bench\",\"pin\":[],\"flags\":[],\"track\":\"head\"}", &reply) /
            100 !=
        2)
        fail("deployment", reply.data);
    cfg_buf_finish(&reply);
}

static void watch_request(struct cfg_buf *out)
{
    struct cfg_buf body;
    cfg_buf_init(&body, 4096);
    struct cfg_etcd_watch_req w = {.key = CFG_SLICE_LIT("/configd/v1/live/"),
                                   .range_end = CFG_SLICE_LIT("/configd/v1/live0")};
    cfg_etcd_watch_print(&body, &w);
    bench_request(out, "POST", "/v3/watch", NULL, cfg_buf_slice(&body));
    cfg_buf_finish(&body);
}

/* --- one worker --- */

static struct cfg_worker *start_worker(struct servers *s, cfg_param *counter)
{
    static char url[96];
    (void)snprintf(url, sizeof url, "http://%s", s->configd->host_port);
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.servers = url;
    o.deployment = "bench";
    o.worker = "bench";
    o.cache = "";
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    if (cfg_worker_open(&w, &o, &err) != 0)
        fail("worker", err.text);
    *counter = cfg_param_i64(w, "counter", CFG_LIVE, 0, INT64_MAX, 0);
    if (cfg_worker_start(w, 10000, &err) != 0)
        fail("worker", err.text);
    return w;
}

static double sample_ours(struct servers *s, struct cfg_worker *w, cfg_param counter)
{
    uint64_t start = bench_now_ns();
    send_write(s, false);
    for (uint64_t step = 0;; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        if (cfg_get_i64(v, counter) == s->n)
            break;
        cfg_step_end(w, NULL);
        (void)cfg_worker_idle(w, 1000);
    }
    double ms = (double)(bench_now_ns() - start) / 1e6;
    read_reply(s, false);
    return ms;
}

static double sample_raw(struct servers *s, int watch)
{
    char bytes[16384];
    uint64_t start = bench_now_ns();
    send_write(s, true);
    for (;;) {
        ssize_t n = recv(watch, bytes, sizeof bytes - 1, 0);
        if (n <= 0)
            fail_errno("watch");
        bytes[n] = '\0';
        if (strstr(bytes, "\"events\""))
            break;
    }
    double ms = (double)(bench_now_ns() - start) / 1e6;
    read_reply(s, true);
    return ms;
}

static void one_worker(struct servers *s)
{
    cfg_param counter;
    struct cfg_worker *w = start_worker(s, &counter);
    struct cfg_buf request;
    cfg_buf_init(&request, 4096);
    watch_request(&request);
    int watch = bench_connect(s->etcd_raw->host_port);
    send_all(watch, &request);
    cfg_buf_finish(&request);
    double ours[SINGLE_ROUNDS], raw[SINGLE_ROUNDS], a[SINGLE_SAMPLES], b[SINGLE_SAMPLES];
    for (int r = 0; r < SINGLE_ROUNDS; r++) {
        for (int i = 0; i < SINGLE_SAMPLES; i++) {
            b[i] = sample_raw(s, watch);
            a[i] = sample_ours(s, w, counter);
        }
        ours[r] = bench_spread(a, SINGLE_SAMPLES).median;
        raw[r] = bench_spread(b, SINGLE_SAMPLES).median;
    }
    bench_print_ratio("set → applied, 1 worker", "ms", ours, raw, SINGLE_ROUNDS, "≤ 1.5");
    close(watch);
    cfg_worker_close(w);
}

/* --- many streams --- */

struct crowd {
    int ep, n;
    int fds[MAX_STREAMS];
    long seen[MAX_STREAMS]; /* round in which it last had the event */
    const char *mark;       /* what tells an event in the bytes */
};

/* Reads whatever has come; returns how many streams have had this round's event for the first time. */
static int drain(struct crowd *c, long round, int timeout_ms)
{
    struct epoll_event events[512];
    int fresh = 0, n = epoll_wait(c->ep, events, 512, timeout_ms);
    for (int i = 0; i < n; i++) {
        char bytes[8192];
        uint32_t k = events[i].data.u32;
        ssize_t got = recv(c->fds[k], bytes, sizeof bytes - 1, MSG_DONTWAIT);
        if (got <= 0)
            fail_errno("a stream ended");
        bytes[got] = '\0';
        if (c->seen[k] != round && strstr(bytes, c->mark)) {
            c->seen[k] = round;
            fresh++;
        }
    }
    return n == 0 ? -1 : fresh;
}

static void open_crowd(struct crowd *c, const char *host_port, bool raw, int n)
{
    struct cfg_buf request;
    cfg_buf_init(&request, 4096);
    if (raw)
        watch_request(&request);
    else
        bench_request(&request, "GET", "/v1/deployments/bench/stream", NULL, CFG_SLICE_LIT(""));
    *c = (struct crowd){.ep = epoll_create1(0), .n = n, .mark = raw ? "\"created\"" : "event: view"};
    int greeted = 0;
    for (int i = 0; i < n; i++) {
        c->fds[i] = bench_connect(host_port);
        c->seen[i] = -1;
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(c->ep, EPOLL_CTL_ADD, c->fds[i], &ev) != 0)
            fail_errno("epoll");
        send_all(c->fds[i], &request);
        for (int got; i - greeted > 64 && (got = drain(c, 0, 1000)) != -1;)
            greeted += got;
    }
    while (greeted < n) {
        int got = drain(c, 0, 10000);
        if (got < 0)
            fail("not every stream was greeted", host_port);
        greeted += got;
    }
    c->mark = raw ? "\"events\"" : "event: patch";
    cfg_buf_finish(&request);
}

static void close_crowd(struct crowd *c)
{
    for (int i = 0; i < c->n; i++)
        close(c->fds[i]);
    close(c->ep);
}

static double until_last(struct servers *s, struct crowd *c, bool raw, long round)
{
    uint64_t start = bench_now_ns();
    send_write(s, raw);
    for (int have = 0; have < c->n;) {
        int got = drain(c, round, 30000);
        if (got < 0)
            fail("an event did not reach everyone", raw ? "etcd" : "configd");
        have += got;
    }
    double ms = (double)(bench_now_ns() - start) / 1e6;
    read_reply(s, raw);
    return ms;
}

static void many_streams(struct servers *s, int n)
{
    static struct crowd ours, raw;
    uint64_t before_ours = bench_anonymous_bytes(s->configd->pid), before_raw = bench_anonymous_bytes(s->etcd_raw->pid);
    open_crowd(&ours, s->configd->host_port, false, n);
    open_crowd(&raw, s->etcd_raw->host_port, true, n);
    double per_ours = (double)(bench_anonymous_bytes(s->configd->pid) - before_ours) / n;
    double per_raw = (double)(bench_anonymous_bytes(s->etcd_raw->pid) - before_raw) / n;
    double a[MANY_ROUNDS], b[MANY_ROUNDS];
    for (int r = 0; r < MANY_ROUNDS; r++) {
        a[r] = until_last(s, &ours, false, r + 1);
        b[r] = until_last(s, &raw, true, r + 1);
    }
    char what[64];
    (void)snprintf(what, sizeof what, "set → last of %d streams has it", n);
    bench_print_ratio(what, "ms", a, b, MANY_ROUNDS, "≤ 0.2");
    printf("memory per watcher, %d of them                ours %.0f B   etcd %.0f B   1/%.0f   goal ≤ 1/20\n", n,
           per_ours, per_raw, per_raw / (per_ours > 1 ? per_ours : 1));
    close_crowd(&ours);
    close_crowd(&raw);
}

int main(void)
{
    static struct servers s;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    start_servers(&s);
    one_worker(&s);
    bench_pin(1);
    many_streams(&s, 1000);
    many_streams(&s, 5000);
    return 0;
}
