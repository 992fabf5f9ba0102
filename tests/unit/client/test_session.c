/* The session over the real transport: sockets, curl, one descriptor to poll. */
#include "proto/digest.h"
#include "tests/unit/client/memory.h"
#include "tests/unit/client/responder.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REGISTRATION "{\"worker\":\"w0\",\"incarnation\":\"abc\"}"

/* One worker's server: the stream writes what the test puts into the pipe. */
struct server {
    int pipe[2];
    unsigned registrations, reports, streams;
    char report[512], stream[1024];
    pthread_mutex_t lock;
};

static bool pump(int fd, struct server *s)
{
    responder_write(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    char text[4096];
    for (;;) {
        ssize_t n = read(s->pipe[0], text, sizeof text - 1);
        if (n <= 0 || text[0] == '!')
            return false;
        text[n] = '\0';
        responder_write(fd, text);
    }
}

static bool serve(int fd, const char *request, void *arg)
{
    struct server *s = arg;
    bool is_stream = strncmp(request, "GET ", 4) == 0;
    pthread_mutex_lock(&s->lock);
    if (is_stream) {
        s->streams++;
        snprintf(s->stream, sizeof s->stream, "%s", request);
    } else if (strstr(request, "/report ")) {
        s->reports++;
        snprintf(s->report, sizeof s->report, "%s", strstr(request, "\r\n\r\n") + 4);
    } else {
        s->registrations++;
    }
    pthread_mutex_unlock(&s->lock);
    if (is_stream)
        return pump(fd, s);
    if (strstr(request, "/report "))
        responder_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    else
        responder_reply(fd, 200, "application/json", "{\"store\":\"S1\",\"revision\":\"1-5\"}");
    return true;
}

struct heard {
    unsigned views, registered;
    char revision[64], view[512];
    enum cfg_session_state state;
};

static void on_view(void *arg, const struct cfg_view_event *ev)
{
    struct heard *h = arg;
    h->views++;
    snprintf(h->revision, sizeof h->revision, "%s", ev->revision);
    snprintf(h->view, sizeof h->view, "%.*s", (int)ev->view_len, ev->view);
}

static void on_state(void *arg, enum cfg_session_state state, const struct cfg_error *why)
{
    struct heard *h = arg;
    (void)why;
    h->state = state;
}

static void on_registered(void *arg, const char *reply)
{
    struct heard *h = arg;
    (void)reply;
    h->registered++;
}

static struct cfg_session *open_session(const char *servers, struct heard *h)
{
    struct cfg_session_options o = CFG_SESSION_OPTIONS_INIT;
    const struct cfg_session_callbacks callbacks = {on_view, NULL, on_state, on_registered, NULL, h};
    struct cfg_session *s = NULL;
    struct cfg_error err;
    o.client.servers = servers;
    o.client.user = "ann@host";
    o.deployment = "blue";
    o.registration = REGISTRATION;
    o.backoff_max_ms = 200;
    cr_assert_eq(cfg_session_new(&s, &o, &callbacks, &err), 0, "%s", err.text);
    return s;
}

/* Runs the session until *counter reaches n; only the descriptor wakes it. */
static void run_until(struct cfg_session *s, const unsigned *counter, unsigned n)
{
    struct pollfd p = {.fd = cfg_session_poll_fd(s), .events = POLLIN};
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < n) {
        cr_assert_geq(poll(&p, 1, 10000), 1, "nothing came for ten seconds");
        cfg_session_process(s);
    }
}

static void put(struct server *s, const char *event, const char *data)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "event: %s\ndata: %s\n\n", event, data);
    cr_assert_eq(write(s->pipe[1], text, (size_t)n), n);
}

static void server_start(struct server *s, struct responder *r)
{
    *s = (struct server){.registrations = 0};
    cr_assert_eq(pipe(s->pipe), 0);
    pthread_mutex_init(&s->lock, NULL);
    responder_start(r, serve, s);
}

static void server_stop(struct server *s, struct responder *r)
{
    close(s->pipe[1]);
    responder_stop(r);
    close(s->pipe[0]);
}

Test(session, follows_reports_and_reconnects_over_sockets)
{
    struct server s;
    struct responder r;
    struct heard h = {.views = 0};
    struct cfg_error err;
    char view[2048], a[CFG_DIGEST_TEXT], b[CFG_DIGEST_TEXT], patch[2048];
    server_start(&s, &r);
    struct cfg_session *session = open_session(r.url, &h);
    cr_assert_eq(cfg_session_timeout_ms(session), -1);
    memory_view(view, sizeof view, b, "1-6", "S1", 2);
    memory_view(view, sizeof view, a, "1-5", "S1", 1);
    put(&s, "view", view);
    run_until(session, &h.views, 1);
    cr_assert_eq(h.registered, 1);
    cr_assert_eq(h.state, CFG_SESSION_CONNECTED);
    memory_patch(patch, sizeof patch, "1-6", a, b, 2);
    put(&s, "patch", patch);
    run_until(session, &h.views, 2);
    cr_assert_str_eq(h.revision, "1-6");
    cr_assert_str_eq(h.view, "{\"flags\":{},\"parameters\":{\"t\":2},\"pinned\":{}}");

    cr_assert_eq(cfg_session_report(session, "{\"step\":1}", &err), 0);
    run_until(session, &s.reports, 1);
    cr_assert_eq(cfg_session_report(session, "{\"step\":2}", &err), 0);
    run_until(session, &s.reports, 2);
    cr_assert_eq(responder_connections(&r), 2, "one for the stream, one for all the rest");

    cr_assert_eq(write(s.pipe[1], "!", 1), 1); /* the server drops the stream */
    run_until(session, &h.registered, 2);
    memory_view(view, sizeof view, NULL, "1-7", "S1", 3);
    put(&s, "view", view);
    run_until(session, &h.views, 3);
    cr_assert_not_null(strstr(s.stream, "Last-Event-ID: 1-6\r\n"));
    cr_assert_not_null(strstr(s.stream, "digest=sha256%3A"));
    cfg_session_free(session);
    server_stop(&s, &r);
}

Test(session, finds_the_server_that_lives)
{
    struct server s;
    struct responder r;
    struct heard h = {.views = 0};
    char servers[128];
    server_start(&s, &r);
    snprintf(servers, sizeof servers, "http://127.0.0.1:%d,http://localhost:%d", responder_free_port(), r.port);
    struct cfg_session *session = open_session(servers, &h);
    run_until(session, &h.registered, 1);
    cfg_session_free(session);
    server_stop(&s, &r);
}

static void *wake(void *arg)
{
    cfg_session_wake(arg);
    return NULL;
}

Test(session, wakes_from_another_thread)
{
    struct heard h = {.views = 0};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", responder_free_port());
    struct cfg_session *session = open_session(url, &h);
    struct pollfd p = {.fd = cfg_session_poll_fd(session), .events = POLLIN};
    cfg_session_process(session);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wake, session), 0);
    cr_assert_eq(poll(&p, 1, 10000), 1);
    pthread_join(thread, NULL);
    cfg_session_process(session);
    cfg_session_free(session);
}

Test(session, state_names)
{
    cr_assert_str_eq(cfg_session_state_name(CFG_SESSION_CONNECTING), "connecting");
    cr_assert_str_eq(cfg_session_state_name(CFG_SESSION_SUPERSEDED), "superseded");
}
