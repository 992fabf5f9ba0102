/* What operands each operator takes, and how those that are not just a list of rules are compiled. */
#include "flags/logic.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANY = UINT16_MAX, SET_AT_LEAST = 8 };

struct rule_operator {
    const char *name;
    uint8_t len; /* of the name */
    enum logic_op op;
    uint16_t least, most; /* operands that a definition may write */
    bool folds;           /* with literals only it is a literal */
    bool tables_only;     /* json-logic.org's tables use it, flagd does not know it */
};

/* Sorted by length, then by name: while compiling, looking one up is most of what a small rule costs. */
static const struct rule_operator operators[] = {
    {"!", 1, OP_NOT, 1, 1, true, false},
    {"%", 1, OP_MOD, 2, 2, true, false},
    {"*", 1, OP_MUL, 1, ANY, true, false},
    {"+", 1, OP_ADD, 1, ANY, true, false},
    {"-", 1, OP_SUB, 1, 2, true, false},
    {"/", 1, OP_DIV, 2, 2, true, false},
    {"<", 1, OP_LT, 2, 3, true, false},
    {">", 1, OP_GT, 2, 2, true, false},
    {"!!", 2, OP_TRUTHY, 1, 1, true, false},
    {"!=", 2, OP_NE, 2, 2, true, false},
    {"<=", 2, OP_LE, 2, 3, true, false},
    {"==", 2, OP_EQ, 2, 2, true, false},
    {">=", 2, OP_GE, 2, 2, true, false},
    {"?:", 2, OP_IF, 1, ANY, true, false},
    {"if", 2, OP_IF, 1, ANY, true, false},
    {"in", 2, OP_IN, 2, 2, true, false},
    {"or", 2, OP_OR, 1, ANY, true, false},
    {"!==", 3, OP_NOT_SAME, 2, 2, true, false},
    {"===", 3, OP_SAME, 2, 2, true, false},
    {"all", 3, OP_ALL, 2, 2, false, false},
    {"and", 3, OP_AND, 1, ANY, true, false},
    {"cat", 3, OP_CAT, 1, ANY, true, false},
    {"log", 3, OP_LOG, 1, 1, false, false},
    {"map", 3, OP_MAP, 2, 2, false, false},
    {"max", 3, OP_MAX, 1, ANY, true, false},
    {"min", 3, OP_MIN, 1, ANY, true, false},
    {"val", 3, OP_VAL, 0, ANY, false, true},
    {"var", 3, OP_VAR, 0, 2, false, false},
    {"none", 4, OP_NONE, 2, 2, false, false},
    {"some", 4, OP_SOME, 2, 2, false, false},
    {"merge", 5, OP_MERGE, 0, ANY, false, false},
    {"throw", 5, OP_THROW, 1, 1, false, true},
    {"filter", 6, OP_FILTER, 2, 2, false, false},
    {"reduce", 6, OP_REDUCE, 2, 3, false, false},
    {"substr", 6, OP_SUBSTR, 2, 3, true, false},
    {"missing", 7, OP_MISSING, 0, ANY, false, false},
    {"sem_ver", 7, OP_SEM_VER, 3, 3, true, false},
    {"ends_with", 9, OP_ENDS_WITH, 2, 2, true, false},
    {"fractional", 10, OP_FRACTIONAL, 1, ANY, false, false},
    {"starts_with", 11, OP_STARTS_WITH, 2, 2, true, false},
    {"missing_some", 12, OP_MISSING_SOME, 2, 2, false, false},
};

static const struct rule_operator *find_operator(const struct logic_compiler *c, const char *name)
{
    const size_t len = strlen(name);
    size_t low = 0, high = sizeof operators / sizeof operators[0];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct rule_operator *o = &operators[middle];
        int order = len == o->len ? memcmp(name, o->name, len) : len < o->len ? -1 : 1;
        if (order == 0)
            return o->tables_only && c->rules != CFG_RULES_JSONLOGIC ? NULL : o;
        low = order < 0 ? low : middle + 1;
        high = order < 0 ? middle : high;
    }
    return NULL;
}

static size_t count_operands(const cJSON *args)
{
    size_t n = 0;
    for (const cJSON *i = args->child; i != NULL; i = i->next)
        n++;
    return cJSON_IsArray(args) ? n : 1;
}

/* What people write is held to flagd's schema; what flagd would take anyway answers null when it runs. */
static int check_count(struct logic_compiler *c, const struct rule_operator *o, size_t n)
{
    char why[96];
    if (n > UINT16_MAX)
        return cfg_logic_refuse(c, CFG_E_LIMIT, "an operator has more than 65535 operands", NULL);
    if (c->rules == CFG_RULES_JSONLOGIC || c->lenient || (n >= o->least && n <= o->most))
        return 0;
    if (o->least == o->most)
        (void)snprintf(why, sizeof why, "takes %u operand%s, not %zu", o->least, o->least == 1 ? "" : "s", n);
    else if (n < o->least)
        (void)snprintf(why, sizeof why, "takes at least %u operand%s, not %zu", o->least, o->least == 1 ? "" : "s", n);
    else
        (void)snprintf(why, sizeof why, "takes at most %u operands, not %zu", o->most, n);
    return cfg_logic_refuse(c, CFG_E_VALUE, why, NULL);
}

static struct logic_node *draft_nodes(struct logic_compiler *c, size_t n)
{
    return cfg_flag_arena_draft(c->arena, n * sizeof(struct logic_node));
}

static int compile_operands(struct logic_node *out, struct logic_compiler *c, const cJSON *args, size_t n)
{
    struct logic_node *kids = draft_nodes(c, n);
    if (kids == NULL)
        return cfg_logic_no_memory(c);
    out->n = (uint16_t)n;
    int rc = 0;
    if (!cJSON_IsArray(args)) {
        out->bits |= NODE_BARE;
        rc = cfg_logic_compile_node(kids, c, args);
        return rc == 0 ? cfg_logic_keep_kids(out, c, kids, 1) : rc;
    }
    long i = 0;
    for (const cJSON *k = args->child; rc == 0 && k != NULL; k = k->next, i++) {
        struct logic_place place;
        cfg_logic_enter(c, &place, NULL, i);
        rc = cfg_logic_compile_node(&kids[i], c, k);
        cfg_logic_leave(c);
    }
    return rc == 0 ? cfg_logic_keep_kids(out, c, kids, n) : rc;
}

/* --- folding --- */

static bool all_literals(const struct logic_node *node)
{
    for (uint32_t i = 0; i < node->n; i++)
        if (node->as.kids[i].op != OP_LITERAL)
            return false;
    return true;
}

/* Computes now what cannot depend on who asks. Arrays stay computed when they are asked for. */
static int fold(struct logic_node *node, struct logic_compiler *c)
{
    _Alignas(16) char scratch[LOGIC_STACK_SCRATCH];
    struct logic_scope scope = {value_null(), 0, NULL};
    struct logic_run run = {
        .scope = &scope, .scratch = scratch, .size = sizeof scratch, .work = LOGIC_WORK, .rules = CFG_RULES_FLAGD};
    struct cfg_flag_value v = cfg_logic_eval(&run, node);
    if (run.error || v.kind >= CFG_VALUE_ARRAY)
        return 0;
    if (v.kind == CFG_VALUE_STRING) {
        const struct arena_string *s = cfg_flag_arena_intern(c->arena, v.as.string, v.len);
        if (s == NULL)
            return cfg_logic_no_memory(c);
        v = value_string(s->bytes, s->len);
    }
    *node = (struct logic_node){.op = OP_LITERAL, .as = {.literal = cfg_flag_arena_share(c->arena, &v, sizeof v)}};
    return node->as.literal ? 0 : cfg_logic_no_memory(c);
}

/* --- in, over many strings --- */

static int make_set(struct logic_node *node, struct logic_compiler *c)
{
    const struct logic_node *kids = node->as.kids;
    if (node->n != 2 || kids[1].op != OP_LITERAL || kids[1].as.literal->kind != CFG_VALUE_ARRAY)
        return 0;
    const struct cfg_flag_value *list = kids[1].as.literal;
    for (uint32_t i = 0; i < list->len; i++)
        if (list->as.items[i].kind != CFG_VALUE_STRING)
            return 0;
    if (list->len < SET_AT_LEAST)
        return 0;
    uint32_t size = 16;
    while (size < list->len * 2)
        size *= 2;
    const size_t bytes = sizeof(struct logic_set) + size * sizeof(struct arena_string *);
    struct logic_set *set = cfg_flag_arena_draft(c->arena, bytes);
    if (set == NULL)
        return cfg_logic_no_memory(c);
    set->mask = size - 1;
    for (uint32_t i = 0; i < list->len; i++) {
        const struct arena_string *s =
            cfg_flag_arena_intern(c->arena, list->as.items[i].as.string, list->as.items[i].len);
        if (s == NULL)
            return cfg_logic_no_memory(c);
        uint32_t at = s->hash & set->mask;
        while (set->slots[at] != NULL && set->slots[at] != s)
            at = (at + 1) & set->mask;
        set->slots[at] = s;
    }
    struct logic_in_set in = {kids, cfg_flag_arena_share(c->arena, set, bytes)};
    *node = (struct logic_node){.op = OP_IN_SET, .as = {.in_set = cfg_flag_arena_share(c->arena, &in, sizeof in)}};
    return in.set && node->as.in_set ? 0 : cfg_logic_no_memory(c);
}

/* --- fractional --- */

static int refuse_fractional(struct logic_node *out, struct logic_compiler *c, const char *why)
{
    static const struct cfg_flag_value null = {CFG_VALUE_NULL, 0, {.number = 0}};
    *out = (struct logic_node){.op = OP_LITERAL, .as = {.literal = &null}};
    return c->lenient ? 0
                      : cfg_logic_refuse(c, CFG_E_VALUE, why,
                                         "fractional is [VALUE to hash, [VARIANT, WEIGHT], [VARIANT, WEIGHT], …]");
}

/* Why a literal weight will not do, or NULL. */
static const char *bad_weight(const cJSON *w)
{
    if (w == NULL || cJSON_IsObject(w) || cJSON_IsNull(w))
        return NULL;
    if (!cJSON_IsNumber(w))
        return "a weight must be a number";
    if (w->valuedouble != floor(w->valuedouble))
        return "a weight must be a whole number";
    return w->valuedouble > INT32_MAX ? "a weight must not be above 2147483647" : NULL;
}

static const char *bad_entry(const cJSON *entry)
{
    if (!cJSON_IsArray(entry) || entry->child == NULL)
        return "an entry must be an array of a variant and a weight";
    if (cJSON_IsArray(entry->child))
        return "a variant must not be an array";
    if (entry->child->next && entry->child->next->next)
        return "an entry has at most a variant and a weight";
    return bad_weight(entry->child->next);
}

static int compile_entry(struct logic_node pair[2], struct logic_compiler *c, const cJSON *entry)
{
    int rc = cfg_logic_compile_node(&pair[0], c, entry->child);
    const cJSON *weight = entry->child->next;
    if (rc != 0)
        return rc;
    if (weight && !cJSON_IsNull(weight))
        return cfg_logic_compile_node(&pair[1], c, weight);
    static const struct cfg_flag_value one = {CFG_VALUE_NUMBER, 0, {.number = 1}};
    pair[1] = (struct logic_node){.op = OP_LITERAL, .as = {.literal = &one}};
    return 0;
}

/* The sum when all weights are literals; each is kept beside its variant, negative ones as 0. -1 above 2^31−1. */
static int64_t sum_weights(struct logic_node *pairs, size_t n)
{
    int64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        const struct cfg_flag_value *v = pairs[2 * i + 1].op == OP_LITERAL ? pairs[2 * i + 1].as.literal : NULL;
        if (v == NULL || v->kind != CFG_VALUE_NUMBER || v->as.number != floor(v->as.number))
            return 0;
        double w = v->as.number;
        if (w > INT32_MAX)
            return -1;
        pairs[2 * i].weight_total = w > 0 ? (uint32_t)w : 0;
        total += pairs[2 * i].weight_total;
        if (total > INT32_MAX)
            return -1;
    }
    return total;
}

/* Kids: what to hash (or nothing), then variant and weight of each entry. */
static int compile_fractional(struct logic_node *out, struct logic_compiler *c, const cJSON *args)
{
    if (!cJSON_IsArray(args) || args->child == NULL)
        return refuse_fractional(out, c, "must be an array");
    bool has_key = !cJSON_IsArray(args->child);
    const cJSON *first = has_key ? args->child->next : args->child;
    size_t n = count_operands(args) - has_key;
    if (n == 0 || n > UINT16_MAX)
        return refuse_fractional(out, c, "needs at least one entry");
    struct logic_node *kids = draft_nodes(c, 1 + 2 * n);
    if (kids == NULL)
        return cfg_logic_no_memory(c);
    int rc = has_key ? cfg_logic_compile_node(kids, c, args->child) : 0;
    long i = 0;
    for (const cJSON *e = first; rc == 0 && e != NULL; e = e->next, i++) {
        struct logic_place place;
        cfg_logic_enter(c, &place, NULL, i + has_key);
        const char *bad = bad_entry(e);
        rc = bad ? refuse_fractional(out, c, bad) : compile_entry(&kids[1 + 2 * i], c, e);
        cfg_logic_leave(c);
        if (bad)
            return rc;
    }
    if (rc != 0)
        return rc;
    int64_t total = sum_weights(kids + 1, n);
    if (total < 0)
        return refuse_fractional(out, c, "the weights add up to more than 2147483647");
    *out = (struct logic_node){
        .op = OP_FRACTIONAL, .bits = has_key ? NODE_HAS_KEY : 0, .n = (uint16_t)n, .weight_total = (uint32_t)total};
    return cfg_logic_keep_kids(out, c, kids, 1 + 2 * n);
}

/* --- tests: what most conditions are --- */

static bool is_fixed_var(const struct logic_node *node)
{
    return node->op == OP_VAR && node->as.var->otherwise == NULL;
}

static bool is_test_literal(const struct logic_node *node, enum logic_op op)
{
    if (node->op != OP_LITERAL)
        return false;
    const struct cfg_flag_value *v = node->as.literal;
    if (op != OP_IN)
        return v->kind == CFG_VALUE_STRING ||
               (v->kind == CFG_VALUE_NUMBER && op != OP_STARTS_WITH && op != OP_ENDS_WITH);
    bool strings = v->kind == CFG_VALUE_ARRAY;
    for (uint32_t i = 0; strings && i < v->len; i++)
        strings = v->as.items[i].kind == CFG_VALUE_STRING;
    return strings;
}

/* An attribute against a literal becomes one node. */
static int make_test(struct logic_node *node, struct logic_compiler *c, enum logic_op op)
{
    bool symmetric = op >= OP_EQ && op <= OP_NOT_SAME;
    bool testable =
        symmetric || (op >= OP_LT && op <= OP_GE) || op == OP_IN || op == OP_STARTS_WITH || op == OP_ENDS_WITH;
    if (!testable || node->n != 2 || (node->bits & NODE_BARE))
        return 0;
    const struct logic_node *a = &node->as.kids[0], *b = &node->as.kids[1];
    if (symmetric && is_fixed_var(b)) {
        const struct logic_node *swap = a;
        a = b;
        b = swap;
    }
    if (!is_fixed_var(a) || !is_test_literal(b, op))
        return 0;
    const struct logic_path *path = a->as.var->path;
    const struct arena_string *name = path->n == 1 ? path->segments[0].name : NULL;
    struct logic_test test = {path, name ? name->hash : 0, name ? name->len : UINT32_MAX, *b->as.literal};
    *node = (struct logic_node){
        .op = OP_TEST, .bits = (uint8_t)op, .as = {.test = cfg_flag_arena_share(c->arena, &test, sizeof test)}};
    return node->as.test ? 0 : cfg_logic_no_memory(c);
}

/* --- sem_ver --- */

static struct cfg_slice literal_text(const struct logic_node *node)
{
    bool text = node->op == OP_LITERAL && node->as.literal->kind == CFG_VALUE_STRING;
    return text ? (struct cfg_slice){node->as.literal->as.string, node->as.literal->len} : (struct cfg_slice){NULL, 0};
}

/* A version that is none only makes the answer null, which flagd's own flags count on. */
static int check_sem_ver(struct logic_compiler *c, const struct logic_node *node)
{
    struct cfg_slice op = literal_text(&node->as.kids[1]);
    if (op.ptr && !cfg_semver_operator_known(op))
        return cfg_logic_refuse(c, CFG_E_VALUE, "the operator must be one of = != < <= > >= ~ ^", NULL);
    return 0;
}

/* --- any --- */

static int unknown(struct logic_compiler *c, const char *name)
{
    char why[160];
    (void)snprintf(why, sizeof why, "there is no operator \"%.80s\"", name);
    return cfg_logic_refuse(c, CFG_E_UNSUPPORTED, why, "docs/flags.md lists the operators");
}

static int compile_list(struct logic_node *out, struct logic_compiler *c, const struct rule_operator *o,
                        const cJSON *args)
{
    *out = (struct logic_node){.op = (uint8_t)o->op};
    int rc = compile_operands(out, c, args, count_operands(args));
    if (rc == 0 && o->op == OP_SEM_VER && c->rules == CFG_RULES_FLAGD && !c->lenient)
        rc = check_sem_ver(c, out);
    if (rc == 0 && c->rules == CFG_RULES_FLAGD)
        rc = cfg_logic_note_instants(c, out);
    if (rc == 0 && c->rules == CFG_RULES_FLAGD && o->folds && all_literals(out))
        return fold(out, c);
    if (rc == 0 && o->op == OP_IN)
        rc = make_set(out, c);
    if (rc == 0 && c->rules == CFG_RULES_FLAGD && out->op == o->op)
        rc = make_test(out, c, o->op);
    return rc;
}

static int compile_var(struct logic_node *out, struct logic_compiler *c, const cJSON *args)
{
    *out = (struct logic_node){.op = OP_VAR};
    int rc = cfg_logic_compile_var(out, c, args);
    if (rc != CFG_VAR_IS_DYNAMIC)
        return rc;
    *out = (struct logic_node){.op = OP_VAR_DYNAMIC};
    return compile_operands(out, c, args, count_operands(args));
}

int cfg_logic_compile_operator(struct logic_node *out, struct logic_compiler *c, const cJSON *operation)
{
    const struct rule_operator *o = find_operator(c, operation->string);
    if (o == NULL)
        return unknown(c, operation->string);
    int rc = check_count(c, o, count_operands(operation));
    if (rc != 0)
        return rc;
    if (o->op == OP_VAR)
        return compile_var(out, c, operation);
    if (o->op == OP_FRACTIONAL)
        return compile_fractional(out, c, operation);
    return compile_list(out, c, o, operation);
}
