/* Evaluators are checked with the flags that refer to them, as both will be after the change. */
#include "configd/change_draft.h"
#include "flags/set.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- what is taken away --- */

struct users {
    const char *evaluator;
    struct cfg_name_list names;
};

static int add_user(void *arg, const char *name, const struct cfg_flag_facts *facts, const cJSON *body,
                    const struct cfg_object *head)
{
    (void)body, (void)head;
    struct users *u = arg;
    if (cfg_flag_facts_refer(facts, u->evaluator))
        cfg_name_list_add(&u->names, name);
    return 0;
}

static int check_taken_away(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    const cJSON *after = cfg_json_get(d->after, "evaluators"), *e;
    cJSON_ArrayForEach(e, cfg_json_get(d->before, "evaluators"))
    {
        struct users u = {.evaluator = e->string};
        int rc = cfg_json_get(after, e->string) ? 0 : cfg_flags_each_after(b, d->id.ns, add_user, &u, err);
        if (rc != 0)
            return rc;
        if (u.names.n == 0)
            continue;
        (void)cfg_fail(err, CFG_E_IN_USE, "evaluator \"%.60s\" is used by flag%s %s", e->string,
                       u.names.n == 1 ? "" : "s", cfg_name_list_text(&u.names));
        cfg_error_set_path(err, "evaluators.%s", e->string);
        cfg_error_set_hint(err, "change the flags that refer to it first, or in the same change");
        return CFG_E_IN_USE;
    }
    return 0;
}

/* --- what the flags make of the rest --- */

struct compiling {
    cJSON *flags; /* bodies by name */
    struct cfg_error *err;
};

/* Prerequisites and groups are not the evaluators' matter, and the flags they name are not all there. */
static int add_flag(void *arg, const char *name, const struct cfg_flag_facts *facts, const cJSON *body,
                    const struct cfg_object *head)
{
    struct compiling *c = arg;
    if (facts == NULL || facts->n_refs == 0)
        return 0;
    cJSON *copy = body ? cJSON_Duplicate(body, true) : cfg_object_body(head);
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "prerequisites");
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "group");
    if (copy && cJSON_AddItemToObject(c->flags, name, copy))
        return 0;
    cJSON_Delete(copy);
    return no_memory(c->err);
}

static int compile(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    struct compiling c = {cJSON_CreateObject(), err};
    struct cfg_flag_set *set = NULL;
    int rc = c.flags ? cfg_flags_each_after(b, d->id.ns, add_flag, &c, err) : no_memory(err);
    const struct cfg_flag_source source = {.flags = c.flags, .evaluators = cfg_json_get(d->after, "evaluators")};
    if (rc == 0)
        rc = cfg_flag_set_compile(&set, &source, err);
    cfg_flag_set_free(set);
    cJSON_Delete(c.flags);
    return rc;
}

static int check_form(const struct cfg_draft *d, struct cfg_error *err)
{
    const cJSON *metadata = cfg_json_get(d->after, "metadata"), *m;
    if (cfg_tree_depth(d->after) > CFG_LIMIT_DEPTH)
        return cfg_fail(err, CFG_E_LIMIT, "the evaluators are nested deeper than %d levels", CFG_LIMIT_DEPTH);
    if (!cJSON_IsObject(cfg_json_get(d->after, "evaluators")))
        return cfg_fail(err, CFG_E_VALUE, "\"evaluators\" must be an object of rules by name");
    if (!cJSON_IsObject(metadata))
        return cfg_fail(err, CFG_E_VALUE, "\"metadata\" must be an object");
    cJSON_ArrayForEach(m, metadata)
    {
        if (cJSON_IsBool(m) || cJSON_IsString(m) || cJSON_IsNumber(m))
            continue;
        (void)cfg_fail(err, CFG_E_VALUE, "metadata \"%.60s\" must be a boolean, string or number, not %s", m->string,
                       cfg_json_type(m));
        cfg_error_set_path(err, "metadata.%s", m->string);
        return CFG_E_VALUE;
    }
    return 0;
}

int cfg_flags_check_evaluators(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    const cJSON *before = cfg_json_get(d->before, "evaluators"), *after = cfg_json_get(d->after, "evaluators");
    int rc = d->after ? check_form(d, err) : 0;
    if (rc != 0 || (before && after && cfg_json_equal(before, after)))
        return rc;
    rc = check_taken_away(b, d, err);
    return rc || d->after == NULL ? rc : compile(b, d, err);
}
