#include "configd/flip_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    FLIP_LEASE_S = 6,
    KEEP_MS = FLIP_LEASE_S * 1000 / 3,
    RETRY_MS = 500, /* after something failed */
    LOCK_TIMEOUT_MS = 3000,
    SHOW_MS = 5000, /* how long the lock may take to show in the replica */
};

struct cfg_flips {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_service *service;
    const struct cfg_clock *clock;
    char *prefix, *holder;
    struct cfg_store_listener listener;
    struct cfg_flip_plan plan;
    int wall;                  /* a timerfd on the wall clock */
    struct cfg_reader *reader; /* of it */
    struct cfg_timer *keep, *retry;
    int64_t lease;      /* 0: none */
    bool busy, keeping; /* a request for the lock or a flip; a keepalive */
    bool stopping;      /* free while a callback is to come: the last one frees */
    unsigned pending;   /* callbacks to come */
};

static void step(struct cfg_flips *f);

/* First thing in every callback: false when the flips have gone. */
static bool came(struct cfg_flips *f)
{
    f->pending--;
    if (!f->stopping)
        return true;
    if (f->pending == 0)
        free(f);
    return false;
}

static int64_t now_s(const struct cfg_flips *f)
{
    return (int64_t)(f->clock->wall_ns(f->clock->arg) / 1000000000u);
}

static void pause_and_retry(struct cfg_flips *f)
{
    f->busy = false;
    cfg_timer_start(f->retry, RETRY_MS);
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

static void give_back(struct cfg_flips *f)
{
    int64_t lease = f->lease;
    f->lease = 0;
    cfg_timer_stop(f->keep);
    if (lease == 0)
        return;
    f->pending++;
    cfg_etcd_lease_revoke(f->etcd, lease, revoked, f);
}

static void kept(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    struct cfg_flips *f = arg;
    if (!came(f))
        return;
    f->keeping = false;
    if (err == NULL && ttl_s <= 0 && id == f->lease)
        f->lease = 0; /* it ran out, and the lock went with it */
    if (f->lease != 0)
        cfg_timer_start(f->keep, KEEP_MS);
    step(f);
}

static void on_keep(void *arg)
{
    struct cfg_flips *f = arg;
    if (f->lease == 0 || f->keeping)
        return;
    f->keeping = true;
    f->pending++;
    cfg_etcd_lease_keepalive(f->etcd, f->lease, kept, f);
}

/* --- the lock --- */

static void on_lock_shown(void *arg, const struct cfg_error *err)
{
    struct cfg_flips *f = arg;
    (void)err; /* not shown in time: what the replica shows next decides */
    f->busy = false;
    step(f);
}

static void locked(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct cfg_flips *f = arg;
    if (!came(f))
        return;
    if (err || !reply->succeeded) {
        give_back(f); /* also when the lock may be ours: it goes with its lease */
        pause_and_retry(f);
        return;
    }
    const struct cfg_rev at = {cfg_store_identity(f->store)->epoch, (uint64_t)reply->header.revision};
    cfg_store_wait(f->store, f->loop, at, SHOW_MS, on_lock_shown, f);
}

static void put_lock(struct cfg_flips *f)
{
    struct cfg_buf key, meta, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&meta, 4096);
    cfg_buf_init(&value, 4096);
    cfg_buf_printf(&key, "%slive/lock/" CFG_FLIP_LOCK_NAME, f->prefix);
    cfg_buf_printf(&meta, "%smeta/store", f->prefix);
    cfg_buf_puts(&value, "{\"holder\":");
    cfg_json_put_string(&value, cfg_slice_str(f->holder));
    cfg_buf_putc(&value, '}');
    const struct cfg_etcd_compare compare[] = {
        {.key = cfg_buf_slice(&key), .target = CFG_ETCD_CREATE, .result = CFG_ETCD_EQUAL},
        {.key = cfg_buf_slice(&meta),
         .target = CFG_ETCD_MOD,
         .result = CFG_ETCD_EQUAL,
         .number = (int64_t)cfg_store_identity(f->store)->mod_revision}};
    const struct cfg_etcd_op put = {
        .kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&key), .value = cfg_buf_slice(&value), .lease = f->lease};
    const struct cfg_etcd_txn_req r = {.compare = compare, .n_compare = 2, .success = &put, .n_success = 1};
    if (cfg_buf_status(&key) == 0 && cfg_buf_status(&meta) == 0 && cfg_buf_status(&value) == 0) {
        f->pending++;
        cfg_etcd_txn(f->etcd, &r, LOCK_TIMEOUT_MS, locked, f);
    } else {
        pause_and_retry(f);
    }
    cfg_buf_finish(&key);
    cfg_buf_finish(&meta);
    cfg_buf_finish(&value);
}

static void granted(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    struct cfg_flips *f = arg;
    (void)ttl_s;
    if (!came(f))
        return;
    if (err) {
        pause_and_retry(f);
        return;
    }
    f->lease = id;
    cfg_timer_start(f->keep, KEEP_MS);
    put_lock(f);
}

static void take_lock(struct cfg_flips *f)
{
    give_back(f); /* a lease whose lock is gone */
    f->busy = true;
    f->pending++;
    cfg_etcd_lease_grant(f->etcd, FLIP_LEASE_S, granted, f);
}

/* --- a flip --- */

static void written(void *arg, const cJSON *result, bool visible, const struct cfg_error *err)
{
    struct cfg_flips *f = arg;
    (void)result, (void)visible;
    if (!came(f))
        return;
    if (err) {
        pause_and_retry(f); /* the lock was lost, or etcd is away: the plan still has it */
        return;
    }
    f->busy = false;
    step(f);
}

static char *message_of(const cJSON *body)
{
    char text[200];
    const cJSON *flags = cfg_json_get(body, "flags");
    int n = cJSON_GetArraySize(flags);
    (void)snprintf(text, sizeof text, "time rules of %.80s%s flip", flags->child ? flags->child->valuestring : "flags",
                   n > 1 ? " and others" : "");
    return cfg_slice_dup(cfg_slice_str(text));
}

static void write_flip(struct cfg_flips *f)
{
    int64_t at = 0;
    const struct cfg_flip_space *due = cfg_flip_plan_due(&f->plan, now_s(f), &at);
    const struct cfg_change_entry entry = {
        .op = CFG_CHANGE_PUT, .id = cfg_object_id_of(CFG_KIND_FLIP, due->ns, NULL), .body = cfg_flip_body(due, at)};
    struct cfg_change c = {
        .entries = malloc(sizeof *c.entries), .n = 1, .author = cfg_slice_dup(cfg_slice_str(f->holder))};
    if (c.entries)
        c.entries[0] = entry;
    else
        cJSON_Delete(entry.body);
    if (entry.body && c.entries)
        c.message = message_of(entry.body);
    if (c.entries == NULL || entry.body == NULL || c.author == NULL || c.message == NULL) {
        c.n = c.entries ? 1 : 0;
        cfg_change_finish(&c);
        pause_and_retry(f);
        return;
    }
    f->busy = true;
    f->pending++;
    cfg_service_change(f->service, &c, NULL, written, f);
}

/* --- what comes next --- */

/* Wakes at that second, or when the clock is set. */
static void sleep_until(struct cfg_flips *f, int64_t at)
{
    const struct itimerspec when = {.it_value = {.tv_sec = at == CFG_FLAG_NEVER ? 0 : at > 0 ? at : 1}};
    /* Zero disarms. What fails here (EINVAL, beyond the kernel's range) is further away than anybody waits. */
    (void)timerfd_settime(f->wall, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL);
}

static enum cfg_flip_lock lock_of(const struct cfg_flips *f)
{
    const struct cfg_object *o = cfg_store_find(f->store, CFG_KIND_LOCK, CFG_FLIP_LOCK_NAME, NULL);
    cJSON *tree = o ? cfg_object_tree(o) : NULL;
    bool mine = strcmp(cfg_json_get_str(tree, "holder", ""), f->holder) == 0;
    cJSON_Delete(tree);
    return o == NULL ? CFG_FLIP_LOCK_FREE : mine ? CFG_FLIP_LOCK_MINE : CFG_FLIP_LOCK_OTHERS;
}

static void step(struct cfg_flips *f)
{
    enum cfg_replica_state replica = cfg_store_state(f->store, NULL);
    const struct cfg_flip_state s = {.may_write = cfg_store_ready(f->store) && !cfg_store_restoring(f->store) &&
                                                  replica != CFG_REPLICA_FOREIGN && replica != CFG_REPLICA_STARTING,
                                     .busy = f->busy,
                                     .leased = f->lease != 0,
                                     .lock = lock_of(f)};
    sleep_until(f, CFG_FLAG_NEVER);
    switch (cfg_flip_decide(&s, &f->plan, now_s(f))) {
    case CFG_FLIP_WAIT:
        if (s.leased && s.lock == CFG_FLIP_LOCK_MINE && !s.busy)
            sleep_until(f, cfg_flip_plan_next(&f->plan));
        break;
    case CFG_FLIP_LOCK:
        take_lock(f);
        break;
    case CFG_FLIP_WRITE:
        write_flip(f);
        break;
    case CFG_FLIP_RELEASE:
        give_back(f);
        break;
    }
}

static void on_wall(void *arg)
{
    struct cfg_flips *f = arg;
    uint64_t times;
    (void)!read(f->wall, &times, sizeof times); /* ECANCELED: the clock was set; either way, look at it */
    step(f);
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_flips *f = arg;
    (void)rev;
    if (full)
        cfg_flips_plan_all(&f->plan, f->store, now_s(f));
    else
        cfg_flips_plan_changes(&f->plan, f->store, changes, n, now_s(f));
    step(f);
}

static void on_state(void *arg, enum cfg_replica_state state)
{
    (void)state;
    step(arg);
}

/* --- life --- */

int cfg_flips_new(struct cfg_flips **out, const struct cfg_flips_options *o, struct cfg_error *err)
{
    struct cfg_flips *f = calloc(1, sizeof *f);
    if (f == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    *f = (struct cfg_flips){.loop = o->loop,
                            .etcd = o->etcd,
                            .store = o->store,
                            .service = o->service,
                            .clock = o->clock,
                            .prefix = cfg_slice_dup(cfg_slice_str(o->prefix)),
                            .holder = cfg_slice_dup(cfg_slice_str(o->replica_id)),
                            .wall = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)};
    if (f->wall >= 0)
        f->reader = cfg_reader_new(f->loop, f->wall, on_wall, f);
    f->keep = cfg_timer_new(f->loop, on_keep, f);
    f->retry = cfg_timer_new(f->loop, on_retry, f);
    if (!f->prefix || !f->holder || !f->reader || !f->keep || !f->retry) {
        int rc = f->wall < 0 ? cfg_fail(err, CFG_E_UNAVAILABLE, "no timer on the wall clock: error %d", errno)
                             : cfg_fail(err, CFG_E_NOMEM, "out of memory");
        cfg_flips_free(f);
        return rc;
    }
    f->listener = (struct cfg_store_listener){.changed = on_changed, .state = on_state, .arg = f};
    cfg_store_listen(f->store, &f->listener);
    *out = f;
    return 0;
}

void cfg_flips_free(struct cfg_flips *f)
{
    if (f == NULL)
        return;
    if (f->listener.arg) {
        cfg_store_unlisten(f->store, &f->listener);
        cfg_store_wait_cancel(f->store, f);
    }
    f->stopping = true;
    f->pending++; /* while leases and members go */
    if (f->lease != 0)
        give_back(f);
    cfg_reader_free(f->reader);
    cfg_timer_free(f->keep);
    cfg_timer_free(f->retry);
    if (f->wall >= 0)
        (void)close(f->wall);
    cfg_flip_plan_finish(&f->plan);
    free(f->prefix);
    free(f->holder);
    (void)came(f);
}
