/* Blocking requests, for tools: one at a time on one kept connection, retried on the next server where that is safe. */
#include "client/http.h"
#include "proto/limits.h"
#include "proto/problem.h"
#include "proto/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { REPLY_MAX = 1 << 30, KEY_TEXT = 33, SILENCE_S = 45, PAUSE_MS = 200 };

struct cfg_client {
    struct cfg_target target;
    CURL *easy;
    size_t server; /* the last that answered */
    char errbuf[CURL_ERROR_SIZE];
};

struct reply {
    struct cfg_buf body;
    char etag[64], revision[48], store[64], type[64];
};

const char *cfg_client_version(void)
{
    return CFG_VERSION;
}

int cfg_client_new(struct cfg_client **out, const struct cfg_client_options *o, struct cfg_error *err)
{
    struct cfg_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    int rc = cfg_http_global(err);
    if (rc == 0)
        rc = cfg_target_init(&c->target, o, err);
    if (rc == 0 && (c->easy = curl_easy_init()) == NULL)
        rc = cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a handle");
    if (rc != 0) {
        cfg_client_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void cfg_client_free(struct cfg_client *c)
{
    if (c == NULL)
        return;
    curl_easy_cleanup(c->easy);
    cfg_target_finish(&c->target);
    free(c);
}

static size_t take_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct reply *r = arg;
    cfg_buf_put(&r->body, bytes, size * n);
    return cfg_buf_status(&r->body) == 0 ? size * n : 0;
}

static bool header_is(struct cfg_slice line, const char *name, struct cfg_slice *value)
{
    size_t n = strlen(name);
    if (line.len <= n || line.ptr[n] != ':' || strncasecmp(line.ptr, name, n) != 0)
        return false;
    *value = (struct cfg_slice){line.ptr + n + 1, line.len - n - 1};
    while (value->len > 0 && (value->ptr[0] == ' ' || value->ptr[0] == '\t')) {
        value->ptr++;
        value->len--;
    }
    while (value->len > 0 && strchr("\r\n \t", value->ptr[value->len - 1]))
        value->len--;
    return true;
}

static size_t take_header(char *bytes, size_t size, size_t n, void *arg)
{
    struct reply *r = arg;
    struct cfg_slice line = {bytes, size * n}, value;
    const struct {
        const char *name;
        char *to;
        size_t room;
    } wanted[] = {{"ETag", r->etag, sizeof r->etag},
                  {"Configd-Revision", r->revision, sizeof r->revision},
                  {"Configd-Store", r->store, sizeof r->store},
                  {"Content-Type", r->type, sizeof r->type}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (header_is(line, wanted[i].name, &value))
            (void)snprintf(wanted[i].to, wanted[i].room, "%.*s", (int)value.len, value.ptr);
    return line.len;
}

static bool is_write(const struct cfg_request *r)
{
    return strcmp(r->method, "GET") != 0;
}

/* May it have changed something? Some questions are too long for a GET, and a dry run is one. */
static bool may_change(const struct cfg_request *r)
{
    static const char *const asks[] = {"/v1/experiments/plan", "/ofrep/"};
    const char *query = strchr(r->path, '?');
    for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++)
        if (strncmp(r->path, asks[i], strlen(asks[i])) == 0)
            return false;
    return is_write(r) && !(query && strstr(query, "dry_run=true"));
}

static int add_headers(struct curl_slist **list, const struct cfg_request *r, const char *key)
{
    int rc = *list ? 0 : CFG_E_NOMEM;
    if (rc == 0 && r->body)
        rc = cfg_http_add_header(list, "Content-Type", r->content_type ? r->content_type : "application/json");
    if (rc == 0 && r->if_match)
        rc = cfg_http_add_header(list, "If-Match", r->if_match);
    if (rc == 0 && r->if_none_match)
        rc = cfg_http_add_header(list, "If-None-Match", "*");
    if (rc == 0 && key[0])
        rc = cfg_http_add_header(list, "Idempotency-Key", key);
    return rc;
}

static int prepare(struct cfg_client *c, const struct cfg_request *r, struct curl_slist *headers, struct reply *reply,
                   uint64_t budget_ms, struct cfg_error *err)
{
    curl_easy_reset(c->easy);
    int rc = cfg_http_prepare(c->easy, &c->target, c->server, r->path, c->errbuf, err);
    if (rc != 0)
        return rc;
    cfg_buf_clear(&reply->body);
    reply->etag[0] = reply->revision[0] = reply->store[0] = reply->type[0] = '\0';
    bool ok = curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)budget_ms) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, reply) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, reply) == CURLE_OK;
    if (r->body) {
        ok &= curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len) == CURLE_OK;
        ok &= curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, r->body) == CURLE_OK;
    }
    return ok ? 0 : cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a request");
}

static void make_key(char out[KEY_TEXT])
{
    (void)snprintf(out, KEY_TEXT, "%016llx%016llx", (unsigned long long)cfg_http_random(),
                   (unsigned long long)cfg_http_random());
}

/* Whether another server may do better: this one is not ready, or a proxy before it speaks. */
static bool worth_another(long status)
{
    return status == 502 || status == 503 || status == 504;
}

/* One round over the servers, and one attempt more when a reply was lost on the way: every attempt of a write carries
 * the same key, so that it happens once. Gives curl's last word; *reached tells whether any attempt may have been
 * heard without its answer having come back. */
static int perform(struct cfg_client *c, const struct cfg_request *r, struct curl_slist *headers, struct reply *reply,
                   CURLcode *code, bool *reached, struct cfg_error *err)
{
    uint64_t end = cfg_http_now_ms() + c->target.timeout_ms;
    size_t left = c->target.n;
    bool extra = true;
    *reached = false;
    for (;;) {
        uint64_t now = cfg_http_now_ms();
        int rc = prepare(c, r, headers, reply, end > now ? end - now : 1, err);
        if (rc != 0)
            return rc;
        *code = curl_easy_perform(c->easy);
        long status = 0;
        (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 stays when there is none */
        if (*code == CURLE_OK && !worth_another(status))
            return 0;
        *reached |= *code != CURLE_OK && cfg_http_reached(*code);
        left--;
        if (left == 0 && *code != CURLE_OK && cfg_http_reached(*code) && extra) {
            extra = false;
            left = 1;
        }
        if (left == 0 || cfg_http_now_ms() + PAUSE_MS >= end || *code == CURLE_WRITE_ERROR)
            return 0;
        c->server = (c->server + 1) % c->target.n;
    }
}

static bool type_is(const struct reply *r, const char *type)
{
    return strncasecmp(r->type, type, strlen(type)) == 0;
}

/* A reply came; is it configd's, and is it good? */
static int judge(const struct cfg_client *c, long status, const struct reply *r, char **raw_error,
                 struct cfg_error *err)
{
    const char *server = c->target.servers[c->server];
    bool ok = status >= 200 && status < 300;
    if (ok && (r->body.len == 0 || type_is(r, "application/json") || type_is(r, "application/x-ndjson")))
        return 0;
    if (!ok && type_is(r, "application/problem+json")) {
        (void)cfg_problem_read(err, status, cfg_buf_slice(&r->body)); /* never 0 */
        if (raw_error)
            *raw_error = cfg_slice_dup(cfg_buf_slice(&r->body));
        return err->code;
    }
    if (worth_another(status))
        return cfg_fail(err, CFG_E_UNAVAILABLE, "something before configd at %s answered %ld", server, status);
    cfg_fail(err, CFG_E_PROTOCOL, "%s answered %ld with %s: no reply of configd's", server, status,
             r->type[0] ? r->type : "no type of content");
    cfg_error_set_hint(err, "is that the address of a configd? see --server and CONFIGD_SERVER");
    return err->code;
}

static int unknown_outcome(struct cfg_error *err)
{
    char detail[sizeof err->text];
    memcpy(detail, err->text, sizeof detail);
    cfg_fail(err, CFG_E_UNKNOWN_OUTCOME, "whether the change was made is unknown: %.300s", detail);
    cfg_error_set_hint(err, "look with `cfgctl history` before doing it again");
    return err->code;
}

/* The transfer failed. A write that may have been heard is not simply "not done". */
static int judge_failure(const struct cfg_client *c, const struct cfg_request *r, CURLcode code, bool reached,
                         struct cfg_error *err)
{
    int rc = cfg_http_fail(err, code, c->errbuf, c->target.servers[c->server]);
    if (!may_change(r) || !reached || rc == CFG_E_PROTOCOL)
        return rc;
    return unknown_outcome(err);
}

/* The last answer refuses, but does not speak for the whole: an attempt before it was lost on the way, or a proxy lost
 * this one behind itself. */
static bool undecided(const struct cfg_client *c, const struct cfg_request *r, const struct reply *reply, bool reached)
{
    long status = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 is no such answer */
    return may_change(r) && worth_another(status) &&
           (reached || (status != 503 && !type_is(reply, "application/problem+json")));
}

static int finish(struct cfg_client *c, struct cfg_response *out, struct reply *reply, char **raw_error,
                  struct cfg_error *err)
{
    long status = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 is judged as no reply of configd's */
    int rc = judge(c, status, reply, raw_error, err);
    if (rc != 0)
        return rc;
    struct cfg_response r = {.status = status, .body_len = reply->body.len};
    r.body = cfg_buf_steal(&reply->body);
    if (r.body == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    memcpy(r.etag, reply->etag, sizeof r.etag);
    memcpy(r.revision, reply->revision, sizeof r.revision);
    memcpy(r.store, reply->store, sizeof r.store);
    *out = r;
    return 0;
}

int cfg_client_call(struct cfg_client *c, const struct cfg_request *r, struct cfg_response *out, char **raw_error,
                    struct cfg_error *err)
{
    struct cfg_error mine;
    if (err == NULL)
        err = &mine;
    if (r->method == NULL || r->path == NULL || r->path[0] != '/')
        return cfg_fail(err, CFG_E_INVALID, "a request needs a method and a path that starts with /");
    if (raw_error)
        *raw_error = NULL;
    char key[KEY_TEXT] = "";
    if (is_write(r) && r->idempotency_key == NULL)
        make_key(key);
    struct curl_slist *headers = cfg_http_headers(&c->target);
    struct reply reply = {.etag = ""};
    cfg_buf_init(&reply.body, REPLY_MAX);
    CURLcode code = CURLE_OK;
    bool reached = false;
    int rc = add_headers(&headers, r, r->idempotency_key ? r->idempotency_key : key);
    if (rc != 0)
        cfg_fail(err, rc, "out of memory");
    else
        rc = perform(c, r, headers, &reply, &code, &reached, err);
    if (rc == 0)
        rc = code == CURLE_OK ? finish(c, out, &reply, raw_error, err) : judge_failure(c, r, code, reached, err);
    if (rc != 0 && code == CURLE_OK && undecided(c, r, &reply, reached)) {
        rc = unknown_outcome(err);
        if (raw_error) { /* it tells of the last attempt only */
            free(*raw_error);
            *raw_error = NULL;
        }
    }
    cfg_buf_finish(&reply.body);
    curl_slist_free_all(headers);
    return rc;
}

void cfg_response_finish(struct cfg_response *r)
{
    free(r->body);
    *r = (struct cfg_response){0};
}

/* --- following events --- */

struct follow {
    struct cfg_sse_reader reader;
    struct reply reply; /* headers, and the body of a refusal */
    CURL *easy;
    cfg_client_event_fn fn;
    void *arg;
    bool stopped;
    int rc;
};

static void on_event(const struct cfg_sse_event *ev, void *arg)
{
    struct follow *f = arg;
    if (f->stopped)
        return;
    char event[64], id[64];
    (void)snprintf(event, sizeof event, "%.*s", (int)ev->event.len, ev->event.ptr);
    (void)snprintf(id, sizeof id, "%.*s", (int)ev->id.len, ev->id.ptr);
    f->stopped = !f->fn(event, id, ev->data.ptr, ev->data.len, f->arg);
}

static size_t take_events(char *bytes, size_t size, size_t n, void *arg)
{
    struct follow *f = arg;
    long status = 0;
    (void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 is not 200 */
    if (status != 200 || !type_is(&f->reply, "text/event-stream"))
        return take_body(bytes, size, n, &f->reply);
    f->rc = cfg_sse_reader_feed(&f->reader, (struct cfg_slice){bytes, size * n}, on_event, f);
    return f->rc == 0 && !f->stopped ? size * n : 0;
}

static int judge_events(struct cfg_client *c, struct follow *f, CURLcode code, struct cfg_error *err)
{
    long status = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 is judged as no reply of configd's */
    if (f->stopped)
        return 0;
    if (f->rc != 0)
        return cfg_fail(err, CFG_E_PROTOCOL, "an event of more than %d bytes", CFG_LIMIT_EVENT);
    if (code != CURLE_OK)
        return cfg_http_fail(err, code, c->errbuf, c->target.servers[c->server]);
    if (status == 200 && type_is(&f->reply, "text/event-stream"))
        return 0;
    int rc = judge(c, status, &f->reply, NULL, err);
    return rc != 0 ? rc
                   : cfg_fail(err, CFG_E_PROTOCOL, "%s answered %s where events were expected",
                              c->target.servers[c->server], f->reply.type);
}

static int prepare_events(struct cfg_client *c, const char *path, struct curl_slist *headers, struct follow *f,
                          struct cfg_error *err)
{
    const struct cfg_request r = {.method = "GET", .path = path};
    int rc = prepare(c, &r, headers, &f->reply, 0, err);
    if (rc != 0)
        return rc;
    bool ok = curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, take_events) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, f) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c->easy, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S) == CURLE_OK;
    return ok ? 0 : cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a request");
}

int cfg_client_events(struct cfg_client *c, const char *path, const char *last_event_id, cfg_client_event_fn fn,
                      void *arg, struct cfg_error *err)
{
    struct cfg_error mine;
    if (err == NULL)
        err = &mine;
    struct follow f = {.easy = c->easy, .fn = fn, .arg = arg};
    cfg_sse_reader_init(&f.reader, CFG_LIMIT_EVENT);
    cfg_buf_init(&f.reply.body, CFG_LIMIT_BODY);
    struct curl_slist *headers = cfg_http_headers(&c->target);
    int rc = headers ? cfg_http_add_header(&headers, "Accept", "text/event-stream") : CFG_E_NOMEM;
    if (rc == 0 && last_event_id && last_event_id[0])
        rc = cfg_http_add_header(&headers, "Last-Event-ID", last_event_id);
    if (rc != 0)
        cfg_fail(err, rc, "out of memory");
    for (size_t i = 0; rc == 0 && i < c->target.n; i++) {
        rc = prepare_events(c, path, headers, &f, err);
        if (rc != 0)
            break;
        CURLcode code = curl_easy_perform(c->easy);
        rc = judge_events(c, &f, code, err);
        if (rc == 0 || cfg_http_reached(code) || i + 1 == c->target.n)
            break;
        c->server = (c->server + 1) % c->target.n;
        rc = 0;
    }
    cfg_sse_reader_finish(&f.reader);
    cfg_buf_finish(&f.reply.body);
    curl_slist_free_all(headers);
    return rc;
}
