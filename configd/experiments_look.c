/* Looks: every process' totals, as etcd has them and as those that can be asked tell them, put together. */
#include "configd/experiments_internal.h"

#include "proto/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_MAX = 64 };

struct look {
    struct experiments_link *link;
    char name[CFG_LIMIT_NAME + 1];
    uint64_t run;
    struct cfg_experiment spec;
    struct cfg_tally sum;
    size_t tallies;          /* other processes' that were added up */
    char *own;               /* the whole key of this process; owned */
    size_t prefix;           /* of it, before REPLICA.SINCE */
    cJSON *told;             /* owned; NULL: nobody was asked */
    bool counted[PARTS_MAX]; /* which of its parts */
    int rc;
    struct cfg_error err;
    cfg_experiments_fn fn;
    void *arg;
};

static void free_look(struct look *l)
{
    cfg_tally_finish(&l->sum);
    cfg_experiment_finish(&l->spec);
    cJSON_Delete(l->told);
    free(l->own);
    free(l);
}

/* What a part tells of this run: {"key","totals"}; NULL: nothing. */
static const cJSON *run_of(const struct look *l, size_t i)
{
    const cJSON *e, *part = i < PARTS_MAX ? cJSON_GetArrayItem(cfg_json_get(l->told, "parts"), (int)i) : NULL;
    cJSON_ArrayForEach(e, cfg_json_get(part, "experiments"))
    {
        if (strcmp(cfg_json_get_str(e, "name", ""), l->name) == 0 && (uint64_t)cfg_json_get_num(e, "run", 0) == l->run)
            return e;
    }
    return NULL;
}

/* Which part is what another process told just now, by its key; PARTS_MAX: none. */
static size_t part_of(const struct look *l, struct cfg_slice key)
{
    size_t i = 0;
    for (; i < PARTS_MAX; i++) {
        const char *name = cfg_json_get_str(run_of(l, i), "key", "");
        size_t n = strlen(name);
        if (n > 0 && key.len == l->prefix + n && memcmp(key.ptr + l->prefix, name, n) == 0)
            break;
    }
    return i;
}

static void take(struct look *l, struct cfg_tally *t)
{
    if (l->rc == 0)
        l->rc = cfg_tally_merge(&l->sum, t, &l->err);
    l->tallies++;
    cfg_tally_finish(t);
}

/* One process' totals as etcd has them, or as it told them, whichever are newer. */
static void take_newer(struct look *l, struct cfg_slice stored, size_t part)
{
    struct cfg_tally t, told;
    l->rc = cfg_tally_parse(&t, &l->spec, stored, &l->err);
    if (l->rc != 0)
        return;
    const cJSON *totals = cfg_json_get(run_of(l, part), "totals");
    if (totals && cfg_tally_read(&told, &l->spec, totals, NULL) == 0) {
        bool newer = cfg_tally_count(&told) >= cfg_tally_count(&t);
        told.p_floor = t.p_floor = fmin(told.p_floor, t.p_floor);
        cfg_tally_finish(newer ? &t : &told);
        t = newer ? told : t;
    }
    if (part < PARTS_MAX)
        l->counted[part] = true;
    take(l, &t);
}

static void take_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct look *l = arg;
    for (size_t i = 0; l->rc == 0 && i < page->n; i++)
        if (!cfg_slice_eq_str(page->kvs[i].key, l->own)) /* what is in memory is newer */
            take_newer(l, page->kvs[i].value, part_of(l, page->kvs[i].key));
}

/* Of processes that have not written any yet. */
static void take_unwritten(struct look *l)
{
    for (size_t i = 0; i < PARTS_MAX; i++) {
        struct cfg_tally t;
        const cJSON *totals = l->counted[i] ? NULL : cfg_json_get(run_of(l, i), "totals");
        if (totals && cfg_tally_read(&t, &l->spec, totals, NULL) == 0)
            take(l, &t);
    }
}

static void forget_pages(void *arg)
{
    struct look *l = arg;
    cfg_tally_finish(&l->sum);
    memset(l->counted, 0, sizeof l->counted);
    l->tallies = 0;
    l->rc = cfg_tally_init(&l->sum, &l->spec, &l->err);
}

/* Whose last word is not in it. */
static bool add_silent(cJSON *report, const struct look *l)
{
    const cJSON *silent = cfg_json_get(l->told, "silent");
    bool partial = silent && silent->child;
    return cJSON_AddBoolToObject(report, "partial", partial) &&
           (!partial || cfg_json_set(report, "silent", cJSON_Duplicate(silent, true)) == 0);
}

static bool add_head(cJSON *report, const struct look *l)
{
    return cJSON_AddStringToObject(report, "name", l->name) &&
           cJSON_AddStringToObject(report, "deployment", l->spec.deployment) &&
           (l->spec.flag == NULL || cJSON_AddStringToObject(report, "flag", l->spec.flag)) &&
           (l->spec.flag || cJSON_AddTrueToObject(report, "arms")) &&
           cJSON_AddStringToObject(report, "state", "running") &&
           cJSON_AddStringToObject(report, "started", l->spec.started) &&
           cJSON_AddNumberToObject(report, "run", (double)l->run) &&
           cJSON_AddNumberToObject(report, "alpha", l->spec.alpha) &&
           cJSON_AddNumberToObject(report, "planned_units", l->spec.planned_units) &&
           cJSON_AddNumberToObject(report, "tallies", (double)l->tallies + 1) && add_silent(report, l);
}

/* What was seen once stays seen, here and by all others: one that makes everything void is written at once. */
static void keep_floor(struct cfg_experiments *x, struct running *r, double p)
{
    bool news = p < CFG_STATS_MISMATCH && r->tally.p_floor >= CFG_STATS_MISMATCH;
    r->dirty = r->dirty || p < r->tally.p_floor;
    r->tally.p_floor = fmin(p, r->tally.p_floor);
    if (news && experiments_may_write(x))
        experiments_save(x, r);
}

/* Of all that was read and of what is in memory here. */
static cJSON *build(struct cfg_experiments *x, struct look *l)
{
    struct running *r = experiments_find(x, l->name);
    if (r == NULL || r->spec.run != l->run) {
        l->rc = cfg_fail(&l->err, CFG_E_NOT_FOUND, "experiment %s has ended", l->name);
        return NULL;
    }
    take_unwritten(l);
    l->rc = l->rc ? l->rc : cfg_tally_merge(&l->sum, &r->tally, &l->err);
    double p = 1;
    cJSON *report = l->rc == 0 ? cfg_tally_report(&l->sum, &p) : NULL;
    if (report && add_head(report, l)) {
        keep_floor(x, r, p);
        return report;
    }
    cJSON_Delete(report);
    l->rc = l->rc ? l->rc : cfg_fail(&l->err, CFG_E_NOMEM, "out of memory for an experiment's report");
    return NULL;
}

static void pages_done(void *arg, int64_t revision, const struct cfg_error *err)
{
    struct look *l = arg;
    struct cfg_experiments *x = experiments_drop(l->link);
    (void)revision;
    if (x) {
        cJSON *report = err == NULL && l->rc == 0 ? build(x, l) : NULL;
        l->fn(l->arg, report, err ? err : l->rc ? &l->err : NULL);
    }
    free_look(l);
}

/* told is consumed. */
static struct look *new_look(struct cfg_experiments *x, const struct running *r, cJSON *told, cfg_experiments_fn fn,
                             void *arg)
{
    struct look *l = calloc(1, sizeof *l);
    struct cfg_buf own;
    if (l == NULL) {
        cJSON_Delete(told);
        return NULL;
    }
    *l = (struct look){.run = r->spec.run, .told = told, .fn = fn, .arg = arg};
    (void)snprintf(l->name, sizeof l->name, "%s", r->name);
    cfg_buf_init(&own, 4096);
    experiments_put_prefix(&own, x, r->name, r->spec.run);
    l->prefix = own.len;
    experiments_put_key(&own, x, r);
    bool ok = cfg_buf_status(&own) == 0 && cfg_experiment_read(&l->spec, r->spec.record, NULL) == 0 &&
              cfg_tally_init(&l->sum, &l->spec, NULL) == 0;
    l->own = ok ? cfg_buf_steal(&own) : NULL;
    cfg_buf_finish(&own);
    if (l->own)
        return l;
    free_look(l);
    return NULL;
}

void cfg_experiments_report(struct cfg_experiments *x, const char *name, cJSON *told, cfg_experiments_fn fn, void *arg)
{
    static const struct cfg_etcd_list_fns fns = {take_page, forget_pages, pages_done};
    const struct running *r = experiments_find(x, name);
    struct cfg_error err;
    struct look *l = NULL;
    if (r)
        l = new_look(x, r, told, fn, arg);
    else
        cJSON_Delete(told);
    if (l == NULL) {
        if (r)
            (void)cfg_fail(&err, CFG_E_NOMEM, "out of memory for an experiment's report");
        else
            (void)cfg_fail(&err, CFG_E_NOT_FOUND, "experiment %s does not run", name);
        fn(arg, NULL, &err);
        return;
    }
    struct cfg_buf end;
    struct cfg_slice key = {l->own, l->prefix};
    cfg_buf_init(&end, 4096);
    cfg_etcd_prefix_end(&end, key);
    l->link = experiments_hold(x);
    cfg_etcd_list(x->o.etcd, key, cfg_buf_slice(&end), 0, &fns, l);
    cfg_buf_finish(&end);
}

/* --- what others are told --- */

static bool put_totals(cJSON *list, const struct cfg_experiments *x, const struct running *r)
{
    struct cfg_buf text;
    cJSON *totals = NULL, *e = cJSON_CreateObject();
    cfg_buf_init(&text, CFG_LIMIT_BODY);
    cfg_tally_print(&text, &r->tally);
    bool ok = e && cfg_buf_status(&text) == 0 && cfg_json_parse(&totals, cfg_buf_slice(&text), 8, NULL) == 0;
    cfg_buf_clear(&text);
    experiments_put_key(&text, x, r);
    ok = ok && cfg_buf_status(&text) == 0 && cJSON_AddStringToObject(e, "key", text.data);
    cfg_buf_finish(&text);
    if (!ok || !cJSON_AddItemToArray(list, e)) {
        cJSON_Delete(e);
        cJSON_Delete(totals);
        return false;
    }
    return cfg_json_set(e, "totals", totals) == 0 && cJSON_AddStringToObject(e, "name", r->name) &&
           cJSON_AddNumberToObject(e, "run", (double)r->spec.run);
}

cJSON *cfg_experiments_part(const struct cfg_experiments *x, const char *deployment)
{
    cJSON *out = cJSON_CreateObject(), *list = NULL, *seen = NULL;
    bool ok = out && cJSON_AddStringToObject(out, "replica", x->replica_id) &&
              (list = cJSON_AddArrayToObject(out, "experiments")) != NULL &&
              (seen = cJSON_AddArrayToObject(out, "seen")) != NULL;
    for (const struct running *r = x->running; ok && r; r = r->next)
        if (strcmp(r->spec.deployment, deployment) == 0)
            ok = put_totals(list, x, r);
    ok = ok && cfg_seen_tell(seen, &x->seen, deployment, cfg_fleet_clock_ms(x->o.fleet));
    if (ok)
        return out;
    cJSON_Delete(out);
    return NULL;
}
