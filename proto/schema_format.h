/* Character tests that the formats share; ASCII only, whatever the locale. Internal to schema_format*.c. Pure. */
#ifndef CFG_PROTO_SCHEMA_FORMAT_H
#define CFG_PROTO_SCHEMA_FORMAT_H

#include "proto/buf.h"

static inline bool format_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool format_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool format_is_hex(char c)
{
    return format_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* A whole number without leading zeros at *i, which moves behind it. */
static inline bool format_number(struct cfg_slice s, size_t *i)
{
    size_t start = *i;
    while (*i < s.len && format_is_digit(s.ptr[*i]))
        (*i)++;
    return *i > start && (s.ptr[start] != '0' || *i == start + 1);
}

/* The slice between two offsets. */
static inline struct cfg_slice format_part(struct cfg_slice s, size_t from, size_t to)
{
    return (struct cfg_slice){s.ptr + from, to - from};
}

#endif
