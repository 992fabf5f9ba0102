/* Workers: registration, reports, lists; and who may watch what. */
#include "configd/api.h"

#include "configd/fleet_peers.h"
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

static void reply_taken(void *arg, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(arg, err, NULL);
    else
        cfg_call_reply(arg, 204, NULL);
}

/* One that tells of adoptions is acknowledged when they are recorded; all else counts at once. */
void cfg_api_report(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    cJSON *body = NULL;
    int rc = cfg_call_json(c, &body, &err);
    rc = rc ? rc : cfg_fleet_report(app->fleet, cfg_call_param(c, "d"), cfg_call_param(c, "id"), body, &err);
    const cJSON *runs = cfg_json_get(body, "runs");
    bool waits = rc == 0 && runs && runs->child;
    cJSON_Delete(body);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else if (waits)
        cfg_fleet_when_recorded(app->fleet, cfg_call_param(c, "d"), cfg_call_param(c, "id"), reply_taken, c);
    else
        reply_taken(c, NULL);
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

/* --- the whole fleet --- */

static cJSON *build_workers(struct cfg_fleet *f, const char *deployment, struct fleet_answer *answers, size_t n)
{
    return fleet_merge_workers(cfg_fleet_workers(f, deployment), answers, n);
}

static cJSON *build_fleet(struct cfg_fleet *f, const char *deployment, struct fleet_answer *answers, size_t n)
{
    return fleet_merge_summary(cfg_fleet_summary(f, deployment), answers, n, false);
}

static cJSON *build_exposures(struct cfg_fleet *f, const char *deployment, struct fleet_answer *answers, size_t n)
{
    return fleet_merge_exposures(cfg_fleet_exposures(f, deployment, n > 0), answers, n, false);
}

/* This replica's part alone: what others ask for. */
static cJSON *part_workers(struct cfg_fleet *f, const char *deployment)
{
    return build_workers(f, deployment, NULL, 0);
}

static cJSON *part_fleet(struct cfg_fleet *f, const char *deployment)
{
    return fleet_merge_summary(cfg_fleet_summary(f, deployment), NULL, 0, true);
}

static cJSON *part_exposures(struct cfg_fleet *f, const char *deployment)
{
    return fleet_merge_exposures(cfg_fleet_exposures(f, deployment, true), NULL, 0, true);
}

const struct cfg_peers_question cfg_api_ask_workers = {"workers", build_workers};
static const struct cfg_peers_question ask_fleet = {"fleet", build_fleet},
                                       ask_exposures = {"exposures", build_exposures};

static void reply_whole(void *arg, struct cfg_slice json)
{
    struct cfg_call *c = arg;
    if (json.len > 0)
        cfg_call_reply_bytes(c, 200, "application/json", json);
    else
        cfg_api_reply(c, 200, NULL);
}

static void ask_whole(struct cfg_app *app, struct cfg_call *c, const struct cfg_peers_question *question,
                      cJSON *(*part)(struct cfg_fleet *f, const char *deployment))
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *o;
    bool local = false;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, &err);
    rc = rc ? rc : cfg_api_flag(&local, c, "local", &err);
    rc = rc ? rc : cfg_api_head(&o, app, &id, &err);
    if (rc == 0 && cfg_fleet_is_leaving(app->fleet)) {
        rc = cfg_fail(&err, CFG_E_NOT_READY, "this configd is stopping, and has sent its workers to others");
        cfg_error_set_hint(&err, "ask another one");
    }
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else if (local)
        cfg_api_reply(c, 200, part(app->fleet, id.ns));
    else
        cfg_peers_ask(app->peers, question, id.ns, cfg_call_header(c, "Authorization"), reply_whole, c);
}

void cfg_api_workers(struct cfg_app *app, struct cfg_call *c)
{
    ask_whole(app, c, &cfg_api_ask_workers, part_workers);
}

void cfg_api_fleet(struct cfg_app *app, struct cfg_call *c)
{
    ask_whole(app, c, &ask_fleet, part_fleet);
}

void cfg_api_exposures(struct cfg_app *app, struct cfg_call *c)
{
    ask_whole(app, c, &ask_exposures, part_exposures);
}

/* --- the past --- */

static void reply_at(void *arg, cJSON *reply, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(arg, err, NULL);
    else
        cfg_api_reply(arg, 200, reply);
}

void cfg_api_ran_at(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    uint64_t step = 0;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, &err);
    rc = rc ? rc : cfg_api_number(&step, c, "step", 0, &err);
    if (rc == 0 && cfg_call_query(c, "step") == NULL)
        rc = cfg_fail(&err, CFG_E_INVALID, "which step? ?step=81200");
    if (rc == 0 && cfg_store_find(app->store, CFG_KIND_DEPLOYMENT, id.ns, "") == NULL) {
        struct cfg_object *o;
        rc = cfg_api_head(&o, app, &id, &err); /* never written: says what is spelt nearly so */
    }
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_fleet_at(app->fleet, id.ns, step, cfg_call_query(c, "group"), cfg_call_query(c, "worker"), reply_at, c);
}

/* --- contracts --- */

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
