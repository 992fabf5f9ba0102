/* GET …/ofrep/v1/events: tells OpenFeature clients that the flags of a namespace have moved, so that they evaluate
 * again.
 *
 * A stream begins behind the revision of Last-Event-ID or, on its first connection, of ?since=, which the bulk reply
 * put into its URL: what changed between that reply and the connection is told at once. Several changes that a slow
 * reader has not taken are told as one: an event says where the flags are now. */
#include "configd/app.h"
#include "configd/ofrep.h"
#include "configd/stream_internal.h"

#include <stdlib.h>
#include <string.h>

struct ofrep_stream {
    struct cfg_stream stream; /* first */
    struct cfg_flag_listener listener;
    struct cfg_flag_spaces *flags;
    struct cfg_rev told, since;
    char ns[CFG_LIMIT_NAME + 1];
};

static void pump(struct ofrep_stream *o)
{
    const struct cfg_flag_space *space = cfg_flag_spaces_get(o->flags, o->ns);
    struct cfg_ofrep_token token = {space->revision, o->since};
    if (cfg_rev_cmp(space->revision, o->told) <= 0 || !cfg_pipe_takes(&o->stream.pipe))
        return;
    struct cfg_bytes *frame = cfg_ofrep_event(&token, space->modified_s);
    if (frame == NULL)
        return; /* told with the next change */
    o->told = space->revision;
    (void)cfg_pipe_send(&o->stream.pipe, frame);
    (void)cfg_bytes_unref(frame);
}

static void flags_moved(struct cfg_flag_listener *l)
{
    pump((struct ofrep_stream *)((char *)l - offsetof(struct ofrep_stream, listener)));
}

static void ofrep_join(struct cfg_stream *s, struct cfg_rev have)
{
    struct ofrep_stream *o = (struct ofrep_stream *)s;
    if (!cfg_rev_is_none(have))
        o->told = have;
    else if (cfg_rev_cmp(o->told, cfg_store_seen(s->all->o.store)) > 0)
        o->told = (struct cfg_rev){0, 0}; /* the gate has waited for what etcd holds: this is another store's */
    o->listener.moved = flags_moved;
    cfg_flag_spaces_listen(o->flags, &o->listener, o->ns);
    pump(o);
}

static void ofrep_drained(struct cfg_stream *s)
{
    pump((struct ofrep_stream *)s);
}

static void ofrep_leave(struct cfg_stream *s)
{
    cfg_flag_spaces_unlisten(&((struct ofrep_stream *)s)->listener);
}

static const struct cfg_stream_kind ofrep_kind = {ofrep_join, ofrep_drained, ofrep_leave};

static int read_start(struct cfg_rev *have, struct cfg_rev *since, const struct cfg_call *c, struct cfg_error *err)
{
    struct cfg_stream_query q = {.last_event_id = cfg_call_header(c, "Last-Event-ID")};
    struct cfg_stream_request r;
    const char *text = cfg_call_query(c, "since");
    int rc = cfg_stream_request_read(&r, &q, err);
    if (rc == 0 && text && cfg_rev_parse(since, cfg_slice_str(text), NULL) != 0)
        rc = cfg_fail(err, CFG_E_INVALID, "since: \"%.60s\" is no revision; one looks like 1-42", text);
    if (rc == 0)
        *have = r.have;
    return rc;
}

/* Only Last-Event-ID is a token that the replica is held against: `since` lies in a URL, which any web page can have
 * fetched, and a token from beyond the store makes configd look into raising the epoch. */
void cfg_stream_ofrep(struct cfg_app *app, struct cfg_call *c, const char *ns)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_rev have = {0, 0}, since = {0, 0};
    if (app->streams == NULL) {
        cfg_stream_refuse(c);
        return;
    }
    int rc = read_start(&have, &since, c, &err);
    struct ofrep_stream *o = rc == 0 ? calloc(1, sizeof *o) : NULL;
    if (rc == 0 && o == NULL)
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory for a stream");
    if (rc != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    memcpy(o->ns, ns, strlen(ns)); /* a checked name, zeroes behind it */
    o->flags = app->flags;
    o->since = since;
    o->told = cfg_rev_is_none(since) ? cfg_flag_spaces_get(app->flags, ns)->revision : since;
    struct cfg_stream_gate gate = {.has_token = !cfg_rev_is_none(have), .token = have};
    o->stream.all = app->streams;
    cfg_stream_start(app->streams, &o->stream, &ofrep_kind, c, &gate);
}
