#include "configd/change_experiment.h"

#include "configd/change_rollout_start.h"
#include "configd/experiment.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int set_text(cJSON *record, const char *key, const char *text)
{
    return cfg_json_set(record, key, cJSON_CreateString(text ? text : ""));
}

/* --- who else runs --- */

/* Running experiments, the one that is looked for and the one that was found. */
struct rivals {
    const struct cfg_draft *own;   /* but this one; NULL: any */
    const char *deployment, *flag; /* NULL: any deployment; without a flag the arms */
    bool whatever;                 /* flags or arms */
    char found[CFG_LIMIT_NAME + 1];
};

static bool is_met(const struct rivals *r, const struct cfg_experiment *x)
{
    if (!x->running || (r->deployment && strcmp(x->deployment, r->deployment) != 0))
        return false;
    if (r->whatever)
        return true;
    return (x->flag == NULL) == (r->flag == NULL) && (x->flag == NULL || strcmp(x->flag, r->flag) == 0);
}

static bool meet(struct cfg_object *o, void *arg)
{
    struct rivals *r = arg;
    struct cfg_experiment x;
    bool is_own = r->own && strcmp(o->id.ns, r->own->id.ns) == 0;
    cJSON *record = o->deleted || is_own ? NULL : cfg_object_body(o);
    if (record == NULL || cfg_experiment_read(&x, record, NULL) != 0) {
        cJSON_Delete(record);
        return true; /* one that nobody can read measures nothing */
    }
    bool met = is_met(r, &x);
    if (met)
        (void)snprintf(r->found, sizeof r->found, "%s", o->id.ns);
    cfg_experiment_finish(&x);
    cJSON_Delete(record);
    return !met;
}

static int find_rival(struct rivals *r, struct cfg_bench *b, struct cfg_error *err)
{
    int rc = cfg_bench_guard_space(b, CFG_KIND_EXPERIMENT, "", err);
    if (rc == 0)
        b->heads->each(b->heads->arg, CFG_KIND_EXPERIMENT, NULL, meet, r);
    return rc;
}

int cfg_experiment_refuse_delete(struct cfg_bench *b, const struct cfg_draft *d, struct cfg_error *err)
{
    char flag[2 * CFG_OBJECT_ID_TEXT];
    bool of_flag = d->id.kind == CFG_KIND_FLAG;
    if (!of_flag && d->id.kind != CFG_KIND_DEPLOYMENT)
        return 0;
    (void)snprintf(flag, sizeof flag, "%s/%s", d->id.ns, d->id.name);
    struct rivals r = {.deployment = of_flag ? NULL : d->id.ns, .flag = of_flag ? flag : NULL, .whatever = !of_flag};
    int rc = find_rival(&r, b, err);
    if (rc != 0 || r.found[0] == '\0')
        return rc;
    (void)cfg_fail(err, CFG_E_CONFLICT, "experiment %s runs on %s %s: it cannot be deleted", r.found,
                   of_flag ? "flag" : "deployment", of_flag ? flag : d->id.ns);
    cfg_error_set_hint(err, "cfgctl experiment stop %s keeps what it says so far", r.found);
    return CFG_E_CONFLICT;
}

/* Two experiments on one flag would each stop the other's units from being compared with its own plan. */
static int check_alone(struct cfg_bench *b, const struct cfg_draft *d, const cJSON *request, struct cfg_error *err)
{
    struct rivals r = {.own = d,
                       .deployment = cfg_json_get_str(request, "deployment", ""),
                       .flag = cfg_json_get_str(request, "flag", NULL)};
    int rc = find_rival(&r, b, err);
    if (rc != 0 || r.found[0] == '\0')
        return rc;
    (void)cfg_fail(err, CFG_E_CONFLICT, "experiment %s runs on %s%s of deployment %s already", r.found,
                   r.flag ? "flag " : "the arms", r.flag ? r.flag : "", r.deployment);
    cfg_error_set_hint(err, "wait for its end, or cfgctl experiment stop %s", r.found);
    return CFG_E_CONFLICT;
}

static int check_ended(const struct cfg_draft *d, struct cfg_error *err)
{
    const char *state = d->before ? cfg_json_get_str(d->before, "state", "") : "";
    if (strcmp(state, "running") != 0)
        return 0;
    (void)cfg_fail(err, CFG_E_CONFLICT, "experiment %s is running already", d->id.ns);
    cfg_error_set_hint(err, "cfgctl experiment report %s shows it; another one needs another name", d->id.ns);
    return CFG_E_CONFLICT;
}

/* --- what it stands on --- */

static int open_flag(struct cfg_draft **out, struct cfg_bench *b, const struct cfg_draft *deployment, const char *flag,
                     struct cfg_error *err)
{
    struct cfg_object_id id;
    const cJSON *ns;
    int rc = cfg_rollout_flag_id(&id, flag, err);
    rc = rc ? rc : cfg_bench_open(out, b, &id, err);
    rc = rc ? rc : cfg_bench_guard_head(b, *out, err);
    if (rc == 0 && (*out)->after == NULL)
        rc = cfg_bench_missing(b, *out, err);
    cJSON_ArrayForEach(ns, cfg_json_get(deployment->after, "flags"))
    {
        if (rc != 0 || (cJSON_IsString(ns) && strcmp(ns->valuestring, id.ns) == 0))
            return rc;
    }
    if (rc != 0)
        return rc;
    (void)cfg_fail(err, CFG_E_VALUE, "deployment %s does not see the flags of %s", deployment->id.ns, id.ns);
    cfg_error_set_path(err, "flag");
    return CFG_E_VALUE;
}

/* *config: the deployment's namespace, borrowed from its draft. */
static int stand(struct cfg_experiment_ground *out, const char **config, struct cfg_bench *b, const cJSON *request,
                 struct cfg_error *err)
{
    struct cfg_draft *deployment, *flag = NULL;
    const char *name = cfg_json_get_str(request, "deployment", ""), *address = cfg_json_get_str(request, "flag", NULL);
    if ((address != NULL) == cfg_json_get_bool(request, "arms", false))
        return cfg_fail(err, CFG_E_INVALID,
                        "an experiment compares the variants of a flag (\"flag\": \"NS/NAME\"), or "
                        "the deployment's arms (\"arms\": true)");
    int rc = cfg_check_name("deployment", cfg_slice_str(name), err);
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_DEPLOYMENT, rc == 0 ? name : "", NULL);
    rc = rc ? rc : cfg_bench_open(&deployment, b, &id, err);
    rc = rc ? rc : cfg_bench_guard_head(b, deployment, err);
    if (rc == 0 && deployment->after == NULL)
        rc = cfg_bench_missing(b, deployment, err);
    if (rc == 0 && address)
        rc = open_flag(&flag, b, deployment, address, err);
    if (rc != 0)
        return rc;
    *config = cfg_json_get_str(deployment->after, "config", "");
    *out = (struct cfg_experiment_ground){.split = cfg_json_get(deployment->after, "split")};
    if (flag) {
        const cJSON *group = cfg_json_get(flag->after, "group"), *holdouts = cfg_json_get(flag->after, "holdouts");
        out->definition = cfg_json_get(flag->after, "definition");
        out->off_variant = cfg_json_get_str(flag->after, "off_variant", NULL);
        out->is_off = strcmp(cfg_json_get_str(out->definition, "state", ""), "DISABLED") == 0;
        out->keeps_out = cJSON_IsObject(group) || (cJSON_IsArray(holdouts) && holdouts->child);
    }
    return 0;
}

/* --- start and stop --- */

static int start(struct cfg_bench *b, struct cfg_draft *d, const cJSON *request, struct cfg_error *err)
{
    static const char *const members[] = {"name",       "deployment",    "flag",    "arms",  "control",
                                          "treatments", "shares",        "metrics", "alpha", "power",
                                          "effect",     "planned_units", "hint",    NULL};
    struct cfg_experiment_ground ground = {NULL};
    cJSON *record = NULL;
    const char *config = "";
    int rc = cfg_check_members(request, members, "an experiment", err);
    rc = rc ? rc : check_ended(d, err);
    rc = rc ? rc : stand(&ground, &config, b, request, err);
    rc = rc ? rc : check_alone(b, d, request, err);
    rc = rc ? rc : cfg_experiment_plan_record(&record, request, &ground, err);
    if (rc != 0)
        return rc;
    if (ground.is_off)
        (void)snprintf(d->hint, sizeof d->hint,
                       "the flag is off: nobody is assigned to anything; next: cfgctl flag on %.150s",
                       cfg_json_get_str(request, "flag", ""));
    else
        (void)snprintf(d->hint, sizeof d->hint, "%s", cfg_json_get_str(request, "hint", ""));
    cJSON_Delete(d->after);
    d->after = record;
    bool ok = set_text(record, "config", config) == 0 &&
              cfg_json_set(record, "run", cJSON_CreateNumber((double)cfg_draft_next_version(d))) == 0 &&
              set_text(record, "state", "running") == 0 && set_text(record, "started", b->change->time) == 0;
    return ok ? 0 : no_memory(err);
}

static int stop(struct cfg_bench *b, struct cfg_draft *d, const cJSON *request, struct cfg_error *err)
{
    static const char *const members[] = {"result", "why", NULL};
    const cJSON *result = cfg_json_get(request, "result");
    int rc = cfg_check_members(request, members, "the end of an experiment", err);
    if (rc != 0)
        return rc;
    if (d->after == NULL)
        return cfg_bench_missing(b, d, err);
    if (strcmp(cfg_json_get_str(d->after, "state", ""), "running") != 0)
        return cfg_fail(err, CFG_E_CONFLICT, "experiment %s has ended already", d->id.ns);
    if (result && cfg_json_get_num(result, "run", 0) != cfg_json_get_num(d->after, "run", 0))
        return cfg_fail(err, CFG_E_CONFLICT, "experiment %s has ended, and another run of it has begun", d->id.ns);
    bool ok = set_text(d->after, "state", "stopped") == 0 && set_text(d->after, "stopped", b->change->time) == 0 &&
              set_text(d->after, "why", cfg_json_get_str(request, "why", "")) == 0 &&
              (result == NULL || cfg_json_set(d->after, "result", cJSON_Duplicate(result, true)) == 0);
    return ok ? 0 : no_memory(err);
}

int cfg_apply_experiment(struct cfg_bench *b, size_t entry, struct cfg_error *err)
{
    const struct cfg_change_entry *e = &b->change->entries[entry];
    struct cfg_draft *d;
    int rc = cfg_bench_open(&d, b, &e->id, err);
    rc = rc ? rc : cfg_bench_touch(b, d, entry, err);
    if (rc != 0)
        return rc;
    if (e->op == CFG_CHANGE_CREATE)
        return start(b, d, e->body, err);
    if (e->op == CFG_CHANGE_MERGE_PATCH)
        return stop(b, d, e->body, err);
    (void)cfg_fail(err, CFG_E_UNSUPPORTED, "an experiment is started, stopped, or read: nothing else");
    cfg_error_set_hint(err, "cfgctl experiment stop %s ends it", e->id.ns);
    return CFG_E_UNSUPPORTED;
}
