/* A namespace's flags are one set: a flag, or what flags share, is checked as everything will be after the change,
 * entries of one change together.
 *
 * Only the flags that are written are compiled; of the others their facts are looked at (flag_facts.h says why that is
 * enough). Each check guards what it read, and no more, so that writes to different flags do not throw each other back:
 *
 *   rules                    the evaluators' head, where a rule refers to one
 *   prerequisites            the heads of the flags required; where some are new, the space of flags (circles, depth)
 *   group                    the space of flags, where it is new
 *   delete, variants lost    the space of flags (who requires it)
 *   evaluators               the space of flags (who refers to them)
 *
 * Two writes that would only together break a rule meet in a head or in the space: a flag that begins to refer to an
 * evaluator guards the evaluators' head, which their deletion writes; their deletion guards the space, which the flag
 * writes. */
#include "configd/change_draft.h"
#include "flags/set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- every flag that there will be --- */

/* Heads come in the order of their names, and so do the drafts, so that a walk is one merge of both. */
struct walk {
    struct cfg_draft **drafts; /* of this namespace's flags, by name */
    size_t n, at;
    cfg_flag_after_fn fn;
    void *arg;
    struct cfg_error *err;
    int rc;
};

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct cfg_draft *const *)a)->id.name, (*(struct cfg_draft *const *)b)->id.name);
}

static int take_drafts(struct walk *w, const struct cfg_bench *b, const char *ns)
{
    w->drafts = calloc(b->n + 1, sizeof(struct cfg_draft *));
    if (w->drafts == NULL)
        return cfg_fail(w->err, CFG_E_NOMEM, "out of memory");
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i]->id.kind == CFG_KIND_FLAG && strcmp(b->items[i]->id.ns, ns) == 0)
            w->drafts[w->n++] = b->items[i];
    qsort((void *)w->drafts, w->n, sizeof(struct cfg_draft *), by_name);
    return 0;
}

static int give_draft(struct walk *w, struct cfg_draft *d)
{
    const struct cfg_flag_facts *facts = NULL;
    if (d->after == NULL)
        return 0;
    int rc = cfg_draft_facts(&facts, d, w->err);
    return rc ? rc : w->fn(w->arg, d->id.name, facts, d->after, d->head);
}

/* The drafts up to that name, which is one of them when this says so; NULL: all. */
static bool give_drafts(struct walk *w, const char *name)
{
    int order = -1;
    while (w->rc == 0 && w->at < w->n && (order = name ? strcmp(w->drafts[w->at]->id.name, name) : -1) <= 0) {
        w->rc = give_draft(w, w->drafts[w->at++]);
        if (order == 0)
            return true;
    }
    return false;
}

static bool give(struct cfg_object *o, void *arg)
{
    struct walk *w = arg;
    bool drafted = give_drafts(w, o->id.name);
    if (w->rc == 0 && !drafted && !o->deleted)
        w->rc = w->fn(w->arg, o->id.name, o->facts, NULL, o);
    return w->rc == 0;
}

int cfg_flags_each_after(struct cfg_bench *b, const char *ns, cfg_flag_after_fn fn, void *arg, struct cfg_error *err)
{
    struct walk w = {.fn = fn, .arg = arg, .err = err};
    w.rc = cfg_bench_guard_space(b, CFG_KIND_FLAG, ns, err);
    if (w.rc == 0)
        w.rc = take_drafts(&w, b, ns);
    if (w.rc == 0)
        b->heads->each(b->heads->arg, CFG_KIND_FLAG, ns, give, &w);
    if (w.rc == 0)
        (void)give_drafts(&w, NULL);
    free((void *)w.drafts);
    return w.rc;
}

/* --- rules, with the evaluators they refer to --- */

static int compile(struct cfg_bench *b, struct cfg_draft *d, const struct cfg_flag_facts *facts, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_EVALUATORS, d->id.ns, NULL);
    struct cfg_draft *shared = NULL;
    struct cfg_flag_program *program;
    int rc = 0;
    if (facts && facts->n_refs > 0)
        rc = cfg_bench_open(&shared, b, &id, err);
    if (rc == 0 && shared)
        rc = cfg_bench_guard_head(b, shared, err);
    if (rc == 0)
        rc = cfg_flag_compile_named(&program, d->id.name, d->after,
                                    shared ? cfg_json_get(shared->after, "evaluators") : NULL, err);
    if (rc == 0)
        cfg_flag_free(program);
    return rc;
}

/* --- prerequisites --- */

static bool has_variant(const cJSON *body, const char *name)
{
    return cfg_json_get(cfg_json_get(cfg_json_get(body, "definition"), "variants"), name) != NULL;
}

static int no_such_flag(const struct cfg_bench *b, const struct cfg_draft *required, struct cfg_error *err)
{
    struct cfg_error missing = CFG_ERROR_INIT;
    (void)cfg_bench_missing(b, required, &missing);
    (void)cfg_fail(err, CFG_E_VALUE, "its prerequisite: %s", missing.text);
    cfg_error_set_path(err, "prerequisites.%s", required->id.name);
    cfg_error_set_hint(err, "%s", missing.hint[0] ? missing.hint : "create it first, or in the same change");
    return CFG_E_VALUE;
}

/* `variants` is a string or an array of strings: its form was checked by compiling. */
static int check_required(struct cfg_bench *b, const struct cfg_draft *d, const cJSON *variants, struct cfg_error *err)
{
    struct cfg_draft *required;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_FLAG, d->id.ns, variants->string);
    if (cfg_check_flag_name(cfg_slice_str(variants->string), err) != 0) {
        cfg_error_set_path(err, "prerequisites.%s", variants->string);
        return err->code;
    }
    int rc = cfg_bench_open(&required, b, &id, err);
    if (rc == 0)
        rc = cfg_bench_guard_head(b, required, err);
    if (rc == 0 && required->after == NULL)
        rc = no_such_flag(b, required, err);
    for (const cJSON *v = cJSON_IsArray(variants) ? variants->child : variants; rc == 0 && v;
         v = cJSON_IsArray(variants) ? v->next : NULL) {
        if (has_variant(required->after, v->valuestring))
            continue;
        rc = cfg_fail(err, CFG_E_VALUE, "its prerequisite %s has no variant \"%.80s\"", id.name, v->valuestring);
        cfg_error_set_path(err, "prerequisites.%s", id.name);
    }
    return rc;
}

static bool same_member(const struct cfg_draft *d, const char *name)
{
    const cJSON *before = cfg_json_get(d->before, name), *after = cfg_json_get(d->after, name);
    return before && after && cfg_json_equal(before, after);
}

static int check_prerequisites(struct cfg_bench *b, const struct cfg_draft *d, const struct cfg_flag_facts *facts,
                               struct cfg_error *err)
{
    const cJSON *all = cfg_flag_facts_prerequisites(facts), *p;
    cJSON_ArrayForEach(p, all)
    {
        int rc = check_required(b, d, p, err);
        if (rc != 0)
            return rc;
    }
    return all == NULL || same_member(d, "prerequisites") ? 0 : cfg_flags_check_graph(b, d, err);
}

/* --- groups --- */

struct share {
    const struct cfg_draft *draft;
    const cJSON *group;
    struct cfg_error *err;
};

static double from_of(const cJSON *group)
{
    return cfg_json_get_num(group, "from", 0);
}

static double to_of(const cJSON *group)
{
    return cfg_json_get_num(group, "to", 0);
}

static int meet_share(void *arg, const char *name, const struct cfg_flag_facts *facts, const cJSON *body,
                      const struct cfg_object *head)
{
    (void)body, (void)head;
    const struct share *s = arg;
    const cJSON *other = cfg_flag_facts_group(facts);
    const char *group = cfg_json_get_str(s->group, "name", "");
    if (other == NULL || strcmp(name, s->draft->id.name) == 0 ||
        strcmp(cfg_json_get_str(other, "name", ""), group) != 0)
        return 0;
    const char *mine = cfg_json_get_str(s->group, "by", "targetingKey");
    const char *theirs = cfg_json_get_str(other, "by", "targetingKey");
    bool same_unit = strcmp(mine, theirs) == 0;
    /* A share of nothing lies nowhere. */
    bool apart = to_of(s->group) <= from_of(other) || to_of(other) <= from_of(s->group) ||
                 from_of(s->group) == to_of(s->group) || from_of(other) == to_of(other);
    if (same_unit && apart)
        return 0;
    if (same_unit)
        (void)cfg_fail(s->err, CFG_E_VALUE, "its share [%.0f, %.0f) of group %.60s overlaps with [%.0f, %.0f) of %.80s",
                       from_of(s->group), to_of(s->group), group, from_of(other), to_of(other), name);
    else
        (void)cfg_fail(s->err, CFG_E_VALUE, "it deals group %.60s by %.60s, but %.80s does by %.60s", group, mine, name,
                       theirs);
    cfg_error_set_path(s->err, "group");
    cfg_error_set_hint(s->err, same_unit ? "take buckets that no other flag of the group has, or change both at once"
                                         : "flags of one group share a unit's bucket: name the same attribute");
    return CFG_E_VALUE;
}

static int check_group(struct cfg_bench *b, const struct cfg_draft *d, const struct cfg_flag_facts *facts,
                       struct cfg_error *err)
{
    struct share s = {d, cfg_flag_facts_group(facts), err};
    return s.group == NULL || same_member(d, "group") ? 0 : cfg_flags_each_after(b, d->id.ns, meet_share, &s, err);
}

/* --- who requires it --- */

struct dependents {
    const struct cfg_draft *draft;
    const char *lost; /* a variant; NULL: the flag itself is deleted */
    struct cfg_name_list names;
};

static int add_dependent(void *arg, const char *name, const struct cfg_flag_facts *facts, const cJSON *body,
                         const struct cfg_object *head)
{
    (void)body, (void)head;
    struct dependents *d = arg;
    const cJSON *wants = cfg_flag_facts_require(facts, d->draft->id.name), *v;
    bool depends = wants && d->lost == NULL;
    if (wants && d->lost && cJSON_IsString(wants))
        depends = strcmp(wants->valuestring, d->lost) == 0;
    for (v = d->lost && cJSON_IsArray(wants) ? wants->child : NULL; v; v = v->next)
        depends = depends || (cJSON_IsString(v) && strcmp(v->valuestring, d->lost) == 0);
    if (depends)
        cfg_name_list_add(&d->names, name);
    return 0;
}

static int check_dependents(struct cfg_bench *b, const struct cfg_draft *d, const char *lost, struct cfg_error *err)
{
    struct dependents all = {.draft = d, .lost = lost};
    int rc = cfg_flags_each_after(b, d->id.ns, add_dependent, &all, err);
    if (rc != 0 || all.names.n == 0)
        return rc;
    if (lost)
        (void)cfg_fail(err, CFG_E_IN_USE, "its variant %.80s is required by %s", lost, cfg_name_list_text(&all.names));
    else
        (void)cfg_fail(err, CFG_E_IN_USE, "it is required by %s", cfg_name_list_text(&all.names));
    cfg_error_set_path(err, "%s", lost ? "definition.variants" : "prerequisites");
    cfg_error_set_hint(err, "take it out of their prerequisites first, or in the same change");
    return CFG_E_IN_USE;
}

static int check_losses(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    const cJSON *variants = cfg_json_get(cfg_json_get(d->before, "definition"), "variants"), *v;
    if (d->before == NULL)
        return 0;
    if (d->after == NULL)
        return check_dependents(b, d, NULL, err);
    cJSON_ArrayForEach(v, variants)
    {
        int rc = has_variant(d->after, v->string) ? 0 : check_dependents(b, d, v->string, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int cfg_flags_check_flag(struct cfg_bench *b, struct cfg_draft *d, struct cfg_error *err)
{
    const struct cfg_flag_facts *facts = NULL;
    int rc = 0;
    if (d->after && cfg_tree_depth(d->after) > CFG_LIMIT_DEPTH)
        return cfg_fail(err, CFG_E_LIMIT, "the flag is nested deeper than %d levels", CFG_LIMIT_DEPTH);
    if (d->after)
        rc = cfg_draft_facts(&facts, d, err);
    if (rc == 0 && d->after)
        rc = compile(b, d, facts, err);
    if (rc == 0)
        rc = check_prerequisites(b, d, facts, err);
    if (rc == 0)
        rc = check_group(b, d, facts, err);
    return rc ? rc : check_losses(b, d, err);
}
