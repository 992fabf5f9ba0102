/* GET /v1/deployments/{d}/lock: what a deployment is told now, as a file to make another one from. */
#include "configd/api.h"
#include "configd/lock.h"

#include <stdlib.h>
#include <string.h>

struct locking {
    struct cfg_call *call;
    struct cfg_app *app;
    cJSON *lock;          /* owned */
    cJSON *inputs;        /* in it */
    const cJSON *version; /* the member of its release that is next */
    struct cfg_object_id id;
};

static void end(struct locking *l, const struct cfg_error *err)
{
    struct cfg_error why;
    if (err) {
        cfg_call_fail(l->call, err, NULL);
    } else if (cfg_lock_seal(l->lock, &why) != 0) {
        cfg_call_fail(l->call, &why, NULL);
    } else {
        cfg_api_reply(l->call, 200, l->lock);
        l->lock = NULL;
    }
    cJSON_Delete(l->lock);
    free(l);
}

static int add_input(struct locking *l, const struct cfg_object *o, struct cfg_error *err)
{
    char text[CFG_OBJECT_ID_TEXT];
    cJSON *input = cJSON_CreateObject();
    if (input && cJSON_AddStringToObject(input, "object", cfg_object_id_text(&o->id, text).ptr) &&
        cJSON_AddNumberToObject(input, "version", (double)o->version) &&
        cJSON_AddStringToObject(input, "digest", o->digest) && cJSON_AddItemToArray(l->inputs, input))
        return 0;
    cJSON_Delete(input);
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static void next_input(struct locking *l);

static void on_version(void *arg, struct cfg_object *object, const struct cfg_error *err)
{
    struct locking *l = arg;
    struct cfg_error why;
    if (err) {
        end(l, err);
    } else if (add_input(l, object, &why) != 0) {
        end(l, &why);
    } else {
        l->version = l->version->next;
        next_input(l);
    }
}

/* The namespaces' versions, one after the other: heads from the replica, others from history. */
static void next_input(struct locking *l)
{
    if (l->version == NULL) {
        end(l, NULL);
        return;
    }
    uint64_t version = (uint64_t)l->version->valuedouble;
    l->id = cfg_object_id_of(CFG_KIND_CONFIG, l->version->string, NULL);
    cfg_service_version(l->app->service, &l->id, version, on_version, l);
}

struct flags {
    struct locking *l;
    struct cfg_error *err;
    int rc;
};

static bool take_flag(struct cfg_object *o, void *arg)
{
    struct flags *f = arg;
    bool counts = !o->deleted && (o->id.kind == CFG_KIND_FLAG || o->id.kind == CFG_KIND_EVALUATORS);
    f->rc = counts ? add_input(f->l, o, f->err) : 0;
    return f->rc == 0;
}

static int add_flags(struct locking *l, const struct cfg_deployment *d, struct cfg_error *err)
{
    struct flags f = {.l = l, .err = err};
    for (size_t i = 0; i < d->n_flags && f.rc == 0; i++)
        cfg_store_each_of_flags(l->app->store, d->flags[i], take_flag, &f);
    return f.rc;
}

/* The view event's members, but for what only streams need, and what the record says. */
static int begin_lock(struct locking *l, struct cfg_topic *topic, const struct cfg_deployment *d, struct cfg_error *err)
{
    cJSON *flags = cJSON_CreateArray();
    bool ok = cfg_json_parse(&l->lock, cfg_topic_view_json(topic), 200, err) == 0 && flags != NULL;
    for (size_t i = 0; i < d->n_flags && ok; i++)
        ok = cJSON_AddItemToArray(flags, cJSON_CreateString(d->flags[i]));
    cJSON *versions = cJSON_DetachItemFromObjectCaseSensitive(l->lock, "versions");
    cJSON_DeleteItemFromObjectCaseSensitive(l->lock, "stale");
    /* All of them in any case, so that nothing leaks when one fails. */
    ok = cfg_json_set(l->lock, "release", versions) == 0 && ok;
    ok = cfg_json_set(l->lock, "flags", flags) == 0 && ok;
    ok = cfg_json_set(l->lock, "config", cJSON_CreateString(d->config)) == 0 && ok;
    ok = cfg_json_set(l->lock, "pin_keys", cJSON_Duplicate(d->pin_keys, true)) == 0 && ok;
    l->inputs = cJSON_CreateArray();
    ok = cfg_json_set(l->lock, "inputs", l->inputs) == 0 && ok;
    return ok ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* What it was locked to knows its inputs, which may be gone from history. */
static int take_inputs(struct locking *l, const char *deployment, struct cfg_error *err)
{
    const struct cfg_object *o = cfg_store_find(l->app->store, CFG_KIND_LOCKED, deployment, "");
    cJSON *content = o ? cfg_object_tree(o) : NULL;
    cJSON *inputs = cJSON_DetachItemFromObjectCaseSensitive(content, "inputs");
    cJSON_Delete(content);
    return cfg_json_set(l->lock, "inputs", inputs) == 0 ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* True when the inputs are all there. */
static int gather(struct locking *l, const char *name, const char *arm_name, bool *whole, struct cfg_error *err)
{
    struct cfg_object_id id;
    struct cfg_object *o;
    struct cfg_topic *topic;
    struct cfg_deployment d = {0};
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, l->call, err);
    rc = rc ? rc : cfg_api_head(&o, l->app, &id, err);
    rc = rc ? rc : cfg_hub_topic(&topic, l->app->hub, name, arm_name, err);
    rc = rc ? rc : cfg_deployment_read(&d, o, err);
    if (rc != 0)
        return rc;
    const struct cfg_arm *arm = cfg_deployment_arm(&d, arm_name);
    *whole = arm && arm->locked[0];
    rc = begin_lock(l, topic, &d, err);
    if (rc == 0)
        rc = *whole ? take_inputs(l, name, err) : add_flags(l, &d, err);
    cfg_deployment_finish(&d);
    return rc;
}

void cfg_api_lock(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    const char *arm = cfg_call_query(c, "arm");
    bool whole = false;
    if (!cfg_api_at(app, c))
        return;
    struct locking *l = calloc(1, sizeof *l);
    if (l == NULL) {
        cfg_api_reply(c, 200, NULL);
        return;
    }
    l->call = c;
    l->app = app;
    if (gather(l, cfg_call_param(c, "d"), arm ? arm : "base", &whole, &err) != 0) {
        end(l, &err);
        return;
    }
    l->version = whole ? NULL : cfg_json_get(l->lock, "release")->child;
    next_input(l);
}
