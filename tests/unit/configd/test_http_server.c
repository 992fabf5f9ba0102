/* The HTTP edge over real sockets, with handlers of its own. The server runs in a thread; the test is the client. */
#include "configd/http_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- a server with a few routes --- */

enum { MAX_STREAMS = 4096 };

struct cfg_app {
    struct cfg_loop *loop;
    struct cfg_taken streams[MAX_STREAMS];
    size_t n_streams;
    struct cfg_call *held;
};

static void say_hello(struct cfg_app *app, struct cfg_call *c)
{
    (void)app;
    cJSON *body = cJSON_CreateObject();
    cJSON_AddStringToObject(body, "name", cfg_call_param(c, "name") ? cfg_call_param(c, "name") : "");
    cJSON_AddStringToObject(body, "query", cfg_call_query(c, "q") ? cfg_call_query(c, "q") : "");
    cJSON_AddStringToObject(body, "who", cfg_call_principal(c)->subject);
    cfg_call_reply(c, 200, body);
}

static void echo(struct cfg_app *app, struct cfg_call *c)
{
    (void)app;
    struct cfg_error err;
    cJSON *body = NULL;
    if (cfg_call_json(c, &body, &err) != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_call_reply(c, 200, body);
}

static void answer_later(void *arg)
{
    cfg_call_reply(arg, 200, NULL);
}

static void later(struct cfg_app *app, struct cfg_call *c)
{
    cfg_loop_defer(app->loop, answer_later, c);
}

static void hold(struct cfg_app *app, struct cfg_call *c)
{
    app->held = c;
}

static void release(struct cfg_app *app, struct cfg_call *c)
{
    cfg_call_reply(app->held, 200, NULL);
    cfg_call_reply(c, 200, NULL);
}

static void stream(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_buf head;
    cfg_buf_init(&head, 4096);
    cfg_call_set_header(c, "Configd-Store", "s1");
    cfg_call_stream_head(c, &head);
    cfg_buf_puts(&head, ": hello\n\n");
    struct cfg_taken *t = &app->streams[app->n_streams];
    if (!cfg_call_take_socket(c, t))
        return;
    app->n_streams++;
    if (t->bev) {
        bufferevent_enable(t->bev, EV_READ | EV_WRITE);
        cr_assert_eq(bufferevent_write(t->bev, head.data, head.len), 0);
    } else {
        cr_assert_eq(send(t->fd, head.data, head.len, MSG_NOSIGNAL), (ssize_t)head.len);
    }
    cfg_buf_finish(&head);
}

static void end_streams(struct cfg_app *app, struct cfg_call *c)
{
    for (size_t i = 0; i < app->n_streams; i++)
        cfg_taken_close(&app->streams[i]);
    app->n_streams = 0;
    cfg_call_reply(c, 200, NULL);
}

static void stop_loop(void *arg)
{
    cfg_loop_stop(arg);
}

static void quit(struct cfg_app *app, struct cfg_call *c)
{
    cfg_call_reply(c, 204, NULL);
    cfg_loop_defer(app->loop, stop_loop, app->loop);
}

static const struct cfg_route routes[] = {
    {"GET", "/hello/{name}", CFG_ROLE_READER, false, CFG_BODY_NONE, say_hello},
    {"PUT", "/echo", CFG_ROLE_WRITER, false, CFG_BODY_JSON, echo},
    {"GET", "/later", CFG_ROLE_NONE, false, CFG_BODY_NONE, later},
    {"GET", "/hold", CFG_ROLE_NONE, false, CFG_BODY_NONE, hold},
    {"GET", "/release", CFG_ROLE_NONE, false, CFG_BODY_NONE, release},
    {"GET", "/stream", CFG_ROLE_NONE, false, CFG_BODY_NONE, stream},
    {"POST", "/end", CFG_ROLE_NONE, false, CFG_BODY_NONE, end_streams},
    {"POST", "/quit", CFG_ROLE_NONE, false, CFG_BODY_NONE, quit},
};

static struct {
    struct cfg_app app;
    struct cfg_http *http;
    pthread_t thread;
    uint16_t port;
} rig;

static void *serve(void *arg)
{
    (void)arg;
    cfg_loop_run(rig.app.loop);
    return NULL;
}

static void start(struct cfg_http_options o)
{
    struct cfg_error err;
    cr_assert_eq(cfg_loop_new(&rig.app.loop, &err), 0);
    o.loop = rig.app.loop;
    o.app = &rig.app;
    o.routes = routes;
    o.n_routes = sizeof routes / sizeof routes[0];
    o.listen = "127.0.0.1:0";
    cr_assert_eq(cfg_http_new(&rig.http, &o, &err), 0, "%s", err.text);
    rig.port = (uint16_t)strtoul(strrchr(cfg_http_url(rig.http), ':') + 1, NULL, 10);
    cfg_http_start(rig.http);
    cr_assert_eq(pthread_create(&rig.thread, NULL, serve, NULL), 0);
}

/* --- a client --- */

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(rig.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL); /* a server that has closed is seen by reading */
}

/* Reads until the text `until` has come (NULL: until the end). */
static char *get(int fd, const char *until)
{
    static char reply[65536];
    size_t n = 0;
    reply[0] = '\0';
    while (n < sizeof reply - 1 && (until == NULL || strstr(reply, until) == NULL)) {
        ssize_t r = recv(fd, reply + n, sizeof reply - 1 - n, 0);
        if (r <= 0)
            break;
        n += (size_t)r;
        reply[n] = '\0';
    }
    return reply;
}

#define HOST "Host: 127.0.0.1\r\n"

static char *ask(const char *request)
{
    int fd = dial();
    put(fd, request);
    char *reply = get(fd, NULL);
    (void)close(fd);
    return reply;
}

static char *ask_once(const char *method_and_path, const char *headers, const char *body)
{
    char request[4096];
    (void)snprintf(request, sizeof request,
                   "%s HTTP/1.1\r\n" HOST "Connection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method_and_path,
                   headers, strlen(body), body);
    int fd = dial();
    put(fd, request);
    char *reply = get(fd, NULL);
    (void)close(fd);
    return reply;
}

/* accepted: how many connections the server must have taken, this one included; 0: any. */
static void stop(unsigned accepted)
{
    struct cfg_conn_stats stats;
    int fd = dial();
    put(fd, "POST /quit HTTP/1.1\r\n" HOST "\r\n"); /* the loop stops before the answer is out */
    cr_assert_eq(pthread_join(rig.thread, NULL), 0);
    cfg_conns_stats(cfg_http_conns(rig.http), &stats);
    (void)close(fd);
    cr_assert(accepted == 0 || stats.accepted == accepted, "accepted %lu", (unsigned long)stats.accepted);
    for (size_t i = 0; i < rig.app.n_streams; i++)
        cfg_taken_close(&rig.app.streams[i]);
    cfg_http_free(rig.http);
    cfg_loop_free(rig.app.loop);
}

static void expect(const char *reply, const char *text)
{
    cr_assert_not_null(strstr(reply, text), "no \"%s\" in:\n%s", text, reply);
}

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        (void)closedir(d);
    return n;
}

/* --- tests --- */

Test(http_server, answers_and_refuses)
{
    start((struct cfg_http_options){0});
    char *r = ask_once("GET /hello/a%20b?q=x+y%21", "Configd-User: me@here\r\n", "");
    expect(r, "HTTP/1.1 200 OK\r\n");
    expect(r, "{\"name\":\"a b\",\"query\":\"x y!\",\"who\":\"me@here (unverified)\"}");
    r = ask_once("HEAD /hello/a", "", "");
    expect(r, "HTTP/1.1 200 OK\r\n");
    expect(r, "Content-Length: 54\r\n");
    cr_assert_null(strchr(r, '{'));
    expect(ask_once("GET /helo/a", "", ""), "did you mean /hello/a?");
    r = ask_once("DELETE /hello/a", "", "");
    expect(r, "HTTP/1.1 405 ");
    expect(r, "Allow: GET, HEAD\r\n");
    r = ask_once("OPTIONS /echo", "", "");
    expect(r, "HTTP/1.1 204 ");
    expect(r, "Allow: PUT\r\n");
    cr_assert_null(strstr(r, "Access-Control"));
    expect(ask_once("PUT /echo", "", "{}"), "HTTP/1.1 415 ");
    expect(ask_once("PUT /echo", "Content-Type: text/plain\r\n", "{}"), "\"code\":\"unsupported_media_type\"");
    expect(ask_once("PUT /echo", "Content-Type: application/json\r\n", "{\"a\":1}"), "{\"a\":1}");
    expect(ask_once("PUT /echo", "Content-Type: application/json\r\n", "{\"a\":1,\n \"a\":2}"), "line 2 column 2");
    expect(ask_once("PUT /echo", "Content-Type: application/json\r\nOrigin: http://evil.example\r\n", "{}"),
           "\"code\":\"cross_origin\"");
    expect(ask("GET /hello/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"), "HTTP/1.1 403 ");
    expect(ask("GET /hello/a HTTP/1.1\r\nConnection: close\r\n\r\n"), "no Host header");
    stop(0);
}

Test(http_server, keeps_connections)
{
    start((struct cfg_http_options){0});
    int fd = dial();
    for (int i = 0; i < 100; i++) {
        put(fd, i % 2 ? "GET /later HTTP/1.1\r\n" HOST "\r\n" : "GET /hello/a HTTP/1.1\r\n" HOST "\r\n");
        expect(get(fd, i % 2 ? "\r\n\r\n" : "}"), "HTTP/1.1 200 OK\r\n");
    }
    put(fd, "GET /hello/one HTTP/1.1\r\n" HOST "\r\nGET /hello/two HTTP/1.1\r\n" HOST "\r\n");
    expect(get(fd, "\"two\""), "\"one\"");
    (void)close(fd);
    stop(2);
}

Test(http_server, explains_what_it_cannot_read)
{
    start((struct cfg_http_options){0});
    const size_t size = 3 * 1024 * 1024 + 200;
    char *big = malloc(size);
    cr_assert_not_null(big);
    int n = snprintf(big, size, "GET /hello/a HTTP/1.1\r\n" HOST "X-Long: ");
    memset(big + n, 'x', 40000);
    (void)snprintf(big + n + 40000, 5, "\r\n\r\n");
    char *r = ask(big);
    expect(r, "HTTP/1.1 431 ");
    expect(r, "Content-Type: application/problem+json");
    expect(r, "\"code\":\"headers_too_large\"");
    n = snprintf(big, size,
                 "PUT /echo HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 3145728\r\n\r\n");
    memset(big + n, ' ', 3145728);
    big[n + 3145728] = '\0';
    r = ask(big);
    expect(r, "HTTP/1.1 413 ");
    expect(r, "\"code\":\"too_large\"");
    r = ask("nonsense\r\n\r\n");
    expect(r, "HTTP/1.1 400 ");
    expect(r, "\"code\":\"invalid_argument\"");
    r = ask("BREW /pot HTTP/1.1\r\n" HOST "\r\n");
    expect(r, "HTTP/1.1 405 ");
    r = ask("GET /hello/a HTTP/1.1\r\n" HOST "no colon here\r\n\r\n");
    expect(r, "HTTP/1.1 400 ");
    int fd = dial(); /* a body announced with Expect is asked for */
    put(fd, "PUT /echo HTTP/1.1\r\n" HOST
            "Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    expect(get(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue");
    put(fd, "{}");
    expect(get(fd, "{}"), "HTTP/1.1 200 OK");
    (void)close(fd);
    free(big);
    stop(0);
}

Test(http_server, drops_the_slow_and_the_silent)
{
    start((struct cfg_http_options){.limits = {.silent_ms = 200, .head_ms = 400, .idle_ms = 300}});
    int silent = dial(), slow = dial(), idle = dial();
    put(idle, "GET /hello/a HTTP/1.1\r\n" HOST "\r\n");
    expect(get(idle, "}"), "200 OK");
    struct pollfd p = {.fd = slow, .events = POLLIN};
    put(slow, "GET /hello/a HTTP/1.1\r\nX: ");
    while (poll(&p, 1, 50) == 0) /* one byte every 50 ms: never idle, never done */
        put(slow, "x");
    expect(get(slow, NULL), "HTTP/1.1 408 ");
    cr_assert_str_empty(get(silent, NULL));
    cr_assert_str_empty(get(idle, NULL));
    (void)close(silent);
    (void)close(slow);
    (void)close(idle);
    stop(0);
}

Test(http_server, serves_others_when_descriptors_are_full)
{
    enum { SILENT = 900, FDS = 300 };
    struct rlimit files;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    static int fds[SILENT];
    /* The client's sockets take descriptors of the same process: the server believes in room for FDS more. */
    for (int i = 0; i < SILENT; i++) /* low numbers are the client's */
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    start((struct cfg_http_options){.limits = {.max_fds = (unsigned)open_fds() + FDS}});
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(rig.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < SILENT; i++) {
        cr_assert_eq(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
        if (i % 100 == 99)
            expect(ask_once("GET /hello/a", "", ""), "200 OK");
    }
    expect(ask_once("GET /hello/a", "", ""), "200 OK");
    for (int i = 0; i < SILENT; i++)
        (void)close(fds[i]);
    stop(0);
}

Test(http_server, gives_sockets_away)
{
    enum { N = 2000 };
    struct rlimit files;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    start((struct cfg_http_options){0});
    static int fds[N];
    size_t before = open_fds();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            fds[i] = dial();
            put(fds[i], "GET /stream HTTP/1.1\r\n" HOST "\r\n");
        }
        for (int i = 0; i < N; i++) {
            char *r = get(fds[i], ": hello\n\n");
            expect(r, "Content-Type: text/event-stream\r\n");
            expect(r, "Configd-Store: s1\r\n");
        }
        expect(ask_once("GET /hello/a", "", ""), "200 OK");
        if (round == 0)
            expect(ask_once("POST /end", "", ""), "200 OK");
        for (int i = 0; i < N; i++) {
            if (round == 0)
                cr_assert_str_empty(get(fds[i], NULL));
            (void)close(fds[i]);
        }
    }
    expect(ask_once("POST /end", "", ""), "200 OK");
    cr_assert_leq(open_fds(), before + 2);
    stop(2 * N + 5);
}

Test(http_server, outlives_clients_and_calls)
{
    start((struct cfg_http_options){0});
    int fd = dial();
    put(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    expect(ask_once("GET /hello/a", "", ""), "200 OK"); /* the held call has been dispatched */
    (void)close(fd);
    expect(ask_once("GET /release", "", ""), "200 OK");
    fd = dial();
    put(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    expect(ask_once("GET /hello/a", "", ""), "200 OK");
    stop(0); /* with the second call unanswered */
    (void)close(fd);
}

/* --- TLS --- */

static void write_certificate(const char *cert, const char *key)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    cr_assert(pkey && x);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    (void)X509_set_pubkey(x, pkey);
    X509_NAME *name = X509_get_subject_name(x);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    (void)X509_set_issuer_name(x, name);
    cr_assert_gt(X509_sign(x, pkey, EVP_sha256()), 0);
    FILE *f = fopen(cert, "w");
    cr_assert(f && PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    f = fopen(key, "w");
    cr_assert(f && PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(pkey);
}

static SSL *dial_tls(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    cr_assert(ssl && SSL_set_fd(ssl, dial()) == 1);
    cr_assert_eq(SSL_connect(ssl), 1);
    return ssl;
}

static char *get_tls(SSL *ssl, const char *until)
{
    static char reply[8192];
    size_t n = 0;
    reply[0] = '\0';
    while (n < sizeof reply - 1 && (until == NULL || strstr(reply, until) == NULL)) {
        int r = SSL_read(ssl, reply + n, (int)(sizeof reply - 1 - n));
        if (r <= 0)
            break;
        n += (size_t)r;
        reply[n] = '\0';
    }
    return reply;
}

static void hang_up(SSL *ssl)
{
    (void)close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

static void ask_tls(SSL *ssl, const char *request)
{
    cr_assert_eq(SSL_write(ssl, request, (int)strlen(request)), (int)strlen(request));
}

static void start_tls(char dir[64])
{
    static char cert[96], key[96], tokens[96];
    (void)snprintf(dir, 64, "/tmp/cfg-tls-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    (void)snprintf(key, sizeof key, "%s/key.pem", dir);
    (void)snprintf(tokens, sizeof tokens, "%s/tokens.json", dir);
    write_certificate(cert, key);
    FILE *f = fopen(tokens, "w"); /* the token is "secret" */
    cr_assert(f &&
              fputs("{\"tokens\":[{\"subject\":\"alice\",\"role\":\"reader\",\"sha256\":"
                    "\"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"}]}",
                    f) > 0 &&
              fclose(f) == 0);
    start((struct cfg_http_options){.tls_cert = cert, .tls_key = key, .tokens_file = tokens});
}

static void stop_tls(SSL_CTX *ctx, const char *dir)
{
    SSL *ssl = dial_tls(ctx);
    ask_tls(ssl, "POST /quit HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    cr_assert_eq(pthread_join(rig.thread, NULL), 0);
    hang_up(ssl);
    struct cfg_error err;
    cr_assert_eq(cfg_http_reload(rig.http, &err), 0, "%s", err.text);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
    cr_assert_neq(cfg_http_reload(rig.http, &err), 0); /* the old ones stay */
    cr_assert_not_null(strstr(err.text, "No such file"), "%s", err.text);
    cfg_http_free(rig.http);
    cfg_loop_free(rig.app.loop);
    SSL_CTX_free(ctx);
}

Test(http_server, speaks_tls_and_asks_for_tokens)
{
    enum { N = 50 };
    char dir[64];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    start_tls(dir);
    SSL *ssl = dial_tls(ctx);
    ask_tls(ssl, "GET /hello/a HTTP/1.1\r\n" HOST "\r\n");
    expect(get_tls(ssl, "}"), "HTTP/1.1 401 ");
    ask_tls(ssl, "GET /hello/a HTTP/1.1\r\n" HOST "Authorization: Bearer wrong\r\n\r\n");
    expect(get_tls(ssl, "}"), "this token is not known");
    ask_tls(ssl, "GET /hello/a HTTP/1.1\r\n" HOST "Authorization: Bearer secret\r\nConfigd-User: root\r\n\r\n");
    expect(get_tls(ssl, "}"), "\"who\":\"alice\"");
    ask_tls(ssl, "PUT /echo HTTP/1.1\r\n" HOST "Authorization: Bearer secret\r\nContent-Length: 0\r\n\r\n");
    expect(get_tls(ssl, "}"), "HTTP/1.1 403 ");
    hang_up(ssl);
    SSL *streams[N];
    for (int i = 0; i < N; i++) {
        streams[i] = dial_tls(ctx);
        ask_tls(streams[i], "GET /stream HTTP/1.1\r\n" HOST "\r\n");
        expect(get_tls(streams[i], ": hello\n\n"), "text/event-stream");
    }
    ssl = dial_tls(ctx);
    ask_tls(ssl, "POST /end HTTP/1.1\r\n" HOST "\r\n");
    expect(get_tls(ssl, "\r\n\r\n"), "200 OK");
    hang_up(ssl);
    for (int i = 0; i < N; i++) {
        cr_assert_str_empty(get_tls(streams[i], NULL));
        hang_up(streams[i]);
    }
    stop_tls(ctx, dir);
}
