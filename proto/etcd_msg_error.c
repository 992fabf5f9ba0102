/* What an error reply of etcd's gateway means. The bodies differ (3.4 and 3.5: {"error","message","code"}; 3.6: without
 * "error"; in a stream {"error":{"grpc_code","http_code","message",…}}; plain text where no gateway answers), the
 * messages do not. */
#include "proto/etcd_msg.h"

#include <stdio.h>
#include <string.h>

struct meaning {
    const char *words; /* anywhere in the message */
    int code;
};

static const struct meaning meanings[] = {
    {"required revision has been compacted", CFG_E_COMPACTED},
    {"database space exceeded", CFG_E_STORE_FULL},
    {"invalid auth token", CFG_E_UNAUTHORIZED},
    {"user name is empty", CFG_E_UNAUTHORIZED}, /* no token at all */
    {"invalid user ID or password", CFG_E_UNAUTHORIZED},
    {"revision of auth store is old", CFG_E_UNAUTHORIZED},
    {"permission denied", CFG_E_FORBIDDEN},
    {"request is too large", CFG_E_LIMIT},
    {"message larger than max", CFG_E_LIMIT},
    {"too many operations in txn request", CFG_E_LIMIT},
    {"requested lease not found", CFG_E_NOT_FOUND},
    {"no leader", CFG_E_UNAVAILABLE},
    {"not leader", CFG_E_UNAVAILABLE},
    {"leader changed", CFG_E_UNAVAILABLE},
    {"timed out", CFG_E_UNAVAILABLE},
    {"too many requests", CFG_E_UNAVAILABLE},
    {"server stopped", CFG_E_UNAVAILABLE},
    {"unhealthy cluster", CFG_E_UNAVAILABLE},
    {"context deadline exceeded", CFG_E_UNAVAILABLE},
    {"transport is closing", CFG_E_UNAVAILABLE},
};

static int code_of(long http_status, const char *message)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (strstr(message, meanings[i].words))
            return meanings[i].code;
    if (http_status == 401)
        return CFG_E_UNAUTHORIZED;
    if (http_status == 403)
        return CFG_E_FORBIDDEN;
    if (http_status == 408 || http_status == 429 || http_status >= 499)
        return CFG_E_UNAVAILABLE;
    return CFG_E_PROTOCOL;
}

static const char *hint_of(int code, long http_status)
{
    switch (code) {
    case CFG_E_STORE_FULL:
        return "compact and defragment etcd or raise its --quota-backend-bytes, then run: etcdctl alarm disarm";
    case CFG_E_UNAUTHORIZED:
        return "check the user and password that configd has for etcd";
    case CFG_E_FORBIDDEN:
        return "let configd's etcd user read and write its prefix: etcdctl role grant-permission ROLE --prefix=true "
               "readwrite "
               "PREFIX";
    case CFG_E_LIMIT:
        return "split the change into smaller ones";
    case CFG_E_PROTOCOL:
        return http_status == 404 ? "is this the client address of an etcd 3.4 or newer with its JSON gateway on?" : "";
    default:
        return "";
    }
}

/* One printable line: a peer's text must not break a log line or drive a terminal. */
static void copy_line(char *out, size_t size, const char *from, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < size; i++) {
        unsigned char c = (unsigned char)from[i];
        if (c >= 0x20 && c != 0x7F)
            out[n++] = (char)c;
        else if (n > 0 && out[n - 1] != ' ')
            out[n++] = ' ';
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

/* The message, and the status that a stream's error carries inside where HTTP itself said 200 long before. */
static void read_message(char *message, size_t size, long *http_status, struct cfg_slice body)
{
    cJSON *tree = NULL;
    if (cfg_json_parse(&tree, body, 0, NULL) != 0) {
        copy_line(message, size, body.ptr, body.len);
        return;
    }
    const cJSON *inner = cfg_json_get(tree, "error");
    const cJSON *o = cJSON_IsObject(inner) ? inner : tree;
    const char *text = cfg_json_get_str(o, "message", cfg_json_get_str(o, "error", ""));
    copy_line(message, size, text, strlen(text));
    double inside = cfg_json_get_num(o, "http_code", 0);
    if (*http_status == 0 && inside >= 400 && inside <= 599)
        *http_status = (long)inside;
    cJSON_Delete(tree);
}

int cfg_etcd_error_read(struct cfg_error *err, long http_status, struct cfg_slice body)
{
    char message[256];
    read_message(message, sizeof message, &http_status, body);
    int code = code_of(http_status, message);
    if (message[0])
        (void)cfg_fail(err, code, "etcd: %s", message);
    else
        (void)cfg_fail(err, code, "etcd answered with HTTP status %ld and no reason", http_status);
    cfg_error_set_hint(err, "%s", hint_of(code, http_status));
    return code;
}
