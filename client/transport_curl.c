#include "client/transport_curl.h"

#include <stdlib.h>
#include <string.h>

struct request {
    char *path, *body, *last_event_id; /* owned */
    size_t server, body_len;
    const char *method; /* a literal */
};

struct slot {
    struct cfg_loop_slot base; /* first */
    struct cfg_curl_transport *owner;
    enum cfg_slot which;
    struct curl_slist *headers; /* of the request under way */
    struct request now, queued; /* curl reads from `now`, also while it waits to be stopped */
    bool want_start, want_stop;
    char *errbuf; /* CURL_ERROR_SIZE bytes while the request is under way */
};

struct cfg_curl_transport {
    struct cfg_loop_member base; /* first */
    const struct cfg_target *target;
    struct cfg_machine *machine;
    struct slot slots[CFG_SLOTS];
};

/* --- curl's side --- */

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct slot *s = arg;
    long status = 0;
    (void)curl_easy_getinfo(s->base.easy, CURLINFO_RESPONSE_CODE, &status); /* known once there is a body */
    if (s->want_stop)
        return 0;
    cfg_loop_touch(&s->owner->base);
    cfg_machine_bytes(s->owner->machine, s->which, status, (struct cfg_slice){bytes, size * n}, cfg_http_now_ms());
    return s->want_stop ? 0 : size * n;
}

/* --- the machine's side --- */

static void clear_request(struct request *r)
{
    free(r->path);
    free(r->body);
    free(r->last_event_id);
    *r = (struct request){0};
}

static void do_send(void *arg, const struct cfg_send *r)
{
    struct cfg_curl_transport *t = arg;
    struct slot *s = &t->slots[r->slot];
    clear_request(&s->queued);
    s->queued = (struct request){
        .path = strdup(r->path),
        .body = r->body.len > 0 ? cfg_slice_dup(r->body) : NULL,
        .last_event_id = r->last_event_id ? strdup(r->last_event_id) : NULL,
        .server = r->server,
        .body_len = r->body.len,
        .method = r->method,
    };
    s->want_start = true;
    cfg_loop_touch(&t->base);
}

static void do_cancel(void *arg, enum cfg_slot which)
{
    struct cfg_curl_transport *t = arg;
    struct slot *s = &t->slots[which];
    s->want_start = false;
    s->want_stop = cfg_loop_busy(&s->base);
    cfg_loop_touch(&t->base);
}

static uint64_t do_random(void *arg)
{
    (void)arg;
    return cfg_http_random();
}

/* --- carrying out what is wanted --- */

static int slot_headers(struct slot *s)
{
    s->headers = cfg_http_headers(s->owner->target);
    int rc = s->headers ? 0 : CFG_E_NOMEM;
    if (rc == 0 && s->now.body)
        rc = cfg_http_add_header(&s->headers, "Content-Type", "application/json");
    if (rc == 0 && s->which == CFG_SLOT_STREAM)
        rc = cfg_http_add_header(&s->headers, "Accept", "text/event-stream");
    if (rc == 0 && s->now.last_event_id)
        rc = cfg_http_add_header(&s->headers, "Last-Event-ID", s->now.last_event_id);
    return rc;
}

/* The stream gets a connection of its own, which leaves the registration's for the reports. */
static bool slot_options(struct slot *s)
{
    bool stream = s->which == CFG_SLOT_STREAM;
    bool ok = curl_easy_setopt(s->base.easy, CURLOPT_CUSTOMREQUEST, s->now.method) == CURLE_OK;
    ok &= curl_easy_setopt(s->base.easy, CURLOPT_HTTPHEADER, s->headers) == CURLE_OK;
    ok &= curl_easy_setopt(s->base.easy, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK;
    ok &= curl_easy_setopt(s->base.easy, CURLOPT_WRITEDATA, s) == CURLE_OK;
    ok &= curl_easy_setopt(s->base.easy, CURLOPT_FRESH_CONNECT, stream ? 1L : 0L) == CURLE_OK;
    ok &= curl_easy_setopt(s->base.easy, CURLOPT_FORBID_REUSE, stream ? 1L : 0L) == CURLE_OK;
    if (!stream)
        ok &= curl_easy_setopt(s->base.easy, CURLOPT_TIMEOUT_MS, (long)s->owner->target->timeout_ms) == CURLE_OK;
    if (s->now.body) {
        ok &= curl_easy_setopt(s->base.easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->now.body_len) == CURLE_OK;
        ok &= curl_easy_setopt(s->base.easy, CURLOPT_POSTFIELDS, s->now.body) == CURLE_OK;
    }
    return ok;
}

static void finish(struct slot *s)
{
    s->want_stop = false;
    curl_slist_free_all(s->headers);
    s->headers = NULL;
    free(s->errbuf);
    s->errbuf = NULL;
    clear_request(&s->now);
}

/* The loop's turn for this request has come. */
static int slot_prepare(struct cfg_loop_slot *slot, struct cfg_error *err)
{
    struct slot *s = (struct slot *)slot;
    s->want_start = false;
    s->now = s->queued;
    s->queued = (struct request){0};
    s->errbuf = calloc(1, CURL_ERROR_SIZE);
    bool copied = s->now.path && (s->now.body || s->now.body_len == 0);
    if (!copied || s->errbuf == NULL || slot_headers(s) != 0)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    int rc = cfg_http_prepare(s->base.easy, s->owner->target, s->now.server, s->now.path, s->errbuf, err);
    if (rc == 0 && !slot_options(s))
        rc = cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a request");
    return rc;
}

static void slot_ended(struct cfg_loop_slot *slot, CURLcode code, long status, const struct cfg_error *failed)
{
    struct slot *s = (struct slot *)slot;
    struct cfg_curl_transport *t = s->owner;
    struct cfg_error err;
    bool canceled = s->want_stop;
    if (failed)
        err = *failed;
    else if (code != CURLE_OK && !canceled)
        cfg_http_fail(&err, code, s->errbuf, t->target->servers[s->now.server]);
    finish(s);
    if (!canceled)
        cfg_machine_done(t->machine, s->which, status, code == CURLE_OK && !failed ? NULL : &err, cfg_http_now_ms());
}

static void transport_run(struct cfg_loop_member *m, uint64_t now_ms)
{
    struct cfg_curl_transport *t = (struct cfg_curl_transport *)m;
    if (cfg_machine_deadline(t->machine) <= now_ms)
        cfg_machine_tick(t->machine, now_ms);
    for (int i = 0; i < CFG_SLOTS; i++) {
        struct slot *s = &t->slots[i];
        if (s->want_stop) {
            cfg_loop_stop(&s->base);
            finish(s);
        }
        if (s->want_start && !cfg_loop_busy(&s->base))
            cfg_loop_start(&s->base);
    }
}

static uint64_t transport_deadline(const struct cfg_loop_member *m)
{
    return cfg_machine_deadline(((const struct cfg_curl_transport *)m)->machine);
}

static const struct cfg_loop_member_ops member_ops = {transport_run, transport_deadline, slot_prepare, slot_ended};

/* --- life --- */

struct cfg_transport cfg_curl_transport_vtable(struct cfg_curl_transport *t)
{
    return (struct cfg_transport){.send = do_send, .cancel = do_cancel, .random = do_random, .arg = t};
}

int cfg_curl_transport_join(struct cfg_curl_transport *t, struct cfg_session_loop *loop, struct cfg_machine *m)
{
    t->machine = m;
    return cfg_loop_join(loop, &t->base);
}

void cfg_curl_transport_touch(struct cfg_curl_transport *t)
{
    cfg_loop_touch(&t->base);
}

struct cfg_curl_transport *cfg_curl_transport_new(const struct cfg_target *target)
{
    struct cfg_curl_transport *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->base.ops = &member_ops;
    t->target = target;
    for (int i = 0; i < CFG_SLOTS; i++) {
        t->slots[i].base.member = &t->base;
        t->slots[i].base.is_stream = i == CFG_SLOT_STREAM;
        t->slots[i].owner = t;
        t->slots[i].which = (enum cfg_slot)i;
    }
    return t;
}

void cfg_curl_transport_free(struct cfg_curl_transport *t)
{
    if (t == NULL)
        return;
    for (int i = 0; i < CFG_SLOTS; i++) {
        if (t->base.loop)
            cfg_loop_stop(&t->slots[i].base);
        finish(&t->slots[i]);
        clear_request(&t->slots[i].queued);
    }
    cfg_loop_leave(&t->base);
    free(t);
}
