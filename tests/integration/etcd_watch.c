/* The watch against real servers: whole revisions, fragments, compaction, silence, ends of every kind; authentication
 * and TLS, which concern requests and watches alike. */
#include "tests/integration/etcd_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct heard {
    bool created, lost, compacted;
    unsigned batches, events, progresses, behinds;
    int64_t revision, compact_revision, behind;
    size_t last_n, bytes;
    bool last_was_delete, free_inside;
    struct cfg_error err;
    struct cfg_etcd_watch *watch;
};

static void on_created(void *arg, int64_t revision)
{
    struct heard *h = arg;
    cr_assert_not(h->created);
    cr_assert_gt(revision, 0);
    h->created = true;
}

static void on_events(void *arg, int64_t revision, const struct cfg_etcd_event *events, size_t n)
{
    struct heard *h = arg;
    cr_assert(h->created);
    cr_assert_gt(revision, h->revision, "in order, each once");
    h->revision = revision;
    h->batches++;
    h->events += (unsigned)n;
    h->last_n = n;
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(events[i].kv.mod_revision, revision);
        h->bytes += events[i].kv.value.len;
    }
    h->last_was_delete = events[n - 1].is_delete;
    if (h->free_inside) {
        cfg_etcd_watch_free(h->watch);
        h->watch = NULL;
        cr_assert_gt(events[0].kv.key.len, 0u, "what was handed in lives until the return");
    }
}

static void on_progress(void *arg, int64_t revision)
{
    struct heard *h = arg;
    cr_assert_geq(revision, h->revision);
    h->progresses++;
}

static void on_compacted(void *arg, int64_t compact_revision)
{
    struct heard *h = arg;
    h->compacted = true;
    h->compact_revision = compact_revision;
}

static void on_behind(void *arg, int64_t revision)
{
    struct heard *h = arg;
    h->behinds++;
    h->behind = revision;
}

static void on_lost(void *arg, const struct cfg_error *err)
{
    struct heard *h = arg;
    cr_assert_not(h->lost, "once");
    h->lost = true;
    h->err = *err;
}

static const struct cfg_etcd_watch_fns fns = {on_created, on_events, on_progress, on_compacted, on_behind, on_lost};

static void watch(struct cfg_rig *rig, struct heard *h, int64_t from)
{
    struct cfg_error err;
    cr_assert_eq(
        cfg_etcd_watch_start(&h->watch, rig->etcd, cfg_slice_str("w/"), cfg_slice_str("w0"), from, &fns, h, &err), 0,
        "%s", err.text);
}

static bool heard_end(void *arg)
{
    struct heard *h = arg;
    return h->lost || h->compacted;
}

static struct {
    struct heard *h;
    unsigned events;
} wanted;

static bool has_events(void *arg)
{
    (void)arg;
    return wanted.h->events >= wanted.events;
}

#define AWAIT_EVENTS(rig, heard, n)                                                                               \
    do {                                                                                                          \
        wanted.h = (heard);                                                                                       \
        wanted.events = (n);                                                                                      \
        cr_assert(cfg_rig_run_until((rig), has_events, NULL, 20000), "%u of %u events; %s", (heard)->events, (n), \
                  (heard)->err.text);                                                                             \
    } while (0)

Test(watch, events_resume_and_deletes)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    int64_t first = cfg_test_put(at, "w/a", "1");
    cfg_test_put(at, "w/a", "2");
    cfg_test_put(at, "x", "not ours");
    struct cfg_rig rig;
    cfg_rig_open(&rig, at, NULL);
    struct heard h = {0};
    watch(&rig, &h, first);
    AWAIT_EVENTS(&rig, &h, 2u);
    cfg_test_delete_prefix(at, "w/");
    AWAIT_EVENTS(&rig, &h, 3u);
    cr_assert(h.last_was_delete);
    cr_assert_eq(h.batches, 3u, "past and present, one by one");
    cfg_etcd_watch_free(h.watch);
    cfg_test_put(at, "w/a", "3");
    cfg_rig_idle(&rig, 50);
    cr_assert_eq(h.events, 3u, "silence after free");

    /* From the past again, freed inside its own callback. */
    h = (struct heard){.free_inside = true};
    watch(&rig, &h, first);
    AWAIT_EVENTS(&rig, &h, 1u);
    cfg_rig_idle(&rig, 50);
    cr_assert_eq(h.events, 1u);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(watch, hears_a_lease_expire)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_etcd_endpoint(server, 0), NULL);
    struct cfg_rig_result lease = {0}, put = {0};
    cfg_etcd_lease_grant(rig.etcd, 1, cfg_rig_on_lease, &lease);
    cr_assert(cfg_rig_run(&rig, &lease.done, 10000) && lease.err.code == 0);
    struct heard h = {0};
    watch(&rig, &h, 0);
    cr_assert(cfg_rig_run(&rig, &h.created, 10000));
    struct cfg_etcd_op op = {.kind = CFG_ETCD_PUT, .key = cfg_slice_str("w/presence"), .lease = lease.id};
    struct cfg_etcd_txn_req q = {.success = &op, .n_success = 1};
    cfg_etcd_txn(rig.etcd, &q, 0, cfg_rig_on_txn, &put);
    AWAIT_EVENTS(&rig, &h, 2u);
    cr_assert(put.err.code == 0 && put.succeeded);
    cr_assert(h.last_was_delete, "nobody kept it alive");
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(watch, fragments_of_one_revision_are_joined)
{
    /* A transaction larger than a fragment needs a server that takes such requests. */
    const char *const larger[] = {"--max-request-bytes", "8000000", NULL};
    struct cfg_test_etcd_options so = {.extra_args = larger};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&so);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    int64_t first = cfg_test_put(at, "w/first", "x") + 1;
    enum { DOCUMENTS = 24, BYTES = 500 * 1024 };
    char *big = malloc(BYTES + 1);
    memset(big, 'b', BYTES);
    big[BYTES] = '\0';
    for (int i = 0; i < DOCUMENTS; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "w/%02d", i);
        cr_assert_neq(cfg_test_put(at, key, big), 0);
    }
    /* One revision of 24 × 100 KB besides. */
    struct cfg_rig rig;
    cfg_rig_open(&rig, at, NULL);
    struct cfg_etcd_op ops[DOCUMENTS];
    char keys[DOCUMENTS][32];
    for (int i = 0; i < DOCUMENTS; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "w/t%02d", i);
        ops[i] = (struct cfg_etcd_op){.kind = CFG_ETCD_PUT, .key = cfg_slice_str(keys[i]), .value = {big, 100 * 1024}};
    }
    struct cfg_etcd_txn_req q = {.success = ops, .n_success = DOCUMENTS};
    struct cfg_rig_result r = {0};
    cfg_etcd_txn(rig.etcd, &q, 0, cfg_rig_on_txn, &r);
    cr_assert(cfg_rig_run(&rig, &r.done, 10000));
    cr_assert_eq(r.err.code, 0, "%s", r.err.text);
    struct heard h = {0};
    watch(&rig, &h, first);
    AWAIT_EVENTS(&rig, &h, 2u * DOCUMENTS);
    cr_assert_eq(h.batches, DOCUMENTS + 1u);
    cr_assert_eq(h.last_n, (size_t)DOCUMENTS, "the large revision came as one");
    cr_assert_eq(h.bytes, (size_t)DOCUMENTS * (BYTES + 100 * 1024));
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    free(big);
    cfg_test_etcd_free(server);
}

Test(watch, a_compacted_start_is_told)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    int64_t first = cfg_test_put(at, "w/a", "1");
    cfg_test_put(at, "w/a", "2");
    int64_t last = cfg_test_put(at, "w/a", "3");
    cfg_test_compact(at, last);
    struct cfg_rig rig;
    cfg_rig_open(&rig, at, NULL);
    struct heard h = {0};
    watch(&rig, &h, first);
    cr_assert(cfg_rig_run_until(&rig, heard_end, &h, 10000));
    cr_assert(h.compacted && !h.lost);
    cr_assert_eq(h.compact_revision, last);
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(watch, every_end_of_the_connection_is_told_once)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    struct cfg_test_proxy *proxy = cfg_test_proxy_start(cfg_test_etcd_port(server, 0));
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_proxy_endpoint(proxy), NULL);
    unsigned cuts = 0;
    for (int64_t cut = 0; cut < 700; cut += 9, cuts++) {
        struct heard h = {0};
        cfg_test_proxy_close_after_reply_bytes(proxy, cut);
        watch(&rig, &h, 0);
        for (int i = 0; i < 6 && !h.lost; i++) {
            cfg_test_put(at, "w/a", "some value");
            cfg_rig_idle(&rig, 5);
        }
        cr_assert(cfg_rig_run_until(&rig, heard_end, &h, 10000), "cut %lld: %u events", (long long)cut, h.events);
        cr_assert(h.lost);
        cr_assert_neq(h.err.text[0], '\0');
        cfg_etcd_watch_free(h.watch);
    }
    cfg_test_proxy_close_after_reply_bytes(proxy, -1);
    cr_log_info("%u watches cut", cuts);
    struct heard h = {0};
    watch(&rig, &h, 0);
    cr_assert(cfg_rig_run(&rig, &h.created, 5000));
    cfg_test_etcd_kill(server, 0);
    cr_assert(cfg_rig_run_until(&rig, heard_end, &h, 10000));
    cr_assert_eq(h.err.code, CFG_E_UNAVAILABLE, "%s", h.err.text);
    cfg_etcd_watch_free(h.watch);
    struct heard refused = {0};
    cfg_test_proxy_refuse(proxy, true);
    watch(&rig, &refused, 0);
    cr_assert(cfg_rig_run_until(&rig, heard_end, &refused, 10000));
    cfg_etcd_watch_free(refused.watch);
    cfg_rig_close(&rig);
    cfg_test_proxy_free(proxy);
    cfg_test_etcd_free(server);
}

static bool was_behind(void *arg)
{
    return ((struct heard *)arg)->behinds > 0;
}

Test(watch, silence_is_probed)
{
    struct cfg_test_etcd *server = cfg_test_etcd_start(NULL);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    int64_t first = cfg_test_put(at, "x", "1");
    struct cfg_rig rig;
    struct cfg_etcd_options o = {.watch_silence_ms = 100, .request_timeout_ms = 1000};
    cfg_rig_open(&rig, at, &o);
    struct heard h = {0};
    watch(&rig, &h, first + 1);
    cr_assert(cfg_rig_run(&rig, &h.created, 5000));
    cfg_rig_idle(&rig, 350);
    cr_assert_eq(h.behinds, 0u, "nothing has happened anywhere");
    int64_t beside = cfg_test_put(at, "x", "2");
    cr_assert(cfg_rig_run_until(&rig, was_behind, &h, 5000));
    cr_assert_eq(h.behind, beside);
    cfg_etcd_watch_advance(h.watch, beside);
    h.behinds = 0;
    cfg_rig_idle(&rig, 350);
    cr_assert_eq(h.behinds, 0u, "the owner has said that nothing is missing");
    cfg_test_put(at, "w/a", "1");
    AWAIT_EVENTS(&rig, &h, 1u);
    /* A server that is stopped says nothing and answers nothing. */
    cfg_test_proc_signal(cfg_test_etcd_proc(server, 0), SIGSTOP);
    cr_assert(cfg_rig_run_until(&rig, heard_end, &h, 10000));
    cr_assert(h.lost);
    cfg_test_proc_signal(cfg_test_etcd_proc(server, 0), SIGCONT);
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(watch, a_member_without_leader_ends_it)
{
    struct cfg_test_etcd_options three = {.members = 3};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&three);
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_etcd_endpoint(server, 0), NULL);
    struct heard h = {0};
    watch(&rig, &h, 0);
    cr_assert(cfg_rig_run(&rig, &h.created, 5000));
    cfg_test_etcd_kill(server, 1);
    cfg_test_etcd_kill(server, 2);
    cr_assert(cfg_rig_run_until(&rig, heard_end, &h, 20000), "a partitioned member must not feign silence");
    cr_assert(h.lost);
    struct cfg_rig_result put = cfg_rig_put(&rig, "w/a", "1", 0);
    cr_assert_neq(put.err.code, 0);
    cr_assert_neq(put.err.code, CFG_E_UNKNOWN_OUTCOME, "it was refused before it was proposed: %s", put.err.text);
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

Test(watch, progress_is_passed_on)
{
    const char *const often[] = {"--experimental-watch-progress-notify-interval", "100ms", NULL};
    struct cfg_test_etcd_options so = {.extra_args = often};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&so);
    struct cfg_rig rig;
    cfg_rig_open(&rig, cfg_test_etcd_endpoint(server, 0), NULL);
    struct heard h = {0};
    watch(&rig, &h, 0);
    for (int i = 0; i < 100 && h.progresses < 2; i++)
        cfg_rig_idle(&rig, 50);
    cr_assert_geq(h.progresses, 2u);
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

static void need(const char *endpoint, const char *path, const char *body)
{
    char *reply;
    if (cfg_test_post(&reply, endpoint, path, body) != 200)
        cfg_test_die("%s: %s", path, reply);
    free(reply);
}

Test(auth, a_token_is_fetched_and_renewed_when_it_expires)
{
    const char *const short_lived[] = {"--auth-token-ttl", "1", NULL};
    struct cfg_test_etcd_options so = {.extra_args = short_lived};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&so);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    need(at, "/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"pw\"}");
    need(at, "/v3/auth/role/add", "{\"name\":\"root\"}");
    need(at, "/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
    need(at, "/v3/auth/enable", "{}");

    struct cfg_rig rig;
    cfg_rig_open(&rig, at, NULL);
    struct cfg_rig_result refused = cfg_rig_get(&rig, "w/a");
    cr_assert_eq(refused.err.code, CFG_E_UNAUTHORIZED, "%d %s", refused.err.code, refused.err.text);
    cfg_rig_close(&rig);

    struct cfg_etcd_options o = {.user = "root", .password = "wrong"};
    cfg_rig_open(&rig, at, &o);
    refused = cfg_rig_get(&rig, "w/a");
    cr_assert_eq(refused.err.code, CFG_E_UNAUTHORIZED, "%d %s", refused.err.code, refused.err.text);
    cr_assert(strstr(refused.err.text, "root"), "%s", refused.err.text);
    struct heard no = {0};
    watch(&rig, &no, 0);
    cr_assert(cfg_rig_run_until(&rig, heard_end, &no, 10000));
    cfg_etcd_watch_free(no.watch);
    cfg_rig_close(&rig);

    o.password = "pw";
    cfg_rig_open(&rig, at, &o);
    struct heard h = {0};
    watch(&rig, &h, 0); /* waits for the token */
    cr_assert(cfg_rig_run(&rig, &h.created, 10000), "%s", h.err.text);
    cr_assert(cfg_rig_put(&rig, "w/a", "1", 0).succeeded);
    AWAIT_EVENTS(&rig, &h, 1u);
    struct cfg_etcd_stats stats = {0};
    for (int round = 2; round < 8 && stats.auth_renewals < 2; round++) {
        cfg_rig_idle(&rig, 2500); /* until the server has forgotten the token: nothing tells when */
        struct cfg_rig_result r = cfg_rig_put(&rig, "w/a", "again", -1);
        cr_assert_eq(r.err.code, 0, "round %d: %s", round, r.err.text);
        cfg_etcd_stats(rig.etcd, &stats);
    }
    cr_assert_geq(stats.auth_renewals, 1u);
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
}

static char *make_certificate(const char *dir, const char *name)
{
    char *cert = cfg_test_format("%s/%s.pem", dir, name), *key = cfg_test_format("%s/%s.key", dir, name);
    const char *const argv[] = {"openssl",
                                "req",
                                "-x509",
                                "-newkey",
                                "ec",
                                "-pkeyopt",
                                "ec_paramgen_curve:prime256v1",
                                "-nodes",
                                "-keyout",
                                key,
                                "-out",
                                cert,
                                "-days",
                                "2",
                                "-subj",
                                "/CN=etcd test",
                                "-addext",
                                "subjectAltName=IP:127.0.0.1",
                                NULL};
    char *output;
    if (cfg_test_run(&output, argv) != 0)
        cfg_test_die("openssl: %s", output);
    free(output);
    free(key);
    return cert;
}

Test(tls, the_servers_certificate_is_verified)
{
    char *dir = cfg_test_dir_new();
    char *cert = make_certificate(dir, "server"), *other = make_certificate(dir, "other");
    char *key = cfg_test_format("%s/server.key", dir);
    struct cfg_test_etcd_options so = {.cert_file = cert, .key_file = key};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&so);
    const char *at = cfg_test_etcd_endpoint(server, 0);
    struct cfg_rig rig;
    struct cfg_etcd_options o = {.ca_file = cert};
    cfg_rig_open(&rig, at, &o);
    struct heard h = {0};
    watch(&rig, &h, 0);
    cr_assert(cfg_rig_run(&rig, &h.created, 10000), "%s", h.err.text);
    cr_assert(cfg_rig_put(&rig, "w/a", "1", 0).succeeded);
    AWAIT_EVENTS(&rig, &h, 1u);
    cfg_etcd_watch_free(h.watch);
    cfg_rig_close(&rig);
    o.ca_file = other;
    o.request_timeout_ms = 500;
    cfg_rig_open(&rig, at, &o);
    struct cfg_rig_result r = cfg_rig_put(&rig, "w/a", "2", -1);
    cr_assert_eq(r.err.code, CFG_E_UNAVAILABLE, "%d %s", r.err.code, r.err.text);
    cr_assert(strstr(r.err.hint, "--etcd-ca"), "%s", r.err.hint);
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
    free(cert);
    free(other);
    free(key);
    cfg_test_dir_remove(dir);
}

Test(tls, a_client_certificate_is_shown)
{
    char *dir = cfg_test_dir_new();
    char *cert = make_certificate(dir, "both"), *key = cfg_test_format("%s/both.key", dir);
    const char *const strict[] = {"--client-cert-auth", "--trusted-ca-file", cert, NULL};
    struct cfg_test_etcd_options so = {.cert_file = cert, .key_file = key, .extra_args = strict};
    struct cfg_test_etcd *server = cfg_test_etcd_start(&so);
    struct cfg_rig rig;
    struct cfg_etcd_options o = {.ca_file = cert, .cert_file = cert, .key_file = key};
    cfg_rig_open(&rig, cfg_test_etcd_endpoint(server, 0), &o);
    struct cfg_rig_result r = cfg_rig_put(&rig, "w/a", "1", 0);
    cr_assert(r.succeeded, "%s", r.err.text);
    cfg_rig_close(&rig);
    o = (struct cfg_etcd_options){.ca_file = cert, .request_timeout_ms = 500};
    cfg_rig_open(&rig, cfg_test_etcd_endpoint(server, 0), &o);
    cr_assert_neq(cfg_rig_put(&rig, "w/a", "2", -1).err.code, 0, "nobody without one");
    cfg_rig_close(&rig);
    cfg_test_etcd_free(server);
    free(cert);
    free(key);
    cfg_test_dir_remove(dir);
}

Test(options, what_makes_no_sense_is_refused)
{
    struct cfg_loop *loop = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_loop_new(&loop, &err), 0);
    static const char *const bad[] = {"127.0.0.1:2379", "unix:relative", "http://", "http://h:1/path", "ftp://h"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_etcd *e = NULL;
        const struct cfg_etcd_options o = {.endpoints = &bad[i], .n_endpoints = 1};
        cr_assert_eq(cfg_etcd_new(&e, loop, &o, &err), CFG_E_INVALID, "%s", bad[i]);
        cr_assert(strstr(err.text, bad[i]), "%s", err.text);
        cr_assert(e == NULL);
    }
    struct cfg_etcd *e = NULL;
    const char *good = "http://127.0.0.1:1/";
    struct cfg_etcd_options o = {.endpoints = &good};
    cr_assert_eq(cfg_etcd_new(&e, loop, &o, &err), CFG_E_INVALID, "no endpoint");
    o = (struct cfg_etcd_options){.endpoints = &good, .n_endpoints = 1, .user = "u"};
    cr_assert_eq(cfg_etcd_new(&e, loop, &o, &err), CFG_E_INVALID, "a user without a password");
    o = (struct cfg_etcd_options){.endpoints = &good, .n_endpoints = 1, .cert_file = "c"};
    cr_assert_eq(cfg_etcd_new(&e, loop, &o, &err), CFG_E_INVALID, "a certificate without a key");
    o.cert_file = NULL;
    cr_assert_eq(cfg_etcd_new(&e, loop, &o, &err), 0);
    cfg_etcd_free(e);
    cfg_etcd_free(NULL);
    cfg_loop_free(loop);
}
