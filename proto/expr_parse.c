/* Text into a tree: one pass of recursive descent, each level of precedence a function. */
#include "proto/expr_parser.h"

#include <stdio.h>
#include <string.h>

static int parse_choice(struct expr_parser *s, struct expr_node **out);

/* --- calls and lists --- */

/* Items up to `close`, with the parser behind the opening character. */
static int parse_items(struct expr_parser *s, struct expr_node *node, char close)
{
    struct expr_node *items[CFG_EXPR_MAX_NODES];
    size_t n = 0;
    char sign[2] = {close, '\0'};
    while (!expr_take_sign(s, sign)) {
        if (n > 0 && !expr_take_sign(s, ","))
            return expr_refuse_found(s, close == ')' ? ", or )" : ", or ]");
        if (n == CFG_EXPR_MAX_NODES)
            return expr_too_large(s, "operations");
        int code = parse_choice(s, &items[n]);
        if (code)
            return code;
        n++;
    }
    node->n = n;
    node->args = cfg_arena_alloc(&s->e->arena, (n + 1) * sizeof(struct expr_node *));
    if (node->args == NULL)
        return expr_no_node(s);
    if (n > 0)
        memcpy(node->args, items, n * sizeof items[0]);
    return 0;
}

static int parse_call(struct expr_parser *s, const char *at, struct cfg_slice name, struct expr_node **out)
{
    struct expr_node *node = expr_new_node(s, EXPR_CALL, at, 0);
    if (node == NULL)
        return expr_no_node(s);
    node->function = expr_function_named(name);
    if (node->function == NULL) {
        char why[96], hint[96];
        const char *near = expr_function_near(name);
        (void)snprintf(why, sizeof why, "there is no function %.*s", (int)(name.len < 60 ? name.len : 60), name.ptr);
        (void)snprintf(hint, sizeof hint, "did you mean %s?", near ? near : "");
        return expr_refuse(s, at, why, near ? hint : "known are min, max, abs, floor, ceil, round, len and sum");
    }
    s->p++;
    int code = parse_items(s, node, ')');
    if (code)
        return code;
    if (node->n < node->function->min_args || node->n > node->function->max_args) {
        char why[96];
        (void)snprintf(why, sizeof why, "%s() cannot take %zu argument%s", node->function->name, node->n,
                       node->n == 1 ? "" : "s");
        return expr_refuse(s, at, why, NULL);
    }
    *out = node;
    return 0;
}

static int parse_word(struct expr_parser *s, struct expr_node **out)
{
    static const struct {
        const char *word;
        struct cfg_expr_value value;
    } constants[] = {
        {"true", {.type = CFG_EXPR_BOOL, .boolean = true}},
        {"false", {.type = CFG_EXPR_BOOL}},
        {"null", {.type = CFG_EXPR_NULL}},
        {"True", {.type = CFG_EXPR_BOOL, .boolean = true}},
        {"False", {.type = CFG_EXPR_BOOL}},
        {"None", {.type = CFG_EXPR_NULL}},
    };
    static const char *const reserved[] = {"and", "or", "not", "in", "if", "else"};
    const char *at = s->p;
    struct cfg_slice word = expr_name_at(s->p, s->end);
    s->p += word.len;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (!cfg_slice_eq_str(word, constants[i].word))
            continue;
        struct expr_node *node = expr_new_node(s, EXPR_CONSTANT, at, 0);
        if (node == NULL)
            return expr_no_node(s);
        node->constant = constants[i].value;
        *out = node;
        return 0;
    }
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (cfg_slice_eq_str(word, reserved[i]))
            return expr_refuse(s, at, "expected a value, found an operator", NULL);
    expr_skip_blanks(s);
    if (s->p < s->end && *s->p == '(')
        return parse_call(s, at, word, out);
    s->p = at + word.len;
    return expr_parse_path(s, at, out);
}

static int parse_nested(struct expr_parser *s, struct expr_node **out)
{
    const char *at = s->p++;
    if (*at == '[') {
        struct expr_node *node = expr_new_node(s, EXPR_LIST, at, 0);
        int code = node ? parse_items(s, node, ']') : expr_no_node(s);
        if (code == 0)
            *out = node;
        return code;
    }
    int code = parse_choice(s, out);
    if (code == 0 && !expr_take_sign(s, ")"))
        code = expr_refuse_found(s, ")");
    return code;
}

static int parse_primary(struct expr_parser *s, struct expr_node **out)
{
    expr_skip_blanks(s);
    if (s->p >= s->end)
        return expr_refuse_found(s, "a value");
    char c = *s->p;
    if (expr_is_digit(c) || (c == '.' && s->end - s->p > 1 && expr_is_digit(s->p[1])))
        return expr_parse_number(s, out);
    if (c == '"' || c == '\'')
        return expr_parse_string(s, out);
    if (c == '$')
        return expr_parse_inter(s, out);
    if (expr_begins_name(c))
        return parse_word(s, out);
    if (c != '(' && c != '[')
        return expr_refuse_found(s, "a value");
    if (s->depth >= CFG_EXPR_MAX_DEPTH)
        return expr_too_large(s, "levels");
    s->depth++;
    int code = parse_nested(s, out);
    s->depth--;
    return code;
}

/* --- operators, from the tightest to the loosest --- */

/* *left = op(*left, right). */
static int join(struct expr_parser *s, struct expr_node **left, enum expr_op op, const char *at,
                struct expr_node *right)
{
    struct expr_node *node = expr_new_node(s, op, at, 2);
    if (node == NULL)
        return expr_no_node(s);
    node->args[0] = *left;
    node->args[1] = right;
    *left = node;
    return 0;
}

static int parse_unary(struct expr_parser *s, struct expr_node **out);

static int parse_power(struct expr_parser *s, struct expr_node **out)
{
    int code = parse_primary(s, out);
    if (code)
        return code;
    expr_skip_blanks(s);
    const char *at = s->p;
    if (!expr_take_sign(s, "**"))
        return 0;
    struct expr_node *right = NULL;
    code = parse_unary(s, &right);
    return code ? code : join(s, out, EXPR_POWER, at, right);
}

static int parse_prefixed(struct expr_parser *s, struct expr_node **out, enum expr_op op, const char *at,
                          int (*operand)(struct expr_parser *, struct expr_node **))
{
    struct expr_node *inner = NULL;
    if (s->depth >= CFG_EXPR_MAX_DEPTH)
        return expr_too_large(s, "levels");
    s->depth++;
    int code = operand(s, &inner);
    s->depth--;
    if (code)
        return code;
    struct expr_node *node = expr_new_node(s, op, at, 1);
    if (node == NULL)
        return expr_no_node(s);
    node->args[0] = inner;
    *out = node;
    return 0;
}

static int parse_unary(struct expr_parser *s, struct expr_node **out)
{
    expr_skip_blanks(s);
    const char *at = s->p;
    if (expr_take_sign(s, "-"))
        return parse_prefixed(s, out, EXPR_NEGATE, at, parse_unary);
    if (expr_take_sign(s, "+"))
        return parse_prefixed(s, out, EXPR_PLUS, at, parse_unary);
    return parse_power(s, out);
}

static bool take_factor_sign(struct expr_parser *s, enum expr_op *op)
{
    if (expr_take_sign(s, "//"))
        *op = EXPR_FLOOR_DIVIDE;
    else if (expr_take_sign(s, "/"))
        *op = EXPR_DIVIDE;
    else if (expr_take_sign(s, "*"))
        *op = EXPR_MULTIPLY;
    else if (expr_take_sign(s, "%"))
        *op = EXPR_MODULO;
    else
        return false;
    return true;
}

static bool take_term_sign(struct expr_parser *s, enum expr_op *op)
{
    if (expr_take_sign(s, "+"))
        *op = EXPR_ADD;
    else if (expr_take_sign(s, "-"))
        *op = EXPR_SUBTRACT;
    else
        return false;
    return true;
}

static bool take_and(struct expr_parser *s, enum expr_op *op)
{
    *op = EXPR_AND;
    return expr_take_word(s, "and") || expr_take_sign(s, "&&");
}

static bool take_or(struct expr_parser *s, enum expr_op *op)
{
    *op = EXPR_OR;
    return expr_take_word(s, "or") || expr_take_sign(s, "||");
}

/* operand (sign operand)*, to the left. */
static int parse_row(struct expr_parser *s, struct expr_node **out,
                     int (*operand)(struct expr_parser *, struct expr_node **),
                     bool (*sign)(struct expr_parser *, enum expr_op *))
{
    int code = operand(s, out);
    while (code == 0) {
        enum expr_op op;
        expr_skip_blanks(s);
        const char *at = s->p;
        if (!sign(s, &op))
            return 0;
        struct expr_node *right = NULL;
        code = operand(s, &right);
        if (code == 0)
            code = join(s, out, op, at, right);
    }
    return code;
}

static int parse_factor(struct expr_parser *s, struct expr_node **out)
{
    return parse_row(s, out, parse_unary, take_factor_sign);
}

static int parse_sum(struct expr_parser *s, struct expr_node **out)
{
    return parse_row(s, out, parse_factor, take_term_sign);
}

static bool take_way(struct expr_parser *s, enum expr_way *way)
{
    static const struct {
        const char *sign;
        enum expr_way way;
    } signs[] = {{"==", WAY_EQ}, {"!=", WAY_NE}, {"<=", WAY_LE}, {">=", WAY_GE}, {"<", WAY_LT}, {">", WAY_GT}};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (expr_take_sign(s, signs[i].sign)) {
            *way = signs[i].way;
            return true;
        }
    }
    const char *at = s->p;
    bool negated = expr_take_word(s, "not");
    if (expr_take_word(s, "in")) {
        *way = negated ? WAY_NOT_IN : WAY_IN;
        return true;
    }
    s->p = at;
    return false;
}

static int parse_comparison(struct expr_parser *s, struct expr_node **out)
{
    enum { MOST = 16 };
    struct expr_node *args[MOST + 1];
    enum expr_way ways[MOST];
    size_t n = 0;
    expr_skip_blanks(s);
    const char *at = s->p;
    int code = parse_sum(s, &args[0]);
    while (code == 0 && take_way(s, &ways[n])) {
        if (n == MOST - 1)
            return expr_too_large(s, "comparisons in a row");
        code = parse_sum(s, &args[++n]);
    }
    if (code || n == 0) {
        if (code == 0)
            *out = args[0];
        return code;
    }
    struct expr_node *node = expr_new_node(s, EXPR_COMPARE, at, n + 1);
    if (node)
        node->ways = cfg_arena_alloc(&s->e->arena, n * sizeof ways[0]);
    if (node == NULL || node->ways == NULL)
        return expr_no_node(s);
    memcpy(node->args, args, (n + 1) * sizeof args[0]);
    memcpy(node->ways, ways, n * sizeof ways[0]);
    *out = node;
    return 0;
}

static int parse_not(struct expr_parser *s, struct expr_node **out)
{
    expr_skip_blanks(s);
    const char *at = s->p;
    bool bang = expr_at_text(s, "!") && !expr_at_text(s, "!=");
    if (expr_take_word(s, "not") || (bang && expr_take_sign(s, "!")))
        return parse_prefixed(s, out, EXPR_NOT, at, parse_not);
    return parse_comparison(s, out);
}

static int parse_all_of(struct expr_parser *s, struct expr_node **out)
{
    return parse_row(s, out, parse_not, take_and);
}

static int parse_any_of(struct expr_parser *s, struct expr_node **out)
{
    return parse_row(s, out, parse_all_of, take_or);
}

/* `value if condition else value`: the last value may be such a choice again. */
static int parse_choice(struct expr_parser *s, struct expr_node **out)
{
    struct expr_node *value = NULL, *condition = NULL, *other = NULL;
    if (s->depth >= CFG_EXPR_MAX_DEPTH)
        return expr_too_large(s, "levels");
    s->depth++;
    int code = parse_any_of(s, &value);
    expr_skip_blanks(s);
    const char *at = s->p;
    bool chosen = code == 0 && expr_take_word(s, "if");
    if (chosen)
        code = parse_any_of(s, &condition);
    if (chosen && code == 0 && !expr_take_word(s, "else"))
        code = expr_refuse_found(s, "else");
    if (chosen && code == 0)
        code = parse_choice(s, &other);
    s->depth--;
    if (code || !chosen) {
        if (code == 0)
            *out = value;
        return code;
    }
    struct expr_node *node = expr_new_node(s, EXPR_IF, at, 3);
    if (node == NULL)
        return expr_no_node(s);
    node->args[0] = value;
    node->args[1] = condition;
    node->args[2] = other;
    *out = node;
    return 0;
}

int expr_parse(struct cfg_expr *e, struct cfg_error *err)
{
    struct expr_parser s = {.e = e,
                            .begin = e->text.ptr,
                            .p = e->text.ptr,
                            .end = e->text.ptr + e->text.len,
                            .last_name = &e->names,
                            .err = err};
    int code = parse_choice(&s, &e->root);
    expr_skip_blanks(&s);
    if (code == 0 && s.p < s.end)
        code = expr_refuse_found(&s, "an operator");
    return code;
}
