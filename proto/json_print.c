/* JSON text out of a tree: compact, indented, or canonical (RFC 8785). Recursive by nesting, which the reader bounds.
 */
#include "proto/json.h"
#include "proto/json_number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum style { COMPACT, PRETTY, CANONICAL };

static void print_value(struct cfg_buf *out, const cJSON *v, enum style style, unsigned depth);

/* RFC 8785 §3.2.2.2: two-character escapes where JSON has them, \u00xx in lower case for other controls, all else as it
 * is. */
static void put_escaped(struct cfg_buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";
    const char *found = c ? strchr(from, c) : NULL;
    char text[6] = {'\\', found ? into[found - from] : 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    cfg_buf_put(out, text, found ? 2 : 6);
}

void cfg_json_put_string(struct cfg_buf *out, struct cfg_slice s)
{
    size_t plain = 0; /* bytes before this one are out */
    cfg_buf_putc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0xC0)
            continue;
        cfg_buf_put(out, s.ptr + plain, i - plain);
        if (c == 0xC0) { /* C0 80 is the tree's spelling of U+0000; C0 begins nothing else */
            i++;
            c = 0;
        }
        put_escaped(out, c);
        plain = i + 1;
    }
    if (plain < s.len)
        cfg_buf_put(out, s.ptr + plain, s.len - plain);
    cfg_buf_putc(out, '"');
}

static void put_number(struct cfg_buf *out, double d, enum style style)
{
    char text[CFG_NUMBER_TEXT];
    if (isfinite(d))
        cfg_buf_put(out, text, cfg_number_format(text, d, style != CANONICAL));
    else
        cfg_buf_puts(out, "null");
}

void cfg_json_put_number(struct cfg_buf *out, double d)
{
    put_number(out, d, COMPACT);
}

/* What stands before a member or item: the comma, and in pretty text the line break. */
static void put_separator(struct cfg_buf *out, bool first, enum style style, unsigned depth)
{
    if (!first)
        cfg_buf_putc(out, ',');
    if (style != PRETTY)
        return;
    cfg_buf_putc(out, '\n');
    for (unsigned i = 0; i < depth; i++)
        cfg_buf_puts(out, "  ");
}

static void print_member(struct cfg_buf *out, const cJSON *member, enum style style, unsigned depth)
{
    cfg_json_put_string(out, cfg_slice_str(member->string));
    cfg_buf_puts(out, style == PRETTY ? ": " : ":");
    print_value(out, member, style, depth);
}

static void print_sorted_members(struct cfg_buf *out, const cJSON *object, unsigned depth)
{
    const cJSON **members = NULL;
    size_t n = 0;
    if (cfg_json_sorted(&members, &n, object)) {
        if (out->failed == 0)
            out->failed = CFG_E_NOMEM;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        put_separator(out, i == 0, CANONICAL, depth);
        print_member(out, members[i], CANONICAL, depth);
    }
    free(members);
}

static void print_container(struct cfg_buf *out, const cJSON *v, enum style style, unsigned depth)
{
    bool is_object = cJSON_IsObject(v);
    cfg_buf_putc(out, is_object ? '{' : '[');
    if (is_object && style == CANONICAL)
        print_sorted_members(out, v, depth + 1);
    else
        for (const cJSON *item = v->child; item; item = item->next) {
            put_separator(out, item == v->child, style, depth + 1);
            if (is_object)
                print_member(out, item, style, depth + 1);
            else
                print_value(out, item, style, depth + 1);
        }
    if (v->child)
        put_separator(out, true, style, depth);
    cfg_buf_putc(out, is_object ? '}' : ']');
}

static void print_value(struct cfg_buf *out, const cJSON *v, enum style style, unsigned depth)
{
    if (cJSON_IsObject(v) || cJSON_IsArray(v))
        print_container(out, v, style, depth);
    else if (cJSON_IsString(v))
        cfg_json_put_string(out, cfg_slice_str(v->valuestring));
    else if (cJSON_IsNumber(v))
        put_number(out, v->valuedouble, style);
    else if (cJSON_IsBool(v))
        cfg_buf_puts(out, cJSON_IsTrue(v) ? "true" : "false");
    else
        cfg_buf_puts(out, "null");
}

void cfg_json_print(struct cfg_buf *out, const cJSON *v)
{
    print_value(out, v, COMPACT, 0);
}

void cfg_json_print_pretty(struct cfg_buf *out, const cJSON *v)
{
    print_value(out, v, PRETTY, 0);
}

void cfg_json_canonical(struct cfg_buf *out, const cJSON *v)
{
    print_value(out, v, CANONICAL, 0);
}
