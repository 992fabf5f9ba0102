/* Listening, starting, stopping, reloading. evhttp keeps its connections; http_conn.c keeps an eye on them. */
#include "configd/http_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

const double cfg_http_bucket_s[CFG_HTTP_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                    0.05,   0.1,   0.25,   1,     2.5,  10};

/* --- listening --- */

static int bind_address(int *out, const struct addrinfo *a)
{
    int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* Accepted sockets inherit TCP_NODELAY on Linux. Reuse: a restart must not wait for old connections to fade. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
        listen(fd, BACKLOG) == 0) {
        *out = fd;
        return 0;
    }
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static int open_socket(int *out, const struct cfg_listen *l, struct cfg_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", l->port);
    int found = getaddrinfo(l->host, port, &hints, &list);
    if (found != 0)
        return cfg_fail(err, CFG_E_IO, "cannot listen on %s: %s", l->host, gai_strerror(found));
    int rc = -1;
    for (struct addrinfo *a = list; a && rc != 0; a = a->ai_next)
        rc = bind_address(out, a);
    int saved = errno;
    freeaddrinfo(list);
    if (rc == 0)
        return 0;
    (void)cfg_fail(err, CFG_E_IO, "cannot listen on %s port %u: %s", l->host, l->port, strerrordesc_np(saved));
    if (saved == EADDRINUSE)
        cfg_error_set_hint(err, "another configd may be running; choose a port with --listen %s:0", l->host);
    return CFG_E_IO;
}

static void name_url(struct cfg_http *h, int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char port[8] = "0";
    if (getsockname(fd, (struct sockaddr *)&a, &n) == 0)
        (void)getnameinfo((struct sockaddr *)&a, n, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    h->listen.port = (uint16_t)strtoul(port, NULL, 10);
    bool v6 = strchr(h->listen.host, ':') != NULL;
    (void)snprintf(h->url, sizeof h->url, "%s://%s%s%s:%s", h->tls ? "https" : "http", v6 ? "[" : "", h->listen.host,
                   v6 ? "]" : "", port);
}

static int make_listener(struct cfg_http *h, struct cfg_error *err)
{
    int fd = -1;
    int rc = open_socket(&fd, &h->listen, err);
    if (rc != 0)
        return rc;
    name_url(h, fd);
    struct evconnlistener *listener =
        evconnlistener_new(cfg_loop_base(h->o.loop), NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (listener == NULL) {
        (void)close(fd);
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a listener");
    }
    (void)evconnlistener_disable(listener);
    if (evhttp_bind_listener(h->evhttp, listener) == NULL) {
        evconnlistener_free(listener);
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a listener");
    }
    (void)evconnlistener_disable(listener); /* binding a callback has enabled it */
    return cfg_conns_new(&h->conns, h->o.loop, h->o.clock, h->evhttp, listener, &h->tls, &h->o.limits, err);
}

/* --- options --- */

static char *host_of_url(const char *url)
{
    const char *p = strstr(url, "://");
    p = p ? p + 3 : url;
    size_t skip = p[0] == '[' ? 1 : 0;
    return cfg_slice_dup((struct cfg_slice){p + skip, strcspn(p + skip, skip ? "]" : ":/")});
}

static int copy_hosts(struct cfg_http *h, struct cfg_error *err)
{
    const struct cfg_http_options *o = &h->o;
    h->allowed = calloc(o->n_allowed_host + 1, sizeof *h->allowed);
    bool ok = h->allowed != NULL;
    for (size_t i = 0; ok && i < o->n_allowed_host; i++) {
        h->allowed[i] = cfg_slice_dup(cfg_slice_str(o->allowed_host[i]));
        ok = h->allowed[i] != NULL;
    }
    if (ok && o->advertise) {
        h->advertised = host_of_url(o->advertise);
        ok = h->advertised != NULL;
    }
    if (!ok)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the table of host names");
    h->hosts = (struct cfg_hosts){&h->listen, (const char *const *)h->allowed, o->n_allowed_host, h->advertised};
    return 0;
}

static int check_pairs(const struct cfg_http_options *o, struct cfg_error *err)
{
    if ((o->tls_cert == NULL) == (o->tls_key == NULL))
        return 0;
    return cfg_fail(err, CFG_E_INVALID, "--tls-cert and --tls-key belong together");
}

static int load_secrets(SSL_CTX **tls, struct cfg_tokens **tokens, const struct cfg_http_options *o,
                        struct cfg_error *err)
{
    int rc = check_pairs(o, err);
    if (rc == 0 && o->tls_cert)
        rc = cfg_tls_context(tls, o->tls_cert, o->tls_key, err);
    if (rc == 0 && o->tokens_file)
        rc = cfg_tokens_load(tokens, o->tokens_file, err);
    return rc;
}

static int make_evhttp(struct cfg_http *h, struct cfg_error *err)
{
    h->evhttp = evhttp_new(cfg_loop_base(h->o.loop));
    h->stats = calloc(h->o.n_routes + 1, sizeof *h->stats);
    if (h->evhttp == NULL || h->stats == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for an HTTP server");
    evhttp_set_max_headers_size(h->evhttp, CFG_LIMIT_HEADERS);
    evhttp_set_max_body_size(h->evhttp, CFG_LIMIT_BODY);
    /* A body that is too large is read to its end, within the deadline: a close with unread bytes would reset the
     * connection before the reply is read. */
    (void)evhttp_set_flags(h->evhttp, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_default_content_type(h->evhttp, NULL);
    evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH |
                                              EVHTTP_REQ_POST | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS);
    evhttp_set_gencb(h->evhttp, cfg_http_dispatch, h);
    return 0;
}

int cfg_http_new(struct cfg_http **out, const struct cfg_http_options *o, struct cfg_error *err)
{
    struct cfg_http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for an HTTP server");
    h->o = *o;
    h->o.clock = o->clock ? o->clock : &cfg_clock_system;
    int rc = cfg_listen_parse(&h->listen, o->listen, err);
    if (rc == 0)
        rc = cfg_listen_check(&h->listen, o->tls_cert && o->tls_key, o->tokens_file != NULL, err);
    if (rc == 0)
        rc = load_secrets(&h->tls, &h->tokens, o, err);
    if (rc == 0)
        rc = copy_hosts(h, err);
    if (rc == 0)
        rc = make_evhttp(h, err);
    if (rc == 0)
        rc = make_listener(h, err);
    if (rc != 0) {
        cfg_http_free(h);
        return rc;
    }
    *out = h;
    return 0;
}

void cfg_http_start(struct cfg_http *h)
{
    cfg_conns_start(h->conns);
}

void cfg_http_stop(struct cfg_http *h)
{
    cfg_conns_stop(h->conns);
}

size_t cfg_http_busy(const struct cfg_http *h)
{
    struct cfg_conn_stats stats;
    cfg_conns_stats(h->conns, &stats);
    return stats.busy;
}

void cfg_http_free(struct cfg_http *h)
{
    if (h == NULL)
        return;
    cfg_http_drop_calls(h);
    cfg_conns_stop(h->conns);
    if (h->evhttp)
        evhttp_free(h->evhttp);
    cfg_conns_free(h->conns);
    SSL_CTX_free(h->tls);
    (void)cfg_tokens_unref(h->tokens);
    for (size_t i = 0; h->allowed && h->allowed[i]; i++)
        free(h->allowed[i]);
    free(h->allowed);
    free(h->advertised);
    free(h->stats);
    free(h);
}

int cfg_http_reload(struct cfg_http *h, struct cfg_error *err)
{
    SSL_CTX *tls = NULL;
    struct cfg_tokens *tokens = NULL;
    int rc = load_secrets(&tls, &tokens, &h->o, err);
    if (rc != 0) {
        SSL_CTX_free(tls);
        (void)cfg_tokens_unref(tokens);
        return rc;
    }
    SSL_CTX_free(h->tls); /* connections of today keep it */
    h->tls = tls;
    (void)cfg_tokens_unref(h->tokens);
    h->tokens = tokens;
    return 0;
}

const char *cfg_http_url(const struct cfg_http *h)
{
    return h->url;
}

const struct cfg_http_route_stats *cfg_http_stats(const struct cfg_http *h, size_t i)
{
    return &h->stats[i];
}

const struct cfg_conns *cfg_http_conns(const struct cfg_http *h)
{
    return h->conns;
}

size_t cfg_http_tokens(const struct cfg_http *h)
{
    return cfg_tokens_count(h->tokens);
}

int64_t cfg_http_tls_expiry(const struct cfg_http *h)
{
    return h->tls ? cfg_tls_expiry(h->tls) : 0;
}
