/* Connections of the HTTP edge while evhttp holds them: deadlines, a full descriptor table, errors evhttp answers
 * itself.
 *
 * evhttp knows one idle timeout per connection, restarted by every byte, tells nobody of connections that never send a
 * request, and writes HTML when a request cannot be read. So each connection lies on the list of its state:
 *
 *    NEW → SILENT → READING → BUSY → IDLE → READING …
 *                      └→ REFUSED (evhttp has answered an unreadable request; the reply is rewritten as a problem)
 *
 * SILENT, READING and IDLE have deadlines; a READING one grows with what has arrived, so that one byte a second does
 * not help. When descriptors run out the longest silent, then the longest idle connection makes room. evhttp frees
 * connections on its own accord and tells through the close callback: only then is ours freed. One thread. */
#ifndef CFG_CONFIGD_HTTP_CONN_H
#define CFG_CONFIGD_HTTP_CONN_H

#include "configd/loop.h"

#include <openssl/ssl.h>

struct evconnlistener;
struct evhttp;
struct evhttp_request;
struct cfg_conns;

struct cfg_conn_limits {
    unsigned silent_ms, head_ms, idle_ms, write_ms; /* 0: 10 s, 10 s, 120 s, 30 s */
    unsigned max_fds;                               /* 0: RLIMIT_NOFILE */
    /* How requests begin whose body may be `large_body` bytes, one of them at a time ("POST /v1/restore "); NULL: none.
     * evhttp must know the limit before it has read whose request it is. Borrowed. */
    const char *large_request;
    size_t large_body;
};
/* Installs itself at evhttp (bevcb) and at the listener (accept errors). All borrowed; tls: where the current context
 * lies, *tls NULL for plain HTTP. */
CFG_MUST_CHECK int cfg_conns_new(struct cfg_conns **out, struct cfg_loop *loop, const struct cfg_clock *clock,
                                 struct evhttp *evhttp, struct evconnlistener *listener, SSL_CTX *const *tls,
                                 const struct cfg_conn_limits *limits, struct cfg_error *err);
void cfg_conns_start(struct cfg_conns *c); /* accepts from now on */
/* Accepts no more; comes before evhttp_free, too. */
void cfg_conns_stop(struct cfg_conns *c);
void cfg_conns_free(struct cfg_conns *c); /* after evhttp_free; NULL is fine */
/* A request was read whole and is being handled; its reply, once sent, makes the connection idle. */
void cfg_conns_request(struct cfg_conns *c, struct evhttp_request *req);
/* The connection of a request is being given away: no deadline or callback of ours touches it any more. */
void cfg_conns_forget(struct cfg_conns *c, struct evhttp_request *req);

struct cfg_conn_stats {
    uint64_t accepted, timed_out, made_room, refused;
    size_t open, busy;
};
void cfg_conns_stats(const struct cfg_conns *c, struct cfg_conn_stats *out);

#endif
