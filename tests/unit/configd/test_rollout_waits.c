/* For what a rollout waits, in a word. */
#include "configd/rollout_waits.h"

#include <criterion/criterion.h>
#include <stdio.h>

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

/* live NULL: it has ended. */
static void expect(const char *phase, const char *more, const char *live, const char *wanted)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"state\":{\"phase\":\"%s\",\"step\":1},\"steps\":[{\"bake_ms\":1},{\"bake_ms\":60}]%s}", phase,
                   more);
    cJSON *record = json(text), *seen = live ? json(live) : NULL;
    const char *got = cfg_rollout_waits(record, seen, 1000);
    cr_assert_str_eq(got, wanted, "%s, %s: %s, not %s", text, live ? live : "ended", got, wanted);
    cJSON_Delete(record);
    cJSON_Delete(seen);
}

#define LIVE(driver, baked, unknown, canary, guards)                                                               \
    "{\"driver\":\"" driver "\",\"baked_ms\":" baked ",\"arms\":{\"unknown\":" unknown ",\"base\":{\"groups\":3}," \
    "\"canary\":{" canary "}},\"guards\":[" guards "]}"
#define RUNS  "\"groups\":2,\"workers\":4,\"converged\":4"
#define HOLDS "{\"verdict\":\"passes\"},{\"verdict\":\"holds\"}"

Test(rollout_waits, in_one_word)
{
    expect("baking", "", LIVE("", "0", "0", RUNS, ""), "driver");
    expect("gate", "", LIVE("", "0", "0", RUNS, ""), "driver");
    expect("gate", "", LIVE("r1", "90", "1", RUNS, HOLDS), "gate");
    expect("paused", "", LIVE("r1", "90", "0", RUNS, ""), "paused");
    expect("frozen", "", LIVE("r1", "90", "0", RUNS, ""), "frozen");
    expect("baking", "", LIVE("r1", "59", "1", RUNS, HOLDS), "baking");
    expect("baking", "", LIVE("r1", "60", "1", RUNS, HOLDS), "replica");
    expect("baking", "", LIVE("r1", "60", "0", "\"groups\":0", HOLDS), "groups");
    expect("baking", "", LIVE("r1", "60", "0", RUNS, HOLDS), "guard");
    expect("baking", "", LIVE("r1", "60", "0", RUNS, "{\"verdict\":\"passes\"}"), "nothing");
    expect("rolling", "", LIVE("r1", "0", "1", RUNS, ""), "replica");
    expect("rolling", "", LIVE("r1", "0", "0", "\"groups\":0", ""), "groups");
    expect("rolling", "", LIVE("r1", "0", "0", "\"groups\":2,\"workers\":4,\"converged\":3", ""), "converging");
    expect("rolling", "", LIVE("r1", "0", "0", RUNS, ""), "nothing");
    expect("rolling-back", "", LIVE("r1", "0", "0", RUNS, ""), "converging");
    expect("rolling-back", "", LIVE("r1", "0", "1", RUNS, ""), "replica");
    expect("scheduled", ",\"start_at\":1001", LIVE("r1", "0", "1", RUNS, ""), "schedule");
    expect("scheduled", ",\"start_at\":1000", LIVE("r1", "0", "1", RUNS, ""), "replica");
    expect("scheduled", "", LIVE("r1", "0", "0", "\"groups\":0", ""), "nothing");
    expect("scheduled", "", "{\"driver\":\"r1\",\"arms\":{\"unknown\":0}}", "groups");
    expect("finished", "", NULL, "nothing");
}
