#include "stream_rig.h"

#include "proto/digest.h"
#include "proto/limits.h"
#include "proto/patch.h"
#include "proto/revision.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { START_MS = 30000, REPLY_MS = 15000, REACH_MS = 20000 };

static int dial(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        cfg_test_die("no socket: error %d", errno);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool wait_readable(int fd, unsigned timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, (int)timeout_ms) == 1;
}

/* --- daemons --- */

void daemon_start(struct daemon *d, const char *etcd, const char *const *more)
{
    daemon_start_with(d, etcd, "1", more);
}

void daemon_start_with(struct daemon *d, const char *etcd, const char *heartbeat_s, const char *const *more)
{
    const char *build = getenv("CFG_BUILD_DIR");
    char *program = cfg_test_format("%s/configd/configd", build ? build : ".");
    *d = (struct daemon){.port = cfg_test_free_port()};
    char *listen = cfg_test_format("127.0.0.1:%d", d->port);
    const char *argv[32] = {program, "--etcd", etcd, "--listen", listen, "--heartbeat-s", heartbeat_s};
    for (size_t n = 7; more && *more && n < 31; n++)
        argv[n] = *more++;
    d->proc = cfg_test_proc_start(argv, NULL);
    free(program);
    free(listen);
    uint64_t end = cfg_test_now_ms() + START_MS;
    while (cfg_test_now_ms() < end && cfg_test_proc_running(d->proc)) {
        if (daemon_call(NULL, d, "GET", "/readyz", NULL, NULL) == 200)
            return;
        (void)usleep(20000);
    }
    cfg_test_die("configd did not become ready: %s", cfg_test_proc_output(d->proc));
}

void daemon_free(struct daemon *d)
{
    if (d->proc == NULL)
        return;
    cfg_test_proc_signal(d->proc, SIGCONT);
    if (cfg_test_proc_running(d->proc) && !d->ending)
        cfg_test_proc_signal(d->proc, SIGTERM);
    int status = cfg_test_proc_wait(d->proc, 10000);
    char *output = cfg_test_proc_output(d->proc);
    if (status != 0 || strstr(output, "ERROR: "))
        cfg_test_die("configd ended with %d: %s", status, output);
    free(output);
    cfg_test_proc_free(d->proc);
    d->proc = NULL;
}

struct cfg_test_etcd *daemon_two(struct daemon d[2], const char *const *first, const char *const *second)
{
    struct cfg_test_etcd *etcd = cfg_test_etcd_start(NULL);
    daemon_start(&d[0], cfg_test_etcd_endpoint(etcd, 0), first);
    daemon_start(&d[1], cfg_test_etcd_endpoint(etcd, 0), second);
    return etcd;
}

void daemon_two_free(struct daemon d[2], struct cfg_test_etcd *etcd)
{
    daemon_free(&d[0]);
    daemon_free(&d[1]);
    cfg_test_etcd_free(etcd);
}

int daemon_call(cJSON **reply, const struct daemon *d, const char *method, const char *path, const char *type,
                const char *body)
{
    if (reply)
        *reply = NULL;
    int fd = dial(d->port), status = 0;
    if (fd < 0)
        return 0;
    char *request = cfg_test_format("%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nContent-Type: %s\r\n"
                                    "Content-Length: %zu\r\n\r\n%s",
                                    method, path, d->port, type ? type : "application/json", body ? strlen(body) : 0,
                                    body ? body : "");
    struct cfg_buf in;
    cfg_buf_init(&in, 16 << 20);
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
        char bytes[65536];
        ssize_t n;
        while (wait_readable(fd, REPLY_MS) && (n = recv(fd, bytes, sizeof bytes, 0)) > 0)
            cfg_buf_put(&in, bytes, (size_t)n);
    }
    close(fd);
    free(request);
    const char *at = in.len ? strstr(in.data, "\r\n\r\n") : NULL;
    if (at && sscanf(in.data, "HTTP/1.1 %d", &status) != 1)
        status = 0;
    if (at && reply && cfg_json_parse(reply, cfg_slice_str(at + 4), 100, NULL) != 0)
        *reply = NULL;
    cfg_buf_finish(&in);
    return status;
}

static void must(const struct daemon *d, const char *method, const char *path, const char *type, const char *body,
                 char rev[48])
{
    cJSON *reply;
    int status = daemon_call(&reply, d, method, path, type, body);
    if (status / 100 != 2)
        cfg_test_die("%s %s: %d %s", method, path, status, cfg_json_get_str(reply, "detail", ""));
    if (rev)
        (void)snprintf(rev, 48, "%s", cfg_json_get_str(reply, "revision", ""));
    cJSON_Delete(reply);
}

void daemon_patch(const struct daemon *d, const char *ns, const char *patch, char rev[48])
{
    char *path = cfg_test_format("/v1/config/%s", ns);
    must(d, "PATCH", path, "application/merge-patch+json", patch, rev);
    free(path);
}

void daemon_set(const struct daemon *d, const char *ns, const char *name, const char *value, char rev[48])
{
    char *body = cfg_test_format("[{\"namespace\":\"%s\",\"set\":[{\"name\":\"%s\",\"mode\":\"set\",\"value\":%s}]}]",
                                 ns, name, value);
    must(d, "POST", "/v1/changes", NULL, body, rev);
    free(body);
}

void daemon_blue(const struct daemon *d)
{
    must(d, "POST", "/v1/changes", NULL,
         "[{\"namespace\":\"chat\",\"set\":[{\"name\":\"a\",\"mode\":\"set\",\"value\":1},"
         "{\"name\":\"tp\",\"mode\":\"set\",\"value\":4}]},"
         "{\"namespace\":\"experiment\",\"set\":[{\"name\":\"ab.flag\",\"mode\":\"set\",\"value\":true,\"on_off\":"
         "\"on\"}]}]",
         NULL);
    must(d, "POST", "/v1/deployments", NULL,
         "{\"name\":\"blue\",\"config\":\"chat\",\"pin\":[\"tp\"],\"flags\":[\"experiment\"],\"track\":\"head\"}",
         NULL);
}

void daemon_register(const struct daemon *d, const char *worker, const char *incarnation, int expected_status)
{
    cJSON *reply;
    char *body =
        cfg_test_format("{\"worker\":\"%s\",\"incarnation\":\"%s\",\"host\":\"h\",\"pid\":1,\"rank\":0,"
                        "\"world\":1,\"contract\":{\"a\":{\"type\":\"i64\",\"class\":\"live\",\"default\":0}}}",
                        worker, incarnation);
    int status = daemon_call(&reply, d, "POST", "/v1/deployments/blue/workers", NULL, body);
    if (status != expected_status)
        cfg_test_die("registration of %s: %d %s", worker, status, cfg_json_get_str(reply, "detail", ""));
    cJSON_Delete(reply);
    free(body);
}

/* --- streams --- */

int rev_cmp(const char *a, const char *b)
{
    struct cfg_rev x, y;
    if (cfg_rev_parse(&x, cfg_slice_str(a), NULL) != 0 || cfg_rev_parse(&y, cfg_slice_str(b), NULL) != 0)
        cfg_test_die("'%s' or '%s' is no revision", a, b);
    return cfg_rev_cmp(x, y);
}

static void hold(struct stream *s, cJSON *view, const struct stream_event *e)
{
    cJSON_Delete(s->view);
    s->view = view;
    (void)snprintf(s->digest, sizeof s->digest, "%s", cfg_json_get_str(e->data, "digest", ""));
    char digest[CFG_DIGEST_TEXT];
    if (cfg_digest_json(digest, view) != 0 || strcmp(digest, s->digest) != 0)
        cfg_test_die("%s %s: the view's digest is %s, told was %s", e->event, e->id, digest, s->digest);
}

/* What a worker does with an event. */
static void apply(struct stream *s, const struct stream_event *e)
{
    cJSON *view = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (strcmp(e->event, "view") == 0) {
        view = cJSON_Duplicate(cfg_json_get(e->data, "view"), true);
    } else if (strcmp(e->event, "patch") == 0 && s->view) {
        if (strcmp(cfg_json_get_str(e->data, "from", ""), s->digest) != 0)
            cfg_test_die("patch %s is from %s, held is %s", e->id, cfg_json_get_str(e->data, "from", ""), s->digest);
        if (cfg_patch_apply(&view, s->view, cfg_json_get(e->data, "patch"), &err) != 0)
            cfg_test_die("patch %s: %s", e->id, err.text);
    }
    if (view)
        hold(s, view, e);
}

static void take(const struct cfg_sse_event *ev, void *arg)
{
    struct stream *s = arg;
    if (s->n == STREAM_EVENTS)
        cfg_test_die("more than %d events", STREAM_EVENTS);
    struct stream_event *e = &s->events[s->n];
    memcpy(e->event, ev->event.ptr, ev->event.len);
    memcpy(e->id, ev->id.ptr, ev->id.len);
    if (cfg_json_parse(&e->data, ev->data, 100, NULL) != 0)
        cfg_test_die("event %s: its data is no JSON", e->event);
    const char *before = s->n > 0 ? s->events[s->n - 1].id : "";
    if (before[0] && e->id[0] && rev_cmp(e->id, before) < 0 && strcmp(e->event, "view") != 0)
        cfg_test_die("%s goes back from %s to %s", e->event, before, e->id);
    s->n++;
    apply(s, e);
}

static void count_heartbeats(struct stream *s, const char *bytes, size_t n)
{
    static const char hb[] = ": hb\n\n";
    struct cfg_buf all;
    cfg_buf_init(&all, 1 << 20);
    cfg_buf_puts(&all, s->tail);
    size_t old = all.len;
    cfg_buf_put(&all, bytes, n);
    for (const char *at = all.data; at && (at = memmem(at, all.len - (size_t)(at - all.data), hb, 6)) != NULL; at++)
        s->heartbeats += (size_t)(at - all.data) + 6 > old;
    size_t keep = all.len < 5 ? all.len : 5;
    memcpy(s->tail, all.data + all.len - keep, keep);
    s->tail[keep] = '\0';
    cfg_buf_finish(&all);
}

static void feed(struct stream *s, const char *bytes, size_t n)
{
    count_heartbeats(s, bytes, n);
    if (cfg_sse_reader_feed(&s->sse, (struct cfg_slice){bytes, n}, take, s) != 0)
        cfg_test_die("an event is too large");
}

void stream_read(struct stream *s, unsigned timeout_ms)
{
    char bytes[65536];
    if (s->ended || !wait_readable(s->fd, timeout_ms))
        return;
    ssize_t n = recv(s->fd, bytes, sizeof bytes, 0);
    if (n <= 0)
        s->ended = true;
    else
        feed(s, bytes, (size_t)n);
}

static void read_head(struct stream *s)
{
    struct cfg_buf in;
    cfg_buf_init(&in, 1 << 20);
    const char *end = NULL;
    char bytes[4096];
    while (end == NULL) {
        ssize_t n = wait_readable(s->fd, REPLY_MS) ? recv(s->fd, bytes, sizeof bytes, 0) : 0;
        if (n <= 0)
            cfg_test_die("a stream's reply has no head: %s", in.len ? in.data : "");
        cfg_buf_put(&in, bytes, (size_t)n);
        end = strstr(in.data, "\r\n\r\n");
    }
    if (sscanf(in.data, "HTTP/1.1 %d", &s->status) != 1)
        cfg_test_die("a stream's reply is no HTTP: %s", in.data);
    size_t head = (size_t)(end - in.data) + 4;
    s->head = cfg_slice_dup((struct cfg_slice){in.data, head});
    if (s->status == 200 && in.len > head)
        feed(s, in.data + head, in.len - head);
    cfg_buf_finish(&in);
}

struct stream *stream_open(const struct daemon *d, const char *path, const char *last_event_id)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL || (s->fd = dial(d->port)) < 0)
        cfg_test_die("no stream to port %d", d->port);
    cfg_sse_reader_init(&s->sse, CFG_LIMIT_EVENT);
    char *request = cfg_test_format("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%s\r\n", path, d->port,
                                    last_event_id ? "Last-Event-ID: " : "", last_event_id ? last_event_id : "",
                                    last_event_id ? "\r\n" : "");
    if (send(s->fd, request, strlen(request), MSG_NOSIGNAL) <= 0)
        cfg_test_die("a stream's request was not taken");
    free(request);
    read_head(s);
    return s;
}

void stream_forget(struct stream *s)
{
    for (size_t i = 0; i < s->n; i++)
        cJSON_Delete(s->events[i].data);
    memset(s->events, 0, s->n * sizeof s->events[0]);
    s->n = s->at = 0;
}

void stream_close(struct stream *s)
{
    if (s == NULL)
        return;
    close(s->fd);
    cfg_sse_reader_finish(&s->sse);
    stream_forget(s);
    cJSON_Delete(s->view);
    free(s->head);
    free(s);
}

const struct stream_event *stream_next(struct stream *s, unsigned timeout_ms)
{
    uint64_t end = cfg_test_now_ms() + timeout_ms;
    for (uint64_t now = end - timeout_ms; s->at == s->n && !s->ended && now < end; now = cfg_test_now_ms())
        stream_read(s, (unsigned)(end - now));
    return s->at < s->n ? &s->events[s->at++] : NULL;
}

const struct stream_event *stream_expect(struct stream *s, const char *event)
{
    const struct stream_event *e;
    do
        e = stream_next(s, REACH_MS);
    while (e && strcmp(e->event, "mark") == 0 && strcmp(event, "mark") != 0);
    if (e == NULL || strcmp(e->event, event) != 0)
        cfg_test_die("expected %s, got %s", event, e ? e->event : s->ended ? "the end" : "nothing");
    return e;
}

void stream_reach(struct stream *s, const char *revision)
{
    uint64_t end = cfg_test_now_ms() + REACH_MS;
    while (s->n == 0 || rev_cmp(s->events[s->n - 1].id, revision) < 0) {
        if (s->ended || cfg_test_now_ms() > end)
            cfg_test_die("%s was not reached; last is %s", revision, s->n ? s->events[s->n - 1].id : "nothing");
        stream_read(s, 100);
    }
    s->at = s->n;
}
