/* The replica against real servers: content, resumption, compaction, foreign and restored stores, deaf watches. */
#include "configd/replica.h"
#include "tests/integration/etcd_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define P "/configd/v1/"

/* A sink that keeps the content as a table and checks the order of everything it is told. */
struct mirror {
    struct {
        char key[64], value[64];
        size_t bytes;
        bool there, fresh;
    } rows[128];
    size_t n;
    uint64_t revision, progress;
    unsigned snapshots, batches, identities, events;
    bool in_snapshot;
    struct cfg_store_identity id;
    enum cfg_replica_state state;
    struct cfg_error why;
    uint64_t last_epoch;
};

static size_t row(struct mirror *m, struct cfg_slice key)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", (int)key.len, key.ptr);
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->rows[i].key, name) == 0)
            return i;
    cr_assert_lt(m->n, 128u);
    (void)snprintf(m->rows[m->n].key, sizeof name, "%s", name);
    return m->n++;
}

static void put_row(struct mirror *m, const struct cfg_etcd_kv *kv)
{
    size_t i = row(m, kv->key);
    m->rows[i].there = m->rows[i].fresh = true;
    m->rows[i].bytes = kv->value.len;
    (void)snprintf(m->rows[i].value, sizeof m->rows[i].value, "%.*s", kv->value.len < 60 ? (int)kv->value.len : 60,
                   kv->value.ptr);
}

static void on_identity(void *arg, const struct cfg_store_identity *id)
{
    struct mirror *m = arg;
    cr_assert_geq(id->epoch, m->id.epoch, "the epoch never falls");
    m->id = *id;
    m->identities++;
}

static void on_begin(void *arg)
{
    struct mirror *m = arg;
    m->in_snapshot = true;
    for (size_t i = 0; i < m->n; i++)
        m->rows[i].fresh = false;
}

static void on_put(void *arg, const struct cfg_etcd_kv *kv)
{
    cr_assert(((struct mirror *)arg)->in_snapshot);
    put_row(arg, kv);
}

static void check_forward(struct mirror *m, uint64_t revision, bool or_equal)
{
    if (m->id.epoch == m->last_epoch)
        cr_assert(revision > m->revision || (or_equal && revision == m->revision), "%llu after %llu",
                  (unsigned long long)revision, (unsigned long long)m->revision);
    m->last_epoch = m->id.epoch;
    m->revision = revision;
}

static void on_end(void *arg, uint64_t revision)
{
    struct mirror *m = arg;
    cr_assert(m->in_snapshot);
    m->in_snapshot = false;
    m->snapshots++;
    for (size_t i = 0; i < m->n; i++)
        m->rows[i].there = m->rows[i].fresh;
    check_forward(m, revision, true);
}

static void on_batch(void *arg, uint64_t revision, const struct cfg_etcd_event *events, size_t n)
{
    struct mirror *m = arg;
    cr_assert_not(m->in_snapshot);
    m->batches++;
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq((uint64_t)events[i].kv.mod_revision, revision, "a batch is one revision");
        m->events++;
        if (events[i].is_delete)
            m->rows[row(m, events[i].kv.key)].there = false;
        else
            put_row(m, &events[i].kv);
    }
    check_forward(m, revision, false);
}

static void on_progress(void *arg, uint64_t revision)
{
    struct mirror *m = arg;
    check_forward(m, revision, false);
    m->progress = revision;
}

static void on_state(void *arg, enum cfg_replica_state state, const struct cfg_error *why)
{
    struct mirror *m = arg;
    m->state = state;
    m->why = why ? *why : (struct cfg_error)CFG_ERROR_INIT;
}

struct stage {
    struct cfg_test_etcd *server;
    const char *at;
    struct cfg_test_proxy *proxy;
    struct cfg_rig rig;
    struct mirror m;
    struct cfg_replica *replica;
};

static void follow(struct stage *s, const struct cfg_etcd_options *o)
{
    cfg_rig_open(&s->rig, s->proxy ? cfg_test_proxy_endpoint(s->proxy) : s->at, o);
    struct cfg_replica_sink sink = {on_identity, on_begin, on_put, on_end, on_batch, on_progress, on_state, &s->m};
    struct cfg_error err;
    cr_assert_eq(cfg_replica_new(&s->replica, s->rig.loop, s->rig.etcd, P, NULL, &sink, &err), 0);
    cfg_replica_start(s->replica);
}

static void unfollow(struct stage *s)
{
    cfg_replica_free(s->replica);
    cfg_rig_close(&s->rig);
}

static struct stage *open_stage(bool with_proxy)
{
    static struct stage s;
    s.server = cfg_test_etcd_start(NULL);
    s.at = cfg_test_etcd_endpoint(s.server, 0);
    s.proxy = with_proxy ? cfg_test_proxy_start(cfg_test_etcd_port(s.server, 0)) : NULL;
    return &s;
}

static void close_stage(struct stage *s)
{
    unfollow(s);
    cfg_test_proxy_free(s->proxy);
    cfg_test_etcd_free(s->server);
}

static bool is_live(void *arg)
{
    return ((struct stage *)arg)->m.state == CFG_REPLICA_LIVE;
}
static bool is_foreign(void *arg)
{
    return ((struct stage *)arg)->m.state == CFG_REPLICA_FOREIGN;
}
static bool is_away(void *arg)
{
    return ((struct stage *)arg)->m.state == CFG_REPLICA_RECONNECTING;
}

static const char *value_of(struct stage *s, const char *key)
{
    for (size_t i = 0; i < s->m.n; i++)
        if (strcmp(s->m.rows[i].key, key) == 0 && s->m.rows[i].there)
            return s->m.rows[i].value;
    return "-";
}

static struct {
    struct stage *s;
    const char *key, *value;
} wanted;

static bool shows(void *arg)
{
    (void)arg;
    return strcmp(value_of(wanted.s, wanted.key), wanted.value) == 0;
}

/* Turns the loop until the mirror shows value ("-": nothing) at key. */
#define AWAIT_VALUE(s, k, v, ms)                                                                                    \
    do {                                                                                                            \
        wanted.s = (s);                                                                                             \
        wanted.key = (k);                                                                                           \
        wanted.value = (v);                                                                                         \
        cr_assert(cfg_rig_run_until(&(s)->rig, shows, NULL, (ms)), "%s: want %s, have %s; state %s (%s)", (k), (v), \
                  value_of((s), (k)), cfg_replica_state_name((s)->m.state), (s)->m.why.text);                       \
    } while (0)
#define AWAIT(s, cond, ms)                                                                                          \
    cr_assert(cfg_rig_run_until(&(s)->rig, cond, (s), (ms)), "state %s (%s)", cfg_replica_state_name((s)->m.state), \
              (s)->m.why.text)

Test(replica, fresh_store_list_and_watch)
{
    struct stage *s = open_stage(false);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cr_assert_eq(strlen(s->m.id.store_id), 32u);
    cr_assert_eq(s->m.id.epoch, 1u);
    cr_assert_eq(s->m.snapshots, 1u);
    cfg_test_put(s->at, P "live/config/a", "1");
    AWAIT_VALUE(s, "live/config/a", "1", 5000);
    cfg_test_put(s->at, P "history/config/a/1", "1");
    cfg_test_put(s->at, P "live/config/a", "2");
    AWAIT_VALUE(s, "live/config/a", "2", 5000);
    cr_assert_str_eq(value_of(s, "history/config/a/1"), "-", "history is not followed");
    cfg_test_delete_prefix(s->at, P "live/config/a");
    AWAIT_VALUE(s, "live/config/a", "-", 5000);
    char id[40];
    memcpy(id, s->m.id.store_id, sizeof id);
    unfollow(s);
    cfg_test_put(s->at, P "live/config/b", "x");
    s->m = (struct mirror){0};
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cr_assert_str_eq(s->m.id.store_id, id, "a store keeps its id");
    cr_assert_str_eq(value_of(s, "live/config/b"), "x");
    close_stage(s);
}

Test(replica, two_start_on_a_fresh_store)
{
    struct stage *s = open_stage(false);
    static struct stage other;
    other.at = s->at;
    follow(s, NULL);
    follow(&other, NULL);
    for (int i = 0; i < 400 && !(is_live(s) && is_live(&other)); i++) {
        cfg_loop_run_once(s->rig.loop, 5);
        cfg_loop_run_once(other.rig.loop, 5);
    }
    cr_assert(is_live(s) && is_live(&other));
    cr_assert_str_eq(s->m.id.store_id, other.m.id.store_id);
    unfollow(&other);
    close_stage(s);
}

Test(replica, resumes_without_listing)
{
    struct stage *s = open_stage(true);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/a", "A");
    AWAIT_VALUE(s, "live/config/a", "A", 5000);
    cfg_test_proxy_refuse(s->proxy, true);
    cfg_test_proxy_cut(s->proxy);
    AWAIT(s, is_away, 5000);
    /* A → B → A while away: both must be heard. */
    unsigned before = s->m.events;
    cfg_test_put(s->at, P "live/config/a", "B");
    cfg_test_put(s->at, P "live/config/a", "A");
    cfg_test_put(s->at, P "live/config/z", "end");
    cfg_test_proxy_refuse(s->proxy, false);
    AWAIT_VALUE(s, "live/config/z", "end", 10000);
    AWAIT(s, is_live, 5000);
    cr_assert_eq(s->m.events - before, 3u);
    cr_assert_eq(s->m.snapshots, 1u, "no need to list");
    cr_assert_eq(s->m.id.epoch, 1u);
    close_stage(s);
}

Test(replica, etcd_killed_and_back)
{
    struct stage *s = open_stage(false);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    for (int round = 0; round < 3; round++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", round);
        cfg_test_put(s->at, P "live/config/a", value);
        cfg_test_etcd_restart(s->server, 0);
        AWAIT_VALUE(s, "live/config/a", value, 10000);
        AWAIT(s, is_live, 10000);
    }
    cr_assert_eq(s->m.snapshots, 1u);
    cr_assert_eq(s->m.id.epoch, 1u);
    close_stage(s);
}

Test(replica, compaction_while_away_synthesises_deletes)
{
    struct stage *s = open_stage(true);
    cfg_test_put(s->at, P "live/x", "1"); /* not a fresh store: it must not be taken for one */
    cfg_test_delete_prefix(s->at, P "live/x");
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/gone", "1");
    cfg_test_put(s->at, P "live/config/kept", "1");
    AWAIT_VALUE(s, "live/config/kept", "1", 5000);
    cfg_test_proxy_refuse(s->proxy, true);
    cfg_test_proxy_cut(s->proxy);
    AWAIT(s, is_away, 5000);
    cfg_test_delete_prefix(s->at, P "live/config/gone");
    cfg_test_compact(s->at, cfg_test_put(s->at, P "live/config/kept", "2"));
    cfg_test_proxy_refuse(s->proxy, false);
    AWAIT_VALUE(s, "live/config/kept", "2", 10000);
    AWAIT(s, is_live, 5000);
    cr_assert_str_eq(value_of(s, "live/config/gone"), "-");
    cr_assert_eq(s->m.snapshots, 2u);
    cr_assert_eq(s->m.id.epoch, 1u, "compaction is no return to the past");
    cfg_test_put(s->at, P "live/config/kept", "3");
    AWAIT_VALUE(s, "live/config/kept", "3", 5000);
    close_stage(s);
}

Test(replica, one_large_revision_comes_whole)
{
    struct stage *s = open_stage(true);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_test_proxy_refuse(s->proxy, true);
    cfg_test_proxy_cut(s->proxy);
    AWAIT(s, is_away, 5000);
    /* 24 revisions of 700 KB, then one that changes several keys: caught up with in fragments. */
    size_t n = 700 * 1024;
    char *big = malloc(n + 1);
    memset(big, 'x', n);
    big[n] = '\0';
    char key[64];
    for (int i = 0; i < 24; i++) {
        (void)snprintf(key, sizeof key, P "live/config/big%02d", i);
        cr_assert_neq(cfg_test_put(s->at, key, big), 0);
    }
    struct cfg_rig direct;
    cfg_rig_open(&direct, s->at, NULL);
    static char small[40 * 1024];
    memset(small, 'y', sizeof small);
    struct cfg_etcd_op puts[24];
    char keys[24][64];
    for (int i = 0; i < 24; i++) {
        (void)snprintf(keys[i], sizeof keys[i], P "live/config/many%02d", i);
        puts[i] =
            (struct cfg_etcd_op){.kind = CFG_ETCD_PUT, .key = cfg_slice_str(keys[i]), .value = {small, sizeof small}};
    }
    struct cfg_etcd_txn_req q = {.success = puts, .n_success = 24};
    struct cfg_rig_result r = {0};
    cfg_etcd_txn(direct.etcd, &q, 0, cfg_rig_on_txn, &r);
    cr_assert(cfg_rig_run(&direct, &r.done, 10000) && r.err.code == 0);
    cfg_rig_close(&direct);
    unsigned batches = s->m.batches, events = s->m.events;
    cfg_test_proxy_refuse(s->proxy, false);
    cfg_test_put(s->at, P "live/config/z", "end");
    AWAIT_VALUE(s, "live/config/z", "end", 20000);
    cr_assert_eq(s->m.events - events, 49u);
    cr_assert_eq(s->m.batches - batches, 26u, "24 single changes, one of 24 keys, the end");
    cr_assert_eq(s->m.snapshots, 1u);
    free(big);
    close_stage(s);
}

Test(replica, silent_watch_is_noticed)
{
    struct stage *s = open_stage(true);
    char *aside = cfg_test_format("%s", s->at);
    const char *both[2] = {cfg_test_proxy_endpoint(s->proxy), aside};
    struct cfg_etcd_options o = {
        .endpoints = both, .n_endpoints = 2, .watch_silence_ms = 300, .request_timeout_ms = 1500};
    follow(s, &o);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/a", "1");
    AWAIT_VALUE(s, "live/config/a", "1", 5000);
    cfg_test_proxy_blackhole(s->proxy, true);
    cfg_test_put(s->at, P "live/config/a", "2");
    AWAIT_VALUE(s, "live/config/a", "2", 15000);
    cr_assert_eq(s->m.snapshots, 1u);
    close_stage(s);
    free(aside);
}

Test(replica, silence_alone_is_no_fault)
{
    struct stage *s = open_stage(true);
    struct cfg_etcd_options o = {.watch_silence_ms = 100};
    follow(s, &o);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/a", "1");
    AWAIT_VALUE(s, "live/config/a", "1", 5000);
    /* Others write beside us: our watch has nothing to say, and the replica still learns that it is level. */
    uint64_t connections = cfg_test_proxy_counts(s->proxy).connections;
    int64_t beside = 0;
    for (int i = 0; i < 5; i++) {
        beside = cfg_test_put(s->at, "elsewhere", "x");
        cfg_rig_idle(&s->rig, 150);
    }
    cr_assert(is_live(s));
    cr_assert_geq(s->m.progress, (uint64_t)beside);
    cr_assert_leq(cfg_test_proxy_counts(s->proxy).connections, connections + 1, "the watch was not made anew");
    cfg_test_put(s->at, P "live/config/a", "2");
    AWAIT_VALUE(s, "live/config/a", "2", 5000);
    close_stage(s);
}

Test(replica, wiped_store_is_foreign_and_replaces_nothing)
{
    struct stage *s = open_stage(false);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/a", "good");
    AWAIT_VALUE(s, "live/config/a", "good", 5000);
    char *backup = cfg_test_format("%s.snapshot", cfg_test_etcd_data_dir(s->server, 0));
    cfg_test_etcd_snapshot(s->server, backup);
    cfg_test_etcd_wipe(s->server, 0);
    AWAIT(s, is_foreign, 15000);
    cr_assert_eq(s->m.why.code, CFG_E_FOREIGN_STORE);
    cr_assert_str_eq(value_of(s, "live/config/a"), "good");
    cfg_test_put(s->at, P "meta/store", "{\"store_id\":\"aa\",\"epoch\":1,\"format\":1}");
    cfg_test_put(s->at, P "live/config/a", "foreign");
    cfg_rig_idle(&s->rig, 1500);
    cr_assert(is_foreign(s));
    cr_assert_str_eq(value_of(s, "live/config/a"), "good");
    cfg_test_etcd_restore(s->server, backup);
    AWAIT(s, is_live, 15000);
    cr_assert_str_eq(value_of(s, "live/config/a"), "good");
    free(backup);
    close_stage(s);
}

Test(replica, emptied_prefix_is_foreign)
{
    struct stage *s = open_stage(false);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/a", "good");
    AWAIT_VALUE(s, "live/config/a", "good", 5000);
    cfg_test_delete_prefix(s->at, P);
    AWAIT(s, is_foreign, 15000);
    cr_assert_str_eq(value_of(s, "live/config/a"), "good");
    char *meta = cfg_test_format("{\"store_id\":\"%s\",\"epoch\":1,\"format\":1}", s->m.id.store_id);
    cfg_test_put(s->at, P "meta/store", meta);
    AWAIT(s, is_live, 15000);
    cr_assert_str_eq(value_of(s, "live/config/a"), "-", "our own store, and it says so: now the delete counts");
    free(meta);
    close_stage(s);
}

Test(replica, data_without_identity_is_foreign)
{
    struct stage *s = open_stage(false);
    cfg_test_put(s->at, P "live/config/a", "whose?");
    follow(s, NULL);
    AWAIT(s, is_foreign, 10000);
    cr_assert_eq(s->m.snapshots, 0u);
    cr_assert(cfg_test_get(s->at, P "meta/store", NULL) == NULL, "it is left alone");
    close_stage(s);
}

Test(replica, restored_backup_raises_the_epoch)
{
    struct stage *s = open_stage(false);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/a", "old");
    char *backup = cfg_test_format("%s.snapshot", cfg_test_etcd_data_dir(s->server, 0));
    cfg_test_etcd_snapshot(s->server, backup);
    cfg_test_put(s->at, P "live/config/a", "new");
    cfg_test_put(s->at, P "live/config/b", "lost");
    AWAIT_VALUE(s, "live/config/b", "lost", 5000);
    cfg_test_etcd_restore(s->server, backup);
    AWAIT_VALUE(s, "live/config/a", "old", 15000);
    AWAIT(s, is_live, 5000);
    cr_assert_str_eq(value_of(s, "live/config/b"), "-");
    cr_assert_eq(s->m.id.epoch, 2u);
    char *meta = cfg_test_get(s->at, P "meta/store", NULL);
    cr_assert(meta && strstr(meta, "\"epoch\":2"), "%s", meta);
    free(meta);
    free(backup);
    close_stage(s);
}

Test(replica, restored_backup_that_has_overtaken_raises_too)
{
    struct stage *s = open_stage(false);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    char *backup = cfg_test_format("%s.snapshot", cfg_test_etcd_data_dir(s->server, 0));
    cfg_test_etcd_snapshot(s->server, backup);
    cfg_test_put(s->at, P "live/config/a", "first history");
    AWAIT_VALUE(s, "live/config/a", "first history", 5000);
    /* The replica does not turn while the store goes back and overtakes where it was. */
    cfg_test_etcd_restore(s->server, backup);
    for (int i = 0; i < 4; i++)
        cfg_test_put(s->at, P "live/config/b", "second history");
    AWAIT_VALUE(s, "live/config/b", "second history", 15000);
    AWAIT(s, is_live, 5000);
    cr_assert_str_eq(value_of(s, "live/config/a"), "-");
    cr_assert_eq(s->m.id.epoch, 2u);
    free(backup);
    close_stage(s);
}

static bool epoch_is_raised(void *arg)
{
    struct stage *s = arg;
    return s->m.id.epoch > 1 && is_live(s);
}

Test(replica, tokens_tell_of_a_store_that_went_back)
{
    struct stage *s = open_stage(false);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_test_put(s->at, P "live/config/a", "1");
    AWAIT_VALUE(s, "live/config/a", "1", 5000);
    cfg_replica_check_token(s->replica, (struct cfg_rev){1, 1});
    cfg_replica_check_token(s->replica, (struct cfg_rev){0, 0});
    cfg_rig_idle(&s->rig, 100);
    cr_assert_eq(s->m.id.epoch, 1u);
    cfg_replica_check_token(s->replica, (struct cfg_rev){UINT32_MAX, 5});
    cfg_rig_idle(&s->rig, 300);
    cr_assert_eq(s->m.id.epoch, 1u, "a token that this store cannot have given out");
    cfg_replica_check_token(s->replica, (struct cfg_rev){1, s->m.revision + 1000});
    AWAIT(s, epoch_is_raised, 10000);
    cr_assert_eq(s->m.id.epoch, 2u);
    cfg_replica_check_token(s->replica, (struct cfg_rev){5, 1});
    for (int i = 0; i < 200 && s->m.id.epoch < 6; i++)
        cfg_rig_idle(&s->rig, 20);
    cr_assert_eq(s->m.id.epoch, 6u);
    AWAIT(s, is_live, 5000);
    cr_assert_str_eq(value_of(s, "live/config/a"), "1");
    close_stage(s);
}

static struct {
    unsigned answers;
    uint64_t revision;
    int code;
} asked;

static void on_revision(void *arg, uint64_t revision, const struct cfg_error *err)
{
    (void)arg;
    asked.answers++;
    asked.revision = revision;
    asked.code = err ? err->code : 0;
}

static bool all_answered(void *arg)
{
    return asked.answers == *(unsigned *)arg;
}

static bool caught_up(void *arg)
{
    return ((struct stage *)arg)->m.revision >= asked.revision;
}

Test(replica, linearizable_revision_is_shared_and_reached)
{
    struct stage *s = open_stage(true);
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    cfg_rig_idle(&s->rig, 100);
    int64_t beside = 0;
    for (int i = 0; i < 3; i++)
        beside = cfg_test_put(s->at, "elsewhere", "x");
    struct cfg_etcd_stats before, after;
    cfg_etcd_stats(s->rig.etcd, &before);
    unsigned n = 100;
    for (unsigned i = 0; i < n; i++)
        cfg_replica_read_revision(s->replica, on_revision, NULL);
    cr_assert_eq(asked.answers, 0u);
    cr_assert(cfg_rig_run_until(&s->rig, all_answered, &n, 5000));
    cr_assert_eq(asked.code, 0);
    cr_assert_eq(asked.revision, (uint64_t)beside);
    cfg_etcd_stats(s->rig.etcd, &after);
    cr_assert_leq(after.requests - before.requests, 4u);
    cr_assert(cfg_rig_run_until(&s->rig, caught_up, s, 2000), "the replica gets there without a change of its own");
    cfg_test_proxy_refuse(s->proxy, true);
    cfg_test_proxy_cut(s->proxy);
    AWAIT(s, is_away, 5000);
    asked.answers = 0;
    n = 1;
    cfg_replica_read_revision(s->replica, on_revision, NULL);
    cr_assert(cfg_rig_run_until(&s->rig, all_answered, &n, 1000), "with etcd away it is refused soon");
    cr_assert_neq(asked.code, 0);
    cr_assert_gt(cfg_replica_silence_ms(s->replica) + 1, 0u);
    close_stage(s);
}

Test(replica, freed_at_any_moment)
{
    struct stage *s = open_stage(false);
    for (unsigned turns = 0; turns < 40; turns++) {
        follow(s, NULL);
        for (unsigned i = 0; i < turns; i++)
            cfg_loop_run_once(s->rig.loop, 2);
        cfg_replica_read_revision(s->replica, on_revision, NULL);
        unfollow(s);
        s->m = (struct mirror){0};
    }
    follow(s, NULL);
    AWAIT(s, is_live, 10000);
    close_stage(s);
}
