#include "rollouts_edge.h"

#include "configd/lease_lock.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct asked progress, observed;
struct asked_decision decision;
struct asked_history history;
uint64_t now_ms, seen_workers;
bool held;
struct cfg_fleet_lately lately;

static void copy(char *to, size_t size, struct cfg_slice from)
{
    cr_assert_lt(from.len, size);
    memcpy(to, from.ptr, from.len);
    to[from.len] = '\0';
}

void __wrap_cfg_etcd_txn(struct cfg_etcd *e, const struct cfg_etcd_txn_req *r, unsigned timeout_ms, cfg_etcd_txn_fn fn,
                         void *arg);
void __wrap_cfg_etcd_txn(struct cfg_etcd *e, const struct cfg_etcd_txn_req *r, unsigned timeout_ms, cfg_etcd_txn_fn fn,
                         void *arg)
{
    char key[128];
    (void)e, (void)timeout_ms;
    copy(key, sizeof key, r->success->key);
    struct asked *a = strstr(key, "live/progress/") ? &progress : &observed;
    cr_assert_null(a->fn, "one at a time: %s", key);
    a->n++;
    a->fn = fn;
    a->arg = arg;
    a->lease = r->success->lease;
    a->n_compare = r->n_compare;
    memcpy(a->key, key, sizeof key);
    copy(a->value, sizeof a->value, r->success->value);
    if (r->n_compare > 0) {
        copy(a->guard, sizeof a->guard, r->compare->key);
        a->number = r->compare->number;
    }
}

void answer(struct asked *a, bool well)
{
    const struct cfg_etcd_txn_reply reply = {.succeeded = well};
    cfg_etcd_txn_fn fn = a->fn;
    a->fn = NULL;
    if (fn)
        fn(a->arg, &reply, NULL);
}

void __wrap_cfg_etcd_range(struct cfg_etcd *e, const struct cfg_etcd_range_req *r, unsigned timeout_ms,
                           cfg_etcd_range_fn fn, void *arg);
void __wrap_cfg_etcd_range(struct cfg_etcd *e, const struct cfg_etcd_range_req *r, unsigned timeout_ms,
                           cfg_etcd_range_fn fn, void *arg)
{
    (void)e, (void)timeout_ms;
    cr_assert_null(history.fn);
    history.n++;
    copy(history.key, sizeof history.key, r->key);
    history.fn = fn;
    history.arg = arg;
}

void answer_history(int64_t revision)
{
    struct cfg_etcd_kv kv = {.mod_revision = revision};
    const struct cfg_etcd_range_reply reply = {.kvs = &kv, .n = 1};
    cfg_etcd_range_fn fn = history.fn;
    history.fn = NULL;
    if (fn)
        fn(history.arg, &reply, NULL);
}

void __wrap_cfg_service_change(struct cfg_service *s, struct cfg_change *c, const char *idempotency_key,
                               cfg_change_fn fn, void *arg);
void __wrap_cfg_service_change(struct cfg_service *s, struct cfg_change *c, const char *idempotency_key,
                               cfg_change_fn fn, void *arg)
{
    (void)s, (void)idempotency_key;
    cr_assert_null(decision.fn, "one decision at a time");
    decision.n++;
    decision.fn = fn;
    decision.arg = arg;
    decision.has_if_version = c->entries->has_if_version;
    decision.if_version = c->entries->if_version;
    (void)snprintf(decision.input, sizeof decision.input, "%s", cfg_json_get_str(c->entries->body, "input", ""));
    (void)snprintf(decision.author, sizeof decision.author, "%s", c->author);
    cfg_change_finish(c);
}

void answer_decision(void)
{
    cfg_change_fn fn = decision.fn;
    decision.fn = NULL;
    if (fn)
        fn(decision.arg, NULL, false, NULL);
}

int __wrap_cfg_lease_lock_new(struct cfg_lease_lock **out, const struct cfg_lease_lock_options *o,
                              struct cfg_error *err);
int __wrap_cfg_lease_lock_new(struct cfg_lease_lock **out, const struct cfg_lease_lock_options *o,
                              struct cfg_error *err)
{
    (void)out, (void)o, (void)err;
    return 0;
}

void __wrap_cfg_lease_lock_free(struct cfg_lease_lock *l);
void __wrap_cfg_lease_lock_free(struct cfg_lease_lock *l)
{
    (void)l;
}

void __wrap_cfg_lease_lock_want(struct cfg_lease_lock *l, bool want);
void __wrap_cfg_lease_lock_want(struct cfg_lease_lock *l, bool want)
{
    (void)l, (void)want;
}

bool __wrap_cfg_lease_lock_held(const struct cfg_lease_lock *l);
bool __wrap_cfg_lease_lock_held(const struct cfg_lease_lock *l)
{
    (void)l;
    return held;
}

int64_t __wrap_cfg_lease_lock_lease(const struct cfg_lease_lock *l);
int64_t __wrap_cfg_lease_lock_lease(const struct cfg_lease_lock *l)
{
    (void)l;
    return EDGE_LEASE;
}

uint64_t __wrap_cfg_fleet_now_ms(const struct cfg_fleet *fleet);
uint64_t __wrap_cfg_fleet_now_ms(const struct cfg_fleet *fleet)
{
    (void)fleet;
    return now_ms;
}

bool __wrap_cfg_fleet_observe(struct cfg_observation *out, struct cfg_fleet *fleet, const struct cfg_deployment *record,
                              const struct cfg_fleet_lately *of);
bool __wrap_cfg_fleet_observe(struct cfg_observation *out, struct cfg_fleet *fleet, const struct cfg_deployment *record,
                              const struct cfg_fleet_lately *of)
{
    (void)fleet, (void)record;
    lately = *of;
    out->base.workers = seen_workers;
    return true;
}

void __wrap_cfg_fleet_forget_arm(struct cfg_fleet *fleet, const char *deployment, const char *arm,
                                 struct cfg_rev since);
void __wrap_cfg_fleet_forget_arm(struct cfg_fleet *fleet, const char *deployment, const char *arm, struct cfg_rev since)
{
    (void)fleet, (void)deployment, (void)arm;
    history.forgotten++;
    history.since = since;
}

bool __wrap_cfg_fleet_presence_stands(const struct cfg_fleet *fleet, const struct cfg_object *presence);
bool __wrap_cfg_fleet_presence_stands(const struct cfg_fleet *fleet, const struct cfg_object *presence)
{
    (void)fleet, (void)presence;
    return true;
}
