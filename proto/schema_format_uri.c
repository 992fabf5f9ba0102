/* URIs by RFC 3986, IRIs by RFC 3987, URI templates by RFC 6570, addresses by RFC 2673 §3.2 and RFC 4291 §2.2. */
#include "proto/schema_format.h"
#include "proto/schema_internal.h"
#include "proto/utf8.h"

#include <string.h>

/* --- characters --- */

static uint32_t decode(const unsigned char *p, size_t n)
{
    uint32_t c = n == 1 ? p[0] : p[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3F);
    return c;
}

static bool is_private(uint32_t c)
{
    return (c >= 0xE000 && c <= 0xF8FF) || (c >= 0xF0000 && c <= 0xFFFFD) || (c >= 0x100000 && c <= 0x10FFFD);
}

static bool is_ucschar(uint32_t c)
{
    if (c < 0x10000)
        return (c >= 0xA0 && c <= 0xD7FF) || (c >= 0xF900 && c <= 0xFDCF) || (c >= 0xFDF0 && c <= 0xFFEF);
    if (c >= 0xE0000 && c < 0xE1000)
        return false;
    return c < 0xF0000 && (c & 0xFFFF) <= 0xFFFD;
}

/* All of s is letters, digits, what `extra` lists, %XX, and, where wide, characters beyond ASCII (2: private ones too).
 */
static bool only(struct cfg_slice s, const char *extra, int wide)
{
    const unsigned char *p = (const unsigned char *)s.ptr, *end = p + s.len;
    while (p < end) {
        char c = (char)*p;
        if (c == '%') {
            if (end - p < 3 || !format_is_hex((char)p[1]) || !format_is_hex((char)p[2]))
                return false;
            p += 3;
        } else if (*p < 0x80) {
            if (c == '\0' || !(format_is_letter(c) || format_is_digit(c) || strchr(extra, c)))
                return false;
            p++;
        } else {
            size_t n = cfg_utf8_length(p, end);
            uint32_t point = n ? decode(p, n) : 0;
            if (n == 0 || wide == 0 || !(is_ucschar(point) || (wide == 2 && is_private(point))))
                return false;
            p += n;
        }
    }
    return true;
}

#define UNRESERVED "-._~"
#define SUB_DELIMS "!$&'()*+,;="

/* --- addresses --- */

bool cfg_format_ipv4(struct cfg_slice s)
{
    size_t i = 0;
    for (int part = 0; part < 4; part++) {
        size_t start = i;
        if ((part > 0 && (i >= s.len || s.ptr[i++] != '.')))
            return false;
        start = i;
        if (!format_number(s, &i) || i - start > 3 || (i - start == 3 && memcmp(s.ptr + start, "255", 3) > 0))
            return false;
    }
    return i == s.len;
}

/* Groups of up to four hex digits with : between, the last maybe an IPv4 address (two groups). −1: not well formed. */
static int groups(struct cfg_slice s, bool ipv4_allowed)
{
    int count = 0;
    size_t i = 0;
    if (s.len == 0)
        return 0;
    for (;;) {
        size_t start = i;
        while (i < s.len && format_is_hex(s.ptr[i]))
            i++;
        if (i < s.len && s.ptr[i] == '.' && ipv4_allowed)
            return cfg_format_ipv4(format_part(s, start, s.len)) ? count + 2 : -1;
        if (i == start || i - start > 4)
            return -1;
        count++;
        if (i == s.len)
            return count;
        if (s.ptr[i++] != ':')
            return -1;
    }
}

bool cfg_format_ipv6(struct cfg_slice s)
{
    const char *gap = NULL;
    for (size_t i = 0; gap == NULL && i + 1 < s.len; i++)
        if (s.ptr[i] == ':' && s.ptr[i + 1] == ':')
            gap = s.ptr + i;
    if (gap == NULL)
        return groups(s, true) == 8;
    size_t before = (size_t)(gap - s.ptr);
    int left = groups(format_part(s, 0, before), false), right = groups(format_part(s, before + 2, s.len), true);
    return left >= 0 && right >= 0 && left + right <= 7;
}

/* --- URIs and IRIs --- */

static bool is_literal(struct cfg_slice s)
{
    if (s.len < 2 || s.ptr[s.len - 1] != ']')
        return false;
    struct cfg_slice inner = format_part(s, 1, s.len - 1);
    if (inner.len == 0 || (inner.ptr[0] != 'v' && inner.ptr[0] != 'V'))
        return cfg_format_ipv6(inner);
    size_t i = 1;
    while (i < inner.len && format_is_hex(inner.ptr[i]))
        i++;
    struct cfg_slice rest = format_part(inner, i < inner.len ? i + 1 : i, inner.len);
    return i > 1 && i < inner.len && inner.ptr[i] == '.' && rest.len > 0 && memchr(rest.ptr, '%', rest.len) == NULL &&
           only(rest, UNRESERVED SUB_DELIMS ":", 0);
}

static bool authority(struct cfg_slice s, int wide)
{
    const char *at = memchr(s.ptr, '@', s.len);
    if (at) {
        size_t n = (size_t)(at - s.ptr);
        if (!only(format_part(s, 0, n), UNRESERVED SUB_DELIMS ":", wide))
            return false;
        s = format_part(s, n + 1, s.len);
    }
    size_t host = s.len;
    while (host > 0 && format_is_digit(s.ptr[host - 1]))
        host--;
    if (host > 0 && s.ptr[host - 1] == ':')
        host--;
    else
        host = s.len;
    s = format_part(s, 0, host);
    return s.len > 0 && s.ptr[0] == '[' ? is_literal(s) : only(s, UNRESERVED SUB_DELIMS, wide);
}

/* The length of `scheme:`, 0 when there is none. */
static size_t scheme(struct cfg_slice s)
{
    size_t i = 0;
    if (s.len == 0 || !format_is_letter(s.ptr[0]))
        return 0;
    while (i < s.len && (format_is_letter(s.ptr[i]) || format_is_digit(s.ptr[i]) || strchr("+-.", s.ptr[i])))
        i++;
    return i < s.len && s.ptr[i] == ':' ? i + 1 : 0;
}

static size_t find(struct cfg_slice s, size_t from, const char *ends)
{
    while (from < s.len && strchr(ends, s.ptr[from]) == NULL)
        from++;
    return from;
}

static bool reference(struct cfg_slice s, bool absolute, int wide)
{
    if (s.len != strnlen(s.ptr, s.len))
        return false;
    size_t i = scheme(s), start = i, end;
    if (absolute && i == 0)
        return false;
    if (s.len >= i + 2 && s.ptr[i] == '/' && s.ptr[i + 1] == '/') {
        end = find(s, i + 2, "/?#");
        if (!authority(format_part(s, i + 2, end), wide))
            return false;
        i = end;
    } else if (start == 0 && memchr(s.ptr, ':', find(s, 0, "/?#"))) {
        return false; /* the first segment of a relative path has no colon */
    }
    end = find(s, i, "?#");
    if (!only(format_part(s, i, end), UNRESERVED SUB_DELIMS ":@/", wide))
        return false;
    i = end;
    if (i < s.len && s.ptr[i] == '?') {
        end = find(s, i + 1, "#");
        if (!only(format_part(s, i + 1, end), UNRESERVED SUB_DELIMS ":@/?", wide ? 2 : 0))
            return false;
        i = end;
    }
    return i == s.len || only(format_part(s, i + 1, s.len), UNRESERVED SUB_DELIMS ":@/?", wide);
}

bool cfg_format_uri(struct cfg_slice s)
{
    return reference(s, true, 0);
}

bool cfg_format_uri_reference(struct cfg_slice s)
{
    return reference(s, false, 0);
}

bool cfg_format_iri(struct cfg_slice s)
{
    return reference(s, true, 1);
}

bool cfg_format_iri_reference(struct cfg_slice s)
{
    return reference(s, false, 1);
}

/* --- URI templates --- */

/* NAME[:1..9999|*], a name being dot-separated runs of letters, digits, _ and %XX. */
static bool varspec(struct cfg_slice s)
{
    size_t end = s.len;
    if (s.len > 0 && s.ptr[s.len - 1] == '*') {
        end--;
    } else {
        const char *colon = memchr(s.ptr, ':', s.len);
        size_t i = colon ? (size_t)(colon - s.ptr) : s.len, digits = i + 1;
        if (colon && (!format_number(s, &digits) || digits != s.len || s.ptr[i + 1] == '0' || digits - i > 5))
            return false;
        end = i;
    }
    struct cfg_slice name = format_part(s, 0, end);
    if (name.len == 0 || name.ptr[0] == '.' || name.ptr[name.len - 1] == '.' || !only(name, "_.", 0))
        return false;
    for (size_t i = 0; i + 1 < name.len; i++)
        if (name.ptr[i] == '.' && name.ptr[i + 1] == '.')
            return false;
    return true;
}

static bool expression(struct cfg_slice s)
{
    size_t i = s.len > 0 && strchr("+#./;?&=,!@|", s.ptr[0]) != NULL;
    for (;;) {
        size_t end = find(s, i, ",");
        if (!varspec(format_part(s, i, end)))
            return false;
        if (end == s.len)
            return true;
        i = end + 1;
    }
}

bool cfg_format_uri_template(struct cfg_slice s)
{
    size_t i = 0;
    if (s.len != strnlen(s.ptr, s.len))
        return false;
    while (i < s.len) {
        size_t end = find(s, i, "{}");
        if (!only(format_part(s, i, end), "!#$&'()*+,-./:;=?@[]_~", 2))
            return false;
        if (end == s.len)
            return true;
        i = find(s, end + 1, "{}");
        if (s.ptr[end] == '}' || i == s.len || s.ptr[i] == '{' || !expression(format_part(s, end + 1, i)))
            return false;
        i++;
    }
    return true;
}
