/* What versions of rollouts and experiments say in a line. */
#include "configd/story.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The line of a record; "-" where nothing is told. members end with a comma. */
static const char *story(const char *object, const char *members, bool deleted)
{
    static char line[1024];
    struct cfg_object_id id;
    struct cfg_object *o = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf out;
    char text[2048];
    cr_assert_eq(cfg_object_id_parse(&id, cfg_slice_str(object), NULL), 0, "%s", object);
    (void)snprintf(
        text, sizeof text,
        "{%s\"version\":3,\"parent\":2,\"digest\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000000000\",\"author\":\"a\",\"message\":\"m\","
        "\"time\":\"2026-12-01T02:00:00Z\",\"request_id\":\"r\"%s}",
        members, deleted ? ",\"deleted\":true" : "");
    cr_assert_eq(cfg_object_new(&o, &id, cfg_slice_str(text), 7, &err), 0, "%s in %s", err.text, text);
    cfg_buf_init(&out, sizeof line - 1);
    bool told = cfg_story_tell(&out, o);
    cr_assert_eq(cfg_buf_status(&out), 0);
    cr_assert(told || out.len == 0);
    (void)snprintf(line, sizeof line, "%s", told ? out.data : "-");
    cfg_buf_finish(&out);
    (void)cfg_object_unref(o);
    return line;
}

#define STEPS                                                                                                     \
    "\"steps\":[{\"share\":0.1,\"bake_ms\":60000},{\"share\":0.5,\"bake_ms\":2500,\"gate\":true},{\"share\":1}]," \
    "\"from\":{\"release\":{\"base\":3,\"chat\":1},\"flags\":{\"fl/a\":1}},"                                      \
    "\"to\":{\"release\":{\"base\":3,\"chat\":2},\"flags\":{\"fl/a\":2,\"fl/b\":7}},"
#define ROLLOUT(input, phase, step, why) \
    STEPS "\"decision\":{\"input\":\"" input "\"" why "},\"state\":{\"phase\":\"" phase "\",\"step\":" step "},"
#define WHY(text) ",\"why\":\"" text "\""

static void expect(const char *members, const char *wanted)
{
    cr_assert_str_eq(story("rollout/blue", members, false), wanted);
}

Test(story, a_rollout_that_gets_to_its_end)
{
    expect(ROLLOUT("start", "scheduled", "0", WHY("warmer")),
           "started: chat v1 → v2, fl/a v1 → v2, fl/b v7, 10% ▸ 50%! ▸ 100%: warmer");
    expect(ROLLOUT("due", "rolling", "0", WHY("begins")), "step 1 of 3: 10 % of the groups");
    expect(ROLLOUT("converged", "baking", "1", ""), "step 2 of 3: all run it, bakes 2.5 s");
    expect(ROLLOUT("passed", "rolling", "1", WHY("baked")), "step 2 of 3: 50 % of the groups");
    expect(ROLLOUT("passed", "gate", "1", ""), "step 2 of 3: waits for an approval");
    expect(ROLLOUT("approve", "rolling", "2", ""), "approved, step 3 of 3: 100 % of the groups");
    expect(ROLLOUT("passed", "finished", "2", ""), "finished: everybody runs it");
    expect(ROLLOUT("advance", "finished", "2", WHY("it leaks")),
           "moved on past its guards, finished: everybody runs it: it leaks");
}

Test(story, a_rollout_that_does_not)
{
    expect(ROLLOUT("failed", "rolling-back", "1", WHY("guard loss<2 fails: canary 3")),
           "goes back from 50 %: guard loss<2 fails: canary 3");
    expect(ROLLOUT("settled", "rolled-back", "1", ""), "rolled-back: everybody runs the old release again");
    expect(ROLLOUT("abort", "rolling-back", "0", WHY("wrong one")), "aborted, goes back from 10 %: wrong one");
    expect(ROLLOUT("abort", "aborted", "0", WHY("wrong one")), "aborted before anybody ran it: wrong one");
    expect(ROLLOUT("settled", "aborted", "0", ""), "aborted: everybody runs the old release again");
    expect(ROLLOUT("pause", "paused", "1", WHY("lunch")), "step 2 of 3: paused: lunch");
    expect(ROLLOUT("resume", "baking", "1", ""), "step 2 of 3: resumed");
    expect(ROLLOUT("freeze", "frozen", "1", ""), "step 2 of 3: frozen: a freeze window has begun");
    expect(ROLLOUT("thaw", "baking", "1", ""), "step 2 of 3: goes on: the freeze window is over");
}

#define EXPERIMENT                                                                                 \
    "\"deployment\":\"blue\",\"sides\":[{\"name\":\"off\"},{\"name\":\"on\"},{\"name\":\"hot\"}]," \
    "\"metrics\":[{\"name\":\"lat\",\"want\":\"decrease\"},{\"name\":\"q\",\"want\":\"increase\"}],"

Test(story, experiments)
{
    cr_assert_str_eq(story("experiment/warm", EXPERIMENT "\"flag\":\"fl/a\",\"state\":\"running\",", false),
                     "started on fl/a: off against on against hot, lat should decrease, q should increase: m");
    cr_assert_str_eq(story("experiment/warm", EXPERIMENT "\"arms\":true,\"state\":\"running\",", false),
                     "started on the arms: off against on against hot, lat should decrease, q should increase: m");
    cr_assert_str_eq(story("experiment/warm",
                           EXPERIMENT "\"state\":\"stopped\",\"why\":\"enough\",\"result\":{\"verdict\":\"better\"},",
                           false),
                     "stopped, verdict better: enough");
    cr_assert_str_eq(story("experiment/warm", EXPERIMENT "\"state\":\"stopped\",\"why\":\"\",", false), "stopped");
}

Test(story, what_has_none)
{
    cr_assert_str_eq(story("config/chat", "\"document\":{},\"extends\":[],", false), "-");
    cr_assert_str_eq(story("rollout/blue", ROLLOUT("due", "rolling", "0", ""), true), "-", "a tombstone");
    cr_assert_str_eq(story("rollout/blue", ROLLOUT("due", "rolling", "3", ""), false), "-", "no such step");
    cr_assert_str_eq(story("rollout/blue", STEPS "\"state\":{},", false), "-");
    cr_assert_str_eq(story("experiment/warm", "\"deployment\":\"blue\",\"state\":\"running\",", false), "-");
}
