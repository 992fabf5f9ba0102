#include "proto/yaml_scalar.h"
#include "proto/json.h"
#include "proto/json_number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"
#define HEX    DIGITS "abcdefABCDEF"

/* --- matching --- */

/* A place in the scalar; matching moves it. */
struct cursor {
    const char *p, *end;
};

static bool at_any(const struct cursor *c, const char *set)
{
    return c->p < c->end && *c->p != '\0' && strchr(set, *c->p) != NULL;
}

static bool take_any(struct cursor *c, const char *set)
{
    bool found = at_any(c, set);
    c->p += found;
    return found;
}

static size_t take_run(struct cursor *c, const char *set)
{
    const char *begin = c->p;
    while (take_any(c, set))
        ;
    return (size_t)(c->p - begin);
}

static bool take_word(struct cursor *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return false;
    c->p += n;
    return true;
}

static bool is_one_of(struct cfg_slice text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cfg_slice_eq_str(text, words[i]))
            return true;
    return false;
}

/* (:[0-5]?[0-9])+ */
static bool take_sixties(struct cursor *c)
{
    bool any = false;
    while (take_any(c, ":")) {
        bool first = at_any(c, "012345");
        if (!take_any(c, DIGITS))
            return false;
        if (first)
            (void)take_any(c, DIGITS); /* one digit will do */
        any = true;
    }
    return any;
}

/* One or two digits. */
static bool take_pair(struct cursor *c, bool both)
{
    return take_any(c, DIGITS) && (take_any(c, DIGITS) || !both);
}

static bool is_date(struct cfg_slice text)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    if (!take_pair(&c, true) || !take_pair(&c, true) || !take_any(&c, "-"))
        return false;
    const char *month = c.p;
    if (!take_pair(&c, false) || !take_any(&c, "-") || !take_pair(&c, false))
        return false;
    if (c.p == c.end)
        return c.p - month == 5;
    if (!take_any(&c, "Tt") && take_run(&c, " \t") == 0)
        return false;
    if (!take_pair(&c, false) || !take_any(&c, ":") || !take_pair(&c, true) || !take_any(&c, ":") ||
        !take_pair(&c, true))
        return false;
    if (take_any(&c, "."))
        (void)take_run(&c, DIGITS); /* none is fine */
    if (c.p == c.end)
        return true;
    (void)take_run(&c, " \t"); /* none is fine */
    if (take_any(&c, "Z"))
        return c.p == c.end;
    return take_any(&c, "+-") && take_pair(&c, false) && (!take_any(&c, ":") || take_pair(&c, true)) && c.p == c.end;
}

/* --- integers --- */

static double digits_value(const char *p, const char *end, int base)
{
    double value = 0;
    for (; p < end; p++) {
        int digit = *p >= 'a' ? *p - 'a' + 10 : *p >= 'A' && *p <= 'F' ? *p - 'A' + 10 : *p - '0';
        value = *p == '_' ? value : value * base + digit;
    }
    return value;
}

static struct cfg_yaml_reading integer(bool negative, double value)
{
    bool minus = negative && value > 0; /* there is no integer −0 */
    return (struct cfg_yaml_reading){.kind = CFG_YAML_INT, .number = minus ? -value : value};
}

/* 0b…, 0x… and 0… of YAML 1.1, behind the sign. A prefix with nothing but _ behind it matches and then fails. */
static bool prefixed_integer(struct cfg_yaml_reading *out, struct cursor c, bool negative)
{
    int base = take_word(&c, "0b") ? 2 : take_word(&c, "0x") ? 16 : 8;
    const char *digits = c.p;
    size_t n = take_run(&c, base == 2 ? "01_" : base == 16 ? HEX "_" : "01234567_");
    if (n == 0 || c.p != c.end)
        return false;
    *out = integer(negative, digits_value(digits, c.end, base));
    struct cursor bare = {digits, c.end};
    if (take_run(&bare, "_") == n)
        out->kind = CFG_YAML_BROKEN;
    return true;
}

static double sixties_value(const char *p, const char *end)
{
    double value = 0;
    while (p < end) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *stop = colon ? colon : end;
        value = value * 60 + digits_value(p, stop, 10);
        p = colon ? colon + 1 : end;
    }
    return value;
}

static bool integer_1_1(struct cfg_yaml_reading *out, struct cfg_slice text)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    bool negative = at_any(&c, "-");
    (void)take_any(&c, "+-"); /* optional */
    const char *begin = c.p;
    if (at_any(&c, "0")) {
        if (c.end - c.p > 1)
            return prefixed_integer(out, c, negative);
        *out = integer(false, 0);
        return true;
    }
    if (!take_any(&c, DIGITS))
        return false;
    (void)take_run(&c, DIGITS "_"); /* may be one digit */
    if (c.p != c.end && (!take_sixties(&c) || c.p != c.end))
        return false;
    *out = integer(negative, sixties_value(begin, c.end));
    return true;
}

static bool integer_1_2(struct cfg_yaml_reading *out, struct cfg_slice text)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    int base = take_word(&c, "0o") ? 8 : take_word(&c, "0x") ? 16 : 10;
    bool negative = at_any(&c, "-");
    if (base == 10)
        (void)take_any(&c, "+-"); /* optional */
    const char *begin = c.p;
    if (take_run(&c, base == 8 ? "01234567" : base == 16 ? HEX : DIGITS) == 0 || c.p != c.end)
        return false;
    *out = integer(negative, digits_value(begin, c.end, base));
    return true;
}

/* --- floats --- */

/* [0-9]+(_[0-9]+)* */
static bool is_grouped(struct cfg_slice digits)
{
    bool before = true; /* an _ or the beginning */
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] == '_' && before)
            return false;
        before = digits.ptr[i] == '_';
    }
    return !before;
}

/* Does the text have the form of a float to this reader? Of 1:30.5 the sixties are seen by sixty_float. */
static bool float_form(enum cfg_yaml_reader reader, struct cfg_slice text)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    bool core = reader == CFG_YAML_READER_CORE, sign = take_any(&c, "+-");
    const char *begin = c.p, *set = core ? DIGITS : DIGITS "_";
    bool whole = at_any(&c, DIGITS) && take_run(&c, set) > 0;
    bool grouped = is_grouped((struct cfg_slice){begin, (size_t)(c.p - begin)});
    bool point = take_any(&c, ".");
    if (!whole && (!point || !at_any(&c, DIGITS) || (sign && !core)))
        return false;
    if (point)
        (void)take_run(&c, set); /* none is fine behind digits */
    if (c.p == c.end)
        return point || core;
    bool loose = core || (reader == CFG_YAML_READER_OMEGACONF && whole && grouped); /* 1e3 */
    if ((!point && !loose) || !take_any(&c, "eE"))
        return false;
    bool exponent_sign = take_any(&c, "+-");
    return (exponent_sign || loose) && take_run(&c, DIGITS) > 0 && c.p == c.end;
}

/* The value of text that has the form, without its underscores. */
static int float_value(double *out, struct cfg_slice text)
{
    struct cfg_buf clean;
    cfg_buf_init(&clean, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            cfg_buf_putc(&clean, text.ptr[i]);
    if (cfg_buf_status(&clean) != 0) {
        cfg_buf_finish(&clean);
        return CFG_E_NOMEM;
    }
    struct cursor c = {clean.data, clean.data + clean.len};
    struct cfg_number n = {.negative = at_any(&c, "-")};
    (void)take_any(&c, "+-"); /* optional */
    n.whole = (struct cfg_slice){c.p, take_run(&c, DIGITS)};
    if (take_any(&c, "."))
        n.fraction = (struct cfg_slice){c.p, take_run(&c, DIGITS)};
    if (take_any(&c, "eE")) {
        bool minus = at_any(&c, "-");
        (void)take_any(&c, "+-"); /* optional */
        for (; c.p < c.end && n.exponent < 1000000000; c.p++)
            n.exponent = n.exponent * 10 + (*c.p - '0');
        n.exponent = minus ? -n.exponent : n.exponent;
    }
    int rc = cfg_number_value(out, &n);
    cfg_buf_finish(&clean);
    return rc;
}

/* 1:30.5, added up from the right as PyYAML does. *found says whether it is one. */
static int sixty_float(double *out, bool *found, struct cfg_slice text)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    bool negative = at_any(&c, "-");
    (void)take_any(&c, "+-"); /* optional */
    const char *begin = c.p;
    bool form = at_any(&c, DIGITS) && take_run(&c, DIGITS "_") > 0 && take_sixties(&c) && take_any(&c, ".");
    (void)take_run(&c, DIGITS "_"); /* none is fine */
    *found = form && c.p == c.end;
    double value = 0, base = 1;
    for (const char *end = c.end; *found && end > begin;) {
        const char *part = end;
        while (part > begin && part[-1] != ':')
            part--;
        double digits;
        int rc = float_value(&digits, (struct cfg_slice){part, (size_t)(end - part)});
        if (rc != 0)
            return rc;
        value += digits * base;
        base *= 60;
        end = part > begin ? part - 1 : begin;
    }
    *out = negative ? -value : value;
    return 0;
}

static bool special_float(double *out, struct cfg_slice text)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF"}, *const nans[] = {".nan", ".NaN", ".NAN"};
    struct cfg_slice bare = text;
    bool sign = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+');
    bare.ptr += sign;
    bare.len -= sign;
    if (is_one_of(bare, infinities, 3))
        *out = text.ptr[0] == '-' ? -HUGE_VAL : HUGE_VAL;
    else if (is_one_of(text, nans, 3))
        *out = (double)NAN;
    else
        return false;
    return true;
}

static int read_float(struct cfg_yaml_reading *out, bool *found, enum cfg_yaml_reader reader, struct cfg_slice text)
{
    double value = 0;
    int rc = 0;
    *found = special_float(&value, text);
    if (!*found && float_form(reader, text)) {
        *found = true;
        rc = float_value(&value, text);
    } else if (!*found && reader != CFG_YAML_READER_CORE) {
        rc = sixty_float(&value, found, text);
    }
    if (rc == 0 && *found)
        *out = (struct cfg_yaml_reading){.kind = CFG_YAML_FLOAT, .number = value};
    return rc;
}

/* --- words --- */

static bool read_word(struct cfg_yaml_reading *out, enum cfg_yaml_reader reader, struct cfg_slice text)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"};
    static const char *const no[] = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"};
    static const char *const null[] = {"", "~", "null", "Null", "NULL"};
    bool core = reader == CFG_YAML_READER_CORE;
    if (is_one_of(text, yes, core ? 3 : 9))
        *out = (struct cfg_yaml_reading){.kind = CFG_YAML_BOOL, .boolean = true};
    else if (is_one_of(text, no, core ? 3 : 9))
        *out = (struct cfg_yaml_reading){.kind = CFG_YAML_BOOL};
    else if (is_one_of(text, null, 5))
        *out = (struct cfg_yaml_reading){.kind = CFG_YAML_NULL};
    else if (!core && cfg_slice_eq_str(text, "<<"))
        *out = (struct cfg_yaml_reading){.kind = CFG_YAML_MERGE};
    else if (!core && cfg_slice_eq_str(text, "="))
        *out = (struct cfg_yaml_reading){.kind = CFG_YAML_BROKEN};
    else
        return false;
    return true;
}

int cfg_yaml_scalar_read(struct cfg_yaml_reading *out, enum cfg_yaml_reader reader, struct cfg_slice text)
{
    *out = (struct cfg_yaml_reading){.kind = CFG_YAML_TEXT};
    if (read_word(out, reader, text) || text.len == 0 || strchr("+-." DIGITS, text.ptr[0]) == NULL || !text.ptr[0])
        return 0;
    if (reader == CFG_YAML_READER_CORE ? integer_1_2(out, text) : integer_1_1(out, text))
        return 0;
    bool found = false;
    int rc = read_float(out, &found, reader, text);
    if (rc == 0 && !found && reader == CFG_YAML_READER_PYYAML && is_date(text))
        out->kind = CFG_YAML_DATE;
    return rc;
}

bool cfg_yaml_reading_equal(const struct cfg_yaml_reading *a, const struct cfg_yaml_reading *b)
{
    bool numbers = (a->kind == CFG_YAML_INT || a->kind == CFG_YAML_FLOAT) &&
                   (b->kind == CFG_YAML_INT || b->kind == CFG_YAML_FLOAT);
    if (numbers)
        return a->number <= b->number ? a->number >= b->number : isnan(a->number) && isnan(b->number);
    return a->kind == b->kind && a->boolean == b->boolean;
}

/* --- showing --- */

const char *cfg_yaml_reader_name(enum cfg_yaml_reader reader)
{
    static const char *const names[CFG_YAML_READERS] = {"OmegaConf", "PyYAML", "YAML 1.2"};
    return reader < CFG_YAML_READERS ? names[reader] : "?";
}

void cfg_yaml_reading_put(struct cfg_buf *out, const struct cfg_yaml_reading *r, struct cfg_slice text)
{
    switch (r->kind) {
    case CFG_YAML_TEXT:
        cfg_json_put_string(out, text);
        break;
    case CFG_YAML_NULL:
        cfg_buf_puts(out, "null");
        break;
    case CFG_YAML_BOOL:
        cfg_buf_puts(out, r->boolean ? "true" : "false");
        break;
    case CFG_YAML_INT:
    case CFG_YAML_FLOAT:
        if (isfinite(r->number))
            cfg_json_put_number(out, r->number);
        else
            cfg_buf_puts(out, "no finite number");
        break;
    case CFG_YAML_DATE:
        cfg_buf_puts(out, "a date");
        break;
    case CFG_YAML_MERGE:
        cfg_buf_puts(out, "a merge");
        break;
    case CFG_YAML_BROKEN:
        cfg_buf_puts(out, "an error");
        break;
    }
}

/* 1e-7 is text to PyYAML, which wants a point and a sign: 1.0e-7, 1.0e+21. */
void cfg_yaml_number_put(struct cfg_buf *out, double d)
{
    char text[CFG_NUMBER_TEXT + 1];
    if (!isfinite(d)) {
        cfg_buf_puts(out, isnan(d) ? ".nan" : d < 0 ? "-.inf" : ".inf");
        return;
    }
    text[cfg_number_format(text, d, true)] = '\0';
    const char *exponent = strpbrk(text, "eE");
    if (exponent == NULL) {
        cfg_buf_puts(out, text);
    } else {
        cfg_buf_put(out, text, (size_t)(exponent - text));
        if (memchr(text, '.', (size_t)(exponent - text)) == NULL)
            cfg_buf_puts(out, ".0");
        cfg_buf_putc(out, 'e');
        cfg_buf_puts(out, exponent[1] == '-' || exponent[1] == '+' ? "" : "+");
        cfg_buf_puts(out, exponent + 1);
    }
}
