#include "client/cfgctl/peer.h"

int peer_get(const struct cli *c, const char *url, const char *path, unsigned timeout_ms, cJSON **out,
             struct cfg_error *err)
{
    struct cfg_client_options o = CFG_CLIENT_OPTIONS_INIT;
    struct cfg_client *peer = NULL;
    struct cfg_response reply = {0};
    o.servers = url;
    o.token = cli_value(c, OPT_TOKEN);
    o.ca_file = cli_value(c, OPT_CA);
    o.timeout_ms = timeout_ms;
    const struct cfg_request r = {.method = "GET", .path = path};
    int rc = cfg_client_new(&peer, &o, err);
    if (rc == 0)
        rc = cfg_client_call(peer, &r, &reply, NULL, err);
    if (rc == 0)
        rc = cfg_json_parse(out, (struct cfg_slice){reply.body, reply.body_len}, 2 * 64, err);
    cfg_response_finish(&reply);
    cfg_client_free(peer);
    return rc;
}
