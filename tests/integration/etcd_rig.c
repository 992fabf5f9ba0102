#include "tests/integration/etcd_rig.h"

#include <stdio.h>
#include <string.h>

void cfg_rig_open(struct cfg_rig *r, const char *endpoint, const struct cfg_etcd_options *o)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_etcd_options options = o ? *o : (struct cfg_etcd_options){0};
    if (options.endpoints == NULL) {
        options.endpoints = &endpoint;
        options.n_endpoints = 1;
    }
    if (cfg_loop_new(&r->loop, &err) || cfg_etcd_new(&r->etcd, r->loop, &options, &err))
        cfg_test_die("rig: %s", err.text);
}

void cfg_rig_close(struct cfg_rig *r)
{
    cfg_etcd_free(r->etcd);
    cfg_loop_free(r->loop);
    *r = (struct cfg_rig){0};
}

bool cfg_rig_run_until(struct cfg_rig *r, bool (*ready)(void *arg), void *arg, unsigned timeout_ms)
{
    uint64_t end = cfg_test_now_ms() + timeout_ms;
    while (!ready(arg)) {
        uint64_t now = cfg_test_now_ms();
        if (now >= end)
            return false;
        cfg_loop_run_once(r->loop, end - now < 50 ? (unsigned)(end - now) : 50);
    }
    return true;
}

static bool is_set(void *arg)
{
    return **(const bool **)arg;
}

bool cfg_rig_run(struct cfg_rig *r, const bool *flag, unsigned timeout_ms)
{
    return cfg_rig_run_until(r, is_set, &flag, timeout_ms);
}

void cfg_rig_idle(struct cfg_rig *r, unsigned ms)
{
    bool never = false;
    (void)cfg_rig_run(r, &never, ms);
}

static struct cfg_rig_result *begin(void *arg, const struct cfg_error *err)
{
    struct cfg_rig_result *r = arg;
    r->done = true;
    r->calls++;
    r->err = err ? *err : (struct cfg_error)CFG_ERROR_INIT;
    return r;
}

static void copy(char *out, size_t size, struct cfg_slice s)
{
    (void)snprintf(out, size, "%.*s", (int)(s.len < size ? s.len : size - 1), s.ptr);
}

void cfg_rig_on_range(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_rig_result *r = begin(arg, err);
    if (reply == NULL)
        return;
    r->revision = reply->header.revision;
    r->n = reply->n;
    r->more = reply->more;
    r->count = reply->count;
    if (reply->n > 0) {
        copy(r->first_key, sizeof r->first_key, reply->kvs[0].key);
        copy(r->first_value, sizeof r->first_value, reply->kvs[0].value);
        r->first_mod = reply->kvs[0].mod_revision;
    }
}

void cfg_rig_on_txn(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct cfg_rig_result *r = begin(arg, err);
    if (reply == NULL)
        return;
    r->succeeded = reply->succeeded;
    r->revision = reply->header.revision;
    r->n = reply->n;
    if (reply->n > 0 && reply->ranges[0].n > 0) {
        copy(r->first_value, sizeof r->first_value, reply->ranges[0].kvs[0].value);
        r->first_mod = reply->ranges[0].kvs[0].mod_revision;
    }
}

void cfg_rig_on_lease(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    struct cfg_rig_result *r = begin(arg, err);
    r->id = id;
    r->ttl_s = ttl_s;
}

void cfg_rig_on_done(void *arg, const struct cfg_error *err)
{
    (void)begin(arg, err);
}

struct cfg_rig_result cfg_rig_get(struct cfg_rig *r, const char *key)
{
    struct cfg_rig_result got = {0};
    struct cfg_etcd_range_req q = {.key = cfg_slice_str(key)};
    cfg_etcd_range(r->etcd, &q, 0, cfg_rig_on_range, &got);
    if (!cfg_rig_run(r, &got.done, 15000))
        cfg_test_die("a range of %s never ended", key);
    return got;
}

struct cfg_rig_result cfg_rig_put(struct cfg_rig *r, const char *key, const char *value, int64_t expected)
{
    struct cfg_rig_result got = {0};
    struct cfg_etcd_compare guard = {
        .key = cfg_slice_str(key), .target = CFG_ETCD_MOD, .result = CFG_ETCD_EQUAL, .number = expected};
    struct cfg_etcd_op put = {.kind = CFG_ETCD_PUT, .key = cfg_slice_str(key), .value = cfg_slice_str(value)};
    struct cfg_etcd_op look = {.kind = CFG_ETCD_RANGE, .key = cfg_slice_str(key)};
    struct cfg_etcd_txn_req q = {.compare = &guard,
                                 .n_compare = expected >= 0,
                                 .success = &put,
                                 .n_success = 1,
                                 .failure = &look,
                                 .n_failure = 1};
    cfg_etcd_txn(r->etcd, &q, 0, cfg_rig_on_txn, &got);
    if (!cfg_rig_run(r, &got.done, 15000))
        cfg_test_die("a transaction on %s never ended", key);
    return got;
}
