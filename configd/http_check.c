#include "configd/http_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- addresses --- */

static bool is_ip_literal(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    return inet_pton(AF_INET, host, &v4) == 1 || inet_pton(AF_INET6, host, &v6) == 1;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_wildcard(const char *host)
{
    struct in6_addr v6;
    return strcmp(host, "0.0.0.0") == 0 || (inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6));
}

/* "host", "host:port", "[v6]", "[v6]:port" → its parts; port "" when absent. */
static bool split_host(char host[256], char port[8], const char *text)
{
    const char *end, *rest;
    if (text[0] == '[') {
        text++;
        end = strchr(text, ']');
        if (end == NULL)
            return false;
        rest = end + 1;
    } else {
        end = text + strcspn(text, ":");
        rest = end;
    }
    if (end == text || end - text > 255 || (*rest != '\0' && *rest != ':'))
        return false;
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    if (*rest == ':')
        rest++;
    if (strlen(rest) > 5 || strspn(rest, "0123456789") != strlen(rest))
        return false;
    memcpy(port, rest, strlen(rest) + 1);
    return strpbrk(host, "/@?# \t") == NULL;
}

int cfg_listen_parse(struct cfg_listen *out, const char *text, struct cfg_error *err)
{
    struct cfg_listen l = {0};
    char port[8] = "", whole[300];
    bool only_port = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    (void)snprintf(whole, sizeof whole, "%s%s", only_port ? "127.0.0.1:" : text[0] == ':' ? "0.0.0.0" : "", text);
    if (!split_host(l.host, port, whole) || port[0] == '\0' || strtoul(port, NULL, 10) > 65535) {
        (void)cfg_fail(err, CFG_E_INVALID, "cannot listen on \"%s\": not an address with a port", text);
        cfg_error_set_hint(err, "write --listen 127.0.0.1:7117 (port 0 takes any free one)");
        return CFG_E_INVALID;
    }
    l.port = (uint16_t)strtoul(port, NULL, 10);
    l.loopback = is_loopback(l.host);
    l.wildcard = is_wildcard(l.host);
    *out = l;
    return 0;
}

int cfg_listen_check(const struct cfg_listen *l, bool tls, bool tokens, struct cfg_error *err)
{
    if (l->loopback || (tls && tokens))
        return 0;
    (void)cfg_fail(err, CFG_E_FORBIDDEN, "%s is reachable from other machines, which needs %s%s%s", l->host,
                   tls ? "" : "TLS", tls || tokens ? "" : " and ", tokens ? "" : "a token file");
    cfg_error_set_hint(err, "add%s%s, or listen on 127.0.0.1", tls ? "" : " --tls-cert FILE --tls-key FILE",
                       tokens ? "" : " --tokens FILE");
    return CFG_E_FORBIDDEN;
}

/* --- Host and Origin --- */

static bool host_is_allowed(const struct cfg_hosts *h, const char *host)
{
    if (is_loopback(host) || strcasecmp(host, h->listen->host) == 0)
        return true;
    if (h->listen->wildcard && is_ip_literal(host))
        return true;
    if (h->advertised && strcasecmp(host, h->advertised) == 0)
        return true;
    for (size_t i = 0; i < h->n_allowed; i++)
        if (strcasecmp(host, h->allowed[i]) == 0)
            return true;
    return false;
}

int cfg_check_host(const struct cfg_hosts *h, const char *host, struct cfg_error *err)
{
    char name[256], port[8];
    if (host == NULL)
        return cfg_fail(err, CFG_E_INVALID, "the request has no Host header");
    if (!split_host(name, port, host))
        return cfg_fail(err, CFG_E_INVALID, "the Host header \"%.100s\" is malformed", host);
    if (host_is_allowed(h, name))
        return 0;
    (void)cfg_fail(err, CFG_E_ORIGIN, "this daemon is not called \"%.100s\"", name);
    cfg_error_set_hint(err, "if it is, start configd with --allowed-host %.100s", name);
    return CFG_E_ORIGIN;
}

int cfg_check_origin(const char *origin, const char *host, bool tls, struct cfg_error *err)
{
    const char *scheme = tls ? "https://" : "http://";
    if (origin == NULL)
        return 0;
    if (host && strncasecmp(origin, scheme, strlen(scheme)) == 0 && strcasecmp(origin + strlen(scheme), host) == 0)
        return 0;
    return cfg_fail(err, CFG_E_ORIGIN, "a page of %.100s may not speak to this daemon", origin);
}

/* --- content type --- */

static const struct body_type {
    unsigned bit;
    const char *name;
} body_types[] = {
    {CFG_BODY_JSON, "application/json"},
    {CFG_BODY_MERGE_PATCH, "application/merge-patch+json"},
    {CFG_BODY_JSON_PATCH, "application/json-patch+json"},
    {CFG_BODY_NDJSON, "application/x-ndjson"},
};

static int wrong_type(unsigned accepted, const char *content_type, struct cfg_error *err)
{
    char list[128] = "";
    for (size_t i = 0; i < sizeof body_types / sizeof body_types[0]; i++) {
        size_t n = strlen(list);
        if (accepted & body_types[i].bit)
            (void)snprintf(list + n, sizeof list - n, "%s%s", n ? " or " : "", body_types[i].name);
    }
    if (accepted == 0)
        return cfg_fail(err, CFG_E_MEDIA_TYPE, "this request takes no body");
    if (content_type)
        (void)cfg_fail(err, CFG_E_MEDIA_TYPE, "a body of type %.80s is not taken here", content_type);
    else
        (void)cfg_fail(err, CFG_E_MEDIA_TYPE, "the body has no Content-Type");
    cfg_error_set_hint(err, "send Content-Type: %s", list);
    return CFG_E_MEDIA_TYPE;
}

int cfg_check_coding(const char *coding, struct cfg_error *err)
{
    if (coding == NULL || strcasecmp(coding, "identity") == 0)
        return 0;
    (void)cfg_fail(err, CFG_E_MEDIA_TYPE, "a body with Content-Encoding %.40s is not taken here", coding);
    cfg_error_set_hint(err, "send it without a coding");
    return CFG_E_MEDIA_TYPE;
}

int cfg_check_body(unsigned *kind, unsigned accepted, const char *content_type, size_t body_len, struct cfg_error *err)
{
    unsigned found = 0;
    if (content_type) {
        size_t n = strcspn(content_type, "; \t");
        for (size_t i = 0; i < sizeof body_types / sizeof body_types[0]; i++)
            if (strlen(body_types[i].name) == n && strncasecmp(content_type, body_types[i].name, n) == 0)
                found = body_types[i].bit;
    }
    if (body_len == 0) {
        *kind = 0;
        return 0;
    }
    if (found == CFG_BODY_JSON && (accepted & CFG_BODY_MERGE_PATCH))
        found = CFG_BODY_MERGE_PATCH;
    if ((found & accepted) == 0)
        return wrong_type(accepted, content_type, err);
    *kind = found;
    return 0;
}
