#include "tests/bench/streams.h"
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 512 };

static pid_t parent; /* of a child; 0 in the benchmark itself: what atexit cleans up is the benchmark's */

void bench_child_fail(const char *what)
{
    perror(what);
    if (parent != 0)
        _exit(1);
    exit(1);
}

static void write_all(int fd, const void *bytes, size_t n)
{
    if (send(fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
        bench_child_fail("send");
}

pid_t bench_child(int core)
{
    pid_t pid = fork();
    if (pid < 0)
        bench_child_fail("fork");
    if (pid == 0) {
        parent = getppid();
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        bench_pin(core);
    }
    return pid;
}

/* --- the floor: epoll, accept, and one send per stream --- */

struct raw {
    int ep, listener, pipe, n;
    int fds[BENCH_STREAMS_MAX];
};

static void raw_accept(struct raw *r)
{
    int one = 1, fd;
    while ((fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (r->n == BENCH_STREAMS_MAX || epoll_ctl(r->ep, EPOLL_CTL_ADD, fd, &ev) != 0)
            bench_child_fail("raw server");
        r->fds[r->n++] = fd;
    }
}

static void raw_event(struct raw *r)
{
    char length[8];
    if (read(r->pipe, length, sizeof length) != (ssize_t)sizeof length)
        _exit(0);
    size_t n = strtoul(length, NULL, 10);
    static char bytes[BENCH_FRAME_MAX];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, BENCH_STREAMS_MARK, sizeof BENCH_STREAMS_MARK - 1);
    for (int i = 0; i < r->n; i++)
        if (send(r->fds[i], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
            bench_child_fail("raw send");
}

static _Noreturn void raw_serve(int listener, int pipe)
{
    static struct raw r;
    struct epoll_event evs[64], a = {.events = EPOLLIN, .data.fd = listener}, b = {.events = EPOLLIN, .data.fd = pipe};
    r.ep = epoll_create1(0);
    r.listener = listener;
    r.pipe = pipe;
    if (epoll_ctl(r.ep, EPOLL_CTL_ADD, listener, &a) != 0 || epoll_ctl(r.ep, EPOLL_CTL_ADD, pipe, &b) != 0)
        bench_child_fail("epoll");
    for (;;) {
        int n = epoll_wait(r.ep, evs, 64, -1);
        for (int i = 0; i < n; i++) {
            char request[1024];
            if (evs[i].data.fd == listener)
                raw_accept(&r);
            else if (evs[i].data.fd == pipe)
                raw_event(&r);
            else if (recv(evs[i].data.fd, request, sizeof request, 0) <= 0)
                (void)epoll_ctl(r.ep, EPOLL_CTL_DEL, evs[i].data.fd, NULL);
        }
    }
}

void bench_raw_start(struct bench_raw *s, int core)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fds[2], listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &n) != 0 || pipe(fds) != 0)
        bench_child_fail("raw server");
    (void)snprintf(s->host_port, sizeof s->host_port, "127.0.0.1:%d", ntohs(a.sin_port));
    s->server = bench_child(core);
    if (s->server == 0)
        raw_serve(listener, fds[0]);
    close(listener);
    close(fds[0]);
    s->trigger = fds[1];
}

void bench_raw_send(struct bench_raw *r, size_t bytes)
{
    char text[8];
    (void)snprintf(text, sizeof text, "%zu", bytes);
    if (bytes > BENCH_FRAME_MAX || write(r->trigger, text, sizeof text) != (ssize_t)sizeof text)
        bench_child_fail("raw trigger");
}

void bench_raw_stop(struct bench_raw *r)
{
    (void)kill(r->server, SIGKILL);
    (void)waitpid(r->server, NULL, 0);
    (void)close(r->trigger);
}

/* --- clients --- */

/* As bench_connect, which ends a program by exit: not for a child. */
static int dial(const char *host_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_port = htons((uint16_t)strtoul(strrchr(host_port, ':') + 1, NULL, 10));
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        bench_child_fail("connect");
    return fd;
}

/* Reads until n events have come in all; the raw server says nothing before the first event. */
static void read_events(int ep, size_t n, const char *what)
{
    struct epoll_event evs[256];
    char bytes[16384];
    while (n > 0) {
        int ready = epoll_wait(ep, evs, 256, 60000);
        if (ready <= 0)
            bench_child_fail("no event for a minute");
        for (int i = 0; i < ready; i++) {
            ssize_t got = recv(evs[i].data.fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (got == 0 || (got < 0 && errno != EAGAIN))
                bench_child_fail("a stream ended");
            if (got > 0 && memmem(bytes, (size_t)got, what, strlen(what)))
                n--;
        }
    }
}

static _Noreturn void run_client(const char *host_port, size_t n, const char *request, const char *first, int control)
{
    int ep = epoll_create1(0);
    for (size_t i = 0; i < n; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = dial(host_port)};
        write_all(ev.data.fd, request, strlen(request));
        if (epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev) != 0)
            bench_child_fail("epoll");
        if ((i + 1) % BATCH == 0 || i + 1 == n) /* the listen queue is finite */
            first ? read_events(ep, i % BATCH + 1, first) : (void)usleep(20000);
    }
    for (;;) {
        char c = 'c'; /* connected, then: done */
        write_all(control, &c, 1);
        if (recv(control, &c, 1, 0) != 1)
            _exit(0);
        write_all(control, &c, 1); /* armed */
        read_events(ep, n, BENCH_STREAMS_MARK);
    }
}

static void hear(struct bench_streams *s)
{
    char c;
    if (recv(s->control, &c, 1, 0) != 1) {
        fprintf(stderr, "bench: a client process failed\n");
        exit(1);
    }
}

void bench_streams_open(struct bench_streams *out, int core, const char *host_port, size_t n, const char *request,
                        const char *first)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        bench_child_fail("socketpair");
    out->client = bench_child(core);
    if (out->client == 0) {
        close(pair[0]);
        run_client(host_port, n, request, first, pair[1]);
    }
    close(pair[1]);
    out->control = pair[0];
    hear(out);
}

void bench_streams_arm(struct bench_streams *s)
{
    char c = 'e';
    write_all(s->control, &c, 1);
    hear(s);
}

void bench_streams_await(struct bench_streams *s)
{
    hear(s);
}

void bench_streams_close(struct bench_streams *s)
{
    (void)kill(s->client, SIGKILL);
    (void)waitpid(s->client, NULL, 0);
    (void)close(s->control);
}
