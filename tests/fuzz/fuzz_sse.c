/* The reader of server-sent events: how the bytes are split must not matter, and what the writer wrote must be read
 * back. */
#include "proto/sse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MAX_EVENT = 4096 };

static void record(const struct cfg_sse_event *ev, void *arg)
{
    struct cfg_buf *log = arg;
    cfg_buf_printf(log, "%zu %zu %zu ", ev->event.len, ev->data.len, ev->id.len);
    cfg_buf_put(log, ev->event.ptr, ev->event.len);
    cfg_buf_put(log, ev->data.ptr, ev->data.len);
    cfg_buf_put(log, ev->id.ptr, ev->id.len);
}

static int read_in_pieces(struct cfg_buf *log, long *retry_ms, const uint8_t *bytes, size_t n, size_t step)
{
    struct cfg_sse_reader r;
    cfg_sse_reader_init(&r, MAX_EVENT);
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0; at += step)
        rc = cfg_sse_reader_feed(&r, (struct cfg_slice){(const char *)bytes + at, n - at < step ? n - at : step},
                                 record, log);
    *retry_ms = r.retry_ms;
    cfg_sse_reader_finish(&r);
    return rc;
}

static void check_splits(const uint8_t *bytes, size_t n)
{
    struct cfg_buf whole, pieces;
    long retry_whole, retry_pieces;
    cfg_buf_init(&whole, SIZE_MAX / 2);
    int rc = read_in_pieces(&whole, &retry_whole, bytes, n, n);
    for (size_t step = 1; step < 8; step++) {
        cfg_buf_init(&pieces, SIZE_MAX / 2);
        int again = read_in_pieces(&pieces, &retry_pieces, bytes, n, step);
        /* A comment longer than the limit passes when it comes whole and fails when it must be kept; nothing else may
         * differ. */
        if (rc == 0 && again == 0 &&
            (retry_whole != retry_pieces || !cfg_slice_eq(cfg_buf_slice(&whole), cfg_buf_slice(&pieces))))
            abort();
        if (rc != again && n <= MAX_EVENT)
            abort();
        cfg_buf_finish(&pieces);
    }
    cfg_buf_finish(&whole);
}

static void expect_same(const struct cfg_sse_event *ev, void *arg)
{
    struct cfg_buf *expected = arg;
    if (!cfg_slice_eq(ev->data, cfg_buf_slice(expected)) || !cfg_slice_eq_str(ev->event, "patch"))
        abort();
    cfg_buf_puts(expected, "seen");
}

/* data as it must arrive: every line break as LF. */
static void check_round_trip(const uint8_t *bytes, size_t n)
{
    struct cfg_buf text, expected;
    struct cfg_sse_reader r;
    long before;
    cfg_buf_init(&text, SIZE_MAX / 2);
    cfg_buf_init(&expected, SIZE_MAX / 2);
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n' && i > 0 && bytes[i - 1] == '\r')
            continue;
        cfg_buf_putc(&expected, bytes[i] == '\r' ? '\n' : (char)bytes[i]);
    }
    before = (long)expected.len;
    cfg_sse_put(&text, "patch", "1-2", (struct cfg_slice){(const char *)bytes, n});
    cfg_sse_reader_init(&r, n + 16);
    if (cfg_sse_reader_feed(&r, cfg_buf_slice(&text), expect_same, &expected) != 0 ||
        (long)expected.len != before + 4) /* exactly one event */
        abort();
    cfg_sse_reader_finish(&r);
    cfg_buf_finish(&text);
    cfg_buf_finish(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0)
        return 0;
    check_splits(bytes, n);
    check_round_trip(bytes, n);
    return 0;
}
