/* The HTTP thread. See http.h. Everything named *_on_loop runs on it; the rest says whose it is. */
#include "worker/cfg-infer/http.h"
#include "proto/json.h"
#include "proto/problem.h"
#include "worker/cfg-infer/answer.h"
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BODY_MAX = 64 * 1024, HEADERS_MAX = 16 * 1024, WAITING_MAX = 1024, IO_TIMEOUT_S = 30, FLUSH_MS = 1000 };

/* One request under way: owned by the loop; the sequence points here until it is answered. */
struct job {
    struct evhttp_request *req; /* NULL once the client has gone */
};

struct cfg_http {
    struct event_base *base;
    struct evhttp *http;
    struct event *wake;
    int wake_fd;
    char host[64];
    unsigned port;
    struct cfg_worker *w;
    pthread_t thread;
    bool has_thread;
    uint64_t next_seed;
    unsigned flushing; /* answers whose bytes are on their way; the loop's */
    bool leaving;      /* the loop ends with the last of them; the loop's */
    _Atomic(bool) any; /* requests lie in `in` */
    pthread_mutex_t lock;
    struct cfg_seq *in, **in_tail;     /* under the lock */
    struct cfg_seq *done, **done_tail; /* under the lock */
    unsigned open;                     /* under the lock: taken or waiting, not answered */
    bool stopping;                     /* under the lock */
    struct cfg_http_figures figures;   /* under the lock */
};

static void reply(struct evhttp_request *req, int status, const char *type, const struct cfg_buf *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    (void)evhttp_add_header(headers, "Content-Type", type);
    if (cfg_buf_status(body) == 0 && evbuffer_add(out, body->data, body->len) == 0) {
        evhttp_send_reply(req, status, NULL, NULL);
    } else {
        evhttp_send_reply(req, 500, NULL, NULL);
    }
}

static void reply_problem(struct evhttp_request *req, const struct cfg_error *err)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 8192);
    cfg_problem_print(&b, err, NULL);
    reply(req, cfg_code_http(err->code), "application/problem+json", &b);
    cfg_buf_finish(&b);
}

/* --- POST /generate --- */

static int read_limit(unsigned *out, const cJSON *body, const char *key, unsigned max, struct cfg_error *err)
{
    uint64_t n = 0;
    if (cfg_json_get(body, key) == NULL) {
        *out = 0;
        return 0;
    }
    int rc = cfg_json_need_u64(body, key, &n, err);
    if (rc == 0 && (n < 1 || n > max)) {
        rc = cfg_fail(err, CFG_E_VALUE, "%s: %llu lies outside of 1 to %u", key, (unsigned long long)n, max);
    }
    if (rc == 0) {
        *out = (unsigned)n;
    }
    return rc;
}

static int read_request(struct cfg_seq **out, struct cfg_http *h, const cJSON *body, struct cfg_error *err)
{
    const cJSON *prompt = cfg_json_get(body, "prompt");
    unsigned max_tokens = 0;
    uint64_t seed = h->next_seed++;
    if (!cJSON_IsString(prompt)) {
        return cfg_fail(err, CFG_E_VALUE, "the body needs a string \"prompt\"");
    }
    size_t len = strlen(prompt->valuestring);
    if (len > CFG_PROMPT_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "the prompt has %zu bytes, more than %d", len, CFG_PROMPT_MAX);
    }
    int rc = read_limit(&max_tokens, body, "max_tokens", CFG_TOKENS_MAX, err);
    if (rc == 0 && cfg_json_get(body, "seed") != NULL) {
        rc = cfg_json_need_u64(body, "seed", &seed, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct cfg_infer_request *request = NULL;
    rc = cfg_infer_request_new(&request, body, err);
    if (rc != 0) {
        return rc;
    }
    struct job *j = calloc(1, sizeof *j);
    struct cfg_seq *s = j != NULL ? cfg_seq_new(prompt->valuestring, len, max_tokens, seed, j) : NULL;
    if (s == NULL) {
        free(j);
        cfg_infer_request_free(request);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    s->request = request;
    *out = s;
    return 0;
}

static void client_gone_on_loop(struct evhttp_connection *c, void *arg)
{
    struct job *j = arg;
    (void)c;
    j->req = NULL; /* evhttp frees it */
}

static int submit(struct cfg_http *h, struct cfg_seq *s, struct cfg_error *err)
{
    (void)pthread_mutex_lock(&h->lock);
    bool room = h->open < WAITING_MAX && !h->stopping;
    if (room) {
        h->open++;
        *h->in_tail = s;
        h->in_tail = &s->next;
        atomic_store_explicit(&h->any, true, memory_order_release);
    }
    (void)pthread_mutex_unlock(&h->lock);
    if (!room) {
        return cfg_fail(err, CFG_E_RATE, "%d requests are waiting already", WAITING_MAX);
    }
    cfg_worker_wake(h->w);
    return 0;
}

static void generate_on_loop(struct evhttp_request *req, void *arg)
{
    struct cfg_http *h = arg;
    struct cfg_error err = CFG_ERROR_INIT;
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    const char *text = len > 0 ? (const char *)evbuffer_pullup(in, -1) : "";
    cJSON *body = NULL;
    struct cfg_seq *s = NULL;
    int rc = cfg_json_parse(&body, (struct cfg_slice){text, len}, 0, &err);
    rc = rc != 0 ? rc : read_request(&s, h, body, &err);
    cJSON_Delete(body);
    if (rc == 0) {
        struct job *j = s->owner;
        j->req = req;
        evhttp_connection_set_closecb(evhttp_request_get_connection(req), client_gone_on_loop, j);
        rc = submit(h, s, &err);
        if (rc != 0) {
            evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
            free(j);
            cfg_seq_free_list(s);
        }
    }
    if (rc != 0) {
        reply_problem(req, &err);
    }
}

static void leave_if_done(struct cfg_http *h)
{
    if (h->leaving && h->flushing == 0) {
        (void)event_base_loopbreak(h->base);
    }
}

static void flushed_on_loop(struct evhttp_request *req, void *arg)
{
    struct cfg_http *h = arg;
    (void)req;
    h->flushing--;
    leave_if_done(h);
}

static void answer_on_loop(struct cfg_http *h, struct cfg_seq *s)
{
    struct job *j = s->owner;
    if (j->req != NULL) {
        struct cfg_buf b;
        cfg_buf_init(&b, 1 << 20);
        cfg_infer_answer_print(&b, s);
        cfg_infer_answer_headers(evhttp_request_get_output_headers(j->req), s);
        evhttp_connection_set_closecb(evhttp_request_get_connection(j->req), NULL, NULL);
        h->flushing++;
        evhttp_request_set_on_complete_cb(j->req, flushed_on_loop, h);
        reply(j->req, 200, "application/json", &b);
        cfg_buf_finish(&b);
    }
    free(j);
    s->next = NULL;
    cfg_seq_free_list(s);
}

/* --- GET /status --- */

static void put_text(struct cfg_buf *b, const char *name, const char *text)
{
    cfg_buf_printf(b, "\"%s\":", name);
    cfg_json_put_string(b, cfg_slice_str(text));
    cfg_buf_putc(b, ',');
}

static void status_on_loop(struct evhttp_request *req, void *arg)
{
    struct cfg_http *h = arg;
    struct cfg_worker_status s;
    struct cfg_buf b;
    cfg_worker_status(h->w, &s);
    (void)pthread_mutex_lock(&h->lock);
    const struct cfg_http_figures f = h->figures;
    (void)pthread_mutex_unlock(&h->lock);
    cfg_buf_init(&b, 16384);
    cfg_buf_putc(&b, '{');
    put_text(&b, "state", s.state);
    put_text(&b, "revision", s.revision);
    put_text(&b, "digest", s.digest);
    put_text(&b, "newest", s.newest);
    put_text(&b, "last_reject", s.last_reject);
    cfg_buf_printf(&b, "\"age_ms\":%llu,\"changes\":%llu,\"rejects\":%llu,\"step\":%llu,\"running\":%u,\"waiting\":%u,",
                   (unsigned long long)s.age_ms, (unsigned long long)s.changes, (unsigned long long)s.rejects,
                   (unsigned long long)f.step, f.running, f.waiting);
    cfg_buf_printf(&b, "\"batch_size\":%u,\"draining\":%s,\"temperature\":", f.batch_size,
                   f.running > f.batch_size ? "true" : "false");
    cfg_json_put_number(&b, f.temperature);
    cfg_buf_printf(&b, ",\"tokens\":%llu,\"finished\":%llu,\"tokens_per_s\":%.0f}\n", (unsigned long long)f.tokens,
                   (unsigned long long)f.finished, f.tokens_per_s);
    reply(req, 200, "application/json", &b);
    cfg_buf_finish(&b);
}

static void other_on_loop(struct evhttp_request *req, void *arg)
{
    struct cfg_error err = CFG_ERROR_INIT;
    (void)arg;
    (void)cfg_fail(&err, CFG_E_NOT_FOUND, "there is POST /generate and GET /status");
    reply_problem(req, &err);
}

/* evhttp routes by path; the method is ours to check. */
static void generate_route_on_loop(struct evhttp_request *req, void *arg)
{
    if (evhttp_request_get_command(req) == EVHTTP_REQ_POST) {
        generate_on_loop(req, arg);
    } else {
        struct cfg_error err = CFG_ERROR_INIT;
        (void)cfg_fail(&err, CFG_E_METHOD, "/generate takes POST");
        reply_problem(req, &err);
    }
}

/* --- the loop --- */

static void woken_on_loop(evutil_socket_t fd, short what, void *arg)
{
    struct cfg_http *h = arg;
    uint64_t n;
    (void)what;
    while (read(fd, &n, sizeof n) > 0) {
    }
    (void)pthread_mutex_lock(&h->lock);
    struct cfg_seq *done = h->done;
    h->done = NULL;
    h->done_tail = &h->done;
    bool stopping = h->stopping;
    for (const struct cfg_seq *s = done; s != NULL; s = s->next) {
        h->open--;
    }
    (void)pthread_mutex_unlock(&h->lock);
    while (done != NULL) {
        struct cfg_seq *next = done->next;
        answer_on_loop(h, done);
        done = next;
    }
    if (stopping && !h->leaving) {
        const struct timeval limit = {FLUSH_MS / 1000, 0};
        h->leaving = true;
        (void)event_base_loopexit(h->base, &limit); /* a client that does not read is not waited for */
        leave_if_done(h);
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

struct cfg_seq *cfg_http_take(struct cfg_http *h)
{
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

void cfg_http_answer(struct cfg_http *h, struct cfg_seq *done)
{
    if (done == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&h->lock);
    *h->done_tail = done;
    while (*h->done_tail != NULL) {
        h->done_tail = &(*h->done_tail)->next;
    }
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

static int open_server(struct cfg_http *h, struct cfg_error *err)
{
    h->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    h->base = event_base_new();
    h->http = h->base != NULL ? evhttp_new(h->base) : NULL;
    h->wake = h->http != NULL && h->wake_fd >= 0
                  ? event_new(h->base, h->wake_fd, EV_READ | EV_PERSIST, woken_on_loop, h)
                  : NULL;
    if (h->wake == NULL || event_add(h->wake, NULL) != 0) {
        return cfg_fail(err, CFG_E_IO, "no event loop for HTTP");
    }
    evhttp_set_max_body_size(h->http, BODY_MAX);
    evhttp_set_max_headers_size(h->http, HEADERS_MAX);
    evhttp_set_timeout(h->http, IO_TIMEOUT_S);
    evhttp_set_gencb(h->http, other_on_loop, h);
    (void)evhttp_set_cb(h->http, "/generate", generate_route_on_loop, h);
    (void)evhttp_set_cb(h->http, "/status", status_on_loop, h);
    struct evhttp_bound_socket *s = evhttp_bind_socket_with_handle(h->http, h->host, (uint16_t)h->port);
    if (s == NULL) {
        return cfg_fail(err, CFG_E_IO, "cannot listen on %s:%u: %s", h->host, h->port, strerrordesc_np(errno));
    }
    h->port = bound_port(s, h->port);
    return 0;
}

static int start_thread(struct cfg_http *h, struct cfg_error *err)
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

int cfg_http_start(struct cfg_http **out, const char *listen, struct cfg_worker *w, struct cfg_error *err)
{
    struct cfg_http *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    h->w = w;
    h->wake_fd = -1;
    h->in_tail = &h->in;
    h->done_tail = &h->done;
    h->next_seed = 1;
    (void)pthread_mutex_init(&h->lock, NULL);
    int rc = split_address(h, listen, err);
    rc = rc != 0 ? rc : open_server(h, err);
    rc = rc != 0 ? rc : start_thread(h, err);
    if (rc != 0) {
        cfg_http_stop(h);
        return rc;
    }
    *out = h;
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

static void free_jobs(struct cfg_seq *s)
{
    for (struct cfg_seq *at = s; at != NULL; at = at->next) {
        free(at->owner);
    }
    cfg_seq_free_list(s);
}

void cfg_http_stop(struct cfg_http *h)
{
    if (h == NULL) {
        return;
    }
    if (h->has_thread) {
        (void)pthread_mutex_lock(&h->lock);
        h->stopping = true;
        (void)pthread_mutex_unlock(&h->lock);
        signal_loop(h);
        (void)pthread_join(h->thread, NULL);
    }
    if (h->http != NULL) {
        evhttp_free(h->http); /* open requests end; their close callbacks still find their jobs */
    }
    free_jobs(h->in);
    free_jobs(h->done);
    if (h->wake != NULL) {
        event_free(h->wake);
    }
    if (h->base != NULL) {
        event_base_free(h->base);
    }
    if (h->wake_fd >= 0) {
        (void)close(h->wake_fd);
    }
    (void)pthread_mutex_destroy(&h->lock);
    free(h);
}
