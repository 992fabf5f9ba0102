/* Operators that visit the items of an array. The rule they apply sees the item as its data; what it builds in scratch
 * memory stays only where the result needs it. */
#include "flags/logic.h"

#include <string.h>

struct visit {
    struct cfg_flag_value items;
    const struct logic_node *rule;
    struct logic_scope scope;
    const struct logic_scope *outer;
};

static bool is_literal_null(const struct logic_node *node)
{
    return node->op == OP_LITERAL && node->as.literal->kind == CFG_VALUE_NULL;
}

/* The array and the rule of an operator. False, with the rule book's error, when that is not what it was given.
 * An attribute that is missing is an empty array where the result is one. */
static bool open_visit(struct visit *out, struct logic_run *r, const struct logic_node *node, bool missing_is_empty)
{
    if (node->n < 2 || (node->bits & NODE_BARE)) {
        (void)cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
        return false;
    }
    out->items = cfg_logic_eval(r, &node->as.kids[0]);
    out->rule = &node->as.kids[1];
    out->outer = r->scope;
    out->scope = (struct logic_scope){.up = r->scope};
    bool empty = out->items.kind == CFG_VALUE_NULL && missing_is_empty && !is_literal_null(&node->as.kids[0]);
    if (empty)
        out->items = value_array(NULL, 0);
    if (r->error == LOGIC_OK && out->items.kind != CFG_VALUE_ARRAY)
        (void)cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    return r->error == LOGIC_OK && out->items.kind == CFG_VALUE_ARRAY;
}

static struct cfg_flag_value apply(struct logic_run *r, struct visit *v, uint32_t i, struct cfg_flag_value data)
{
    if (!cfg_logic_charge(r, 1))
        return value_null();
    v->scope.data = data;
    v->scope.index = i;
    r->scope = &v->scope;
    struct cfg_flag_value result = cfg_logic_eval(r, v->rule);
    r->scope = v->outer;
    return result;
}

static bool apply_truthy(struct logic_run *r, struct visit *v, uint32_t i)
{
    size_t used = r->used;
    struct cfg_flag_value result = apply(r, v, i, v->items.as.items[i]);
    r->used = used;
    return cfg_logic_truthy(&result);
}

static struct cfg_flag_value eval_map(struct logic_run *r, const struct logic_node *node)
{
    struct visit v;
    if (!open_visit(&v, r, node, true))
        return value_array(NULL, 0);
    struct cfg_flag_value *results = cfg_logic_scratch(r, v.items.len * sizeof *results);
    for (uint32_t i = 0; results != NULL && i < v.items.len && !r->error; i++)
        results[i] = apply(r, &v, i, v.items.as.items[i]);
    return results && !r->error ? value_array(results, v.items.len) : value_null();
}

static struct cfg_flag_value eval_filter(struct logic_run *r, const struct logic_node *node)
{
    struct visit v;
    if (node->n >= 2 && is_literal_null(&node->as.kids[1]) && r->rules == CFG_RULES_JSONLOGIC)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    if (!open_visit(&v, r, node, true))
        return value_array(NULL, 0);
    uint32_t n = 0;
    struct cfg_flag_value *kept = cfg_logic_scratch(r, v.items.len * sizeof *kept);
    for (uint32_t i = 0; kept != NULL && i < v.items.len && !r->error; i++)
        if (apply_truthy(r, &v, i))
            kept[n++] = v.items.as.items[i];
    return kept && !r->error ? value_array(kept, n) : value_null();
}

/* Whether an item makes the rule come out as `sought`. */
static bool found(struct logic_run *r, struct visit *v, bool sought)
{
    for (uint32_t i = 0; i < v->items.len && !r->error; i++)
        if (apply_truthy(r, v, i) == sought)
            return true;
    return false;
}

static struct cfg_flag_value eval_quantifier(struct logic_run *r, const struct logic_node *node)
{
    struct visit v;
    if (!open_visit(&v, r, node, false))
        return value_bool(node->op == OP_NONE);
    if (node->op == OP_ALL)
        return value_bool(v.items.len > 0 && !found(r, &v, false));
    return value_bool(found(r, &v, true) == (node->op == OP_SOME));
}

static struct cfg_flag_value eval_reduce(struct logic_run *r, const struct logic_node *node)
{
    struct visit v;
    struct cfg_flag_value result = node->n > 2 ? cfg_logic_eval(r, &node->as.kids[2]) : value_null();
    if (!open_visit(&v, r, node, true))
        return result;
    uint32_t i = 0;
    if (node->n == 2 && r->rules == CFG_RULES_JSONLOGIC && v.items.len > 0)
        result = v.items.as.items[i++]; /* as Array.reduce does; flagd begins with null */
    for (; i < v.items.len && !r->error; i++) {
        size_t used = r->used;
        struct cfg_flag_member *pair = cfg_logic_scratch(r, 2 * sizeof *pair);
        if (pair == NULL)
            break;
        pair[0] = (struct cfg_flag_member){cfg_flag_name_hash("current", 7), 7, "current", v.items.as.items[i]};
        pair[1] = (struct cfg_flag_member){cfg_flag_name_hash("accumulator", 11), 11, "accumulator", result};
        result = apply(r, &v, i, (struct cfg_flag_value){CFG_VALUE_OBJECT, 2, {.members = pair}});
        if (result.kind <= CFG_VALUE_NUMBER) /* which points to nothing in it */
            r->used = used;
    }
    return result;
}

static struct cfg_flag_value eval_merge(struct logic_run *r, const struct logic_node *node)
{
    struct cfg_flag_value *parts = cfg_logic_scratch(r, node->n * sizeof *parts);
    size_t n = 0;
    for (uint32_t i = 0; parts != NULL && i < node->n; i++) {
        parts[i] = cfg_logic_eval(r, &node->as.kids[i]);
        n += parts[i].kind == CFG_VALUE_ARRAY ? parts[i].len : 1;
    }
    struct cfg_flag_value *all = parts && !r->error ? cfg_logic_scratch(r, n * sizeof *all) : NULL;
    if (all == NULL)
        return value_null();
    n = 0;
    for (uint32_t i = 0; i < node->n; i++) {
        bool array = parts[i].kind == CFG_VALUE_ARRAY;
        uint32_t len = array ? parts[i].len : 1;
        if (len > 0)
            memcpy(all + n, array ? parts[i].as.items : &parts[i], len * sizeof *all);
        n += len;
    }
    return value_array(all, n);
}

struct cfg_flag_value cfg_logic_array(struct logic_run *r, const struct logic_node *node)
{
    switch (node->op) {
    case OP_MAP:
        return eval_map(r, node);
    case OP_FILTER:
        return eval_filter(r, node);
    case OP_REDUCE:
        return eval_reduce(r, node);
    case OP_MERGE:
        return eval_merge(r, node);
    default:
        return eval_quantifier(r, node);
    }
}
