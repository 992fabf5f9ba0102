/* Random groups of units: what parts say of a mean, whoever gathered them. */
#include "proto/parts.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static uint64_t state = 3;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((double)((state * 0x2545F4914F6CDD1DU) >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t unit_of(unsigned i)
{
    uint64_t x = (i + 1) * 0x9E3779B97F4A7C15U;
    return x ^ (x >> 31);
}

static struct cfg_parts reread(const struct cfg_parts *p)
{
    struct cfg_parts back;
    struct cfg_buf text;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = NULL;
    cfg_buf_init(&text, 1 << 16);
    cfg_parts_print(&text, p);
    cr_assert_eq(cfg_json_parse(&v, cfg_buf_slice(&text), 0, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_parts_parse(&back, v, &err), 0, "%s", err.text);
    cJSON_Delete(v);
    cfg_buf_finish(&text);
    return back;
}

Test(parts, add_up_like_one)
{
    struct cfg_parts whole, a, b;
    struct cfg_moments m;
    memset(&whole, 0, sizeof whole);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    memset(&m, 0, sizeof m);
    for (unsigned i = 0; i < 3000; i++) {
        double x = 1e9 + uniform(); /* a large mean, a small spread */
        cfg_parts_add(&whole, unit_of(i % 700), x);
        cfg_parts_add(i % 3 ? &a : &b, unit_of(i % 700), x);
        cfg_moments_add(&m, x);
    }
    cfg_parts_add(&whole, 1, (double)NAN);
    cfg_parts_add(&whole, 1, (double)INFINITY);
    a = reread(&a);
    b = reread(&b);
    cfg_parts_merge(&a, &b);
    cr_assert(cfg_parts_count(&whole) == 3000 && cfg_parts_count(&a) == 3000);
    struct cfg_estimate one, two;
    cr_assert(cfg_parts_estimate(&one, &whole, &m) && cfg_parts_estimate(&two, &a, &m));
    cr_assert(fabs(one.variance / two.variance - 1) < 1e-4, "%g %g", one.variance, two.variance);
    cr_assert(one.n == 3000 && one.mean == m.mean && one.spread == cfg_moments_variance(&m));
}

/* A mean's variance over many draws, and what parts say of it on average. */
static void holds(unsigned units, bool alike, double uneven, double low, double high)
{
    enum { DRAWS = 400 };
    struct cfg_moments means, said;
    memset(&means, 0, sizeof means);
    memset(&said, 0, sizeof said);
    for (unsigned draw = 0; draw < DRAWS; draw++) {
        struct cfg_parts p;
        struct cfg_moments m;
        struct cfg_estimate e;
        memset(&p, 0, sizeof p);
        memset(&m, 0, sizeof m);
        for (unsigned i = 0; i < units; i++) {
            unsigned n = 1 + (unsigned)(uneven * pow(uniform(), 4));
            double own = uniform();
            for (unsigned k = 0; k < n; k++) {
                double x = alike ? own : uniform();
                cfg_parts_add(&p, unit_of(draw * units + i), x);
                cfg_moments_add(&m, x);
            }
        }
        cr_assert(cfg_parts_estimate(&e, &p, &m));
        cr_assert(e.freedom > 1 && e.freedom <= CFG_PARTS - 1);
        cfg_moments_add(&means, e.mean);
        cfg_moments_add(&said, e.variance);
    }
    double ratio = said.mean / cfg_moments_variance(&means);
    cr_assert(ratio > low && ratio < high, "%u units: %.3f of what it is", units, ratio);
}

Test(parts, know_how_sure_a_mean_is)
{
    holds(1000, false, 0, 0.8, 1.25); /* one sample each */
    holds(1000, true, 50, 0.8, 1.25); /* always alike, a few tell most */
    holds(1000, false, 50, 0.8, 1.25);
    holds(100, true, 50, 0.75, 1.3); /* hardly more units than parts */
}

Test(parts, one_unit_that_tells_most_leaves_little_freedom)
{
    struct cfg_parts p;
    struct cfg_moments m;
    struct cfg_estimate e = {.n = 42};
    memset(&p, 0, sizeof p);
    memset(&m, 0, sizeof m);
    cr_assert(!cfg_parts_estimate(&e, &p, &m) && e.n == 42);
    cfg_parts_add(&p, 5, 1);
    cfg_moments_add(&m, 1);
    cr_assert(!cfg_parts_estimate(&e, &p, &m) && e.n == 42, "one part alone");
    for (unsigned i = 0; i < 6400; i++) {
        double x = i % 64 == 5 ? 3 + uniform() : uniform();
        cfg_parts_add(&p, i, x);
        cfg_moments_add(&m, x);
    }
    cr_assert(cfg_parts_estimate(&e, &p, &m));
    cr_assert(e.freedom < 3, "%g", e.freedom);
    memset(&p, 0, sizeof p);
    for (unsigned i = 0; i < 640; i++)
        cfg_parts_add(&p, i, 7);
    cr_assert(cfg_parts_estimate(&e, &p, &m) && e.variance == 0 && e.freedom == CFG_PARTS - 1);
}

Test(parts, what_is_none_is_refused)
{
    static const char *const begins[] = {"[-1,0", "[0.5,0",   "[1e16,0", "[1,1e101",
                                         "[0,1",  "[1,\"x\"", "[null,1", "[1,1,0,0"};
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_parts p;
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        struct cfg_buf text;
        cJSON *v = NULL;
        cfg_buf_init(&text, 4096);
        cfg_buf_puts(&text, begins[i]);
        for (int k = 1; k < CFG_PARTS; k++)
            cfg_buf_puts(&text, ",0,0");
        cfg_buf_puts(&text, "]");
        cr_assert_eq(cfg_json_parse(&v, cfg_buf_slice(&text), 0, &err), 0, "%s", err.text);
        cr_assert_eq(cfg_parts_parse(&p, v, &err), CFG_E_VALUE, "%s", begins[i]);
        cJSON_Delete(v);
        cfg_buf_finish(&text);
    }
    cr_assert_eq(cfg_parts_parse(&p, NULL, &err), CFG_E_VALUE);
}
