/* What follows from what is seen: bake time, and decisions. */
#include "configd/etcd.h"
#include "configd/rollouts_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROGRESS_MS = 2000,                /* between two records of bake time */
    GAP_MAX_MS = 4 * ROLLOUTS_TICK_MS, /* a longer one was no baking under watch: this process stood still */
    WRITE_TIMEOUT_MS = 3000,
};

/* --- progress --- */

uint64_t rollouts_progress(const struct cfg_rollouts *r, const struct rollout_drive *d)
{
    const struct cfg_object *o = cfg_store_find(r->o.store, CFG_KIND_PROGRESS, d->rollout.deployment, "");
    cJSON *tree = o ? cfg_object_tree(o) : NULL;
    bool ours = cfg_json_get_num(tree, "run", 0) == (double)d->rollout.run &&
                cfg_json_get_num(tree, "step", -1) == (double)d->rollout.state.step;
    double baked = ours ? cfg_json_get_num(tree, "baked_ms", 0) : 0;
    cJSON_Delete(tree);
    return baked > 0 ? (uint64_t)baked : 0;
}

struct writing {
    struct rollouts_link *link;
    char deployment[CFG_LIMIT_NAME + 1];
};

static struct rollout_drive *back(struct writing *w)
{
    struct cfg_rollouts *r = rollouts_drop(w->link);
    struct rollout_drive *d = r ? rollouts_find(r, w->deployment) : NULL;
    free(w);
    return d;
}

static struct writing *forth(struct cfg_rollouts *r, const struct rollout_drive *d)
{
    struct writing *w = calloc(1, sizeof *w);
    if (w) {
        w->link = rollouts_hold(r);
        memcpy(w->deployment, d->rollout.deployment, sizeof w->deployment);
    }
    return w;
}

static void noted(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct rollout_drive *d = back(arg);
    (void)reply, (void)err; /* a successor bakes a little longer, then */
    if (d)
        d->noting = false;
}

/* Under the very version of the rollout that bakes, by whoever drives it. */
static void note_progress(struct cfg_rollouts *r, struct rollout_drive *d)
{
    const struct cfg_object *head = cfg_store_find(r->o.store, CFG_KIND_ROLLOUT, d->rollout.deployment, "");
    struct writing *w = head ? forth(r, d) : NULL;
    struct cfg_buf key, guard, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&guard, 4096);
    cfg_buf_init(&value, 4096);
    cfg_buf_printf(&key, "%slive/progress/%s", r->prefix, d->rollout.deployment);
    cfg_buf_printf(&guard, "%slive/rollout/%s", r->prefix, d->rollout.deployment);
    cfg_buf_printf(&value, "{\"run\":%llu,\"step\":%u,\"baked_ms\":%llu}", (unsigned long long)d->rollout.run,
                   d->rollout.state.step, (unsigned long long)d->baked_ms);
    const struct cfg_etcd_compare same = {.key = cfg_buf_slice(&guard),
                                          .target = CFG_ETCD_MOD,
                                          .result = CFG_ETCD_EQUAL,
                                          .number = head ? (int64_t)head->mod_revision : 0};
    const struct cfg_etcd_op put = {.kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&key), .value = cfg_buf_slice(&value)};
    const struct cfg_etcd_txn_req req = {.compare = &same, .n_compare = 1, .success = &put, .n_success = 1};
    if (w && !cfg_buf_status(&key) && !cfg_buf_status(&guard) && !cfg_buf_status(&value)) {
        d->noting = true;
        d->progress_ms = d->baked_ms;
        cfg_etcd_txn(r->o.etcd, &req, WRITE_TIMEOUT_MS, noted, w);
    } else if (w) {
        (void)back(w);
    }
    cfg_buf_finish(&key);
    cfg_buf_finish(&guard);
    cfg_buf_finish(&value);
}

/* Bake time counts while the step bakes, this process looks and the canary is there to be looked at: that workers which
 * are gone report nothing wrong is no good sign. */
static void count_time(struct cfg_rollouts *r, struct rollout_drive *d)
{
    uint64_t now = rollouts_now_ms(r), gap = now - d->ticked_ms;
    bool looked = d->taken && d->ticked_version == d->version && gap < GAP_MAX_MS;
    d->ticked_ms = now;
    d->ticked_version = d->version;
    if (!d->taken) {
        d->taken = true;
        d->baked_ms = rollouts_progress(r, d);
        d->progress_ms = d->baked_ms;
        d->dying = false;
        d->dying_ms = 0;
    }
    uint64_t credit = d->short_of         ? 0
                      : d->dying_ms < gap ? d->dying_ms
                                          : gap; /* who comes back only to die again has not come back */
    d->dying_ms = !d->dying ? d->dying_ms - credit : looked ? d->dying_ms + gap : d->dying_ms;
    if (d->rollout.state.phase != CFG_ROLLOUT_BAKING || !looked || !d->watched)
        return;
    d->baked_ms += gap;
    if (!d->noting && d->baked_ms - d->progress_ms >= PROGRESS_MS)
        note_progress(r, d);
}

/* --- decisions --- */

static void decided(void *arg, const cJSON *result, bool visible, const struct cfg_error *err)
{
    struct rollout_drive *d = back(arg);
    (void)result, (void)visible, (void)err; /* refused or lost: the next tick looks at what is now */
    if (d)
        d->deciding = false;
}

static char *message_of(const struct cfg_rollout *r, const struct cfg_rollout_verdict *v)
{
    char text[CFG_GUARD_TEXT + 600];
    unsigned step = r->state.step, n = r->n_steps;
    double share = r->steps[step].share * 100, next = step + 1 < n ? r->steps[step + 1].share * 100 : 100;
    switch (v->input) {
    case CFG_ROLLOUT_DUE:
        (void)snprintf(text, sizeof text, "rollout: step 1 of %u, %.6g %%: %s", n, r->steps[0].share * 100, v->why);
        break;
    case CFG_ROLLOUT_PASSED:
        if (r->steps[step].gate)
            (void)snprintf(text, sizeof text, "rollout: step %u of %u waits for an approval: %s", step + 1, n, v->why);
        else if (step + 1 == n)
            (void)snprintf(text, sizeof text, "rollout: finished: %s", v->why);
        else
            (void)snprintf(text, sizeof text, "rollout: step %u of %u, %.6g %%: %s", step + 2, n, next, v->why);
        break;
    case CFG_ROLLOUT_FAILED:
        (void)snprintf(text, sizeof text, "rolled back from %.6g %%: %s", share, v->why);
        break;
    default:
        (void)snprintf(text, sizeof text, "rollout: %s: %s", cfg_rollout_input_name(v->input), v->why);
        break;
    }
    return cfg_slice_dup(cfg_slice_str(text));
}

/* {"input","why","baked_ms","guards","arms","trace"}; returned-owned, NULL without memory. */
static cJSON *decision_body(const struct cfg_rollouts *r, const struct rollout_drive *d,
                            const struct cfg_rollout_verdict *v, const struct cfg_whole *whole)
{
    cJSON *body = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(body, "input", cfg_rollout_input_name(v->input)) &&
              cJSON_AddStringToObject(body, "why", v->why) &&
              cJSON_AddNumberToObject(body, "baked_ms", (double)d->baked_ms);
    ok = ok && cfg_json_set(body, "guards", cfg_rollout_readings_json(&d->rollout, v)) == 0;
    ok = ok && cfg_json_set(body, "arms", cfg_whole_json(whole)) == 0;
    cJSON *trace = cfg_rollout_trace_json(&d->trace, d->version, &d->rollout, rollouts_now_ms(r));
    ok = ok && (trace == NULL || cfg_json_set(body, "trace", trace) == 0);
    if (ok)
        return body;
    cJSON_Delete(body);
    return NULL;
}

static void decide(struct cfg_rollouts *r, struct rollout_drive *d, const struct cfg_rollout_verdict *v,
                   const struct cfg_whole *whole)
{
    struct cfg_change c = {.entries = calloc(1, sizeof *c.entries), .n = 1};
    struct writing *w = forth(r, d);
    if (c.entries) {
        c.entries[0] = (struct cfg_change_entry){.op = CFG_CHANGE_MERGE_PATCH,
                                                 .id = cfg_object_id_of(CFG_KIND_ROLLOUT, d->rollout.deployment, NULL),
                                                 .has_if_version = true,
                                                 .if_version = d->version,
                                                 .body = decision_body(r, d, v, whole)};
        c.author = cfg_slice_dup(cfg_slice_str(r->replica_id));
        c.message = message_of(&d->rollout, v);
    }
    if (w && c.entries && c.entries[0].body && c.author && c.message) {
        d->deciding = true;
        cfg_service_change(r->o.service, &c, NULL, decided, w);
        return;
    }
    c.n = c.entries ? 1 : 0;
    cfg_change_finish(&c);
    if (w)
        (void)back(w);
}

void rollouts_drive(struct cfg_rollouts *r, struct rollout_drive *d)
{
    struct cfg_rollout_verdict verdict;
    if (!cfg_lease_lock_held(r->lock) || cfg_store_state(r->o.store, NULL) != CFG_REPLICA_LIVE) {
        d->taken = d->watched = d->dying = false; /* whoever drives then, takes it up from the record */
        return;
    }
    count_time(r, d);
    struct cfg_whole *whole = d->deciding ? NULL : calloc(1, sizeof *whole);
    if (whole == NULL)
        return;
    rollouts_collect(whole, r, d);
    const struct cfg_rollout_clock clock = {
        .now_s = rollouts_wall_s(r), .baked_ms = d->baked_ms, .dying_ms = d->dying_ms};
    cfg_rollout_judge(&verdict, &d->rollout, whole, &clock);
    d->watched = verdict.bakes;
    d->dying = verdict.dying;
    d->short_of = verdict.short_of;
    cfg_rollout_trace_add(&d->trace, d->version, &d->rollout, &verdict, rollouts_now_ms(r));
    if (verdict.any)
        decide(r, d, &verdict, whole);
    free(whole);
}
