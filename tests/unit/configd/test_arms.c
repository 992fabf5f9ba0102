/* Who runs which arm. */
#include <criterion/criterion.h>

#include "configd/rollout_census.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 16, &err), 0, "%s", err.text);
    return v;
}

static struct cfg_split split_of(const char *text)
{
    struct cfg_split s = {.share = 0};
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = json(text);
    cr_assert_eq(cfg_split_read(&s, v, &err), 0, "%s", err.text);
    cJSON_Delete(v);
    return s;
}

static void refused(const char *text, const char *why)
{
    struct cfg_split s = {.share = 0};
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = json(text);
    cr_assert_lt(cfg_split_read(&s, v, &err), 0, "%s", text);
    cr_assert(strstr(err.text, why), "%s", err.text);
    cJSON_Delete(v);
}

Test(arms, a_record_is_read_and_written)
{
    const char *text = "{\"arm\":\"canary\",\"seed\":\"00ff\",\"share\":0.25,\"by\":\"rack\","
                       "\"where\":{\"region\":[\"eu\",\"us\"],\"gpu\":[\"H200\"]}}";
    struct cfg_split s = split_of(text);
    cJSON *again = cfg_split_json(&s), *was = json(text);
    cr_assert(cfg_json_equal(again, was));
    cJSON_Delete(again);
    cJSON_Delete(was);
    cfg_split_finish(&s);
    refused("{\"arm\":\"canary\",\"seed\":\"00ff\",\"share\":1.5}", "split.share");
    refused("{\"arm\":\"canary\",\"seed\":\"no\",\"share\":1}", "split.seed");
    refused("{\"arm\":\"Canary\",\"seed\":\"00\",\"share\":1}", "arm");
    refused("{\"arm\":\"canary\",\"seed\":\"00\",\"share\":1,\"where\":{\"a\":[1]}}", "where");
    refused("{\"arm\":\"canary\",\"seed\":\"00\",\"share\":1,\"where\":{\"a\":[]}}", "where");
}

/* Shares are met, points do not depend on anything but seed and id, and a group that is in stays in. */
Test(arms, raising_a_share_never_moves_a_group_back)
{
    enum { GROUPS = 4000 };
    static const double shares[] = {0, 0.01, 0.1, 0.5, 0.99, 1};
    bool in[GROUPS] = {false};
    struct cfg_split s = split_of("{\"arm\":\"canary\",\"seed\":\"5eed\",\"share\":0}");
    for (size_t k = 0; k < sizeof shares / sizeof shares[0]; k++) {
        unsigned n = 0;
        s.share = shares[k];
        for (unsigned i = 0; i < GROUPS; i++) {
            char group[32];
            (void)snprintf(group, sizeof group, "job-%u", i);
            bool now = strcmp(cfg_split_arm(&s, group, NULL), "canary") == 0;
            cr_assert(now || !in[i], "%s moved back at %g", group, s.share);
            in[i] = now;
            n += now;
        }
        double expected = s.share * GROUPS, sd = sqrt(GROUPS * s.share * (1 - s.share));
        cr_assert(fabs(n - expected) <= 4 * sd, "%u of %d at %g", n, GROUPS, s.share);
    }
    cfg_split_finish(&s);
}

Test(arms, another_seed_has_other_canaries)
{
    struct cfg_split a = split_of("{\"arm\":\"canary\",\"seed\":\"a1\",\"share\":0.5}");
    struct cfg_split b = split_of("{\"arm\":\"canary\",\"seed\":\"a2\",\"share\":0.5}");
    unsigned differ = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char group[32];
        (void)snprintf(group, sizeof group, "g%u", i);
        differ += strcmp(cfg_split_arm(&a, group, NULL), cfg_split_arm(&b, group, NULL)) != 0;
    }
    cr_assert(differ > 430 && differ < 570, "%u", differ);
    cfg_split_finish(&a);
    cfg_split_finish(&b);
}

Test(arms, labels_restrict)
{
    struct cfg_split s = split_of("{\"arm\":\"canary\",\"seed\":\"0\",\"share\":1,"
                                  "\"where\":{\"region\":[\"eu\",\"us\"],\"gpu\":[\"H200\"]}}");
    cJSON *eu = json("{\"region\":\"eu\",\"gpu\":\"H200\",\"rack\":\"r1\"}"), *half = json("{\"region\":\"eu\"}");
    cJSON *ap = json("{\"region\":\"ap\",\"gpu\":\"H200\"}");
    cr_assert_str_eq(cfg_split_arm(&s, "g", eu), "canary");
    cr_assert_str_eq(cfg_split_arm(&s, "g", half), "base");
    cr_assert_str_eq(cfg_split_arm(&s, "g", ap), "base");
    cr_assert_str_eq(cfg_split_arm(&s, "g", NULL), "base");
    cJSON_Delete(eu);
    cJSON_Delete(half);
    cJSON_Delete(ap);
    cfg_split_finish(&s);
}

Test(arms, a_topology_label_moves_racks_as_a_whole)
{
    struct cfg_split s = split_of("{\"arm\":\"canary\",\"seed\":\"beef\",\"share\":0.5,\"by\":\"rack\"}");
    cJSON *r1 = json("{\"rack\":\"r1\"}"), *none = json("{}");
    double a, b;
    cr_assert(cfg_split_point(&a, &s, "g1", r1) && cfg_split_point(&b, &s, "g2", r1));
    cr_assert_eq(a, b);
    cr_assert(!cfg_split_point(&a, &s, "g1", none), "a group without the label stays with the base");
    cJSON_Delete(r1);
    cJSON_Delete(none);
    cfg_split_finish(&s);
}

/* The share that is named for a group holds it, and one hundredth of a per cent less does not. */
Test(arms, the_smallest_share_that_holds_a_group)
{
    struct cfg_split s = split_of("{\"arm\":\"canary\",\"seed\":\"c0ffee\",\"share\":0}");
    for (unsigned i = 0; i < 500; i++) {
        char group[32];
        double point;
        (void)snprintf(group, sizeof group, "worker-%u", i);
        cr_assert(cfg_split_point(&point, &s, group, NULL));
        s.share = cfg_split_share_for(point);
        cr_assert(s.share <= 1);
        cr_assert_str_eq(cfg_split_arm(&s, group, NULL), "canary");
        s.share -= 0.0001;
        cr_assert_str_eq(cfg_split_arm(&s, group, NULL), "base");
    }
    cfg_split_finish(&s);
}

Test(arms, a_census_counts_what_moves_together_and_names_who_cannot)
{
    static const char *const labels[] = {"{\"rack\":\"r1\"}", "{\"rack\":\"r1\"}", "{\"rack\":\"r2\"}", "{}"};
    static const char *const groups[] = {"a", "b", "b", "a"};
    struct cfg_split s = split_of("{\"arm\":\"canary\",\"seed\":\"beef\",\"share\":0.5,\"by\":\"rack\"}");
    struct cfg_census c;
    double point;
    cfg_census_begin(&c, &s);
    for (size_t i = 0; i < 4; i++) {
        cJSON *l = json(labels[i]);
        cr_assert_eq(cfg_census_add(&c, groups[i], l), i < 2);
        cr_assert(i > 0 || cfg_split_point(&point, &s, "a", l));
        cJSON_Delete(l);
        cr_assert_eq(c.mixed, i < 2 ? 0 : i - 1);
    }
    cr_assert(c.groups == 2 && c.eligible == 2 && c.units == 1 && c.lowest == point && c.highest == point);
    cr_assert_str_eq(c.mixed_group, "b");
    cfg_census_finish(&c);
    s.share = point; /* not below it */
    cJSON *r1 = json(labels[0]);
    cr_assert_str_eq(cfg_split_arm(&s, "a", r1), "base");
    cJSON_Delete(r1);
    cfg_split_finish(&s);
}
