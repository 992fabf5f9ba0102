/* Asking flags in this process, with the engine that configd and the workers have: what `flag eval` and `flag explain`
 * are made of. Pure, but for memory: clock and files are the caller's. */
#ifndef CFG_CFGCTL_FLAG_ASK_H
#define CFG_CFGCTL_FLAG_ASK_H

#include "flags/set.h"

/* Where flags come from, as people hold them. All borrowed; NULL: absent. */
struct flag_source {
    const cJSON *flags; /* a flagd document, its member "flags", or the same with envelopes instead of definitions */
    const cJSON *evaluators; /* of a document that is not whole */
    const cJSON *metadata;
};
/* Flags that do not compile are kept and answer PARSE_ERROR, as flagd does it. CFG_E_VALUE for what is no set of flags
 * at all. *out is returned-owned (cfg_flag_set_free). */
CFG_MUST_CHECK int flag_source_compile(struct cfg_flag_set **out, const struct flag_source *source,
                                       struct cfg_error *err);
/* The same for one flag: source->flags is its definition, or its envelope. */
CFG_MUST_CHECK int flag_source_compile_one(struct cfg_flag_set **out, const char *name,
                                           const struct flag_source *source, struct cfg_error *err);

/* Whether v is a whole document rather than its member "flags". */
bool flag_is_document(const cJSON *v);

struct flag_question {
    const char *flag;
    enum cfg_flag_type type;
    const cJSON *fallback;                  /* the caller's default; NULL is null */
    const cJSON *context;                   /* NULL or null: the empty one */
    int64_t now;                            /* $flagd.timestamp, unless the context has a $flagd.timestamp of its own */
    const struct cfg_flag_explain *explain; /* NULL: silent */
};
struct flag_answer {
    const cJSON *value; /* of the set, or the question's default; NULL is null */
    const char *variant, *reason, *error;
    const cJSON *metadata; /* of the set */
};
/* Everything in the answer is borrowed from the set and the question. A context that is no object answers
 * INVALID_CONTEXT. */
struct flag_answer flag_ask(const struct cfg_flag_set *set, const struct flag_question *q);
/* The answer to what could not be asked. */
struct flag_answer flag_ask_failed(const char *error, const cJSON *fallback);
/* {"value","variant","reason","errorCode"} without a newline. */
void flag_answer_print(struct cfg_buf *out, const struct flag_answer *a);
/* The same as a tree; returned-owned, NULL without memory. */
cJSON *flag_answer_tree(const struct flag_answer *a);

/* "bool", "string", "number", "object", "integer" and their usual other names, in any case. false: none of them. */
bool flag_type_parse(enum cfg_flag_type *out, const char *text);
/* Whether a value is of a type, so that it may be its default. */
bool flag_type_takes(enum cfg_flag_type type, const cJSON *value);

#endif
