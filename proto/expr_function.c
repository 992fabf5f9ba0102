/* The functions of the expression language. */
#include "proto/expr_internal.h"
#include "proto/json_number.h"
#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const expr_type_names[] = {"null", "a boolean", "a number", "a string", "a list"};

static int need_number(const char *function, const struct cfg_expr_value *v, struct cfg_error *err)
{
    if (v->type == CFG_EXPR_NUMBER)
        return 0;
    return cfg_fail(err, CFG_E_VALUE, "%s() needs numbers and was given %s", function, expr_type_names[v->type]);
}

static int whole(struct cfg_expr_value *out, const char *function, double d, struct cfg_error *err)
{
    if (!(fabs(d) <= CFG_JSON_MAX_INTEGER))
        return cfg_fail(err, CFG_E_VALUE, "%s() of %g is beyond ±(2^53−1)", function, d);
    *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .number = d == 0 ? 0 : d};
    return 0;
}

/* The arguments themselves, or the items of the only one when it is a list. */
static void spread(const struct cfg_expr_value **args, size_t *n)
{
    if (*n != 1 || (*args)->type != CFG_EXPR_LIST)
        return;
    *n = (*args)->list.n;
    *args = (*args)->list.items;
}

static int extreme(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, bool least,
                   struct cfg_error *err)
{
    const char *name = least ? "min" : "max";
    spread(&args, &n);
    if (n == 0)
        return cfg_fail(err, CFG_E_VALUE, "%s() of nothing", name);
    const struct cfg_expr_value *best = args;
    for (size_t i = 0; i < n; i++) {
        int code = need_number(name, &args[i], err);
        if (code)
            return code;
        if (least ? args[i].number < best->number : args[i].number > best->number)
            best = &args[i];
    }
    *out = *best;
    return 0;
}

static int fn_min(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    return extreme(out, args, n, true, err);
}

static int fn_max(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    return extreme(out, args, n, false, err);
}

static int fn_sum(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    struct cfg_expr_value sum = {.type = CFG_EXPR_NUMBER};
    spread(&args, &n);
    for (size_t i = 0; i < n; i++) {
        int code = need_number("sum", &args[i], err);
        if (code)
            return code;
        sum.number += args[i].number;
        sum.is_float = sum.is_float || args[i].is_float;
    }
    if (!isfinite(sum.number))
        return cfg_fail(err, CFG_E_VALUE, "sum() is not finite");
    if (!sum.is_float)
        return whole(out, "sum", sum.number, err);
    *out = sum;
    return 0;
}

static int fn_abs(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    (void)n;
    int code = need_number("abs", args, err);
    if (code)
        return code;
    *out = args[0];
    out->number = fabs(args[0].number);
    return 0;
}

static int fn_floor(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    (void)n;
    int code = need_number("floor", args, err);
    return code ? code : whole(out, "floor", floor(args[0].number), err);
}

static int fn_ceil(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    (void)n;
    int code = need_number("ceil", args, err);
    return code ? code : whole(out, "ceil", ceil(args[0].number), err);
}

/* d rounded to that many decimal places: printed and read back, which is exact. The locale's decimal point is whatever
 * stands between the digits. */
static int round_places(double *out, double d, int places, struct cfg_error *err)
{
    char text[400];
    int n = snprintf(text, sizeof text, "%.*f", places, fabs(d));
    if (n < 0 || (size_t)n >= sizeof text)
        return cfg_fail(err, CFG_E_INTERNAL, "a number cannot be printed");
    struct cfg_number number = {.negative = signbit(d) != 0};
    size_t whole_digits = strspn(text, "0123456789");
    size_t fraction = (size_t)n - (size_t)places;
    number.whole = (struct cfg_slice){text, whole_digits};
    number.fraction = (struct cfg_slice){text + fraction, (size_t)places};
    if (cfg_number_value(out, &number))
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    return 0;
}

/* As Python's: halves go to the even neighbour; with a number of places the result stays a float. */
static int fn_round(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    for (size_t i = 0; i < n; i++) {
        int code = need_number("round", &args[i], err);
        if (code)
            return code;
    }
    if (n == 1) {
        double d = args[0].number, down = floor(d), rest = d - down;
        bool up = rest > 0.5 || (rest == 0.5 && fmod(down, 2) != 0);
        return whole(out, "round", down + up, err);
    }
    if (args[1].is_float || args[1].number < 0 || args[1].number > 15)
        return cfg_fail(err, CFG_E_VALUE, "round() takes 0 to 15 places");
    *out = args[0];
    return args[0].is_float ? round_places(&out->number, args[0].number, (int)args[1].number, err) : 0;
}

static int fn_len(struct cfg_expr_value *out, const struct cfg_expr_value *args, size_t n, struct cfg_error *err)
{
    (void)n;
    size_t length = 0;
    if (args[0].type == CFG_EXPR_LIST)
        length = args[0].list.n;
    else if (args[0].type == CFG_EXPR_STRING)
        for (size_t i = 0; i < args[0].text.len; i++)
            length += ((unsigned char)args[0].text.ptr[i] & 0xC0) != 0x80; /* characters, not bytes */
    else
        return cfg_fail(err, CFG_E_VALUE, "len() needs a string or a list and was given %s",
                        expr_type_names[args[0].type]);
    *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .number = (double)length};
    return 0;
}

static const struct expr_function functions[] = {
    {"min", 1, CFG_EXPR_MAX_NODES, fn_min},
    {"max", 1, CFG_EXPR_MAX_NODES, fn_max},
    {"sum", 1, CFG_EXPR_MAX_NODES, fn_sum},
    {"abs", 1, 1, fn_abs},
    {"floor", 1, 1, fn_floor},
    {"ceil", 1, 1, fn_ceil},
    {"round", 1, 2, fn_round},
    {"len", 1, 1, fn_len},
};

enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

const struct expr_function *expr_function_named(struct cfg_slice name)
{
    for (size_t i = 0; i < N_FUNCTIONS; i++)
        if (cfg_slice_eq_str(name, functions[i].name))
            return &functions[i];
    return NULL;
}

const char *expr_function_near(struct cfg_slice name)
{
    char text[16];
    const char *names[N_FUNCTIONS];
    if (name.len >= sizeof text)
        return NULL;
    (void)snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
    for (size_t i = 0; i < N_FUNCTIONS; i++)
        names[i] = functions[i].name;
    return cfg_near_miss(text, names, N_FUNCTIONS);
}
