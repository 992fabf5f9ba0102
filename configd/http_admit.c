/* What must hold before a handler sees a request: Host and Origin, a route, the caller's rights, the body's type. */
#include "configd/http_internal.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

enum { MAX_TOKEN = 4096 };

static bool is_write(const struct cfg_call *c)
{
    return !c->head && strcmp(c->method, "GET") != 0 && strcmp(c->method, "OPTIONS") != 0;
}

/* The headers that the edge itself looks at, found in one pass; NULL where absent, the first of a name. */
struct headers {
    const char *host, *origin, *authorization, *api_key, *user, *coding, *type;
};

static void find_headers(struct headers *out, const struct cfg_call *c)
{
    const struct {
        const char *name;
        const char **value;
    } wanted[] = {{"Host", &out->host},         {"Origin", &out->origin},     {"Authorization", &out->authorization},
                  {"X-API-Key", &out->api_key}, {"Configd-User", &out->user}, {"Content-Encoding", &out->coding},
                  {"Content-Type", &out->type}};
    const struct evkeyval *kv = TAILQ_FIRST(evhttp_request_get_input_headers(c->req));
    *out = (struct headers){0};
    for (; kv; kv = TAILQ_NEXT(kv, next))
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if ((kv->key[0] | 0x20) == (wanted[i].name[0] | 0x20) && *wanted[i].value == NULL &&
                strcasecmp(kv->key, wanted[i].name) == 0)
                *wanted[i].value = kv->value;
}

static int check_edges(const struct cfg_call *c, const struct headers *in, struct cfg_error *err)
{
    const struct cfg_http *h = c->http;
    int rc = cfg_check_host(&h->hosts, in->host, err);
    if (rc == 0)
        rc = cfg_check_origin(in->origin, in->host, h->tls != NULL, err);
    return rc;
}

/* OpenFeature's SDKs send the token as an API key or as a bearer token, whichever they were given. */
static int prove(struct cfg_call *c, const struct headers *in, struct cfg_error *err)
{
    char bearer[MAX_TOKEN];
    bool by_key = c->tokens && in->authorization == NULL && in->api_key &&
                  strlen(in->api_key) < sizeof bearer - strlen("Bearer ");
    if (by_key)
        (void)snprintf(bearer, sizeof bearer, "Bearer %s", in->api_key);
    int rc = cfg_principal_prove(&c->principal, c->tokens, by_key ? bearer : in->authorization, in->user, err);
    if (by_key)
        explicit_bzero(bearer, sizeof bearer);
    return rc;
}

static int check_rights(struct cfg_call *c, const struct headers *in, struct cfg_error *err)
{
    const struct cfg_route *route = c->match.route;
    const struct cfg_http_options *o = &c->http->o;
    const char *ns = cfg_call_param(c, "ns"), *d = cfg_call_param(c, "d");
    char buf[CFG_LIMIT_NAME + 1];
    if (route->role == CFG_ROLE_NONE)
        return 0;
    int rc = prove(c, in, err);
    if (rc == 0)
        rc = cfg_principal_check_role(&c->principal, route->role, route->worker, err);
    if (rc == 0 && ns)
        rc = cfg_principal_check_namespace(&c->principal, ns, err);
    if (rc == 0 && d)
        rc = cfg_principal_check_deployment(&c->principal, d,
                                            o->deployment_config ? o->deployment_config(o->app, d, buf) : NULL, err);
    return rc;
}

int cfg_http_let_in(struct cfg_call *c, const struct evhttp_uri *uri, struct cfg_error *err)
{
    const struct cfg_http_options *o = &c->http->o;
    struct headers in;
    find_headers(&in, c);
    int rc = check_edges(c, &in, err);
    if (rc == 0)
        rc = cfg_route_find(&c->match, o->routes, o->n_routes, c->method, cfg_slice_str(evhttp_uri_get_path(uri)), err);
    if (rc != 0 || c->match.route == NULL)
        return rc;
    rc = check_rights(c, &in, err);
    const char *query = evhttp_uri_get_query(uri);
    if (rc == 0 && query && evhttp_parse_query_str(query, &c->query) != 0)
        rc = cfg_fail(err, CFG_E_INVALID, "the query string is malformed");
    if (rc == 0)
        rc = cfg_check_coding(in.coding, err);
    if (rc == 0)
        rc = cfg_check_body(&c->body_kind, is_write(c) ? c->match.route->body : 0, in.type,
                            evbuffer_get_length(evhttp_request_get_input_buffer(c->req)), err);
    return rc;
}
