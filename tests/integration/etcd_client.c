/* The etcd client against real servers: requests, limits, leases, rotation, faults on the wire. */
#include "tests/integration/etcd_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(requests, range_and_guarded_txn)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_etcd_endpoint(server, 0), NULL);

    struct cfg_rig_result absent = cfg_rig_get(&rig, "a");
    cr_assert_eq(absent.err.code, 0, "%s", absent.err.text);
    cr_assert_eq(absent.n, 0u);

    struct cfg_rig_result first = cfg_rig_put(&rig, "a", "one", 0);
    cr_assert_eq(first.err.code, 0, "%s", first.err.text);
    cr_assert(first.succeeded);
    struct cfg_rig_result got = cfg_rig_get(&rig, "a");
    cr_assert_str_eq(got.first_value, "one");
    cr_assert_eq(got.first_mod, first.revision);

    struct cfg_rig_result stale = cfg_rig_put(&rig, "a", "two", 0);
    cr_assert_not(stale.succeeded, "the guard must hold");
    cr_assert_str_eq(stale.first_value, "one", "the failure branch shows what is there");
    cr_assert_eq(cfg_rig_get(&rig, "a").first_mod, first.revision, "nothing was written");
    cr_assert(cfg_rig_put(&rig, "a", "two", first.revision).succeeded);

    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(requests, limits_have_their_own_errors)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_etcd_endpoint(server, 0), NULL);

    size_t n = 780 * 1024;
    char *big = malloc(n + 1);
    memset(big, 'x', n);
    big[n] = '\0';
    struct cfg_etcd_op two[2] = {
        {.kind = CFG_ETCD_PUT, .key = cfg_slice_str("a"), .value = {big, n}},
        {.kind = CFG_ETCD_PUT, .key = cfg_slice_str("b"), .value = {big, n}},
    };
    struct cfg_etcd_txn_req q = {.success = two, .n_success = 2};
    struct cfg_rig_result r = {0};
    cfg_etcd_txn(rig.etcd, &q, 0, cfg_rig_on_txn, &r);
    cr_assert_not(r.done, "no callback from inside the call");
    cr_assert(cfg_rig_run(&rig, &r.done, 10000));
    cr_assert_eq(r.err.code, CFG_E_LIMIT, "%d %s", r.err.code, r.err.text);

    struct cfg_etcd_op many[129];
    char keys[129][8];
    for (int i = 0; i < 129; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%d", i);
        many[i] = (struct cfg_etcd_op){.kind = CFG_ETCD_PUT, .key = cfg_slice_str(keys[i])};
    }
    q = (struct cfg_etcd_txn_req){.success = many, .n_success = 129};
    r = (struct cfg_rig_result){0};
    cfg_etcd_txn(rig.etcd, &q, 0, cfg_rig_on_txn, &r);
    cr_assert(cfg_rig_run(&rig, &r.done, 10000));
    cr_assert_eq(r.err.code, CFG_E_LIMIT, "%d %s", r.err.code, r.err.text);
    cr_assert_eq(cfg_rig_get(&rig, "k1").n, 0u);

    char *huge = malloc(5u << 20);
    memset(huge, 'y', 5u << 20);
    two[0].value = (struct cfg_slice){huge, 5u << 20};
    q = (struct cfg_etcd_txn_req){.success = two, .n_success = 1};
    r = (struct cfg_rig_result){0};
    cfg_etcd_txn(rig.etcd, &q, 0, cfg_rig_on_txn, &r);
    cr_assert_not(r.done, "not even when it cannot start");
    cr_assert(cfg_rig_run(&rig, &r.done, 10000));
    cr_assert_eq(r.err.code, CFG_E_LIMIT);
    free(huge);
    free(big);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(requests, many_at_once_share_kept_alive_connections)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    struct cfg_test_proxy *proxy = cfg_test_proxy_start(cfg_test_etcd_port(server, 0));
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_proxy_endpoint(proxy), NULL);
    enum { N = 200, ROUNDS = 3 };
    static struct cfg_rig_result r[N];
    for (int round = 0; round < ROUNDS; round++) {
        memset(r, 0, sizeof r);
        struct cfg_etcd_range_req q = {.key = cfg_slice_str("a")};
        for (int i = 0; i < N; i++)
            cfg_etcd_range(rig.etcd, &q, 0, cfg_rig_on_range, &r[i]);
        for (int i = 0; i < N; i++) {
            cr_assert(cfg_rig_run(&rig, &r[i].done, 10000));
            cr_assert_eq(r[i].err.code, 0, "%s", r[i].err.text);
            cr_assert_eq(r[i].calls, 1u);
        }
    }
    cr_assert_leq(cfg_test_proxy_counts(proxy).connections, 64u);
    struct cfg_etcd_stats stats;
    cfg_etcd_stats(rig.etcd, &stats);
    cr_assert_eq(stats.requests, (uint64_t)N * ROUNDS, "one HTTP request each");
    cfg_rig_close(&rig);
    cfg_test_proxy_free(proxy);
    cfg_test_etcd_free(server);
}

Test(requests, leases_live_and_expire)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    struct cfg_rig rig;
    cfg_rig_open(&rig, at, NULL);
    struct cfg_rig_result lease = {0}, kept = {0}, revoked = {0}, put = {0}, gone = {0};
    cfg_etcd_lease_grant(rig.etcd, 30, cfg_rig_on_lease, &lease);
    cr_assert(cfg_rig_run(&rig, &lease.done, 10000));
    cr_assert_eq(lease.err.code, 0, "%s", lease.err.text);
    cr_assert_neq(lease.id, 0);
    cr_assert_eq(lease.ttl_s, 30);
    struct cfg_etcd_op op = {
        .kind = CFG_ETCD_PUT, .key = cfg_slice_str("p"), .value = cfg_slice_str("v"), .lease = lease.id};
    struct cfg_etcd_txn_req q = {.success = &op, .n_success = 1};
    cfg_etcd_txn(rig.etcd, &q, 0, cfg_rig_on_txn, &put);
    cr_assert(cfg_rig_run(&rig, &put.done, 10000) && put.err.code == 0);
    cfg_etcd_lease_keepalive(rig.etcd, lease.id, cfg_rig_on_lease, &kept);
    cr_assert(cfg_rig_run(&rig, &kept.done, 10000));
    cr_assert_eq(kept.err.code, 0, "%s", kept.err.text);
    cr_assert_eq(kept.ttl_s, 30);
    cr_assert_eq(cfg_rig_get(&rig, "p").n, 1u);
    cfg_etcd_lease_revoke(rig.etcd, lease.id, cfg_rig_on_done, &revoked);
    cr_assert(cfg_rig_run(&rig, &revoked.done, 10000));
    cr_assert_eq(revoked.err.code, 0, "%s", revoked.err.text);
    cr_assert_eq(cfg_rig_get(&rig, "p").n, 0u, "the key went with its lease");
    cfg_etcd_lease_keepalive(rig.etcd, lease.id, cfg_rig_on_lease, &gone);
    cr_assert(cfg_rig_run(&rig, &gone.done, 10000));
    cr_assert_eq(gone.err.code, 0, "%s", gone.err.text);
    cr_assert_eq(gone.ttl_s, 0, "a lease that is gone says so");
    revoked.done = false;
    cfg_etcd_lease_revoke(rig.etcd, lease.id, cfg_rig_on_done, &revoked);
    cr_assert(cfg_rig_run(&rig, &revoked.done, 10000));
    cr_assert_eq(revoked.err.code, 0, "revoking twice is fine: %s", revoked.err.text);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

struct listing {
    bool done;
    struct cfg_error err;
    int64_t revision;
    size_t n, pages, restarts;
    char last[64];
    bool sorted;
};

static void on_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct listing *l = arg;
    l->pages++;
    for (size_t i = 0; i < page->n; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "%.*s", (int)page->kvs[i].key.len, page->kvs[i].key.ptr);
        l->sorted = l->sorted && strcmp(l->last, key) < 0;
        (void)snprintf(l->last, sizeof l->last, "%s", key);
        l->n++;
    }
}

static void on_restart(void *arg)
{
    struct listing *l = arg;
    l->restarts++;
    l->n = 0;
    l->last[0] = '\0';
}

static void on_listed(void *arg, int64_t revision, const struct cfg_error *err)
{
    struct listing *l = arg;
    l->done = true;
    l->revision = revision;
    l->err = err ? *err : (struct cfg_error)CFG_ERROR_INIT;
}

static const struct cfg_etcd_list_fns list_fns = {on_page, on_restart, on_listed};

Test(list, pages_at_one_revision)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    for (int i = 0; i < 300; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "l/%04d", i);
        cr_assert_neq(cfg_test_put(at, key, "value"), 0);
    }
    int64_t revision = cfg_test_put(at, "other", "x");
    struct cfg_rig rig;
    cfg_rig_open(&rig, at, NULL);
    struct listing l = {.sorted = true};
    cfg_etcd_list(rig.etcd, cfg_slice_str("l/"), cfg_slice_str("l0"), 0, &list_fns, &l);
    cr_assert(cfg_rig_run(&rig, &l.done, 10000));
    cr_assert_eq(l.err.code, 0, "%s", l.err.text);
    cr_assert_eq(l.n, 300u);
    cr_assert_gt(l.pages, 1u);
    cr_assert(l.sorted);
    cr_assert_eq(l.revision, revision);

    l = (struct listing){.sorted = true};
    cfg_etcd_list(rig.etcd, cfg_slice_str("l/"), cfg_slice_str("l0"), revision - 100, &list_fns, &l);
    cr_assert(cfg_rig_run(&rig, &l.done, 10000));
    cr_assert_eq(l.n, 201u, "a list of the past: %zu", l.n);
    cfg_test_compact(at, revision);
    l = (struct listing){.sorted = true};
    cfg_etcd_list(rig.etcd, cfg_slice_str("l/"), cfg_slice_str("l0"), revision - 100, &list_fns, &l);
    cr_assert(cfg_rig_run(&rig, &l.done, 10000));
    cr_assert_eq(l.err.code, CFG_E_COMPACTED, "%s", l.err.text);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

static const char *interrupting_endpoint;

static void compact_after_first_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct listing *l = arg;
    bool first = l->pages == 0;
    on_page(arg, page);
    if (first)
        cfg_test_compact(interrupting_endpoint, cfg_test_put(interrupting_endpoint, "l/0000", "changed"));
}

Test(list, starts_over_when_its_revision_is_compacted)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = interrupting_endpoint = cfg_test_etcd_endpoint(server, 0);
    for (int i = 0; i < 100; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "l/%04d", i);
        cr_assert_neq(cfg_test_put(at, key, "value"), 0);
    }
    struct cfg_rig rig;
    cfg_rig_open(&rig, at, NULL);
    struct listing l = {.sorted = true};
    const struct cfg_etcd_list_fns fns = {compact_after_first_page, on_restart, on_listed};
    cfg_etcd_list(rig.etcd, cfg_slice_str("l/"), cfg_slice_str("l0"), 0, &fns, &l);
    cr_assert(cfg_rig_run(&rig, &l.done, 10000));
    cr_assert_eq(l.err.code, 0, "%s", l.err.text);
    cr_assert_eq(l.restarts, 1u);
    cr_assert_eq(l.n, 100u);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(rotation, leader_killed)
{
    struct cfg_test_etcd_options three = {.members = 3};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&three);
    unsigned leader = cfg_test_etcd_leader(server);
    const char *order[3];
    for (unsigned i = 0; i < 3; i++)
        order[i] = cfg_test_etcd_endpoint(server, (leader + i) % 3);
    struct cfg_rig rig;
    struct cfg_etcd_options o = {.endpoints = order, .n_endpoints = 3};
    cfg_rig_open(&rig, NULL, &o);
    cr_assert(cfg_rig_put(&rig, "a", "1", 0).succeeded);
    cfg_test_etcd_kill(server, leader);
    struct cfg_rig_result got = cfg_rig_get(&rig, "a");
    cr_assert_eq(got.err.code, 0, "a read finds another member: %s", got.err.text);
    cr_assert_str_eq(got.first_value, "1");
    struct cfg_etcd_stats stats;
    cfg_etcd_stats(rig.etcd, &stats);
    cr_assert_geq(stats.rotations, 1u);
    struct cfg_rig_result put = cfg_rig_put(&rig, "a", "2", got.first_mod);
    cr_assert_eq(put.err.code, 0, "%s", put.err.text);
    cr_assert(put.succeeded);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(rotation, stopped_member_and_unreachable_first)
{
    struct cfg_test_etcd_options three = {.members = 3};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&three);
    unsigned leader = cfg_test_etcd_leader(server);
    char *nobody = cfg_test_format("http://127.0.0.1:%d", cfg_test_free_port());
    const char *order[3] = {nobody, cfg_test_etcd_endpoint(server, (leader + 1) % 3),
                            cfg_test_etcd_endpoint(server, leader)};
    struct cfg_rig rig;
    struct cfg_etcd_options o = {.endpoints = order, .n_endpoints = 3};
    cfg_rig_open(&rig, NULL, &o);
    struct cfg_rig_result put = cfg_rig_put(&rig, "a", "1", 0);
    cr_assert(put.succeeded, "a transaction that was never sent goes elsewhere: %s", put.err.text);
    cfg_test_proc_signal(cfg_test_etcd_proc(server, (leader + 1) % 3), SIGSTOP);
    struct cfg_rig_result got = cfg_rig_get(&rig, "a");
    cr_assert_eq(got.err.code, 0, "a member that accepts and never answers is left: %s", got.err.text);
    cfg_test_proc_signal(cfg_test_etcd_proc(server, (leader + 1) % 3), SIGCONT);
    cfg_rig_close(&rig);
    free(nobody);
    cfg_test_etcd_free(server);
}

Test(faults, reply_cut_at_every_byte)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    struct cfg_test_proxy *proxy = cfg_test_proxy_start(cfg_test_etcd_port(server, 0));
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_proxy_endpoint(proxy), NULL);
    cfg_rig_put(&rig, "a", "0", -1);
    uint64_t before = cfg_test_proxy_counts(proxy).reply_bytes;
    cfg_rig_put(&rig, "a", "0", -1);
    int64_t length = (int64_t)(cfg_test_proxy_counts(proxy).reply_bytes - before);
    cr_assert_gt(length, 100);
    unsigned unknown = 0;
    for (int64_t cut = 0; cut <= length; cut++) {
        int64_t mod = 0;
        free(cfg_test_get(at, "a", &mod));
        char value[32];
        (void)snprintf(value, sizeof value, "cut %lld", (long long)cut);
        cfg_test_proxy_close_after_reply_bytes(proxy, cut);
        struct cfg_rig_result r = cfg_rig_put(&rig, "a", value, mod);
        if (r.err.code == 0)
            cr_assert(r.succeeded, "cut %lld: never a refusal of one's own write", (long long)cut);
        else
            cr_assert_eq(r.err.code, CFG_E_UNKNOWN_OUTCOME, "cut %lld: %s", (long long)cut, r.err.text);
        unknown += r.err.code != 0;
        /* The identical guarded transaction again: an answer, and the write is there once. */
        cfg_test_proxy_close_after_reply_bytes(proxy, -1);
        struct cfg_rig_result again = cfg_rig_put(&rig, "a", value, mod);
        cr_assert_eq(again.err.code, 0, "cut %lld: %s", (long long)cut, again.err.text);
        cr_assert_not(again.succeeded, "cut %lld: it had happened", (long long)cut);
        cr_assert_str_eq(again.first_value, value);
        int64_t now = 0;
        free(cfg_test_get(at, "a", &now));
        cr_assert_eq(now, mod + 1, "cut %lld: written once", (long long)cut);
    }
    cr_assert_gt(unknown, (unsigned)length / 2);
    cr_log_info("%u replies cut", unknown);
    cfg_rig_close(&rig);
    cfg_test_proxy_free(proxy);
    cfg_test_etcd_free(server);
}

Test(faults, request_cut_at_every_byte)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    struct cfg_test_proxy *proxy = cfg_test_proxy_start(cfg_test_etcd_port(server, 0));
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_proxy_endpoint(proxy), NULL);
    cfg_rig_put(&rig, "a", "cut 0", -1);
    uint64_t before = cfg_test_proxy_counts(proxy).request_bytes;
    cfg_rig_put(&rig, "a", "cut 0", -1);
    int64_t length = (int64_t)(cfg_test_proxy_counts(proxy).request_bytes - before);
    cr_assert_gt(length, 200);
    for (int64_t cut = 0; cut <= length; cut += 3) {
        int64_t mod = 0, now = 0;
        free(cfg_test_get(at, "a", &mod));
        char value[32];
        (void)snprintf(value, sizeof value, "cut %lld", (long long)cut);
        cfg_test_proxy_close_after_request_bytes(proxy, cut);
        struct cfg_rig_result r = cfg_rig_put(&rig, "a", value, mod);
        cfg_test_proxy_close_after_request_bytes(proxy, -1);
        if (r.err.code != 0) {
            cr_assert_eq(r.err.code, CFG_E_UNKNOWN_OUTCOME, "cut %lld: %s", (long long)cut, r.err.text);
            struct cfg_rig_result again = cfg_rig_put(&rig, "a", value, mod);
            cr_assert_eq(again.err.code, 0, "cut %lld: %s", (long long)cut, again.err.text);
            cr_assert(again.succeeded || strcmp(again.first_value, value) == 0, "cut %lld", (long long)cut);
        }
        char *there = cfg_test_get(at, "a", &now);
        cr_assert_str_eq(there, value);
        cr_assert_eq(now, mod + 1, "cut %lld: written once", (long long)cut);
        free(there);
    }
    cfg_rig_close(&rig);
    cfg_test_proxy_free(proxy);
    cfg_test_etcd_free(server);
}

Test(faults, reads_survive_cuts_and_cancel_ends_everything)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    struct cfg_test_proxy *proxy = cfg_test_proxy_start(cfg_test_etcd_port(server, 0));
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_proxy_endpoint(proxy), NULL);
    for (int64_t cut = 0; cut < 250; cut += 7) {
        cfg_test_proxy_close_after_reply_bytes(proxy, cut);
        struct cfg_rig_result r = cfg_rig_get(&rig, "a");
        cr_assert_eq(r.err.code, 0, "cut %lld: %s", (long long)cut, r.err.text);
    }
    cfg_test_proxy_close_after_reply_bytes(proxy, -1);
    cfg_test_proxy_blackhole(proxy, true);
    struct cfg_rig_result a = {0}, b = {0};
    struct cfg_etcd_range_req q = {.key = cfg_slice_str("a")};
    cfg_etcd_range(rig.etcd, &q, 300, cfg_rig_on_range, &a);
    cr_assert(cfg_rig_run(&rig, &a.done, 5000));
    cr_assert_eq(a.err.code, CFG_E_TIMEOUT, "%d %s", a.err.code, a.err.text);
    cfg_etcd_range(rig.etcd, &q, 0, cfg_rig_on_range, &b);
    cfg_rig_idle(&rig, 20);
    cfg_rig_close(&rig);
    cr_assert_eq(b.calls, 1u);
    cr_assert_eq(b.err.code, CFG_E_CANCELED);
    cfg_test_proxy_free(proxy);
    cfg_test_etcd_free(server);
}

Test(faults, nobody_there)
{
    char *nobody = cfg_test_format("http://127.0.0.1:%d", cfg_test_free_port());
    struct cfg_rig rig;
    cfg_rig_open(&rig, nobody, NULL);
    struct cfg_rig_result r = {0};
    struct cfg_etcd_range_req q = {.key = cfg_slice_str("a")};
    cfg_etcd_range(rig.etcd, &q, 300, cfg_rig_on_range, &r);
    cr_assert(cfg_rig_run(&rig, &r.done, 5000));
    cr_assert_eq(r.err.code, CFG_E_UNAVAILABLE, "%s", r.err.text);
    cr_assert(strstr(r.err.text, nobody), "the endpoint is named: %s", r.err.text);
    cr_assert(r.err.hint[0]);
    cfg_rig_close(&rig);
    free(nobody);
}
