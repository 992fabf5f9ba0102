/* The other replicas, as far as their presence records tell; and whom a change reaches, here and there. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"
#include "configd/fleet_merge.h"

#include <stdlib.h>
#include <string.h>

/* --- other replicas --- */

enum { RECORDS = 64 }; /* of one deployment that are put in order; what is beyond comes first */

struct presence_walk {
    const struct cfg_fleet *f;
    const struct cfg_object *items[RECORDS];
    size_t n;
    struct fleet_seen *seen;
    fleet_presence_fn fn;
    void *arg;
};

static void visit(const struct presence_walk *walk, const struct cfg_object *o)
{
    cJSON *tree = cfg_object_tree(o);
    walk->fn(o->id.name, tree, walk->seen, walk->arg);
    cJSON_Delete(tree);
}

static bool gather(struct cfg_object *o, void *arg)
{
    struct presence_walk *walk = arg;
    if (strcmp(o->id.name, walk->f->replica_id) == 0)
        return true; /* here the registry itself is asked */
    if (walk->n < RECORDS)
        walk->items[walk->n++] = o;
    else
        visit(walk, o);
    return true;
}

static int newest_first(const void *a, const void *b)
{
    const struct cfg_object *const *x = a, *const *y = b;
    return (*x)->mod_revision < (*y)->mod_revision ? 1 : -((*x)->mod_revision > (*y)->mod_revision);
}

/* All but this replica's, the newest first. */
static void walk_records(const struct cfg_fleet *f, const char *deployment, struct fleet_seen *seen,
                         fleet_presence_fn fn, void *arg)
{
    struct presence_walk walk = {.f = f, .seen = seen, .fn = fn, .arg = arg};
    cfg_store_each(f->store, CFG_KIND_PRESENCE, deployment, gather, &walk);
    qsort(walk.items, walk.n, sizeof walk.items[0], newest_first);
    for (size_t i = 0; i < walk.n; i++)
        visit(&walk, walk.items[i]);
    const cJSON *earlier = fleet_earlier_record(f, deployment);
    if (earlier)
        fn(fleet_earlier_name, earlier, seen, arg);
}

static void add_mark(struct fleet_worker *w, void *arg)
{
    if (w->superseded)
        fleet_seen_add(arg, w->mark);
}

void fleet_see_here(struct fleet_seen *seen, const struct cfg_fleet *f, const char *deployment)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    if (d && d->connected > 0)
        fleet_each_worker(d, add_mark, seen);
}

void fleet_each_other(const struct cfg_fleet *f, const char *deployment, fleet_presence_fn fn, void *arg)
{
    struct fleet_seen seen = {0};
    fleet_see_here(&seen, f, deployment);
    walk_records(f, deployment, &seen, fn, arg);
    fleet_seen_finish(&seen);
}

struct others {
    cfg_fleet_other_fn fn;
    void *arg;
};

static void tell_other(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg)
{
    const struct others *to = arg;
    uint64_t workers = 0;
    if (fleet_seen_count(seen, tree) == 0 && replica == fleet_earlier_name)
        return; /* all are back: there is nobody to ask */
    bool known = cfg_json_need_u64(tree, "workers", &workers, NULL) == 0;
    to->fn(to->arg, replica, cfg_json_get_str(tree, "url", ""), known ? workers : 1);
}

void cfg_fleet_others(const struct cfg_fleet *f, const char *deployment, cfg_fleet_other_fn fn, void *arg)
{
    struct others to = {fn, arg};
    fleet_each_other(f, deployment, tell_other, &to);
}

/* --- whose workers are somewhere else --- */

struct finding {
    struct fleet_answer *answers;
    size_t n;
    bool silent; /* those are counted; else the others are noted */
};

static void find_elsewhere(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg)
{
    const struct finding *x = arg;
    struct fleet_answer *a = NULL;
    uint64_t total = 1;
    for (size_t i = 0; i < x->n && a == NULL; i++)
        a = strcmp(x->answers[i].replica, replica) == 0 ? &x->answers[i] : NULL;
    if (a == NULL || (a->body == NULL) != x->silent)
        return;
    uint64_t fresh = fleet_seen_count(seen, tree);
    if (!x->silent || cfg_json_need_u64(tree, "workers", &total, NULL) != 0 || fresh >= total)
        return;
    a->elsewhere = total - fresh < a->workers ? total - fresh : a->workers;
}

void cfg_fleet_find_elsewhere(const struct cfg_fleet *f, const char *deployment, struct fleet_answer *answers, size_t n)
{
    struct fleet_seen seen = {0};
    struct finding x = {answers, n, false};
    fleet_see_here(&seen, f, deployment);
    walk_records(f, deployment, &seen, find_elsewhere, &x);
    x.silent = true;
    walk_records(f, deployment, &seen, find_elsewhere, &x);
    fleet_seen_finish(&seen);
}

/* --- this replica before it was restarted --- */

/* Its last record outlives it, and names the workers it had. Until they had time to come back, those that are nowhere
 * else are unknown: like those of a replica that does not answer, under a name that none has. */
enum { COME_BACK_MS = 20000 }; /* twice the longest pause between a client's attempts */
const char fleet_earlier_name[] = "before its restart";

struct fleet_earlier {
    char deployment[CFG_LIMIT_NAME + 1];
    cJSON *tree; /* owned */
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
    if (e == NULL) { /* without memory they are not missed */
        cJSON_Delete(tree);
        return true;
    }
    *e = (struct fleet_earlier){.tree = tree, .next = f->earlier};
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

void fleet_earlier_tick(struct cfg_fleet *f)
{
    if (f->earlier == NULL || fleet_now_ms(f) < f->earlier_until_ms)
        return;
    for (const struct fleet_earlier *e = f->earlier; e; e = e->next) {
        struct fleet_deployment *d = fleet_add_deployment(f, e->deployment);
        if (d && !d->written)
            d->written = d->dirty = true; /* what lies there, it wrote */
    }
    fleet_earlier_free(f);
}

void fleet_earlier_free(struct cfg_fleet *f)
{
    while (f->earlier) {
        struct fleet_earlier *e = f->earlier;
        f->earlier = e->next;
        cJSON_Delete(e->tree);
        free(e);
    }
}

const cJSON *fleet_earlier_record(const struct cfg_fleet *f, const char *deployment)
{
    const struct fleet_earlier *e = f->earlier;
    while (e && strcmp(e->deployment, deployment) != 0)
        e = e->next;
    return e && fleet_now_ms(f) < f->earlier_until_ms ? e->tree : NULL;
}

static void count_absent(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg)
{
    size_t n = fleet_seen_count(seen, tree);
    if (replica == fleet_earlier_name)
        *(size_t *)arg = n;
}

size_t fleet_absent(const struct cfg_fleet *f, const char *deployment)
{
    size_t n = 0;
    if (fleet_earlier_record(f, deployment))
        fleet_each_other(f, deployment, count_absent, &n);
    return n;
}

/* --- does a record count? --- */

struct standing {
    const char *replica;
    bool passed, stands;
};

/* Newer records come first. */
static void look_for(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg)
{
    struct standing *s = arg;
    uint64_t fresh = s->passed ? 0 : fleet_seen_count(seen, tree);
    if (strcmp(replica, s->replica) != 0)
        return;
    s->passed = true;
    s->stands = fresh > 0;
}

bool cfg_fleet_presence_stands(const struct cfg_fleet *f, const struct cfg_object *presence)
{
    struct standing s = {.replica = presence->id.name};
    const struct fleet_deployment *d = fleet_find_deployment(f, presence->id.ns);
    if (strcmp(presence->id.name, f->replica_id) == 0) /* this one's may be from before its restart */
        return (d && d->connected > 0) || fleet_absent(f, presence->id.ns) > 0;
    fleet_each_other(f, presence->id.ns, look_for, &s);
    return s.stands || !s.passed;
}

const char *cfg_fleet_replica(const struct cfg_fleet *f)
{
    return f->replica_id;
}

static void count_other(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg)
{
    (void)replica;
    *(size_t *)arg += fleet_seen_count(seen, tree);
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

static void add_presence(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg)
{
    (void)replica;
    struct reaching *r = arg;
    cfg_reach_add_presence(&r->sum, tree, &r->change, r->pin_keys, seen);
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
