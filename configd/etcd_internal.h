/* The etcd client's inside, shared by etcd*.c only.
 *
 * A call is one request of a caller, over all its attempts. It waits (for a free connection or a token), flies (an easy
 * handle works on it) or rests (a pause before the next attempt); `finish` is called once and frees what is its own. */
#ifndef CFG_CONFIGD_ETCD_INTERNAL_H
#define CFG_CONFIGD_ETCD_INTERNAL_H

#include "configd/curl_loop.h"
#include "configd/etcd.h"
#include "proto/limits.h"

struct cfg_etcd_call;
struct cfg_etcd_list_op;
struct cfg_etcd_watch;

/* One kind of request. */
struct cfg_etcd_call_kind {
    const char *path; /* "/v3/kv/range" */
    const char *name; /* for errors: "range" */
    bool repeatable;
    bool without_token; /* it is the one that fetches the token */
    bool reads;         /* a GET without a body */
    /* The reply's body, or err; once. The call is freed afterwards. */
    void (*finish)(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err);
};

struct cfg_etcd_call {
    TAILQ_ENTRY(cfg_etcd_call) link;
    struct cfg_etcd_call_list *list; /* the one it is in */
    struct cfg_transfer transfer;
    struct cfg_etcd *client;
    const struct cfg_etcd_call_kind *kind;
    union {
        cfg_etcd_range_fn range;
        cfg_etcd_txn_fn txn;
        cfg_etcd_lease_fn lease;
        cfg_etcd_status_fn status;
        cfg_etcd_done_fn done;
        cfg_etcd_text_fn text;
    } fn;
    void *arg;
    struct cfg_buf body, reply;
    uint64_t deadline_ns, timeout_ms;
    uint64_t wake_ns; /* resting: when to try again */
    unsigned tries;   /* attempts that ended */
    unsigned sends;   /* times libcurl began to send in this attempt */
    bool reauthed;
    size_t endpoint;
    char *token; /* the one this attempt carries; owned */
    struct curl_slist auth_header;
    char error_text[CURL_ERROR_SIZE];
    struct cfg_error last; /* why the last attempt failed */
};

TAILQ_HEAD(cfg_etcd_call_list, cfg_etcd_call);
LIST_HEAD(cfg_watch_list, cfg_etcd_watch);
LIST_HEAD(cfg_list_op_list, cfg_etcd_list_op);

struct cfg_etcd_endpoint {
    char *name;        /* as given */
    char *base;        /* "http://host:port" */
    char *socket_path; /* NULL unless unix: */
};

enum { CFG_ETCD_CONNECTIONS = 64, CFG_ETCD_IDLE_HANDLES = 16 };

struct cfg_etcd {
    struct cfg_loop *loop;
    struct cfg_curl_loop *curl;
    const struct cfg_clock *clock;
    struct cfg_etcd_endpoint *endpoints;
    size_t n_endpoints, current;
    char *user, *password, *ca_file, *cert_file, *key_file;
    unsigned request_timeout_ms, connect_timeout_ms, watch_silence_ms;
    struct curl_slist *headers; /* of every request */
    char *token;                /* "Authorization: …", NULL while there is none */
    bool renewing, closing;
    size_t n_flying;
    struct cfg_etcd_call_list waiting, flying, resting, broken;
    struct cfg_timer *rest_timer, *broken_timer;
    CURL *idle[CFG_ETCD_IDLE_HANDLES];
    size_t n_idle;
    struct cfg_watch_list watches;
    struct cfg_list_op_list lists;
    struct cfg_etcd_stats stats;
};

/* etcd_request.c */

/* A call of `kind` with an empty body for the caller to print into; NULL without memory. Returned-owned until
 * cfg_etcd_call_start consumes it. */
struct cfg_etcd_call *cfg_etcd_call_new(struct cfg_etcd *e, const struct cfg_etcd_call_kind *kind, void *arg);
/* timeout_ms 0: the client's default. Every failure is reported through kind->finish, later. */
void cfg_etcd_call_start(struct cfg_etcd_call *c, unsigned timeout_ms);
/* Ends it without finish. */
void cfg_etcd_call_cancel(struct cfg_etcd_call *c);
/* Ends it with finish(err). */
void cfg_etcd_call_fail(struct cfg_etcd_call *c, const struct cfg_error *err);
/* Starts what waits, as far as connections and the token allow. */
void cfg_etcd_pump(struct cfg_etcd *e);
void cfg_etcd_wake_resting(void *client);
void cfg_etcd_fail_broken(void *client);
/* Endpoint number `failed` did not answer; the next one is used unless somebody has moved on already. */
void cfg_etcd_rotate(struct cfg_etcd *e, size_t failed);
/* An easy handle with what is common to all requests, for `path` at the endpoint in use; NULL without memory. */
CURL *cfg_etcd_take_handle(struct cfg_etcd *e, size_t endpoint, const char *path);
void cfg_etcd_give_handle(struct cfg_etcd *e, CURL *easy);
/* A transport failure in words: names endpoint, libcurl's reason and a hint. Returns err->code. */
int cfg_etcd_transport_error(struct cfg_error *err, const struct cfg_etcd *e, size_t endpoint, CURLcode result,
                             const char *details);

/* etcd_auth.c */

/* True when requests may go out: no authentication, or a token is there. Otherwise a token is being fetched. */
bool cfg_etcd_token_ready(struct cfg_etcd *e);
/* `token` was refused; the next request waits for a new one. */
void cfg_etcd_token_drop(struct cfg_etcd *e, const char *token);

/* etcd_ops.c */

/* cfg_etcd_range whose call may be cancelled until its callback runs. Borrowed. */
struct cfg_etcd_call *cfg_etcd_range_call(struct cfg_etcd *e, const struct cfg_etcd_range_req *r, unsigned timeout_ms,
                                          cfg_etcd_range_fn fn, void *arg);

/* etcd_watch.c */

/* The token has come: what waited for it starts. */
void cfg_etcd_watches_begin(struct cfg_etcd *e);
/* It did not: what waits for it is lost. With `all` (the client closes) every watch is. */
void cfg_etcd_watches_fail(struct cfg_etcd *e, const struct cfg_error *err, bool all);

/* etcd_list.c */
void cfg_etcd_lists_cancel(struct cfg_etcd *e, const struct cfg_error *err);

#endif
