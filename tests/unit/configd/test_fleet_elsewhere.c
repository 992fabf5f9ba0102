/* Who is connected where: records of replicas that hang or died name workers that are connected elsewhere by now, and
 * workers that are nowhere. Nobody is counted twice, and nobody is lost. */
#include "configd/fleet_internal.h"
#include "configd/fleet_merge.h"
#include "hub_fixture.h"
#include "proto/etcd_msg.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define A "aaaaaaaaaaaaaaaa"

static struct fixture f;
static struct cfg_fleet *fleet;
static uint64_t now_ms = 1000;

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

TestSuite(elsewhere, .init = setup, .fini = teardown);

static int stream;

static void on_superseded(void *arg, bool newer)
{
    (void)arg;
    (void)newer;
}

static void join(const char *worker)
{
    char text[256];
    cJSON *body = NULL, *reply = NULL, *problem = NULL;
    (void)snprintf(text, sizeof text,
                   "{\"worker\":\"%s\",\"incarnation\":\"" A "\",\"contract\":{\"a\":{\"type\":\"f64\",\"class\":"
                   "\"live\"}}}",
                   worker);
    cr_assert_eq(cfg_json_parse(&body, cfg_slice_str(text), 0, NULL), 0);
    cr_assert_eq(cfg_fleet_register(fleet, "blue", body, &reply, &problem, NULL), 0);
    cr_assert_eq(cfg_fleet_stream_opened(fleet, "blue", worker, A, on_superseded, &stream, NULL), 0);
    cJSON_Delete(body);
    cJSON_Delete(reply);
}

static const char contract[] = "{\"a\":{\"type\":\"f64\",\"class\":\"live\"}}";

/* A record that names these workers, up to a NULL; returns its revision. */
static uint64_t record(const char *replica, uint64_t version, const char *const names[])
{
    struct cfg_buf marks, text;
    size_t n = 0;
    cfg_buf_init(&marks, 4096);
    cfg_buf_init(&text, 4096);
    for (; names[n]; n++)
        fleet_mark_put(&marks, fleet_mark(names[n]));
    cfg_buf_printf(&text, "{\"url\":\"http://%s\",\"replica\":\"%s\",\"workers\":%zu,\"contracts\":[{\"workers\":%zu,",
                   replica, replica, n, n);
    cfg_buf_printf(&text, "\"contract\":%s,\"ids\":\"", contract);
    cfg_base64_encode(&text, cfg_buf_slice(&marks));
    cfg_buf_puts(&text, "\"}],\"capabilities\":[]}");
    cr_assert_eq(cfg_buf_status(&text), 0);
    uint64_t rev = fixture_put(&f, CFG_KIND_PRESENCE, "blue", replica, version, text.data);
    cfg_buf_finish(&marks);
    cfg_buf_finish(&text);
    return rev;
}
#define RECORD(replica, version, ...) record(replica, version, (const char *const[]){__VA_ARGS__, NULL})

static bool stands(const char *replica)
{
    return cfg_fleet_presence_stands(fleet, cfg_store_find(f.store, CFG_KIND_PRESENCE, "blue", replica));
}

static uint64_t reached(void)
{
    cJSON *results = NULL;
    cr_assert_eq(cfg_json_parse(&results,
                                CFG_SLICE_LIT("[{\"kind\":\"config\",\"namespace\":\"chat\",\"changes\":[{\"op\":"
                                              "\"replace\",\"path\":\"a\"}],\"affected\":[{\"deployment\":\"blue\","
                                              "\"namespace\":\"chat\",\"paths\":[\"a\"]}]}]"),
                                0, NULL),
                 0);
    cfg_fleet_add_reach(fleet, results);
    const cJSON *reach = cfg_json_get(results->child, "reach");
    cr_assert_eq(cfg_json_get_num(reach, "unknown", -1), 0);
    uint64_t n = (uint64_t)cfg_json_get_num(reach, "live", -1);
    cJSON_Delete(results);
    return n;
}

static double declared(void)
{
    cJSON *reply = cfg_fleet_contracts(fleet, "blue");
    double n = cfg_json_get_num(reply, "workers", -1);
    cJSON_Delete(reply);
    return n;
}

Test(elsewhere, a_worker_that_two_records_name_is_counted_once)
{
    join("w0");
    (void)RECORD("r2", 1, "w0", "w1"); /* it died; w0 has come here */
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 2u);
    cr_assert_eq(reached(), 2u);
    cr_assert_eq(declared(), 2);
    cr_assert(stands("r2"), "w1 is nowhere else");
    (void)RECORD("r3", 1, "w1", "w2");
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 3u);
    cr_assert_eq(reached(), 3u);
    cr_assert_eq(declared(), 3);
    cr_assert_not(stands("r2"), "its workers are here and at r3");
    cr_assert(stands("r3"), "the newer record has them");
    join("w1");
    join("w2");
    cr_assert_not(stands("r3"));
    cr_assert_eq(declared(), 3);
}

Test(elsewhere, records_that_name_nobody_count_whole)
{
    join("w0");
    static const char *const bodies[] = {
        "{\"workers\":2,\"contracts\":[{\"workers\":2,\"contract\":{}}]}",
        "{\"workers\":2,\"contracts\":[{\"workers\":2,\"contract\":{},\"ids\":\"diA24e8\"}]}",
        "{\"workers\":2,\"contracts\":[{\"workers\":2,\"contract\":{},\"ids\":\"diA24Q==\"}]}",
        "{\"workers\":2,\"contracts\":[{\"workers\":2,\"contract\":{},\"ids\":7}]}",
        "{\"workers\":2,\"contracts\":[{\"workers\":9,\"contract\":{},\"ids\":\"diA24e8M\"}]}",
        "{\"workers\":2,\"contracts\":[{\"workers\":2,\"contract\":{},\"ids\":\"diA24e8MdiA24e8MdiA24e8M\"}]}",
        "{\"workers\":2}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        (void)fixture_put(&f, CFG_KIND_PRESENCE, "blue", "r2", i + 1, bodies[i]);
        cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 3u, "%s", bodies[i]);
        cr_assert(stands("r2"), "%s", bodies[i]);
    }
    (void)fixture_put(&f, CFG_KIND_PRESENCE, "blue", "r2", 99,
                      "{\"workers\":2,\"contracts\":[{\"workers\":2,\"contract\":{},\"ids\":\"diA24e8M\"}]}");
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 2u, "one of its two is w0, the other has no name");
    (void)fixture_put(&f, CFG_KIND_PRESENCE, "blue", "r2", 100, "{\"workers\":\"many\"}");
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 2u, "at least one");
}

static double unknown_of(struct fleet_answer *answers, size_t n, bool *partial)
{
    for (size_t i = 0; i < n; i++)
        answers[i].elsewhere = 0;
    cfg_fleet_find_elsewhere(fleet, "blue", answers, n);
    cJSON *whole = fleet_merge_workers(cfg_fleet_workers(fleet, "blue"), answers, n);
    double unknown = cfg_json_get_num(whole, "unknown", -1);
    *partial = cfg_json_get_bool(whole, "partial", false);
    cJSON_Delete(whole);
    return unknown;
}

Test(elsewhere, whoever_is_at_no_replica_that_answers_is_unknown_and_once)
{
    struct fleet_answer answers[] = {{.replica = "r2", .url = "", .workers = 3},
                                     {.replica = "r3", .url = "", .workers = 2}};
    bool partial;
    (void)RECORD("r2", 1, "w0", "w1", "w2");
    (void)RECORD("r3", 1, "w2", "w3");
    cr_assert_eq(unknown_of(answers, 2, &partial), 4, "w2 moved from one that died to one that hangs");
    cr_assert(partial);
    join("w0");
    join("w1");
    cr_assert_eq(unknown_of(answers, 2, &partial), 2, "w2 and w3");
    cr_assert_eq(unknown_of(answers, 1, &partial), 1, "w2: nobody asked r3");
    cJSON *body = cJSON_CreateObject();
    (void)cJSON_AddArrayToObject(body, "workers");
    answers[1].body = body;
    cr_assert_eq(unknown_of(answers, 2, &partial), 0, "r3 answers for w2");
    cr_assert_not(partial, "all that r2 had are elsewhere");
    (void)RECORD("r2", 2, "w0", "w1", "w2"); /* newer, as when it believes in a dead connection */
    cr_assert_eq(unknown_of(answers, 2, &partial), 0, "who answers is believed before who is silent");
    (void)RECORD("r2", 3, "w0", "w1", "w4");
    cr_assert_eq(unknown_of(answers, 2, &partial), 1);
    cr_assert(partial);
    (void)fixture_put(&f, CFG_KIND_PRESENCE, "blue", "r2", 4, NULL); /* its lease ended while it was asked */
    answers[0].workers = 3;
    cr_assert_eq(unknown_of(answers, 2, &partial), 3);
    cJSON_Delete(body);
}

static bool count_part(const struct cfg_crew_part *part, void *arg)
{
    *(uint64_t *)arg += part->contract ? part->workers : 0;
    return true;
}

static uint64_t crew(void)
{
    const struct cfg_crew *c = cfg_fleet_crew(fleet);
    uint64_t n = 0;
    c->each(c->arg, "blue", count_part, &n);
    return n;
}

/* Between the start and the first worker that is back, nothing may be decided as if there were none. */
Test(elsewhere, workers_from_before_a_restart_are_asked_by_their_contracts)
{
    teardown();
    fixture_init(&f);
    fixture_blue(&f);
    uint64_t rev = RECORD("r1", 1, "w0", "w1");
    struct cfg_fleet_options o = {.loop = f.loop,
                                  .store = f.store,
                                  .hub = f.hub,
                                  .clock = &test_clock,
                                  .prefix = "/configd/v1/",
                                  .replica_id = "r1",
                                  .advertise_url = "http://r1"};
    cr_assert_eq(cfg_fleet_new(&fleet, &o, NULL), 0);
    fixture_epoch(&f, 1, rev);
    struct fleet_answer earlier = {.replica = fleet_earlier_name, .url = "", .workers = 2};
    bool partial;
    cr_assert_eq(crew(), 2u);
    cr_assert_eq(declared(), 2);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 2u);
    cr_assert_eq(unknown_of(&earlier, 1, &partial), 2);
    join("w0");
    cr_assert_eq(declared(), 2, "one is back, the other is not");
    cr_assert_eq(unknown_of(&earlier, 1, &partial), 1);
    (void)RECORD("r2", 1, "w1"); /* the other has gone to another replica */
    cr_assert_eq(declared(), 2);
    cr_assert_eq(reached(), 2u);
    join("w1");
    cr_assert_eq(crew(), 2u);
    cr_assert_eq(unknown_of(&earlier, 1, &partial), 0);
    cr_assert(stands("r1"));
    cfg_fleet_stream_closed(fleet, "blue", "w1", &stream);
    cr_assert(stands("r1"), "one is here");
    now_ms += 20001; /* those who had time to come back are gone for good */
    cfg_fleet_stream_closed(fleet, "blue", "w0", &stream);
    cr_assert_eq(crew(), 0u);
    cr_assert_not(stands("r1"), "what lies in the store is from before");
}
