#include "client/cfgctl/when.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000)
enum { DAY_S = 86400 };

int64_t when_now_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail */
    return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec / 1000;
}

/* "90s", "1h30m", "2 d": any number of counts with units, all of the text. */
static bool parse_span(int64_t *out_us, const char *text)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"ms", SECOND / 1000},
                 {"min", 60 * SECOND},
                 {"s", SECOND},
                 {"m", 60 * SECOND},
                 {"h", 3600 * SECOND},
                 {"d", DAY_S * SECOND},
                 {"w", 7 * INT64_C(86400) * SECOND}};
    int64_t sum = 0;
    bool any = false;
    for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " ")) {
        size_t digits = strspn(p, "0123456789"), u = 0;
        int64_t n = 0;
        if (digits == 0 || digits > 7)
            return false;
        for (size_t i = 0; i < digits; i++)
            n = n * 10 + (p[i] - '0');
        p += digits + strspn(p + digits, " ");
        while (u < sizeof units / sizeof units[0] && strncmp(p, units[u].name, strlen(units[u].name)) != 0)
            u++;
        if (u == sizeof units / sizeof units[0])
            return false;
        sum += n * units[u].us;
        p += strlen(units[u].name);
        any = true;
    }
    *out_us = sum;
    return any;
}

static bool local_time(int64_t *out_us, const struct tm *tm)
{
    struct tm copy = *tm;
    copy.tm_isdst = -1; /* mktime finds out */
    time_t t = mktime(&copy);
    *out_us = (int64_t)t * SECOND;
    return t >= 0 && copy.tm_mday == tm->tm_mday && copy.tm_min == tm->tm_min; /* no 31st of June */
}

/* Clock time of the day that began `days` days before now's. */
static bool parse_clock(int64_t *out_us, const char *text, int64_t now_us, int days)
{
    struct tm tm, read = {0};
    time_t now = (time_t)(now_us / SECOND);
    const char *rest = strptime(text, "%H:%M:%S", &read);
    if (rest == NULL || *rest) {
        read = (struct tm){0};
        rest = strptime(text, "%H:%M", &read);
    }
    if (rest == NULL || *rest || localtime_r(&now, &tm) == NULL)
        return false;
    tm.tm_hour = read.tm_hour;
    tm.tm_min = read.tm_min;
    tm.tm_sec = read.tm_sec;
    tm.tm_mday -= days;
    tm.tm_isdst = -1;
    time_t t = mktime(&tm);
    *out_us = (int64_t)t * SECOND;
    return t >= 0;
}

static bool parse_date(int64_t *out_us, const char *text)
{
    static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = {0};
        const char *rest = strptime(text, forms[i], &tm);
        if (rest && *rest == '\0')
            return local_time(out_us, &tm);
    }
    return false;
}

/* Without the word at its end, into copy; false: it does not end so. */
static bool ends_with(char copy[64], const char *text, const char *word)
{
    size_t n = strlen(text), w = strlen(word);
    if (n <= w || n >= 64 || strcmp(text + n - w, word) != 0)
        return false;
    (void)snprintf(copy, 64, "%.*s", (int)(n - w), text);
    return true;
}

static bool parse(int64_t *out_us, const char *text, int64_t now_us)
{
    char copy[64];
    int64_t span = 0;
    if (strcmp(text, "now") == 0) {
        *out_us = now_us;
        return true;
    }
    if (text[0] == '@' && strspn(text + 1, "0123456789") == strlen(text + 1) && strlen(text) > 1 && strlen(text) < 12) {
        int64_t n = 0;
        for (const char *p = text + 1; *p; p++)
            n = n * 10 + (*p - '0');
        *out_us = n * SECOND;
        return true;
    }
    if (parse_span(&span, text) || (ends_with(copy, text, " ago") && parse_span(&span, copy))) {
        *out_us = now_us - span;
        return span <= now_us;
    }
    if (strncmp(text, "yesterday ", 10) == 0)
        return parse_clock(out_us, text + 10, now_us, 1);
    if (parse_clock(out_us, text, now_us, 0))
        return *out_us <= now_us || parse_clock(out_us, text, now_us, 1);
    return parse_date(out_us, text) || cfg_rfc3339_parse(out_us, cfg_slice_str(text), NULL) == 0;
}

int when_parse(int64_t *out_us, const char *text, int64_t now_us, struct cfg_error *err)
{
    int64_t us = 0;
    if (parse(&us, text, now_us)) {
        *out_us = us;
        return 0;
    }
    (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' is no time", text);
    cfg_error_set_hint(err,
                       "one looks like 02:40, 'yesterday 22:00', '2026-12-01 02:40', 2026-12-01T02:40:00Z or '2h ago'");
    return CFG_E_INVALID;
}

/* "in 10m", "+10m", "10m", "02:40", or one of those that name their day themselves. */
static bool parse_ahead(int64_t *out_us, const char *text, int64_t now_us)
{
    int64_t span;
    const char *rest = strncmp(text, "in ", 3) == 0 ? text + 3 : text[0] == '+' ? text + 1 : text;
    if (parse_span(&span, rest)) {
        *out_us = now_us + span;
        return true;
    }
    if (rest != text || strncmp(text, "yesterday ", 10) == 0)
        return false;
    if (parse_clock(out_us, text, now_us, 0))
        return *out_us > now_us || parse_clock(out_us, text, now_us, -1);
    return parse(out_us, text, now_us);
}

int when_parse_ahead(int64_t *out_us, const char *text, int64_t now_us, struct cfg_error *err)
{
    int64_t us = 0;
    char printed[CFG_RFC3339_TEXT], local[32];
    if (!parse_ahead(&us, text, now_us)) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' is no time to come", text);
        cfg_error_set_hint(err, "one looks like 02:40, 'in 10m', '2026-12-01 02:40' or 2026-12-01T02:40:00Z");
        return CFG_E_INVALID;
    }
    if (us < now_us) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.60s' is over: that was %s here", text,
                       when_local(local, cfg_rfc3339_print(printed, us)));
        cfg_error_set_hint(err, "without it, it begins at once");
        return CFG_E_INVALID;
    }
    *out_us = us;
    return 0;
}

int when_option(char out[32], const struct cli *c, enum cli_option_id id, struct cfg_error *err)
{
    _Static_assert(CFG_RFC3339_TEXT == 32, "the room that callers have");
    const char *text = cli_value(c, id);
    int64_t us;
    out[0] = '\0';
    if (text == NULL)
        return 0;
    int rc = when_parse(&us, text, when_now_us(), err);
    if (rc != 0)
        return cfg_error_wrap(err, "--%s", cli_options[id].name);
    (void)cfg_rfc3339_print(out, us);
    return 0;
}

const char *when_local(char out[32], const char *rfc3339)
{
    int64_t us;
    struct tm tm;
    (void)snprintf(out, 32, "%.31s", rfc3339);
    if (cfg_rfc3339_parse(&us, cfg_slice_str(rfc3339), NULL) != 0)
        return out;
    time_t t = (time_t)(us / SECOND);
    if (localtime_r(&t, &tm))
        (void)strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}
