/* Host names by RFC 1123 §2.1, internationalised ones by RFC 5890 (libidn2 judges the labels), mail addresses by
 * RFC 5321 §4.1.2 and RFC 6531. */
#include "proto/schema_format.h"
#include "proto/schema_internal.h"
#include "proto/utf8.h"

#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_LABEL = 63, MAX_NAME = 253, ROOM = 1024 };

/* Letters, digits and inner dashes. */
static bool is_ldh(struct cfg_slice s)
{
    if (s.len == 0 || s.len > MAX_LABEL || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!format_is_letter(s.ptr[i]) && !format_is_digit(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    return true;
}

static bool is_ascii(struct cfg_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* Is this character written from right to left? By blocks: those that hold such scripts hold nothing else. */
static bool is_right_to_left(uint32_t c)
{
    return (c >= 0x590 && c <= 0x8FF && !(c >= 0x6F0 && c <= 0x6F9)) || (c >= 0xFB1D && c <= 0xFDFF) ||
           (c >= 0xFE70 && c <= 0xFEFF) || (c >= 0x10800 && c <= 0x10FFF) || (c >= 0x1E800 && c <= 0x1EFFF);
}

struct direction {
    bool right_to_left, european, arabic; /* holds letters from right to left, digits of either kind */
};

static struct direction direction_of(const char *s)
{
    struct direction d = {false, false, false};
    const unsigned char *p = (const unsigned char *)s, *end = p + strlen(s);
    while (p < end) {
        size_t n = cfg_utf8_length(p, end);
        uint32_t c = n <= 1 ? p[0] : p[0] & (0xFFu >> (n + 1));
        for (size_t i = 1; i < n; i++)
            c = c << 6 | (p[i] & 0x3F);
        d.right_to_left = d.right_to_left || is_right_to_left(c);
        d.european = d.european || (c >= '0' && c <= '9') || (c >= 0x6F0 && c <= 0x6F9);
        d.arabic = d.arabic || (c >= 0x660 && c <= 0x669);
        p += n ? n : 1;
    }
    return d;
}

/* What a name says as a whole: the bidi rule of RFC 5893 binds every label once one is written from right to left. */
struct name_state {
    size_t length; /* of the A-labels with their dots */
    bool right_to_left, digit_first;
};

/* A U-label: valid by IDNA 2008, and its A-label fits. */
static bool is_u_label(const char *label, char a_label[ROOM], struct name_state *state)
{
    uint8_t *out = NULL;
    if (idn2_register_u8((const uint8_t *)label, NULL, &out, 0) != IDN2_OK)
        return false;
    bool fits = strlen((const char *)out) <= MAX_LABEL;
    (void)snprintf(a_label, ROOM, "%s", (const char *)out);
    idn2_free(out);
    struct direction d = direction_of(label);
    state->right_to_left = state->right_to_left || d.right_to_left;
    return fits && !(d.right_to_left && d.european && d.arabic); /* RFC 5893 §2, rule 4 */
}

/* xn--…: decodes to a valid U-label whose A-label is this one. */
static bool is_a_label(const char *label, struct name_state *state)
{
    char *decoded = NULL, again[ROOM];
    if (idn2_to_unicode_8z8z(label, &decoded, 0) != IDN2_OK)
        return false;
    bool good = !is_ascii(cfg_slice_str(decoded)) && is_u_label(decoded, again, state) && strcasecmp(again, label) == 0;
    idn2_free(decoded);
    return good;
}

static bool check_label(struct cfg_slice s, bool wide, struct name_state *state)
{
    char label[ROOM], a_label[ROOM];
    if (s.len == 0 || s.len >= ROOM)
        return false;
    (void)snprintf(label, sizeof label, "%.*s", (int)s.len, s.ptr);
    state->digit_first = state->digit_first || format_is_digit(s.ptr[0]);
    if (!is_ascii(s)) {
        bool good = wide && is_u_label(label, a_label, state);
        state->length += good ? strlen(a_label) + 1 : 0;
        return good;
    }
    state->length += s.len + 1;
    return is_ldh(s) && (strncasecmp(label, "xn--", 4) != 0 || is_a_label(label, state));
}

/* The bytes of a label separator at p, 0 when there is none: a dot, where wide also its three likes of IDNA. */
static size_t separator(const char *p, const char *end, bool wide)
{
    static const char *const likes[] = {"\xE3\x80\x82", "\xEF\xBC\x8E", "\xEF\xBD\xA1"};
    if (*p == '.')
        return 1;
    for (size_t i = 0; wide && end - p >= 3 && i < 3; i++)
        if (memcmp(p, likes[i], 3) == 0)
            return 3;
    return 0;
}

static bool host_name(struct cfg_slice s, bool wide)
{
    struct name_state state = {0, false, false};
    const char *p = s.ptr, *end = s.ptr + s.len, *start = p;
    if (s.len == 0)
        return false;
    for (;; p++) {
        size_t n = p < end ? separator(p, end, wide) : 0;
        if (p < end && n == 0)
            continue;
        if (!check_label((struct cfg_slice){start, (size_t)(p - start)}, wide, &state))
            return false;
        if (p == end)
            break;
        start = p + n;
        p += n - 1;
    }
    return state.length - 1 <= MAX_NAME && !(state.right_to_left && state.digit_first);
}

bool cfg_format_hostname(struct cfg_slice s)
{
    return host_name(s, false);
}

bool cfg_format_idn_hostname(struct cfg_slice s)
{
    return host_name(s, true);
}

/* --- mail addresses --- */

static bool is_atom_char(char c, bool wide)
{
    return format_is_letter(c) || format_is_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c)) ||
           (wide && (unsigned char)c >= 0x80);
}

static bool dot_string(struct cfg_slice s, bool wide)
{
    bool dot = true;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' ? dot : !is_atom_char(s.ptr[i], wide))
            return false;
        dot = s.ptr[i] == '.';
    }
    return !dot;
}

static bool quoted_string(struct cfg_slice s, bool wide)
{
    if (s.len < 2 || s.ptr[0] != '"' || s.ptr[s.len - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '\\') {
            if (++i + 1 >= s.len)
                return false;
            c = (unsigned char)s.ptr[i];
        } else if (c == '"') {
            return false;
        }
        if (c < 32 || c == 127 || (c >= 128 && !wide))
            return false;
    }
    return true;
}

/* [127.0.0.1], [IPv6:::1], [tag:anything]. */
static bool address_literal(struct cfg_slice s)
{
    if (s.len < 3 || s.ptr[s.len - 1] != ']')
        return false;
    struct cfg_slice inner = format_part(s, 1, s.len - 1);
    if (inner.len > 5 && strncasecmp(inner.ptr, "IPv6:", 5) == 0)
        return cfg_format_ipv6(format_part(inner, 5, inner.len));
    const char *colon = memchr(inner.ptr, ':', inner.len);
    size_t n = colon ? (size_t)(colon - inner.ptr) : 0;
    if (colon == NULL)
        return cfg_format_ipv4(inner);
    for (size_t i = n + 1; i < inner.len; i++)
        if (inner.ptr[i] < 33 || strchr("[\\]", inner.ptr[i]) || inner.ptr[i] == 127)
            return false;
    return is_ldh(format_part(inner, 0, n)) && n + 1 < inner.len;
}

static bool mail(struct cfg_slice s, bool wide)
{
    size_t at = s.len;
    while (at > 0 && s.ptr[at - 1] != '@')
        at--;
    if (at < 2)
        return false;
    struct cfg_slice local = format_part(s, 0, at - 1), domain = format_part(s, at, s.len);
    if (!wide && !is_ascii(s))
        return false;
    if (!dot_string(local, wide) && !quoted_string(local, wide))
        return false;
    return domain.len > 0 && domain.ptr[0] == '[' ? address_literal(domain) : host_name(domain, wide);
}

bool cfg_format_email(struct cfg_slice s)
{
    return mail(s, false);
}

bool cfg_format_idn_email(struct cfg_slice s)
{
    return mail(s, true);
}
