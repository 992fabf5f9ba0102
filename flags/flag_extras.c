/* Prerequisites, exclusion groups, holdouts and overrides of an envelope. What spans several flags is checked in
 * set_check.c. */
#include "flags/program.h"
#include "proto/path.h"

#include <math.h>
#include <string.h>

enum { REQUIRES_MAX = 16 };

static int bad(struct flag_compiler *c, const char *path, const char *why)
{
    (void)cfg_fail(c->logic.err, CFG_E_VALUE, "%s %s", path, why);
    cfg_error_set_path(c->logic.err, "%s", path);
    return CFG_E_VALUE;
}

static uint32_t count(const cJSON *v)
{
    uint32_t n = 0;
    for (const cJSON *i = v ? v->child : NULL; i != NULL; i = i->next)
        n++;
    return n;
}

/* --- prerequisites --- */

static int parse_requirement(struct flag_requirement *out, struct flag_compiler *c, const cJSON *v)
{
    static const char why[] = "must name flags, each with a variant or an array of variants";
    const cJSON *first = cJSON_IsArray(v) ? v->child : v;
    out->n_variants = cJSON_IsArray(v) ? count(v) : 1;
    const struct arena_string **names = cfg_flag_arena_take(c->logic.arena, out->n_variants * sizeof *names);
    out->flag = cfg_flag_arena_intern(c->logic.arena, v->string, strlen(v->string));
    out->variants = names;
    if (names == NULL || out->flag == NULL)
        return cfg_logic_no_memory(&c->logic);
    if (first == NULL)
        return bad(c, "prerequisites", why);
    for (uint32_t i = 0; i < out->n_variants; i++, first = first->next) {
        if (!cJSON_IsString(first))
            return bad(c, "prerequisites", why);
        names[i] = cfg_flag_arena_intern_tree(c->logic.arena, first->valuestring);
        if (names[i] == NULL)
            return cfg_logic_no_memory(&c->logic);
    }
    return 0;
}

static int parse_requirements(struct flag_extras *out, struct flag_compiler *c, const cJSON *v)
{
    if (v == NULL || cJSON_IsNull(v))
        return 0;
    if (!cJSON_IsObject(v))
        return bad(c, "prerequisites", "must be an object of variants by flag");
    struct flag_requirement *all = cfg_flag_arena_take(c->logic.arena, count(v) * sizeof *all);
    if (all == NULL)
        return cfg_logic_no_memory(&c->logic);
    out->requirements = all;
    int rc = 0;
    for (const cJSON *r = v->child; rc == 0 && r != NULL; r = r->next)
        rc = parse_requirement(&all[out->n_requirements++], c, r);
    return rc;
}

/* --- groups and holdouts --- */

static bool whole(uint32_t *out, const cJSON *v, uint32_t otherwise)
{
    *out = otherwise;
    if (v == NULL)
        return true;
    if (!cJSON_IsNumber(v) || v->valuedouble != floor(v->valuedouble) || v->valuedouble < 0 ||
        v->valuedouble > SHARE_TOTAL)
        return false;
    *out = (uint32_t)v->valuedouble;
    return true;
}

static int share_path(struct flag_share *out, struct flag_compiler *c, const cJSON *by)
{
    struct logic_node node;
    cJSON standard = {.type = cJSON_String, .valuestring = (char *)(uintptr_t) "targetingKey"};
    by = by ? by : &standard;
    int rc = cfg_logic_compile_var(&node, &c->logic, by);
    out->by_text = cfg_flag_arena_intern_tree(c->logic.arena, by->valuestring);
    if (rc != 0 || out->by_text == NULL)
        return cfg_logic_no_memory(&c->logic);
    out->by = node.as.var->path;
    return 0;
}

static int parse_share(struct flag_share *out, struct flag_compiler *c, const cJSON *v, const char *path)
{
    const cJSON *name = cfg_json_get(v, "name"), *by = cfg_json_get(v, "by");
    if (!cJSON_IsObject(v) || !cJSON_IsString(name) || name->valuestring[0] == '\0')
        return bad(c, path, "must be an object with a name");
    if (by && (!cJSON_IsString(by) || by->valuestring[0] == '\0' || by->valuestring[0] == '$'))
        return bad(c, path, "must say `by` which attribute, a path such as user.id");
    if (cfg_json_get(v, "to") == NULL || !whole(&out->from, cfg_json_get(v, "from"), 0) ||
        !whole(&out->to, cfg_json_get(v, "to"), 0) || out->from > out->to)
        return bad(c, path, "must have `from` (0 when absent) and `to`, whole numbers up to 10000");
    out->name = cfg_flag_arena_intern_tree(c->logic.arena, name->valuestring);
    return out->name ? share_path(out, c, by) : cfg_logic_no_memory(&c->logic);
}

static int parse_holdouts(struct flag_extras *out, struct flag_compiler *c, const cJSON *v)
{
    if (v == NULL || cJSON_IsNull(v))
        return 0;
    if (!cJSON_IsArray(v))
        return bad(c, "holdouts", "must be an array");
    struct flag_share *all = cfg_flag_arena_take(c->logic.arena, count(v) * sizeof *all);
    if (all == NULL)
        return cfg_logic_no_memory(&c->logic);
    out->holdouts = all;
    int rc = 0;
    for (const cJSON *h = v->child; rc == 0 && h != NULL; h = h->next) {
        rc = parse_share(&all[out->n_holdouts], c, h, "holdouts");
        if (rc == 0 && all[out->n_holdouts++].from != 0)
            rc = bad(c, "holdouts", "must begin at 0: a holdout has only `to`");
    }
    return rc;
}

/* --- overrides --- */

static bool holds_object(const cJSON *v)
{
    for (const cJSON *c = cJSON_IsArray(v) ? v->child : NULL; c; c = c->next)
        if (holds_object(c))
            return true;
    return cJSON_IsObject(v);
}

static int check_override(struct flag_compiler *c, const char *variant, const cJSON *value)
{
    struct cfg_error *err = c->logic.err;
    struct cfg_error why = CFG_ERROR_INIT;
    int rc = cfg_path_check(cfg_slice_str(value->string), &why);
    if (rc != 0)
        rc = cfg_fail(err, CFG_E_VALUE, "%s", why.text);
    else if (holds_object(value))
        rc = cfg_fail(err, CFG_E_VALUE, "an override is a scalar or an array, not an object: name its parts");
    if (rc != 0) {
        (void)cfg_error_wrap(err, "overrides of \"%.80s\"", variant);
        cfg_error_set_path(err, "overrides.%.80s.%.70s", variant, value->string);
    }
    return rc;
}

int cfg_flag_check_overrides(const struct cfg_flag_program *p, struct flag_compiler *c, const cJSON *overrides)
{
    if (overrides == NULL || cJSON_IsNull(overrides))
        return 0;
    if (!cJSON_IsObject(overrides))
        return bad(c, "overrides", "must be an object of parameters by variant");
    int rc = 0;
    for (const cJSON *o = overrides->child; rc == 0 && o; o = o->next) {
        bool known = false;
        for (uint32_t i = 0; i < p->n_variants; i++)
            known = known || strcmp(p->variants[i].text, o->string) == 0;
        if (!known || !cJSON_IsObject(o)) {
            (void)cfg_fail(c->logic.err, CFG_E_VALUE,
                           known ? "overrides of \"%.80s\" must be an object of values by path"
                                 : "overrides: \"%.80s\" is not among the variants",
                           o->string);
            cfg_error_set_path(c->logic.err, "overrides.%.80s", o->string);
            return CFG_E_VALUE;
        }
        for (const cJSON *v = o->child; rc == 0 && v; v = v->next)
            rc = check_override(c, o->string, v);
    }
    return rc;
}

int cfg_flag_check_requires(struct flag_compiler *c, const cJSON *list)
{
    const cJSON *name;
    int rc = list == NULL || cJSON_IsNull(list) || cJSON_IsArray(list) ? 0 : CFG_E_VALUE;
    if (rc == 0 && count(list) > REQUIRES_MAX)
        rc = CFG_E_VALUE;
    cJSON_ArrayForEach(name, list)
    {
        if (rc == 0 &&
            (!cJSON_IsString(name) || cfg_check_word("capability", cfg_slice_str(name->valuestring), NULL) != 0))
            rc = CFG_E_VALUE;
    }
    return rc ? bad(c, "requires", "must be an array of at most 16 capabilities: letters, digits and _ . : / -") : 0;
}

int cfg_flag_parse_extras(const struct flag_extras **out, struct flag_compiler *c, const cJSON *envelope)
{
    const cJSON *requirements = cfg_json_get(envelope, "prerequisites"), *group = cfg_json_get(envelope, "group");
    const cJSON *holdouts = cfg_json_get(envelope, "holdouts");
    if (requirements == NULL && group == NULL && holdouts == NULL)
        return 0;
    struct flag_extras *e = cfg_flag_arena_take(c->logic.arena, sizeof *e);
    if (e == NULL)
        return cfg_logic_no_memory(&c->logic);
    int rc = parse_requirements(e, c, requirements);
    if (rc == 0)
        rc = parse_holdouts(e, c, holdouts);
    e->grouped = group && !cJSON_IsNull(group);
    if (rc == 0 && e->grouped)
        rc = parse_share(&e->group, c, group, "group");
    *out = e->n_requirements + e->n_holdouts + e->grouped > 0 ? e : NULL;
    return rc;
}
