/* Every reader of etcd's replies on the same bytes, and base64 both ways. What a reply points to is read, so that the
 * sanitizer sees a slice that leaves its memory. */
#include "proto/etcd_msg.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static volatile unsigned char sink;

static void touch(struct cfg_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        sink = (unsigned char)(sink ^ (unsigned char)s.ptr[i]);
}

static void touch_kvs(const struct cfg_etcd_range_reply *r)
{
    for (size_t i = 0; i < r->n; i++) {
        touch(r->kvs[i].key);
        touch(r->kvs[i].value);
    }
}

/* A failure has a code that the header names and a reason. */
static void check_error(int rc, const struct cfg_error *err)
{
    if (rc >= 0 || rc != err->code || err->text[0] == '\0')
        abort();
}

static void check_range_and_txn(struct cfg_slice body)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_etcd_range_reply range;
    int rc = cfg_etcd_range_parse(&range, body, &err);
    if (rc == 0) {
        touch_kvs(&range);
        cfg_etcd_range_finish(&range);
    } else {
        check_error(rc, &err);
    }
    struct cfg_etcd_txn_reply txn;
    rc = cfg_etcd_txn_parse(&txn, body, &err);
    if (rc == 0) {
        for (size_t i = 0; i < txn.n; i++)
            touch_kvs(&txn.ranges[i]);
        cfg_etcd_txn_finish(&txn);
    } else {
        check_error(rc, &err);
    }
}

static void check_watch(struct cfg_slice line)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_etcd_watch_reply watch;
    int rc = cfg_etcd_watch_parse(&watch, line, &err);
    if (rc != 0) {
        check_error(rc, &err);
        return;
    }
    for (size_t i = 0; i < watch.n; i++) {
        touch(watch.events[i].kv.key);
        touch(watch.events[i].kv.value);
    }
    touch(cfg_slice_str(watch.cancel_reason));
    cfg_etcd_watch_finish(&watch);
}

static void check_small(struct cfg_slice body)
{
    struct cfg_error err = CFG_ERROR_INIT;
    int64_t id, ttl;
    struct cfg_etcd_status status;
    char *token = NULL;
    int rc = cfg_etcd_lease_parse(&id, &ttl, body, &err);
    if (rc != 0)
        check_error(rc, &err);
    rc = cfg_etcd_status_parse(&status, body, &err);
    if (rc != 0)
        check_error(rc, &err);
    rc = cfg_etcd_auth_parse(&token, body, &err);
    if (rc != 0)
        check_error(rc, &err);
    free(token);
    check_error(cfg_etcd_error_read(&err, 400, body), &err);
}

/* Strict base64 has one spelling: what decodes encodes to the same text. */
static void check_base64(struct cfg_slice s)
{
    struct cfg_buf a, b;
    cfg_buf_init(&a, SIZE_MAX / 2);
    cfg_buf_init(&b, SIZE_MAX / 2);
    if (cfg_base64_decode(&a, s) == 0) {
        cfg_base64_encode(&b, cfg_buf_slice(&a));
        if (!cfg_slice_eq(cfg_buf_slice(&b), s))
            abort();
    }
    cfg_buf_clear(&a);
    cfg_buf_clear(&b);
    cfg_base64_encode(&a, s);
    if (cfg_base64_decode(&b, cfg_buf_slice(&a)) != 0 || !cfg_slice_eq(cfg_buf_slice(&b), s))
        abort();
    cfg_buf_finish(&a);
    cfg_buf_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cfg_slice s = {(const char *)bytes, n};
    check_range_and_txn(s);
    check_watch(s);
    check_small(s);
    check_base64(s);
    return 0;
}
