/* Keywords that apply other schemas to the same place: references, allOf, anyOf, oneOf, not, if. And keywords that only
 * say something about the schema itself. */
#include "proto/schema_internal.h"

#include <math.h>
#include <string.h>

/* --- references --- */

static bool check_ref(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    return cfg_schema_eval(r, k->u.node, at);
}

int cfg_schema_c_ref(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    const char *anchor;
    if (!cJSON_IsString(k->value))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "$ref must be a URI reference");
    k->check = check_ref;
    return cfg_schema_resolve(c, &k->u.node, &anchor, n, k->name, k->value->valuestring);
}

/* The outermost resource that evaluation came through and that has the anchor decides. */
static bool check_dynamic_ref(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    const struct schema_node *target = k->u.dynamic.node;
    for (const struct schema_scope *s = k->u.dynamic.anchor ? r->scope : NULL; s; s = s->up) {
        if (!cfg_schema_spend(r, 1))
            return false;
        for (const struct schema_dynamic *d = s->resource->dynamics; d; d = d->next)
            if (strcmp(d->name, k->u.dynamic.anchor) == 0)
                target = d->node;
    }
    return cfg_schema_eval(r, target, at);
}

int cfg_schema_c_dynamic_ref(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    const char *anchor = NULL;
    if (!cJSON_IsString(k->value))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "$dynamicRef must be a URI reference");
    k->check = check_dynamic_ref;
    int code = cfg_schema_resolve(c, &k->u.dynamic.node, &anchor, n, k->name, k->value->valuestring);
    k->u.dynamic.anchor = anchor;
    return code;
}

/* --- alternatives --- */

/* One alternative on marks of its own, which only count when it holds. */
static bool try_one(struct schema_run *r, const struct schema_node *n, const struct schema_at *at)
{
    if (at->marks == NULL)
        return cfg_schema_eval_quiet(r, n, at);
    struct schema_marks own;
    struct schema_at inner = *at;
    if (!cfg_schema_marks_init(r, &own, at))
        return false;
    inner.marks = &own;
    bool valid = cfg_schema_eval_quiet(r, n, &inner);
    if (valid)
        cfg_schema_marks_merge(at->marks, &own);
    return valid;
}

static bool check_all(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    bool valid = true;
    for (size_t i = 0; i < k->u.nodes.n; i++) {
        if (cfg_schema_eval(r, k->u.nodes.list[i], at))
            continue;
        valid = false;
        if (r->quiet || r->failed)
            break;
    }
    return valid;
}

/* Could this alternative have been meant, going by its type? */
static bool type_fits(const struct schema_node *n, const struct schema_at *at)
{
    for (size_t i = 0; i < n->n_keywords; i++) {
        const struct schema_keyword *k = &n->keywords[i];
        if (strcmp(k->name, "type") == 0)
            return k->u.mask & at->type;
        if (strcmp(k->name, "$ref") == 0)
            return type_fits(k->u.node, at);
    }
    return n->constant != 0;
}

/* None holds: if by type only one alternative can have been meant, what it misses is the better answer. */
static bool report_none(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    if (r->quiet || r->failed)
        return false;
    const struct schema_node *meant = NULL;
    size_t fitting = 0;
    for (size_t i = 0; i < k->u.nodes.n; i++)
        if (type_fits(k->u.nodes.list[i], at)) {
            meant = k->u.nodes.list[i];
            fitting++;
        }
    size_t before = r->count;
    if (fitting == 1)
        (void)cfg_schema_eval(r, meant, at);
    if (r->count > before)
        return false;
    struct schema_report what = {.keyword = k->name};
    return cfg_schema_report(r, at, &what, "matches none of the %zu alternatives of %s", k->u.nodes.n, k->name);
}

static bool check_any(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    bool valid = false;
    for (size_t i = 0; i < k->u.nodes.n && !r->failed; i++) {
        valid = try_one(r, k->u.nodes.list[i], at) || valid;
        if (valid && at->marks == NULL)
            return true;
    }
    return valid || report_none(r, k, at);
}

static bool check_one(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    size_t matches = 0, which[2] = {0, 0};
    for (size_t i = 0; i < k->u.nodes.n && matches < 2 && !r->failed; i++)
        if (try_one(r, k->u.nodes.list[i], at))
            which[matches++] = i;
    if (matches == 1)
        return true;
    if (matches == 0)
        return report_none(r, k, at);
    struct schema_report what = {.keyword = k->name};
    return cfg_schema_report(r, at, &what, "matches the alternatives %zu and %zu of oneOf, and must match only one",
                             which[0], which[1]);
}

int cfg_schema_c_combine(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    size_t count = cJSON_IsArray(k->value) ? (size_t)cJSON_GetArraySize(k->value) : 0;
    if (count == 0)
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "%s must be an array of at least one schema", k->name);
    const struct schema_node **list = cfg_schema_take(c, count * sizeof *list);
    if (list == NULL)
        return cfg_schema_nomem(c);
    size_t i = 0;
    for (const cJSON *m = k->value->child; m; m = m->next)
        list[i++] = cfg_schema_below(c, m);
    k->u.nodes = (struct schema_nodes){list, count};
    k->check = k->name[1] == 'l' ? check_all : k->name[1] == 'n' && k->name[0] == 'a' ? check_any : check_one;
    return 0;
}

static bool check_not(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    struct schema_at inner = *at;
    inner.marks = NULL;
    if (!cfg_schema_eval_quiet(r, k->u.node, &inner) && !r->failed)
        return true;
    struct schema_report what = {.keyword = k->name};
    return cfg_schema_report(r, at, &what, "must not match the schema under not");
}

int cfg_schema_c_not(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    (void)n;
    k->u.node = cfg_schema_below(c, k->value);
    k->check = check_not;
    return 0;
}

static bool check_if(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    bool holds = try_one(r, k->u.branch.test, at);
    const struct schema_node *next = holds ? k->u.branch.then : k->u.branch.otherwise;
    return !r->failed && (next == NULL || cfg_schema_eval(r, next, at));
}

int cfg_schema_c_if(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    const cJSON *then = cfg_json_get(n->json, "then"), *otherwise = cfg_json_get(n->json, "else");
    k->u.branch.test = cfg_schema_below(c, k->value);
    k->u.branch.then = then ? cfg_schema_below(c, then) : NULL;
    k->u.branch.otherwise = otherwise ? cfg_schema_below(c, otherwise) : NULL;
    k->check = check_if;
    return 0;
}

/* --- what only describes the schema --- */

static const char *not_as_expected(const char *name, const cJSON *v)
{
    static const struct {
        const char *name;
        int type;
        const char *text;
    } expected[] = {
        {"title", cJSON_String, "a string"},
        {"description", cJSON_String, "a string"},
        {"$comment", cJSON_String, "a string"},
        {"contentEncoding", cJSON_String, "a string"},
        {"contentMediaType", cJSON_String, "a string"},
        {"x-unit", cJSON_String, "a string"},
        {"deprecated", cJSON_True | cJSON_False, "true or false"},
        {"readOnly", cJSON_True | cJSON_False, "true or false"},
        {"writeOnly", cJSON_True | cJSON_False, "true or false"},
        {"x-secret", cJSON_True | cJSON_False, "true or false"},
        {"examples", cJSON_Array, "an array"},
        {"$defs", cJSON_Object, "an object of schemas"},
        {"definitions", cJSON_Object, "an object of schemas"},
        {"$vocabulary", cJSON_Object, "an object"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (strcmp(expected[i].name, name) == 0 && !(v->type & expected[i].type))
            return expected[i].text;
    return NULL;
}

int cfg_schema_c_note(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    const char *expected = not_as_expected(k->name, k->value);
    if (expected)
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "%s must be %s", k->name, expected);
    return 0;
}

int cfg_schema_c_core(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (strcmp(k->name, "$schema") == 0 && n->json != n->resource->root && !c->o->lenient)
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "$schema stands only where a schema has its own $id");
    return cfg_schema_c_note(c, n, k);
}

/* --- what configd acts on --- */

static const char *const apply_names[] = {"none", "live", "drain", "barrier", "restart", "pinned"};

const char *cfg_apply_name(enum cfg_apply a)
{
    return apply_names[a <= CFG_APPLY_PINNED ? a : CFG_APPLY_NONE];
}

bool cfg_apply_parse(enum cfg_apply *out, const char *text)
{
    for (int i = CFG_APPLY_LIVE; i <= CFG_APPLY_PINNED; i++)
        if (strcmp(apply_names[i], text) == 0) {
            *out = (enum cfg_apply)i;
            return true;
        }
    return false;
}

static bool check_secret(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    static const char *const forms[] = {"secret:file:", "secret:env:"};
    for (size_t i = 0; at->type == SCHEMA_STRING && i < 2; i++)
        if (strncmp(at->v->valuestring, forms[i], strlen(forms[i])) == 0 && at->v->valuestring[strlen(forms[i])])
            return true;
    struct schema_report what = {.keyword = k->name,
                                 .expected = "secret:file:PATH or secret:env:NAME",
                                 .no_got = true,
                                 .hint = "store the secret where the worker can read it, and its reference here"};
    return cfg_schema_report(r, at, &what, "is a secret: must be a reference, not the value itself");
}

int cfg_schema_c_ours(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    int code = cfg_schema_c_note(c, n, k);
    if (code)
        return code;
    if (strcmp(k->name, "x-apply") == 0) {
        if (!cJSON_IsString(k->value) || !cfg_apply_parse(&n->apply, k->value->valuestring))
            return cfg_schema_fail(c, n, k->name, CFG_E_VALUE,
                                   "x-apply must be one of live, drain, barrier, restart, pinned");
    } else if (strcmp(k->name, "x-unit") == 0) {
        n->unit = k->value->valuestring;
    } else if (strcmp(k->name, "x-capacity") == 0) {
        bool path = cJSON_IsString(k->value) && k->value->valuestring[0];
        if (!path && !cJSON_IsTrue(k->value))
            return cfg_schema_fail(c, n, k->name, CFG_E_VALUE,
                                   "x-capacity must be the path of a pinned key, or true for the worker's own ceiling");
        n->capacity = path ? k->value->valuestring : "";
    } else if (cJSON_IsTrue(k->value)) {
        n->secret = true;
        k->check = check_secret;
    }
    return 0;
}
