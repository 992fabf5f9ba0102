/* multipleOf on decimals. A double stands for the shortest decimal that reads back as it, which is what people wrote:
 * 19.99 is a multiple of 0.01, though neither double is that decimal. With both as whole numbers times a power of ten
 * the question is one of remainders, and exact. */
#include "proto/json_number.h"
#include "proto/schema_internal.h"

#include <math.h>
#include <string.h>

struct decimal {
    uint64_t digits; /* below 10^17 or so */
    int exponent;    /* of ten */
};

__extension__ typedef unsigned __int128 wide;

static struct decimal decimal_of(double d)
{
    char text[CFG_NUMBER_TEXT];
    size_t n = cfg_number_format(text, fabs(d), true);
    struct decimal out = {0, 0};
    bool fraction = false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '.') {
            fraction = true;
        } else if (text[i] == 'e' || text[i] == 'E') {
            int sign = text[i + 1] == '-' ? -1 : 1, e = 0;
            for (i += text[i + 1] == '-' || text[i + 1] == '+'; ++i < n;)
                e = e * 10 + (text[i] - '0');
            out.exponent += sign * e;
        } else {
            out.digits = out.digits * 10 + (uint64_t)(text[i] - '0');
            out.exponent -= fraction;
        }
    }
    while (out.digits && out.digits % 10 == 0) {
        out.digits /= 10;
        out.exponent++;
    }
    return out;
}

/* Is a·10^power divisible by b? */
static bool scaled_up_divides(uint64_t a, int power, uint64_t b)
{
    uint64_t remainder = a % b, ten = 10 % b;
    for (; power > 0; power >>= 1) {
        if (power & 1)
            remainder = (uint64_t)((wide)remainder * ten % b);
        ten = (uint64_t)((wide)ten * ten % b);
    }
    return remainder == 0;
}

/* Is a divisible by b·10^power? */
static bool scaled_down_divides(uint64_t a, int power, uint64_t b)
{
    wide by = b;
    for (; power > 0 && by <= a; power--)
        by *= 10;
    return power == 0 && by <= a && (wide)a % by == 0;
}

bool cfg_schema_is_multiple(double v, double by)
{
    if (v == 0)
        return true;
    if (fabs(v) <= CFG_JSON_MAX_INTEGER && by <= CFG_JSON_MAX_INTEGER && v == (double)(int64_t)v &&
        by == (double)(int64_t)by)
        return (int64_t)v % (int64_t)by == 0;
    struct decimal a = decimal_of(v), b = decimal_of(by);
    int power = a.exponent - b.exponent;
    return power >= 0 ? scaled_up_divides(a.digits, power, b.digits) : scaled_down_divides(a.digits, -power, b.digits);
}
