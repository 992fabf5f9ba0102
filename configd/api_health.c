/* GET /v1/health: what only configd can see, for `cfgctl doctor`. */
#include "configd/api.h"
#include "configd/health.h"
#include "configd/http_auth.h"
#include "configd/http_server.h"
#include "configd/settings.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <sys/stat.h>

static const char *time_text(uint64_t wall_ns, char out[CFG_RFC3339_TEXT])
{
    return cfg_rfc3339_print(out, (int64_t)(wall_ns / 1000));
}

/* --- etcd --- */

static bool add_endpoint(cJSON *list, const struct cfg_health_endpoint *e)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(o, "endpoint", e->name) && cJSON_AddBoolToObject(o, "ok", e->ok);
    if (ok && e->ok) {
        const struct cfg_etcd_status *s = &e->status;
        ok = cJSON_AddNumberToObject(o, "latency_ms", e->latency_s * 1000) &&
             cJSON_AddStringToObject(o, "version", s->version) &&
             cJSON_AddNumberToObject(o, "db_size", (double)s->db_size) &&
             cJSON_AddNumberToObject(o, "db_in_use", (double)s->db_size_in_use) &&
             cJSON_AddBoolToObject(o, "leader", s->leader == s->header.member_id) &&
             cJSON_AddBoolToObject(o, "has_leader", s->leader != 0) &&
             cJSON_AddNumberToObject(o, "revision", (double)s->header.revision);
    } else if (ok) {
        ok = cJSON_AddStringToObject(o, "error", e->error) != NULL;
    }
    if (ok && cJSON_AddItemToArray(list, o))
        return true;
    cJSON_Delete(o);
    return false;
}

static cJSON *copy_or_null(const cJSON *v)
{
    return v ? cJSON_Duplicate(v, true) : cJSON_CreateNull();
}

static cJSON *describe_etcd(const struct cfg_app *app)
{
    const struct cfg_health_facts f = cfg_health_facts(app->health);
    cJSON *out = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(out, "endpoints");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < f.n_endpoints; i++)
        ok = add_endpoint(list, &f.endpoints[i]);
    ok = cfg_json_set(out, "members", copy_or_null(f.members)) == 0 && ok;
    ok = cfg_json_set(out, "alarms", copy_or_null(f.alarms)) == 0 && ok;
    ok = cfg_json_set(out, "quota", f.quota_bytes > 0 ? cJSON_CreateNumber(f.quota_bytes) : cJSON_CreateNull()) == 0 &&
         ok && cJSON_AddBoolToObject(out, "embedded", app->embedded != NULL) &&
         cJSON_AddNumberToObject(out, "compacted", f.compacted);
    if (ok)
        return out;
    cJSON_Delete(out);
    return NULL;
}

/* --- files --- */

static cJSON *describe_tls(const struct cfg_app *app)
{
    char text[CFG_RFC3339_TEXT];
    int64_t expiry = cfg_http_tls_expiry(app->http);
    cJSON *out = expiry > 0 ? cJSON_CreateObject() : cJSON_CreateNull();
    if (expiry > 0) {
        (void)cJSON_AddStringToObject(out, "certificate", app->settings->tls_cert);
        (void)cJSON_AddStringToObject(out, "not_after", cfg_rfc3339_print(text, expiry * INT64_C(1000000)));
    }
    return out;
}

static cJSON *describe_file(const char *path)
{
    struct stat st;
    char mode[8];
    cJSON *out = path ? cJSON_CreateObject() : cJSON_CreateNull();
    if (path == NULL || cJSON_AddStringToObject(out, "file", path) == NULL || stat(path, &st) != 0)
        return out;
    (void)snprintf(mode, sizeof mode, "%04o", (unsigned)(st.st_mode & 07777));
    (void)cJSON_AddStringToObject(out, "mode", mode);
    return out;
}

/* --- other replicas, as far as presence tells of them --- */

struct peers {
    const struct cfg_call *call;
    struct cfg_app *app;
    cJSON *list;
};

static bool add_peer(struct cfg_object *o, void *arg)
{
    struct peers *p = arg;
    char config[CFG_LIMIT_NAME + 1];
    const char *ns = cfg_api_deployment_config(p->app, o->id.ns, config);
    if (ns == NULL || !cfg_principal_sees(cfg_call_principal(p->call), ns))
        return true;
    cJSON *record = cfg_object_tree(o), *out = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(out, "deployment", o->id.ns) &&
              cJSON_AddStringToObject(out, "replica", o->id.name) &&
              cJSON_AddStringToObject(out, "url", cfg_json_get_str(record, "url", "")) &&
              cJSON_AddNumberToObject(out, "workers", cfg_json_get_num(record, "workers", 0));
    cJSON_Delete(record);
    if (ok && cJSON_AddItemToArray(p->list, out))
        return true;
    cJSON_Delete(out);
    return false;
}

static void on_checked(void *arg, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    struct cfg_app *app = cfg_call_app(c);
    const struct cfg_error *why = NULL;
    char rev[CFG_REV_TEXT], seen[CFG_REV_TEXT], time[CFG_RFC3339_TEXT];
    if (err) {
        cfg_call_fail(c, err, NULL);
        return;
    }
    cJSON *body = cJSON_CreateObject();
    uint64_t up_ns = app->clock->monotonic_ns(app->clock->arg) - app->started_ns;
    enum cfg_replica_state state = cfg_store_state(app->store, &why);
    bool ok = cJSON_AddStringToObject(body, "configd", CFG_VERSION) &&
              cJSON_AddStringToObject(body, "replica", app->replica_id) &&
              cJSON_AddStringToObject(body, "url",
                                      app->settings->advertise ? app->settings->advertise : cfg_http_url(app->http)) &&
              cJSON_AddStringToObject(body, "state", cfg_replica_state_name(state)) &&
              cJSON_AddStringToObject(body, "why", why ? why->text : "") &&
              cJSON_AddStringToObject(body, "store", cfg_store_identity(app->store)->store_id) &&
              cJSON_AddStringToObject(body, "revision", cfg_rev_format(cfg_store_rev(app->store), rev)) &&
              cJSON_AddStringToObject(body, "seen", cfg_rev_format(cfg_store_seen(app->store), seen)) &&
              cJSON_AddNumberToObject(body, "silence_ms", (double)cfg_replica_silence_ms(app->replica)) &&
              cJSON_AddStringToObject(body, "time", time_text(app->clock->wall_ns(app->clock->arg), time)) &&
              cJSON_AddNumberToObject(body, "uptime_s", (double)(up_ns / 1000000000u)) &&
              cJSON_AddBoolToObject(body, "restoring", cfg_store_restoring(app->store)) &&
              cJSON_AddNumberToObject(body, "rejected_records", (double)cfg_store_rejected(app->store, NULL)) &&
              cJSON_AddNumberToObject(body, "tokens", (double)cfg_http_tokens(app->http));
    ok = cfg_json_set(body, "etcd", describe_etcd(app)) == 0 && ok;
    ok = cfg_json_set(body, "tls", describe_tls(app)) == 0 && ok;
    ok = cfg_json_set(body, "token_file", describe_file(app->settings->tokens)) == 0 && ok;
    ok = cfg_json_set(body, "key_file", describe_file(app->settings->tls_key)) == 0 && ok;
    struct peers p = {c, app, cJSON_AddArrayToObject(body, "peers")};
    if (p.list)
        cfg_store_each(app->store, CFG_KIND_PRESENCE, NULL, add_peer, &p);
    if (!ok || p.list == NULL) {
        cJSON_Delete(body);
        body = NULL;
    }
    cfg_api_reply(c, 200, body);
}

void cfg_api_health_details(struct cfg_app *app, struct cfg_call *c)
{
    cfg_health_check(app->health, on_checked, c);
}
