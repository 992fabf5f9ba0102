/* A set of flags that know each other: found by name in constant time, sharing evaluators, checked for what spans flags
 * (cycles of prerequisites, overlapping shares of a group). Immutable once compiled: share it between threads, and
 * replace it as a whole when a flag changes. */
#ifndef CFG_FLAGS_SET_H
#define CFG_FLAGS_SET_H

#include "flags/flag.h"

struct cfg_flag_set;

struct cfg_flag_source {
    const cJSON *flags;      /* an object of envelopes by name, or with `plain` of flagd definitions */
    const cJSON *evaluators; /* an object of rules by name, for $ref; NULL: none */
    const cJSON *metadata;   /* an object that every flag's own metadata is laid over; NULL: none */
    bool plain;
    /* Keep a flag that does not compile, answering PARSE_ERROR, and take what flagd takes against its own schema
     * (wrong operands give null): for reading flagd's files. Otherwise the first bad flag fails the set. */
    bool keep_broken;
    /* With keep_broken: still refuse what people may not write (unknown members, wrong operands), flag by flag. For
     * sets that an engine of another version may have checked. */
    bool strict;
};

/* All of source is borrowed, not kept. *out is returned-owned. Errors as cfg_flag_compile's, err->path beginning with
 * the flag's name; besides CFG_E_VALUE for a prerequisite that is no flag or variant of the set, a cycle of them, and
 * shares of a group that overlap. */
CFG_MUST_CHECK int cfg_flag_set_compile(struct cfg_flag_set **out, const struct cfg_flag_source *source,
                                        struct cfg_error *err);
/* A flagd document {"flags", "$evaluators", "metadata"}, with keep_broken as above. CFG_E_VALUE when it is none. */
CFG_MUST_CHECK int cfg_flag_set_compile_flagd(struct cfg_flag_set **out, const cJSON *document, bool keep_broken,
                                              struct cfg_error *err);
void cfg_flag_set_free(struct cfg_flag_set *set);

/* Borrowed from the set; NULL when it has no flag of that name. */
const struct cfg_flag_program *cfg_flag_set_find(const struct cfg_flag_set *set, const char *name, size_t len);
/* Of no flag: ERROR with FLAG_NOT_FOUND and the set's metadata. context may be NULL. */
struct cfg_flag_result cfg_flag_set_eval(const struct cfg_flag_set *set, const char *name, size_t len,
                                         enum cfg_flag_type want, const struct cfg_flag_context *context);
size_t cfg_flag_set_count(const struct cfg_flag_set *set);
/* Flags in the order of the source. */
const struct cfg_flag_program *cfg_flag_set_at(const struct cfg_flag_set *set, size_t index);
/* The inverse: where `p`, which must be of this set, stands. */
size_t cfg_flag_set_index(const struct cfg_flag_set *set, const struct cfg_flag_program *p);
/* Calls fn with each flag that names `flag` as a prerequisite. */
void cfg_flag_set_dependents(const struct cfg_flag_set *set, const char *flag,
                             void (*fn)(void *user, const struct cfg_flag_program *dependent), void *user);
/* The next whole second above `after` (seconds since 1970) at which a rule of a flag that is on may answer otherwise,
 * for what it compares $flagd.timestamp with; CFG_FLAG_NEVER. Rules that compute with the time are not followed. */
#define CFG_FLAG_NEVER INT64_MAX
int64_t cfg_flag_set_next_flip(const struct cfg_flag_set *set, int64_t after);
/* Calls fn for each such second in (after, until], in order, with the flag whose rule it is: its own or one that it
 * refers to, not those of its prerequisites. */
typedef void (*cfg_flag_flip_fn)(void *user, const struct cfg_flag_program *flag, int64_t at);
void cfg_flag_set_flips(const struct cfg_flag_set *set, int64_t after, int64_t until, cfg_flag_flip_fn fn, void *user);
size_t cfg_flag_set_bytes(const struct cfg_flag_set *set); /* of memory it holds */

#endif
