/* The feed of changes, for people and automation: the newest changes in a ring, their event bytes built once and only
 * when somebody reads, so that a reader can resume where it left.
 *
 * A reader is told every change of its namespaces in order of revision, several of one revision with one id at the last
 * of them, so that resuming never loses a part of a revision. A reader that does not drain waits in the ring; when the
 * ring has passed it, it gets `reset` and goes on with the newest. One thread. */
#ifndef CFG_CONFIGD_CHANGES_FEED_H
#define CFG_CONFIGD_CHANGES_FEED_H

#include "configd/store.h"

struct cfg_feed;

/* Embedded; all members belong to the feed but `send`, `wants` and the struct around it. */
struct cfg_feed_reader {
    /* As cfg_subscriber.send: takes one frame; false: no more until cfg_feed_drained. */
    bool (*send)(struct cfg_feed_reader *r, struct cfg_bytes *frame);
    bool (*wants)(const struct cfg_feed_reader *r, const char *ns);
    struct cfg_feed *feed; /* NULL: not reading */
    struct cfg_feed_reader *prev, *next;
    uint64_t at; /* number of the next change to look at */
    struct cfg_rev told;
    bool behind;
};

struct cfg_feed_limits { /* 0: the default */
    size_t changes;      /* 1024 */
    size_t bytes;        /* 2 MiB of records that changes refer to */
};
CFG_MUST_CHECK int cfg_feed_new(struct cfg_feed **out, struct cfg_loop *loop, struct cfg_store *store,
                                const struct cfg_feed_limits *limits, struct cfg_error *err); /* limits may be NULL */
void cfg_feed_free(struct cfg_feed *f); /* after its readers; NULL is fine */

/* Reads on behind `have` ({0,0}: from now on). At once: the changes since, `reset` when they are no longer here, or a
 * mark. */
void cfg_feed_read(struct cfg_feed *f, struct cfg_feed_reader *r, struct cfg_rev have);
void cfg_feed_leave(struct cfg_feed_reader *r); /* idempotent; safe inside send */
void cfg_feed_drained(struct cfg_feed_reader *r);

#endif
