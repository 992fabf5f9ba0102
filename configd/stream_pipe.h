/* A pipe carries frames to one reader over a socket that the HTTP edge gave away; one timer looks after all pipes.
 *
 * Plain sockets: one embedded libevent event waits for the reader's going away; a frame is one send() on the spot, and
 * only what the kernel did not take is kept (a reference and an offset) until the socket is writable. TLS: libevent's
 * bufferevent keeps the session, and every frame counts as queued until it has been written out. A pipe never holds
 * more than one frame.
 *
 *    OPEN ──cfg_pipe_end──► ENDING (the last frame goes out) ──► DEAD ──end of the turn──► ops->closed
 *      └───────────────── reader gone, stuck, pipes freed ────────►┘
 *
 * One thread. */
#ifndef CFG_CONFIGD_STREAM_PIPE_H
#define CFG_CONFIGD_STREAM_PIPE_H

#include "configd/http.h"
#include "configd/stream.h"

#include <event2/event_struct.h>

struct cfg_pipe;
struct cfg_pipes;

struct cfg_pipe_ops {
    void (*drained)(struct cfg_pipe *p); /* all bytes are out: it takes a frame again */
    void (*dead)(struct cfg_pipe *p);    /* no frame will go out any more: unsubscribe. Must not free */
    void (*closed)(struct cfg_pipe *p);  /* the last call: free the struct around it */
};

enum cfg_pipe_state { CFG_PIPE_OPEN, CFG_PIPE_ENDING, CFG_PIPE_DEAD };

struct cfg_pipe { /* embedded; all members are the pipes' */
    struct event event;
    const struct cfg_pipe_ops *ops;
    struct cfg_pipes *all;
    struct cfg_pipe *prev, *next; /* its slot's list, or the graveyard's */
    struct cfg_taken taken;
    struct cfg_bytes *out; /* being sent; NULL: idle */
    uint32_t sent;         /* bytes of it that are out; TLS: of all, as of the last look */
    uint8_t slot;
    uint8_t state; /* enum cfg_pipe_state */
    uint16_t junk; /* bytes that the reader sent, who has nothing to say */
    uint64_t last_sent_ms, dies_ms;
};

struct cfg_pipes_options {
    struct cfg_loop *loop;
    const struct cfg_clock *clock;
    unsigned heartbeat_ms, age_ms;
    void (*look)(void *arg); /* called with every look of the timer (at least twice per heartbeat); may be NULL */
    void *arg;
};
CFG_MUST_CHECK int cfg_pipes_new(struct cfg_pipes **out, const struct cfg_pipes_options *o, struct cfg_error *err);
/* Every pipe is sent `bye` where it takes it at once, and closed (ops->closed) before this returns. NULL is fine. */
void cfg_pipes_free(struct cfg_pipes *all);
size_t cfg_pipes_count(const struct cfg_pipes *all);

/* Starts a pipe over a taken socket (consumed also on failure). CFG_E_NOMEM, CFG_E_IO: ops are never called. */
CFG_MUST_CHECK int cfg_pipe_open(struct cfg_pipe *p, struct cfg_pipes *all, const struct cfg_pipe_ops *ops,
                                 struct cfg_taken *taken, struct cfg_error *err);
/* Sends; true: takes another. False: queued (drained follows) or dead. Only while cfg_pipe_takes. */
bool cfg_pipe_send(struct cfg_pipe *p, struct cfg_bytes *frame);
bool cfg_pipe_takes(const struct cfg_pipe *p);
/* The last frame (consumed, may be NULL) where the pipe takes one, and then the end. Idempotent. */
void cfg_pipe_end(struct cfg_pipe *p, struct cfg_bytes *last);

#endif
