/* Rollouts and everything else that people do meanwhile: it works, or is refused and nothing has changed. */
#include "world.h"

#include "configd/rollout.h"
#include <criterion/criterion.h>
#include <string.h>

static struct world w;
static cJSON *contract;

#define ONE(object, rest) "[{\"object\":\"" object "\"," rest "}]"
#define PUT(more)         ONE("rollout/red", "\"put\":{\"seed\":\"5eed\",\"steps\":[0.5,1]" more "}")
#define INPUT(name)       ONE("rollout/red", "\"patch\":{\"input\":\"" name "\"}")
#define SET_FLAG(value)   "[{\"namespace\":\"exp\",\"set\":[{\"name\":\"ab\",\"on_off\":\"" value "\"}]}]"

/* chat v1 and v2, the flag exp/ab v1 (off) and v2 (on); red follows the heads. ann holds the driver's lock. */
static void open_world(void)
{
    world_open(&w);
    world_ok(&w, ONE("config/chat", "\"put\":{\"t\":0.7}"));
    world_ok(&w, "[{\"namespace\":\"exp\",\"set\":[{\"name\":\"ab\",\"value\":false,\"on_off\":\"off\"}]}]");
    world_ok(&w, ONE("deployment/red", "\"put\":{\"config\":\"chat\",\"flags\":[\"exp\"]}"));
    world_ok(&w, ONE("config/chat", "\"patch\":{\"t\":0.9}"));
    world_ok(&w, SET_FLAG("on"));
    world_put(&w, "live/lock/rollouts", "{\"holder\":\"ann\"}");
}

static void close_world(void)
{
    cJSON_Delete(contract);
    contract = NULL;
    world_close(&w);
}
TestSuite(meet, .init = open_world, .fini = close_world);

static void is(const char *object, const char *path, const char *value)
{
    cr_assert_str_eq(world_head(&w, object, path), value, "%s %s is %s", object, path, world_head(&w, object, path));
}

/* A worker that is connected and would not take what the heads are. */
static void each_part(void *arg, const char *deployment, bool (*fn)(const struct cfg_crew_part *part, void *fn_arg),
                      void *fn_arg)
{
    static const char *const names[] = {"w1"};
    (void)arg, (void)deployment;
    (void)fn(&(struct cfg_crew_part){.contract = contract, .workers = 1, .names = names, .n_names = 1}, fn_arg);
}
static const struct cfg_crew crew = {.each = each_part, .replica = "r1"};

static void connect_worker(void)
{
    cr_assert_eq(cfg_json_parse(&contract,
                                CFG_SLICE_LIT("{\"t\":{\"type\":\"f64\",\"class\":\"live\",\"min\":0,\"max\":0.5}}"), 0,
                                NULL),
                 0);
    w.heads.crew = &crew;
}

Test(meet, no_worker_keeps_a_bad_release_from_going_back)
{
    world_ok(&w, PUT(",\"flags\":{\"exp/ab\":1}"));
    world_ok(&w, INPUT("due"));
    connect_worker();
    world_ok(&w, INPUT("failed"));
    is("rollout/red", "state.phase", "\"rolling-back\"");
}

Test(meet, nor_a_person_who_calls_it_off)
{
    world_ok(&w, PUT(",\"flags\":{\"exp/ab\":1}"));
    world_ok(&w, INPUT("due"));
    connect_worker();
    world_ok(&w, INPUT("abort"));
    is("rollout/red", "state.phase", "\"rolling-back\"");
}

Test(meet, a_schema_that_neither_release_keeps)
{
    world_ok(&w, PUT(",\"release\":{\"chat\":1}"));
    world_ok(&w, INPUT("due"));
    world_ok(&w, "[{\"object\":\"config/chat\",\"patch\":{\"t\":5}},"
                 "{\"object\":\"schema/chat\",\"put\":{\"properties\":{\"t\":{\"type\":\"number\",\"minimum\":2}}}}]");
    world_ok(&w, INPUT("failed"));
    is("deployment/red", "arms.base.release.chat", "2");
}

Test(meet, a_namespace_that_goes_by_force)
{
    world_ok(&w, PUT(",\"release\":{\"chat\":1}"));
    world_ok(&w, INPUT("due"));
    world_fails(&w, ONE("config/chat", "\"delete\":true"), CFG_E_IN_USE, "deployment red");
    w.force = true;
    world_ok(&w, ONE("config/chat", "\"delete\":true"));
    w.force = false;
    world_ok(&w, INPUT("converged"));
    world_ok(&w, INPUT("passed"));
    world_ok(&w, INPUT("failed"));
    is("deployment/red", "arms.base.release.chat", "2");
    world_ok(&w, INPUT("settled"));
}

Test(meet, a_flag_that_is_deleted)
{
    world_ok(&w, PUT(",\"flags\":{\"exp/ab\":1}"));
    world_ok(&w, INPUT("due"));
    world_ok(&w, ONE("flag/exp/ab", "\"delete\":true"));
    world_ok(&w, INPUT("failed"));
    is("deployment/red", "arms.base.flags", "{\"exp/ab\":2}");
    world_ok(&w, INPUT("settled"));
}

Test(meet, a_deployment_that_goes_while_it_goes_back)
{
    world_ok(&w, PUT(",\"release\":{\"chat\":1}"));
    world_ok(&w, INPUT("due"));
    world_ok(&w, INPUT("failed"));
    world_ok(&w, ONE("deployment/red", "\"delete\":true"));
    world_ok(&w, INPUT("settled"));
    is("rollout/red", "state.phase", "\"rolled-back\"");
    world_ok(&w, ONE("deployment/red", "\"put\":{\"config\":\"chat\"}"));
    world_ok(&w, PUT(",\"release\":{\"chat\":1}"));
}

Test(meet, nobody_says_what_only_the_driver_saw)
{
    world_ok(&w, PUT(",\"release\":{\"chat\":1}"));
    world_fails(
        &w,
        ONE("rollout/red", "\"patch\":{\"input\":\"pause\",\"guards\":[{\"guard\":\"x<1\",\"verdict\":\"passes\"}]}"),
        CFG_E_VALUE, "guards");
    world_fails(&w, ONE("rollout/red", "\"patch\":{\"input\":\"pause\",\"arms\":{\"replicas\":{\"ghost\":9}}}"),
                CFG_E_VALUE, "arms");
}
