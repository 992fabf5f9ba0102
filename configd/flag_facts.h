/* What a flag's (or the evaluators') record says about other parts of its namespace: what it requires (other flags, and
 * what workers must be able to do while it is on), its share of a group, the evaluators that it refers to. Read once,
 * when the record comes in, and kept with the object.
 *
 * That is what makes checking a namespace as a whole cheap: a write compiles the flags that it touches, and looks at
 * the others' facts. It is as good as compiling all of them, since (a) whether a flag compiles depends on its own text
 * and the evaluators alone, and neither has changed for the others; (b) what spans flags (prerequisites, groups) is
 * nothing but facts; (c) facts are a function of an immutable text, so a guard on a head or on all of a namespace's
 * heads is a guard on their facts. Most flags say nothing and have none. Pure. */
#ifndef CFG_CONFIGD_FLAG_FACTS_H
#define CFG_CONFIGD_FLAG_FACTS_H

#include "proto/json.h"

struct cfg_flag_facts {
    cJSON *prerequisites; /* as in the envelope, an object with members; NULL: none */
    cJSON *group;         /* as in the envelope, an object with a name; NULL: none */
    cJSON *requires;      /* names of capabilities, an array that is not empty; NULL: none, or the flag is off */
    const char **refs;    /* names of evaluators, sorted, each once */
    size_t n_refs;
    bool timed; /* a rule looks at the time */
};

/* *out is returned-owned, NULL when there is nothing to say. body is borrowed. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_flag_facts_read(struct cfg_flag_facts **out, const cJSON *body);
void cfg_flag_facts_free(struct cfg_flag_facts *f); /* takes NULL */

/* All take NULL for no facts. */
bool cfg_flag_facts_refer(const struct cfg_flag_facts *f, const char *evaluator);
/* The variants that it requires of that flag, a string or an array; NULL when it does not require it. */
const cJSON *cfg_flag_facts_require(const struct cfg_flag_facts *f, const char *flag);
static inline const cJSON *cfg_flag_facts_prerequisites(const struct cfg_flag_facts *f)
{
    return f ? f->prerequisites : NULL;
}
static inline const cJSON *cfg_flag_facts_requires(const struct cfg_flag_facts *f)
{
    return f ? f->requires : NULL;
}
static inline const cJSON *cfg_flag_facts_group(const struct cfg_flag_facts *f)
{
    return f ? f->group : NULL;
}

#endif
