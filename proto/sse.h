/* Server-sent events (WHATWG HTML §9.2): an incremental reader without I/O, and the writer. Pure. */
#ifndef CFG_PROTO_SSE_H
#define CFG_PROTO_SSE_H

#include "proto/buf.h"

struct cfg_sse_event {
    /* All borrowed until the callback returns. */
    struct cfg_slice event; /* "message" when the stream named none */
    struct cfg_slice data;
    struct cfg_slice id; /* last event id seen so far; empty when none */
};

struct cfg_sse_reader {
    struct cfg_buf line, data, event, id;
    long retry_ms; /* −1 until the server set one */
    bool skip_lf;
    bool bom_checked;
};

typedef void (*cfg_sse_event_fn)(const struct cfg_sse_event *ev, void *arg);

void cfg_sse_reader_init(struct cfg_sse_reader *r, size_t max_event);
void cfg_sse_reader_finish(struct cfg_sse_reader *r);
/* Feeds bytes as they arrive, in any split; calls fn for every event that ended in them. fn must not feed or finish the
 * reader. CFG_E_LIMIT when an event exceeds max_event, CFG_E_NOMEM: the stream must then be dropped, every later call
 * fails alike. */
CFG_MUST_CHECK int cfg_sse_reader_feed(struct cfg_sse_reader *r, struct cfg_slice bytes, cfg_sse_event_fn fn,
                                       void *arg);
/* Appends one event. event and id may be NULL or empty and hold no line breaks; data may (one data: line each; a reader
 * gets every CR, LF or CRLF as LF). Check cfg_buf_status. */
void cfg_sse_put(struct cfg_buf *out, const char *event, const char *id, struct cfg_slice data);

#endif
