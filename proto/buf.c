#include "proto/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cfg_slice cfg_slice_str(const char *s)
{
    return (struct cfg_slice){s ? s : "", s ? strlen(s) : 0};
}

bool cfg_slice_eq(struct cfg_slice a, struct cfg_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool cfg_slice_eq_str(struct cfg_slice a, const char *s)
{
    return cfg_slice_eq(a, cfg_slice_str(s));
}

bool cfg_slice_starts(struct cfg_slice s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.ptr, prefix, n) == 0;
}

char *cfg_slice_dup(struct cfg_slice s)
{
    char *copy = malloc(s.len + 1);
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

void cfg_buf_init(struct cfg_buf *b, size_t max)
{
    *b = (struct cfg_buf){.max = max};
}

void cfg_buf_finish(struct cfg_buf *b)
{
    free(b->data);
    *b = (struct cfg_buf){0};
}

void cfg_buf_clear(struct cfg_buf *b)
{
    b->len = 0;
    b->failed = 0;
    if (b->data)
        b->data[0] = '\0';
}

/* Room for n more bytes and the NUL; false leaves the reason in b->failed. */
static bool reserve(struct cfg_buf *b, size_t n)
{
    if (b->failed)
        return false;
    if (n > b->max || b->len > b->max - n) {
        b->failed = CFG_E_LIMIT;
        return false;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        b->failed = CFG_E_NOMEM;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void cfg_buf_put(struct cfg_buf *b, const void *bytes, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n > 0)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void cfg_buf_puts(struct cfg_buf *b, const char *s)
{
    cfg_buf_put(b, s, strlen(s));
}

void cfg_buf_putc(struct cfg_buf *b, char c)
{
    cfg_buf_put(b, &c, 1);
}

void cfg_buf_printf(struct cfg_buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && reserve(b, (size_t)n)) {
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void cfg_buf_consume(struct cfg_buf *b, size_t n)
{
    if (n == 0 || b->len == 0)
        return;
    if (n > b->len)
        n = b->len;
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
    b->data[b->len] = '\0';
}

int cfg_buf_status(const struct cfg_buf *b)
{
    return b->failed;
}

struct cfg_slice cfg_buf_slice(const struct cfg_buf *b)
{
    return (struct cfg_slice){b->data ? b->data : "", b->len};
}

char *cfg_buf_steal(struct cfg_buf *b)
{
    char *data = NULL;
    if (!b->failed && reserve(b, 0)) {
        data = b->data;
        data[b->len] = '\0';
        *b = (struct cfg_buf){.max = b->max};
    }
    return data;
}

struct cfg_bytes *cfg_bytes_new(struct cfg_slice s)
{
    struct cfg_bytes *b = malloc(sizeof *b + s.len + 1);
    if (b == NULL)
        return NULL;
    b->refs = 1;
    b->len = s.len;
    if (s.len > 0)
        memcpy(b->data, s.ptr, s.len);
    b->data[s.len] = '\0';
    return b;
}

struct cfg_bytes *cfg_bytes_ref(struct cfg_bytes *b)
{
    if (b)
        b->refs++;
    return b;
}

struct cfg_bytes *cfg_bytes_unref(struct cfg_bytes *b)
{
    if (b && --b->refs == 0)
        free(b);
    return NULL;
}

struct cfg_slice cfg_bytes_slice(const struct cfg_bytes *b)
{
    return b ? (struct cfg_slice){b->data, b->len} : (struct cfg_slice){"", 0};
}
