/* Memory of one program or set: only ever grows, is freed as a whole, and never moves what it gave, so that a compiled
 * program may point into it. Strings can be interned: equal strings of a set are one pointer. Internal to flags.
 * One owner while compiling; afterwards it is not touched. */
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

struct arena {
    struct arena_chunk *chunks;        /* the newest first */
    size_t next_size, bytes;           /* bytes: what was taken from the allocator */
    const struct arena_string **table; /* of interned strings; only while compiling */
    size_t n_strings, table_size;
};

void cfg_arena_init(struct arena *a, size_t expected);
void cfg_arena_finish(struct arena *a);
/* Ends interning and frees what only that needed. */
void cfg_arena_seal(struct arena *a);
/* Zeroed, aligned to 16 bytes; NULL without memory. */
void *cfg_arena_take(struct arena *a, size_t n);
/* The one copy of these bytes; NULL without memory. */
const struct arena_string *cfg_arena_intern(struct arena *a, const char *bytes, size_t n);
/* The same for a string of a cJSON tree, whose C0 80 becomes the byte 00. */
const struct arena_string *cfg_arena_intern_tree(struct arena *a, const char *text);

#endif
