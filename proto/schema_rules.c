/* Which keywords there are, in the order in which they run: cheap verdicts first, what needs annotations last. */
#include "proto/path.h"
#include "proto/schema_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANY    SCHEMA_ANY
#define OBJECT SCHEMA_OBJECT
#define ARRAY  SCHEMA_ARRAY
#define NUMBER SCHEMA_NUMBER
#define STRING SCHEMA_STRING
#define NONE   SCHEMA_SHAPE_NONE
#define ONE    SCHEMA_SHAPE_ONE
#define LIST   SCHEMA_SHAPE_LIST
#define MAP    SCHEMA_SHAPE_MAP
#define MIXED  SCHEMA_SHAPE_MIXED

static const struct schema_rule rules[] = {
    {"type", SCHEMA_VALIDATION, NONE, ANY, cfg_schema_c_type},
    {"const", SCHEMA_VALIDATION, NONE, ANY, cfg_schema_c_const},
    {"enum", SCHEMA_VALIDATION, NONE, ANY, cfg_schema_c_enum},
    {"minimum", SCHEMA_VALIDATION, NONE, NUMBER, cfg_schema_c_number},
    {"maximum", SCHEMA_VALIDATION, NONE, NUMBER, cfg_schema_c_number},
    {"exclusiveMinimum", SCHEMA_VALIDATION, NONE, NUMBER, cfg_schema_c_number},
    {"exclusiveMaximum", SCHEMA_VALIDATION, NONE, NUMBER, cfg_schema_c_number},
    {"multipleOf", SCHEMA_VALIDATION, NONE, NUMBER, cfg_schema_c_number},
    {"minLength", SCHEMA_VALIDATION, NONE, STRING, cfg_schema_c_count},
    {"maxLength", SCHEMA_VALIDATION, NONE, STRING, cfg_schema_c_count},
    {"pattern", SCHEMA_VALIDATION, NONE, STRING, cfg_schema_c_pattern},
    {"format", SCHEMA_FORMAT, NONE, STRING, cfg_schema_c_format},
    {"x-secret", SCHEMA_OURS, NONE, ANY, cfg_schema_c_ours},
    {"minItems", SCHEMA_VALIDATION, NONE, ARRAY, cfg_schema_c_count},
    {"maxItems", SCHEMA_VALIDATION, NONE, ARRAY, cfg_schema_c_count},
    {"uniqueItems", SCHEMA_VALIDATION, NONE, ARRAY, cfg_schema_c_unique},
    {"minProperties", SCHEMA_VALIDATION, NONE, OBJECT, cfg_schema_c_count},
    {"maxProperties", SCHEMA_VALIDATION, NONE, OBJECT, cfg_schema_c_count},
    {"properties", SCHEMA_APPLICATOR, MAP, OBJECT, cfg_schema_c_members},
    {"patternProperties", SCHEMA_APPLICATOR, MAP, OBJECT, cfg_schema_c_members},
    {"additionalProperties", SCHEMA_APPLICATOR, ONE, OBJECT, cfg_schema_c_members},
    {"propertyNames", SCHEMA_APPLICATOR, ONE, OBJECT, cfg_schema_c_members},
    {"required", SCHEMA_VALIDATION, NONE, OBJECT, cfg_schema_c_members},
    {"dependentRequired", SCHEMA_VALIDATION, NONE, OBJECT, cfg_schema_c_members},
    {"dependentSchemas", SCHEMA_APPLICATOR, MAP, OBJECT, cfg_schema_c_members},
    {"dependencies", SCHEMA_APPLICATOR, MIXED, OBJECT, cfg_schema_c_members},
    {"prefixItems", SCHEMA_APPLICATOR, LIST, ARRAY, cfg_schema_c_prefix_items},
    {"items", SCHEMA_APPLICATOR, ONE, ARRAY, cfg_schema_c_items},
    {"contains", SCHEMA_APPLICATOR, ONE, ARRAY, cfg_schema_c_contains},
    {"minContains", SCHEMA_VALIDATION, NONE, ARRAY, cfg_schema_c_count},
    {"maxContains", SCHEMA_VALIDATION, NONE, ARRAY, cfg_schema_c_count},
    {"$ref", SCHEMA_CORE, NONE, ANY, cfg_schema_c_ref},
    {"$dynamicRef", SCHEMA_CORE, NONE, ANY, cfg_schema_c_dynamic_ref},
    {"allOf", SCHEMA_APPLICATOR, LIST, ANY, cfg_schema_c_combine},
    {"anyOf", SCHEMA_APPLICATOR, LIST, ANY, cfg_schema_c_combine},
    {"oneOf", SCHEMA_APPLICATOR, LIST, ANY, cfg_schema_c_combine},
    {"not", SCHEMA_APPLICATOR, ONE, ANY, cfg_schema_c_not},
    {"if", SCHEMA_APPLICATOR, ONE, ANY, cfg_schema_c_if},
    {"then", SCHEMA_APPLICATOR, ONE, ANY, cfg_schema_c_note},
    {"else", SCHEMA_APPLICATOR, ONE, ANY, cfg_schema_c_note},
    {"unevaluatedItems", SCHEMA_UNEVALUATED, ONE, ARRAY, cfg_schema_c_unevaluated_items},
    {"unevaluatedProperties", SCHEMA_UNEVALUATED, ONE, OBJECT, cfg_schema_c_unevaluated_members},
    {"$schema", SCHEMA_CORE, NONE, ANY, cfg_schema_c_core},
    {"$id", SCHEMA_CORE, NONE, ANY, cfg_schema_c_core},
    {"$anchor", SCHEMA_CORE, NONE, ANY, cfg_schema_c_core},
    {"$dynamicAnchor", SCHEMA_CORE, NONE, ANY, cfg_schema_c_core},
    {"$vocabulary", SCHEMA_CORE, NONE, ANY, cfg_schema_c_core},
    {"$comment", SCHEMA_CORE, NONE, ANY, cfg_schema_c_core},
    {"$defs", SCHEMA_CORE, MAP, ANY, cfg_schema_c_note},
    {"definitions", SCHEMA_CORE, MAP, ANY, cfg_schema_c_note},
    {"title", SCHEMA_META, NONE, ANY, cfg_schema_c_note},
    {"description", SCHEMA_META, NONE, ANY, cfg_schema_c_note},
    {"default", SCHEMA_META, NONE, ANY, cfg_schema_c_note},
    {"deprecated", SCHEMA_META, NONE, ANY, cfg_schema_c_note},
    {"readOnly", SCHEMA_META, NONE, ANY, cfg_schema_c_note},
    {"writeOnly", SCHEMA_META, NONE, ANY, cfg_schema_c_note},
    {"examples", SCHEMA_META, NONE, ANY, cfg_schema_c_note},
    {"contentEncoding", SCHEMA_CONTENT, NONE, ANY, cfg_schema_c_note},
    {"contentMediaType", SCHEMA_CONTENT, NONE, ANY, cfg_schema_c_note},
    {"contentSchema", SCHEMA_CONTENT, ONE, ANY, cfg_schema_c_note},
    {"x-apply", SCHEMA_OURS, NONE, ANY, cfg_schema_c_ours},
    {"x-capacity", SCHEMA_OURS, NONE, ANY, cfg_schema_c_ours},
    {"x-unit", SCHEMA_OURS, NONE, ANY, cfg_schema_c_ours},
    {"x-invariants", SCHEMA_OURS, NONE, ANY, cfg_schema_c_invariants},
};
enum { N_RULES = sizeof rules / sizeof rules[0] };

const struct schema_rule *cfg_schema_rule(const char *name, unsigned *order)
{
    for (unsigned i = 0; i < N_RULES; i++)
        if (rules[i].name[0] == name[0] && strcmp(rules[i].name, name) == 0) {
            if (order)
                *order = i;
            return &rules[i];
        }
    return NULL;
}

/* What became of keywords of earlier drafts. */
static const char *const successors[][2] = {
    {"additionalItems", "items beside prefixItems"},
    {"id", "$id"},
    {"$recursiveRef", "$dynamicRef"},
    {"$recursiveAnchor", "$dynamicAnchor"},
    {"divisibleBy", "multipleOf"},
    {"extends", "allOf"},
    {"disallow", "not"},
};

const char *cfg_schema_rule_hint(const char *name)
{
    const char *names[N_RULES];
    for (size_t i = 0; i < sizeof successors / sizeof successors[0]; i++)
        if (strcmp(successors[i][0], name) == 0)
            return successors[i][1];
    for (size_t i = 0; i < N_RULES; i++)
        names[i] = rules[i].name;
    return cfg_near_miss(name, names, N_RULES);
}

bool cfg_schema_in_use(const struct schema_node *n, const struct schema_rule *rule)
{
    const struct schema_resource *r = n->resource;
    switch (rule->vocabulary) {
    case SCHEMA_APPLICATOR:
        return !r->no_applicator;
    case SCHEMA_UNEVALUATED:
        return !r->no_unevaluated;
    case SCHEMA_VALIDATION:
        return !r->no_validation;
    case SCHEMA_FORMAT:
        return !r->no_format;
    case SCHEMA_CONTENT:
        return !r->no_content;
    case SCHEMA_META:
        return !r->no_meta;
    case SCHEMA_CORE:
    case SCHEMA_OURS:
        break;
    }
    return true;
}

static int refuse_unknown(struct schema_compiler *c, const struct schema_node *n, const char *name,
                          const struct schema_rule *rule)
{
    if (rule) {
        cfg_schema_fail(c, n, name, CFG_E_VALUE, "the vocabulary of the keyword \"%s\" is not part of this $schema",
                        name);
        return CFG_E_VALUE;
    }
    cfg_schema_fail(c, n, name, CFG_E_VALUE, "\"%.80s\" is no keyword of JSON Schema 2020-12", name);
    const char *hint = cfg_schema_rule_hint(name);
    if (hint)
        cfg_error_set_hint(c->err, "did you mean %s?", hint);
    else
        cfg_error_set_hint(c->err, "keywords of your own begin with x-");
    return CFG_E_VALUE;
}

static int by_order(const void *left, const void *right)
{
    const struct schema_keyword *a = left, *b = right;
    return (a->order > b->order) - (a->order < b->order);
}

static int compile_keyword(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *keywords,
                           const cJSON *member)
{
    unsigned order = 0;
    const struct schema_rule *rule = cfg_schema_rule(member->string, &order);
    if (rule == NULL || !cfg_schema_in_use(n, rule)) {
        bool own = rule == NULL && strncmp(member->string, "x-", 2) == 0;
        /* The metaschemas say $recursiveAnchor and the like of old schemas; they are known to be sound. */
        return own || c->o->lenient || n->resource->foreign ? 0 : refuse_unknown(c, n, member->string, rule);
    }
    struct schema_keyword k = {.name = rule->name, .value = member, .types = rule->types, .order = order};
    int code = rule->compile(c, n, &k);
    if (code == 0 && k.check)
        keywords[n->n_keywords++] = k;
    return code;
}

int cfg_schema_compile_node(struct schema_compiler *c, struct schema_node *n)
{
    if (n->constant >= 0)
        return 0;
    size_t size = 0;
    for (const cJSON *m = n->json->child; m; m = m->next)
        size++;
    struct schema_keyword *keywords = cfg_schema_take(c, (size + 1) * sizeof *keywords);
    if (keywords == NULL)
        return cfg_schema_nomem(c);
    for (const cJSON *m = n->json->child; m; m = m->next) {
        int code = compile_keyword(c, n, keywords, m);
        if (code)
            return code;
    }
    qsort(keywords, n->n_keywords, sizeof *keywords, by_order);
    n->keywords = keywords;
    n->typed = n->n_keywords > 0 && keywords[0].order == 0;
    n->types = n->typed ? keywords[0].u.mask : SCHEMA_ANY;
    return 0;
}
