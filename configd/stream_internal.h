/* What the kinds of streams share: stream_http.c (gates, deployments), stream_watch.c (changes) and stream_ofrep.c
 * (flags). */
#ifndef CFG_CONFIGD_STREAM_INTERNAL_H
#define CFG_CONFIGD_STREAM_INTERNAL_H

#include "configd/changes_feed.h"
#include "configd/stream_http.h"
#include "configd/stream_pipe.h"

struct cfg_stream;

struct cfg_stream_kind {
    /* The gate is open and the pipe idle: start to send. have: the token; {0,0}: none. */
    void (*join)(struct cfg_stream *s, struct cfg_rev have);
    void (*drained)(struct cfg_stream *s); /* it takes frames again (joined only) */
    void (*leave)(struct cfg_stream *s);   /* no more frames: unsubscribe; may not have joined */
};

/* What a stream needs only while it waits at its gate: freed when it joins, so that an idle stream stays small. */
struct cfg_stream_wait {
    struct cfg_stream *stream;
    struct cfg_stream_wait *prev, *next;
    struct cfg_stream_gate gate;
    uint32_t ask; /* number of the linearizable read that will tell gate.asked */
};

/* A stream of either kind: a pipe, and the gate it waits at first. Freed with free(). */
struct cfg_stream {
    struct cfg_pipe pipe; /* first */
    struct cfg_streams *all;
    const struct cfg_stream_kind *kind;
    struct cfg_stream_wait *wait; /* NULL: joined */
};

struct cfg_streams_link {
    struct cfg_streams *all; /* NULL: gone */
    size_t refs;
};

struct cfg_streams {
    struct cfg_streams_options o;
    struct cfg_pipes *pipes;
    struct cfg_feed *feed;
    struct cfg_store_listener listener;
    struct cfg_stream_wait *waiting, *cursor;
    uint32_t ask; /* number of the newest read that was started */
    bool asking;
    struct cfg_timer *retry;
    struct cfg_streams_link *link;
};

/* Takes the call's socket over, sends the reply's head and lets the stream wait at its gate; s must be zeroed but for
 * what its kind keeps. The call is gone afterwards; without success s is freed. */
void cfg_stream_start(struct cfg_streams *all, struct cfg_stream *s, const struct cfg_stream_kind *kind,
                      struct cfg_call *c, const struct cfg_stream_gate *gate);
/* Answers a stream's request while configd stops: there are no streams any more. */
void cfg_stream_refuse(struct cfg_call *c);

#endif
