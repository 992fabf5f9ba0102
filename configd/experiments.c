#include "configd/experiments.h"

#include "configd/experiment_seen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1400 * 1024, WRITE_TIMEOUT_MS = 3000, BASELINE_MS = 60000 };

/* An experiment that the store shows as running. */
struct running {
    char name[CFG_LIMIT_NAME + 1];
    uint64_t mod_revision; /* of its record */
    struct cfg_experiment spec;
    struct cfg_tally tally; /* of this process */
    uint64_t since_ms;      /* wall clock; in the key that the tally is kept under */
    bool dirty, saving;     /* dirty: since it was last written */
    struct running *next;
};

/* What requests to etcd hold: their replies may come after the rest is gone. */
struct link {
    struct cfg_experiments *x; /* NULL: gone */
    size_t refs;
};

struct cfg_experiments {
    struct cfg_experiments_options o;
    char *prefix, *replica_id; /* owned */
    struct running *running;
    struct cfg_seen seen;
    struct cfg_store_listener listener;
    struct cfg_timer *timer;
    struct link *link;
};

static struct cfg_experiments *drop_link(struct link *l)
{
    struct cfg_experiments *x = l->x;
    if (--l->refs == 0)
        free(l);
    return x;
}

static struct link *hold_link(struct cfg_experiments *x)
{
    x->link->refs++;
    return x->link;
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

static struct running *find(const struct cfg_experiments *x, const char *name)
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
        return;
    }
}

/* Without memory it is not counted here until the record or the snapshot comes again. */
static void follow(struct cfg_experiments *x, const struct cfg_object *o)
{
    struct running *r = find(x, o->id.ns);
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
static void sweep(struct cfg_experiments *x)
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
        sweep(x);
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
    struct link *link;
    char name[CFG_LIMIT_NAME + 1];
    uint64_t run;
};

static void saved(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct save *s = arg;
    struct cfg_experiments *x = drop_link(s->link);
    struct running *r = x ? find(x, s->name) : NULL;
    if (r && r->spec.run == s->run) {
        r->saving = false;
        r->dirty = r->dirty || err != NULL || !reply->succeeded;
    }
    free(s);
}

/* "tally/EXPERIMENT/RUN/REPLICA.SINCE": what was begun anew, by another process or after a restore, has another key. */
static void put_key(struct cfg_buf *out, const struct cfg_experiments *x, const struct running *r)
{
    cfg_buf_printf(out, "%stally/%s/%" PRIu64 "/%s.%013" PRIu64, x->prefix, r->name, r->spec.run, x->replica_id,
                   r->since_ms);
}

/* Only while the record is as it is known here: a stopped experiment takes no more. */
static void save(struct cfg_experiments *x, struct running *r)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_EXPERIMENT, r->name, NULL);
    struct save *s = malloc(sizeof *s);
    struct cfg_buf key, head, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&head, 4096);
    cfg_buf_init(&value, TEXT_MAX);
    put_key(&key, x, r);
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
        *s = (struct save){.link = hold_link(x), .run = r->spec.run};
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

static void on_timer(void *arg)
{
    struct cfg_experiments *x = arg;
    bool may = cfg_store_ready(x->o.store) && !cfg_store_restoring(x->o.store) &&
               cfg_store_state(x->o.store, NULL) != CFG_REPLICA_FOREIGN;
    for (struct running *r = x->running; r && may; r = r->next)
        if (r->dirty && !r->saving)
            save(x, r);
    cfg_timer_start(x->timer, CFG_EXPERIMENTS_SAVE_MS);
}

/* --- a look --- */

struct look {
    struct link *link;
    char name[CFG_LIMIT_NAME + 1];
    uint64_t run;
    struct cfg_experiment spec;
    struct cfg_tally sum;
    size_t tallies; /* other keys that were added up */
    char *own;      /* the whole key of this process; owned */
    int rc;
    struct cfg_error err;
    cfg_experiments_fn fn;
    void *arg;
};

static void free_look(struct look *l)
{
    cfg_tally_finish(&l->sum);
    cfg_experiment_finish(&l->spec);
    free(l->own);
    free(l);
}

static void take_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct look *l = arg;
    for (size_t i = 0; l->rc == 0 && i < page->n; i++) {
        struct cfg_tally t;
        if (cfg_slice_eq_str(page->kvs[i].key, l->own))
            continue; /* what is in memory is newer */
        l->rc = cfg_tally_parse(&t, &l->spec, page->kvs[i].value, &l->err);
        if (l->rc != 0)
            return;
        l->rc = cfg_tally_merge(&l->sum, &t, &l->err);
        l->tallies++;
        cfg_tally_finish(&t);
    }
}

static void forget_pages(void *arg)
{
    struct look *l = arg;
    cfg_tally_finish(&l->sum);
    l->tallies = 0;
    l->rc = cfg_tally_init(&l->sum, &l->spec, &l->err);
}

static bool add_head(cJSON *report, const struct look *l)
{
    return cJSON_AddStringToObject(report, "name", l->name) &&
           cJSON_AddStringToObject(report, "deployment", l->spec.deployment) &&
           (l->spec.flag == NULL || cJSON_AddStringToObject(report, "flag", l->spec.flag)) &&
           (l->spec.flag || cJSON_AddTrueToObject(report, "arms")) &&
           cJSON_AddStringToObject(report, "state", "running") &&
           cJSON_AddStringToObject(report, "started", l->spec.started) &&
           cJSON_AddNumberToObject(report, "alpha", l->spec.alpha) &&
           cJSON_AddNumberToObject(report, "planned_units", l->spec.planned_units) &&
           cJSON_AddNumberToObject(report, "tallies", (double)l->tallies + 1);
}

/* Of all that was read and of what is in memory here. */
static cJSON *build(struct cfg_experiments *x, struct look *l)
{
    struct running *r = find(x, l->name);
    if (r == NULL || r->spec.run != l->run) {
        l->rc = cfg_fail(&l->err, CFG_E_NOT_FOUND, "experiment %s has ended", l->name);
        return NULL;
    }
    l->rc = cfg_tally_merge(&l->sum, &r->tally, &l->err);
    double p = 1;
    cJSON *report = l->rc == 0 ? cfg_tally_report(&l->sum, &p) : NULL;
    if (report && add_head(report, l)) {
        r->dirty = r->dirty || p < r->tally.p_floor; /* what was seen once stays seen */
        r->tally.p_floor = p < r->tally.p_floor ? p : r->tally.p_floor;
        return report;
    }
    cJSON_Delete(report);
    l->rc = l->rc ? l->rc : no_memory(&l->err);
    return NULL;
}

static void pages_done(void *arg, int64_t revision, const struct cfg_error *err)
{
    struct look *l = arg;
    struct cfg_experiments *x = drop_link(l->link);
    (void)revision;
    if (x) {
        cJSON *report = err == NULL && l->rc == 0 ? build(x, l) : NULL;
        l->fn(l->arg, report, err ? err : l->rc ? &l->err : NULL);
    }
    free_look(l);
}

static struct look *new_look(struct cfg_experiments *x, const struct running *r, cfg_experiments_fn fn, void *arg)
{
    struct look *l = calloc(1, sizeof *l);
    struct cfg_buf own;
    if (l == NULL)
        return NULL;
    *l = (struct look){.run = r->spec.run, .fn = fn, .arg = arg};
    (void)snprintf(l->name, sizeof l->name, "%s", r->name);
    cfg_buf_init(&own, 4096);
    put_key(&own, x, r);
    bool ok = cfg_buf_status(&own) == 0 && cfg_experiment_read(&l->spec, r->spec.record, NULL) == 0 &&
              cfg_tally_init(&l->sum, &l->spec, NULL) == 0;
    l->own = ok ? cfg_buf_steal(&own) : NULL;
    cfg_buf_finish(&own);
    if (l->own)
        return l;
    free_look(l);
    return NULL;
}

void cfg_experiments_report(struct cfg_experiments *x, const char *name, cfg_experiments_fn fn, void *arg)
{
    static const struct cfg_etcd_list_fns fns = {take_page, forget_pages, pages_done};
    const struct running *r = find(x, name);
    struct cfg_error err;
    struct look *l = r ? new_look(x, r, fn, arg) : NULL;
    if (l == NULL) {
        if (r)
            (void)no_memory(&err);
        else
            (void)cfg_fail(&err, CFG_E_NOT_FOUND, "experiment %s does not run", name);
        fn(arg, NULL, &err);
        return;
    }
    struct cfg_buf key, end;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&end, 4096);
    cfg_buf_printf(&key, "%stally/%s/%" PRIu64 "/", x->prefix, r->name, r->spec.run);
    cfg_etcd_prefix_end(&end, cfg_buf_slice(&key));
    l->link = hold_link(x);
    cfg_etcd_list(x->o.etcd, cfg_buf_slice(&key), cfg_buf_slice(&end), 0, &fns, l);
    cfg_buf_finish(&key);
    cfg_buf_finish(&end);
}

/* --- for plans --- */

bool cfg_experiments_baseline(struct cfg_experiments_baseline *out, const struct cfg_experiments *x,
                              const char *deployment, const char *flag, const char *side, const char *metric)
{
    uint64_t now = cfg_fleet_clock_ms(x->o.fleet);
    if (flag == NULL) {
        struct cfg_fleet_window w;
        if (!cfg_fleet_window(&w, x->o.fleet, deployment, side, now > BASELINE_MS ? now - BASELINE_MS : 0, now + 1,
                              metric) ||
            w.metric.n < 2)
            return false;
        *out = (struct cfg_experiments_baseline){.metric = w.metric, .since_ms = BASELINE_MS};
        return true;
    }
    const struct cfg_seen_variant *v = cfg_seen_find(&x->seen, deployment, flag, side);
    const struct cfg_moments *m = v ? cfg_seen_metric(v, metric) : NULL;
    if (m == NULL || m->n < 2)
        return false;
    *out = (struct cfg_experiments_baseline){
        .metric = *m, .units = cfg_hll_estimate(v->registers), .since_ms = (double)(now - v->since_ms)};
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
    *x->link = (struct link){x, 1};
    x->listener = (struct cfg_store_listener){.changed = on_changed, .arg = x};
    cfg_store_listen(o->store, &x->listener);
    cfg_store_each(o->store, CFG_KIND_EXPERIMENT, NULL, follow_one, x);
    cfg_fleet_on_samples(o->fleet, &(const struct cfg_fleet_samples){on_outcome, on_window, x});
    cfg_timer_start(x->timer, CFG_EXPERIMENTS_SAVE_MS);
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
    (void)drop_link(x->link);
    cfg_timer_free(x->timer);
    cfg_seen_finish(&x->seen);
    free(x->replica_id);
    free(x->prefix);
    free(x);
}
