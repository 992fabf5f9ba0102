/* A namespace's flags are one set: a flag or the shared evaluators are checked as they will be after the change,
 * entries of one change together. */
#include "configd/change_draft.h"
#include "flags/set.h"

#include <string.h>

/* The namespace's evaluators as they will be. *out is borrowed from the bench; NULL: none. */
static int open_evaluators(const cJSON **out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct cfg_draft *d;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_EVALUATORS, ns, NULL);
    int rc = cfg_bench_open(&d, b, &id, err);
    if (rc == 0)
        rc = cfg_bench_guard_head(b, d, err);
    if (rc == 0)
        *out = cfg_json_get(d->after, "evaluators");
    return rc;
}

/* Bounded by the depth that was checked before. */
static bool uses_evaluators(const cJSON *v)
{
    for (const cJSON *c = cJSON_IsObject(v) || cJSON_IsArray(v) ? v->child : NULL; c; c = c->next)
        if ((c->string && strcmp(c->string, "$ref") == 0) || uses_evaluators(c))
            return true;
    return false;
}

int cfg_flags_check_flag(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    const cJSON *evaluators = NULL;
    struct cfg_flag_program *program;
    if (d->after == NULL)
        return 0;
    if (cfg_tree_depth(d->after) > CFG_LIMIT_DEPTH)
        return cfg_fail(err, CFG_E_LIMIT, "the flag is nested deeper than %d levels", CFG_LIMIT_DEPTH);
    int rc = uses_evaluators(d->after) ? open_evaluators(&evaluators, b, d->id.ns, err) : 0;
    if (rc == 0)
        rc = cfg_flag_compile_named(&program, d->id.name, d->after, evaluators, err);
    if (rc == 0)
        cfg_flag_free(program);
    return rc;
}

int cfg_flags_check_evaluators(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    (void)b;
    struct cfg_flag_set *set;
    cJSON *none = cJSON_CreateObject();
    const struct cfg_flag_source source = {.flags = none,
                                           .evaluators = cfg_json_get(d->after, "evaluators"),
                                           .metadata = cfg_json_get(d->after, "metadata")};
    int rc = none ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (rc == 0 && cfg_tree_depth(d->after) > CFG_LIMIT_DEPTH)
        rc = cfg_fail(err, CFG_E_LIMIT, "the evaluators are nested deeper than %d levels", CFG_LIMIT_DEPTH);
    if (rc == 0)
        rc = cfg_flag_set_compile(&set, &source, err);
    if (rc == 0)
        cfg_flag_set_free(set);
    cJSON_Delete(none);
    return rc;
}
