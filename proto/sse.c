#include "proto/sse.h"

#include <limits.h>
#include <string.h>

enum { FIELD_ROOM = 16 }; /* the longest field name of the format, colon and space included */

void cfg_sse_reader_init(struct cfg_sse_reader *r, size_t max_event)
{
    *r = (struct cfg_sse_reader){.retry_ms = -1};
    cfg_buf_init(&r->line, max_event + FIELD_ROOM);
    cfg_buf_init(&r->data, max_event + 1); /* holds one line feed too many until dispatch */
    cfg_buf_init(&r->event, max_event);
    cfg_buf_init(&r->id, max_event);
}

void cfg_sse_reader_finish(struct cfg_sse_reader *r)
{
    cfg_buf_finish(&r->line);
    cfg_buf_finish(&r->data);
    cfg_buf_finish(&r->event);
    cfg_buf_finish(&r->id);
}

static int reader_status(const struct cfg_sse_reader *r)
{
    const struct cfg_buf *all[] = {&r->line, &r->data, &r->event, &r->id};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (cfg_buf_status(all[i]) != 0)
            return cfg_buf_status(all[i]);
    return 0;
}

static void replace(struct cfg_buf *b, struct cfg_slice value)
{
    cfg_buf_clear(b);
    cfg_buf_put(b, value.ptr, value.len);
}

/* "If the field value consists of only ASCII digits": anything else, and what a long cannot hold, is ignored. */
static void take_retry(struct cfg_sse_reader *r, struct cfg_slice value)
{
    long ms = 0;
    for (size_t i = 0; i < value.len; i++) {
        int digit = value.ptr[i] - '0';
        if (digit < 0 || digit > 9 || ms > (LONG_MAX - digit) / 10)
            return;
        ms = ms * 10 + digit;
    }
    if (value.len > 0)
        r->retry_ms = ms;
}

static void take_field(struct cfg_sse_reader *r, struct cfg_slice name, struct cfg_slice value)
{
    if (cfg_slice_eq_str(name, "data")) {
        cfg_buf_put(&r->data, value.ptr, value.len);
        cfg_buf_putc(&r->data, '\n');
    } else if (cfg_slice_eq_str(name, "event")) {
        replace(&r->event, value);
    } else if (cfg_slice_eq_str(name, "id")) {
        if (value.len == 0 || memchr(value.ptr, '\0', value.len) == NULL)
            replace(&r->id, value);
    } else if (cfg_slice_eq_str(name, "retry")) {
        take_retry(r, value);
    }
}

/* An empty line. Without a data field there is no event, though an id stays remembered. */
static void dispatch(struct cfg_sse_reader *r, cfg_sse_event_fn fn, void *arg)
{
    if (r->data.len > 0) {
        struct cfg_sse_event ev = {
            .event = r->event.len > 0 ? cfg_buf_slice(&r->event) : CFG_SLICE_LIT("message"),
            .data = {r->data.data, r->data.len - 1}, /* without the last line feed */
            .id = cfg_buf_slice(&r->id),
        };
        fn(&ev, arg);
    }
    cfg_buf_clear(&r->data);
    cfg_buf_clear(&r->event);
}

static void take_line(struct cfg_sse_reader *r, struct cfg_slice line, cfg_sse_event_fn fn, void *arg)
{
    if (!r->bom_checked && cfg_slice_starts(line, "\xEF\xBB\xBF")) {
        line.ptr += 3;
        line.len -= 3;
    }
    r->bom_checked = true;
    if (line.len == 0) {
        dispatch(r, fn, arg);
        return;
    }
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon == line.ptr)
        return; /* a comment */
    struct cfg_slice name = line, value = {"", 0};
    if (colon) {
        name.len = (size_t)(colon - line.ptr);
        value = (struct cfg_slice){colon + 1, line.len - name.len - 1};
        if (value.len > 0 && value.ptr[0] == ' ') {
            value.ptr++;
            value.len--;
        }
    }
    take_field(r, name, value);
}

/* Bytes up to the next CR or LF. */
static size_t line_length(struct cfg_slice s)
{
    const char *lf = memchr(s.ptr, '\n', s.len);
    size_t n = lf ? (size_t)(lf - s.ptr) : s.len;
    const char *cr = memchr(s.ptr, '\r', n);
    return cr ? (size_t)(cr - s.ptr) : n;
}

int cfg_sse_reader_feed(struct cfg_sse_reader *r, struct cfg_slice bytes, cfg_sse_event_fn fn, void *arg)
{
    int rc = reader_status(r);
    while (rc == 0 && bytes.len > 0) {
        if (r->skip_lf) { /* the CR before it has ended the line already */
            r->skip_lf = false;
            if (bytes.ptr[0] == '\n') {
                bytes.ptr++;
                bytes.len--;
                continue;
            }
        }
        struct cfg_slice line = {bytes.ptr, line_length(bytes)};
        bool ended = line.len < bytes.len;
        if (r->line.len > 0 || !ended) { /* a line that is whole in `bytes` is not copied */
            cfg_buf_put(&r->line, line.ptr, line.len);
            rc = cfg_buf_status(&r->line);
        }
        if (rc == 0 && ended) {
            r->skip_lf = bytes.ptr[line.len] == '\r';
            take_line(r, r->line.len > 0 ? cfg_buf_slice(&r->line) : line, fn, arg);
            cfg_buf_clear(&r->line);
            rc = reader_status(r);
        }
        size_t used = line.len + (ended ? 1 : 0);
        bytes.ptr += used;
        bytes.len -= used;
    }
    return rc;
}

static void put_field(struct cfg_buf *out, const char *name, struct cfg_slice value)
{
    cfg_buf_puts(out, name);
    cfg_buf_puts(out, ": ");
    cfg_buf_put(out, value.ptr, value.len);
    cfg_buf_putc(out, '\n');
}

void cfg_sse_put(struct cfg_buf *out, const char *event, const char *id, struct cfg_slice data)
{
    if (event && event[0])
        put_field(out, "event", cfg_slice_str(event));
    if (id && id[0])
        put_field(out, "id", cfg_slice_str(id));
    for (;;) { /* at least one line: an event without data would not be delivered */
        struct cfg_slice line = {data.ptr, data.len > 0 ? line_length(data) : 0};
        put_field(out, "data", line);
        if (line.len == data.len)
            break;
        size_t used = line.len + 1;
        if (data.ptr[line.len] == '\r' && used < data.len && data.ptr[used] == '\n')
            used++;
        data.ptr += used;
        data.len -= used;
    }
    cfg_buf_putc(out, '\n');
}
