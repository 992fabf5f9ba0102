/* Operators on text. A position counts code points, as flagd does; U+0000 is an ordinary one. */
#include "flags/logic.h"
#include "proto/json_number.h"

#include <string.h>

/* --- text of values --- */

static size_t put_text(struct logic_run *r, char *out, size_t room, const struct cfg_flag_value *v);

/* Array.toString(): items with commas between them. The length it needs; writes what fits. */
static size_t put_array(struct logic_run *r, char *out, size_t room, const struct cfg_flag_value *v)
{
    size_t n = 0;
    for (uint32_t i = 0; i < v->len && !r->error; i++) {
        if (i > 0 && n < room)
            out[n] = ',';
        n += i > 0;
        n += put_text(r, n < room ? out + n : NULL, n < room ? room - n : 0, &v->as.items[i]);
        (void)cfg_logic_charge(r, 1); /* its failure ends the loop */
    }
    return n;
}

static size_t put_bytes(char *out, size_t room, const char *bytes, size_t n)
{
    if (room > 0 && n > 0)
        memcpy(out, bytes, n < room ? n : room);
    return n;
}

static size_t put_text(struct logic_run *r, char *out, size_t room, const struct cfg_flag_value *v)
{
    char number[CFG_NUMBER_TEXT];
    switch (v->kind) {
    case CFG_VALUE_STRING:
        return put_bytes(out, room, v->as.string, v->len);
    case CFG_VALUE_NUMBER:
        return put_bytes(out, room, number, cfg_number_format(number, v->as.number, false));
    case CFG_VALUE_BOOL:
        return put_bytes(out, room, v->as.boolean ? "true" : "false", v->as.boolean ? 4 : 5);
    case CFG_VALUE_ARRAY:
        return put_array(r, out, room, v);
    case CFG_VALUE_OBJECT:
        return put_bytes(out, room, "[object Object]", 15);
    case CFG_VALUE_NULL:
        break;
    }
    return 0;
}

struct cfg_slice cfg_logic_text(struct logic_run *r, const struct cfg_flag_value *v)
{
    if (v->kind == CFG_VALUE_STRING)
        return (struct cfg_slice){v->as.string, v->len};
    size_t n = put_text(r, r->scratch + r->used, r->size - r->used, v);
    if (n > r->size - r->used) {
        (void)cfg_logic_fail(r, LOGIC_LIMIT);
        return CFG_SLICE_LIT("");
    }
    struct cfg_slice text = {r->scratch + r->used, n};
    r->used += n;
    return text;
}

/* --- cat --- */

/* Operands may build texts of their own in the scratch memory, so the pieces are gathered behind them at the end: what
 * an operand built last is often just where it must be. */
static struct cfg_flag_value eval_cat(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    struct cfg_slice whole = {r->scratch + r->used, 0};
    for (uint32_t i = 0; i < a.n && !r->error; i++) {
        struct cfg_flag_value v = cfg_logic_arg(r, &a, i);
        if (r->error)
            break;
        if (whole.ptr + whole.len != r->scratch + r->used) { /* an operand built something behind what we have */
            if (whole.len > r->size - r->used)
                return cfg_logic_fail(r, LOGIC_LIMIT);
            memcpy(r->scratch + r->used, whole.ptr, whole.len);
            whole.ptr = r->scratch + r->used;
            r->used += whole.len;
        }
        size_t room = r->size - r->used, n = put_text(r, r->scratch + r->used, room, &v);
        if (n > room)
            return cfg_logic_fail(r, LOGIC_LIMIT);
        r->used += n;
        whole.len += n;
    }
    return r->error ? value_null() : value_string(whole.ptr, whole.len);
}

/* --- substr --- */

static size_t code_points(struct cfg_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

/* The byte at which code point `index` begins, the end beyond the last. */
static size_t byte_of(struct cfg_slice s, size_t index)
{
    size_t at = 0;
    for (; at < s.len && index > 0; index--) {
        at++;
        while (at < s.len && ((unsigned char)s.ptr[at] & 0xC0) == 0x80)
            at++;
    }
    return at;
}

/* A position from a number: negative ones count from the end. */
static size_t position(double d, size_t length)
{
    if (d < 0)
        return d + (double)length > 0 ? (size_t)(d + (double)length) : 0;
    return d < (double)length ? (size_t)d : length;
}

static struct cfg_flag_value eval_substr(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    if (a.n < 2)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    struct cfg_flag_value text = cfg_logic_arg(r, &a, 0), from = cfg_logic_arg(r, &a, 1),
                          count = cfg_logic_arg(r, &a, 2);
    struct cfg_slice s = cfg_logic_text(r, &text);
    double first, length = 0;
    if (!cfg_logic_charge(r, s.len / 64))
        return value_null();
    if (r->error || !cfg_logic_to_number(&first, &from) || !cfg_logic_to_number(&length, &count))
        return cfg_logic_fail(r, LOGIC_NAN);
    size_t all = code_points(s), start = position(first, all), end = all;
    if (count.kind != CFG_VALUE_NULL && length < 0)
        end = position(length, all);
    else if (count.kind != CFG_VALUE_NULL && length < (double)(all - start))
        end = start + (size_t)length;
    if (end <= start)
        return value_string("", 0);
    size_t low = byte_of(s, start), high = byte_of(s, end);
    return value_string(s.ptr + low, high - low);
}

/* --- in, starts_with, ends_with --- */

static bool contains(struct cfg_slice text, struct cfg_slice part)
{
    return part.len == 0 || (part.len <= text.len && memmem(text.ptr, text.len, part.ptr, part.len) != NULL);
}

static struct cfg_flag_value eval_in(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    struct cfg_flag_value part = cfg_logic_arg(r, &a, 0), all = cfg_logic_arg(r, &a, 1);
    if (all.kind == CFG_VALUE_STRING) {
        struct cfg_slice text = cfg_logic_text(r, &part);
        if (!cfg_logic_charge(r, all.len / 64))
            return value_null();
        return value_bool(!r->error && contains((struct cfg_slice){all.as.string, all.len}, text));
    }
    if (all.kind != CFG_VALUE_ARRAY)
        return value_bool(false);
    if (!cfg_logic_charge(r, all.len))
        return value_null();
    for (uint32_t i = 0; i < all.len; i++) {
        const struct cfg_flag_value *item = &all.as.items[i];
        bool texts = part.kind == CFG_VALUE_STRING && item->kind == CFG_VALUE_STRING && item->len == part.len;
        if (texts && !cfg_logic_charge(r, part.len / 64))
            return value_null();
        if (cfg_logic_same(&part, item))
            return value_bool(true);
    }
    return value_bool(false);
}

/* Null, not false, when an operand is no string: a flag then falls back to its default variant. */
static struct cfg_flag_value eval_affix(struct logic_run *r, const struct logic_node *node)
{
    struct logic_args a = cfg_logic_args(r, node);
    if (a.n != 2)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    struct cfg_flag_value text = cfg_logic_arg(r, &a, 0), part = cfg_logic_arg(r, &a, 1);
    if (text.kind != CFG_VALUE_STRING || part.kind != CFG_VALUE_STRING)
        return cfg_logic_fail(r, LOGIC_BAD_ARGUMENTS);
    if (part.len > text.len)
        return value_bool(false);
    size_t at = node->op == OP_STARTS_WITH ? 0 : text.len - part.len;
    return value_bool(memcmp(text.as.string + at, part.as.string, part.len) == 0);
}

struct cfg_flag_value cfg_logic_string(struct logic_run *r, const struct logic_node *node)
{
    switch (node->op) {
    case OP_CAT:
        return eval_cat(r, node);
    case OP_SUBSTR:
        return eval_substr(r, node);
    case OP_IN:
        return eval_in(r, node);
    default:
        return eval_affix(r, node);
    }
}
