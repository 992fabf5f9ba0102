/* Operators that look into the context with names known only when they run: var over an expression, missing,
 * missing_some and val. */
#include "flags/logic.h"

#include <math.h>
#include <string.h>

static struct cfg_flag_value found_or(const struct cfg_flag_value *found, struct cfg_flag_value otherwise)
{
    return found ? *found : otherwise;
}

static struct cfg_flag_value eval_var(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    struct cfg_flag_value path = cfg_logic_arg(r, &a, 0);
    struct cfg_slice text = cfg_logic_text(r, &path);
    const struct cfg_flag_value *found = r->error ? NULL : cfg_logic_find_text(r, &r->scope->data, text);
    return found ? *found : cfg_logic_arg(r, &a, 1);
}

/* --- missing --- */

static bool is_missing(struct logic_run *r, const struct cfg_flag_value *key)
{
    size_t used = r->used;
    struct cfg_slice path = cfg_logic_text(r, key);
    const struct cfg_flag_value *v = r->error ? NULL : cfg_logic_find_text(r, &r->scope->data, path);
    r->used = used;
    return v == NULL || v->kind == CFG_VALUE_NULL || (v->kind == CFG_VALUE_STRING && v->len == 0);
}

static struct cfg_flag_value which_are_missing(struct logic_run *r, struct cfg_flag_value keys)
{
    uint32_t n = 0;
    struct cfg_flag_value *missing = cfg_logic_scratch(r, keys.len * sizeof *missing);
    for (uint32_t i = 0; missing != NULL && i < keys.len && !r->error; i++) {
        if (!cfg_logic_charge(r, 1))
            return value_null();
        if (is_missing(r, &keys.as.items[i]))
            missing[n++] = keys.as.items[i];
    }
    return missing ? value_array(missing, n) : value_null();
}

/* The operands are the keys, or the first is an array of them. */
static struct cfg_flag_value eval_missing(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    if (a.n == 0)
        return value_array(NULL, 0);
    struct cfg_flag_value *keys = cfg_logic_scratch(r, a.n * sizeof *keys);
    if (keys == NULL)
        return value_null();
    for (uint32_t i = 0; i < a.n; i++)
        keys[i] = cfg_logic_arg(r, &a, i);
    return which_are_missing(r, keys[0].kind == CFG_VALUE_ARRAY ? keys[0] : value_array(keys, a.n));
}

/* [need, keys]: nothing is missing as long as `need` of the keys are there. */
static struct cfg_flag_value eval_missing_some(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    struct cfg_flag_value need = cfg_logic_arg(r, &a, 0), keys = cfg_logic_arg(r, &a, 1);
    double n;
    if (keys.kind != CFG_VALUE_ARRAY || !cfg_logic_to_number(&n, &need))
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    struct cfg_flag_value missing = which_are_missing(r, keys);
    return keys.len - missing.len >= n ? value_array(NULL, 0) : missing;
}

/* --- val --- */

static const struct cfg_flag_value *step(struct logic_run *r, const struct cfg_flag_value *data,
                                         const struct cfg_flag_value *key)
{
    struct cfg_slice name = cfg_logic_text(r, key);
    if (data->kind == CFG_VALUE_ARRAY)
        return cfg_logic_find_text(r, data, name);
    return cfg_logic_member(r, data, name.ptr, name.len, cfg_flag_name_hash(name.ptr, name.len));
}

/* [[n], …] begins n levels up: an iteration is two levels, the iterator (which knows `index`) and what is around it. */
static const struct cfg_flag_value *climb(struct logic_run *r, const struct cfg_flag_value *by,
                                          struct cfg_flag_value *iterator, struct cfg_flag_member *index)
{
    double levels = 0;
    const struct logic_scope *scope = r->scope;
    if (by->len != 1 || !cfg_logic_to_number(&levels, &by->as.items[0]))
        return NULL;
    for (levels = fabs(levels); levels >= 2 && scope != NULL; levels -= 2)
        scope = scope->up;
    if (scope == NULL)
        return NULL;
    if (levels < 1)
        return &scope->data;
    *index = (struct cfg_flag_member){cfg_flag_name_hash("index", 5), 5, "index", value_number(scope->index)};
    *iterator = (struct cfg_flag_value){CFG_VALUE_OBJECT, 1, {.members = index}};
    return iterator;
}

static struct cfg_flag_value eval_val(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    struct cfg_flag_value key = cfg_logic_arg(r, &a, 0), iterator;
    struct cfg_flag_member index;
    const struct cfg_flag_value *data = &r->scope->data;
    uint32_t i = 0;
    if (a.n > 0 && key.kind == CFG_VALUE_ARRAY) {
        data = climb(r, &key, &iterator, &index);
        i = 1;
    }
    for (; data != NULL && i < a.n && !r->error; i++) {
        key = cfg_logic_arg(r, &a, i);
        data = step(r, data, &key);
    }
    if (data == &iterator)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    return found_or(data, value_null());
}

struct cfg_flag_value cfg_logic_data(struct logic_run *r, const struct logic_node *node)
{
    switch (node->op) {
    case OP_VAR_DYNAMIC:
        return eval_var(r, node);
    case OP_MISSING:
        return eval_missing(r, node);
    case OP_MISSING_SOME:
        return eval_missing_some(r, node);
    default:
        return eval_val(r, node);
    }
}
