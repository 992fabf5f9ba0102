/* From a request to a sequence: read, identified, judged by policy. See http_internal.h. */
#include "worker/cfg-infer/http_internal.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *header(struct evhttp_request *req, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(req), name);
}

int cfg_http_identify(struct cfg_caller *out, const struct cfg_settings *s, struct evhttp_request *req,
                      struct cfg_error *err)
{
    return cfg_policy_identify(out, s->policy, header(req, "Configd-Tenant"), header(req, "Configd-Tier"),
                               header(req, "Authorization"), err);
}

/* --- reading --- */

/* Another type would let any web page send requests: with this one a browser asks first, and nobody answers it. */
static int check_type(struct evhttp_request *req, struct cfg_error *err)
{
    const char *type = header(req, "Content-Type");
    if (type != NULL && strncasecmp(type, "application/json", 16) == 0 && strchr("; \t", type[16]) != NULL) {
        return 0;
    }
    (void)cfg_fail(err, CFG_E_MEDIA_TYPE, "the body must be application/json");
    cfg_error_set_hint(err, "curl --json '{\"prompt\":\"…\"}' …/v1/completions");
    return CFG_E_MEDIA_TYPE;
}

static int read_body(cJSON **out, struct evhttp_request *req, struct cfg_error *err)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    int rc = check_type(req, err);
    if (rc != 0) {
        return rc;
    }
    if (len > CFG_HTTP_BODY_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "the body has %zu bytes, more than %d", len, CFG_HTTP_BODY_MAX);
    }
    const char *text = len > 0 ? (const char *)evbuffer_pullup(in, -1) : "";
    rc = cfg_json_parse(out, (struct cfg_slice){text, len}, 0, err);
    return rc != 0 ? cfg_error_wrap(err, "the body is no JSON of valid UTF-8") : 0;
}

/* --- explaining --- */

static void put_ascii(struct cfg_buf *out, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c != '\0') {
        uint32_t code = *c, more = 0;
        if (*c >= 0xC0) {
            more = *c >= 0xF0 ? 3 : *c >= 0xE0 ? 2 : 1;
            code = *c & (0x3FU >> more);
        }
        for (c++; more > 0 && *c != '\0'; more--, c++) {
            code = code << 6 | (*c & 0x3FU);
        }
        if (code < 0x80) {
            cfg_buf_putc(out, (char)code);
        } else if (code < 0x10000) {
            cfg_buf_printf(out, "\\u%04x", code);
        } else {
            cfg_buf_printf(out, "\\u%04x\\u%04x", 0xD7C0U + (code >> 10), 0xDC00U + (code & 0x3FFU));
        }
    }
}

/* {"revision","tenant","tier","applied":[…]}, in ASCII, as headers are. Returned-owned; NULL without memory or where it
 * would not fit a header. */
static char *print_explained(const struct cfg_settings *s, const struct cfg_caller *who, const cJSON *applied)
{
    struct cfg_buf json, ascii;
    cfg_buf_init(&json, 6144);
    cfg_buf_init(&ascii, 8192);
    cfg_buf_printf(&json, "{\"revision\":\"%s\",\"tenant\":", s->revision);
    cfg_json_put_string(&json, cfg_slice_str(who->tenant));
    cfg_buf_puts(&json, ",\"tier\":");
    cfg_json_put_string(&json, cfg_slice_str(who->tier));
    cfg_buf_puts(&json, ",\"applied\":");
    size_t mark = json.len;
    cfg_json_print(&json, applied);
    if (cfg_buf_status(&json) != 0) {
        json.len = mark;
        json.failed = 0;
        cfg_buf_printf(&json, "[],\"more\":%d", cJSON_GetArraySize(applied));
    }
    cfg_buf_putc(&json, '}');
    if (cfg_buf_status(&json) == 0) {
        put_ascii(&ascii, json.data);
    }
    cfg_buf_finish(&json);
    char *text = ascii.len > 0 ? cfg_buf_steal(&ascii) : NULL;
    cfg_buf_finish(&ascii);
    return text;
}

/* --- judging --- */

struct judged {
    struct cfg_ask ask;
    struct cfg_caller who;
    struct cfg_infer_request *request;
    char *explained;
};

static int check_model(const struct cfg_http *h, const struct cfg_ask *ask, struct cfg_error *err)
{
    if (ask->model == NULL || strcmp(ask->model, h->o.model) == 0) {
        return 0;
    }
    (void)cfg_fail(err, CFG_E_NOT_FOUND, "model: there is no %.100s here", ask->model);
    cfg_error_set_path(err, "model");
    cfg_error_set_hint(err, "this server has %s", h->o.model);
    return CFG_E_NOT_FOUND;
}

static int judge(struct judged *out, struct cfg_http *h, struct evhttp_request *req, cJSON *body, struct cfg_error *err)
{
    const char *wish = header(req, "Configd-Explain");
    struct cfg_settings *s = cfg_http_settings_now(h);
    cJSON *applied = wish != NULL && strcmp(wish, "1") == 0 ? cJSON_CreateArray() : NULL;
    int rc = cfg_http_identify(&out->who, s, req, err);
    if (rc == 0) {
        rc = cfg_policy_apply(&out->ask, s->policy, &out->who, body, applied, err);
        out->explained = applied != NULL ? print_explained(s, &out->who, applied) : NULL;
    }
    rc = rc != 0 ? rc : check_model(h, &out->ask, err);
    rc = rc != 0 ? rc : cfg_infer_request_new(&out->request, body, &out->who, err);
    cJSON_Delete(applied);
    cfg_settings_unref(s);
    return rc;
}

static void judged_finish(struct judged *j)
{
    cfg_ask_finish(&j->ask);
    cfg_infer_request_free(j->request);
    free(j->explained);
}

/* --- handing over --- */

static void gone_on_loop(struct evhttp_connection *c, void *arg)
{
    struct cfg_job *j = arg;
    (void)c;
    /* evhttp frees the connection's requests, but lets go of one whose write has failed before it was done. */
    if (evhttp_request_get_connection(j->req) == NULL) {
        evhttp_request_free(j->req);
    }
    j->req = NULL;
    event_free(j->closed);
    j->closed = NULL;
    j->h->counts.gone++;
    atomic_store_explicit(&j->seq->gone, true, memory_order_relaxed);
    atomic_store_explicit(&j->h->left, true, memory_order_release);
}

/* evhttp does not read while an answer is due, so it would learn of a client's end from its next write only. */
static void closed_on_loop(evutil_socket_t fd, short what, void *arg)
{
    struct cfg_job *j = arg;
    (void)fd;
    (void)what;
    evhttp_connection_free(evhttp_request_get_connection(j->req)); /* calls gone_on_loop */
}

static struct cfg_job *new_job(struct cfg_http *h, struct evhttp_request *req, struct judged *judged)
{
    struct evhttp_connection *c = evhttp_request_get_connection(req);
    struct cfg_job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return NULL;
    }
    j->h = h;
    j->req = req;
    j->stream = judged->ask.stream;
    j->usage = judged->ask.include_usage;
    j->head.model = h->o.model;
    j->head.created = (int64_t)time(NULL);
    (void)snprintf(j->head.id, sizeof j->head.id, "cmpl-%016llx%08llx", (unsigned long long)h->boot_id,
                   (unsigned long long)h->next_id++);
    uint64_t seed = judged->ask.has_seed ? judged->ask.seed : h->next_seed++;
    j->closed =
        event_new(h->base, bufferevent_getfd(evhttp_connection_get_bufferevent(c)), EV_CLOSED, closed_on_loop, j);
    j->seq = j->closed != NULL && event_add(j->closed, NULL) == 0 ? cfg_seq_new(&judged->ask, seed) : NULL;
    if (j->seq == NULL) {
        if (j->closed != NULL) {
            event_free(j->closed);
        }
        free(j);
        return NULL;
    }
    j->seq->owner = j;
    j->seq->begun_us = cfg_infer_now_us();
    j->seq->request = judged->request;
    j->seq->caller = judged->who;
    j->explained = judged->explained;
    judged->request = NULL;
    judged->explained = NULL;
    evhttp_connection_set_closecb(c, gone_on_loop, j);
    j->next = h->jobs;
    if (j->next != NULL) {
        j->next->prev = j;
    }
    h->jobs = j;
    return j;
}

static int may_come(struct cfg_http *h, struct cfg_error *err)
{
    (void)pthread_mutex_lock(&h->lock);
    bool closing = h->closing, full = h->open >= CFG_HTTP_OPEN_MAX;
    h->open += closing || full ? 0U : 1U;
    (void)pthread_mutex_unlock(&h->lock);
    if (closing) {
        return cfg_fail(err, CFG_E_NOT_READY, "this server is going down");
    }
    return full ? cfg_fail(err, CFG_E_RATE, "%d requests are under way already", CFG_HTTP_OPEN_MAX) : 0;
}

static void hand_over(struct cfg_http *h, struct cfg_job *j)
{
    h->counts.prompt_tokens += j->seq->prompt_len;
    (void)pthread_mutex_lock(&h->lock);
    *h->in_tail = j->seq;
    h->in_tail = &j->seq->next;
    atomic_store_explicit(&h->any, true, memory_order_release);
    (void)pthread_mutex_unlock(&h->lock);
    cfg_worker_wake(h->w);
}

static int accept_request(struct cfg_http *h, struct evhttp_request *req, struct judged *judged, struct cfg_error *err)
{
    int rc = may_come(h, err);
    if (rc != 0) {
        return rc;
    }
    struct cfg_job *j = new_job(h, req, judged);
    if (j == NULL) {
        (void)pthread_mutex_lock(&h->lock);
        h->open--;
        (void)pthread_mutex_unlock(&h->lock);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    hand_over(h, j);
    return 0;
}

void cfg_http_completion_on_loop(struct cfg_http *h, struct evhttp_request *req)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct judged judged = {0};
    cJSON *body = NULL;
    int rc = read_body(&body, req, &err);
    rc = rc != 0 ? rc : judge(&judged, h, req, body, &err);
    rc = rc != 0 ? rc : accept_request(h, req, &judged, &err);
    if (rc != 0) {
        if (judged.explained != NULL) {
            (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Configd-Policy", judged.explained);
        }
        cfg_http_reply_error(h, req, &err);
    }
    judged_finish(&judged);
    cJSON_Delete(body);
}
