/* Workers that share one loop: each adopts, reports and ends as it would alone, and costs no descriptor but its
 * stream's.
 */
#include "proto/digest.h"
#include "tests/unit/client/responder.h"
#include "worker/internal.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 8 };

struct server {
    struct responder http;
    pthread_mutex_t lock;
    int hold[2];
    unsigned reports;
    char ceilings[512]; /* of the newest report that has some */
    char events[2][1024];
    const char *refusal;
};

static struct server server;
static struct cfg_worker_loop *loop;
static struct cfg_worker *workers[WORKERS];
static cfg_param temp;

static void print_view(char *out, size_t size, const char *revision, double temperature)
{
    char view[256], digest[CFG_DIGEST_TEXT];
    (void)snprintf(view, sizeof view, "{\"flags\":{},\"parameters\":{\"sampling\":{\"temperature\":%g}},\"pinned\":{}}",
                   temperature);
    cr_assert_eq(cfg_digest_bytes(digest, cfg_slice_str(view)), 0);
    (void)snprintf(
        out, size,
        "event: view\nid: %s\ndata: {\"store\":\"S1\",\"arm\":\"base\",\"revision\":\"%s\",\"digest\":\"%s\","
        "\"stale\":false,\"view\":%s}\n\n",
        revision, revision, digest, view);
}

/* The first view at once, the second when the pipe says so. */
static bool stream(int fd)
{
    struct pollfd p = {server.hold[0], POLLIN, 0};
    char byte = 0;
    responder_write(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    responder_write(fd, server.events[0]);
    if (poll(&p, 1, -1) == 1 && read(server.hold[0], &byte, 1) == 1) {
        responder_write(fd, server.events[1]);
        (void)poll(&p, 1, -1);
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
    const char *ceilings = strstr(request, "\"ceilings\":");
    (void)pthread_mutex_lock(&server.lock);
    server.reports += report ? 1 : 0;
    if (report && ceilings != NULL) {
        (void)snprintf(server.ceilings, sizeof server.ceilings, "%.400s", ceilings);
    }
    const char *refusal = server.refusal;
    (void)pthread_mutex_unlock(&server.lock);
    if (report) {
        responder_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    } else if (refusal != NULL) {
        responder_reply(fd, 404, "application/problem+json", refusal);
    } else {
        responder_reply(fd, 200, "application/json",
                        "{\"store\":\"S1\",\"revision\":\"1-5\",\"report_interval_ms\":60000}");
    }
    return true;
}

static int open_worker(struct cfg_worker **out, const char *id, const char *source, const char *group,
                       struct cfg_error *err)
{
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    o.servers = server.http.url;
    o.deployment = "blue";
    o.worker = id;
    o.cache = "";
    o.source = source;
    o.group = group;
    o.world = group[0] != '\0' ? 2 : 1;
    o.loop = loop;
    int rc = cfg_worker_open(out, &o, err);
    if (rc == 0) {
        temp = cfg_param_f64(*out, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
    }
    return rc;
}

static void setup(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    memset(&server, 0, sizeof server);
    cr_assert_eq(pipe(server.hold), 0);
    (void)pthread_mutex_init(&server.lock, NULL);
    print_view(server.events[0], sizeof server.events[0], "1-5", 0.5);
    print_view(server.events[1], sizeof server.events[1], "1-6", 1.5);
    responder_start(&server.http, serve, NULL);
    cr_assert_eq(cfg_worker_loop_open(&loop, &err), 0, "%s", err.text);
}

static void teardown(void)
{
    for (size_t i = 0; i < WORKERS; i++) {
        cfg_worker_close(workers[i]);
        workers[i] = NULL;
    }
    cfg_worker_loop_close(loop);
    (void)close(server.hold[1]);
    responder_stop(&server.http);
    (void)close(server.hold[0]);
}

TestSuite(shared_loop, .init = setup, .fini = teardown, .timeout = 30);

static void turn(void)
{
    struct pollfd p = {cfg_worker_loop_poll_fd(loop), POLLIN, 0};
    int wait = cfg_worker_loop_timeout_ms(loop);
    (void)poll(&p, 1, wait < 0 || wait > 10000 ? 10000 : wait);
    cfg_worker_loop_process(loop);
}

static void start_all(void)
{
    struct cfg_error err = CFG_ERROR_INIT;
    for (size_t i = 0; i < WORKERS; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "w%zu", i);
        cr_assert_eq(open_worker(&workers[i], id, "", "", &err), 0, "%s", err.text);
        int rc = cfg_worker_start(workers[i], 0, &err);
        cr_assert(rc == 0 || rc == CFG_E_TIMEOUT, "%s", err.text);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        cr_assert_eq(cfg_worker_start(workers[i], 10000, &err), 0, "%s", err.text);
        cr_assert_float_eq(cfg_get_f64(cfg_step_begin(workers[i], 1), temp), 0.5, 1e-9);
    }
}

static unsigned reports(void)
{
    (void)pthread_mutex_lock(&server.lock);
    unsigned n = server.reports;
    (void)pthread_mutex_unlock(&server.lock);
    return n;
}

Test(shared_loop, all_adopt_and_report)
{
    start_all();
    while (reports() < WORKERS) {
        turn();
    }
    unsigned before = reports();
    cr_assert_eq(write(server.hold[1], "12345678", WORKERS), WORKERS);
    for (size_t i = 0; i < WORKERS; i++) {
        for (uint64_t step = 2; cfg_get_f64(cfg_step_begin(workers[i], step), temp) < 1; step++) {
            turn();
        }
    }
    while (reports() < before + WORKERS) { /* an adoption is reported at once: the interval is a minute */
        turn();
    }
}

Test(shared_loop, a_worker_ends_among_the_others)
{
    start_all();
    cfg_worker_close(workers[3]); /* its adoption may wait to be reported */
    workers[3] = NULL;
    while (reports() < WORKERS - 1) {
        turn();
    }
    cr_assert_eq(write(server.hold[1], "12345678", WORKERS), WORKERS);
    for (uint64_t step = 2; cfg_get_f64(cfg_step_begin(workers[4], step), temp) < 1; step++) {
        turn();
    }
}

static void *move_ceiling(void *arg)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_worker_ceiling(arg, "sampling.temperature", 1.25, &err), 0, "%s", err.text);
    return NULL;
}

Test(shared_loop, another_thread_wakes_it)
{
    pthread_t thread;
    start_all();
    while (reports() < WORKERS) {
        turn();
    }
    for (struct pollfd p = {cfg_worker_loop_poll_fd(loop), POLLIN, 0}; poll(&p, 1, 0) == 1;) {
        cfg_worker_loop_process(loop);
    }
    cr_assert_eq(pthread_create(&thread, NULL, move_ceiling, workers[5]), 0);
    for (bool told = false; !told;) {
        turn();
        (void)pthread_mutex_lock(&server.lock);
        told = strstr(server.ceilings, "1.25") != NULL;
        (void)pthread_mutex_unlock(&server.lock);
    }
    (void)pthread_join(thread, NULL);
}

Test(shared_loop, a_refusal_is_this_workers_alone)
{
    struct cfg_error err = CFG_ERROR_INIT;
    start_all();
    (void)pthread_mutex_lock(&server.lock);
    server.refusal = "{\"code\":\"not-found\",\"status\":404,\"title\":\"no\",\"detail\":\"no deployment blue\"}";
    (void)pthread_mutex_unlock(&server.lock);
    cfg_worker_close(workers[0]);
    workers[0] = NULL;
    cr_assert_eq(open_worker(&workers[0], "w0", "", "", &err), 0, "%s", err.text);
    cr_assert_eq(cfg_worker_start(workers[0], 10000, &err), CFG_E_NOT_FOUND, "%s", err.text);
    cr_assert_not_null(cfg_step_begin(workers[1], 2));
}

Test(shared_loop, what_cannot_share_is_refused)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    cr_assert_eq(open_worker(&w, "w0", "", "tcp:127.0.0.1:1", &err), CFG_E_UNSUPPORTED);
    cr_assert_not_null(strstr(err.text, "loop of its own"), "%s", err.text);
    cr_assert_eq(open_worker(&w, "w0", "file:/tmp/none.json", "", &err), CFG_E_UNSUPPORTED);
    cr_assert_not_null(strstr(err.text, "follow configd"), "%s", err.text);
}
