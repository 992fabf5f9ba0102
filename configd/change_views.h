/* What a change does to the deployments that run the namespaces it touches, directly or through bases: the views of
 * their arms that follow the heads, composed as they would be after the change. Internal to change_*.c. Pure. */
#ifndef CFG_CONFIGD_CHANGE_VIEWS_H
#define CFG_CONFIGD_CHANGE_VIEWS_H

#include "configd/change_spaces.h"
#include "configd/view.h"

/* What the change means for a deployment: told from its namespace's release with the pin on top, resolved, before and
 * after. The documents themselves are not kept: a base may lie under a thousand of them. */
struct cfg_composed {
    uint32_t refs; /* deployments that run the same with the same pin share one */
    cJSON *paths;  /* array of what differs */
    cJSON *kept;   /* as cfg_pin_kept; NULL without pinned keys */
};
/* The whole of what a deployment is told. All owned. */
struct cfg_view_documents {
    cJSON *before, *after; /* before NULL: there was none. What did not resolve then keeps its text */
    cJSON *environment;    /* array of the paths in after that are left to the reader's environment */
};
/* One deployment that runs a touched namespace or one above it. */
struct cfg_concern {
    struct cfg_deployment deployment; /* its record after the change; owned */
    bool touched;                     /* the change writes the deployment itself */
    bool follows;                     /* an arm of it follows the heads */
    bool created;                     /* by this change */
    bool told;                        /* its view comes from the heads: it follows them, or holds what they are now */
    struct cfg_composed *composed;    /* owned reference */
};
struct cfg_touched_space {
    const struct cfg_draft *draft; /* of the namespace or of its schema; borrowed from the bench */
    struct cfg_names above;        /* itself and what extends it */
};
struct cfg_views {
    struct cfg_concern *concerns; /* owned */
    size_t n, cap;
    struct cfg_touched_space *spaces; /* owned */
    size_t n_spaces;
};
void cfg_views_finish(struct cfg_views *v); /* takes a zeroed struct */

/* Finds the namespaces and deployments that the change concerns. Checks `extends` of every touched namespace (bases
 * exist, no circle, bounds), and that nothing deleted is extended. Guards everything that it reads, also all
 * deployments. CFG_E_NOT_FOUND, CFG_E_VALUE, CFG_E_LIMIT, CFG_E_IN_USE, CFG_E_NOMEM. *v is the caller's to finish in
 * any case. */
CFG_MUST_CHECK int cfg_views_gather(struct cfg_views *v, struct cfg_bench *b, struct cfg_error *err);
/* What is asked about views. All are called for views that come from the heads
 * alone, and only when the change changes anything. */
struct cfg_view_hooks {
    /* Is anything asked about this one? Documents are composed for those alone. */
    int (*wants)(bool *out, struct cfg_bench *b, const struct cfg_concern *c, bool first, struct cfg_error *err);
    /* May pin more of a deployment, in the draft of its record: *changed; the view is composed again then. */
    int (*freeze)(bool *changed, struct cfg_bench *b, const struct cfg_concern *c, const struct cfg_view_documents *x,
                  struct cfg_error *err);
    /* first: no deployment before shares the view. */
    int (*judge)(struct cfg_bench *b, const struct cfg_concern *c, bool first, const struct cfg_view_documents *x,
                 struct cfg_error *err);
};
/* Composes every view that follows the heads, which must succeed. CFG_E_VALUE, CFG_E_UNKNOWN_KEY, CFG_E_UNSUPPORTED,
 * CFG_E_LIMIT, CFG_E_NOMEM, and what the hooks say; a refusal about a view names deployment, path and layer. */
CFG_MUST_CHECK int cfg_views_compose(struct cfg_views *v, struct cfg_bench *b, const struct cfg_view_hooks *hooks,
                                     struct cfg_error *err);
bool cfg_views_change_anything(const struct cfg_bench *b); /* does the change? */
/* Adds "held", "kept", "affected", and a hint where a namespace that nobody runs is incomplete, to a namespace's
 * result. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_views_report(const struct cfg_views *v, struct cfg_bench *b, const struct cfg_draft *config,
                                    cJSON *result, struct cfg_error *err);

#endif
