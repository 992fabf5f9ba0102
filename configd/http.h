/* The HTTP edge: evhttp parses, a router picks the handler, handlers speak to the service. One thread.
 *
 * A handler answers once, now or in a later turn, through its cfg_call, whose life ends with the answer; a client that
 * has gone away meanwhile is the edge's business alone. Streams take the socket over (stream_http.c), so that an idle
 * one costs no HTTP state. */
#ifndef CFG_CONFIGD_HTTP_H
#define CFG_CONFIGD_HTTP_H

#include "configd/fleet.h"

enum cfg_role { CFG_ROLE_NONE, CFG_ROLE_WORKER, CFG_ROLE_READER, CFG_ROLE_WRITER, CFG_ROLE_ADMIN };

/* Who asks, as far as it was proven. */
struct cfg_principal {
    enum cfg_role role;
    char subject[256];                   /* the author of what is written */
    char deployment[CFG_LIMIT_NAME + 1]; /* WORKER: the only one it may touch */
    const char *const *namespaces;       /* READER, WRITER: glob patterns; borrowed from the token table */
    size_t n_namespaces;
};

struct evhttp_request;
struct cfg_http;
struct cfg_call;
struct cfg_route;

/* What a handler may look at; borrowed until it answers. */
const struct cfg_route *cfg_call_route(const struct cfg_call *c);
const char *cfg_call_method(const struct cfg_call *c); /* "GET" for HEAD too */
const char *cfg_call_param(const struct cfg_call *c,
                           const char *name); /* a {name} of the route, decoded; "" never, NULL when absent */
const char *cfg_call_query(const struct cfg_call *c, const char *name); /* decoded; NULL when absent */
/* Every value of a repeatable parameter, at most max; returns how many there are. Decoded, borrowed. */
size_t cfg_call_query_all(const struct cfg_call *c, const char *name, const char **out, size_t max);
/* The first parameter whose name is not in known, which ends with NULL; NULL when there is none. Borrowed. */
const char *cfg_call_query_other(const struct cfg_call *c, const char *const *known);
const char *cfg_call_header(const struct cfg_call *c, const char *name);
struct cfg_slice cfg_call_body(const struct cfg_call *c);
/* "https" or "http": how the client reaches us, as far as the connection or a proxy in front of it (X-Forwarded-Proto)
 * says. For URLs of ours in replies, together with the Host header; for no decision. */
const char *cfg_call_scheme(const struct cfg_call *c);
struct cfg_app;
struct cfg_app *cfg_call_app(const struct cfg_call *c); /* so that a call alone can be a callback's argument */
const struct cfg_principal *cfg_call_principal(const struct cfg_call *c);
unsigned cfg_call_body_kind(const struct cfg_call *c); /* the enum cfg_body bit of its content type; 0 without body */
/* Body as JSON, once; CFG_E_JSON with position. *out is returned-owned. */
CFG_MUST_CHECK int cfg_call_json(const struct cfg_call *c, cJSON **out, struct cfg_error *err);

/* Answers; the call is gone afterwards. body is consumed; NULL for none. */
void cfg_call_reply(struct cfg_call *c, int status, cJSON *body);
void cfg_call_reply_bytes(struct cfg_call *c, int status, const char *content_type, struct cfg_slice body);
void cfg_call_fail(struct cfg_call *c, const struct cfg_error *err, cJSON *extra); /* extra consumed */
/* Calls the handler once more, for one that had to wait for something. */
void cfg_call_again(struct cfg_call *c);
/* An answer in pieces: begin, chunks, end. err in end: before the first chunk it is the answer; later the connection is
 * cut, so that nobody takes half an answer for a whole one. The call is gone after end. */
void cfg_call_chunk_begin(struct cfg_call *c, const char *content_type);
void cfg_call_chunk(struct cfg_call *c, struct cfg_slice bytes);
void cfg_call_chunk_end(struct cfg_call *c, const struct cfg_error *err);
void cfg_call_set_header(struct cfg_call *c, const char *name, const char *value); /* before the answer; copied */

/* A connection that was taken out of evhttp's hands, for an event stream. Plain HTTP: `fd` (non-blocking, TCP_NODELAY)
 * and no HTTP state is left. TLS: `bev` keeps the session, fd is −1; set its callbacks and enable what is needed. */
struct bufferevent;
struct evhttp_connection;
struct cfg_taken {
    int fd;
    struct bufferevent *bev;         /* borrowed from owner */
    struct evhttp_connection *owner; /* NULL for plain HTTP */
};
/* Appends the head of an event stream's reply: 200, text/event-stream, the revision and store headers, what was set
 * with cfg_call_set_header. The taker sends it first. */
void cfg_call_stream_head(struct cfg_call *c, struct cfg_buf *out);
/* Hands the socket over; the call is gone afterwards, answered as far as the edge is concerned. False when the client
 * has gone away meanwhile: nothing was taken. */
CFG_MUST_CHECK bool cfg_call_take_socket(struct cfg_call *c, struct cfg_taken *out);
/* Closes it (what a bufferevent still has queued is lost); idempotent. Not from inside a callback of the bufferevent:
 * defer it to the end of the turn. */
void cfg_taken_close(struct cfg_taken *t);

/* The table of routes: method, pattern ("/v1/config/{ns}"), who may call it, what bodies it takes, handler. A GET
 * serves HEAD too. Patterns with a literal segment win over those with a parameter at the same place. */
struct cfg_app; /* what handlers work on: service, hub, fleet, … (app.h) */
typedef void (*cfg_handler)(struct cfg_app *app, struct cfg_call *c);
enum cfg_body { /* bits */
                CFG_BODY_NONE = 0,
                CFG_BODY_JSON = 1,
                CFG_BODY_MERGE_PATCH = 2,
                CFG_BODY_JSON_PATCH = 4,
                CFG_BODY_NDJSON = 8
};
struct cfg_route {
    const char *method, *pattern;
    enum cfg_role role; /* the least that may call it; namespace and deployment rules are checked on top */
    bool worker;        /* a worker token may call it too, for its own {d} */
    unsigned body;      /* enum cfg_body bits; others get 415 */
    cfg_handler handler;
};

#endif
