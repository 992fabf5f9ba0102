/* Random faults between the replica and a real etcd under a steady stream of writes. After each, the replica must show
 * exactly what etcd holds, and it must never have gone back. CFG_SEED repeats a run; CFG_ROUNDS makes it longer. */
#include "configd/replica.h"
#include "tests/integration/etcd_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define P "/configd/v1/"
enum { KEYS = 12, ROUNDS = 35, VALUE = 32 };

struct mirror {
    char value[KEYS][VALUE]; /* "" = absent */
    bool listed[KEYS];
    uint64_t revision, epoch;
    enum cfg_replica_state state;
    unsigned snapshots, batches, connects;
};

static int key_number(struct cfg_slice key)
{
    char text[64];
    int i;
    (void)snprintf(text, sizeof text, "%.*s", (int)key.len, key.ptr);
    return sscanf(text, "live/config/k%d", &i) == 1 ? i : -1;
}

static void take(struct mirror *m, const struct cfg_etcd_kv *kv, bool is_delete)
{
    int i = key_number(kv->key);
    if (i < 0)
        return;
    m->listed[i] = true;
    (void)snprintf(m->value[i], VALUE, "%.*s", is_delete ? 0 : (int)kv->value.len, is_delete ? "" : kv->value.ptr);
}

static void on_identity(void *arg, const struct cfg_store_identity *id)
{
    struct mirror *m = arg;
    cr_assert(m->epoch == 0 || id->epoch == m->epoch, "no fault here takes the store back");
    m->epoch = id->epoch;
}

static void on_begin(void *arg)
{
    memset(((struct mirror *)arg)->listed, 0, sizeof((struct mirror *)arg)->listed);
}

static void on_put(void *arg, const struct cfg_etcd_kv *kv)
{
    take(arg, kv, false);
}

static void forward(struct mirror *m, uint64_t revision)
{
    cr_assert_geq(revision, m->revision);
    m->revision = revision;
}

static void on_end(void *arg, uint64_t revision)
{
    struct mirror *m = arg;
    m->snapshots++;
    for (int i = 0; i < KEYS; i++)
        if (!m->listed[i])
            m->value[i][0] = '\0';
    forward(m, revision);
}

static void on_batch(void *arg, uint64_t revision, const struct cfg_etcd_event *events, size_t n)
{
    struct mirror *m = arg;
    m->batches++;
    cr_assert_gt(revision, m->revision, "no revision comes twice");
    for (size_t i = 0; i < n; i++)
        take(m, &events[i].kv, events[i].is_delete);
    forward(m, revision);
}

static void on_progress(void *arg, uint64_t revision)
{
    forward(arg, revision);
}

static void on_state(void *arg, enum cfg_replica_state state, const struct cfg_error *why)
{
    struct mirror *m = arg;
    m->connects += state == CFG_REPLICA_LIVE;
    m->state = state;
    cr_assert_neq(state, CFG_REPLICA_FOREIGN, "%s", why ? why->text : "");
}

struct soak {
    struct cfg_test_etcd *server;
    const char *at;
    struct cfg_test_proxy *proxy;
    struct cfg_rig rig;
    struct mirror m;
    unsigned writes, faults;
    int64_t last; /* the newest acknowledged write's revision */
};

static unsigned below(unsigned n)
{
    return (unsigned)random() % n;
}

/* Writes past the proxy; a third of the keys is deleted now and then, another program's key moves the revision too. */
static void write_some(struct soak *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char *key = cfg_test_format(P "live/config/k%u", below(KEYS)), *value = cfg_test_format("value %u", s->writes);
        int64_t revision = below(5) == 0   ? cfg_test_delete_prefix(s->at, key)
                           : below(7) == 0 ? cfg_test_put(s->at, "elsewhere", value)
                                           : cfg_test_put(s->at, key, value);
        if (revision > s->last)
            s->last = revision;
        s->writes++;
        free(key);
        free(value);
    }
}

static void fault(struct soak *s, unsigned kind)
{
    struct cfg_test_proc *etcd = cfg_test_etcd_proc(s->server, 0);
    s->faults++;
    switch (kind) {
    case 0:
        cfg_test_proxy_cut(s->proxy);
        break;
    case 1:
        cfg_test_proxy_refuse(s->proxy, true);
        cfg_test_proxy_cut(s->proxy);
        write_some(s, 5);
        cfg_rig_idle(&s->rig, below(200));
        cfg_test_proxy_refuse(s->proxy, false);
        break;
    case 2:
        cfg_test_proxy_blackhole(s->proxy, true);
        write_some(s, 5);
        cfg_rig_idle(&s->rig, below(900));
        cfg_test_proxy_blackhole(s->proxy, false);
        break;
    case 3:
        cfg_test_etcd_restart(s->server, 0);
        break;
    case 4:
        cfg_test_proc_signal(etcd, SIGSTOP);
        cfg_rig_idle(&s->rig, below(600));
        cfg_test_proc_signal(etcd, SIGCONT);
        break;
    case 5: /* compacted while it is away */
        cfg_test_proxy_refuse(s->proxy, true);
        cfg_test_proxy_cut(s->proxy);
        write_some(s, 8);
        cfg_test_compact(s->at, cfg_test_revision(s->at));
        cfg_rig_idle(&s->rig, 20);
        cfg_test_proxy_refuse(s->proxy, false);
        break;
    case 6:
        cfg_test_proxy_close_after_reply_bytes(s->proxy, below(3000));
        break;
    case 7:
        cfg_test_proxy_delay(s->proxy, 5 + below(30));
        break;
    default:
        cfg_test_proxy_mute(s->proxy, true);
        write_some(s, 3);
        cfg_rig_idle(&s->rig, below(900));
        cfg_test_proxy_mute(s->proxy, false);
        break;
    }
}

static bool is_level(void *arg)
{
    struct soak *s = arg;
    return s->m.state == CFG_REPLICA_LIVE && s->m.revision >= (uint64_t)s->last;
}

static void compare(struct soak *s, unsigned round)
{
    cfg_test_proxy_delay(s->proxy, 0);
    cfg_test_proxy_close_after_reply_bytes(s->proxy, -1);
    s->last = cfg_test_revision(s->at); /* a write whose reply was lost counts as well */
    cr_assert(cfg_rig_run_until(&s->rig, is_level, s, 20000), "round %u: at %llu of %lld, %s", round,
              (unsigned long long)s->m.revision, (long long)s->last, cfg_replica_state_name(s->m.state));
    for (unsigned i = 0; i < KEYS; i++) {
        char *key = cfg_test_format(P "live/config/k%u", i), *there = cfg_test_get(s->at, key, NULL);
        cr_assert_str_eq(s->m.value[i], there ? there : "", "round %u, key %u", round, i);
        free(there);
        free(key);
    }
}

Test(replica, random_faults_under_writes, .timeout = 3600)
{
    static struct soak s;
    const char *given = getenv("CFG_SEED"), *longer = getenv("CFG_ROUNDS");
    const unsigned rounds = longer ? (unsigned)strtoul(longer, NULL, 10) : ROUNDS;
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)cfg_test_now_ms();
    srandom(seed);
    (void)printf("CFG_SEED=%u\n", seed);
    (void)fflush(stdout);
    s.server = cfg_test_etcd_start(NULL);
    s.at = cfg_test_etcd_endpoint(s.server, 0);
    s.proxy = cfg_test_proxy_start(cfg_test_etcd_port(s.server, 0));
    struct cfg_etcd_options o = {.watch_silence_ms = 300, .request_timeout_ms = 1000};
    cfg_rig_open(&s.rig, cfg_test_proxy_endpoint(s.proxy), &o);
    struct cfg_replica_sink sink = {on_identity, on_begin, on_put, on_end, on_batch, on_progress, on_state, &s.m};
    struct cfg_replica *replica = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_replica_new(&replica, s.rig.loop, s.rig.etcd, P, NULL, &sink, &err), 0);
    cfg_replica_start(replica);
    compare(&s, 0);
    for (unsigned round = 1; round <= rounds; round++) {
        for (unsigned n = 1 + below(3); n > 0; n--) {
            write_some(&s, below(4));
            fault(&s, below(9));
            cfg_rig_idle(&s.rig, below(30));
        }
        compare(&s, round);
    }
    (void)printf("%u faults, %u writes, %u batches, %u snapshots, live %u times\n", s.faults, s.writes, s.m.batches,
                 s.m.snapshots, s.m.connects);
    cfg_replica_free(replica);
    cfg_rig_close(&s.rig);
    cfg_test_proxy_free(s.proxy);
    cfg_test_etcd_free(s.server);
}
