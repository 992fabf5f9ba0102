/* Validates a definition and its envelope, and compiles them. Every refusal names the path and the reason. */
#include "flags/program.h"

#include <stdio.h>
#include <string.h>

static int bad(struct cfg_error *err, const char *path, const char *why)
{
    (void)cfg_fail(err, CFG_E_VALUE, "%s %s", path, why);
    cfg_error_set_path(err, "%s", path);
    return CFG_E_VALUE;
}

/* --- values as trees --- */

static size_t tree_size(const cJSON *v)
{
    size_t n = 1;
    for (const cJSON *c = v->child; c != NULL; c = c->next)
        n += tree_size(c);
    return n;
}

static bool copy_node(cJSON **next, struct flag_arena *a, cJSON *out, const cJSON *v)
{
    const struct arena_string *s;
    out->type = v->type & 0xFF;
    out->valuedouble = v->valuedouble;
    out->valueint = v->valueint;
    if (cJSON_IsString(v)) {
        s = cfg_flag_arena_intern(a, v->valuestring, strlen(v->valuestring));
        if (s == NULL)
            return false;
        out->valuestring = (char *)(uintptr_t)s->bytes; /* const towards readers only */
    }
    cJSON *before = NULL;
    for (const cJSON *c = v->child; c != NULL; c = c->next) {
        cJSON *copy = (*next)++;
        s = c->string ? cfg_flag_arena_intern(a, c->string, strlen(c->string)) : NULL;
        if ((c->string && s == NULL) || !copy_node(next, a, copy, c))
            return false;
        copy->string = s ? (char *)(uintptr_t)s->bytes : NULL;
        copy->prev = before;
        if (before)
            before->next = copy;
        else
            out->child = copy;
        before = copy;
    }
    if (before)
        out->child->prev = before; /* as cJSON keeps its lists */
    return true;
}

const cJSON *cfg_flag_copy_tree(struct flag_arena *a, const cJSON *v)
{
    static const cJSON yes = {.type = cJSON_True, .valueint = 1}, no = {.type = cJSON_False};
    if (cJSON_IsBool(v))
        return cJSON_IsTrue(v) ? &yes : &no;
    cJSON *nodes = cfg_flag_arena_take(a, tree_size(v) * sizeof *nodes), *next = nodes + 1;
    return nodes && copy_node(&next, a, nodes, v) ? nodes : NULL;
}

/* --- variants --- */

static bool type_of(uint8_t *out, const cJSON *value)
{
    if (cJSON_IsBool(value))
        *out = CFG_FLAG_BOOL;
    else if (cJSON_IsString(value))
        *out = CFG_FLAG_STRING;
    else if (cJSON_IsNumber(value))
        *out = CFG_FLAG_NUMBER;
    else if (cJSON_IsObject(value))
        *out = CFG_FLAG_OBJECT;
    else
        return false;
    return true;
}

static int check_variants(uint8_t *out, uint32_t *n, const cJSON *variants, struct cfg_error *err)
{
    static const char where[] = "definition.variants";
    if (!cJSON_IsObject(variants) || variants->child == NULL)
        return bad(err, where, "must be an object with at least one variant");
    const cJSON *v;
    uint8_t first = CFG_FLAG_BOOL, type;
    *n = 0;
    cJSON_ArrayForEach(v, variants)
    {
        if (v->string[0] == '\0')
            return bad(err, where, "has a variant without a name");
        const char *why = !type_of(&type, v)                      ? "must be a boolean, string, number or object"
                          : v != variants->child && type != first ? "is of another type than the variants before it"
                                                                  : NULL;
        if (why) {
            (void)cfg_fail(err, CFG_E_VALUE, "variant \"%s\" (%s) %s", v->string, cfg_json_type(v), why);
            cfg_error_set_path(err, "%s.%s", where, v->string);
            return CFG_E_VALUE;
        }
        if (v == variants->child)
            first = type;
        ++*n;
    }
    *out = first;
    return 0;
}

static int compile_variants(struct cfg_flag_program *out, struct flag_compiler *c, const cJSON *variants)
{
    struct flag_arena *a = c->logic.arena;
    int rc = check_variants(&out->type, &out->n_variants, variants, c->logic.err);
    if (rc != 0)
        return rc;
    struct flag_variant *all = cfg_flag_arena_draft(a, out->n_variants * sizeof *all), *v = all;
    for (const cJSON *t = variants->child; all != NULL && t != NULL; t = t->next, v++) {
        v->name = cfg_flag_arena_intern_tree(a, t->string);
        const struct arena_string *text = cfg_flag_arena_intern(a, t->string, strlen(t->string));
        v->value = cfg_flag_copy_tree(a, t);
        if (v->name == NULL || text == NULL || v->value == NULL)
            return cfg_logic_no_memory(&c->logic);
        v->text = text->bytes;
    }
    out->variants = all ? cfg_flag_arena_share(a, all, out->n_variants * sizeof *all) : NULL;
    return out->variants ? 0 : cfg_logic_no_memory(&c->logic);
}

/* The variant a member names; NULL when the member is absent or null. */
static int find_variant(const struct flag_variant **out, const struct cfg_flag_program *p, const cJSON *member,
                        const char *path, struct cfg_error *err)
{
    *out = NULL;
    if (member == NULL || cJSON_IsNull(member))
        return 0;
    if (!cJSON_IsString(member))
        return bad(err, path, "must be the name of a variant");
    for (uint32_t i = 0; i < p->n_variants; i++)
        if (strcmp(p->variants[i].text, member->valuestring) == 0)
            *out = &p->variants[i];
    if (*out == NULL) {
        (void)cfg_fail(err, CFG_E_VALUE, "%s \"%s\" is not among the variants", path, member->valuestring);
        cfg_error_set_path(err, "%s", path);
        return CFG_E_VALUE;
    }
    return 0;
}

/* --- metadata --- */

static int check_metadata(const cJSON *metadata, struct cfg_error *err)
{
    if (metadata && !cJSON_IsObject(metadata))
        return bad(err, "definition.metadata", "must be an object");
    const cJSON *m;
    cJSON_ArrayForEach(m, metadata)
    {
        if (cJSON_IsBool(m) || cJSON_IsString(m) || cJSON_IsNumber(m))
            continue;
        (void)cfg_fail(err, CFG_E_VALUE, "metadata \"%s\" must be a boolean, string or number, not %s", m->string,
                       cfg_json_type(m));
        cfg_error_set_path(err, "definition.metadata.%s", m->string);
        return CFG_E_VALUE;
    }
    return 0;
}

/* The flag's own members over the set's, which are shared by flags without any. */
static int merge_metadata(struct cfg_flag_program *out, struct flag_compiler *c, const cJSON *own)
{
    out->metadata = c->metadata;
    if (own == NULL || own->child == NULL)
        return 0;
    cJSON *merged = cJSON_Duplicate(own, true);
    const cJSON *m;
    bool good = merged != NULL;
    cJSON_ArrayForEach(m, c->metadata)
    {
        if (good && cfg_json_get(own, m->string) == NULL)
            good = cfg_json_set(merged, m->string, cJSON_Duplicate(m, true)) == 0;
    }
    out->metadata = good ? cfg_flag_copy_tree(c->logic.arena, merged) : NULL;
    cJSON_Delete(merged);
    return out->metadata ? 0 : cfg_logic_no_memory(&c->logic);
}

/* --- targeting --- */

/* `{}` and null are flagd's ways to say that there are no rules. */
static int compile_targeting(struct cfg_flag_program *out, struct flag_compiler *c, const cJSON *targeting)
{
    if (targeting == NULL || cJSON_IsNull(targeting) || (cJSON_IsObject(targeting) && targeting->child == NULL))
        return 0;
    if (!cJSON_IsObject(targeting))
        return bad(c->logic.err, "definition.targeting", "must be an object with a rule");
    struct logic_node rule;
    c->logic.root = "definition.targeting";
    int rc = cfg_logic_compile(&rule, &c->logic, targeting);
    if (rc != 0)
        return rc;
    out->rule = cfg_flag_arena_share(c->logic.arena, &rule, sizeof rule);
    if (out->rule == NULL)
        return cfg_logic_no_memory(&c->logic);
    return c->check_results ? cfg_flag_check_results(out, c, targeting) : 0;
}

/* A misspelt member must not be taken for an absent one. */
static int check_members(const cJSON *definition, struct cfg_error *err)
{
    static const char *const known[] = {"state", "variants", "defaultVariant", "targeting", "metadata", "hash_version"};
    const cJSON *m;
    cJSON_ArrayForEach(m, definition)
    {
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(m->string, known[i]) != 0)
            i++;
        if (i < sizeof known / sizeof known[0])
            continue;
        (void)cfg_fail(err, CFG_E_UNSUPPORTED, "definition: \"%s\" is not supported", m->string);
        cfg_error_set_path(err, "definition");
        cfg_error_set_hint(err, "a definition has state, variants, defaultVariant, targeting and metadata");
        return CFG_E_UNSUPPORTED;
    }
    return 0;
}

static int read_hash_version(struct cfg_flag_program *out, const cJSON *holder, const char *path, struct cfg_error *err)
{
    const cJSON *v = cfg_json_get(holder, "hash_version");
    if (v == NULL)
        return 0;
    if (!cJSON_IsNumber(v) || (v->valuedouble != 1 && v->valuedouble != 2 && v->valuedouble != 3))
        return bad(err, path, "must be 1, 2 or 3");
    out->hash_version = (uint8_t)v->valuedouble;
    return 0;
}

static int read_definition(struct cfg_flag_program *out, struct flag_compiler *c, const cJSON *definition)
{
    struct cfg_error *err = c->logic.err;
    if (!cJSON_IsObject(definition))
        return bad(err, "definition", "must be an object");
    const char *state = cfg_json_get_str(definition, "state", "");
    out->state = strcmp(state, "ENABLED") == 0;
    if (!out->state && strcmp(state, "DISABLED") != 0)
        return bad(err, "definition.state", "must be \"ENABLED\" or \"DISABLED\"");
    const cJSON *metadata = cfg_json_get(definition, "metadata");
    int rc = compile_variants(out, c, cfg_json_get(definition, "variants"));
    if (rc == 0)
        rc = find_variant(&out->standard, out, cfg_json_get(definition, "defaultVariant"), "definition.defaultVariant",
                          err);
    if (rc == 0)
        rc = check_metadata(metadata, err);
    if (rc == 0)
        rc = merge_metadata(out, c, metadata);
    if (rc == 0)
        rc = read_hash_version(out, definition, "definition.hash_version", err);
    if (rc == 0)
        rc = compile_targeting(out, c, cfg_json_get(definition, "targeting"));
    if (rc == 0 && !c->logic.lenient)
        rc = check_members(definition, err);
    return rc;
}

int cfg_flag_parse(struct cfg_flag_program *out, struct flag_compiler *c, const cJSON *envelope,
                   const cJSON *definition)
{
    struct cfg_error *err = c->logic.err;
    out->enabled = true;
    out->hash_version = 2;
    if (definition != NULL)
        return read_definition(out, c, definition);
    if (!cJSON_IsObject(envelope))
        return bad(err, "flag", "must be an object with a definition");
    const cJSON *enabled = cfg_json_get(envelope, "enabled");
    if (enabled && !cJSON_IsBool(enabled))
        return bad(err, "enabled", "must be true or false");
    out->enabled = enabled == NULL || cJSON_IsTrue(enabled);
    int rc = read_definition(out, c, cfg_json_get(envelope, "definition"));
    if (rc == 0)
        rc = read_hash_version(out, envelope, "hash_version", err);
    if (rc == 0)
        rc = find_variant(&out->off, out, cfg_json_get(envelope, "off_variant"), "off_variant", err);
    if (rc == 0)
        rc = cfg_flag_check_overrides(out, c, cfg_json_get(envelope, "overrides"));
    if (rc == 0)
        rc = cfg_flag_check_requires(c, cfg_json_get(envelope, "requires"));
    return rc == 0 ? cfg_flag_parse_extras(&out->extras, c, envelope) : rc;
}
