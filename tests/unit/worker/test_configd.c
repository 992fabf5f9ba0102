/* A worker over HTTP, against a scripted server: what it registers, what it takes from the stream, what it reports. The
 * session itself is tested in client.*; the whole with a real configd in the integration tests. */
#include "proto/digest.h"
#include "tests/unit/client/responder.h"
#include "worker/internal.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct server {
    struct responder http;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int pipe[2]; /* bytes of the stream; '!' ends the connection */
    unsigned registrations, reports;
    char registration[8192], report[4096];
    const char *refusal; /* a problem document, or NULL */
};

static struct server server;
static struct cfg_worker *w;
static cfg_param temp, tp;
static char cache_dir[64], cache[96];

static bool stream(int fd)
{
    char byte[2] = "";
    responder_write(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    while (read(server.pipe[0], byte, 1) == 1) {
        if (byte[0] == '!') {
            return false;
        }
        responder_write(fd, byte);
    }
    return false;
}

static bool serve(int fd, const char *request, void *arg)
{
    (void)arg;
    if (strncmp(request, "GET ", 4) == 0) {
        return stream(fd);
    }
    bool report = strstr(request, "/report ") != NULL;
    const char *body = strstr(request, "\r\n\r\n") + 4;
    (void)pthread_mutex_lock(&server.lock);
    (void)snprintf(report ? server.report : server.registration,
                   report ? sizeof server.report : sizeof server.registration, "%s", body);
    *(report ? &server.reports : &server.registrations) += 1;
    const char *refusal = server.refusal;
    (void)pthread_cond_broadcast(&server.changed);
    (void)pthread_mutex_unlock(&server.lock);
    if (report) {
        responder_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    } else if (refusal != NULL) {
        responder_reply(fd, 409, "application/problem+json", refusal);
    } else {
        responder_reply(
            fd, 200, "application/json",
            "{\"deployment\":\"blue\",\"worker\":\"w0\",\"arm\":\"base\",\"store\":\"S1\",\"revision\":\"1-5\","
            "\"generation\":1,\"pin\":{},\"pin_digest\":\"\",\"report_interval_ms\":60000}");
    }
    return true;
}

static void view_text(char *out, size_t size, char digest[CFG_DIGEST_TEXT], double temperature)
{
    cJSON *tree = NULL;
    (void)snprintf(
        out, size,
        "{\"parameters\":{\"sampling\":{\"temperature\":%g}},\"pinned\":{\"distributed\":{\"tp\":4}},\"flags\":{}}",
        temperature);
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(out), 0, NULL), 0);
    cr_assert_eq(cfg_digest_json(digest, tree), 0);
    cJSON_Delete(tree);
}

static void send_event(const char *event, const char *id, const char *data)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "event: %s\nid: %s\ndata: %s\n\n", event, id, data);
    cr_assert_eq(write(server.pipe[1], text, (size_t)n), n);
}

static void send_view(const char *revision, double temperature)
{
    char view[1024], digest[CFG_DIGEST_TEXT], data[2048];
    view_text(view, sizeof view, digest, temperature);
    (void)snprintf(
        data, sizeof data,
        "{\"deployment\":\"blue\",\"arm\":\"base\",\"store\":\"S1\",\"generation\":1,\"revision\":\"%s\",\"digest\":"
        "\"%s\",\"versions\":{\"chat\":1},\"stale\":false,\"pin_digest\":\"x\",\"view\":%s}",
        revision, digest, view);
    send_event("view", revision, data);
}

static void send_patch(const char *revision, double from, double to)
{
    char view[1024], a[CFG_DIGEST_TEXT], b[CFG_DIGEST_TEXT], data[2048];
    view_text(view, sizeof view, a, from);
    view_text(view, sizeof view, b, to);
    (void)snprintf(
        data, sizeof data,
        "{\"revision\":\"%s\",\"from\":\"%s\",\"digest\":\"%s\",\"versions\":{\"chat\":2},\"patch\":[{\"op\":"
        "\"replace\",\"path\":\"/parameters/sampling/temperature\",\"value\":%g}]}",
        revision, a, b, to);
    send_event("patch", revision, data);
}

static void open_worker(void)
{
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    struct cfg_error err = CFG_ERROR_INIT;
    o.servers = server.http.url;
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = cache;
    cr_assert_eq(cfg_worker_open(&w, &o, &err), 0, "%s", err.text);
    temp = cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
    tp = cfg_param_i64(w, "distributed.tp", CFG_PINNED, 1, 8, 1);
}

static void setup(void)
{
    memset(&server, 0, sizeof server);
    cr_assert_eq(pipe(server.pipe), 0);
    (void)pthread_mutex_init(&server.lock, NULL);
    (void)pthread_cond_init(&server.changed, NULL);
    (void)snprintf(cache_dir, sizeof cache_dir, "/tmp/cfg-configd-XXXXXX");
    cr_assert_not_null(mkdtemp(cache_dir));
    (void)snprintf(cache, sizeof cache, "%s/view", cache_dir);
    responder_start(&server.http, serve, NULL);
    open_worker();
}

static void teardown(void)
{
    char command[128];
    cfg_worker_close(w);
    (void)close(server.pipe[1]);
    responder_stop(&server.http);
    (void)close(server.pipe[0]);
    (void)snprintf(command, sizeof command, "rm -rf %s", cache_dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(configd, .init = setup, .fini = teardown, .timeout = 30);

static void start(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_worker_start(w, 10000, &err), 0, "%s", err.text);
}

static double until(const char *revision)
{
    for (uint64_t step = 0;; step++) {
        const struct cfg_view *v = cfg_step_begin(w, step);
        cfg_step_end(w, NULL);
        if (strcmp(v->revision, revision) == 0) {
            return cfg_get_f64(v, temp);
        }
        (void)cfg_worker_idle(w, 1000);
    }
}

static void wait_report(const char *part)
{
    (void)pthread_mutex_lock(&server.lock);
    while (strstr(server.report, part) == NULL) {
        (void)pthread_cond_wait(&server.changed, &server.lock);
    }
    (void)pthread_mutex_unlock(&server.lock);
}

static void wait_registrations(unsigned n)
{
    (void)pthread_mutex_lock(&server.lock);
    while (server.registrations < n) {
        (void)pthread_cond_wait(&server.changed, &server.lock);
    }
    (void)pthread_mutex_unlock(&server.lock);
}

Test(configd, registers_follows_and_reports)
{
    send_view("1-10", 0.5);
    start();
    cr_assert_not_null(strstr(server.registration, "\"contract\":{\"sampling.temperature\":{\"type\":\"f64\",\"class\":"
                                                   "\"live\",\"min\":0,\"max\":2,\"default\":0.7}"),
                       "%s", server.registration);
    cr_assert_not_null(strstr(server.registration, "\"pin\":{}"), "%s", server.registration);
    cr_assert_float_eq(until("1-10"), 0.5, 1e-12);
    wait_report("\"applied\":{\"revision\":\"1-10\"");
    send_patch("1-11", 0.5, 0.25);
    cr_assert_float_eq(until("1-11"), 0.25, 1e-12);
    wait_report("\"applied\":{\"revision\":\"1-11\"");
    send_patch("1-12", 0.25, 9);
    wait_report("\"rejects\":[{\"revision\":\"1-12\",\"path\":\"sampling.temperature\"");
    struct cfg_worker_status s;
    cfg_worker_status(w, &s);
    cr_assert_str_eq(s.revision, "1-11");
    cr_assert_str_eq(s.state, "connected");
    cr_assert_str_eq(s.store, "S1");
    send_patch("1-13", 9, 1);
    cr_assert_float_eq(until("1-13"), 1, 1e-12);
    wait_report("\"rejects\":[]");
}

Test(configd, once_started_the_pin_is_part_of_every_registration)
{
    send_view("1-10", 0.5);
    start();
    const struct cfg_view *v = cfg_step_begin(w, 0);
    cr_assert_eq(cfg_get_i64(v, tp), 4);
    cr_assert_eq(write(server.pipe[1], "!", 1), 1);
    wait_registrations(2);
    cr_assert_not_null(strstr(server.registration, "\"pin\":{\"distributed\":{\"tp\":4}}"), "%s", server.registration);
    cr_assert_not_null(strstr(server.registration, "\"store\":\"S1\""), "%s", server.registration);
    send_view("1-11", 0.75);
    cr_assert_float_eq(until("1-11"), 0.75, 1e-12);
}

Test(configd, a_pin_mismatch_is_final_and_names_the_key)
{
    struct cfg_error err = CFG_ERROR_INIT;
    server.refusal =
        "{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,\"code\":\"pin_mismatch\",\"detail\":"
        "\"distributed.tp: chat-blue is pinned to 4, this worker has 8\"}";
    cr_assert_eq(cfg_worker_start(w, 10000, &err), CFG_E_PIN_MISMATCH);
    cr_assert_not_null(strstr(err.text, "distributed.tp"), "%s", err.text);
}

Test(configd, a_restart_without_configd_goes_on_from_the_cache)
{
    struct cfg_error err = CFG_ERROR_INIT;
    send_view("1-10", 0.5);
    start();
    (void)until("1-10");
    cfg_worker_close(w);
    w = NULL;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    char nowhere[64];
    (void)snprintf(nowhere, sizeof nowhere, "http://127.0.0.1:%d", responder_free_port());
    o.servers = nowhere;
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = cache;
    cr_assert_eq(cfg_worker_open(&w, &o, &err), 0);
    temp = cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
    cr_assert_eq(cfg_worker_start(w, 50, &err), 0, "%s", err.text);
    cr_assert_float_eq(until("1-10"), 0.5, 1e-12);
    struct cfg_worker_status s;
    cfg_worker_status(w, &s);
    cr_assert_str_eq(s.state, "connecting");
    cr_assert_gt(s.age_ms, 0U);
}

Test(configd, no_server_and_no_cache_says_which_server)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *alone = NULL;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    char nowhere[64];
    (void)snprintf(nowhere, sizeof nowhere, "http://127.0.0.1:%d", responder_free_port());
    o.servers = nowhere;
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = "";
    cr_assert_eq(cfg_worker_open(&alone, &o, &err), 0);
    cr_assert_eq(cfg_worker_start(alone, 200, &err), CFG_E_TIMEOUT);
    cr_assert_not_null(strstr(err.text, nowhere + 7), "%s", err.text);
    cfg_worker_close(alone);
}

/* --- exactly one revision, for a group --- */

struct past {
    char reply[2048], asked[256];
    int status;
};

static bool serve_past(int fd, const char *request, void *arg)
{
    struct past *p = arg;
    if (strncmp(request, "GET ", 4) != 0) { /* the registration */
        responder_reply(fd, 503, "application/problem+json", "{\"code\":\"unavailable\",\"status\":503}");
        return true;
    }
    (void)snprintf(p->asked, sizeof p->asked, "%.*s", (int)strcspn(request, "\r"), request);
    responder_reply(fd, p->status, p->status == 200 ? "application/json" : "application/problem+json", p->reply);
    return true;
}

static void print_past(struct past *p, const char *revision, const char *digest)
{
    char view[512], true_digest[CFG_DIGEST_TEXT];
    view_text(view, sizeof view, true_digest, 0.3);
    p->status = 200;
    (void)snprintf(p->reply, sizeof p->reply, "{\"revision\":\"%s\",\"digest\":\"%s\",\"store\":\"S1\",\"view\":%s}",
                   revision, digest != NULL ? digest : true_digest, view);
}

struct fetched {
    bool done;
    int rc;
    struct cfg_aside got;
};

static void on_fetched(void *arg, struct cfg_aside *got, const struct cfg_error *why)
{
    struct fetched *f = arg;
    f->done = true;
    f->rc = got != NULL ? 0 : why->code;
    if (got != NULL) {
        cfg_aside_clear(&f->got);
        f->got = *got;
    }
}

static int fetch(const char *revision, struct fetched *f)
{
    struct cfg_source *source = w->source;
    f->done = false;
    source->ops->fetch(source, revision, on_fetched, f);
    while (!f->done) {
        struct pollfd p = {source->ops->fd(source), POLLIN, 0};
        (void)poll(&p, 1, 1000);
        source->ops->process(source);
    }
    return f->rc;
}

Test(configd_source, fetches_exactly_the_revision_that_is_asked_for)
{
    struct responder http;
    struct past p;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    struct cfg_source_events events;
    const struct cfg_source_resume resume = {NULL, NULL, NULL, NULL};
    struct fetched f = {.got.text = NULL};
    responder_start(&http, serve_past, &p);
    o.servers = http.url;
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = "";
    cr_assert_eq(cfg_worker_open(&w, &o, &err), 0, "%s", err.text);
    cfg_engine_events(&events, w);
    print_past(&p, "1-7", NULL);
    cr_assert_eq(w->source->ops->start(w->source, &events, &resume, &err), 0, "%s", err.text);
    cr_assert_eq(fetch("1-7", &f), 0);
    cr_assert_str_eq(f.got.revision, "1-7");
    cr_assert_str_eq(f.got.store, "S1");
    cr_assert(strstr(f.got.text->data, "\"temperature\":0.3") != NULL, "%s", f.got.text->data);
    cr_assert_str_eq(p.asked, "GET /v1/deployments/blue/view?worker=w0&revision=1-7&min_revision=1-7 HTTP/1.1");
    cr_assert_eq(fetch("1-8", &f), CFG_E_VALUE); /* another one came */
    print_past(&p, "1-7", "sha256:00");
    cr_assert_eq(fetch("1-7", &f), CFG_E_VALUE);
    (void)snprintf(p.reply, sizeof p.reply, "{}");
    cr_assert_eq(fetch("1-7", &f), CFG_E_PROTOCOL);
    p.status = 404;
    (void)snprintf(p.reply, sizeof p.reply, "{\"code\":\"not_found\",\"title\":\"no such view\",\"status\":404}");
    cr_assert_eq(fetch("1-7", &f), CFG_E_NOT_FOUND);
    responder_stop(&http);
    cr_assert_eq(fetch("1-7", &f), CFG_E_CONNECT);
    cfg_aside_clear(&f.got);
    cfg_worker_close(w);
}
