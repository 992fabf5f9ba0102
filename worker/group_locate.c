/* Asking configd for rank 0. See group_locate.h. */
#include "worker/group_locate.h"
#include "proto/json.h"
#include <cfg/client.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 3000, WAIT_MAX_MS = 1000 };

struct cfg_locator {
    struct cfg_client *client;
    char deployment[128], group[128];
};

int cfg_locator_new(struct cfg_locator **out, const struct cfg_locator_options *o, struct cfg_error *err)
{
    struct cfg_client_options c = CFG_CLIENT_OPTIONS_INIT;
    struct cfg_locator *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    c.servers = o->servers;
    c.token = o->token;
    c.ca_file = o->ca_file;
    c.timeout_ms = TIMEOUT_MS;
    (void)snprintf(l->deployment, sizeof l->deployment, "%s", o->deployment);
    (void)snprintf(l->group, sizeof l->group, "%s", o->group);
    int rc = cfg_client_new(&l->client, &c, err);
    if (rc != 0) {
        free(l);
        return rc;
    }
    *out = l;
    return 0;
}

void cfg_locator_free(struct cfg_locator *l)
{
    if (l != NULL) {
        cfg_client_free(l->client);
        free(l);
    }
}

static int read_root(const struct cfg_locator *l, char *out, size_t size, struct cfg_slice body, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = cfg_json_parse(&reply, body, 0, err);
    const char *address = cfg_json_get_str(cfg_json_get(reply, "root"), "address", "");
    if (rc == 0 && (address[0] == '\0' || strlen(address) >= size)) {
        rc = cfg_fail(err, CFG_E_CONNECT, "configd knows no rank 0 of group %s of %s yet", l->group, l->deployment);
    } else if (rc == 0) {
        memcpy(out, address, strlen(address) + 1);
    }
    cJSON_Delete(reply);
    return rc;
}

int cfg_locator_ask(struct cfg_locator *l, char *out, size_t size, unsigned wait_ms, struct cfg_error *err)
{
    char path[400];
    struct cfg_response reply;
    memset(&reply, 0, sizeof reply);
    (void)snprintf(path, sizeof path, "/v1/deployments/%s/groups/%s?wait_ms=%u", l->deployment, l->group,
                   wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS);
    const struct cfg_request r = {.method = "GET", .path = path};
    int rc = cfg_client_call(l->client, &r, &reply, NULL, err);
    if (rc == 0) {
        rc = read_root(l, out, size, (struct cfg_slice){reply.body, reply.body_len}, err);
        cfg_response_finish(&reply);
    }
    return rc;
}

/* --- this host's own address --- */

/* "https://[::1]:7117/x,…" → "::1" and "7117". */
static bool split_url(char host[256], char port[16], const char *url)
{
    const char *p = strstr(url, "://");
    bool tls = strncmp(url, "https:", 6) == 0;
    p = p != NULL ? p + 3 : url;
    size_t n = strcspn(p, "/,");
    bool bracketed = n > 0 && p[0] == '[';
    const char *end = bracketed ? memchr(p, ']', n) : memchr(p, ':', n);
    size_t len = end != NULL ? (size_t)(end - p) : n;
    if (len - bracketed == 0 || len >= 256 || (bracketed && end == NULL)) {
        return false;
    }
    const char *rest = p + len + (bracketed ? 1 : 0);
    int digits = rest < p + n && *rest == ':' ? (int)(p + n - rest - 1) : 0;
    (void)snprintf(host, 256, "%.*s", (int)(len - bracketed), p + bracketed);
    (void)snprintf(port, 16, "%.*s", digits > 0 ? digits : 3, digits > 0 ? rest + 1 : (tls ? "443" : "80"));
    return true;
}

/* A datagram socket is connected without a packet being sent: all this asks for is the route. */
static int own_end(char *out, size_t size, const struct addrinfo *list, struct cfg_error *err)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    char host[256];
    int rc = CFG_E_IO, last = EHOSTUNREACH;
    for (const struct addrinfo *i = list; rc != 0 && i != NULL; i = i->ai_next) {
        int fd = socket(i->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, i->ai_addr, i->ai_addrlen) == 0 &&
            getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
            getnameinfo((struct sockaddr *)&own, len, host, sizeof host, NULL, 0, NI_NUMERICHOST) == 0) {
            (void)snprintf(out, size, own.ss_family == AF_INET6 ? "[%s]" : "%s", host);
            rc = 0;
        }
        last = rc != 0 ? errno : 0;
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    return rc == 0 ? 0 : cfg_fail(err, CFG_E_IO, "no way to configd's host: %s", strerrordesc_np(last));
}

int cfg_local_host(char *out, size_t size, const char *servers, struct cfg_error *err)
{
    char host[256], port[16];
    const char *given = servers != NULL && servers[0] != '\0' ? servers : getenv("CONFIGD_SERVER");
    given = given != NULL && given[0] != '\0' ? given : "http://127.0.0.1:7117";
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
    if (!split_url(host, port, given)) {
        return cfg_fail(err, CFG_E_INVALID, "\"%.200s\" names no server", given);
    }
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        return cfg_fail(err, CFG_E_IO, "%s: %s", host, gai_strerror(rc));
    }
    rc = own_end(out, size, list, err);
    freeaddrinfo(list);
    return rc;
}
