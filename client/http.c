#include "client/http.h"
#include "proto/buf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { CONNECT_TIMEOUT_MS = 5000, HEADER_MAX = 16 * 1024 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_rc; /* written under `once` only */

static void init_global(void)
{
    global_rc = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int cfg_http_global(struct cfg_error *err)
{
    if (pthread_once(&once, init_global) != 0 || global_rc != CURLE_OK)
        return cfg_fail(err, CFG_E_INTERNAL, "libcurl cannot be initialised: %s", curl_easy_strerror(global_rc));
    return 0;
}

static bool set_url(CURL *easy, const char *base, const char *path)
{
    char *url = NULL;
    if (asprintf(&url, "%s%s", base, path) < 0)
        return false;
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
    free(url);
    return ok;
}

/* No proxy: a variable such as http_proxy, set for downloads, would catch requests to loopback too. */
int cfg_http_prepare(CURL *easy, const struct cfg_target *t, size_t server, const char *path, char *errbuf,
                     struct cfg_error *err)
{
    errbuf[0] = '\0';
    bool ok = set_url(easy, t->servers[server], path);
    ok &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, errbuf) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK;
    if (t->ca_file)
        ok &= curl_easy_setopt(easy, CURLOPT_CAINFO, t->ca_file) == CURLE_OK;
    return ok ? 0 : cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory for a request");
}

int cfg_http_add_header(struct curl_slist **list, const char *name, const char *value)
{
    struct cfg_buf line;
    cfg_buf_init(&line, HEADER_MAX);
    cfg_buf_printf(&line, "%s: %s", name, value);
    struct curl_slist *longer = cfg_buf_status(&line) == 0 ? curl_slist_append(*list, line.data) : NULL;
    cfg_buf_finish(&line);
    if (longer == NULL)
        return CFG_E_NOMEM;
    *list = longer;
    return 0;
}

struct curl_slist *cfg_http_headers(const struct cfg_target *t)
{
    struct curl_slist *list = NULL;
    struct cfg_buf bearer;
    cfg_buf_init(&bearer, HEADER_MAX);
    cfg_buf_printf(&bearer, "Bearer %s", t->token ? t->token : "");
    int rc = cfg_buf_status(&bearer);
    if (rc == 0)
        rc = cfg_http_add_header(&list, "Expect", ""); /* curl's 100-continue would cost a round trip */
    if (rc == 0)
        rc = t->token ? cfg_http_add_header(&list, "Authorization", bearer.data)
                      : cfg_http_add_header(&list, "Configd-User", t->user);
    cfg_buf_finish(&bearer);
    if (rc != 0) {
        curl_slist_free_all(list);
        return NULL;
    }
    return list;
}

bool cfg_http_reached(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
        return false;
    default:
        return true;
    }
}

int cfg_http_fail(struct cfg_error *err, CURLcode code, const char *errbuf, const char *server)
{
    const char *detail = errbuf[0] ? errbuf : curl_easy_strerror(code);
    switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        cfg_fail(err, CFG_E_CONNECT, "no TLS with %s: %s", server, detail);
        cfg_error_set_hint(err, "give the server's CA with --ca FILE or CONFIGD_CA_FILE, or use http:// if it has no "
                                "TLS");
        break;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_URL_MALFORMAT:
        cfg_fail(err, CFG_E_CONNECT, "no configd at %s: %s", server, detail);
        cfg_error_set_hint(err, "start one with `configd`, or name another with --server or CONFIGD_SERVER");
        break;
    case CURLE_OPERATION_TIMEDOUT:
        cfg_fail(err, CFG_E_TIMEOUT, "%s did not answer in time: %s", server, detail);
        cfg_error_set_hint(err, "see how it is with `cfgctl status`");
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* also: a reply of HTTP/0.9, that is, of no HTTP at all */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        cfg_fail(err, CFG_E_PROTOCOL, "%s does not speak HTTP: %s", server, detail);
        cfg_error_set_hint(err, "is that the address of a configd?");
        break;
    case CURLE_OUT_OF_MEMORY:
        cfg_fail(err, CFG_E_NOMEM, "libcurl has no memory");
        break;
    default:
        cfg_fail(err, CFG_E_UNAVAILABLE, "the connection to %s broke: %s", server, detail);
        break;
    }
    return err->code;
}

uint64_t cfg_http_now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t cfg_http_random(void)
{
    uint64_t r = 0;
    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        r = cfg_http_now_ms() * 0x9E3779B97F4A7C15u; /* jitter only: any spread will do */
    return r;
}
