/* The ring. See allreduce_ring.h.
 *
 * The array is cut into as many chunks as there are ranks. In exchange s of the first half, rank r sends chunk r − s to
 * the next rank and adds what comes in to chunk r − s − 1; after world − 1 exchanges chunk r + 1 is complete at rank r,
 * added up along the ring in an order that only the chunk's number decides. The second half hands the complete chunks
 * around unchanged, so all ranks end with the same bits. Sending and receiving go on at once: sockets that are full in
 * both directions would wait for one another otherwise. */
#include "worker/allreduce_ring.h"
#include "worker/group_tcp.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELLO = 24, HELLO_MS = 2000, BACKLOG = 8 };
static const char magic[8] = {'C', 'F', 'G', 'S', 'U', 'M', '1', '\0'};

struct head { /* in front of every sum, to notice ranks that are not at the same place */
    uint64_t sum, n;
};

void cfg_ring_init(struct cfg_ring *r, uint32_t rank, uint32_t world, unsigned deadline_ms)
{
    *r = (struct cfg_ring){.listener = -1, .next = -1, .previous = -1, .rank = rank, .world = world};
    r->deadline_ms = deadline_ms;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

void cfg_ring_close(struct cfg_ring *r)
{
    close_fd(&r->listener);
    close_fd(&r->next);
    close_fd(&r->previous);
    free(r->incoming);
    r->incoming = NULL;
    r->room = 0;
}

/* --- addresses --- */

static int resolve(struct addrinfo **out, const char *host, const char *port, int type, struct cfg_error *err)
{
    const struct addrinfo hints = {.ai_socktype = type};
    int rc = getaddrinfo(host, port, &hints, out);
    return rc == 0 ? 0 : cfg_fail(err, CFG_E_IO, "%s:%s: %s", host, port, gai_strerror(rc));
}

static int split(char host[256], const char **port, const char *address, struct cfg_error *err)
{
    const char *colon = strrchr(address, ':');
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;
    bool bracketed = n >= 2 && address[0] == '[' && address[n - 1] == ']';
    if (n == 0 || colon[1] == '\0' || n >= 256) {
        return cfg_fail(err, CFG_E_INVALID, "\"%s\" is no HOST:PORT", address);
    }
    (void)snprintf(host, 256, "%.*s", (int)(bracketed ? n - 2 : n), address + (bracketed ? 1 : 0));
    *port = colon + 1;
    return 0;
}

/* This machine's own address on the way to rank 0; nothing is sent. */
static int own_address(struct sockaddr_storage *out, socklen_t *len, const char *root, struct cfg_error *err)
{
    char host[256];
    const char *port = NULL;
    struct addrinfo *list = NULL;
    int rc = split(host, &port, root, err);
    rc = rc == 0 ? resolve(&list, host, port, SOCK_DGRAM, err) : rc;
    if (rc != 0) {
        return rc;
    }
    int fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *len = sizeof *out;
    bool ok = fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
              getsockname(fd, (struct sockaddr *)out, len) == 0;
    int saved = errno;
    close_fd(&fd);
    freeaddrinfo(list);
    return ok ? 0 : cfg_fail(err, CFG_E_IO, "no way to %s: %s", root, strerrordesc_np(saved));
}

int cfg_ring_listen(struct cfg_ring *r, char place[CFG_RING_PLACE], const char *root, struct cfg_error *err)
{
    struct sockaddr_storage at;
    socklen_t len;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    int rc = own_address(&at, &len, root, err);
    if (rc != 0) {
        return rc;
    }
    if (at.ss_family == AF_INET) {
        ((struct sockaddr_in *)&at)->sin_port = 0;
    } else {
        ((struct sockaddr_in6 *)&at)->sin6_port = 0;
    }
    r->listener = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&at, len) != 0 || listen(r->listener, BACKLOG) != 0 ||
        getsockname(r->listener, (struct sockaddr *)&at, &len) != 0 ||
        getnameinfo((struct sockaddr *)&at, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return cfg_fail(err, CFG_E_IO, "cannot listen for the rank before: %s", strerrordesc_np(errno));
    }
    int n = snprintf(place, CFG_RING_PLACE, "%s %s", host, port);
    return n > 0 && n < CFG_RING_PLACE ? 0 : cfg_fail(err, CFG_E_IO, "the address %s is too long", host);
}

/* --- connecting --- */

static void prepare(int fd)
{
    const int on = 1;
    /* Best effort: a socket without it works, only slower. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void put_hello(char out[HELLO], uint32_t rank, uint64_t incarnation)
{
    memcpy(out, magic, 8);
    memcpy(out + 8, &incarnation, 8);
    memcpy(out + 16, &rank, 4);
    memset(out + 20, 0, 4);
}

static int connect_next(struct cfg_ring *r, const char *place, uint64_t end_ms, struct cfg_error *err)
{
    char host[CFG_RING_PLACE], hello[HELLO];
    struct addrinfo *list = NULL;
    const char *space = strchr(place, ' ');
    if (space == NULL) {
        return cfg_fail(err, CFG_E_PROTOCOL, "rank %u says it is at \"%s\"", (r->rank + 1) % r->world, place);
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(space - place), place);
    int rc = resolve(&list, host, space + 1, SOCK_STREAM, err);
    if (rc != 0) {
        return rc;
    }
    r->next = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int status = r->next < 0 ? -1 : connect(r->next, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    if (status != 0 && errno == EINPROGRESS) {
        struct pollfd wait = {r->next, POLLOUT, 0};
        socklen_t n = sizeof status;
        (void)poll(&wait, 1, cfg_group_left_ms(end_ms)); /* what came of it says the socket */
        if (wait.revents == 0 || getsockopt(r->next, SOL_SOCKET, SO_ERROR, &status, &n) != 0) {
            status = ETIMEDOUT;
        }
        errno = status;
    }
    put_hello(hello, r->rank, r->incarnation);
    if (status != 0 || send(r->next, hello, HELLO, MSG_NOSIGNAL) != HELLO) {
        return cfg_fail(err, CFG_E_CONNECT, "rank %u at %s is not reached: %s", (r->rank + 1) % r->world, place,
                        strerrordesc_np(errno));
    }
    prepare(r->next);
    return 0;
}

/* Whether the connection is the rank before this one; a stranger's is closed. */
static bool is_previous(const struct cfg_ring *r, int fd)
{
    char want[HELLO], got[HELLO];
    size_t n = 0;
    uint64_t end_ms = cfg_group_now_ms() + HELLO_MS;
    put_hello(want, (r->rank + r->world - 1) % r->world, r->incarnation);
    while (n < HELLO) {
        struct pollfd wait = {fd, POLLIN, 0};
        if (poll(&wait, 1, cfg_group_left_ms(end_ms)) <= 0) {
            return false;
        }
        ssize_t some = recv(fd, got + n, HELLO - n, 0);
        if (some <= 0) {
            return false;
        }
        n += (size_t)some;
    }
    return memcmp(want, got, HELLO) == 0;
}

static int accept_previous(struct cfg_ring *r, uint64_t end_ms, struct cfg_error *err)
{
    while (r->previous < 0) {
        struct pollfd wait = {r->listener, POLLIN, 0};
        int left = cfg_group_left_ms(end_ms);
        if (left == 0) {
            return cfg_fail(err, CFG_E_TIMEOUT, "rank %u did not connect", (r->rank + r->world - 1) % r->world);
        }
        (void)poll(&wait, 1, left); /* interrupted or ready: looked at either way */
        int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && is_previous(r, fd)) {
            prepare(fd);
            r->previous = fd;
        } else {
            close_fd(&fd);
        }
    }
    close_fd(&r->listener);
    return 0;
}

int cfg_ring_connect(struct cfg_ring *r, const char *next_place, uint64_t incarnation, uint64_t end_ms,
                     struct cfg_error *err)
{
    r->incarnation = incarnation;
    int rc = connect_next(r, next_place, end_ms, err);
    return rc == 0 ? accept_previous(r, end_ms, err) : rc;
}

/* --- one exchange --- */

struct exchange {
    const char *out;
    char *in;
    size_t out_left, in_left;
};

static int send_some(struct cfg_ring *r, struct exchange *x, bool *moved, struct cfg_error *err)
{
    while (x->out_left > 0) {
        ssize_t n = send(r->next, x->out, x->out_left, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return cfg_fail(err, CFG_E_CONNECT, "rank %u is gone (%s)", (r->rank + 1) % r->world,
                            strerrordesc_np(errno));
        }
        x->out += n > 0 ? n : 0;
        x->out_left -= n > 0 ? (size_t)n : 0;
        *moved = true;
    }
    return 0;
}

static int receive_some(struct cfg_ring *r, struct exchange *x, bool *moved, struct cfg_error *err)
{
    uint32_t who = (r->rank + r->world - 1) % r->world;
    while (x->in_left > 0) {
        ssize_t n = recv(r->previous, x->in, x->in_left, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 0;
        }
        if (n == 0) {
            return cfg_fail(err, CFG_E_CONNECT, "rank %u is gone (its connection was closed)", who);
        }
        if (n < 0 && errno != EINTR) {
            return cfg_fail(err, CFG_E_CONNECT, "rank %u is gone (%s)", who, strerrordesc_np(errno));
        }
        x->in += n > 0 ? n : 0;
        x->in_left -= n > 0 ? (size_t)n : 0;
        *moved = true;
    }
    return 0;
}

static int late(const struct cfg_ring *r, const struct exchange *x, struct cfg_error *err)
{
    uint32_t who = x->in_left > 0 ? r->rank + r->world - 1 : r->rank + 1;
    return cfg_fail(err, CFG_E_TIMEOUT, "rank %u did not move for %u ms", who % r->world, r->deadline_ms);
}

static int exchange(struct cfg_ring *r, const void *out, size_t out_n, void *in, size_t in_n, struct cfg_error *err)
{
    struct exchange x = {out, in, out_n, in_n};
    uint64_t end_ms = cfg_group_now_ms() + r->deadline_ms;
    while (x.out_left > 0 || x.in_left > 0) {
        bool moved = false;
        int rc = send_some(r, &x, &moved, err);
        rc = rc == 0 ? receive_some(r, &x, &moved, err) : rc;
        if (rc != 0) {
            return rc;
        }
        if (moved) {
            end_ms = cfg_group_now_ms() + r->deadline_ms;
            continue;
        }
        int left = cfg_group_left_ms(end_ms);
        if (left == 0) {
            return late(r, &x, err);
        }
        /* A direction that is done is not waited for: a negative descriptor is passed over. */
        struct pollfd wait[2] = {{x.out_left > 0 ? r->next : -1, POLLOUT, 0},
                                 {x.in_left > 0 ? r->previous : -1, POLLIN, 0}};
        (void)poll(wait, 2, left); /* interrupted or ready: looked at either way */
    }
    return 0;
}

/* --- a sum --- */

static int agree(struct cfg_ring *r, size_t n, struct cfg_error *err)
{
    struct head mine = {r->sums, n}, theirs = {0, 0};
    int rc = exchange(r, &mine, sizeof mine, &theirs, sizeof theirs, err);
    if (rc == 0 && (theirs.sum != mine.sum || theirs.n != mine.n)) {
        rc = cfg_fail(err, CFG_E_PROTOCOL, "rank %u is at sum %llu of %llu values, this rank at %llu of %llu",
                      (r->rank + r->world - 1) % r->world, (unsigned long long)theirs.sum, (unsigned long long)theirs.n,
                      (unsigned long long)mine.sum, (unsigned long long)mine.n);
    }
    return rc;
}

static size_t chunk_at(const struct cfg_ring *r, size_t n, uint32_t i)
{
    return (size_t)((uint64_t)n / r->world * i + (uint64_t)n % r->world * i / r->world);
}

static int make_room(struct cfg_ring *r, size_t n, struct cfg_error *err)
{
    size_t need = n / r->world + 2;
    if (need <= r->room) {
        return 0;
    }
    free(r->incoming);
    r->incoming = malloc(need * sizeof *r->incoming);
    r->room = r->incoming != NULL ? need : 0;
    return r->incoming != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory for a sum of %zu values", n);
}

static int pass_on(struct cfg_ring *r, float *values, size_t n, uint32_t s, bool add, struct cfg_error *err)
{
    uint32_t w = r->world, shift = add ? 0 : 1;
    uint32_t give = (r->rank + shift + 2 * w - s) % w;
    uint32_t take = (r->rank + shift + 2 * w - s - 1) % w;
    size_t from = chunk_at(r, n, give), from_n = chunk_at(r, n, give + 1) - from;
    size_t to = chunk_at(r, n, take), to_n = chunk_at(r, n, take + 1) - to;
    float *in = add ? r->incoming : values + to;
    int rc = exchange(r, values + from, from_n * sizeof *values, in, to_n * sizeof *values, err);
    for (size_t i = 0; rc == 0 && add && i < to_n; i++) {
        values[to + i] += in[i];
    }
    return rc;
}

int cfg_ring_sum(struct cfg_ring *r, float *values, size_t n, struct cfg_error *err)
{
    int rc = make_room(r, n, err);
    rc = rc == 0 ? agree(r, n, err) : rc;
    for (uint32_t half = 0; half < 2; half++) {
        for (uint32_t s = 0; rc == 0 && s + 1 < r->world; s++) {
            rc = pass_on(r, values, n, s, half == 0, err);
        }
    }
    r->sums++;
    return rc;
}
