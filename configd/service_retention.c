/* Retention: history is data, and grows by every write. Beyond the newest HISTORY_VERSIONS versions, those older than
 * HISTORY_DAYS are removed, unless a deployment runs them.
 *
 * It is looked at after every EVERY-th version of an object, by whoever wrote it: no driver, no lock. The delete is
 * guarded by the deployments, so that none can have begun to hold a version meanwhile, and is no more than
 * housekeeping: when it fails, the next one does its work. */
#include "configd/service_internal.h"

#include <stdlib.h>
#include <string.h>

enum { EVERY = 32, BATCH = 2 * EVERY };

struct sweep {
    struct cfg_job job;
    struct cfg_object_id id;
    uint64_t keep_from; /* versions from here on are kept whatever their age */
    bool probed;        /* the oldest one alone was looked at, and is old */
};

static void sweep_cancel(struct cfg_job *job, const struct cfg_error *err)
{
    (void)job, (void)err; /* nobody waits for it; its own callback frees it */
}

struct holds {
    const struct cfg_object_id *id;
    uint64_t version;
    uint64_t newest; /* mod_revision over all deployments */
    bool held;
};

static bool look(struct cfg_object *o, void *arg)
{
    struct holds *h = arg;
    struct cfg_deployment d;
    if (o->mod_revision > h->newest)
        h->newest = o->mod_revision;
    if (o->deleted)
        return true;
    if (cfg_deployment_read(&d, o, NULL) != 0) {
        h->held = true; /* unreadable: it may hold anything */
        return true;
    }
    for (size_t i = 0; i < d.n_arms; i++)
        h->held = h->held || cfg_release_version(&d.arms[i].release, h->id->ns) == h->version;
    cfg_deployment_finish(&d);
    return true;
}

static void swept(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct sweep *sweep = arg;
    (void)reply, (void)err; /* refused or lost: the next sweep sees the same versions again */
    if (!cfg_job_alive(&sweep->job))
        return;
    cfg_job_end(&sweep->job);
    free(sweep);
}

static bool is_old(const struct cfg_service *s, const struct cfg_object *o)
{
    char limit[CFG_TIME_TEXT];
    uint64_t age = (uint64_t)s->history_days * 24 * 3600 * 1000000000u, now = s->clock->wall_ns(s->clock->arg);
    cJSON *tree = cfg_object_tree(o);
    /* RFC 3339 in UTC with one precision sorts as text. */
    const char *time = cfg_json_get_str(tree, "time", "");
    bool old = time[0] && strcmp(time, cfg_time_format(now > age ? now - age : 0, limit)) < 0;
    cJSON_Delete(tree);
    return old;
}

static bool may_go(const struct sweep *sweep, const struct cfg_object *o, struct holds *h)
{
    const struct cfg_service *s = sweep->job.service;
    *h = (struct holds){.id = &sweep->id, .version = o->version};
    cfg_store_each(s->store, CFG_KIND_DEPLOYMENT, NULL, look, h);
    bool held = h->held && sweep->id.kind == CFG_KIND_CONFIG;
    return o->version < sweep->keep_from && !held && is_old(s, o);
}

static void ask(struct sweep *sweep);

/* The oldest version alone, first: as long as that one is young, nothing more is read. */
static bool probe(struct sweep *sweep, const struct cfg_etcd_range_reply *reply)
{
    struct cfg_object *o = NULL;
    const struct cfg_service *s = sweep->job.service;
    if (sweep->probed || reply->n == 0 || cfg_service_read_record(&o, s, &reply->kvs[0], NULL) != 0)
        return false;
    sweep->probed = is_old(s, o);
    (void)cfg_object_unref(o);
    if (sweep->probed)
        ask(sweep);
    return sweep->probed;
}

static void got_oldest(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct sweep *sweep = arg;
    struct holds h = {0};
    if (!cfg_job_alive(&sweep->job))
        return;
    struct cfg_service *s = sweep->job.service;
    if (!err && probe(sweep, reply))
        return;
    struct cfg_txn *t = sweep->probed ? cfg_txn_new() : NULL;
    for (size_t i = 0; t && !err && i < reply->n; i++) {
        struct cfg_object *o = NULL;
        if (cfg_service_read_record(&o, s, &reply->kvs[i], NULL) == 0 && may_go(sweep, o, &h))
            cfg_txn_delete(t, cfg_txn_history_key(t, s, &o->id, o->version), CFG_SLICE_LIT(""));
        (void)cfg_object_unref(o);
    }
    if (t == NULL || t->failed || t->n_success == 0) {
        cfg_job_end(&sweep->job);
        free(sweep);
    } else {
        struct cfg_guard g = {.kind = CFG_GUARD_SPACE, .id = {.kind = CFG_KIND_DEPLOYMENT}, .mod_revision = h.newest};
        cfg_txn_guard_store(t, s, cfg_store_identity(s->store));
        cfg_txn_guard(t, s, &g);
        cfg_txn_send(t, s, 0, swept, sweep);
    }
    cfg_txn_free(t);
}

static void ask(struct sweep *sweep)
{
    struct cfg_service *s = sweep->job.service;
    struct cfg_buf first, end;
    cfg_service_key(&first, s, "");
    cfg_service_key(&end, s, "");
    cfg_object_history_key(&first, &sweep->id, 0);
    cfg_object_history_key(&end, &sweep->id, sweep->keep_from);
    const struct cfg_etcd_range_req r = {
        .key = cfg_buf_slice(&first), .range_end = cfg_buf_slice(&end), .limit = sweep->probed ? BATCH : 1};
    cfg_etcd_range(s->etcd, &r, 0, got_oldest, sweep);
    cfg_buf_finish(&first);
    cfg_buf_finish(&end);
}

static void begin(struct cfg_service *s, const struct cfg_object_id *id, uint64_t keep_from)
{
    struct sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL)
        return; /* the next one does its work */
    sweep->job.cancel = sweep_cancel;
    sweep->id = *id;
    sweep->keep_from = keep_from;
    cfg_job_begin(s, &sweep->job);
    ask(sweep);
}

void cfg_retention_consider(struct cfg_service *s, const struct cfg_decision *d)
{
    for (size_t i = 0; s->history_versions > 0 && i < d->n_writes; i++) {
        const struct cfg_write *w = &d->writes[i];
        if (w->version > s->history_versions && w->version % EVERY == 0)
            begin(s, &w->id, w->version - s->history_versions + 1);
    }
}
