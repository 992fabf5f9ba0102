/* A loop and an etcd client in one thread, turned until a condition holds; replies are copied into plain values. */
#ifndef CFG_TESTS_INTEGRATION_ETCD_RIG_H
#define CFG_TESTS_INTEGRATION_ETCD_RIG_H

#include "configd/etcd.h"
#include "tests/lib/testlib.h"

struct cfg_rig {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
};

/* o->endpoints may be NULL: then `endpoint` is the only one. */
void cfg_rig_open(struct cfg_rig *r, const char *endpoint, const struct cfg_etcd_options *o);
void cfg_rig_close(struct cfg_rig *r);
/* Turns the loop until *flag; false after timeout_ms. */
bool cfg_rig_run(struct cfg_rig *r, const bool *flag, unsigned timeout_ms);
/* Turns the loop until `ready` says so. */
bool cfg_rig_run_until(struct cfg_rig *r, bool (*ready)(void *arg), void *arg, unsigned timeout_ms);
/* Turns the loop that long, whatever happens: only to show that something does NOT happen. */
void cfg_rig_idle(struct cfg_rig *r, unsigned ms);

struct cfg_rig_result {
    bool done;
    unsigned calls;
    struct cfg_error err; /* code 0: success */
    bool succeeded;       /* txn */
    int64_t revision, count, id, ttl_s;
    size_t n;
    bool more;
    char first_key[128], first_value[256];
    int64_t first_mod;
};
void cfg_rig_on_range(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err);
void cfg_rig_on_txn(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err);
void cfg_rig_on_lease(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err);
void cfg_rig_on_done(void *arg, const struct cfg_error *err);

/* Blocking forms, for tests in one line. */
struct cfg_rig_result cfg_rig_get(struct cfg_rig *r, const char *key);
/* Puts when the key's mod_revision is `expected` (−1: unconditionally). */
struct cfg_rig_result cfg_rig_put(struct cfg_rig *r, const char *key, const char *value, int64_t expected);

#endif
