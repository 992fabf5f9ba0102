#include "configd/rollout_guard.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double WIDTH = 3;     /* standard errors on either side of an estimate */
static const double CHANCE = 0.02; /* that a quantile lies beyond all samples, which is put up with */

enum stat { STAT_MEAN, STAT_MIN, STAT_MAX, STAT_SD, STAT_LAST, STAT_N, STAT_BAD, STAT_QUANTILE };

struct quantity {
    char name[CFG_METRIC_NAME + 16]; /* as written, without "base." */
    char metric[CFG_METRIC_NAME + 1];
    enum stat stat;
    double quantile; /* of STAT_QUANTILE */
    bool of_base;
};

struct cfg_rollout_guard {
    char text[CFG_GUARD_TEXT + 1];
    struct cfg_expr *expr; /* NULL: "METRIC finite" */
    struct quantity quantities[CFG_GUARD_NAMES];
    size_t n;
};

/* --- reports --- */

const struct cfg_moments *cfg_arm_report_metric(const struct cfg_arm_report *r, const char *name)
{
    for (size_t i = 0; i < r->n_metrics; i++)
        if (strcmp(r->metrics[i].name, name) == 0)
            return &r->metrics[i].moments;
    return NULL;
}

struct cfg_moments *cfg_arm_report_add(struct cfg_arm_report *r, const char *name)
{
    for (size_t i = 0; i < r->n_metrics; i++)
        if (strcmp(r->metrics[i].name, name) == 0)
            return &r->metrics[i].moments;
    if (r->n_metrics == sizeof r->metrics / sizeof r->metrics[0] || strlen(name) > CFG_METRIC_NAME)
        return NULL;
    struct cfg_arm_metric *m = &r->metrics[r->n_metrics++];
    *m = (struct cfg_arm_metric){.moments = {.n = 0}};
    memcpy(m->name, name, strlen(name) + 1);
    return &m->moments;
}

void cfg_arm_report_merge(struct cfg_arm_report *r, const struct cfg_arm_report *other)
{
    r->groups += other->groups;
    r->workers += other->workers;
    r->converged += other->converged;
    r->rejecting += other->rejecting;
    r->lost += other->lost;
    for (size_t i = 0; i < other->n_metrics; i++) {
        struct cfg_moments *m = cfg_arm_report_add(r, other->metrics[i].name);
        if (m)
            cfg_moments_merge(m, &other->metrics[i].moments);
    }
    cfg_histogram_merge(&r->latency, &other->latency);
}

/* --- compiling --- */

static int bad(struct cfg_error *err, const char *text, const char *why)
{
    (void)cfg_fail(err, CFG_E_VALUE, "guard '%s': %s", text, why);
    cfg_error_set_hint(err, "guards look like 'error_rate<1%%', 'p99_ms<1.1*base' or 'loss finite'");
    return CFG_E_VALUE;
}

/* "p99_ms", "p99.9_ms": the quantile; false for another name. */
static bool read_quantile(double *out, const char *name)
{
    char *end;
    if (name[0] != 'p' || !isdigit((unsigned char)name[1]))
        return false;
    double percent = strtod(name + 1, &end);
    if (strcmp(end, "_ms") != 0 || !(percent > 0 && percent < 100))
        return false;
    *out = percent / 100;
    return true;
}

/* A metric's statistic by the name's last part: loss.max. */
static void read_stat(struct quantity *q)
{
    static const char *const names[] = {"mean", "min", "max", "sd", "last", "n", "bad"};
    char *dot = strrchr(q->metric, '.');
    q->stat = STAT_MEAN;
    for (size_t i = 0; dot && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(dot + 1, names[i]) == 0) {
            q->stat = (enum stat)i;
            *dot = '\0';
            return;
        }
}

static bool read_quantity(struct quantity *q, struct cfg_slice name)
{
    struct cfg_slice rest = name;
    if (rest.len > 3 && strncmp(rest.ptr, "${", 2) == 0 && rest.ptr[rest.len - 1] == '}')
        rest = (struct cfg_slice){rest.ptr + 2, rest.len - 3};
    *q = (struct quantity){.of_base = false};
    if (rest.len > 5 && strncmp(rest.ptr, "base.", 5) == 0) {
        q->of_base = true;
        rest = (struct cfg_slice){rest.ptr + 5, rest.len - 5};
    }
    if (rest.len == 0 || rest.len >= sizeof q->name)
        return false;
    memcpy(q->name, rest.ptr, rest.len);
    if (read_quantile(&q->quantile, q->name)) {
        q->stat = STAT_QUANTILE;
        return true;
    }
    if (rest.len > CFG_METRIC_NAME)
        return false;
    memcpy(q->metric, rest.ptr, rest.len);
    read_stat(q);
    return q->metric[0] != '\0';
}

struct collecting {
    struct cfg_rollout_guard *guard;
    bool base, failed;
};

static bool collect(struct cfg_slice name, void *arg)
{
    struct collecting *c = arg;
    struct cfg_rollout_guard *g = c->guard;
    if (cfg_slice_eq_str(name, "base")) {
        c->base = true;
        return true;
    }
    c->failed = g->n == CFG_GUARD_NAMES || !read_quantity(&g->quantities[g->n], name);
    g->n += !c->failed;
    return !c->failed;
}

/* `base` alone stands for the base's value of the one quantity that the guard looks at. */
static int resolve_base(struct cfg_rollout_guard *g, struct cfg_error *err)
{
    size_t of_canary = 0;
    for (size_t i = 0; i < g->n; i++)
        of_canary += !g->quantities[i].of_base;
    if (of_canary != 1)
        return bad(err, g->text, "base stands for one metric; write base.METRIC where there are several");
    if (g->n == CFG_GUARD_NAMES)
        return bad(err, g->text, "it looks at too many metrics");
    size_t i = 0;
    while (g->quantities[i].of_base)
        i++;
    g->quantities[g->n] = g->quantities[i];
    g->quantities[g->n++].of_base = true;
    return 0;
}

static int compile(struct cfg_rollout_guard *g, struct cfg_error *err)
{
    struct collecting c = {.guard = g};
    int rc = cfg_expr_compile(&g->expr, cfg_slice_str(g->text), err);
    if (rc != 0)
        return cfg_error_wrap(err, "guard '%s'", g->text);
    cfg_expr_each_name(g->expr, collect, &c);
    if (c.failed)
        return bad(err, g->text, "it looks at too many metrics, or at one whose name is too long");
    if (g->n == 0)
        return bad(err, g->text, "it names no metric");
    return c.base ? resolve_base(g, err) : 0;
}

/* "loss finite"; false when the text is another one. */
static bool is_finite_guard(struct cfg_rollout_guard *g)
{
    static const char word[] = "finite";
    size_t len = strlen(g->text);
    while (len > 0 && isspace((unsigned char)g->text[len - 1]))
        len--;
    size_t start = strspn(g->text, " \t"), stop = len - (sizeof word - 1);
    if (len < start + sizeof word || strncmp(g->text + stop, word, sizeof word - 1) != 0 ||
        !isspace((unsigned char)g->text[stop - 1]))
        return false;
    while (stop > start && isspace((unsigned char)g->text[stop - 1]))
        stop--;
    struct quantity *q = &g->quantities[0];
    size_t name = strcspn(g->text + start, " \t");
    if (start + name != stop || !read_quantity(q, (struct cfg_slice){g->text + start, name}) || q->of_base)
        return false;
    g->n = 1;
    return q->stat == STAT_MEAN;
}

void cfg_rollout_guard_free(struct cfg_rollout_guard *g)
{
    if (g)
        cfg_expr_free(g->expr);
    free(g);
}

const char *cfg_rollout_guard_text(const struct cfg_rollout_guard *g)
{
    return g->text;
}

bool cfg_rollout_guard_is_relative(const struct cfg_rollout_guard *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->quantities[i].of_base)
            return true;
    return false;
}

void cfg_rollout_guard_each_metric(const struct cfg_rollout_guard *g, void (*fn)(const char *metric, void *arg),
                                   void *arg)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->quantities[i].stat != STAT_QUANTILE)
            fn(g->quantities[i].metric, arg);
}

/* --- estimates --- */

struct estimate {
    double value, low, high;
    uint64_t n;
    bool counts; /* a count needs no minimum of samples */
};

static struct estimate exactly(double value, uint64_t n)
{
    return (struct estimate){.value = value, .low = value, .high = value, .n = n};
}

static struct estimate about(double value, double error, uint64_t n)
{
    return (struct estimate){.value = value, .low = value - WIDTH * error, .high = value + WIDTH * error, .n = n};
}

/* The ranks of a group take every step together: their durations are one sample, told once by each. */
static double ranks_of(const struct cfg_arm_report *r)
{
    return r->groups > 0 && r->workers > r->groups ? (double)r->workers / (double)r->groups : 1;
}

static unsigned bucket_at(const struct cfg_histogram *h, double q)
{
    return cfg_histogram_index(cfg_histogram_quantile(h, q));
}

/* By ranks, to the outer edges of their buckets. Too few samples bound a quantile on one side alone: that all of n lie
 * below it has the chance q^n. */
static struct estimate of_latency(const struct cfg_arm_report *r, double q)
{
    const struct cfg_histogram *h = &r->latency;
    double n = (double)h->n / ranks_of(r), error = n > 0 ? WIDTH * sqrt(q * (1 - q) / n) : 1;
    bool bounded = n * log(q) <= log(CHANCE);
    return (struct estimate){.value = (double)cfg_histogram_quantile(h, q) / 1000,
                             .low = q - error > 0 ? (double)cfg_histogram_floor(bucket_at(h, q - error)) / 1000 : 0,
                             .high = bounded ? (double)cfg_histogram_floor(bucket_at(h, q + error) + 1) / 1000
                                             : CFG_MOMENTS_LIMIT,
                             .n = h->n};
}

/* How many of a metric's samples are independent of each other, at the least: where every rank of a group tells it,
 * those of a step are one. */
static double independent(const struct cfg_arm_report *r, const struct cfg_moments *m)
{
    double n = m->n > 0 ? (double)m->n : 1, ranks = ranks_of(r), steps = (double)r->latency.n / ranks;
    double least = n / ranks, most = n < steps ? n : steps;
    return least > most ? least : most;
}

/* Where arms are compared they are taken to vary alike, unless this one varies more: that an event is missing among few
 * samples does not say that it never happens. */
static double deviation(const struct cfg_moments *m, const struct cfg_moments *other)
{
    double own = cfg_moments_variance(m), both = own;
    if (other && m->n + other->n > 2)
        both = (m->m2 + other->m2) / (double)(m->n + other->n - 2);
    return sqrt(both > own ? both : own);
}

static struct estimate of_metric(const struct quantity *q, const struct cfg_arm_report *r,
                                 const struct cfg_arm_report *other)
{
    static const struct cfg_moments none = {.n = 0};
    const struct cfg_moments *m = cfg_arm_report_metric(r, q->metric);
    m = m ? m : &none;
    double n = independent(r, m), sd = sqrt(cfg_moments_variance(m));
    struct estimate e = exactly(0, m->n);
    switch (q->stat) {
    case STAT_MEAN:
        return about(m->mean, deviation(m, other ? cfg_arm_report_metric(other, q->metric) : NULL) / sqrt(n), m->n);
    case STAT_SD:
        return about(sd, sd / sqrt(2 * n), m->n);
    case STAT_MIN:
        return exactly(m->min, m->n);
    case STAT_MAX:
        return exactly(m->max, m->n);
    case STAT_LAST:
        return exactly(m->last, m->n);
    case STAT_N:
        e = exactly((double)m->n, m->n);
        break;
    case STAT_BAD:
        e = exactly((double)m->bad, m->n + m->bad);
        break;
    case STAT_QUANTILE:
        break;
    }
    e.counts = true;
    return e;
}

static struct estimate estimate(const struct quantity *q, bool relative, const struct cfg_arm_report *canary,
                                const struct cfg_arm_report *base)
{
    const struct cfg_arm_report *r = q->of_base ? base : canary, *other = q->of_base ? canary : base;
    return q->stat == STAT_QUANTILE ? of_latency(r, q->quantile) : of_metric(q, r, relative ? other : NULL);
}

/* --- judging --- */

struct values {
    const struct cfg_rollout_guard *guard;
    double v[CFG_GUARD_NAMES];
};

static int lookup(struct cfg_expr_value *out, void *arg, struct cfg_slice path, struct cfg_arena *arena,
                  struct cfg_error *err)
{
    const struct values *values = arg;
    const struct cfg_rollout_guard *g = values->guard;
    bool bare = cfg_slice_eq_str(path, "base"), of_base = bare || (path.len > 5 && strncmp(path.ptr, "base.", 5) == 0);
    struct cfg_slice name = of_base && !bare ? (struct cfg_slice){path.ptr + 5, path.len - 5} : path;
    (void)arena;
    /* A bare `base` is the last quantity: resolve_base put it there. */
    for (size_t i = 0; i < g->n; i++) {
        const struct quantity *q = &g->quantities[i];
        bool is = bare ? i + 1 == g->n : q->of_base == of_base && cfg_slice_eq_str(name, q->name);
        if (!is)
            continue;
        *out = (struct cfg_expr_value){.type = CFG_EXPR_NUMBER, .is_float = true};
        out->number = values->v[i];
        return 0;
    }
    return cfg_fail(err, CFG_E_UNKNOWN_KEY, "%.*s is no metric", (int)path.len, path.ptr);
}

static int test(bool *out, const struct values *values, struct cfg_error *err)
{
    const struct cfg_expr_names names = {.lookup = lookup, .arg = (void *)(uintptr_t)values};
    return cfg_expr_test(out, values->guard->expr, &names, err);
}

/* A guard that no numbers make true or false ('loss < "a"', 'loss/0 < 1') would hold the rollout for ever. */
static int check_sense(const struct cfg_rollout_guard *g, struct cfg_error *err)
{
    static const double tried[] = {0.5, 1, 3};
    struct cfg_error first = CFG_ERROR_INIT;
    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++) {
        struct values values = {.guard = g};
        bool holds;
        for (size_t k = 0; k < g->n; k++)
            values.v[k] = tried[i] * (double)(k + 1);
        if (test(&holds, &values, i == 0 ? &first : NULL) == 0)
            return 0;
    }
    return bad(err, g->text, first.text);
}

int cfg_rollout_guard_new(struct cfg_rollout_guard **out, const char *text, struct cfg_error *err)
{
    if (strlen(text) > CFG_GUARD_TEXT)
        return cfg_fail(err, CFG_E_LIMIT, "a guard is at most %d bytes long", CFG_GUARD_TEXT);
    struct cfg_rollout_guard *g = calloc(1, sizeof *g);
    if (g == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    memcpy(g->text, text, strlen(text) + 1);
    int rc = is_finite_guard(g) ? 0 : compile(g, err);
    rc = rc || g->expr == NULL ? rc : check_sense(g, err);
    if (rc == 0)
        *out = g;
    else
        cfg_rollout_guard_free(g);
    return rc;
}

/* False for all values that the estimates leave plausible, tried at the corners? */
static bool is_false_everywhere(const struct cfg_rollout_guard *g, const struct estimate e[])
{
    for (unsigned corner = 0; corner < 1u << g->n; corner++) {
        struct values values = {.guard = g};
        bool holds = false;
        for (size_t i = 0; i < g->n; i++)
            values.v[i] = corner >> i & 1 ? e[i].high : e[i].low;
        if (test(&holds, &values, NULL) != 0 || holds)
            return false;
    }
    return true;
}

static void judge_values(struct cfg_guard_reading *out, const struct cfg_rollout_guard *g, const struct estimate e[])
{
    struct values values = {.guard = g};
    struct cfg_error err = CFG_ERROR_INIT;
    bool holds = false;
    for (size_t i = 0; i < g->n; i++)
        values.v[i] = e[i].value;
    if (test(&holds, &values, &err) != 0) {
        (void)snprintf(out->why, sizeof out->why, "cannot be judged: %.150s", err.text);
        return;
    }
    if (holds) {
        out->verdict = CFG_VERDICT_PASSES;
        return;
    }
    bool fails = is_false_everywhere(g, e);
    out->verdict = fails ? CFG_VERDICT_FAILS : CFG_VERDICT_HOLDS;
    if (out->has_base)
        (void)snprintf(out->why, sizeof out->why, "%scanary %.6g, base %.6g (%llu and %llu samples)",
                       fails ? "" : "violated, but within what chance explains: ", out->canary, out->base,
                       (unsigned long long)out->n_canary, (unsigned long long)out->n_base);
    else
        (void)snprintf(out->why, sizeof out->why, "%scanary %.6g (%llu samples)",
                       fails ? "" : "violated, but within what chance explains: ", out->canary,
                       (unsigned long long)out->n_canary);
}

static void judge_finite(struct cfg_guard_reading *out, const struct cfg_rollout_guard *g,
                         const struct cfg_arm_report *canary, uint64_t min_samples)
{
    const struct cfg_moments *m = cfg_arm_report_metric(canary, g->quantities[0].metric);
    uint64_t n = m ? m->n : 0, wrong = m ? m->bad : 0;
    out->has_canary = m != NULL;
    out->canary = (double)wrong;
    out->n_canary = n + wrong;
    if (wrong > 0) {
        out->verdict = CFG_VERDICT_FAILS;
        (void)snprintf(out->why, sizeof out->why, "%llu of the canary's %llu samples are not finite",
                       (unsigned long long)wrong, (unsigned long long)(n + wrong));
    } else if (n < min_samples) {
        (void)snprintf(out->why, sizeof out->why, "%llu of %llu samples in the canary", (unsigned long long)n,
                       (unsigned long long)min_samples);
    } else {
        out->verdict = CFG_VERDICT_PASSES;
    }
}

/* The first quantity of each arm is what people are shown. */
static bool gather(struct cfg_guard_reading *out, struct estimate e[], const struct cfg_rollout_guard *g,
                   const struct cfg_arm_report *canary, const struct cfg_arm_report *base, uint64_t min_samples)
{
    bool enough = true, relative = cfg_rollout_guard_is_relative(g);
    for (size_t i = 0; i < g->n; i++) {
        const struct quantity *q = &g->quantities[i];
        e[i] = estimate(q, relative, canary, base);
        if (q->of_base && !out->has_base) {
            out->has_base = e[i].n > 0;
            out->base = e[i].value;
            out->n_base = e[i].n;
        } else if (!q->of_base && !out->has_canary) {
            out->has_canary = e[i].n > 0;
            out->canary = e[i].value;
            out->n_canary = e[i].n;
        }
        if (enough && !e[i].counts && e[i].n < min_samples) {
            enough = false;
            (void)snprintf(out->why, sizeof out->why, "%llu of %llu samples of %s in the %s",
                           (unsigned long long)e[i].n, (unsigned long long)min_samples, q->name,
                           q->of_base ? "base" : "canary");
        }
    }
    return enough;
}

void cfg_rollout_guard_judge(struct cfg_guard_reading *out, const struct cfg_rollout_guard *g,
                             const struct cfg_arm_report *canary, const struct cfg_arm_report *base,
                             uint64_t min_samples, enum cfg_guard_base left)
{
    struct estimate e[CFG_GUARD_NAMES] = {{.n = 0}};
    *out = (struct cfg_guard_reading){.verdict = CFG_VERDICT_HOLDS};
    if (g->expr == NULL) {
        judge_finite(out, g, canary, min_samples);
        return;
    }
    bool enough = gather(out, e, g, canary, base, min_samples);
    if (cfg_rollout_guard_is_relative(g) && left != CFG_BASE_THERE && canary->groups > 0) {
        out->verdict = left == CFG_BASE_LEFT ? CFG_VERDICT_PASSES : CFG_VERDICT_HOLDS;
        (void)snprintf(out->why, sizeof out->why, "nobody runs the base%s: nothing to compare with",
                       left == CFG_BASE_LEFT ? " any more" : ", though not all should have left it");
    } else if (enough) {
        judge_values(out, g, e);
    }
}

const char *cfg_guard_verdict_name(enum cfg_guard_verdict v)
{
    static const char *const names[] = {"holds", "passes", "fails"};
    return names[v];
}
