/* From the store to a view: which objects a topic's view is made of, gathered from the replica's heads and the history.
 * One thread. */
#ifndef CFG_CONFIGD_HUB_COMPOSE_H
#define CFG_CONFIGD_HUB_COMPOSE_H

#include "configd/hub_topic.h"

/* CFG_E_NOT_FOUND for a deployment that does not exist or was deleted, with a near miss or the command that makes one.
 */
CFG_MUST_CHECK int cfg_hub_deployment(struct cfg_object **out, const struct cfg_store *store, const char *name,
                                      struct cfg_error *err); /* borrowed as from the store */

/* Namespaces as trees, for as long as views are composed one after the other: a thousand of them may share a base. */
enum { CFG_HUB_TREES = 64 };
struct cfg_hub_trees {
    struct {
        struct cfg_object *object; /* a reference */
        cJSON *tree;
    } items[CFG_HUB_TREES];
    size_t n;
    struct cfg_release_bases *bases; /* merged; made of the trees */
};
void cfg_hub_trees_clear(struct cfg_hub_trees *t); /* takes a zeroed struct */

/* What a view is made of, as far as it could be found out. Owned. */
struct cfg_composing {
    struct cfg_deployment deployment;   /* its name is "" when the record could not be read */
    char (*spaces)[CFG_LIMIT_NAME + 1]; /* namespaces that were looked into, also missing ones */
    size_t n_spaces;
    bool fixed; /* the arm holds a release: heads do not matter */
};
void cfg_composing_finish(struct cfg_composing *c); /* takes a zeroed struct */

/* The composed view of `deployment_object` as the replica shows it now. *what is filled whatever the answer, so that a
 * view that cannot be composed yet is tried again when its inputs move; the caller finishes both. trees is
 * filled with what others may need, too; the caller clears it. CFG_E_NOT_READY while a version is being fetched or a
 * namespace is gone, CFG_E_NOT_FOUND for an unknown arm, what cfg_view_compose says. */
CFG_MUST_CHECK int cfg_hub_compose(struct cfg_view_out *view, struct cfg_composing *what, const struct cfg_store *store,
                                   const struct cfg_hub_history *history, struct cfg_hub_trees *trees,
                                   struct cfg_object *deployment_object, const char *arm, struct cfg_error *err);
/* Does a change of `o` touch the inputs of t? */
bool cfg_topic_depends(const struct cfg_topic *t, const struct cfg_object *o);
/* Notes the inputs. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_topic_set_inputs(struct cfg_topic *t, const struct cfg_composing *what);

#endif
