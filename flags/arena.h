/* Memory of one program or set: only ever grows, is freed as a whole, and never moves what it gave, so that a compiled
 * program may point into it. Equal strings and equal parts of rules of a set are one copy: flags that ask the same
 * questions read the same few cache lines, and cost their memory once. Internal to flags. One owner while compiling;
 * afterwards it is not touched. */
#ifndef CFG_FLAGS_ARENA_H
#define CFG_FLAGS_ARENA_H

#include "flags/value.h"

struct arena_chunk;

struct logic_path;

/* A string, NUL-terminated. `hash` is cfg_flag_name_hash. Whatever rules make of an interned one they make once: flags
 * that ask for the same attributes read the same few cache lines. */
struct arena_string {
    uint32_t hash, len;
    const struct logic_path *path; /* the string as a path of attributes; NULL until it is one */
    struct cfg_flag_value value;   /* the string as a literal; its kind is 0 until it is one */
    char bytes[];
};

struct arena_block {
    const void *bytes;
    uint32_t hash, n; /* n 0: an empty slot */
};

struct flag_arena {
    struct arena_chunk *chunks;        /* the newest first */
    size_t next_size, bytes;           /* bytes: what was taken from the allocator */
    const struct arena_string **table; /* of interned strings; only while compiling, as what follows */
    size_t n_strings, table_size;
    struct arena_block *blocks; /* of shared blocks */
    size_t n_blocks, blocks_size;
    struct arena_chunk *drafts; /* the newest first */
};

void cfg_flag_arena_init(struct flag_arena *a, size_t expected);
void cfg_flag_arena_finish(struct flag_arena *a);
/* Ends interning and frees what only that needed. */
void cfg_flag_arena_seal(struct flag_arena *a);
/* Zeroed, aligned to 16 bytes; NULL without memory. */
void *cfg_flag_arena_take(struct flag_arena *a, size_t n);
/* Room to build a block in: zeroed, and in place until cfg_flag_arena_share takes it or a draft below it, or
 * cfg_flag_arena_drop_drafts all of them. NULL without memory. */
void *cfg_flag_arena_draft(struct flag_arena *a, size_t n);
/* The one copy of a draft's first n bytes (a multiple of 8 without padding, n > 0), or of any other block's. What it
 * points to must have been shared before, so that equal means the same bytes. NULL without memory. */
const void *cfg_flag_arena_share(struct flag_arena *a, void *block, size_t n);
void cfg_flag_arena_drop_drafts(struct flag_arena *a);
/* The one copy of these bytes; NULL without memory. */
const struct arena_string *cfg_flag_arena_intern(struct flag_arena *a, const char *bytes, size_t n);
/* The same for a string of a cJSON tree, whose C0 80 becomes the byte 00. */
const struct arena_string *cfg_flag_arena_intern_tree(struct flag_arena *a, const char *text);

#endif
