/* The HTTP thread: its life, and the lists between it and the stepper. See http.h and http_internal.h. */
#include "worker/cfg-infer/http_internal.h"
#include <errno.h>
#include <event2/buffer.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { HEADERS_MAX = 16 * 1024, IO_TIMEOUT_S = 30, FLUSH_S = 1, ACCEPT_AGAIN_US = 100000 };

/* --- replies --- */

void cfg_http_reply(struct cfg_http *h, struct evhttp_request *req, int status, const char *type,
                    const struct cfg_buf *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    (void)evhttp_add_header(headers, "Content-Type", type != NULL ? type : "application/json");
    bool ok = cfg_buf_status(body) == 0 && evbuffer_add(out, body->data, body->len) == 0;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    if (path != NULL && strcmp(path, "/v1/completions") == 0) {
        cfg_infer_count_reply(&h->counts, ok ? status : 500);
    }
    evhttp_send_reply(req, ok ? status : 500, NULL, NULL);
}

void cfg_http_reply_error(struct cfg_http *h, struct evhttp_request *req, const struct cfg_error *err)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 8192);
    cfg_openai_error(&b, err);
    cfg_http_reply(h, req, cfg_openai_status(err), NULL, &b);
    cfg_buf_finish(&b);
}

/* --- requests --- */

static void request_on_loop(struct evhttp_request *req, void *arg)
{
    struct cfg_http *h = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    if (path == NULL || strcmp(path, "/v1/completions") != 0) {
        cfg_http_page_on_loop(h, req);
    } else if (evhttp_request_get_command(req) == EVHTTP_REQ_POST) {
        cfg_http_completion_on_loop(h, req);
    } else {
        struct cfg_error err = CFG_ERROR_INIT;
        (void)cfg_fail(&err, CFG_E_METHOD, "/v1/completions takes POST");
        cfg_http_reply_error(h, req, &err);
    }
}

/* --- the loop --- */

/* Counts down before anything is answered, so that whoever has his answer can ask again. */
static struct cfg_pieces *collect(struct cfg_http *h, bool *stopping)
{
    (void)pthread_mutex_lock(&h->lock);
    struct cfg_pieces *all = h->out;
    h->out = NULL;
    h->out_tail = &h->out;
    *stopping = h->stopping;
    for (const struct cfg_pieces *p = all; p != NULL; p = p->next) {
        for (size_t i = 0; i < p->n; i++) {
            h->open -= p->of[i].finish != CFG_GOES_ON ? 1U : 0U;
        }
    }
    (void)pthread_mutex_unlock(&h->lock);
    return all;
}

static void woken_on_loop(evutil_socket_t fd, short what, void *arg)
{
    struct cfg_http *h = arg;
    bool stopping;
    uint64_t n;
    (void)what;
    while (read(fd, &n, sizeof n) > 0) {
    }
    struct cfg_pieces *all = collect(h, &stopping);
    while (all != NULL) {
        struct cfg_pieces *p = all;
        all = p->next;
        for (size_t i = 0; i < p->n; i++) {
            cfg_http_piece_on_loop(h, &p->of[i]);
        }
        free(p);
    }
    if (stopping && !h->leaving) {
        const struct timeval limit = {FLUSH_S, 0};
        h->leaving = true;
        (void)event_base_loopexit(h->base, &limit); /* a client that does not read is not waited for */
        cfg_http_leave_if_done(h);
    }
}

static void *run_on_loop(void *arg)
{
    struct cfg_http *h = arg;
    (void)event_base_dispatch(h->base);
    return NULL;
}

static void signal_loop(struct cfg_http *h)
{
    const uint64_t one = 1;
    /* A full counter wakes as well. */
    if (write(h->wake_fd, &one, sizeof one) < 0) {
        errno = 0;
    }
}

/* --- the stepper's side --- */

void cfg_http_settings(struct cfg_http *h, struct cfg_settings *s)
{
    (void)pthread_mutex_lock(&h->lock);
    struct cfg_settings *old = h->settings;
    h->settings = cfg_settings_ref(s);
    (void)pthread_mutex_unlock(&h->lock);
    cfg_settings_unref(old);
}

struct cfg_settings *cfg_http_settings_now(struct cfg_http *h)
{
    (void)pthread_mutex_lock(&h->lock);
    struct cfg_settings *s = cfg_settings_ref(h->settings);
    (void)pthread_mutex_unlock(&h->lock);
    return s;
}

struct cfg_seq *cfg_http_take(struct cfg_http *h, bool *left)
{
    *left = atomic_load_explicit(&h->left, memory_order_relaxed) &&
            atomic_exchange_explicit(&h->left, false, memory_order_acquire);
    if (!atomic_load_explicit(&h->any, memory_order_acquire)) {
        return NULL;
    }
    (void)pthread_mutex_lock(&h->lock);
    struct cfg_seq *in = h->in;
    h->in = NULL;
    h->in_tail = &h->in;
    atomic_store_explicit(&h->any, false, memory_order_relaxed);
    (void)pthread_mutex_unlock(&h->lock);
    return in;
}

void cfg_http_send(struct cfg_http *h, struct cfg_pieces *p)
{
    if (p == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&h->lock);
    *h->out_tail = p;
    h->out_tail = &p->next;
    (void)pthread_mutex_unlock(&h->lock);
    signal_loop(h);
}

void cfg_http_publish(struct cfg_http *h, const struct cfg_http_figures *f)
{
    (void)pthread_mutex_lock(&h->lock);
    h->figures = *f;
    (void)pthread_mutex_unlock(&h->lock);
}

/* --- life --- */

static int split_address(struct cfg_http *h, const char *listen, struct cfg_error *err)
{
    const char *colon = strrchr(listen, ':');
    char *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    if (colon == NULL || colon[1] == '\0' || *end != '\0' || port > 65535 ||
        (size_t)(colon - listen) >= sizeof h->host) {
        return cfg_fail(err, CFG_E_INVALID, "--listen %s: expected HOST:PORT", listen);
    }
    memcpy(h->host, listen, (size_t)(colon - listen));
    h->port = (unsigned)port;
    return 0;
}

static unsigned bound_port(struct evhttp_bound_socket *socket, unsigned asked)
{
    struct sockaddr_storage a;
    ev_socklen_t n = sizeof a;
    if (getsockname(evhttp_bound_socket_get_fd(socket), (struct sockaddr *)&a, &n) != 0) {
        return asked;
    }
    if (a.ss_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, &a, sizeof six);
        return ntohs(six.sin6_port);
    }
    struct sockaddr_in four;
    memcpy(&four, &a, sizeof four);
    return ntohs(four.sin_port);
}

static void accept_again_on_loop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)evconnlistener_enable(arg); /* fails only if it was freed, and then this is not called */
}

/* No descriptor left, say: the loop would spin on the readable listener. */
static void accept_failed_on_loop(struct evconnlistener *listener, void *arg)
{
    const struct timeval soon = {0, ACCEPT_AGAIN_US};
    (void)arg; /* evhttp's */
    (void)evconnlistener_disable(listener);
    if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, accept_again_on_loop, listener, &soon) !=
        0) {
        (void)evconnlistener_enable(listener); /* better to spin than to be deaf */
    }
}

static int open_server(struct cfg_http *h, struct cfg_error *err)
{
    h->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    h->base = event_base_new();
    h->evhttp = h->base != NULL ? evhttp_new(h->base) : NULL;
    h->wake = h->evhttp != NULL && h->wake_fd >= 0
                  ? event_new(h->base, h->wake_fd, EV_READ | EV_PERSIST, woken_on_loop, h)
                  : NULL;
    if (h->wake == NULL || event_add(h->wake, NULL) != 0) {
        return cfg_fail(err, CFG_E_IO, "no event loop for HTTP");
    }
    evhttp_set_max_body_size(h->evhttp, 2 * CFG_HTTP_BODY_MAX); /* up to there the refusal is ours */
    evhttp_set_max_headers_size(h->evhttp, HEADERS_MAX);
    evhttp_set_timeout(h->evhttp, IO_TIMEOUT_S);
    evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                              EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
    evhttp_set_gencb(h->evhttp, request_on_loop, h);
    struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(h->evhttp, h->host, (uint16_t)h->port);
    if (s == NULL) {
        return cfg_fail(err, CFG_E_IO, "cannot listen on %s:%u: %s", h->host, h->port, strerrordesc_np(errno));
    }
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(s), accept_failed_on_loop);
    h->port = bound_port(s, h->port);
    return 0;
}

int cfg_http_open(struct cfg_http **out, const struct cfg_http_options *o, struct cfg_worker *w, struct cfg_error *err)
{
    struct cfg_http *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    h->o = *o;
    h->w = w;
    h->wake_fd = -1;
    h->in_tail = &h->in;
    h->out_tail = &h->out;
    (void)pthread_mutex_init(&h->lock, NULL);
    uint64_t random[2] = {0};
    int rc = getrandom(random, sizeof random, 0) == (ssize_t)sizeof random
                 ? 0
                 : cfg_fail(err, CFG_E_IO, "no random numbers: %s", strerrordesc_np(errno));
    h->next_seed = random[0];
    h->boot_id = random[1];
    rc = rc != 0 ? rc : split_address(h, o->listen, err);
    rc = rc != 0 ? rc : open_server(h, err);
    if (rc != 0) {
        cfg_http_stop(h);
        return rc;
    }
    *out = h;
    return 0;
}

int cfg_http_run(struct cfg_http *h, struct cfg_error *err)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the stepper's */
    int n = pthread_create(&h->thread, NULL, run_on_loop, h);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (n != 0) {
        return cfg_fail(err, CFG_E_IO, "no thread for HTTP: %s", strerrordesc_np(n));
    }
    h->has_thread = true;
    return 0;
}

unsigned cfg_http_port(const struct cfg_http *h)
{
    return h->port;
}

const char *cfg_http_host(const struct cfg_http *h)
{
    return h->host;
}

void cfg_http_close(struct cfg_http *h)
{
    (void)pthread_mutex_lock(&h->lock);
    h->closing = true;
    (void)pthread_mutex_unlock(&h->lock);
}

static void free_pieces(struct cfg_pieces *p)
{
    while (p != NULL) {
        struct cfg_pieces *next = p->next;
        for (size_t i = 0; i < p->n; i++) {
            if (p->of[i].finish != CFG_GOES_ON) {
                cfg_seq_free(p->of[i].seq);
            }
        }
        free(p);
        p = next;
    }
}

void cfg_http_stop(struct cfg_http *h)
{
    if (h == NULL) {
        return;
    }
    if (h->has_thread) {
        (void)pthread_mutex_lock(&h->lock);
        h->closing = h->stopping = true;
        (void)pthread_mutex_unlock(&h->lock);
        signal_loop(h);
        (void)pthread_join(h->thread, NULL);
    }
    while (h->jobs != NULL) { /* their close callbacks would touch sequences that are not theirs any more */
        struct cfg_job *j = h->jobs;
        if (j->req != NULL) {
            evhttp_connection_set_closecb(evhttp_request_get_connection(j->req), NULL, NULL);
        }
        cfg_job_free(j);
    }
    free_pieces(h->out);
    cfg_seq_free_list(h->in);
    if (h->evhttp != NULL) {
        evhttp_free(h->evhttp);
    }
    if (h->wake != NULL) {
        event_free(h->wake);
    }
    if (h->base != NULL) {
        event_base_free(h->base);
    }
    if (h->wake_fd >= 0) {
        (void)close(h->wake_fd);
    }
    cfg_settings_unref(h->settings);
    (void)pthread_mutex_destroy(&h->lock);
    free(h);
}
