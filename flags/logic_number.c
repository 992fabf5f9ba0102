/* Comparing and computing, with JavaScript's conversions between types. */
#include "flags/logic.h"
#include "proto/json_number.h"

#include <math.h>
#include <string.h>

/* --- conversions --- */

enum { LONGEST_NUMBER = 64 };

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t copy_digits(char *out, const char **p, const char *end)
{
    size_t n = 0;
    while (*p < end && **p >= '0' && **p <= '9')
        out[n++] = *(*p)++;
    return n;
}

/* A decimal text as JavaScript's Number() takes it ("+1", ".5", "007"), spelt as JSON would. 0 when it is none. */
static size_t respell(char out[2 * LONGEST_NUMBER], struct cfg_slice text)
{
    const char *p = text.ptr, *end = p + text.len;
    char *o = out, digits[LONGEST_NUMBER];
    if (text.len > LONGEST_NUMBER || text.len == 0)
        return 0;
    if (*p == '-')
        *o++ = '-';
    if (*p == '-' || *p == '+')
        p++;
    size_t whole = copy_digits(digits, &p, end), skip = 0;
    while (skip + 1 < whole && digits[skip] == '0')
        skip++;
    if (whole == 0)
        *o++ = '0';
    memcpy(o, digits + skip, whole - skip);
    o += whole - skip;
    size_t fraction = 0;
    if (p < end && *p == '.') {
        p++;
        fraction = copy_digits(digits, &p, end);
        if (fraction > 0)
            *o++ = '.';
        memcpy(o, digits, fraction);
        o += fraction;
    }
    if (whole + fraction == 0)
        return 0;
    memcpy(o, p, (size_t)(end - p)); /* an exponent, or what is refused as none */
    return (size_t)(o - out) + (size_t)(end - p);
}

static bool text_to_number(double *out, struct cfg_slice text)
{
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    while (text.len > 0 && is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    *out = 0;
    if (text.len == 0)
        return true;
    char spelt[2 * LONGEST_NUMBER];
    size_t n = respell(spelt, text);
    const char *p = spelt;
    struct cfg_number number;
    if (n == 0 || cfg_number_scan(&number, &p, spelt + n) != NULL || p != spelt + n)
        return false;
    return cfg_number_value(out, &number) == 0;
}

bool cfg_logic_to_number(double *out, const struct cfg_flag_value *v)
{
    switch (v->kind) {
    case CFG_VALUE_NUMBER:
        *out = v->as.number;
        return true;
    case CFG_VALUE_BOOL:
        *out = v->as.boolean;
        return true;
    case CFG_VALUE_NULL:
        *out = 0;
        return true;
    case CFG_VALUE_STRING:
        return text_to_number(out, (struct cfg_slice){v->as.string, v->len});
    case CFG_VALUE_ARRAY:
    case CFG_VALUE_OBJECT:
        break;
    }
    return false;
}

/* --- comparing --- */

static int order_text(const struct cfg_flag_value *a, const struct cfg_flag_value *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int c = memcmp(a->as.string, b->as.string, n);
    return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

bool cfg_logic_same(const struct cfg_flag_value *a, const struct cfg_flag_value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case CFG_VALUE_NULL:
        return true;
    case CFG_VALUE_BOOL:
        return a->as.boolean == b->as.boolean;
    case CFG_VALUE_NUMBER:
        return a->as.number == b->as.number;
    case CFG_VALUE_STRING:
        return a->len == b->len && memcmp(a->as.string, b->as.string, a->len) == 0;
    case CFG_VALUE_ARRAY:
    case CFG_VALUE_OBJECT:
        break; /* by identity, as in JavaScript: two of them are never the same */
    }
    return false;
}

/* Before numbers are asked for: null equals null only (flagd; json-logic.org's tables take it for 0). */
static bool equal_without_numbers(bool *out, const struct logic_run *r, const struct cfg_flag_value *a,
                                  const struct cfg_flag_value *b)
{
    bool null = a->kind == CFG_VALUE_NULL || b->kind == CFG_VALUE_NULL;
    if ((a->kind == b->kind && a->kind < CFG_VALUE_ARRAY) || (null && r->rules == CFG_RULES_FLAGD)) {
        *out = cfg_logic_same(a, b);
        return true;
    }
    return false;
}

bool cfg_logic_holds(struct logic_run *r, enum logic_op op, const struct cfg_flag_value *a,
                     const struct cfg_flag_value *b)
{
    double x, y;
    bool equal;
    if (op == OP_SAME || op == OP_NOT_SAME)
        return cfg_logic_same(a, b) == (op == OP_SAME);
    if ((op == OP_EQ || op == OP_NE) && equal_without_numbers(&equal, r, a, b))
        return equal == (op == OP_EQ);
    if (a->kind == CFG_VALUE_STRING && b->kind == CFG_VALUE_STRING) {
        x = order_text(a, b);
        y = 0;
    } else if (!cfg_logic_to_number(&x, a) || !cfg_logic_to_number(&y, b)) {
        (void)cfg_logic_fail(r, LOGIC_NAN);
        return op == OP_NE;
    }
    switch (op) {
    case OP_LT:
        return x < y;
    case OP_LE:
        return x <= y;
    case OP_GT:
        return x > y;
    case OP_GE:
        return x >= y;
    case OP_NE:
        return x != y;
    default:
        return x == y;
    }
}

struct cfg_flag_value cfg_logic_compare(struct logic_run *r, const struct logic_node *node)
{
    enum logic_op op = (enum logic_op)node->op;
    if (node->n == 2 && (node->bits & NODE_BARE) == 0) { /* nearly all of them */
        struct cfg_flag_value a = cfg_logic_eval(r, &node->as.kids[0]), b = cfg_logic_eval(r, &node->as.kids[1]);
        return value_bool(cfg_logic_holds(r, op, &a, &b));
    }
    struct logic_args args = cfg_logic_args(r, node);
    if (args.n < 2) {
        (void)cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
        return value_bool(op == OP_NE || op == OP_NOT_SAME);
    }
    struct cfg_flag_value before = cfg_logic_arg(r, &args, 0);
    for (uint32_t i = 1; i < args.n; i++) {
        struct cfg_flag_value v = cfg_logic_arg(r, &args, i);
        if (r->error || !cfg_logic_holds(r, op, &before, &v))
            return value_bool(false);
        before = v;
    }
    return value_bool(true);
}

/* --- computing --- */

static double combine(enum logic_op op, double x, double y)
{
    switch (op) {
    case OP_SUB:
        return x - y;
    case OP_MUL:
        return x * y;
    case OP_DIV:
        return x / y;
    case OP_MOD:
        return fmod(x, y);
    case OP_MIN:
        return x < y ? x : y;
    case OP_MAX:
        return x > y ? x : y;
    default:
        return x + y;
    }
}

/* No operands: the neutral element where there is one. */
static struct cfg_flag_value of_none(struct logic_run *r, enum logic_op op)
{
    if (op == OP_ADD || op == OP_MUL)
        return value_number(op == OP_MUL);
    return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
}

static struct cfg_flag_value number_or_fail(struct logic_run *r, double d)
{
    return isfinite(d) ? value_number(d) : cfg_logic_fail(r, LOGIC_NAN);
}

struct cfg_flag_value cfg_logic_arithmetic(struct logic_run *r, const struct logic_node *node)
{
    enum logic_op op = (enum logic_op)node->op;
    struct logic_args a = cfg_logic_args(r, node);
    if (a.n == 0)
        return of_none(r, op);
    if (op == OP_MOD && a.n < 2)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    double result = 0, x;
    for (uint32_t i = 0; i < a.n; i++) {
        struct cfg_flag_value v = cfg_logic_arg(r, &a, i);
        if (r->error || !cfg_logic_to_number(&x, &v))
            return cfg_logic_fail(r, LOGIC_NAN);
        result = i == 0 ? x : combine(op, result, x);
    }
    if (a.n == 1 && op == OP_SUB)
        result = -result;
    if (a.n == 1 && op == OP_DIV)
        result = 1 / result;
    return number_or_fail(r, result);
}
