/* Moments against a computation in two passes, however the samples were cut. Values are drawn from a fixed seed. */
#include "proto/moments.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { N = 4000 };

static double samples[N];

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Samples around `centre`, as wide as `spread`. */
static void draw(uint64_t seed, double centre, double spread)
{
    for (unsigned i = 0; i < N; i++) {
        samples[i] = centre + spread * ((double)(next(&seed) >> 11) / 9007199254740992.0 - 0.5);
    }
}

static void near(double got, double want, double scale, const char *what)
{
    cr_assert(fabs(got - want) <= scale * 1e-9, "%s: %.17g, wanted %.17g", what, got, want);
}

static void check_two_passes(const struct cfg_moments *m, unsigned n)
{
    long double sum = 0, squares = 0;
    double low = samples[0], high = samples[0];
    for (unsigned i = 0; i < n; i++) {
        sum += (long double)samples[i];
        low = fmin(low, samples[i]);
        high = fmax(high, samples[i]);
    }
    long double mean = sum / n;
    for (unsigned i = 0; i < n; i++) {
        squares += ((long double)samples[i] - mean) * ((long double)samples[i] - mean);
    }
    cr_assert_eq(m->n, n);
    near(m->mean, (double)mean, fabs((double)mean) + (high - low), "mean");
    near(m->m2, (double)squares, (double)squares, "m2");
    near(cfg_moments_variance(m), n > 1 ? (double)(squares / (n - 1)) : 0, (double)squares, "variance");
    cr_assert(m->min == low && m->max == high && m->last == samples[n - 1]);
}

static struct cfg_moments of(unsigned from, unsigned to)
{
    struct cfg_moments m;
    memset(&m, 0, sizeof m);
    for (unsigned i = from; i < to; i++) {
        cfg_moments_add(&m, samples[i]);
    }
    return m;
}

Test(moments, agree_with_two_passes)
{
    static const double centres[] = {0, 1, -1e6, 1e9, 1e-9};
    for (unsigned i = 0; i < sizeof centres / sizeof centres[0]; i++) {
        draw(17 + i, centres[i], centres[i] == 0 ? 1 : fabs(centres[i]) * 1e-3);
        struct cfg_moments m = of(0, N);
        check_two_passes(&m, N);
    }
    struct cfg_moments one = of(0, 1);
    check_two_passes(&one, 1);
}

Test(moments, any_cut_gives_the_same)
{
    uint64_t state = 99;
    for (unsigned round = 0; round < 200; round++) {
        draw(round + 1, 50, 3);
        unsigned a = (unsigned)(next(&state) % N), b = a + (unsigned)(next(&state) % (N - a + 1));
        struct cfg_moments x = of(0, a), y = of(a, b), z = of(b, N);
        struct cfg_moments left = x, tail = y;
        cfg_moments_merge(&left, &y);
        cfg_moments_merge(&left, &z);
        cfg_moments_merge(&tail, &z);
        cfg_moments_merge(&x, &tail);
        check_two_passes(&left, N);
        check_two_passes(&x, N);
    }
}

Test(moments, what_is_no_number_is_counted_and_nothing_else)
{
    struct cfg_moments m, other;
    memset(&m, 0, sizeof m);
    memset(&other, 0, sizeof other);
    cfg_moments_add(&m, NAN);
    cfg_moments_add(&m, INFINITY);
    cr_assert(m.n == 0 && m.bad == 2 && m.mean == 0 && m.last == 0);
    cfg_moments_add(&other, -INFINITY);
    cfg_moments_add(&other, 1e101);
    cfg_moments_add(&other, 4);
    cfg_moments_merge(&m, &other);
    cr_assert(m.n == 1 && m.bad == 4 && m.mean == 4 && m.min == 4 && m.max == 4 && m.last == 4);
    memset(&other, 0, sizeof other);
    other.bad = (UINT64_C(1) << 53) - 2;
    cfg_moments_merge(&m, &other);
    cr_assert(m.n == 1 && m.bad == (UINT64_C(1) << 53) - 1 && m.last == 4);
}

Test(moments, extreme_samples_stay_finite)
{
    struct cfg_moments m, other;
    memset(&m, 0, sizeof m);
    for (unsigned i = 0; i < 1000; i++) {
        cfg_moments_add(&m, i % 2 == 0 ? 1e100 : -1e100);
    }
    other = m;
    other.n = (UINT64_C(1) << 53) - 1;
    cfg_moments_merge(&m, &other);
    cr_assert(isfinite(m.mean) && isfinite(m.m2) && isfinite(cfg_moments_variance(&m)));
    cr_assert_eq(m.n, (UINT64_C(1) << 53) - 1);
}

static int parse(struct cfg_moments *out, const char *text, struct cfg_error *err)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, err), 0, "%s: %s", text, err->text);
    int rc = cfg_moments_parse(out, v, err);
    cJSON_Delete(v);
    return rc;
}

static void check_back(const struct cfg_moments *m)
{
    struct cfg_moments back;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf text;
    cfg_buf_init(&text, 4096);
    cfg_moments_print(&text, m);
    cr_assert_eq(parse(&back, text.data, &err), 0, "%s: %s", text.data, err.text);
    cr_assert(back.n == m->n && back.bad == m->bad && back.mean == m->mean && back.m2 == m->m2 && back.min == m->min &&
                  back.max == m->max && back.last == m->last,
              "%s", text.data);
    cfg_buf_finish(&text);
}

Test(moments, what_was_printed_is_read_back_to_the_last_bit)
{
    static const double spreads[] = {0, 1e-300, 1e-16, 1e-3, 1, 1e90};
    struct cfg_moments m;
    memset(&m, 0, sizeof m);
    check_back(&m);
    for (unsigned i = 0; i < sizeof spreads / sizeof spreads[0]; i++) {
        draw(3 + i, 0.1, spreads[i]);
        for (unsigned n = 1; n < N; n = n * 3 + 1) {
            m = of(0, n);
            check_back(&m);
            struct cfg_moments more = of(n, N);
            cfg_moments_merge(&m, &more);
            cfg_moments_add(&m, NAN);
            check_back(&m);
        }
    }
}

Test(moments, foreign_numbers_must_be_ones_that_samples_can_have)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "null",
        "{\"n\":1}",
        "{\"n\":0}",
        "{\"n\":-1,\"bad\":0}",
        "{\"n\":0.5,\"bad\":0}",
        "{\"n\":1,\"bad\":0}",
        "{\"n\":1,\"bad\":0,\"mean\":1,\"m2\":0,\"min\":1,\"max\":1}",
        "{\"n\":1,\"bad\":0,\"mean\":1,\"m2\":0,\"min\":1,\"max\":1,\"last\":2}",
        "{\"n\":1,\"bad\":0,\"mean\":3,\"m2\":0,\"min\":1,\"max\":1,\"last\":1}",
        "{\"n\":1,\"bad\":0,\"mean\":1,\"m2\":5,\"min\":1,\"max\":1,\"last\":1}",
        "{\"n\":2,\"bad\":0,\"mean\":1,\"m2\":-1,\"min\":0,\"max\":2,\"last\":1}",
        "{\"n\":2,\"bad\":0,\"mean\":1,\"m2\":1,\"min\":2,\"max\":0,\"last\":1}",
        "{\"n\":2,\"bad\":0,\"mean\":1,\"m2\":1,\"min\":-1e200,\"max\":2,\"last\":1}",
        "{\"n\":2,\"bad\":0,\"mean\":\"1\",\"m2\":1,\"min\":0,\"max\":2,\"last\":1}",
        "{\"n\":9007199254740992e0,\"bad\":0,\"mean\":1,\"m2\":0,\"min\":1,\"max\":1,\"last\":1}",
    };
    struct cfg_moments m;
    memset(&m, 0, sizeof m);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        m.n = 41;
        cr_assert_lt(parse(&m, bad[i], &err), 0, "%s", bad[i]);
        cr_assert(err.text[0] != '\0' && m.n == 41, "%s", bad[i]);
    }
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(parse(&m, "{\"n\":0,\"bad\":7,\"mean\":\"x\",\"min\":3}", &err), 0, "%s", err.text);
    cr_assert(m.n == 0 && m.bad == 7 && m.min == 0 && m.mean == 0);
}
