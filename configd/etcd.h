/* An asynchronous etcd v3 client over the JSON gateway: libcurl's multi interface on the loop.
 *
 * Requests carry a deadline and go to the endpoint that answered last; connection failures, "no leader" and time-outs
 * rotate to the next. Requests that cannot change anything (range, status) are retried inside their deadline; a
 * transaction whose reply was lost ends with CFG_E_UNKNOWN_OUTCOME and is settled by the caller (commit.h), who alone
 * can tell. An expired auth token is renewed once. Every callback runs on the loop's thread, never from inside the call
 * that starts the request, and exactly once; its reply is borrowed until it returns. The process must ignore SIGPIPE:
 * a connection over TLS may raise it. */
#ifndef CFG_CONFIGD_ETCD_H
#define CFG_CONFIGD_ETCD_H

#include "configd/loop.h"
#include "proto/etcd_msg.h"

struct cfg_etcd;
struct cfg_etcd_watch;

struct cfg_etcd_options {
    const char *const *endpoints; /* "http://127.0.0.1:2379", "https://…", "unix:/dir/NAME:1"; copied */
    size_t n_endpoints;
    const char *user, *password;                /* NULL: no authentication; copied */
    const char *ca_file, *cert_file, *key_file; /* TLS towards etcd; NULL: system defaults / none; copied */
    unsigned request_timeout_ms;                /* 0: 5000 */
    unsigned connect_timeout_ms;                /* 0: 1000 */
    unsigned watch_silence_ms;     /* a watch that says nothing this long is probed and re-made; 0: 10000 */
    const struct cfg_clock *clock; /* NULL: system */
};

CFG_MUST_CHECK int cfg_etcd_new(struct cfg_etcd **out, struct cfg_loop *loop, const struct cfg_etcd_options *o,
                                struct cfg_error *err);
/* Cancels everything under way: each pending callback gets CFG_E_CANCELED before this returns. Not from inside a
 * callback of this client. NULL is fine. */
void cfg_etcd_free(struct cfg_etcd *e);

/* err is NULL on success, reply NULL on failure. */
typedef void (*cfg_etcd_range_fn)(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err);
typedef void (*cfg_etcd_txn_fn)(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err);
typedef void (*cfg_etcd_lease_fn)(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err);
typedef void (*cfg_etcd_status_fn)(void *arg, const struct cfg_etcd_status *reply, const struct cfg_error *err);
typedef void (*cfg_etcd_done_fn)(void *arg, const struct cfg_error *err);

/* The request is serialised before the call returns, so everything in *r is borrowed only until then. A failure to
 * start is reported through fn as well, in a later turn of the loop. timeout_ms 0: the client's default. */
void cfg_etcd_range(struct cfg_etcd *e, const struct cfg_etcd_range_req *r, unsigned timeout_ms, cfg_etcd_range_fn fn,
                    void *arg);
void cfg_etcd_txn(struct cfg_etcd *e, const struct cfg_etcd_txn_req *r, unsigned timeout_ms, cfg_etcd_txn_fn fn,
                  void *arg);
void cfg_etcd_lease_grant(struct cfg_etcd *e, int64_t ttl_s, cfg_etcd_lease_fn fn, void *arg);
void cfg_etcd_lease_keepalive(struct cfg_etcd *e, int64_t id, cfg_etcd_lease_fn fn,
                              void *arg); /* ttl 0: the lease is gone */
void cfg_etcd_lease_revoke(struct cfg_etcd *e, int64_t id, cfg_etcd_done_fn fn, void *arg);
void cfg_etcd_status(struct cfg_etcd *e, cfg_etcd_status_fn fn, void *arg);

/* What etcd says of itself, as it says it: its members and its alarms as JSON, its metrics as Prometheus' text. */
enum cfg_etcd_question { CFG_ETCD_MEMBERS, CFG_ETCD_ALARMS, CFG_ETCD_METRICS };
typedef void (*cfg_etcd_text_fn)(void *arg, struct cfg_slice text, const struct cfg_error *err);
void cfg_etcd_ask(struct cfg_etcd *e, enum cfg_etcd_question question, cfg_etcd_text_fn fn, void *arg);

/* Every page of a range at one revision: page_fn per page in key order, then done_fn once (err NULL: complete; then
 * revision is the one revision all pages were read at). A revision compacted between two pages starts over: restart_fn
 * tells the caller to forget. */
struct cfg_etcd_list_fns {
    void (*page)(void *arg, const struct cfg_etcd_range_reply *page);
    void (*restart)(void *arg);
    void (*done)(void *arg, int64_t revision, const struct cfg_error *err);
};
void cfg_etcd_list(struct cfg_etcd *e, struct cfg_slice key, struct cfg_slice range_end, int64_t revision,
                   const struct cfg_etcd_list_fns *fns, void *arg);

/* One watch over a range from start_revision on, on a connection of its own, with fragment set. `events` is called once
 * per complete revision-batch (fragments joined). A transport failure or silence ends in `lost` (with the reason), a
 * compaction in `compacted`; after either the watch is dead and the owner frees it and decides how to go on
 * (replica.h). `created` tells that etcd has accepted it, with the header's revision; `progress` that nothing happened
 * up to a revision. `behind` (NULL: ends in `lost`): the watch is silent while etcd's revision has moved on; other
 * prefixes move it too, so the owner finds out, and says cfg_etcd_watch_advance when nothing was missed. */
struct cfg_etcd_watch_fns {
    void (*created)(void *arg, int64_t revision);
    void (*events)(void *arg, int64_t revision, const struct cfg_etcd_event *events, size_t n);
    void (*progress)(void *arg, int64_t revision);
    void (*compacted)(void *arg, int64_t compact_revision);
    void (*behind)(void *arg, int64_t header_revision);
    void (*lost)(void *arg, const struct cfg_error *err);
};
CFG_MUST_CHECK int cfg_etcd_watch_start(struct cfg_etcd_watch **out, struct cfg_etcd *e, struct cfg_slice key,
                                        struct cfg_slice range_end, int64_t start_revision,
                                        const struct cfg_etcd_watch_fns *fns, void *arg, struct cfg_error *err);
/* The owner knows that up to `revision` nothing of the range is missing: events up to there are dropped from now on. */
void cfg_etcd_watch_advance(struct cfg_etcd_watch *w, int64_t revision);
void cfg_etcd_watch_free(struct cfg_etcd_watch *w); /* no callback after it; safe inside a callback; NULL is fine */

/* Counters for /metrics. */
struct cfg_etcd_stats {
    uint64_t requests, failures, retries, rotations, auth_renewals;
    char endpoint[256]; /* the one in use */
};
void cfg_etcd_stats(const struct cfg_etcd *e, struct cfg_etcd_stats *out);

#endif
