/* Experiments: starting, planning, looking, stopping. What can only be known here and now, not by the decision, is
 * checked here: whether anybody reports what is to be compared. */
#include "configd/api.h"

#include "configd/experiments.h"
#include "configd/fleet_observe.h"
#include "configd/http_auth.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LOOKS = 20, NAMES = 64 };

/* --- what a request is about --- */

static int check_rights(struct cfg_app *app, const struct cfg_call *c, const cJSON *about, struct cfg_error *err)
{
    char config[CFG_LIMIT_NAME + 1], ns[CFG_LIMIT_NAME + 1];
    const char *deployment = cfg_json_get_str(about, "deployment", ""), *flag = cfg_json_get_str(about, "flag", "");
    const struct cfg_principal *p = cfg_call_principal(c);
    int rc = cfg_check_name("deployment", cfg_slice_str(deployment), err);
    rc = rc ? rc
            : cfg_principal_check_deployment(p, deployment, cfg_api_deployment_config(app, deployment, config), err);
    const char *slash = strchr(flag, '/');
    if (rc != 0 || slash == NULL || (size_t)(slash - flag) >= sizeof ns)
        return rc; /* an address that is none is refused for that */
    (void)snprintf(ns, sizeof ns, "%.*s", (int)(slash - flag), flag);
    return cfg_principal_check_namespace(p, ns, err);
}

static int read_name(struct cfg_object_id *out, const char *name, struct cfg_error *err)
{
    int rc = cfg_check_name("experiment", cfg_slice_str(name), err);
    *out = cfg_object_id_of(CFG_KIND_EXPERIMENT, rc == 0 ? name : "", NULL);
    return rc;
}

/* The experiment of the route: its head, borrowed, and its record, returned-owned. */
static int find(struct cfg_object **out, cJSON **record, struct cfg_app *app, const struct cfg_call *c,
                struct cfg_error *err)
{
    struct cfg_object_id id;
    int rc = read_name(&id, cfg_call_param(c, "e"), err);
    struct cfg_object *o = rc == 0 ? cfg_store_get(app->store, &id) : NULL;
    if (rc == 0 && (o == NULL || o->deleted)) {
        rc = cfg_fail(err, CFG_E_NOT_FOUND, "there is no experiment %s", id.ns);
        cfg_error_set_hint(err, "cfgctl experiment list shows those there are");
    }
    cJSON *tree = rc == 0 ? cfg_object_body(o) : NULL;
    if (rc == 0 && tree == NULL)
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    rc = rc ? rc : check_rights(app, c, tree, err);
    if (rc != 0) {
        cJSON_Delete(tree);
        return rc;
    }
    *out = o;
    *record = tree;
    return 0;
}

/* --- before a start --- */

static bool is_listed(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* What nobody reports would never have a verdict. Workers of other replicas may report it: then it is not refused. */
static int check_metrics(struct cfg_app *app, const cJSON *request, char *warning, size_t size, struct cfg_error *err)
{
    const char *deployment = cfg_json_get_str(request, "deployment", ""), *names[NAMES];
    bool of_flag = cfg_json_get(request, "flag") != NULL;
    size_t n = of_flag ? cfg_experiments_metrics(app->experiments, deployment, names, NAMES)
                       : cfg_fleet_metrics(app->fleet, deployment, names, NAMES);
    bool elsewhere = cfg_fleet_connected(app->fleet, deployment) > cfg_fleet_connected_here(app->fleet, deployment);
    const cJSON *m;
    cJSON_ArrayForEach(m, cfg_json_get(request, "metrics"))
    {
        const char *name = cfg_json_get_str(m, "name", "");
        if (is_listed(name, names, n))
            continue;
        if (n > 0 && !elsewhere) {
            const char *near = cfg_near_miss(name, names, n);
            (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, "no worker of deployment %s has told %s of %s lately", deployment,
                           name, of_flag ? "its requests" : "its steps");
            cfg_error_set_path(err, "metrics");
            cfg_error_set_hint(err, near ? "did you mean %s? (--force starts anyway)" : "they tell %s, …",
                               near ? near : names[0]);
            return CFG_E_UNKNOWN_KEY;
        }
        (void)snprintf(warning, size, "no worker has told %.64s of %s yet", name,
                       of_flag ? "requests (cfg_overlay_metric, cfg_flag_metric)" : "its steps");
    }
    if (cfg_fleet_connected(app->fleet, deployment) == 0)
        (void)snprintf(warning, size, "no worker of deployment %.63s is connected: nothing is measured yet",
                       deployment);
    return 0;
}

void cfg_api_start_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_CREATE};
    char warning[200] = "";
    bool force = false;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_json(c, &e.body, &err);
    rc = rc ? rc : read_name(&e.id, cfg_json_get_str(e.body, "name", ""), &err);
    rc = rc ? rc : check_rights(app, c, e.body, &err);
    rc = rc ? rc : cfg_api_flag(&force, c, "force", &err);
    if (rc == 0 && !force)
        rc = check_metrics(app, e.body, warning, sizeof warning, &err);
    if (rc == 0 && cfg_json_set(e.body, "hint", cJSON_CreateString(warning)) != 0)
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    if (rc == 0) {
        cfg_api_submit_entry(app, c, &e);
        return;
    }
    cJSON_Delete(e.body);
    cfg_call_fail(c, &err, NULL);
}

/* --- looking --- */

static bool sees_experiment(struct cfg_app *app, const struct cfg_call *c, const struct cfg_object *o)
{
    cJSON *record = cfg_object_body(o);
    bool sees = record && check_rights(app, c, record, NULL) == 0;
    cJSON_Delete(record);
    return sees;
}

void cfg_api_list_experiments(struct cfg_app *app, struct cfg_call *c)
{
    cfg_api_list(app, c, CFG_KIND_EXPERIMENT, sees_experiment);
}

void cfg_api_get_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object *o;
    cJSON *record = NULL;
    if (!cfg_api_at(app, c))
        return;
    if (find(&o, &record, app, c, &err) != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cJSON_Delete(record);
    cfg_api_reply(c, 200, cfg_api_object(app, o, false));
}

static void on_report(void *arg, cJSON *report, const struct cfg_error *err)
{
    if (err)
        cfg_call_fail(arg, err, NULL);
    else
        cfg_api_reply(arg, 200, report);
}

/* Of one that has ended: what it ended with. */
static void reply_result(struct cfg_call *c, const cJSON *record)
{
    struct cfg_error err;
    const cJSON *result = cfg_json_get(record, "result");
    cJSON *body = result ? cJSON_Duplicate(result, true) : NULL;
    if (result == NULL) {
        (void)cfg_fail(&err, CFG_E_NOT_FOUND, "the experiment was stopped without a result");
        cfg_call_fail(c, &err, NULL);
        return;
    }
    bool ok = body && cfg_json_set(body, "state", cJSON_CreateString("stopped")) == 0 &&
              cfg_json_set(body, "stopped", cJSON_CreateString(cfg_json_get_str(record, "stopped", ""))) == 0;
    if (!ok) {
        cJSON_Delete(body);
        body = NULL;
    }
    cfg_api_reply(c, 200, body);
}

void cfg_api_experiment_report(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object *o;
    cJSON *record = NULL;
    if (!cfg_api_at(app, c))
        return;
    if (find(&o, &record, app, c, &err) != 0)
        cfg_call_fail(c, &err, NULL);
    else if (strcmp(cfg_json_get_str(record, "state", ""), "running") == 0)
        cfg_experiments_report(app->experiments, o->id.ns, on_report, c);
    else
        reply_result(c, record);
    cJSON_Delete(record);
}

/* --- stopping --- */

static int check_stop(const cJSON *body, struct cfg_error *err)
{
    const cJSON *why = cfg_json_get(body, "why");
    if (!cJSON_IsObject(body) || (body->child && body->child->next) || (body->child && why == NULL))
        return cfg_fail(err, CFG_E_INVALID, "an object is needed: {\"why\": \"…\"}, or {}");
    return why == NULL || cJSON_IsString(why) ? 0 : cfg_fail(err, CFG_E_INVALID, "why must be a text");
}

/* result is consumed; NULL: none. */
static void submit_stop(struct cfg_app *app, struct cfg_call *c, cJSON *result)
{
    struct cfg_error err;
    struct cfg_change_entry e = {.op = CFG_CHANGE_MERGE_PATCH};
    int rc = read_name(&e.id, cfg_call_param(c, "e"), &err);
    rc = rc ? rc : cfg_call_json(c, &e.body, &err);
    if (rc == 0 && result && cfg_json_set(e.body, "result", result) != 0)
        rc = cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    else if (rc != 0)
        cJSON_Delete(result);
    if (rc == 0) {
        cfg_api_submit_entry(app, c, &e);
        return;
    }
    cJSON_Delete(e.body);
    cfg_call_fail(c, &err, NULL);
}

static void on_last_report(void *arg, cJSON *report, const struct cfg_error *err)
{
    struct cfg_call *c = arg;
    bool force = false;
    if (err && cfg_api_flag(&force, c, "force", NULL) == 0 && !force)
        cfg_call_fail(c, err, NULL);
    else
        submit_stop(cfg_call_app(c), c, report);
}

void cfg_api_stop_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object *o;
    cJSON *record = NULL, *body = NULL;
    bool force;
    if (!cfg_api_at(app, c))
        return;
    int rc = find(&o, &record, app, c, &err);
    rc = rc ? rc : cfg_call_json(c, &body, &err);
    rc = rc ? rc : check_stop(body, &err);
    rc = rc ? rc : cfg_api_flag(&force, c, "force", &err);
    if (rc == 0 && strcmp(cfg_json_get_str(record, "state", ""), "running") != 0)
        rc = cfg_fail(&err, CFG_E_CONFLICT, "experiment %s has ended already", o->id.ns);
    cJSON_Delete(body);
    cJSON_Delete(record);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_experiments_report(app->experiments, o->id.ns, on_last_report, c);
}

/* --- planning --- */

struct plan {
    struct cfg_experiment spec;
    struct cfg_experiments_baseline base;
    double mean, sd, effect, per_hour;
    bool measured, has_rate;
};

/* What an experiment would stand on, as the replica shows it. */
static int stand(struct cfg_experiment *out, struct cfg_app *app, const cJSON *request, struct cfg_error *err)
{
    const char *deployment = cfg_json_get_str(request, "deployment", ""),
               *flag = cfg_json_get_str(request, "flag", NULL);
    char address[CFG_OBJECT_ID_TEXT + 8];
    struct cfg_object_id id = cfg_object_id_of(CFG_KIND_DEPLOYMENT, deployment, NULL);
    struct cfg_object *d = NULL, *f = NULL;
    cJSON *d_tree = NULL, *f_tree = NULL, *record = NULL;
    int rc = cfg_api_head(&d, app, &id, err);
    if (rc == 0 && flag) {
        (void)snprintf(address, sizeof address, "flag/%.*s", CFG_OBJECT_ID_TEXT, flag);
        rc = cfg_object_id_parse(&id, cfg_slice_str(address), err);
        rc = rc ? rc : cfg_api_head(&f, app, &id, err);
    }
    if (rc == 0 && ((d_tree = cfg_object_body(d)) == NULL || (f && (f_tree = cfg_object_body(f)) == NULL)))
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    const struct cfg_experiment_ground ground = {.definition = cfg_json_get(f_tree, "definition"),
                                                 .split = cfg_json_get(d_tree, "split")};
    rc = rc ? rc : cfg_experiment_plan_record(&record, request, &ground, err);
    rc = rc ? rc : cfg_experiment_read(out, record, err);
    cJSON_Delete(record);
    cJSON_Delete(d_tree);
    cJSON_Delete(f_tree);
    return rc;
}

static int read_baseline(struct plan *p, struct cfg_app *app, const cJSON *request, struct cfg_error *err)
{
    const cJSON *given = cfg_json_get(request, "baseline");
    const struct cfg_experiment *x = &p->spec;
    bool seen =
        cfg_experiments_baseline(&p->base, app->experiments, x->deployment, x->flag, x->sides[0], x->metrics[0].name);
    p->measured = given == NULL;
    if (given == NULL && !seen) {
        (void)cfg_fail(err, CFG_E_NOT_FOUND, "nobody has told %s of %s here yet: its mean and spread are not known",
                       x->metrics[0].name, x->sides[0]);
        cfg_error_set_hint(err,
                           "say them: baseline=41.5:12 (over the API {\"baseline\": {\"mean\": 41.5, \"sd\": 12}})");
        return CFG_E_NOT_FOUND;
    }
    if (given == NULL && x->flag == NULL) { /* samples within a group vary otherwise than groups do */
        (void)cfg_fail(err, CFG_E_NOT_FOUND,
                       "how the means of rank groups vary in %s is not known here (its mean is %.6g)",
                       x->metrics[0].name, p->base.metric.mean);
        cfg_error_set_hint(err, "say it: baseline=%.6g:SPREAD, the standard deviation between groups",
                           p->base.metric.mean);
        return CFG_E_NOT_FOUND;
    }
    p->mean = given ? cfg_json_get_num(given, "mean", 0) : p->base.metric.mean;
    p->sd = given ? cfg_json_get_num(given, "sd", 0) : sqrt(cfg_moments_variance(&p->base.metric));
    if (!(p->sd > 0) || !isfinite(p->sd))
        return cfg_fail(err, CFG_E_VALUE, "a metric that never varies needs no experiment: its sd must be above 0");
    const cJSON *rate = cfg_json_get(request, "units_per_hour");
    p->has_rate = rate || (seen && p->base.units > 0 && p->base.since_ms >= 1000);
    p->per_hour = rate ? cfg_json_get_num(request, "units_per_hour", 0) : 0;
    double share = x->shares[0], all = 0;
    for (size_t i = 0; i < x->n_sides; i++)
        all += x->shares[i];
    if (!rate && p->has_rate) /* of the control alone; its share of all */
        p->per_hour = p->base.units * all / share * 3600e3 / p->base.since_ms;
    return rate && !(p->per_hour > 0) ? cfg_fail(err, CFG_E_VALUE, "units_per_hour must be above 0") : 0;
}

static int read_effect(struct plan *p, const cJSON *request, struct cfg_error *err)
{
    double relative = cfg_json_get_num(request, "relative_effect", 0);
    p->effect = p->spec.effect > 0 ? p->spec.effect : fabs(relative * p->mean);
    if (p->effect > 0 && isfinite(p->effect))
        return 0;
    (void)cfg_fail(err, CFG_E_VALUE, "a plan needs the smallest difference that must be found");
    cfg_error_set_path(err, "effect");
    cfg_error_set_hint(
        err,
        "effect=2.5 in the metric's unit, or effect=5%% of its mean (over the API \"effect\", \"relative_effect\")");
    return CFG_E_VALUE;
}

static double units_of(const struct plan *p)
{
    const struct cfg_experiment *x = &p->spec;
    double all = 0, least = x->shares[1];
    for (size_t i = 0; i < x->n_sides; i++) {
        all += x->shares[i];
        least = i > 0 && x->shares[i] < least ? x->shares[i] : least;
    }
    const struct cfg_experiment_plan plan = {.alpha = x->alpha / (double)(x->n_sides - 1),
                                             .power = x->power,
                                             .difference = p->effect,
                                             .base_variance = p->sd * p->sd,
                                             .treatment_variance = p->sd * p->sd,
                                             .base_share = x->shares[0] / all,
                                             .treatment_share = least / all,
                                             .looks = LOOKS,
                                             .freedom = x->flag ? CFG_PARTS - 1 : 0};
    return cfg_experiment_samples(NULL, &plan);
}

static cJSON *tell(const struct plan *p, double units)
{
    cJSON *out = cJSON_CreateObject(), *base = cJSON_AddObjectToObject(out, "baseline");
    bool ok = base && cJSON_AddStringToObject(base, "metric", p->spec.metrics[0].name) &&
              cJSON_AddNumberToObject(base, "mean", p->mean) && cJSON_AddNumberToObject(base, "sd", p->sd) &&
              cJSON_AddBoolToObject(base, "measured", p->measured) &&
              cJSON_AddNumberToObject(out, "alpha", p->spec.alpha) &&
              cJSON_AddNumberToObject(out, "power", p->spec.power) &&
              cJSON_AddNumberToObject(out, "effect", p->effect) && cJSON_AddNumberToObject(out, "units", ceil(units)) &&
              cJSON_AddStringToObject(out, "unit", p->spec.flag ? "targeting key" : "rank group");
    if (ok && p->has_rate)
        ok = cJSON_AddNumberToObject(out, "units_per_hour", p->per_hour) &&
             cJSON_AddNumberToObject(out, "seconds", ceil(units / p->per_hour * 3600));
    else if (ok)
        ok = cJSON_AddNullToObject(out, "units_per_hour") && cJSON_AddNullToObject(out, "seconds");
    if (ok)
        return out;
    cJSON_Delete(out);
    return NULL;
}

void cfg_api_plan_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct plan p = {.mean = 0};
    cJSON *request = NULL;
    double units = 0;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_json(c, &request, &err);
    rc = rc ? rc : check_rights(app, c, request, &err);
    rc = rc ? rc : stand(&p.spec, app, request, &err);
    rc = rc ? rc : read_baseline(&p, app, request, &err);
    rc = rc ? rc : read_effect(&p, request, &err);
    if (rc == 0 && !((units = units_of(&p)) > 0))
        rc = cfg_fail(&err, CFG_E_VALUE, "so small a difference would take more than 1e15 units");
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_api_reply(c, 200, tell(&p, units));
    cfg_experiment_finish(&p.spec);
    cJSON_Delete(request);
}
