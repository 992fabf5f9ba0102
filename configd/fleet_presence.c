/* Presence: one record per deployment with workers here, under this replica's lease, so that the record goes with the
 * replica. Written when who is connected changes, at most once a second per deployment; the lease is taken with the
 * first worker and kept while there is any record. Nothing is written into a store that is not the replica's (every
 * write guards meta/store).
 *
 *    NONE ──worker──► ASKED ──granted──► HELD ──expired or revoked elsewhere──► NONE (all records are written anew)
 */
#include "configd/fleet_internal.h"
#include "configd/fleet_runs.h"
#include "proto/etcd_msg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 1000, /* also the least time between two writes of one record */
    RECORD_MAX =
        512 *
        1024, /* bytes; contracts and sets of capabilities that do not fit are left out, which readers see as unknown */
    WRITE_TIMEOUT_MS = 3000,
    RENEW_MS = 5000,           /* at most: what is left of the lease is as long as it is whenever this replica stops */
    KEEP_GONE_MS = 600 * 1000, /* a worker without a stream is shown this long */
    PRUNE_EVERY_MS = 30 * 1000,
    PRUNE_RUNS_EVERY_MS = 3600 * 1000,
};

struct write {
    struct fleet_link *link;
    struct fleet_deployment *d;
    int64_t lease;
    bool removes;
};

struct fleet_link *fleet_link_hold(struct cfg_fleet *f)
{
    f->link->refs++;
    return f->link;
}

struct cfg_fleet *fleet_link_drop(struct fleet_link *link)
{
    struct cfg_fleet *f = link->f;
    if (--link->refs == 0)
        free(link);
    return f;
}

/* Of the workers that hold it; without room or memory for them readers cannot tell them from others. */
static void print_ids(struct cfg_buf *out, const struct fleet_contract *c)
{
    struct cfg_buf marks;
    if (out->len + c->connected * FLEET_MARK_TEXT > RECORD_MAX)
        return;
    cfg_buf_init(&marks, RECORD_MAX);
    for (const struct fleet_worker *w = c->first; w; w = w->same_contract)
        fleet_mark_put(&marks, w->mark);
    if (cfg_buf_status(&marks) == 0) {
        cfg_buf_puts(out, ",\"ids\":\"");
        cfg_base64_encode(out, cfg_buf_slice(&marks));
        cfg_buf_putc(out, '"');
    }
    cfg_buf_finish(&marks);
}

static void print_names(struct cfg_buf *out, const char *const *names, size_t n)
{
    cfg_buf_puts(out, ",\"names\":[");
    for (size_t i = 0; i < n; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        cfg_json_put_string(out, cfg_slice_str(names[i]));
    }
    cfg_buf_putc(out, ']');
}

/* Sets that do not fit are left out, which readers see as unknown. */
static void print_skills(struct cfg_buf *out, struct fleet_deployment *d)
{
    const char *comma = "";
    fleet_name_skilled(d);
    cfg_buf_puts(out, ",\"capabilities\":[");
    for (const struct fleet_skills *s = d->skills; s; s = s->next) {
        cJSON *list = s->connected > 0 && out->len < RECORD_MAX ? cJSON_CreateArray() : NULL;
        if (list && fleet_skills_list(list, s)) {
            cfg_buf_printf(out, "%s{\"workers\":%zu,\"has\":", comma, s->connected);
            cfg_json_print(out, list);
            print_names(out, s->names, s->n_names);
            cfg_buf_putc(out, '}');
            comma = ",";
        }
        cJSON_Delete(list);
    }
    cfg_buf_putc(out, ']');
}

static void print_ceilings(struct cfg_buf *out, const struct fleet_deployment *d)
{
    cJSON *ceilings = fleet_lowest_ceilings(d);
    if (ceilings) {
        cfg_buf_puts(out, ",\"ceilings\":");
        cfg_json_print(out, ceilings);
    }
    cJSON_Delete(ceilings);
}

void fleet_presence_print(struct cfg_buf *out, const struct cfg_fleet *f, struct fleet_deployment *d)
{
    fleet_name_workers(d);
    cfg_buf_puts(out, "{\"url\":");
    cfg_json_put_string(out, cfg_slice_str(f->url));
    cfg_buf_puts(out, ",\"replica\":");
    cfg_json_put_string(out, cfg_slice_str(f->replica_id));
    cfg_buf_printf(out, ",\"workers\":%zu,\"contracts\":[", d->connected);
    const char *comma = "";
    for (const struct fleet_contract *c = d->contracts; c; c = c->next) {
        struct cfg_slice json = cfg_bytes_slice(c->contract->json);
        if (c->connected == 0 || out->len + json.len > RECORD_MAX)
            continue;
        cfg_buf_printf(out, "%s{\"workers\":%zu,\"contract\":", comma, c->connected);
        cfg_buf_put(out, json.ptr, json.len);
        print_names(out, c->names, c->n_names);
        print_ids(out, c);
        cfg_buf_putc(out, '}');
        comma = ",";
    }
    cfg_buf_putc(out, ']');
    print_skills(out, d);
    size_t groups = fleet_count_groups(d);
    if (groups > 0)
        cfg_buf_printf(out, ",\"groups\":%zu", groups);
    fleet_groups_print(out, d, RECORD_MAX);
    print_ceilings(out, d);
    cfg_buf_putc(out, '}');
}

static void write_done(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct write *w = arg;
    struct cfg_fleet *f = fleet_link_drop(w->link);
    if (f == NULL) {
        free(w);
        return;
    }
    w->d->writing = false;
    if (err || !reply->succeeded) {
        w->d->dirty = true;
        if (f->lease_state == LEASE_HELD && w->lease == f->lease)
            f->renewed_ms = 0; /* perhaps the lease is gone: asked at the next tick */
    } else if (w->removes) {
        w->d->written = false;
    }
    free(w);
}

static void put_key(struct cfg_buf *out, const struct cfg_fleet *f, const char *deployment)
{
    cfg_buf_printf(out, "%slive/presence/%s/%s", f->prefix, deployment, f->replica_id);
}

static void write_record(struct cfg_fleet *f, struct fleet_deployment *d)
{
    struct write *w = malloc(sizeof *w);
    struct cfg_buf key, meta, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&meta, 4096);
    cfg_buf_init(&value, 2 * RECORD_MAX);
    put_key(&key, f, d->name);
    cfg_buf_printf(&meta, "%smeta/store", f->prefix);
    fleet_presence_print(&value, f, d);
    if (w && !cfg_buf_status(&key) && !cfg_buf_status(&meta) && !cfg_buf_status(&value)) {
        *w = (struct write){fleet_link_hold(f), d, f->lease, d->connected == 0};
        struct cfg_etcd_compare same_store = {.key = cfg_buf_slice(&meta),
                                              .target = CFG_ETCD_MOD,
                                              .result = CFG_ETCD_EQUAL,
                                              .number = (int64_t)cfg_store_identity(f->store)->mod_revision};
        struct cfg_etcd_op op = {.kind = w->removes ? CFG_ETCD_DELETE : CFG_ETCD_PUT, .key = cfg_buf_slice(&key)};
        if (!w->removes) {
            op.value = cfg_buf_slice(&value);
            op.lease = f->lease;
        }
        struct cfg_etcd_txn_req req = {.compare = &same_store, .n_compare = 1, .success = &op, .n_success = 1};
        d->dirty = false;
        d->writing = d->written = true;
        d->written_ms = fleet_now_ms(f);
        cfg_etcd_txn(f->etcd, &req, WRITE_TIMEOUT_MS, write_done, w);
        w = NULL;
    }
    free(w); /* without memory the record stays dirty for the next tick */
    cfg_buf_finish(&key);
    cfg_buf_finish(&meta);
    cfg_buf_finish(&value);
}

/* --- the lease --- */

static void lose_lease(struct cfg_fleet *f)
{
    f->lease_state = LEASE_NONE;
    f->lease = 0;
    for (struct fleet_deployment *d = f->deployments; d; d = d->next) {
        d->written = false;
        d->dirty = d->connected > 0;
    }
}

static void flush(struct cfg_fleet *f);

static void granted(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    struct cfg_fleet *f = fleet_link_drop(arg);
    (void)ttl_s;
    if (f == NULL)
        return;
    f->lease_state = err ? LEASE_NONE : LEASE_HELD;
    if (err)
        return;
    f->lease = id;
    f->renewed_ms = fleet_now_ms(f);
    flush(f);
}

static void renewed(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    struct cfg_fleet *f = fleet_link_drop(arg);
    if (f == NULL)
        return;
    f->renewing = false;
    if (err || id != f->lease)
        return; /* asked again at the next tick */
    if (ttl_s <= 0)
        lose_lease(f);
    else
        f->renewed_ms = fleet_now_ms(f);
}

bool fleet_may_write(const struct cfg_fleet *f)
{
    enum cfg_replica_state state = cfg_store_state(f->store, NULL);
    return cfg_store_ready(f->store) && !cfg_store_restoring(f->store) && state != CFG_REPLICA_FOREIGN &&
           state != CFG_REPLICA_STARTING && f->etcd != NULL;
}

static void keep_lease(struct cfg_fleet *f, uint64_t now)
{
    uint64_t every = (uint64_t)f->lease_ttl_s * 1000 / 3;
    every = every < RENEW_MS ? every : RENEW_MS;
    if (f->lease_state == LEASE_HELD && !f->renewing && now - f->renewed_ms >= every) {
        f->renewing = true;
        cfg_etcd_lease_keepalive(f->etcd, f->lease, renewed, fleet_link_hold(f));
    }
}

/* Writes what is due; takes the lease first where there is none. */
static void flush(struct cfg_fleet *f)
{
    uint64_t now = fleet_now_ms(f);
    if (f->leaving || !fleet_may_write(f))
        return;
    keep_lease(f, now);
    for (struct fleet_deployment *d = f->deployments; d; d = d->next) {
        if (!d->dirty || d->writing || (d->written_ms != 0 && now - d->written_ms < TICK_MS))
            continue;
        if (d->connected == 0 && !d->written) {
            d->dirty = false;
        } else if (f->lease_state == LEASE_HELD) {
            write_record(f, d);
        } else if (f->lease_state == LEASE_NONE) {
            f->lease_state = LEASE_ASKED;
            cfg_etcd_lease_grant(f->etcd, f->lease_ttl_s, granted, fleet_link_hold(f));
        }
    }
}

void fleet_presence_touch(struct cfg_fleet *f, struct fleet_deployment *d)
{
    d->dirty = true;
    flush(f);
}

/* --- workers that left --- */

struct prune {
    uint64_t now_ms;
    struct fleet_worker **gone;
    size_t n, cap;
};

static void note_gone(struct fleet_worker *w, void *arg)
{
    struct prune *p = arg;
    uint64_t since = w->gone_ms > w->registered_ms ? w->gone_ms : w->registered_ms;
    if (w->reported && w->report_ms > since)
        since = w->report_ms;
    bool missed = w->arm && strcmp(w->arm->name, CFG_ARM_BASE) != 0; /* a rollout may be waiting for it */
    if (!w->superseded && !missed && p->now_ms - since > KEEP_GONE_MS && p->n < p->cap)
        p->gone[p->n++] = w;
}

static void prune(struct cfg_fleet *f, uint64_t now)
{
    f->pruned_ms = now;
    for (struct fleet_deployment *d = f->deployments; d; d = d->next) {
        size_t cap = d->n - d->connected;
        struct prune p = {.now_ms = now, .gone = cap ? calloc(cap, sizeof(struct fleet_worker *)) : NULL, .cap = cap};
        if (p.gone == NULL)
            continue;
        fleet_each_worker(d, note_gone, &p);
        for (size_t i = 0; i < p.n; i++)
            fleet_remove_worker(f, p.gone[i]);
        free(p.gone);
    }
}

static void tick(void *arg)
{
    struct cfg_fleet *f = arg;
    uint64_t now = fleet_now_ms(f);
    fleet_earlier_tick(f);
    flush(f);
    if (now - f->pruned_ms >= PRUNE_EVERY_MS)
        prune(f, now);
    fleet_runs_tick(f);
    if (now - f->runs_pruned_ms >= PRUNE_RUNS_EVERY_MS) {
        f->runs_pruned_ms = now;
        fleet_runs_prune(f);
    }
    cfg_timer_start(f->tick, TICK_MS);
}

static bool is_changed(const struct fleet_deployment *d, const struct cfg_store_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (changes[i].after && changes[i].after->id.kind == CFG_KIND_DEPLOYMENT &&
            strcmp(changes[i].after->id.ns, d->name) == 0)
            return true;
    return false;
}

static void move_between_arms(struct cfg_fleet *f, const struct cfg_store_change *changes, size_t n, bool full)
{
    for (struct fleet_deployment *d = f->deployments; d; d = d->next)
        if (full || is_changed(d, changes, n))
            fleet_arms_assign(f, d);
}

/* A record of ours that vanished (the lease ran out while etcd was away, a restore) is written anew. */
static void store_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_fleet *f = arg;
    bool look = full;
    (void)rev;
    if (full)
        fleet_earlier_look(f);
    move_between_arms(f, changes, n, full);
    fleet_groups_moved(f);
    for (size_t i = 0; i < n && !look; i++)
        look = changes[i].after == NULL && changes[i].before->id.kind == CFG_KIND_PRESENCE &&
               strcmp(changes[i].before->id.name, f->replica_id) == 0;
    for (struct fleet_deployment *d = look ? f->deployments : NULL; d; d = d->next)
        if (d->connected > 0 && /* also while one is being written, which may be the one that vanished */
            cfg_store_find(f->store, CFG_KIND_PRESENCE, d->name, f->replica_id) == NULL) {
            d->dirty = true;
            f->renewed_ms = 0;
        }
}

int fleet_presence_start(struct cfg_fleet *f, struct cfg_error *err)
{
    f->link = calloc(1, sizeof *f->link);
    f->tick = cfg_timer_new(f->loop, tick, f);
    if (f->tick == NULL || f->link == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the fleet");
    *f->link = (struct fleet_link){f, 1};
    f->listener = (struct cfg_store_listener){.changed = store_changed, .arg = f};
    cfg_store_listen(f->store, &f->listener);
    f->pruned_ms = f->runs_pruned_ms = fleet_now_ms(f);
    cfg_timer_start(f->tick, TICK_MS);
    return 0;
}

static void revoked(void *arg, const struct cfg_error *err)
{
    (void)arg;
    (void)err; /* the lease runs out by itself where this was lost */
}

void cfg_fleet_leave(struct cfg_fleet *f)
{
    for (struct fleet_deployment *d = f->deployments; d; d = d->next)
        if (d->dirty && d->connected > 0 && !d->writing && f->lease_state == LEASE_HELD && fleet_may_write(f))
            write_record(f, d); /* who came within the last second is in it, too */
    f->leaving = f->n_connected > 0;
}

bool cfg_fleet_is_leaving(const struct cfg_fleet *f)
{
    return f->leaving;
}

void fleet_presence_stop(struct cfg_fleet *f)
{
    cfg_timer_free(f->tick);
    f->tick = NULL;
    if (f->listener.changed == NULL) { /* it never started */
        free(f->link);
        return;
    }
    cfg_store_unlisten(f->store, &f->listener);
    f->link->f = NULL;
    (void)fleet_link_drop(f->link);
    if (f->lease_state == LEASE_HELD && f->etcd && !f->leaving)
        cfg_etcd_lease_revoke(f->etcd, f->lease, revoked, NULL);
}
