/* Many sessions behind one descriptor: each follows, reports, breaks and ends as it would alone. */
#include "client/include/cfg/client.h"
#include "proto/digest.h"
#include "tests/unit/client/responder.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SESSIONS = 12 };

struct server {
    struct responder http;
    pthread_mutex_t lock;
    int hold[2]; /* streams end when it is closed */
    unsigned registrations, reports, streams, busy, busiest;
    char view[1024];
    bool broken; /* streams end at once */
};

static struct server server;

static void print_view(void)
{
    static const char view[] = "{\"flags\":{},\"parameters\":{\"t\":1},\"pinned\":{}}";
    char digest[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_digest_bytes(digest, cfg_slice_str(view)), 0);
    (void)snprintf(server.view, sizeof server.view,
                   "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: view\nid: 1-5\ndata: "
                   "{\"store\":\"S1\",\"arm\":\"base\",\"revision\":\"1-5\",\"digest\":\"%s\",\"stale\":false,"
                   "\"view\":%s}\n\n",
                   digest, view);
}

static bool stream(int fd)
{
    struct pollfd p = {server.hold[0], POLLIN, 0};
    (void)pthread_mutex_lock(&server.lock);
    server.streams++;
    bool broken = server.broken;
    (void)pthread_mutex_unlock(&server.lock);
    if (broken)
        return false;
    responder_write(fd, server.view);
    (void)poll(&p, 1, -1);
    return false;
}

static bool serve(int fd, const char *request, void *arg)
{
    (void)arg;
    if (strncmp(request, "GET ", 4) == 0)
        return stream(fd);
    bool report = strstr(request, "/report ") != NULL;
    (void)pthread_mutex_lock(&server.lock);
    *(report ? &server.reports : &server.registrations) += 1;
    (void)pthread_mutex_unlock(&server.lock);
    if (report)
        responder_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    else
        responder_reply(fd, 200, "application/json", "{\"store\":\"S1\",\"revision\":\"1-5\"}");
    return true;
}

struct heard {
    unsigned views, reported, lost;
};

static struct heard heard[SESSIONS];
static struct cfg_session_loop *loop;
static struct cfg_session *sessions[SESSIONS];

static void on_view(void *arg, const struct cfg_view_event *ev)
{
    struct heard *h = arg;
    cr_assert_str_eq(ev->revision, "1-5");
    cr_assert_str_eq(ev->meta, "{}", "nobody asked for it");
    h->views++;
}

static void on_reported(void *arg, const char *json)
{
    struct heard *h = arg;
    cr_assert_str_eq(json, "{\"n\":1}");
    h->reported++;
}

static void on_state(void *arg, enum cfg_session_state state, const struct cfg_error *why)
{
    struct heard *h = arg;
    h->lost += state == CFG_SESSION_CONNECTING && why != NULL ? 1 : 0;
}

static void open_session(size_t i)
{
    const struct cfg_session_callbacks callbacks = {
        .on_view = on_view, .on_reported = on_reported, .on_state = on_state, .arg = &heard[i]};
    struct cfg_session_options o = CFG_SESSION_OPTIONS_INIT;
    struct cfg_error err;
    char registration[64];
    (void)snprintf(registration, sizeof registration, "{\"worker\":\"w%zu\",\"incarnation\":\"abc\"}", i);
    o.client.servers = server.http.url;
    o.deployment = "blue";
    o.registration = registration;
    o.loop = loop;
    o.without_meta = true;
    cr_assert_eq(cfg_session_new(&sessions[i], &o, &callbacks, &err), 0, "%s", err.text);
}

static void setup(void)
{
    struct cfg_error err;
    memset(&server, 0, sizeof server);
    memset(heard, 0, sizeof heard);
    cr_assert_eq(pipe(server.hold), 0);
    (void)pthread_mutex_init(&server.lock, NULL);
    print_view();
    responder_start(&server.http, serve, NULL);
    cr_assert_eq(cfg_session_loop_new(&loop, &err), 0, "%s", err.text);
    for (size_t i = 0; i < SESSIONS; i++)
        open_session(i);
}

static void teardown(void)
{
    for (size_t i = 0; i < SESSIONS; i++)
        cfg_session_free(sessions[i]);
    cfg_session_loop_free(loop);
    (void)close(server.hold[1]);
    responder_stop(&server.http);
    (void)close(server.hold[0]);
}

TestSuite(session_loop, .init = setup, .fini = teardown, .timeout = 30);

/* Only the descriptor wakes it. */
static void turn(void)
{
    struct pollfd p = {.fd = cfg_session_loop_poll_fd(loop), .events = POLLIN};
    cr_assert_eq(poll(&p, 1, 10000), 1, "nothing came for ten seconds");
    (void)cfg_session_loop_process(loop);
}

static bool all_have(size_t from, size_t member, unsigned n)
{
    for (size_t i = from; i < SESSIONS; i++)
        if (*(unsigned *)(void *)((char *)&heard[i] + member) < n)
            return false;
    return true;
}

static void run_until(size_t from, size_t member, unsigned n)
{
    while (!all_have(from, member, n))
        turn();
}

static void report_all(size_t from)
{
    struct cfg_error err;
    for (size_t i = from; i < SESSIONS; i++)
        cr_assert_eq(cfg_session_report(sessions[i], "{\"n\":1}", &err), 0, "%s", err.text);
}

Test(session_loop, all_follow_and_report_on_few_connections)
{
    run_until(0, offsetof(struct heard, views), 1);
    report_all(0);
    run_until(0, offsetof(struct heard, reported), 1);
    report_all(0);
    run_until(0, offsetof(struct heard, reported), 2);
    cr_assert_eq(server.registrations, SESSIONS);
    cr_assert_eq(server.streams, SESSIONS);
    cr_assert_eq(server.reports, 2 * SESSIONS);
    cr_assert_leq(responder_connections(&server.http), 2 * SESSIONS, "a stream each; requests take turns on others");
    for (size_t i = 0; i < SESSIONS; i++) {
        cr_assert_eq(heard[i].views, 1);
        cr_assert_eq(cfg_session_poll_fd(sessions[i]), cfg_session_loop_poll_fd(loop));
    }
}

Test(session_loop, some_end_and_the_others_go_on)
{
    run_until(0, offsetof(struct heard, views), 1);
    report_all(0); /* some of those under way are given up */
    for (size_t i = 0; i < SESSIONS / 2; i++) {
        cfg_session_free(sessions[i]);
        sessions[i] = NULL;
        heard[i] = (struct heard){0};
    }
    run_until(SESSIONS / 2, offsetof(struct heard, reported), 1);
    open_session(0);
    while (heard[0].views == 0)
        turn();
    for (size_t i = 1; i < SESSIONS / 2; i++)
        cr_assert(heard[i].views == 0 && heard[i].reported == 0, "session %zu spoke after its end", i);
}

Test(session_loop, broken_streams_come_back_by_themselves)
{
    run_until(0, offsetof(struct heard, views), 1);
    (void)pthread_mutex_lock(&server.lock);
    server.broken = true;
    (void)pthread_mutex_unlock(&server.lock);
    (void)close(server.hold[1]);
    run_until(0, offsetof(struct heard, lost), 1); /* their deadlines, one by one, try again */
    unsigned before = server.streams;
    while (__atomic_load_n(&server.streams, __ATOMIC_ACQUIRE) < before + SESSIONS / 2)
        turn();
}

Test(session_loop, an_idle_loop_sleeps_and_a_wake_ends_it)
{
    run_until(0, offsetof(struct heard, views), 1);
    struct pollfd p = {.fd = cfg_session_loop_poll_fd(loop), .events = POLLIN};
    unsigned empty = 0;
    for (int i = 0; i < 100 && empty == 0; i++) { /* settles */
        (void)cfg_session_loop_process(loop);
        empty += poll(&p, 1, 0) == 0 ? 1 : 0;
    }
    cr_assert_eq(empty, 1, "it never came to rest");
    cfg_session_wake(sessions[3]);
    cr_assert_eq(poll(&p, 1, 1000), 1);
}
