/* A lock under a lease, against an etcd whose answers this file gives by hand: when it is held, and when it is not held
 * any more although nobody said so. What real etcds do to it is in tests/fault. */
#include "configd/etcd.h"
#include "configd/lease_lock.h"
#include "hub_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

enum { OURS = 7 };

static struct fixture f;
static struct cfg_lease_lock *lock;
static unsigned moved;
static uint64_t version;

static struct {
    cfg_etcd_lease_fn grant, keep; /* NULL: not asked for, or answered */
    cfg_etcd_txn_fn put;
    cfg_etcd_done_fn revoke;
    void *arg;
    int64_t revoked, lease; /* lease: that the lock was put under */
    unsigned puts, grants;
    bool needs_absence, needs_store;
} asked;

void __wrap_cfg_etcd_lease_grant(struct cfg_etcd *e, int64_t ttl_s, cfg_etcd_lease_fn fn, void *arg);
void __wrap_cfg_etcd_lease_grant(struct cfg_etcd *e, int64_t ttl_s, cfg_etcd_lease_fn fn, void *arg)
{
    (void)e, (void)ttl_s;
    cr_assert_null(asked.grant);
    asked.grant = fn;
    asked.arg = arg;
    asked.grants++;
}

void __wrap_cfg_etcd_lease_keepalive(struct cfg_etcd *e, int64_t id, cfg_etcd_lease_fn fn, void *arg);
void __wrap_cfg_etcd_lease_keepalive(struct cfg_etcd *e, int64_t id, cfg_etcd_lease_fn fn, void *arg)
{
    (void)e, (void)id;
    cr_assert_null(asked.keep);
    asked.keep = fn;
    asked.arg = arg;
    cfg_loop_stop(f.loop);
}

void __wrap_cfg_etcd_lease_revoke(struct cfg_etcd *e, int64_t id, cfg_etcd_done_fn fn, void *arg);
void __wrap_cfg_etcd_lease_revoke(struct cfg_etcd *e, int64_t id, cfg_etcd_done_fn fn, void *arg)
{
    (void)e;
    asked.revoked = id;
    asked.revoke = fn;
    asked.arg = arg;
}

void __wrap_cfg_etcd_txn(struct cfg_etcd *e, const struct cfg_etcd_txn_req *r, unsigned timeout_ms, cfg_etcd_txn_fn fn,
                         void *arg);
void __wrap_cfg_etcd_txn(struct cfg_etcd *e, const struct cfg_etcd_txn_req *r, unsigned timeout_ms, cfg_etcd_txn_fn fn,
                         void *arg)
{
    (void)e, (void)timeout_ms;
    cr_assert_null(asked.put);
    asked.put = fn;
    asked.arg = arg;
    asked.puts++;
    asked.lease = r->success->lease;
    asked.needs_absence = asked.needs_store = false;
    for (size_t i = 0; i < r->n_compare; i++) {
        const struct cfg_etcd_compare *c = &r->compare[i];
        if (cfg_slice_eq(c->key, r->success->key))
            asked.needs_absence = c->target == CFG_ETCD_CREATE && c->result == CFG_ETCD_EQUAL && c->number == 0;
        if (cfg_slice_eq_str(c->key, "/configd/v1/meta/store"))
            asked.needs_store = c->target == CFG_ETCD_MOD && c->result == CFG_ETCD_EQUAL;
    }
}

static void answer_grant(int64_t id)
{
    cfg_etcd_lease_fn fn = asked.grant;
    cr_assert_not_null(fn);
    asked.grant = NULL;
    fn(asked.arg, id, 6, NULL);
}

static void answer_put(bool well, const struct cfg_error *err)
{
    const struct cfg_etcd_txn_reply reply = {.succeeded = well, .header.revision = (int64_t)f.revision + 1};
    cfg_etcd_txn_fn fn = asked.put;
    cr_assert_not_null(fn);
    asked.put = NULL;
    fn(asked.arg, err ? NULL : &reply, err);
}

static void answer_revoke(void)
{
    cfg_etcd_done_fn fn = asked.revoke;
    asked.revoke = NULL;
    if (fn)
        fn(asked.arg, NULL);
}

static void show(const char *body)
{
    (void)fixture_put(&f, CFG_KIND_LOCK, "jobs", "", ++version, body);
}

/* The key itself goes, as with its lease. */
static void vanish(void)
{
    const struct cfg_replica_sink *sink = cfg_store_sink(f.store);
    const struct cfg_etcd_event gone = {
        .is_delete = true, .kv = {.key = CFG_SLICE_LIT("live/lock/jobs"), .mod_revision = (int64_t)++f.revision}};
    sink->batch(sink->arg, f.revision, &gone, 1);
}

static void on_moved(void *arg)
{
    (void)arg;
    moved++;
}

static void open_rig(void)
{
    memset(&asked, 0, sizeof asked);
    fixture_init(&f);
    const struct cfg_lease_lock_options o = {.loop = f.loop,
                                             .store = f.store,
                                             .prefix = "/configd/v1/",
                                             .name = "jobs",
                                             .holder = "r1",
                                             .ttl_s = 0, /* kept at once: no test waits for that */
                                             .moved = on_moved};
    cr_assert_eq(cfg_lease_lock_new(&lock, &o, NULL), 0);
    cfg_lease_lock_want(lock, true);
    answer_grant(OURS);
}

static void close_rig(void)
{
    cfg_lease_lock_free(lock);
    answer_revoke();
    fixture_finish(&f);
}
TestSuite(lease_lock, .init = open_rig, .fini = close_rig);

static void take(void)
{
    answer_put(true, NULL);
    show("{\"holder\":\"r1\"}");
    cr_assert(cfg_lease_lock_held(lock));
}

Test(lease_lock, is_put_where_there_is_none_and_held_once_it_is_shown)
{
    cr_assert(asked.needs_absence, "another's lock is not written over");
    cr_assert(asked.needs_store, "nor is one put into another store");
    cr_assert_eq(asked.lease, OURS);
    unsigned before = moved;
    answer_put(true, NULL);
    cr_assert_not(cfg_lease_lock_held(lock), "nobody has been seen to hold it");
    show("{\"holder\":\"r1\"}");
    cr_assert(cfg_lease_lock_held(lock));
    cr_assert_eq(moved, before + 1);
}

Test(lease_lock, who_is_shown_holds_it)
{
    take();
    unsigned before = moved;
    show("{\"holder\":\"r2\"}");
    cr_assert_not(cfg_lease_lock_held(lock));
    cr_assert(cfg_lease_lock_taken(lock));
    cr_assert_eq(moved, before + 1);
}

Test(lease_lock, a_lease_that_ran_out_takes_it_along)
{
    take();
    cfg_loop_run(f.loop); /* until the lease is to be kept */
    cfg_etcd_lease_fn fn = asked.keep;
    cr_assert_not_null(fn);
    asked.keep = NULL;
    fn(asked.arg, OURS, 0, NULL);
    cr_assert_not(cfg_lease_lock_held(lock), "although the store shows it still");
    cr_assert_eq(cfg_lease_lock_lease(lock), 0);
    cr_assert_eq(asked.grants, 2);
    answer_grant(OURS + 1);
    cr_assert_not(cfg_lease_lock_held(lock), "what is shown lay under the lease before");
}

Test(lease_lock, what_may_have_been_put_goes_with_its_lease)
{
    struct cfg_error err;
    (void)cfg_fail(&err, CFG_E_UNKNOWN_OUTCOME, "lost");
    answer_put(false, &err);
    cr_assert_eq(asked.revoked, OURS);
    cr_assert_eq(cfg_lease_lock_lease(lock), 0);
    show("{\"holder\":\"r1\"}");
    cr_assert_not(cfg_lease_lock_held(lock));
    answer_revoke();
}

Test(lease_lock, one_that_somebody_took_away_is_put_again)
{
    take();
    unsigned puts = asked.puts;
    vanish();
    cr_assert_not(cfg_lease_lock_held(lock));
    cr_assert_eq(asked.puts, puts + 1);
    take();
}

Test(lease_lock, who_wants_it_no_more_gives_it_back)
{
    take();
    cfg_lease_lock_want(lock, false);
    cr_assert_eq(asked.revoked, OURS);
    cr_assert_not(cfg_lease_lock_held(lock));
    answer_revoke();
}

Test(lease_lock, who_leaves_gives_it_back)
{
    take();
    cfg_lease_lock_free(lock);
    cr_assert_eq(asked.revoked, OURS);
    answer_revoke();
    lock = NULL;
}
