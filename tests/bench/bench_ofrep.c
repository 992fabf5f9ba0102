/* Single flag evaluation over HTTP (OFREP): 64 keep-alive connections, against a bare evhttp server that answers as
 * many bytes without looking, to a GET and to the very same POST. Both servers run on core 1, the load on core 0;
 * rounds alternate. The server's CPU time per request is the figure that other load on the machine does not disturb.
 *
 * Then what a write costs a namespace of 10,000 flags: the first evaluation after it, against one without it. */
#include "tests/bench/bench.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTIONS = 64, ROUNDS = 9, REQUESTS = 20000, LARGE = 10000, PER_CHANGE = 50, WRITES = 20 };

static const char context[] =
    "{\"context\":{\"targetingKey\":\"user-4711\",\"email\":\"ann@example.com\",\"plan\":\"premium\"}}";
static const char path[] = "/ns/bench/ofrep/v1/evaluate/flags/rules";

static void die(const char *what)
{
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* --- the baseline --- */

static char hello_body[512];

static void hello(struct evhttp_request *req, void *arg)
{
    (void)arg;
    struct evbuffer *b = evbuffer_new();
    (void)evbuffer_add(b, hello_body, strlen(hello_body));
    evhttp_send_reply(req, 200, "OK", b);
    evbuffer_free(b);
}

struct server {
    pid_t pid;
    char host_port[64];
};

static struct server start_hello(void)
{
    struct server s = {0};
    int ready[2], port = 0;
    if (pipe(ready) != 0)
        die("pipe");
    s.pid = fork();
    if (s.pid == 0) {
        bench_pin(1);
        struct event_base *base = event_base_new();
        struct evhttp *http = evhttp_new(base);
        struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
        struct sockaddr_storage a;
        socklen_t n = sizeof a;
        if (bound == NULL || getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&a, &n) != 0)
            _exit(1);
        unsigned char *raw = (unsigned char *)&a;
        port = raw[2] << 8 | raw[3];
        evhttp_set_gencb(http, hello, NULL);
        if (write(ready[1], &port, sizeof port) != (ssize_t)sizeof port)
            _exit(1);
        (void)event_base_dispatch(base);
        _exit(0);
    }
    if (s.pid < 0 || read(ready[0], &port, sizeof port) != (ssize_t)sizeof port)
        die("the hello server did not start");
    (void)snprintf(s.host_port, sizeof s.host_port, "127.0.0.1:%d", port);
    return s;
}

/* --- the load --- */

struct client {
    int fd;
    struct cfg_buf in;
};

struct load {
    struct client clients[CONNECTIONS];
    int ep;
    struct cfg_buf request;
    pid_t server;
};

static void open_load(struct load *l, const char *host_port, pid_t server, const char *method, const char *target,
                      const char *body)
{
    l->ep = epoll_create1(0);
    l->server = server;
    cfg_buf_init(&l->request, 4096);
    bench_request(&l->request, method, target, NULL, cfg_slice_str(body));
    for (int i = 0; i < CONNECTIONS; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &l->clients[i]};
        l->clients[i].fd = bench_connect(host_port);
        cfg_buf_init(&l->clients[i].in, 1 << 20);
        if (epoll_ctl(l->ep, EPOLL_CTL_ADD, l->clients[i].fd, &ev) != 0)
            die("epoll");
    }
}

static void ask(const struct load *l, const struct client *c)
{
    if (send(c->fd, l->request.data, l->request.len, MSG_NOSIGNAL) != (ssize_t)l->request.len)
        die("send");
}

/* True when a reply has come whole. */
static bool take(struct client *c)
{
    char bytes[16384];
    int status = 0;
    ssize_t got = recv(c->fd, bytes, sizeof bytes, 0);
    if (got <= 0)
        die("a connection ended");
    cfg_buf_put(&c->in, bytes, (size_t)got);
    size_t length = bench_reply_length(&c->in, &status);
    if (length == 0)
        return false;
    if (status != 200)
        die(c->in.data);
    cfg_buf_consume(&c->in, length);
    return true;
}

struct round {
    double per_second, per_cpu_second;
};

static struct round run(struct load *l)
{
    uint64_t cpu = bench_cpu_ns(l->server), start = bench_now_ns();
    int done = 0, sent = CONNECTIONS;
    for (int i = 0; i < CONNECTIONS; i++)
        ask(l, &l->clients[i]);
    while (done < sent) {
        struct epoll_event events[CONNECTIONS];
        int n = epoll_wait(l->ep, events, CONNECTIONS, -1);
        for (int i = 0; i < n; i++) {
            if (!take(events[i].data.ptr))
                continue;
            done++;
            if (sent < REQUESTS) {
                ask(l, events[i].data.ptr);
                sent++;
            }
        }
    }
    double wall = (double)(bench_now_ns() - start) / 1e9, used = (double)(bench_cpu_ns(l->server) - cpu) / 1e9;
    return (struct round){done / wall, used > 0 ? done / used : 0};
}

/* --- flags --- */

static void call(int fd, const char *method, const char *target, const char *body, int want, struct cfg_buf *reply)
{
    int status = bench_call(fd, method, target, NULL, body, reply);
    if (status / 100 != want / 100) {
        (void)fprintf(stderr, "bench: %s %s: %d %.400s\n", method, target, status, reply->len ? reply->data : "");
        exit(1);
    }
}

static const char rules[] =
    "{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":\"off\",\"targeting\":{\"if\":["
    "{\"==\":[{\"var\":\"plan\"},\"free\"]},\"off\",{\"ends_with\":[{\"var\":\"email\"},\"@test.org\"]},\"on\","
    "{\"fractional\":[[\"on\",50],[\"off\",50]]}]}}";

static void put_flags(int fd, const char *ns, int n, struct cfg_buf *reply)
{
    for (int i = 0; i < n; i += PER_CHANGE) {
        struct cfg_buf body;
        cfg_buf_init(&body, 1 << 20);
        for (int k = i; k < i + PER_CHANGE && k < n; k++)
            cfg_buf_printf(&body, "%s{\"object\":\"flag/%s/f%05d\",\"put\":{\"definition\":%s}}", k == i ? "[" : ",",
                           ns, k, rules);
        cfg_buf_puts(&body, "]");
        call(fd, "POST", "/v1/changes", body.data, 200, reply);
        cfg_buf_finish(&body);
    }
}

static double evaluate_ms(int fd, const char *target, struct cfg_buf *reply)
{
    uint64_t start = bench_now_ns();
    call(fd, "POST", target, context, 200, reply);
    return (double)(bench_now_ns() - start) / 1e6;
}

static void measure_large(int fd, struct cfg_buf *reply)
{
    double first, after[WRITES], without[WRITES];
    put_flags(fd, "large", LARGE, reply);
    first = evaluate_ms(fd, "/ns/large/ofrep/v1/evaluate/flags/f00000", reply);
    for (int i = 0; i < WRITES; i++) {
        struct cfg_buf body;
        cfg_buf_init(&body, 4096);
        cfg_buf_printf(&body, "[{\"object\":\"flag/large/f%05d\",\"patch\":{\"enabled\":%s}}]", i,
                       i % 2 ? "true" : "false");
        call(fd, "POST", "/v1/changes", body.data, 200, reply);
        cfg_buf_finish(&body);
        after[i] = evaluate_ms(fd, "/ns/large/ofrep/v1/evaluate/flags/f09999", reply);
        without[i] = evaluate_ms(fd, "/ns/large/ofrep/v1/evaluate/flags/f09999", reply);
    }
    double bulk[5];
    for (int i = 0; i < 5; i++)
        bulk[i] = evaluate_ms(fd, "/ns/large/ofrep/v1/evaluate/flags", reply);
    (void)printf(
        "%d flags: compiled at the first evaluation in %.1f ms; an evaluation after a write %.2f ms, without one "
        "%.2f ms; all of them in %.1f ms\n",
        LARGE, first, bench_spread(after, WRITES).median, bench_spread(without, WRITES).median,
        bench_spread(bulk, 5).median);
}

int main(void)
{
    static struct load ours, get, post;
    double a[ROUNDS], b[ROUNDS], c[ROUNDS], cpu_a[ROUNDS], cpu_b[ROUNDS], cpu_c[ROUNDS], again[2][ROUNDS];
    struct bench_process *etcd = bench_etcd(0), *configd = bench_configd(etcd, 1, NULL);
    struct cfg_buf reply;
    char change[1024];
    cfg_buf_init(&reply, 64 << 20);
    int fd = bench_connect(configd->host_port);
    (void)snprintf(change, sizeof change, "[{\"object\":\"flag/bench/rules\",\"put\":{\"definition\":%s}}]", rules);
    call(fd, "POST", "/v1/changes", change, 200, &reply);
    call(fd, "POST", path, context, 200, &reply);
    const char *body = strstr(reply.data, "\r\n\r\n");
    (void)snprintf(hello_body, sizeof hello_body, "%s", body ? body + 4 : "hello");
    struct server plain = start_hello();
    bench_pin(0);
    open_load(&ours, configd->host_port, configd->pid, "POST", path, context);
    open_load(&get, plain.host_port, plain.pid, "GET", "/", "");
    open_load(&post, plain.host_port, plain.pid, "POST", path, context);
    for (int i = 0; i < ROUNDS; i++) {
        struct round x = run(&get), y = run(&ours), z = run(&post);
        b[i] = x.per_second, a[i] = y.per_second, c[i] = z.per_second;
        cpu_b[i] = x.per_cpu_second, cpu_a[i] = y.per_cpu_second, cpu_c[i] = z.per_cpu_second;
    }
    memcpy(again[0], a, sizeof a);
    memcpy(again[1], cpu_a, sizeof cpu_a);
    bench_print_ratio("OFREP, one flag, against evhttp GET", "/s", a, b, ROUNDS, "≥ 0.75");
    bench_print_ratio("  per second of the server's CPU", "/s", cpu_a, cpu_b, ROUNDS, NULL);
    bench_print_ratio("OFREP, one flag, against evhttp, same POST", "/s", again[0], c, ROUNDS, NULL);
    bench_print_ratio("  per second of the server's CPU", "/s", again[1], cpu_c, ROUNDS, NULL);
    measure_large(fd, &reply);
    cfg_buf_finish(&reply);
    (void)kill(plain.pid, SIGTERM);
    (void)waitpid(plain.pid, NULL, 0);
    return 0;
}
