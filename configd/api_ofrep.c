/* OFREP over HTTP: POST …/ofrep/v1/evaluate/flags[/{key}], for the namespace of the path or the default one. Evaluation
 * is a read, open to readers of the namespace; the edge's rules for bodies hold all the same (JSON content type, no
 * foreign Origin), so no web page can ask on behalf of who looks at it. Worker tokens are not taken: a worker evaluates
 * in its own process, against the view of its step. */
#include "configd/api.h"

#include "configd/http_auth.h"
#include "configd/ofrep.h"
#include "configd/settings.h"

#include <stdio.h>
#include <string.h>

enum { WAIT_MS = 5000, MAX_REPLY = 1 << 28 };

static void reply(struct cfg_call *c, int status, struct cfg_buf *body)
{
    struct cfg_error err;
    if (cfg_buf_status(body) == 0) {
        cfg_call_reply_bytes(c, status, "application/json", cfg_buf_slice(body));
    } else {
        (void)cfg_fail(&err, cfg_buf_status(body), "no memory for the reply");
        cfg_call_fail(c, &err, NULL);
    }
    cfg_buf_finish(body);
}

/* 400 as the protocol spells it. */
static void refuse(struct cfg_call *c, const char *code, const struct cfg_error *err)
{
    struct cfg_buf body, details;
    cfg_buf_init(&body, MAX_REPLY);
    cfg_buf_init(&details, sizeof *err);
    bool says_where = err->path[0] == '\0' || strstr(err->text, err->path) != NULL;
    cfg_buf_printf(&details, "%s%s%s", says_where ? "" : err->path, says_where ? "" : ": ", err->text);
    cfg_ofrep_put_failure(&body, cfg_call_param(c, "key"), code, cfg_buf_status(&details) ? err->text : details.data);
    cfg_buf_finish(&details);
    reply(c, 400, &body);
}

/* The namespace that the path names, or the default one; NULL: refused, the call is answered. */
static const char *namespace_of(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    const char *ns = cfg_call_param(c, "ns");
    if (ns && cfg_check_name("namespace", cfg_slice_str(ns), &err) != 0) {
        refuse(c, "GENERAL", &err);
        return NULL;
    }
    if (ns)
        return ns; /* the edge has checked that the caller reaches it */
    ns = app->settings->default_namespace;
    if (cfg_principal_check_namespace(cfg_call_principal(c), ns, &err) == 0)
        return ns;
    cfg_call_fail(c, &err, NULL);
    return NULL;
}

void cfg_api_ofrep_flag(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_ofrep_request r = {0};
    struct cfg_buf body;
    const char *ns = cfg_api_at(app, c) ? namespace_of(app, c) : NULL;
    if (ns == NULL)
        return;
    const char *code = cfg_ofrep_request_read(&r, cfg_call_body(c), cfg_api_now_s(app), &err);
    if (code) {
        refuse(c, code, &err);
        return;
    }
    cfg_buf_init(&body, MAX_REPLY);
    int status = cfg_ofrep_put_flag(&body, cfg_flag_spaces_get(app->flags, ns), cfg_call_param(c, "key"), &r);
    cfg_ofrep_request_finish(&r);
    reply(c, status, &body);
}

/* --- all flags --- */

/* What an event's token says about the stream that the client has open; else the stream begins where this reply is. */
static struct cfg_rev stream_start(struct cfg_call *c, struct cfg_rev now)
{
    struct cfg_ofrep_token t;
    const char *etag = cfg_call_query(c, "flagConfigEtag");
    return etag && cfg_ofrep_token_parse(&t, etag) && !cfg_rev_is_none(t.since) ? t.since : now;
}

/* The Host header was checked: it is a name of this daemon. */
static void put_streams(struct cfg_buf *body, struct cfg_call *c, struct cfg_rev now)
{
    struct cfg_buf base;
    const char *ns = cfg_call_param(c, "ns");
    cfg_buf_init(&base, 1024);
    cfg_buf_printf(&base, "%s://%s%s%s/ofrep/v1", cfg_call_scheme(c), cfg_call_header(c, "Host"), ns ? "/ns/" : "",
                   ns ? ns : "");
    cfg_ofrep_put_bulk_end(body, cfg_buf_status(&base) == 0 ? base.data : "", stream_start(c, now));
    cfg_buf_finish(&base);
}

static void answer_bulk(struct cfg_app *app, struct cfg_call *c, const char *ns)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_ofrep_request r = {0};
    struct cfg_buf body;
    char etag[CFG_OFREP_ETAG];
    const char *code = cfg_ofrep_request_read(&r, cfg_call_body(c), cfg_api_now_s(app), &err);
    if (code) {
        refuse(c, code, &err);
        return;
    }
    const struct cfg_flag_space *space = cfg_flag_spaces_get(app->flags, ns);
    cfg_buf_init(&body, MAX_REPLY);
    int rc = cfg_ofrep_put_bulk(&body, etag, space, &r, &err);
    cfg_ofrep_request_finish(&r);
    if (rc != 0) {
        cfg_buf_finish(&body);
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cfg_call_set_header(c, "ETag", etag);
    if (cfg_ofrep_etag_matches(cfg_call_header(c, "If-None-Match"), etag)) {
        cfg_buf_finish(&body);
        cfg_call_reply(c, 304, NULL);
        return;
    }
    put_streams(&body, c, space->revision);
    reply(c, 200, &body);
}

static void on_caught_up(void *arg, const struct cfg_error *why)
{
    struct cfg_call *c = arg;
    struct cfg_error err;
    if (why == NULL) {
        const char *ns = namespace_of(cfg_call_app(c), c);
        if (ns)
            answer_bulk(cfg_call_app(c), c, ns);
        return;
    }
    (void)cfg_fail(&err, CFG_E_NOT_READY, "this replica does not show the flags you were told of yet: %s", why->text);
    cfg_error_set_hint(&err, "try again");
    cfg_call_fail(c, &err, NULL);
}

static void on_revision(void *arg, uint64_t revision, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    struct cfg_app *app = cfg_call_app(c);
    struct cfg_rev now = {cfg_store_identity(app->store)->epoch, revision};
    if (err)
        on_caught_up(c, err);
    else
        cfg_store_wait(app->store, app->loop, now, WAIT_MS, on_caught_up, c);
}

/* A client that an event has told of a change is answered by a replica that shows it. True: this one does. */
static bool shows(struct cfg_app *app, struct cfg_call *c, const char *ns)
{
    struct cfg_error err;
    struct cfg_ofrep_token t;
    const char *etag = cfg_call_query(c, "flagConfigEtag"), *modified = cfg_call_query(c, "flagConfigLastModified");
    int64_t modified_s = 0;
    if (modified && cfg_ofrep_time_parse(&modified_s, modified, &err) != 0) {
        cfg_error_set_path(&err, "flagConfigLastModified");
        refuse(c, "GENERAL", &err);
        return false;
    }
    if (etag && cfg_ofrep_token_parse(&t, etag)) {
        if (cfg_rev_cmp(t.revision, cfg_store_seen(app->store)) <= 0)
            return true;
        cfg_store_wait(app->store, app->loop, t.revision, WAIT_MS, on_caught_up, c);
        return false;
    }
    if (modified_s <= cfg_flag_spaces_get(app->flags, ns)->modified_s)
        return true;
    cfg_replica_read_revision(app->replica, on_revision, c);
    return false;
}

void cfg_api_ofrep_bulk(struct cfg_app *app, struct cfg_call *c)
{
    const char *ns = cfg_api_at(app, c) ? namespace_of(app, c) : NULL;
    if (ns && shows(app, c, ns))
        answer_bulk(app, c, ns);
}

/* --- events --- */

void cfg_api_ofrep_events(struct cfg_app *app, struct cfg_call *c)
{
    const char *ns = namespace_of(app, c);
    if (ns)
        cfg_stream_ofrep(app, c, ns);
}
