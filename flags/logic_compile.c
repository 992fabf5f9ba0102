/* From trees to nodes: literals, arrays, var and $ref here; each operator's operands in logic_operators.c. */
#include "flags/logic.h"

#include <stdio.h>
#include <string.h>

/* --- errors, with where they are --- */

static size_t put_place(char *out, size_t size, const struct logic_place *place)
{
    size_t at = place->up ? put_place(out, size, place->up) : 0;
    int n = place->name ? snprintf(out + at, size - at, ".%s", place->name)
                        : snprintf(out + at, size - at, "[%ld]", place->index);
    return n > 0 && (size_t)n < size - at ? at + (size_t)n : size - 1;
}

int cfg_logic_refuse(struct logic_compiler *c, int code, const char *why, const char *hint)
{
    char path[160] = "";
    if (c->place)
        (void)put_place(path, sizeof path, c->place);
    (void)cfg_fail(c->err, code, "%s%s: %s", c->root, path, why);
    cfg_error_set_path(c->err, "%s%s", c->root, path);
    if (hint)
        cfg_error_set_hint(c->err, "%s", hint);
    return code;
}

int cfg_logic_no_memory(struct logic_compiler *c)
{
    return cfg_fail(c->err, CFG_E_NOMEM, "no memory for a flag's rules");
}

void cfg_logic_enter(struct logic_compiler *c, struct logic_place *place, const char *name, long index)
{
    *place = (struct logic_place){c->place, name, index};
    c->place = place;
}

void cfg_logic_leave(struct logic_compiler *c)
{
    c->place = c->place->up;
}

/* --- literals --- */

static int literal_value(struct cfg_flag_value *out, struct logic_compiler *c, const cJSON *v);

static size_t count(const cJSON *v)
{
    size_t n = 0;
    for (const cJSON *i = v->child; i != NULL; i = i->next)
        n++;
    return n;
}

static int literal_array(struct cfg_flag_value *out, struct logic_compiler *c, const cJSON *v)
{
    size_t n = count(v), i = 0;
    struct cfg_flag_value *items = cfg_flag_arena_draft(c->arena, n * sizeof *items);
    if (items == NULL)
        return cfg_logic_no_memory(c);
    int rc = 0;
    for (const cJSON *k = v->child; rc == 0 && k != NULL; k = k->next)
        rc = literal_value(&items[i++], c, k);
    const struct cfg_flag_value *kept = n > 0 ? cfg_flag_arena_share(c->arena, items, n * sizeof *items) : items;
    *out = value_array(kept, n);
    return rc == 0 && kept == NULL ? cfg_logic_no_memory(c) : rc;
}

static int literal_object(struct cfg_flag_value *out, struct logic_compiler *c, const cJSON *v)
{
    size_t n = count(v), i = 0;
    struct cfg_flag_member *members = cfg_flag_arena_take(c->arena, n * sizeof *members);
    if (members == NULL)
        return cfg_logic_no_memory(c);
    int rc = 0;
    for (const cJSON *k = v->child; rc == 0 && k != NULL; k = k->next, i++) {
        const struct arena_string *name = cfg_flag_arena_intern_tree(c->arena, k->string);
        if (name == NULL)
            return cfg_logic_no_memory(c);
        members[i] = (struct cfg_flag_member){name->hash, name->len, name->bytes, value_null()};
        rc = literal_value(&members[i].value, c, k);
    }
    *out = (struct cfg_flag_value){CFG_VALUE_OBJECT, (uint32_t)n, {.members = members}};
    return rc;
}

static int literal_value(struct cfg_flag_value *out, struct logic_compiler *c, const cJSON *v)
{
    if (cJSON_IsArray(v))
        return literal_array(out, c, v);
    if (cJSON_IsObject(v))
        return literal_object(out, c, v);
    if (cJSON_IsString(v)) {
        const struct arena_string *s = cfg_flag_arena_intern_tree(c->arena, v->valuestring);
        if (s == NULL)
            return cfg_logic_no_memory(c);
        *out = value_string(s->bytes, s->len);
        return 0;
    }
    *out = cJSON_IsNumber(v) ? value_number(v->valuedouble)
           : cJSON_IsBool(v) ? value_bool(cJSON_IsTrue(v) != 0)
                             : value_null();
    return 0;
}

/* A string's value lies with the string. */
static int string_literal(struct logic_node *out, struct logic_compiler *c, const char *text)
{
    struct arena_string *s = (struct arena_string *)(uintptr_t)cfg_flag_arena_intern_tree(c->arena, text);
    if (s == NULL)
        return cfg_logic_no_memory(c);
    s->value = value_string(s->bytes, s->len);
    *out = (struct logic_node){.op = OP_LITERAL, .as = {.literal = &s->value}};
    return 0;
}

int cfg_logic_literal(struct logic_node *out, struct logic_compiler *c, const cJSON *v)
{
    static const struct cfg_flag_value constants[] = {{CFG_VALUE_NULL, 0, {.number = 0}},
                                                      {CFG_VALUE_BOOL, 0, {.boolean = false}},
                                                      {CFG_VALUE_BOOL, 0, {.boolean = true}}};
    if (cJSON_IsString(v))
        return string_literal(out, c, v->valuestring);
    *out =
        (struct logic_node){.op = OP_LITERAL, .as = {.literal = &constants[cJSON_IsBool(v) ? 1 + cJSON_IsTrue(v) : 0]}};
    if (cJSON_IsNull(v) || cJSON_IsBool(v))
        return 0;
    struct cfg_flag_value value;
    int rc = literal_value(&value, c, v);
    const struct cfg_flag_value *kept = rc == 0 ? cfg_flag_arena_share(c->arena, &value, sizeof value) : NULL;
    *out = (struct logic_node){.op = OP_LITERAL, .as = {.literal = kept}};
    return rc == 0 && kept == NULL ? cfg_logic_no_memory(c) : rc;
}

/* --- var --- */

static uint32_t as_index(const char *s, size_t n)
{
    uint32_t index = 0;
    if (n == 0 || n > 9 || (n > 1 && s[0] == '0'))
        return UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return UINT32_MAX;
        index = index * 10 + (uint32_t)(s[i] - '0');
    }
    return index;
}

/* NULL without memory. The empty text is the path of no segments: the data itself. */
static const struct logic_path *path_of(struct flag_arena *a, const struct arena_string *whole)
{
    const char *text = whole->bytes;
    size_t len = whole->len;
    uint32_t n = len > 0;
    for (size_t i = 0; i < len; i++)
        n += text[i] == '.';
    struct logic_path *path = whole->path ? NULL : cfg_flag_arena_take(a, sizeof *path + n * sizeof path->segments[0]);
    if (path == NULL)
        return whole->path;
    path->n = n;
    for (uint32_t i = 0; i < n; i++) {
        const char *dot = memchr(text, '.', len);
        size_t m = dot ? (size_t)(dot - text) : len;
        path->segments[i].name = cfg_flag_arena_intern(a, text, m);
        path->segments[i].index = as_index(text, m);
        if (path->segments[i].name == NULL)
            return NULL;
        text += m + (dot != NULL);
        len -= m + (dot != NULL);
    }
    ((struct arena_string *)(uintptr_t)whole)->path = path; /* still being built */
    return path;
}

static bool is_text(const cJSON *v, const char *text)
{
    return cJSON_IsString(v) && strcmp(v->valuestring, text) == 0;
}

/* A path that is known now: a string, or null and nothing for the data itself. */
static bool is_fixed_path(const cJSON *v)
{
    return v == NULL || cJSON_IsString(v) || cJSON_IsNull(v);
}

static int fixed_var(struct logic_node *out, struct logic_compiler *c, const cJSON *path, const cJSON *otherwise)
{
    const struct arena_string *s = cfg_flag_arena_intern_tree(c->arena, cJSON_IsString(path) ? path->valuestring : "");
    struct logic_var var = {.path = s ? path_of(c->arena, s) : NULL};
    if (var.path == NULL)
        return cfg_logic_no_memory(c);
    if (otherwise != NULL) {
        struct logic_node node;
        int rc = cfg_logic_compile_node(&node, c, otherwise);
        if (rc != 0)
            return rc;
        var.otherwise = cfg_flag_arena_share(c->arena, &node, sizeof node);
        if (var.otherwise == NULL)
            return cfg_logic_no_memory(c);
    }
    *out = (struct logic_node){.op = OP_VAR, .as = {.var = cfg_flag_arena_share(c->arena, &var, sizeof var)}};
    return out->as.var ? 0 : cfg_logic_no_memory(c);
}

int cfg_logic_compile_var(struct logic_node *out, struct logic_compiler *c, const cJSON *args)
{
    const cJSON *path = cJSON_IsArray(args) ? args->child : args;
    const cJSON *otherwise = cJSON_IsArray(args) && path ? path->next : NULL;
    if (c->rules == CFG_RULES_FLAGD && is_text(path, "$flagd.flagKey"))
        out->op = OP_FLAG_KEY;
    else if (c->rules == CFG_RULES_FLAGD && is_text(path, "$flagd.timestamp"))
        out->op = OP_TIMESTAMP;
    else if (is_fixed_path(path))
        return fixed_var(out, c, path, otherwise);
    else
        return CFG_VAR_IS_DYNAMIC;
    return 0;
}

/* --- $ref --- */

static int compile_evaluator(struct logic_compiler *c, struct logic_evaluator *e)
{
    unsigned deepest = c->deepest;
    struct logic_instants outer = c->instants;
    c->instants = (struct logic_instants){0};
    e->state = EVALUATOR_OPEN;
    c->deepest = c->depth;
    int rc = cfg_logic_compile_node(&e->root, c, e->source);
    e->depth = c->deepest - c->depth;
    c->deepest = deepest;
    e->instants = c->instants;
    c->instants = outer;
    e->state = rc == 0 ? EVALUATOR_DONE : EVALUATOR_NEW;
    return rc;
}

static int compile_ref(struct logic_node *out, struct logic_compiler *c, const cJSON *name)
{
    if (!cJSON_IsString(name))
        return cfg_logic_refuse(c, CFG_E_VALUE, "$ref must be the name of an evaluator", NULL);
    size_t i = 0;
    while (i < c->n_evaluators && strcmp(c->evaluators[i].name, name->valuestring) != 0)
        i++;
    char why[160];
    if (i == c->n_evaluators) {
        (void)snprintf(why, sizeof why, "there is no evaluator \"%.80s\"", name->valuestring);
        return cfg_logic_refuse(c, CFG_E_VALUE, why,
                                "define it (`cfgctl flag segment set`, $evaluators in a file), or correct the $ref");
    }
    struct logic_evaluator *e = &c->evaluators[i];
    if (e->state == EVALUATOR_OPEN) {
        (void)snprintf(why, sizeof why, "evaluator \"%.80s\" refers to itself", e->name);
        return cfg_logic_refuse(c, CFG_E_VALUE, why, "a $ref must not lead back to where it stands");
    }
    int rc = e->state == EVALUATOR_DONE ? 0 : compile_evaluator(c, e);
    if (rc == 0)
        rc = cfg_logic_add_instants(c, &e->instants);
    if (rc != 0)
        return rc;
    if (c->depth + e->depth > LOGIC_DEPTH)
        return cfg_logic_refuse(c, CFG_E_LIMIT, "rules are nested too deeply", NULL);
    if (c->depth + e->depth > c->deepest)
        c->deepest = c->depth + e->depth;
    *out = e->root;
    return 0;
}

/* --- nodes --- */

/* An array of literals only is a literal. */
static bool is_plain(const cJSON *v)
{
    if (cJSON_IsObject(v))
        return v->child == NULL;
    if (!cJSON_IsArray(v))
        return true;
    for (const cJSON *i = v->child; i != NULL; i = i->next)
        if (!is_plain(i))
            return false;
    return true;
}

static int compile_array(struct logic_node *out, struct logic_compiler *c, const cJSON *v)
{
    if (is_plain(v))
        return cfg_logic_literal(out, c, v);
    size_t n = count(v), i = 0;
    struct logic_node *kids = cfg_flag_arena_draft(c->arena, n * sizeof *kids);
    if (kids == NULL)
        return cfg_logic_no_memory(c);
    if (n > UINT16_MAX)
        return cfg_logic_refuse(c, CFG_E_LIMIT, "an array has more than 65535 items", NULL);
    int rc = 0;
    for (const cJSON *k = v->child; rc == 0 && k != NULL; k = k->next, i++) {
        struct logic_place place;
        cfg_logic_enter(c, &place, NULL, (long)i);
        rc = cfg_logic_compile_node(&kids[i], c, k);
        cfg_logic_leave(c);
    }
    *out = (struct logic_node){.op = OP_ARRAY, .n = (uint16_t)n};
    return rc == 0 ? cfg_logic_keep_kids(out, c, kids, n) : rc;
}

static int compile_object(struct logic_node *out, struct logic_compiler *c, const cJSON *v)
{
    if (v->child == NULL)
        return cfg_logic_literal(out, c, v);
    if (v->child->next != NULL && (c->rules == CFG_RULES_JSONLOGIC || !c->lenient))
        return cfg_logic_refuse(c, CFG_E_VALUE, "a rule has one operator, this object has several members", NULL);
    if (v->child->next != NULL)
        return cfg_logic_literal(out, c, v);
    struct logic_place place;
    cfg_logic_enter(c, &place, v->child->string, 0);
    int rc = c->rules == CFG_RULES_FLAGD && strcmp(v->child->string, "$ref") == 0
                 ? compile_ref(out, c, v->child)
                 : cfg_logic_compile_operator(out, c, v->child);
    cfg_logic_leave(c);
    return rc;
}

int cfg_logic_keep_kids(struct logic_node *out, struct logic_compiler *c, struct logic_node *kids, size_t n)
{
    out->as.kids = n > 0 ? cfg_flag_arena_share(c->arena, kids, n * sizeof *kids) : NULL;
    return n > 0 && out->as.kids == NULL ? cfg_logic_no_memory(c) : 0;
}

int cfg_logic_compile_node(struct logic_node *out, struct logic_compiler *c, const cJSON *v)
{
    if (++c->depth > LOGIC_DEPTH)
        return cfg_logic_refuse(c, CFG_E_LIMIT, "rules are nested too deeply", NULL);
    if (c->depth > c->deepest)
        c->deepest = c->depth;
    int rc = cJSON_IsObject(v)  ? compile_object(out, c, v)
             : cJSON_IsArray(v) ? compile_array(out, c, v)
                                : cfg_logic_literal(out, c, v);
    c->depth--;
    return rc;
}

int cfg_logic_compile(struct logic_node *out, struct logic_compiler *c, const cJSON *rule)
{
    c->depth = c->deepest = 0;
    c->place = NULL;
    cfg_flag_arena_drop_drafts(c->arena); /* what a rule that was refused left behind */
    return cfg_logic_compile_node(out, c, rule);
}
