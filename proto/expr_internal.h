/* The compiled form of an expression: what its parser makes and its evaluator walks. Internal to proto. */
#ifndef CFG_PROTO_EXPR_INTERNAL_H
#define CFG_PROTO_EXPR_INTERNAL_H

#include "proto/expr.h"

enum {
    CFG_EXPR_MAX_TEXT = 4096,
    CFG_EXPR_MAX_NODES = 512, /* also bounds how deep the evaluator recurses */
    CFG_EXPR_MAX_DEPTH = 48,  /* of parentheses, lists, calls and signs */
    CFG_EXPR_MAX_ARENA = 1 << 20,
};

enum expr_op {
    EXPR_CONSTANT,
    EXPR_NAME,  /* text: the dotted path */
    EXPR_INTER, /* text: `${…}` as it stands */
    EXPR_TEXT,  /* text: a quoted string that holds `${…}`; its value is made a string */
    EXPR_LIST,  /* args: the items */
    EXPR_CALL,  /* args: the arguments; function */
    EXPR_IF,    /* args: value, condition, other value */
    EXPR_OR,    /* two args, as all below */
    EXPR_AND,
    EXPR_NOT,     /* one */
    EXPR_COMPARE, /* n args, n − 1 ways */
    EXPR_NEGATE,  /* one */
    EXPR_PLUS,    /* one */
    EXPR_ADD,
    EXPR_SUBTRACT,
    EXPR_MULTIPLY,
    EXPR_DIVIDE,
    EXPR_FLOOR_DIVIDE,
    EXPR_MODULO,
    EXPR_POWER,
};

enum expr_way { WAY_EQ, WAY_NE, WAY_LT, WAY_LE, WAY_GT, WAY_GE, WAY_IN, WAY_NOT_IN };

struct expr_node;
struct expr_function {
    const char *name;
    size_t min_args, max_args;
    int (*fn)(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err);
};

struct expr_node {
    enum expr_op op;
    unsigned column;
    struct cfg_expr_value constant;
    struct cfg_slice text;
    const struct expr_function *function;
    struct expr_node **args;
    enum expr_way *ways;
    size_t n;
    struct expr_node *next; /* the next node with a name, in order of appearance */
};

struct cfg_expr {
    struct cfg_arena arena; /* holds everything below */
    struct cfg_slice text;
    struct expr_node *root;
    struct expr_node *names; /* in order of appearance, repetitions included */
};

/* Fills e->root and e->names from e->text. */
CFG_MUST_CHECK int expr_parse(struct cfg_expr *e, struct cfg_error *err);
/* NULL when there is no such function. */
const struct expr_function *expr_function_named(struct cfg_slice name);
/* The nearest name of a function, or NULL. */
const char *expr_function_near(struct cfg_slice name);
extern const char *const expr_type_names[];

#endif
