/* What sessions stand on: curl's sets, timers and a wake-up behind one descriptor, for one session or for thousands.
 *
 *     epoll ─┬─ curl's sockets ── curl ──▶ the slot's ended / the transport's bytes
 *            ├─ timerfd        ── the earliest of curl's timers and of the members' deadlines (a heap)
 *            └─ eventfd        ── wake, and work that was asked for outside of `process`
 *
 * A member (a session's transport) is looked at only when it was touched: something came in for it, somebody asked for
 * something, or its deadline has come. So a turn costs what happens in it, however many members there are. Deadlines
 * move away with every byte; the heap keeps the early one, which then fires once for nothing.
 *
 * A loop that is shared has two sets of curl's: streams are thousands of connections of which none is ever free, and
 * curl looks through all of a host's for one to reuse. Requests (registrations, reports) take turns on a few
 * connections and on a few of curl's handles, which are kept from one request to the next. One thread, but for wake. */
#ifndef CFG_CLIENT_SESSION_LOOP_H
#define CFG_CLIENT_SESSION_LOOP_H

#include "client/http.h"
#include "proto/heap.h"

struct cfg_loop_member;
struct cfg_loop_slot;

struct cfg_loop_member_ops {
    /* Does what is wanted and due. Called in `process`, some time after the member was touched. */
    void (*run)(struct cfg_loop_member *m, uint64_t now_ms);
    uint64_t (*deadline)(const struct cfg_loop_member *m); /* ms; CFG_HEAP_NEVER: none */
    /* Fills s->easy's options for what is wanted of s; 0, or an error for `ended`. */
    int (*prepare)(struct cfg_loop_slot *s, struct cfg_error *err);
    /* s is over, and idle again. code CURLE_OK: whole, with `status`; failed: why it never began. */
    void (*ended)(struct cfg_loop_slot *s, CURLcode code, long status, const struct cfg_error *failed);
};

/* The first member of whatever takes part. */
struct cfg_loop_member {
    const struct cfg_loop_member_ops *ops;
    struct cfg_session_loop *loop;
    struct cfg_loop_member *prev, *next; /* of those touched */
    bool touched;
    struct cfg_heap_node due; /* ms */
};

/* One request of a member's, at most one at a time. */
struct cfg_loop_slot {
    struct cfg_loop_member *member;
    struct cfg_loop_slot *prev, *next; /* of those that wait for their turn */
    CURL *easy;                        /* while it is under way */
    bool is_stream;
    bool waits;
};

/* The loop of one session alone. CFG_E_IO (descriptors), CFG_E_NOMEM, CFG_E_INTERNAL (libcurl). */
CFG_MUST_CHECK int cfg_session_loop_new_private(struct cfg_session_loop **out, struct cfg_error *err);
void cfg_session_loop_closing(struct cfg_session_loop *l); /* nothing is polled any more: free is next */

CFG_MUST_CHECK int cfg_loop_join(struct cfg_session_loop *l, struct cfg_loop_member *m); /* touches it; CFG_E_NOMEM */
void cfg_loop_leave(struct cfg_loop_member *m);                                          /* its slots are stopped */
void cfg_loop_touch(struct cfg_loop_member *m);

/* Begins the request now, or when it is its turn: then `prepare` is asked. */
void cfg_loop_start(struct cfg_loop_slot *s);
void cfg_loop_stop(struct cfg_loop_slot *s); /* no `ended` for it; not from inside curl's callbacks */
static inline bool cfg_loop_busy(const struct cfg_loop_slot *s)
{
    return s->waits || s->easy != NULL;
}

#endif
