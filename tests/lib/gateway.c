/* Raw, blocking requests to etcd's gateway, made without any code of ours: what the client under test is compared
 * with. */
#include "tests/lib/testlib.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *cfg_test_base64(const void *bytes, size_t n)
{
    const unsigned char *in = bytes;
    char *out = malloc((n + 2) / 3 * 4 + 1), *at = out;
    if (out == NULL)
        cfg_test_die("no memory");
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
        *at++ = digits[v >> 18];
        *at++ = digits[v >> 12 & 63];
        *at++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
        *at++ = i + 2 < n ? digits[v & 63] : '=';
    }
    *at = '\0';
    return out;
}

static char *unbase64(const char *in)
{
    size_t n = strlen(in), len = 0;
    char *out = malloc(n / 4 * 3 + 1);
    if (out == NULL)
        cfg_test_die("no memory");
    for (size_t i = 0; i + 3 < n; i += 4) {
        uint32_t v = 0;
        for (size_t j = 0; j < 4; j++) {
            const char *d = in[i + j] == '=' ? digits : strchr(digits, in[i + j]);
            v = v << 6 | (uint32_t)(d ? d - digits : 0);
        }
        out[len++] = (char)(v >> 16);
        if (in[i + 2] != '=')
            out[len++] = (char)(v >> 8 & 255);
        if (in[i + 3] != '=')
            out[len++] = (char)(v & 255);
    }
    out[len] = '\0';
    return out;
}

struct body {
    char *data;
    size_t len;
};

static size_t collect(char *bytes, size_t size, size_t n, void *arg)
{
    struct body *b = arg;
    b->data = realloc(b->data, b->len + size * n + 1);
    if (b->data == NULL)
        cfg_test_die("no memory");
    memcpy(b->data + b->len, bytes, size * n);
    b->len += size * n;
    b->data[b->len] = '\0';
    return size * n;
}

long cfg_test_post(char **reply, const char *endpoint, const char *path, const char *body)
{
    struct body got = {strdup(""), 0};
    CURL *h = curl_easy_init();
    bool is_socket = strncmp(endpoint, "unix:", 5) == 0;
    char *url = cfg_test_format("%s%s", is_socket ? "http://localhost" : endpoint, path);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    long status = 0;
    if (h == NULL || headers == NULL || got.data == NULL)
        cfg_test_die("no memory");
    (void)curl_easy_setopt(h, CURLOPT_URL, url);
    if (is_socket)
        (void)curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, endpoint + 5);
    (void)curl_easy_setopt(h, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
    (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    (void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(h, CURLOPT_POSTFIELDS, body);
    (void)curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, 5000L);
    (void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, collect);
    (void)curl_easy_setopt(h, CURLOPT_WRITEDATA, &got);
    if (curl_easy_perform(h) == CURLE_OK)
        (void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(h);
    curl_slist_free_all(headers);
    free(url);
    if (reply)
        *reply = got.data;
    else
        free(got.data);
    return status;
}

/* Posts body (consumed) and returns the reply, returned-owned; NULL unless it was 200. */
static char *ask(const char *endpoint, const char *path, char *body)
{
    char *reply;
    long status = cfg_test_post(&reply, endpoint, path, body);
    free(body);
    if (status == 200)
        return reply;
    free(reply);
    return NULL;
}

/* What stands behind the first "name":" in a reply, up to the quote. Returned-owned; NULL when it is not there. The
 * gateway writes no spaces, and neither base64 nor numbers hold a quote. */
static char *field(const char *reply, const char *name)
{
    char *start = cfg_test_format("\"%s\":\"", name), *value = NULL;
    const char *found = reply ? strstr(reply, start) : NULL;
    if (found) {
        found += strlen(start);
        value = cfg_test_format("%.*s", (int)strcspn(found, "\""), found);
    }
    free(start);
    return value;
}

static int64_t number(const char *reply, const char *name)
{
    char *text = field(reply, name);
    int64_t n = text ? strtoll(text, NULL, 10) : 0;
    free(text);
    return n;
}

static int64_t revision_of(char *reply)
{
    int64_t r = number(reply, "revision"); /* the header comes first */
    free(reply);
    return r;
}

int64_t cfg_test_put(const char *endpoint, const char *key, const char *value)
{
    char *k = cfg_test_base64(key, strlen(key)), *v = cfg_test_base64(value, strlen(value));
    char *body = cfg_test_format("{\"key\":\"%s\",\"value\":\"%s\"}", k, v);
    free(k);
    free(v);
    return revision_of(ask(endpoint, "/v3/kv/put", body));
}

int64_t cfg_test_delete_prefix(const char *endpoint, const char *prefix)
{
    char *end = strdup(prefix);
    if (end == NULL)
        cfg_test_die("no memory");
    end[strlen(end) - 1]++;
    char *k = cfg_test_base64(prefix, strlen(prefix)), *e = cfg_test_base64(end, strlen(end));
    char *body = cfg_test_format("{\"key\":\"%s\",\"range_end\":\"%s\"}", k, e);
    free(k);
    free(e);
    free(end);
    return revision_of(ask(endpoint, "/v3/kv/deleterange", body));
}

char *cfg_test_get(const char *endpoint, const char *key, int64_t *mod_revision)
{
    char *k = cfg_test_base64(key, strlen(key));
    char *reply = ask(endpoint, "/v3/kv/range", cfg_test_format("{\"key\":\"%s\"}", k));
    free(k);
    char *value = NULL;
    if (reply && strstr(reply, "\"kvs\"")) {
        char *encoded = field(reply, "value"); /* left out when it is empty */
        value = unbase64(encoded ? encoded : "");
        free(encoded);
        if (mod_revision)
            *mod_revision = number(reply, "mod_revision");
    }
    free(reply);
    return value;
}

int64_t cfg_test_revision(const char *endpoint)
{
    return revision_of(ask(endpoint, "/v3/kv/range", cfg_test_format("{\"key\":\"AA==\",\"count_only\":true}")));
}

void cfg_test_compact(const char *endpoint, int64_t revision)
{
    char *body = cfg_test_format("{\"revision\":\"%lld\",\"physical\":true}", (long long)revision);
    if (cfg_test_post(NULL, endpoint, "/v3/kv/compaction", body) != 200)
        cfg_test_die("compaction at %lld failed", (long long)revision);
    free(body);
}
