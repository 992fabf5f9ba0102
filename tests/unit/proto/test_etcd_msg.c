/* Replies that real servers gave: etcd_replies/VERSION/NAME.STATUS, written by etcd_replies/capture. */
#include "proto/etcd_msg.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const versions[] = {"3.4.23", "3.5.1"};
#define EACH_VERSION(v) for (size_t v = 0; v < sizeof versions / sizeof versions[0]; v++)

/* The captured bytes, in memory of exactly their length. */
static struct cfg_slice load(size_t version, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "tests/unit/proto/etcd_replies/%s/%s", versions[version], name);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f, "%s", path);
    static char bytes[65536];
    size_t n = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    char *exact = malloc(n + (n == 0));
    memcpy(exact, bytes, n);
    return (struct cfg_slice){exact, n};
}

static void drop(struct cfg_slice s)
{
    free((void *)(uintptr_t)s.ptr);
}

static void is_str(struct cfg_slice s, const char *expected)
{
    cr_assert(cfg_slice_eq_str(s, expected), "%.*s, not %s", (int)s.len, s.ptr, expected);
}

/* --- replies of real servers --- */

static struct cfg_etcd_range_reply range_of(size_t version, const char *name)
{
    struct cfg_etcd_range_reply r;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_slice body = load(version, name);
    cr_assert_eq(cfg_etcd_range_parse(&r, body, &err), 0, "%s: %s", name, err.text);
    drop(body); /* the reply owns what it needs */
    cr_assert(r.header.cluster_id > 0 && r.header.member_id > 0 && r.header.revision > 0);
    return r;
}

Test(etcd_msg, reads_ranges)
{
    EACH_VERSION(v)
    {
        struct cfg_etcd_range_reply r = range_of(v, "range_empty.200");
        cr_assert(r.n == 0 && r.kvs == NULL && !r.more && r.count == 0 && r.header.revision == 1);
        cfg_etcd_range_finish(&r);

        r = range_of(v, "range_one.200");
        cr_assert(r.n == 1 && r.count == 1 && !r.more);
        is_str(r.kvs[0].key, "k/a");
        is_str(r.kvs[0].value, "two");
        cr_assert(r.kvs[0].create_revision == 2 && r.kvs[0].mod_revision == 3 && r.kvs[0].version == 2);
        cr_assert_eq(r.kvs[0].lease, 0);
        cfg_etcd_range_finish(&r);

        r = range_of(v, "range_more.200");
        cr_assert(r.n == 1 && r.more && r.count == 2);
        cfg_etcd_range_finish(&r);

        r = range_of(v, "range_all.200");
        cr_assert_eq(r.n, 2);
        is_str(r.kvs[1].key, "k/c");
        cr_assert(r.kvs[1].value.len == 0 && r.kvs[1].lease > 9007199254740991);
        cfg_etcd_range_finish(&r);

        r = range_of(v, "range_count.200");
        cr_assert(r.n == 0 && r.count == 2);
        cfg_etcd_range_finish(&r);

        r = range_of(v, "range_keys.200");
        cr_assert(r.n == 2 && r.kvs[0].value.len == 0);
        is_str(r.kvs[0].key, "k/a");
        cfg_etcd_range_finish(&r);
    }
}

static struct cfg_etcd_txn_reply txn_of(size_t version, const char *name)
{
    struct cfg_etcd_txn_reply r;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_slice body = load(version, name);
    cr_assert_eq(cfg_etcd_txn_parse(&r, body, &err), 0, "%s: %s", name, err.text);
    drop(body);
    return r;
}

Test(etcd_msg, reads_txns)
{
    EACH_VERSION(v)
    {
        struct cfg_etcd_txn_reply r = txn_of(v, "txn_put.200");
        cr_assert(r.succeeded && r.n == 3 && r.header.revision == 2 && r.ranges[0].n == 0);
        cfg_etcd_txn_finish(&r);

        r = txn_of(v, "txn_failed_ranges.200");
        cr_assert(!r.succeeded && r.n == 2);
        cr_assert(r.ranges[0].n == 2 && r.ranges[0].more && r.ranges[0].count == 3 && r.ranges[1].n == 0);
        is_str(r.ranges[0].kvs[0].value, "one");
        cr_assert(cfg_slice_eq(r.ranges[0].kvs[1].value, CFG_SLICE_LIT("\0\xFF")));
        cfg_etcd_txn_finish(&r);

        r = txn_of(v, "txn_mixed.200");
        cr_assert(r.succeeded && r.n == 3 && r.ranges[0].n == 0 && r.ranges[1].n == 0 && r.ranges[2].n == 1);
        is_str(r.ranges[2].kvs[0].value, "two");
        cfg_etcd_txn_finish(&r);

        r = txn_of(v, "txn_empty.200");
        cr_assert(r.succeeded && r.n == 0);
        cfg_etcd_txn_finish(&r);

        r = txn_of(v, "txn_failed_nothing.200");
        cr_assert(!r.succeeded && r.n == 0);
        cfg_etcd_txn_finish(&r);
    }
}

/* The captured lines, one reply each. Returns how many there are. */
static size_t watch_of(struct cfg_etcd_watch_reply *r, size_t max, size_t version, const char *name)
{
    struct cfg_slice body = load(version, name);
    size_t n = 0;
    for (size_t at = 0; at < body.len;) {
        const char *line = body.ptr + at;
        size_t len = (size_t)((const char *)memchr(line, '\n', body.len - at) - line) + 1;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_lt(n, max, "%s", name);
        cr_assert_eq(cfg_etcd_watch_parse(&r[n], (struct cfg_slice){line, len}, &err), 0, "%s: %s", name, err.text);
        n++;
        at += len;
    }
    drop(body);
    return n;
}

static void finish_all(struct cfg_etcd_watch_reply *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cfg_etcd_watch_finish(&r[i]);
}

Test(etcd_msg, reads_watch_events)
{
    EACH_VERSION(v)
    {
        struct cfg_etcd_watch_reply r[4];
        cr_assert_eq(watch_of(r, 4, v, "watch_events.200"), 3);
        cr_assert(r[0].created && !r[0].canceled && r[0].n == 0 && r[0].header.revision == 3);
        cr_assert(!r[1].created && r[1].n == 2 && r[1].header.revision == 4);
        is_str(r[1].events[0].kv.key, "w/a");
        is_str(r[1].events[1].kv.key, "w/b");
        is_str(r[1].events[1].kv.value, "2");
        cr_assert(!r[1].events[1].is_delete && r[1].events[1].kv.mod_revision == 4);
        cr_assert(r[2].n == 1 && r[2].events[0].is_delete && r[2].events[0].kv.mod_revision == 5);
        is_str(r[2].events[0].kv.key, "w/a");
        cr_assert_eq(r[2].events[0].kv.value.len, 0);
        finish_all(r, 3);

        cr_assert_eq(watch_of(r, 4, v, "watch_fragments.200"), 3);
        cr_assert(r[1].fragment && r[1].n > 0 && !r[2].fragment && r[2].n > 0);
        cr_assert_eq(r[1].n + r[2].n, 6);
        cr_assert_eq(r[1].events[0].kv.value.len, 60);
        finish_all(r, 3);

        cr_assert_eq(watch_of(r, 4, v, "watch_progress.200"), 2);
        cr_assert(r[1].n == 0 && !r[1].created && !r[1].canceled && r[1].header.revision == 8);
        finish_all(r, 2);

        cr_assert_eq(watch_of(r, 4, v, "watch_prev_kv.200"), 2);
        cr_assert(r[1].n > 3 && r[1].events[2].is_delete && r[1].events[2].kv.value.len == 0);
        finish_all(r, 2);

        cr_assert_eq(watch_of(r, 4, v, "watch_future.200"), 1);
        cr_assert(r[0].created && !r[0].canceled);
        finish_all(r, 1);
    }
}

Test(etcd_msg, reads_watches_that_end)
{
    EACH_VERSION(v)
    {
        struct cfg_etcd_watch_reply r[2];
        cr_assert_eq(watch_of(r, 2, v, "watch_compacted.200"), 2);
        cr_assert(r[1].canceled && r[1].compact_revision == 8 && r[1].header.revision == 0);
        finish_all(r, 2);

        cr_assert_eq(watch_of(r, 2, v, "watch_bad_range.200"), 1);
        cr_assert(r[0].created && r[0].canceled && r[0].compact_revision == 0);
        cr_assert_str_eq(r[0].cancel_reason, "mvcc: watcher range is empty");
        finish_all(r, 1);

        cr_assert_eq(watch_of(r, 2, v, "watch_no_token.200"), 1);
        cr_assert(r[0].canceled);
        struct cfg_error err;
        int code = cfg_etcd_error_read(&err, 0, cfg_slice_str(r[0].cancel_reason));
        cr_assert(code == CFG_E_UNAUTHORIZED || code == CFG_E_FORBIDDEN, "%s", err.text);
        finish_all(r, 1);
    }
}

Test(etcd_msg, reads_the_small_ones)
{
    EACH_VERSION(v)
    {
        int64_t id = 0, ttl = 0, again = 0;
        struct cfg_slice body = load(v, "lease_grant.200");
        cr_assert_eq(cfg_etcd_lease_parse(&id, &ttl, body, NULL), 0);
        cr_assert(id > 0 && ttl == 60);
        drop(body);
        body = load(v, "lease_keepalive.200");
        cr_assert_eq(cfg_etcd_lease_parse(&again, &ttl, body, NULL), 0);
        cr_assert(again == id && ttl == 60);
        drop(body);
        body = load(v, "lease_keepalive_gone.200");
        cr_assert_eq(cfg_etcd_lease_parse(&id, &ttl, body, NULL), 0);
        cr_assert(id == 12345 && ttl == 0);
        drop(body);

        struct cfg_etcd_status status;
        body = load(v, "status.200");
        cr_assert_eq(cfg_etcd_status_parse(&status, body, NULL), 0);
        cr_assert_str_eq(status.version, versions[v]);
        cr_assert(status.db_size > status.db_size_in_use && status.db_size_in_use == 16384);
        cr_assert(status.leader == status.header.member_id && status.leader > INT32_MAX);
        drop(body);

        char *token = NULL;
        body = load(v, "auth.200");
        cr_assert_eq(cfg_etcd_auth_parse(&token, body, NULL), 0);
        cr_assert(strlen(token) > 16 && strchr(token, '.'));
        free(token);
        drop(body);
    }
}

static void error_is(size_t version, const char *name, long status, int code)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_slice body = load(version, name);
    cr_assert_eq(cfg_etcd_error_read(&err, status, body), code, "%s %s: %s", versions[version], name, err.text);
    cr_assert_eq(err.code, code);
    cr_assert(strncmp(err.text, "etcd: ", 6) == 0 && err.text[6], "%s", err.text);
    drop(body);
}

Test(etcd_msg, reads_errors)
{
    EACH_VERSION(v)
    {
        error_is(v, "error_compacted.400", 400, CFG_E_COMPACTED);
        error_is(v, "error_compact_again.400", 400, CFG_E_COMPACTED);
        error_is(v, "error_no_space.429", 429, CFG_E_STORE_FULL);
        error_is(v, "error_too_many_ops.400", 400, CFG_E_LIMIT);
        error_is(v, "error_too_large.400", 400, CFG_E_LIMIT);
        error_is(v, "error_bad_token.401", 401, CFG_E_UNAUTHORIZED);
        error_is(v, "error_no_token.400", 400, CFG_E_UNAUTHORIZED);
        error_is(v, "error_auth_failed.400", 400, CFG_E_UNAUTHORIZED);
        error_is(v, "error_denied.403", 403, CFG_E_FORBIDDEN);
        error_is(v, "error_no_lease.404", 404, CFG_E_NOT_FOUND);
        error_is(v, "lease_revoke_gone.404", 404, CFG_E_NOT_FOUND);
        error_is(v, "error_future.400", 400, CFG_E_PROTOCOL);
        error_is(v, "error_duplicate_key.400", 400, CFG_E_PROTOCOL);
        error_is(v, "error_bad_request.400", 400, CFG_E_PROTOCOL);
        error_is(v, "error_no_path.404", 404, CFG_E_PROTOCOL);
    }
}

/* --- forms that no captured reply has --- */

static int error_of(struct cfg_error *err, long status, const char *body)
{
    return cfg_etcd_error_read(err, status, cfg_slice_str(body));
}

Test(etcd_msg, reads_errors_of_3_6_and_of_proxies)
{
    struct cfg_error err;
    /* grpc-gateway v2, which etcd 3.6 has: no "error" */
    cr_assert_eq(error_of(&err, 400,
                          "{\"code\":11, \"message\":\"etcdserver: mvcc: required revision has been compacted\", "
                          "\"details\":[]}"),
                 CFG_E_COMPACTED);
    cr_assert_not(err.retryable);
    cr_assert_eq(error_of(&err, 503, "{\"code\":14,\"message\":\"etcdserver: no leader\"}"), CFG_E_UNAVAILABLE);
    cr_assert(err.retryable);
    cr_assert_str_eq(err.text, "etcd: etcdserver: no leader");
    cr_assert_eq(error_of(&err, 502, "<html>\r\n<b>Bad\x1b[31m Gateway</b></html>\n"), CFG_E_UNAVAILABLE);
    cr_assert_str_eq(err.text, "etcd: <html> <b>Bad [31m Gateway</b></html>");
    cr_assert_eq(error_of(&err, 500, ""), CFG_E_UNAVAILABLE);
    cr_assert_str_eq(err.text, "etcd answered with HTTP status 500 and no reason");
    cr_assert_eq(error_of(&err, 418, "[]"), CFG_E_PROTOCOL);
    cr_assert_eq(error_of(&err, 404, "404 page not found\n"), CFG_E_PROTOCOL);
    cr_assert(strstr(err.hint, "JSON gateway"));
    cr_assert_eq(error_of(&err, 401, "{}"), CFG_E_UNAUTHORIZED);
    cr_assert_eq(error_of(&err, 403, "{}"), CFG_E_FORBIDDEN);
    cr_assert_eq(error_of(&err, 429, "{\"error\":\"x\",\"message\":7}"), CFG_E_UNAVAILABLE);
    cr_assert_str_eq(err.text, "etcd: x");
    cr_assert_eq(error_of(NULL, 503, "{}"), CFG_E_UNAVAILABLE);
}

Test(etcd_msg, reads_an_error_inside_a_stream)
{
    struct cfg_etcd_watch_reply r = {.n = 77};
    struct cfg_error err = CFG_ERROR_INIT;
    static const char line[] = "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"gone fishing\","
                               "\"http_status\":\"Service Unavailable\"}}\n";
    cr_assert_eq(cfg_etcd_watch_parse(&r, CFG_SLICE_LIT(line), &err), CFG_E_UNAVAILABLE);
    cr_assert(r.n == 77 && strcmp(err.text, "etcd: gone fishing") == 0);
    static const char v2[] = "{\"error\":{\"code\":16,\"message\":\"etcdserver: invalid auth token\",\"details\":[]}}";
    cr_assert_eq(cfg_etcd_watch_parse(&r, CFG_SLICE_LIT(v2), &err), CFG_E_UNAUTHORIZED);
    int64_t id = 1, ttl = 2;
    cr_assert_eq(cfg_etcd_lease_parse(&id, &ttl, CFG_SLICE_LIT(v2), &err), CFG_E_UNAUTHORIZED);
    cr_assert(id == 1 && ttl == 2);
}

static void range_refused(const char *body, const char *why)
{
    struct cfg_etcd_range_reply r = {.n = 77};
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_etcd_range_parse(&r, cfg_slice_str(body), &err), CFG_E_PROTOCOL, "%s", body);
    cr_assert(err.code == CFG_E_PROTOCOL && strstr(err.text, why), "%s", err.text);
    cr_assert_eq(r.n, 77);
}

Test(etcd_msg, refuses_ranges)
{
    range_refused("", "not JSON");
    range_refused("{\"kvs\":[", "not JSON");
    range_refused("{\"count\":\"1\",\"count\":\"2\"}", "not JSON");
    range_refused("[]", "no JSON object");
    range_refused("{\"header\":[]}", "header");
    range_refused("{\"header\":{\"revision\":\"\"}}", "revision");
    range_refused("{\"header\":{\"revision\":\"-\"}}", "revision");
    range_refused("{\"header\":{\"revision\":\"1x\"}}", "revision");
    range_refused("{\"header\":{\"revision\":true}}", "revision");
    range_refused("{\"header\":{\"revision\":1.5}}", "revision");
    range_refused("{\"header\":{\"revision\":\"9223372036854775808\"}}", "revision");
    range_refused("{\"header\":{\"cluster_id\":\"18446744073709551616\"}}", "cluster_id");
    range_refused("{\"header\":{\"cluster_id\":\"-1\"}}", "cluster_id");
    range_refused("{\"more\":\"true\"}", "more");
    range_refused("{\"count\":{}}", "count");
    range_refused("{\"kvs\":{}}", "kvs");
    range_refused("{\"kvs\":[7]}", "kv");
    range_refused("{\"kvs\":[{\"key\":\"YQ==\"},{\"key\":\"YQ=\"}]}", "base64");
    range_refused("{\"kvs\":[{\"key\":\"YQ==\",\"value\":7}]}", "base64");
    range_refused("{\"kvs\":[{\"key\":\"YQ==\",\"value\":\"a\\u0000==\"}]}", "base64");
    range_refused("{\"kvs\":[{\"key\":\"YQ==\",\"lease\":\"x\"}]}", "lease");
}

Test(etcd_msg, takes_numbers_and_unknown_members)
{
    struct cfg_etcd_range_reply r;
    struct cfg_slice body = CFG_SLICE_LIT(" {\"header\" : {\"cluster_id\":\"18446744073709551615\", \"revision\":7}, "
                                          "\"new\":{\"a\":[1]}, \"count\":\"-3\"}\n");
    cr_assert_eq(cfg_etcd_range_parse(&r, body, NULL), 0);
    cr_assert(r.header.cluster_id == UINT64_MAX && r.header.revision == 7 && r.count == -3);
    cfg_etcd_range_finish(&r);
}

Test(etcd_msg, refuses_other_replies)
{
    struct cfg_etcd_txn_reply txn = {.n = 77};
    cr_assert_eq(cfg_etcd_txn_parse(&txn, CFG_SLICE_LIT("{\"responses\":[7]}"), NULL), CFG_E_PROTOCOL);
    cr_assert_eq(cfg_etcd_txn_parse(&txn,
                                    CFG_SLICE_LIT("{\"responses\":[{\"response_range\":{\"kvs\":[{\"key\":"
                                                  "\"YQ==\"},{\"key\":\"!\"}]}}]}"),
                                    NULL),
                 CFG_E_PROTOCOL);
    cr_assert_eq(txn.n, 77);
    static const char *const watches[] = {
        "{}",
        "{\"result\":7}",
        "{\"result\":{\"events\":[7]}}",
        "{\"result\":{\"events\":[{}]}}",
        "{\"result\":{\"events\":[{\"type\":\"MERGE\",\"kv\":{\"key\":\"YQ==\"}}]}}",
        "{\"result\":{\"events\":[{\"kv\":{\"key\":\"YQ==\"}},{\"kv\":{\"key\":\"Y\"}}]}}",
        "{\"result\":{\"canceled\":1}}",
    };
    for (size_t i = 0; i < sizeof watches / sizeof watches[0]; i++) {
        struct cfg_etcd_watch_reply r = {.n = 77};
        cr_assert_eq(cfg_etcd_watch_parse(&r, cfg_slice_str(watches[i]), NULL), CFG_E_PROTOCOL, "%s", watches[i]);
        cr_assert_eq(r.n, 77);
    }
    int64_t id, ttl;
    cr_assert_eq(cfg_etcd_lease_parse(&id, &ttl, CFG_SLICE_LIT("{\"TTL\":\"5\"}"), NULL), CFG_E_PROTOCOL);
    char *token = NULL;
    cr_assert_eq(cfg_etcd_auth_parse(&token, CFG_SLICE_LIT("{\"token\":\"\"}"), NULL), CFG_E_PROTOCOL);
    cr_assert_eq(cfg_etcd_auth_parse(&token, CFG_SLICE_LIT("{\"token\":7}"), NULL), CFG_E_PROTOCOL);
    cr_assert_null(token);
    struct cfg_etcd_status status;
    cr_assert_eq(cfg_etcd_status_parse(&status, CFG_SLICE_LIT("{\"dbSize\":[]}"), NULL), CFG_E_PROTOCOL);
}

/* Fails the n-th allocation of the tree functions from now on; 0: none. */
static int fail_at;

static void *failing_malloc(size_t n)
{
    return fail_at > 0 && --fail_at == 0 ? NULL : malloc(n);
}

Test(etcd_msg, survives_a_failed_allocation_anywhere)
{
    cJSON_Hooks hooks = {failing_malloc, free};
    cJSON_InitHooks(&hooks);
    struct cfg_slice body = load(0, "txn_failed_ranges.200");
    int rc = CFG_E_NOMEM;
    for (int n = 1; rc == CFG_E_NOMEM; n++) {
        struct cfg_etcd_txn_reply r = {.n = 77};
        struct cfg_error err = CFG_ERROR_INIT;
        fail_at = n;
        rc = cfg_etcd_txn_parse(&r, body, &err);
        fail_at = 0;
        if (rc == 0)
            cfg_etcd_txn_finish(&r);
        else
            cr_assert(rc == CFG_E_NOMEM && err.code == rc && r.n == 77);
        cr_assert(n > 1 || rc != 0);
    }
    cr_assert_eq(rc, 0);
    drop(body);
}

Test(etcd_msg, finish_takes_nothing)
{
    cfg_etcd_range_finish(NULL);
    cfg_etcd_txn_finish(NULL);
    cfg_etcd_watch_finish(NULL);
    struct cfg_etcd_txn_reply r = {0};
    cfg_etcd_txn_finish(&r);
}
