/* Server-sent events: the examples and rules of WHATWG HTML §9.2.6, every split of the bytes, limits, and the writer.
 */
#include "proto/sse.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Writes each event as "event|data|id;" so that a test compares one string. */
static void collect(const struct cfg_sse_event *ev, void *arg)
{
    struct cfg_buf *out = arg;
    cfg_buf_put(out, ev->event.ptr, ev->event.len);
    cfg_buf_putc(out, '|');
    cfg_buf_put(out, ev->data.ptr, ev->data.len);
    cfg_buf_putc(out, '|');
    cfg_buf_put(out, ev->id.ptr, ev->id.len);
    cfg_buf_putc(out, ';');
}

/* Feeds all of text in pieces of `step` bytes, each from memory of its own so that reading beyond it is seen. */
static void feed(struct cfg_sse_reader *r, struct cfg_slice text, size_t step, struct cfg_buf *out)
{
    for (size_t at = 0; at < text.len; at += step) {
        size_t n = text.len - at < step ? text.len - at : step;
        char *piece = malloc(n);
        memcpy(piece, text.ptr + at, n);
        cr_assert_eq(cfg_sse_reader_feed(r, (struct cfg_slice){piece, n}, collect, out), 0);
        free(piece);
    }
}

static void reads(struct cfg_slice text, const char *expected)
{
    for (size_t step = 1; step <= text.len; step++) {
        struct cfg_sse_reader r;
        struct cfg_buf out;
        cfg_sse_reader_init(&r, 1000);
        cfg_buf_init(&out, 10000);
        feed(&r, text, step, &out);
        cr_assert(cfg_slice_eq_str(cfg_buf_slice(&out), expected), "in steps of %zu: %.*s, not %s", step, (int)out.len,
                  out.data, expected);
        cfg_sse_reader_finish(&r);
        cfg_buf_finish(&out);
    }
}

#define READS(text, expected) reads(CFG_SLICE_LIT(text), expected)

Test(sse, one_event)
{
    READS("data: hello\n\n", "message|hello|;");
    READS("event: view\nid: 1-7\ndata: {}\n\n", "view|{}|1-7;");
}

Test(sse, line_ends)
{
    READS("data: a\r\ndata: b\r\n\r\n", "message|a\nb|;");
    READS("data: a\rdata: b\r\r", "message|a\nb|;");
    READS("data: a\n\ndata: b\r\n\rdata: c\r\r\n", "message|a|;message|b|;message|c|;");
}

Test(sse, examples_of_the_standard)
{
    READS("data: YHOO\ndata: +2\ndata: 10\n\n", "message|YHOO\n+2\n10|;");
    READS(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
          "message|first event|1;message|second event|;message| third event|;");
    READS("data\n\ndata\ndata\n\ndata:", "message||;message|\n|;");
    READS("data:test\n\ndata: test\n\n", "message|test|;message|test|;");
}

Test(sse, an_id_stays_until_changed)
{
    READS("id: 5\ndata: a\n\ndata: b\n\n", "message|a|5;message|b|5;");
    READS("id: 5\n\ndata: b\n\n", "message|b|5;");
    READS("id: 5\0\ndata: b\n\n", "message|b|;");
}

Test(sse, what_is_ignored)
{
    READS("nonsense\nDATA: x\ndata : x\n:data: x\nevent: gone\n\ndata: y\n\n", "message|y|;");
    READS("data: never ended\n", "");
    READS("data: never ended", "");
}

Test(sse, a_colon_in_the_value_stays)
{
    READS("data: a: b\ndata::c\n\n", "message|a: b\n:c|;");
}

Test(sse, byte_order_mark_only_at_the_start)
{
    READS("\xEF\xBB\xBF"
          "data: a\n\n\xEF\xBB\xBF"
          "data: b\n\n",
          "message|a|;");
    READS("\xEF\xBB\xBF\xEF\xBB\xBF"
          "data: a\n\n",
          "");
}

Test(sse, retry)
{
    struct cfg_sse_reader r;
    struct cfg_buf out;
    cfg_sse_reader_init(&r, 100);
    cfg_buf_init(&out, 100);
    cr_assert_eq(r.retry_ms, -1);
    feed(&r, CFG_SLICE_LIT("retry: 1000\n"), 100, &out);
    cr_assert_eq(r.retry_ms, 1000);
    feed(&r, CFG_SLICE_LIT("retry: 1x\nretry: -1\nretry:\nretry: 99999999999999999999\n"), 100, &out);
    cr_assert_eq(r.retry_ms, 1000);
    feed(&r, CFG_SLICE_LIT("retry: 0\n"), 100, &out);
    cr_assert_eq(r.retry_ms, 0);
    cfg_sse_reader_finish(&r);
    cfg_buf_finish(&out);
}

static void limited(const char *text, int expected)
{
    for (size_t step = 1; step < 40; step += 38) {
        struct cfg_sse_reader r;
        struct cfg_buf out;
        cfg_sse_reader_init(&r, 8);
        cfg_buf_init(&out, 1000);
        int rc = 0;
        for (size_t at = 0, n = strlen(text); at < n; at += step)
            rc = cfg_sse_reader_feed(&r, (struct cfg_slice){text + at, n - at < step ? n - at : step}, collect, &out);
        cr_assert_eq(rc, expected, "%s in steps of %zu", text, step);
        if (expected != 0) /* and it stays so */
            cr_assert_eq(cfg_sse_reader_feed(&r, CFG_SLICE_LIT("\n\ndata: a\n\n"), collect, &out), expected);
        cfg_sse_reader_finish(&r);
        cfg_buf_finish(&out);
    }
}

Test(sse, limits)
{
    limited("data: 12345678\n\n", 0);
    limited("data: 123456789\n\n", CFG_E_LIMIT);
    limited("data: 1234\ndata: 567\n\n", 0);
    limited("data: 1234\ndata: 5678\n\n", CFG_E_LIMIT);
    limited("data: 12345678\n\ndata: 12345678\n\n", 0);
    limited("event: 123456789\n", CFG_E_LIMIT);
    limited("id: 123456789\n", CFG_E_LIMIT);
    struct cfg_sse_reader r;
    cfg_sse_reader_init(&r, 8);
    static char endless[100]; /* a line without an end is bounded too */
    memset(endless, 'x', sizeof endless);
    cr_assert_eq(cfg_sse_reader_feed(&r, (struct cfg_slice){endless, sizeof endless}, collect, NULL), CFG_E_LIMIT);
    cfg_sse_reader_finish(&r);
}

static void writes(const char *event, const char *id, struct cfg_slice data, const char *expected)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 1000);
    cfg_sse_put(&b, event, id, data);
    cr_assert(cfg_slice_eq_str(cfg_buf_slice(&b), expected), "%.*s", (int)b.len, b.data);
    cfg_buf_finish(&b);
}

Test(sse, writer)
{
    writes("view", "1-7", CFG_SLICE_LIT("{}"), "event: view\nid: 1-7\ndata: {}\n\n");
    writes("", "", CFG_SLICE_LIT("x"), "data: x\n\n");
    writes(NULL, NULL, (struct cfg_slice){NULL, 0}, "data: \n\n");
    writes("a", NULL, CFG_SLICE_LIT("1\n2\r\n3\r4"), "event: a\ndata: 1\ndata: 2\ndata: 3\ndata: 4\n\n");
    writes("a", NULL, CFG_SLICE_LIT("\n"), "event: a\ndata: \ndata: \n\n");
    writes("a", NULL, CFG_SLICE_LIT(" lead"), "event: a\ndata:  lead\n\n");
}

Test(sse, what_is_written_is_read)
{
    static const char data[] = " a:\n\nb\n data: c";
    struct cfg_buf b;
    cfg_buf_init(&b, 1000);
    cfg_sse_put(&b, "patch", "2-9", CFG_SLICE_LIT(data));
    cfg_sse_put(&b, "mark", "2-10", CFG_SLICE_LIT(""));
    reads(cfg_buf_slice(&b), "patch| a:\n\nb\n data: c|2-9;mark||2-10;");
    cfg_buf_finish(&b);
}
