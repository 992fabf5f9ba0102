/* The flags of a namespace, compiled and kept: what reads of flags evaluate.
 *
 * A namespace's entry is brought up to date when somebody asks for it after its flags have moved, never on the write
 * itself: only what has changed since is compiled, so a namespace of 10,000 flags costs a write that touches one of
 * them a walk over pointers. Flags with prerequisites, and what they require, are compiled together as one set; all
 * others alone. A flag that does not compile (a foreign hand wrote it) stays, and says so; the others are not affected.
 *
 * The flag revision of a namespace is the greatest revision of anything its flags' answers are made of (flags, shared
 * rules and metadata, flips of time rules; tombstones included). It is the same on every replica. One thread. */
#ifndef CFG_CONFIGD_FLAG_SPACE_H
#define CFG_CONFIGD_FLAG_SPACE_H

#include "configd/store.h"
#include "flags/flag.h"

struct cfg_flag_spaces;

/* One flag. program is NULL when it does not compile: why says the reason. */
struct cfg_flag_entry {
    struct cfg_object *object; /* its head, never a tombstone */
    const struct cfg_flag_program *program;
    const char *why;
    bool decimals; /* a number flag with a variant that is no integer: clients shall read all of them as floats */
    /* The rest is flag_space.c's. */
    struct cfg_flag_program *own; /* compiled alone */
    bool requires, refers, joint;
};

/* Everything is borrowed from the spaces and good until the next turn of the loop. */
struct cfg_flag_space {
    struct cfg_rev revision;
    int64_t modified_s;    /* when the newest of it was written, by its record: seconds since 1970; 0: nothing ever */
    const cJSON *metadata; /* of the whole set; NULL: none */
    const struct cfg_flag_entry *entries; /* in the order of their names */
    size_t n;
};

CFG_MUST_CHECK int cfg_flag_spaces_new(struct cfg_flag_spaces **out, struct cfg_store *store,
                                       struct cfg_error *err); /* store is borrowed and outlives it */
void cfg_flag_spaces_free(struct cfg_flag_spaces *s);          /* after its listeners; NULL is fine */

/* The flags of a namespace as the store shows them now; one without flags has none. Never NULL. */
const struct cfg_flag_space *cfg_flag_spaces_get(struct cfg_flag_spaces *s, const char *ns);
/* NULL when there is no such flag. */
const struct cfg_flag_entry *cfg_flag_space_find(const struct cfg_flag_space *space, const char *name, size_t len);

/* Told, once per revision and after the store shows all of it, that the flag revision of a namespace has moved.
 * Embedded in whoever listens; may unlisten any listener from inside. */
struct cfg_flag_listener {
    void (*moved)(struct cfg_flag_listener *l);
    struct cfg_flag_listener *prev, *next; /* the spaces' from here */
    struct cfg_flag_spaces *all;           /* NULL: not listening */
    char ns[CFG_LIMIT_NAME + 1];
};
void cfg_flag_spaces_listen(struct cfg_flag_spaces *s, struct cfg_flag_listener *l, const char *ns);
void cfg_flag_spaces_unlisten(struct cfg_flag_listener *l); /* idempotent */

/* How many flags were compiled so far, for tests and benchmarks. */
uint64_t cfg_flag_spaces_compiled(const struct cfg_flag_spaces *s);

#endif
