/* Streams as values: what a request for one asks, when it may be served, how long it lives, its small frames. Pure. */
#ifndef CFG_CONFIGD_STREAM_H
#define CFG_CONFIGD_STREAM_H

#include "proto/digest.h"
#include "proto/limits.h"
#include "proto/revision.h"

/* As the API takes them; NULL where absent. Borrowed. */
struct cfg_stream_query {
    const char *deployment, *arm, *worker, *incarnation, *store, *digest, *last_event_id;
};
struct cfg_stream_request {
    struct cfg_stream_query q; /* arm is "base" where absent; worker and incarnation are both there or neither */
    struct cfg_rev have;       /* {0,0}: no token */
};
/* CFG_E_INVALID, CFG_E_ADDRESS: err->path names the parameter. */
CFG_MUST_CHECK int cfg_stream_request_read(struct cfg_stream_request *out, const struct cfg_stream_query *q,
                                           struct cfg_error *err);

/* May a stream be served by a replica that has seen `seen`?
 *
 * With a token: only by one that has caught up, however long that takes: a worker never goes back. Without one: when
 * the replica shows what etcd held when the stream came (`asked`; none: not known yet), or at once where etcd is away
 * (`stale`), which the view then says. */
struct cfg_stream_gate {
    bool has_token;
    struct cfg_rev token, asked;
};
bool cfg_stream_may_start(const struct cfg_stream_gate *g, struct cfg_rev seen, bool stale);

/* The life of a stream: age_ms ± 20 %, so that streams opened together do not end together. random: uniform. */
uint64_t cfg_stream_life_ms(uint64_t age_ms, uint32_t random);

/* What the timer that looks after a stream shall do about it. All times in ms of one monotonic clock. */
enum cfg_stream_care { CFG_CARE_NOTHING, CFG_CARE_HEARTBEAT, CFG_CARE_STUCK, CFG_CARE_OLD };
struct cfg_stream_times {
    uint64_t now, last_sent, dies;  /* last_sent: when bytes last went out */
    unsigned heartbeat_ms, look_ms; /* look_ms: time between two looks */
    bool queued;                    /* bytes wait for the reader */
};
enum { CFG_STREAM_STUCK_HEARTBEATS = 4 }; /* a reader that takes nothing for so many is let go */
enum cfg_stream_care cfg_stream_care(const struct cfg_stream_times *t);

extern const char cfg_stream_heartbeat[]; /* ": hb" as a comment block */
extern const char cfg_stream_retry[];     /* "retry: 1000" */
/* `bye` with a reason, `superseded`: returned-owned, NULL without memory. reason needs no escaping. */
struct cfg_bytes *cfg_stream_bye(const char *reason);
struct cfg_bytes *cfg_stream_superseded(void);

#endif
