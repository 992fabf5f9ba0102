/* Why a value is what it is: GET /v1/config/{ns}/explain. Each layer that says something, the one that wins, and for
 * each since which version it has said so, read back in history.
 *
 * A job of several round trips: versions of a release that a deployment holds, then pages of history, one layer after
 * the other. It ends with exactly one answer. */
#include "configd/api.h"
#include "configd/http_auth.h"
#include "configd/release.h"
#include "proto/patch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 50, PAGES_MAX = 8 };

struct space {
    char ns[CFG_LIMIT_NAME + 1];
    struct cfg_object *object; /* reference */
    cJSON *tree;
};

struct explain {
    struct cfg_call *call;
    struct cfg_app *app;
    char ns[CFG_LIMIT_NAME + 1], path[CFG_LIMIT_PATH + 1];
    struct cfg_deployment deployment; /* name "": none */
    uint64_t deployment_version;
    struct cfg_object_id want; /* being fetched */
    uint64_t want_version;
    struct space spaces[CFG_LIMIT_LAYERS + 1];
    size_t n_spaces;
    struct cfg_closure closure;
    cJSON *body, *layers; /* the reply; layers lies in it */
    cJSON *layer;         /* whose history is being read */
    unsigned pages;
};

static void explain_free(struct explain *x)
{
    cfg_closure_finish(&x->closure);
    for (size_t i = 0; i < x->n_spaces; i++) {
        (void)cfg_object_unref(x->spaces[i].object);
        cJSON_Delete(x->spaces[i].tree);
    }
    cfg_deployment_finish(&x->deployment);
    cJSON_Delete(x->body);
    free(x);
}

static void fail(struct explain *x, const struct cfg_error *err)
{
    cfg_call_fail(x->call, err, NULL);
    explain_free(x);
}

static void fail_without_memory(struct explain *x)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    fail(x, &err);
}

/* --- the release --- */

static const struct cfg_arm *arm_of(const struct explain *x)
{
    return x->deployment.name[0] ? cfg_deployment_arm(&x->deployment, "base") : NULL;
}

static int add_space(struct explain *x, const char *ns, struct cfg_object *o, struct cfg_error *err)
{
    if (x->n_spaces > CFG_LIMIT_LAYERS)
        return cfg_fail(err, CFG_E_LIMIT, "%s extends too many namespaces", x->ns);
    struct space *s = &x->spaces[x->n_spaces++];
    (void)snprintf(s->ns, sizeof s->ns, "%s", ns);
    s->object = cfg_object_ref(o);
    s->tree = cfg_object_tree(o);
    return s->tree ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static const struct space *find_space(const struct explain *x, const char *ns)
{
    for (size_t i = 0; i < x->n_spaces; i++)
        if (strcmp(x->spaces[i].ns, ns) == 0)
            return &x->spaces[i];
    return NULL;
}

static int want_held(struct explain *x, const struct cfg_arm *arm, const char *ns, struct cfg_error *err)
{
    x->want = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
    x->want_version = cfg_release_version(&arm->release, ns);
    if (x->want_version == 0)
        return cfg_fail(err, CFG_E_VALUE, "deployment %s holds no version of %s", x->deployment.name, ns);
    return cfg_fail(err, CFG_E_NOT_READY, "%s is being fetched", ns);
}

static int read_space(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    struct explain *x = arg;
    const struct cfg_arm *arm = arm_of(x);
    const struct space *s = find_space(x, item->ns);
    if (s == NULL && arm && arm->release.n > 0)
        return want_held(x, arm, item->ns, err);
    if (s == NULL) {
        const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
        struct cfg_object *o;
        int rc = cfg_api_head(&o, x->app, &id, err);
        rc = rc ? rc : add_space(x, item->ns, o, err);
        if (rc != 0)
            return rc;
        s = &x->spaces[x->n_spaces - 1];
    }
    item->body = s->tree;
    item->version = s->object->version;
    item->mod_revision = s->object->mod_revision;
    return 0;
}

/* --- the answer --- */

static void note_other(void *arg, const char *replica, const char *url, uint64_t workers)
{
    (void)replica;
    (void)url;
    (void)workers;
    *(bool *)arg = true;
}

/* Names, not values: what is set in a process's environment may be what its owner keeps out of the store, and the
 * worker tells nobody. */
static bool add_workers(struct explain *x)
{
    cJSON *names = cJSON_AddArrayToObject(x->body, "overridden_on");
    cJSON *reply = x->deployment.name[0] ? cfg_fleet_workers(x->app->fleet, x->deployment.name) : NULL;
    const cJSON *worker, *path;
    bool ok = names != NULL;
    cJSON_ArrayForEach(worker, cfg_json_get(reply, "workers"))
    {
        cJSON_ArrayForEach(path, cfg_json_get(worker, "overrides"))
        {
            if (cJSON_IsString(path) && strcmp(path->valuestring, x->path) == 0)
                ok = cJSON_AddItemToArray(names, cJSON_CreateString(cfg_json_get_str(worker, "worker", "?"))) && ok;
        }
    }
    bool others = false; /* they know theirs: who asks each of them knows all */
    if (reply)
        cfg_fleet_others(x->app->fleet, x->deployment.name, note_other, &others);
    if (ok && reply)
        ok = cJSON_AddBoolToObject(x->body, "partial", others) != NULL;
    cJSON_Delete(reply);
    return ok;
}

/* One entry of "set": a namespace at a version, or the pin. */
static bool add_layer(struct explain *x, const cJSON *entry, const cJSON *names, double winner)
{
    double index = cfg_json_get_num(entry, "layer", -1);
    const cJSON *name = cJSON_GetArrayItem(names, (int)index);
    size_t i = (size_t)index;
    cJSON *layer = cJSON_CreateObject();
    bool pin = i >= x->closure.n;
    const char *label = cJSON_IsString(name) ? name->valuestring : "?";
    bool ok = layer && cJSON_AddStringToObject(layer, "layer", pin ? x->deployment.name : label) &&
              cJSON_AddStringToObject(layer, "kind", pin ? "pin" : "namespace") &&
              cJSON_AddNumberToObject(layer, "version",
                                      (double)(pin ? x->deployment_version : x->closure.items[i].version)) &&
              cfg_json_set(layer, "value", cJSON_Duplicate(cfg_json_get(entry, "value"), true)) == 0 &&
              cJSON_AddBoolToObject(layer, "wins", index == winner) && cJSON_AddItemToArray(x->layers, layer);
    if (!ok)
        cJSON_Delete(layer);
    return ok;
}

static bool print_why(struct explain *x, const cJSON *why)
{
    double winner = cfg_json_get_num(why, "layer", -1);
    const cJSON *names = cfg_json_get(why, "layers"), *entry;
    const cJSON *value = cfg_json_get(why, "value"), *resolved = cfg_json_get(why, "resolved");
    x->body = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(x->body, "namespace", x->ns) && cJSON_AddStringToObject(x->body, "path", x->path);
    if (ok && x->deployment.name[0])
        ok = cJSON_AddStringToObject(x->body, "deployment", x->deployment.name) != NULL;
    const cJSON *shown = resolved ? resolved : value;
    ok = ok && cfg_json_set(x->body, "value", cJSON_Duplicate(shown, true)) == 0;
    if (ok && resolved)
        ok = cfg_json_set(x->body, "text", cJSON_Duplicate(value, true)) == 0;
    x->layers = ok ? cJSON_AddArrayToObject(x->body, "layers") : NULL;
    ok = x->layers != NULL;
    cJSON_ArrayForEach(entry, cfg_json_get(why, "set"))
    {
        ok = ok && add_layer(x, entry, names, winner);
    }
    return ok && add_workers(x);
}

/* --- a locked view --- */

static bool add_locked_layer(struct explain *x, const char *kind, const cJSON *value, bool wins)
{
    cJSON *layer = value ? cJSON_CreateObject() : NULL;
    bool ok = layer && cJSON_AddStringToObject(layer, "layer", x->deployment.name) &&
              cJSON_AddStringToObject(layer, "kind", kind) &&
              cJSON_AddNumberToObject(layer, "version", (double)x->deployment_version) &&
              cfg_json_set(layer, "value", cJSON_Duplicate(value, true)) == 0 &&
              cJSON_AddBoolToObject(layer, "wins", wins) && cJSON_AddItemToArray(x->layers, layer);
    if (!ok)
        cJSON_Delete(layer);
    return ok || value == NULL;
}

/* A lock holds values and the versions that they came from. An object may have pinned parts: it is both together. */
static bool print_locked(struct explain *x, const cJSON *locked, const cJSON *value, const cJSON *pin)
{
    cJSON *both = NULL;
    if (value && pin && cfg_patch_merge(&both, value, pin, NULL) != 0)
        return false;
    const cJSON *shown = both ? both : value ? value : pin;
    x->body = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(x->body, "namespace", x->ns) &&
              cJSON_AddStringToObject(x->body, "path", x->path) &&
              cJSON_AddStringToObject(x->body, "deployment", x->deployment.name) &&
              cfg_json_set(x->body, "value", cJSON_Duplicate(shown, true)) == 0 &&
              cfg_json_set(x->body, "inputs", cJSON_Duplicate(cfg_json_get(locked, "inputs"), true)) == 0;
    cJSON_Delete(both);
    x->layers = ok ? cJSON_AddArrayToObject(x->body, "layers") : NULL;
    return x->layers && add_locked_layer(x, "lock", value, value && !pin) &&
           add_locked_layer(x, "pin", pin, pin && !value) && add_workers(x);
}

static void explain_locked(struct explain *x)
{
    struct cfg_error err = CFG_ERROR_INIT;
    const struct cfg_object *o = cfg_store_find(x->app->store, CFG_KIND_LOCKED, x->deployment.name, "");
    cJSON *locked = o ? cfg_object_tree(o) : NULL;
    const cJSON *value = cfg_path_get(cfg_json_get(locked, "parameters"), x->path);
    const cJSON *pin = cfg_path_get(x->deployment.pin, x->path);
    if (value == NULL && pin == NULL) {
        (void)cfg_fail(&err, CFG_E_UNKNOWN_KEY, "the lock that %s was made from has no %s", x->deployment.name,
                       x->path);
        fail(x, &err);
    } else if (!print_locked(x, locked, value, pin)) {
        fail_without_memory(x);
    } else {
        cfg_api_reply(x->call, 200, x->body);
        x->body = NULL;
        explain_free(x);
    }
    cJSON_Delete(locked);
}

/* --- since when --- */

static void next_layer(struct explain *x);

static void ask_page(struct explain *x, uint64_t before);

static bool note_since(struct explain *x, const struct cfg_object *o)
{
    static const char *const members[] = {"author", "time", "message"};
    cJSON *tree = cfg_object_tree(o), *since = cJSON_CreateObject();
    bool ok = tree && since && cJSON_AddNumberToObject(since, "version", (double)o->version);
    for (size_t i = 0; ok && i < sizeof members / sizeof members[0]; i++)
        ok = cJSON_AddStringToObject(since, members[i], cfg_json_get_str(tree, members[i], "")) != NULL;
    cJSON_Delete(tree);
    if (!ok) {
        cJSON_Delete(since);
        return false;
    }
    return cfg_json_set(x->layer, "since", since) == 0;
}

/* Did the namespace say the same at this version? */
static bool says_same(const struct explain *x, const struct cfg_object *o)
{
    cJSON *tree = o->deleted ? NULL : cfg_object_tree(o);
    const cJSON *value = tree ? cfg_path_get(cfg_json_get(tree, "document"), x->path) : NULL;
    bool same = value && cfg_json_equal(value, cfg_json_get(x->layer, "value"));
    cJSON_Delete(tree);
    return same;
}

static void on_page(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct explain *x = arg;
    size_t i = 0;
    if (err) {
        fail(x, err);
        return;
    }
    while (i < n && says_same(x, objects[i]))
        i++;
    if (i > 0 && !note_since(x, objects[i - 1])) {
        fail_without_memory(x);
        return;
    }
    if (i == n && more && n > 0 && ++x->pages < PAGES_MAX) {
        ask_page(x, objects[n - 1]->version);
        return;
    }
    x->layer = x->layer->next;
    next_layer(x);
}

static void ask_page(struct explain *x, uint64_t before)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, cfg_json_get_str(x->layer, "layer", ""), NULL);
    cfg_service_versions(x->app->service, &id, before, PAGE, on_page, x);
}

static void next_layer(struct explain *x)
{
    while (x->layer && strcmp(cfg_json_get_str(x->layer, "kind", ""), "namespace") != 0)
        x->layer = x->layer->next;
    if (x->layer) {
        x->pages = 0;
        ask_page(x, (uint64_t)cfg_json_get_num(x->layer, "version", 0) + 1);
        return;
    }
    cfg_api_reply(x->call, 200, x->body);
    x->body = NULL;
    explain_free(x);
}

/* --- the job --- */

static void gather(struct explain *x);

static void on_version(void *arg, struct cfg_object *object, const struct cfg_error *err)
{
    struct explain *x = arg;
    struct cfg_error why;
    if (err)
        fail(x, err);
    else if (add_space(x, x->want.ns, object, &why) != 0)
        fail(x, &why);
    else
        gather(x);
}

static void gather(struct explain *x)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *why = NULL;
    const struct cfg_release_options o = {.pin_keys = x->deployment.pin_keys, .pin = x->deployment.pin};
    int rc = cfg_closure_walk(&x->closure, x->ns, &(struct cfg_closure_reader){read_space, x}, &err);
    if (rc == CFG_E_NOT_READY && x->want.ns[0]) {
        cfg_service_version(x->app->service, &x->want, x->want_version, on_version, x);
        return;
    }
    if (rc == 0)
        rc = cfg_release_explain(&why, &x->closure, &o, x->path, &err);
    if (rc != 0) {
        fail(x, &err);
    } else if (!print_why(x, why)) {
        fail_without_memory(x);
    } else {
        x->layer = x->layers->child;
        next_layer(x);
    }
    cJSON_Delete(why);
}

static int read_deployment(struct explain *x, const char *name, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_DEPLOYMENT, name, NULL);
    struct cfg_object *o;
    int rc = cfg_api_head(&o, x->app, &id, err);
    rc = rc ? rc : cfg_deployment_read(&x->deployment, o, err);
    if (rc != 0)
        return rc;
    x->deployment_version = o->version;
    if (strcmp(x->deployment.config, x->ns) == 0)
        return 0;
    (void)cfg_fail(err, CFG_E_INVALID, "deployment %s runs %s, not %s", name, x->deployment.config, x->ns);
    cfg_error_set_hint(err, "ask for %s/%s", x->deployment.config, x->path);
    return CFG_E_INVALID;
}

static int read_request(struct explain *x, struct cfg_error *err)
{
    struct cfg_object_id id;
    const char *path = cfg_call_query(x->call, "path"), *deployment = cfg_call_query(x->call, "deployment");
    int rc = cfg_api_id(&id, CFG_KIND_CONFIG, x->call, err);
    if (rc == 0 && path == NULL)
        rc = cfg_fail(err, CFG_E_INVALID, "explain needs ?path=, a parameter's dotted path");
    rc = rc ? rc : cfg_path_check(cfg_slice_str(path), err);
    if (rc != 0)
        return rc;
    memcpy(x->ns, id.ns, sizeof x->ns);
    (void)snprintf(x->path, sizeof x->path, "%s", path);
    return deployment ? read_deployment(x, deployment, err) : 0;
}

void cfg_api_explain(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    if (!cfg_api_at(app, c))
        return;
    struct explain *x = calloc(1, sizeof *x);
    if (x == NULL) {
        cfg_api_reply(c, 200, NULL);
        return;
    }
    x->call = c;
    x->app = app;
    const struct cfg_arm *arm = NULL;
    if (read_request(x, &err) != 0)
        fail(x, &err);
    else if ((arm = arm_of(x)) != NULL && arm->locked[0])
        explain_locked(x);
    else
        gather(x);
}
