#include "proto/rfc3339.h"

#define SECOND INT64_C(1000000)
enum { DAY_S = 86400, FIRST_YEAR = 1970 };

/* Days from 1970-01-01 in the proleptic Gregorian calendar, by counting years from March so that a leap day is the
 * last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

struct cursor {
    const char *p, *end;
    bool bad;
};

static int number(struct cursor *c, int digits)
{
    int n = 0;
    for (; digits > 0; digits--, c->p++) {
        if (c->p >= c->end || *c->p < '0' || *c->p > '9') {
            c->bad = true;
            return 0;
        }
        n = n * 10 + (*c->p - '0');
    }
    return n;
}

static char letter(struct cursor *c, const char *allowed)
{
    for (const char *a = allowed; c->p < c->end && *a; a++)
        if (*c->p == *a)
            return *c->p++;
    c->bad = true;
    return '\0';
}

static int64_t fraction(struct cursor *c)
{
    int64_t us = 0, unit = SECOND / 10;
    if (c->p >= c->end || *c->p != '.')
        return 0;
    c->p++;
    if (c->p >= c->end || *c->p < '0' || *c->p > '9')
        c->bad = true;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10)
        us += (*c->p - '0') * unit;
    return us;
}

/* Seconds east of UTC. */
static int64_t offset(struct cursor *c)
{
    char sign = letter(c, "Zz+-");
    if (sign != '+' && sign != '-')
        return 0;
    int hours = number(c, 2);
    (void)letter(c, ":");
    int minutes = number(c, 2);
    c->bad |= hours > 23 || minutes > 59;
    return (sign == '-' ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
}

int cfg_rfc3339_parse(int64_t *out_us, struct cfg_slice text, struct cfg_error *err)
{
    struct cursor c = {text.ptr, text.ptr + text.len, false};
    int year = number(&c, 4);
    (void)letter(&c, "-");
    int month = number(&c, 2);
    (void)letter(&c, "-");
    int day = number(&c, 2);
    (void)letter(&c, "Tt ");
    int hour = number(&c, 2);
    (void)letter(&c, ":");
    int minute = number(&c, 2);
    (void)letter(&c, ":");
    int second = number(&c, 2);
    int64_t us = fraction(&c), east = offset(&c);
    c.bad |= c.p != c.end || year < FIRST_YEAR || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 ||
             second > 60;
    if (!c.bad && day <= days_in(year, month)) {
        us += (days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - east) * SECOND;
        if (us >= 0) {
            *out_us = us;
            return 0;
        }
    }
    (void)cfg_fail(err, CFG_E_INVALID, "\"%.*s\" is no time", text.len > 60 ? 60 : (int)text.len, text.ptr);
    cfg_error_set_hint(err, "one looks like 2026-12-01T02:40:00Z");
    return CFG_E_INVALID;
}

static char *put(char *out, int64_t n, int digits, char behind)
{
    for (int i = digits; i-- > 0; n /= 10)
        out[i] = (char)('0' + n % 10);
    out[digits] = behind;
    return out + digits + 1;
}

const char *cfg_rfc3339_print(char out[CFG_RFC3339_TEXT], int64_t us)
{
    int64_t seconds = us / SECOND, of_day = seconds % DAY_S, days = seconds / DAY_S + 719468;
    int64_t era = days / 146097, of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), shifted = (5 * of_year + 2) / 153;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    char *p = put(out, year + era * 400 + (month <= 2), 4, '-');
    p = put(p, month, 2, '-');
    p = put(p, of_year - (153 * shifted + 2) / 5 + 1, 2, 'T');
    p = put(p, of_day / 3600, 2, ':');
    p = put(p, of_day / 60 % 60, 2, ':');
    p = put(p, of_day % 60, 2, '.');
    p = put(p, us % SECOND, 6, 'Z');
    *p = '\0';
    return out;
}
