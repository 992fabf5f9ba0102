/* How long an experiment would take, before there is one: from what is measured already, anywhere, or is said. */
#include "configd/api_experiments.h"

#include "configd/experiments.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LOOKS = 20 };

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

/* The spread of one unit: with that many units a mean has their number's part of its square as its variance. */
static double spread_of_unit(const struct cfg_experiments_baseline *b)
{
    struct cfg_estimate e;
    return cfg_parts_estimate(&e, &b->parts, &b->metric) && b->units >= 1 ? sqrt(e.variance * b->units)
                                                                          : sqrt(cfg_moments_variance(&b->metric));
}

static int read_baseline(struct plan *p, struct cfg_app *app, const cJSON *request, const cJSON *told,
                         struct cfg_error *err)
{
    const cJSON *given = cfg_json_get(request, "baseline");
    const struct cfg_experiment *x = &p->spec;
    bool seen = x->flag && cfg_experiments_baseline(&p->base, app->experiments, told, x->deployment, x->flag,
                                                    x->sides[0], x->metrics[0].name);
    p->measured = given == NULL;
    if (given == NULL && !seen) {
        if (x->flag)
            (void)cfg_fail(err, CFG_E_NOT_FOUND, "nobody has told %s of %s yet: its mean and spread are not known",
                           x->metrics[0].name, x->sides[0]);
        else /* samples within a group vary otherwise than groups do */
            (void)cfg_fail(err, CFG_E_NOT_FOUND, "how the means of rank groups vary in %s is not known here",
                           x->metrics[0].name);
        cfg_error_set_hint(
            err, "say them: baseline=41.5:12, mean and spread of units (over the API {\"mean\": 41.5, \"sd\": 12})");
        return CFG_E_NOT_FOUND;
    }
    p->mean = given ? cfg_json_get_num(given, "mean", 0) : p->base.metric.mean;
    p->sd = given ? cfg_json_get_num(given, "sd", 0) : spread_of_unit(&p->base);
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
    cfg_error_set_hint(err, "effect=2.5 in the metric's unit, or effect=5%% of its mean (over the API \"effect\", "
                            "\"relative_effect\")");
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

static void on_told_for_plan(void *arg, struct cfg_slice json)
{
    struct cfg_call *c = arg;
    struct cfg_app *app = cfg_call_app(c);
    struct cfg_error err;
    struct plan p = {.mean = 0};
    cJSON *request = NULL, *told = experiments_told(json);
    double units = 0;
    int rc = cfg_call_json(c, &request, &err);
    rc = rc ? rc : stand(&p.spec, app, request, &err);
    rc = rc ? rc : read_baseline(&p, app, request, told, &err);
    rc = rc ? rc : read_effect(&p, request, &err);
    if (rc == 0 && !((units = units_of(&p)) > 0))
        rc = p.spec.power <= p.spec.alpha
                 ? cfg_fail(&err, CFG_E_VALUE, "power must be above alpha: by chance alone something is found so often")
                 : cfg_fail(&err, CFG_E_VALUE, "so small a difference would take more than 1e15 units");
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        cfg_api_reply(c, 200, tell(&p, units));
    cfg_experiment_finish(&p.spec);
    cJSON_Delete(request);
    cJSON_Delete(told);
}

void cfg_api_plan_experiment(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    cJSON *request = NULL;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_call_json(c, &request, &err);
    rc = rc ? rc : experiments_check_rights(app, c, request, &err);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else
        experiments_ask_others(app, c, cfg_json_get_str(request, "deployment", ""), on_told_for_plan);
    cJSON_Delete(request);
}
