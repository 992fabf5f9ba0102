/* What a change must keep to: every document that it touches, every namespace above, and every view that is composed
 * from them, against schemas and the contracts of workers. Internal to change_*.c. Pure.
 *
 * Everything that is wrong is gathered, then the change is refused once. What was looked into is guarded: schemas, also
 * those that are not there, so that none begins to hold meanwhile. */
#ifndef CFG_CONFIGD_CHANGE_CHECKS_H
#define CFG_CONFIGD_CHANGE_CHECKS_H

#include "configd/change_views.h"

/* The schema of a namespace as it will be; NULL in *out: it has none. Borrowed from the bench. CFG_E_NOMEM, and for a
 * record that is none of ours what cfg_schema_compile says. */
CFG_MUST_CHECK int cfg_checks_schema(const struct cfg_compiled **out, struct cfg_bench *b, const char *ns,
                                     struct cfg_error *err);
/* The class that the schemas of a release declare for a path: the strictest of them. What cfg_checks_schema says. */
CFG_MUST_CHECK int cfg_checks_class(enum cfg_apply *out, struct cfg_bench *b, const struct cfg_closure *c,
                                    const char *path, struct cfg_error *err);

/* A document that is checked. All borrowed. */
struct cfg_checked {
    const struct cfg_closure *closure; /* whose schemas hold */
    const cJSON *document;             /* resolved */
    const cJSON *kept;                 /* array of paths that are left to the reader's environment; may be NULL */
    const cJSON *failures;             /* array of {"path"} of what does not resolve; may be NULL */
    const char *ns;                    /* whose document it is */
    const char *deployment;            /* whose view it is; NULL: the namespace's alone */
};
/* Gathers what the document violates. CFG_E_NOMEM, CFG_E_LIMIT (a check that takes too long). */
CFG_MUST_CHECK int cfg_checks_document(struct cfg_bench *b, const struct cfg_checked *c, struct cfg_error *err);
/* One violation; consumed. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_checks_add(struct cfg_bench *b, int code, cJSON *violation, struct cfg_error *err);
/* {"path","keyword","message"}, returned-owned; NULL without memory. */
CFG_PRINTF(3, 4) cJSON *cfg_violation_new(const char *path, const char *keyword, const char *format, ...);

/* The documents of every namespace that the change concerns. CFG_E_NOMEM, CFG_E_LIMIT. */
CFG_MUST_CHECK int cfg_checks_spaces(struct cfg_bench *b, const struct cfg_views *v, struct cfg_error *err);
/* Does a schema hold for the view (and no deployment before shares it), or is a worker connected that may be asked?
 * cfg_view_hooks.wants. */
CFG_MUST_CHECK int cfg_checks_wants(bool *out, struct cfg_bench *b, const struct cfg_concern *c, bool first,
                                    struct cfg_error *err);
/* A deployment's view, and that its connected workers take it: cfg_view_hooks.judge. */
CFG_MUST_CHECK int cfg_checks_view(struct cfg_bench *b, const struct cfg_concern *c, bool first,
                                   const struct cfg_view_documents *x, struct cfg_error *err);
/* Keys that schemas pin and that a deployment does not pin yet get the values they have now (keys without a value stay
 * without one): cfg_view_hooks.freeze (change_pins.c). */
CFG_MUST_CHECK int cfg_pins_freeze(bool *changed, struct cfg_bench *b, const struct cfg_concern *c,
                                   const struct cfg_view_documents *x, struct cfg_error *err);
/* The end of all checks. 0: nothing is wrong, or the change is a plan. CFG_E_SCHEMA, CFG_E_CONTRACT, CFG_E_CEILING:
 * cfg_checks_take has the list. */
CFG_MUST_CHECK int cfg_checks_refuse(struct cfg_bench *b, struct cfg_error *err);
const cJSON *cfg_checks_list(const struct cfg_bench *b); /* the violations until now; NULL: none */
cJSON *cfg_checks_take(struct cfg_bench *b);             /* the violations; the caller's; NULL: none */
cJSON *cfg_checks_take_forced(struct cfg_bench *b);      /* those that force overrode; likewise */
size_t cfg_checks_forced(const struct cfg_bench *b);     /* how many these are */
void cfg_checks_free(struct cfg_checks *c);              /* NULL is fine; with the bench */

/* Calls fn for every part of a deployment's connected workers, here and by presence, until it returns false. */
void cfg_crew_each(struct cfg_bench *b, const char *deployment, bool (*fn)(const struct cfg_crew_part *part, void *arg),
                   void *arg);
/* Does a presence record count: is it another replica's, with workers that are nowhere else? */
bool cfg_crew_record_counts(const struct cfg_bench *b, const struct cfg_object *presence);
/* Groups of the workers that other replicas' presence tells of. */
uint64_t cfg_crew_groups_elsewhere(struct cfg_bench *b, const char *deployment);
/* Adds what connected workers would reject to what is wrong: of a view, of the values that flags carry
 * (change_contracts.c). CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_contracts_view(struct cfg_bench *b, const struct cfg_concern *c, const cJSON *document,
                                      struct cfg_error *err);
CFG_MUST_CHECK int cfg_contracts_flags(struct cfg_bench *b, struct cfg_error *err);
/* Adds the workers that lack what flags require which are turned on (change_capabilities.c). CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_capabilities_flags(struct cfg_bench *b, struct cfg_error *err);
/* The same for what deployments require of every worker, and for flags that come into their sight. */
CFG_MUST_CHECK int cfg_capabilities_deployments(struct cfg_bench *b, struct cfg_error *err);

#endif
