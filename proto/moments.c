#include "proto/moments.h"

#include <math.h>
#include <string.h>

static const uint64_t COUNT_MAX = (UINT64_C(1) << 53) - 1;

static uint64_t add_up(uint64_t a, uint64_t b)
{
    return a + b < COUNT_MAX ? a + b : COUNT_MAX;
}

static bool is_sample(double x)
{
    return x >= -CFG_MOMENTS_LIMIT && x <= CFG_MOMENTS_LIMIT; /* false for NaN */
}

/* Rounding may push a mean of equal samples past them. */
static void keep_inside(struct cfg_moments *m)
{
    m->mean = m->mean < m->min ? m->min : m->mean > m->max ? m->max : m->mean;
}

void cfg_moments_add(struct cfg_moments *m, double x)
{
    if (!is_sample(x)) {
        m->bad = add_up(m->bad, 1);
        return;
    }
    m->min = m->n == 0 || x < m->min ? x : m->min;
    m->max = m->n == 0 || x > m->max ? x : m->max;
    m->n = add_up(m->n, 1);
    double delta = x - m->mean;
    m->mean += delta / (double)m->n;
    keep_inside(m);
    m->m2 += delta * (x - m->mean);
    m->last = x;
}

void cfg_moments_merge(struct cfg_moments *m, const struct cfg_moments *later)
{
    uint64_t bad = add_up(m->bad, later->bad);
    if (m->n == 0) {
        *m = *later;
    } else if (later->n > 0) {
        double a = (double)m->n, b = (double)later->n;
        double delta = later->mean - m->mean;
        double share = b / (a + b);
        m->min = later->min < m->min ? later->min : m->min;
        m->max = later->max > m->max ? later->max : m->max;
        m->mean += delta * share;
        keep_inside(m);
        m->m2 += later->m2 + delta * delta * a * share;
        m->n = add_up(m->n, later->n);
        m->last = later->last;
    }
    m->bad = bad;
}

double cfg_moments_variance(const struct cfg_moments *m)
{
    return m->n > 1 ? m->m2 / (double)(m->n - 1) : 0;
}

static void put(struct cfg_buf *out, const char *name, double d)
{
    cfg_buf_printf(out, ",\"%s\":", name);
    cfg_json_put_number(out, d);
}

void cfg_moments_print(struct cfg_buf *out, const struct cfg_moments *m)
{
    cfg_buf_printf(out, "{\"n\":%llu", (unsigned long long)m->n);
    put(out, "mean", m->mean);
    put(out, "m2", m->m2);
    put(out, "min", m->min);
    put(out, "max", m->max);
    put(out, "last", m->last);
    cfg_buf_printf(out, ",\"bad\":%llu}", (unsigned long long)m->bad);
}

static int refuse(struct cfg_error *err, const char *name, const char *why)
{
    cfg_fail(err, CFG_E_VALUE, "\"%s\" of a metric %s", name, why);
    cfg_error_set_path(err, "%s", name);
    return CFG_E_VALUE;
}

static int need_sample(double *out, const cJSON *v, const char *name, struct cfg_error *err)
{
    const cJSON *item = cfg_json_get(v, name);
    if (!cJSON_IsNumber(item) || !is_sample(item->valuedouble)) {
        return refuse(err, name, "must be a number within ±1e100");
    }
    *out = item->valuedouble;
    return 0;
}

static int parse_spread(struct cfg_moments *m, const cJSON *v, struct cfg_error *err)
{
    const cJSON *m2 = cfg_json_get(v, "m2");
    double range = m->max - m->min;
    if (!cJSON_IsNumber(m2) || !(m2->valuedouble >= 0 && m2->valuedouble <= (double)m->n * range * range)) {
        return refuse(err, "m2", "must be a number that samples between min and max can have");
    }
    m->m2 = m2->valuedouble;
    return 0;
}

int cfg_moments_parse(struct cfg_moments *out, const cJSON *v, struct cfg_error *err)
{
    struct cfg_moments m;
    memset(&m, 0, sizeof m);
    int rc = cfg_json_need_u64(v, "n", &m.n, err);
    rc = rc != 0 ? rc : cfg_json_need_u64(v, "bad", &m.bad, err);
    if (rc == 0 && m.n > 0) {
        rc = need_sample(&m.min, v, "min", err);
        rc = rc != 0 ? rc : need_sample(&m.max, v, "max", err);
        rc = rc != 0 ? rc : need_sample(&m.mean, v, "mean", err);
        rc = rc != 0 ? rc : need_sample(&m.last, v, "last", err);
        if (rc == 0 && !(m.min <= m.mean && m.mean <= m.max)) {
            rc = refuse(err, "mean", "must lie between min and max");
        }
        if (rc == 0 && !(m.min <= m.last && m.last <= m.max)) {
            rc = refuse(err, "last", "must lie between min and max");
        }
        rc = rc != 0 ? rc : parse_spread(&m, v, err);
    }
    if (rc == 0) {
        *out = m;
    }
    return rc;
}
