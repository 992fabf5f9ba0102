/* A group whose ranks are all behind because of one of them: who is named. */
#include "configd/fleet_internal.h"
#include "hub_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define A "aaaaaaaaaaaaaaaa"

static struct fixture f;
static struct cfg_fleet *fleet;
static uint64_t now_ms = 100000;
static int streams[8];

static uint64_t test_monotonic(void *arg)
{
    (void)arg;
    return now_ms * 1000000u;
}

static const struct cfg_clock test_clock = {.monotonic_ns = test_monotonic, .wall_ns = test_monotonic};

static void setup(void)
{
    fixture_init(&f);
    fixture_blue(&f);
    fleet = fixture_fleet(&f, &test_clock);
}

static void teardown(void)
{
    cfg_fleet_free(fleet);
    fixture_finish(&f);
}

TestSuite(blame, .init = setup, .fini = teardown);

static void on_superseded(void *arg, bool newer)
{
    (void)arg;
    (void)newer;
}

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

static void join(const char *worker, const char *group, int rank)
{
    char text[256];
    cJSON *reply = NULL, *problem = NULL;
    (void)snprintf(text, sizeof text,
                   "{\"worker\":\"%s\",\"incarnation\":\"" A "\",\"group\":\"%s\",\"rank\":%d,\"world\":3,"
                   "\"contract\":{}}",
                   worker, group, rank);
    cJSON *body = json(text);
    cr_assert_eq(cfg_fleet_register(fleet, "blue", body, &reply, &problem, NULL), 0);
    cr_assert_eq(cfg_fleet_stream_opened(fleet, "blue", worker, A, on_superseded, &streams[rank], NULL), 0);
    cJSON_Delete(body);
    cJSON_Delete(reply);
}

static void report(const char *worker, const char *rejects)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"incarnation\":\"" A "\",\"applied\":{\"revision\":\"1-1\",\"digest\":\"sha256:"
                   "0000000000000000000000000000000000000000000000000000000000000000\",\"step\":3},\"step\":5,"
                   "\"state\":\"running\",\"age_ms\":0,\"pending\":[],\"rejects\":[%s],\"overrides\":[],"
                   "\"metrics\":{}}",
                   rejects);
    cJSON *body = json(text);
    cr_assert_eq(cfg_fleet_report(fleet, "blue", worker, body, NULL), 0);
    cJSON_Delete(body);
}

static void expect(const char *worker, const char *condition, const char *why)
{
    cJSON *list = cfg_fleet_workers(fleet, "blue"), *w;
    bool found = false;
    cJSON_ArrayForEach(w, cfg_json_get(list, "workers"))
    {
        if (strcmp(cfg_json_get_str(w, "worker", ""), worker) != 0)
            continue;
        found = true;
        cr_assert_str_eq(cfg_json_get_str(w, "condition", ""), condition, "%s", worker);
        cr_assert(strstr(cfg_json_get_str(w, "why", ""), why), "%s: %s", worker, cfg_json_get_str(w, "why", ""));
    }
    cr_assert(found);
    cJSON_Delete(list);
}

static void expect_group(const char *group, const char *state, const char *why)
{
    cJSON *fleet_now = cfg_fleet_summary(fleet, "blue"), *g;
    bool found = false;
    cJSON_ArrayForEach(g, cfg_json_get(fleet_now, "groups"))
    {
        if (strcmp(cfg_json_get_str(g, "group", ""), group) != 0)
            continue;
        found = true;
        cr_assert_str_eq(cfg_json_get_str(g, "state", ""), state);
        cr_assert(strstr(cfg_json_get_str(g, "why", ""), why), "%s", cfg_json_get_str(g, "why", ""));
    }
    cr_assert(found);
    cJSON_Delete(fleet_now);
}

static void open_group(void)
{
    join("w0", "g", 0);
    join("w1", "g", 1);
    join("w2", "g", 2);
    join("x0", "h", 0);
    report("w0", "");
    report("w1", "");
    report("w2", "");
    report("x0", "");
    fixture_chat(&f, 2, "{\"a\":2,\"tp\":4}");
}

Test(blame, the_rank_that_stopped_is_named_and_the_others_wait_for_it)
{
    open_group();
    expect("w0", "lagging", "it runs");
    now_ms += 5000;
    report("w0", "");
    report("w2", "");
    report("x0", "");
    expect("w0", "lagging", "waiting for rank 1 (w1), which has been silent for 5 s");
    expect("w2", "lagging", "waiting for rank 1 (w1), which has been silent for 5 s");
    expect("w1", "lagging", "its group waits for it: it has been silent for 5 s");
    expect("x0", "lagging", "it runs");
    expect_group("g", "lagging", "rank 1 (w1)");
    now_ms += 10000;
    report("w0", "");
    report("w2", "");
    expect("w0", "lagging", "waiting for rank 1 (w1), which has been silent for 15 s");
    expect("w1", "stale", "15 s ago");
    expect_group("g", "stale", "rank 1 (w1): its last report came 15 s ago");
    report("w1", "");
    expect("w0", "lagging", "it runs");
}

Test(blame, who_refuses_or_is_gone_is_named)
{
    open_group();
    char reject[128], rev[CFG_REV_TEXT];
    struct cfg_topic *t = NULL;
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", NULL), 0);
    (void)snprintf(reject, sizeof reject, "{\"revision\":\"%s\",\"path\":\"a\",\"reason\":\"too large\"}",
                   cfg_rev_format(cfg_topic_rev(t), rev));
    report("w2", reject);
    expect("w0", "lagging", "waiting for rank 2 (w2), which refuses the view");
    expect_group("g", "rejecting", "rank 2 (w2): it has refused");
    cfg_fleet_stream_closed(fleet, "blue", "w1", &streams[1]);
    expect("w0", "lagging", "waiting for rank 1 (w1), which is gone");
    join("w1-again", "g", 1); /* another process is rank 1 now */
    report("w1-again", "");
    expect("w0", "lagging", "waiting for rank 2 (w2), which refuses the view");
}
