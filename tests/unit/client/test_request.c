#include "client/include/cfg/client.h"
#include "tests/unit/client/responder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON    "application/json"
#define PROBLEM "application/problem+json"

/* What a server of these tests does, and what it saw. */
struct script {
    int status;
    const char *type, *body;
    unsigned cut; /* so many requests are read and then answered by closing */
    unsigned seen;
    char last[2][4096];
};

static bool play(int fd, const char *request, void *arg)
{
    struct script *s = arg;
    snprintf(s->last[1], sizeof s->last[1], "%s", s->last[0]);
    snprintf(s->last[0], sizeof s->last[0], "%s", request);
    s->seen++;
    if (s->seen <= s->cut)
        return false;
    responder_reply(fd, s->status, s->type, s->body);
    return true;
}

static struct cfg_client *client(const char *servers, const char *token)
{
    struct cfg_client_options o = CFG_CLIENT_OPTIONS_INIT;
    struct cfg_client *c = NULL;
    struct cfg_error err;
    o.servers = servers;
    o.token = token;
    o.user = "ann@host";
    o.timeout_ms = 2000;
    cr_assert_eq(cfg_client_new(&c, &o, &err), 0, "%s", err.text);
    return c;
}

static int call(const char *servers, const char *method, struct cfg_response *out, struct cfg_error *err)
{
    struct cfg_client *c = client(servers, NULL);
    const struct cfg_request r = {.method = method, .path = "/v1/config/chat", .body = "{}", .body_len = 2};
    int rc = cfg_client_call(c, &r, out, NULL, err);
    cfg_client_free(c);
    return rc;
}

Test(request, gives_the_reply_and_its_headers)
{
    struct script s = {200, JSON, "{\"a\":1}", 0, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(r.url, "PUT", &out, &err), 0, "%s", err.text);
    cr_assert_eq(out.status, 200);
    cr_assert_str_eq(out.body, "{\"a\":1}");
    cr_assert_str_eq(out.etag, "\"43\"");
    cr_assert_str_eq(out.revision, "1-7");
    cr_assert_str_eq(out.store, "S1");
    cr_assert(strncmp(s.last[0], "PUT /v1/config/chat HTTP/1.1\r\n", 30) == 0);
    cr_assert_not_null(strstr(s.last[0], "Content-Type: application/json\r\n"));
    cr_assert_not_null(strstr(s.last[0], "Configd-User: ann@host\r\n"));
    cr_assert_not_null(strstr(s.last[0], "Idempotency-Key: "));
    cr_assert_null(strstr(s.last[0], "Authorization"));
    cfg_response_finish(&out);
    responder_stop(&r);
}

Test(request, keeps_its_connection_and_sends_the_token)
{
    struct script s = {200, JSON, "{}", 0, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    struct cfg_client *c = client(r.url, "s3cret");
    const struct cfg_request q = {.method = "GET", .path = "/v1/status"};
    for (int i = 0; i < 5; i++) {
        struct cfg_response out;
        struct cfg_error err;
        cr_assert_eq(cfg_client_call(c, &q, &out, NULL, &err), 0, "%s", err.text);
        cfg_response_finish(&out);
    }
    cfg_client_free(c);
    cr_assert_eq(responder_connections(&r), 1);
    cr_assert_eq(s.seen, 5);
    cr_assert_not_null(strstr(s.last[0], "Authorization: Bearer s3cret\r\n"));
    cr_assert_null(strstr(s.last[0], "Configd-User"), "a token's subject is the author, not a claim");
    cr_assert_null(strstr(s.last[0], "Idempotency-Key"));
    responder_stop(&r);
}

Test(request, a_problem_becomes_the_error)
{
    struct script s = {
        412, PROBLEM, "{\"status\":412,\"code\":\"precondition_failed\",\"detail\":\"chat is at 44\",\"hint\":\"h\"}",
        0,   0,       {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    struct cfg_client *c = client(r.url, NULL);
    const struct cfg_request q = {.method = "GET", .path = "/v1/status"};
    struct cfg_response out;
    struct cfg_error err;
    char *raw = NULL;
    cr_assert_eq(cfg_client_call(c, &q, &out, &raw, &err), CFG_E_PRECONDITION);
    cr_assert_str_eq(err.text, "chat is at 44");
    cr_assert_str_eq(err.hint, "h");
    cr_assert_str_eq(raw, s.body);
    free(raw);
    cfg_client_free(c);
    responder_stop(&r);
}

static bool no_http(int fd, const char *request, void *arg)
{
    (void)request;
    (void)arg;
    responder_write(fd, "SSH-2.0-OpenSSH_9.2\r\n");
    return false;
}

static void expect_protocol(responder_fn fn, struct script *s)
{
    struct responder r;
    responder_start(&r, fn, s);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(r.url, "GET", &out, &err), CFG_E_PROTOCOL, "%s", err.text);
    cr_assert_not_null(strstr(err.text, r.url), "%s", err.text);
    cr_assert_neq(err.hint[0], '\0');
    responder_stop(&r);
}

Test(request, rubbish_is_told_from_configd)
{
    struct script pages[] = {
        {200, "text/html", "<html>", 0, 0, {"", ""}},
        {404, "text/html", "<html>", 0, 0, {"", ""}},
        {302, "text/plain", "elsewhere", 0, 0, {"", ""}},
        {401, JSON, "{\"message\":\"who\"}", 0, 0, {"", ""}},
    };
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        expect_protocol(play, &pages[i]);
    expect_protocol(no_http, NULL);
}

Test(request, no_server_says_where_and_how_to_start_one)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", responder_free_port());
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(url, "PUT", &out, &err), CFG_E_CONNECT);
    cr_assert_not_null(strstr(err.text, url));
    cr_assert_not_null(strstr(err.hint, "`configd`"));
    cr_assert_eq(cfg_code_exit(err.code), 7);
}

Test(request, another_server_takes_over)
{
    struct script s = {200, JSON, "{}", 0, 0, {"", ""}},
                  away = {503, PROBLEM, "{\"status\":503,\"code\":\"not_ready\"}", 0, 0, {"", ""}};
    struct responder good, unready;
    responder_start(&good, play, &s);
    responder_start(&unready, play, &away);
    char list[256];
    snprintf(list, sizeof list, "http://127.0.0.1:%d, %s/ ,127.0.0.1:%d", responder_free_port(), unready.url,
             good.port);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(list, "PUT", &out, &err), 0, "%s", err.text);
    cfg_response_finish(&out);
    cr_assert_eq(away.seen, 1);
    cr_assert_eq(s.seen, 1);
    responder_stop(&good);
    responder_stop(&unready);
}

static void key_of(char out[64], const char *request)
{
    const char *key = strstr(request, "Idempotency-Key: ");
    cr_assert_not_null(key);
    snprintf(out, 64, "%.32s", key + 17);
}

Test(request, a_lost_reply_is_asked_for_again_under_the_same_key)
{
    struct script s = {200, JSON, "{}", 1, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(r.url, "PUT", &out, &err), 0, "%s", err.text);
    cfg_response_finish(&out);
    char first[64], second[64];
    key_of(first, s.last[1]);
    key_of(second, s.last[0]);
    cr_assert_str_eq(first, second);
    responder_stop(&r);
}

Test(request, a_write_whose_reply_never_comes_is_of_unknown_outcome)
{
    struct script s = {200, JSON, "{}", 99, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(r.url, "PUT", &out, &err), CFG_E_UNKNOWN_OUTCOME);
    cr_assert_eq(call(r.url, "GET", &out, &err), CFG_E_UNAVAILABLE, "a read has no outcome to be unsure of");
    responder_stop(&r);
}

/* A question in a POST, and a dry run, change nothing. */
Test(request, a_question_whose_reply_never_comes_is_simply_not_answered)
{
    static const struct {
        const char *path;
        int code;
    } rows[] = {{"/v1/experiments/plan", CFG_E_UNAVAILABLE},
                {"/v1/changes?message=x&dry_run=true", CFG_E_UNAVAILABLE},
                {"/v1/experiments", CFG_E_UNKNOWN_OUTCOME}};
    struct script s = {200, JSON, "{}", 99, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct cfg_request q = {.method = "POST", .path = rows[i].path, .body = "{}", .body_len = 2};
        struct cfg_client *c = client(r.url, NULL);
        struct cfg_response out;
        struct cfg_error err;
        cr_assert_eq(cfg_client_call(c, &q, &out, NULL, &err), rows[i].code, "%s: %s", rows[i].path, err.text);
        cfg_client_free(c);
    }
    responder_stop(&r);
}

Test(request, a_refusal_elsewhere_does_not_settle_a_lost_reply)
{
    struct script cut = {200, JSON, "{}", 99, 0, {"", ""}},
                  away = {503, PROBLEM, "{\"status\":503,\"code\":\"not_ready\",\"detail\":\"no\"}", 0, 0, {"", ""}};
    struct responder a, b;
    responder_start(&a, play, &cut);
    responder_start(&b, play, &away);
    char both[160];
    snprintf(both, sizeof both, "%s,%s", a.url, b.url);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(both, "PUT", &out, &err), CFG_E_UNKNOWN_OUTCOME, "%s", err.text);
    cr_assert_eq(call(both, "GET", &out, &err), CFG_E_NOT_READY, "%s", err.text);
    cr_assert_eq(call(b.url, "PUT", &out, &err), CFG_E_NOT_READY, "nobody else was asked: %s", err.text);
    responder_stop(&a);
    responder_stop(&b);
}

Test(request, a_proxy_that_lost_a_write_leaves_its_outcome_open)
{
    struct script s = {504, "text/html", "<html>", 0, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(r.url, "PUT", &out, &err), CFG_E_UNKNOWN_OUTCOME, "%s", err.text);
    cr_assert_eq(call(r.url, "GET", &out, &err), CFG_E_UNAVAILABLE, "%s", err.text);
    s.status = 503;
    cr_assert_eq(call(r.url, "PUT", &out, &err), CFG_E_UNAVAILABLE, "no server behind it took it: %s", err.text);
    responder_stop(&r);
}

static bool never(int fd, const char *request, void *arg)
{
    (void)fd;
    (void)request;
    (void)arg;
    return true;
}

Test(request, gives_up_in_time)
{
    struct responder r;
    responder_start(&r, never, NULL);
    struct cfg_client_options o = CFG_CLIENT_OPTIONS_INIT;
    o.servers = r.url;
    o.timeout_ms = 150;
    struct cfg_client *c = NULL;
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(cfg_client_new(&c, &o, &err), 0);
    const struct cfg_request q = {.method = "GET", .path = "/v1/status"};
    cr_assert_eq(cfg_client_call(c, &q, &out, NULL, &err), CFG_E_TIMEOUT);
    cr_assert_eq(cfg_code_exit(err.code), 8);
    cfg_client_free(c);
    responder_stop(&r);
}

Test(request, a_proxy_for_downloads_is_not_for_us)
{
    struct script s = {200, JSON, "{}", 0, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct cfg_response out;
    struct cfg_error err;
    cr_assert_eq(call(r.url, "GET", &out, &err), 0, "%s", err.text);
    cfg_response_finish(&out);
    responder_stop(&r);
}

Test(request, options_and_environment)
{
    static const char *const bad[] = {"",           "ftp://x",      "http://",      "http://a b", "unix:///tmp/x",
                                      "http://a,,", "http://a?b=c", "http://:7117", "http://u@h"};
    struct cfg_client *c = NULL;
    struct cfg_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_client_options o = CFG_CLIENT_OPTIONS_INIT;
        o.servers = bad[i];
        cr_assert_eq(cfg_client_new(&c, &o, &err), CFG_E_INVALID, "'%s'", bad[i]);
        cr_assert_neq(err.hint[0], '\0');
    }
    struct cfg_client_options o = CFG_CLIENT_OPTIONS_INIT;
    o.token = "a\r\nEvil: yes";
    cr_assert_eq(cfg_client_new(&c, &o, &err), CFG_E_INVALID);
    struct script s = {200, JSON, "{}", 0, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    setenv("CONFIGD_SERVER", r.url, 1);
    setenv("CONFIGD_TOKEN", "fromenv", 1);
    struct cfg_response out;
    cr_assert_eq(call(NULL, "GET", &out, &err), 0, "%s", err.text);
    cfg_response_finish(&out);
    cr_assert_not_null(strstr(s.last[0], "Bearer fromenv\r\n"));
    responder_stop(&r);
}

static bool stream(int fd, const char *request, void *arg)
{
    struct script *s = arg;
    snprintf(s->last[0], sizeof s->last[0], "%s", request);
    responder_write(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 1000\n\n"
                        "event: change\nid: 1-7\ndata: {\"n\":1}\n\n: hb\n\nevent: mark\nid: 1-8\ndata: {\"n\":2}\n\n");
    return false;
}

struct heard {
    unsigned n, stop_after;
    char event[16], id[16], data[64];
};

static bool hear(const char *event, const char *id, const char *data, size_t len, void *arg)
{
    struct heard *h = arg;
    h->n++;
    snprintf(h->event, sizeof h->event, "%s", event);
    snprintf(h->id, sizeof h->id, "%s", id);
    snprintf(h->data, sizeof h->data, "%.*s", (int)len, data);
    return h->n < h->stop_after;
}

Test(request, follows_events_until_told_to_stop)
{
    struct script s = {0};
    struct responder r;
    responder_start(&r, stream, &s);
    struct cfg_client *c = client(r.url, NULL);
    struct heard h = {.stop_after = 1}, all = {.stop_after = 99};
    struct cfg_error err;
    cr_assert_eq(cfg_client_events(c, "/v1/watch", "1-6", hear, &h, &err), 0, "%s", err.text);
    cr_assert_eq(h.n, 1);
    cr_assert_not_null(strstr(s.last[0], "Last-Event-ID: 1-6\r\n"));
    cr_assert_str_eq(h.event, "change");
    cr_assert_str_eq(h.id, "1-7");
    cr_assert_str_eq(h.data, "{\"n\":1}");
    cr_assert_eq(cfg_client_events(c, "/v1/watch", NULL, hear, &all, &err), 0, "%s", err.text);
    cr_assert_eq(all.n, 2);
    cfg_client_free(c);
    responder_stop(&r);
}

Test(request, events_refused)
{
    struct script s = {401, PROBLEM, "{\"status\":401,\"code\":\"unauthorized\",\"detail\":\"no\"}", 0, 0, {"", ""}};
    struct responder r;
    responder_start(&r, play, &s);
    struct cfg_client *c = client(r.url, NULL);
    struct heard h = {.stop_after = 99};
    struct cfg_error err;
    cr_assert_eq(cfg_client_events(c, "/v1/watch", NULL, hear, &h, &err), CFG_E_UNAUTHORIZED);
    s = (struct script){.status = 200, .type = JSON, .body = "{}"};
    cr_assert_eq(cfg_client_events(c, "/v1/watch", NULL, hear, &h, &err), CFG_E_PROTOCOL);
    cr_assert_eq(h.n, 0);
    cfg_client_free(c);
    responder_stop(&r);
}
