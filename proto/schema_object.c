/* Keywords of objects. All that speak of members by name or pattern share one walk over the members: a name is looked
 * up once, in a table that the compiler made of every name that the schema mentions. */
#include "proto/path.h"
#include "proto/schema_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEN_WORDS = 8 }; /* names that need no memory: 64 each */

static struct schema_at member_at(const struct schema_at *up, const cJSON *v)
{
    return (struct schema_at){.v = v, .type = cfg_schema_type_of(v), .key = v->string, .up = up};
}

/* Documents mostly have their members in the schema's order, so the name behind the last one is tried first. */
static const struct schema_name *find_name(const struct schema_members *m, const char *key, size_t guess)
{
    if (guess < m->n_names && strcmp(m->names[guess].key, key) == 0)
        return &m->names[guess];
    if (m->n_names == 0)
        return NULL;
    uint32_t hash = cfg_schema_hash(key, strlen(key));
    for (uint32_t i = hash & m->mask; m->table[i]; i = (i + 1) & m->mask) {
        const struct schema_name *name = &m->names[m->table[i] - 1];
        if (name->hash == hash && strcmp(name->key, key) == 0)
            return name;
    }
    return NULL;
}

static bool is_seen(const uint64_t *seen, size_t i)
{
    return seen[i / 64] >> (i % 64) & 1;
}

/* --- reports --- */

/* A name of the schema's that is near one of the document's. */
static const char *near_name(const struct schema_members *m, const char *key)
{
    const char *best = NULL;
    for (size_t i = 0; i < m->n_names; i++) {
        const char *pair[2] = {m->names[i].key, best};
        if (m->names[i].node || m->names[i].required)
            best = cfg_near_miss(key, pair, best ? 2 : 1);
    }
    return best;
}

static bool report_unknown(struct schema_run *r, const struct schema_members *m, const struct schema_at *at,
                           const char *key, const char *keyword)
{
    if (r->quiet || r->failed)
        return false;
    char hint[200];
    const char *near = m && cfg_schema_may_hint(r, m->n_names) ? near_name(m, key) : NULL;
    if (near)
        (void)snprintf(hint, sizeof hint, "did you mean `%.150s`?", near);
    struct schema_report what = {.keyword = keyword, .key = key, .no_got = true, .hint = near ? hint : NULL};
    return cfg_schema_report(r, at, &what, "\"%.200s\" is not a name that the schema knows here", key);
}

static bool report_missing(struct schema_run *r, const struct schema_members *m, const struct schema_at *at,
                           const char *key, const char *because)
{
    if (r->quiet || r->failed)
        return false;
    char hint[200];
    const char *near = NULL;
    for (const cJSON *v = at->v->child; v && near == NULL && cfg_schema_may_hint(r, 1); v = v->next)
        if (find_name(m, v->string, 0) == NULL)
            near = cfg_near_miss(key, (const char *const[]){v->string}, 1);
    if (near)
        (void)snprintf(hint, sizeof hint, "there is `%.80s`; did you mean `%.80s`?", near, key);
    struct schema_report what = {
        .keyword = because ? "dependentRequired" : "required", .key = key, .no_got = true, .hint = near ? hint : NULL};
    if (because)
        return cfg_schema_report(r, at, &what, "\"%.120s\" is required because \"%.120s\" is there", key, because);
    return cfg_schema_report(r, at, &what, "\"%.200s\" is required", key);
}

/* --- the walk over the members --- */

static bool check_name_of(struct schema_run *r, const struct schema_members *m, const struct schema_at *at,
                          const cJSON *member)
{
    cJSON text = {.type = cJSON_String};
    text.valuestring = member->string;
    struct schema_at name = {.v = &text, .type = SCHEMA_STRING};
    if (cfg_schema_eval_quiet(r, m->property_names, &name))
        return true;
    struct schema_report what = {.keyword = "propertyNames", .key = member->string, .no_got = true};
    return cfg_schema_report(r, at, &what, "\"%.200s\" is no name that is allowed here", member->string);
}

/* Applies patternProperties; *described tells whether any pattern matched. */
static bool check_patterns(struct schema_run *r, const struct schema_members *m, const struct schema_at *member,
                           bool *described)
{
    bool valid = true;
    for (size_t i = 0; i < m->pattern_nodes.n; i++) {
        if (!cfg_schema_pattern_matches(r, m->patterns[i], member->key))
            continue;
        *described = true;
        valid = cfg_schema_eval(r, m->pattern_nodes.list[i], member) && valid;
        if (!valid && r->quiet)
            break;
    }
    return valid && !r->failed;
}

/* The walk over the members: the names seen so far, the one expected next, whether some keyword described the member.
 */
struct walk {
    uint64_t *seen;
    size_t next;
    bool described;
};

static bool check_member(struct schema_run *r, const struct schema_members *m, const struct schema_at *at,
                         const cJSON *v, struct walk *walk)
{
    struct schema_at member = member_at(at, v);
    const struct schema_name *name = find_name(m, v->string, walk->next);
    bool valid = true;
    if (name) {
        size_t i = (size_t)(name - m->names);
        walk->seen[i / 64] |= (uint64_t)1 << (i % 64);
        walk->next = i + 1;
        if (name->node) {
            walk->described = true;
            valid = cfg_schema_eval(r, name->node, &member);
        }
    }
    if (m->pattern_nodes.n && (valid || !r->quiet))
        valid = check_patterns(r, m, &member, &walk->described) && valid;
    if (m->property_names && (valid || !r->quiet))
        valid = check_name_of(r, m, at, v) && valid;
    if (walk->described || m->additional == NULL || (!valid && r->quiet))
        return valid;
    walk->described = true;
    if (m->additional->constant == 0)
        return report_unknown(r, m, at, v->string, "additionalProperties");
    return cfg_schema_eval(r, m->additional, &member) && valid;
}

static bool check_needs(struct schema_run *r, const struct schema_members *m, const struct schema_at *at,
                        const uint64_t *seen)
{
    bool valid = true;
    for (size_t i = 0; i < m->n_names && !r->failed && (valid || !r->quiet); i++) {
        const struct schema_name *name = &m->names[i];
        if (!is_seen(seen, i)) {
            if (name->required)
                valid = report_missing(r, m, at, name->key, NULL);
            continue;
        }
        for (uint32_t k = 0; k < name->n_needs; k++)
            if (!is_seen(seen, name->needs[k]))
                valid = report_missing(r, m, at, m->names[name->needs[k]].key, name->key);
        if (name->dependent)
            valid = cfg_schema_eval(r, name->dependent, at) && valid;
    }
    return valid && !r->failed;
}

static bool is_missing(const struct schema_members *m, const uint64_t *seen)
{
    for (size_t i = 0; m->any_required && i < (m->n_names + 63) / 64; i++)
        if (m->required[i] & ~seen[i])
            return true;
    return false;
}

static bool check_members(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    const struct schema_members *m = k->u.members;
    uint64_t few[SEEN_WORDS] = {0}, *seen = few;
    if (m->n_names > SEEN_WORDS * 64) {
        seen = cfg_arena_alloc(&r->arena, (m->n_names + 63) / 64 * sizeof *seen);
        if (seen == NULL) {
            r->failed = r->arena.failed;
            return false;
        }
    }
    bool valid = true;
    size_t i = 0;
    struct walk walk = {.seen = seen};
    for (const cJSON *v = at->v->child; v; v = v->next, i++) {
        walk.described = false;
        if (!cfg_schema_spend(r, 1))
            return false;
        valid = check_member(r, m, at, v, &walk) && valid;
        if (walk.described)
            cfg_schema_mark(at->marks, i);
        if (r->failed || (!valid && r->quiet))
            return false;
    }
    if (m->any_dependent || is_missing(m, seen))
        valid = check_needs(r, m, at, seen) && valid;
    return valid;
}

static bool check_unevaluated(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    size_t i = 0;
    bool valid = true;
    for (const cJSON *v = at->v->child; v && !at->marks->all; v = v->next, i++) {
        if (cfg_schema_marked(at->marks, i))
            continue;
        struct schema_at member = member_at(at, v);
        bool fits = k->u.node->constant == 0 ? report_unknown(r, NULL, at, v->string, k->name)
                                             : cfg_schema_eval(r, k->u.node, &member);
        valid = valid && fits;
        if (!fits && (r->quiet || r->failed))
            break;
    }
    cfg_schema_mark_all(at->marks);
    return valid;
}

int cfg_schema_c_unevaluated_members(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    n->tracks = true;
    k->u.node = cfg_schema_below(c, k->value);
    k->check = check_unevaluated;
    return 0;
}

/* --- compiling --- */

/* How many names the schema's keywords can mention: an upper bound. */
static size_t count_names(const struct schema_node *n)
{
    size_t total = 0;
    for (const cJSON *k = n->json->child; k; k = k->next)
        for (const cJSON *m = k->child; m; m = m->next)
            total += 1 + (cJSON_IsArray(m) ? (size_t)cJSON_GetArraySize(m) : 0);
    return total;
}

static struct schema_members *members_of(struct schema_compiler *c, struct schema_node *n)
{
    if (n->members)
        return n->members;
    size_t names = count_names(n), size = 8;
    while (size < names * 2)
        size *= 2;
    struct schema_members *m = cfg_schema_take(c, sizeof *m);
    if (m == NULL)
        return NULL;
    m->names = cfg_schema_take(c, (names + 1) * sizeof *m->names);
    m->table = cfg_schema_take(c, size * sizeof *m->table);
    m->mask = (uint32_t)size - 1;
    m->required = cfg_schema_take(c, (names / 64 + 1) * sizeof *m->required);
    if (m->names == NULL || m->table == NULL || m->required == NULL)
        return NULL;
    n->members = m;
    return m;
}

static uint32_t add_name(struct schema_members *m, const char *key)
{
    uint32_t hash = cfg_schema_hash(key, strlen(key)), i = hash & m->mask;
    for (; m->table[i]; i = (i + 1) & m->mask)
        if (strcmp(m->names[m->table[i] - 1].key, key) == 0)
            return m->table[i] - 1;
    m->names[m->n_names] = (struct schema_name){.key = key, .hash = hash};
    m->table[i] = (uint32_t)++m->n_names;
    return m->table[i] - 1;
}

static int wrong(struct schema_compiler *c, const struct schema_node *n, const char *keyword, const char *what)
{
    return cfg_schema_fail(c, n, keyword, CFG_E_VALUE, "%s must be %s", keyword, what);
}

static int add_patterns(struct schema_compiler *c, struct schema_node *n, struct schema_members *m,
                        const struct schema_keyword *k)
{
    size_t count = (size_t)cJSON_GetArraySize(k->value), i = 0;
    const struct schema_pattern **patterns = cfg_schema_take(c, (count + 1) * sizeof *patterns);
    const struct schema_node **nodes = cfg_schema_take(c, (count + 1) * sizeof *nodes);
    if (patterns == NULL || nodes == NULL)
        return cfg_schema_nomem(c);
    for (const cJSON *p = k->value->child; p; p = p->next, i++) {
        int code = cfg_schema_pattern(c, &patterns[i], p->string, n, k->name);
        if (code)
            return code;
        nodes[i] = cfg_schema_below(c, p);
    }
    m->patterns = patterns;
    m->pattern_nodes = (struct schema_nodes){nodes, count};
    return 0;
}

/* An array of different strings. */
static bool is_name_list(const cJSON *v)
{
    if (!cJSON_IsArray(v))
        return false;
    for (const cJSON *m = v->child; m; m = m->next)
        if (!cJSON_IsString(m))
            return false;
    return true;
}

static int add_required(struct schema_compiler *c, struct schema_node *n, struct schema_members *m,
                        const struct schema_keyword *k)
{
    if (!is_name_list(k->value))
        return wrong(c, n, k->name, "an array of names");
    for (const cJSON *v = k->value->child; v; v = v->next) {
        uint32_t i = add_name(m, v->valuestring);
        struct schema_name *name = &m->names[i];
        m->required[i / 64] |= (uint64_t)1 << (i % 64);
        if (name->required)
            return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "required names \"%.100s\" twice", v->valuestring);
        name->required = true;
    }
    m->any_required = true;
    return 0;
}

static int add_needs(struct schema_compiler *c, const struct schema_node *n, struct schema_members *m,
                     const struct schema_keyword *k, const cJSON *list)
{
    if (!is_name_list(list))
        return wrong(c, n, k->name, "an object of arrays of names");
    uint32_t count = (uint32_t)cJSON_GetArraySize(list), i = 0, owner = add_name(m, list->string);
    uint32_t before = m->names[owner].n_needs;
    uint32_t *needs = cfg_schema_take(c, (before + count + 1) * sizeof *needs);
    if (needs == NULL)
        return cfg_schema_nomem(c);
    for (; i < before; i++)
        needs[i] = m->names[owner].needs[i];
    for (const cJSON *v = list->child; v; v = v->next)
        needs[i++] = add_name(m, v->valuestring);
    m->names[owner].needs = needs;
    m->names[owner].n_needs = i;
    m->any_dependent = true;
    return 0;
}

static int add_maps(struct schema_compiler *c, struct schema_node *n, struct schema_members *m,
                    const struct schema_keyword *k)
{
    if (!cJSON_IsObject(k->value))
        return wrong(c, n, k->name, "an object");
    if (k->name[1] == 'a') /* patternProperties */
        return add_patterns(c, n, m, k);
    for (const cJSON *v = k->value->child; v; v = v->next) {
        int code = 0;
        if (strcmp(k->name, "properties") == 0) {
            m->names[add_name(m, v->string)].node = cfg_schema_below(c, v);
        } else if (strcmp(k->name, "dependentRequired") == 0 || cJSON_IsArray(v)) {
            code = add_needs(c, n, m, k, v);
        } else {
            struct schema_name *name = &m->names[add_name(m, v->string)];
            if (name->dependent)
                return cfg_schema_fail(c, n, k->name, CFG_E_VALUE,
                                       "\"%.100s\" stands in both dependentSchemas and dependencies", v->string);
            name->dependent = cfg_schema_below(c, v);
            m->any_dependent = true;
        }
        if (code)
            return code;
    }
    return 0;
}

int cfg_schema_c_members(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    bool first = n->members == NULL;
    struct schema_members *m = members_of(c, n);
    if (m == NULL)
        return cfg_schema_nomem(c);
    if (first) {
        k->u.members = m;
        k->check = check_members;
    }
    if (strcmp(k->name, "additionalProperties") == 0)
        m->additional = cfg_schema_below(c, k->value);
    else if (strcmp(k->name, "propertyNames") == 0)
        m->property_names = cfg_schema_below(c, k->value);
    else if (strcmp(k->name, "required") == 0)
        return add_required(c, n, m, k);
    else
        return add_maps(c, n, m, k);
    return 0;
}
