/* What follows from what replicas saw: as values, in every phase, with clocks that jump and replicas that are silent.
 */
#include <criterion/criterion.h>

#include "configd/rollout_verdict.h"

#include <stdio.h>
#include <string.h>

static struct cfg_rollout rollout;
static struct cfg_whole whole;
static struct cfg_rollout_clock now;
static struct cfg_rollout_verdict verdict;

static void set_up(void)
{
    memset(&rollout, 0, sizeof rollout);
    memset(&whole, 0, sizeof whole);
    rollout.n_steps = 2;
    rollout.steps[0] = (struct cfg_rollout_step){.share = 0.5, .bake_ms = 1000};
    rollout.steps[1] = (struct cfg_rollout_step){.share = 1, .bake_ms = 1000};
    rollout.min_samples = 10;
    cr_assert_eq(cfg_rollout_guard_new(&rollout.guards[0], "errors<1%", NULL), 0);
    rollout.n_guards = 1;
    now = (struct cfg_rollout_clock){.now_s = 1767398400, .baked_ms = 0}; /* a Saturday, midnight */
}

static void tear_down(void)
{
    cfg_rollout_finish(&rollout);
}

TestSuite(observe, .init = set_up, .fini = tear_down);

/* One replica with so many workers per arm, all of them converged, with n samples of `errors` in the canary. */
static struct cfg_observation seen(uint64_t base, uint64_t canary, unsigned n, double errors)
{
    static struct cfg_observation o;
    memset(&o, 0, sizeof o);
    o.base = (struct cfg_arm_report){.groups = base, .workers = base, .converged = base};
    o.canary = (struct cfg_arm_report){.groups = canary, .workers = canary, .converged = canary};
    o.eligible = base + canary;
    o.lowest = 0.1234;
    for (unsigned i = 0; i < n; i++)
        cfg_moments_add(cfg_arm_report_add(&o.canary, "errors"), errors);
    return o;
}

static void forget(void)
{
    memset(&whole, 0, sizeof whole);
}

static void add(const char *replica, struct cfg_observation o)
{
    cfg_whole_add(&whole, replica, &o);
}

static const char *judge(enum cfg_rollout_phase phase)
{
    rollout.state.phase = phase;
    cfg_rollout_judge(&verdict, &rollout, &whole, &now);
    return verdict.any ? cfg_rollout_input_name(verdict.input) : "-";
}

#define expect(phase, input) cr_assert_str_eq(judge(phase), input, "%s", verdict.why)
#define says(text)           cr_assert(strstr(verdict.why, text), "%s", verdict.why)

static uint64_t absent;

static uint64_t absent_ms(void *arg, const char *replica)
{
    (void)arg;
    cr_assert_str_eq(replica, "b");
    return absent;
}

Test(observe, a_record_is_read_back)
{
    struct cfg_observation o = seen(3, 2, 4, 0.5), again;
    o.seq = 7;
    o.rollout = 3;
    o.deployment = 9;
    o.wall_s = 1767398400;
    o.canary.lost = 4;
    o.mixed = 2;
    (void)snprintf(o.mixed_group, sizeof o.mixed_group, "job-\"7\"");
    cfg_histogram_add(&o.base.latency, 1500);
    struct cfg_buf text;
    cJSON *tree = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cfg_buf_init(&text, 65536);
    cfg_observation_print(&text, &o);
    cr_assert_eq(cfg_json_parse(&tree, cfg_buf_slice(&text), 16, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_observation_read(&again, tree, &err), 0, "%s", err.text);
    cr_assert(again.seq == 7 && again.rollout == 3 && again.deployment == 9 && again.eligible == 5);
    cr_assert_eq(again.wall_s, 1767398400);
    cr_assert(again.canary.lost == 4 && again.base.lost == 0 && again.mixed == 2 &&
              strcmp(again.mixed_group, o.mixed_group) == 0);
    cr_assert(again.lowest == o.lowest && again.base.latency.n == 1 && again.canary.converged == 2);
    cr_assert_eq(cfg_arm_report_metric(&again.canary, "errors")->n, 4);
    cJSON_DeleteItemFromObjectCaseSensitive(tree, "arms");
    cr_assert_lt(cfg_observation_read(&again, tree, &err), 0);
    cJSON_Delete(tree);
    cfg_buf_finish(&text);
}

/* A list where an object belongs has members without names. */
Test(observe, lists_in_the_place_of_objects_are_harmless)
{
    static const char record[] = "{\"seq\":1,\"seen\":{\"rollout\":1,\"deployment\":1},\"arms\":{\"base\":{\"groups\":"
                                 "0,\"workers\":0,\"converged\":0,"
                                 "\"rejecting\":0,\"metrics\":[1],\"latency\":{}},\"canary\":{\"groups\":0,\"workers\":"
                                 "0,\"converged\":0,\"rejecting\":0,"
                                 "\"metrics\":[{}],\"latency\":{}}},\"groups\":0,\"lowest\":1}";
    struct cfg_observation o;
    cJSON *tree = NULL, *before = NULL;
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(record), 8, NULL), 0);
    cr_assert_eq(cfg_observation_read(&o, tree, NULL), 0);
    cr_assert_eq(o.base.n_metrics + o.canary.n_metrics, 0U);
    cr_assert_eq(cfg_json_parse(&before, cfg_slice_str("{\"replicas\":[3],\"canaries\":[3]}"), 8, NULL), 0);
    add("a", seen(1, 1, 0, 0));
    cfg_whole_compare(&whole, before, absent_ms, NULL);
    cr_assert_eq(whole.unknown, 0U);
    cJSON_Delete(tree);
    cJSON_Delete(before);
}

Test(observe, it_begins_when_it_is_due_and_somebody_is_there)
{
    rollout.start_at = now.now_s + 60;
    expect(CFG_ROLLOUT_SCHEDULED, "-");
    says("starts in 60 s");
    rollout.start_at = 0;
    expect(CFG_ROLLOUT_SCHEDULED, "-");
    says("no rank group");
    add("a", seen(4, 0, 0, 0));
    expect(CFG_ROLLOUT_SCHEDULED, "due");
    cfg_whole_add_unknown(&whole, "replica b is silent");
    expect(CFG_ROLLOUT_SCHEDULED, "-");
    says("replica b is silent");
}

Test(observe, a_step_that_holds_nobody_waits_and_names_the_share)
{
    add("a", seen(4, 0, 0, 0));
    expect(CFG_ROLLOUT_ROLLING, "-");
    says("50 % holds no rank group; the smallest share that does is 12.35 %");
}

Test(observe, everybody_has_to_run_it_before_it_bakes)
{
    struct cfg_observation o = seen(4, 3, 0, 0);
    o.canary.converged = 2;
    add("a", o);
    expect(CFG_ROLLOUT_ROLLING, "-");
    says("2 of the canary's 3 workers");
    memset(&whole, 0, sizeof whole);
    add("a", seen(4, 3, 0, 0));
    expect(CFG_ROLLOUT_ROLLING, "converged");
}

Test(observe, it_passes_when_it_has_baked_and_guards_know_enough)
{
    add("a", seen(2, 1, 9, 0));
    now.baked_ms = 999;
    expect(CFG_ROLLOUT_BAKING, "-");
    now.baked_ms = 1000;
    expect(CFG_ROLLOUT_BAKING, "-");
    says("9 of 10 samples");
    add("b", seen(2, 1, 9, 0));
    expect(CFG_ROLLOUT_BAKING, "passed");
    cfg_whole_add_unknown(&whole, "replica c is silent");
    expect(CFG_ROLLOUT_BAKING, "-");
    says("replica c is silent");
}

/* A release that kills its workers: those that are gone report nothing wrong. */
Test(observe, time_counts_only_while_the_canary_is_there)
{
    static const struct {
        unsigned base_then, canary_then, base, canary;
        const char *says; /* NULL: it counts */
    } rows[] = {
        {50, 50, 50, 50, NULL},
        {50, 50, 50, 48, NULL}, /* workers come and go */
        {50, 50, 50, 40, "10 of the canary's 50 workers are gone (of the base's 50: 0)"},
        {50, 50, 40, 40, NULL}, /* the whole fleet shrinks */
        {50, 50, 60, 40, "10 of the canary's 50 workers are gone (of the base's 50: 0)"},
        {99, 1, 99, 0, "nobody runs the release any more"},
        {97, 3, 97, 2, "1 of the canary's 3 workers are gone"},
        {0, 100, 0, 60, NULL}, /* nothing to compare with */
        {0, 0, 50, 50, NULL},  /* nothing was said: the decision was a person's */
    };
    now.baked_ms = 500;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        cJSON *before = NULL;
        (void)snprintf(text, sizeof text, "{\"base\":{\"workers\":%u},\"canary\":{\"workers\":%u}}", rows[i].base_then,
                       rows[i].canary_then);
        cr_assert_eq(cfg_json_parse(&before, cfg_slice_str(text), 8, NULL), 0);
        memset(&whole, 0, sizeof whole);
        add("a", seen(rows[i].base, rows[i].canary, 50, 0));
        cfg_whole_compare(&whole, before, absent_ms, NULL);
        expect(CFG_ROLLOUT_BAKING, "-");
        cr_assert_eq(verdict.bakes, rows[i].says == NULL, "row %zu: %s", i, verdict.why);
        says(rows[i].says ? rows[i].says : "bakes for 0 s more");
        cJSON_Delete(before);
    }
    cfg_whole_add_unknown(&whole, "replica b is silent");
    expect(CFG_ROLLOUT_BAKING, "-");
    cr_assert_not(verdict.bakes);
    says("replica b is silent");
    cr_assert_str_eq(judge(CFG_ROLLOUT_GATE), "-");
    cr_assert_not(verdict.bakes);
}

/* That lasts: it has failed, in every phase in which the canary is watched. */
Test(observe, a_canary_that_died_and_stays_away_has_failed)
{
    static const struct {
        uint64_t base_gone, base, gone, canary;
        bool dying;
    } rows[] = {
        {0, 99, 1, 1, true},     {0, 97, 1, 3, false}, /* of three, one: may be chance */
        {0, 97, 2, 3, true},     {0, 50, 3, 50, false},    {0, 50, 4, 50, true},
        {10, 50, 10, 50, false}, {0, 0, 50, 100, false}, /* nothing to compare with */
        {5, 9900, 3, 100, true}, {5, 9900, 1, 100, false}, {0, 50, 0, 50, false},
    };
    static const enum cfg_rollout_phase phases[] = {CFG_ROLLOUT_ROLLING, CFG_ROLLOUT_BAKING, CFG_ROLLOUT_GATE,
                                                    CFG_ROLLOUT_FROZEN, CFG_ROLLOUT_PAUSED};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cfg_observation o = seen(rows[i].base - rows[i].base_gone, rows[i].canary - rows[i].gone, 50, 0);
        o.base.lost = rows[i].base_gone;
        o.canary.lost = rows[i].gone;
        forget();
        add("a", o);
        for (size_t k = 0; k < sizeof phases / sizeof phases[0]; k++) {
            bool watched = phases[k] != CFG_ROLLOUT_PAUSED;
            rollout.state.resume = k > 2 ? CFG_ROLLOUT_BAKING : CFG_ROLLOUT_SCHEDULED;
            now.dying_ms = CFG_ROLLOUT_DEATH_MS - 1;
            cr_assert_str_neq(judge(phases[k]), "failed", "row %zu: %s", i, verdict.why);
            cr_assert_eq(verdict.dying, rows[i].dying && watched, "row %zu, phase %d", i, (int)phases[k]);
            cr_assert_eq(verdict.short_of, rows[i].gone > 0, "row %zu", i);
            now.dying_ms = CFG_ROLLOUT_DEATH_MS;
            cr_assert_eq(strcmp(judge(phases[k]), "failed") == 0, rows[i].dying && watched, "row %zu: %s", i,
                         verdict.why);
        }
        rollout.state.resume = CFG_ROLLOUT_SCHEDULED;
    }
    struct cfg_observation o = seen(50, 44, 50, 0);
    o.canary.lost = 6;
    forget();
    add("a", o);
    expect(CFG_ROLLOUT_BAKING, "failed");
    says("6 of the canary's 50 workers are gone, and were for most of 5 s; of the base's 50: 0");
    rollout.steps[0].bake_ms = 60000;
    now.dying_ms = 19999;
    expect(CFG_ROLLOUT_BAKING, "-");
    now.dying_ms = 20000;
    expect(CFG_ROLLOUT_BAKING, "failed");
    cfg_whole_add_unknown(&whole, "replica b is silent"); /* they may be there */
    expect(CFG_ROLLOUT_BAKING, "-");
    cr_assert_not(verdict.dying);
}

/* A regression that one replica sees is one, whatever is known of the others; also while somebody has paused it. */
Test(observe, it_fails_on_what_some_know)
{
    add("a", seen(2, 2, 50, 0.5));
    cfg_whole_add_unknown(&whole, "replica b is silent");
    static const enum cfg_rollout_phase phases[] = {CFG_ROLLOUT_ROLLING, CFG_ROLLOUT_BAKING, CFG_ROLLOUT_GATE};
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        rollout.state.resume = CFG_ROLLOUT_SCHEDULED;
        expect(phases[i], "failed");
        says("errors<1% fails");
        rollout.state.resume = phases[i];
        expect(CFG_ROLLOUT_PAUSED, "failed");
        expect(CFG_ROLLOUT_FROZEN, "failed");
    }
    rollout.state.resume = CFG_ROLLOUT_SCHEDULED;
    expect(CFG_ROLLOUT_PAUSED, "-");
}

Test(observe, workers_that_reject_the_release_send_it_back)
{
    struct cfg_observation o = seen(2, 2, 0, 0);
    o.canary.rejecting = 1;
    add("a", o);
    expect(CFG_ROLLOUT_ROLLING, "failed");
    says("1 of the canary's 2 workers reject");
}

Test(observe, it_is_back_when_all_run_the_old_release)
{
    struct cfg_observation o = seen(4, 0, 0, 0);
    o.base.converged = 3;
    add("a", o);
    expect(CFG_ROLLOUT_ROLLING_BACK, "-");
    forget();
    add("a", seen(3, 1, 0, 0));
    expect(CFG_ROLLOUT_ROLLING_BACK, "-");
    says("3 of 4 workers");
    forget();
    add("a", seen(4, 0, 0, 0));
    expect(CFG_ROLLOUT_ROLLING_BACK, "settled");
    cfg_whole_add_unknown(&whole, "silent");
    expect(CFG_ROLLOUT_ROLLING_BACK, "-");
    expect(CFG_ROLLOUT_FINISHED, "-");
}

/* The wall clock moves nothing but starts and freezes: no bake ends by it, whichever way it jumps. */
Test(observe, a_clock_that_jumps_bakes_nothing)
{
    static const int64_t jumps[] = {-400 * 86400, -3600, 3600, 400 * 86400};
    add("a", seen(2, 2, 50, 0));
    now.baked_ms = 10;
    for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
        now.now_s += jumps[i];
        expect(CFG_ROLLOUT_BAKING, "-");
        expect(CFG_ROLLOUT_GATE, "-");
        expect(CFG_ROLLOUT_PAUSED, "-");
    }
}

Test(observe, freeze_windows_come_and_go)
{
    rollout.freeze[0] = (struct cfg_freeze_window){.days = 1u << 6, .from_s = 0, .to_s = 86400};
    rollout.n_freeze = 1;
    add("a", seen(2, 2, 50, 0));
    now.baked_ms = 5000;
    expect(CFG_ROLLOUT_SCHEDULED, "freeze");
    expect(CFG_ROLLOUT_BAKING, "freeze");
    rollout.state.resume = CFG_ROLLOUT_BAKING;
    expect(CFG_ROLLOUT_FROZEN, "-");
    says("a freeze window until Sun 20");
    now.now_s += 86400;
    expect(CFG_ROLLOUT_FROZEN, "thaw");
    rollout.state.resume = CFG_ROLLOUT_SCHEDULED;
    expect(CFG_ROLLOUT_BAKING, "passed");
}

static void all_of_saturday(void)
{
    rollout.freeze[0] = (struct cfg_freeze_window){.days = 1u << 6, .from_s = 0, .to_s = 86400};
    rollout.n_freeze = 1;
    now.baked_ms = 5000;
    add("a", seen(2, 2, 50, 0));
}

/* This clock says Sunday, another's Saturday; or the other way round. */
Test(observe, a_window_holds_while_any_clock_is_within_it)
{
    all_of_saturday();
    now.now_s += 86400;
    expect(CFG_ROLLOUT_BAKING, "passed");
    cfg_whole_add_skew(&whole, "b", -86400);
    expect(CFG_ROLLOUT_BAKING, "freeze");
    says("by the clock of replica b");
    rollout.state.resume = CFG_ROLLOUT_BAKING;
    expect(CFG_ROLLOUT_FROZEN, "-");
    says("by the clock of replica b");
    rollout.state.resume = CFG_ROLLOUT_SCHEDULED;
    now.now_s -= 2 * 86400;
    whole.behind.s = 0;
    expect(CFG_ROLLOUT_BAKING, "passed");
    cfg_whole_add_skew(&whole, "c", 86400);
    expect(CFG_ROLLOUT_BAKING, "freeze");
}

Test(observe, what_froze_stays_so_while_the_clock_shows_an_earlier_time)
{
    all_of_saturday();
    rollout.state.resume = CFG_ROLLOUT_BAKING;
    rollout.decided_s = now.now_s + 3600;
    now.now_s -= 86400;
    expect(CFG_ROLLOUT_FROZEN, "-");
    says("before it froze");
    now.now_s += 2 * 86400;
    expect(CFG_ROLLOUT_FROZEN, "thaw");
    rollout.state.resume = CFG_ROLLOUT_SCHEDULED;
}

Test(observe, it_starts_when_every_clock_says_so)
{
    add("a", seen(4, 0, 0, 0));
    rollout.start_at = now.now_s - 10;
    cfg_whole_add_skew(&whole, "b", -5); /* networks and rounding */
    cfg_whole_add_skew(&whole, "c", 86400);
    expect(CFG_ROLLOUT_SCHEDULED, "due");
    cfg_whole_add_skew(&whole, "b", -20);
    expect(CFG_ROLLOUT_SCHEDULED, "-");
    says("replica b, which is 20 s behind");
}

/* A replica that had workers at the last decision and is gone with them: perhaps it is only cut off. */
Test(observe, workers_that_vanish_with_their_replica_hold_it)
{
    add("a", seen(2, 2, 50, 0));
    add("b", seen(3, 3, 50, 0));
    cJSON *before = cfg_whole_json(&whole);
    now.baked_ms = 5000;
    cfg_whole_compare(&whole, before, absent_ms, NULL);
    expect(CFG_ROLLOUT_BAKING, "passed");
    forget();
    add("a", seen(2, 2, 50, 0));
    absent = 100 * CFG_WHOLE_GONE_MS; /* they may have died of it: nobody knows, however long */
    cfg_whole_compare(&whole, before, absent_ms, NULL);
    expect(CFG_ROLLOUT_BAKING, "-");
    says("replica b, which had 6 workers at the last decision (3 on the release)");
    forget();
    add("a", seen(5, 5, 50, 0)); /* they came over */
    cfg_whole_compare(&whole, before, absent_ms, NULL);
    expect(CFG_ROLLOUT_BAKING, "passed");
    cJSON_Delete(before);
}

Test(observe, a_replica_whose_workers_ran_the_base_is_given_up_in_time)
{
    add("a", seen(2, 2, 50, 0));
    add("b", seen(6, 0, 0, 0));
    cJSON *before = cfg_whole_json(&whole);
    now.baked_ms = 5000;
    forget();
    add("a", seen(2, 2, 50, 0));
    absent = CFG_WHOLE_GONE_MS;
    cfg_whole_compare(&whole, before, absent_ms, NULL);
    expect(CFG_ROLLOUT_BAKING, "-");
    says("replica b, which had 6 workers at the last decision (0 on the release)");
    forget();
    add("a", seen(2, 2, 50, 0));
    absent = CFG_WHOLE_GONE_MS + 1;
    cfg_whole_compare(&whole, before, absent_ms, NULL);
    expect(CFG_ROLLOUT_BAKING, "passed");
    forget();
    add("a", seen(2, 2, 50, 0));
    cJSON_DeleteItemFromObjectCaseSensitive(before, "canaries"); /* as an older configd wrote it */
    cfg_whole_compare(&whole, before, absent_ms, NULL);
    expect(CFG_ROLLOUT_BAKING, "-");
    cJSON_Delete(before);
}

/* Workers of the canary that go may have died of the release; some come and go. */
Test(observe, a_canary_that_dwindles_passes_nothing)
{
    static const struct {
        uint64_t lost, unconverged, base_lost;
        const char *input;
    } rows[] = {{0, 0, 0, "passed"}, {1, 0, 0, "passed"}, {2, 0, 0, "-"}, {2, 0, 2, "passed"},
                {0, 2, 0, "passed"}, {0, 3, 0, "-"},      {1, 2, 0, "-"}};
    now.baked_ms = 5000;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cfg_observation o = seen(20 - rows[i].base_lost, 20 - rows[i].lost, 50, 0);
        o.canary.lost = rows[i].lost;
        o.base.lost = rows[i].base_lost;
        o.canary.converged -= rows[i].unconverged;
        forget();
        add("a", o);
        expect(CFG_ROLLOUT_BAKING, rows[i].input);
        cr_assert_eq(verdict.bakes, verdict.any, "%zu", i);
        if (rows[i].unconverged == 0)
            expect(CFG_ROLLOUT_ROLLING, verdict.any ? "converged" : "-");
        if (rows[i].lost == 2 && !verdict.any)
            says("2 of the canary's 20 workers have gone");
    }
    forget();
    struct cfg_observation o = seen(20, 10, 50, 0);
    o.canary.lost = 10;
    add("a", o);
    expect(CFG_ROLLOUT_BAKING, "-");
    add("b", seen(20, 2, 50, 0)); /* where they may be */
    expect(CFG_ROLLOUT_BAKING, "passed");
    forget();
    o = seen(0, 40, 50, 0); /* the last step: there is no base any more */
    o.canary.lost = 20;
    add("a", o);
    expect(CFG_ROLLOUT_BAKING, "-");
    forget();
    o = seen(4, 0, 0, 0);
    o.canary.lost = 2;
    add("a", o);
    expect(CFG_ROLLOUT_ROLLING, "-");
    says("2 of the canary's 2 workers have gone");
}

Test(observe, ranks_that_carry_different_labels_are_named)
{
    struct cfg_observation o = seen(4, 2, 50, 0);
    o.mixed = 1;
    (void)snprintf(o.mixed_group, sizeof o.mixed_group, "job-\"7\"");
    add("a", o);
    add("b", seen(1, 1, 50, 0));
    expect(CFG_ROLLOUT_ROLLING, "-");
    says("the ranks of group job-\"7\" carry different labels");
    expect(CFG_ROLLOUT_SCHEDULED, "-");
    says("different labels");
}

/* Whoever cannot run the canary by his labels is no base to compare it with. */
Test(observe, the_base_is_those_who_could_run_it)
{
    cfg_rollout_guard_free(rollout.guards[0]);
    cr_assert_eq(cfg_rollout_guard_new(&rollout.guards[0], "errors<=base", NULL), 0);
    struct cfg_observation o = seen(4, 2, 50, 0);
    o.eligible = 2; /* all of them run it */
    now.baked_ms = 5000;
    add("a", o);
    expect(CFG_ROLLOUT_BAKING, "-");
    says("nobody runs the base, though not all should have left it");
    rollout.state.step = 1;
    expect(CFG_ROLLOUT_BAKING, "passed");
    o.eligible = 3;
    forget();
    add("a", o);
    expect(CFG_ROLLOUT_BAKING, "-");
    says("0 of 10 samples of errors in the base");
}
