/* One write, from its decision to its reply.
 *
 *   sources from history → decide on the replica → ONE guarded transaction → shown by the replica → reply
 *
 * Every outcome of a decision goes through the transaction, also "nothing changes" and a refusal: its guards tell
 * whether the replica was up to date. A failed compare: the first write's record in history comes back in the same
 * round trip; ours there means that an earlier attempt, whose reply was lost, succeeded. Otherwise something that was
 * read has moved, so the op waits until the replica shows that, and decides again. The guards are revisions that never
 * come back, so an attempt that has failed once can never succeed late. */
#include "configd/service_internal.h"

#include <stdlib.h>
#include <string.h>

enum { ATTEMPT_MS = 3000, ATTEMPT_AWAY_MS = 1000, PAUSE_MS = 50, RECORD_BYTES = 4096 };

/* --- may anything be written now? --- */

static int check_gate(const struct cfg_service *s, struct cfg_error *err)
{
    const struct cfg_error *why = NULL;
    enum cfg_replica_state state = cfg_store_state(s->store, &why);
    if (state == CFG_REPLICA_FOREIGN) {
        (void)cfg_fail(err, CFG_E_FOREIGN_STORE, "etcd holds another store than the one this configd follows: %s",
                       why ? why->text : "nothing is written to it");
        cfg_error_set_hint(err, "point configd at the right etcd, or restore a backup there and restart configd");
        return err->code;
    }
    if (cfg_store_restoring(s->store)) {
        (void)cfg_fail(err, CFG_E_UNAVAILABLE, "a restore is under way, or was broken off");
        cfg_error_set_hint(err, "wait for it; if it was broken off, run cfgctl restore again");
        return err->code;
    }
    if (!cfg_store_ready(s->store))
        return cfg_fail(err, CFG_E_NOT_READY, "this configd has not read the store yet");
    return 0;
}

/* --- what an entry needs from history --- */

static void fetch_sources(struct cfg_op *op);

static void got_source(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_op *op = arg;
    if (!cfg_job_alive(&op->job))
        return;
    if (err) {
        cfg_op_fail(op, err);
        return;
    }
    struct cfg_error bad = CFG_ERROR_INIT;
    struct cfg_change_entry *e = &op->change.entries[op->next_source];
    struct cfg_object *source = NULL;
    if ((reply->n > 0 && cfg_service_read_record(&source, op->job.service, &reply->kvs[0], &bad) != 0) ||
        cfg_change_add_source(e, source, &bad) != 0) {
        cfg_op_fail(op, &bad);
        return;
    }
    fetch_sources(op);
}

static struct cfg_object *get_head(void *arg, const struct cfg_object_id *id)
{
    const struct cfg_service *s = arg;
    return cfg_store_get(s->store, id);
}

static void each_head(void *arg, enum cfg_kind kind, const char *ns, bool (*fn)(struct cfg_object *o, void *fn_arg),
                      void *fn_arg)
{
    const struct cfg_service *s = arg;
    cfg_store_each(s->store, kind, ns, fn, fn_arg);
}

static struct cfg_heads heads_of(struct cfg_service *s)
{
    return (struct cfg_heads){.get = get_head, .each = each_head, .arg = s, .schemas = s->schemas, .crew = s->crew};
}

static void fetch_source(struct cfg_op *op, const struct cfg_object_id *id, uint64_t version)
{
    struct cfg_service *s = op->job.service;
    struct cfg_buf key;
    cfg_service_key(&key, s, "");
    cfg_object_history_key(&key, id, version);
    const struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&key)};
    op->state = CFG_OP_ASKING;
    cfg_etcd_range(s->etcd, &r, ATTEMPT_MS, got_source, op);
    cfg_buf_finish(&key);
}

static void fetch_sources(struct cfg_op *op)
{
    struct cfg_service *s = op->job.service;
    const struct cfg_heads heads = heads_of(s);
    struct cfg_object_id id;
    uint64_t version;
    struct cfg_error err;
    for (; op->next_source < op->change.n; op->next_source++) {
        struct cfg_change_entry *e = &op->change.entries[op->next_source];
        while (cfg_change_needs(&id, &version, e, e->n_sources, &heads)) {
            struct cfg_object *head = cfg_store_get(s->store, &id);
            if (head == NULL || head->version != version) {
                fetch_source(op, &id, version);
                return;
            }
            if (cfg_change_add_source(e, cfg_object_ref(head), &err) != 0) {
                cfg_op_fail(op, &err);
                return;
            }
        }
    }
    cfg_op_decide(op);
}

void cfg_op_start(struct cfg_op *op)
{
    struct cfg_error err;
    if (check_gate(op->job.service, &err) != 0)
        cfg_op_fail(op, &err);
    else
        fetch_sources(op);
}

/* --- deciding --- */

/* Refusals that no other state of the store would change. */
static bool is_final(int code)
{
    return code == CFG_E_INVALID || code == CFG_E_ADDRESS || code == CFG_E_JSON || code == CFG_E_NOMEM;
}

void cfg_op_decide(struct cfg_op *op)
{
    struct cfg_service *s = op->job.service;
    const struct cfg_heads heads = heads_of(s);
    struct cfg_error err;
    if (check_gate(s, &err) != 0) {
        cfg_op_fail(op, &err);
        return;
    }
    cfg_decision_finish(&op->decision);
    op->refusal = (struct cfg_error)CFG_ERROR_INIT;
    op->identity = *cfg_store_identity(s->store);
    int rc = cfg_decide(&op->decision, &op->change, &heads, &op->refusal);
    if (rc == 0 && op->idem_key && cfg_idem_record(op, &err) != 0) {
        cfg_op_fail(op, &err); /* sent as a refusal, its writes would be done all the same */
        return;
    }
    if (rc != 0 && (op->change.dry_run || (is_final(rc) && op->idem_key == NULL)))
        cfg_op_fail(op, &op->refusal);
    else if (op->change.dry_run)
        cfg_op_reply(op, op->decision.results, cfg_store_rev(s->store), true);
    else
        cfg_op_send(op);
}

/* --- the transaction --- */

static void add_writes(struct cfg_txn *t, const struct cfg_op *op)
{
    const struct cfg_service *s = op->job.service;
    for (size_t i = 0; i < op->decision.n_writes; i++) {
        const struct cfg_write *w = &op->decision.writes[i];
        struct cfg_slice json = {w->json, w->json_len}, live = cfg_txn_live_key(t, s, &w->id);
        if (w->json)
            cfg_txn_put(t, live, json, 0);
        else
            cfg_txn_delete(t, live, CFG_SLICE_LIT(""));
        if (w->version == 0)
            continue;
        struct cfg_slice record = cfg_txn_history_key(t, s, &w->id, w->version);
        cfg_txn_put(t, record, json, 0);
        if (i == 0)
            cfg_txn_read(t, false, record); /* a failed compare: is ours there? */
    }
}

static void add_idem(struct cfg_txn *t, const struct cfg_op *op)
{
    const struct cfg_service *s = op->job.service;
    if (op->idem_key == NULL)
        return;
    struct cfg_slice key = cfg_txn_key(t, s, op->idem_key);
    const struct cfg_etcd_compare absent = {.key = key, .target = CFG_ETCD_CREATE, .result = CFG_ETCD_EQUAL};
    cfg_txn_read(t, false, key);
    if (op->refusal.code != 0) {
        cfg_txn_read(t, true, key);
        return;
    }
    cfg_txn_compare(t, &absent);
    cfg_txn_put(t, key, cfg_slice_str(op->idem_record), s->idem.lease);
}

static struct cfg_txn *build(const struct cfg_op *op)
{
    const struct cfg_service *s = op->job.service;
    struct cfg_txn *t = cfg_txn_new();
    if (t == NULL)
        return NULL;
    /* The identity that the decision was made under, so that an attempt repeated later is the same attempt. */
    cfg_txn_guard_store(t, s, &op->identity);
    for (size_t i = 0; i < op->decision.n_guards; i++)
        cfg_txn_guard(t, s, &op->decision.guards[i]);
    add_writes(t, op);
    add_idem(t, op);
    return t;
}

static void got_reply(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err);
static void give_up(struct cfg_op *op, const struct cfg_error *why);

static void got_sign_of_life(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    (void)reply;
    struct cfg_op *op = arg;
    if (!cfg_job_alive(&op->job))
        return;
    op->probed = true;
    if (err)
        give_up(op, err);
    else
        cfg_op_send(op);
}

/* While etcd seems to be away, a read goes first: when that fails nothing was written for certain, and the client hears
 * so at once. */
static void look_for_life(struct cfg_op *op)
{
    struct cfg_service *s = op->job.service;
    struct cfg_buf key;
    cfg_service_key(&key, s, "meta/store");
    const struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&key), .count_only = true};
    op->state = CFG_OP_ASKING;
    cfg_etcd_range(s->etcd, &r, ATTEMPT_AWAY_MS, got_sign_of_life, op);
    cfg_buf_finish(&key);
}

void cfg_op_send(struct cfg_op *op)
{
    struct cfg_service *s = op->job.service;
    struct cfg_error err;
    bool away = cfg_store_state(s->store, NULL) != CFG_REPLICA_LIVE && !op->ambiguous;
    if (away && !op->probed) {
        look_for_life(op);
        return;
    }
    if (op->idem_key && op->refusal.code == 0 && !cfg_idem_lease(op))
        return;
    struct cfg_txn *t = build(op);
    if (t == NULL || t->failed) {
        (void)cfg_fail(&err, t ? t->failed : CFG_E_NOMEM, "the change does not fit into one transaction");
        cfg_txn_free(t);
        cfg_op_fail(op, &err);
        return;
    }
    uint64_t timeout = away ? ATTEMPT_AWAY_MS : ATTEMPT_MS, left = cfg_op_left_ms(op);
    op->state = CFG_OP_ASKING;
    cfg_txn_send(t, s, (unsigned)(left < timeout ? left + 1 : timeout), got_reply, op);
    cfg_txn_free(t);
}

/* --- its outcome --- */

/* The answer that was found is about this very attempt, or about an earlier one whose reply was lost. */
static bool is_ours(const struct cfg_op *op, const struct cfg_etcd_kv *kv)
{
    cJSON *tree = NULL;
    bool ours = cfg_json_parse(&tree, kv->value, CFG_ENVELOPE_DEPTH, NULL) == 0 &&
                strcmp(cfg_json_get_str(tree, "request_id", ""), op->change.request_id) == 0;
    cJSON_Delete(tree);
    return ours;
}

static void on_shown(void *arg, const struct cfg_error *err)
{
    struct cfg_op *op = arg;
    struct cfg_rev rev = {op->identity.epoch, op->revision};
    cfg_retention_consider(op->job.service, &op->decision);
    cfg_op_reply(op, op->decision.results, rev, err == NULL);
}

static void show(struct cfg_op *op, uint64_t revision)
{
    struct cfg_service *s = op->job.service;
    op->state = CFG_OP_SHOWING;
    op->revision = revision;
    cfg_store_wait(s->store, s->loop, (struct cfg_rev){op->identity.epoch, revision}, s->visible_timeout_ms, on_shown,
                   op);
}

static void wait_for_store(struct cfg_op *op)
{
    op->state = CFG_OP_BEHIND;
    cfg_timer_start(op->timer, 0);
}

/* The compares failed. Ranges: the first write's record (if any), the idempotency record (if any). */
static void not_committed(struct cfg_op *op, const struct cfg_etcd_txn_reply *reply)
{
    size_t at = 0;
    if (op->decision.n_writes > 0 && at < reply->n) {
        const struct cfg_etcd_range_reply *r = &reply->ranges[at++];
        if (r->n > 0 && is_ours(op, &r->kvs[0])) {
            show(op, (uint64_t)r->kvs[0].mod_revision);
            return;
        }
    }
    op->ambiguous = false; /* no attempt until now can have succeeded, or ever will */
    if (op->idem_key && at < reply->n && reply->ranges[at].n > 0)
        cfg_idem_answer(op, &reply->ranges[at].kvs[0]);
    else
        wait_for_store(op);
}

static void committed(struct cfg_op *op, const struct cfg_etcd_txn_reply *reply)
{
    if (op->refusal.code != 0) {
        if (op->idem_key && reply->n > 0 && reply->ranges[0].n > 0)
            cfg_idem_answer(op, &reply->ranges[0].kvs[0]);
        else
            cfg_op_fail(op, &op->refusal);
    } else if (op->decision.n_writes > 0) {
        show(op, (uint64_t)reply->header.revision);
    } else {
        cfg_op_reply(op, op->decision.results, cfg_store_rev(op->job.service->store), true);
    }
}

/* etcd may say NOSPACE about a write that it has applied (the quota is checked again behind it), so look. */
static void got_record(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_op *op = arg;
    struct cfg_error full;
    if (!cfg_job_alive(&op->job))
        return;
    if (err == NULL && reply->n > 0 && is_ours(op, &reply->kvs[0])) {
        show(op, (uint64_t)reply->kvs[0].mod_revision);
        return;
    }
    (void)cfg_fail(&full, err ? CFG_E_UNKNOWN_OUTCOME : CFG_E_STORE_FULL,
                   err ? "etcd is out of space, and whether this write came through could not be read: %s"
                       : "etcd is out of space: nothing can be written until it has room again%s",
                   err ? err->text : "");
    cfg_error_set_hint(&full, "compact and defragment etcd, then etcdctl alarm disarm");
    cfg_op_fail(op, &full);
}

static void look_for_record(struct cfg_op *op)
{
    struct cfg_service *s = op->job.service;
    struct cfg_buf key;
    cfg_service_key(&key, s, "");
    if (op->decision.n_writes > 0)
        cfg_object_history_key(&key, &op->decision.writes[0].id, op->decision.writes[0].version);
    else
        cfg_buf_puts(&key, op->idem_key ? op->idem_key : "meta/none");
    const struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&key)};
    cfg_etcd_range(s->etcd, &r, ATTEMPT_MS, got_record, op);
    cfg_buf_finish(&key);
}

static void give_up(struct cfg_op *op, const struct cfg_error *why)
{
    struct cfg_error err = *why;
    if (op->ambiguous) {
        (void)cfg_fail(&err, CFG_E_UNKNOWN_OUTCOME, "etcd did not say in time whether the write was done: %s",
                       why->text);
        cfg_error_set_hint(&err,
                           "look at the object's newest version; repeating with the same Idempotency-Key is safe");
    } else if (err.retryable) {
        (void)cfg_error_wrap(&err, "nothing was written");
        cfg_error_set_hint(&err, "reads go on; repeat the write when etcd answers again");
    }
    cfg_op_fail(op, &err);
}

static void got_error(struct cfg_op *op, const struct cfg_error *err)
{
    bool transient = err->code == CFG_E_UNKNOWN_OUTCOME || (op->ambiguous && err->code == CFG_E_UNAVAILABLE);
    op->ambiguous = op->ambiguous || err->code == CFG_E_UNKNOWN_OUTCOME;
    if (transient && cfg_op_left_ms(op) > PAUSE_MS) {
        op->state = CFG_OP_PAUSING;
        cfg_timer_start(op->timer, PAUSE_MS);
    } else if (err->code == CFG_E_STORE_FULL) {
        look_for_record(op);
    } else if (cfg_idem_lease_lost(op, err)) {
        cfg_op_send(op);
    } else {
        give_up(op, err);
    }
}

static void got_reply(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct cfg_op *op = arg;
    if (!cfg_job_alive(&op->job))
        return;
    if (err)
        got_error(op, err);
    else if (reply->succeeded)
        committed(op, reply);
    else
        not_committed(op, reply);
}

/* --- behind: the transaction saw what the replica does not show yet --- */

static bool newer(struct cfg_object *o, void *arg)
{
    uint64_t *limit = arg;
    if (o->mod_revision <= *limit)
        return true;
    *limit = UINT64_MAX;
    return false;
}

static bool has_moved(const struct cfg_service *s, const struct cfg_guard *g)
{
    const struct cfg_object *o;
    uint64_t limit = g->mod_revision;
    switch (g->kind) {
    case CFG_GUARD_HEAD:
        o = cfg_store_get(s->store, &g->id);
        return (o ? o->mod_revision : 0) != g->mod_revision;
    case CFG_GUARD_SPACE:
        cfg_store_each(s->store, g->id.kind, g->id.ns[0] ? g->id.ns : NULL, newer, &limit);
        return limit == UINT64_MAX;
    case CFG_GUARD_HISTORY:
        break;
    }
    return false;
}

/* History is not followed: a version that retention took away is looked up again. */
static bool drop_sources(struct cfg_op *op)
{
    bool dropped = false;
    for (size_t i = 0; i < op->change.n; i++) {
        struct cfg_change_entry *e = &op->change.entries[i];
        if (e->id.kind != CFG_KIND_DEPLOYMENT && e->id.kind != CFG_KIND_ROLLOUT)
            continue;
        dropped = dropped || e->n_sources > 0;
        cfg_change_drop_sources(e);
    }
    op->next_source = 0;
    return dropped;
}

void cfg_op_behind(struct cfg_op *op)
{
    struct cfg_service *s = op->job.service;
    const struct cfg_store_identity *id = cfg_store_identity(s->store);
    bool moved = id->mod_revision != op->identity.mod_revision || id->epoch != op->identity.epoch;
    struct cfg_error err;
    for (size_t i = 0; i < op->decision.n_guards && !moved; i++)
        moved = has_moved(s, &op->decision.guards[i]);
    uint64_t left = cfg_op_left_ms(op);
    if (left > 0 && (moved || drop_sources(op))) {
        fetch_sources(op);
    } else if (left > 0) {
        cfg_timer_start(op->timer, left);
    } else if (check_gate(s, &err) != 0) {
        cfg_op_fail(op, &err);
    } else {
        (void)cfg_fail(&err, CFG_E_CONFLICT, "what the write was decided on kept changing; nothing was written");
        err.retryable = true;
        cfg_error_set_hint(&err, "repeat it; if that goes on, look with etcdctl for a foreign record under this key");
        cfg_op_fail(op, &err);
    }
}
