/* Histograms that add up, and what foreign JSON may do to them. Values are drawn from a fixed seed. */
#include "proto/histogram.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Any magnitude is as likely as any other. */
static uint64_t draw(uint64_t *state, unsigned bits)
{
    return next(state) >> (64 - 1 - next(state) % bits);
}

static void fill(struct cfg_histogram *h, uint64_t *state, unsigned n)
{
    memset(h, 0, sizeof *h);
    for (unsigned i = 0; i < n; i++) {
        cfg_histogram_add(h, draw(state, 40));
    }
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double relative(uint64_t got, uint64_t want)
{
    return want == got ? 0 : ((double)got - (double)want) / (double)want;
}

static int parse(struct cfg_histogram *out, const char *text, struct cfg_error *err)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, err), 0, "%s: %s", text, err->text);
    int rc = cfg_histogram_parse(out, v, err);
    cJSON_Delete(v);
    return rc;
}

Test(histogram, buckets_follow_one_another_without_a_gap)
{
    unsigned last = 0;
    for (uint64_t us = 0; us < 1u << 20; us++) {
        unsigned i = cfg_histogram_index(us);
        cr_assert(i == last || i == last + 1, "%llu: %u after %u", (unsigned long long)us, i, last);
        last = i;
    }
    for (unsigned power = 20; power < 36; power++) {
        uint64_t edge = UINT64_C(1) << power;
        cr_assert_eq(cfg_histogram_index(edge), cfg_histogram_index(edge - 1) + 1, "2^%u", power);
    }
    cr_assert_eq(cfg_histogram_index((UINT64_C(1) << 36) - 1), CFG_HISTOGRAM_BUCKETS - 1);
    cr_assert_eq(cfg_histogram_index(UINT64_C(1) << 36), CFG_HISTOGRAM_BUCKETS - 1);
    cr_assert_eq(cfg_histogram_index(UINT64_MAX), CFG_HISTOGRAM_BUCKETS - 1);
}

Test(histogram, a_quantile_is_at_most_a_sixteenth_off)
{
    static uint64_t values[5000];
    static const double shares[] = {0, 0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    uint64_t state = 88172645463325252u;
    for (unsigned round = 0; round < 40; round++) {
        static struct cfg_histogram h;
        size_t n = 1 + (size_t)(next(&state) % 5000);
        memset(&h, 0, sizeof h);
        for (size_t i = 0; i < n; i++) {
            values[i] = draw(&state, 36);
            cfg_histogram_add(&h, values[i]);
        }
        qsort(values, n, sizeof values[0], by_value);
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            double rank = shares[i] * (double)n;
            size_t at = (size_t)rank;
            at = (double)at < rank ? at + 1 : at;
            uint64_t want = values[at > 0 ? at - 1 : 0];
            double off = relative(cfg_histogram_quantile(&h, shares[i]), want);
            cr_assert(off <= 0.0625 && off >= -0.0625, "q %g of %zu: off by %g", shares[i], n, off);
        }
    }
}

Test(histogram, quantiles_of_the_empty_and_of_no_share)
{
    static struct cfg_histogram h;
    cr_assert_eq(cfg_histogram_quantile(&h, 0.5), 0);
    cfg_histogram_add(&h, 7);
    cfg_histogram_add(&h, 31);
    cr_assert_eq(cfg_histogram_quantile(&h, -1), 7);
    cr_assert_eq(cfg_histogram_quantile(&h, 0.0 / 0.0), 7);
    cr_assert_eq(cfg_histogram_quantile(&h, 9), 31);
}

Test(histogram, adding_up_is_associative_and_commutative)
{
    static struct cfg_histogram a, b, c, left, right;
    uint64_t state = 2463534242u;
    for (unsigned round = 0; round < 20; round++) {
        fill(&a, &state, 300);
        fill(&b, &state, 200);
        fill(&c, &state, 1);
        a.counts[round] = (UINT64_C(1) << 53) - 2; /* near the end, where adding stops */
        left = a;
        cfg_histogram_merge(&left, &b);
        cfg_histogram_merge(&left, &c);
        right = c;
        cfg_histogram_merge(&right, &b);
        cfg_histogram_merge(&right, &a);
        cr_assert_eq(memcmp(&left, &right, sizeof left), 0, "round %u", round);
    }
}

Test(histogram, merging_is_as_if_all_had_been_counted_in_one)
{
    static struct cfg_histogram a, b, both;
    uint64_t state = 5;
    fill(&a, &state, 1000);
    fill(&b, &state, 1000);
    state = 5;
    fill(&both, &state, 2000);
    cfg_histogram_merge(&a, &b);
    cr_assert_eq(memcmp(&a, &both, sizeof a), 0);
}

Test(histogram, what_was_printed_is_read_back)
{
    static struct cfg_histogram h, back;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf text;
    uint64_t state = 77;
    fill(&h, &state, 5000);
    cfg_buf_init(&text, 1 << 20);
    cfg_histogram_print(&text, &h);
    cr_assert_eq(parse(&back, text.data, &err), 0, "%s", err.text);
    cr_assert_eq(memcmp(&h, &back, sizeof h), 0);
    cfg_buf_clear(&text);
    memset(&h, 0, sizeof h);
    cfg_histogram_print(&text, &h);
    cr_assert_str_eq(text.data, "{}");
    cfg_buf_finish(&text);
}

Test(histogram, foreign_counts_and_buckets_are_bounded)
{
    static const char *const bad[] = {
        "{\"528\":1}",
        "{\"-1\":1}",
        "{\"01\":1}",
        "{\"\":1}",
        "{\"1 \":1}",
        "{\"1000\":1}",
        "{\"0\":-1}",
        "{\"0\":0.5}",
        "{\"0\":1e300}",
        "{\"0\":\"1\"}",
        "{\"0\":null}",
        "{\"x\":1}",
        "[]",
        "3",
        "null",
        "{\"18446744073709551616\":1}",
        "{\"0\":9007199254740992e0}",
    };
    static struct cfg_histogram h;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_error err = CFG_ERROR_INIT;
        h.n = 41;
        cr_assert_eq(parse(&h, bad[i], &err), CFG_E_VALUE, "%s", bad[i]);
        cr_assert(err.text[0] != '\0' && h.n == 41, "%s", bad[i]);
    }
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_histogram_parse(&h, NULL, &err), CFG_E_VALUE);
    cr_assert_eq(parse(&h, "{\"0\":9007199254740991,\"527\":9007199254740991,\"3\":0}", &err), 0, "%s", err.text);
    cr_assert_eq(h.n, (UINT64_C(1) << 53) - 1);
}

Test(histogram, buckets_begin_where_the_ones_before_them_end)
{
    for (unsigned i = 0; i < CFG_HISTOGRAM_BUCKETS; i++) {
        cr_assert_eq(cfg_histogram_index(cfg_histogram_floor(i)), i);
        cr_assert(i == 0 || cfg_histogram_index(cfg_histogram_floor(i) - 1) == i - 1);
    }
    cr_assert_gt(cfg_histogram_floor(CFG_HISTOGRAM_BUCKETS), cfg_histogram_floor(CFG_HISTOGRAM_BUCKETS - 1));
}
