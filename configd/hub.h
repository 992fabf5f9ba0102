/* Fan-out: one topic per (deployment, arm) holds the newest view, its bytes as stream frames built once, and the
 * subscribers that share them.
 *
 * A subscriber is whatever can take bytes (stream_http.c: a socket). Delivery survives subscribers leaving during it. A
 * subscriber that has not drained is marked behind and, when it drains, is given the newest frame only (patch when its
 * view is the one before, else the whole view): its queue is bounded by one frame.
 *
 * What a change of the store means for a topic:
 *   digest differs            → patch (or view, after an epoch's rise or a change of generation), at once
 *   digest same, inputs moved → mark, at once
 *   nothing of its inputs     → mark, but late and for many changes together: marks only serve those who wait
 * Replica not LIVE for STALE_AFTER → mark with stale:true once; LIVE again → mark with stale:false. One thread. */
#ifndef CFG_CONFIGD_HUB_H
#define CFG_CONFIGD_HUB_H

#include "configd/service.h"

struct cfg_hub;
struct cfg_topic;

struct cfg_deployment;

/* Embedded in whoever subscribes; all members belong to the hub but the functions and the struct around it. */
struct cfg_subscriber {
    /* Takes one frame (shared bytes; ref to keep): it counts as sent. False: cannot take more now; the hub will not
     * call again until cfg_hub_drained. May unsubscribe s, must not free it. */
    bool (*send)(struct cfg_subscriber *s, struct cfg_bytes *frame);
    /* The deployment was deleted, or the arm that s stays with; s is unsubscribed already. May not free s before it
     * returns. */
    void (*ended)(struct cfg_subscriber *s);
    /* The arm that s has to follow by the deployment's record as it is now: asked when that record changes; s is moved
     * to that arm's topic before it hears of the change. Borrowed from d, or static. NULL: s stays with its arm. */
    const char *(*arm)(struct cfg_subscriber *s, const struct cfg_deployment *d);
    struct cfg_topic *topic; /* NULL: not subscribed */
    struct cfg_subscriber *prev, *next;
    struct cfg_rev rev;   /* newest revision sent */
    uint64_t view_serial; /* which of the topic's views it holds; 0: none */
    bool behind;          /* does not take more now */
    bool stale;           /* what it was told last */
};

/* Where versions other than heads come from: the service (cfg_hub_new), or memory in tests. */
struct cfg_hub_history {
    /* As cfg_service_cached_version: NULL starts a fetch, cfg_hub_fetched tells that one came. */
    struct cfg_object *(*version)(void *arg, const struct cfg_object_id *id, uint64_t version);
    /* As cfg_service_versions. */
    void (*versions)(void *arg, const struct cfg_object_id *id, uint64_t before, unsigned limit, cfg_objects_fn fn,
                     void *fn_arg);
    void *arg;
};

CFG_MUST_CHECK int cfg_hub_new(struct cfg_hub **out, struct cfg_loop *loop, struct cfg_store *store,
                               struct cfg_service *service, struct cfg_error *err);
CFG_MUST_CHECK int cfg_hub_new_with(struct cfg_hub **out, struct cfg_loop *loop, struct cfg_store *store,
                                    const struct cfg_hub_history *history, struct cfg_error *err); /* copied */
void cfg_hub_free(struct cfg_hub *h); /* after its subscribers; NULL is fine */
void cfg_hub_fetched(struct cfg_hub *h);

/* The topic of (deployment, arm); composed on first use and up to date. CFG_E_NOT_FOUND with a near miss,
 * CFG_E_NOT_READY while a held release is being fetched or the replica is empty. Borrowed: lives while the hub does.
 * With CFG_E_NOT_READY for a known deployment *out is set all the same: it may be subscribed to, the view follows. */
CFG_MUST_CHECK int cfg_hub_topic(struct cfg_topic **out, struct cfg_hub *h, const char *deployment, const char *arm,
                                 struct cfg_error *err);
/* Newest revision and digest of a topic, and its `view` event's data as JSON text. Borrowed until the next turn; none
 * and "" while it has no view. */
struct cfg_rev cfg_topic_rev(const struct cfg_topic *t);
struct cfg_rev cfg_topic_since(const struct cfg_topic *t); /* the revision since which this digest has held */
const struct cfg_release *cfg_topic_versions(const struct cfg_topic *t); /* of its view; borrowed likewise */
const char *cfg_topic_digest(const struct cfg_topic *t);
const char *cfg_topic_pin_digest(const struct cfg_topic *t);
struct cfg_slice cfg_topic_view_json(struct cfg_topic *t);

/* Joins: have is what the subscriber claims to hold ({0,0} and NULL: nothing). It is sent a view, a patch or a mark at
 * once, or as soon as there is a view. */
void cfg_hub_subscribe(struct cfg_hub *h, struct cfg_topic *t, struct cfg_subscriber *s, struct cfg_rev have,
                       const char *digest);
void cfg_hub_unsubscribe(struct cfg_hub *h, struct cfg_subscriber *s); /* idempotent; safe inside send */
void cfg_hub_drained(struct cfg_hub *h, struct cfg_subscriber *s);
size_t cfg_topic_subscribers(const struct cfg_topic *t);
size_t cfg_hub_subscribers(const struct cfg_hub *h);
/* Counters for /metrics. */
struct cfg_hub_stats {
    uint64_t views;   /* composed that differed from the one before */
    uint64_t frames;  /* given to streams: views, patches, marks */
    uint64_t bytes;   /* of those */
    uint64_t skipped; /* times a slow reader was given the newest view instead of every one between */
};
void cfg_hub_stats(const struct cfg_hub *h, struct cfg_hub_stats *out);
bool cfg_hub_stale(const struct cfg_hub *h);

/* The view of (deployment, arm) as it was at `at`, rebuilt from history: the `view` event's data as JSON text (borrowed
 * by fn, which is called in a later turn, exactly once). CFG_E_NOT_FOUND (no deployment at that revision),
 * CFG_E_COMPACTED (retention has taken a version it was made of, or an epoch that has ended), CFG_E_NOT_READY (newer
 * than what the replica shows, even after a little wait), and what the history's reader says. After cfg_hub_free fn is
 * not called any more. */
typedef void (*cfg_hub_view_fn)(void *arg, struct cfg_slice view_json, const struct cfg_error *err);
void cfg_hub_view_at(struct cfg_hub *h, const char *deployment, const char *arm, struct cfg_rev at, cfg_hub_view_fn fn,
                     void *arg);
/* The same for the arm that `assign` says by the deployment's record of that revision; borrowed from d, or static.
 * Called with arg, before fn, at most once. */
typedef const char *(*cfg_hub_assign_fn)(void *arg, const struct cfg_deployment *d);
void cfg_hub_view_at_assigned(struct cfg_hub *h, const char *deployment, cfg_hub_assign_fn assign, struct cfg_rev at,
                              cfg_hub_view_fn fn, void *arg);

#endif
