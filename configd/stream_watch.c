/* GET /v1/watch: the feed of changes over a stream. */
#include "configd/app.h"
#include "configd/stream_internal.h"

#include <stdlib.h>
#include <string.h>

enum { NAMESPACES_MAX = 64 };

struct watch_stream {
    struct cfg_stream stream; /* first */
    struct cfg_feed_reader reader;
    size_t n; /* namespaces; 0: all */
    char namespaces[][CFG_LIMIT_NAME + 1];
};

static struct watch_stream *of_reader(const struct cfg_feed_reader *r)
{
    return (struct watch_stream *)((uintptr_t)r - offsetof(struct watch_stream, reader));
}

static bool reader_send(struct cfg_feed_reader *r, struct cfg_bytes *frame)
{
    return cfg_pipe_send(&of_reader(r)->stream.pipe, frame);
}

static bool reader_wants(const struct cfg_feed_reader *r, const char *ns)
{
    const struct watch_stream *w = of_reader(r);
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->namespaces[i], ns) == 0)
            return true;
    return w->n == 0;
}

static void watch_join(struct cfg_stream *s, struct cfg_rev have)
{
    struct watch_stream *w = (struct watch_stream *)s;
    cfg_feed_read(s->all->feed, &w->reader, have);
}

static void watch_drained(struct cfg_stream *s)
{
    cfg_feed_drained(&((struct watch_stream *)s)->reader);
}

static void watch_leave(struct cfg_stream *s)
{
    cfg_feed_leave(&((struct watch_stream *)s)->reader);
}

static const struct cfg_stream_kind watch_kind = {watch_join, watch_drained, watch_leave};

static int read_watch(struct watch_stream **out, struct cfg_stream_gate *gate, const struct cfg_call *c,
                      struct cfg_error *err)
{
    const char *names[NAMESPACES_MAX];
    size_t n = cfg_call_query_all(c, "namespace", names, NAMESPACES_MAX);
    if (n > NAMESPACES_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "a watch names at most %d namespaces", NAMESPACES_MAX);
    for (size_t i = 0; i < n; i++) {
        int rc = cfg_check_name("namespace", cfg_slice_str(names[i]), err);
        if (rc != 0)
            return rc;
    }
    struct cfg_stream_query q = {.last_event_id = cfg_call_header(c, "Last-Event-ID")};
    struct cfg_stream_request r;
    int rc = cfg_stream_request_read(&r, &q, err);
    if (rc != 0)
        return rc;
    struct watch_stream *w = calloc(1, sizeof *w + n * sizeof w->namespaces[0]);
    if (w == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a stream");
    for (size_t i = 0; i < n; i++)
        memcpy(w->namespaces[i], names[i], strlen(names[i])); /* a checked name, zeroes behind it */
    w->n = n;
    *gate = (struct cfg_stream_gate){.has_token = !cfg_rev_is_none(r.have), .token = r.have};
    w->reader.send = reader_send;
    w->reader.wants = reader_wants;
    *out = w;
    return 0;
}

void cfg_stream_watch(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct watch_stream *w = NULL;
    struct cfg_stream_gate gate = {0};
    if (app->streams == NULL) {
        cfg_stream_refuse(c);
        return;
    }
    if (read_watch(&w, &gate, c, &err) != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    w->stream.all = app->streams;
    cfg_stream_start(app->streams, &w->stream, &watch_kind, c, &gate);
}
