#include "client/machine_impl.h"
#include "client/url.h"
#include "proto/limits.h"

#include <string.h>

void cfg_machine_open_stream(struct cfg_machine *m)
{
    char last[CFG_REV_TEXT];
    cfg_buf_clear(&m->path);
    cfg_url_format(&m->path, "/v1/deployments/*/stream", m->deployment);
    if (m->worker) {
        cfg_url_query(&m->path, "worker", m->worker);
        cfg_url_query(&m->path, "incarnation", m->incarnation);
    }
    if (m->held.store[0])
        cfg_url_query(&m->path, "store", m->held.store);
    if (m->held.digest[0] && !m->want_full)
        cfg_url_query(&m->path, "digest", m->held.digest);
    cfg_sse_reader_finish(&m->reader);
    cfg_sse_reader_init(&m->reader, CFG_LIMIT_EVENT);
    cfg_buf_clear(&m->reply[CFG_SLOT_STREAM]);
    m->opened_at = m->heard_at = m->now_ms;
    if (cfg_buf_status(&m->path) != 0) {
        struct cfg_error why;
        cfg_fail(&why, CFG_E_NOMEM, "out of memory");
        cfg_machine_leave(m, LEAVE_LOST, &why);
        return;
    }
    struct cfg_send send = {.slot = CFG_SLOT_STREAM,
                            .server = m->server,
                            .method = "GET",
                            .path = m->path.data,
                            .last_event_id = cfg_rev_is_none(m->held.seen) ? NULL : cfg_rev_format(m->held.seen, last)};
    m->transport.send(m->transport.arg, &send);
}

static void tell_view(struct cfg_machine *m)
{
    if (m->callbacks.on_view == NULL)
        return;
    struct cfg_buf meta;
    cfg_buf_init(&meta, CFG_LIMIT_EVENT);
    if (m->held.meta && !m->held.without_meta) /* held always, but without memory */
        cfg_json_print(&meta, m->held.meta);
    char revision[CFG_REV_TEXT];
    struct cfg_view_event ev = {
        .revision = cfg_rev_format(m->held.rev, revision),
        .digest = m->held.digest,
        .store = m->held.store,
        .arm = cfg_json_get_str(m->held.meta, "arm", "base"),
        .view = m->held.text.data,
        .view_len = m->held.text.len,
        .meta = cfg_buf_status(&meta) == 0 && meta.data ? meta.data : "{}",
    };
    m->callbacks.on_view(m->callbacks.arg, &ev);
    cfg_buf_finish(&meta);
}

static void tell_mark(struct cfg_machine *m)
{
    char revision[CFG_REV_TEXT];
    if (m->callbacks.on_mark)
        m->callbacks.on_mark(m->callbacks.arg, cfg_rev_format(m->held.seen, revision));
}

/* A proved event: the stream works, and tells how fresh it is. State first, so that a view is never handed on by a
 * session that calls itself unconnected. */
static void follow(struct cfg_machine *m)
{
    if (m->phase == PHASE_OPENING) {
        m->phase = PHASE_FOLLOWING;
        m->followed_at = m->now_ms;
        m->want_full = false;
    }
    if (m->held.stale) {
        struct cfg_error why;
        cfg_fail(&why, CFG_E_UNAVAILABLE, "configd has lost etcd; the view may be old");
        cfg_machine_set_state(m, CFG_SESSION_STALE, &why);
    } else {
        cfg_machine_set_state(m, CFG_SESSION_CONNECTED, NULL);
    }
}

static void judge(struct cfg_machine *m, enum cfg_verdict verdict, const struct cfg_error *why)
{
    switch (verdict) {
    case CFG_VERDICT_NEW:
        follow(m);
        tell_view(m);
        break;
    case CFG_VERDICT_SAME:
        follow(m);
        tell_mark(m);
        break;
    case CFG_VERDICT_FULL:
        cfg_machine_leave(m, LEAVE_FULL, why);
        break;
    case CFG_VERDICT_BEHIND:
    case CFG_VERDICT_BROKEN:
        cfg_machine_leave(m, LEAVE_LOST, why);
        break;
    }
}

static void take_data(struct cfg_machine *m, const struct cfg_sse_event *ev,
                      enum cfg_verdict (*take)(struct cfg_held *, cJSON *, struct cfg_error *))
{
    struct cfg_error why;
    cJSON *event = NULL;
    if (cfg_json_parse(&event, ev->data, CFG_LIMIT_DEPTH + 8, &why) != 0) {
        why.code = CFG_E_PROTOCOL;
        cfg_error_wrap(&why, "the stream sent what is no JSON");
        judge(m, CFG_VERDICT_BROKEN, &why);
        return;
    }
    enum cfg_verdict verdict = take(&m->held, event, &why);
    judge(m, verdict, &why);
}

static void on_event(const struct cfg_sse_event *ev, void *arg)
{
    struct cfg_machine *m = arg;
    if (m->leave != LEAVE_NOT)
        return; /* given up already: nothing behind that point counts */
    struct cfg_error why;
    if (cfg_slice_eq_str(ev->event, "patch")) {
        take_data(m, ev, cfg_held_patch);
    } else if (cfg_slice_eq_str(ev->event, "mark")) {
        take_data(m, ev, cfg_held_mark);
    } else if (cfg_slice_eq_str(ev->event, "view")) {
        take_data(m, ev, cfg_held_view);
    } else if (cfg_slice_eq_str(ev->event, "bye")) {
        cfg_fail(&why, CFG_E_UNAVAILABLE, "configd closed the stream");
        cfg_machine_leave(m, LEAVE_BYE, &why);
    } else if (cfg_slice_eq_str(ev->event, "superseded")) {
        cfg_fail(&why, CFG_E_SUPERSEDED, "a newer incarnation of worker %s has registered",
                 m->worker ? m->worker : "?");
        cfg_machine_leave(m, LEAVE_END, &why);
    } /* others are of a later configd, and not for us */
}

void cfg_machine_stream_bytes(struct cfg_machine *m, struct cfg_slice bytes)
{
    m->heard_at = m->now_ms;
    if (cfg_sse_reader_feed(&m->reader, bytes, on_event, m) != 0 && m->leave == LEAVE_NOT) {
        struct cfg_error why;
        cfg_fail(&why, CFG_E_PROTOCOL, "the stream sent an event of more than %d bytes", CFG_LIMIT_EVENT);
        cfg_machine_leave(m, LEAVE_LOST, &why);
    }
}
