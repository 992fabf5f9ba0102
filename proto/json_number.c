#include "proto/json_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXPONENT_CAP = 1000000000 }; /* times ten, plus a text's length, stays within long long */

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static struct cfg_slice take_digits(const char **p, const char *end)
{
    const char *begin = *p;
    while (is_digit(*p, end))
        (*p)++;
    return (struct cfg_slice){begin, (size_t)(*p - begin)};
}

static const char *scan_exponent(struct cfg_number *out, const char **p, const char *end)
{
    bool negative = false;
    (*p)++;
    if (*p < end && (**p == '+' || **p == '-'))
        negative = *(*p)++ == '-';
    struct cfg_slice digits = take_digits(p, end);
    if (digits.len == 0)
        return "expected a digit in the exponent";
    long long value = 0;
    for (size_t i = 0; i < digits.len && value < EXPONENT_CAP; i++)
        value = value * 10 + (digits.ptr[i] - '0');
    out->exponent = negative ? -value : value;
    return NULL;
}

const char *cfg_number_scan(struct cfg_number *out, const char **p, const char *end)
{
    *out = (struct cfg_number){.is_integer = true};
    if (*p < end && **p == '-') {
        out->negative = true;
        (*p)++;
    }
    if (!is_digit(*p, end))
        return "expected a digit";
    if (**p == '0' && is_digit(*p + 1, end)) {
        (*p)++;
        return "a number must not begin with 0";
    }
    out->whole = take_digits(p, end);
    if (*p < end && **p == '.') {
        (*p)++;
        out->is_integer = false;
        out->fraction = take_digits(p, end);
        if (out->fraction.len == 0)
            return "expected a digit behind the decimal point";
    }
    if (*p < end && (**p == 'e' || **p == 'E')) {
        out->is_integer = false;
        return scan_exponent(out, p, end);
    }
    return NULL;
}

/* Up to 2^53 times or over a power of ten that a double holds exactly: one correctly rounded operation (Clinger's fast
 * path). */
static bool exact_value(double *out, const struct cfg_number *n)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    long long power = n->exponent - (long long)n->fraction.len;
    if (n->whole.len + n->fraction.len > 15 || power < -22 || power > 22)
        return false;
    double digits = 0;
    for (size_t i = 0; i < n->whole.len; i++)
        digits = digits * 10 + (n->whole.ptr[i] - '0');
    for (size_t i = 0; i < n->fraction.len; i++)
        digits = digits * 10 + (n->fraction.ptr[i] - '0');
    *out = power < 0 ? digits / powers[-power] : digits * powers[power];
    return true;
}

int cfg_number_value(double *out, const struct cfg_number *n)
{
    double value = 0;
    if (!exact_value(&value, n)) {
        char small[160], *text = small;
        size_t need = n->whole.len + n->fraction.len + 32;
        if (need > sizeof small)
            text = malloc(need);
        if (text == NULL)
            return CFG_E_NOMEM;
        if (n->whole.len > 0)
            memcpy(text, n->whole.ptr, n->whole.len);
        if (n->fraction.len > 0)
            memcpy(text + n->whole.len, n->fraction.ptr, n->fraction.len);
        size_t digits = n->whole.len + n->fraction.len;
        (void)snprintf(text + digits, need - digits, "e%lld", n->exponent - (long long)n->fraction.len);
        value = strtod(text, NULL);
        if (text != small)
            free(text);
    }
    *out = n->negative ? -value : value;
    return 0;
}

/* --- to text --- */

struct decimal {
    char digits[20]; /* no trailing zeros */
    int n;           /* how many */
    int point;       /* value = 0.DIGITS × 10^point */
};

/* |d| rounded to `precision` significant digits. */
static void round_to(struct decimal *out, double d, int precision)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%.*e", precision - 1, d);
    out->n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') /* steps over the decimal point, whatever the locale calls it */
            out->digits[out->n++] = *p;
    out->point = *p ? atoi(p + 1) + 1 : 1;
}

static double decimal_value(const struct decimal *x)
{
    char text[48];
    (void)snprintf(text, sizeof text, "%.*se%d", x->n, x->digits, x->point - x->n);
    return strtod(text, NULL);
}

/* The next decimal of the same length, away from zero. */
static void step_up(struct decimal *x)
{
    int i = x->n - 1;
    while (i >= 0 && x->digits[i] == '9')
        x->digits[i--] = '0';
    if (i >= 0) {
        x->digits[i]++;
    } else {
        x->digits[0] = '1';
        x->point++;
    }
}

/* What people write, such as 0.7 or 1.25e-3: at most 15 digits, so it is found as m / 10^k with exact m and 10^k, whose
 * quotient rounds as reading the text would. The first k that fits leaves no shorter decimal. */
static bool short_decimal(struct decimal *out, double d)
{
    if (d < 1e-5 || d >= 1e15)
        return false;
    double scale = 1;
    for (int k = 0; k <= 20; k++, scale *= 10) {
        double m = nearbyint(d * scale);
        if (m > 1e15)
            return false;
        if (m < 1 || m / scale != d)
            continue;
        char text[24];
        out->n = snprintf(text, sizeof text, "%lld", (long long)m);
        memcpy(out->digits, text, (size_t)out->n);
        out->point = out->n - k;
        return true;
    }
    return false;
}

/* The shortest decimal that reads back as d > 0, the nearest to d among those (ECMAScript's Number::toString). At a
 * power of two the doubles above lie twice as far apart as those below: there the neighbour above may read back where
 * the nearer decimal does not (2^-44). 15 digits always survive the way to a double and back unless d is subnormal, so
 * shorter decimals show up as trailing zeros and the search may begin there. */
static void shortest(struct decimal *out, double d)
{
    bool found = short_decimal(out, d);
    for (int precision = d < 2.2250738585072014e-308 ? 1 : 15; !found && precision <= 17; precision++) {
        round_to(out, d, precision);
        if (precision == 17 || decimal_value(out) == d)
            break;
        step_up(out);
        if (decimal_value(out) == d)
            break;
    }
    while (out->n > 1 && out->digits[out->n - 1] == '0')
        out->n--;
}

static int format_exponent(char *out, size_t room, const struct decimal *x)
{
    int exponent = x->point - 1;
    return snprintf(out, room, "%c%s%.*se%c%d", x->digits[0], x->n > 1 ? "." : "", x->n - 1, x->digits + 1,
                    exponent < 0 ? '-' : '+', abs(exponent));
}

/* Number::toString (ECMA-262 §6.1.6.1.20), cases 6 to 10, with n = point and k = n digits. */
static int format_decimal(char *out, size_t room, const struct decimal *x)
{
    if (x->point >= x->n && x->point <= 21)
        return snprintf(out, room, "%.*s%.*s", x->n, x->digits, x->point - x->n, "000000000000000000000");
    if (x->point > 0 && x->point <= 21)
        return snprintf(out, room, "%.*s.%.*s", x->point, x->digits, x->n - x->point, x->digits + x->point);
    if (x->point > -6 && x->point <= 0)
        return snprintf(out, room, "0.%.*s%.*s", -x->point, "000000", x->n, x->digits);
    return format_exponent(out, room, x);
}

size_t cfg_number_format(char out[CFG_NUMBER_TEXT], double d, bool with_exponent)
{
    if (fabs(d) <= CFG_JSON_MAX_INTEGER && d == trunc(d)) /* −0 becomes 0, as in ECMAScript */
        return (size_t)snprintf(out, CFG_NUMBER_TEXT, "%lld", (long long)d);
    struct decimal x;
    size_t sign = d < 0;
    out[0] = '-';
    shortest(&x, fabs(d));
    if (with_exponent && fabs(d) > CFG_JSON_MAX_INTEGER)
        return sign + (size_t)format_exponent(out + sign, CFG_NUMBER_TEXT - sign, &x);
    return sign + (size_t)format_decimal(out + sign, CFG_NUMBER_TEXT - sign, &x);
}
