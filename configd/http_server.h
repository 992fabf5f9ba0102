/* The listener of the HTTP edge, and what it needs to know. See http.h for how handlers see it. One thread. */
#ifndef CFG_CONFIGD_HTTP_SERVER_H
#define CFG_CONFIGD_HTTP_SERVER_H

#include "configd/http_auth.h"
#include "configd/http_check.h"
#include "configd/http_conn.h"

struct cfg_http_options {
    struct cfg_loop *loop;         /* borrowed, as everything here, and outlives the server */
    const struct cfg_clock *clock; /* NULL: system */
    struct cfg_app *app;           /* handed to handlers */
    const struct cfg_route *routes;
    size_t n_routes;
    const char *listen;              /* "127.0.0.1:7117" */
    const char *tls_cert, *tls_key;  /* PEM files; NULL: plain HTTP */
    const char *tokens_file;         /* NULL: anonymous, loopback only */
    const char *const *allowed_host; /* copied */
    size_t n_allowed_host;
    const char *advertise; /* URL or NULL; copied */
    struct cfg_conn_limits limits;
    /* Headers every reply carries; calls cfg_call_set_header. */
    void (*decorate)(struct cfg_app *app, struct cfg_call *c);
    /* The config namespace of a deployment, empty for a deleted one, NULL when there is none: for the tokens' rules.
     * Borrowed for the call. */
    const char *(*deployment_config)(struct cfg_app *app, const char *deployment, char buf[CFG_LIMIT_NAME + 1]);
};

/* Binds and listens, but accepts nothing before cfg_http_start. Errors name the reason and the option: CFG_E_INVALID,
 * CFG_E_FORBIDDEN (beyond loopback without TLS and tokens), CFG_E_IO (files, port in use), CFG_E_VALUE (token file). */
CFG_MUST_CHECK int cfg_http_new(struct cfg_http **out, const struct cfg_http_options *o, struct cfg_error *err);
void cfg_http_start(struct cfg_http *h);
void cfg_http_stop(struct cfg_http *h);         /* accepts no more; what is open goes on */
size_t cfg_http_busy(const struct cfg_http *h); /* requests that are being handled or answered */
/* Closes everything. Calls that have not been answered are gone with it: free first whatever may still answer. */
void cfg_http_free(struct cfg_http *h);
/* Reads certificates and tokens again; keeps the old ones when anything is wrong. */
CFG_MUST_CHECK int cfg_http_reload(struct cfg_http *h, struct cfg_error *err);
const char *cfg_http_url(const struct cfg_http *h); /* "http://127.0.0.1:7117", with the port that was bound */

/* Counters for /metrics. */
enum { CFG_HTTP_BUCKETS = 12 };
extern const double cfg_http_bucket_s[CFG_HTTP_BUCKETS]; /* upper bounds */
struct cfg_http_route_stats {
    struct {
        int status;
        uint64_t n;
    } codes[16]; /* in order of appearance; status 0 ends them */
    uint64_t buckets[CFG_HTTP_BUCKETS + 1], sum_ns;
};
/* The stats of route i; i == n_routes: requests that found no route. Borrowed. */
const struct cfg_http_route_stats *cfg_http_stats(const struct cfg_http *h, size_t i);
const struct cfg_conns *cfg_http_conns(const struct cfg_http *h);
size_t cfg_http_tokens(const struct cfg_http *h);
int64_t cfg_http_tls_expiry(const struct cfg_http *h); /* seconds since 1970; 0: plain HTTP */

#endif
