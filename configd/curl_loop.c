#include "configd/curl_loop.h"

#include <event2/event.h>
#include <stdlib.h>

struct cfg_curl_loop {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    LIST_HEAD(, cfg_transfer) ready;
};

/* What libcurl wants to hear of one socket. */
struct watched_socket {
    struct cfg_curl_loop *owner;
    struct event *event;
};

/* Tells owners, outside libcurl, what the last action brought. Every callback may add or remove transfers, so both
 * queues are popped, never walked. */
static void deliver(struct cfg_curl_loop *c)
{
    struct cfg_transfer *t;
    while ((t = LIST_FIRST(&c->ready)) != NULL) {
        LIST_REMOVE(t, ready_link);
        t->has_data = false;
        t->fns->ready(t);
    }
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode result = m->data.result;
        char *owner = NULL;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &owner); /* always set by cfg_curl_loop_add */
        t = (struct cfg_transfer *)(void *)owner;
        cfg_curl_loop_remove(c, t);
        t->fns->done(t, result);
    }
}

static void act(struct cfg_curl_loop *c, curl_socket_t fd, int what)
{
    int running;
    (void)curl_multi_socket_action(c->multi, fd, what, &running); /* failures of a transfer come as its message */
    deliver(c);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void socket_fired(evutil_socket_t fd, short what, void *arg)
{
    struct watched_socket *s = arg; /* may be freed inside act() */
    int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    act(s->owner, fd, mask);
}

/* "Now" becomes an active event of this turn and not a call from here, which libcurl would refuse. */
static int timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct cfg_curl_loop *c = arg;
    if (timeout_ms < 0)
        return event_del(c->timer);
    if (timeout_ms == 0) {
        event_active(c->timer, EV_TIMEOUT, 1);
        return 0;
    }
    struct timeval delay = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    return event_add(c->timer, &delay);
}

static struct watched_socket *new_socket(struct cfg_curl_loop *c, curl_socket_t fd)
{
    struct watched_socket *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->owner = c;
    s->event = event_new(c->base, fd, EV_READ | EV_PERSIST, socket_fired, s);
    if (s->event == NULL || curl_multi_assign(c->multi, fd, s) != CURLM_OK) {
        if (s->event)
            event_free(s->event);
        free(s);
        return NULL;
    }
    return s;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct cfg_curl_loop *c = arg;
    struct watched_socket *s = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            event_free(s->event);
            free(s);
            (void)curl_multi_assign(c->multi, fd, NULL); /* fails only for a socket libcurl has dropped already */
        }
        return 0;
    }
    if (s == NULL && (s = new_socket(c, fd)) == NULL)
        return -1;
    int wanted = EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);
    (void)event_del(s->event);
    if (event_assign(s->event, c->base, fd, (short)wanted, socket_fired, s) != 0)
        return -1;
    return event_add(s->event, NULL);
}

int cfg_curl_loop_new(struct cfg_curl_loop **out, struct cfg_loop *loop, long max_idle, struct cfg_error *err)
{
    struct cfg_curl_loop *c = calloc(1, sizeof *c);
    if (c) {
        c->base = cfg_loop_base(loop);
        LIST_INIT(&c->ready);
        c->timer = evtimer_new(c->base, timer_fired, c);
        c->multi = curl_multi_init();
    }
    if (c == NULL || c->timer == NULL || c->multi == NULL ||
        curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted) != CURLM_OK ||
        curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) != CURLM_OK ||
        curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, timer_wanted) != CURLM_OK ||
        curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) != CURLM_OK ||
        curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) != CURLM_OK ||
        curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, max_idle) != CURLM_OK) {
        cfg_curl_loop_free(c);
        return cfg_fail(err, CFG_E_NOMEM, "libcurl's multi handle could not be created");
    }
    *out = c;
    return 0;
}

void cfg_curl_loop_free(struct cfg_curl_loop *c)
{
    if (c == NULL)
        return;
    if (c->multi)
        (void)curl_multi_cleanup(c->multi); /* calls back to remove the sockets it still holds */
    if (c->timer)
        event_free(c->timer);
    free(c);
}

static size_t write_data(char *bytes, size_t size, size_t n, void *arg)
{
    struct cfg_transfer *t = arg;
    if (!t->fns->data(t, bytes, size * n))
        return 0;
    if (!t->has_data && t->fns->ready) {
        t->has_data = true;
        LIST_INSERT_HEAD(&t->owner->ready, t, ready_link);
    }
    return size * n;
}

int cfg_curl_loop_add(struct cfg_curl_loop *c, struct cfg_transfer *t, CURL *easy, struct cfg_error *err)
{
    t->easy = easy;
    t->has_data = false;
    t->owner = c;
    if (curl_easy_setopt(easy, CURLOPT_PRIVATE, t) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_data) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, t) == CURLE_OK) {
        CURLMcode code = curl_multi_add_handle(c->multi, easy);
        if (code == CURLM_OK)
            return 0;
        t->owner = NULL;
        return cfg_fail(err, code == CURLM_OUT_OF_MEMORY ? CFG_E_NOMEM : CFG_E_INTERNAL,
                        "a request could not be started: %s", curl_multi_strerror(code));
    }
    t->owner = NULL;
    return cfg_fail(err, CFG_E_NOMEM, "a request could not be prepared");
}

void cfg_curl_loop_remove(struct cfg_curl_loop *c, struct cfg_transfer *t)
{
    if (t->owner == NULL)
        return;
    if (t->has_data)
        LIST_REMOVE(t, ready_link);
    t->has_data = false;
    t->owner = NULL;
    (void)curl_multi_remove_handle(c->multi, t->easy); /* it was added, and we are outside libcurl */
}
