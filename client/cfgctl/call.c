/* Requests of the commands. */
#include "client/cfgctl/cli.h"

#include <stdlib.h>
#include <time.h>

enum { READY_WAIT_MS = 5000, READY_PAUSE_MS = 50 };

bool cli_passes(int code)
{
    return code == CFG_E_CONNECT || code == CFG_E_TIMEOUT || code == CFG_E_NOT_READY || code == CFG_E_UNAVAILABLE;
}

int cli_client(struct cli *c, unsigned timeout_ms, struct cfg_client **out, struct cfg_error *err)
{
    if (c->client == NULL) {
        struct cfg_client_options o = CFG_CLIENT_OPTIONS_INIT;
        o.servers = cli_value(c, OPT_SERVER);
        o.token = cli_value(c, OPT_TOKEN);
        o.ca_file = cli_value(c, OPT_CA);
        o.timeout_ms = timeout_ms;
        int rc = cfg_client_new(&c->client, &o, err);
        if (rc != 0)
            return rc;
    }
    *out = c->client;
    return 0;
}

static int parse_reply(const struct cfg_response *reply, cJSON **out, struct cfg_error *err)
{
    if (reply->body_len == 0) {
        *out = NULL;
        return 0;
    }
    const struct cfg_slice body = {reply->body, reply->body_len};
    if (cfg_json_parse(out, body, 2 * 64, err) == 0)
        return 0;
    err->code = CFG_E_PROTOCOL;
    cfg_error_wrap(err, "the server's reply is no JSON");
    cfg_error_set_hint(err, "is that the address of a configd? see --server and CONFIGD_SERVER");
    return CFG_E_PROTOCOL;
}

/* A configd that has just been started takes a moment to read its store: worth waiting for, not for long. Nothing was
 * done, so asking again is safe. */
static int call_when_ready(struct cfg_client *client, const struct cfg_request *r, struct cfg_response *reply,
                           char **raw_error, struct cfg_error *err)
{
    static const struct timespec pause = {0, READY_PAUSE_MS * 1000000L};
    int rc = cfg_client_call(client, r, reply, raw_error, err);
    for (int waited = 0; rc == CFG_E_NOT_READY && waited < READY_WAIT_MS; waited += READY_PAUSE_MS) {
        (void)nanosleep(&pause, NULL); /* waking early is fine */
        free(*raw_error);
        *raw_error = NULL;
        rc = cfg_client_call(client, r, reply, raw_error, err);
    }
    return rc;
}

/* What a refusal lists is shown with it. */
static void keep_violations(struct cli *c, const char *problem)
{
    cJSON *tree = NULL;
    if (problem == NULL || cfg_json_parse(&tree, cfg_slice_str(problem), 0, NULL) != 0)
        return;
    cJSON_Delete(c->violations);
    c->violations = cJSON_DetachItemFromObjectCaseSensitive(tree, "violations");
    cJSON_Delete(tree);
}

int cli_call(struct cli *c, const char *method, const char *path, const cJSON *body, const char *type, cJSON **out,
             struct cfg_error *err)
{
    struct cfg_client *client;
    int rc = cli_client(c, 0, &client, err);
    if (rc != 0)
        return rc;
    struct cfg_buf text;
    cfg_buf_init(&text, (size_t)1 << 26);
    if (body)
        cfg_json_print(&text, body);
    struct cfg_response reply = {0};
    char *raw_error = NULL;
    const struct cfg_request r = {
        .method = method, .path = path, .body = body ? text.data : NULL, .body_len = text.len, .content_type = type};
    rc = cfg_buf_status(&text) != 0 ? cli_no_memory(err) : call_when_ready(client, &r, &reply, &raw_error, err);
    if (rc == 0)
        rc = parse_reply(&reply, out, err);
    else
        keep_violations(c, raw_error);
    free(raw_error);
    cfg_response_finish(&reply);
    cfg_buf_finish(&text);
    return rc;
}

int cli_get(struct cli *c, const char *path, cJSON **out, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int rc = cli_call(c, "GET", path, NULL, NULL, &reply, err);
    if (rc != 0)
        return rc;
    if (!cJSON_IsObject(reply)) {
        cJSON_Delete(reply);
        return cfg_fail(err, CFG_E_PROTOCOL, "the server's reply to GET %s is no object", path);
    }
    *out = reply;
    return 0;
}
