#include "proto/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct cfg_arena_chunk {
    struct cfg_arena_chunk *older;
    alignas(max_align_t) char bytes[];
};

enum { FIRST_CHUNK = 2048, LARGEST_CHUNK = 256 * 1024 };

void cfg_arena_init(struct cfg_arena *a, size_t max)
{
    *a = (struct cfg_arena){.max = max};
}

void cfg_arena_finish(struct cfg_arena *a)
{
    while (a->chunks) {
        struct cfg_arena_chunk *older = a->chunks->older;
        free(a->chunks);
        a->chunks = older;
    }
    *a = (struct cfg_arena){.max = a->max};
}

/* Chunks double, so that a large arena is made of few of them. */
static bool add_chunk(struct cfg_arena *a, size_t n)
{
    size_t size = a->used < FIRST_CHUNK ? FIRST_CHUNK : a->used < LARGEST_CHUNK ? a->used : LARGEST_CHUNK;
    if (size < n)
        size = n;
    struct cfg_arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL)
        return false;
    chunk->older = a->chunks;
    a->chunks = chunk;
    a->next = chunk->bytes;
    a->end = chunk->bytes + size;
    return true;
}

void *cfg_arena_alloc(struct cfg_arena *a, size_t n)
{
    const size_t step = alignof(max_align_t);
    if (a->failed)
        return NULL;
    if (n > a->max || a->used > a->max - n) {
        a->failed = CFG_E_LIMIT;
        return NULL;
    }
    size_t room = (n + step - 1) / step * step;
    if ((size_t)(a->end - a->next) < room && !add_chunk(a, room)) {
        a->failed = CFG_E_NOMEM;
        return NULL;
    }
    void *p = a->next;
    a->next += room;
    a->used += room;
    memset(p, 0, room);
    return p;
}

struct cfg_arena_mark cfg_arena_mark(const struct cfg_arena *a)
{
    return (struct cfg_arena_mark){a->chunks, a->next, a->end, a->used};
}

void cfg_arena_release(struct cfg_arena *a, const struct cfg_arena_mark *m)
{
    while (a->chunks != m->chunk) {
        struct cfg_arena_chunk *older = a->chunks->older;
        free(a->chunks);
        a->chunks = older;
    }
    a->next = m->next;
    a->end = m->end;
    a->used = m->used;
    a->failed = 0;
}

char *cfg_arena_dup(struct cfg_arena *a, struct cfg_slice s)
{
    char *copy = cfg_arena_alloc(a, s.len + 1);
    if (copy && s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

int cfg_arena_status(const struct cfg_arena *a, const char *what, struct cfg_error *err)
{
    if (a->failed == CFG_E_LIMIT)
        return cfg_fail(err, CFG_E_LIMIT, "%s needs more than %zu KiB", what, a->max / 1024);
    return a->failed ? cfg_fail(err, a->failed, "out of memory") : 0;
}
