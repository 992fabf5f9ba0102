/* What concerned a deployment in the past: histories gathered from etcd, one object after the other. */
#include "configd/api_past_internal.h"

#include "proto/rfc3339.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 200, /* more than the objects of one change, so that a page always gets on */
    MAX_VERSIONS = 10000,
    MAX_BYTES = 96 * 1024 * 1024,
};

void past_end(struct past *g, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(g->call, err, NULL);
    cfg_timeline_finish(&g->versions);
    fleet_past_finish(&g->runs);
    free(g);
}

static void advance(struct past *g);

static void add_name(struct past *g, const char *ns)
{
    for (size_t i = 0; i < g->n_names; i++)
        if (strcmp(g->names[i], ns) == 0)
            return;
    if (g->n_names < PAST_MAX_NAMES && cfg_check_name("namespace", cfg_slice_str(ns), NULL) == 0)
        (void)snprintf(g->names[g->n_names++], sizeof g->names[0], "%s", ns);
}

static void add_names_of(struct past *g, const struct cfg_object *o)
{
    struct cfg_deployment d = {0};
    if (o->id.kind == CFG_KIND_CONFIG && !o->deleted) {
        cJSON *tree = cfg_object_tree(o);
        const cJSON *base;
        cJSON_ArrayForEach(base, cfg_json_get(tree, "extends"))
        {
            if (cJSON_IsString(base))
                add_name(g, base->valuestring);
        }
        cJSON_Delete(tree);
    } else if (o->id.kind == CFG_KIND_DEPLOYMENT && !o->deleted && cfg_deployment_read(&d, o, NULL) == 0) {
        add_name(g, d.config);
        for (size_t i = 0; i < d.n_flags; i++)
            add_name(g, d.flags[i]);
        for (size_t a = 0; a < d.n_arms; a++)
            for (size_t i = 0; i < d.arms[a].release.n; i++)
                add_name(g, d.arms[a].release.items[i].ns);
        cfg_deployment_finish(&d);
    }
}

static int take(struct past *g, struct cfg_object *o, struct cfg_error *err)
{
    int rc = cfg_timeline_add(&g->versions, o, err);
    if (rc == 0 && (g->versions.n > MAX_VERSIONS || g->versions.bytes > MAX_BYTES)) {
        rc = cfg_fail(err, CFG_E_LIMIT, "more was written since then than is looked through at once");
        cfg_error_set_hint(err, "ask about a shorter time, or see GET /v1/log");
    }
    if (rc == 0)
        add_names_of(g, o);
    return rc;
}

/* True: there may be older versions that matter. False also after an error, which has been answered. */
static bool take_page(struct past *g, struct cfg_object *const *objects, size_t n, bool more,
                      const struct cfg_error *failure, bool *ended)
{
    struct cfg_error err;
    int rc = 0;
    size_t before = g->versions.n;
    *ended = true;
    if (failure) {
        past_end(g, failure);
        return false;
    }
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = take(g, objects[i], &err);
    if (rc != 0) {
        past_end(g, &err);
        return false;
    }
    *ended = false;
    return more && n > 0 && g->versions.n > before && cfg_timeline_time(objects[n - 1]) >= g->since_us;
}

static void on_space(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct past *g = arg;
    bool ended, older = take_page(g, objects, n, more, err, &ended);
    if (ended)
        return;
    if (older) { /* the last revision may have been cut in the middle: it is read once more */
        cfg_service_log(g->app->service, g->names[g->next_name], objects[n - 1]->mod_revision + 1, PAGE, on_space, g);
        return;
    }
    const struct cfg_object *head = cfg_store_find(g->app->store, CFG_KIND_CONFIG, g->names[g->next_name], "");
    if (head)
        add_names_of(g, head);
    g->next_name++;
    advance(g);
}

static bool is_gone(const struct past *g, const struct cfg_object_id *id)
{
    for (size_t i = 0; i < g->n_gone; i++)
        if (cfg_object_id_eq(&g->gone[i], id))
            return true;
    return false;
}

static void on_before(void *arg, struct cfg_object *object, const struct cfg_error *failure)
{
    struct past *g = arg;
    struct cfg_error err;
    if (failure && failure->code != CFG_E_NOT_FOUND) {
        past_end(g, failure);
        return;
    }
    if (failure && g->n_gone == sizeof g->gone / sizeof g->gone[0]) {
        (void)cfg_fail(&err, CFG_E_COMPACTED, "too much of that time is no longer in history");
        past_end(g, &err);
        return;
    }
    if (failure)
        g->gone[g->n_gone++] = g->want;
    else if (take(g, object, &err) != 0) {
        past_end(g, &err);
        return;
    }
    advance(g);
}

/* What is still to be read: a namespace, or the version before the first of an object's; then the answer. */
static void advance(struct past *g)
{
    uint64_t version;
    size_t at = 0;
    if (g->next_name < g->n_names) {
        cfg_service_log(g->app->service, g->names[g->next_name], 0, PAGE, on_space, g);
        return;
    }
    while (cfg_timeline_missing(&g->want, &version, &g->versions, g->since_us, &at)) {
        if (is_gone(g, &g->want))
            continue;
        cfg_service_version(g->app->service, &g->want, version, on_before, g);
        return;
    }
    g->reply(g);
}

/* Experiments on other deployments pass by. */
static void on_experiments(void *arg, struct cfg_object *const *objects, size_t n, bool more,
                           const struct cfg_error *err)
{
    struct past *g = arg;
    bool ended, older = take_page(g, objects, n, more, err, &ended);
    if (ended)
        return;
    if (older) /* as in on_space */
        cfg_service_log_of_kind(g->app->service, CFG_KIND_EXPERIMENT, objects[n - 1]->mod_revision + 1, PAGE,
                                on_experiments, g);
    else
        advance(g);
}

static void ask_rollout(struct past *g, uint64_t before);

static void on_rollout(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct past *g = arg;
    bool ended, older = take_page(g, objects, n, more, err, &ended);
    if (ended)
        return;
    if (older)
        ask_rollout(g, objects[n - 1]->version);
    else
        cfg_service_log_of_kind(g->app->service, CFG_KIND_EXPERIMENT, 0, PAGE, on_experiments, g);
}

static void ask_rollout(struct past *g, uint64_t before)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_ROLLOUT, g->deployment.ns, NULL);
    cfg_service_versions(g->app->service, &id, before, PAGE, on_rollout, g);
}

static void on_deployment(void *arg, struct cfg_object *const *objects, size_t n, bool more,
                          const struct cfg_error *err)
{
    struct past *g = arg;
    bool ended, older = take_page(g, objects, n, more, err, &ended);
    if (ended)
        return;
    if (older)
        cfg_service_versions(g->app->service, &g->deployment, objects[n - 1]->version, PAGE, on_deployment, g);
    else if (g->tells_rollouts)
        ask_rollout(g, 0);
    else
        advance(g);
}

int past_read_time(int64_t *out, const struct cfg_call *c, const char *name, int64_t fallback, struct cfg_error *err)
{
    const char *text = cfg_call_query(c, name);
    *out = fallback;
    return text && cfg_rfc3339_parse(out, cfg_slice_str(text), err) != 0 ? cfg_error_wrap(err, "%s", name) : 0;
}

int64_t past_now_us(const struct cfg_app *app)
{
    return (int64_t)(app->clock->wall_ns(app->clock->arg) / 1000);
}

struct past *past_begin(struct cfg_app *app, struct cfg_call *c, struct cfg_error *err)
{
    struct cfg_object_id id;
    struct cfg_object *head = NULL;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, err);
    if (rc == 0 && cfg_store_get(app->store, &id) == NULL)
        rc = cfg_api_head(&head, app, &id, err); /* says what is spelt nearly so */
    struct past *g = rc == 0 ? calloc(1, sizeof *g) : NULL;
    if (g) {
        g->app = app;
        g->call = c;
        g->deployment = id;
    } else if (rc == 0) {
        (void)cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return g;
}

void past_go(struct past *g)
{
    cfg_service_versions(g->app->service, &g->deployment, 0, PAGE, on_deployment, g);
}

struct cfg_object *past_was(void *arg, const struct cfg_object_id *id)
{
    struct past *g = arg;
    struct cfg_object *o = NULL;
    enum cfg_timeline_was w = cfg_timeline_before(&o, &g->versions, id, cfg_store_get(g->app->store, id), g->since_us);
    g->incomplete |= w == CFG_WAS_GONE;
    return w == CFG_WAS_THERE ? o : NULL;
}
