/* libcurl's multi interface driven by the loop (curl_multi_socket_action on libevent).
 *
 * libcurl forbids calls into a multi handle from inside its own callbacks, so an owner is told in two steps: `data`
 * runs inside libcurl and may only store bytes; `ready` and `done` run after libcurl has returned, in the same turn,
 * and may add and remove transfers freely. One thread: the loop's. */
#ifndef CFG_CONFIGD_CURL_LOOP_H
#define CFG_CONFIGD_CURL_LOOP_H

#include "configd/loop.h"

#include <curl/curl.h>
#include <sys/queue.h>

struct cfg_curl_loop;
struct cfg_transfer;

struct cfg_transfer_fns {
    /* Inside libcurl. False ends the transfer with CURLE_WRITE_ERROR. */
    bool (*data)(struct cfg_transfer *t, const char *bytes, size_t n);
    /* Bytes have arrived since the last call; NULL: not wanted. */
    void (*ready)(struct cfg_transfer *t);
    /* The transfer has ended and is no longer in the loop; its easy handle may be used again. */
    void (*done)(struct cfg_transfer *t, CURLcode result);
};

/* Lies inside its owner, who keeps it alive while the transfer runs; all fields but fns are set by this module. */
struct cfg_transfer {
    const struct cfg_transfer_fns *fns;
    struct cfg_curl_loop *owner; /* NULL while it does not run */
    CURL *easy;
    bool has_data;
    LIST_ENTRY(cfg_transfer) ready_link;
};

/* At most max_idle connections are kept for reuse. *out is returned-owned. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_curl_loop_new(struct cfg_curl_loop **out, struct cfg_loop *loop, long max_idle,
                                     struct cfg_error *err);
/* After the last transfer was removed, and never from inside a callback of this module. NULL is fine. */
void cfg_curl_loop_free(struct cfg_curl_loop *c);

/* Starts `easy` (borrowed until done or remove) as t. Nothing of t is called before this returns. CFG_E_NOMEM,
 * CFG_E_INTERNAL. */
CFG_MUST_CHECK int cfg_curl_loop_add(struct cfg_curl_loop *c, struct cfg_transfer *t, CURL *easy,
                                     struct cfg_error *err);
/* Ends t without a callback; idempotent. Not from inside `data`. */
void cfg_curl_loop_remove(struct cfg_curl_loop *c, struct cfg_transfer *t);

#endif
