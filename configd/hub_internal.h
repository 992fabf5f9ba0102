/* What hub.c, hub_arms.c and hub_view_at.c share. */
#ifndef CFG_CONFIGD_HUB_INTERNAL_H
#define CFG_CONFIGD_HUB_INTERNAL_H

#include "configd/hub_compose.h"

/* A view of the past being rebuilt; owned by itself, hub is NULL once the hub is gone. */
struct cfg_view_job {
    struct cfg_hub *hub;
    struct cfg_view_job *prev, *next;
};

struct cfg_hub {
    struct cfg_loop *loop;
    struct cfg_store *store;
    struct cfg_hub_history history;
    struct cfg_store_listener listener;
    struct cfg_topic *topics;
    size_t n_topics;
    struct cfg_timer *stale_timer, *mark_timer, *retry_timer, *work_timer;
    bool live, stale, mark_due;
    struct cfg_hub_trees trees; /* for the views that are composed in one go */
    struct cfg_view_job *jobs;
};

/* Moves those of t's subscribers to other arms' topics whom the deployment's record assigns there now; ends those that
 * stay with an arm that is gone (hub_arms.c). */
void cfg_hub_assign(struct cfg_hub *h, struct cfg_topic *t);

#endif
