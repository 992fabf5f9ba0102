/* What a compiled flag looks like inside. Internal to flags; built by flag_parse.c and set.c, read by flag.c. */
#ifndef CFG_FLAGS_PROGRAM_H
#define CFG_FLAGS_PROGRAM_H

#include "flags/logic.h"
#include "flags/set.h"

enum {
    SHARE_TOTAL = 10000,    /* buckets of a group or holdout */
    PREREQUISITE_DEPTH = 32 /* flags in a chain of prerequisites */
};

struct flag_variant {
    const struct arena_string *name; /* as rules spell it */
    const char *text;                /* as trees do: the same but for U+0000 */
    const cJSON *value;
};

struct flag_requirement {
    const struct arena_string *flag;
    const struct arena_string *const *variants; /* any of them will do */
    uint32_t n_variants;
    const struct cfg_flag_program *program; /* NULL in a flag compiled alone */
};

/* Buckets [from, to) of a group or holdout. */
struct flag_share {
    const struct arena_string *name;
    const struct logic_path *by;
    const struct arena_string *by_text;
    uint32_t from, to;
};

struct flag_extras {
    const struct flag_requirement *requirements;
    const struct flag_share *holdouts;
    uint32_t n_requirements, n_holdouts;
    bool grouped;
    struct flag_share group;
};

enum { NAME_HEAD = 24 };

/* Two cache lines and a half, aligned: finding a flag and answering without targeting reads only the first. */
struct cfg_flag_program {
    const char *answer_text; /* of whoever asks, without targeting; NULL: the caller's default */
    const cJSON *answer_value;
    const struct logic_node *rule; /* NULL without targeting */
    const cJSON *metadata;
    uint32_t name_len;
    uint8_t type, answer_reason, hash_version;
    bool depends;         /* on the context: the answer above is not all there is to say */
    char head[NAME_HEAD]; /* the name, when it is no longer than this */

    const struct flag_extras *extras; /* NULL: nothing beyond flagd and the kill switch */
    const struct flag_variant *variants;
    const struct arena_string *name;
    struct cfg_murmur3 seed;                   /* of the name */
    const struct flag_variant *standard, *off; /* NULL when none is named */
    const char *broken;                        /* an OpenFeature error code that is its only answer */
    struct cfg_flag_set *set;
    uint32_t n_variants;
    bool enabled, state;
    uint8_t visit; /* while prerequisites are checked, see set_check.c */
};

struct set_slot {
    uint32_t hash, index; /* of the flag, from 1; 0 is empty */
};

/* Flags begin on cache lines. */
union set_flag {
    struct cfg_flag_program program;
    char bytes[192];
};

struct flag_flip {
    int64_t at;    /* seconds since 1970 */
    uint32_t flag; /* index */
};

struct cfg_flag_set {
    struct flag_arena arena;
    union set_flag *flags; /* in the order of the source */
    struct set_slot *slots;
    size_t n_flags;
    uint32_t mask;
    const cJSON *metadata;
    const struct flag_flip *flips; /* by time */
    size_t n_flips;
};

struct flag_compiler {
    struct logic_compiler logic; /* its arena is the set's */
    const cJSON *metadata;       /* of the set */
    bool check_results;          /* refuse a literal result that is no variant: where somebody is writing the flag */
    struct flag_flip *flips;     /* of the flags so far */
    size_t n_flips, cap_flips;
};

/* Fills *out (its set and name are there already) from an envelope; a definition alone is an envelope's. Errors as
 * cfg_flag_compile's. On failure *out is of no use, but its memory is the arena's. */
CFG_MUST_CHECK int cfg_flag_parse(struct cfg_flag_program *out, struct flag_compiler *c, const cJSON *envelope,
                                  const cJSON *definition);
/* The parts of an envelope that reach beyond the flag (flag_extras.c). *out stays NULL when there are none. */
CFG_MUST_CHECK int cfg_flag_parse_extras(const struct flag_extras **out, struct flag_compiler *c,
                                         const cJSON *envelope);
/* Of a flag whose variants and targeting have been compiled: refuses a literal in the place of a result that names no
 * variant. CFG_E_VALUE with path and near miss. */
CFG_MUST_CHECK int cfg_flag_check_results(const struct cfg_flag_program *p, struct flag_compiler *c,
                                          const cJSON *targeting);
/* Checks the form of an envelope's `overrides` (flag_extras.c). CFG_E_VALUE. */
/* Is this an envelope's member "requires" (NULL or null: none is fine)? CFG_E_VALUE. */
CFG_MUST_CHECK int cfg_flag_check_requires(struct flag_compiler *c, const cJSON *list);
CFG_MUST_CHECK int cfg_flag_check_overrides(const struct cfg_flag_program *p, struct flag_compiler *c,
                                            const cJSON *overrides);
/* A copy of a tree in the arena, not linked to anything; NULL without memory. */
const cJSON *cfg_flag_copy_tree(struct flag_arena *a, const cJSON *v);
/* Resolves prerequisites and checks them and the groups across the set (set_check.c). */
CFG_MUST_CHECK int cfg_flag_set_check(struct cfg_flag_set *set, bool keep_broken, struct cfg_error *err);

/* The instants of the rule just compiled are those of this flag (flips.c). CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_flag_note_flips(struct flag_compiler *c, uint32_t flag);
/* Hands what was noted to the set. */
void cfg_flag_set_keep_flips(struct cfg_flag_set *set, struct flag_compiler *c);
/* Fills in what the flag answers without targeting, once everything else is known. */
void cfg_flag_settle(struct cfg_flag_program *p);
/* The variant of that name, or NULL. */
const struct flag_variant *cfg_flag_find_variant(const struct cfg_flag_program *p, const char *name, size_t len);

#endif
