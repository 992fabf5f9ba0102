/* One request as handlers see it: let in or refused (http_admit.c), answered once, counted. */
#include "configd/http_internal.h"

#include "proto/limits.h"
#include "proto/problem.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>

enum { MAX_REPLY = 1 << 30, AT_ONCE = 32 * 1024 };

/* --- looking --- */

const struct cfg_route *cfg_call_route(const struct cfg_call *c)
{
    return c->match.route;
}

const char *cfg_call_method(const struct cfg_call *c)
{
    return c->head ? "GET" : c->method;
}

const char *cfg_call_param(const struct cfg_call *c, const char *name)
{
    return cfg_match_param(&c->match, name);
}

const char *cfg_call_query(const struct cfg_call *c, const char *name)
{
    for (const struct evkeyval *kv = TAILQ_FIRST(&c->query); kv; kv = TAILQ_NEXT(kv, next))
        if (strcmp(kv->key, name) == 0)
            return kv->value;
    return NULL;
}

size_t cfg_call_query_all(const struct cfg_call *c, const char *name, const char **out, size_t max)
{
    size_t n = 0;
    for (const struct evkeyval *kv = TAILQ_FIRST(&c->query); kv; kv = TAILQ_NEXT(kv, next)) {
        if (strcmp(kv->key, name) != 0)
            continue;
        if (n < max)
            out[n] = kv->value;
        n++;
    }
    return n;
}

const char *cfg_call_query_other(const struct cfg_call *c, const char *const *known)
{
    for (const struct evkeyval *kv = TAILQ_FIRST(&c->query); kv; kv = TAILQ_NEXT(kv, next)) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], kv->key) != 0)
            i++;
        if (known[i] == NULL)
            return kv->key;
    }
    return NULL;
}

const char *cfg_call_header(const struct cfg_call *c, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(c->req), name);
}

const char *cfg_call_scheme(const struct cfg_call *c)
{
    const char *forwarded = cfg_call_header(c, "X-Forwarded-Proto");
    return c->http->tls || (forwarded && strcasecmp(forwarded, "https") == 0) ? "https" : "http";
}

struct cfg_slice cfg_call_body(const struct cfg_call *c)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(c->req);
    size_t n = evbuffer_get_length(input);
    const unsigned char *bytes = n ? evbuffer_pullup(input, -1) : NULL;
    return bytes ? (struct cfg_slice){(const char *)bytes, n} : (struct cfg_slice){"", 0};
}

struct cfg_app *cfg_call_app(const struct cfg_call *c)
{
    return c->http->o.app;
}

const struct cfg_principal *cfg_call_principal(const struct cfg_call *c)
{
    return &c->principal;
}

unsigned cfg_call_body_kind(const struct cfg_call *c)
{
    return c->body_kind;
}

int cfg_call_json(const struct cfg_call *c, cJSON **out, struct cfg_error *err)
{
    struct cfg_slice body = cfg_call_body(c);
    if (body.len == 0)
        return cfg_fail(err, CFG_E_JSON, "this request needs a JSON body");
    /* A document as deep as one may be lies in an entry of a change; what becomes of it has its own limit. */
    return cfg_json_parse(out, body, CFG_LIMIT_DEPTH + 8, err);
}

/* --- answering --- */

static void link_call(struct cfg_call *c)
{
    c->next = c->http->calls;
    if (c->next)
        c->next->prev = c;
    c->http->calls = c;
}

static void free_call(struct cfg_call *c)
{
    *(c->prev ? &c->prev->next : &c->http->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    cfg_match_finish(&c->match);
    evhttp_clear_headers(&c->query);
    (void)cfg_tokens_unref(c->tokens);
    free(c);
}

static void count(struct cfg_call *c, int status)
{
    struct cfg_http *h = c->http;
    size_t i = c->match.route ? (size_t)(c->match.route - h->o.routes) : h->o.n_routes;
    struct cfg_http_route_stats *s = &h->stats[i];
    uint64_t took = h->o.clock->monotonic_ns(h->o.clock->arg) - c->start_ns;
    for (size_t k = 0; k < sizeof s->codes / sizeof s->codes[0]; k++) {
        if (s->codes[k].status != 0 && s->codes[k].status != status)
            continue;
        s->codes[k].status = status;
        s->codes[k].n++;
        break;
    }
    size_t b = 0;
    while (b < CFG_HTTP_BUCKETS && (double)took / 1e9 > cfg_http_bucket_s[b])
        b++;
    s->buckets[b]++;
    s->sum_ns += took;
}

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {201, "Created"},
                   {204, "No Content"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {409, "Conflict"},
                   {410, "Gone"},
                   {412, "Precondition Failed"},
                   {413, "Content Too Large"},
                   {415, "Unsupported Media Type"},
                   {422, "Unprocessable Content"},
                   {428, "Precondition Required"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {507, "Insufficient Storage"}};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Error";
}

static void gather(struct cfg_reply_head *h, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    if (h->len + n + v + 5 > sizeof h->lines || strpbrk(value, "\r\n"))
        return; /* what could end a header is no value of ours */
    char *at = h->lines + h->len;
    memcpy(at, "\r\n", 2);
    memcpy(at + 2, name, n);
    memcpy(at + 2 + n, ": ", 2);
    memcpy(at + 4 + n, value, v + 1);
    h->len += 4 + n + v;
}

void cfg_call_set_header(struct cfg_call *c, const char *name, const char *value)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(c->req);
    if (c->head_lines) {
        gather(c->head_lines, name, value);
        return;
    }
    (void)evhttp_remove_header(headers, name); /* −1: it was not there */
    (void)evhttp_add_header(headers, name, value);
}

static const char *date_now(struct cfg_http *h)
{
    time_t now = (time_t)(h->o.clock->wall_ns(h->o.clock->arg) / 1000000000u);
    if (now != h->date_s || h->date[0] == '\0') {
        struct tm tm;
        (void)gmtime_r(&now, &tm);
        (void)strftime(h->date, sizeof h->date, "%a, %d %b %Y %H:%M:%S GMT", &tm); /* the C locale's names */
        h->date_s = now;
    }
    return h->date;
}

/* Puts a header past evhttp's check of values, which would refuse the line ends; evhttp frees it like its own. */
static bool add_raw_header(struct evkeyvalq *headers, const char *name, const char *value)
{
    struct evkeyval *kv = malloc(sizeof *kv);
    char *key = strdup(name), *copy = strdup(value);
    if (kv == NULL || key == NULL || copy == NULL) {
        free(kv);
        free(key);
        free(copy);
        return false;
    }
    kv->key = key;
    kv->value = copy;
    TAILQ_INSERT_TAIL(headers, kv, next);
    return true;
}

/* Date comes first, because evhttp looks for it and would add its own. content_type may be NULL. */
static void add_common_headers(struct cfg_call *c, const char *content_type)
{
    struct cfg_reply_head h;
    size_t date = strlen(date_now(c->http));
    memcpy(h.lines, c->http->date, date + 1);
    h.len = date;
    c->head_lines = &h;
    cfg_call_set_header(c, "Cache-Control", "no-cache");
    cfg_call_set_header(c, "X-Content-Type-Options", "nosniff");
    if (content_type)
        cfg_call_set_header(c, "Content-Type", content_type);
    if (c->http->o.decorate)
        c->http->o.decorate(c->http->o.app, c);
    c->head_lines = NULL;
    (void)add_raw_header(evhttp_request_get_output_headers(c->req), "Date", h.lines); /* without memory: without them */
}

/* evhttp reads while it writes, to notice who hangs up, and takes a client that has closed its sending half for gone:
 * such a one would lose what does not fit into the socket at once. Reading begins again with the next request. */
static void write_only(struct evhttp_connection *evcon)
{
    if (evcon)
        (void)bufferevent_disable(evhttp_connection_get_bufferevent(evcon), EV_READ);
}

void cfg_call_reply_bytes(struct cfg_call *c, int status, const char *content_type, struct cfg_slice body)
{
    add_common_headers(c, content_type);
    if (c->head) { /* evhttp would send the body all the same */
        char length[24];
        (void)snprintf(length, sizeof length, "%zu", body.len);
        cfg_call_set_header(c, "Content-Length", length);
    } else if (body.len > 0 && evbuffer_add(evhttp_request_get_output_buffer(c->req), body.ptr, body.len) != 0) {
        status = 503;
    }
    count(c, status);
    struct evhttp_connection *evcon = evhttp_request_get_connection(c->req);
    evhttp_send_reply(c->req, status, reason_of(status), NULL);
    if (body.len > AT_ONCE)
        write_only(evcon);
    free_call(c);
}

void cfg_call_reply(struct cfg_call *c, int status, cJSON *body)
{
    struct cfg_buf text;
    cfg_buf_init(&text, MAX_REPLY);
    if (body) {
        cfg_json_print(&text, body);
        cJSON_Delete(body);
    }
    if (cfg_buf_status(&text) != 0) {
        struct cfg_error err;
        (void)cfg_fail(&err, cfg_buf_status(&text), "no memory for the reply");
        cfg_call_fail(c, &err, NULL);
    } else {
        cfg_call_reply_bytes(c, status, body ? "application/json" : NULL, cfg_buf_slice(&text));
    }
    cfg_buf_finish(&text);
}

void cfg_call_fail(struct cfg_call *c, const struct cfg_error *err, cJSON *extra)
{
    struct cfg_buf text;
    cfg_buf_init(&text, MAX_REPLY);
    cfg_problem_print(&text, err, extra);
    cJSON_Delete(extra);
    if (err->code == CFG_E_UNAUTHORIZED)
        cfg_call_set_header(c, "WWW-Authenticate", "Bearer");
    if (err->code == CFG_E_NOT_READY || err->code == CFG_E_UNAVAILABLE || err->code == CFG_E_RATE)
        cfg_call_set_header(c, "Retry-After", "1");
    cfg_call_reply_bytes(c, cfg_code_http(err->code), "application/problem+json", cfg_buf_slice(&text));
    cfg_buf_finish(&text);
}

void cfg_call_again(struct cfg_call *c)
{
    c->match.route->handler(c->http->o.app, c);
}

/* --- answering in pieces --- */

void cfg_call_chunk_begin(struct cfg_call *c, const char *content_type)
{
    cfg_call_set_header(c, "Content-Type", content_type);
}

static void start_chunks(struct cfg_call *c)
{
    if (c->chunked)
        return;
    c->chunked = true;
    add_common_headers(c, NULL);
    evhttp_send_reply_start(c->req, 200, "OK");
}

void cfg_call_chunk(struct cfg_call *c, struct cfg_slice bytes)
{
    struct evbuffer *buf = evbuffer_new();
    start_chunks(c);
    if (buf && evbuffer_add(buf, bytes.ptr, bytes.len) == 0)
        evhttp_send_reply_chunk(c->req, buf);
    write_only(evhttp_request_get_connection(c->req));
    if (buf)
        evbuffer_free(buf);
}

void cfg_call_chunk_end(struct cfg_call *c, const struct cfg_error *err)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(c->req);
    if (err && !c->chunked) {
        cfg_call_fail(c, err, NULL);
        return;
    }
    start_chunks(c);
    count(c, err ? cfg_code_http(err->code) : 200);
    if (err && evcon) {
        evhttp_connection_free(evcon);
    } else {
        /* With nothing left to write, an HTTP/1.0 connection may be gone when this returns. */
        bool rest = evcon && evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(evcon))) > 0;
        evhttp_send_reply_end(c->req);
        if (rest)
            write_only(evcon);
    }
    free_call(c);
}

/* --- taking the socket --- */

void cfg_call_stream_head(struct cfg_call *c, struct cfg_buf *out)
{
    if (c->http->o.decorate)
        c->http->o.decorate(c->http->o.app, c);
    cfg_buf_puts(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                      "X-Accel-Buffering: no\r\nConnection: close\r\n");
    const struct evkeyval *kv = TAILQ_FIRST(evhttp_request_get_output_headers(c->req));
    for (; kv; kv = TAILQ_NEXT(kv, next))
        cfg_buf_printf(out, "%s: %s\r\n", kv->key, kv->value);
    cfg_buf_puts(out, "\r\n");
}

/* evhttp offers no way to give a socket away: freeing the connection shuts down and closes its descriptor. So the
 * socket moves to another descriptor first and a dummy takes the old one's place, which evhttp may then close. */
static int move_descriptor(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (moved < 0)
        return -1;
    int dummy = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (dummy < 0 || dup3(dummy, fd, O_CLOEXEC) < 0) {
        (void)close(moved);
        moved = -1;
    }
    if (dummy >= 0)
        (void)close(dummy);
    return moved;
}

bool cfg_call_take_socket(struct cfg_call *c, struct cfg_taken *out)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(c->req);
    if (evcon == NULL) {
        evhttp_request_free(c->req);
        free_call(c);
        return false;
    }
    if (c->head) { /* a stream has no end whose length could be told */
        cfg_call_reply_bytes(c, 200, "text/event-stream", (struct cfg_slice){"", 0});
        return false;
    }
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
    (void)bufferevent_disable(bev, EV_READ | EV_WRITE); /* its descriptor leaves the poll set, so it may change hands */
    cfg_conns_forget(c->http->conns, c->req);
    count(c, 200);
    *out = (struct cfg_taken){-1, NULL, NULL};
    if (c->http->tls) {
        bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
        (void)bufferevent_set_timeouts(bev, NULL, NULL);
        out->bev = bev;
        out->owner = evcon;
    } else {
        out->fd = move_descriptor(bufferevent_getfd(bev));
        evhttp_connection_free(evcon);
    }
    free_call(c);
    return out->bev || out->fd >= 0;
}

void cfg_taken_close(struct cfg_taken *t)
{
    if (t->fd >= 0)
        (void)close(t->fd);
    if (t->owner)
        evhttp_connection_free(t->owner);
    *t = (struct cfg_taken){-1, NULL, NULL};
}

static const char *method_name(enum evhttp_cmd_type type)
{
    switch (type) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    default:
        return "OPTIONS"; /* evhttp lets no other through */
    }
}

void cfg_http_dispatch(struct evhttp_request *req, void *http)
{
    struct cfg_http *h = http;
    struct cfg_call *c = calloc(1, sizeof *c);
    if (c == NULL) {
        evhttp_send_error(req, 503, NULL);
        return;
    }
    c->http = h;
    c->req = req;
    c->tokens = cfg_tokens_ref(h->tokens);
    c->method = method_name(evhttp_request_get_command(req));
    c->head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    c->start_ns = h->o.clock->monotonic_ns(h->o.clock->arg);
    TAILQ_INIT(&c->query);
    link_call(c);
    cfg_conns_request(h->conns, req);
    struct cfg_error err;
    int rc = cfg_http_let_in(c, evhttp_request_get_evhttp_uri(req), &err);
    if (c->match.allow[0] && (rc == CFG_E_METHOD || (rc == 0 && c->match.route == NULL)))
        cfg_call_set_header(c, "Allow", c->match.allow);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else if (c->match.route == NULL)
        cfg_call_reply(c, 204, NULL);
    else
        c->match.route->handler(h->o.app, c);
}

void cfg_http_drop_calls(struct cfg_http *h)
{
    while (h->calls)
        free_call(h->calls);
}
