/* /metrics about rollouts and experiments. Every replica sees all of them, so replicas do not add up here: take the
 * greatest. */
#include "configd/api.h"

#include "configd/experiment_looks.h"
#include "configd/http_auth.h"
#include "configd/rollout_counts.h"
#include "configd/rollouts.h"

#include <stdio.h>
#include <string.h>

enum { GUARD_LABEL = 100 }; /* bytes of a guard's text; its number tells those apart that begin alike */

struct rows {
    struct cfg_app *app;
    const struct cfg_principal *principal;
    cJSON *list; /* {DEPLOYMENT: {"record","live"?,"since"}} of every deployment's newest; live: under way */
};

/* Consumes record. NULL without memory. */
static cJSON *row_of(struct cfg_app *app, const struct cfg_object *o, cJSON *record)
{
    cJSON *row = cJSON_CreateObject(), *live = cfg_rollouts_live(app->rollouts, o->id.ns);
    bool ok =
        cfg_json_set(row, "record", record) == 0 && cJSON_AddNumberToObject(row, "since", (double)cfg_object_time(o));
    if (live)
        ok = cfg_json_set(row, "live", live) == 0 && ok;
    if (ok)
        return row;
    cJSON_Delete(row);
    return NULL;
}

static bool add_row(struct cfg_object *o, void *arg)
{
    struct rows *r = arg;
    cJSON *record = o->deleted ? NULL : cfg_object_tree(o);
    if (record && cfg_principal_sees(r->principal, cfg_json_get_str(record, "config", "")))
        return cfg_json_set(r->list, o->id.ns, row_of(r->app, o, record)) ==
               0; /* without memory the rest is left out */
    cJSON_Delete(record);
    return true;
}

/* "NAME{deployment=D", to be closed. */
static void put_name(struct cfg_buf *out, const char *name, const cJSON *row)
{
    cfg_buf_printf(out, "%s{deployment=", name);
    cfg_metrics_label(out, row->string);
}

static void put_label(struct cfg_buf *out, const char *name, const char *value)
{
    cfg_buf_printf(out, ",%s=", name);
    cfg_metrics_label(out, value);
}

static const cJSON *state_of(const cJSON *row)
{
    return cfg_json_get(cfg_json_get(row, "record"), "state");
}

/* --- where they are --- */

static void put_phases(struct cfg_buf *out, const cJSON *list, int64_t now_s)
{
    const cJSON *row;
    cfg_metrics_head(out, "configd_rollout_phase", "gauge", "1 for the phase of a deployment's newest rollout.");
    cJSON_ArrayForEach(row, list)
    {
        put_name(out, "configd_rollout_phase", row);
        put_label(out, "phase", cfg_json_get_str(state_of(row), "phase", "?"));
        cfg_buf_puts(out, "} 1\n");
    }
    cfg_metrics_head(out, "configd_rollout_phase_seconds", "gauge", "Since its last decision, by the clocks' time.");
    cJSON_ArrayForEach(row, list)
    {
        double since = cfg_json_get_num(row, "since", 0);
        put_name(out, "configd_rollout_phase_seconds", row);
        cfg_buf_printf(out, "} %.17g\n", (double)now_s > since ? (double)now_s - since : 0);
    }
}

/* What runs the new release by the plan: of one that has ended everything, or nothing. */
static double share_of(const cJSON *row)
{
    const char *phase = cfg_json_get_str(state_of(row), "phase", ""),
               *resume = cfg_json_get_str(state_of(row), "resume", phase);
    const cJSON *step = cJSON_GetArrayItem(cfg_json_get(cfg_json_get(row, "record"), "steps"),
                                           (int)cfg_json_get_num(state_of(row), "step", 0));
    static const char *const nobody[] = {"scheduled", "rolling-back", "rolled-back", "aborted"};
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++)
        if (strcmp(resume, nobody[i]) == 0)
            return 0;
    return cfg_json_get_num(step, "share", 0);
}

static void put_shares(struct cfg_buf *out, const cJSON *list)
{
    const cJSON *row;
    cfg_metrics_head(out, "configd_rollout_share", "gauge", "Share of the groups that is to run the new release.");
    cJSON_ArrayForEach(row, list)
    {
        put_name(out, "configd_rollout_share", row);
        cfg_buf_printf(out, "} %.17g\n", share_of(row));
    }
    cfg_metrics_head(out, "configd_rollout_waits", "gauge", "1 for what a rollout that is under way waits for.");
    cJSON_ArrayForEach(row, list)
    {
        if (cfg_json_get(row, "live") == NULL)
            continue;
        put_name(out, "configd_rollout_waits", row);
        put_label(out, "reason", cfg_json_get_str(cfg_json_get(row, "live"), "reason", "?"));
        cfg_buf_puts(out, "} 1\n");
    }
}

static void put_guard(struct cfg_buf *out, const cJSON *row, unsigned number, const cJSON *guard)
{
    const char *text = cfg_json_get_str(guard, "guard", "");
    size_t n = strlen(text);
    char label[GUARD_LABEL + 4];
    if (n > GUARD_LABEL)
        for (n = GUARD_LABEL; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;)
            n--;
    (void)snprintf(label, sizeof label, "%.*s%s", (int)n, text, text[n] ? "…" : "");
    put_name(out, "configd_rollout_guard", row);
    cfg_buf_printf(out, ",n=\"%u\"", number);
    put_label(out, "guard", label);
    put_label(out, "verdict", cfg_json_get_str(guard, "verdict", "?"));
    cfg_buf_puts(out, "} 1\n");
}

static void put_guards(struct cfg_buf *out, const cJSON *list)
{
    const cJSON *row, *guard;
    cfg_metrics_head(out, "configd_rollout_guard", "gauge", "1 for what a guard of a rollout under way says.");
    cJSON_ArrayForEach(row, list)
    {
        unsigned number = 1;
        cJSON_ArrayForEach(guard, cfg_json_get(cfg_json_get(row, "live"), "guards"))
        {
            put_guard(out, row, number++, guard);
        }
    }
    cfg_metrics_head(out, "configd_rollout_observed_age_seconds", "gauge",
                     "Since a replica was last heard to tell what its workers run.");
    cJSON_ArrayForEach(row, list)
    {
        const cJSON *age;
        cJSON_ArrayForEach(age, cfg_json_get(cfg_json_get(row, "live"), "observed"))
        {
            put_name(out, "configd_rollout_observed_age_seconds", row);
            put_label(out, "replica", age->string);
            cfg_buf_printf(out, "} %.17g\n", age->valuedouble / 1000);
        }
    }
}

/* --- how often --- */

static void put_moves(struct cfg_buf *out, const cJSON *row, const struct cfg_rollout_count *n)
{
    put_name(out, "configd_rollout_transitions_total", row);
    cfg_buf_printf(out, ",input=\"start\"} %llu\n", (unsigned long long)n->started);
    for (int i = 0; i < CFG_ROLLOUT_INPUTS; i++) {
        put_name(out, "configd_rollout_transitions_total", row);
        put_label(out, "input", cfg_rollout_input_name((enum cfg_rollout_input)i));
        cfg_buf_printf(out, "} %llu\n", (unsigned long long)n->inputs[i]);
    }
}

static void put_counts(struct cfg_buf *out, const struct cfg_app *app, const cJSON *list)
{
    static const enum cfg_rollout_phase ends[] = {CFG_ROLLOUT_FINISHED, CFG_ROLLOUT_ROLLED_BACK, CFG_ROLLOUT_ABORTED};
    const cJSON *row;
    cfg_metrics_head(out, "configd_rollout_transitions_total", "counter",
                     "Decisions about rollouts that this replica has seen, by what they were taken on.");
    cJSON_ArrayForEach(row, list)
    {
        const struct cfg_rollout_count n = cfg_rollout_counts_get(app->rollout_counts, row->string);
        put_moves(out, row, &n);
    }
    cfg_metrics_head(out, "configd_rollouts_ended_total", "counter", "Rollouts whose end this replica has seen.");
    cJSON_ArrayForEach(row, list)
    {
        const struct cfg_rollout_count n = cfg_rollout_counts_get(app->rollout_counts, row->string);
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            put_name(out, "configd_rollouts_ended_total", row);
            put_label(out, "outcome", cfg_rollout_phase_name(ends[i]));
            cfg_buf_printf(out, "} %llu\n", (unsigned long long)n.ended[ends[i]]);
        }
    }
}

/* --- experiments --- */

struct experiments {
    struct cfg_app *app;
    const struct cfg_principal *principal;
    struct cfg_buf *verdicts;
    size_t running, stopped;
};

static bool add_experiment(struct cfg_object *o, void *arg)
{
    struct experiments *x = arg;
    cJSON *record = o->deleted ? NULL : cfg_object_tree(o);
    bool seen = record && cfg_principal_sees(x->principal, cfg_json_get_str(record, "config", ""));
    bool running = strcmp(cfg_json_get_str(record, "state", ""), "running") == 0;
    const char *verdict = NULL;
    if (seen && running && x->running < CFG_EXPERIMENT_LOOKS_MAX)
        verdict = cfg_experiment_looks_verdict(x->app->experiment_looks, o->id.ns,
                                               (uint64_t)cfg_json_get_num(record, "run", 0));
    if (verdict) {
        cfg_buf_puts(x->verdicts, "configd_experiment_verdict{experiment=");
        cfg_metrics_label(x->verdicts, o->id.ns);
        put_label(x->verdicts, "deployment", cfg_json_get_str(record, "deployment", ""));
        put_label(x->verdicts, "verdict", verdict);
        cfg_buf_puts(x->verdicts, "} 1\n");
    }
    x->running += seen && running;
    x->stopped += seen && !running;
    cJSON_Delete(record);
    return true;
}

static void put_experiments(struct cfg_buf *out, struct cfg_app *app, const struct cfg_principal *p)
{
    struct experiments x = {app, p, out, 0, 0};
    cfg_metrics_head(out, "configd_experiment_verdict", "gauge",
                     "1 for what an experiment that runs says so far, as of the request before.");
    cfg_store_each(app->store, CFG_KIND_EXPERIMENT, NULL, add_experiment, &x);
    cfg_metrics_head(out, "configd_experiments", "gauge", "Experiments that run, and that have ended.");
    cfg_buf_printf(out, "configd_experiments{state=\"running\"} %zu\nconfigd_experiments{state=\"stopped\"} %zu\n",
                   x.running, x.stopped);
}

void cfg_metrics_rollouts(struct cfg_buf *out, struct cfg_app *app, const struct cfg_principal *p)
{
    struct rows r = {app, p, cJSON_CreateObject()};
    if (r.list)
        cfg_store_each(app->store, CFG_KIND_ROLLOUT, NULL, add_row, &r);
    put_phases(out, r.list, cfg_api_now_s(app));
    put_shares(out, r.list);
    put_guards(out, r.list);
    put_counts(out, app, r.list);
    cfg_metrics_head(out, "configd_lock_held", "gauge", "1 where this replica holds a lock: who drives rollouts.");
    cfg_buf_printf(out, "configd_lock_held{lock=\"rollouts\"} %d\n", cfg_rollouts_drives(app->rollouts));
    cJSON_Delete(r.list);
    put_experiments(out, app, p);
}
