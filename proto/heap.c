#include "proto/heap.h"

#include <stdlib.h>

int cfg_heap_reserve(struct cfg_heap *h, size_t n)
{
    if (n <= h->size)
        return 0;
    size_t size = n > h->size * 2 ? n : h->size * 2;
    struct cfg_heap_node **grown = realloc(h->nodes, size * sizeof(struct cfg_heap_node *));
    if (grown == NULL)
        return CFG_E_NOMEM;
    h->nodes = grown;
    h->size = size;
    return 0;
}

void cfg_heap_finish(struct cfg_heap *h)
{
    free(h->nodes);
    *h = (struct cfg_heap){0};
}

static void put(struct cfg_heap *h, size_t at, struct cfg_heap_node *node)
{
    h->nodes[at] = node;
    node->at = at + 1;
}

static void rise(struct cfg_heap *h, struct cfg_heap_node *node)
{
    size_t at = node->at - 1;
    for (; at > 0 && h->nodes[(at - 1) / 2]->due > node->due; at = (at - 1) / 2)
        put(h, at, h->nodes[(at - 1) / 2]);
    put(h, at, node);
}

static void sink(struct cfg_heap *h, struct cfg_heap_node *node)
{
    size_t at = node->at - 1;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < h->n && h->nodes[child + 1]->due < h->nodes[child]->due)
            child++;
        if (child >= h->n || h->nodes[child]->due >= node->due)
            break;
        put(h, at, h->nodes[child]);
        at = child;
    }
    put(h, at, node);
}

static void take_out(struct cfg_heap *h, struct cfg_heap_node *node)
{
    size_t at = node->at - 1;
    struct cfg_heap_node *last = h->nodes[--h->n];
    node->at = 0;
    if (last == node)
        return;
    put(h, at, last);
    rise(h, last);
    sink(h, last);
}

void cfg_heap_set(struct cfg_heap *h, struct cfg_heap_node *node, uint64_t due)
{
    if (due == CFG_HEAP_NEVER) {
        if (node->at != 0)
            take_out(h, node);
        return;
    }
    node->due = due;
    if (node->at == 0)
        put(h, h->n++, node);
    rise(h, node);
    sink(h, node);
}

struct cfg_heap_node *cfg_heap_pop(struct cfg_heap *h, uint64_t now)
{
    if (h->n == 0 || h->nodes[0]->due > now)
        return NULL;
    struct cfg_heap_node *first = h->nodes[0];
    take_out(h, first);
    return first;
}
