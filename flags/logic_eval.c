/* The evaluator's core: dispatch, control operators, and reading the context. Operators on numbers, strings and arrays
 * have files of their own. Recursion is bounded by LOGIC_DEPTH when compiling, work by run.work. */
#include "flags/logic.h"

#include <string.h>

enum { LARGE = 64 }; /* so many members, bytes or operands count as one operator's work */

/* Whoever asks sends the context, so what it makes an operator look at is work like another operator. */
static inline bool charge_search(struct logic_run *r, const struct cfg_flag_value *in)
{
    return in->len <= LARGE || in->kind != CFG_VALUE_OBJECT || cfg_logic_charge(r, in->len / LARGE);
}

static inline bool charge_text(struct logic_run *r, const struct cfg_flag_value *v)
{
    return v->len <= LARGE || v->kind != CFG_VALUE_STRING || cfg_logic_charge(r, v->len / LARGE);
}

struct cfg_flag_value cfg_logic_fail(struct logic_run *r, enum logic_error error)
{
    if (r->error == LOGIC_OK && (r->rules == CFG_RULES_JSONLOGIC || error == LOGIC_LIMIT))
        r->error = (uint8_t)error;
    return value_null();
}

void *cfg_logic_scratch(struct logic_run *r, size_t n)
{
    size_t at = (r->used + 15) & ~(size_t)15;
    if (n > r->size || at > r->size - n) {
        (void)cfg_logic_fail(r, LOGIC_LIMIT);
        return NULL;
    }
    r->used = at + n;
    return r->scratch + at;
}

/* --- operands --- */

struct logic_args cfg_logic_args(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = {.kids = node->as.kids, .n = node->n};
    if ((node->bits & NODE_BARE) == 0)
        return a;
    a.bare = true;
    if (node->as.kids[0].op == OP_LITERAL)
        return a;
    struct cfg_flag_value only = cfg_logic_eval(r, &node->as.kids[0]);
    struct cfg_flag_value *kept;
    if (only.kind == CFG_VALUE_ARRAY) {
        a.spread = only.as.items;
        a.n = cfg_logic_charge(r, only.len / LARGE) ? only.len : 0;
        a.bare = false;
    } else if ((kept = cfg_logic_scratch(r, sizeof *kept)) != NULL) {
        *kept = only; /* so that it is computed once */
        a.spread = kept;
    }
    return a;
}

struct cfg_flag_value cfg_logic_arg(struct logic_run *r, const struct logic_args *a, uint32_t i)
{
    if (i >= a->n)
        return value_null();
    return a->spread ? a->spread[i] : cfg_logic_eval(r, &a->kids[i]);
}

/* --- the context --- */

static inline const struct cfg_flag_value *member(const struct cfg_flag_value *v, const char *name, size_t len,
                                                  uint32_t hash)
{
    if (v->kind != CFG_VALUE_OBJECT)
        return NULL;
    const struct cfg_flag_member *m = v->as.members;
    for (uint32_t n = v->len; n > 0; n--, m++)
        if (m->hash == hash && m->name_len == len && same_bytes(m->name, name, len))
            return &m->value;
    return NULL;
}

const struct cfg_flag_value *cfg_logic_member(struct logic_run *r, const struct cfg_flag_value *v, const char *name,
                                              size_t len, uint32_t hash)
{
    const struct cfg_flag_value *found = charge_search(r, v) ? member(v, name, len, hash) : NULL;
    return found == NULL || charge_text(r, found) ? found : NULL;
}

static inline const struct cfg_flag_value *find(struct logic_run *r, const struct cfg_flag_value *data,
                                                const struct logic_path *path)
{
    for (uint32_t i = 0; data != NULL && i < path->n; i++) {
        const struct logic_segment *s = &path->segments[i];
        if (data->kind == CFG_VALUE_ARRAY)
            data = s->index < data->len ? &data->as.items[s->index] : NULL;
        else
            data = charge_search(r, data) ? member(data, s->name->bytes, s->name->len, s->name->hash) : NULL;
    }
    return data == NULL || charge_text(r, data) ? data : NULL;
}

const struct cfg_flag_value *cfg_logic_find(struct logic_run *r, const struct cfg_flag_value *data,
                                            const struct logic_path *path)
{
    return find(r, data, path);
}

static const struct cfg_flag_value *child(struct logic_run *r, const struct cfg_flag_value *data, const char *name,
                                          size_t len)
{
    uint32_t index = 0;
    if (data->kind != CFG_VALUE_ARRAY)
        return cfg_logic_member(r, data, name, len, cfg_flag_name_hash(name, len));
    if (len == 0 || len > 9)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return NULL;
        index = index * 10 + (uint32_t)(name[i] - '0');
    }
    return index < data->len ? &data->as.items[index] : NULL;
}

const struct cfg_flag_value *cfg_logic_find_text(struct logic_run *r, const struct cfg_flag_value *data,
                                                 struct cfg_slice path)
{
    bool more = path.len > 0;
    while (more && data != NULL) {
        const char *dot = memchr(path.ptr, '.', path.len);
        size_t n = dot ? (size_t)(dot - path.ptr) : path.len;
        data = child(r, data, path.ptr, n);
        more = dot != NULL;
        path.ptr += n + more;
        path.len -= n + more;
    }
    return data;
}

static struct cfg_flag_value eval_var(struct logic_run *r, const struct logic_var *var)
{
    const struct cfg_flag_value *found = find(r, &r->scope->data, var->path);
    if (found != NULL)
        return *found;
    return var->otherwise ? cfg_logic_eval(r, var->otherwise) : value_null();
}

static inline bool truthy(const struct cfg_flag_value *v)
{
    switch (v->kind) {
    case CFG_VALUE_BOOL:
        return v->as.boolean;
    case CFG_VALUE_NUMBER:
        return v->as.number != 0;
    case CFG_VALUE_STRING:
    case CFG_VALUE_ARRAY:
        return v->len > 0;
    case CFG_VALUE_OBJECT:
        return true;
    case CFG_VALUE_NULL:
        break;
    }
    return false;
}

bool cfg_logic_truthy(const struct cfg_flag_value *v)
{
    return truthy(v);
}

static void note_branch(struct logic_run *r, uint32_t index)
{
    if (r->explain == NULL)
        return;
    struct cfg_flag_note note = {.kind = CFG_NOTE_RULE, .index = index};
    r->explain->fn(r->explain->user, &note);
}

/* --- tests --- */

static bool same_text(const struct cfg_flag_value *a, const struct cfg_flag_value *b)
{
    return a->len == b->len && same_bytes(a->as.string, b->as.string, a->len);
}

static bool is_one_of(const struct cfg_flag_value *v, const struct cfg_flag_value *list)
{
    for (uint32_t i = 0; v->kind == CFG_VALUE_STRING && i < list->len; i++)
        if (same_text(v, &list->as.items[i]))
            return true;
    return false;
}

static inline bool compare_numbers(enum logic_op op, double x, double y)
{
    return op == OP_LT ? x < y : op == OP_LE ? x <= y : op == OP_GT ? x > y : x >= y;
}

static inline const struct cfg_flag_value *find_tested(struct logic_run *r, const struct cfg_flag_value *data,
                                                       const struct logic_test *t)
{
    static const struct cfg_flag_value null = {CFG_VALUE_NULL, 0, {.number = 0}};
    const struct cfg_flag_value *found = NULL;
    if (t->len == UINT32_MAX || data->kind != CFG_VALUE_OBJECT)
        found = find(r, data, t->path);
    else if (charge_search(r, data))
        found = member(data, t->path->segments[0].name->bytes, t->len, t->hash);
    return found ? found : &null;
}

/* The same answers as the operators themselves give; each falls back to them where types differ. */
static inline struct cfg_flag_value eval_test(struct logic_run *r, const struct logic_node *node)
{
    const struct logic_test *t = node->as.test;
    const struct cfg_flag_value *found, *literal = &t->literal;
    enum logic_op op = (enum logic_op)node->bits;
    found = find_tested(r, &r->scope->data, t);
    if (r->error || !charge_text(r, found))
        return value_null();
    bool texts = found->kind == CFG_VALUE_STRING && literal->kind == CFG_VALUE_STRING;
    switch (op) {
    case OP_EQ:
    case OP_SAME:
        return value_bool(texts ? same_text(found, literal) : cfg_logic_holds(r, op, found, literal));
    case OP_NE:
    case OP_NOT_SAME:
        return value_bool(texts ? !same_text(found, literal) : cfg_logic_holds(r, op, found, literal));
    case OP_IN:
        return value_bool(is_one_of(found, literal));
    case OP_STARTS_WITH:
    case OP_ENDS_WITH:
        break;
    default:
        if (found->kind == CFG_VALUE_NUMBER && literal->kind == CFG_VALUE_NUMBER)
            return value_bool(compare_numbers(op, found->as.number, literal->as.number));
        return value_bool(cfg_logic_holds(r, op, found, literal));
    }
    if (!texts)
        return value_null();
    if (literal->len > found->len)
        return value_bool(false);
    size_t at = op == OP_STARTS_WITH ? 0 : found->len - literal->len;
    return value_bool(same_bytes(found->as.string + at, literal->as.string, literal->len));
}

static inline struct cfg_flag_value eval_condition(struct logic_run *r, const struct logic_node *node)
{
    return node->op == OP_TEST ? eval_test(r, node) : cfg_logic_eval(r, node);
}

/* --- control --- */

/* {"if": x} with x no array: an error by the tables, else the same as {"if": [x]}, spread when it gives an array. */
static struct cfg_flag_value eval_bare_if(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    if (a.bare && r->rules == CFG_RULES_JSONLOGIC)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    for (uint32_t i = 0; i + 1 < a.n; i += 2) {
        struct cfg_flag_value condition = cfg_logic_arg(r, &a, i);
        if (truthy(&condition))
            return cfg_logic_arg(r, &a, i + 1);
    }
    return cfg_logic_arg(r, &a, a.n & ~1U);
}

static struct cfg_flag_value eval_if(struct logic_run *r, const struct logic_node *node)
{
    const struct logic_node *kids = node->as.kids;
    uint32_t i = 0, n = node->n;
    if (node->bits & NODE_BARE)
        return eval_bare_if(r, node);
    for (; i + 1 < n; i += 2) {
        struct cfg_flag_value condition = eval_condition(r, &kids[i]);
        if (r->error)
            return value_null();
        if (truthy(&condition)) {
            note_branch(r, i / 2);
            return cfg_logic_eval(r, &kids[i + 1]);
        }
    }
    note_branch(r, i / 2);
    return i < n ? cfg_logic_eval(r, &kids[i]) : value_null();
}

/* The first operand that decides, else the last one; false of none. */
static struct cfg_flag_value eval_logical(struct logic_run *r, const struct logic_node *node, bool until)
{
    struct logic_args a = cfg_logic_args(r, node);
    if (a.bare && r->rules == CFG_RULES_JSONLOGIC)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    struct cfg_flag_value v = value_bool(false);
    for (uint32_t i = 0; i < a.n; i++) {
        v = cfg_logic_arg(r, &a, i);
        if (r->error || truthy(&v) == until)
            return v;
    }
    return v;
}

static struct cfg_flag_value eval_array(struct logic_run *r, const struct logic_node *node)
{
    struct cfg_flag_value *items = cfg_logic_scratch(r, node->n * sizeof *items);
    for (uint32_t i = 0; items != NULL && i < node->n; i++)
        items[i] = cfg_logic_eval(r, &node->as.kids[i]);
    return items ? value_array(items, node->n) : value_null();
}

static struct cfg_flag_value first_operand(struct logic_run *r, const struct logic_node *node)
{
    return node->n > 0 ? cfg_logic_eval(r, &node->as.kids[0]) : value_null();
}

static struct cfg_flag_value eval_throw(struct logic_run *r, const struct logic_node *node)
{
    struct cfg_flag_value type = first_operand(r, node);
    if (r->error == LOGIC_OK)
        r->thrown = type;
    return cfg_logic_fail(r, LOGIC_THROWN);
}

static struct cfg_flag_value eval_in_set(struct logic_run *r, const struct logic_in_set *in)
{
    struct cfg_flag_value v = cfg_logic_eval(r, in->needle);
    if (v.kind != CFG_VALUE_STRING)
        return value_bool(false);
    uint32_t hash = cfg_flag_name_hash(v.as.string, v.len), at = hash & in->set->mask;
    for (const struct arena_string *s; (s = in->set->slots[at]) != NULL; at = (at + 1) & in->set->mask)
        if (s->hash == hash && s->len == v.len && memcmp(s->bytes, v.as.string, v.len) == 0)
            return value_bool(true);
    return value_bool(false);
}

/* $flagd is beside the context: inside of map and its kin `var` sees the item only. */
static struct cfg_flag_value flag_key(const struct logic_run *r)
{
    bool known = r->scope->up == NULL && r->flag_key.ptr != NULL;
    return known ? value_string(r->flag_key.ptr, r->flag_key.len) : value_null();
}

static struct cfg_flag_value eval_not(struct logic_run *r, const struct logic_node *node, bool when)
{
    struct cfg_flag_value v = first_operand(r, node);
    return value_bool(truthy(&v) == when);
}

static struct cfg_flag_value eval_operator(struct logic_run *r, const struct logic_node *node)
{
    switch ((enum logic_op)node->op) {
    case OP_IF:
        return eval_if(r, node);
    case OP_AND:
        return eval_logical(r, node, false);
    case OP_OR:
        return eval_logical(r, node, true);
    case OP_NOT:
        return eval_not(r, node, false);
    case OP_TRUTHY:
        return eval_not(r, node, true);
    case OP_EQ:
    case OP_NE:
    case OP_SAME:
    case OP_NOT_SAME:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
        return cfg_logic_compare(r, node);
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
    case OP_MOD:
    case OP_MIN:
    case OP_MAX:
        return cfg_logic_arithmetic(r, node);
    case OP_CAT:
    case OP_SUBSTR:
    case OP_IN:
    case OP_STARTS_WITH:
    case OP_ENDS_WITH:
        return cfg_logic_string(r, node);
    case OP_IN_SET:
        return eval_in_set(r, node->as.in_set);
    case OP_FRACTIONAL:
        return cfg_logic_fractional(r, node);
    case OP_SEM_VER:
        return cfg_logic_sem_ver(r, node);
    case OP_ARRAY:
        return eval_array(r, node);
    case OP_LOG:
        return first_operand(r, node);
    case OP_THROW:
        return eval_throw(r, node);
    case OP_MERGE:
    case OP_MAP:
    case OP_FILTER:
    case OP_REDUCE:
    case OP_ALL:
    case OP_SOME:
    case OP_NONE:
        return cfg_logic_array(r, node);
    case OP_VAR_DYNAMIC:
    case OP_VAL:
    case OP_MISSING:
    case OP_MISSING_SOME:
        return cfg_logic_data(r, node);
    case OP_LITERAL:
    case OP_TEST:
    case OP_VAR:
    case OP_FLAG_KEY:
    case OP_TIMESTAMP:
        break;
    }
    return value_null();
}

struct cfg_flag_value cfg_logic_eval(struct logic_run *r, const struct logic_node *node)
{
    switch (node->op) {
    case OP_LITERAL:
        return *node->as.literal;
    case OP_TEST:
        return eval_test(r, node);
    case OP_VAR:
        return eval_var(r, node->as.var);
    case OP_FLAG_KEY:
        return flag_key(r);
    case OP_TIMESTAMP:
        return r->scope->up == NULL ? value_number((double)r->timestamp) : value_null();
    default:
        break;
    }
    if (r->error || !cfg_logic_charge(r, 1U + node->n / LARGE))
        return value_null();
    return eval_operator(r, node);
}
