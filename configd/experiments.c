#include "configd/experiments_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1400 * 1024, WRITE_TIMEOUT_MS = 3000, SOON_MS = 200, SWEEP_TICKS = 120 };

struct cfg_experiments *experiments_drop(struct experiments_link *l)
{
    struct cfg_experiments *x = l->x;
    if (--l->refs == 0)
        free(l);
    return x;
}

struct experiments_link *experiments_hold(struct cfg_experiments *x)
{
    x->link->refs++;
    return x->link;
}

void experiments_put_prefix(struct cfg_buf *out, const struct cfg_experiments *x, const char *name, uint64_t run)
{
    cfg_buf_printf(out, "%stally/%s/%" PRIu64 "/", x->prefix, name, run);
}

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory for an experiment");
}

/* --- which run --- */

static void free_running(struct running *r)
{
    cfg_tally_finish(&r->tally);
    cfg_experiment_finish(&r->spec);
    free(r);
}

struct running *experiments_find(const struct cfg_experiments *x, const char *name)
{
    struct running *r = x->running;
    while (r && strcmp(r->name, name) != 0)
        r = r->next;
    return r;
}

static bool same_run(const struct running *r, const struct cfg_object *o)
{
    cJSON *record = o->deleted ? NULL : cfg_object_body(o);
    bool same = record && strcmp(cfg_json_get_str(record, "state", ""), "running") == 0 &&
                (uint64_t)cfg_json_get_num(record, "run", 0) == r->spec.run;
    cJSON_Delete(record);
    return same;
}

static void forget(struct cfg_experiments *x, const char *name)
{
    for (struct running **at = &x->running; *at; at = &(*at)->next) {
        struct running *r = *at;
        if (strcmp(r->name, name) != 0)
            continue;
        *at = r->next;
        free_running(r);
        x->idle_ticks = SWEEP_TICKS; /* its totals are in its result, or nobody's any more */
        cfg_timer_start(x->timer, SOON_MS);
        return;
    }
}

/* Without memory it is not counted here until the record or the snapshot comes again. */
static void follow(struct cfg_experiments *x, const struct cfg_object *o)
{
    struct running *r = experiments_find(x, o->id.ns);
    if (r && same_run(r, o)) {
        r->mod_revision = o->mod_revision;
        return;
    }
    if (r)
        forget(x, o->id.ns);
    cJSON *record = o->deleted ? NULL : cfg_object_body(o);
    r = record ? calloc(1, sizeof *r) : NULL;
    if (r && cfg_experiment_read(&r->spec, record, NULL) == 0 && r->spec.running &&
        cfg_tally_init(&r->tally, &r->spec, NULL) == 0) {
        (void)snprintf(r->name, sizeof r->name, "%s", o->id.ns);
        r->since_ms = x->o.clock->wall_ns(x->o.clock->arg) / 1000000u;
        r->mod_revision = o->mod_revision;
        r->next = x->running;
        x->running = r;
        r = NULL;
    }
    if (r)
        free_running(r);
    cJSON_Delete(record);
}

static bool follow_one(struct cfg_object *o, void *arg)
{
    follow(arg, o);
    return true;
}

/* After a fresh snapshot, some may be gone. */
static void forget_gone(struct cfg_experiments *x)
{
    for (struct running *r = x->running, *next; r; r = next) {
        next = r->next;
        const struct cfg_object *o = cfg_store_find(x->o.store, CFG_KIND_EXPERIMENT, r->name, "");
        if (o == NULL || !same_run(r, o))
            forget(x, r->name);
    }
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct cfg_experiments *x = arg;
    (void)rev;
    if (full) {
        forget_gone(x);
        cfg_store_each(x->o.store, CFG_KIND_EXPERIMENT, NULL, follow_one, x);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (changes[i].after && changes[i].after->id.kind == CFG_KIND_EXPERIMENT)
            follow(x, changes[i].after);
        else if (changes[i].before && changes[i].before->id.kind == CFG_KIND_EXPERIMENT)
            forget(x, changes[i].before->id.ns);
    }
}

/* --- samples --- */

static void on_outcome(void *arg, const char *deployment, const cJSON *outcome)
{
    struct cfg_experiments *x = arg;
    const char *flag = cfg_json_get_str(outcome, "flag", "");
    cfg_seen_outcome(&x->seen, deployment, outcome, cfg_fleet_clock_ms(x->o.fleet));
    for (struct running *r = x->running; r; r = r->next)
        if (r->spec.flag && strcmp(r->spec.flag, flag) == 0 && strcmp(r->spec.deployment, deployment) == 0 &&
            cfg_tally_outcome(&r->tally, outcome))
            r->dirty = true;
}

static void on_window(void *arg, const char *deployment, const char *group, const char *arm, const cJSON *metrics)
{
    const struct cfg_experiments *x = arg;
    for (struct running *r = x->running; r; r = r->next)
        if (r->spec.flag == NULL && strcmp(r->spec.deployment, deployment) == 0 &&
            cfg_tally_window(&r->tally, group, arm, metrics))
            r->dirty = true;
}

/* --- keeping --- */

struct save {
    struct experiments_link *link;
    char name[CFG_LIMIT_NAME + 1];
    uint64_t run;
};

static void saved(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct save *s = arg;
    struct cfg_experiments *x = experiments_drop(s->link);
    struct running *r = x ? experiments_find(x, s->name) : NULL;
    if (r && r->spec.run == s->run) {
        r->saving = false;
        r->dirty = r->dirty || err != NULL || !reply->succeeded;
    }
    free(s);
}

void experiments_put_key(struct cfg_buf *out, const struct cfg_experiments *x, const struct running *r)
{
    cfg_buf_printf(out, "%s.%013" PRIu64, x->replica_id, r->since_ms);
}

/* Only while the record is as it is known here: a stopped experiment takes no more. */
void experiments_save(struct cfg_experiments *x, struct running *r)
{
    if (r->saving)
        return;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_EXPERIMENT, r->name, NULL);
    struct save *s = malloc(sizeof *s);
    struct cfg_buf key, head, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&head, 4096);
    cfg_buf_init(&value, TEXT_MAX);
    experiments_put_prefix(&key, x, r->name, r->spec.run);
    experiments_put_key(&key, x, r);
    cfg_buf_puts(&head, x->prefix);
    cfg_object_key(&head, &id);
    cfg_tally_print(&value, &r->tally);
    if (s && !cfg_buf_status(&key) && !cfg_buf_status(&head) && !cfg_buf_status(&value)) {
        const struct cfg_etcd_compare same = {.key = cfg_buf_slice(&head),
                                              .target = CFG_ETCD_MOD,
                                              .result = CFG_ETCD_EQUAL,
                                              .number = (int64_t)r->mod_revision};
        const struct cfg_etcd_op op = {
            .kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&key), .value = cfg_buf_slice(&value)};
        const struct cfg_etcd_txn_req req = {.compare = &same, .n_compare = 1, .success = &op, .n_success = 1};
        *s = (struct save){.link = experiments_hold(x), .run = r->spec.run};
        (void)snprintf(s->name, sizeof s->name, "%s", r->name);
        r->saving = true;
        r->dirty = false;
        cfg_etcd_txn(x->o.etcd, &req, WRITE_TIMEOUT_MS, saved, s);
        s = NULL;
    }
    free(s); /* without memory it is tried again */
    cfg_buf_finish(&key);
    cfg_buf_finish(&head);
    cfg_buf_finish(&value);
}

bool experiments_may_write(const struct cfg_experiments *x)
{
    return cfg_store_ready(x->o.store) && !cfg_store_restoring(x->o.store) &&
           cfg_store_state(x->o.store, NULL) != CFG_REPLICA_FOREIGN;
}

static void on_timer(void *arg)
{
    struct cfg_experiments *x = arg;
    bool may = experiments_may_write(x);
    for (struct running *r = x->running; r && may; r = r->next)
        if (r->dirty)
            experiments_save(x, r);
    if (++x->idle_ticks >= SWEEP_TICKS && may) {
        x->idle_ticks = 0;
        experiments_sweep(x);
    }
    cfg_timer_start(x->timer, CFG_EXPERIMENTS_SAVE_MS);
}

/* --- for plans --- */

/* A variant's registers, its metric, and since when, of what was told of it. */
struct seen_sum {
    struct cfg_experiments_baseline b;
    uint8_t registers[CFG_HLL_REGISTERS];
};

static void add_seen(struct seen_sum *sum, const cJSON *outcome, const char *metric)
{
    struct cfg_moments m;
    struct cfg_parts p;
    const char *units = cfg_json_get_str(outcome, "units", "");
    if (cfg_moments_parse(&m, cfg_json_get(cfg_json_get(outcome, "metrics"), metric), NULL) != 0 ||
        cfg_parts_parse(&p, cfg_json_get(cfg_json_get(outcome, "parts"), metric), NULL) != 0 ||
        !cfg_hll_unite(sum->registers, units))
        return;
    double age = cfg_json_get_num(outcome, "age_ms", 0);
    cfg_moments_merge(&sum->b.metric, &m);
    cfg_parts_merge(&sum->b.parts, &p);
    sum->b.since_ms = age > sum->b.since_ms ? age : sum->b.since_ms;
}

static void add_part(struct seen_sum *sum, const cJSON *part, const char *flag, const char *side, const char *metric)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, cfg_json_get(part, "seen"))
    {
        if (strcmp(cfg_json_get_str(o, "flag", ""), flag) == 0 && strcmp(cfg_json_get_str(o, "variant", ""), side) == 0)
            add_seen(sum, o, metric);
    }
}

bool cfg_experiments_baseline(struct cfg_experiments_baseline *out, const struct cfg_experiments *x, const cJSON *told,
                              const char *deployment, const char *flag, const char *side, const char *metric)
{
    struct seen_sum sum = {.registers = {0}};
    const struct cfg_seen_variant *v = cfg_seen_find(&x->seen, deployment, flag, side);
    size_t i = v ? cfg_seen_metric(v, metric) : 0;
    const cJSON *part;
    if (v && i < v->n_metrics) {
        sum.b = (struct cfg_experiments_baseline){.metric = v->metrics[i],
                                                  .parts = v->parts[i],
                                                  .since_ms = (double)(cfg_fleet_clock_ms(x->o.fleet) - v->since_ms)};
        memcpy(sum.registers, v->registers, sizeof sum.registers);
    }
    cJSON_ArrayForEach(part, cfg_json_get(told, "parts"))
    {
        add_part(&sum, part, flag, side, metric);
    }
    sum.b.units = cfg_hll_estimate(sum.registers);
    if (sum.b.metric.n < 2)
        return false;
    *out = sum.b;
    return true;
}

static bool is_listed(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

size_t cfg_experiments_metrics(const struct cfg_experiments *x, const char *deployment, const char *names[], size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < x->seen.n; i++) {
        const struct cfg_seen_variant *v = x->seen.variants[i];
        for (size_t k = 0; k < v->n_metrics && strcmp(v->deployment, deployment) == 0; k++)
            if (n < max && !is_listed(v->names[k], names, n))
                names[n++] = v->names[k];
    }
    return n;
}

/* --- life --- */

int cfg_experiments_new(struct cfg_experiments **out, const struct cfg_experiments_options *o, struct cfg_error *err)
{
    struct cfg_experiments *x = calloc(1, sizeof *x);
    if (x == NULL)
        return no_memory(err);
    x->o = *o;
    x->prefix = strdup(o->prefix);
    x->replica_id = strdup(o->replica_id);
    x->idle_ticks = SWEEP_TICKS; /* whatever nobody has come to sweep */
    x->link = calloc(1, sizeof *x->link);
    x->timer = cfg_timer_new(o->loop, on_timer, x);
    if (x->prefix == NULL || x->replica_id == NULL || x->link == NULL || x->timer == NULL) {
        cfg_timer_free(x->timer);
        free(x->link);
        free(x->replica_id);
        free(x->prefix);
        free(x);
        return no_memory(err);
    }
    *x->link = (struct experiments_link){x, 1};
    x->listener = (struct cfg_store_listener){.changed = on_changed, .arg = x};
    cfg_store_listen(o->store, &x->listener);
    cfg_store_each(o->store, CFG_KIND_EXPERIMENT, NULL, follow_one, x);
    cfg_fleet_on_samples(o->fleet, &(const struct cfg_fleet_samples){on_outcome, on_window, x});
    cfg_timer_start(x->timer, SOON_MS);
    *out = x;
    return 0;
}

void cfg_experiments_free(struct cfg_experiments *x)
{
    if (x == NULL)
        return;
    cfg_fleet_on_samples(x->o.fleet, NULL);
    cfg_store_unlisten(x->o.store, &x->listener);
    while (x->running) {
        struct running *r = x->running;
        x->running = r->next;
        free_running(r);
    }
    x->link->x = NULL;
    (void)experiments_drop(x->link);
    cfg_timer_free(x->timer);
    cfg_seen_finish(&x->seen);
    free(x->replica_id);
    free(x->prefix);
    free(x);
}
