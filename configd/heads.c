/* Heads in a sorted array. See heads.h. */
#include "configd/heads.h"

#include <string.h>

void cfg_heads_push(struct cfg_heads *h, struct cfg_object *o)
{
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->items = cfg_need(realloc(h->items, h->cap * sizeof *h->items));
    }
    h->items[h->n++] = o;
}

void cfg_heads_finish(struct cfg_heads *h)
{
    for (size_t i = 0; i < h->n; i++)
        (void)cfg_object_unref(h->items[i]);
    free(h->items);
    *h = (struct cfg_heads){0};
}

size_t cfg_heads_place(const struct cfg_heads *h, const struct cfg_object_id *id)
{
    size_t low = 0, high = h->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (cfg_object_id_cmp(&h->items[mid]->id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct cfg_object *cfg_heads_get(const struct cfg_heads *h, const struct cfg_object_id *id)
{
    size_t i = cfg_heads_place(h, id);
    return i < h->n && cfg_object_id_eq(&h->items[i]->id, id) ? h->items[i] : NULL;
}

struct cfg_object *cfg_heads_replace(struct cfg_heads *h, struct cfg_object *o)
{
    size_t i = cfg_heads_place(h, &o->id);
    if (i < h->n && cfg_object_id_eq(&h->items[i]->id, &o->id)) {
        struct cfg_object *before = h->items[i];
        h->items[i] = o;
        return before;
    }
    cfg_heads_push(h, o);
    memmove(h->items + i + 1, h->items + i, (h->n - 1 - i) * sizeof *h->items);
    h->items[i] = o;
    return NULL;
}

struct cfg_object *cfg_heads_remove(struct cfg_heads *h, const struct cfg_object_id *id)
{
    size_t i = cfg_heads_place(h, id);
    if (i == h->n || !cfg_object_id_eq(&h->items[i]->id, id))
        return NULL;
    struct cfg_object *before = h->items[i];
    h->n--;
    memmove(h->items + i, h->items + i + 1, (h->n - i) * sizeof *h->items);
    return before;
}

static int by_id(const void *a, const void *b)
{
    const struct cfg_object *const *x = a, *const *y = b;
    return cfg_object_id_cmp(&(*x)->id, &(*y)->id);
}

void cfg_heads_sort(struct cfg_heads *h)
{
    if (h->n > 1)
        qsort(h->items, h->n, sizeof *h->items, by_id);
}

void cfg_head_changes_push(struct cfg_head_changes *c, struct cfg_object *before, struct cfg_object *after)
{
    if (c->n == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 8;
        c->items = cfg_need(realloc(c->items, c->cap * sizeof *c->items));
    }
    c->items[c->n++] = (struct cfg_store_change){before, after};
}

void cfg_head_changes_finish(struct cfg_head_changes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        (void)cfg_object_unref(c->items[i].before);
        (void)cfg_object_unref(c->items[i].after);
    }
    free(c->items);
}

void cfg_heads_differ(struct cfg_head_changes *out, const struct cfg_heads *before, const struct cfg_heads *after)
{
    size_t i = 0, j = 0;
    while (i < before->n || j < after->n) {
        struct cfg_object *b = i < before->n ? before->items[i] : NULL;
        struct cfg_object *a = j < after->n ? after->items[j] : NULL;
        int order = b == NULL ? 1 : a == NULL ? -1 : cfg_object_id_cmp(&b->id, &a->id);
        i += order <= 0;
        j += order >= 0;
        if (order == 0 && b->mod_revision == a->mod_revision &&
            cfg_slice_eq(cfg_bytes_slice(b->json), cfg_bytes_slice(a->json)))
            continue;
        cfg_head_changes_push(out, order <= 0 ? cfg_object_ref(b) : NULL, order >= 0 ? cfg_object_ref(a) : NULL);
    }
}
