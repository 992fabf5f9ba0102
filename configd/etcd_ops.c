/* The typed requests: print, start, parse, call back. */
#include "configd/etcd_internal.h"

#include <stdlib.h>
#include <string.h>

static void finish_range(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err)
{
    struct cfg_error failure;
    struct cfg_etcd_range_reply reply;
    if (err == NULL && cfg_etcd_range_parse(&reply, body, &failure) != 0)
        err = &failure;
    c->fn.range(c->arg, err ? NULL : &reply, err);
    if (err == NULL)
        cfg_etcd_range_finish(&reply);
}

static void finish_txn(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err)
{
    struct cfg_error failure, unreadable;
    struct cfg_etcd_txn_reply reply;
    if (err == NULL && cfg_etcd_txn_parse(&reply, body, &unreadable) != 0) {
        /* etcd said yes, but to which branch? */
        (void)cfg_fail(&failure, CFG_E_UNKNOWN_OUTCOME, "the transaction's reply cannot be read: %s", unreadable.text);
        err = &failure;
    }
    c->fn.txn(c->arg, err ? NULL : &reply, err);
    if (err == NULL)
        cfg_etcd_txn_finish(&reply);
}

static void finish_lease(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err)
{
    struct cfg_error failure;
    int64_t id = 0, ttl_s = 0;
    if (err == NULL && cfg_etcd_lease_parse(&id, &ttl_s, body, &failure) != 0)
        err = &failure;
    c->fn.lease(c->arg, err ? 0 : id, err ? 0 : ttl_s, err);
}

/* A lease that is gone already is what a revocation wants. */
static void finish_revoke(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err)
{
    (void)body;
    c->fn.done(c->arg, err && strstr(err->text, "lease not found") == NULL ? err : NULL);
}

static void finish_status(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err)
{
    struct cfg_error failure;
    struct cfg_etcd_status reply;
    if (err == NULL && cfg_etcd_status_parse(&reply, body, &failure) != 0)
        err = &failure;
    c->fn.status(c->arg, err ? NULL : &reply, err);
}

static const struct cfg_etcd_call_kind range_kind = {"/v3/kv/range", "range", true, false, false, finish_range};
static const struct cfg_etcd_call_kind txn_kind = {"/v3/kv/txn", "transaction", false, false, false, finish_txn};
/* A grant that ran twice leaves a lease without keys, which expires. */
static const struct cfg_etcd_call_kind grant_kind = {"/v3/lease/grant", "lease grant", true, false, false,
                                                     finish_lease};
static const struct cfg_etcd_call_kind keepalive_kind = {"/v3/lease/keepalive", "lease keepalive", true, false, false,
                                                         finish_lease};
static const struct cfg_etcd_call_kind revoke_kind = {"/v3/lease/revoke", "lease revocation", true, false, false,
                                                      finish_revoke};
static const struct cfg_etcd_call_kind status_kind = {
    "/v3/maintenance/status", "status", true, false, false, finish_status};

static void finish_text(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err)
{
    c->fn.text(c->arg, body, err);
}

static const struct cfg_etcd_call_kind question_kinds[] = {
    [CFG_ETCD_MEMBERS] = {"/v3/cluster/member/list", "list of members", true, false, false, finish_text},
    [CFG_ETCD_ALARMS] = {"/v3/maintenance/alarm", "list of alarms", true, false, false, finish_text},
    [CFG_ETCD_METRICS] = {"/metrics", "metrics", true, false, true, finish_text},
};

/* "Never from inside the call that starts it" cannot be kept without memory for the call itself: like the loop's own
 * queue, that ends the process. */
static struct cfg_etcd_call *need_call(struct cfg_etcd *e, const struct cfg_etcd_call_kind *kind, void *arg)
{
    struct cfg_etcd_call *c = cfg_etcd_call_new(e, kind, arg);
    if (c == NULL)
        abort();
    return c;
}

struct cfg_etcd_call *cfg_etcd_range_call(struct cfg_etcd *e, const struct cfg_etcd_range_req *r, unsigned timeout_ms,
                                          cfg_etcd_range_fn fn, void *arg)
{
    struct cfg_etcd_call *c = need_call(e, &range_kind, arg);
    c->fn.range = fn;
    cfg_etcd_range_print(&c->body, r);
    cfg_etcd_call_start(c, timeout_ms);
    return c;
}

void cfg_etcd_range(struct cfg_etcd *e, const struct cfg_etcd_range_req *r, unsigned timeout_ms, cfg_etcd_range_fn fn,
                    void *arg)
{
    (void)cfg_etcd_range_call(e, r, timeout_ms, fn, arg); /* it lives on by itself */
}

void cfg_etcd_txn(struct cfg_etcd *e, const struct cfg_etcd_txn_req *r, unsigned timeout_ms, cfg_etcd_txn_fn fn,
                  void *arg)
{
    struct cfg_etcd_call *c = need_call(e, &txn_kind, arg);
    c->fn.txn = fn;
    cfg_etcd_txn_print(&c->body, r);
    cfg_etcd_call_start(c, timeout_ms);
}

void cfg_etcd_lease_grant(struct cfg_etcd *e, int64_t ttl_s, cfg_etcd_lease_fn fn, void *arg)
{
    struct cfg_etcd_call *c = need_call(e, &grant_kind, arg);
    c->fn.lease = fn;
    cfg_etcd_lease_grant_print(&c->body, ttl_s);
    cfg_etcd_call_start(c, 0);
}

void cfg_etcd_lease_keepalive(struct cfg_etcd *e, int64_t id, cfg_etcd_lease_fn fn, void *arg)
{
    struct cfg_etcd_call *c = need_call(e, &keepalive_kind, arg);
    c->fn.lease = fn;
    cfg_etcd_lease_id_print(&c->body, id);
    cfg_etcd_call_start(c, 0);
}

void cfg_etcd_lease_revoke(struct cfg_etcd *e, int64_t id, cfg_etcd_done_fn fn, void *arg)
{
    struct cfg_etcd_call *c = need_call(e, &revoke_kind, arg);
    c->fn.done = fn;
    cfg_etcd_lease_id_print(&c->body, id);
    cfg_etcd_call_start(c, 0);
}

void cfg_etcd_status(struct cfg_etcd *e, cfg_etcd_status_fn fn, void *arg)
{
    struct cfg_etcd_call *c = need_call(e, &status_kind, arg);
    c->fn.status = fn;
    cfg_buf_puts(&c->body, "{}");
    cfg_etcd_call_start(c, 0);
}

void cfg_etcd_ask(struct cfg_etcd *e, enum cfg_etcd_question question, cfg_etcd_text_fn fn, void *arg)
{
    struct cfg_etcd_call *c = need_call(e, &question_kinds[question], arg);
    c->fn.text = fn;
    cfg_buf_puts(&c->body, "{}"); /* an alarm request without an action reads */
    cfg_etcd_call_start(c, 0);
}
