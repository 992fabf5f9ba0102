/* Dates and times by RFC 3339 §5.6, durations by its appendix A. */
#include "proto/schema_format.h"
#include "proto/schema_internal.h"

/* Two or four digits at i. */
static int digits(struct cfg_slice s, size_t i, size_t n)
{
    int value = 0;
    if (i + n > s.len)
        return -1;
    for (size_t k = i; k < i + n; k++) {
        if (!format_is_digit(s.ptr[k]))
            return -1;
        value = value * 10 + (s.ptr[k] - '0');
    }
    return value;
}

bool cfg_format_date(struct cfg_slice s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = digits(s, 0, 4), month = digits(s, 5, 2), day = digits(s, 8, 2);
    if (s.len != 10 || year < 0 || s.ptr[4] != '-' || s.ptr[7] != '-' || month < 1 || month > 12)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

/* Z or ±HH:MM to the end of s. *minutes is the offset. */
static bool offset(struct cfg_slice s, size_t i, int *minutes)
{
    *minutes = 0;
    if (i + 1 == s.len && (s.ptr[i] == 'Z' || s.ptr[i] == 'z'))
        return true;
    if (i + 6 != s.len || (s.ptr[i] != '+' && s.ptr[i] != '-') || s.ptr[i + 3] != ':')
        return false;
    int hour = digits(s, i + 1, 2), minute = digits(s, i + 4, 2);
    *minutes = (s.ptr[i] == '-' ? -1 : 1) * (hour * 60 + minute);
    return hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59;
}

bool cfg_format_time(struct cfg_slice s)
{
    int hour = digits(s, 0, 2), minute = digits(s, 3, 2), second = digits(s, 6, 2), minutes;
    if (s.len < 9 || s.ptr[2] != ':' || s.ptr[5] != ':')
        return false;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    size_t i = 8;
    if (s.ptr[i] == '.') {
        size_t start = ++i;
        while (i < s.len && format_is_digit(s.ptr[i]))
            i++;
        if (i == start)
            return false;
    }
    if (!offset(s, i, &minutes))
        return false;
    /* A leap second is at 23:59:60 UTC. */
    return second < 60 || (hour * 60 + minute - minutes + 2 * 1440) % 1440 == 1439;
}

bool cfg_format_date_time(struct cfg_slice s)
{
    return s.len > 11 && (s.ptr[10] == 'T' || s.ptr[10] == 't') && cfg_format_date(format_part(s, 0, 10)) &&
           cfg_format_time(format_part(s, 11, s.len));
}

/* Numbers with units out of `units` in their order, none left out in between; *i moves. At least one. */
static bool elements(struct cfg_slice s, size_t *i, const char *units)
{
    size_t found = 0, last = 0;
    while (*i < s.len && format_is_digit(s.ptr[*i])) {
        while (*i < s.len && format_is_digit(s.ptr[*i]))
            (*i)++;
        size_t k = 0;
        while (*i < s.len && units[k] && units[k] != s.ptr[*i])
            k++;
        if (*i == s.len || units[k] == '\0' || (found > 0 && k != last + 1))
            return false;
        last = k;
        found++;
        (*i)++;
    }
    return found > 0;
}

bool cfg_format_duration(struct cfg_slice s)
{
    size_t i = 1;
    if (s.len < 3 || s.ptr[0] != 'P')
        return false;
    if (s.ptr[s.len - 1] == 'W')
        return elements(s, &i, "W") && i == s.len;
    if (s.ptr[1] != 'T' && !elements(s, &i, "YMD"))
        return false;
    if (i == s.len)
        return true;
    return s.ptr[i++] == 'T' && elements(s, &i, "HMS") && i == s.len;
}
