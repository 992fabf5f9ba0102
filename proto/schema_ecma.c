/* ECMA-262 patterns (with the flag u) in PCRE2's language. The two differ in what \d, \s, \v, . and $ mean, in escapes,
 * classes and groups; so every element is read by ECMA's grammar and written anew, and what is none of ECMA's is
 * refused even where PCRE2 would have a meaning for it. As browsers do without u, a lone brace or ] stands for itself,
 * and punctuation may be escaped anywhere. */
#include "proto/schema_internal.h"
#include "proto/utf8.h"

#include <string.h>

struct reader {
    struct cfg_buf *out;
    const char *p, *start, *end;
    const char *why; /* NULL while all is well */
    unsigned groups; /* capturing ones in the whole pattern */
    bool named;      /* the pattern has named groups */
    unsigned depth;
};

static void bad(struct reader *r, const char *why)
{
    if (r->why == NULL)
        r->why = why;
}

static bool more(const struct reader *r)
{
    return r->why == NULL && r->p < r->end;
}

static bool at(const struct reader *r, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(r->end - r->p) >= n && memcmp(r->p, text, n) == 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One character of the text; moves on. */
static uint32_t next_char(struct reader *r)
{
    const unsigned char *p = (const unsigned char *)r->p;
    if (p[0] == 0xC0 && r->end - r->p > 1) { /* the tree's U+0000 */
        r->p += 2;
        return 0;
    }
    size_t n = cfg_utf8_length(p, (const unsigned char *)r->end);
    if (n == 0) {
        bad(r, "it is no UTF-8");
        r->p = r->end;
        return 0;
    }
    uint32_t c = n == 1 ? p[0] : p[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3F);
    r->p += n;
    return c;
}

static void put_char(struct reader *r, uint32_t c)
{
    if (c >= 0xD800 && c <= 0xDFFF)
        bad(r, "half of a surrogate pair matches no text");
    else
        cfg_buf_printf(r->out, "\\x{%x}", (unsigned)c);
}

/* --- escapes --- */

static int hex(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly n hex digits; -1 when they are not there (nothing is moved then). */
static long read_hex(struct reader *r, int n)
{
    long value = 0;
    if (r->end - r->p < n)
        return -1;
    for (int i = 0; i < n; i++) {
        int digit = hex(r->p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    r->p += n;
    return value;
}

/* Behind \u: {…}, or four digits, two of those making a surrogate pair. */
static uint32_t read_unicode(struct reader *r)
{
    if (more(r) && *r->p == '{') {
        long value = 0;
        const char *digits = ++r->p;
        for (; more(r) && hex(*r->p) >= 0 && value <= 0x10FFFF; r->p++)
            value = value * 16 + hex(*r->p);
        if (r->p == digits || !more(r) || *r->p != '}' || value > 0x10FFFF) {
            bad(r, "\\u{ needs hex digits up to 10FFFF and }");
            return 0;
        }
        r->p++;
        return (uint32_t)value;
    }
    long high = read_hex(r, 4);
    if (high < 0) {
        bad(r, "\\u needs four hex digits or {…}");
        return 0;
    }
    const char *back = r->p;
    if (high >= 0xD800 && high <= 0xDBFF && at(r, "\\u")) {
        r->p += 2;
        long low = read_hex(r, 4);
        if (low >= 0xDC00 && low <= 0xDFFF)
            return (uint32_t)(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
        r->p = back;
    }
    return (uint32_t)high;
}

/* Whitespace and line ends of ECMA-262, and everything else, as ranges of a class. */
#define SPACES "\\x09-\\x0d\\x20\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
#define NO_SPACES                                                                                               \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}" \
    "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

/* \d \D \w \W \s \S and properties, the same inside a class and outside. False when c begins none of them. */
static bool put_set(struct reader *r, char c, bool in_class)
{
    const char *open = in_class ? "" : "[", *close = in_class ? "" : "]";
    if (strchr("dDwW", c)) {
        cfg_buf_printf(r->out, "\\%c", c); /* ASCII only, since PCRE2_UCP is off */
        return true;
    }
    if (c == 's' || c == 'S') {
        cfg_buf_printf(r->out, "%s%s%s", open, c == 's' ? SPACES : NO_SPACES, close);
        return true;
    }
    if (c != 'p' && c != 'P')
        return false;
    const char *name = r->p + 1, *end = more(r) && *r->p == '{' ? memchr(r->p, '}', (size_t)(r->end - r->p)) : NULL;
    if (end == NULL || !cfg_ecma_property(r->out, c == 'P', (struct cfg_slice){name, (size_t)(end - name)}))
        bad(r, "\\p needs {…} with a general category, Script=… or a binary property");
    else
        r->p = end + 1;
    return true;
}

/* An escape that stands for one character; r->p is behind the backslash and the letter. */
static uint32_t read_escaped(struct reader *r, char c)
{
    static const char letters[] = "tnvfr", values[] = "\t\n\v\f\r";
    const char *known = strchr(letters, c);
    if (known && c)
        return (uint32_t)values[known - letters];
    if (c == 'c' && more(r) && is_letter(*r->p))
        return (uint32_t)(*r->p++ & 31);
    if (c == 'x') {
        long value = read_hex(r, 2);
        if (value < 0)
            bad(r, "\\x needs two hex digits");
        return (uint32_t)value;
    }
    if (c == 'u')
        return read_unicode(r);
    if (c == '0' && !(more(r) && is_digit(*r->p)))
        return 0;
    if (is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80)
        bad(r, "this escape is none of ECMA-262's");
    return (unsigned char)c;
}

/* --- classes --- */

/* One member of a class: a set (true) or one character in *c. */
static bool class_atom(struct reader *r, uint32_t *c)
{
    if (*r->p != '\\') {
        *c = next_char(r);
        return false;
    }
    r->p++;
    if (!more(r)) {
        bad(r, "it ends with a backslash");
        return false;
    }
    char letter = *r->p++;
    if (put_set(r, letter, true))
        return true;
    *c = letter == 'b' ? 8 : read_escaped(r, letter);
    return false;
}

static void class(struct reader *r)
{
    const char *open = ++r->p;
    bool negated = more(r) && *r->p == '^';
    r->p += negated;
    if (more(r) && *r->p == ']') { /* nothing, or anything */
        cfg_buf_puts(r->out, negated ? "(?s:.)" : "(?!)");
        r->p++;
        return;
    }
    cfg_buf_puts(r->out, negated ? "[^" : "[");
    while (more(r) && *r->p != ']') {
        uint32_t from = 0, to = 0;
        bool set = class_atom(r, &from), range = more(r) && *r->p == '-' && r->end - r->p > 1 && r->p[1] != ']';
        if (!range) {
            if (!set)
                put_char(r, from);
            continue;
        }
        r->p++;
        bool to_set = class_atom(r, &to);
        if (set || to_set || from > to) {
            bad(r, "a range of a class goes from one character to a greater one");
            return;
        }
        put_char(r, from);
        cfg_buf_putc(r->out, '-');
        put_char(r, to);
    }
    if (r->why == NULL && r->p >= r->end) {
        r->p = open;
        bad(r, "a class [ is not closed");
        return;
    }
    r->p++;
    cfg_buf_putc(r->out, ']');
}

/* --- atoms, groups, quantifiers --- */

static void back_reference(struct reader *r)
{
    unsigned n = 0;
    while (more(r) && is_digit(*r->p) && n < 10000)
        n = n * 10 + (unsigned)(*r->p++ - '0');
    if (n > r->groups)
        bad(r, "it refers to a group that is not there");
    cfg_buf_printf(r->out, "\\g{%u}", n);
}

/* NAME> : letters, digits, _ and $ (which PCRE2 has not). */
static void group_name(struct reader *r)
{
    const char *name = r->p;
    while (more(r) && (is_letter(*r->p) || *r->p == '_' || (r->p > name && is_digit(*r->p))))
        r->p++;
    if (r->p == name || r->p - name > 32 || !more(r) || *r->p != '>') {
        bad(r, "a group's name is at most 32 letters, digits and _");
        return;
    }
    cfg_buf_put(r->out, name, (size_t)(r->p - name));
    r->p++;
}

static void escape(struct reader *r)
{
    r->p++;
    if (!more(r)) {
        bad(r, "it ends with a backslash");
        return;
    }
    char c = *r->p;
    if (c >= '1' && c <= '9') {
        back_reference(r);
        return;
    }
    r->p++;
    if (c == 'b' || c == 'B') {
        cfg_buf_printf(r->out, "\\%c", c);
    } else if (c == 'k' && r->named && more(r) && *r->p == '<') {
        r->p++;
        cfg_buf_puts(r->out, "\\k<");
        group_name(r);
        cfg_buf_puts(r->out, ">");
    } else if (!put_set(r, c, false)) {
        put_char(r, read_escaped(r, c));
    }
}

static void open_group(struct reader *r)
{
    static const char *const plain[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!"};
    if (++r->depth > 200)
        bad(r, "groups are nested too deep");
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (at(r, plain[i])) {
            cfg_buf_puts(r->out, plain[i]);
            r->p += strlen(plain[i]);
            return;
        }
    if (at(r, "(?<")) {
        r->p += 3;
        cfg_buf_puts(r->out, "(?<");
        group_name(r);
        cfg_buf_puts(r->out, ">");
    } else if (at(r, "(?")) {
        bad(r, "this kind of group is none of ECMA-262's");
    } else {
        cfg_buf_putc(r->out, '(');
        r->p++;
    }
}

/* {n}, {n,} or {n,m}: its length with the braces, 0 when it is none. */
static size_t counted(const struct reader *r)
{
    const char *p = r->p;
    if (p >= r->end || *p != '{')
        return 0;
    const char *digits = ++p;
    while (p < r->end && is_digit(*p))
        p++;
    if (p == digits)
        return 0;
    if (p < r->end && *p == ',')
        for (p++; p < r->end && is_digit(*p);)
            p++;
    return p < r->end && *p == '}' ? (size_t)(p - r->p) + 1 : 0;
}

static void quantifier(struct reader *r, bool quantifiable)
{
    size_t n = *r->p == '{' ? counted(r) : 1;
    if (!quantifiable) {
        bad(r, "there is nothing to repeat here");
        return;
    }
    cfg_buf_put(r->out, r->p, n);
    r->p += n;
    if (more(r) && *r->p == '?') {
        cfg_buf_putc(r->out, '?');
        r->p++;
    }
}

/* One element; true when a quantifier may follow it. */
static bool element(struct reader *r, bool quantifiable)
{
    char c = *r->p;
    if (strchr("*+?", c) || counted(r)) {
        quantifier(r, quantifiable);
        return false;
    }
    switch (c) {
    case '\\': {
        bool assertion = r->end - r->p > 1 && (r->p[1] == 'b' || r->p[1] == 'B');
        escape(r);
        return !assertion;
    }
    case '[':
        class(r);
        return true;
    case '(':
        open_group(r);
        return false;
    case ')':
        if (r->depth == 0)
            bad(r, "a ) has no (");
        r->depth--;
        cfg_buf_putc(r->out, c);
        r->p++;
        return true;
    case '.':
        cfg_buf_puts(r->out, "[^\\n\\r\\x{2028}\\x{2029}]");
        r->p++;
        return true;
    case '^':
    case '$':
    case '|':
        cfg_buf_putc(r->out, c);
        r->p++;
        return false;
    default:
        if (is_letter(c) || is_digit(c)) {
            cfg_buf_putc(r->out, c);
            r->p++;
        } else {
            put_char(r, next_char(r));
        }
        return true;
    }
}

/* References may come before their groups, so these are counted first. */
static void count_groups(struct reader *r)
{
    bool in_class = false;
    for (const char *p = r->start; p < r->end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '[')
            in_class = true;
        else if (*p == ']')
            in_class = false;
        else if (*p == '(' && !in_class) {
            bool name = r->end - p > 3 && p[1] == '?' && p[2] == '<' && p[3] != '=' && p[3] != '!';
            r->named = r->named || name;
            r->groups += name || !(r->end - p > 1 && p[1] == '?');
        }
    }
}

const char *cfg_schema_pattern_translate(struct cfg_buf *out, struct cfg_slice text, size_t *offset)
{
    struct reader r = {.out = out, .p = text.ptr, .start = text.ptr, .end = text.ptr + text.len};
    bool quantifiable = false;
    count_groups(&r);
    while (more(&r))
        quantifiable = element(&r, quantifiable);
    if (r.why == NULL && r.depth > 0)
        bad(&r, "a ( is not closed");
    *offset = (size_t)(r.p - r.start);
    return r.why;
}
