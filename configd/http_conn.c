#include "configd/http_conn.h"

#include "proto/limits.h"
#include "proto/problem.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SWEEP_MS = 200,
    BATCH = 64,             /* connections accepted before they are looked at */
    RESERVE_FDS = 64,       /* kept for etcd, files and the accept that makes room */
    BYTES_PER_MS = 64,      /* what a slow request must send to be given time */
    REFUSED_HEAD_MAX = 512, /* of a reply of evhttp's that is looked at */
    TOO_MUCH = 4 * CFG_LIMIT_BODY
};

enum state { NEW, SILENT, READING, REFUSED, BUSY, IDLE, N_STATES };

struct conn {
    struct conn *prev, *next; /* list of its state, in order of arrival there */
    struct cfg_conns *owner;
    struct bufferevent *bev;
    enum state state;
    int fd;
    uint64_t deadline_ms, received;
};

struct cfg_conns {
    struct cfg_loop *loop;
    const struct cfg_clock *clock;
    struct evconnlistener *listener;
    SSL_CTX *const *tls;
    struct cfg_conn_limits limits;
    struct list {
        struct conn *first, *last;
        size_t n;
    } lists[N_STATES];
    struct conn *large; /* the one whose request may be large */
    struct conn **by_fd;
    size_t by_fd_size;
    struct event *attend; /* looks at NEW and REFUSED before any other event can reach them */
    struct cfg_timer *sweep;
    struct cfg_conn_stats stats;
    bool accepting;
};

static uint64_t now_ms(const struct cfg_conns *c)
{
    return c->clock->monotonic_ns(c->clock->arg) / 1000000u;
}

/* --- lists: the only place where a state changes --- */

static void unlink_conn(struct conn *k)
{
    struct list *l = &k->owner->lists[k->state];
    *(k->prev ? &k->prev->next : &l->first) = k->next;
    *(k->next ? &k->next->prev : &l->last) = k->prev;
    l->n--;
}

static void link_conn(struct conn *k, enum state state)
{
    struct list *l = &k->owner->lists[state];
    k->state = state;
    k->prev = l->last;
    k->next = NULL;
    *(l->last ? &l->last->next : &l->first) = k;
    l->last = k;
    l->n++;
}

static void move(struct conn *k, enum state state, uint64_t deadline_ms)
{
    unlink_conn(k);
    link_conn(k, state);
    k->deadline_ms = deadline_ms;
}

/* --- an end --- */

/* evhttp takes it for its own timeout and frees the connection, which calls on_close. Never from inside a callback of
 * the same bufferevent. */
static void drop(struct conn *k)
{
    bufferevent_trigger_event(k->bev, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
}

static void print_reply(struct cfg_buf *out, const struct cfg_error *err)
{
    struct cfg_buf body;
    cfg_buf_init(&body, 4096);
    cfg_problem_print(&body, err, NULL);
    cfg_buf_printf(out,
                   "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\n"
                   "Connection: close\r\n\r\n",
                   cfg_code_http(err->code), cfg_code_name(err->code), body.len);
    cfg_buf_put(out, body.data, body.len);
    cfg_buf_finish(&body);
}

static void explain(struct cfg_error *err, int status, uint64_t received)
{
    if (status == 413)
        (void)cfg_fail(err, CFG_E_LIMIT, "the request body is larger than %d bytes", CFG_LIMIT_BODY);
    else if (status == 400 && received > CFG_LIMIT_HEADERS)
        (void)cfg_fail(err, CFG_E_HEADERS, "the request line and headers are larger than %d bytes", CFG_LIMIT_HEADERS);
    else if (status == 501 || status == 405 || status == 0)
        (void)cfg_fail(err, CFG_E_METHOD, "the request method is not known here");
    else
        (void)cfg_fail(err, CFG_E_INVALID, "the request could not be read as HTTP/1.1");
}

static void drop_late(struct conn *k)
{
    k->owner->stats.timed_out++;
    if (k->state == READING && *k->owner->tls == NULL) {
        struct cfg_error err;
        struct cfg_buf reply;
        if (k->received > TOO_MUCH)
            explain(&err, 413, k->received);
        else
            (void)cfg_fail(&err, CFG_E_REQUEST_TIMEOUT, "the request took too long to arrive");
        cfg_buf_init(&reply, 4096);
        print_reply(&reply, &err);
        /* A courtesy: the socket is about to be closed, and a peer that does not read gets nothing. */
        (void)send(k->fd, reply.data, reply.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        cfg_buf_finish(&reply);
    }
    drop(k);
}

static bool make_room(struct cfg_conns *c)
{
    struct conn *k = c->lists[SILENT].first ? c->lists[SILENT].first : c->lists[IDLE].first;
    if (k == NULL)
        return false;
    c->stats.made_room++;
    drop(k);
    return true;
}

static void forget(struct conn *k)
{
    struct cfg_conns *c = k->owner;
    if (k->fd >= 0 && (size_t)k->fd < c->by_fd_size && c->by_fd[k->fd] == k)
        c->by_fd[k->fd] = NULL;
    if (c->large == k)
        c->large = NULL;
    unlink_conn(k);
    free(k);
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
    (void)evcon;
    forget(arg);
}

/* --- bytes --- */

/* Asks the bufferevent who its evhttp connection is: evhttp made itself the callbacks' argument. None: it failed to
 * take the connection and has let go of the bufferevent, whose memory is still there until this turn's events have run.
 */
static struct evhttp_connection *find_evcon(struct bufferevent *bev)
{
    bufferevent_event_cb event_cb = NULL;
    void *arg = NULL;
    bufferevent_getcb(bev, NULL, NULL, &event_cb, &arg);
    return event_cb ? arg : NULL;
}

static void allow_large(struct conn *k, struct evbuffer *input)
{
    enum { MOST = 64 };
    struct cfg_conns *c = k->owner;
    const char *start = c->limits.large_request;
    size_t n = start ? strlen(start) : 0;
    char head[MOST];
    if (n == 0 || n > MOST || c->large || evbuffer_copyout(input, head, n) != (ev_ssize_t)n ||
        memcmp(head, start, n) != 0)
        return;
    c->large = k;
    evhttp_connection_set_max_body_size(find_evcon(k->bev), (ev_ssize_t)c->limits.large_body);
}

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    struct conn *k = arg;
    if (info->n_added == 0)
        return;
    if (k->state == SILENT || k->state == IDLE) {
        k->received = info->n_added;
        move(k, READING, now_ms(k->owner) + k->owner->limits.head_ms);
        allow_large(k, buffer);
    } else if (k->state == READING) {
        k->received += info->n_added;
        k->deadline_ms += info->n_added / BYTES_PER_MS;
        if (k->received > TOO_MUCH &&
            k != k->owner->large) /* evhttp would read to the end of what it is going to refuse */
            k->deadline_ms = 0;
    }
}

/* evhttp writes while a request is being read: "100 Continue", or its own answer to what it cannot read. */
static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    (void)buffer;
    struct conn *k = arg;
    if (info->n_added == 0 || k->state != READING)
        return;
    move(k, REFUSED, k->deadline_ms);
    event_active(k->owner->attend, EV_TIMEOUT, 1);
}

static void rewrite_refusal(struct conn *k)
{
    struct evbuffer *output = bufferevent_get_output(k->bev);
    char head[REFUSED_HEAD_MAX];
    ev_ssize_t n = evbuffer_copyout(output, head, sizeof head - 1);
    if (n < 12 || strncmp(head, "HTTP/1.", 7) != 0)
        return;
    head[n] = '\0';
    int status = (int)strtol(head + 9, NULL, 10);
    if (status == 100) {
        move(k, READING, k->deadline_ms);
        return;
    }
    struct cfg_error err;
    struct cfg_buf reply;
    explain(&err, status, k->received);
    cfg_buf_init(&reply, 4096);
    print_reply(&reply, &err);
    (void)evbuffer_unfreeze(output, 1); /* a socket's output may be drained by its writer alone, until it is told */
    (void)evbuffer_drain(output, evbuffer_get_length(output));
    (void)evbuffer_add(output, reply.data, reply.len); /* without memory the peer gets an empty answer */
    if (*k->owner->tls == NULL)
        (void)evbuffer_freeze(output, 1);
    cfg_buf_finish(&reply);
    k->owner->stats.refused++;
    move(k, BUSY, 0); /* the write timeout sees to the rest */
}

/* --- new connections --- */

static bool index_conn(struct cfg_conns *c, struct conn *k)
{
    size_t need = (size_t)k->fd + 1;
    if (need > c->by_fd_size) {
        size_t size = need * 2;
        struct conn **grown = realloc(c->by_fd, size * sizeof(struct conn *));
        if (grown == NULL)
            return false;
        memset(grown + c->by_fd_size, 0, (size - c->by_fd_size) * sizeof(struct conn *));
        c->by_fd = grown;
        c->by_fd_size = size;
    }
    c->by_fd[k->fd] = k;
    return true;
}

static void adopt(struct conn *k)
{
    struct cfg_conns *c = k->owner;
    struct evhttp_connection *evcon = find_evcon(k->bev);
    if (evcon == NULL) {
        unlink_conn(k);
        free(k);
        return;
    }
    evhttp_connection_set_closecb(evcon, on_close, k);
    k->fd = bufferevent_getfd(k->bev);
    move(k, SILENT, now_ms(c) + c->limits.silent_ms);
    if (!index_conn(c, k) || evbuffer_add_cb(bufferevent_get_input(k->bev), on_input, k) == NULL ||
        evbuffer_add_cb(bufferevent_get_output(k->bev), on_output, k) == NULL)
        drop(k);
}

/* Descriptors are given out lowest first, so the lowest free one tells how many are in use at least. */
static bool is_full(const struct cfg_conns *c)
{
    int lowest = fcntl(evconnlistener_get_fd(c->listener), F_DUPFD_CLOEXEC, 0);
    (void)close(lowest); /* -1 does no harm */
    return lowest < 0 || (unsigned)lowest + RESERVE_FDS >= c->limits.max_fds;
}

static void attend(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cfg_conns *c = arg;
    bool came = c->lists[NEW].n > 0;
    while (c->lists[NEW].first)
        adopt(c->lists[NEW].first);
    /* At once: what is freed is low, and hides that all others are in use. */
    for (unsigned n = came && is_full(c) ? RESERVE_FDS : 0; n > 0 && make_room(c); n--) {
    }
    for (struct conn *k = c->lists[REFUSED].first, *next; k; k = next) {
        next = k->next;
        rewrite_refusal(k);
    }
    if (c->accepting)
        (void)evconnlistener_enable(c->listener); /* see on_accept; fails only if it was freed */
}

static struct bufferevent *new_bufferevent(struct cfg_conns *c, struct event_base *base)
{
    if (*c->tls == NULL)
        return bufferevent_socket_new(base, -1, 0);
    SSL *ssl = SSL_new(*c->tls);
    if (ssl == NULL)
        return NULL;
    return bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
}

/* evhttp's bevcb: called once per accepted socket, before evhttp puts the socket into what it returns. The `attend`
 * event becomes active here, so it runs before the loop polls again and anything could happen to the connection. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct cfg_conns *c = arg;
    struct bufferevent *bev = new_bufferevent(c, base);
    struct conn *k = calloc(1, sizeof *k);
    if (bev == NULL || k == NULL) {
        free(k);
        return bev;
    }
    struct timeval write_timeout = {c->limits.write_ms / 1000, (suseconds_t)(c->limits.write_ms % 1000) * 1000};
    (void)bufferevent_set_timeouts(bev, NULL, &write_timeout); /* cannot fail for sockets */
    k->owner = c;
    k->bev = bev;
    k->fd = -1;
    link_conn(k, NEW);
    c->stats.accepted++;
    event_active(c->attend, EV_TIMEOUT, 1);
    if (c->lists[NEW].n >= BATCH)
        (void)evconnlistener_disable(c->listener); /* the accept loop ends; attend goes on with it */
    return bev;
}

/* No descriptor left (or no memory in the kernel): the loop would spin on the readable listener. The next sweep tries
 * again. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)arg; /* evhttp's */
    (void)evconnlistener_disable(listener);
}

/* --- deadlines --- */

static void sweep_list(struct cfg_conns *c, enum state state, uint64_t now, bool ordered)
{
    for (struct conn *k = c->lists[state].first, *next; k; k = next) {
        next = k->next;
        if (k->deadline_ms <= now)
            drop_late(k);
        else if (ordered)
            break;
    }
}

static void on_sweep(void *arg)
{
    struct cfg_conns *c = arg;
    uint64_t now = now_ms(c);
    sweep_list(c, SILENT, now, true);
    sweep_list(c, IDLE, now, true);
    sweep_list(c, READING, now, false);
    sweep_list(c, REFUSED, now, false);
    if (c->accepting)
        (void)evconnlistener_enable(c->listener); /* idempotent; off after on_accept_error */
    cfg_timer_start(c->sweep, SWEEP_MS);
}

/* --- requests --- */

static struct conn *conn_of(struct cfg_conns *c, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    int fd = evcon ? bufferevent_getfd(evhttp_connection_get_bufferevent(evcon)) : -1;
    return fd >= 0 && (size_t)fd < c->by_fd_size ? c->by_fd[fd] : NULL;
}

static void on_sent(struct evhttp_request *req, void *arg)
{
    struct cfg_conns *c = arg;
    struct conn *k = conn_of(c, req);
    if (k == NULL)
        return;
    bool more = evbuffer_get_length(bufferevent_get_input(k->bev)) > 0; /* pipelined */
    k->received = 0;
    if (c->large == k) {
        c->large = NULL;
        evhttp_connection_set_max_body_size(evhttp_request_get_connection(req), CFG_LIMIT_BODY);
    }
    move(k, more ? READING : IDLE, now_ms(c) + (more ? c->limits.head_ms : c->limits.idle_ms));
}

void cfg_conns_request(struct cfg_conns *c, struct evhttp_request *req)
{
    struct conn *k = conn_of(c, req);
    if (k == NULL)
        return;
    move(k, BUSY, 0);
    evhttp_request_set_on_complete_cb(req, on_sent, c);
}

void cfg_conns_forget(struct cfg_conns *c, struct evhttp_request *req)
{
    struct conn *k = conn_of(c, req);
    if (k == NULL)
        return;
    evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
    (void)evbuffer_remove_cb(bufferevent_get_input(k->bev), on_input, k);
    (void)evbuffer_remove_cb(bufferevent_get_output(k->bev), on_output, k);
    forget(k);
}

/* --- life --- */

static void set_defaults(struct cfg_conn_limits *l)
{
    struct rlimit files = {0};
    l->silent_ms = l->silent_ms ? l->silent_ms : 10000;
    l->head_ms = l->head_ms ? l->head_ms : 10000;
    l->idle_ms = l->idle_ms ? l->idle_ms : 120000;
    l->write_ms = l->write_ms ? l->write_ms : 30000;
    if (l->max_fds == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0)
        l->max_fds = files.rlim_cur > 1u << 30 ? 1u << 30 : (unsigned)files.rlim_cur;
}

int cfg_conns_new(struct cfg_conns **out, struct cfg_loop *loop, const struct cfg_clock *clock, struct evhttp *evhttp,
                  struct evconnlistener *listener, SSL_CTX *const *tls, const struct cfg_conn_limits *limits,
                  struct cfg_error *err)
{
    struct cfg_conns *c = calloc(1, sizeof *c);
    if (c == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the table of connections");
    c->loop = loop;
    c->clock = clock;
    c->listener = listener;
    c->tls = tls;
    c->limits = *limits;
    set_defaults(&c->limits);
    c->attend = event_new(cfg_loop_base(loop), -1, 0, attend, c);
    c->sweep = cfg_timer_new(loop, on_sweep, c);
    if (c->attend == NULL || c->sweep == NULL) {
        cfg_conns_free(c);
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the table of connections");
    }
    evhttp_set_bevcb(evhttp, on_accept, c);
    evconnlistener_set_error_cb(listener, on_accept_error);
    *out = c;
    return 0;
}

void cfg_conns_start(struct cfg_conns *c)
{
    c->accepting = true;
    (void)evconnlistener_enable(c->listener);
    cfg_timer_start(c->sweep, SWEEP_MS);
}

void cfg_conns_stop(struct cfg_conns *c)
{
    if (c == NULL)
        return;
    c->accepting = false;
    (void)evconnlistener_disable(c->listener);
    while (c->lists[NEW].first)
        adopt(c->lists[NEW].first);
}

void cfg_conns_free(struct cfg_conns *c)
{
    if (c == NULL)
        return;
    cfg_timer_free(c->sweep);
    if (c->attend)
        event_free(c->attend);
    free(c->by_fd);
    free(c);
}

void cfg_conns_stats(const struct cfg_conns *c, struct cfg_conn_stats *out)
{
    *out = c->stats;
    out->open = 0;
    for (int i = 0; i < N_STATES; i++)
        out->open += c->lists[i].n;
    out->busy = c->lists[BUSY].n;
}
