/* A write of a base of 1,000 keys, a tenth of them interpolations, under 1,000 namespaces that override 50 of them,
 * each run by a deployment that a stream follows, against a real configd on a core of its own: until the writer has its
 * reply, until the last stream has its patch, configd's CPU for all of that, and how long the slowest of the small
 * requests waits that another connection makes meanwhile, one after the other.
 *
 *     bench_base_write [ROUNDS]        default 9
 *
 * The baseline is the least that anybody would have to do: the plain C of layers_plain.h merges and prints the same
 * 1,000 documents, in this process. */
#include "tests/bench/bench.h"
#include "tests/bench/layers_plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MANY = 1000, OWN = 50, AT_ONCE = 20, MAX_ROUNDS = 64 };
enum { FD_WRITER = -1, FD_PROBE = -2 };

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "bench: %s: %.400s\n", what, detail);
    exit(1);
}

static void post(int fd, const struct cfg_buf *body)
{
    struct cfg_buf reply;
    cfg_buf_init(&reply, 1 << 26);
    if (bench_call(fd, "POST", "/v1/changes", NULL, body->data, &reply) / 100 != 2)
        fail("a change", reply.data);
    cfg_buf_finish(&reply);
}

static void put_namespaces(int fd, cJSON *base, cJSON *const *own)
{
    struct cfg_buf body;
    cfg_buf_init(&body, 1 << 24);
    cfg_buf_puts(&body, "[{\"object\":\"config/base\",\"put\":");
    cfg_json_print(&body, base);
    cfg_buf_puts(&body, "}]");
    post(fd, &body);
    for (unsigned i = 0; i < MANY; i += AT_ONCE) {
        cfg_buf_clear(&body);
        for (unsigned k = i; k < i + AT_ONCE; k++) {
            cfg_buf_printf(&body, "%s{\"object\":\"config/n%u\",\"extends\":[\"base\"],\"put\":", k > i ? "," : "[", k);
            cfg_json_print(&body, own[k]);
            cfg_buf_printf(&body, "},{\"object\":\"deployment/d%u\",\"put\":{\"config\":\"n%u\"}}", k, k);
        }
        cfg_buf_putc(&body, ']');
        post(fd, &body);
    }
    cfg_buf_finish(&body);
}

static void send_all(int fd, const struct cfg_buf *b)
{
    if (send(fd, b->data, b->len, MSG_NOSIGNAL) != (ssize_t)b->len)
        fail("send", "the server is gone");
}

static void add(int ep, int fd, int what)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)(uint32_t)what << 32 | (uint32_t)fd};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
        fail("epoll", "");
}

/* One round: what has arrived, and when. */
struct run {
    int ep, probe;
    size_t streams; /* that have not got their event yet */
    const char *event;
    struct cfg_buf writer_in, probe_in;
    uint64_t start, asked;
    double reply_ms, last_ms, longest_ms;
};

static double ms_since(uint64_t ns)
{
    return (double)(bench_now_ns() - ns) / 1e6;
}

static void ask(struct run *r)
{
    struct cfg_buf request;
    cfg_buf_init(&request, 4096);
    bench_request(&request, "GET", "/v1/status", NULL, cfg_slice_str(""));
    r->asked = bench_now_ns();
    send_all(r->probe, &request);
    cfg_buf_finish(&request);
}

static bool whole_reply(struct cfg_buf *in, const char *bytes, size_t n)
{
    int status = 0;
    cfg_buf_put(in, bytes, n);
    size_t length = bench_reply_length(in, &status);
    if (length > 0 && status / 100 != 2)
        fail("a request", in->data);
    if (length > 0)
        cfg_buf_consume(in, length);
    return length > 0;
}

static void take(struct run *r, int what, const char *bytes, size_t n)
{
    if (what == FD_PROBE && whole_reply(&r->probe_in, bytes, n)) {
        double took = ms_since(r->asked);
        if (took > r->longest_ms)
            r->longest_ms = took;
        ask(r);
    } else if (what == FD_WRITER && whole_reply(&r->writer_in, bytes, n)) {
        r->reply_ms = ms_since(r->start);
    } else if (what == 0 && memmem(bytes, n, r->event, strlen(r->event))) {
        r->streams--;
        r->last_ms = ms_since(r->start);
    }
}

static void wait_for(struct run *r, bool reply)
{
    static char bytes[1 << 18];
    while (r->streams > 0 || (reply && r->reply_ms < 0)) {
        struct epoll_event evs[64];
        int n = epoll_wait(r->ep, evs, 64, 60000);
        if (n <= 0)
            fail("no event", "for a minute");
        for (int i = 0; i < n; i++) {
            ssize_t got = recv((int)(uint32_t)evs[i].data.u64, bytes, sizeof bytes, MSG_DONTWAIT);
            if (got <= 0)
                fail(got < 0 ? "recv" : "a connection ended",
                     (uint32_t)(evs[i].data.u64 >> 32) == 0 ? "a stream" : "writer or probe");
            take(r, (int)(uint32_t)(evs[i].data.u64 >> 32), bytes, (size_t)got);
        }
    }
}

static void open_streams(struct run *r, const char *host_port)
{
    struct cfg_buf request;
    cfg_buf_init(&request, 4096);
    r->event = "event: view";
    for (unsigned i = 0; i < MANY; i++) {
        int fd = bench_connect(host_port);
        cfg_buf_clear(&request);
        cfg_buf_printf(&request, "GET /v1/deployments/d%u/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", i);
        send_all(fd, &request);
        add(r->ep, fd, 0);
        r->streams = 1;
        wait_for(r, false);
    }
    cfg_buf_finish(&request);
    r->event = "event: patch";
}

static void write_base(struct run *r, int writer, unsigned value)
{
    struct cfg_buf body, request;
    cfg_buf_init(&body, 4096);
    cfg_buf_init(&request, 4096);
    cfg_buf_printf(&body, "{\"top\":{\"value\":%u},\"group_3\":{\"key_0\":%u}}", value, value);
    bench_request(&request, "PATCH", "/v1/config/base", "application/merge-patch+json", cfg_buf_slice(&body));
    r->streams = MANY;
    r->reply_ms = r->longest_ms = -1;
    r->start = r->asked = bench_now_ns();
    send_all(writer, &request);
    wait_for(r, true);
    if (ms_since(r->asked) > r->longest_ms)
        r->longest_ms = ms_since(r->asked);
    cfg_buf_finish(&body);
    cfg_buf_finish(&request);
}

static double plain_ms(const cJSON *base, cJSON *const *own)
{
    struct cfg_buf text;
    uint64_t start = bench_now_ns();
    cfg_buf_init(&text, 1 << 24);
    for (int i = 0; i < MANY; i++) {
        struct cfg_layer layers[2] = {{"base", base}, {"own", own[i]}};
        cJSON *v = bench_plain_merge(layers, 2);
        cfg_buf_clear(&text);
        cfg_json_print(&text, v);
        cJSON_Delete(v);
    }
    cfg_buf_finish(&text);
    return ms_since(start);
}

int main(int argc, char **argv)
{
    static cJSON *own[MANY];
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 9;
    double cpu[MAX_ROUNDS], reply[MAX_ROUNDS], last[MAX_ROUNDS], longest[MAX_ROUNDS], plain[MAX_ROUNDS],
        copy[MAX_ROUNDS];
    if (rounds == 0 || rounds > MAX_ROUNDS)
        fail("usage", "bench_base_write [ROUNDS ≤ 64]");
    cJSON *base = bench_layer(0, 0, 1, true);
    for (unsigned i = 0; i < MANY; i++)
        own[i] = bench_layer(i, i % 20 + 1, BENCH_LAYER_KEYS / OWN, false);
    struct bench_process *configd = bench_configd(bench_etcd(1), 0, NULL);
    bench_pin(1);
    struct run r = {.ep = epoll_create1(0)};
    int writer = bench_connect(configd->host_port);
    cfg_buf_init(&r.writer_in, 1 << 26);
    cfg_buf_init(&r.probe_in, 1 << 26);
    put_namespaces(writer, base, own);
    open_streams(&r, configd->host_port);
    r.probe = bench_connect(configd->host_port); /* now: a connection that asks nothing is closed */
    add(r.ep, writer, FD_WRITER);
    add(r.ep, r.probe, FD_PROBE);
    ask(&r);
    for (size_t i = 0; i < rounds + 1; i++) { /* the first warms up */
        uint64_t before = bench_cpu_ns(configd->pid);
        write_base(&r, writer, (unsigned)i + 10);
        size_t at = i ? i - 1 : 0;
        cpu[at] = (double)(bench_cpu_ns(configd->pid) - before) / 1e6;
        reply[at] = r.reply_ms;
        last[at] = r.last_ms;
        longest[at] = r.longest_ms;
        plain[at] = plain_ms(base, own);
    }
    struct {
        const char *what;
        double *ms;
        const char *goal;
    } rows[] = {{"configd's CPU", cpu, "1,000 ms"},
                {"until the writer has its reply", reply, "1,000 ms"},
                {"until the last of 1,000 streams has it", last, "1,000 ms"},
                {"the slowest small request meanwhile", longest, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(copy, plain, rounds * sizeof *plain);
        bench_print_ratio(rows[i].what, " ms", rows[i].ms, copy, rounds, rows[i].goal);
    }
    cJSON_Delete(base);
    for (size_t i = 0; i < MANY; i++)
        cJSON_Delete(own[i]);
    return 0;
}
