/* Values that rules compute with, and the context they are asked about.
 *
 * One plain struct serves attributes of a context, literals of a program and intermediate results, so that evaluating
 * copies nothing and walks no JSON. A context is an array of named values: fill it by hand in C (the name's hash may be
 * computed once and reused), or read it from JSON with cfg_flag_context_init_json. Everything here is read-only
 * while an evaluation runs; any number of threads may share it. */
#ifndef CFG_FLAGS_VALUE_H
#define CFG_FLAGS_VALUE_H

#include "proto/json.h"
#include <cfg/flag_types.h>

uint32_t cfg_flag_name_hash(const char *name, size_t len);

/* A member whose name is `name`; name and value are borrowed. */
struct cfg_flag_member cfg_flag_member_str(const char *name, const char *value);
struct cfg_flag_member cfg_flag_member_number(const char *name, double value);
struct cfg_flag_member cfg_flag_member_bool(const char *name, bool value);

/* What an evaluation may tell about itself, in the order in which it happens. */
enum cfg_flag_note_kind {
    CFG_NOTE_KILLED,       /* `enabled` is false */
    CFG_NOTE_PREREQUISITE, /* name: the flag required; text: the variant it has; holds */
    CFG_NOTE_GROUP,        /* name: the exclusion group; bucket of total; holds: the unit is in this flag's share */
    CFG_NOTE_HOLDOUT,      /* name: the holdout; bucket of total; holds: the unit is not held out */
    CFG_NOTE_RULE,         /* index: which branch of an `if` was taken, from 0; the else branch is the last */
    CFG_NOTE_BUCKET,       /* a `fractional`: bucket of total; index: which entry of it was chosen */
    CFG_NOTE_VARIANT,      /* name: what targeting answered; holds: that is a variant of the flag */
    CFG_NOTE_UNNAMED       /* name: the attribute that should name the unit to hash, and does not */
};

struct cfg_flag_note {
    enum cfg_flag_note_kind kind;
    struct cfg_slice name, text; /* borrowed for the call */
    uint32_t index;
    uint64_t bucket, total;
    bool holds;
};

struct cfg_flag_explain {
    void (*fn)(void *user, const struct cfg_flag_note *note); /* called from inside the evaluation, on its thread */
    void *user;
};

/* Who is asking, and when. All pointers are borrowed. Zero is the empty context at the epoch. */
struct cfg_flag_context {
    const struct cfg_flag_member *attributes; /* "targetingKey" is one of them; the first of a name counts */
    size_t n_attributes;
    int64_t timestamp;                      /* seconds since 1970, $flagd.timestamp: the engine has no clock */
    void *scratch;                          /* for strings and arrays that rules build, 16-byte aligned; NULL: 32 KiB */
    size_t scratch_size;                    /* of the stack. What does not fit ends as GENERAL */
    const struct cfg_flag_explain *explain; /* NULL: silent */
    void *memory;                           /* of cfg_flag_context_init_json; NULL for a context made by hand */
};

/* Reads a JSON object as the attributes of a context, outside of any evaluation. `object` is borrowed and may go
 * afterwards. Other members of *out are zero. Finish it. Errors: CFG_E_VALUE (not an object: OpenFeature's
 * INVALID_CONTEXT), CFG_E_LIMIT (beyond 2^31 bytes), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_flag_context_init_json(struct cfg_flag_context *out, const cJSON *object, struct cfg_error *err);
void cfg_flag_context_finish(struct cfg_flag_context *context); /* takes a zeroed struct */

#endif
