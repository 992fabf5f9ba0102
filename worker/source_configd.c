/* Views from configd: a session of libcfgclient, translated into a source's words.
 *
 * The session keeps the stream, the patches, the order of revisions and the reconnects; this file adds nothing but the
 * registration and the mapping of states. */
#include "proto/limits.h"
#include "proto/path.h"
#include "worker/open.h"
#include <cfg/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct configd_source {
    struct cfg_source base;
    struct cfg_source_events events;
    struct cfg_worker *w; /* borrowed */
    struct cfg_session *session;
    cfg_fetched_fn fetched; /* NULL: no view of the past is asked for */
    void *fetched_arg;
    char fetching[CFG_REV_TEXT];
};

static struct configd_source *self(struct cfg_source *s)
{
    return (struct configd_source *)s;
}

/* On a shared loop nobody looks at a worker unless it is called. */
static void call(struct configd_source *c)
{
    if (c->w->seat.loop != NULL) {
        cfg_worker_loop_call(c->w);
    }
}

/* NULL, or a name that cannot be one: as before. */
static void take_arm(struct configd_source *c, const char *arm)
{
    if (arm != NULL && cfg_check_name("arm", cfg_slice_str(arm), NULL) == 0) {
        (void)snprintf(c->base.arm, sizeof c->base.arm, "%s", arm);
    }
}

static void on_view(void *arg, const struct cfg_view_event *ev)
{
    struct configd_source *c = arg;
    call(c);
    take_arm(c, ev->arm);
    struct cfg_view_input in = {
        ev->revision, ev->digest, ev->store != NULL ? ev->store : "", {ev->view, ev->view_len}, 0};
    c->events.view(c->events.arg, &in);
}

static void on_mark(void *arg, const char *revision)
{
    struct configd_source *c = arg;
    call(c);
    c->events.mark(c->events.arg, revision);
}

static void on_state(void *arg, enum cfg_session_state state, const struct cfg_error *why)
{
    static const enum cfg_source_state map[] = {
        [CFG_SESSION_CONNECTING] = CFG_SOURCE_CONNECTING, [CFG_SESSION_CONNECTED] = CFG_SOURCE_CONNECTED,
        [CFG_SESSION_STALE] = CFG_SOURCE_STALE,           [CFG_SESSION_FOREIGN] = CFG_SOURCE_FOREIGN,
        [CFG_SESSION_REFUSED] = CFG_SOURCE_REFUSED,       [CFG_SESSION_SUPERSEDED] = CFG_SOURCE_SUPERSEDED,
    };
    struct configd_source *c = arg;
    call(c);
    c->events.state(c->events.arg, map[state], why);
}

static void on_registered(void *arg, const char *reply_json)
{
    struct configd_source *c = arg;
    call(c);
    cJSON *reply = NULL;
    double interval = 0;
    if (cfg_json_parse(&reply, cfg_slice_str(reply_json), 0, NULL) == 0) {
        interval = cfg_json_get_num(reply, "report_interval_ms", 0);
        take_arm(c, cfg_json_get_str(reply, "arm", NULL));
    }
    cJSON_Delete(reply);
    c->events.registered(c->events.arg, interval >= 0 && interval <= 3600000 ? (unsigned)interval : 0);
}

static void on_reported(void *arg, const char *json)
{
    struct configd_source *c = arg;
    call(c);
    c->events.reported(c->events.arg, json);
}

static int configd_start(struct cfg_source *s, const struct cfg_source_events *events,
                         const struct cfg_source_resume *resume, struct cfg_error *err)
{
    struct configd_source *c = self(s);
    const struct cfg_worker *w = c->w;
    struct cfg_session_options o = CFG_SESSION_OPTIONS_INIT;
    const struct cfg_session_callbacks callbacks = {on_view, on_mark, on_state, on_registered, on_reported, c};
    struct cfg_buf registration;
    cfg_buf_init(&registration, CFG_LIMIT_BODY);
    const struct cfg_ceilings ceilings = cfg_ceilings_now(w);
    cfg_registration_print(&registration, &w->identity, &w->contract, NULL, NULL, resume->store, &ceilings);
    int rc = cfg_buf_status(&registration);
    if (rc != 0) {
        cfg_buf_finish(&registration);
        return cfg_fail(err, rc, "the contract does not fit one registration");
    }
    c->events = *events;
    o.client.servers = w->servers;
    o.client.token = w->token;
    o.client.ca_file = w->ca_file;
    o.deployment = w->identity.deployment;
    o.registration = registration.data;
    o.revision = resume->revision;
    o.digest = resume->digest;
    o.store = resume->store;
    o.view = resume->view;
    o.without_meta = true;
    o.loop = w->seat.loop != NULL ? cfg_worker_loop_sessions(w->seat.loop) : NULL;
    rc = cfg_session_new(&c->session, &o, &callbacks, err);
    cfg_buf_finish(&registration);
    return rc;
}

static int configd_fd(const struct cfg_source *s)
{
    return cfg_session_poll_fd(((const struct configd_source *)s)->session);
}

static int configd_timeout_ms(const struct cfg_source *s)
{
    return cfg_session_timeout_ms(((const struct configd_source *)s)->session);
}

static void configd_process(struct cfg_source *s)
{
    if (self(s)->w->seat.loop == NULL) {
        cfg_session_process(self(s)->session);
    }
}

static int configd_report(struct cfg_source *s, const char *json, struct cfg_error *err)
{
    return cfg_session_report(self(s)->session, json, err);
}

static int configd_rebind(struct cfg_source *s, const char *registration, struct cfg_error *err)
{
    return cfg_session_set_registration(self(s)->session, registration, err);
}

/* The reply's view, checked: the revision that was asked for, and the digest of what it really is. */
static int read_view(struct cfg_aside *out, const char *revision, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *reply = NULL;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_EVENT);
    int rc = cfg_json_parse(&reply, body, CFG_LIMIT_DEPTH + 8, err);
    const cJSON *view = cJSON_GetObjectItemCaseSensitive(reply, "view");
    const char *got = cfg_json_get_str(reply, "revision", NULL), *said = cfg_json_get_str(reply, "digest", NULL);
    const char *store = cfg_json_get_str(reply, "store", "");
    if (rc == 0 && (view == NULL || got == NULL || said == NULL)) {
        rc = cfg_fail(err, CFG_E_PROTOCOL, "the answer is no view");
    }
    if (rc == 0 && strcmp(got, revision) != 0) {
        rc = cfg_fail(err, CFG_E_VALUE, "configd's view at %s is that of %s", revision, got);
    }
    if (rc == 0) {
        rc = cfg_digest_json(digest, view);
        rc = rc != 0
                 ? cfg_fail(err, rc, "out of memory")
                 : (strcmp(digest, said) != 0 ? cfg_fail(err, CFG_E_VALUE, "view %s is not what its digest says", got)
                                              : 0);
    }
    if (rc == 0) {
        cfg_json_print(&text, view);
        const struct cfg_view_input in = {got, digest, store, cfg_buf_slice(&text), 0};
        rc = cfg_buf_status(&text) == 0 && cfg_aside_set(out, &in) ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    cfg_buf_finish(&text);
    cJSON_Delete(reply);
    return rc;
}

static void tell_fetched(struct configd_source *c, struct cfg_aside *got, const struct cfg_error *why)
{
    cfg_fetched_fn fn = c->fetched;
    c->fetched = NULL;
    fn(c->fetched_arg, got, why);
}

static void on_answer(void *arg, const char *body, size_t len, const struct cfg_error *why)
{
    struct configd_source *c = arg;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_aside got = {.text = NULL};
    call(c);
    int rc = why == NULL ? read_view(&got, c->fetching, (struct cfg_slice){body, len}, &err) : why->code;
    tell_fetched(c, rc == 0 ? &got : NULL, rc == 0 ? NULL : (why != NULL ? why : &err));
}

static void configd_fetch(struct cfg_source *s, const char *revision, cfg_fetched_fn fn, void *arg)
{
    struct configd_source *c = self(s);
    struct cfg_error err = CFG_ERROR_INIT;
    char path[512];
    c->fetched = fn;
    c->fetched_arg = arg;
    (void)snprintf(c->fetching, sizeof c->fetching, "%s", revision);
    (void)snprintf(path, sizeof path, "/v1/deployments/%s/view?worker=%s&revision=%s&min_revision=%s",
                   c->w->identity.deployment, c->w->identity.worker, revision, revision);
    if (cfg_session_ask(c->session, path, on_answer, c, &err) != 0) {
        tell_fetched(c, NULL, &err);
    }
}

static void configd_free(struct cfg_source *s)
{
    cfg_session_free(self(s)->session);
    free(s);
}

int cfg_source_configd_new(struct cfg_source **out, struct cfg_worker *w, struct cfg_error *err)
{
    static const struct cfg_source_ops ops = {
        .start = configd_start,
        .fd = configd_fd,
        .timeout_ms = configd_timeout_ms,
        .process = configd_process,
        .report = configd_report,
        .rebind = configd_rebind,
        .fetch = configd_fetch,
        .free = configd_free,
    };
    struct configd_source *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    c->base.ops = &ops;
    c->w = w;
    *out = &c->base;
    return 0;
}
