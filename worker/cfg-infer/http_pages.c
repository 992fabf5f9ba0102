/* What can be looked at: models, health, status, metrics, the description. See http_internal.h. */
#include "worker/cfg-infer/http_internal.h"
#include <event2/keyvalq_struct.h>
#include <string.h>

extern const char cfg_infer_openapi_json[]; /* openapi.yaml, made by cfg_yaml_to_c */

enum { PAGE_MAX = 1 << 20 };

static struct cfg_http_figures figures_now(struct cfg_http *h)
{
    (void)pthread_mutex_lock(&h->lock);
    const struct cfg_http_figures f = h->figures;
    (void)pthread_mutex_unlock(&h->lock);
    return f;
}

static void put_text(struct cfg_buf *b, const char *name, const char *text)
{
    cfg_buf_printf(b, "\"%s\":", name);
    cfg_json_put_string(b, cfg_slice_str(text));
    cfg_buf_putc(b, ',');
}

static int status(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err)
{
    struct cfg_worker_status s;
    const struct cfg_http_figures f = figures_now(h);
    (void)req;
    (void)err;
    cfg_worker_status(h->w, &s);
    cfg_buf_putc(b, '{');
    put_text(b, "state", s.state);
    put_text(b, "revision", s.revision);
    put_text(b, "digest", s.digest);
    put_text(b, "newest", s.newest);
    put_text(b, "last_reject", s.last_reject);
    put_text(b, "model", h->o.model);
    put_text(b, "weights", h->o.weights);
    put_text(b, "backend", h->o.backend);
    put_text(b, "precision", h->o.precision);
    cfg_buf_printf(b, "\"age_ms\":%llu,\"changes\":%llu,\"rejects\":%llu,\"step\":%llu,\"running\":%u,\"waiting\":%u,",
                   (unsigned long long)s.age_ms, (unsigned long long)s.changes, (unsigned long long)s.rejects,
                   (unsigned long long)f.step, f.running, f.waiting);
    cfg_buf_printf(b, "\"batch_size\":%u,\"capacity\":%u,\"draining\":%s,\"captures\":%llu,\"params_version\":%llu,",
                   f.batch_size, f.capacity, f.draining ? "true" : "false", (unsigned long long)f.captures,
                   (unsigned long long)f.params_version);
    cfg_buf_puts(b, "\"temperature\":");
    cfg_json_put_number(b, f.temperature);
    cfg_buf_printf(b, ",\"tokens\":%llu,\"finished\":%llu,\"tokens_per_s\":%.0f}\n", (unsigned long long)f.tokens,
                   (unsigned long long)f.finished, f.tokens_per_s);
    return 0;
}

static int metrics(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err)
{
    struct cfg_worker_status s;
    const struct cfg_http_figures f = figures_now(h);
    (void)req;
    (void)err;
    cfg_worker_status(h->w, &s);
    cfg_infer_metrics_print(b, &h->counts, &f, &s, &h->o);
    return 0;
}

static int identified(struct cfg_http *h, struct evhttp_request *req, struct cfg_error *err)
{
    struct cfg_caller who;
    struct cfg_settings *s = cfg_http_settings_now(h);
    int rc = cfg_http_identify(&who, s, req, err);
    cfg_settings_unref(s);
    return rc;
}

static int models(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err)
{
    int rc = identified(h, req, err);
    if (rc == 0) {
        cfg_openai_model(b, h->o.model, h->o.created, true);
    }
    return rc;
}

static int model(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    int rc = identified(h, req, err);
    if (rc == 0 && strcmp(path + strlen("/v1/models/"), h->o.model) != 0) {
        rc = cfg_fail(err, CFG_E_NOT_FOUND, "there is no such model; this server has %s", h->o.model);
        cfg_error_set_path(err, "model");
    }
    if (rc == 0) {
        cfg_openai_model(b, h->o.model, h->o.created, false);
    }
    return rc;
}

static int alive(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err)
{
    (void)h;
    (void)req;
    (void)err;
    cfg_buf_puts(b, "{\"ok\":true}\n");
    return 0;
}

static int ready(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err)
{
    (void)pthread_mutex_lock(&h->lock);
    bool closing = h->closing;
    (void)pthread_mutex_unlock(&h->lock);
    return closing ? cfg_fail(err, CFG_E_NOT_READY, "this server is going down") : alive(h, req, b, err);
}

static int description(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err)
{
    (void)h;
    (void)req;
    (void)err;
    cfg_buf_puts(b, cfg_infer_openapi_json);
    return 0;
}

static const struct {
    const char *path, *type;
    int (*show)(struct cfg_http *h, struct evhttp_request *req, struct cfg_buf *b, struct cfg_error *err);
} pages[] = {
    {"/v1/models", NULL, models},
    {"/healthz", NULL, alive},
    {"/readyz", NULL, ready},
    {"/status", NULL, status},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics},
    {"/openapi.json", NULL, description},
    {"/v1/models/", NULL, model}, /* and what follows */
};
enum { N_PAGES = sizeof pages / sizeof pages[0] };

static size_t find(const char *path)
{
    size_t i = 0;
    while (i < N_PAGES - 1 && strcmp(pages[i].path, path) != 0) {
        i++;
    }
    return i < N_PAGES - 1 || strncmp(path, pages[i].path, strlen(pages[i].path)) == 0 ? i : N_PAGES;
}

void cfg_http_page_on_loop(struct cfg_http *h, struct evhttp_request *req)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    size_t i = path != NULL ? find(path) : N_PAGES;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf b;
    cfg_buf_init(&b, PAGE_MAX);
    int rc = i == N_PAGES ? cfg_fail(&err, CFG_E_NOT_FOUND, "there is POST /v1/completions; /openapi.json has the rest")
             : evhttp_request_get_command(req) != EVHTTP_REQ_GET
                 ? cfg_fail(&err, CFG_E_METHOD, "%s takes GET", pages[i].path)
                 : pages[i].show(h, req, &b, &err);
    if (rc != 0) {
        cfg_http_reply_error(h, req, &err);
    } else {
        cfg_http_reply(h, req, 200, pages[i].type, &b);
    }
    cfg_buf_finish(&b);
}
