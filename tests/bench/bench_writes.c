/* Writes to distinct namespaces by 16 writers: configd against the very same guarded transactions sent raw to etcd's
 * gateway, with one watch open in both cases. etcd has a core of its own; configd and the load share the other. */
#include "tests/bench/bench.h"

#include "proto/etcd_msg.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WRITERS = 16, ROUNDS = 7, WRITES = 4000 };

struct writer {
    int fd, index;
    long version; /* last written */
    int64_t mod;  /* raw: mod_revision of the head */
    struct cfg_buf in;
};

static char document[512];

static void raw_body(struct cfg_buf *out, const struct writer *w, const char *prefix)
{
    struct cfg_buf head, history, value;
    cfg_buf_init(&head, 256);
    cfg_buf_init(&history, 256);
    cfg_buf_init(&value, 4096);
    cfg_buf_printf(&head, "%slive/config/ns%d", prefix, w->index);
    cfg_buf_printf(&history, "%shistory/config/ns%d/%010ld", prefix, w->index, w->version + 1);
    cfg_buf_printf(&value,
                   "{\"version\":%ld,\"parent\":%ld,\"digest\":\"sha256:"
                   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
                   "\"author\":\"bench@host (unverified)\",\"message\":\"\",\"time\":\"2026-01-01T00:00:00.000000Z\","
                   "\"request_id\":\"0123456789abcdef\",\"extends\":[],\"document\":%s}",
                   w->version + 1, w->version, document);
    struct cfg_etcd_compare compare = {
        .key = cfg_buf_slice(&head), .target = CFG_ETCD_MOD, .result = CFG_ETCD_EQUAL, .number = w->mod};
    struct cfg_etcd_op puts[2] = {
        {.kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&head), .value = cfg_buf_slice(&value)},
        {.kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&history), .value = cfg_buf_slice(&value)}};
    struct cfg_etcd_op ranges[1] = {{.kind = CFG_ETCD_RANGE, .key = cfg_buf_slice(&history)}};
    struct cfg_etcd_txn_req txn = {
        .compare = &compare, .n_compare = 1, .success = puts, .n_success = 2, .failure = ranges, .n_failure = 1};
    cfg_etcd_txn_print(out, &txn);
    cfg_buf_finish(&head);
    cfg_buf_finish(&history);
    cfg_buf_finish(&value);
}

static void send_next(struct writer *w, bool raw, const char *prefix)
{
    struct cfg_buf body, request;
    cfg_buf_init(&body, 1 << 16);
    cfg_buf_init(&request, 1 << 16);
    document[11] = (char)('0' + w->version % 10); /* every write changes the value */
    if (raw) {
        raw_body(&body, w, prefix);
        bench_request(&request, "POST", "/v3/kv/txn", NULL, cfg_buf_slice(&body));
    } else {
        char path[64];
        (void)snprintf(path, sizeof path, "/v1/config/ns%d", w->index);
        cfg_buf_printf(&body, "{\"learning\":%ld}", w->version);
        bench_request(&request, "PATCH", path, "application/merge-patch+json", cfg_buf_slice(&body));
    }
    if (send(w->fd, request.data, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
        exit(1);
    cfg_buf_finish(&body);
    cfg_buf_finish(&request);
}

/* One reply has arrived: checks that the write was done and remembers what the next needs. */
static void take_reply(struct writer *w, bool raw, int status)
{
    const char *revision = raw ? strstr(w->in.data, "\"revision\":\"") : NULL;
    if (status != 200 || (raw && (!strstr(w->in.data, "\"succeeded\":true") || !revision))) {
        fprintf(stderr, "bench: a write failed: %.400s\n", w->in.data);
        exit(1);
    }
    if (raw)
        w->mod = strtoll(revision + 12, NULL, 10);
    w->version++;
}

/* Writes per second over WRITES writes. */
static double round_of(struct writer *writers, bool raw, const char *prefix)
{
    int ep = epoll_create1(0);
    for (int i = 0; i < WRITERS; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &writers[i]};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, writers[i].fd, &ev) != 0)
            exit(1);
        send_next(&writers[i], raw, prefix);
    }
    uint64_t start = bench_now_ns();
    int done = 0, in_flight = WRITERS;
    while (in_flight > 0) {
        struct epoll_event events[WRITERS];
        int n = epoll_wait(ep, events, WRITERS, -1);
        for (int i = 0; i < n; i++) {
            struct writer *w = events[i].data.ptr;
            char bytes[16384];
            ssize_t got = recv(w->fd, bytes, sizeof bytes, 0);
            if (got <= 0)
                exit(1);
            cfg_buf_put(&w->in, bytes, (size_t)got);
            int status = 0;
            size_t length = bench_reply_length(&w->in, &status);
            if (length == 0)
                continue;
            take_reply(w, raw, status);
            cfg_buf_consume(&w->in, length);
            in_flight--;
            if (++done + in_flight < WRITES) {
                send_next(w, raw, prefix);
                in_flight++;
            }
        }
    }
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    close(ep);
    return done / seconds;
}

/* The baseline's watch: on the raw prefix, read and dropped by a child so that the load pays nothing for it. */
static pid_t open_watch(const char *host_port, const char *prefix)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct cfg_buf body, request, end;
    cfg_buf_init(&body, 4096);
    cfg_buf_init(&request, 8192);
    cfg_buf_init(&end, 256);
    cfg_etcd_prefix_end(&end, cfg_slice_str(prefix));
    struct cfg_etcd_watch_req watch = {
        .key = cfg_slice_str(prefix), .range_end = cfg_buf_slice(&end), .fragment = true};
    cfg_etcd_watch_print(&body, &watch);
    bench_request(&request, "POST", "/v3/watch", NULL, cfg_buf_slice(&body));
    int fd = bench_connect(host_port);
    char bytes[65536];
    if (send(fd, request.data, request.len, MSG_NOSIGNAL) > 0)
        while (recv(fd, bytes, sizeof bytes, 0) > 0)
            continue;
    _exit(0);
}

static void open_writers(struct writer *writers, const char *host_port)
{
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.fd = bench_connect(host_port), .index = i};
        cfg_buf_init(&writers[i].in, 1 << 20);
    }
}

int main(void)
{
    /* 300 bytes, as the anchors' values. */
    int n = snprintf(document, sizeof document, "{\"learning\":0,\"text\":\"");
    memset(document + n, 'x', (size_t)(297 - n));
    memcpy(document + 297, "\"}", 3);
    struct bench_process *etcd_raw = bench_etcd(0), *etcd_ours = bench_etcd(0);
    struct bench_process *configd = bench_configd(etcd_ours, 1, NULL);
    bench_pin(1);
    pid_t watch = open_watch(etcd_raw->host_port, "/configd/v1/live/");
    struct writer raw[WRITERS], ours[WRITERS];
    open_writers(raw, etcd_raw->host_port);
    open_writers(ours, configd->host_port);
    for (int i = 0; i < WRITERS; i++) {
        struct cfg_buf reply;
        char body[600];
        cfg_buf_init(&reply, 1 << 20);
        (void)snprintf(body, sizeof body, "[{\"object\":\"config/ns%d\",\"put\":%s}]", i, document);
        if (bench_call(ours[i].fd, "POST", "/v1/changes", NULL, body, &reply) / 100 != 2) {
            fprintf(stderr, "bench: %s\n", reply.data);
            exit(1);
        }
        cfg_buf_finish(&reply);
        ours[i].version = 1;
    }
    double a[ROUNDS], b[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        b[i] = round_of(raw, true, "/configd/v1/");
        a[i] = round_of(ours, false, NULL);
    }
    bench_print_ratio("writes, 16 writers, distinct namespaces", "/s", a, b, ROUNDS, "≥ 0.8");
    (void)kill(watch, 9);
    return 0;
}
