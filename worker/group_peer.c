/* One connection of a tcp group. */
#include "worker/group_tcp.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, SMALL = 4096 };

uint64_t cfg_group_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int cfg_group_left_ms(uint64_t end_ms)
{
    uint64_t now = cfg_group_now_ms();
    return now >= end_ms ? 0 : (int)(end_ms - now > 1000000 ? 1000000 : end_ms - now);
}

void cfg_peer_init(struct cfg_peer *p)
{
    memset(p, 0, sizeof *p);
    p->fd = -1;
    cfg_buf_init(&p->in, CFG_FRAME_HEAD + CFG_FRAME_MAX + CHUNK);
}

void cfg_peer_close(struct cfg_peer *p)
{
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    cfg_buf_finish(&p->in);
    cfg_peer_init(p);
}

void cfg_peer_take(struct cfg_peer *p, int fd)
{
    const int on = 1;
    const struct timeval patience = {0, CFG_PEER_PATIENCE_MS * 1000};
    cfg_peer_close(p);
    /* Best effort: a socket without them works, only slower. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    p->fd = fd;
}

static int next_frame(struct cfg_peer *p, struct cfg_frame *out, struct cfg_error *err)
{
    int n = p->in.len == 0 ? 0 : cfg_frame_get(out, cfg_buf_slice(&p->in), err);
    if (n > 0) {
        p->taken = (size_t)n;
        return 1;
    }
    return n;
}

/* flags: of the first recv. */
static int receive(struct cfg_peer *p, struct cfg_frame *out, int flags, struct cfg_error *err)
{
    if (p->fd < 0) {
        return cfg_fail(err, CFG_E_CONNECT, "the connection is closed");
    }
    if (p->taken > 0) {
        cfg_buf_consume(&p->in, p->taken);
        p->taken = 0;
    }
    int rc = next_frame(p, out, err);
    while (rc == 0) {
        char chunk[CHUNK];
        /* A round's frame is small; only what goes on beyond it is worth a large buffer. */
        size_t room = p->in.len < SMALL ? SMALL : sizeof chunk;
        ssize_t n = recv(p->fd, chunk, room, flags);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        flags = MSG_DONTWAIT;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 0;
        }
        if (n <= 0) {
            return cfg_fail(err, CFG_E_CONNECT, "it is gone (%s)",
                            n == 0 ? "its connection was closed" : strerrordesc_np(errno));
        }
        cfg_buf_put(&p->in, chunk, (size_t)n);
        rc = cfg_buf_status(&p->in);
        rc = rc != 0 ? cfg_fail(err, rc, "no room for what it sends") : next_frame(p, out, err);
    }
    return rc;
}

int cfg_peer_receive(struct cfg_peer *p, struct cfg_frame *out, struct cfg_error *err)
{
    return receive(p, out, MSG_DONTWAIT, err);
}

int cfg_peer_await(struct cfg_peer *p, struct cfg_frame *out, struct cfg_error *err)
{
    return receive(p, out, 0, err);
}

int cfg_peer_send(struct cfg_peer *p, struct cfg_slice bytes, uint64_t end_ms, struct cfg_error *err)
{
    size_t sent = 0;
    while (p->fd >= 0 && sent < bytes.len) {
        ssize_t n = send(p->fd, bytes.ptr + sent, bytes.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd wait = {p->fd, POLLOUT, 0};
            int left = cfg_group_left_ms(end_ms);
            if (left == 0) {
                return cfg_fail(err, CFG_E_TIMEOUT, "it does not read what it is sent");
            }
            (void)poll(&wait, 1, left); /* a failure shows at the next send */
        } else if (errno != EINTR) {
            return cfg_fail(err, CFG_E_CONNECT, "it is gone (%s)", strerrordesc_np(errno));
        }
    }
    return p->fd >= 0 ? 0 : cfg_fail(err, CFG_E_CONNECT, "the connection is closed");
}

int cfg_peer_send_frame(struct cfg_peer *p, struct cfg_buf *scratch, const struct cfg_frame *f, uint64_t end_ms,
                        struct cfg_error *err)
{
    cfg_buf_clear(scratch);
    cfg_frame_put(scratch, f);
    int rc = cfg_buf_status(scratch);
    return rc != 0 ? cfg_fail(err, rc, "a frame does not fit") : cfg_peer_send(p, cfg_buf_slice(scratch), end_ms, err);
}
