#include "configd/stream_pipe.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SLOTS = 16, /* a look is spread over so many ticks */
    TICK_MIN_MS = 5,
    JUNK_MAX = 16 * 1024,    /* bytes a reader may send after its request */
    UNSENT_MAX = 128 * 1024, /* bytes the kernel may hold unsent: more would only make a slow reader's news older */
};

struct cfg_pipes {
    struct cfg_loop *loop;
    const struct cfg_clock *clock;
    unsigned heartbeat_ms, age_ms, look_ms;
    void (*look)(void *arg);
    void *arg;
    struct cfg_pipe *slots[SLOTS], *cursor, *graveyard;
    size_t n, at, opened;
    uint64_t now_ms; /* as of the last tick: near enough for heartbeats */
    struct cfg_timer *tick;
    struct cfg_bytes *heartbeat;
    bool burying, freed;
};

static uint64_t clock_ms(const struct cfg_pipes *all)
{
    return all->clock->monotonic_ns(all->clock->arg) / 1000000u;
}

/* --- lists --- */

static void link_pipe(struct cfg_pipe **list, struct cfg_pipe *p)
{
    p->prev = NULL;
    p->next = *list;
    if (*list)
        (*list)->prev = p;
    *list = p;
}

static void unlink_pipe(struct cfg_pipe **list, struct cfg_pipe *p)
{
    if (p->prev)
        p->prev->next = p->next;
    else
        *list = p->next;
    if (p->next)
        p->next->prev = p->prev;
}

/* --- dying --- */

static void bury_all(struct cfg_pipes *all)
{
    while (all->graveyard) {
        struct cfg_pipe *p = all->graveyard;
        unlink_pipe(&all->graveyard, p);
        cfg_taken_close(&p->taken);
        p->ops->closed(p);
    }
}

static void bury(void *arg)
{
    struct cfg_pipes *all = arg;
    all->burying = false;
    bury_all(all);
    if (all->freed)
        free(all);
}

static void die(struct cfg_pipe *p)
{
    struct cfg_pipes *all = p->all;
    if (p->state == CFG_PIPE_DEAD)
        return;
    p->state = CFG_PIPE_DEAD;
    p->out = cfg_bytes_unref(p->out);
    if (p->taken.bev)
        bufferevent_setcb(p->taken.bev, NULL, NULL, NULL, NULL);
    else
        (void)event_del(&p->event);
    if (all->cursor == p)
        all->cursor = p->next;
    unlink_pipe(&all->slots[p->slot], p);
    link_pipe(&all->graveyard, p);
    all->n--;
    if (!all->burying) {
        all->burying = true;
        cfg_loop_defer(all->loop, bury, all);
    }
    p->ops->dead(p);
}

/* --- plain sockets --- */

static void on_socket(evutil_socket_t fd, short what, void *arg);

static void wait_for(struct cfg_pipe *p, short what)
{
    (void)event_del(&p->event);
    (void)event_assign(&p->event, cfg_loop_base(p->all->loop), p->taken.fd, (short)(what | EV_PERSIST), on_socket, p);
    if (event_add(&p->event, NULL) != 0)
        die(p);
}

/* Sends from p->sent on. True: everything is out. False: some is left, or the pipe died. */
static bool push(struct cfg_pipe *p, struct cfg_bytes *frame)
{
    ssize_t n = send(p->taken.fd, frame->data + p->sent, frame->len - p->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        die(p);
        return false;
    }
    if (n > 0) {
        p->sent += (uint32_t)n;
        p->last_sent_ms = p->all->now_ms;
    }
    return p->sent == frame->len;
}

static void out_is_gone(struct cfg_pipe *p)
{
    p->out = cfg_bytes_unref(p->out);
    p->sent = 0;
    if (p->state == CFG_PIPE_ENDING)
        die(p);
    else
        p->ops->drained(p);
}

static void on_readable(struct cfg_pipe *p)
{
    char junk[1024];
    ssize_t n = recv(p->taken.fd, junk, sizeof junk, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        die(p);
        return;
    }
    if (n > 0 && (p->junk = (uint16_t)(p->junk + n)) > JUNK_MAX)
        die(p);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct cfg_pipe *p = arg;
    (void)fd;
    if (what & EV_READ)
        on_readable(p);
    if (p->state == CFG_PIPE_DEAD || !(what & EV_WRITE) || !push(p, p->out))
        return;
    wait_for(p, EV_READ);
    if (p->state != CFG_PIPE_DEAD)
        out_is_gone(p);
}

static bool send_plain(struct cfg_pipe *p, struct cfg_bytes *frame)
{
    p->sent = 0;
    if (push(p, frame))
        return true;
    if (p->state != CFG_PIPE_DEAD) {
        p->out = cfg_bytes_ref(frame);
        wait_for(p, EV_READ | EV_WRITE);
    }
    return false;
}

/* --- TLS --- */

static void on_tls_written(struct bufferevent *bev, void *arg)
{
    struct cfg_pipe *p = arg;
    if (p->out == NULL || evbuffer_get_length(bufferevent_get_output(bev)) > 0)
        return;
    p->last_sent_ms = p->all->now_ms;
    out_is_gone(p);
}

static void on_tls_read(struct bufferevent *bev, void *arg)
{
    struct cfg_pipe *p = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t n = evbuffer_get_length(in);
    (void)evbuffer_drain(in, n);
    if (n > JUNK_MAX || (p->junk = (uint16_t)(p->junk + n)) > JUNK_MAX)
        die(p);
}

static void on_tls_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
        die(arg);
}

static bool send_tls(struct cfg_pipe *p, struct cfg_bytes *frame)
{
    p->out = cfg_bytes_ref(frame);
    if (bufferevent_write(p->taken.bev, frame->data, frame->len) != 0)
        die(p);
    return false;
}

/* --- sending --- */

bool cfg_pipe_takes(const struct cfg_pipe *p)
{
    return p->state == CFG_PIPE_OPEN && p->out == NULL;
}

static bool send_any(struct cfg_pipe *p, struct cfg_bytes *frame)
{
    return p->taken.bev ? send_tls(p, frame) : send_plain(p, frame);
}

bool cfg_pipe_send(struct cfg_pipe *p, struct cfg_bytes *frame)
{
    return cfg_pipe_takes(p) && send_any(p, frame);
}

void cfg_pipe_end(struct cfg_pipe *p, struct cfg_bytes *last)
{
    if (p->state == CFG_PIPE_OPEN) {
        bool sent = p->out == NULL && last != NULL && send_any(p, last);
        if (sent && p->taken.fd >= 0)
            (void)shutdown(p->taken.fd, SHUT_WR); /* the reader has the last frame before the close can reset */
        if (p->state == CFG_PIPE_OPEN && p->out != NULL)
            p->state = CFG_PIPE_ENDING;
        else
            die(p);
    }
    (void)cfg_bytes_unref(last);
}

/* --- the timer --- */

/* A TLS pipe tells only when everything is out; a reader that takes some between two looks is slow, not stuck. The
 * socket's own count is asked: a frame leaves the bufferevent as one. */
static void note_progress(struct cfg_pipe *p)
{
    if (p->taken.bev == NULL || p->out == NULL)
        return;
    uint32_t sent = (uint32_t)BIO_number_written(SSL_get_wbio(bufferevent_openssl_get_ssl(p->taken.bev)));
    if (sent != p->sent)
        p->last_sent_ms = p->all->now_ms;
    p->sent = sent;
}

static void care_for(struct cfg_pipe *p)
{
    const struct cfg_pipes *all = p->all;
    note_progress(p);
    struct cfg_stream_times t = {.now = all->now_ms,
                                 .last_sent = p->last_sent_ms,
                                 .dies = p->dies_ms,
                                 .heartbeat_ms = all->heartbeat_ms,
                                 .look_ms = all->look_ms,
                                 .queued = p->out != NULL};
    switch (cfg_stream_care(&t)) {
    case CFG_CARE_NOTHING:
        return;
    case CFG_CARE_HEARTBEAT:
        (void)cfg_pipe_send(p, all->heartbeat);
        return;
    case CFG_CARE_STUCK:
        die(p);
        return;
    case CFG_CARE_OLD:
        cfg_pipe_end(p, cfg_stream_bye("age"));
        return;
    }
}

static void tick(void *arg)
{
    struct cfg_pipes *all = arg;
    all->now_ms = clock_ms(all);
    for (struct cfg_pipe *p = all->slots[all->at]; p; p = all->cursor) {
        all->cursor = p->next;
        care_for(p);
    }
    all->at = (all->at + 1) % SLOTS;
    if (all->at % (SLOTS / 2) == 0 && all->look)
        all->look(all->arg);
    cfg_timer_start(all->tick, all->look_ms / SLOTS);
}

/* --- life --- */

/* Streams that live shorter than a few heartbeats (tests, impatient operators) are looked at as often as their age asks
 * for. */
static unsigned look_every(unsigned heartbeat_ms, unsigned age_ms)
{
    unsigned look = heartbeat_ms / 2 < age_ms / 8 ? heartbeat_ms / 2 : age_ms / 8;
    return look < SLOTS * TICK_MIN_MS ? SLOTS * TICK_MIN_MS : look;
}

int cfg_pipes_new(struct cfg_pipes **out, const struct cfg_pipes_options *o, struct cfg_error *err)
{
    struct cfg_pipes *all = calloc(1, sizeof *all);
    if (all == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for streams");
    all->loop = o->loop;
    all->clock = o->clock;
    all->heartbeat_ms = o->heartbeat_ms;
    all->age_ms = o->age_ms;
    all->look_ms = look_every(o->heartbeat_ms, o->age_ms);
    all->look = o->look;
    all->arg = o->arg;
    all->now_ms = clock_ms(all);
    all->heartbeat = cfg_bytes_new(cfg_slice_str(cfg_stream_heartbeat));
    all->tick = cfg_timer_new(o->loop, tick, all);
    if (all->heartbeat == NULL || all->tick == NULL) {
        cfg_pipes_free(all);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for streams");
    }
    cfg_timer_start(all->tick, all->look_ms / SLOTS);
    *out = all;
    return 0;
}

void cfg_pipes_free(struct cfg_pipes *all)
{
    if (all == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        while (all->slots[i]) {
            struct cfg_pipe *p = all->slots[i];
            cfg_pipe_end(p, cfg_stream_bye("shutdown"));
            if (p->taken.bev) /* its own flush: the loop will not turn for it any more */
                (void)bufferevent_flush(p->taken.bev, EV_WRITE, BEV_FLUSH);
            die(p);
        }
    bury_all(all);
    cfg_timer_free(all->tick);
    (void)cfg_bytes_unref(all->heartbeat);
    all->freed = true;
    if (!all->burying)
        free(all);
}

size_t cfg_pipes_count(const struct cfg_pipes *all)
{
    return all->n;
}

static int start_plain(struct cfg_pipe *p, struct cfg_error *err)
{
    int on = 1, unsent = UNSENT_MAX;
    unsigned dead_ms = CFG_STREAM_STUCK_HEARTBEATS * p->all->heartbeat_ms;
    /* All three are improvements, not conditions: a socket that refuses them (a test's socketpair) works as well. */
    (void)setsockopt(p->taken.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(p->taken.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    (void)setsockopt(p->taken.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
    if (event_assign(&p->event, cfg_loop_base(p->all->loop), p->taken.fd, EV_READ | EV_PERSIST, on_socket, p) != 0 ||
        event_add(&p->event, NULL) != 0)
        return cfg_fail(err, CFG_E_NOMEM, "a stream's socket could not be watched");
    return 0;
}

static int start_tls(struct cfg_pipe *p, struct cfg_error *err)
{
    struct bufferevent *bev = p->taken.bev;
    bufferevent_setcb(bev, on_tls_read, on_tls_written, on_tls_event, p);
    if (bufferevent_enable(bev, EV_READ | EV_WRITE) != 0)
        return cfg_fail(err, CFG_E_IO, "a stream's TLS connection could not be watched");
    return 0;
}

int cfg_pipe_open(struct cfg_pipe *p, struct cfg_pipes *all, const struct cfg_pipe_ops *ops, struct cfg_taken *taken,
                  struct cfg_error *err)
{
    uint32_t random = 0;
    all->clock->random(all->clock->arg, &random, sizeof random);
    *p = (struct cfg_pipe){.ops = ops,
                           .all = all,
                           .taken = *taken,
                           .slot = (uint8_t)(all->opened++ % SLOTS),
                           .state = CFG_PIPE_OPEN,
                           .last_sent_ms = clock_ms(all)};
    p->dies_ms = p->last_sent_ms + cfg_stream_life_ms(all->age_ms, random);
    *taken = (struct cfg_taken){-1, NULL, NULL};
    int rc = p->taken.bev ? start_tls(p, err) : start_plain(p, err);
    if (rc != 0) {
        cfg_taken_close(&p->taken);
        return rc;
    }
    link_pipe(&all->slots[p->slot], p);
    all->n++;
    return 0;
}
