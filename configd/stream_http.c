#include "configd/stream_http.h"

#include "configd/app.h"
#include "configd/hub_compose.h"
#include "configd/stream_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEARTBEAT_MS = 15000,
    AGE_MS = 3600 * 1000,
    HEAD_MAX = 16 * 1024,
    RETRY_MS = 250, /* a read that failed is tried again; by then the replica may be known to be stale */
};

/* --- the gate --- */

static void leave_gate(struct cfg_streams *all, struct cfg_stream *s)
{
    struct cfg_stream_wait *w = s->wait;
    s->wait = NULL;
    if (all->cursor == w)
        all->cursor = w->next;
    if (w->prev)
        w->prev->next = w->next;
    else
        all->waiting = w->next;
    if (w->next)
        w->next->prev = w->prev;
    free(w);
}

static bool wait_at_gate(struct cfg_streams *all, struct cfg_stream *s, const struct cfg_stream_gate *gate)
{
    struct cfg_stream_wait *w = malloc(sizeof *w);
    if (w == NULL)
        return false;
    *w = (struct cfg_stream_wait){.stream = s, .next = all->waiting, .gate = *gate};
    if (all->waiting)
        all->waiting->prev = w;
    all->waiting = w;
    s->wait = w;
    return true;
}

static bool is_stale(const struct cfg_streams *all)
{
    return cfg_hub_stale(all->o.hub) && cfg_store_ready(all->o.store);
}

static void try_join(struct cfg_streams *all, struct cfg_stream_wait *w)
{
    struct cfg_stream *s = w->stream;
    if (!cfg_pipe_takes(&s->pipe) || !cfg_store_ready(all->o.store) ||
        !cfg_stream_may_start(&w->gate, cfg_store_seen(all->o.store), is_stale(all)))
        return;
    struct cfg_rev have = w->gate.token;
    leave_gate(all, s);
    s->kind->join(s, have);
}

static void try_all(struct cfg_streams *all)
{
    for (struct cfg_stream_wait *w = all->waiting; w; w = all->cursor) {
        all->cursor = w->next;
        try_join(all, w);
    }
}

static void ask(struct cfg_streams *all);

/* A linearizable read came back: whoever waited for it, or for an older one, knows now what to wait for. */
static void asked(void *arg, uint64_t revision, const struct cfg_error *err)
{
    struct cfg_streams_link *link = arg;
    struct cfg_streams *all = link->all;
    if (--link->refs == 0)
        free(link);
    if (all == NULL)
        return;
    all->asking = false;
    bool more = false;
    struct cfg_rev rev = {cfg_store_identity(all->o.store)->epoch, revision};
    for (struct cfg_stream_wait *w = all->waiting; w; w = w->next) {
        bool waits = !w->gate.has_token && cfg_rev_is_none(w->gate.asked);
        if (waits && err == NULL && w->ask <= all->ask)
            w->gate.asked = rev;
        else
            more = more || waits;
    }
    try_all(all);
    if (more && err == NULL)
        ask(all);
    else if (more)
        cfg_timer_start(all->retry, RETRY_MS);
}

static void ask(struct cfg_streams *all)
{
    if (all->asking)
        return;
    all->asking = true;
    all->ask++;
    all->link->refs++;
    cfg_replica_read_revision(all->o.replica, asked, all->link);
}

/* Twice per heartbeat and oftener: reads that failed are tried again, and tokens that this replica does not reach are
 * looked into (the store may have gone back). */
static void look(void *arg)
{
    struct cfg_streams *all = arg;
    struct cfg_rev newest = {0, 0};
    bool waits = false;
    for (struct cfg_stream_wait *w = all->waiting; w; w = w->next) {
        if (!w->gate.has_token)
            waits = waits || cfg_rev_is_none(w->gate.asked);
        else if (cfg_rev_cmp(w->gate.token, newest) > 0)
            newest = w->gate.token;
    }
    if (waits)
        ask(all);
    if (!cfg_rev_is_none(newest))
        cfg_replica_check_token(all->o.replica, newest);
    try_all(all);
}

static void store_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    (void)rev;
    (void)changes;
    (void)n;
    (void)full;
    try_all(arg);
}

static void store_progress(void *arg, struct cfg_rev seen)
{
    (void)seen;
    try_all(arg);
}

/* --- streams as pipes --- */

static void pipe_drained(struct cfg_pipe *p)
{
    struct cfg_stream *s = (struct cfg_stream *)p;
    if (s->wait)
        try_join(s->all, s->wait);
    else
        s->kind->drained(s);
}

static void pipe_dead(struct cfg_pipe *p)
{
    struct cfg_stream *s = (struct cfg_stream *)p;
    if (s->wait)
        leave_gate(s->all, s);
    s->kind->leave(s);
}

static void pipe_closed(struct cfg_pipe *p)
{
    free(p);
}

static const struct cfg_pipe_ops pipe_ops = {pipe_drained, pipe_dead, pipe_closed};

/* The reply's head and the reconnection time, in one piece. */
static struct cfg_bytes *opening(struct cfg_call *c)
{
    struct cfg_buf out;
    cfg_buf_init(&out, HEAD_MAX);
    cfg_call_stream_head(c, &out);
    cfg_buf_puts(&out, cfg_stream_retry);
    struct cfg_bytes *b = cfg_buf_status(&out) == 0 ? cfg_bytes_new(cfg_buf_slice(&out)) : NULL;
    cfg_buf_finish(&out);
    return b;
}

static void abandon(struct cfg_stream *s, const struct cfg_stream_kind *kind)
{
    kind->leave(s);
    free(s);
}

/* At the gate: asks for what opens it, and greets. */
static void begin(struct cfg_streams *all, struct cfg_stream *s, struct cfg_bytes *head)
{
    if (s->wait->gate.has_token) {
        cfg_replica_check_token(all->o.replica, s->wait->gate.token);
    } else {
        s->wait->ask = all->ask + 1; /* a read under way may have begun before this stream came */
        ask(all);
    }
    if (cfg_pipe_send(&s->pipe, head))
        try_join(all, s->wait);
}

void cfg_stream_start(struct cfg_streams *all, struct cfg_stream *s, const struct cfg_stream_kind *kind,
                      struct cfg_call *c, const struct cfg_stream_gate *gate)
{
    struct cfg_taken taken;
    struct cfg_bytes *head = opening(c);
    if (head == NULL) {
        struct cfg_error err;
        (void)cfg_fail(&err, CFG_E_NOMEM, "out of memory for a stream");
        cfg_call_fail(c, &err, NULL);
        abandon(s, kind);
        return;
    }
    s->all = all;
    s->kind = kind;
    bool taken_over = cfg_call_take_socket(c, &taken);
    if (!taken_over || cfg_pipe_open(&s->pipe, all->pipes, &pipe_ops, &taken, NULL) != 0)
        abandon(s, kind); /* the client is gone, or will find its connection closed and try again */
    else if (!wait_at_gate(all, s, gate))
        cfg_pipe_end(&s->pipe, NULL);
    else
        begin(all, s, head);
    (void)cfg_bytes_unref(head);
}

/* --- deployments --- */

struct deployment_stream {
    struct cfg_stream stream; /* first */
    struct cfg_subscriber subscriber;
    char *digest;                          /* what it said it holds; freed when it joins */
    const char *deployment, *arm, *worker; /* in names; worker NULL: an observer */
    bool is_worker_open;
    char names[];
};

static struct deployment_stream *of_subscriber(struct cfg_subscriber *s)
{
    return (struct deployment_stream *)((char *)s - offsetof(struct deployment_stream, subscriber));
}

static bool subscriber_send(struct cfg_subscriber *s, struct cfg_bytes *frame)
{
    return cfg_pipe_send(&of_subscriber(s)->stream.pipe, frame);
}

static void subscriber_ended(struct cfg_subscriber *s)
{
    cfg_pipe_end(&of_subscriber(s)->stream.pipe, cfg_stream_bye("deleted"));
}

/* A worker follows the arm of its group. */
static const char *subscriber_arm(struct cfg_subscriber *s, const struct cfg_deployment *d)
{
    const struct deployment_stream *stream = of_subscriber(s);
    return cfg_fleet_arm(stream->stream.all->o.fleet, d, stream->worker);
}

/* The topic that the stream follows now. */
static int find_topic(struct cfg_topic **out, struct deployment_stream *d, struct cfg_error *err)
{
    struct cfg_streams *all = d->stream.all;
    struct cfg_object *o;
    struct cfg_deployment record;
    if (d->worker == NULL)
        return cfg_hub_topic(out, all->o.hub, d->deployment, d->arm, err);
    int rc = cfg_hub_deployment(&o, all->o.store, d->deployment, err);
    rc = rc ? rc : cfg_deployment_read(&record, o, err);
    if (rc != 0)
        return rc;
    rc = cfg_hub_topic(out, all->o.hub, d->deployment, cfg_fleet_arm(all->o.fleet, &record, d->worker), err);
    cfg_deployment_finish(&record);
    return rc;
}

static void deployment_join(struct cfg_stream *stream, struct cfg_rev have)
{
    struct deployment_stream *d = (struct deployment_stream *)stream;
    struct cfg_topic *t = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = find_topic(&t, d, &err);
    if (t == NULL) { /* deleted while it waited */
        cfg_pipe_end(&stream->pipe, cfg_stream_bye(rc == CFG_E_NOT_FOUND ? "deleted" : "unavailable"));
        return;
    }
    char digest[CFG_DIGEST_TEXT] = "";
    if (d->digest)
        memcpy(digest, d->digest, strnlen(d->digest, sizeof digest - 1));
    free(d->digest);
    d->digest = NULL;
    cfg_hub_subscribe(stream->all->o.hub, t, &d->subscriber, have, digest[0] ? digest : NULL);
    if (d->worker && d->subscriber.topic == t && strcmp(digest, cfg_topic_digest(t)) == 0)
        cfg_fleet_stream_holds(stream->all->o.fleet, d->deployment, d->worker, d, have);
}

static void deployment_drained(struct cfg_stream *stream)
{
    cfg_hub_drained(stream->all->o.hub, &((struct deployment_stream *)stream)->subscriber);
}

static void deployment_leave(struct cfg_stream *stream)
{
    struct deployment_stream *d = (struct deployment_stream *)stream;
    if (stream->all && d->subscriber.topic)
        cfg_hub_unsubscribe(stream->all->o.hub, &d->subscriber);
    if (stream->all && d->is_worker_open)
        cfg_fleet_stream_closed(stream->all->o.fleet, d->deployment, d->worker, d);
    d->is_worker_open = false;
    free(d->digest);
    d->digest = NULL;
}

static const struct cfg_stream_kind deployment_kind = {deployment_join, deployment_drained, deployment_leave};

static void superseded(void *arg, bool newer_incarnation)
{
    struct deployment_stream *d = arg;
    d->is_worker_open = false;
    cfg_pipe_end(&d->stream.pipe, newer_incarnation ? cfg_stream_superseded() : cfg_stream_bye("replaced"));
}

static char *put_name(char **at, const char *s)
{
    size_t n = strlen(s) + 1;
    char *to = memcpy(*at, s, n);
    *at += n;
    return to;
}

static struct deployment_stream *new_stream(const struct cfg_stream_request *r)
{
    size_t names = strlen(r->q.deployment) + strlen(r->q.arm) + (r->q.worker ? strlen(r->q.worker) : 0) + 3;
    struct deployment_stream *d = calloc(1, sizeof *d + names);
    if (d == NULL)
        return NULL;
    char *at = d->names;
    d->deployment = put_name(&at, r->q.deployment);
    d->arm = put_name(&at, r->q.arm);
    d->worker = r->q.worker ? put_name(&at, r->q.worker) : NULL;
    d->digest = r->q.digest ? strdup(r->q.digest) : NULL;
    d->subscriber.send = subscriber_send;
    d->subscriber.ended = subscriber_ended;
    d->subscriber.arm = d->worker ? subscriber_arm : NULL;
    return d;
}

/* Is there such a deployment and arm for a worker of that store? *foreign: its view comes from a store that this one
 * replaced, so that what it holds counts for nothing here. */
static int check_stream(struct cfg_streams *all, const struct cfg_stream_request *r, bool *foreign, cJSON **problem,
                        struct cfg_error *err)
{
    struct cfg_topic *t = NULL;
    struct cfg_object *o;
    struct cfg_deployment d;
    int rc = cfg_hub_topic(&t, all->o.hub, r->q.deployment, r->q.arm, err);
    if (rc == CFG_E_NOT_FOUND && cfg_rev_cmp(r->have, cfg_store_seen(all->o.store)) > 0)
        return cfg_fail(err, CFG_E_NOT_READY, "this configd is behind the revision you hold and does not know %s yet",
                        r->q.deployment);
    if (t == NULL)
        return rc;
    rc = cfg_hub_deployment(&o, all->o.store, r->q.deployment, err);
    rc = rc ? rc : cfg_deployment_read(&d, o, err);
    if (rc != 0)
        return rc;
    const char *store = cfg_store_identity(all->o.store)->store_id;
    rc = cfg_fleet_check_store(&d, store, r->q.store, problem, err);
    *foreign = r->q.store && r->q.store[0] && strcmp(r->q.store, store) != 0;
    cfg_deployment_finish(&d);
    return rc;
}

static int open_stream(struct cfg_streams *all, struct cfg_call *c, struct deployment_stream **out,
                       struct cfg_stream_gate *gate, cJSON **problem, struct cfg_error *err)
{
    struct cfg_stream_query q = {.deployment = cfg_call_param(c, "d"),
                                 .arm = cfg_call_query(c, "arm"),
                                 .worker = cfg_call_query(c, "worker"),
                                 .incarnation = cfg_call_query(c, "incarnation"),
                                 .store = cfg_call_query(c, "store"),
                                 .digest = cfg_call_query(c, "digest"),
                                 .last_event_id = cfg_call_header(c, "Last-Event-ID")};
    struct cfg_stream_request r;
    bool foreign = false;
    int rc = cfg_stream_request_read(&r, &q, err);
    rc = rc ? rc : check_stream(all, &r, &foreign, problem, err);
    if (rc != 0)
        return rc;
    if (foreign) {
        r.have = (struct cfg_rev){0, 0};
        r.q.digest = NULL;
    }
    struct deployment_stream *d = new_stream(&r);
    if (d == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a stream");
    if (r.q.worker)
        rc = cfg_fleet_stream_opened(all->o.fleet, d->deployment, d->worker, r.q.incarnation, superseded, d, err);
    if (rc != 0) {
        free(d->digest);
        free(d);
        return rc;
    }
    d->is_worker_open = r.q.worker != NULL;
    d->stream.all = all;
    *gate = (struct cfg_stream_gate){.has_token = !cfg_rev_is_none(r.have), .token = r.have};
    *out = d;
    return 0;
}

void cfg_stream_refuse(struct cfg_call *c)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_NOT_READY, "configd is stopping");
    cfg_call_fail(c, &err, NULL);
}

void cfg_stream_deployment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct deployment_stream *d = NULL;
    struct cfg_stream_gate gate = {0};
    cJSON *problem = NULL;
    if (app->streams == NULL)
        cfg_stream_refuse(c);
    else if (open_stream(app->streams, c, &d, &gate, &problem, &err) != 0)
        cfg_call_fail(c, &err, problem);
    else
        cfg_stream_start(app->streams, &d->stream, &deployment_kind, c, &gate);
}

/* --- life --- */

int cfg_streams_new(struct cfg_streams **out, const struct cfg_streams_options *o, struct cfg_error *err)
{
    struct cfg_streams *all = calloc(1, sizeof *all);
    if (all == NULL || (all->link = calloc(1, sizeof *all->link)) == NULL) {
        free(all);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for streams");
    }
    *all->link = (struct cfg_streams_link){all, 1};
    all->o = *o;
    struct cfg_pipes_options p = {.loop = o->loop,
                                  .clock = o->clock,
                                  .heartbeat_ms = o->heartbeat_ms ? o->heartbeat_ms : HEARTBEAT_MS,
                                  .age_ms = o->age_ms ? o->age_ms : AGE_MS,
                                  .look = look,
                                  .arg = all};
    all->retry = cfg_timer_new(o->loop, look, all);
    int rc = all->retry ? cfg_pipes_new(&all->pipes, &p, err) : cfg_fail(err, CFG_E_NOMEM, "out of memory for streams");
    if (rc == 0)
        rc = cfg_feed_new(&all->feed, o->loop, o->store, NULL, err);
    if (rc != 0) {
        cfg_pipes_free(all->pipes);
        cfg_timer_free(all->retry);
        free(all->link);
        free(all);
        return rc;
    }
    all->listener = (struct cfg_store_listener){.changed = store_changed, .progress = store_progress, .arg = all};
    cfg_store_listen(o->store, &all->listener);
    *out = all;
    return 0;
}

void cfg_streams_free(struct cfg_streams *all)
{
    if (all == NULL)
        return;
    cfg_store_unlisten(all->o.store, &all->listener);
    cfg_pipes_free(all->pipes);
    cfg_feed_free(all->feed);
    cfg_timer_free(all->retry);
    all->link->all = NULL;
    if (--all->link->refs == 0)
        free(all->link);
    free(all);
}

size_t cfg_streams_count(const struct cfg_streams *all)
{
    return cfg_pipes_count(all->pipes);
}
