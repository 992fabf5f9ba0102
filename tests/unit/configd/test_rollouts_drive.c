/* The driver of rollouts by the hand of a clock: when bake time counts, when a decision is taken and from which
 * version, whose observations are believed. What it asks for goes to rollouts_edge.c; the real etcd, service and fleet,
 * together, are in tests/e2e and tests/fault, where no clock can be moved. */
#include "configd/rollouts_internal.h"
#include "hub_fixture.h"
#include "rollouts_edge.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { TICK = ROLLOUTS_TICK_MS };

/* --- what it hears --- */

static struct fixture f;
static struct cfg_rollouts *rollouts;
static uint64_t told; /* versions of live records */

static uint64_t test_ns(void *arg)
{
    (void)arg;
    return now_ms * 1000000u;
}
static const struct cfg_clock test_clock = {.monotonic_ns = test_ns, .wall_ns = test_ns};

static struct rollout_drive *drive(void)
{
    struct rollout_drive *d = rollouts_find(rollouts, "blue");
    cr_assert_not_null(d);
    return d;
}

/* The rollout's record: a version of run 1, or of another. */
static uint64_t roll_run(uint64_t run, uint64_t version, const char *phase, unsigned step)
{
    char body[1024];
    (void)snprintf(body, sizeof body,
                   "{\"deployment\":\"blue\",\"config\":\"chat\",\"run\":%llu,\"min_samples\":30,\"seed\":\"5eed\","
                   "\"steps\":[{\"share\":0.1,\"bake_ms\":10000,\"gate\":false},{\"share\":1,\"bake_ms\":10000,"
                   "\"gate\":false}],\"guards\":[],\"state\":{\"phase\":\"%s\",\"step\":%u%s},\"decision\":{\"arms\":"
                   "{\"base\":{\"workers\":50},\"canary\":{\"workers\":10},\"replicas\":{\"r1\":60},\"canaries\":"
                   "{\"r1\":10}}}}",
                   (unsigned long long)run, phase, step,
                   strcmp(phase, "paused") == 0         ? ",\"resume\":\"baking\""
                   : strcmp(phase, "rolling-back") == 0 ? ",\"then\":\"rolled-back\""
                                                        : "");
    return fixture_put(&f, CFG_KIND_ROLLOUT, "blue", "", version, body);
}

static uint64_t roll(uint64_t version, const char *phase, unsigned step)
{
    return roll_run(1, version, phase, step);
}

/* r1 tells of 50 workers of the base and `canary` of the canary, of 10. */
static void tell(unsigned canary)
{
    struct cfg_observation o = {.seq = ++told, .rollout = drive()->version, .deployment = 1, .eligible = 60};
    struct cfg_buf text;
    o.base = (struct cfg_arm_report){.groups = 50, .workers = 50, .converged = 50};
    o.canary = (struct cfg_arm_report){
        .groups = canary, .workers = canary, .converged = canary, .lost = canary < 10 ? 10 - canary : 0};
    cfg_buf_init(&text, 65536);
    cfg_observation_print(&text, &o);
    cr_assert_eq(cfg_buf_status(&text), 0);
    (void)fixture_put(&f, CFG_KIND_OBSERVED, "blue", "r1", told, text.data);
    cfg_buf_finish(&text);
}

static void tick(uint64_t ms)
{
    now_ms += ms;
    rollouts_drive(rollouts, drive());
    answer(&progress, true);
}

/* r1 tells, and then it is looked at. */
static void look(unsigned n, uint64_t ms, unsigned canary)
{
    for (unsigned i = 0; i < n; i++) {
        now_ms += ms;
        tell(canary);
        tick(0);
    }
}

static void put_progress(unsigned run, unsigned step, unsigned baked_ms)
{
    char body[128];
    (void)snprintf(body, sizeof body, "{\"run\":%u,\"step\":%u,\"baked_ms\":%u}", run, step, baked_ms);
    (void)fixture_put(&f, CFG_KIND_PROGRESS, "blue", "", ++told, body);
}

static void open_rig(void)
{
    now_ms = 1000000;
    held = true;
    fixture_init(&f);
    fixture_blue(&f);
    const struct cfg_rollouts_options o = {
        .loop = f.loop, .store = f.store, .clock = &test_clock, .prefix = "/configd/v1/", .replica_id = "r1"};
    cr_assert_eq(cfg_rollouts_new(&rollouts, &o, NULL), 0);
    (void)fixture_put(&f, CFG_KIND_PRESENCE, "blue", "r1", 1, "{\"workers\":60}");
    roll(1, "scheduled", 0);
}

static void close_rig(void)
{
    answer(&progress, true);
    answer(&observed, true);
    answer_history(1);
    answer_decision();
    cfg_rollouts_free(rollouts);
    fixture_finish(&f);
}
TestSuite(drive, .init = open_rig, .fini = close_rig);

/* --- bake time --- */

Test(drive, bakes_while_it_looks_and_the_canary_is_there)
{
    roll(2, "baking", 0);
    look(3, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 2 * TICK);
    look(1, 60000, 10);
    cr_assert_eq(drive()->baked_ms, 2 * TICK, "this process stood still");
    look(1, TICK, 0);
    cr_assert_eq(drive()->baked_ms, 3 * TICK);
    look(1, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 3 * TICK, "nobody was there");
    roll(3, "baking", 0);
    look(1, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 3 * TICK, "another version");
    look(1, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 4 * TICK);
}

Test(drive, every_step_bakes_for_itself)
{
    roll(2, "baking", 0);
    look(10, TICK, 10);
    cr_assert_gt(drive()->baked_ms, 0);
    roll(3, "rolling", 1);
    roll(4, "baking", 1);
    look(1, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 0);
}

Test(drive, goes_on_from_what_was_noted_of_this_step_of_this_run)
{
    put_progress(1, 1, 7000);
    roll(2, "baking", 0);
    cr_assert_eq(rollouts_progress(rollouts, drive()), 0, "of another step");
    put_progress(2, 0, 7000);
    cr_assert_eq(rollouts_progress(rollouts, drive()), 0, "of another run");
    put_progress(1, 0, 7000);
    look(2, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 7000 + TICK);
}

Test(drive, notes_progress_under_the_version_that_bakes)
{
    uint64_t revision = roll(2, "baking", 0);
    look(5, TICK, 10);
    cr_assert_eq(progress.n, 1);
    cr_assert_str_eq(progress.key, "/configd/v1/live/progress/blue");
    cr_assert_str_eq(progress.value, "{\"run\":1,\"step\":0,\"baked_ms\":2000}");
    cr_assert_eq(progress.n_compare, 1);
    cr_assert_str_eq(progress.guard, "/configd/v1/live/rollout/blue");
    cr_assert_eq(progress.number, (int64_t)revision);
}

Test(drive, who_lost_the_lock_takes_up_what_its_successor_noted)
{
    roll(2, "baking", 0);
    look(3, TICK, 10);
    held = false;
    look(60, TICK, 10);
    cr_assert_eq(decision.n, 0, "the lock is another's");
    put_progress(1, 0, 6000);
    held = true;
    look(2, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 6000 + TICK);
}

/* --- decisions --- */

Test(drive, decides_once_and_from_the_version_that_it_judged)
{
    roll(2, "baking", 0);
    look(21, TICK, 10);
    cr_assert_eq(decision.n, 1);
    cr_assert_str_eq(decision.input, "passed");
    cr_assert_str_eq(decision.author, "r1");
    cr_assert(decision.has_if_version);
    cr_assert_eq(decision.if_version, 2);
    look(3, TICK, 10);
    cr_assert_eq(decision.n, 1, "that one is still under way");
    answer_decision();
    look(1, TICK, 10);
    cr_assert_eq(decision.n, 2, "it was refused: another one is tried");
}

Test(drive, decides_nothing_while_etcd_is_away)
{
    roll(2, "baking", 0);
    look(15, TICK, 10);
    fixture_state(&f, CFG_REPLICA_RECONNECTING);
    look(15, TICK, 10);
    cr_assert_eq(decision.n, 0);
    fixture_state(&f, CFG_REPLICA_LIVE);
    look(30, TICK, 10);
    cr_assert_eq(decision.n, 1);
}

/* --- whom it believes --- */

Test(drive, a_record_that_nobody_renews_says_nothing)
{
    roll(2, "baking", 0);
    look(3, TICK, 10);
    for (unsigned i = 0; i < 60; i++)
        tick(TICK);
    cr_assert_eq(decision.n, 0);
    cr_assert_leq(drive()->baked_ms, 2 * TICK + ROLLOUTS_FRESH_MS + TICK);
}

Test(drive, a_record_of_the_version_before_says_nothing)
{
    roll(2, "rolling", 0);
    look(1, TICK, 10);
    cr_assert_eq(decision.n, 1, "converged");
    answer_decision();
    roll(3, "baking", 0);
    tick(TICK);
    cr_assert_not(drive()->watched);
    look(1, TICK, 10);
    cr_assert(drive()->watched);
}

Test(drive, a_replica_with_workers_that_tells_nothing_holds_it)
{
    (void)fixture_put(&f, CFG_KIND_PRESENCE, "blue", "r2", 1, "{\"workers\":5}");
    roll(2, "baking", 0);
    look(40, TICK, 10);
    cr_assert_eq(drive()->baked_ms, 0);
    cr_assert_eq(decision.n, 0);
}

/* r1 told of all of them at the last decision; now r2 has the lesser part, and r1 is gone. */
static void lose_r1(void)
{
    const uint64_t v = ++told;
    const struct cfg_replica_sink *sink = cfg_store_sink(f.store);
    const struct cfg_etcd_event gone = {
        .is_delete = true,
        .kv = {.key = CFG_SLICE_LIT("live/presence/blue/r1"), .mod_revision = (int64_t)++f.revision}};
    sink->batch(sink->arg, f.revision, &gone, 1);
    (void)fixture_put(&f, CFG_KIND_PRESENCE, "blue", "r2", v, "{\"workers\":5}");
    struct cfg_observation o = {.seq = v, .rollout = drive()->version, .deployment = 1, .eligible = 5};
    struct cfg_buf text;
    o.base = (struct cfg_arm_report){.groups = 5, .workers = 5, .converged = 5};
    cfg_buf_init(&text, 65536);
    cfg_observation_print(&text, &o);
    (void)fixture_put(&f, CFG_KIND_OBSERVED, "blue", "r2", v, text.data);
    cfg_buf_finish(&text);
}

Test(drive, workers_that_went_with_their_replica_are_waited_for_on_the_way_there_alone)
{
    struct cfg_whole whole;
    roll(2, "baking", 0);
    lose_r1();
    rollouts_collect(&whole, rollouts, drive());
    cr_assert_eq(whole.unknown, 1, "they may be cut off");
    roll(3, "rolling-back", 0);
    lose_r1();
    tick(TICK);
    cr_assert_eq(decision.n, 1);
    cr_assert_str_eq(decision.input, "settled", "who has gone for good keeps nobody from going back");
}

/* --- the dead --- */

Test(drive, death_counts_while_it_lasts)
{
    roll(2, "baking", 0);
    look(5, TICK, 0);
    cr_assert_eq(drive()->dying_ms, 4 * TICK);
    look(1, 60000, 0);
    cr_assert_eq(drive()->dying_ms, 4 * TICK, "this process stood still");
    look(1, TICK, 10);
    cr_assert_eq(drive()->dying_ms, 5 * TICK);
    look(3, TICK, 10);
    cr_assert_eq(drive()->dying_ms, 2 * TICK, "those who are back are believed as slowly");
    look(20, TICK, 10);
    cr_assert_eq(drive()->dying_ms, 0);
}

Test(drive, a_successor_counts_the_dead_anew)
{
    roll(2, "baking", 0);
    look(9, TICK, 0);
    cr_assert_gt(drive()->dying_ms, 0);
    held = false;
    tick(TICK);
    held = true;
    look(1, TICK, 0);
    cr_assert_eq(drive()->dying_ms, 0);
}

/* --- what it tells --- */

static void observe(uint64_t ms)
{
    now_ms += ms;
    rollouts_observe(rollouts, drive());
}

Test(drive, tells_under_its_lease_when_there_is_news_and_now_and_then)
{
    seen_workers = 3;
    observe(TICK);
    cr_assert_eq(observed.n, 1);
    cr_assert_str_eq(observed.key, "/configd/v1/live/observed/blue/r1");
    cr_assert_str_eq(observed.guard, "/configd/v1/meta/store");
    cr_assert_eq(observed.lease, EDGE_LEASE, "it goes when this process goes");
    observe(5 * TICK);
    cr_assert_eq(observed.n, 1, "one at a time");
    answer(&observed, true);
    observe(0);
    cr_assert_eq(observed.n, 2);
    answer(&observed, true);
    observe(1);
    cr_assert_eq(observed.n, 2, "nothing is new");
    seen_workers = 4;
    observe(1);
    cr_assert_eq(observed.n, 3);
    answer(&observed, false);
    observe(1);
    cr_assert_eq(observed.n, 4, "nobody has read that yet");
}

Test(drive, reports_count_from_the_step_and_absences_from_the_resumption)
{
    roll(2, "baking", 0);
    now_ms += 10000;
    roll(3, "rolling", 1);
    uint64_t began = now_ms;
    observe(5000);
    cr_assert_eq(lately.since_ms, began);
    cr_assert_eq(lately.gone_ms, began);
    roll(4, "paused", 1);
    now_ms += 1000;
    roll(5, "rolling", 1);
    uint64_t resumed = now_ms;
    answer(&observed, true);
    observe(5000);
    cr_assert_eq(lately.since_ms, began);
    cr_assert_eq(lately.gone_ms, resumed);
}

Test(drive, only_this_runs_canary_counts)
{
    unsigned before = history.forgotten;
    roll(2, "baking", 0);
    cr_assert_eq(history.forgotten, before, "the same");
    roll(3, "finished", 1);
    cr_assert_null(rollouts_find(rollouts, "blue"));
    uint64_t revision = roll_run(4, 4, "scheduled", 0);
    cr_assert_eq(history.forgotten, before + 1);
    cr_assert_eq(history.since.revision, revision);
    cr_assert_eq(history.n, 0);
}

/* It was under way when this replica came: history knows since when. */
Test(drive, a_run_that_was_under_way_counts_from_its_start)
{
    roll(3, "finished", 1);
    unsigned before = history.forgotten;
    roll_run(4, 6, "baking", 0);
    cr_assert_eq(history.n, 1);
    cr_assert(strstr(history.key, "rollout/blue/"), "%s", history.key);
    answer_history(5);
    cr_assert_eq(history.forgotten, before + 2);
    cr_assert_eq(history.since.revision, 5);
}
