/* Metrics out of a step's JSON, windows, attribution, and how reports carry them until they have been taken. */
#include "worker/report.h"
#include "worker/telemetry.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_box box(uint32_t serial, const char *revision)
{
    struct cfg_box b;
    memset(&b, 0, sizeof b);
    b.pub.serial = serial;
    (void)snprintf(b.revision, sizeof b.revision, "%s", revision);
    (void)snprintf(b.arm, sizeof b.arm, "base");
    return b;
}

/* --- metrics --- */

static bool scan(struct cfg_metric_batch *b, const char *text, struct cfg_metric_names *names, unsigned *complaints)
{
    bool exact = false;
    /* In memory of just this size, so that reading beyond it is seen. */
    size_t n = strlen(text);
    char *copy = malloc(n > 0 ? n : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, n);
    bool ok = cfg_metrics_scan(b, &exact, (struct cfg_slice){copy, n}, names, complaints);
    free(copy);
    return ok;
}

Test(metrics, every_number_of_the_object_is_a_sample)
{
    static struct cfg_metric_names names;
    struct cfg_metric_batch b;
    unsigned complaints = 0;
    cr_assert(scan(
        &b,
        " {\"loss\" : 0.25,\"tok/s\":812 , \"a\":-1e-3,\"text\":\"}\\\"{\",\"no\":null,\"deep\":[{\"x\":[1]},\"]\"]}\n",
        &names, &complaints));
    cr_assert_eq(b.n, 3U);
    cr_assert_eq(complaints, 0U);
    cr_assert_str_eq(names.items[0], "loss");
    cr_assert_str_eq(names.items[1], "tok/s");
    cr_assert(b.items[0].value == 0.25 && b.items[1].value == 812 && b.items[2].value == -1e-3);
    cr_assert(scan(&b, "{\"a\":7,\"loss\":1}", &names, &complaints));
    cr_assert(b.n == 2 && b.items[0].index == 2 && b.items[1].index == 0);
    cr_assert(scan(&b, "{}", &names, &complaints) && b.n == 0);
    cr_assert_eq(complaints, 0U);
}

Test(metrics, numbers_that_json_has_no_word_for_are_bad_samples)
{
    static struct cfg_metric_names names;
    struct cfg_metric_batch b;
    unsigned complaints = 0;
    bool exact = true;
    static const char text[] = "{\"a\":NaN,\"b\":-Infinity,\"c\":Infinity,\"d\":1e999}";
    cr_assert(cfg_metrics_scan(&b, &exact, CFG_SLICE_LIT(text), &names, &complaints));
    cr_assert(b.n == 4 && !exact && complaints == 0);
    for (uint32_t i = 0; i < b.n; i++) {
        cr_assert_not(isfinite(b.items[i].value), "%u", i);
    }
}

Test(metrics, broken_text_gives_nothing)
{
    static const char *const bad[] = {
        "",          "[1]",         "{",          "{\"a\"",       "{\"a\":",
        "{\"a\":1",  "{\"a\":1,}",  "{\"a\":01}", "{\"a\":1}x",   "{a:1}",
        "{\"a\"1}",  "{\"a\":nul}", "{\"a\":[1}", "{\"a\\",       "{\"a\":\"x}",
        "{\"a\":-}", "null",        "{\"a\":+1}", "{\"a\":[\"]}",
    };
    static struct cfg_metric_names names;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_metric_batch b;
        unsigned complaints = 0;
        cr_assert_not(scan(&b, bad[i], &names, &complaints), "%s", bad[i]);
        cr_assert(b.n == 0 && complaints == CFG_METRICS_BAD_JSON, "%s", bad[i]);
    }
}

Test(metrics, names_are_few_and_plain)
{
    static struct cfg_metric_names names;
    struct cfg_metric_batch b;
    unsigned complaints = 0;
    char text[4096] = "{", long_name[80] = "";
    memset(long_name, 'n', 65);
    for (int i = 0; i < 64; i++) {
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"m%d\":%d", i > 0 ? "," : "", i, i);
    }
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "}");
    cr_assert(scan(&b, text, &names, &complaints) && b.n == 64 && complaints == 0);
    cr_assert(scan(&b, "{\"one more\":1,\"m3\":4}", &names, &complaints) && b.n == 1 && b.items[0].index == 3);
    cr_assert_eq(complaints, (unsigned)CFG_METRICS_TOO_MANY);
    static struct cfg_metric_names few;
    complaints = 0;
    (void)snprintf(text, sizeof text, "{\"a b\":1,\"\":2,\"caf\\u00e9\":3,\"%s\":4,\"ok\":5}", long_name);
    cr_assert(scan(&b, text, &few, &complaints) && b.n == 1 && b.items[0].value == 5);
    cr_assert_eq(complaints, (unsigned)CFG_METRICS_BAD_NAME);
    /* The same name more often than there are names. */
    (void)snprintf(text, sizeof text, "{");
    for (int i = 0; i < 100; i++) {
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"ok\":%d", i > 0 ? "," : "", i);
    }
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "}");
    cr_assert(scan(&b, text, &few, &complaints) && b.n == CFG_METRICS_MAX);
}

/* --- windows, sent and taken --- */

struct side {
    struct cfg_gather *g;
    struct cfg_runs runs;
    struct cfg_telemetry t;
    struct cfg_exposures x;
    struct cfg_outcomes o;
};

static struct side *side_new(const struct cfg_box *b)
{
    struct side *s = calloc(1, sizeof *s);
    cr_assert_not_null(s);
    s->g = cfg_gather_new();
    cfg_outcomes_init(&s->o);
    s->x.outcomes = &s->o;
    cr_assert(s->g != NULL && cfg_gather_start(s->g, b));
    return s;
}

static void side_free(struct side *s)
{
    cfg_telemetry_finish(&s->t);
    cfg_outcomes_finish(&s->o);
    cfg_exposures_finish(&s->x);
    cfg_gather_free(s->g);
    free(s);
}

static const char *send_text(struct side *s)
{
    cfg_telemetry_collect(&s->t, s->g);
    return cfg_telemetry_send(&s->t, s->g, &s->runs, &s->o);
}

/* The windows of what is sent, as a report's reader gets them; free with cJSON_Delete. */
static cJSON *sent(struct side *s)
{
    struct cfg_buf b;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = NULL;
    cfg_buf_init(&b, 1 << 20);
    cfg_buf_printf(&b, "{\"x\":1%s}", send_text(s));
    cr_assert_eq(cfg_json_parse(&v, cfg_buf_slice(&b), 0, &err), 0, "%s: %s", b.data, err.text);
    cfg_buf_finish(&b);
    return v;
}

static void step(struct side *s, const struct cfg_box *b, uint64_t n, uint64_t from_us, uint64_t us)
{
    cfg_gather_step(s->g, b, n, from_us * 1000, (from_us + us) * 1000, NULL);
}

Test(telemetry, a_window_tells_what_its_steps_did)
{
    struct cfg_box a = box(1, "1-7");
    struct side *s = side_new(&a);
    struct cfg_metric_batch m = {.n = 1};
    unsigned complaints = 0;
    m.items[0].index = cfg_metric_index(&s->g->names, CFG_SLICE_LIT("loss"), 0, &complaints);
    for (unsigned i = 0; i < 100; i++) {
        m.items[0].value = i == 50 ? (double)NAN : i;
        cfg_gather_step(s->g, &a, 10 + i, 1000000 + i * 2000000U, 2000000 + i * 2000000U, &m);
    }
    cfg_gather_sample(s->g, &a, 109, cfg_metric_index(&s->g->names, CFG_SLICE_LIT("lr"), 0, &complaints), 0.5);
    cJSON *v = sent(s);
    const cJSON *w = cJSON_GetArrayItem(cfg_json_get(v, "windows"), 0);
    cr_assert_str_eq(cfg_json_get_str(w, "revision", ""), "1-7");
    cr_assert_str_eq(cfg_json_get_str(w, "arm", ""), "base");
    cr_assert(cfg_json_get_num(w, "seq", 0) == 1 && cfg_json_get_num(w, "steps", 0) == 100);
    cr_assert(cfg_json_get_num(w, "from_step", 0) == 10 && cfg_json_get_num(w, "to_step", 0) == 109);
    cr_assert(cfg_json_get_num(w, "ms", 0) == 199);
    struct cfg_histogram h;
    struct cfg_moments loss, lr;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_histogram_parse(&h, cfg_json_get(w, "latency"), &err), 0, "%s", err.text);
    cr_assert(h.n == 100 && cfg_histogram_quantile(&h, 0.5) > 937 && cfg_histogram_quantile(&h, 0.5) < 1063);
    cr_assert_eq(cfg_moments_parse(&loss, cfg_json_get(cfg_json_get(w, "metrics"), "loss"), &err), 0, "%s", err.text);
    cr_assert(loss.n == 99 && loss.bad == 1 && loss.min == 0 && loss.max == 99 && loss.last == 99);
    cr_assert_eq(cfg_moments_parse(&lr, cfg_json_get(cfg_json_get(w, "metrics"), "lr"), &err), 0, "%s", err.text);
    cr_assert(lr.n == 1 && lr.last == 0.5);
    cJSON_Delete(v);
    side_free(s);
}

Test(telemetry, what_was_sent_stays_the_same_until_it_is_taken)
{
    struct cfg_box a = box(1, "1-7");
    struct side *s = side_new(&a);
    step(s, &a, 1, 100, 10);
    char *first = strdup(send_text(s)), report[8192];
    cr_assert(strstr(first, "\"seq\":1,") != NULL && strstr(first, "\"steps\":1,") != NULL, "%s", first);
    step(s, &a, 2, 200, 10);
    step(s, &a, 3, 300, 10);
    cr_assert_str_eq(send_text(s), first);
    cr_assert_eq(s->t.tries, 2U);
    cr_assert_not(cfg_telemetry_taken(&s->t, "{\"another\":\"report\"}", &s->runs));
    cr_assert_str_eq(send_text(s), first);
    (void)snprintf(report, sizeof report, "{\"incarnation\":\"cafe\"%s,\"more\":1}", first);
    cr_assert(cfg_telemetry_taken(&s->t, report, &s->runs), "two steps wait");
    const char *second = send_text(s);
    cr_assert(strstr(second, "\"seq\":2,") != NULL && strstr(second, "\"steps\":2,") != NULL, "%s", second);
    cr_assert_not(cfg_telemetry_taken(&s->t, report, &s->runs), "the first report again");
    (void)snprintf(report, sizeof report, "{%s}", send_text(s));
    cr_assert_not(cfg_telemetry_taken(&s->t, report, &s->runs), "nothing waits");
    for (int i = 0; i < 20; i++) { /* at rest there is nothing to lose: no report counts as a try */
        cr_assert_str_eq(send_text(s), "");
        cr_assert_eq(s->t.tries, 0U);
    }
    free(first);
    side_free(s);
}

Test(telemetry, no_window_spans_two_revisions)
{
    struct cfg_box a = box(1, "1-7"), b = box(2, "1-8"), c = box(3, "1-8");
    struct side *s = side_new(&a);
    step(s, &a, 1, 100, 10);
    step(s, &a, 2, 200, 10);
    step(s, &b, 3, 300, 10);
    step(s, &c, 4, 400, 10); /* another view of the same revision */
    cJSON *v = sent(s);
    const cJSON *w = cfg_json_get(v, "windows");
    cr_assert_eq(cJSON_GetArraySize(w), 2);
    const cJSON *one = cJSON_GetArrayItem(w, 0), *two = cJSON_GetArrayItem(w, 1);
    cr_assert_str_eq(cfg_json_get_str(one, "revision", ""), "1-7");
    cr_assert_str_eq(cfg_json_get_str(two, "revision", ""), "1-8");
    cr_assert(cfg_json_get_num(one, "steps", 0) == 2 && cfg_json_get_num(one, "to_step", 0) == 2);
    cr_assert(cfg_json_get_num(two, "steps", 0) == 2 && cfg_json_get_num(two, "from_step", 0) == 3);
    cr_assert(cfg_json_get_num(two, "seq", 0) == 2);
    cJSON_Delete(v);
    side_free(s);
}

Test(telemetry, a_long_absence_costs_one_window_per_revision)
{
    struct cfg_box b = box(1, "1-0");
    struct side *s = side_new(&b);
    uint64_t n = 0;
    step(s, &b, n++, 1, 1);
    cr_assert_neq(strlen(send_text(s)), 0U); /* and nobody takes it */
    for (uint32_t r = 0; r < 20; r++) {
        char revision[16];
        (void)snprintf(revision, sizeof revision, "1-%u", r);
        b = box(r + 1, revision);
        for (unsigned i = 0; i < 50; i++, n++) {
            step(s, &b, n, n * 10, 1);
            (void)send_text(s);
        }
    }
    cfg_telemetry_drop(&s->t);
    cJSON *v = sent(s);
    const cJSON *w = cfg_json_get(v, "windows");
    cr_assert_eq(cJSON_GetArraySize(w), CFG_WINDOWS_MAX);
    for (int i = 0; i < CFG_WINDOWS_MAX; i++) {
        cr_assert(cfg_json_get_num(cJSON_GetArrayItem(w, i), "steps", 0) == 50);
        cr_assert(cfg_json_get_num(cJSON_GetArrayItem(w, i), "seq", 0) == 2 + i);
    }
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(w, CFG_WINDOWS_MAX - 1), "revision", ""), "1-19");
    cr_assert_eq(s->t.lost, 12U * 50, "%llu", (unsigned long long)s->t.lost);
    cJSON_Delete(v);
    side_free(s);
}

Test(telemetry, merging_windows_loses_nothing)
{
    struct cfg_box a = box(1, "1-7");
    struct cfg_window *x = cfg_window_new(&a), *y = cfg_window_new(&a), *both = cfg_window_new(&a);
    static struct cfg_metric_names names;
    unsigned complaints = 0;
    for (unsigned i = 0; i < 40; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%u", i);
        cr_assert_eq(cfg_metric_index(&names, cfg_slice_str(name), 0, &complaints), i);
    }
    for (unsigned i = 0; i < 1000; i++) {
        struct cfg_window *part = i < 300 ? x : y;
        cfg_window_step(part, i, i * 1000000 + 1, i * 1000000 + 5000 * i);
        cfg_window_step(both, i, i * 1000000 + 1, i * 1000000 + 5000 * i);
        cr_assert(cfg_window_sample(part, i, i < 300 ? i % 3 : i % 40, 7));
        cr_assert(cfg_window_sample(both, i, i < 300 ? i % 3 : i % 40, 7));
    }
    cr_assert(cfg_window_merge(x, y));
    struct cfg_buf one, two;
    cfg_buf_init(&one, 1 << 20);
    cfg_buf_init(&two, 1 << 20);
    cfg_window_print(&one, x, &names, 3);
    cfg_window_print(&two, both, &names, 3);
    cr_assert_str_eq(one.data, two.data);
    cfg_buf_finish(&one);
    cfg_buf_finish(&two);
    cfg_window_free(x);
    cfg_window_free(y);
    cfg_window_free(both);
}

Test(telemetry, a_step_whose_beginning_nobody_saw_counts_without_a_duration)
{
    struct cfg_box a = box(1, "1-7");
    struct side *s = side_new(&a);
    cfg_gather_step(s->g, &a, 5, 0, 7000000, NULL);
    cJSON *v = sent(s);
    const cJSON *w = cJSON_GetArrayItem(cfg_json_get(v, "windows"), 0);
    cr_assert(cfg_json_get_num(w, "steps", 0) == 1 && cfg_json_get_num(w, "ms", 9) == 0);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(w, "latency")), 0);
    cJSON_Delete(v);
    side_free(s);
}

/* --- runs --- */

static void add_run(struct cfg_runs *r, uint64_t step_number, uint64_t revision)
{
    cfg_runs_add(r, step_number, (struct cfg_rev){1, revision}, 1795370501000123);
}

static const char *at(const struct cfg_runs *r, uint64_t step_number)
{
    static struct cfg_run run;
    return cfg_runs_at(r, step_number, &run) ? run.revision : "none";
}

Test(runs, a_step_belongs_to_the_latest_run_that_began_before_it)
{
    static struct cfg_runs r;
    cr_assert_str_eq(at(&r, 0), "none");
    add_run(&r, 3, 7);
    add_run(&r, 10, 8);
    cr_assert_str_eq(at(&r, 2), "none");
    cr_assert_str_eq(at(&r, 3), "1-7");
    cr_assert_str_eq(at(&r, 9), "1-7");
    cr_assert_str_eq(at(&r, 10), "1-8");
    cr_assert_str_eq(at(&r, 1000000), "1-8");
    add_run(&r, 5, 8); /* back to a checkpoint: step 6 ran again, under 8 */
    cr_assert_str_eq(at(&r, 6), "1-8");
    cr_assert_str_eq(at(&r, 4), "1-7");
}

Test(runs, the_latest_64_are_kept_and_told_until_they_are_taken)
{
    struct cfg_box a = box(1, "1-7");
    struct side *s = side_new(&a);
    for (unsigned i = 0; i < 70; i++) {
        add_run(&s->runs, i * 10, i);
    }
    cr_assert_str_eq(at(&s->runs, 59), "none");
    cr_assert_str_eq(at(&s->runs, 60), "1-6");
    cJSON *v = sent(s);
    const cJSON *runs = cfg_json_get(v, "runs");
    cr_assert_eq(cJSON_GetArraySize(runs), 64);
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(runs, 0), "revision", ""), "1-6");
    cr_assert(cfg_json_get_num(cJSON_GetArrayItem(runs, 0), "from_step", 0) == 60);
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(runs, 0), "at", ""), "2026-11-22T18:01:41.000123Z");
    cJSON_Delete(v);
    char *first = strdup(send_text(s));
    add_run(&s->runs, 700, 70);
    cr_assert_str_eq(send_text(s), first);
    cr_assert(cfg_telemetry_taken(&s->t, first, &s->runs), "one more waits");
    cr_assert_str_eq(send_text(s),
                     ",\"runs\":[{\"from_step\":700,\"revision\":\"1-70\",\"at\":\"2026-11-22T18:01:41.000123Z\"}]");
    free(first);
    side_free(s);
}

/* --- outcomes --- */

static uint32_t name_metric(struct side *s, const char *name)
{
    unsigned complaints = 0;
    return cfg_metric_index(&s->g->names, cfg_slice_str(name), UINT32_MAX, &complaints);
}

static const cJSON *outcome_of(const cJSON *sides, const char *variant)
{
    const cJSON *o;
    cJSON_ArrayForEach(o, sides)
    {
        if (strcmp(cfg_json_get_str(o, "variant", ""), variant) == 0) {
            return o;
        }
    }
    return NULL;
}

Test(telemetry, outcomes_are_told_by_variant_and_only_once)
{
    struct cfg_box a = box(1, "1-7");
    struct side *s = side_new(&a);
    uint32_t ms = name_metric(s, "ms"), good = name_metric(s, "good");
    struct cfg_exposure *on = cfg_exposures_at(&s->x, "exp/ab", "on"), *off = cfg_exposures_at(&s->x, "exp/ab", "off");
    for (unsigned i = 0; i < 100; i++) {
        char unit[16];
        int n = snprintf(unit, sizeof unit, "user-%u", i % 10);
        cfg_outcome_add(i % 4 == 0 ? on : off, cfg_hll_unit(unit, (size_t)n), ms, i);
    }
    cfg_outcome_add(on, cfg_hll_unit("user-0", 6), good, (double)NAN);
    cfg_outcome_add(on, 0, good, 1);            /* of nobody */
    cfg_outcome_add(on, 1, CFG_METRICS_MAX, 1); /* a handle that is none */
    cJSON *v = sent(s);
    const cJSON *sides = cfg_json_get(cfg_json_get(v, "outcomes"), "sides"), *of_on = outcome_of(sides, "on");
    uint8_t registers[CFG_HLL_REGISTERS] = {0};
    struct cfg_moments m;
    cr_assert(cfg_json_get_num(cfg_json_get(v, "outcomes"), "seq", 0) == 1 && cJSON_GetArraySize(sides) == 2);
    cr_assert_eq(cfg_moments_parse(&m, cfg_json_get(cfg_json_get(of_on, "metrics"), "ms"), NULL), 0);
    cr_assert(m.n == 25 && m.mean == 48 && m.max == 96, "%llu %g", (unsigned long long)m.n, m.mean);
    struct cfg_parts p;
    cr_assert_eq(cfg_parts_parse(&p, cfg_json_get(cfg_json_get(of_on, "parts"), "ms"), NULL), 0);
    uint64_t part = cfg_hll_unit("user-4", 6) % CFG_PARTS;
    cr_assert(cfg_parts_count(&p) == 25 && p.of[part].n == 5 && p.of[part].mean == 44, "samples 4, 24, … 84");
    cr_assert_eq(cfg_moments_parse(&m, cfg_json_get(cfg_json_get(of_on, "metrics"), "good"), NULL), 0);
    cr_assert(m.n == 0 && m.bad == 1);
    cr_assert_eq(cfg_parts_parse(&p, cfg_json_get(cfg_json_get(of_on, "parts"), "good"), NULL), 0);
    cr_assert_eq(cfg_parts_count(&p), 0);
    cr_assert(cfg_hll_unite(registers, cfg_json_get_str(of_on, "units", "")));
    cr_assert_float_eq(cfg_hll_estimate(registers), 5, 0.2, "user-0, 2, 4, 6, 8: %g", cfg_hll_estimate(registers));
    cJSON_Delete(v);
    /* What comes meanwhile waits, and is told under the next number. */
    cfg_outcome_add(on, 77, ms, 7);
    char *first = strdup(send_text(s));
    cr_assert(strstr(first, "\"seq\":1,") != NULL && strstr(first, "\"n\":25,") != NULL, "%s", first);
    (void)cfg_telemetry_taken(&s->t, first, &s->runs);
    v = sent(s);
    sides = cfg_json_get(cfg_json_get(v, "outcomes"), "sides");
    of_on = cJSON_GetArrayItem(sides, 0);
    cr_assert(cfg_json_get_num(cfg_json_get(v, "outcomes"), "seq", 0) == 2 && cJSON_GetArraySize(sides) == 1);
    cr_assert_eq(cfg_moments_parse(&m, cfg_json_get(cfg_json_get(of_on, "metrics"), "ms"), NULL), 0);
    cr_assert(m.n == 1 && m.mean == 7);
    cJSON_Delete(v);
    (void)cfg_telemetry_taken(&s->t, send_text(s), &s->runs);
    cr_assert_str_eq(send_text(s), "");
    free(first);
    side_free(s);
}

Test(telemetry, outcomes_are_bounded)
{
    struct cfg_box a = box(1, "1-7");
    struct side *s = side_new(&a);
    char name[16];
    for (uint32_t i = 0; i < CFG_OUTCOMES_SIDES + 2; i++) {
        (void)snprintf(name, sizeof name, "v%u", i);
        cfg_outcome_add(cfg_exposures_at(&s->x, "exp/many", name), 1, name_metric(s, "a"), 1);
    }
    cr_assert_eq(s->o.lost, 2U);
    for (uint32_t k = 1; k < 5; k++) {
        (void)snprintf(name, sizeof name, "m%u", k);
        uint32_t metric = name_metric(s, name);
        for (uint32_t i = 0; i < CFG_OUTCOMES_SIDES; i++) {
            (void)snprintf(name, sizeof name, "v%u", i);
            cfg_outcome_add(cfg_exposures_at(&s->x, "exp/many", name), 1, metric, 1);
        }
    }
    cr_assert_eq(s->o.lost, 2U + CFG_OUTCOMES_SIDES);
    cJSON *v = sent(s);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(cfg_json_get(v, "outcomes"), "sides")), CFG_OUTCOMES_SIDES);
    cJSON_Delete(v);
    side_free(s);
}

Test(telemetry, outcomes_beyond_a_report_are_lost_side_by_side)
{
    struct cfg_box a = box(1, "1-7");
    struct side *s = side_new(&a);
    char name[16];
    for (uint32_t i = 0; i < CFG_OUTCOMES_SIDES; i++) {
        (void)snprintf(name, sizeof name, "v%u", i);
        for (uint32_t k = 0; k < 4 * 64; k++) { /* every part of four metrics, in long numbers */
            char metric[16];
            (void)snprintf(metric, sizeof metric, "m%u", k % 4);
            cfg_outcome_add(cfg_exposures_at(&s->x, "exp/many", name), k / 4 + 1, name_metric(s, metric),
                            1.0 / (k + 3));
        }
    }
    cr_assert_eq(s->o.lost, 0U);
    cJSON *v = sent(s);
    uint64_t told = (uint64_t)cJSON_GetArraySize(cfg_json_get(cfg_json_get(v, "outcomes"), "sides"));
    cr_assert(told > 50 && told < CFG_OUTCOMES_SIDES, "%llu", (unsigned long long)told);
    cr_assert_eq(s->o.lost, (CFG_OUTCOMES_SIDES - told) * 4 * 64);
    cJSON_Delete(v);
    side_free(s);
}
