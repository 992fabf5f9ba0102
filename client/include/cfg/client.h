/* libcfgclient: talk to configd from C.
 *
 * Two things: requests (blocking, for tools) and sessions (a worker's or observer's stream, never blocking, driven by
 * the caller's loop or by a thread of the caller's). JSON crosses this interface as text, so that no JSON library is
 * part of the ABI. All strings given in are copied unless said otherwise. Pre-1.0: may change between minor versions.
 */
#ifndef CFG_CLIENT_H
#define CFG_CLIENT_H

#include <cfg/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

CFG_API const char *cfg_client_version(void); /* "0.1.0"; static storage */

/* Where and as whom. NULL members take the environment (CONFIGD_SERVER, CONFIGD_TOKEN, CONFIGD_CA_FILE), then the
 * default. */
struct cfg_client_options {
    size_t size;         /* sizeof(struct cfg_client_options): the version of this struct */
    const char *servers; /* comma-separated base URLs; default http://127.0.0.1:7117 */
    const char *token;   /* bearer token */
    const char *ca_file; /* PEM, for https */
    const char *user;    /* shown as the unverified author where no token is used; default user@host */
    unsigned timeout_ms; /* of one request in total; 0: 10000 */
};
#define CFG_CLIENT_OPTIONS_INIT                          \
    {                                                    \
        sizeof(struct cfg_client_options), 0, 0, 0, 0, 0 \
    }

/* --- requests --- */

struct cfg_client; /* not thread-safe: one thread at a time */

CFG_API CFG_MUST_CHECK int cfg_client_new(struct cfg_client **out, const struct cfg_client_options *o,
                                          struct cfg_error *err);
CFG_API void cfg_client_free(struct cfg_client *c); /* NULL is fine */

struct cfg_request {
    const char *method; /* "GET", "PUT", "PATCH", "POST", "DELETE" */
    const char *path;   /* "/v1/config/chat?message=…", already percent-encoded */
    const char *body;   /* NULL: none; borrowed during the call */
    size_t body_len;
    const char *content_type; /* NULL: application/json when there is a body */
    const char *if_match;     /* NULL, or "\"43\"" */
    bool if_none_match;       /* If-None-Match: * */
    const char
        *idempotency_key; /* NULL: one is made for every write, so that a retry on another server cannot double it */
};
struct cfg_response {
    long status;
    char *body; /* NUL-terminated; owned by the response */
    size_t body_len;
    char etag[64], revision[48], store[64];
};
/* Sends, and retries safely on the next server when one cannot be reached. A problem+json reply becomes the error.
 * CFG_E_CONNECT (no server: the hint says how to start one), CFG_E_TIMEOUT, CFG_E_PROTOCOL (a server that is no
 * configd), and any code the server sent. CFG_E_UNKNOWN_OUTCOME: a write that may have happened. *out is filled on
 * success only; raw_error (may be NULL) receives the problem document's text, returned-owned (free), or NULL. */
CFG_API CFG_MUST_CHECK int cfg_client_call(struct cfg_client *c, const struct cfg_request *r, struct cfg_response *out,
                                           char **raw_error, struct cfg_error *err);
CFG_API void cfg_response_finish(struct cfg_response *r);
/* Follows a GET of server-sent events until the callback returns false or the server ends it; data is one event's,
 * borrowed. */
typedef bool (*cfg_client_event_fn)(const char *event, const char *id, const char *data, size_t len, void *arg);
CFG_API CFG_MUST_CHECK int cfg_client_events(struct cfg_client *c, const char *path, const char *last_event_id,
                                             cfg_client_event_fn fn, void *arg, struct cfg_error *err);

/* --- sessions --- */

/* A session registers a worker, holds its stream, applies patches, checks digests and hands on whole views in (epoch,
 * revision) order; it reconnects with full jitter, moves between servers, and never goes back. It has no thread: the
 * caller polls poll_fd for POLLIN for at most timeout_ms and calls process. All functions from one thread, except
 * cfg_session_wake. */
struct cfg_session;

/* For many sessions in one process: their sockets and timers behind one descriptor. Each session then costs one
 * descriptor, its stream; registrations and reports take turns on a few connections. Pass it in the options of every
 * session, then poll poll_fd for POLLIN and call process, which serves all that have something to do. All functions of
 * the loop and of its sessions from one thread, except the two wakes. */
struct cfg_session_loop;
CFG_API CFG_MUST_CHECK int cfg_session_loop_new(struct cfg_session_loop **out, struct cfg_error *err);
CFG_API void cfg_session_loop_free(struct cfg_session_loop *l); /* after its sessions; NULL is fine */
CFG_API int cfg_session_loop_poll_fd(const struct cfg_session_loop *l);
/* Never blocks; does nothing from inside a callback. True while streams have much to say: what can wait should, until
 * all sessions have heard it (for 0.2 s at most). */
CFG_API bool cfg_session_loop_process(struct cfg_session_loop *l);
CFG_API void cfg_session_loop_wake(struct cfg_session_loop *l); /* any thread, signal handlers too */

enum cfg_session_state {
    CFG_SESSION_CONNECTING, /* no server reached yet, or none any more: the last view holds, older by the second */
    CFG_SESSION_CONNECTED,  /* following */
    CFG_SESSION_STALE,      /* following a configd that has lost etcd */
    CFG_SESSION_FOREIGN,    /* the servers hold another store: the view is kept until an operator adopts it */
    CFG_SESSION_REFUSED,    /* registration refused (pin, unknown deployment, token): `why` says so; retried slowly */
    CFG_SESSION_SUPERSEDED, /* a newer incarnation of this worker id has registered: final */
};
CFG_API const char *cfg_session_state_name(enum cfg_session_state state); /* "connecting", …; static storage */

struct cfg_view_event {
    const char *revision;    /* "E-R" */
    const char *digest;      /* "sha256:…" */
    const char *store, *arm; /* store id; "base" */
    const char *view; /* the whole {"parameters","pinned","flags"} as JSON text; borrowed until the callback returns */
    size_t view_len;
    const char *meta; /* the rest of the event as JSON text (versions, generation, pin_digest, stale) */
};

/* An answer's body (borrowed; NULL with `why`, which is NULL otherwise). */
typedef void (*cfg_session_answer_fn)(void *arg, const char *body, size_t len, const struct cfg_error *why);

struct cfg_session_callbacks {
    /* Newer than every one before; an adopted store (ev->store is another then) starts the order afresh. */
    void (*on_view)(void *arg, const struct cfg_view_event *ev);
    void (*on_mark)(void *arg, const char *revision); /* nothing of ours changed up to here */
    void (*on_state)(void *arg, enum cfg_session_state state, const struct cfg_error *why); /* why NULL: all is well */
    void (*on_registered)(void *arg, const char *reply_json); /* the registration's reply; borrowed */
    void (*on_reported)(void *arg, const char *json);         /* this report has been taken; borrowed */
    void *arg;
};

struct cfg_session_options {
    size_t size;
    struct cfg_client_options client;
    const char *deployment;
    const char *registration; /* JSON body (worker, incarnation, contract, …); NULL: an observer that only follows */
    /* Where to go on: the revision, digest, store and view text of the last good view (from a cache); all NULL: from
     * nothing. */
    const char *revision, *digest, *store, *view;
    unsigned backoff_min_ms, backoff_max_ms; /* 0: 100 and 10000 */
    struct cfg_session_loop *loop;           /* borrowed for the session's life; NULL: one of its own */
    bool without_meta;                       /* view events need no `meta`: it is "{}" */
};
#define CFG_SESSION_OPTIONS_INIT                                                                      \
    {                                                                                                 \
        sizeof(struct cfg_session_options), CFG_CLIENT_OPTIONS_INIT, 0, 0, 0, 0, 0, 0, 0, 0, 0, false \
    }

CFG_API CFG_MUST_CHECK int cfg_session_new(struct cfg_session **out, const struct cfg_session_options *o,
                                           const struct cfg_session_callbacks *callbacks, struct cfg_error *err);
CFG_API void
cfg_session_free(struct cfg_session *s); /* no callback afterwards; NULL is fine; not from inside a callback */
/* The four of a session on a shared loop are the loop's. */
CFG_API int cfg_session_poll_fd(const struct cfg_session *s);    /* the same for the session's life */
CFG_API int cfg_session_timeout_ms(const struct cfg_session *s); /* −1: no limit */
CFG_API void cfg_session_process(struct cfg_session *s); /* does what can be done now, calls callbacks, never blocks */
CFG_API void cfg_session_wake(struct cfg_session *s);    /* makes poll_fd readable; any thread, signal handlers too */
/* Sends a report (JSON text, see the API). While one is under way only the newest given meanwhile is kept. */
CFG_API CFG_MUST_CHECK int cfg_session_report(struct cfg_session *s, const char *json, struct cfg_error *err);

/* Asks configd something beside the stream: GET path (already percent-encoded; copied), in the turns of the session.
 * fn is called once, from process, unless the session is freed first. One at a time: CFG_E_IN_USE. */
CFG_API CFG_MUST_CHECK int cfg_session_ask(struct cfg_session *s, const char *path, cfg_session_answer_fn fn, void *arg,
                                           struct cfg_error *err);

/* What later registrations (after a reconnect) say: a worker's pinned values are known only with its first view. Same
 * worker and incarnation as before, else CFG_E_INVALID; CFG_E_JSON, CFG_E_NOMEM. The text is copied. */
CFG_API CFG_MUST_CHECK int cfg_session_set_registration(struct cfg_session *s, const char *json, struct cfg_error *err);

#ifdef __cplusplus
}
#endif
#endif
