/* From counts and moments to a verdict. See experiment_report.h. */
#include "configd/experiment_report.h"
#include <math.h>
#include <stdio.h>

enum { FEW = 100 };      /* units */
#define SKETCH_REACH 4.2 /* standard errors that a sketch is hardly ever off by */

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

/* Few of a side are hardly ever sketched wrong by much, but their ratio's logarithm is far from normal: counted, each
 * as far off as a sketch may be, towards what was assigned. */
static double few_mismatch(const struct cfg_experiment_data *d, double base, double units, const double shares[2])
{
    double off = SKETCH_REACH * d->units_error, expected = shares[1] / shares[0];
    bool more = units > base * expected;
    double b = base * (more ? 1 + off : 1 - off), u = units * (more ? 1 - off : 1 + off);
    const uint64_t counts[2] = {(uint64_t)llround(b), (uint64_t)llround(u)};
    return (u > b * expected) == more ? cfg_mismatch_p(counts, shares, 2) : 1;
}

/* The logarithm of two sides' ratio, each count a sketch's estimate, is about normal. The sketches' own error does not
 * fade as units come, and is what the mixture is planned for. */
static double sketched_mismatch(const struct cfg_experiment_data *d)
{
    const struct cfg_experiment_side *c = &d->sides[0];
    double floor = 2 * d->units_error * d->units_error, base = (double)c->units, p = 1;
    struct cfg_sequence s = cfg_sequence_for(CFG_STATS_MISMATCH, floor);
    for (size_t i = 1; i < d->n_sides; i++) {
        const struct cfg_experiment_side *t = &d->sides[i];
        const double shares[2] = {c->share, t->share};
        double units = (double)t->units;
        double now = fmin(units, base) < FEW ? few_mismatch(d, base, units, shares)
                                             : cfg_sequence_p(&s, log(units / base) - log(t->share / c->share),
                                                              1 / units + 1 / base + floor, INFINITY);
        p = fmin(p, now * (double)(d->n_sides - 1));
    }
    return p;
}

double cfg_experiment_mismatch(const struct cfg_experiment_data *d)
{
    double p = d->units_come ? 1 : d->units_error > 0 ? sketched_mismatch(d) : counted_mismatch(d);
    return fmin(p, d->p_floor);
}

static bool add_mismatch(cJSON *out, const struct cfg_experiment_data *d, double p)
{
    cJSON *m = cJSON_AddObjectToObject(out, "mismatch");
    bool ok = m != NULL && cJSON_AddNumberToObject(m, "p", p) != NULL &&
              cJSON_AddBoolToObject(m, "void", p < CFG_STATS_MISMATCH) != NULL;
    if (ok && d->units_error > 0) {
        /* What the sketch lets through: a ratio of sides that is off by less. */
        ok = cJSON_AddNumberToObject(m, "resolution", expm1(SKETCH_REACH * sqrt(2.0) * d->units_error)) != NULL;
    }
    return ok;
}

/* --- a metric --- */

struct reading {
    bool known, significant;
    struct cfg_effect effect;
    double half_width, relative_half_width, p;
};

static bool estimate(struct cfg_estimate *out, const struct cfg_experiment_data *d, const struct cfg_experiment_side *s,
                     size_t metric)
{
    const struct cfg_experiment_sample *m = &s->metrics[metric];
    if (s->units < d->units_min || m->moments.n < d->units_min) {
        return false;
    }
    return m->parts ? cfg_parts_estimate(out, m->parts, &m->moments) : cfg_estimate_of(out, &m->moments);
}

/* The variance that a planned end with one sample a unit would have, for treatment and control apart. */
static void plan_end(double out[2], const struct cfg_experiment_data *d, const struct cfg_experiment_side *t,
                     double scale)
{
    double shares = 0;
    for (size_t i = 0; i < d->n_sides; i++) {
        shares += d->sides[i].share;
    }
    out[0] = scale * shares / (t->share * d->planned_units);
    out[1] = scale * shares / (d->sides[0].share * d->planned_units);
}

static void read_metric(struct reading *out, const struct cfg_experiment_data *d, const struct cfg_experiment_side *t,
                        size_t metric)
{
    const struct cfg_experiment_side *c = &d->sides[0];
    struct cfg_estimate now, base;
    struct cfg_effect *e = &out->effect;
    *out = (struct reading){.p = 1};
    if (!estimate(&now, d, t, metric) || !estimate(&base, d, c, metric)) {
        return;
    }
    cfg_effect_between(e, &now, &base);
    double scale = fmax(t->metrics[metric].scale, c->metrics[metric].scale), end[2];
    plan_end(end, d, t, scale > 0 ? scale : fmax(now.spread, base.spread));
    out->known = e->cautious > 0 && isfinite(e->cautious) && end[0] + end[1] > 0;
    if (!out->known) {
        return;
    }
    double alpha = d->alpha / (double)(d->n_sides - 1);
    struct cfg_sequence s = cfg_sequence_for(alpha, end[0] + end[1]);
    out->half_width = cfg_sequence_half_width(&s, e->cautious, e->freedom);
    out->p = cfg_sequence_p(&s, e->difference, e->cautious, e->freedom);
    out->significant = out->p < alpha;
    if (e->has_relative) {
        double ratio = e->relative + 1;
        s = cfg_sequence_for(alpha, (end[0] + ratio * ratio * end[1]) / (e->base * e->base));
        out->relative_half_width = cfg_sequence_half_width(&s, e->relative_variance, e->freedom);
    }
}

static bool add_figures(cJSON *m, const struct reading *r)
{
    const struct cfg_effect *e = &r->effect;
    bool ok = cJSON_AddNumberToObject(m, "control", e->base) && cJSON_AddNumberToObject(m, "treatment", e->treatment) &&
              cJSON_AddNumberToObject(m, "difference", e->difference) &&
              cJSON_AddNumberToObject(m, "se", sqrt(e->variance)) &&
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
           cJSON_AddNumberToObject(m, "n", (double)t->metrics[metric].moments.n) &&
           cJSON_AddNumberToObject(m, "bad", (double)t->metrics[metric].moments.bad) &&
           (!r->known || add_figures(m, r));
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
