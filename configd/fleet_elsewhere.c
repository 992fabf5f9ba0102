/* The other replicas, as far as their presence records tell; and whom a change reaches, here and there. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- other replicas --- */

struct presence_walk {
    const struct cfg_fleet *f;
    fleet_presence_fn fn;
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

void fleet_each_other(const struct cfg_fleet *f, const char *deployment, fleet_presence_fn fn, void *arg)
{
    struct presence_walk walk = {f, fn, arg};
    cfg_store_each(f->store, CFG_KIND_PRESENCE, deployment, visit_presence, &walk);
}

struct others {
    cfg_fleet_other_fn fn;
    void *arg;
};

static void tell_other(const struct cfg_object *o, const cJSON *tree, void *arg)
{
    const struct others *to = arg;
    uint64_t workers = 0;
    bool known = cfg_json_need_u64(tree, "workers", &workers, NULL) == 0;
    to->fn(to->arg, o->id.name, cfg_json_get_str(tree, "url", ""), known ? workers : 1);
}

/* --- this replica before it was restarted --- */

/* Its last record outlives it, and says how many workers it had. Until they had time to come back, those that have not
 * are unknown: like those of a replica that does not answer, under a name that none has. */
enum { COME_BACK_MS = 20000 }; /* twice the longest pause between a client's attempts */
static const char earlier_name[] = "before its restart";

struct fleet_earlier {
    char deployment[CFG_LIMIT_NAME + 1];
    char *url; /* owned */
    uint64_t workers;
    struct fleet_earlier *next;
};

static bool note_earlier(struct cfg_object *o, void *arg)
{
    struct cfg_fleet *f = arg;
    uint64_t workers = 0;
    if (strcmp(o->id.name, f->replica_id) != 0)
        return true;
    cJSON *tree = cfg_object_tree(o);
    bool known = cfg_json_need_u64(tree, "workers", &workers, NULL) == 0 && workers > 0;
    struct fleet_earlier *e = known ? calloc(1, sizeof *e) : NULL;
    char *url = e ? cfg_slice_dup(cfg_slice_str(cfg_json_get_str(tree, "url", ""))) : NULL;
    cJSON_Delete(tree);
    if (url == NULL) { /* without memory they are not missed */
        free(e);
        return true;
    }
    *e = (struct fleet_earlier){.url = url, .workers = workers, .next = f->earlier};
    memcpy(e->deployment, o->id.ns, sizeof e->deployment);
    f->earlier = e;
    return true;
}

void fleet_earlier_look(struct cfg_fleet *f)
{
    if (f->earlier_until_ms != 0)
        return;
    f->earlier_until_ms = fleet_now_ms(f) + COME_BACK_MS;
    cfg_store_each(f->store, CFG_KIND_PRESENCE, NULL, note_earlier, f);
}

void fleet_earlier_free(struct cfg_fleet *f)
{
    while (f->earlier) {
        struct fleet_earlier *e = f->earlier;
        f->earlier = e->next;
        free(e->url);
        free(e);
    }
}

static void tell_earlier(const struct cfg_fleet *f, const char *deployment, const struct others *to)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    uint64_t back = d ? d->connected : 0;
    if (fleet_now_ms(f) >= f->earlier_until_ms)
        return;
    for (const struct fleet_earlier *e = f->earlier; e; e = e->next)
        if (strcmp(e->deployment, deployment) == 0 && e->workers > back)
            to->fn(to->arg, earlier_name, e->url, e->workers - back);
}

void cfg_fleet_others(const struct cfg_fleet *f, const char *deployment, cfg_fleet_other_fn fn, void *arg)
{
    struct others to = {fn, arg};
    fleet_each_other(f, deployment, tell_other, &to);
    tell_earlier(f, deployment, &to);
}

const char *cfg_fleet_replica(const struct cfg_fleet *f)
{
    return f->replica_id;
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
    fleet_each_other(f, deployment, count_other, &n);
    return n;
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
    fleet_each_other(r->f, d->name, add_presence, r);
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
    struct fleet_reply reply = {false}; /* what has no memory is left out */
    fleet_put_number(&reply, reach, "live", (double)r.sum.live);
    fleet_put_number(&reply, reach, "pending_restart", (double)r.sum.pending_restart);
    fleet_put_number(&reply, reach, "unread", (double)r.sum.unread);
    fleet_put_number(&reply, reach, "unknown", (double)r.sum.unknown);
    fleet_put(&reply, reach, "deployments", r.deployments);
    fleet_put(&reply, result, "reach", reach);
}

void cfg_fleet_add_reach(struct cfg_fleet *f, cJSON *results)
{
    cJSON *result;
    cJSON_ArrayForEach(result, results)
    {
        add_reach(f, result);
    }
}
