#include "client/transport_curl.h"
#include "client/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 16, TURNS = 8 };

#define NEVER UINT64_MAX

struct request {
    char *path, *body, *last_event_id; /* owned */
    size_t server, body_len;
    const char *method; /* a literal */
};

struct slot {
    struct cfg_curl_transport *owner;
    enum cfg_slot which;
    CURL *easy;
    struct curl_slist *headers; /* of the request under way */
    struct request now, queued; /* curl reads from `now`, also while it waits to be stopped */
    bool active;                /* in curl's set */
    bool want_start, want_stop;
    char errbuf[CURL_ERROR_SIZE];
};

struct cfg_curl_transport {
    const struct cfg_target *target;
    struct cfg_machine *machine;
    CURLM *multi;
    int epoll_fd, timer_fd, wake_fd;
    uint64_t curl_due, armed; /* ms; NEVER: none */
    bool processing;
    struct slot slots[CFG_SLOTS];
};

/* --- curl's side --- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    (void)socket_arg;
    struct cfg_curl_transport *t = arg;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* may be closed already */
        return 0;
    }
    struct epoll_event ev = {.data.fd = fd};
    ev.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0u) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0u);
    if (epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0)
        return 0;
    return errno == ENOENT && epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -1;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct cfg_curl_transport *t = arg;
    t->curl_due = timeout_ms < 0 ? NEVER : cfg_http_now_ms() + (uint64_t)timeout_ms;
    return 0;
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct slot *s = arg;
    long status = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status); /* known once there is a body */
    if (s->want_stop)
        return 0;
    cfg_machine_bytes(s->owner->machine, s->which, status, (struct cfg_slice){bytes, size * n}, cfg_http_now_ms());
    return s->want_stop ? 0 : size * n;
}

/* --- the machine's side --- */

static void clear_request(struct request *r)
{
    free(r->path);
    free(r->body);
    free(r->last_event_id);
    *r = (struct request){0};
}

static void do_send(void *arg, const struct cfg_send *r)
{
    struct cfg_curl_transport *t = arg;
    struct slot *s = &t->slots[r->slot];
    clear_request(&s->queued);
    s->queued = (struct request){
        .path = strdup(r->path),
        .body = r->body.len > 0 ? cfg_slice_dup(r->body) : NULL,
        .last_event_id = r->last_event_id ? strdup(r->last_event_id) : NULL,
        .server = r->server,
        .body_len = r->body.len,
        .method = r->method,
    };
    s->want_start = true;
    if (!t->processing)
        cfg_curl_transport_wake(t);
}

static void do_cancel(void *arg, enum cfg_slot which)
{
    struct cfg_curl_transport *t = arg;
    struct slot *s = &t->slots[which];
    s->want_start = false;
    s->want_stop = s->active;
}

static uint64_t do_random(void *arg)
{
    (void)arg;
    return cfg_http_random();
}

/* --- carrying out what is wanted --- */

static int slot_headers(struct slot *s)
{
    s->headers = cfg_http_headers(s->owner->target);
    int rc = s->headers ? 0 : CFG_E_NOMEM;
    if (rc == 0 && s->now.body)
        rc = cfg_http_add_header(&s->headers, "Content-Type", "application/json");
    if (rc == 0 && s->which == CFG_SLOT_STREAM)
        rc = cfg_http_add_header(&s->headers, "Accept", "text/event-stream");
    if (rc == 0 && s->now.last_event_id)
        rc = cfg_http_add_header(&s->headers, "Last-Event-ID", s->now.last_event_id);
    return rc;
}

/* The stream gets a connection of its own, which leaves the registration's for the reports. */
static bool slot_options(struct slot *s)
{
    bool stream = s->which == CFG_SLOT_STREAM;
    bool ok = curl_easy_setopt(s->easy, CURLOPT_CUSTOMREQUEST, s->now.method) == CURLE_OK;
    ok &= curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers) == CURLE_OK;
    ok &= curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK;
    ok &= curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s) == CURLE_OK;
    ok &= curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s) == CURLE_OK;
    ok &= curl_easy_setopt(s->easy, CURLOPT_FRESH_CONNECT, stream ? 1L : 0L) == CURLE_OK;
    ok &= curl_easy_setopt(s->easy, CURLOPT_FORBID_REUSE, stream ? 1L : 0L) == CURLE_OK;
    if (!stream)
        ok &= curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)s->owner->target->timeout_ms) == CURLE_OK;
    if (s->now.body) {
        ok &= curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->now.body_len) == CURLE_OK;
        ok &= curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, s->now.body) == CURLE_OK;
    }
    return ok;
}

static int slot_prepare(struct slot *s, struct cfg_error *err)
{
    bool copied = s->now.path && (s->now.body || s->now.body_len == 0);
    curl_easy_reset(s->easy);
    if (!copied || slot_headers(s) != 0)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    int rc = cfg_http_prepare(s->easy, s->owner->target, s->now.server, s->now.path, s->errbuf, err);
    if (rc == 0 && !slot_options(s))
        rc = cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a request");
    return rc;
}

static void slot_stop(struct slot *s)
{
    if (s->active)
        (void)curl_multi_remove_handle(s->owner->multi, s->easy); /* fails only for a handle that is not in */
    s->active = s->want_stop = false;
    curl_slist_free_all(s->headers);
    s->headers = NULL;
}

static void slot_start(struct slot *s)
{
    struct cfg_error err;
    s->want_start = false;
    clear_request(&s->now);
    s->now = s->queued;
    s->queued = (struct request){0};
    int rc = slot_prepare(s, &err);
    if (rc == 0 && curl_multi_add_handle(s->owner->multi, s->easy) != CURLM_OK)
        rc = cfg_fail(&err, CFG_E_NOMEM, "libcurl has no memory for a request");
    if (rc == 0) {
        s->active = true;
        return;
    }
    slot_stop(s);
    cfg_machine_done(s->owner->machine, s->which, 0, &err, cfg_http_now_ms());
}

static bool carry_out(struct cfg_curl_transport *t)
{
    bool any = false;
    for (int i = 0; i < CFG_SLOTS; i++) {
        struct slot *s = &t->slots[i];
        if (s->want_stop)
            slot_stop(s);
        if (s->want_start && !s->active) {
            slot_start(s);
            any = true;
        }
    }
    return any;
}

static bool harvest(struct cfg_curl_transport *t)
{
    bool any = false;
    int left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(t->multi, &left)) != NULL;) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        char *private = NULL;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private); /* always set by slot_options */
        struct slot *s = (struct slot *)(void *)private;
        long status = 0;
        (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 stays without a reply */
        bool canceled = s->want_stop;
        slot_stop(s);
        any = true;
        if (canceled)
            continue;
        struct cfg_error err;
        if (code != CURLE_OK)
            cfg_http_fail(&err, code, s->errbuf, t->target->servers[s->now.server]);
        cfg_machine_done(t->machine, s->which, status, code == CURLE_OK ? NULL : &err, cfg_http_now_ms());
    }
    return any;
}

static void run_sockets(struct cfg_curl_transport *t)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int running, n = epoll_wait(t->epoll_fd, events, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        uint64_t ignored;
        if (fd == t->wake_fd || fd == t->timer_fd) {
            if (read(fd, &ignored, sizeof ignored) == (ssize_t)sizeof ignored && fd == t->timer_fd)
                t->armed = NEVER;
            continue;
        }
        uint32_t e = events[i].events;
        int mask = (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        (void)curl_multi_socket_action(t->multi, fd, mask, &running); /* failures end the transfers they concern */
    }
}

static bool run_timers(struct cfg_curl_transport *t)
{
    int running;
    uint64_t now = cfg_http_now_ms();
    bool any = false;
    if (t->curl_due <= now) {
        t->curl_due = NEVER;
        (void)curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running); /* as above */
        any = true;
    }
    if (cfg_machine_deadline(t->machine) <= now) {
        cfg_machine_tick(t->machine, now);
        any = true;
    }
    return any;
}

/* A deadline that moved away leaves the timer as it is: it then fires once for nothing, which is cheaper than setting
 * it with every byte. */
static void arm(struct cfg_curl_transport *t)
{
    uint64_t due = cfg_machine_deadline(t->machine);
    if (t->curl_due < due)
        due = t->curl_due;
    if (due >= t->armed)
        return;
    uint64_t at = due > 0 ? due : 1; /* all zero would disarm */
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000}};
    if (timerfd_settime(t->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
        t->armed = due;
}

void cfg_curl_transport_process(struct cfg_curl_transport *t)
{
    t->processing = true;
    run_sockets(t);
    bool more = true;
    for (int turn = 0; more && turn < TURNS; turn++) {
        more = harvest(t);
        more |= carry_out(t);
        more |= run_timers(t);
    }
    t->processing = false;
    if (more)
        cfg_curl_transport_wake(t);
    arm(t);
}

/* --- life --- */

void cfg_curl_transport_wake(struct cfg_curl_transport *t)
{
    int saved = errno; /* may run in a signal handler */
    uint64_t one = 1;
    ssize_t n = write(t->wake_fd, &one, sizeof one);
    (void)n; /* full means that it is readable already */
    errno = saved;
}

int cfg_curl_transport_fd(const struct cfg_curl_transport *t)
{
    return t->epoll_fd;
}

struct cfg_transport cfg_curl_transport_vtable(struct cfg_curl_transport *t)
{
    return (struct cfg_transport){.send = do_send, .cancel = do_cancel, .random = do_random, .arg = t};
}

void cfg_curl_transport_attach(struct cfg_curl_transport *t, struct cfg_machine *m)
{
    t->machine = m;
    cfg_curl_transport_wake(t);
}

static int watch(struct cfg_curl_transport *t, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    return fd >= 0 ? epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev) : -1;
}

static int open_descriptors(struct cfg_curl_transport *t, struct cfg_error *err)
{
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (t->epoll_fd < 0 || watch(t, t->timer_fd) != 0 || watch(t, t->wake_fd) != 0)
        return cfg_fail(err, CFG_E_IO, "no descriptors for a session: %s", strerrordesc_np(errno));
    return 0;
}

static int open_curl(struct cfg_curl_transport *t, struct cfg_error *err)
{
    t->multi = curl_multi_init();
    bool ok = t->multi != NULL;
    for (int i = 0; i < CFG_SLOTS; i++) {
        t->slots[i].owner = t;
        t->slots[i].which = (enum cfg_slot)i;
        t->slots[i].easy = curl_easy_init();
        ok &= t->slots[i].easy != NULL;
    }
    ok = ok && curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
         curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t) == CURLM_OK &&
         curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
         curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t) == CURLM_OK;
    return ok ? 0 : cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a session");
}

int cfg_curl_transport_new(struct cfg_curl_transport **out, const struct cfg_target *target, struct cfg_error *err)
{
    int rc = cfg_http_global(err);
    if (rc != 0)
        return rc;
    struct cfg_curl_transport *t = calloc(1, sizeof *t);
    if (t == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    t->target = target;
    t->curl_due = t->armed = NEVER;
    rc = open_descriptors(t, err);
    if (rc == 0)
        rc = open_curl(t, err);
    if (rc != 0) {
        cfg_curl_transport_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void cfg_curl_transport_free(struct cfg_curl_transport *t)
{
    if (t == NULL)
        return;
    /* The epoll descriptor goes anyway, and curl may still name sockets that it has closed, whose numbers belong to
     * other threads by now. */
    if (t->multi)
        (void)curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    for (int i = 0; i < CFG_SLOTS; i++) {
        slot_stop(&t->slots[i]);
        curl_easy_cleanup(t->slots[i].easy);
        clear_request(&t->slots[i].now);
        clear_request(&t->slots[i].queued);
    }
    if (t->multi)
        (void)curl_multi_cleanup(t->multi); /* every handle is out */
    const int fds[] = {t->wake_fd, t->timer_fd, t->epoll_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(t);
}
