/* The etcd client's life: options, endpoints, handles. Requests are in etcd_request.c. */
#include "configd/etcd_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "unix:/dir/NAME:1" or an http(s) URL without a path. */
static int read_endpoint(struct cfg_etcd_endpoint *out, const char *text, struct cfg_error *err)
{
    struct cfg_slice s = cfg_slice_str(text);
    if (cfg_slice_starts(s, "unix:")) {
        const char *path = text + strlen("unix:");
        if (path[0] != '/')
            return cfg_fail(err, CFG_E_INVALID, "etcd endpoint '%s': a socket needs an absolute path", text);
        out->socket_path = strdup(path);
        out->base = strdup("http://localhost");
    } else if (cfg_slice_starts(s, "http://") || cfg_slice_starts(s, "https://")) {
        size_t len = s.len;
        while (len > 0 && text[len - 1] == '/')
            len--;
        const char *host = strstr(text, "://") + 3;
        if (host >= text + len || memchr(host, '/', (size_t)(text + len - host)))
            return cfg_fail(err, CFG_E_INVALID, "etcd endpoint '%s': host and port only, without a path", text);
        out->base = strndup(text, len);
    } else {
        int code = cfg_fail(err, CFG_E_INVALID, "etcd endpoint '%s' is no URL", text);
        cfg_error_set_hint(err, "write http://HOST:2379, https://HOST:2379 or unix:/DIR/NAME:1");
        return code;
    }
    out->name = strdup(text);
    if (out->name == NULL || out->base == NULL || (cfg_slice_starts(s, "unix:") && out->socket_path == NULL))
        return cfg_fail(err, CFG_E_NOMEM, "no memory for an etcd endpoint");
    return 0;
}

static int copy_text(char **out, const char *text)
{
    *out = text ? strdup(text) : NULL;
    return text && *out == NULL ? CFG_E_NOMEM : 0;
}

static int copy_options(struct cfg_etcd *e, const struct cfg_etcd_options *o, struct cfg_error *err)
{
    if (o->n_endpoints == 0)
        return cfg_fail(err, CFG_E_INVALID, "no etcd endpoint was given");
    if ((o->user == NULL) != (o->password == NULL))
        return cfg_fail(err, CFG_E_INVALID, "etcd authentication needs a user and a password");
    if ((o->cert_file == NULL) != (o->key_file == NULL))
        return cfg_fail(err, CFG_E_INVALID,
                        "a TLS client certificate towards etcd needs its key, and a key its certificate");
    e->endpoints = calloc(o->n_endpoints, sizeof *e->endpoints);
    if (e->endpoints == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the etcd client");
    e->n_endpoints = o->n_endpoints;
    for (size_t i = 0; i < o->n_endpoints; i++) {
        int code = read_endpoint(&e->endpoints[i], o->endpoints[i], err);
        if (code)
            return code;
    }
    e->request_timeout_ms = o->request_timeout_ms ? o->request_timeout_ms : 5000;
    e->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 1000;
    e->watch_silence_ms = o->watch_silence_ms ? o->watch_silence_ms : 10000;
    e->clock = o->clock ? o->clock : &cfg_clock_system;
    if (copy_text(&e->user, o->user) || copy_text(&e->password, o->password) || copy_text(&e->ca_file, o->ca_file) ||
        copy_text(&e->cert_file, o->cert_file) || copy_text(&e->key_file, o->key_file))
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the etcd client");
    return 0;
}

static int add_header(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer == NULL)
        return CFG_E_NOMEM;
    *list = longer;
    return 0;
}

static int set_up(struct cfg_etcd *e, struct cfg_error *err)
{
    int code = cfg_curl_loop_new(&e->curl, e->loop, CFG_ETCD_CONNECTIONS, err);
    if (code)
        return code;
    e->rest_timer = cfg_timer_new(e->loop, cfg_etcd_wake_resting, e);
    e->broken_timer = cfg_timer_new(e->loop, cfg_etcd_fail_broken, e);
    /* "Expect:" switches the 100-continue round trip off. A member that has lost its leader refuses at once, instead of
     * letting requests hang and watches go deaf, when it is asked to ("hasleader"). */
    if (e->rest_timer == NULL || e->broken_timer == NULL || add_header(&e->headers, "Content-Type: application/json") ||
        add_header(&e->headers, "Expect:") || add_header(&e->headers, "Accept:") ||
        add_header(&e->headers, "Grpc-Metadata-hasleader: true"))
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the etcd client");
    return 0;
}

int cfg_etcd_new(struct cfg_etcd **out, struct cfg_loop *loop, const struct cfg_etcd_options *o, struct cfg_error *err)
{
    struct cfg_etcd *e = calloc(1, sizeof *e);
    if (e == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the etcd client");
    e->loop = loop;
    TAILQ_INIT(&e->waiting);
    TAILQ_INIT(&e->flying);
    TAILQ_INIT(&e->resting);
    TAILQ_INIT(&e->broken);
    LIST_INIT(&e->watches);
    LIST_INIT(&e->lists);
    int code = copy_options(e, o, err);
    if (code == 0)
        code = set_up(e, err);
    if (code) {
        cfg_etcd_free(e);
        return code;
    }
    *out = e;
    return 0;
}

static bool cancel_all(struct cfg_etcd_call_list *list, const struct cfg_error *err)
{
    struct cfg_etcd_call *c;
    bool any = false;
    for (; (c = TAILQ_FIRST(list)) != NULL; any = true)
        cfg_etcd_call_fail(c, err);
    return any;
}

/* A callback may start something new even now; that ends the same way, in the next round. */
static void cancel_everything(struct cfg_etcd *e)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_CANCELED, "the etcd client was closed");
    do {
        cfg_etcd_lists_cancel(e, &err);
        cfg_etcd_watches_fail(e, &err, true);
    } while (cancel_all(&e->flying, &err) || cancel_all(&e->resting, &err) || cancel_all(&e->waiting, &err) ||
             cancel_all(&e->broken, &err));
}

void cfg_etcd_free(struct cfg_etcd *e)
{
    if (e == NULL)
        return;
    e->closing = true;
    cancel_everything(e);
    while (e->n_idle > 0)
        curl_easy_cleanup(e->idle[--e->n_idle]);
    cfg_curl_loop_free(e->curl);
    cfg_timer_free(e->rest_timer);
    cfg_timer_free(e->broken_timer);
    curl_slist_free_all(e->headers);
    for (size_t i = 0; e->endpoints && i < e->n_endpoints; i++) {
        free(e->endpoints[i].name);
        free(e->endpoints[i].base);
        free(e->endpoints[i].socket_path);
    }
    free(e->endpoints);
    free(e->token);
    free(e->user);
    if (e->password)
        explicit_bzero(e->password, strlen(e->password));
    free(e->password);
    free(e->ca_file);
    free(e->cert_file);
    free(e->key_file);
    free(e);
}

/* What every request has in common. A handle keeps it over its whole life. */
static CURL *new_handle(struct cfg_etcd *e)
{
    CURL *h = curl_easy_init();
    if (h == NULL)
        return NULL;
    bool good = curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_POST, 1L) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_PIPEWAIT, 0L) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, 10L) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, 5L) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 16L * 1024) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_PROXY, "") == CURLE_OK && /* http_proxy is not meant for etcd */
                curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)e->connect_timeout_ms) == CURLE_OK;
    if (good && e->ca_file)
        good = curl_easy_setopt(h, CURLOPT_CAINFO, e->ca_file) == CURLE_OK;
    if (good && e->cert_file)
        good = curl_easy_setopt(h, CURLOPT_SSLCERT, e->cert_file) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_SSLKEY, e->key_file) == CURLE_OK;
    if (!good) {
        curl_easy_cleanup(h);
        return NULL;
    }
    return h;
}

CURL *cfg_etcd_take_handle(struct cfg_etcd *e, size_t endpoint, const char *path)
{
    CURL *h = e->n_idle > 0 ? e->idle[--e->n_idle] : new_handle(e);
    if (h == NULL)
        return NULL;
    const struct cfg_etcd_endpoint *at = &e->endpoints[endpoint];
    char url[512];
    int n = snprintf(url, sizeof url, "%s%s", at->base, path);
    if (n < 0 || (size_t)n >= sizeof url || curl_easy_setopt(h, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, at->socket_path) != CURLE_OK) {
        curl_easy_cleanup(h);
        return NULL;
    }
    return h;
}

void cfg_etcd_give_handle(struct cfg_etcd *e, CURL *easy)
{
    if (easy == NULL)
        return;
    /* Its last user's memory goes away; everything else that points there is set again before the next use. */
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, NULL);
    if (e->n_idle < CFG_ETCD_IDLE_HANDLES)
        e->idle[e->n_idle++] = easy;
    else
        curl_easy_cleanup(easy);
}

void cfg_etcd_rotate(struct cfg_etcd *e, size_t failed)
{
    if (failed != e->current || e->n_endpoints < 2)
        return;
    e->current = (e->current + 1) % e->n_endpoints;
    e->stats.rotations++;
}

void cfg_etcd_stats(const struct cfg_etcd *e, struct cfg_etcd_stats *out)
{
    *out = e->stats;
    (void)snprintf(out->endpoint, sizeof out->endpoint, "%s", e->endpoints[e->current].name);
}
