/* What of workers' reports counts for the arm of a rollout. */
#include "configd/fleet_observe.h"
#include "hub_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define A "aaaaaaaaaaaaaaaa"

static struct fixture f;
static struct cfg_fleet *fleet;

static uint64_t test_clock_ns(void *arg)
{
    (void)arg;
    return 1000000000u;
}

static const struct cfg_clock test_clock = {.monotonic_ns = test_clock_ns, .wall_ns = test_clock_ns};

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

TestSuite(fleet_observe, .init = setup, .fini = teardown);

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return v;
}

static void enter(const char *worker)
{
    char text[128];
    cJSON *reply = NULL, *problem = NULL;
    (void)snprintf(text, sizeof text, "{\"worker\":\"%s\",\"incarnation\":\"" A "\"}", worker);
    cJSON *body = json(text);
    cr_assert_eq(cfg_fleet_register(fleet, "blue", body, &reply, &problem, NULL), 0);
    cJSON_Delete(body);
    cJSON_Delete(reply);
    cJSON_Delete(problem);
}

/* Four steps of the canary, under revision 1-REVISION. */
static void tell(const char *worker, int seq, int revision)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"incarnation\":\"" A "\",\"windows\":[{\"seq\":%d,\"revision\":\"1-%d\",\"arm\":\"canary\","
                   "\"from_step\":1,\"to_step\":4,\"steps\":4,\"ms\":8,\"latency\":{\"80\":4},\"metrics\":{}}]}",
                   seq, revision);
    cJSON *body = json(text);
    cr_assert_eq(cfg_fleet_report(fleet, "blue", worker, body, NULL), 0);
    cJSON_Delete(body);
}

static uint64_t canary_steps(void)
{
    struct cfg_fleet_window w;
    uint64_t now = cfg_fleet_clock_ms(fleet);
    cr_assert(cfg_fleet_window(&w, fleet, "blue", "canary", now, now + 1, NULL));
    return w.steps;
}

Test(fleet_observe, another_release_begins_to_count_anew)
{
    enter("w0");
    tell("w0", 1, 3);
    cr_assert_eq(canary_steps(), 4u);
    cfg_fleet_forget_arm(fleet, "blue", "canary", (struct cfg_rev){1, 5});
    tell("w0", 2, 4);
    cr_assert_eq(canary_steps(), 0u);
    tell("w0", 3, 5);
    cr_assert_eq(canary_steps(), 4u);
}

/* A configd that was just restarted learns of the rollout before its workers are back. */
Test(fleet_observe, also_where_workers_come_later)
{
    cfg_fleet_forget_arm(fleet, "blue", "canary", (struct cfg_rev){1, 5});
    enter("w0");
    tell("w0", 1, 4);
    cr_assert_eq(canary_steps(), 0u, "what it told again is of the release before");
    tell("w0", 2, 5);
    cr_assert_eq(canary_steps(), 4u);
}
