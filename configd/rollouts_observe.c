/* What is seen of rollouts: this replica's part, written to etcd, and all parts put together. */
#include "configd/etcd.h"
#include "configd/rollouts_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORD_MAX = 64 * 1024,
    WRITE_TIMEOUT_MS = 3000,
    WINDOW_MIN_MS = 60000, /* reports that guards look at: as long as the step bakes, within these */
    WINDOW_MAX_MS = 300000,
};

/* --- this replica --- */

struct names {
    const char *items[CFG_GUARDS_OF_ROLLOUT_MAX * CFG_GUARD_NAMES];
    size_t n;
};

static void add_name(const char *metric, void *arg)
{
    struct names *names = arg;
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->items[i], metric) == 0)
            return;
    if (names->n < sizeof names->items / sizeof names->items[0])
        names->items[names->n++] = metric;
}

static bool look(struct cfg_observation *out, struct cfg_rollouts *r, const struct rollout_drive *d)
{
    const struct cfg_rollout *rollout = &d->rollout;
    uint64_t bake = rollout->steps[rollout->state.step].bake_ms, now = cfg_fleet_now_ms(r->o.fleet);
    uint64_t width = bake < WINDOW_MIN_MS ? WINDOW_MIN_MS : bake > WINDOW_MAX_MS ? WINDOW_MAX_MS : bake;
    const struct cfg_object *o = cfg_store_find(r->o.store, CFG_KIND_DEPLOYMENT, rollout->deployment, "");
    struct cfg_deployment record;
    struct names names = {.n = 0};
    memset(out, 0, sizeof *out);
    if (o == NULL || o->deleted || cfg_deployment_read(&record, o, NULL) != 0)
        return false;
    for (size_t i = 0; i < rollout->n_guards; i++)
        cfg_rollout_guard_each_metric(rollout->guards[i], add_name, &names);
    const struct cfg_fleet_lately lately = {.since_ms = now - d->step_ms > width ? now - width : d->step_ms,
                                            .until_ms = now + 1,
                                            .gone_ms = d->gone_ms,
                                            .metrics = names.items,
                                            .n_metrics = names.n};
    bool any = cfg_fleet_observe(out, r->o.fleet, &record, &lately);
    out->rollout = d->version;
    out->deployment = o->version;
    out->wall_s = rollouts_wall_s(r);
    cfg_deployment_finish(&record);
    return any;
}

struct writing {
    struct rollouts_link *link;
    char deployment[CFG_LIMIT_NAME + 1];
};

static void written(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct writing *w = arg;
    struct cfg_rollouts *r = rollouts_drop(w->link);
    struct rollout_drive *d = r ? rollouts_find(r, w->deployment) : NULL;
    if (d) {
        d->observing = false;
        if (err || !reply->succeeded)
            d->observed_ms = 0;
    }
    free(w);
}

static void write_record(struct cfg_rollouts *r, struct rollout_drive *d, const struct cfg_observation *o)
{
    struct writing *w = malloc(sizeof *w);
    struct cfg_buf key, meta, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&meta, 4096);
    cfg_buf_init(&value, RECORD_MAX);
    cfg_buf_printf(&key, "%slive/observed/%s/%s", r->prefix, d->rollout.deployment, r->replica_id);
    cfg_buf_printf(&meta, "%smeta/store", r->prefix);
    cfg_observation_print(&value, o);
    const struct cfg_etcd_compare same = {.key = cfg_buf_slice(&meta),
                                          .target = CFG_ETCD_MOD,
                                          .result = CFG_ETCD_EQUAL,
                                          .number = (int64_t)cfg_store_identity(r->o.store)->mod_revision};
    const struct cfg_etcd_op put = {.kind = CFG_ETCD_PUT,
                                    .key = cfg_buf_slice(&key),
                                    .value = cfg_buf_slice(&value),
                                    .lease = cfg_lease_lock_lease(r->lock)};
    const struct cfg_etcd_txn_req req = {.compare = &same, .n_compare = 1, .success = &put, .n_success = 1};
    if (w && !cfg_buf_status(&key) && !cfg_buf_status(&meta) && !cfg_buf_status(&value)) {
        *w = (struct writing){.link = rollouts_hold(r)};
        memcpy(w->deployment, d->rollout.deployment, sizeof w->deployment);
        d->observing = true;
        d->observed_ms = rollouts_now_ms(r);
        cfg_etcd_txn(r->o.etcd, &req, WRITE_TIMEOUT_MS, written, w);
        w = NULL;
    }
    free(w); /* without memory: at the next tick */
    cfg_buf_finish(&key);
    cfg_buf_finish(&meta);
    cfg_buf_finish(&value);
}

static bool may_write(const struct cfg_rollouts *r)
{
    return cfg_lease_lock_lease(r->lock) != 0 && !cfg_store_restoring(r->o.store) &&
           cfg_store_state(r->o.store, NULL) == CFG_REPLICA_LIVE;
}

void rollouts_observe(struct cfg_rollouts *r, struct rollout_drive *d)
{
    uint64_t now = rollouts_now_ms(r);
    struct cfg_observation o;
    if (d->observing || !may_write(r) || !look(&o, r, d))
        return;
    const uint64_t counts[6] = {o.base.workers,   o.base.converged,   o.base.rejecting,
                                o.canary.workers, o.canary.converged, o.canary.rejecting};
    bool news = memcmp(counts, d->told, sizeof counts) != 0;
    if (!news && d->observed_ms != 0 && now - d->observed_ms < ROLLOUTS_OBSERVE_MS)
        return;
    memcpy(d->told, counts, sizeof counts);
    o.seq = ++d->seq;
    write_record(r, d, &o);
}

/* --- all of them --- */

static const struct rollout_peer *find_peer(const struct rollout_drive *d, const char *name)
{
    for (size_t i = 0; i < d->n_peers; i++)
        if (strcmp(d->peers[i].name, name) == 0)
            return &d->peers[i];
    return NULL;
}

/* Found, or in place of the one that was heard the longest ago: replicas come and go while a rollout lasts. */
static struct rollout_peer *peer_of(struct rollout_drive *d, const char *name)
{
    struct rollout_peer *oldest = d->peers;
    if (strlen(name) >= CFG_WHOLE_NAME)
        return NULL;
    for (size_t i = 0; i < d->n_peers; i++) {
        if (strcmp(d->peers[i].name, name) == 0)
            return &d->peers[i];
        oldest = d->peers[i].heard_ms < oldest->heard_ms ? &d->peers[i] : oldest;
    }
    struct rollout_peer *p = d->n_peers < ROLLOUTS_PEERS ? &d->peers[d->n_peers++] : oldest;
    *p = (struct rollout_peer){.heard_ms = 0};
    memcpy(p->name, name, strlen(name) + 1);
    return p;
}

void rollouts_heard(struct cfg_rollouts *r, const struct cfg_object *o)
{
    struct rollout_drive *d = rollouts_find(r, o->id.ns);
    struct rollout_peer *p = d ? peer_of(d, o->id.name) : NULL;
    if (p)
        p->heard_ms = rollouts_now_ms(r);
}

struct collecting {
    struct cfg_whole *out;
    struct cfg_rollouts *rollouts;
    const struct rollout_drive *drive;
    uint64_t deployment; /* version of its record */
};

/* One replica that says it has workers. One that was killed leaves its record behind for a minute: once all of those
 * are connected elsewhere, nothing is missing. */
static bool collect(struct cfg_object *presence, void *arg)
{
    struct collecting *c = arg;
    const char *name = presence->id.name;
    const struct rollout_drive *d = c->drive;
    const struct rollout_peer *p = find_peer(d, name);
    const struct cfg_object *o = cfg_store_find(c->rollouts->o.store, CFG_KIND_OBSERVED, d->rollout.deployment, name);
    struct cfg_observation seen = {.wall_s = 0};
    if (!cfg_fleet_presence_stands(c->rollouts->o.fleet, presence))
        return true;
    uint64_t now = rollouts_now_ms(c->rollouts);
    cJSON *tree = o ? cfg_object_tree(o) : NULL;
    if (tree == NULL || p == NULL)
        cfg_whole_add_unknown(c->out, "replica %.80s has workers and has not told of them yet", name);
    else if (now - p->heard_ms > ROLLOUTS_FRESH_MS)
        cfg_whole_add_unknown(c->out, "replica %.80s has workers and has said nothing for %.0f s", name,
                              (double)(now - p->heard_ms) / 1000);
    else if (cfg_observation_read(&seen, tree, NULL) != 0)
        cfg_whole_add_unknown(c->out, "replica %.80s tells of its workers in a way that this one cannot read", name);
    else if (seen.rollout != d->version || seen.deployment != c->deployment)
        cfg_whole_add_unknown(c->out, "replica %.80s has not heard of the last step yet", name);
    else
        cfg_whole_add(c->out, name, &seen);
    if (tree && p && now - p->heard_ms <= ROLLOUTS_FRESH_MS && seen.wall_s != 0)
        cfg_whole_add_skew(c->out, name,
                           seen.wall_s + (int64_t)((now - p->heard_ms) / 1000) - rollouts_wall_s(c->rollouts));
    cJSON_Delete(tree);
    return true;
}

static uint64_t absent_ms(void *arg, const char *replica)
{
    const struct collecting *c = arg;
    const struct rollout_peer *p = find_peer(c->drive, replica);
    uint64_t since = p ? p->heard_ms : c->drive->began_ms;
    return rollouts_now_ms(c->rollouts) - since;
}

void rollouts_collect(struct cfg_whole *out, struct cfg_rollouts *r, const struct rollout_drive *d)
{
    const struct cfg_object *record = cfg_store_find(r->o.store, CFG_KIND_DEPLOYMENT, d->rollout.deployment, "");
    const struct cfg_object *head = cfg_store_find(r->o.store, CFG_KIND_ROLLOUT, d->rollout.deployment, "");
    struct collecting c = {out, r, d, record ? record->version : 0};
    memset(out, 0, sizeof *out);
    out->sum.lowest = 1;
    cfg_store_each(r->o.store, CFG_KIND_PRESENCE, d->rollout.deployment, collect, &c);
    if (d->rollout.state.phase == CFG_ROLLOUT_ROLLING_BACK)
        return; /* everybody is told already: who has gone for good keeps nobody waiting */
    cJSON *tree = head ? cfg_object_tree(head) : NULL;
    cfg_whole_compare(out, cfg_json_get(cfg_json_get(tree, "decision"), "arms"), absent_ms, &c);
    cJSON_Delete(tree);
}
