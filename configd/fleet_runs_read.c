/* Adoptions read back from etcd, and pruned there. */
#include "configd/fleet_body.h"
#include "configd/fleet_runs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOWN = 500,
    KEPT_BATCHES = 1000, /* of one deployment: 64 MiB at most */
    KEPT_DAYS = 90,
    PRUNED_AT_ONCE = 100,
    PRUNE_TIMEOUT_MS = 10000,
};

/* --- reading --- */

struct reading {
    struct fleet_link *link;
    struct fleet_past past;
    char *deployment, *group, *worker; /* owned; group and worker NULL: all */
    uint64_t step;
    int rc;
    cfg_fleet_past_fn fn;
    void *arg;
};

static void free_reading(struct reading *r)
{
    fleet_past_finish(&r->past);
    free(r->deployment);
    free(r->group);
    free(r->worker);
    free(r);
}

static void take_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct reading *r = arg;
    for (size_t i = 0; r->rc == 0 && i < page->n; i++)
        r->rc = fleet_past_take(&r->past, page->kvs[i].value, r->group, r->worker);
}

static void forget_pages(void *arg)
{
    struct reading *r = arg;
    fleet_past_finish(&r->past);
    r->rc = 0;
}

static cJSON *print_past(struct reading *r)
{
    struct fleet_reply reply = {false};
    bool partial = false;
    cJSON *runs = fleet_past_at(&r->past, r->step, SHOWN, &partial), *o = cJSON_CreateObject();
    fleet_put_text(&reply, o, "deployment", r->deployment);
    fleet_put_number(&reply, o, "step", (double)r->step);
    fleet_put_bool(&reply, o, "partial", partial);
    fleet_put(&reply, o, "runs", runs);
    return fleet_finish(&reply, o);
}

static void pages_done(void *arg, int64_t revision, const struct cfg_error *err)
{
    struct reading *r = arg;
    struct cfg_error own = CFG_ERROR_INIT;
    (void)revision;
    if (fleet_link_drop(r->link)) {
        cJSON *reply = err == NULL && r->rc == 0 ? print_past(r) : NULL;
        if (err == NULL && reply == NULL) {
            (void)cfg_fail(&own, CFG_E_NOMEM, "out of memory for what ran when");
            err = &own;
        }
        r->fn(r->arg, reply, err);
    }
    free_reading(r);
}

/* One worker's group, where it is known here: its rank 0 speaks for it. */
static const char *group_of(const struct cfg_fleet *f, const char *deployment, const char *worker)
{
    const struct fleet_worker *w = fleet_find_worker(fleet_find_deployment(f, deployment), worker);
    return w ? w->group : NULL;
}

void cfg_fleet_at(struct cfg_fleet *f, const char *deployment, uint64_t step, const char *group, const char *worker,
                  cfg_fleet_past_fn fn, void *arg)
{
    static const struct cfg_etcd_list_fns fns = {take_page, forget_pages, pages_done};
    const char *its = worker ? group_of(f, deployment, worker) : NULL;
    if (its && group == NULL) {
        group = its;
        worker = NULL;
    }
    struct reading *r = calloc(1, sizeof *r);
    struct cfg_buf key, end;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&end, 4096);
    cfg_buf_printf(&key, "%sruns/%s/", f->prefix, deployment);
    cfg_etcd_prefix_end(&end, cfg_buf_slice(&key));
    if (r) {
        *r = (struct reading){.step = step, .fn = fn, .arg = arg, .deployment = strdup(deployment)};
        r->group = group ? strdup(group) : NULL;
        r->worker = worker ? strdup(worker) : NULL;
    }
    if (r == NULL || r->deployment == NULL || (group && r->group == NULL) || (worker && r->worker == NULL) ||
        cfg_buf_status(&key) != 0 || cfg_buf_status(&end) != 0) {
        struct cfg_error err;
        (void)cfg_fail(&err, CFG_E_NOMEM, "out of memory for what ran when");
        if (r)
            free_reading(r);
        fn(arg, NULL, &err);
    } else {
        r->link = fleet_link_hold(f);
        cfg_etcd_list(f->etcd, cfg_buf_slice(&key), cfg_buf_slice(&end), 0, &fns, r);
    }
    cfg_buf_finish(&key);
    cfg_buf_finish(&end);
}

/* --- pruning --- */

struct pruning {
    struct fleet_link *link;
    uint64_t before_ms; /* what was written before goes; 0: as many of the oldest as are too many */
};

static void pruned(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    (void)reply;
    (void)err; /* tried again in an hour */
    (void)fleet_link_drop(arg);
}

/* When a batch was written, by its key; 0: it is no key of ours. */
static uint64_t time_of(struct cfg_slice key)
{
    size_t at = key.len;
    while (at > 0 && key.ptr[at - 1] != '/')
        at--;
    uint64_t ms = 0;
    size_t digits = 0;
    for (; at < key.len && key.ptr[at] >= '0' && key.ptr[at] <= '9' && digits < 18; at++, digits++)
        ms = ms * 10 + (uint64_t)(key.ptr[at] - '0');
    return digits == 13 ? ms : 0;
}

static void delete_keys(struct cfg_fleet *f, const struct cfg_etcd_kv *kvs, size_t n)
{
    struct cfg_etcd_op ops[PRUNED_AT_ONCE];
    struct cfg_buf meta;
    cfg_buf_init(&meta, 4096);
    cfg_buf_printf(&meta, "%smeta/store", f->prefix);
    for (size_t i = 0; i < n; i++)
        ops[i] = (struct cfg_etcd_op){.kind = CFG_ETCD_DELETE, .key = kvs[i].key};
    struct cfg_etcd_compare same_store = {.key = cfg_buf_slice(&meta),
                                          .target = CFG_ETCD_MOD,
                                          .result = CFG_ETCD_EQUAL,
                                          .number = (int64_t)cfg_store_identity(f->store)->mod_revision};
    struct cfg_etcd_txn_req req = {.compare = &same_store, .n_compare = 1, .success = ops, .n_success = n};
    if (n > 0 && cfg_buf_status(&meta) == 0)
        cfg_etcd_txn(f->etcd, &req, PRUNE_TIMEOUT_MS, pruned, fleet_link_hold(f));
    cfg_buf_finish(&meta);
}

/* The oldest keys of a range came: how many of them go? */
static void listed(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct pruning *p = arg;
    struct cfg_fleet *f = fleet_link_drop(p->link);
    uint64_t before = p->before_ms;
    free(p);
    if (f == NULL || err || !fleet_may_write(f))
        return;
    size_t n = 0, most = reply->n < PRUNED_AT_ONCE ? reply->n : PRUNED_AT_ONCE;
    if (before == 0 && reply->count > KEPT_BATCHES) {
        n = (size_t)(reply->count - KEPT_BATCHES);
        n = n < most ? n : most;
    }
    while (before > 0 && n < most && time_of(reply->kvs[n].key) > 0 && time_of(reply->kvs[n].key) < before)
        n++;
    delete_keys(f, reply->kvs, n);
}

static void prune_range(struct cfg_fleet *f, const char *deployment, uint64_t before_ms)
{
    struct pruning *p = malloc(sizeof *p);
    struct cfg_buf key, end;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&end, 4096);
    cfg_buf_printf(&key, deployment ? "%sruns/%s/" : "%sruns/", f->prefix, deployment ? deployment : "");
    cfg_etcd_prefix_end(&end, cfg_buf_slice(&key));
    if (p && cfg_buf_status(&key) == 0 && cfg_buf_status(&end) == 0) {
        *p = (struct pruning){fleet_link_hold(f), before_ms};
        const struct cfg_etcd_range_req req = {.key = cfg_buf_slice(&key),
                                               .range_end = cfg_buf_slice(&end),
                                               .limit = PRUNED_AT_ONCE,
                                               .keys_only = true,
                                               .by_mod = deployment == NULL};
        cfg_etcd_range(f->etcd, &req, PRUNE_TIMEOUT_MS, listed, p);
        p = NULL;
    }
    free(p);
    cfg_buf_finish(&key);
    cfg_buf_finish(&end);
}

void fleet_runs_prune(struct cfg_fleet *f)
{
    uint64_t now_ms = f->clock->wall_ns(f->clock->arg) / 1000000u, kept_ms = KEPT_DAYS * 86400000ull;
    if (!fleet_may_write(f))
        return;
    prune_range(f, NULL, now_ms > kept_ms ? now_ms - kept_ms : 1);
    for (const struct fleet_deployment *d = f->deployments; d; d = d->next)
        if (d->queue)
            prune_range(f, d->name, 0);
}
