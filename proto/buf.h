/* Two byte types: cfg_slice borrows, cfg_buf owns and grows up to a maximum that is mandatory at init.
 * cfg_bytes is an immutable, reference-counted block: one event's bytes shared by every connection.
 * Not thread-safe: one owner, one thread (cfg_bytes too: its count is plain). */
#ifndef CFG_PROTO_BUF_H
#define CFG_PROTO_BUF_H

#include "cfg/error.h"
#include <stddef.h>
#include <stdint.h>

struct cfg_slice {
    const char *ptr; /* borrowed; need not be NUL-terminated */
    size_t len;
};

#define CFG_SLICE_LIT(s) ((struct cfg_slice){(s), sizeof(s) - 1})
struct cfg_slice cfg_slice_str(const char *s); /* borrowed; NULL gives the empty slice */
bool cfg_slice_eq(struct cfg_slice a, struct cfg_slice b);
bool cfg_slice_eq_str(struct cfg_slice a, const char *s);
bool cfg_slice_starts(struct cfg_slice s, const char *prefix);
/* A NUL-terminated copy, returned-owned (free); NULL when memory is out. */
char *cfg_slice_dup(struct cfg_slice s);

/* data is always NUL-terminated behind len once anything was appended. A failed append sets `failed` (sticky) and
 * changes nothing else, so a run of appends may be checked once at its end with cfg_buf_status. */
struct cfg_buf {
    char *data;
    size_t len, cap, max;
    int failed; /* 0, CFG_E_NOMEM or CFG_E_LIMIT */
};

void cfg_buf_init(struct cfg_buf *b, size_t max);
void cfg_buf_finish(struct cfg_buf *b); /* frees; takes a zeroed struct */
void cfg_buf_clear(struct cfg_buf *b);  /* keeps the memory, clears `failed` */
void cfg_buf_put(struct cfg_buf *b, const void *bytes, size_t n);
void cfg_buf_puts(struct cfg_buf *b, const char *s);
void cfg_buf_putc(struct cfg_buf *b, char c);
void cfg_buf_printf(struct cfg_buf *b, const char *format, ...) CFG_PRINTF(2, 3);
void cfg_buf_consume(struct cfg_buf *b, size_t n); /* drops n bytes from the front */
int cfg_buf_status(const struct cfg_buf *b);       /* 0 or the sticky failure */
struct cfg_slice cfg_buf_slice(const struct cfg_buf *b);
/* The bytes as a NUL-terminated string, returned-owned (free); *b is empty afterwards. NULL when the buffer failed. */
char *cfg_buf_steal(struct cfg_buf *b);

struct cfg_bytes {
    uint32_t refs;
    size_t len;
    char data[]; /* NUL-terminated behind len */
};

struct cfg_bytes *
cfg_bytes_new(struct cfg_slice s); /* copied; returned-owned with one reference, NULL without memory */
struct cfg_bytes *cfg_bytes_ref(struct cfg_bytes *b);   /* NULL stays NULL */
struct cfg_bytes *cfg_bytes_unref(struct cfg_bytes *b); /* always returns NULL: b = cfg_bytes_unref(b) */
struct cfg_slice cfg_bytes_slice(const struct cfg_bytes *b);

#endif
