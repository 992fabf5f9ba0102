/* Workers: registration, reports, lists; and who may watch what. */
#include "configd/api.h"

#include "configd/http_auth.h"

enum { WATCH_NAMES = 64 };

void cfg_api_register(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    cJSON *body = NULL, *reply = NULL, *problem = NULL;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_json(c, &body, &err);
    rc = rc ? rc : cfg_fleet_register(app->fleet, cfg_call_param(c, "d"), body, &reply, &problem, &err);
    cJSON_Delete(body);
    if (rc != 0)
        cfg_call_fail(c, &err, problem);
    else
        cfg_api_reply(c, 200, reply);
}

void cfg_api_report(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    cJSON *body = NULL;
    int rc = cfg_call_json(c, &body, &err);
    rc = rc ? rc : cfg_fleet_report(app->fleet, cfg_call_param(c, "d"), cfg_call_param(c, "id"), body, &err);
    cJSON_Delete(body);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_call_reply(c, 204, NULL);
}

static void reply_of_fleet(struct cfg_app *app, struct cfg_call *c,
                           cJSON *(*ask)(struct cfg_fleet *f, const char *deployment))
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *o;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, &err);
    rc = rc ? rc : cfg_api_head(&o, app, &id, &err);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_api_reply(c, 200, ask(app->fleet, id.ns));
}

void cfg_api_workers(struct cfg_app *app, struct cfg_call *c)
{
    reply_of_fleet(app, c, cfg_fleet_workers);
}

void cfg_api_exposures(struct cfg_app *app, struct cfg_call *c)
{
    reply_of_fleet(app, c, cfg_fleet_exposures);
}

void cfg_api_contract(struct cfg_app *app, struct cfg_call *c)
{
    reply_of_fleet(app, c, cfg_fleet_contracts);
}

/* {"parameters","pinned"} as a view has them, or {} for the view as it is. */
void cfg_api_check_contract(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *o;
    cJSON *body = NULL;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, &err);
    rc = rc ? rc : cfg_api_head(&o, app, &id, &err);
    rc = rc ? rc : cfg_call_json(c, &body, &err);
    if (rc == 0 && !cJSON_IsObject(body))
        rc = cfg_fail(&err, CFG_E_INVALID, "an object of parameters is needed; {} asks about the view as it is");
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_api_reply(c, 200, cfg_fleet_check_contracts(app->fleet, id.ns, body->child ? body : NULL));
    cJSON_Delete(body);
}

void cfg_api_watch(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    const char *names[WATCH_NAMES];
    const struct cfg_principal *p = cfg_call_principal(c);
    size_t n = cfg_call_query_all(c, "namespace", names, WATCH_NAMES);
    int rc = 0;
    if (n == 0 && p->namespaces && p->role != CFG_ROLE_ADMIN) {
        rc = cfg_fail(&err, CFG_E_FORBIDDEN, "the token of %s does not reach every namespace", p->subject);
        cfg_error_set_hint(&err, "name those to watch: ?namespace=chat");
    }
    if (n > WATCH_NAMES)
        rc = cfg_fail(&err, CFG_E_LIMIT, "a watch names at most %d namespaces", WATCH_NAMES);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = cfg_principal_check_namespace(p, names[i], &err);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_stream_watch(app, c);
}
