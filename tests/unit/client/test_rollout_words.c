/* Rollouts as people type them. */
#include "client/cfgctl/rollout_started.h"
#include "client/cfgctl/rollout_text.h"
#include "client/cfgctl/rollout_words.h"

#include <criterion/criterion.h>
#include <string.h>

static void is(cJSON *v, const char *text)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    cfg_json_print(&out, v);
    cr_assert_str_eq(out.data, text);
    cfg_buf_finish(&out);
    cJSON_Delete(v);
}

Test(rollout_words, durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {{"250ms", 250}, {"60s", 60000}, {"60", 60000}, {"1.5m", 90000}, {"2h", 7200000}, {"0", 0}};
    uint64_t ms;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(rollout_parse_duration(&ms, rows[i].text, NULL), 0, "%s", rows[i].text);
        cr_assert_eq(ms, rows[i].ms, "%s", rows[i].text);
    }
    static const char *const bad[] = {"", "s", "-1s", "5 parsec", "1e99s", "x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(rollout_parse_duration(&ms, bad[i], NULL), CFG_E_INVALID, "%s", bad[i]);
}

Test(rollout_words, steps)
{
    cJSON *v = NULL;
    cr_assert_eq(rollout_parse_steps(&v, "1%,10%:5m,50%:1s!,100%", NULL), 0);
    is(v, "[{\"share\":0.01},{\"share\":0.1,\"bake_ms\":300000},{\"share\":0.5,\"bake_ms\":1000,\"gate\":true},"
          "{\"share\":1}]");
    static const char *const bad[] = {"", "1", "1%,", "%", "10%:", "10%;5m", "ten%", "!"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(rollout_parse_steps(&v, bad[i], NULL), CFG_E_INVALID, "%s", bad[i]);
}

Test(rollout_words, plans)
{
    cJSON *v = NULL;
    cr_assert_eq(rollout_parse_plan(&v, "linear:4", NULL), 0);
    is(v, "{\"linear\":4}");
    cr_assert_eq(rollout_parse_plan(&v, "exponential:1%:2", NULL), 0);
    is(v, "{\"exponential\":{\"first\":0.01,\"factor\":2}}");
    cr_assert_eq(rollout_parse_plan(&v, "exponential:1", NULL), CFG_E_INVALID);
    cr_assert_eq(rollout_parse_plan(&v, "cubic", NULL), CFG_E_INVALID);
}

Test(rollout_words, labels_and_windows)
{
    cJSON *v = cJSON_CreateObject();
    cr_assert_eq(rollout_parse_where(v, "region=eu,gpu=H200", NULL), 0);
    cr_assert_eq(rollout_parse_where(v, "region=us", NULL), 0);
    is(v, "{\"region\":[\"eu\",\"us\"],\"gpu\":[\"H200\"]}");
    v = cJSON_CreateObject();
    cr_assert_eq(rollout_parse_where(v, "region", NULL), CFG_E_INVALID);
    cr_assert_eq(rollout_parse_where(v, "=eu", NULL), CFG_E_INVALID);
    cJSON_Delete(v);
    cr_assert_eq(rollout_parse_freeze(&v, "sat,sun", NULL), 0);
    is(v, "{\"days\":[\"sat\",\"sun\"]}");
    cr_assert_eq(rollout_parse_freeze(&v, "22:00-06:00", NULL), 0);
    is(v, "{\"from\":\"22:00\",\"to\":\"06:00\"}");
    cr_assert_eq(rollout_parse_freeze(&v, "fri 18:00-24:00", NULL), 0);
    is(v, "{\"days\":[\"fri\"],\"from\":\"18:00\",\"to\":\"24:00\"}");
    cr_assert_eq(rollout_parse_freeze(&v, "fri-mon 09:00-17:00", NULL), 0);
    is(v, "{\"days\":[\"fri\",\"sat\",\"sun\",\"mon\"],\"from\":\"09:00\",\"to\":\"17:00\"}");
    static const char *const bad[] = {"fri late", "weekend", "mon-", "-fri", "mon-frei", "sat,,sun"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(rollout_parse_freeze(&v, bad[i], NULL), CFG_E_INVALID, "%s", bad[i]);
}

/* Text of others cannot drive a terminal. */
Test(rollout_words, a_story_is_one_line_per_decision)
{
    cJSON *v = NULL;
    struct cfg_buf out;
    const char *text = "{\"time\":\"2026-01-01T00:00:00.000000Z\",\"message\":\"rolled back\\u001b[31m\",\"state\":"
                       "{\"phase\":\"rolling-back\",\"step\":0},\"decision\":{\"input\":\"failed\",\"actor\":\"gpu-1\","
                       "\"guards\":[{\"guard\":\"e<1%\",\"verdict\":\"fails\",\"canary\":0.5,\"base\":0.1,\"n\":7}]}}";
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 16, NULL), 0);
    cfg_buf_init(&out, 65536);
    rollout_tell(&out, v);
    cr_assert(strstr(out.data, "rolling-back gpu-1: rolled back?[31m\n"), "%s", out.data);
    cr_assert(strstr(out.data, "    e<1% fails: canary 0.5, base 0.1 (7 samples)\n"), "%s", out.data);
    cfg_buf_finish(&out);
    cJSON_Delete(v);
}

static cJSON *read(const char *text)
{
    cJSON *tree = NULL;
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return tree;
}

/* A post-mortem needs what was watched, and how a guard passed that had nothing to compare with. */
Test(rollout_words, the_history_says_what_was_watched)
{
    cJSON *start = read(
        "{\"deployment\":\"blue\",\"time\":\"?\",\"message\":\"\",\"state\":{\"phase\":\"scheduled\",\"step\":0},"
        "\"decision\":{\"input\":\"start\",\"actor\":\"ann\",\"why\":\"warmer\"},\"from\":{\"release\":{\"chat\":1}},"
        "\"to\":{\"release\":{\"chat\":2}},\"steps\":[{\"share\":0.1,\"bake_ms\":60000},{\"share\":1,\"bake_ms\":500}],"
        "\"guards\":[\"errors<1%\",\"p99_ms<1.1*base\"]}");
    cJSON *end = read(
        "{\"deployment\":\"blue\",\"time\":\"?\",\"message\":\"rollout: finished: baked\",\"state\":{\"phase\":"
        "\"finished\",\"step\":1},\"decision\":{\"input\":\"passed\",\"actor\":\"r1\",\"guards\":[{\"guard\":"
        "\"p99_ms<1.1*base\",\"verdict\":\"passes\",\"canary\":233,\"base\":135,\"n\":50,\"why\":\"nothing to compare "
        "with\"}]}}");
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    rollout_tell(&out, start);
    rollout_tell(&out, end);
    cr_assert_str_eq(out.data,
                     "?  scheduled    ann: chat v1 → v2 in steps 10% ▸ 100%, baked 60/0.5 s; guards errors<1%, "
                     "p99_ms<1.1*base · warmer\n"
                     "?  finished     r1: finished: baked\n"
                     "    p99_ms<1.1*base passes: canary 233, base 135 (50 samples): nothing to compare with\n");
    cfg_buf_finish(&out);
    cJSON_Delete(start);
    cJSON_Delete(end);
}

/* One step without bake time or guards is what `--now` was; who waits for nothing but has a guard did not say it. */
Test(rollout_words, the_history_says_who_went_past_the_guards_and_why)
{
#define NOW(guards)                                                                                               \
    "{\"time\":\"?\",\"state\":{\"phase\":\"scheduled\",\"step\":0},\"decision\":{\"input\":\"start\",\"actor\":" \
    "\"ann\","                                                                                                    \
    "\"why\":\"it "                                                                                               \
    "leaks\"},\"from\":{\"release\":{\"chat\":1}},\"to\":{\"release\":{\"chat\":2}},\"steps\":[{\"share\":1,"     \
    "\"bake_ms\":0}],\"guards\":[" guards "]}"
    static const char *const rows[][2] = {
        {NOW(""), "?  scheduled    ann: chat v1 → v2 at once, without guards · it leaks\n"},
        {NOW("\"e<1\""), "?  scheduled    ann: chat v1 → v2 in steps 100%, baked 0 s; guards e<1 · it leaks\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cJSON *v = read(rows[i][0]);
        struct cfg_buf out;
        cfg_buf_init(&out, 65536);
        rollout_tell(&out, v);
        cr_assert_str_eq(out.data, rows[i][1]);
        cfg_buf_finish(&out);
        cJSON_Delete(v);
    }
}

/* Nobody is not the same as not heard of. */
Test(rollout_words, workers_that_could_not_be_counted)
{
    cJSON *r = read(
        "{\"deployment\":\"blue\",\"state\":{\"phase\":\"rolling\",\"step\":0},\"steps\":[{\"share\":1}],\"live\":{"
        "\"waits\":\"replica b is silent\",\"driver\":\"a\",\"arms\":{\"base\":{},\"canary\":{},\"unknown\":1}}}");
    struct cfg_buf out;
    cfg_buf_init(&out, 65536);
    rollout_describe(&out, r, false);
    cr_assert(strstr(out.data, "without the workers of 1 configd that could not be counted now\n"), "%s", out.data);
    cfg_buf_finish(&out);
    cJSON_DeleteItemFromObject(cfg_json_get(cfg_json_get(r, "live"), "arms"), "unknown");
    cfg_buf_init(&out, 65536);
    rollout_describe(&out, r, false);
    cr_assert_null(strstr(out.data, "could not be counted"), "%s", out.data);
    cfg_buf_finish(&out);
    cJSON_Delete(r);
}

/* `set --rollout` after one that came back: the head is what failed, and another deployment follows it. */
Test(rollout_words, a_start_says_what_it_brings_and_to_whom)
{
    cJSON *reply = read(
        "{\"dry_run\":false,\"visible\":true,\"results\":["
        "{\"kind\":\"config\",\"namespace\":\"chat\",\"version\":7,\"changes\":[{\"op\":\"replace\",\"path\":"
        "\"top_k\",\"from\":40,\"to\":41}],\"held\":[{\"deployment\":\"blue\",\"arm\":\"base\",\"rollout\":true,"
        "\"version\":5},{\"deployment\":\"red\",\"arm\":\"base\",\"version\":2}],\"kept\":[],\"reach\":{\"live\":20,"
        "\"pending_restart\":0,\"unread\":0,\"unknown\":0,\"deployments\":[\"green\"]}},"
        "{\"kind\":\"rollout\",\"name\":\"blue\"},{\"kind\":\"deployment\",\"name\":\"blue\"}]}");
    cJSON *plan = read("{\"guards\":[]}");
    cJSON *diff = read(
        "{\"from\":5,\"to\":6,\"changes\":[{\"op\":\"replace\",\"path\":\"temperature\",\"from\":0.7,\"to\":1.2}]}");
    struct rollout_started s = {"blue", reply, plan, diff, false};
    struct cfg_buf out, warnings;
    cfg_buf_init(&out, 65536);
    cfg_buf_init(&warnings, 65536);
    rollout_put_started(&out, &warnings, &s);
    cr_assert_str_eq(out.data,
                     "chat v7: top_k 40 → 41 · live on 20 workers, pending restart on 0, read by nobody on 0\n"
                     "stored chat v7; red holds v2; next: cfgctl rollout start red --to 7, or at once: cfgctl "
                     "deployment update red --to 7\n"
                     "blue, which runs v5, gets also what changed until v6: temperature 0.7 → 1.2\n"
                     "blue: the rollout is under way; follow it: cfgctl rollout status blue -w\n");
    cr_assert(strstr(warnings.data, "green follows the head: it has this at once"), "%s", warnings.data);
    cr_assert(strstr(warnings.data, "no guard: "), "%s", warnings.data);
    cfg_buf_finish(&out);
    cfg_buf_finish(&warnings);
    s.now = true; /* `rollout start --now`, on purpose */
    cJSON_DeleteItemFromArray(cfg_json_get(reply, "results"), 0);
    cfg_buf_init(&out, 65536);
    cfg_buf_init(&warnings, 65536);
    rollout_put_started(&out, &warnings, &s);
    cr_assert_str_eq(out.data, "blue, which runs v5, gets v6: temperature 0.7 → 1.2\n"
                               "blue: the rollout is under way; follow it: cfgctl rollout status blue -w\n");
    cr_assert_eq(warnings.len, 0);
    cfg_buf_finish(&out);
    cfg_buf_finish(&warnings);
    cJSON_Delete(reply);
    cJSON_Delete(plan);
    cJSON_Delete(diff);
}
