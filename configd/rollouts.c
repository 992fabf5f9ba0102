#include "configd/change_rollout.h"
#include "configd/etcd.h"
#include "configd/rollout_waits.h"
#include "configd/rollouts_internal.h"

#include <stdlib.h>
#include <string.h>

enum { LEASE_S = 6, READ_TIMEOUT_MS = 3000 };

uint64_t rollouts_now_ms(const struct cfg_rollouts *r)
{
    return r->o.clock->monotonic_ns(r->o.clock->arg) / 1000000u + 1; /* never 0, which means "not yet" */
}

int64_t rollouts_wall_s(const struct cfg_rollouts *r)
{
    return (int64_t)(r->o.clock->wall_ns(r->o.clock->arg) / 1000000000u);
}

struct rollout_drive *rollouts_find(const struct cfg_rollouts *r, const char *deployment)
{
    struct rollout_drive *d = r->drives;
    while (d && strcmp(d->rollout.deployment, deployment) != 0)
        d = d->next;
    return d;
}

struct rollouts_link *rollouts_hold(struct cfg_rollouts *r)
{
    r->link->refs++;
    return r->link;
}

struct cfg_rollouts *rollouts_drop(struct rollouts_link *link)
{
    struct cfg_rollouts *r = link->r;
    if (--link->refs == 0)
        free(link);
    return r;
}

/* --- which there are --- */

static void free_drive(struct rollout_drive *d)
{
    cfg_rollout_finish(&d->rollout);
    free(d);
}

static void forget(struct cfg_rollouts *r, const char *deployment)
{
    for (struct rollout_drive **p = &r->drives; *p; p = &(*p)->next) {
        struct rollout_drive *d = *p;
        if (strcmp(d->rollout.deployment, deployment) != 0)
            continue;
        *p = d->next;
        free_drive(d);
        return;
    }
}

static struct rollout_drive *add(struct cfg_rollouts *r)
{
    struct rollout_drive *d = calloc(1, sizeof *d);
    if (d) {
        d->began_ms = rollouts_now_ms(r);
        d->next = r->drives;
        r->drives = d;
    }
    return d;
}

struct learning {
    struct rollouts_link *link;
    char deployment[CFG_LIMIT_NAME + 1];
    uint64_t run;
};

/* Only this rollout's canary counts. */
static void count_from(struct cfg_rollouts *r, const char *deployment, uint64_t revision)
{
    const struct cfg_rev since = {cfg_store_identity(r->o.store)->epoch, revision};
    cfg_fleet_forget_arm(r->o.fleet, deployment, CFG_ARM_CANARY, since);
}

static void learned(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct learning *l = arg;
    struct cfg_rollouts *r = rollouts_drop(l->link);
    struct rollout_drive *d = r ? rollouts_find(r, l->deployment) : NULL;
    if (d && d->rollout.run == l->run && err == NULL && reply->n > 0)
        count_from(r, l->deployment, (uint64_t)reply->kvs[0].mod_revision);
    free(l);
}

/* Of a rollout that was under way before this replica came, history knows when it started. Workers that come back tell
 * again what nobody has acknowledged, which may be of the rollout before. */
static void learn_start(struct cfg_rollouts *r, const struct cfg_rollout *now)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_ROLLOUT, now->deployment, NULL);
    struct learning *l = calloc(1, sizeof *l);
    struct cfg_buf key;
    cfg_buf_init(&key, 4096);
    cfg_buf_puts(&key, r->prefix);
    cfg_object_history_key(&key, &id, now->run);
    const struct cfg_etcd_range_req req = {.key = cfg_buf_slice(&key)};
    if (l && cfg_buf_status(&key) == 0) {
        l->link = rollouts_hold(r);
        l->run = now->run;
        memcpy(l->deployment, now->deployment, sizeof l->deployment);
        cfg_etcd_range(r->o.etcd, &req, READ_TIMEOUT_MS, learned, l);
        l = NULL;
    }
    free(l); /* without memory all that is told counts */
    cfg_buf_finish(&key);
}

/* Takes the record as it is now. Another step begins to count its reports; another rollout also forgets the canary's.
 */
static void take(struct cfg_rollouts *r, const struct cfg_object *o, struct cfg_rollout *now)
{
    struct rollout_drive *d = rollouts_find(r, now->deployment);
    bool same_run = d && d->rollout.run == now->run, same_step = same_run && d->rollout.state.step == now->state.step;
    bool resumed = d && d->rollout.state.phase == CFG_ROLLOUT_PAUSED && now->state.phase != CFG_ROLLOUT_PAUSED;
    if (d == NULL && (d = add(r)) == NULL) {
        cfg_rollout_finish(now); /* without memory it is not driven from here */
        return;
    }
    if (!same_run)
        count_from(r, now->deployment, now->run == o->version ? o->mod_revision : 0);
    if (!same_run && now->run != o->version)
        learn_start(r, now);
    if (!same_step) {
        d->step_ms = cfg_fleet_now_ms(r->o.fleet);
        d->taken = false;
        d->baked_ms = 0;
    }
    if (!same_step || resumed)
        d->gone_ms = cfg_fleet_now_ms(r->o.fleet);
    cfg_rollout_finish(&d->rollout);
    d->rollout = *now;
    d->version = o->version;
    d->observed_ms = 0; /* told anew */
}

static bool look_at(struct cfg_object *o, void *arg)
{
    struct cfg_rollouts *r = arg;
    struct cfg_rollout now;
    struct rollout_drive *d = rollouts_find(r, o->id.ns);
    if (d && d->version == o->version)
        return true;
    cJSON *tree = o->deleted ? NULL : cfg_object_tree(o);
    bool read = tree && cfg_rollout_read(&now, tree, NULL) == 0;
    cJSON_Delete(tree);
    if (read && !cfg_rollout_is_final(&now.state) && strcmp(now.deployment, o->id.ns) == 0) {
        take(r, o, &now);
        return true;
    }
    if (read)
        cfg_rollout_finish(&now);
    forget(r, o->id.ns);
    return true;
}

static void tick(void *arg);

/* The lock is wanted, and the timer runs, while a rollout is under way. */
static void arrange(struct cfg_rollouts *r)
{
    bool any = r->drives != NULL;
    cfg_lease_lock_want(r->lock, any);
    if (any && !r->ticking)
        cfg_timer_start(r->tick, 0);
    r->ticking = any;
}

static void tick(void *arg)
{
    struct cfg_rollouts *r = arg;
    if (!r->ticking)
        return;
    for (struct rollout_drive *d = r->drives; d; d = d->next) {
        rollouts_observe(r, d);
        rollouts_drive(r, d);
    }
    cfg_timer_start(r->tick, ROLLOUTS_TICK_MS);
}

/* --- what the store tells --- */

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_rollouts *r = arg;
    bool moved = full;
    (void)rev;
    if (full) { /* records of observations may be old ones: each replica is heard when it writes the next */
        while (r->drives)
            forget(r, r->drives->rollout.deployment);
        cfg_store_each(r->o.store, CFG_KIND_ROLLOUT, NULL, look_at, r);
    }
    for (size_t i = 0; !full && i < n; i++) {
        const struct cfg_object *o = changes[i].after ? changes[i].after : changes[i].before;
        moved = moved || o->id.kind == CFG_KIND_ROLLOUT;
        if (o->id.kind == CFG_KIND_ROLLOUT && changes[i].after)
            (void)look_at(changes[i].after, r);
        else if (o->id.kind == CFG_KIND_ROLLOUT)
            forget(r, o->id.ns);
        else if (o->id.kind == CFG_KIND_OBSERVED && changes[i].after)
            rollouts_heard(r, changes[i].after);
    }
    if (moved)
        arrange(r);
}

/* The lock or the lease is another: who drives anew takes up the bake time from its record. */
static void on_lock(void *arg)
{
    struct cfg_rollouts *r = arg;
    for (struct rollout_drive *d = r->drives; d; d = d->next) {
        d->taken = false;
        d->observed_ms = 0;
    }
}

bool cfg_rollouts_drives(const struct cfg_rollouts *r)
{
    return cfg_lease_lock_held(r->lock);
}

/* {REPLICA: ms since its record was heard to change}, of records that are there. NULL without memory. */
static cJSON *observed_ages(const struct cfg_rollouts *r, const struct rollout_drive *d)
{
    cJSON *ages = cJSON_CreateObject();
    uint64_t now = rollouts_now_ms(r);
    for (size_t i = 0; i < d->n_peers; i++) {
        const struct rollout_peer *p = &d->peers[i];
        if (cfg_store_find(r->o.store, CFG_KIND_OBSERVED, d->rollout.deployment, p->name) &&
            !cJSON_AddNumberToObject(ages, p->name, (double)(now - p->heard_ms))) {
            cJSON_Delete(ages);
            return NULL;
        }
    }
    return ages;
}

/* A word for programs, beside what people read. */
static bool add_reason(cJSON *live, const struct cfg_rollouts *r, const char *deployment, int64_t now_s)
{
    const struct cfg_object *o = cfg_store_find(r->o.store, CFG_KIND_ROLLOUT, deployment, "");
    cJSON *record = o ? cfg_object_tree(o) : NULL;
    bool ok = record && cJSON_AddStringToObject(live, "reason", cfg_rollout_waits(record, live, now_s));
    cJSON_Delete(record);
    return ok;
}

cJSON *cfg_rollouts_live(struct cfg_rollouts *r, const char *deployment)
{
    const struct rollout_drive *d = rollouts_find(r, deployment);
    struct cfg_rollout_verdict verdict;
    if (d == NULL)
        return NULL;
    struct cfg_whole *whole = calloc(1, sizeof *whole);
    if (whole == NULL)
        return NULL;
    rollouts_collect(whole, r, d);
    const struct cfg_rollout_clock clock = {.now_s = rollouts_wall_s(r),
                                            .baked_ms = d->taken ? d->baked_ms : rollouts_progress(r, d)};
    cfg_rollout_judge(&verdict, &d->rollout, whole, &clock);
    const struct cfg_object *lock = cfg_store_find(r->o.store, CFG_KIND_LOCK, CFG_ROLLOUT_LOCK_NAME, "");
    cJSON *holder = lock ? cfg_object_tree(lock) : NULL, *live = cJSON_CreateObject();
    bool ok = cfg_json_set(live, "driver", cJSON_CreateString(cfg_json_get_str(holder, "holder", ""))) == 0;
    ok = cfg_json_set(live, "baked_ms", cJSON_CreateNumber((double)clock.baked_ms)) == 0 && ok;
    ok = cfg_json_set(live, "arms", cfg_whole_json(whole)) == 0 && ok;
    ok = cfg_json_set(live, "guards", cfg_rollout_readings_json(&d->rollout, &verdict)) == 0 && ok;
    cJSON *trace = cfg_rollout_trace_json(&d->trace, d->version, &d->rollout, rollouts_now_ms(r));
    ok = (trace == NULL || cfg_json_set(live, "trace", trace) == 0) && ok;
    ok = cfg_json_set(live, "waits", cJSON_CreateString(verdict.why)) == 0 && ok;
    ok = cfg_json_set(live, "observed", observed_ages(r, d)) == 0 && ok;
    ok = ok && add_reason(live, r, deployment, clock.now_s);
    free(whole);
    cJSON_Delete(holder);
    if (ok)
        return live;
    cJSON_Delete(live);
    return NULL;
}

/* --- life --- */

int cfg_rollouts_new(struct cfg_rollouts **out, const struct cfg_rollouts_options *o, struct cfg_error *err)
{
    struct cfg_rollouts *r = calloc(1, sizeof *r);
    if (r == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    r->o = *o;
    r->prefix = cfg_slice_dup(cfg_slice_str(o->prefix));
    r->replica_id = cfg_slice_dup(cfg_slice_str(o->replica_id));
    r->tick = cfg_timer_new(o->loop, tick, r);
    r->link = calloc(1, sizeof *r->link);
    if (r->link)
        *r->link = (struct rollouts_link){r, 1};
    const struct cfg_lease_lock_options lock = {.loop = o->loop,
                                                .etcd = o->etcd,
                                                .store = o->store,
                                                .prefix = o->prefix,
                                                .name = CFG_ROLLOUT_LOCK_NAME,
                                                .holder = o->replica_id,
                                                .ttl_s = LEASE_S,
                                                .moved = on_lock,
                                                .arg = r};
    int rc = r->prefix && r->replica_id && r->tick && r->link ? cfg_lease_lock_new(&r->lock, &lock, err)
                                                              : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (rc != 0) {
        cfg_rollouts_free(r);
        return rc;
    }
    r->listener = (struct cfg_store_listener){.changed = on_changed, .arg = r};
    cfg_store_listen(o->store, &r->listener);
    *out = r;
    return 0;
}

void cfg_rollouts_free(struct cfg_rollouts *r)
{
    if (r == NULL)
        return;
    if (r->listener.arg)
        cfg_store_unlisten(r->o.store, &r->listener);
    cfg_lease_lock_free(r->lock);
    cfg_timer_free(r->tick);
    while (r->drives)
        forget(r, r->drives->rollout.deployment);
    if (r->link) {
        r->link->r = NULL;
        (void)rollouts_drop(r->link);
    }
    free(r->prefix);
    free(r->replica_id);
    free(r);
}
