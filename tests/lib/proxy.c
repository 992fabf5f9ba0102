/* A TCP proxy whose faults a test scripts byte by byte. One thread; the test's thread changes the script under a lock
 * and wakes it. Each direction of a connection holds one piece at a time: read, perhaps kept back, written. */
#include "tests/lib/testlib.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_LINKS = 512, PIECE = 64 * 1024 };
enum direction { REQUEST, REPLY };

struct piece {
    char *data;
    size_t len, sent;
    uint64_t due_ms;
    bool ended; /* its source has no more */
};

struct link {
    int fd[2]; /* client, server: where REQUEST and REPLY bytes come from */
    struct piece piece[2];
};

struct script {
    bool blackhole, mute, refuse, cut, stop;
    unsigned delay_ms;
    int target_port;
    int64_t left[2]; /* bytes before the connection is closed; −1: no end */
};

struct cfg_test_proxy {
    int listener, wake, port;
    char endpoint[64];
    pthread_t thread;
    pthread_mutex_t lock; /* of script and counts */
    struct script script;
    struct cfg_test_proxy_counts counts;
    struct link links[MAX_LINKS]; /* the thread's own */
    size_t n;
};

static void close_link(struct cfg_test_proxy *p, size_t i, bool reset)
{
    struct link *l = &p->links[i];
    struct linger now = {1, 0};
    for (int d = 0; d < 2; d++) {
        if (reset)
            (void)setsockopt(l->fd[d], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        (void)close(l->fd[d]);
        free(l->piece[d].data);
    }
    p->links[i] = p->links[--p->n];
}

static void accept_one(struct cfg_test_proxy *p, const struct script *s)
{
    int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)s->target_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (s->refuse || p->n == MAX_LINKS || connect(server, (struct sockaddr *)&a, sizeof a) != 0) {
        (void)close(client);
        (void)close(server);
        return;
    }
    struct link *l = &p->links[p->n++];
    *l = (struct link){.fd = {client, server}};
    for (int d = 0; d < 2; d++)
        if ((l->piece[d].data = malloc(PIECE)) == NULL)
            cfg_test_die("no memory");
    (void)pthread_mutex_lock(&p->lock);
    p->counts.connections++;
    (void)pthread_mutex_unlock(&p->lock);
}

/* Takes the scripted end into account: how many of n bytes may still pass, and whether the connection ends there. */
static size_t allowance(struct cfg_test_proxy *p, enum direction d, size_t n, bool *ends)
{
    (void)pthread_mutex_lock(&p->lock);
    int64_t *left = &p->script.left[d];
    *ends = false;
    if (*left >= 0 && (uint64_t)*left <= n) {
        n = (size_t)*left;
        *left = -1;
        *ends = true;
        p->counts.faults++;
    } else if (*left >= 0) {
        *left -= (int64_t)n;
    }
    *(d == REQUEST ? &p->counts.request_bytes : &p->counts.reply_bytes) += n;
    (void)pthread_mutex_unlock(&p->lock);
    return n;
}

/* Reads a piece or writes what it holds. False: the connection is over. */
static bool move_bytes(struct cfg_test_proxy *p, struct link *l, enum direction d, short events, const struct script *s)
{
    struct piece *b = &l->piece[d];
    int to = l->fd[1 - d];
    if (b->len == 0 && events & (POLLIN | POLLHUP | POLLERR)) {
        ssize_t got = recv(l->fd[d], b->data, PIECE, MSG_DONTWAIT);
        if (got <= 0)
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        bool ends;
        b->len = allowance(p, d, (size_t)got, &ends);
        b->sent = 0;
        b->ended = ends;
        b->due_ms = cfg_test_now_ms() + s->delay_ms;
    }
    if (b->len > b->sent && cfg_test_now_ms() >= b->due_ms) {
        ssize_t n = send(to, b->data + b->sent, b->len - b->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        b->sent += (size_t)n;
    }
    if (b->sent == b->len) {
        b->len = b->sent = 0;
        return !b->ended;
    }
    return true;
}

static bool held_back(const struct script *s, enum direction d)
{
    return s->blackhole || (s->mute && d == REPLY);
}

/* One turn: waits for what the script lets through, moves it. */
static void turn(struct cfg_test_proxy *p, const struct script *s)
{
    static _Thread_local struct pollfd fds[2 + 2 * MAX_LINKS];
    uint64_t now = cfg_test_now_ms();
    int wait_ms = -1;
    fds[0] = (struct pollfd){p->wake, POLLIN, 0};
    fds[1] = (struct pollfd){p->listener, POLLIN, 0};
    for (size_t i = 0; i < p->n; i++) {
        struct link *l = &p->links[i];
        short want[2] = {0, 0};
        for (int d = 0; d < 2; d++) {
            const struct piece *b = &l->piece[d];
            if (held_back(s, (enum direction)d))
                continue;
            if (b->len == 0)
                want[d] |= POLLIN;
            else if (b->due_ms <= now)
                want[1 - d] |= POLLOUT;
            else if (wait_ms < 0 || (uint64_t)wait_ms > b->due_ms - now)
                wait_ms = (int)(b->due_ms - now);
        }
        for (int d = 0; d < 2; d++)
            fds[2 + 2 * i + (size_t)d] = (struct pollfd){want[d] ? l->fd[d] : -1, want[d], 0};
    }
    size_t n = p->n;
    if (poll(fds, 2 + 2 * n, wait_ms) < 0)
        return;
    if (fds[0].revents) {
        uint64_t count;
        (void)!read(p->wake, &count, sizeof count);
        return; /* the script has changed */
    }
    for (size_t i = n; i-- > 0;) {
        struct link *l = &p->links[i];
        bool open = true;
        for (int d = 0; d < 2 && open; d++)
            if (!held_back(s, (enum direction)d))
                open = move_bytes(p, l, (enum direction)d, fds[2 + 2 * i + (size_t)d].revents, s);
        if (!open)
            close_link(p, i, false);
    }
    if (fds[1].revents)
        accept_one(p, s);
}

static void *serve(void *arg)
{
    struct cfg_test_proxy *p = arg;
    for (;;) {
        (void)pthread_mutex_lock(&p->lock);
        struct script s = p->script;
        if (s.cut)
            p->counts.faults += p->n;
        p->script.cut = false;
        if (s.cut || s.stop)
            while (p->n > 0)
                close_link(p, p->n - 1, true);
        p->counts.open = p->n;
        (void)pthread_mutex_unlock(&p->lock);
        if (s.stop)
            return NULL;
        turn(p, &s);
    }
}

struct cfg_test_proxy *cfg_test_proxy_start(int target_port)
{
    struct cfg_test_proxy *p = calloc(1, sizeof *p);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    if (p == NULL)
        cfg_test_die("no memory");
    p->script = (struct script){.target_port = target_port, .left = {-1, -1}};
    (void)pthread_mutex_init(&p->lock, NULL);
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->wake < 0 || p->listener < 0 || bind(p->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(p->listener, 256) != 0 || getsockname(p->listener, (struct sockaddr *)&a, &len) != 0)
        cfg_test_die("the proxy cannot listen: %s", strerrordesc_np(errno));
    p->port = ntohs(a.sin_port);
    (void)snprintf(p->endpoint, sizeof p->endpoint, "http://127.0.0.1:%d", p->port);
    if (pthread_create(&p->thread, NULL, serve, p) != 0)
        cfg_test_die("the proxy cannot start");
    return p;
}

/* Between lock and unlock the script may be changed; unlock makes the thread see it. */
static struct script *lock(struct cfg_test_proxy *p)
{
    (void)pthread_mutex_lock(&p->lock);
    return &p->script;
}

static void unlock(struct cfg_test_proxy *p)
{
    uint64_t one = 1;
    (void)pthread_mutex_unlock(&p->lock);
    if (write(p->wake, &one, sizeof one) < 0)
        cfg_test_die("the proxy cannot be woken: %s", strerrordesc_np(errno));
}

void cfg_test_proxy_free(struct cfg_test_proxy *p)
{
    if (p == NULL)
        return;
    lock(p)->stop = true;
    unlock(p);
    (void)pthread_join(p->thread, NULL);
    (void)close(p->listener);
    (void)close(p->wake);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

int cfg_test_proxy_port(const struct cfg_test_proxy *p)
{
    return p->port;
}

const char *cfg_test_proxy_endpoint(const struct cfg_test_proxy *p)
{
    return p->endpoint;
}

void cfg_test_proxy_set_target(struct cfg_test_proxy *p, int target_port)
{
    lock(p)->target_port = target_port;
    unlock(p);
}

void cfg_test_proxy_blackhole(struct cfg_test_proxy *p, bool on)
{
    lock(p)->blackhole = on;
    p->counts.faults += on;
    unlock(p);
}

void cfg_test_proxy_mute(struct cfg_test_proxy *p, bool on)
{
    lock(p)->mute = on;
    p->counts.faults += on;
    unlock(p);
}

void cfg_test_proxy_delay(struct cfg_test_proxy *p, unsigned ms)
{
    lock(p)->delay_ms = ms;
    unlock(p);
}

void cfg_test_proxy_cut(struct cfg_test_proxy *p)
{
    lock(p)->cut = true;
    unlock(p);
}

void cfg_test_proxy_refuse(struct cfg_test_proxy *p, bool on)
{
    lock(p)->refuse = on;
    p->counts.faults += on;
    unlock(p);
}

void cfg_test_proxy_close_after_reply_bytes(struct cfg_test_proxy *p, int64_t n)
{
    lock(p)->left[REPLY] = n;
    unlock(p);
}

void cfg_test_proxy_close_after_request_bytes(struct cfg_test_proxy *p, int64_t n)
{
    lock(p)->left[REQUEST] = n;
    unlock(p);
}

struct cfg_test_proxy_counts cfg_test_proxy_counts(struct cfg_test_proxy *p)
{
    (void)pthread_mutex_lock(&p->lock);
    struct cfg_test_proxy_counts c = p->counts;
    (void)pthread_mutex_unlock(&p->lock);
    return c;
}
