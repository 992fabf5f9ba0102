/* Walks a compiled expression. Every node is visited at most once, so the work is bounded by the expression and by the
 * sizes of the values it names. */
#include "proto/expr_internal.h"
#include "proto/json_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    const struct cfg_expr_names *names;
    struct cfg_arena *arena;
    struct cfg_error *err;
};

static int eval(struct run *r, struct cfg_expr_value *out, const struct expr_node *node);

/* --- errors --- */

static const char *const signs[] = {
    [EXPR_ADD] = "+",           [EXPR_SUBTRACT] = "-", [EXPR_MULTIPLY] = "*", [EXPR_DIVIDE] = "/",
    [EXPR_FLOOR_DIVIDE] = "//", [EXPR_MODULO] = "%",   [EXPR_POWER] = "**",
};
static const char *const way_signs[] = {"==", "!=", "<", "<=", ">", ">=", "in", "not in"};

static int set_column(const struct run *r, const struct expr_node *node, int code)
{
    cfg_error_set_path(r->err, "column %u", node->column);
    return code;
}

static int fail_pair(const struct run *r, const struct expr_node *node, const char *sign,
                     const struct cfg_expr_value *a, const struct cfg_expr_value *b, const char *why)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 512);
    cfg_expr_show(&text, a);
    cfg_buf_printf(&text, " %s ", sign);
    cfg_expr_show(&text, b);
    cfg_fail(r->err, CFG_E_VALUE, "column %u: %s: %s", node->column, text.len ? text.data : "", why);
    cfg_buf_finish(&text);
    return set_column(r, node, CFG_E_VALUE);
}

static int wrap_column(const struct run *r, const struct expr_node *node, int code)
{
    char path[160] = "";
    if (r->err)
        (void)snprintf(path, sizeof path, "%s", r->err->path);
    (void)cfg_error_wrap(r->err, "column %u", node->column); /* the code is known already */
    if (path[0] == '\0')
        (void)set_column(r, node, code);
    return code;
}

/* --- names --- */

static int eval_text(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    if (r->names->interpolate == NULL) {
        *out = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = node->text};
        return 0;
    }
    struct cfg_expr_value v = {.type = CFG_EXPR_NULL};
    int code = r->names->interpolate(&v, r->names->arg, node->text, r->arena, r->err);
    if (code)
        return wrap_column(r, node, code);
    if (v.type != CFG_EXPR_STRING) {
        struct cfg_buf text;
        cfg_buf_init(&text, CFG_EXPR_MAX_ARENA);
        cfg_expr_show(&text, &v);
        char *copy = cfg_buf_status(&text) ? NULL : cfg_arena_dup(r->arena, cfg_buf_slice(&text));
        v.text = (struct cfg_slice){copy, text.len};
        v.type = CFG_EXPR_STRING;
        cfg_buf_finish(&text);
        if (copy == NULL)
            return cfg_fail(r->err, CFG_E_NOMEM, "out of memory");
    }
    *out = v;
    return 0;
}

static int eval_name(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    struct cfg_slice path = node->text;
    struct cfg_expr_value v = {.type = CFG_EXPR_NULL};
    int code;
    if (node->op == EXPR_INTER && r->names->interpolate) {
        code = r->names->interpolate(&v, r->names->arg, path, r->arena, r->err);
    } else {
        if (node->op == EXPR_INTER)
            path = (struct cfg_slice){path.ptr + 2, path.len - 3};
        code = r->names->lookup(&v, r->names->arg, path, r->arena, r->err);
    }
    if (code)
        return wrap_column(r, node, code);
    *out = v;
    return 0;
}

/* --- arithmetic --- */

/* Python's: the quotient goes down, the remainder has the divisor's sign. */
static double modulo(double a, double b)
{
    double rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* Without the remainder the quotient is whole but for its rounding. */
static double floor_divide(double a, double b)
{
    double quotient = (a - modulo(a, b)) / b, whole = floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
}

static double compute(enum expr_op op, double a, double b)
{
    switch (op) {
    case EXPR_ADD:
        return a + b;
    case EXPR_SUBTRACT:
        return a - b;
    case EXPR_MULTIPLY:
        return a * b;
    case EXPR_DIVIDE:
        return a / b;
    case EXPR_FLOOR_DIVIDE:
        return floor_divide(a, b);
    case EXPR_MODULO:
        return modulo(a, b);
    default:
        return pow(a, b);
    }
}

static int concatenate(struct run *r, struct cfg_expr_value *out, const struct cfg_expr_value *a,
                       const struct cfg_expr_value *b)
{
    size_t n = a->text.len + b->text.len;
    char *text = cfg_arena_alloc(r->arena, n + 1);
    if (text == NULL)
        return cfg_arena_status(r->arena, "the expression", r->err);
    if (a->text.len > 0)
        memcpy(text, a->text.ptr, a->text.len);
    if (b->text.len > 0)
        memcpy(text + a->text.len, b->text.ptr, b->text.len);
    *out = (struct cfg_expr_value){.type = CFG_EXPR_STRING, .text = {text, n}};
    return 0;
}

static int eval_arithmetic(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    struct cfg_expr_value a, b;
    int code = eval(r, &a, node->args[0]);
    if (code == 0)
        code = eval(r, &b, node->args[1]);
    if (code)
        return code;
    if (node->op == EXPR_ADD && a.type == CFG_EXPR_STRING && b.type == CFG_EXPR_STRING)
        return concatenate(r, out, &a, &b);
    if (a.type != CFG_EXPR_NUMBER || b.type != CFG_EXPR_NUMBER) {
        char why[80];
        (void)snprintf(why, sizeof why, "%s and %s do not go together", expr_type_names[a.type],
                       expr_type_names[b.type]);
        return fail_pair(r, node, signs[node->op], &a, &b, why);
    }
    bool divides = node->op == EXPR_DIVIDE || node->op == EXPR_FLOOR_DIVIDE || node->op == EXPR_MODULO;
    if ((divides && b.number == 0) || (node->op == EXPR_POWER && a.number == 0 && b.number < 0))
        return fail_pair(r, node, signs[node->op], &a, &b, "division by zero");
    double d = compute(node->op, a.number, b.number);
    bool is_float = a.is_float || b.is_float || node->op == EXPR_DIVIDE || (node->op == EXPR_POWER && b.number < 0);
    if (!isfinite(d))
        return fail_pair(r, node, signs[node->op], &a, &b, isnan(d) ? "no real number" : "overflow");
    if (!is_float && fabs(d) > CFG_JSON_MAX_INTEGER)
        return fail_pair(r, node, signs[node->op], &a, &b, "the whole number is beyond ±(2^53−1)");
    *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = is_float, .number = d};
    if (!is_float && d == 0)
        out->number = 0; /* never −0 */
    return 0;
}

static int eval_sign(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    struct cfg_expr_value v;
    int code = eval(r, &v, node->args[0]);
    if (code)
        return code;
    if (v.type != CFG_EXPR_NUMBER) {
        cfg_fail(r->err, CFG_E_VALUE, "column %u: a sign belongs to a number, not to %s", node->column,
                 expr_type_names[v.type]);
        return set_column(r, node, CFG_E_VALUE);
    }
    if (node->op == EXPR_NEGATE && (v.is_float || v.number != 0))
        v.number = -v.number;
    *out = v;
    return 0;
}

/* --- conditions --- */

static int eval_condition(struct run *r, bool *out, const struct expr_node *node, const char *where)
{
    struct cfg_expr_value v;
    int code = eval(r, &v, node);
    if (code)
        return code;
    if (v.type != CFG_EXPR_BOOL) {
        struct cfg_buf text;
        cfg_buf_init(&text, 256);
        cfg_expr_show(&text, &v);
        cfg_fail(r->err, CFG_E_VALUE, "column %u: %s takes true or false, not %s", node->column, where,
                 text.len ? text.data : "?");
        cfg_buf_finish(&text);
        return set_column(r, node, CFG_E_VALUE);
    }
    *out = v.boolean;
    return 0;
}

static int eval_logic(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    bool value = false;
    const char *where = node->op == EXPR_AND ? "and" : node->op == EXPR_OR ? "or" : "not";
    int code = eval_condition(r, &value, node->args[0], where);
    if (code)
        return code;
    if (node->op == EXPR_NOT)
        value = !value;
    else if (value == (node->op == EXPR_AND))
        code = eval_condition(r, &value, node->args[1], where);
    if (code == 0)
        *out = (struct cfg_expr_value){.type = CFG_EXPR_BOOL, .boolean = value};
    return code;
}

static int eval_if(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    bool condition = false;
    int code = eval_condition(r, &condition, node->args[1], "if");
    return code ? code : eval(r, out, node->args[condition ? 0 : 2]);
}

static bool is_equal(const struct cfg_expr_value *a, const struct cfg_expr_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case CFG_EXPR_NULL:
        return true;
    case CFG_EXPR_BOOL:
        return a->boolean == b->boolean;
    case CFG_EXPR_NUMBER:
        return a->number == b->number;
    case CFG_EXPR_STRING:
        return cfg_slice_eq(a->text, b->text);
    case CFG_EXPR_LIST:
        break;
    }
    if (a->list.n != b->list.n)
        return false;
    for (size_t i = 0; i < a->list.n; i++)
        if (!is_equal(&a->list.items[i], &b->list.items[i]))
            return false;
    return true;
}

static bool is_inside(const struct cfg_expr_value *item, const struct cfg_expr_value *whole)
{
    if (whole->type == CFG_EXPR_LIST) {
        for (size_t i = 0; i < whole->list.n; i++)
            if (is_equal(item, &whole->list.items[i]))
                return true;
        return false;
    }
    return item->text.len == 0 ||
           (whole->text.len > 0 && memmem(whole->text.ptr, whole->text.len, item->text.ptr, item->text.len) != NULL);
}

/* <0, 0, >0 for values of one ordered type. */
static int order(const struct cfg_expr_value *a, const struct cfg_expr_value *b)
{
    if (a->type == CFG_EXPR_NUMBER)
        return (a->number > b->number) - (a->number < b->number);
    size_t n = a->text.len < b->text.len ? a->text.len : b->text.len;
    int sign = n > 0 ? memcmp(a->text.ptr, b->text.ptr, n) : 0;
    return sign != 0 ? sign : (a->text.len > b->text.len) - (a->text.len < b->text.len);
}

static int compare(const struct run *r, bool *out, const struct expr_node *node, enum expr_way way,
                   const struct cfg_expr_value *a, const struct cfg_expr_value *b)
{
    if (way == WAY_EQ || way == WAY_NE) {
        *out = is_equal(a, b) == (way == WAY_EQ);
        return 0;
    }
    if (way == WAY_IN || way == WAY_NOT_IN) {
        bool in_text = b->type == CFG_EXPR_STRING && a->type == CFG_EXPR_STRING;
        if (b->type != CFG_EXPR_LIST && !in_text)
            return fail_pair(r, node, way_signs[way], a, b, "in looks into a list, or for a string into a string");
        *out = is_inside(a, b) == (way == WAY_IN);
        return 0;
    }
    if (a->type != b->type || (a->type != CFG_EXPR_NUMBER && a->type != CFG_EXPR_STRING))
        return fail_pair(r, node, way_signs[way], a, b, "only two numbers or two strings have an order");
    int sign = order(a, b);
    *out = way == WAY_LT ? sign < 0 : way == WAY_LE ? sign <= 0 : way == WAY_GT ? sign > 0 : sign >= 0;
    return 0;
}

static int eval_compare(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    struct cfg_expr_value a, b;
    bool holds = true;
    int code = eval(r, &a, node->args[0]);
    for (size_t i = 0; code == 0 && holds && i + 1 < node->n; i++) {
        code = eval(r, &b, node->args[i + 1]);
        if (code == 0)
            code = compare(r, &holds, node, node->ways[i], &a, &b);
        a = b;
    }
    if (code == 0)
        *out = (struct cfg_expr_value){.type = CFG_EXPR_BOOL, .boolean = holds};
    return code;
}

/* --- lists and calls --- */

static int eval_args(struct run *r, struct cfg_expr_value **out, const struct expr_node *node)
{
    struct cfg_expr_value *items = cfg_arena_alloc(r->arena, (node->n + 1) * sizeof *items);
    if (items == NULL)
        return cfg_arena_status(r->arena, "the expression", r->err);
    for (size_t i = 0; i < node->n; i++) {
        int code = eval(r, &items[i], node->args[i]);
        if (code)
            return code;
    }
    *out = items;
    return 0;
}

static int eval_list(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    struct cfg_expr_value *items = NULL;
    int code = eval_args(r, &items, node);
    if (code)
        return code;
    if (node->op == EXPR_LIST) {
        *out = (struct cfg_expr_value){.type = CFG_EXPR_LIST, .list = {items, node->n}};
        return 0;
    }
    code = node->function->fn(out, items, node->n, r->err);
    return code ? wrap_column(r, node, code) : 0;
}

static int eval(struct run *r, struct cfg_expr_value *out, const struct expr_node *node)
{
    switch (node->op) {
    case EXPR_CONSTANT:
        *out = node->constant;
        return 0;
    case EXPR_NAME:
    case EXPR_INTER:
        return eval_name(r, out, node);
    case EXPR_TEXT:
        return eval_text(r, out, node);
    case EXPR_LIST:
    case EXPR_CALL:
        return eval_list(r, out, node);
    case EXPR_IF:
        return eval_if(r, out, node);
    case EXPR_OR:
    case EXPR_AND:
    case EXPR_NOT:
        return eval_logic(r, out, node);
    case EXPR_COMPARE:
        return eval_compare(r, out, node);
    case EXPR_NEGATE:
    case EXPR_PLUS:
        return eval_sign(r, out, node);
    default:
        return eval_arithmetic(r, out, node);
    }
}

int cfg_expr_eval(struct cfg_expr_value *out, const struct cfg_expr *e, const struct cfg_expr_names *names,
                  struct cfg_arena *arena, struct cfg_error *err)
{
    struct run r = {.names = names, .arena = arena, .err = err};
    struct cfg_expr_value v = {.type = CFG_EXPR_NULL};
    int code = eval(&r, &v, e->root);
    if (code == 0)
        *out = v;
    return code;
}

int cfg_expr_test(bool *out, const struct cfg_expr *e, const struct cfg_expr_names *names, struct cfg_error *err)
{
    struct cfg_arena arena;
    cfg_arena_init(&arena, CFG_EXPR_MAX_ARENA);
    struct run r = {.names = names, .arena = &arena, .err = err};
    int code = eval_condition(&r, out, e->root, "a condition");
    cfg_arena_finish(&arena);
    return code;
}
