/* The daemon about itself: health, readiness, status, log; its own description. */
#include "configd/api.h"

#include "configd/http_auth.h"
#include "configd/http_server.h"

#include <stdio.h>

enum { LOG_DEFAULT = 50, LOG_MAX = 200 };

void cfg_api_health(struct cfg_app *app, struct cfg_call *c)
{
    (void)app;
    cfg_call_reply_bytes(c, 200, "application/json", CFG_SLICE_LIT("{\"status\":\"ok\"}"));
}

void cfg_api_ready(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    const struct cfg_error *why = NULL;
    enum cfg_replica_state state = cfg_store_state(app->store, &why);
    const char *name = cfg_replica_state_name(state);
    if (!cfg_store_ready(app->store) || state == CFG_REPLICA_FOREIGN || app->stopping) {
        (void)cfg_fail(&err, CFG_E_NOT_READY, "%s",
                       app->stopping         ? "configd is stopping"
                       : why && why->text[0] ? why->text
                                             : "the replica is not complete yet");
        cfg_error_set_hint(&err, "%s", why ? why->hint : "");
        cJSON *extra = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(extra, "state", name);
        cfg_call_fail(c, &err, extra);
        return;
    }
    bool stale = state != CFG_REPLICA_LIVE;
    cJSON *body = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(body, "status", stale ? "stale" : "ready");
    (void)cJSON_AddStringToObject(body, "replica", name);
    if (stale)
        (void)cJSON_AddNumberToObject(body, "silence_ms", (double)cfg_replica_silence_ms(app->replica));
    cfg_api_reply(c, 200, body);
}

/* --- status --- */

static cJSON *describe_etcd(struct cfg_app *app, const struct cfg_etcd_status *reply, const struct cfg_error *err)
{
    struct cfg_etcd_stats stats;
    char leader[24];
    cJSON *etcd = cJSON_CreateObject();
    cfg_etcd_stats(app->etcd, &stats);
    (void)cJSON_AddStringToObject(etcd, "endpoint", stats.endpoint);
    if (err) {
        (void)cJSON_AddStringToObject(etcd, "error", err->text);
        return etcd;
    }
    (void)cJSON_AddStringToObject(etcd, "version", reply->version);
    (void)cJSON_AddNumberToObject(etcd, "db_size", (double)reply->db_size);
    (void)snprintf(leader, sizeof leader, "%llx", (unsigned long long)reply->leader);
    (void)cJSON_AddStringToObject(etcd, "leader", leader);
    return etcd;
}

static void on_etcd_status(void *arg, const struct cfg_etcd_status *reply, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    struct cfg_app *app = cfg_call_app(c);
    char rev[CFG_REV_TEXT];
    if (err && err->code == CFG_E_CANCELED) { /* configd is being taken apart: there is nothing left to describe */
        cfg_call_fail(c, err, NULL);
        return;
    }
    cJSON *body = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(body, "configd", CFG_VERSION);
    (void)cJSON_AddStringToObject(body, "replica", app->replica_id);
    (void)cJSON_AddStringToObject(body, "state", cfg_replica_state_name(cfg_store_state(app->store, NULL)));
    (void)cJSON_AddStringToObject(body, "store", cfg_store_identity(app->store)->store_id);
    (void)cJSON_AddStringToObject(body, "revision", cfg_rev_format(cfg_store_rev(app->store), rev));
    (void)cJSON_AddItemToObject(body, "etcd", describe_etcd(app, reply, err));
    (void)cJSON_AddNumberToObject(body, "namespaces", (double)cfg_api_count(app, CFG_KIND_CONFIG));
    (void)cJSON_AddNumberToObject(body, "flags", (double)cfg_api_count(app, CFG_KIND_FLAG));
    (void)cJSON_AddNumberToObject(body, "deployments", (double)cfg_api_count(app, CFG_KIND_DEPLOYMENT));
    (void)cJSON_AddNumberToObject(body, "workers", (double)cfg_fleet_connected(app->fleet, NULL));
    (void)cJSON_AddNumberToObject(body, "streams", app->streams ? (double)cfg_streams_count(app->streams) : 0);
    uint64_t up_ns = app->clock->monotonic_ns(app->clock->arg) - app->started_ns;
    (void)cJSON_AddNumberToObject(body, "uptime_s", (double)(up_ns / 1000000000u));
    cfg_api_reply(c, 200, body);
}

void cfg_api_status(struct cfg_app *app, struct cfg_call *c)
{
    cfg_etcd_status(app->etcd, on_etcd_status, c);
}

/* --- log --- */

cJSON *cfg_api_log_item(struct cfg_app *app, const struct cfg_object *o)
{
    static const char *const strings[] = {"author", "message", "time"};
    char rev[CFG_REV_TEXT];
    cJSON *tree = cfg_object_tree(o), *item = tree ? cJSON_CreateObject() : NULL;
    if (item) {
        bool named = cfg_kind_is_named(o->id.kind);
        const char *name = named ? o->id.ns : o->id.name;
        (void)cJSON_AddStringToObject(item, "kind", cfg_kind_name(o->id.kind));
        (void)cJSON_AddStringToObject(item, "namespace", named ? cfg_json_get_str(tree, "config", "") : o->id.ns);
        if (name[0])
            (void)cJSON_AddStringToObject(item, "name", name);
        (void)cJSON_AddNumberToObject(item, "version", (double)o->version);
        for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
            (void)cJSON_AddStringToObject(item, strings[i], cfg_json_get_str(tree, strings[i], ""));
        (void)cJSON_AddStringToObject(item, "revision", cfg_api_rev(app, o->mod_revision, rev));
        (void)cJSON_AddBoolToObject(item, "deleted", o->deleted);
    }
    cJSON_Delete(tree);
    return item;
}

static void on_log(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    (void)more;
    struct cfg_call *c = arg;
    if (err) {
        cfg_call_fail(c, err, NULL);
        return;
    }
    cJSON *body = cJSON_CreateObject();
    cJSON *items = cJSON_AddArrayToObject(body, "items");
    for (size_t i = 0; items && i < n; i++) {
        cJSON *item = cfg_api_log_item(cfg_call_app(c), objects[i]);
        if (item && cfg_principal_sees(cfg_call_principal(c), cfg_json_get_str(item, "namespace", "")))
            (void)cJSON_AddItemToArray(items, item); /* cannot fail: both are there */
        else
            cJSON_Delete(item);
    }
    cfg_api_reply(c, 200, body);
}

void cfg_api_log(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_rev before = {0, 0};
    uint64_t limit;
    const char *ns = cfg_call_query(c, "namespace"), *text = cfg_call_query(c, "before");
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_number(&limit, c, "limit", LOG_DEFAULT, &err);
    if (rc == 0 && (limit == 0 || limit > LOG_MAX))
        rc = cfg_fail(&err, CFG_E_INVALID, "limit must be between 1 and %d", LOG_MAX);
    if (rc == 0 && ns)
        rc = cfg_check_name("namespace", cfg_slice_str(ns), &err);
    if (rc == 0 && ns)
        rc = cfg_principal_check_namespace(cfg_call_principal(c), ns, &err);
    if (rc == 0 && text)
        rc = cfg_rev_parse(&before, cfg_slice_str(text), &err);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_service_log(app->service, ns, before.revision, (unsigned)limit, on_log, c);
}

/* --- its own description --- */

void cfg_api_openapi(struct cfg_app *app, struct cfg_call *c)
{
    (void)app;
    cfg_call_reply_bytes(c, 200, "application/json", (struct cfg_slice){cfg_openapi_json, cfg_openapi_json_len});
}
