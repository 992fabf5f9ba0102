/* The heads of objects in one sorted array, and what changes between two such sets: the store's memory. One
 * thread. */
#ifndef CFG_CONFIGD_HEADS_H
#define CFG_CONFIGD_HEADS_H

#include "configd/store.h"

#include <stdlib.h>

/* p; where memory is out, the end of the process: a replica that dropped a record would serve a lie. */
static inline void *cfg_need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

/* Zeroed: empty. Owned references, sorted by id but between cfg_heads_push and cfg_heads_sort. */
struct cfg_heads {
    struct cfg_object **items;
    size_t n, cap;
};
void cfg_heads_push(struct cfg_heads *h, struct cfg_object *o); /* at the end; takes the reference over */
void cfg_heads_sort(struct cfg_heads *h);
void cfg_heads_finish(struct cfg_heads *h); /* empty afterwards */
/* The place of id, or where it would go. */
size_t cfg_heads_place(const struct cfg_heads *h, const struct cfg_object_id *id);
struct cfg_object *cfg_heads_get(const struct cfg_heads *h, const struct cfg_object_id *id); /* borrowed; NULL: none */
/* Takes the reference over; returns the replaced one (NULL: there was none), which the caller then owns. */
struct cfg_object *cfg_heads_replace(struct cfg_heads *h, struct cfg_object *o);
struct cfg_object *cfg_heads_remove(struct cfg_heads *h, const struct cfg_object_id *id); /* likewise */

/* Zeroed: none. Owned references. */
struct cfg_head_changes {
    struct cfg_store_change *items;
    size_t n, cap;
};
/* Takes both references over; either may be NULL. */
void cfg_head_changes_push(struct cfg_head_changes *c, struct cfg_object *before, struct cfg_object *after);
void cfg_head_changes_finish(struct cfg_head_changes *c);
/* Appends what differs between two sorted sets, with references of its own. */
void cfg_heads_differ(struct cfg_head_changes *out, const struct cfg_heads *before, const struct cfg_heads *after);

#endif
