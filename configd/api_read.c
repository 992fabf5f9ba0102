/* Reading configs, flags, deployments and their histories. */
#include "configd/api.h"
#include "configd/hub_compose.h"

#include "configd/http_auth.h"
#include "proto/patch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 200 };

/* --- one object --- */

/* Is the reply made of that version alone? Of flags, evaluators and deployments it also says what others make of them
 * now: a flag's value, who requires it, the workers. Their tags are for writes. */
static bool is_of_version(const struct cfg_object *o)
{
    return o->id.kind != CFG_KIND_FLAG && o->id.kind != CFG_KIND_EVALUATORS && o->id.kind != CFG_KIND_DEPLOYMENT;
}

static void reply_object(struct cfg_call *c, const struct cfg_object *o)
{
    char etag[24];
    const char *have = cfg_call_header(c, "If-None-Match");
    (void)snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)o->version);
    cfg_call_set_header(c, "ETag", etag);
    if (have && is_of_version(o) && (strcmp(have, etag) == 0 || strcmp(have, "*") == 0))
        cfg_call_reply(c, 304, NULL);
    else
        cfg_api_reply(c, 200, cfg_api_object(cfg_call_app(c), o, false));
}

static void on_version(void *arg, struct cfg_object *object, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(arg, err, NULL);
    else
        reply_object(arg, object);
}

/* The head, or the version that ?version= or the path names. */
static void get_object(struct cfg_app *app, struct cfg_call *c, enum cfg_kind kind, bool from_path)
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *o;
    uint64_t version = 0;
    const char *text = from_path ? cfg_call_param(c, "n") : NULL;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, kind, c, &err);
    if (rc == 0 && text)
        rc = strlen(text) > 15 || strspn(text, "0123456789") != strlen(text)
                 ? cfg_fail(&err, CFG_E_INVALID, "\"%.60s\" is no version", text)
                 : (version = strtoull(text, NULL, 10), 0);
    else if (rc == 0)
        rc = cfg_api_number(&version, c, "version", 0, &err);
    if (rc == 0 && version == 0 && (text || cfg_call_query(c, "version")))
        rc = cfg_fail(&err, CFG_E_NOT_FOUND, "versions count from 1");
    if (rc == 0 && version == 0)
        rc = cfg_api_head(&o, app, &id, &err);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else if (version == 0)
        reply_object(c, o);
    else
        cfg_service_version(app->service, &id, version, on_version, c);
}

void cfg_api_get_config(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    bool resolved;
    if (cfg_api_flag(&resolved, c, "resolved", &err) != 0)
        cfg_call_fail(c, &err, NULL);
    else if (resolved)
        cfg_api_get_resolved(app, c);
    else
        get_object(app, c, CFG_KIND_CONFIG, false);
}

void cfg_api_get_flag(struct cfg_app *app, struct cfg_call *c)
{
    get_object(app, c, CFG_KIND_FLAG, false);
}

void cfg_api_get_evaluators(struct cfg_app *app, struct cfg_call *c)
{
    get_object(app, c, CFG_KIND_EVALUATORS, false);
}

void cfg_api_get_schema(struct cfg_app *app, struct cfg_call *c)
{
    get_object(app, c, CFG_KIND_SCHEMA, false);
}

void cfg_api_get_deployment(struct cfg_app *app, struct cfg_call *c)
{
    get_object(app, c, CFG_KIND_DEPLOYMENT, false);
}

void cfg_api_get_version(struct cfg_app *app, struct cfg_call *c)
{
    get_object(app, c, cfg_api_kind(c), true);
}

/* --- lists --- */

struct listing {
    struct cfg_app *app;
    struct cfg_call *call;
    cfg_api_sees_fn sees;
    cJSON *items;
    bool failed;
};

static bool sees_namespace(struct cfg_app *app, const struct cfg_call *c, const struct cfg_object *o)
{
    char config[CFG_LIMIT_NAME + 1];
    const char *ns =
        cfg_kind_is_of_deployment(o->id.kind) ? cfg_api_deployment_config(app, o->id.ns, config) : o->id.ns;
    return ns == NULL || cfg_principal_sees(cfg_call_principal(c), ns);
}

static bool add_item(struct cfg_object *o, void *arg)
{
    struct listing *l = arg;
    if (o->deleted || !l->sees(l->app, l->call, o))
        return true;
    cJSON *item = cfg_api_object(l->app, o, true);
    l->failed = item == NULL || !cJSON_AddItemToArray(l->items, item);
    return !l->failed;
}

void cfg_api_list(struct cfg_app *app, struct cfg_call *c, enum cfg_kind kind, cfg_api_sees_fn sees)
{
    char rev[CFG_REV_TEXT];
    if (!cfg_api_at(app, c))
        return;
    cJSON *body = cJSON_CreateObject();
    struct listing l = {app, c, sees ? sees : sees_namespace, cJSON_AddArrayToObject(body, "items"), false};
    if (l.items)
        cfg_store_each(app->store, kind, NULL, add_item, &l);
    (void)cJSON_AddStringToObject(body, "revision", cfg_rev_format(cfg_store_rev(app->store), rev));
    if (l.items == NULL || l.failed) {
        cJSON_Delete(body);
        body = NULL;
    }
    cfg_api_reply(c, 200, body);
}

void cfg_api_list_configs(struct cfg_app *app, struct cfg_call *c)
{
    cfg_api_list(app, c, CFG_KIND_CONFIG, NULL);
}

void cfg_api_list_flags(struct cfg_app *app, struct cfg_call *c)
{
    cfg_api_list(app, c, CFG_KIND_FLAG, NULL);
}

void cfg_api_list_deployments(struct cfg_app *app, struct cfg_call *c)
{
    cfg_api_list(app, c, CFG_KIND_DEPLOYMENT, NULL);
}

void cfg_api_list_rollouts(struct cfg_app *app, struct cfg_call *c)
{
    cfg_api_list(app, c, CFG_KIND_ROLLOUT, NULL);
}

/* --- histories --- */

static void on_versions(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    struct cfg_error none;
    char what[CFG_OBJECT_ID_TEXT];
    struct cfg_object_id id;
    if (err) {
        cfg_call_fail(c, err, NULL);
        return;
    }
    if (n == 0 && cfg_call_query(c, "before") == NULL && cfg_api_id(&id, cfg_api_kind(c), c, &none) == 0) {
        (void)cfg_object_id_text(&id, what);
        (void)cfg_fail(&none, CFG_E_NOT_FOUND, "there is no %s and there never was", what);
        cfg_call_fail(c, &none, NULL);
        return;
    }
    cJSON *body = cJSON_CreateObject();
    cJSON *items = cJSON_AddArrayToObject(body, "items");
    for (size_t i = 0; items && i < n; i++)
        (void)cJSON_AddItemToArray(items, cfg_api_version(cfg_call_app(c), objects[i])); /* refuses NULL */
    if (more && n > 0)
        (void)cJSON_AddNumberToObject(body, "next", (double)objects[n - 1]->version);
    else
        (void)cJSON_AddNullToObject(body, "next");
    cfg_api_reply(c, 200, body);
}

void cfg_api_versions(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    uint64_t limit, before;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, cfg_api_kind(c), c, &err);
    rc = rc ? rc : cfg_api_number(&limit, c, "limit", LIMIT_DEFAULT, &err);
    rc = rc ? rc : cfg_api_number(&before, c, "before", 0, &err);
    if (rc == 0 && (limit == 0 || limit > LIMIT_MAX))
        rc = cfg_fail(&err, CFG_E_INVALID, "limit must be between 1 and %d", LIMIT_MAX);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_service_versions(app->service, &id, before, (unsigned)limit, on_versions, c);
}

/* --- differences --- */

struct diff {
    struct cfg_call *call;
    struct cfg_object_id id;
    struct cfg_object *to; /* reference */
    uint64_t from;
};

static void end_diff(struct diff *d, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(d->call, err, NULL);
    (void)cfg_object_unref(d->to);
    free(d);
}

/* A deleted config, and the one before the first, is an empty document. */
static cJSON *document_of(const struct cfg_object *o)
{
    cJSON *tree = o ? cfg_object_tree(o) : NULL;
    cJSON *document = cJSON_DetachItemFromObjectCaseSensitive(tree, "document");
    cJSON_Delete(tree);
    return cJSON_IsObject(document) ? document : (cJSON_Delete(document), cJSON_CreateObject());
}

/* What it extends, where that differs. */
static bool add_extends(cJSON *body, const struct cfg_object *from, const struct cfg_object *to)
{
    cJSON *a = from ? cfg_object_tree(from) : NULL, *b = cfg_object_tree(to);
    cJSON *before = cJSON_DetachItemFromObjectCaseSensitive(a, "extends");
    cJSON *after = cJSON_DetachItemFromObjectCaseSensitive(b, "extends");
    cJSON_Delete(a);
    cJSON_Delete(b);
    before = before ? before : cJSON_CreateArray();
    after = after ? after : cJSON_CreateArray();
    bool ok = before && after;
    if (ok && !cfg_json_equal(before, after)) {
        cJSON *extends = cJSON_AddObjectToObject(body, "extends");
        ok = extends && cJSON_AddItemToObject(extends, "from", before) && cJSON_AddItemToObject(extends, "to", after);
        return ok;
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
    return ok;
}

static void reply_diff(struct diff *d, const struct cfg_object *from)
{
    cJSON *a = document_of(from), *b = document_of(d->to), *body = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(body, "from", (double)d->from);
    (void)cJSON_AddNumberToObject(body, "to", (double)d->to->version);
    cJSON *changes = cfg_patch_describe(a, b), *patch = cfg_patch_diff(a, b);
    bool ok = changes && patch && cJSON_AddItemToObject(body, "changes", changes) &&
              cJSON_AddItemToObject(body, "patch", patch) && add_extends(body, from, d->to);
    cJSON_Delete(a);
    cJSON_Delete(b);
    if (!ok) {
        cJSON_Delete(body);
        body = NULL;
    }
    cfg_api_reply(d->call, 200, body);
    end_diff(d, NULL);
}

static void on_from(void *arg, struct cfg_object *object, const struct cfg_error *err)
{
    if (err)
        end_diff(arg, err);
    else
        reply_diff(arg, object);
}

static void on_to(void *arg, struct cfg_object *object, const struct cfg_error *err)
{
    struct diff *d = arg;
    if (err) {
        end_diff(d, err);
        return;
    }
    d->to = cfg_object_ref(object);
    if (cfg_call_query(d->call, "from") == NULL)
        d->from = object->parent;
    if (d->from == 0)
        reply_diff(d, NULL);
    else
        cfg_service_version(cfg_call_app(d->call)->service, &d->id, d->from, on_from, d);
}

void cfg_api_diff_config(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *head = NULL;
    uint64_t from = 0, to = 0;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_CONFIG, c, &err);
    rc = rc ? rc : cfg_api_number(&from, c, "from", 0, &err);
    rc = rc ? rc : cfg_api_number(&to, c, "to", 0, &err);
    if (rc == 0 && to == 0)
        rc = cfg_api_head(&head, app, &id, &err);
    struct diff *d = rc == 0 ? calloc(1, sizeof *d) : NULL;
    if (rc == 0 && d == NULL)
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    if (rc != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    *d = (struct diff){c, id, NULL, from};
    if (head)
        on_to(d, head, NULL);
    else
        cfg_service_version(app->service, &id, to, on_to, d);
}

/* --- views --- */

static void on_view(void *arg, struct cfg_slice view_json, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(arg, err, NULL);
    else
        cfg_call_reply_bytes(arg, 200, "application/json", view_json);
}

/* The arm of ?worker's group, by the deployment's record of the revision that is asked for. */
static const char *arm_of_worker(void *arg, const struct cfg_deployment *d)
{
    struct cfg_call *c = arg;
    return cfg_fleet_arm(cfg_call_app(c)->fleet, d, cfg_call_query(c, "worker"));
}

/* The topic of ?arm, or of the arm that ?worker's group runs now. */
static int find_topic(struct cfg_topic **out, struct cfg_app *app, struct cfg_call *c, struct cfg_error *err)
{
    const char *name = cfg_call_param(c, "d"), *arm = cfg_call_query(c, "arm");
    struct cfg_object *o;
    struct cfg_deployment d;
    if (cfg_call_query(c, "worker") == NULL)
        return cfg_hub_topic(out, app->hub, name, arm ? arm : CFG_ARM_BASE, err);
    int rc = cfg_hub_deployment(&o, app->store, name, err);
    rc = rc ? rc : cfg_deployment_read(&d, o, err);
    if (rc != 0)
        return rc;
    rc = cfg_hub_topic(out, app->hub, name, arm_of_worker(c, &d), err);
    cfg_deployment_finish(&d);
    return rc;
}

void cfg_api_view(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_rev at;
    struct cfg_topic *topic;
    const char *arm = cfg_call_query(c, "arm"), *revision = cfg_call_query(c, "revision");
    const char *d = cfg_call_param(c, "d");
    bool worker = cfg_call_query(c, "worker") != NULL;
    if (!cfg_api_at(app, c))
        return;
    int rc = revision ? cfg_rev_parse(&at, cfg_slice_str(revision), &err) : 0;
    rc = rc ? rc : find_topic(&topic, app, c, &err);
    bool past = revision && (rc != 0 || cfg_rev_cmp(at, cfg_topic_rev(topic)) != 0);
    if (rc != 0 && !(revision && rc == CFG_E_NOT_FOUND))
        cfg_call_fail(c, &err, NULL);
    else if (past && worker)
        cfg_hub_view_at_assigned(app->hub, d, arm_of_worker, at, on_view, c);
    else if (past)
        cfg_hub_view_at(app->hub, d, arm ? arm : CFG_ARM_BASE, at, on_view, c);
    else
        cfg_call_reply_bytes(c, 200, "application/json", cfg_topic_view_json(topic));
}
