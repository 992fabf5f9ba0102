#include "configd/experiment.h"

#include "configd/arms.h"
#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int bad(struct cfg_error *err, const char *path, const char *text)
{
    int rc = cfg_fail(err, CFG_E_VALUE, "%s %s", path, text);
    cfg_error_set_path(err, "%s", path);
    return rc;
}

/* --- reading a record --- */

static int read_sides(struct cfg_experiment *x, struct cfg_error *err)
{
    const cJSON *side;
    cJSON_ArrayForEach(side, cfg_json_get(x->record, "sides"))
    {
        const char *name = cfg_json_get_str(side, "name", "");
        double share = cfg_json_get_num(side, "share", 0);
        if (x->n_sides == CFG_STATS_ARMS_MAX)
            return cfg_fail(err, CFG_E_LIMIT, "an experiment has at most %d sides", CFG_STATS_ARMS_MAX);
        if (name[0] == '\0' || !(share > 0) || !isfinite(share))
            return bad(err, "sides", "each need a name and a share above 0");
        for (size_t i = 0; i < x->n_sides; i++)
            if (strcmp(x->sides[i], name) == 0)
                return bad(err, "treatments", "name a side twice, or the control");
        x->sides[x->n_sides] = name;
        x->shares[x->n_sides++] = share;
    }
    return x->n_sides >= 2 ? 0 : bad(err, "treatments", "must name at least one side beside the control");
}

static int read_metric(struct cfg_experiment *x, const cJSON *metric, struct cfg_error *err)
{
    const char *name = cfg_json_get_str(metric, "name", ""), *want = cfg_json_get_str(metric, "want", "");
    bool up = strcmp(want, "increase") == 0;
    if (x->n_metrics == CFG_EXPERIMENT_METRICS_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "an experiment has at most %d metrics", CFG_EXPERIMENT_METRICS_MAX);
    if (!up && strcmp(want, "decrease") != 0)
        return bad(err, "metrics", "each say what is wanted: increase or decrease");
    for (size_t i = 0; i < x->n_metrics; i++)
        if (strcmp(x->metrics[i].name, name) == 0)
            return bad(err, "metrics", "name one twice");
    int rc = cfg_check_word("metric", cfg_slice_str(name), err);
    if (rc != 0) {
        cfg_error_set_path(err, "metrics");
        return rc;
    }
    x->metrics[x->n_metrics++] = (struct cfg_experiment_metric){name, up ? CFG_WANT_INCREASE : CFG_WANT_DECREASE};
    return 0;
}

static int read_share(double *out, const cJSON *record, const char *name, double otherwise, struct cfg_error *err)
{
    *out = cfg_json_get_num(record, name, otherwise);
    bool fine =
        (cfg_json_get(record, name) == NULL || cJSON_IsNumber(cfg_json_get(record, name))) && *out > 0 && *out < 1;
    return fine ? 0 : bad(err, name, "must be between 0 and 1");
}

static int read_numbers(struct cfg_experiment *x, struct cfg_error *err)
{
    const cJSON *effect = cfg_json_get(x->record, "effect"), *planned = cfg_json_get(x->record, "planned_units");
    int rc = read_share(&x->alpha, x->record, "alpha", 0.05, err);
    rc = rc ? rc : read_share(&x->power, x->record, "power", 0.8, err);
    x->effect = cJSON_IsNumber(effect) ? fabs(effect->valuedouble) : 0;
    if (rc == 0 && effect && !(x->effect > 0 && isfinite(x->effect)))
        rc = bad(err, "effect", "must be a number that is not 0: the smallest difference that must be found");
    x->planned_units = cJSON_IsNumber(planned) ? planned->valuedouble
                       : x->flag               ? CFG_EXPERIMENT_PLANNED_KEYS
                                               : CFG_EXPERIMENT_PLANNED_GROUPS;
    if (rc == 0 && ((planned && !cJSON_IsNumber(planned)) || !(x->planned_units >= 2 && x->planned_units <= 1e15)))
        rc = bad(err, "planned_units", "must be 2 or more: how many units of all sides the plan ends with");
    return rc;
}

static int read_all(struct cfg_experiment *x, struct cfg_error *err)
{
    const cJSON *metrics = cfg_json_get(x->record, "metrics"), *m;
    x->deployment = cfg_json_get_str(x->record, "deployment", "");
    x->flag = cfg_json_get_str(x->record, "flag", NULL);
    x->started = cfg_json_get_str(x->record, "started", "");
    x->running = strcmp(cfg_json_get_str(x->record, "state", ""), "running") == 0;
    x->run = (uint64_t)cfg_json_get_num(x->record, "run", 0);
    int rc = read_sides(x, err);
    cJSON_ArrayForEach(m, metrics)
    {
        rc = rc ? rc : read_metric(x, m, err);
    }
    if (rc == 0 && x->n_metrics == 0)
        rc = bad(err, "metrics", "must name at least one; the first one decides");
    return rc ? rc : read_numbers(x, err);
}

int cfg_experiment_read(struct cfg_experiment *out, const cJSON *record, struct cfg_error *err)
{
    struct cfg_experiment x = {.record = cJSON_Duplicate(record, true)};
    int rc = x.record ? read_all(&x, err) : no_memory(err);
    if (rc != 0)
        cfg_experiment_finish(&x);
    else
        *out = x;
    return rc;
}

void cfg_experiment_finish(struct cfg_experiment *x)
{
    cJSON_Delete(x->record);
    *x = (struct cfg_experiment){0};
}

/* --- shares --- */

static bool add_share(cJSON *shares, const char *name, double weight)
{
    double sum = cfg_json_get_num(shares, name, 0) + weight;
    return cfg_json_set(shares, name, cJSON_CreateNumber(sum)) == 0;
}

/* What is below {"if": [X]} and {"if": [{"!=": [{"var": UNIT}, null]}, X]}: a split as cfgctl writes it, which leaves
 * out who lacks the unit's attribute. With any rule beside it the shares are those of a part. */
static const cJSON *below_ifs(const cJSON *targeting)
{
    const cJSON *chain;
    while (cJSON_IsArray(chain = cfg_json_get(targeting, "if")) && targeting->child->next == NULL) {
        const cJSON *first = chain->child, *test = cfg_json_get(first, "!="), *then = first ? first->next : NULL;
        bool is_test = cJSON_GetArraySize(test) == 2 && cfg_json_get(cJSON_GetArrayItem(test, 0), "var") &&
                       cJSON_IsNull(cJSON_GetArrayItem(test, 1));
        if (first && then == NULL)
            targeting = first;
        else if (is_test && then->next == NULL)
            targeting = then;
        else
            break;
    }
    return targeting;
}

cJSON *cfg_experiment_shares(const cJSON *definition)
{
    const cJSON *targeting = below_ifs(cfg_json_get(definition, "targeting"));
    const cJSON *split = cfg_json_get(targeting, "fractional");
    const cJSON *item = cJSON_IsArray(split) && targeting->child->next == NULL ? split->child : NULL;
    if (item && !cJSON_IsArray(item))
        item = item->next; /* what units are told apart by */
    cJSON *shares = item ? cJSON_CreateObject() : NULL;
    bool ok = shares != NULL;
    for (; ok && item; item = item->next) {
        const cJSON *name = cJSON_GetArrayItem(item, 0), *weight = cJSON_GetArrayItem(item, 1);
        ok = cJSON_IsArray(item) && cJSON_IsString(name) && (weight == NULL || cJSON_IsNumber(weight)) &&
             add_share(shares, name->valuestring, weight ? weight->valuedouble : 1);
    }
    if (ok)
        return shares;
    cJSON_Delete(shares);
    return NULL;
}

static int arm_shares(cJSON **out, const cJSON *split, struct cfg_error *err)
{
    double share = cfg_json_get_num(split, "share", 0);
    if (!(share > 0 && share < 1)) {
        (void)cfg_fail(err, CFG_E_VALUE, "the deployment does not run two arms: there is nothing to compare");
        cfg_error_set_hint(
            err, "cfgctl rollout start DEPLOYMENT --steps 50%%!,100%% splits it, and stays there until it is approved");
        return CFG_E_VALUE;
    }
    if (cfg_json_get(split, "where") || cfg_json_get_str(split, "by", "")[0])
        return cfg_fail(err, CFG_E_VALUE,
                        "the deployment's split goes by labels: its arms are not samples of the same groups");
    cJSON *shares = cJSON_CreateObject();
    if (shares && add_share(shares, CFG_ARM_BASE, 1 - share) &&
        add_share(shares, cfg_json_get_str(split, "arm", CFG_ARM_CANARY), share)) {
        *out = shares;
        return 0;
    }
    cJSON_Delete(shares);
    return no_memory(err);
}

/* The shares that were given, else those of the flag or the split. */
static int find_shares(cJSON **out, const cJSON *request, const struct cfg_experiment_ground *g, struct cfg_error *err)
{
    const cJSON *given = cfg_json_get(request, "shares");
    if (cfg_json_get(request, "flag") == NULL)
        return arm_shares(out, g->split, err);
    if (given && (!cJSON_IsObject(given) || given->child == NULL))
        return bad(err, "shares", "must be an object of weights by variant");
    if ((*out = given ? cJSON_Duplicate(given, true) : cfg_experiment_shares(g->definition)) != NULL)
        return 0;
    if (given)
        return no_memory(err);
    (void)bad(err, "shares", "cannot be read off the flag: its targeting is more than one \"fractional\" of variants");
    cfg_error_set_hint(err, "say them: shares=off:50,on:50 (over the API {\"shares\": {\"off\": 50, \"on\": 50}})");
    return CFG_E_VALUE;
}

/* --- sides --- */

static int check_side(const char *name, const cJSON *shares, const struct cfg_experiment_ground *g, bool of_flag,
                      struct cfg_error *err)
{
    const cJSON *variants = cfg_json_get(g->definition, "variants");
    if (of_flag && cfg_json_get(variants, name) == NULL) {
        int rc = cfg_fail(err, CFG_E_VALUE, "the flag has no variant %.80s", name);
        const char *names[64];
        size_t n = 0;
        for (const cJSON *v = variants ? variants->child : NULL; v && n < 64; v = v->next)
            names[n++] = v->string;
        const char *near = cfg_near_miss(name, names, n);
        if (near)
            cfg_error_set_hint(err, "did you mean %s?", near);
        return rc;
    }
    if (cfg_json_get(shares, name) == NULL)
        return cfg_fail(err, CFG_E_VALUE, "%.80s has no share of the units", name);
    if (of_flag && g->is_off && g->off_variant && strcmp(g->off_variant, name) == 0) {
        (void)cfg_fail(err, CFG_E_VALUE,
                       "the flag is off: every unit would be served %.80s and count as its own, and none would come to "
                       "the other sides",
                       name);
        cfg_error_set_hint(err, "turn it on first: cfgctl flag on NAMESPACE/NAME");
        return CFG_E_VALUE;
    }
    if (of_flag && g->keeps_out && g->off_variant && strcmp(g->off_variant, name) == 0) {
        (void)cfg_fail(
            err, CFG_E_VALUE,
            "%.80s is also what units outside of the flag's group or holdout are served: they would count as "
            "its own",
            name);
        cfg_error_set_hint(err, "give the flag an off_variant that is no side of the experiment");
        return CFG_E_VALUE;
    }
    return 0;
}

static int add_side(cJSON *sides, const char *name, const cJSON *shares, struct cfg_error *err)
{
    cJSON *side = cJSON_CreateObject();
    if (side && cJSON_AddItemToArray(sides, side))
        return cJSON_AddStringToObject(side, "name", name) &&
                       cJSON_AddNumberToObject(side, "share", cfg_json_get_num(shares, name, 0))
                   ? 0
                   : no_memory(err);
    cJSON_Delete(side);
    return no_memory(err);
}

static int fill_sides(cJSON *sides, const cJSON *request, const cJSON *shares, const struct cfg_experiment_ground *g,
                      struct cfg_error *err)
{
    bool of_flag = cfg_json_get(request, "flag") != NULL;
    const char *control = cfg_json_get_str(request, "control", of_flag ? "" : CFG_ARM_BASE);
    const cJSON *named = cfg_json_get(request, "treatments"), *t;
    if (control[0] == '\0')
        return bad(err, "control", "must name the variant that the others are compared with");
    if (named && !cJSON_IsArray(named))
        return bad(err, "treatments", "must be an array of names");
    int rc = check_side(control, shares, g, of_flag, err);
    rc = rc ? rc : add_side(sides, control, shares, err);
    const cJSON *all = named ? named : shares;
    cJSON_ArrayForEach(t, all)
    {
        const char *name = named ? (cJSON_IsString(t) ? t->valuestring : "") : t->string;
        if (rc != 0 || (!named && strcmp(name, control) == 0))
            continue;
        rc = check_side(name, shares, g, of_flag, err);
        rc = rc ? rc : add_side(sides, name, shares, err);
    }
    return rc;
}

/* --- the record --- */

static int copy_members(cJSON *record, const cJSON *request, struct cfg_error *err)
{
    static const char *const members[] = {"deployment", "flag",  "arms",   "metrics",
                                          "alpha",      "power", "effect", "planned_units"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const cJSON *value = cfg_json_get(request, members[i]);
        if (value && cfg_json_set(record, members[i], cJSON_Duplicate(value, true)) != 0)
            return no_memory(err);
    }
    return 0;
}

int cfg_experiment_plan_record(cJSON **out, const cJSON *request, const struct cfg_experiment_ground *ground,
                               struct cfg_error *err)
{
    struct cfg_experiment x;
    cJSON *record = cJSON_CreateObject(), *shares = NULL, *sides = NULL;
    int rc = record ? copy_members(record, request, err) : no_memory(err);
    rc = rc ? rc : find_shares(&shares, request, ground, err);
    if (rc == 0 && (sides = cJSON_AddArrayToObject(record, "sides")) == NULL)
        rc = no_memory(err);
    rc = rc ? rc : fill_sides(sides, request, shares, ground, err);
    rc = rc ? rc : cfg_experiment_read(&x, record, err);
    if (rc == 0) { /* what was left out, said */
        bool ok = cfg_json_set(record, "alpha", cJSON_CreateNumber(x.alpha)) == 0 &&
                  cfg_json_set(record, "power", cJSON_CreateNumber(x.power)) == 0 &&
                  cfg_json_set(record, "planned_units", cJSON_CreateNumber(x.planned_units)) == 0;
        cfg_experiment_finish(&x);
        rc = ok ? 0 : no_memory(err);
    }
    cJSON_Delete(shares);
    if (rc != 0)
        cJSON_Delete(record);
    else
        *out = record;
    return rc;
}
