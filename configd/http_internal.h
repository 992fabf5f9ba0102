/* What the files of the HTTP edge share; nobody else includes it. */
#ifndef CFG_CONFIGD_HTTP_INTERNAL_H
#define CFG_CONFIGD_HTTP_INTERNAL_H

#include "configd/http_route.h"
#include "configd/http_server.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <time.h>

struct cfg_http {
    struct cfg_http_options o;
    struct evhttp *evhttp;
    struct cfg_conns *conns;
    SSL_CTX *tls;
    struct cfg_tokens *tokens;
    struct cfg_listen listen;
    struct cfg_hosts hosts;
    char **allowed, *advertised; /* owned copies hosts points to */
    char url[320];
    struct cfg_http_route_stats *stats; /* n_routes + 1 */
    struct cfg_call *calls;             /* not answered yet */
    time_t date_s;                      /* what `date` says */
    char date[40];                      /* "Sun, 22 Nov 2026 17:39:53 GMT" */
};

/* What every reply carries, gathered as one header of several lines: evhttp allocates, checks and prints each header of
 * its own with seven calls, which is half of what a small reply costs. */
struct cfg_reply_head {
    size_t len;
    char lines[1024];
};

struct cfg_call {
    struct cfg_http *http;
    struct evhttp_request *req;
    struct cfg_match match;
    struct evkeyvalq query;
    struct cfg_principal principal;
    struct cfg_tokens *tokens; /* keeps the principal's strings */
    const char *method;
    unsigned body_kind;
    bool head, chunked;
    uint64_t start_ns;
    struct cfg_reply_head *head_lines; /* while the common headers are being gathered */
    struct cfg_call *prev, *next;
};

/* Called by evhttp for every request it could read (http_call.c). */
void cfg_http_dispatch(struct evhttp_request *req, void *http);
/* Fills the call's match, query, principal and body kind (http_admit.c). Errors are the answer; success with a NULL
 * route is OPTIONS. */
CFG_MUST_CHECK int cfg_http_let_in(struct cfg_call *c, const struct evhttp_uri *uri, struct cfg_error *err);
void cfg_http_drop_calls(struct cfg_http *h); /* that nobody will answer any more */
/* A context for a certificate chain and its key in PEM; returned-owned. CFG_E_IO (http_tls.c). */
int64_t cfg_tls_expiry(const SSL_CTX *ctx); /* of its certificate: seconds since 1970; 0: not known */
CFG_MUST_CHECK int cfg_tls_context(SSL_CTX **out, const char *cert, const char *key, struct cfg_error *err);

#endif
