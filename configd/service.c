/* The service's life, its jobs, and the order of writes.
 *
 * Writes that touch the same namespace (or deployment) through this replica go one after another: each is decided on
 * what the one before it left behind, so that many writers on one namespace do not throw each other back. Others run
 * side by side. */
#include "configd/service_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- jobs --- */

void cfg_job_begin(struct cfg_service *s, struct cfg_job *job)
{
    job->service = s;
    job->prev = NULL;
    job->next = s->jobs;
    if (s->jobs)
        s->jobs->prev = job;
    s->jobs = job;
}

void cfg_job_end(struct cfg_job *job)
{
    if (job->prev)
        job->prev->next = job->next;
    else
        job->service->jobs = job->next;
    if (job->next)
        job->next->prev = job->prev;
}

bool cfg_job_alive(struct cfg_job *job)
{
    if (job->service)
        return true;
    free(job);
    return false;
}

/* --- keys and records --- */

void cfg_service_key(struct cfg_buf *out, const struct cfg_service *s, const char *rest)
{
    cfg_buf_init(out, 4096);
    cfg_buf_puts(out, s->prefix);
    cfg_buf_puts(out, rest);
}

int cfg_service_read_record(struct cfg_object **out, const struct cfg_service *s, const struct cfg_etcd_kv *kv,
                            struct cfg_error *err)
{
    struct cfg_object_id id;
    uint64_t version;
    struct cfg_slice key = kv->key;
    size_t n = strlen(s->prefix);
    if (!cfg_slice_starts(key, s->prefix))
        return cfg_fail(err, CFG_E_ADDRESS, "key '%.*s' lies outside the prefix", (int)key.len, key.ptr);
    key.ptr += n;
    key.len -= n;
    int rc = cfg_object_id_from_history_key(&id, &version, key, err);
    return rc == 0 ? cfg_object_new(out, &id, kv->value, (uint64_t)kv->mod_revision, err) : rc;
}

/* --- the order of writes --- */

/* Namespaces stand for their config and flags; deployments for themselves and
 * their rollouts. */
static bool entries_meet(const struct cfg_change_entry *a, const struct cfg_change_entry *b)
{
    return cfg_kind_is_of_deployment(a->id.kind) == cfg_kind_is_of_deployment(b->id.kind) &&
           strcmp(a->id.ns, b->id.ns) == 0;
}

static bool ops_meet(const struct cfg_op *a, const struct cfg_op *b)
{
    for (size_t i = 0; i < a->change.n; i++)
        for (size_t k = 0; k < b->change.n; k++)
            if (entries_meet(&a->change.entries[i], &b->change.entries[k]))
                return true;
    return false;
}

static bool is_blocked(const struct cfg_op *op)
{
    for (const struct cfg_op *o = op->job.service->first; o != op && !op->change.dry_run; o = o->next)
        if (!o->change.dry_run && ops_meet(o, op))
            return true;
    return false;
}

static void wake_queue(struct cfg_service *s)
{
    for (struct cfg_op *op = s->first; op; op = op->next)
        if (op->state == CFG_OP_QUEUED && !is_blocked(op))
            cfg_timer_start(op->timer, 0);
}

uint64_t cfg_op_left_ms(const struct cfg_op *op)
{
    const struct cfg_clock *clock = op->job.service->clock;
    uint64_t now = clock->monotonic_ns(clock->arg);
    return now >= op->deadline_ns ? 0 : (op->deadline_ns - now + 999999) / 1000000;
}

static void op_unlink(struct cfg_service *s, struct cfg_op *op)
{
    if (op->prev)
        op->prev->next = op->next;
    else
        s->first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        s->last = op->prev;
}

/* Everything but the struct, which an etcd callback may still come back to. */
static void op_clear(struct cfg_op *op)
{
    cfg_timer_free(op->timer);
    cfg_change_finish(&op->change);
    cfg_decision_finish(&op->decision);
    free(op->idem_key);
    free(op->idem_record);
}

/* Takes the op out of the service before anybody is told, so that the teller may start another one. */
static void op_end(struct cfg_op *op, const cJSON *body, bool visible, const struct cfg_error *err)
{
    struct cfg_service *s = op->job.service;
    cfg_change_fn fn = op->fn;
    void *arg = op->arg;
    op_unlink(s, op);
    cfg_job_end(&op->job);
    op_clear(op);
    free(op);
    fn(arg, body, visible, err);
    wake_queue(s);
}

void cfg_op_fail(struct cfg_op *op, const struct cfg_error *err)
{
    struct cfg_error copy = *err;
    cJSON *details = op->decision.violations && err == &op->refusal ? cJSON_CreateObject() : NULL;
    if (details && cfg_json_set(details, "violations", op->decision.violations) == 0)
        op->decision.violations = NULL;
    op_end(op, details, false, &copy);
    cJSON_Delete(details);
}

void cfg_op_reply(struct cfg_op *op, const cJSON *results, struct cfg_rev rev, bool visible)
{
    char text[CFG_REV_TEXT];
    struct cfg_error err;
    cJSON *body = cJSON_CreateObject();
    if (body && cJSON_AddStringToObject(body, "revision", cfg_rev_format(rev, text)) &&
        cJSON_AddBoolToObject(body, "visible", visible) && cJSON_AddBoolToObject(body, "dry_run", op->change.dry_run) &&
        cfg_json_set(body, "results", cJSON_Duplicate(results, true)) == 0) {
        op_end(op, body, visible, NULL);
    } else {
        (void)cfg_fail(&err, CFG_E_NOMEM, "the write was done, but there is no memory for its reply");
        op_end(op, NULL, visible, &err);
    }
    cJSON_Delete(body);
}

static void op_cancel(struct cfg_job *job, const struct cfg_error *err)
{
    struct cfg_op *op = (struct cfg_op *)(void *)job;
    bool asked = op->state == CFG_OP_ASKING;
    cfg_change_fn fn = op->fn;
    void *arg = op->arg;
    op_clear(op);
    if (!asked)
        free(op);
    fn(arg, NULL, false, err);
}

/* The pause that the op's state was waiting for is over. */
static void op_timer(void *arg)
{
    struct cfg_op *op = arg;
    struct cfg_error err;
    switch (op->state) {
    case CFG_OP_QUEUED:
        if (!is_blocked(op)) {
            cfg_op_start(op);
        } else if (cfg_op_left_ms(op) == 0) {
            (void)cfg_fail(&err, CFG_E_UNAVAILABLE,
                           "other writes to the same object have not ended; nothing was written");
            cfg_op_fail(op, &err);
        } else {
            cfg_timer_start(op->timer, cfg_op_left_ms(op));
        }
        break;
    case CFG_OP_PAUSING:
        cfg_op_send(op);
        break;
    case CFG_OP_BEHIND:
        cfg_op_behind(op);
        break;
    case CFG_OP_ASKING:
    case CFG_OP_SHOWING:
        break;
    }
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    (void)rev, (void)changes, (void)n, (void)full;
    struct cfg_service *s = arg;
    for (struct cfg_op *op = s->first; op; op = op->next)
        if (op->state == CFG_OP_BEHIND)
            cfg_timer_start(op->timer, 0);
}

/* --- the public face --- */

static void *need(void *p)
{
    if (p == NULL)
        abort(); /* a write that cannot even be queued cannot be answered either */
    return p;
}

static void fill_change(struct cfg_service *s, struct cfg_change *c)
{
    unsigned char random[16];
    char hex[2 * sizeof random + 1], time[CFG_TIME_TEXT];
    s->clock->random(s->clock->arg, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", random[i]);
    if (c->request_id == NULL)
        c->request_id = need(cfg_slice_dup(cfg_slice_str(hex)));
    if (c->time == NULL)
        c->time = need(cfg_slice_dup(cfg_slice_str(cfg_time_format(s->clock->wall_ns(s->clock->arg), time))));
}

void cfg_service_change(struct cfg_service *s, struct cfg_change *c, const char *idempotency_key, cfg_change_fn fn,
                        void *arg)
{
    struct cfg_op *op = need(calloc(1, sizeof *op));
    op->change = *c;
    *c = (struct cfg_change){0};
    op->fn = fn;
    op->arg = arg;
    op->job.cancel = op_cancel;
    op->timer = need(cfg_timer_new(s->loop, op_timer, op));
    op->deadline_ns = s->clock->monotonic_ns(s->clock->arg) + (uint64_t)s->commit_timeout_ms * 1000000u;
    fill_change(s, &op->change);
    cfg_job_begin(s, &op->job);
    op->prev = s->last;
    if (s->last)
        s->last->next = op;
    else
        s->first = op;
    s->last = op;
    if (idempotency_key && !op->change.dry_run)
        cfg_idem_prepare(op, idempotency_key);
    cfg_timer_start(op->timer, 0);
}

int cfg_service_new(struct cfg_service **out, const struct cfg_service_options *o, struct cfg_error *err)
{
    struct cfg_service *s = calloc(1, sizeof *s);
    char *prefix = cfg_slice_dup(cfg_slice_str(o->prefix));
    struct cfg_schema_cache *schemas = cfg_schema_cache_new();
    if (s == NULL || prefix == NULL || schemas == NULL) {
        free(s);
        free(prefix);
        cfg_schema_cache_free(schemas);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    *s = (struct cfg_service){.loop = o->loop,
                              .etcd = o->etcd,
                              .store = o->store,
                              .clock = o->clock ? o->clock : &cfg_clock_system,
                              .prefix = prefix,
                              .schemas = schemas,
                              .history_versions = o->history_versions,
                              .history_days = o->history_days,
                              .visible_timeout_ms = o->visible_timeout_ms ? o->visible_timeout_ms : 2000,
                              .commit_timeout_ms = o->commit_timeout_ms ? o->commit_timeout_ms : 10000,
                              .listener = {.changed = on_changed}};
    s->listener.arg = s;
    cfg_store_listen(s->store, &s->listener);
    *out = s;
    return 0;
}

void cfg_service_set_crew(struct cfg_service *s, const struct cfg_crew *crew)
{
    s->crew = crew;
}

void cfg_service_free(struct cfg_service *s)
{
    struct cfg_error err;
    if (s == NULL)
        return;
    (void)cfg_fail(&err, CFG_E_CANCELED, "configd is stopping");
    cfg_store_unlisten(s->store, &s->listener);
    while (s->jobs) {
        struct cfg_job *job = s->jobs;
        cfg_job_end(job);
        cfg_store_wait_cancel(s->store, job);
        job->service = NULL;
        job->cancel(job, &err);
    }
    cfg_cache_finish(s);
    cfg_schema_cache_free(s->schemas);
    free(s->prefix);
    free(s);
}
