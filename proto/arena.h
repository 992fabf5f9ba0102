/* A bump allocator with a mandatory maximum: many small things that die together, freed at once.
 *
 * A failed allocation is sticky in `failed`, so a run of them may be checked once at its end. Not thread-safe: one
 * owner, one thread. */
#ifndef CFG_PROTO_ARENA_H
#define CFG_PROTO_ARENA_H

#include "proto/buf.h"

struct cfg_arena_chunk;
struct cfg_arena {
    struct cfg_arena_chunk *chunks; /* newest first */
    char *next, *end;               /* what is left of the newest */
    size_t used, max;               /* bytes handed out, and how many may be */
    int failed;                     /* 0, CFG_E_NOMEM or CFG_E_LIMIT */
};

/* Nothing is allocated before the first use. */
void cfg_arena_init(struct cfg_arena *a, size_t max);
void cfg_arena_finish(struct cfg_arena *a); /* frees everything; takes a zeroed struct */
/* Zeroed bytes, aligned for any type, borrowed until the arena is finished. NULL on failure (see `failed`). */
void *cfg_arena_alloc(struct cfg_arena *a, size_t n);
/* A NUL-terminated copy. NULL on failure. */
char *cfg_arena_dup(struct cfg_arena *a, struct cfg_slice s);
/* What was handed out since the mark was taken is given back; marks are given back newest first. */
struct cfg_arena_mark {
    struct cfg_arena_chunk *chunk;
    char *next, *end;
    size_t used;
};
struct cfg_arena_mark cfg_arena_mark(const struct cfg_arena *a);
void cfg_arena_release(struct cfg_arena *a, const struct cfg_arena_mark *m); /* `failed` is forgotten too */
/* 0 or the sticky failure, with its text in *err. `what` names what did not fit. */
CFG_MUST_CHECK int cfg_arena_status(const struct cfg_arena *a, const char *what, struct cfg_error *err);

#endif
