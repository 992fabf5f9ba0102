/* From counts and moments to a verdict. See experiment_report.h. */
#include "configd/experiment_report.h"
#include <math.h>
#include <stdio.h>

enum verdict { EARLY, NONE, BETTER, WORSE };
static const char *const verdict_names[] = {"early", "none", "better", "worse"};

static uint64_t units_of_all(const struct cfg_experiment_data *d)
{
    uint64_t n = 0;
    for (size_t i = 0; i < d->n_sides; i++) {
        n += d->sides[i].units;
    }
    return n;
}

/* --- mismatch --- */

static double counted_mismatch(const struct cfg_experiment_data *d)
{
    uint64_t counts[CFG_STATS_ARMS_MAX];
    double shares[CFG_STATS_ARMS_MAX];
    for (size_t i = 0; i < d->n_sides; i++) {
        counts[i] = d->sides[i].units;
        shares[i] = d->sides[i].share;
    }
    return cfg_mismatch_p(counts, shares, d->n_sides);
}

/* Variance of the logarithm of two sides' ratio when each count is a sketch's estimate. */
static double ratio_variance(const struct cfg_experiment_data *d, double units, double others)
{
    return 1 / units + 1 / others + 2 * d->units_error * d->units_error;
}

static double sketched_mismatch(const struct cfg_experiment_data *d)
{
    const struct cfg_experiment_side *c = &d->sides[0];
    double p = 1;
    for (size_t i = 1; i < d->n_sides; i++) {
        const struct cfg_experiment_side *t = &d->sides[i];
        if (c->units == 0 || t->units == 0) {
            continue;
        }
        double ratio = log((double)t->units / (double)c->units) - log(t->share / c->share);
        double now = ratio_variance(d, (double)t->units, (double)c->units);
        struct cfg_sequence s = cfg_sequence_for(CFG_STATS_MISMATCH, now);
        p = fmin(p, cfg_sequence_p(&s, ratio, now) * (double)(d->n_sides - 1));
    }
    return p;
}

double cfg_experiment_mismatch(const struct cfg_experiment_data *d)
{
    double p = d->units_error > 0 ? sketched_mismatch(d) : counted_mismatch(d);
    return fmin(p, d->p_floor);
}

static bool add_mismatch(cJSON *out, const struct cfg_experiment_data *d, double p)
{
    cJSON *m = cJSON_AddObjectToObject(out, "mismatch");
    bool ok = m != NULL && cJSON_AddNumberToObject(m, "p", p) != NULL &&
              cJSON_AddBoolToObject(m, "void", p < CFG_STATS_MISMATCH) != NULL;
    if (ok && d->units_error > 0) {
        /* What the sketch lets through: a ratio of sides that is off by less. */
        ok = cJSON_AddNumberToObject(m, "resolution", expm1(4.2 * sqrt(2.0) * d->units_error)) != NULL;
    }
    return ok;
}

/* --- a metric --- */

struct reading {
    bool known, significant;
    struct cfg_effect effect;
    struct cfg_sequence sequence;
    double half_width, relative_half_width, p;
};

static double per_unit(const struct cfg_experiment_data *d, const struct cfg_experiment_side *s, size_t metric)
{
    double samples = (double)s->metrics[metric].n, units = (double)s->units;
    return d->clustered && units > 0 && samples > units ? samples / units : 1;
}

static bool enough(const struct cfg_experiment_data *d, const struct cfg_experiment_side *s)
{
    return s->units >= d->units_min;
}

static void read_metric(struct reading *out, const struct cfg_experiment_data *d, const struct cfg_experiment_side *t,
                        size_t metric)
{
    const struct cfg_experiment_side *c = &d->sides[0];
    struct cfg_moments now = t->metrics[metric], base = c->metrics[metric];
    now.m2 *= per_unit(d, t, metric);
    base.m2 *= per_unit(d, c, metric);
    *out = (struct reading){.p = 1};
    if (!enough(d, t) || !enough(d, c) || !cfg_effect_of(&out->effect, &now, &base)) {
        return;
    }
    double alpha = d->alpha / (double)(d->n_sides - 1);
    double end = out->effect.variance * (double)units_of_all(d) / d->planned_units;
    out->known = end > 0 && isfinite(end);
    if (!out->known) {
        return;
    }
    out->sequence = cfg_sequence_for(alpha, end);
    out->half_width = cfg_sequence_half_width(&out->sequence, out->effect.variance);
    out->p = cfg_sequence_p(&out->sequence, out->effect.difference, out->effect.variance);
    out->significant = out->p < alpha;
    if (out->effect.has_relative) {
        double share = (double)units_of_all(d) / d->planned_units;
        struct cfg_sequence relative = cfg_sequence_for(alpha, out->effect.relative_variance * share);
        out->relative_half_width = cfg_sequence_half_width(&relative, out->effect.relative_variance);
    }
}

static bool add_figures(cJSON *m, const struct reading *r)
{
    const struct cfg_effect *e = &r->effect;
    bool ok = cJSON_AddNumberToObject(m, "control", e->base) && cJSON_AddNumberToObject(m, "treatment", e->treatment) &&
              cJSON_AddNumberToObject(m, "difference", e->difference) &&
              cJSON_AddNumberToObject(m, "low", e->difference - r->half_width) &&
              cJSON_AddNumberToObject(m, "high", e->difference + r->half_width) &&
              cJSON_AddNumberToObject(m, "p", r->p) && cJSON_AddBoolToObject(m, "significant", r->significant);
    if (ok && e->has_relative) {
        ok = cJSON_AddNumberToObject(m, "relative", e->relative) &&
             cJSON_AddNumberToObject(m, "relative_low", e->relative - r->relative_half_width) &&
             cJSON_AddNumberToObject(m, "relative_high", e->relative + r->relative_half_width);
    }
    return ok;
}

static bool add_metric(cJSON *list, const struct cfg_experiment_data *d, const struct cfg_experiment_side *t,
                       size_t metric, const struct reading *r)
{
    const struct cfg_experiment_metric *of = &d->metrics[metric];
    cJSON *m = cJSON_CreateObject();
    if (m == NULL || !cJSON_AddItemToArray(list, m)) {
        cJSON_Delete(m);
        return false;
    }
    return cJSON_AddStringToObject(m, "name", of->name) && (metric > 0 || cJSON_AddTrueToObject(m, "primary")) &&
           cJSON_AddStringToObject(m, "want", of->want == CFG_WANT_DECREASE ? "decrease" : "increase") &&
           cJSON_AddNumberToObject(m, "n", (double)t->metrics[metric].n) &&
           cJSON_AddNumberToObject(m, "bad", (double)t->metrics[metric].bad) && (!r->known || add_figures(m, r));
}

/* --- verdicts --- */

static enum verdict judge(const struct cfg_experiment_data *d, const struct reading *primary)
{
    if (!primary->known) {
        return EARLY;
    }
    if (!primary->significant) {
        return NONE;
    }
    return (primary->effect.difference > 0) == (d->metrics[0].want == CFG_WANT_INCREASE) ? BETTER : WORSE;
}

static bool add_treatment(cJSON *list, const struct cfg_experiment_data *d, const struct cfg_experiment_side *t,
                          enum verdict *verdict)
{
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !cJSON_AddItemToArray(list, o)) {
        cJSON_Delete(o);
        return false;
    }
    struct reading r;
    read_metric(&r, d, t, 0);
    *verdict = judge(d, &r);
    cJSON *metrics = NULL;
    bool ok = cJSON_AddStringToObject(o, "name", t->name) && cJSON_AddNumberToObject(o, "units", (double)t->units) &&
              cJSON_AddStringToObject(o, "verdict", verdict_names[*verdict]) &&
              (metrics = cJSON_AddArrayToObject(o, "metrics")) != NULL;
    for (size_t i = 0; ok && i < d->n_metrics; i++) {
        read_metric(&r, d, t, i);
        ok = add_metric(metrics, d, t, i, &r);
    }
    return ok;
}

static const char *overall(const size_t verdicts[4], bool is_void)
{
    if (is_void) {
        return "void";
    }
    if (verdicts[BETTER] > 0 || verdicts[WORSE] > 0) {
        return verdicts[WORSE] == 0 ? "better" : verdicts[BETTER] == 0 ? "worse" : "mixed";
    }
    return verdicts[NONE] > 0 ? "none" : "early";
}

static void explain(char *out, size_t size, const struct cfg_experiment_data *d, const size_t verdicts[4], double p)
{
    if (p < CFG_STATS_MISMATCH) {
        (void)snprintf(out, size,
                       "units do not come as they were assigned (p = %.2g): assignment or counting is broken, and no "
                       "difference below may be believed",
                       p);
    } else if (verdicts[BETTER] > 0 || verdicts[WORSE] > 0) {
        (void)snprintf(out, size, "the interval of %s excludes no difference; it stays valid however often one looks",
                       d->metrics[0].name);
    } else if (verdicts[NONE] > 0) {
        (void)snprintf(out, size, "%s may be the same: %.0f of %.0f planned units seen", d->metrics[0].name,
                       (double)units_of_all(d), d->planned_units);
    } else {
        (void)snprintf(out, size, "too early: each side needs %zu units with samples of %s that are not all equal",
                       d->units_min, d->metrics[0].name);
    }
}

cJSON *cfg_experiment_report(const struct cfg_experiment_data *d)
{
    size_t verdicts[4] = {0};
    double p = cfg_experiment_mismatch(d);
    cJSON *out = cJSON_CreateObject(), *control = NULL, *treatments = NULL;
    bool ok = out != NULL && add_mismatch(out, d, p) && (control = cJSON_AddObjectToObject(out, "control")) != NULL &&
              cJSON_AddStringToObject(control, "name", d->sides[0].name) &&
              cJSON_AddNumberToObject(control, "units", (double)d->sides[0].units) &&
              (treatments = cJSON_AddArrayToObject(out, "treatments")) != NULL;
    for (size_t i = 1; ok && i < d->n_sides; i++) {
        enum verdict v = EARLY;
        ok = add_treatment(treatments, d, &d->sides[i], &v);
        verdicts[v]++;
    }
    char why[256];
    explain(why, sizeof why, d, verdicts, p);
    ok = ok && cJSON_AddStringToObject(out, "verdict", overall(verdicts, p < CFG_STATS_MISMATCH)) &&
         cJSON_AddStringToObject(out, "why", why);
    if (!ok) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}
