/* What people ask of the fleet: who runs what, and whom a change reaches. */
#include "configd/fleet_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- workers --- */

struct list {
    const struct cfg_fleet *f;
    cJSON *workers;
    const char *digest; /* the target's; NULL: none */
    struct cfg_rev since;
    uint64_t now_ms;
    size_t converged;
    bool failed;
};

static void add(struct list *l, cJSON *o, const char *key, cJSON *value)
{
    if (value && cJSON_AddItemToObject(o, key, value))
        return;
    cJSON_Delete(value);
    l->failed = true;
}

static cJSON *null_or(const cJSON *v, cJSON *(*otherwise)(void))
{
    return v ? cJSON_Duplicate(v, true) : otherwise();
}

static void add_member(struct list *l, cJSON *o, const char *key, const cJSON *from, cJSON *(*otherwise)(void))
{
    add(l, o, key, null_or(cfg_json_get(from, key), otherwise));
}

/* Runs the target: its digest, taken over since it became the target (after A → B → A the first A does not count). */
static bool has_converged(const struct list *l, const struct fleet_worker *w)
{
    return w->superseded && w->reported && l->digest && strcmp(w->digest, l->digest) == 0 &&
           cfg_rev_cmp(w->applied, l->since) >= 0;
}

/* What was printed when it came; NULL when there is nothing. Returned-owned. */
static cJSON *parse(const char *text)
{
    cJSON *v = NULL;
    return text && cfg_json_parse(&v, cfg_slice_str(text), CFG_LIMIT_DEPTH + 8, NULL) == 0 ? v : NULL;
}

static void add_worker(struct fleet_worker *w, void *arg)
{
    struct list *l = arg;
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !cJSON_AddItemToArray(l->workers, o)) {
        cJSON_Delete(o);
        l->failed = true;
        return;
    }
    char registered[CFG_TIME_TEXT];
    cJSON *about = parse(w->about), *kept = parse(w->kept);
    bool converged = has_converged(l, w);
    l->converged += converged;
    add(l, o, "worker", cJSON_CreateString(w->id));
    add(l, o, "incarnation", cJSON_CreateString(w->incarnation));
    add(l, o, "replica", cJSON_CreateString(l->f->replica_id));
    add_member(l, o, "host", about, cJSON_CreateNull);
    add_member(l, o, "pid", about, cJSON_CreateNull);
    add_member(l, o, "group", about, cJSON_CreateNull);
    add(l, o, "rank", cJSON_CreateNumber(cfg_json_get_num(about, "rank", 0)));
    add(l, o, "world", cJSON_CreateNumber(cfg_json_get_num(about, "world", 1)));
    add_member(l, o, "labels", about, cJSON_CreateObject);
    add(l, o, "connected", cJSON_CreateBool(w->superseded != NULL));
    add_member(l, o, "applied", kept, cJSON_CreateNull);
    add(l, o, "step", cJSON_CreateNumber(w->step));
    add(l, o, "state", cJSON_CreateString(w->reported ? w->state : "starting"));
    add(l, o, "converged", cJSON_CreateBool(converged));
    add(l, o, "age_ms", cJSON_CreateNumber((double)w->age_ms));
    add_member(l, o, "pending", kept, cJSON_CreateArray);
    add_member(l, o, "rejects", kept, cJSON_CreateArray);
    add_member(l, o, "overrides", kept, cJSON_CreateArray);
    add_member(l, o, "metrics", kept, cJSON_CreateObject);
    add(l, o, "last_report_ms",
        w->reported ? cJSON_CreateNumber((double)(l->now_ms - w->report_ms)) : cJSON_CreateNull());
    add(l, o, "registered", cJSON_CreateString(cfg_time_format(w->registered_wall_ns, registered)));
    if (fleet_flaps(w, l->now_ms) > 0)
        add(l, o, "error",
            cJSON_CreateString("two processes use this worker id and keep replacing each other; give each its own "
                               "(CONFIGD_WORKER)"));
    cJSON_Delete(about);
    cJSON_Delete(kept);
}

static cJSON *target_of(struct list *l, const char *deployment)
{
    struct cfg_topic *t = NULL;
    char rev[CFG_REV_TEXT];
    if (cfg_hub_topic(&t, l->f->hub, deployment, "base", NULL) != 0)
        return cJSON_CreateNull();
    l->digest = cfg_topic_digest(t);
    l->since = cfg_topic_since(t);
    cJSON *target = cJSON_CreateObject();
    if (target) {
        add(l, target, "revision", cJSON_CreateString(cfg_rev_format(cfg_topic_rev(t), rev)));
        add(l, target, "digest", cJSON_CreateString(l->digest));
    }
    return target;
}

/* --- other replicas --- */

typedef void (*presence_fn)(const struct cfg_object *o, const cJSON *tree, void *arg);
struct presence_walk {
    const struct cfg_fleet *f;
    presence_fn fn;
    void *arg;
};

static bool visit_presence(struct cfg_object *o, void *arg)
{
    const struct presence_walk *walk = arg;
    if (strcmp(o->id.name, walk->f->replica_id) == 0)
        return true; /* here the registry itself is asked */
    cJSON *tree = cfg_object_tree(o);
    walk->fn(o, tree, walk->arg);
    cJSON_Delete(tree);
    return true;
}

static void each_other_replica(const struct cfg_fleet *f, const char *deployment, presence_fn fn, void *arg)
{
    struct presence_walk walk = {f, fn, arg};
    cfg_store_each(f->store, CFG_KIND_PRESENCE, deployment, visit_presence, &walk);
}

struct replicas {
    struct list *list;
    cJSON *array;
    size_t others;
};

static void add_replica(struct replicas *r, const char *replica, const char *url, uint64_t workers)
{
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !cJSON_AddItemToArray(r->array, o)) {
        cJSON_Delete(o);
        r->list->failed = true;
        return;
    }
    add(r->list, o, "replica", cJSON_CreateString(replica));
    add(r->list, o, "url", cJSON_CreateString(url));
    add(r->list, o, "workers", cJSON_CreateNumber((double)workers));
}

static void add_other(const struct cfg_object *o, const cJSON *tree, void *arg)
{
    struct replicas *r = arg;
    uint64_t workers = 0;
    bool known = cfg_json_need_u64(tree, "workers", &workers, NULL) == 0;
    r->others += known ? workers : 1;
    add_replica(r, o->id.name, cfg_json_get_str(tree, "url", ""), workers);
}

cJSON *cfg_fleet_workers(struct cfg_fleet *f, const char *deployment)
{
    struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    struct list l = {.f = f, .workers = cJSON_CreateArray(), .now_ms = fleet_now_ms(f)};
    struct replicas replicas = {.list = &l, .array = cJSON_CreateArray()};
    cJSON *reply = cJSON_CreateObject();
    if (reply == NULL || l.workers == NULL || replicas.array == NULL) {
        cJSON_Delete(reply);
        cJSON_Delete(l.workers);
        cJSON_Delete(replicas.array);
        return NULL;
    }
    add(&l, reply, "deployment", cJSON_CreateString(deployment));
    add(&l, reply, "target", target_of(&l, deployment));
    if (d)
        fleet_each_worker(d, add_worker, &l);
    add_replica(&replicas, f->replica_id, f->url, d ? d->connected : 0);
    each_other_replica(f, deployment, add_other, &replicas);
    add(&l, reply, "workers", l.workers);
    add(&l, reply, "converged", cJSON_CreateNumber((double)l.converged));
    add(&l, reply, "total", cJSON_CreateNumber(d ? (double)d->connected : 0));
    add(&l, reply, "partial", cJSON_CreateBool(replicas.others > 0));
    add(&l, reply, "replicas", replicas.array);
    if (l.failed) {
        cJSON_Delete(reply);
        return NULL;
    }
    return reply;
}

static void count_other(const struct cfg_object *o, const cJSON *tree, void *arg)
{
    (void)o;
    uint64_t workers = 0;
    bool known = cfg_json_need_u64(tree, "workers", &workers, NULL) == 0;
    *(size_t *)arg += known ? workers : 1; /* a record that cannot be read is not nobody */
}

size_t cfg_fleet_connected(const struct cfg_fleet *f, const char *deployment)
{
    if (deployment == NULL)
        return f->n_connected;
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    size_t n = d ? d->connected : 0;
    each_other_replica(f, deployment, count_other, &n);
    return n;
}

cJSON *cfg_fleet_exposures(struct cfg_fleet *f, const char *deployment)
{
    static const struct fleet_exposures none;
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    size_t here = d ? d->connected : 0, all = cfg_fleet_connected(f, deployment);
    cJSON *reply = cJSON_CreateObject(), *list = fleet_exposures_list(d ? &d->exposures : &none);
    if (reply && list && cJSON_AddStringToObject(reply, "deployment", deployment) &&
        cJSON_AddItemToObject(reply, "exposures", list)) {
        if (cJSON_AddBoolToObject(reply, "partial", all > here))
            return reply;
        list = NULL; /* the reply's */
    }
    cJSON_Delete(list);
    cJSON_Delete(reply);
    return NULL;
}

/* --- reach --- */

struct reaching {
    struct cfg_fleet *f;
    const char *ns;
    struct cfg_reach_change change;
    struct cfg_reach sum;
    cJSON *deployments; /* names */
    const cJSON *pin_keys;
};

static void add_presence(const struct cfg_object *o, const cJSON *tree, void *arg)
{
    (void)o;
    struct reaching *r = arg;
    cfg_reach_add_presence(&r->sum, tree, &r->change, r->pin_keys);
}

static void reach_workers(struct reaching *r, const struct cfg_deployment *d)
{
    const struct fleet_deployment *here = fleet_find_deployment(r->f, d->name);
    r->pin_keys = d->pin_keys;
    for (const struct fleet_contract *c = here ? here->contracts : NULL; c; c = c->next)
        cfg_reach_count(&r->sum, cfg_reach_of(c->contract, &r->change, d->pin_keys), c->connected);
    each_other_replica(r->f, d->name, add_presence, r);
}

/* Consumes *d. */
static void reach_deployment(struct reaching *r, struct cfg_deployment *d)
{
    cJSON *name = cJSON_CreateString(d->name);
    if (name == NULL || !cJSON_AddItemToArray(r->deployments, name))
        cJSON_Delete(name);
    reach_workers(r, d);
    cfg_deployment_finish(d);
}

/* Everyone who sees the flags. */
static bool reach_by_flags(struct cfg_object *o, void *arg)
{
    struct reaching *r = arg;
    struct cfg_deployment d = {0};
    if (o->deleted || cfg_deployment_read(&d, o, NULL) != 0)
        return true;
    if (cfg_deployment_sees_flags(&d, r->ns))
        reach_deployment(r, &d);
    else
        cfg_deployment_finish(&d);
    return true;
}

/* A deployment whose composed view a namespace's write changes, and the paths that differ in it. */
static void reach_affected(struct reaching *r, const cJSON *entry)
{
    const char *name = cfg_json_get_str(entry, "deployment", "");
    const cJSON *list = cfg_json_get(entry, "paths"), *path;
    struct cfg_object *o = cfg_store_find(r->f->store, CFG_KIND_DEPLOYMENT, name, "");
    struct cfg_deployment d = {0};
    const char **paths = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *paths);
    if (paths == NULL || o == NULL || o->deleted || cfg_deployment_read(&d, o, NULL) != 0) {
        free(paths);
        return;
    }
    r->change = (struct cfg_reach_change){.paths = paths};
    cJSON_ArrayForEach(path, list)
    {
        paths[r->change.n++] = path->valuestring;
    }
    if (cfg_json_get(entry, "more"))
        paths[r->change.n++] = ""; /* not all of them are told */
    reach_deployment(r, &d);
    free(paths);
}

static void add_reach(struct cfg_fleet *f, cJSON *result)
{
    const char *kind = cfg_json_get_str(result, "kind", "");
    bool config = strcmp(kind, "config") == 0, flags = strcmp(kind, "flag") == 0 || strcmp(kind, "evaluators") == 0;
    struct reaching r = {.f = f, .ns = cfg_json_get_str(result, "namespace", ""), .deployments = cJSON_CreateArray()};
    cJSON *reach = cJSON_CreateObject();
    if (reach == NULL || r.deployments == NULL || !(config || flags)) {
        cJSON_Delete(reach);
        cJSON_Delete(r.deployments);
        return;
    }
    const cJSON *affected = cfg_json_get(result, "affected"), *entry;
    r.change.flag = flags;
    if (flags)
        cfg_store_each(f->store, CFG_KIND_DEPLOYMENT, NULL, reach_by_flags, &r);
    cJSON_ArrayForEach(entry, affected) /* of namespaces alone */
    {
        reach_affected(&r, entry);
    }
    struct list l = {.f = f}; /* what has no memory is left out of the reply */
    add(&l, reach, "live", cJSON_CreateNumber((double)r.sum.live));
    add(&l, reach, "pending_restart", cJSON_CreateNumber((double)r.sum.pending_restart));
    add(&l, reach, "unread", cJSON_CreateNumber((double)r.sum.unread));
    add(&l, reach, "unknown", cJSON_CreateNumber((double)r.sum.unknown));
    add(&l, reach, "deployments", r.deployments);
    add(&l, result, "reach", reach);
}

void cfg_fleet_add_reach(struct cfg_fleet *f, cJSON *results)
{
    cJSON *result;
    cJSON_ArrayForEach(result, results)
    {
        add_reach(f, result);
    }
}
