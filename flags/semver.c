/* Semantic versions as flagd reads them: an optional v or V, missing parts are 0, build metadata does not count. Parts
 * are compared as texts of digits, so no number is too large. */
#include "flags/logic.h"

#include <string.h>

struct version {
    struct cfg_slice parts[3]; /* digits without leading zeros; len 0 where one is missing */
    struct cfg_slice prerelease;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_identifier_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static bool all_digits(struct cfg_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_digit(s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool take_number(struct cfg_slice *out, struct cfg_slice *s)
{
    size_t n = 0;
    while (n < s->len && is_digit(s->ptr[n]))
        n++;
    *out = (struct cfg_slice){s->ptr, n};
    bool good = n > 0 && (n == 1 || s->ptr[0] != '0');
    s->ptr += n;
    s->len -= n;
    return good;
}

/* Cuts the identifier before the next dot off. */
static struct cfg_slice take_identifier(struct cfg_slice *s)
{
    const char *dot = memchr(s->ptr, '.', s->len);
    size_t n = dot ? (size_t)(dot - s->ptr) : s->len;
    struct cfg_slice id = {s->ptr, n};
    s->ptr += n + (dot != NULL);
    s->len -= n + (dot != NULL);
    return id;
}

static bool valid_identifiers(struct cfg_slice s, bool prerelease)
{
    if (s.len == 0 || s.ptr[s.len - 1] == '.')
        return false;
    while (s.len > 0) {
        struct cfg_slice id = take_identifier(&s);
        for (size_t i = 0; i < id.len; i++)
            if (!is_identifier_char(id.ptr[i]))
                return false;
        if (id.len == 0 || (prerelease && id.len > 1 && id.ptr[0] == '0' && all_digits(id)))
            return false;
    }
    return true;
}

static bool parse(struct version *out, struct cfg_slice s)
{
    memset(out, 0, sizeof *out);
    if (s.len > 0 && (s.ptr[0] == 'v' || s.ptr[0] == 'V')) {
        s.ptr++;
        s.len--;
    }
    unsigned n = 0;
    do {
        if (n > 0) { /* at a dot */
            s.ptr++;
            s.len--;
        }
        if (n == 3 || !take_number(&out->parts[n], &s))
            return false;
        n++;
    } while (s.len > 0 && s.ptr[0] == '.');
    const char *plus = s.len > 0 ? memchr(s.ptr, '+', s.len) : NULL;
    if (plus != NULL) {
        size_t at = (size_t)(plus - s.ptr);
        if (!valid_identifiers((struct cfg_slice){plus + 1, s.len - at - 1}, false))
            return false;
        s.len = at;
    }
    if (s.len == 0)
        return true;
    out->prerelease = (struct cfg_slice){s.ptr + 1, s.len - 1};
    return n == 3 && s.ptr[0] == '-' && valid_identifiers(out->prerelease, true);
}

static int compare_text(struct cfg_slice a, struct cfg_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_number(struct cfg_slice a, struct cfg_slice b)
{
    static const struct cfg_slice zero = {"0", 1};
    a = a.len ? a : zero;
    b = b.len ? b : zero;
    return a.len != b.len ? (a.len > b.len ? 1 : -1) : compare_text(a, b);
}

/* Precedence of two pre-releases by section 11 of the specification; none comes after any. */
static int compare_prerelease(struct cfg_slice a, struct cfg_slice b)
{
    if (a.len == 0 || b.len == 0)
        return (a.len == 0) - (b.len == 0);
    while (a.len > 0 && b.len > 0) {
        struct cfg_slice x = take_identifier(&a), y = take_identifier(&b);
        bool x_number = all_digits(x), y_number = all_digits(y);
        int c = x_number && y_number ? compare_number(x, y) : x_number ? -1 : y_number ? 1 : compare_text(x, y);
        if (c != 0)
            return c;
    }
    return (a.len > 0) - (b.len > 0);
}

enum { EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, MINOR, MAJOR, UNKNOWN };

static unsigned operator_of(struct cfg_slice op)
{
    static const char *const names[] = {"=", "!=", "<", "<=", ">", ">=", "~", "^"};
    unsigned i = 0;
    while (i < UNKNOWN && !cfg_slice_eq_str(op, names[i]))
        i++;
    return i;
}

bool cfg_semver_operator_known(struct cfg_slice op)
{
    return operator_of(op) != UNKNOWN;
}

bool cfg_semver_compare(bool *out, struct cfg_slice a, struct cfg_slice op, struct cfg_slice b)
{
    struct version x, y;
    unsigned o = operator_of(op);
    if (o == UNKNOWN || !parse(&x, a) || !parse(&y, b))
        return false;
    int major = compare_number(x.parts[0], y.parts[0]), minor = compare_number(x.parts[1], y.parts[1]);
    int patch = compare_number(x.parts[2], y.parts[2]);
    int c = major ? major : minor ? minor : patch ? patch : compare_prerelease(x.prerelease, y.prerelease);
    const bool answers[] = {c == 0, c != 0, c<0, c <= 0, c> 0, c >= 0, major == 0 && minor == 0, major == 0};
    *out = answers[o];
    return true;
}

/* A number is taken by its text: 1.2 is version 1.2.0. */
static bool operand(struct cfg_slice *out, struct logic_run *r, const struct cfg_flag_value *v)
{
    if (v->kind != CFG_VALUE_STRING && v->kind != CFG_VALUE_NUMBER)
        return false;
    *out = cfg_logic_text(r, v);
    return !r->error;
}

struct cfg_flag_value cfg_logic_sem_ver(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args args = cfg_logic_args(r, node);
    if (args.n != 3)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    struct cfg_flag_value x = cfg_logic_arg(r, &args, 0), o = cfg_logic_arg(r, &args, 1),
                          y = cfg_logic_arg(r, &args, 2);
    struct cfg_slice a, b;
    bool answer;
    if (o.kind != CFG_VALUE_STRING || !operand(&a, r, &x) || !operand(&b, r, &y) ||
        !cfg_semver_compare(&answer, a, (struct cfg_slice){o.as.string, o.len}, b))
        return value_null();
    return value_bool(answer);
}
