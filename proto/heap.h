/* A heap of deadlines: which of many is the next, with any of them moved or taken out at any time. Pure.
 *
 * A node lies in whatever it is the deadline of; the heap keeps pointers. Room is made beforehand, so that setting a
 * deadline never fails. One thread. */
#ifndef CFG_PROTO_HEAP_H
#define CFG_PROTO_HEAP_H

#include <cfg/error.h>
#include <stddef.h>
#include <stdint.h>

#define CFG_HEAP_NEVER UINT64_MAX

struct cfg_heap_node {
    uint64_t due; /* meaningful while it is in a heap */
    size_t at;    /* place + 1; 0: in none */
};

struct cfg_heap {
    struct cfg_heap_node **nodes; /* borrowed; the array is owned */
    size_t n, size;
};

/* Room for `n` nodes in all. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_heap_reserve(struct cfg_heap *h, size_t n);
void cfg_heap_finish(struct cfg_heap *h); /* takes a zeroed struct; the nodes are not looked at */
/* Puts the node in, or moves it. CFG_HEAP_NEVER takes it out. */
void cfg_heap_set(struct cfg_heap *h, struct cfg_heap_node *node, uint64_t due);
static inline void cfg_heap_remove(struct cfg_heap *h, struct cfg_heap_node *node)
{
    cfg_heap_set(h, node, CFG_HEAP_NEVER);
}
/* The earliest that is due by `now` is taken out; NULL: none is. */
struct cfg_heap_node *cfg_heap_pop(struct cfg_heap *h, uint64_t now);
static inline uint64_t cfg_heap_due(const struct cfg_heap *h) /* of the earliest; CFG_HEAP_NEVER: empty */
{
    return h->n > 0 ? h->nodes[0]->due : CFG_HEAP_NEVER;
}

#endif
