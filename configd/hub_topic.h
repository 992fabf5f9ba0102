/* One topic of the hub: a view, its frames (each built at most once per change) and the subscribers that share them.
 *
 * Knows nothing of stores or sockets: views go in as values, frames come out through cfg_subscriber.send.
 *
 *     label   the view's revision: greatest mod_revision of what it is made of; never falls within an epoch
 *     since   the label from which on this digest has held. A → B → A gives a new `since` for the same digest, so that
 *             who missed B is still told that A holds anew: by an empty patch from A to A
 *     seen    nothing of the topic's changed up to here (≥ label): the id of marks
 *     serial  counts views; a subscriber that holds serial − 1 takes the patch
 *
 * One thread. */
#ifndef CFG_CONFIGD_HUB_TOPIC_H
#define CFG_CONFIGD_HUB_TOPIC_H

#include "configd/hub.h"

struct cfg_topic {
    char deployment[CFG_LIMIT_NAME + 1], arm[CFG_LIMIT_NAME + 1];
    struct cfg_topic *next; /* the hub's list */
    /* Inputs, as the deployment's record named them when the view was composed. */
    char (*spaces)[CFG_LIMIT_NAME + 1]; /* the namespace and every base; owned */
    char (*flags)[CFG_LIMIT_NAME + 1];  /* owned */
    size_t n_spaces, n_flags;
    bool fixed;        /* it holds a release: heads of namespaces are no inputs */
    bool dirty;        /* inputs moved since: compose before use */
    bool due;          /* inputs moved since, and subscribers wait for it: composed in one of the next turns */
    bool pending;      /* a version is being fetched: the old view stands, no marks */
    bool known;        /* the deployment exists */
    uint64_t assigned; /* mod_revision of the deployment's record by which subscribers were last assigned */
    /* The view. serial 0: none yet. */
    struct cfg_view_out view;
    char store_id[40];
    uint64_t generation, serial;
    struct cfg_rev label, since, seen;
    bool stale;
    char from_digest[CFG_DIGEST_TEXT]; /* of serial − 1 */
    struct cfg_bytes *view_frame, *patch_frame, *renew_frame, *mark_frame;
    struct cfg_slice view_json; /* inside view_frame */
    struct cfg_subscriber *first, *cursor;
    size_t n;
    struct cfg_hub_stats stats;
};

struct cfg_topic *cfg_topic_new(const char *deployment, const char *arm); /* returned-owned; NULL without memory */
void cfg_topic_free(struct cfg_topic *t);

/* RENEWED: the same digest under a later label, and another one may have held in between. */
enum cfg_topic_effect { CFG_TOPIC_NOTHING, CFG_TOPIC_RELABELLED, CFG_TOPIC_RENEWED, CFG_TOPIC_CHANGED };
/* Takes a new view (*view is consumed) with its label. continuous: no change between the last adopted view and this one
 * was skipped, so that an equal digest means that nothing happened. Sends nothing. */
enum cfg_topic_effect cfg_topic_adopt(struct cfg_topic *t, struct cfg_view_out *view, struct cfg_rev label,
                                      uint64_t generation, const char *store_id, bool continuous);
/* Gives every subscriber that takes frames the newest view it does not hold. */
void cfg_topic_deliver(struct cfg_topic *t);
/* Marks: seen moves forward; send_marks tells all who take frames and have not heard of it (or of `stale`). */
void cfg_topic_seen(struct cfg_topic *t, struct cfg_rev seen);
void cfg_topic_set_stale(struct cfg_topic *t, bool stale);
void cfg_topic_send_marks(struct cfg_topic *t);
/* Tells everybody that the view which they hold holds anew: by an empty patch, and who takes no frames by the view. */
void cfg_topic_renew(struct cfg_topic *t);
/* The deployment is gone: everyone is unsubscribed and told `ended`. */
void cfg_topic_end(struct cfg_topic *t);

void cfg_topic_join(struct cfg_topic *t, struct cfg_subscriber *s, struct cfg_rev have, const char *digest);
/* s leaves its topic for another arm's. It holds what it holds, and its revision goes on from there: the caller sees to
 * it that `to` is up to date with the record that moved s. */
void cfg_topic_move(struct cfg_topic *to, struct cfg_subscriber *s);
/* Calls fn for every subscriber, each once, however they come and go meanwhile. */
void cfg_topic_each(struct cfg_topic *t, void (*fn)(struct cfg_topic *t, struct cfg_subscriber *s, void *arg),
                    void *arg);
void cfg_topic_leave(struct cfg_subscriber *s);
void cfg_topic_drained(struct cfg_subscriber *s);

/* The `view` event's data for a view that is no topic's: what cfg_hub_view_at answers with. */
struct cfg_topic_text {
    const char *deployment, *arm, *store_id;
    uint64_t generation;
    struct cfg_rev label;
    bool stale;
    const struct cfg_view_out *view;
};
void cfg_topic_print_view(struct cfg_buf *out, const struct cfg_topic_text *text);

#endif
