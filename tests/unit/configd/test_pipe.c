/* Pipes over real socket pairs: direct sends, one queued frame, readers that are slow, gone or stuck, heartbeats, ages
 * and ends. */
#include "configd/stream_pipe.h"

#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct cfg_loop *loop;
static struct cfg_pipes *pipes;

struct end {
    struct cfg_pipe pipe; /* first */
    int reader;
    int drained, dead, closed;
    struct cfg_bytes *then; /* sent when drained */
    bool sent_more;
};

static void on_drained(struct cfg_pipe *p)
{
    struct end *e = (struct end *)p;
    e->drained++;
    if (e->then)
        e->sent_more = cfg_pipe_send(p, e->then);
}

static void on_dead(struct cfg_pipe *p)
{
    ((struct end *)p)->dead++;
}

static void on_closed(struct cfg_pipe *p)
{
    ((struct end *)p)->closed++;
}

static const struct cfg_pipe_ops ops = {on_drained, on_dead, on_closed};

static void open_pipes(unsigned heartbeat_ms, unsigned age_ms)
{
    struct cfg_pipes_options o = {
        .loop = loop, .clock = &cfg_clock_system, .heartbeat_ms = heartbeat_ms, .age_ms = age_ms};
    cr_assert_eq(cfg_pipes_new(&pipes, &o, NULL), 0);
}

static void setup(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon does, for OpenSSL's sake */
    cr_assert_eq(cfg_loop_new(&loop, NULL), 0);
}

static void teardown(void)
{
    cfg_pipes_free(pipes);
    cfg_loop_free(loop);
}

TestSuite(pipe, .init = setup, .fini = teardown);

static void open_end(struct end *e)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *e = (struct end){.reader = fds[1]};
    struct cfg_taken taken = {.fd = fds[0]};
    cr_assert_eq(cfg_pipe_open(&e->pipe, pipes, &ops, &taken, NULL), 0);
    cr_assert_eq(taken.fd, -1, "consumed");
}

static struct cfg_bytes *bytes(size_t n, char c)
{
    char *s = malloc(n);
    cr_assert_not_null(s);
    memset(s, c, n);
    struct cfg_bytes *b = cfg_bytes_new((struct cfg_slice){s, n});
    free(s);
    return b;
}

static size_t read_some(struct end *e, char *out, size_t n)
{
    ssize_t got = recv(e->reader, out, n, MSG_DONTWAIT);
    return got > 0 ? (size_t)got : 0;
}

/* Turns the loop until fn says yes. */
#define UNTIL(condition)                                     \
    do {                                                     \
        for (int turns = 0; !(condition); turns++) {         \
            cr_assert_lt(turns, 2000, "never: " #condition); \
            cfg_loop_run_once(loop, 10);                     \
        }                                                    \
    } while (0)

Test(pipe, sends_at_once_when_idle)
{
    static struct end e;
    char text[64];
    open_pipes(15000, 3600000);
    open_end(&e);
    struct cfg_bytes *b = bytes(40, 'a');
    cr_assert(cfg_pipe_send(&e.pipe, b));
    cr_assert_eq(read_some(&e, text, sizeof text), 40u, "without a turn of the loop");
    cr_assert_eq(b->refs, 1u, "nothing is kept");
    (void)cfg_bytes_unref(b);
    cr_assert_eq(cfg_pipes_count(pipes), 1u);
    close(e.reader);
    UNTIL(e.closed == 1);
    cr_assert_eq(e.dead, 1);
    cr_assert_eq(cfg_pipes_count(pipes), 0u);
}

Test(pipe, keeps_the_rest_of_one_frame)
{
    static struct end e;
    static char text[1 << 16];
    open_pipes(15000, 3600000);
    open_end(&e);
    enum { N = 8 << 20 };
    struct cfg_bytes *b = bytes(N, 'a');
    e.then = bytes(10, 'b');
    cr_assert_not(cfg_pipe_send(&e.pipe, b));
    cr_assert_eq(b->refs, 2u, "kept by reference");
    cr_assert_not(cfg_pipe_takes(&e.pipe));
    cr_assert_not(cfg_pipe_send(&e.pipe, e.then), "refused while one is on its way");
    size_t got = 0, others = 0;
    while (got < N + 10) {
        size_t n = read_some(&e, text, sizeof text);
        for (size_t i = 0; i < n; i++)
            others += text[i] != 'a';
        got += n;
        if (n == 0)
            cfg_loop_run_once(loop, 10);
    }
    cr_assert_eq(got, (size_t)N + 10);
    cr_assert_eq(others, 10u);
    cr_assert_eq(e.drained, 1);
    cr_assert(e.sent_more);
    cr_assert_eq(b->refs, 1u);
    (void)cfg_bytes_unref(b);
    (void)cfg_bytes_unref(e.then);
    close(e.reader);
}

Test(pipe, the_last_frame_goes_out_before_the_end)
{
    static struct end e;
    char text[64] = "";
    open_pipes(15000, 3600000);
    open_end(&e);
    cfg_pipe_end(&e.pipe, bytes(5, 'z'));
    cfg_pipe_end(&e.pipe, bytes(5, 'y'));
    cr_assert_eq(e.dead, 1);
    cr_assert_eq(e.closed, 0, "never from inside the call");
    UNTIL(e.closed == 1);
    cr_assert_eq(read_some(&e, text, sizeof text), 5u);
    cr_assert_eq(recv(e.reader, text, sizeof text, 0), 0, "then the end");
    close(e.reader);
}

Test(pipe, ends_after_what_is_queued)
{
    static struct end e;
    static char text[1 << 16];
    open_pipes(15000, 3600000);
    open_end(&e);
    enum { N = 4 << 20 };
    struct cfg_bytes *b = bytes(N, 'a');
    cr_assert_not(cfg_pipe_send(&e.pipe, b));
    cfg_pipe_end(&e.pipe, bytes(5, 'z')); /* there is no room for it: the newest frame matters more */
    cr_assert_eq(e.dead, 0);
    size_t got = 0;
    while (e.closed == 0) {
        got += read_some(&e, text, sizeof text);
        cfg_loop_run_once(loop, 1);
    }
    for (size_t n; (n = read_some(&e, text, sizeof text)) > 0;)
        got += n;
    cr_assert_eq(got, (size_t)N);
    cr_assert_eq(e.drained, 0, "an ending pipe wants nothing more");
    (void)cfg_bytes_unref(b);
    close(e.reader);
}

Test(pipe, heartbeats_reach_silent_readers)
{
    static struct end e[40];
    open_pipes(200, 3600000);
    for (size_t i = 0; i < 40; i++)
        open_end(&e[i]);
    for (size_t i = 0; i < 40; i++) {
        char text[7] = "";
        UNTIL(read_some(&e[i], text, 6) == 6);
        cr_assert_str_eq(text, ": hb\n\n");
        close(e[i].reader);
    }
}

Test(pipe, a_stuck_reader_is_let_go)
{
    static struct end e, ok;
    open_pipes(100, 3600000);
    open_end(&e);
    open_end(&ok);
    struct cfg_bytes *b = bytes(8 << 20, 'a');
    cr_assert_not(cfg_pipe_send(&e.pipe, b));
    UNTIL(e.closed == 1);
    cr_assert_eq(ok.dead, 0);
    cr_assert_eq(b->refs, 1u);
    (void)cfg_bytes_unref(b);
    close(e.reader);
    close(ok.reader);
}

Test(pipe, old_pipes_say_bye)
{
    static struct end e[20];
    open_pipes(15000, 500);
    for (size_t i = 0; i < 20; i++)
        open_end(&e[i]);
    for (size_t i = 0; i < 20; i++) {
        char text[64] = "";
        UNTIL(e[i].closed == 1);
        cr_assert_gt(read_some(&e[i], text, sizeof text - 1), 0u);
        cr_assert_str_eq(text, "event: bye\ndata: {\"reason\":\"age\"}\n\n");
        close(e[i].reader);
    }
}

Test(pipe, a_reader_that_talks_is_let_go)
{
    static struct end e;
    static char noise[64 * 1024];
    open_pipes(15000, 3600000);
    open_end(&e);
    cr_assert_gt(send(e.reader, noise, 100, 0), 0);
    cfg_loop_run_once(loop, 10);
    cr_assert_eq(e.dead, 0);
    while (e.closed == 0) {
        (void)send(e.reader, noise, sizeof noise, MSG_DONTWAIT | MSG_NOSIGNAL);
        cfg_loop_run_once(loop, 1);
    }
    close(e.reader);
}

Test(pipe, freeing_says_bye_to_all)
{
    static struct end e[3];
    char text[64] = "";
    open_pipes(15000, 3600000);
    for (size_t i = 0; i < 3; i++)
        open_end(&e[i]);
    cfg_pipe_end(&e[1].pipe, NULL); /* on its way to the grave already */
    cfg_pipes_free(pipes);
    pipes = NULL;
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(e[i].closed, 1);
        size_t n = read_some(&e[i], text, sizeof text - 1);
        text[n] = '\0';
        cr_assert_str_eq(text, i == 1 ? "" : "event: bye\ndata: {\"reason\":\"shutdown\"}\n\n");
        close(e[i].reader);
    }
}

/* --- TLS --- */

static SSL_CTX *server_context(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    cr_assert(key && cert);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    cr_assert_gt(X509_sign(cert, key, EVP_sha256()), 0);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    cr_assert_eq(SSL_CTX_use_certificate(ctx, cert), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

static size_t tls_got;

static void on_client_read(struct bufferevent *bev, void *arg)
{
    (void)arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    tls_got += evbuffer_get_length(in);
    (void)evbuffer_drain(in, evbuffer_get_length(in));
}

static SSL_CTX *server, *client;

static struct bufferevent *open_tls(struct end *e)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    server = server_context();
    client = SSL_CTX_new(TLS_client_method());
    struct event_base *base = cfg_loop_base(loop);
    struct bufferevent *reader = bufferevent_openssl_socket_new(base, fds[1], SSL_new(client),
                                                                BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
    struct cfg_taken taken = {.fd = -1};
    taken.bev =
        bufferevent_openssl_socket_new(base, fds[0], SSL_new(server), BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    cr_assert(reader && taken.bev);
    bufferevent_setcb(reader, on_client_read, NULL, NULL, NULL);
    bufferevent_setwatermark(reader, EV_READ, 0, 65536);
    cr_assert_eq(cfg_pipe_open(&e->pipe, pipes, &ops, &taken, NULL), 0);
    (void)bufferevent_enable(reader, EV_READ | EV_WRITE);
    return reader;
}

static void close_tls(struct end *e, struct bufferevent *reader)
{
    bufferevent_free(reader);
    UNTIL(e->closed == 1);
    cr_assert_eq(e->dead, 1);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

Test(pipe, tls_readers_that_are_slow_are_not_stuck)
{
    static struct end e;
    enum { N = 4 << 20, PER_TICK = 64 << 10 }; /* far longer than a stuck reader's time */
    open_pipes(100, 3600000);
    struct bufferevent *reader = open_tls(&e);
    struct timeval often = {0, 50000};
    struct ev_token_bucket_cfg *rate = ev_token_bucket_cfg_new(PER_TICK, PER_TICK, PER_TICK, PER_TICK, &often);
    cr_assert_eq(bufferevent_set_rate_limit(reader, rate), 0);
    struct cfg_bytes *large = bytes(N, 'b');
    cr_assert_not(cfg_pipe_send(&e.pipe, large));
    UNTIL(e.drained == 1 || e.dead == 1);
    cr_assert_eq(e.dead, 0);
    close_tls(&e, reader);
    ev_token_bucket_cfg_free(rate);
    (void)cfg_bytes_unref(large);
}

Test(pipe, tls_keeps_one_frame_and_tells_when_it_is_out)
{
    static struct end e;
    enum { N = 16 << 20 };
    open_pipes(15000, 3600000);
    struct bufferevent *reader = open_tls(&e);
    struct cfg_bytes *small = bytes(100, 'a'), *large = bytes(N, 'b');
    cr_assert_not(cfg_pipe_send(&e.pipe, small), "counts as queued until it is written");
    cr_assert_not(cfg_pipe_takes(&e.pipe));
    UNTIL(e.drained == 1 && tls_got == 100);
    (void)bufferevent_disable(reader, EV_READ);
    cr_assert_not(cfg_pipe_send(&e.pipe, large));
    for (int i = 0; i < 50; i++)
        cfg_loop_run_once(loop, 1);
    cr_assert_eq(e.drained, 1, "the reader takes nothing");
    (void)bufferevent_enable(reader, EV_READ);
    UNTIL(e.drained == 2 && tls_got == (size_t)N + 100);
    cr_assert(cfg_pipe_takes(&e.pipe));
    close_tls(&e, reader);
    (void)cfg_bytes_unref(small);
    (void)cfg_bytes_unref(large);
}

/* The edge's part, without the edge: there, the connection of evhttp owns the bufferevent. */
void cfg_taken_close(struct cfg_taken *t)
{
    if (t->fd >= 0)
        close(t->fd);
    if (t->bev)
        bufferevent_free(t->bev);
    *t = (struct cfg_taken){.fd = -1};
}
