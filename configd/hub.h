/* Fan-out: one topic per (deployment, arm) holds the newest view, its bytes as stream frames built once, and the
 * subscribers that share them.
 *
 * A subscriber is whatever can take bytes (stream_http.c: a socket). Delivery survives subscribers leaving during it. A
 * subscriber that has not drained is marked behind and, when it drains, is given the newest frame only (patch when its
 * digest fits, else the whole view): its queue is bounded by one frame. One thread. */
#ifndef CFG_CONFIGD_HUB_H
#define CFG_CONFIGD_HUB_H

#include "configd/service.h"

struct cfg_hub;
struct cfg_topic;

/* Embedded in whoever subscribes; all members belong to the hub but `send` and `arg`. */
struct cfg_subscriber {
    /* Takes one frame (shared bytes; ref to keep). False: cannot take more now; the hub will not call again until
     * cfg_hub_drained. */
    bool (*send)(struct cfg_subscriber *s, struct cfg_bytes *frame);
    struct cfg_topic *topic;
    struct cfg_subscriber *prev, *next;
    struct cfg_rev rev;   /* newest revision sent */
    uint64_t view_serial; /* which of the topic's views it holds; 0: none */
    bool behind;
};

CFG_MUST_CHECK int cfg_hub_new(struct cfg_hub **out, struct cfg_loop *loop, struct cfg_store *store,
                               struct cfg_service *service, struct cfg_error *err);
void cfg_hub_free(struct cfg_hub *h);

/* The topic of (deployment, arm); composed on first use. CFG_E_NOT_FOUND with a near miss, CFG_E_NOT_READY while a held
 * release is being fetched or the replica is empty. Borrowed: lives while the hub does. */
CFG_MUST_CHECK int cfg_hub_topic(struct cfg_topic **out, struct cfg_hub *h, const char *deployment, const char *arm,
                                 struct cfg_error *err);
/* Newest revision and digest of a topic, and its `view` event's data as JSON text. Borrowed until the next turn. */
struct cfg_rev cfg_topic_rev(const struct cfg_topic *t);
const char *cfg_topic_digest(const struct cfg_topic *t);
struct cfg_slice cfg_topic_view_json(const struct cfg_topic *t);

/* Joins: have is what the subscriber claims to hold ({0,0} and NULL: nothing). It is sent a view, a patch or a mark at
 * once. */
void cfg_hub_subscribe(struct cfg_hub *h, struct cfg_topic *t, struct cfg_subscriber *s, struct cfg_rev have,
                       const char *digest);
void cfg_hub_unsubscribe(struct cfg_hub *h, struct cfg_subscriber *s); /* idempotent; safe inside send */
void cfg_hub_drained(struct cfg_hub *h, struct cfg_subscriber *s);
size_t cfg_topic_subscribers(const struct cfg_topic *t);

#endif
