#include "proto/parts.h"

#include <math.h>

static const uint64_t COUNT_MAX = (UINT64_C(1) << 53) - 1;

static bool is_mean(double x)
{
    return fabs(x) <= CFG_MOMENTS_LIMIT; /* false for NaN */
}

static void join(struct cfg_part *to, uint64_t n, double mean)
{
    uint64_t sum = to->n + n < COUNT_MAX ? to->n + n : COUNT_MAX;
    if (n > 0)
        to->mean += (mean - to->mean) * ((double)n / ((double)to->n + (double)n));
    to->n = sum;
}

void cfg_parts_add(struct cfg_parts *p, uint64_t unit, double x)
{
    if (is_mean(x))
        join(&p->of[unit % CFG_PARTS], 1, x);
}

void cfg_parts_merge(struct cfg_parts *p, const struct cfg_parts *other)
{
    for (size_t i = 0; i < CFG_PARTS; i++)
        join(&p->of[i], other->of[i].n, other->of[i].mean);
}

uint64_t cfg_parts_count(const struct cfg_parts *p)
{
    uint64_t n = 0;
    for (size_t i = 0; i < CFG_PARTS; i++)
        n = n + p->of[i].n < COUNT_MAX ? n + p->of[i].n : COUNT_MAX;
    return n;
}

bool cfg_parts_estimate(struct cfg_estimate *out, const struct cfg_parts *p, const struct cfg_moments *m)
{
    struct cfg_part all = {0, 0};
    double squares = 0, fourths = 0;
    size_t used = 0;
    for (size_t i = 0; i < CFG_PARTS; i++) {
        join(&all, p->of[i].n, p->of[i].mean);
        used += p->of[i].n > 0;
    }
    if (used < 2)
        return false;
    for (size_t i = 0; i < CFG_PARTS; i++) {
        double off = (double)p->of[i].n / (double)all.n * (p->of[i].mean - all.mean);
        squares += off * off;
        fourths += off * off * off * off;
    }
    /* Of independent normal parts the fourth powers are three times the squares' square, over their number. */
    double freedom = fourths > 0 ? 3 * squares * squares / fourths - 1 : CFG_PARTS - 1;
    *out = (struct cfg_estimate){.n = (double)all.n,
                                 .mean = m->mean,
                                 .spread = cfg_moments_variance(m),
                                 .variance = squares * CFG_PARTS / (CFG_PARTS - 1),
                                 .freedom = fmin(freedom, CFG_PARTS - 1)};
    return true;
}

void cfg_parts_print(struct cfg_buf *out, const struct cfg_parts *p)
{
    for (size_t i = 0; i < CFG_PARTS; i++) {
        cfg_buf_printf(out, "%s%llu,", i > 0 ? "," : "[", (unsigned long long)p->of[i].n);
        cfg_json_put_number(out, p->of[i].mean);
    }
    cfg_buf_putc(out, ']');
}

static bool read_part(struct cfg_part *out, const cJSON *n)
{
    const cJSON *mean = n ? n->next : NULL;
    if (!cJSON_IsNumber(n) || !cJSON_IsNumber(mean) || !(n->valuedouble >= 0) ||
        !(n->valuedouble <= (double)COUNT_MAX) || n->valuedouble != floor(n->valuedouble) ||
        !is_mean(mean->valuedouble) || (n->valuedouble == 0 && mean->valuedouble != 0))
        return false;
    *out = (struct cfg_part){(uint64_t)n->valuedouble, mean->valuedouble};
    return true;
}

int cfg_parts_parse(struct cfg_parts *out, const cJSON *v, struct cfg_error *err)
{
    struct cfg_parts p;
    const cJSON *at = cJSON_IsArray(v) ? v->child : NULL;
    bool ok = true;
    for (size_t i = 0; i < CFG_PARTS && ok; i++) {
        ok = read_part(&p.of[i], at);
        at = ok ? at->next->next : NULL;
    }
    if (!ok || at) {
        (void)cfg_fail(err, CFG_E_VALUE, "\"parts\" of a metric must be 64 pairs of count and mean");
        cfg_error_set_path(err, "parts");
        return CFG_E_VALUE;
    }
    *out = p;
    return 0;
}
