/* What a worker is said to be, who of two processes with one id counts, and sums over slots of time. */
#include "configd/fleet_peers.h"
#include "configd/fleet_state.h"
#include "configd/fleet_window.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define TARGET "sha256:t"

static const struct fleet_target target = {.known = true, .rev = {1, 10}, .since = {1, 8}, .digest = TARGET};

static struct fleet_facts good(void)
{
    return (struct fleet_facts){.connected = true,
                                .reported = true,
                                .interval_ms = 2000,
                                .report_age_ms = 100,
                                .applied = {1, 9},
                                .digest = TARGET};
}

static const char *word(struct fleet_facts x, struct fleet_target t)
{
    return fleet_state_name(fleet_state_of(&x, &t));
}

#define IS(expected, ...)                            \
    do {                                             \
        struct fleet_facts x = good();               \
        __VA_ARGS__;                                 \
        cr_assert_str_eq(word(x, target), expected); \
    } while (0)

Test(fleet_state, every_word_has_its_facts)
{
    IS("current", (void)x);
    IS("idle", x.idle = true);
    IS("pending", x.pending = 1, x.idle = true);
    IS("draining", x.draining = 1, x.pending = 1);
    IS("drifted", x.overrides = 1, x.draining = 1);
    IS("drifted", x.digest = "sha256:o", x.applied.revision = 10);
    IS("lagging", x.digest = "sha256:o", x.overrides = 1);
    IS("lagging", x.applied.revision = 7);
    IS("lagging", x.applied.revision = 7, x.held.revision = 7, x.held.epoch = 1);
    IS("current", x.applied.revision = 7, x.held.revision = 8, x.held.epoch = 1);
    IS("lagging", x.digest = "sha256:o", x.held.revision = 8, x.held.epoch = 1);
    IS("lagging", x.applied = ((struct cfg_rev){0, 0}), x.digest = "");
    IS("forming", x.forming = true, x.digest = "sha256:o");
    IS("rejecting", x.rejected = ((struct cfg_rev){1, 10}), x.forming = true);
    IS("current", x.rejected = ((struct cfg_rev){1, 9}));
    IS("rejecting", x.refused = true, x.connected = false);
    IS("stale", x.report_age_ms = 10001, x.rejected = ((struct cfg_rev){1, 10}));
    IS("current", x.report_age_ms = 10001, x.interval_ms = 5000);
    IS("stale", x.silent_ms = 10001);
    IS("unknown", x.reported = false);
    IS("stale", x.reported = false, x.report_age_ms = 10001);
    IS("unknown", x.applied.revision = 11, x.digest = "sha256:n");
    IS("current", x.applied.revision = 11);
    IS("foreign", x.foreign = true, x.refused = true, x.connected = false);
    IS("gone", x.connected = false, x.silent_ms = 10001);
    IS("flapping", x.flaps = 3, x.connected = false);
}

Test(fleet_state, without_a_view_nothing_is_current)
{
    struct fleet_target none = {.digest = ""}, foreign = target;
    foreign.foreign = true;
    cr_assert_str_eq(word(good(), none), "unknown");
    cr_assert_str_eq(word(good(), foreign), "foreign");
    struct fleet_facts empty = good();
    empty.digest = "";
    cr_assert_str_eq(word(empty, none), "unknown", "no digest is not the digest of no view");
}

Test(fleet_state, words_and_numbers_are_each_others)
{
    for (int s = 0; s < FLEET_STATES; s++)
        cr_assert_eq(fleet_state_parse(fleet_state_name((enum fleet_state)s)), s);
    cr_assert_eq(fleet_state_parse("fine"), FLEET_STATES);
}

Test(fleet_state, reasons_say_what_differs)
{
    char why[FLEET_WHY];
    struct fleet_facts x = good();
    x.applied.revision = 7;
    fleet_state_why(why, FLEET_LAGGING, &x, &target);
    cr_assert_str_eq(why, "it runs 1-7; the view is 1-10");
    x.overrides = 2;
    fleet_state_why(why, FLEET_DRIFTED, &x, &target);
    cr_assert_str_eq(why, "2 values are overridden at the worker");
    fleet_state_why(why, FLEET_CURRENT, &x, &target);
    cr_assert_str_eq(why, "");
}

/* --- one id, several processes --- */

static struct fleet_living living(const char *worker, const char *replica, const char *incarnation, uint64_t age,
                                  enum fleet_state state)
{
    return (struct fleet_living){
        .worker = worker, .replica = replica, .incarnation = incarnation, .report_age_ms = age, .state = state};
}

static const struct fleet_living *at_replica(const struct fleet_living *all, size_t n, const char *replica)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].replica, replica) == 0)
            return &all[i];
    cr_assert(false, "nobody at %s", replica);
    return NULL;
}

Test(fleet_living, two_live_processes_are_twins)
{
    struct fleet_living all[] = {living("w", "r1", "a", 5000, FLEET_CURRENT), living("v", "r3", "x", 1, FLEET_IDLE),
                                 living("w", "r2", "b", 10, FLEET_LAGGING)};
    fleet_living_resolve(all, 3, 10000);
    cr_assert_eq(at_replica(all, 3, "r1")->state, FLEET_FLAPPING);
    cr_assert_eq(at_replica(all, 3, "r2")->state, FLEET_FLAPPING);
    cr_assert_str_eq(at_replica(all, 3, "r1")->rival, "r2");
    cr_assert_str_eq(at_replica(all, 3, "r2")->rival, "r1");
    cr_assert_eq(at_replica(all, 3, "r3")->state, FLEET_IDLE);
    cr_assert_null(at_replica(all, 3, "r3")->rival);
}

Test(fleet_living, a_silent_one_is_superseded_and_one_that_moved_is_one)
{
    struct fleet_living silent[] = {living("w", "r1", "a", 20000, FLEET_STALE),
                                    living("w", "r2", "b", 10, FLEET_CURRENT)};
    fleet_living_resolve(silent, 2, 10000);
    cr_assert_eq(at_replica(silent, 2, "r1")->state, FLEET_SUPERSEDED);
    cr_assert_eq(at_replica(silent, 2, "r2")->state, FLEET_CURRENT);
    struct fleet_living moved[] = {living("w", "r1", "a", 300, FLEET_STALE), living("w", "r2", "a", 10, FLEET_CURRENT)};
    fleet_living_resolve(moved, 2, 10000);
    cr_assert(at_replica(moved, 2, "r1")->dropped && !at_replica(moved, 2, "r2")->dropped);
    struct fleet_living back[] = {living("w", "r1", "a", 10, FLEET_GONE), living("w", "r2", "a", 300, FLEET_CURRENT)};
    fleet_living_resolve(back, 2, 10000);
    cr_assert(at_replica(back, 2, "r1")->dropped, "it reported there last, and is connected here");
    struct fleet_living restarted[] = {living("w", "r1", "a", 10, FLEET_GONE), living("w", "r2", "b", 30, FLEET_IDLE)};
    fleet_living_resolve(restarted, 2, 10000);
    cr_assert(at_replica(restarted, 2, "r1")->dropped);
    cr_assert_eq(at_replica(restarted, 2, "r2")->state, FLEET_IDLE);
}

/* --- slots --- */

static void count(struct fleet_window *w, uint64_t now_ms, uint64_t steps, const char *metric, double x)
{
    struct cfg_histogram h = {0};
    struct cfg_moments m = {0};
    for (uint64_t i = 0; i < steps; i++)
        cfg_histogram_add(&h, 1000);
    cfg_moments_add(&m, x);
    fleet_window_steps(w, now_ms, steps, steps, &h);
    fleet_window_metric(w, now_ms, metric, &m);
}

Test(fleet_window, sums_lie_in_their_time)
{
    struct fleet_window w = {0};
    struct fleet_sum sum;
    struct cfg_moments m;
    for (uint64_t s = 0; s < 100; s++)
        count(&w, s * 5000 + 17, 2, "loss", (double)s);
    fleet_window_sum(&sum, &w, 99 * 5000, 100 * 5000);
    cr_assert_eq(sum.steps, 2u);
    fleet_window_sum(&sum, &w, 90 * 5000, 100 * 5000);
    cr_assert_eq(sum.steps, 20u);
    cr_assert_eq(sum.latency.n, 20u);
    fleet_window_moments(&m, &w, 90 * 5000, 92 * 5000, "loss");
    cr_assert_eq(m.n, 2u);
    cr_assert_eq(m.min, 90);
    cr_assert_eq(m.max, 91);
    fleet_window_sum(&sum, &w, 0, 100 * 5000);
    cr_assert_eq(sum.steps, 2u * FLEET_SLOTS, "what is older is forgotten");
    fleet_window_sum(&sum, &w, 0, 30 * 5000);
    cr_assert_eq(sum.steps, 0u);
    fleet_window_moments(&m, &w, 0, 100 * 5000, "other");
    cr_assert_eq(m.n, 0u);
    fleet_window_finish(&w);
}

Test(fleet_window, names_that_are_not_used_any_more_make_room)
{
    struct fleet_window w = {0};
    struct cfg_moments m;
    char name[16];
    for (int i = 0; i < 70; i++) {
        (void)snprintf(name, sizeof name, "m%d", i);
        count(&w, 1000, 1, name, i);
    }
    fleet_window_moments(&m, &w, 0, 5000, "m63");
    cr_assert_eq(m.n, 1u);
    fleet_window_moments(&m, &w, 0, 5000, "m64");
    cr_assert_eq(m.n, 0u, "there is no room for more than 64 in use");
    count(&w, 10000000, 1, "late", 5);
    fleet_window_moments(&m, &w, 9999000, 10000001, "late");
    cr_assert_eq(m.n, 1u);
    cr_assert_eq(m.last, 5);
    fleet_window_finish(&w);
}

/* --- where a token may go --- */

Test(fleet_peers, tokens_go_over_tls_or_stay_on_this_host)
{
    cr_assert(cfg_peers_may_tell("https://configd-2.example:7117"));
    cr_assert(cfg_peers_may_tell("http://127.0.0.1:7117"));
    cr_assert(cfg_peers_may_tell("http://localhost:7117"));
    cr_assert(cfg_peers_may_tell("http://[::1]:7117"));
    cr_assert_not(cfg_peers_may_tell("http://10.0.0.2:7117"));
    cr_assert_not(cfg_peers_may_tell("http://127.0.0.1.example.com"));
    cr_assert_not(cfg_peers_may_tell("http://127.0.0.1@10.0.0.2/"));
    cr_assert_not(cfg_peers_may_tell("localhost"));
    cr_assert_not(cfg_peers_may_tell(""));
}
