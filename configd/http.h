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

/* What a handler may look at; borrowed until it answers. */
const char *cfg_call_param(const struct cfg_call *c,
                           const char *name); /* a {name} of the route, decoded; "" never, NULL when absent */
const char *cfg_call_query(const struct cfg_call *c, const char *name); /* decoded; NULL when absent */
const char *cfg_call_header(const struct cfg_call *c, const char *name);
struct cfg_slice cfg_call_body(const struct cfg_call *c);
const struct cfg_principal *cfg_call_principal(const struct cfg_call *c);
/* Body as JSON, once; CFG_E_JSON with position. *out is returned-owned. */
CFG_MUST_CHECK int cfg_call_json(const struct cfg_call *c, cJSON **out, struct cfg_error *err);

/* Answers; the call is gone afterwards. body is consumed; NULL for none. */
void cfg_call_reply(struct cfg_call *c, int status, cJSON *body);
void cfg_call_reply_bytes(struct cfg_call *c, int status, const char *content_type, struct cfg_slice body);
void cfg_call_fail(struct cfg_call *c, const struct cfg_error *err, cJSON *extra); /* extra consumed */
void cfg_call_set_header(struct cfg_call *c, const char *name, const char *value); /* before the answer; copied */
/* Hands the socket over: the response head for an event stream is the taker's to write; evhttp forgets the connection.
 * For TLS the stream keeps the bufferevent instead. The call is gone afterwards. Exactly one of fd and bev is valid. */
struct bufferevent;
void cfg_call_take_socket(struct cfg_call *c, int *fd, struct bufferevent **bev);

/* The table of routes: method, pattern ("/v1/config/{ns}"), the role it needs, handler. */
struct cfg_app; /* what handlers work on: service, hub, fleet, … (app.h) */
typedef void (*cfg_handler)(struct cfg_app *app, struct cfg_call *c);
struct cfg_route {
    const char *method, *pattern;
    enum cfg_role role; /* the least that may call it; namespace and deployment rules are checked on top */
    cfg_handler handler;
};

#endif
