/* Rollouts as decisions: what starts, what moves them on, what the deployment becomes, what is refused. */
#include "world.h"

#include "configd/rollout.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct world w;

#define ONE(object, rest) "[{\"object\":\"" object "\"," rest "}]"
#define START(more)       ONE("rollout/blue", "\"put\":{\"seed\":\"5eed\",\"steps\":[0.01,0.1,1]" more "}")
#define INPUT(name)       ONE("rollout/blue", "\"patch\":{\"input\":\"" name "\"}")

/* chat v1 and v2; blue holds v1. ann holds the driver's lock. */
static void open_world(void)
{
    world_open(&w);
    world_ok(&w, ONE("config/chat", "\"put\":{\"distributed\":{\"tp\":4},\"t\":0.7}"));
    world_ok(&w, ONE("deployment/blue",
                     "\"put\":{\"config\":\"chat\",\"pin\":[\"distributed\"],\"flags\":[\"exp\"],\"track\":\"hold\"}"));
    world_ok(&w, ONE("deployment/red", "\"put\":{\"config\":\"chat\",\"flags\":[\"exp\"]}"));
    world_ok(&w, ONE("config/chat", "\"patch\":{\"t\":0.9}"));
    world_put(&w, "live/lock/rollouts", "{\"holder\":\"ann\"}");
}

static void close_world(void)
{
    world_close(&w);
}
TestSuite(rollouts, .init = open_world, .fini = close_world);

static void is(const char *object, const char *path, const char *value)
{
    cr_assert_str_eq(world_head(&w, object, path), value, "%s %s is %s", object, path, world_head(&w, object, path));
}

static void is_phase(const char *phase, unsigned step)
{
    char text[64];
    (void)snprintf(text, sizeof text, "\"%s\"", phase);
    is("rollout/blue", "state.phase", text);
    (void)snprintf(text, sizeof text, "%u", step);
    is("rollout/blue", "state.step", text);
}

Test(rollouts, a_start_splits_the_deployment_with_nobody_on_it_yet)
{
    world_ok(&w, START(",\"release\":{\"chat\":2},\"guards\":[\"error_rate<1%\"],\"where\":{\"region\":\"eu\"}"));
    is_phase("scheduled", 0);
    is("rollout/blue", "from", "{\"release\":{\"chat\":1},\"flags\":{},\"track\":\"hold\"}");
    is("rollout/blue", "to", "{\"release\":{\"chat\":2},\"flags\":{}}");
    is("rollout/blue", "run", "1");
    is("rollout/blue", "min_samples", "30");
    is("rollout/blue", "decision.input", "\"start\"");
    is("rollout/blue", "decision.actor", "\"ann\"");
    is("deployment/blue", "arms",
       "{\"base\":{\"follows\":\"fixed\",\"release\":{\"chat\":1}},"
       "\"canary\":{\"follows\":\"fixed\",\"release\":{\"chat\":2}}}");
    is("deployment/blue", "split",
       "{\"arm\":\"canary\",\"seed\":\"5eed\",\"share\":0,\"where\":{\"region\":[\"eu\"]}}");
    struct cfg_deployment d;
    cr_assert_eq(cfg_deployment_read(&d, world_object(&w, "deployment/blue"), NULL), 0);
    cr_assert(d.n_arms == 2 && d.split.share == 0);
    cfg_deployment_finish(&d);
}

Test(rollouts, a_healthy_one_ends_with_one_arm)
{
    world_ok(&w, START(""));
    world_ok(&w, INPUT("due"));
    is_phase("rolling", 0);
    is("deployment/blue", "split.share", "0.01");
    world_ok(&w, INPUT("converged"));
    is_phase("baking", 0);
    uint64_t before = world_object(&w, "deployment/blue")->version;
    world_ok(&w, ONE("rollout/blue", "\"patch\":{\"input\":\"passed\",\"why\":\"baked\",\"baked_ms\":60000,"
                                     "\"guards\":[{\"guard\":\"x<1\",\"verdict\":\"passes\"}]}"));
    is_phase("rolling", 1);
    is("deployment/blue", "split.share", "0.1");
    is("rollout/blue", "decision.guards[0].verdict", "\"passes\"");
    cr_assert_eq(world_object(&w, "deployment/blue")->version, before + 1);
    world_ok(&w, INPUT("converged"));
    world_ok(&w, INPUT("passed"));
    is("deployment/blue", "split.share", "1");
    world_ok(&w, INPUT("converged"));
    world_ok(&w, INPUT("passed"));
    is_phase("finished", 2);
    is("deployment/blue", "arms", "{\"base\":{\"follows\":\"fixed\",\"release\":{\"chat\":2}}}");
    is("deployment/blue", "split", "");
    is("deployment/blue", "track", "\"hold\"");
    world_fails(&w, INPUT("abort"), CFG_E_CONFLICT, "the rollout is finished: there is nothing left to abort");
    world_fails(&w, START(""), CFG_E_CONFLICT, "runs chat v2 already");
    world_ok(&w, START(",\"release\":{\"chat\":1}"));
    is("rollout/blue", "run", "9");
}

Test(rollouts, a_failure_goes_back_with_its_reason)
{
    world_ok(&w, START(""));
    world_ok(&w, INPUT("due"));
    w.message = "rolled back: p99_ms<1.1*base fails";
    world_ok(&w, ONE("rollout/blue", "\"patch\":{\"input\":\"failed\",\"why\":\"p99_ms<1.1*base fails\"}"));
    is_phase("rolling-back", 0);
    is("rollout/blue", "state.then", "\"rolled-back\"");
    is("rollout/blue", "reason", "\"p99_ms<1.1*base fails\"");
    is("deployment/blue", "arms", "{\"base\":{\"follows\":\"fixed\",\"release\":{\"chat\":1}}}");
    is("deployment/blue", "split", "");
    cJSON *tree = cfg_object_tree(world_object(&w, "deployment/blue"));
    cr_assert(strstr(cfg_json_get_str(tree, "message", ""), "p99_ms<1.1*base"));
    cJSON_Delete(tree);
    world_fails(&w, START(""), CFG_E_CONFLICT, "rolling-back");
    world_ok(&w, INPUT("settled"));
    is_phase("rolled-back", 0);
    world_ok(&w, START(""));
}

/* One write publishes, freezes and starts: who followed the head holds what it was, and follows again in the end. */
Test(rollouts, a_write_may_start_one_on_a_deployment_that_follows)
{
#define SET "{\"namespace\":\"chat\",\"set\":[{\"name\":\"t\",\"value\":1.5}]}"
    world_ok(&w, "[{\"object\":\"rollout/red\",\"put\":{\"seed\":\"1\",\"steps\":[0.5,1]}}," SET "]");
    is("config/chat", "document.t", "1.5");
    is("rollout/red", "from.release.chat", "2");
    is("rollout/red", "to.release.chat", "3");
    is("deployment/red", "track", "\"hold\"");
    world_ok(&w, ONE("config/chat", "\"patch\":{\"t\":9}"));
    is("rollout/red", "to.release.chat", "3");
    is("deployment/red", "arms.canary.release.chat", "3");
    cr_assert_str_eq(world_result(&w, "r[0].held[1].version"), "2");
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"abort\"}"));
    is("rollout/red", "state.phase", "\"aborted\"");
    is("deployment/red", "track", "\"hold\"");
    is("deployment/red", "arms.base.release.chat", "2");
    world_ok(&w, ONE("rollout/red", "\"put\":{\"seed\":\"1\",\"steps\":[1],\"release\":{\"chat\":4}}"));
}

Test(rollouts, who_followed_the_head_follows_it_again)
{
    world_ok(&w, "[{\"object\":\"rollout/red\",\"put\":{\"seed\":\"1\",\"steps\":[1]}}," SET "]");
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"advance\",\"why\":\"fire\"}"));
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"advance\",\"why\":\"fire\"}"));
    is("rollout/red", "decision.why", "\"fire\"");
    is("deployment/red", "track", "\"head\"");
    is("deployment/red", "arms", "{\"base\":{\"follows\":\"head\"}}");
}

#define RED(input) ONE("rollout/red", "\"patch\":{\"input\":\"" input "\",\"why\":\"x\"}")

/* chat v3 was rolled back, v4 is good: what red held in between it held for the rollout's sake. */
Test(rollouts, who_followed_the_head_does_so_after_a_good_one_that_follows_a_bad_one)
{
    for (int bad = 0; bad < 2; bad++) {
        world_ok(&w, "[{\"object\":\"rollout/red\",\"put\":{\"seed\":\"1\",\"steps\":[1]}}," SET "]");
        is("rollout/red", "from.track", "\"head\"");
        is("rollout/red", "holds", "");
        world_ok(&w, RED("due"));
        world_ok(&w, RED("failed"));
        world_ok(&w, RED("settled"));
        is("deployment/red", "track", "\"hold\"");
        world_ok(&w, ONE("config/chat", "\"patch\":{\"t\":1.1}"));
    }
    world_ok(&w, ONE("rollout/red", "\"put\":{\"seed\":\"1\",\"steps\":[1]}"));
    world_ok(&w, RED("advance"));
    world_ok(&w, RED("advance"));
    is("deployment/red", "arms", "{\"base\":{\"follows\":\"head\"}}");
}

Test(rollouts, whom_a_person_held_after_a_bad_one_is_left_on_hold)
{
    world_ok(&w, "[{\"object\":\"rollout/red\",\"put\":{\"seed\":\"1\",\"steps\":[1]}}," SET "]");
    world_ok(&w, RED("abort"));
    world_ok(&w, ONE("deployment/red", "\"patch\":{\"release\":{\"chat\":1}}"));
    world_ok(&w, ONE("rollout/red", "\"put\":{\"seed\":\"1\",\"steps\":[1],\"release\":{\"chat\":3}}"));
    is("rollout/red", "from.track", "\"hold\"");
    world_ok(&w, RED("advance"));
    world_ok(&w, RED("advance"));
    is("deployment/red", "track", "\"hold\"");
}

Test(rollouts, flags_are_stepped_by_version)
{
    world_ok(&w, "[{\"namespace\":\"exp\",\"set\":[{\"name\":\"ab\",\"value\":false,\"on_off\":\"off\"}]}]");
#define ON "{\"namespace\":\"exp\",\"set\":[{\"name\":\"ab\",\"on_off\":\"on\"}]}"
    world_ok(&w, "[" ON ",{\"object\":\"rollout/red\",\"put\":{\"seed\":\"1\",\"steps\":[1],\"flags\":[\"exp/ab\"]}}]");
    is("deployment/red", "arms.base.flags", "{\"exp/ab\":1}");
    is("deployment/red", "arms.canary.flags", "{\"exp/ab\":2}");
    is("deployment/red", "arms.canary.release", "{\"chat\":2}");
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"due\"}"));
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"failed\"}"));
    is("deployment/red", "arms.base.flags", "{\"exp/ab\":1}");
    is("deployment/red", "arms.base.follows", "\"head\"");
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"settled\"}"));
    world_ok(&w, ONE("rollout/red", "\"put\":{\"seed\":\"1\",\"steps\":[1],\"flags\":{\"exp/ab\":2}}"));
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"advance\",\"why\":\"x\"}"));
    world_ok(&w, ONE("rollout/red", "\"patch\":{\"input\":\"advance\",\"why\":\"x\"}"));
    is("deployment/red", "arms", "{\"base\":{\"follows\":\"head\"}}");
}

Test(rollouts, what_the_driver_saw_counts_from_the_holder_alone)
{
    world_ok(&w, START(""));
    world_put(&w, "live/lock/rollouts", "{\"holder\":\"bob\"}");
    world_fails(&w, INPUT("due"), CFG_E_CONFLICT, "not held by ann");
    world_put(&w, "live/lock/rollouts", NULL);
    world_fails(&w, INPUT("due"), CFG_E_CONFLICT, "not held by ann");
    world_ok(&w, INPUT("pause"));
    is_phase("paused", 0);
    world_ok(&w, INPUT("resume"));
}

/* Nor does it count when the lock has moved by the time it would be written. */
Test(rollouts, what_the_driver_saw_falls_with_its_lock)
{
    world_ok(&w, START(""));
    cr_assert_eq(world_decide(&w, INPUT("due")), 0);
    cr_assert(world_guards_hold(&w));
    world_put(&w, "live/lock/rollouts", "{\"holder\":\"bob\"}");
    cr_assert_not(world_guards_hold(&w));
}

/* The guards of a decision: another one cannot follow from the same version. */
Test(rollouts, a_decision_is_taken_once)
{
    world_ok(&w, START(""));
    cr_assert_eq(world_decide(&w, ONE("rollout/blue", "\"if_version\":1,\"patch\":{\"input\":\"due\"}")), 0);
    struct cfg_decision d = w.decision;
    w.decision = (struct cfg_decision){0};
    world_ok(&w, ONE("rollout/blue", "\"if_version\":1,\"patch\":{\"input\":\"due\"}"));
    cfg_decision_finish(&w.decision);
    w.decision = d;
    cr_assert_not(world_guards_hold(&w));
    world_fails(&w, ONE("rollout/blue", "\"if_version\":1,\"patch\":{\"input\":\"due\"}"), CFG_E_PRECONDITION,
                "is at version 2");
}

Test(rollouts, bad_starts)
{
    static const struct {
        const char *change;
        int code;
        const char *text;
    } rows[] = {
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\",\"steps\":[0.5,0.1,1]}"), CFG_E_VALUE, "shares rise"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\",\"steps\":[0.5,0.5,1]}"), CFG_E_VALUE, "shares rise"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\",\"steps\":[0.5,1.2]}"), CFG_E_VALUE, "120 % is more than all"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\",\"steps\":[0,1]}"), CFG_E_VALUE, "holds nobody"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\",\"steps\":[0.5]}"), CFG_E_VALUE, "100 %"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\"}"), CFG_E_VALUE, "steps"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\",\"steps\":[1],\"plan\":{\"linear\":2}}"), CFG_E_VALUE, "steps"},
        {START(",\"guards\":[\"p99_ms<\"]"), CFG_E_VALUE, "guard 'p99_ms<'"},
        {START(",\"guards\":\"x<1\""), CFG_E_VALUE, "guards"},
        {START(",\"min_samples\":0"), CFG_E_VALUE, "min_samples"},
        {START(",\"release\":{\"chat\":7}"), CFG_E_NOT_FOUND, "no version 7"},
        {START(",\"release\":{\"base\":1}"), CFG_E_VALUE, "release names base"},
        {START(",\"release\":{\"chat\":1}"), CFG_E_CONFLICT, "runs chat v1 already"},
        {START(",\"flags\":{\"other/x\":1}"), CFG_E_VALUE, "does not see the flags of other"},
        {START(",\"flags\":{\"exp/none\":1}"), CFG_E_NOT_FOUND, "exp/none"},
        {START(",\"stepz\":[1]"), CFG_E_VALUE, "steps"},
        {START(",\"freeze\":[{\"from\":\"25:00\"}]"), CFG_E_VALUE, "HH:MM"},
        {START(",\"freeze\":[{\"from\":18}]"), CFG_E_VALUE, "HH:MM"},
        {START(",\"freeze\":[{\"to\":\" 8:00\"}]"), CFG_E_VALUE, "HH:MM"},
        {START(",\"freeze\":[{\"days\":[]}]"), CFG_E_VALUE, "a list of sun, mon"},
        {START(",\"freeze\":[{\"days\":\"sat\"}]"), CFG_E_VALUE, "a list of sun, mon"},
        {START(",\"gate\":\"yes\""), CFG_E_VALUE, "gate: true or false"},
        {START(",\"why\":7"), CFG_E_VALUE, "why must be a text"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"1\",\"steps\":[{\"share\":1,\"gate\":0}]}"), CFG_E_VALUE,
         "gate: true or false"},
        {ONE("rollout/blue", "\"put\":{\"seed\":\"zz\",\"steps\":[1]}"), CFG_E_VALUE, "split.seed"},
        {ONE("rollout/blue", "\"put\":{\"seed\":7,\"steps\":[1]}"), CFG_E_VALUE, "split.seed"},
        {START(",\"by\":1"), CFG_E_VALUE, "by"},
        {ONE("rollout/green", "\"put\":{\"seed\":\"1\",\"steps\":[1]}"), CFG_E_NOT_FOUND, "deployment green"},
        {ONE("rollout/red", "\"put\":{\"seed\":\"1\",\"steps\":[1]}"), CFG_E_CONFLICT, "runs chat v2 already"},
        {ONE("rollout/blue", "\"delete\":true"), CFG_E_UNSUPPORTED, "rollout"},
        {ONE("rollout/blue", "\"rollback_to\":1"), CFG_E_UNSUPPORTED, "rollout"},
        {INPUT("pause"), CFG_E_NOT_FOUND, "deployment blue has had no rollout"},
    };
    uint64_t before = w.revision;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        world_fails(&w, rows[i].change, rows[i].code, rows[i].text);
    cr_assert_eq(w.revision, before, "nothing was changed");
}

Test(rollouts, the_release_must_be_one_that_the_deployment_can_run)
{
    world_ok(&w, ONE("config/chat", "\"patch\":{\"distributed\":{\"tp\":8}}"));
    world_fails(&w, START(",\"release\":{\"chat\":3}"), CFG_E_PINNED, "distributed.tp");
    world_ok(&w, ONE("config/chat", "\"patch\":{\"distributed\":{\"tp\":4},\"t\":\"hot\"}"));
    world_ok(&w, ONE("config/chat", "\"patch\":{\"t\":1}"));
    world_ok(&w, ONE("schema/chat", "\"put\":{\"properties\":{\"t\":{\"type\":\"number\"}}}"));
    world_fails(&w, START(",\"release\":{\"chat\":4}"), CFG_E_SCHEMA, "t");
    world_ok(&w, START(",\"release\":{\"chat\":5}"));
}

Test(rollouts, while_one_runs_the_deployment_is_left_alone)
{
    world_ok(&w, START(""));
    world_fails(&w, START(""), CFG_E_CONFLICT, "has a rollout already, which is scheduled");
    world_fails(&w, INPUT("advance"), CFG_E_INVALID, "needs a reason");
    world_fails(&w, INPUT("approve"), CFG_E_CONFLICT, "takes no \"approve\"");
    world_fails(&w, ONE("deployment/blue", "\"patch\":{\"track\":\"head\"}"), CFG_E_CONFLICT, "rollout abort blue");
    world_fails(&w, ONE("deployment/blue", "\"patch\":{\"release\":{\"chat\":2}}"), CFG_E_CONFLICT, "under way");
    world_fails(&w, ONE("deployment/blue", "\"delete\":true"), CFG_E_CONFLICT, "under way");
    world_fails(&w, ONE("deployment/blue", "\"rollback_to\":1"), CFG_E_CONFLICT, "under way");
    world_ok(&w, ONE("deployment/blue", "\"patch\":{\"flags\":[\"exp\",\"more\"]}"));
    is("deployment/blue", "split.share", "0");
    is("deployment/blue", "arms.canary.release.chat", "2");
    world_ok(&w, INPUT("abort"));
    world_fails(&w, ONE("deployment/blue", "\"rollback_to\":2"), CFG_E_CONFLICT, "middle of a rollout");
    world_ok(&w, ONE("deployment/blue", "\"delete\":true"));
}

static cJSON *plan(const char *body)
{
    cJSON *request = NULL, *out = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&request, cfg_slice_str(body), 16, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_rollout_plan(&out, request, &err), 0, "%s", err.text);
    cJSON_Delete(request);
    return out;
}

static void expect_shares(const char *body, const double *shares, int n)
{
    cJSON *p = plan(body);
    const cJSON *steps = cfg_json_get(p, "steps");
    cr_assert_eq(cJSON_GetArraySize(steps), n, "%s", body);
    for (int i = 0; i < n; i++)
        cr_assert_float_eq(cfg_json_get_num(cJSON_GetArrayItem(steps, i), "share", 0), shares[i], 1e-9);
    cJSON_Delete(p);
}

Test(plan, linear_and_exponential)
{
    expect_shares("{\"plan\":{\"linear\":4}}", (double[]){0.25, 0.5, 0.75, 1}, 4);
    expect_shares("{\"plan\":{\"exponential\":{\"first\":0.01,\"factor\":10}}}", (double[]){0.01, 0.1, 1}, 3);
    expect_shares("{\"plan\":{\"exponential\":{\"first\":0.2,\"factor\":2}}}", (double[]){0.2, 0.4, 0.8, 1}, 4);
    cJSON *p = plan("{\"steps\":[0.1,{\"share\":1,\"bake_ms\":5,\"gate\":true}],\"bake_ms\":7}");
    const cJSON *steps = cfg_json_get(p, "steps");
    cr_assert_eq(cfg_json_get_num(cJSON_GetArrayItem(steps, 0), "bake_ms", 0), 7);
    cr_assert_eq(cfg_json_get_num(cJSON_GetArrayItem(steps, 1), "bake_ms", 0), 5);
    cr_assert(cfg_json_get_bool(cJSON_GetArrayItem(steps, 1), "gate", false));
    cJSON_Delete(p);
}

/* 2026-01-03 was a Saturday. */
Test(plan, freeze_windows)
{
    enum { SATURDAY = 1767398400, HOUR = 3600, DAY = 24 * HOUR };
    struct cfg_rollout r = {.n_freeze = 2};
    r.freeze[0] = (struct cfg_freeze_window){.days = 1u << 6 | 1u, .from_s = 0, .to_s = DAY};
    r.freeze[1] = (struct cfg_freeze_window){.days = 1u << 3, .from_s = 22 * HOUR, .to_s = 6 * HOUR};
    cr_assert(cfg_rollout_is_frozen(&r, SATURDAY) && cfg_rollout_is_frozen(&r, SATURDAY + 2 * DAY - 1));
    cr_assert(!cfg_rollout_is_frozen(&r, SATURDAY - 1) && !cfg_rollout_is_frozen(&r, SATURDAY + 2 * DAY));
    enum { WEDNESDAY = SATURDAY + 4 * DAY };
    cr_assert(!cfg_rollout_is_frozen(&r, WEDNESDAY + 22 * HOUR - 1));
    cr_assert(cfg_rollout_is_frozen(&r, WEDNESDAY + 22 * HOUR));
    cr_assert(cfg_rollout_is_frozen(&r, WEDNESDAY + DAY + 6 * HOUR - 1), "over night");
    cr_assert_eq(cfg_rollout_frozen_until(&r, SATURDAY + 5), SATURDAY + 2 * DAY, "both days, which meet");
    cr_assert_eq(cfg_rollout_frozen_until(&r, WEDNESDAY + 23 * HOUR), WEDNESDAY + DAY + 6 * HOUR);
    cr_assert_eq(cfg_rollout_frozen_until(&r, WEDNESDAY + DAY + HOUR), WEDNESDAY + DAY + 6 * HOUR);
    cr_assert_eq(cfg_rollout_frozen_until(&r, WEDNESDAY), WEDNESDAY);
    cr_assert(!cfg_rollout_is_frozen(&r, WEDNESDAY + DAY + 6 * HOUR));
    r.freeze[1] = (struct cfg_freeze_window){.days = 127u, .from_s = 9 * HOUR, .to_s = 9 * HOUR};
    cr_assert_eq(cfg_rollout_frozen_until(&r, WEDNESDAY), 0, "always");
    r.start_at = SATURDAY;
    cr_assert(!cfg_rollout_is_due(&r, SATURDAY - 1) && cfg_rollout_is_due(&r, SATURDAY));
}
