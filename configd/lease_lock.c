#include "configd/lease_lock.h"
#include "configd/etcd.h"

#include <stdlib.h>
#include <string.h>

enum { RETRY_MS = 500, PUT_TIMEOUT_MS = 3000 };

struct cfg_lease_lock {
    struct cfg_lease_lock_options o;
    char *prefix, *name, *holder; /* owned */
    struct cfg_store_listener listener;
    struct cfg_timer *keep, *retry;
    int64_t lease;      /* 0: none */
    bool wanted, put;   /* put: the lock was put under this lease */
    struct cfg_rev at;  /* when it was put */
    bool busy, keeping; /* a lease or the lock is being asked for; the lease is being kept */
    bool told;          /* what `moved` was told last */
    bool stopping;      /* free while a callback is to come: the last one frees */
    unsigned pending;   /* callbacks to come */
};

static void step(struct cfg_lease_lock *l);

/* First thing in every callback: false when the lock has gone. */
static bool came(struct cfg_lease_lock *l)
{
    l->pending--;
    if (!l->stopping)
        return true;
    if (l->pending == 0)
        free(l);
    return false;
}

/* Who the store says holds it; 1 ours, -1 another's, 0 nobody's. */
static int shown(const struct cfg_lease_lock *l)
{
    const struct cfg_object *o = cfg_store_find(l->o.store, CFG_KIND_LOCK, l->name, NULL);
    cJSON *tree = o ? cfg_object_tree(o) : NULL;
    bool ours = strcmp(cfg_json_get_str(tree, "holder", ""), l->holder) == 0;
    cJSON_Delete(tree);
    return o == NULL ? 0 : ours ? 1 : -1;
}

bool cfg_lease_lock_held(const struct cfg_lease_lock *l)
{
    return l->lease != 0 && l->put && shown(l) == 1;
}

bool cfg_lease_lock_taken(const struct cfg_lease_lock *l)
{
    return shown(l) == -1;
}

int64_t cfg_lease_lock_lease(const struct cfg_lease_lock *l)
{
    return l->lease;
}

static void tell(struct cfg_lease_lock *l)
{
    bool held = cfg_lease_lock_held(l);
    if (held == l->told)
        return;
    l->told = held;
    l->o.moved(l->o.arg);
}

static void again(struct cfg_lease_lock *l)
{
    l->busy = false;
    cfg_timer_start(l->retry, RETRY_MS);
}

static void on_retry(void *arg)
{
    step(arg);
}

/* --- the lease --- */

static void revoked(void *arg, const struct cfg_error *err)
{
    (void)err; /* it runs out by itself */
    (void)came(arg);
}

static void drop_lease(struct cfg_lease_lock *l, bool revoke)
{
    int64_t lease = l->lease;
    l->lease = 0;
    l->put = false;
    cfg_timer_stop(l->keep);
    if (lease == 0 || !revoke)
        return;
    l->pending++;
    cfg_etcd_lease_revoke(l->o.etcd, lease, revoked, l);
}

static void start_keeping(struct cfg_lease_lock *l)
{
    cfg_timer_start(l->keep, l->o.ttl_s * 1000 / 3);
}

static void kept(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    struct cfg_lease_lock *l = arg;
    if (!came(l))
        return;
    l->keeping = false;
    if (err == NULL && ttl_s <= 0 && id == l->lease)
        drop_lease(l, false); /* it ran out, and all that lay under it went with it */
    if (l->lease != 0)
        start_keeping(l);
    step(l);
}

static void on_keep(void *arg)
{
    struct cfg_lease_lock *l = arg;
    if (l->lease == 0 || l->keeping)
        return;
    l->keeping = true;
    l->pending++;
    cfg_etcd_lease_keepalive(l->o.etcd, l->lease, kept, l);
}

static void granted(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    struct cfg_lease_lock *l = arg;
    (void)ttl_s;
    if (!came(l))
        return;
    if (err) {
        again(l);
        return;
    }
    l->busy = false;
    l->lease = id;
    start_keeping(l);
    l->o.moved(l->o.arg);
    step(l);
}

/* --- the lock --- */

static void locked(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct cfg_lease_lock *l = arg;
    if (!came(l))
        return;
    if (err || !reply->succeeded) {
        if (err)
            drop_lease(l, true); /* the lock may be ours: it goes with its lease */
        again(l);
        return;
    }
    l->busy = false;
    l->put = true; /* held once the store shows it */
    l->at = (struct cfg_rev){cfg_store_identity(l->o.store)->epoch, (uint64_t)reply->header.revision};
    step(l);
}

static void put_lock(struct cfg_lease_lock *l)
{
    struct cfg_buf key, meta, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&meta, 4096);
    cfg_buf_init(&value, 4096);
    cfg_buf_printf(&key, "%slive/lock/%s", l->prefix, l->name);
    cfg_buf_printf(&meta, "%smeta/store", l->prefix);
    cfg_buf_puts(&value, "{\"holder\":");
    cfg_json_put_string(&value, cfg_slice_str(l->holder));
    cfg_buf_putc(&value, '}');
    const struct cfg_etcd_compare compare[] = {
        {.key = cfg_buf_slice(&key), .target = CFG_ETCD_CREATE, .result = CFG_ETCD_EQUAL},
        {.key = cfg_buf_slice(&meta),
         .target = CFG_ETCD_MOD,
         .result = CFG_ETCD_EQUAL,
         .number = (int64_t)cfg_store_identity(l->o.store)->mod_revision}};
    const struct cfg_etcd_op put = {
        .kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&key), .value = cfg_buf_slice(&value), .lease = l->lease};
    const struct cfg_etcd_txn_req r = {.compare = compare, .n_compare = 2, .success = &put, .n_success = 1};
    l->busy = true;
    if (cfg_buf_status(&key) == 0 && cfg_buf_status(&meta) == 0 && cfg_buf_status(&value) == 0) {
        l->pending++;
        cfg_etcd_txn(l->o.etcd, &r, PUT_TIMEOUT_MS, locked, l);
    } else {
        again(l);
    }
    cfg_buf_finish(&key);
    cfg_buf_finish(&meta);
    cfg_buf_finish(&value);
}

/* --- what comes next --- */

static bool may_write(const struct cfg_lease_lock *l)
{
    enum cfg_replica_state state = cfg_store_state(l->o.store, NULL);
    return cfg_store_ready(l->o.store) && !cfg_store_restoring(l->o.store) && state != CFG_REPLICA_FOREIGN &&
           state != CFG_REPLICA_STARTING;
}

static void step(struct cfg_lease_lock *l)
{
    if (l->put && shown(l) == 0 && cfg_rev_cmp(l->at, cfg_store_seen(l->o.store)) <= 0)
        l->put = false; /* somebody took the key away: it is put again */
    tell(l);
    if (l->busy || !may_write(l))
        return;
    if (!l->wanted) {
        drop_lease(l, true);
        tell(l);
    } else if (l->lease == 0) {
        l->busy = true;
        l->pending++;
        cfg_etcd_lease_grant(l->o.etcd, l->o.ttl_s, granted, l);
    } else if (shown(l) == 0 && !l->put) {
        put_lock(l);
    }
}

void cfg_lease_lock_want(struct cfg_lease_lock *l, bool want)
{
    if (l->wanted == want)
        return;
    l->wanted = want;
    step(l);
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_lease_lock *l = arg;
    bool look = full;
    (void)rev;
    for (size_t i = 0; i < n && !look; i++) {
        const struct cfg_object *o = changes[i].after ? changes[i].after : changes[i].before;
        look = o->id.kind == CFG_KIND_LOCK && strcmp(o->id.ns, l->name) == 0;
    }
    if (look)
        step(l);
}

static void on_state(void *arg, enum cfg_replica_state state)
{
    (void)state;
    step(arg);
}

/* --- life --- */

int cfg_lease_lock_new(struct cfg_lease_lock **out, const struct cfg_lease_lock_options *o, struct cfg_error *err)
{
    struct cfg_lease_lock *l = calloc(1, sizeof *l);
    if (l == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    l->o = *o;
    l->prefix = cfg_slice_dup(cfg_slice_str(o->prefix));
    l->name = cfg_slice_dup(cfg_slice_str(o->name));
    l->holder = cfg_slice_dup(cfg_slice_str(o->holder));
    l->keep = cfg_timer_new(o->loop, on_keep, l);
    l->retry = cfg_timer_new(o->loop, on_retry, l);
    if (!l->prefix || !l->name || !l->holder || !l->keep || !l->retry) {
        cfg_lease_lock_free(l);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    l->listener = (struct cfg_store_listener){.changed = on_changed, .state = on_state, .arg = l};
    cfg_store_listen(o->store, &l->listener);
    *out = l;
    return 0;
}

void cfg_lease_lock_free(struct cfg_lease_lock *l)
{
    if (l == NULL)
        return;
    if (l->listener.arg)
        cfg_store_unlisten(l->o.store, &l->listener);
    l->stopping = true;
    l->pending++; /* while the lease and the members go */
    drop_lease(l, true);
    cfg_timer_free(l->keep);
    cfg_timer_free(l->retry);
    free(l->prefix);
    free(l->name);
    free(l->holder);
    (void)came(l);
}
