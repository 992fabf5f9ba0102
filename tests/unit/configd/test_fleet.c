/* The registry: who is registered, connected, superseded, converged, and whom a write reaches. */
#include "configd/fleet.h"
#include "configd/fleet_groups.h"
#include "configd/fleet_internal.h"
#include "flags/hll.h"
#include "hub_fixture.h"
#include "proto/moments.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

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

TestSuite(fleet, .init = setup, .fini = teardown);

#define A "aaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbb"
#define C "cccccccccccccccc"
#define D "dddddddddddddddd"

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s", err.text);
    return v;
}

static int enter(const char *worker, const char *incarnation, const char *more, cJSON **problem)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "{\"worker\":\"%s\",\"incarnation\":\"%s\"%s%s}", worker, incarnation,
                   more ? "," : "", more ? more : "");
    cJSON *body = json(text), *reply = NULL, *extra = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_fleet_register(fleet, "blue", body, &reply, &extra, &err);
    if (rc == 0) {
        cr_assert_str_eq(cfg_json_get_str(reply, "worker", ""), worker);
        cr_assert_str_eq(cfg_json_get_str(reply, "store", ""), "s1");
        cr_assert_eq(cfg_json_get_num(cfg_json_get(reply, "pin"), "tp", 0), 4);
        struct cfg_topic *t = NULL;
        cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", NULL), 0);
        cr_assert_str_eq(cfg_json_get_str(reply, "pin_digest", ""), cfg_topic_pin_digest(t));
    }
    cJSON_Delete(body);
    cJSON_Delete(reply);
    if (problem)
        *problem = extra;
    else
        cJSON_Delete(extra);
    return rc;
}

struct stream {
    int superseded, replaced;
};

static void on_superseded(void *arg, bool newer)
{
    struct stream *s = arg;
    s->superseded += newer;
    s->replaced += !newer;
}

static int connect_stream(const char *worker, const char *incarnation, struct stream *s)
{
    return cfg_fleet_stream_opened(fleet, "blue", worker, incarnation, on_superseded, s, NULL);
}

static int report(const char *worker, const char *incarnation, struct cfg_rev rev, const char *digest)
{
    char text[512], id[CFG_REV_TEXT];
    (void)snprintf(text, sizeof text,
                   "{\"incarnation\":\"%s\",\"applied\":{\"revision\":\"%s\",\"digest\":\"%s\",\"step\":3},\"step\":5,"
                   "\"state\":\"running\",\"age_ms\":0,\"pending\":[],\"rejects\":[],\"overrides\":[],\"metrics\":{}}",
                   incarnation, cfg_rev_format(rev, id), digest);
    cJSON *body = json(text);
    int rc = cfg_fleet_report(fleet, "blue", worker, body, NULL);
    cJSON_Delete(body);
    return rc;
}

static struct cfg_topic *blue(void)
{
    struct cfg_topic *t = NULL;
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", NULL), 0);
    return t;
}

static double listed(const char *key)
{
    cJSON *list = cfg_fleet_workers(fleet, "blue");
    double n = cfg_json_get_num(list, key, -1);
    cJSON_Delete(list);
    return n;
}

static cJSON *one_worker(cJSON **list)
{
    *list = cfg_fleet_workers(fleet, "blue");
    return cJSON_GetArrayItem(cfg_json_get(*list, "workers"), 0);
}

Test(fleet, connected_means_an_open_stream)
{
    struct stream s = {0};
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 0u);
    cr_assert_eq(connect_stream("w0", B, &s), CFG_E_UNKNOWN_WORKER);
    cr_assert_eq(connect_stream("w1", A, &s), CFG_E_UNKNOWN_WORKER);
    cr_assert_eq(connect_stream("w0", A, &s), 0);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 1u);
    cr_assert_eq(cfg_fleet_connected(fleet, NULL), 1u);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &f); /* another stream */
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 1u);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &s);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &s);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 0u);
}

Test(fleet, a_newer_incarnation_supersedes)
{
    struct stream a = {0}, b = {0};
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(connect_stream("w0", A, &a), 0);
    cr_assert_eq(enter("w0", B, NULL, NULL), 0);
    cr_assert_eq(a.superseded, 1);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 0u);
    cr_assert_eq(connect_stream("w0", A, &a), CFG_E_SUPERSEDED);
    cr_assert_eq(report("w0", A, (struct cfg_rev){1, 2}, cfg_topic_digest(blue())), CFG_E_SUPERSEDED);
    cr_assert_eq(enter("w0", A, NULL, NULL), CFG_E_SUPERSEDED, "who was superseded does not come back");
    cr_assert_eq(connect_stream("w0", B, &b), 0);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &a);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 1u);
    cr_assert_eq(enter("w0", B, NULL, NULL), 0, "registering again is harmless");
    cr_assert_eq(b.superseded, 0);
}

Test(fleet, a_second_stream_of_one_incarnation_replaces_the_first)
{
    struct stream a = {0}, b = {0};
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(connect_stream("w0", A, &a), 0);
    cr_assert_eq(connect_stream("w0", A, &b), 0);
    cr_assert_eq(a.replaced, 1);
    cr_assert_eq(a.superseded, 0);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &a);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 1u);
}

Test(fleet, twins_that_keep_replacing_each_other_are_an_error)
{
    static const char *const ids[] = {A, B, C, D};
    struct stream s[4] = {{0}};
    cJSON *list;
    for (size_t i = 0; i < 4; i++) {
        cJSON *w = one_worker(&list);
        cr_assert_null(cfg_json_get(w, "error"));
        cJSON_Delete(list);
        cr_assert_eq(enter("w0", ids[i], NULL, NULL), 0);
        cr_assert_eq(connect_stream("w0", ids[i], &s[i]), 0);
        now_ms += 1000;
    }
    cJSON *w = one_worker(&list);
    cr_assert(cJSON_IsString(cfg_json_get(w, "error")));
    cJSON_Delete(list);
    now_ms += 120 * 1000;
    w = one_worker(&list);
    cr_assert_null(cfg_json_get(w, "error"), "it passes when they stop");
    cJSON_Delete(list);
}

Test(fleet, restarts_that_are_no_twins_are_no_error)
{
    static const char *const ids[] = {A, B, C, D};
    for (size_t i = 0; i < 4; i++) {
        struct stream s = {0};
        cr_assert_eq(enter("w0", ids[i], NULL, NULL), 0);
        cr_assert_eq(connect_stream("w0", ids[i], &s), 0);
        cfg_fleet_stream_closed(fleet, "blue", "w0", &s); /* it died before the next came */
    }
    cJSON *list, *w = one_worker(&list);
    cr_assert_null(cfg_json_get(w, "error"));
    cJSON_Delete(list);
}

Test(fleet, pin_and_store_are_checked)
{
    cJSON *problem = NULL;
    cr_assert_eq(enter("w0", A, "\"pin\":{\"tp\":4}", NULL), 0);
    cr_assert_eq(enter("w1", A, "\"pin\":{\"tp\":8}", &problem), CFG_E_PIN_MISMATCH);
    const cJSON *first = cJSON_GetArrayItem(cfg_json_get(problem, "differences"), 0);
    cr_assert_str_eq(cfg_json_get_str(first, "path", ""), "tp");
    cr_assert_eq(cfg_json_get_num(first, "deployment", 0), 4);
    cr_assert_eq(cfg_json_get_num(first, "worker", 0), 8);
    cJSON_Delete(problem);
    cr_assert_eq(enter("w1", A, "\"store\":\"s2\"", &problem), CFG_E_FOREIGN_STORE);
    cr_assert_str_eq(cfg_json_get_str(problem, "store", ""), "s1");
    cJSON_Delete(problem);
    cr_assert_eq(enter("w1", A, "\"store\":\"s1\"", NULL), 0);
    cr_assert_eq(listed("total"), 0);
}

Test(fleet, malformed_registrations_and_reports_change_nothing)
{
    static const char *const bad[] = {
        "7",
        "{}",
        "{\"worker\":\"w0\"}",
        "{\"worker\":\"w0\",\"incarnation\":\"short\"}",
        "{\"worker\":\"a/b\",\"incarnation\":\"" A "\"}",
        "{\"worker\":\"w0\",\"incarnation\":\"" A "\",\"rank\":-1}",
        "{\"worker\":\"w0\",\"incarnation\":\"" A "\",\"labels\":[]}",
        "{\"worker\":\"w0\",\"incarnation\":\"" A "\",\"pin\":[]}",
        "{\"worker\":\"w0\",\"incarnation\":\"" A "\",\"contract\":{\"x\":{\"type\":\"f64\",\"class\":\"no\"}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cJSON *body = json(bad[i]), *reply = NULL, *problem = NULL;
        cr_assert_lt(cfg_fleet_register(fleet, "blue", body, &reply, &problem, NULL), 0, "%s", bad[i]);
        cr_assert_null(reply);
        cJSON_Delete(problem);
        cJSON_Delete(body);
    }
    cJSON *list, *w = one_worker(&list);
    cr_assert_null(w);
    cJSON_Delete(list);
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(report("w0", A, (struct cfg_rev){1, 2}, "md5:1"), CFG_E_INVALID);
    cr_assert_eq(report("w0", B, (struct cfg_rev){1, 2}, cfg_topic_digest(blue())), CFG_E_UNKNOWN_WORKER);
    cJSON *body = json("{\"worker\":\"w0\",\"incarnation\":\"" A "\"}"), *reply = NULL, *problem = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_fleet_register(fleet, "bleu", body, &reply, &problem, &err), CFG_E_NOT_FOUND);
    cr_assert_not_null(strstr(err.hint, "blue"), "%s", err.hint);
    cJSON_Delete(body);
}

static void count_outcome(void *arg, const char *deployment, const cJSON *outcome)
{
    (void)deployment, (void)outcome;
    ++*(int *)arg;
}

/* A rolling upgrade: workers of an earlier version tell of outcomes without parts. */
Test(fleet, a_report_of_an_earlier_version_is_taken_without_its_outcomes)
{
    char text[4096], registers[CFG_HLL_REGISTERS + 1];
    int taken = 0;
    memset(registers, 'A', CFG_HLL_REGISTERS);
    registers[CFG_HLL_REGISTERS] = '\0';
    cfg_fleet_on_samples(fleet, &(const struct cfg_fleet_samples){.outcome = count_outcome, .arg = &taken});
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    struct cfg_buf m;
    cfg_buf_init(&m, 4096);
    struct cfg_moments sample = {0};
    cfg_moments_add(&sample, 2);
    cfg_moments_print(&m, &sample);
    for (int seq = 1; seq <= 2; seq++) { /* with parts that are none it is refused */
        (void)snprintf(text, sizeof text,
                       "{\"incarnation\":\"%s\",\"state\":\"running\",\"outcomes\":{\"seq\":%d,\"sides\":[{\"flag\":"
                       "\"e/f\",\"variant\":\"on\",\"units\":\"%s\",\"metrics\":{\"x\":%s}%s}]}}",
                       A, seq, registers, m.data, seq == 2 ? ",\"parts\":{}" : "");
        cJSON *body = json(text);
        struct cfg_error err = CFG_ERROR_INIT;
        int rc = cfg_fleet_report(fleet, "blue", "w0", body, &err);
        cr_assert(seq == 2 ? rc != 0 : rc == 0, "%s", err.text);
        cr_assert_eq(cfg_fleet_outcomes_left_out(fleet), 1);
        cJSON_Delete(body);
    }
    cr_assert_eq(taken, 0);
    cfg_buf_finish(&m);
    cfg_fleet_on_samples(fleet, NULL);
}

Test(fleet, what_was_told_is_listed)
{
    cr_assert_eq(
        enter("w0", A, "\"host\":\"gpu-7\",\"pid\":41,\"rank\":3,\"world\":8,\"labels\":{\"zone\":\"a\"}", NULL), 0);
    cr_assert_eq(report("w0", A, cfg_topic_rev(blue()), cfg_topic_digest(blue())), 0);
    now_ms += 250;
    cJSON *list, *w = one_worker(&list);
    cr_assert_str_eq(cfg_json_get_str(w, "host", ""), "gpu-7");
    cr_assert_eq(cfg_json_get_num(w, "pid", 0), 41);
    cr_assert_eq(cfg_json_get_num(w, "rank", 0), 3);
    cr_assert_eq(cfg_json_get_num(w, "world", 0), 8);
    cr_assert_str_eq(cfg_json_get_str(cfg_json_get(w, "labels"), "zone", ""), "a");
    cr_assert(cJSON_IsNull(cfg_json_get(w, "group")));
    cr_assert_eq(cfg_json_get_num(cfg_json_get(w, "applied"), "step", 0), 3);
    cr_assert_eq(cfg_json_get_num(w, "step", 0), 5);
    cr_assert(cJSON_IsArray(cfg_json_get(w, "rejects")));
    cr_assert_eq(cfg_json_get_num(w, "last_report_ms", 0), 250);
    cr_assert(cJSON_IsFalse(cfg_json_get(w, "connected")));
    cJSON_Delete(list);
}

Test(fleet, converged_is_the_target_digest_taken_since_it_is_the_target)
{
    struct stream s = {0};
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(connect_stream("w0", A, &s), 0);
    cr_assert_eq(listed("converged"), 0);
    struct cfg_rev first = cfg_topic_rev(blue());
    char digest[CFG_DIGEST_TEXT];
    (void)snprintf(digest, sizeof digest, "%s", cfg_topic_digest(blue()));
    cr_assert_eq(report("w0", A, first, digest), 0);
    cr_assert_eq(listed("converged"), 1);
    fixture_chat(&f, 2, "{\"a\":2}");
    cr_assert_eq(listed("converged"), 0);
    fixture_chat(&f, 3, "{\"a\":1}"); /* A again: not the A it took before */
    cr_assert_str_eq(digest, cfg_topic_digest(blue()));
    cr_assert_eq(listed("converged"), 0);
    cr_assert_eq(report("w0", A, cfg_topic_rev(blue()), digest), 0);
    cr_assert_eq(listed("converged"), 1);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &s);
    cr_assert_eq(listed("converged"), 0);
    cr_assert_eq(listed("total"), 0);
}

static void reach_is(const char *result, double live, double restart, double unread, double unknown)
{
    cJSON *results = cJSON_CreateArray();
    cJSON_AddItemToArray(results, json(result));
    cfg_fleet_add_reach(fleet, results);
    const cJSON *reach = cfg_json_get(cJSON_GetArrayItem(results, 0), "reach");
    cr_assert_eq(cfg_json_get_num(reach, "live", -1), live, "%s", result);
    cr_assert_eq(cfg_json_get_num(reach, "pending_restart", -1), restart, "%s", result);
    cr_assert_eq(cfg_json_get_num(reach, "unread", -1), unread, "%s", result);
    cr_assert_eq(cfg_json_get_num(reach, "unknown", -1), unknown, "%s", result);
    cJSON_Delete(results);
}

#define CHANGE(path)                                                                                        \
    "{\"kind\":\"config\",\"namespace\":\"base\",\"changes\":[{\"op\":\"replace\",\"path\":\"" path "\"}]," \
    "\"affected\":[{\"deployment\":\"blue\",\"namespace\":\"chat\",\"paths\":[\"" path "\"]}]}"

static void presence(const char *replica, const char *body)
{
    char key[128];
    (void)snprintf(key, sizeof key, "live/presence/blue/%s", replica);
    f.revision++;
    struct cfg_etcd_event ev = {
        .kv = {.key = cfg_slice_str(key), .value = cfg_slice_str(body), .mod_revision = (int64_t)f.revision}};
    const struct cfg_replica_sink *sink = cfg_store_sink(f.store);
    sink->batch(sink->arg, f.revision, &ev, 1);
}

static void add_other(void *arg, const char *replica, const char *url, uint64_t workers)
{
    cr_assert(strcmp(replica, "r2") == 0 ? strcmp(url, "http://r2") == 0 : strcmp(replica, "r3") == 0);
    *(uint64_t *)arg += workers;
}

Test(fleet, reach_counts_connected_workers_here_and_elsewhere)
{
    static const char declared[] = "\"contract\":{\"a\":{\"type\":\"f64\",\"class\":\"live\"},"
                                   "\"p\":{\"type\":\"string\",\"class\":\"restart\"}}";
    struct stream s[3] = {{0}};
    cr_assert_eq(enter("w0", A, declared, NULL), 0);
    cr_assert_eq(enter("w1", A, declared, NULL), 0);
    cr_assert_eq(enter("w2", A, NULL, NULL), 0);
    cr_assert_eq(enter("w3", A, declared, NULL), 0); /* never connects */
    cr_assert_eq(connect_stream("w0", A, &s[0]), 0);
    cr_assert_eq(connect_stream("w1", A, &s[1]), 0);
    cr_assert_eq(connect_stream("w2", A, &s[2]), 0);
    reach_is(CHANGE("a"), 2, 0, 1, 0);
    reach_is(CHANGE("p"), 0, 2, 1, 0);
    reach_is(CHANGE("tp"), 0, 0, 0, 0);
    reach_is(CHANGE("b"), 0, 0, 3, 0);
    reach_is("{\"kind\":\"config\",\"namespace\":\"elsewhere\",\"changes\":[{\"path\":\"a\"}]}", 0, 0, 0, 0);
    reach_is("{\"kind\":\"flag\",\"namespace\":\"experiment\",\"name\":\"ab.flag\",\"changes\":[]}", 3, 0, 0, 0);
    presence("r2", "{\"url\":\"http://r2\",\"workers\":2,\"contracts\":[{\"workers\":2,\"contract\":{\"a\":{\"type\":"
                   "\"f64\",\"class\":\"live\"}}}]}");
    presence("r3", "{\"url\":\"http://r3\",\"workers\":7}");
    presence("r1", "{\"workers\":100,\"contracts\":[]}"); /* this replica's own record counts for nothing here */
    reach_is(CHANGE("a"), 4, 0, 1, 7);
    cr_assert_eq(cfg_fleet_connected(fleet, "blue"), 12u);
    cr_assert_eq(cfg_fleet_connected(fleet, NULL), 3u);
    cJSON *list = cfg_fleet_workers(fleet, "blue");
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 4);
    cJSON_Delete(list);
    uint64_t others = 0;
    cfg_fleet_others(fleet, "blue", add_other, &others);
    cr_assert_eq(others, 9u);
}

static int tell_window(const char *worker, int seq, const char *arm)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"incarnation\":\"" A "\",\"windows\":[{\"seq\":%d,\"revision\":\"1-1\",\"arm\":\"%s\","
                   "\"from_step\":1,\"to_step\":4,\"steps\":4,\"ms\":8,\"latency\":{\"80\":4},\"metrics\":{\"loss\":"
                   "{\"n\":1,\"mean\":3,\"m2\":0,\"min\":3,\"max\":3,\"last\":3,\"bad\":0}}}]}",
                   seq, arm);
    cJSON *body = json(text);
    int rc = cfg_fleet_report(fleet, "blue", worker, body, NULL);
    cJSON_Delete(body);
    return rc;
}

Test(fleet, windows_are_added_up_per_arm_and_count_once)
{
    struct cfg_fleet_window w;
    cr_assert_not(cfg_fleet_window(&w, fleet, "blue", "base", 0, UINT64_MAX, NULL));
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(enter("w1", A, NULL, NULL), 0);
    uint64_t begin = cfg_fleet_clock_ms(fleet);
    cr_assert_eq(tell_window("w0", 1, "base"), 0);
    cr_assert_eq(tell_window("w0", 1, "base"), 0);
    cr_assert_eq(tell_window("w1", 1, "canary"), 0);
    cr_assert_eq(tell_window("w1", 2, "base"), 0);
    cr_assert_eq(tell_window("w1", 3, "no arm"), CFG_E_INVALID);
    cr_assert(cfg_fleet_window(&w, fleet, "blue", "base", begin, begin + 1, "loss"));
    cr_assert_eq(w.steps, 8u);
    cr_assert_eq(w.latency.n, 8u);
    cr_assert_eq(w.metric.n, 2u);
    cr_assert(cfg_fleet_window(&w, fleet, "blue", "canary", begin, begin + 1, NULL));
    cr_assert_eq(w.steps, 4u);
    cr_assert(cfg_fleet_window(&w, fleet, "blue", "base", begin + 10000, begin + 20000, "loss"));
    cr_assert_eq(w.steps + w.metric.n, 0u, "nobody told anything");
}

/* Windows may name any arm; what they name must not keep the arms that workers run out. */
Test(fleet, arms_that_nobody_runs_make_room)
{
    struct cfg_fleet_window w;
    struct stream s = {0};
    char arm[16];
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(connect_stream("w0", A, &s), 0);
    uint64_t begin = cfg_fleet_clock_ms(fleet);
    for (int i = 1; i <= 3 * FLEET_ARMS; i++) {
        (void)snprintf(arm, sizeof arm, "made-up-%d", i);
        cr_assert_eq(tell_window("w0", i, arm), 0);
        cr_assert(cfg_fleet_window(&w, fleet, "blue", arm, begin, begin + 1, NULL), "%s", arm);
        cr_assert_eq(w.steps, 4u);
    }
    cr_assert(cfg_fleet_window(&w, fleet, "blue", "base", begin, begin + 1, NULL), "w0 runs it");
    cr_assert_not(cfg_fleet_window(&w, fleet, "blue", "made-up-1", begin, begin + 1, NULL));
    cJSON *whole = cfg_fleet_summary(fleet, "blue");
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(whole, "arms")), FLEET_ARMS);
    cJSON_Delete(whole);
}

static double of_group(int i, const char *key)
{
    cJSON *whole = cfg_fleet_summary(fleet, "blue");
    const cJSON *g = cJSON_GetArrayItem(cfg_json_get(whole, "groups"), i);
    double v = cfg_json_get_num(g, key, -1);
    cJSON_Delete(whole);
    return v;
}

/* Whoever has stopped stepping has no pace, and whoever has told nothing yet takes nothing from the others'. */
Test(fleet, a_pace_is_known_as_long_as_it_is_told)
{
    static const char rank0[] = "\"group\":\"g\",\"rank\":0,\"world\":2",
                      rank1[] = "\"group\":\"g\",\"rank\":1,\"world\":2";
    struct stream s[3] = {{0}};
    cJSON *list;
    cr_assert_eq(enter("w0", A, rank0, NULL), 0);
    cr_assert_eq(enter("w1", A, rank1, NULL), 0);
    cr_assert_eq(connect_stream("w0", A, &s[0]), 0);
    cr_assert_eq(connect_stream("w1", A, &s[1]), 0);
    cr_assert_eq(tell_window("w0", 1, "base"), 0);
    cr_assert_eq(report("w0", A, (struct cfg_rev){1, 1}, cfg_topic_digest(blue())), 0);
    cr_assert_eq(of_group(0, "step_rate"), 500, "four steps in 8 ms; w1 has told nothing");
    cr_assert_eq(of_group(0, "step"), 5);
    cr_assert_eq(cfg_json_get_num(one_worker(&list), "step_rate", -1), 500);
    cJSON_Delete(list);
    now_ms += FLEET_SHOWN_MS + 1;
    cr_assert_eq(report("w0", A, (struct cfg_rev){1, 1}, cfg_topic_digest(blue())), 0);
    cr_assert_eq(of_group(0, "step_rate"), 0, "it reports, but no steps any more");
    cr_assert_eq(of_group(0, "p99_us"), 0);
    cr_assert_eq(cfg_json_get_num(one_worker(&list), "step_rate", -1), 0);
    cJSON_Delete(list);
    cr_assert_eq(tell_window("w0", 2, "base"), 0);
    cr_assert_eq(of_group(0, "step_rate"), 500);
    cr_assert_eq(enter("w0", B, rank0, NULL), 0);
    cr_assert_eq(connect_stream("w0", B, &s[2]), 0);
    cr_assert_eq(of_group(0, "step_rate"), 0, "another process");
    cr_assert_eq(of_group(0, "step"), 0);
}

Test(fleet, capabilities_are_kept_as_sets)
{
    struct stream s[3] = {{0}};
    cr_assert_eq(enter("w0", A, "\"capabilities\":[\"fp8\",\"bf16\",\"fp8\"]", NULL), 0);
    cr_assert_eq(enter("w1", A, "\"capabilities\":[\"bf16\",\"fp8\"]", NULL), 0);
    cr_assert_eq(enter("w2", A, "\"capabilities\":[\"bf\"]", NULL), 0);
    cr_assert_eq(enter("w3", A, "\"capabilities\":[\"a b\"]", NULL), CFG_E_INVALID);
    cr_assert_eq(enter("w3", A, "\"capabilities\":\"bf16\"", NULL), CFG_E_INVALID);
    for (size_t i = 0; i < 3; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "w%zu", i);
        cr_assert_eq(connect_stream(id, A, &s[i]), 0);
    }
    struct fleet_deployment *d = fleet_find_deployment(fleet, "blue");
    cr_assert(fleet_has_skill(fleet_find_worker(d, "w0")->skills, "bf16"));
    cr_assert_not(fleet_has_skill(fleet_find_worker(d, "w0")->skills, "bf"));
    cr_assert_eq(fleet_find_worker(d, "w0")->skills, fleet_find_worker(d, "w1")->skills);
    cr_assert_eq(fleet_find_worker(d, "w0")->skills->connected, 2u);
    cfg_fleet_stream_closed(fleet, "blue", "w1", &s[1]);
    cr_assert_eq(fleet_find_worker(d, "w0")->skills->connected, 1u);
}

static void count_recorded(void *arg, const struct cfg_error *err)
{
    int *n = arg;
    cr_assert_null(err);
    (*n)++;
}

static void tell_run(const char *worker)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"incarnation\":\"%s\",\"step\":3,\"runs\":[{\"from_step\":3,\"revision\":\"1-5\",\"at\":\"x\"}]}",
                   A);
    cJSON *body = json(text);
    cr_assert_eq(cfg_fleet_report(fleet, "blue", worker, body, NULL), 0);
    cJSON_Delete(body);
}

Test(fleet, only_who_speaks_for_a_group_waits_for_the_record)
{
    struct stream s[3] = {{0}};
    int n = 0;
    cr_assert_eq(enter("w0", A, "\"group\":\"g\",\"rank\":0,\"world\":2", NULL), 0);
    cr_assert_eq(enter("w1", A, "\"group\":\"g\",\"rank\":1,\"world\":2", NULL), 0);
    cr_assert_eq(connect_stream("w0", A, &s[0]), 0);
    cr_assert_eq(connect_stream("w1", A, &s[1]), 0);
    tell_run("w0");
    tell_run("w1");
    cfg_fleet_when_recorded(fleet, "blue", "w1", count_recorded, &n);
    cr_assert_eq(n, 1, "w0 tells of the group");
    cfg_fleet_when_recorded(fleet, "blue", "w0", count_recorded, &n);
    cr_assert_eq(n, 1, "it is not in etcd yet");
}

static void expect_why(const char *report, const char *condition, const char *why)
{
    struct stream s = {0};
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(connect_stream("w0", A, &s), 0);
    char text[1024], id[CFG_REV_TEXT];
    (void)snprintf(text, sizeof text, "{\"incarnation\":\"%s\",\"applied\":{\"revision\":\"%s\",\"digest\":\"%s\"},%s}",
                   A, cfg_rev_format(cfg_topic_rev(blue()), id), cfg_topic_digest(blue()), report);
    cJSON *body = json(text);
    cr_assert_eq(cfg_fleet_report(fleet, "blue", "w0", body, NULL), 0);
    cJSON_Delete(body);
    cJSON *list = cfg_fleet_workers(fleet, "blue"), *sums = cfg_fleet_summary(fleet, "blue");
    const cJSON *listed = cJSON_GetArrayItem(cfg_json_get(list, "workers"), 0);
    const cJSON *group = cJSON_GetArrayItem(cfg_json_get(sums, "groups"), 0);
    cr_assert_str_eq(cfg_json_get_str(listed, "condition", ""), condition);
    cr_assert_str_eq(cfg_json_get_str(listed, "why", ""), why);
    cr_assert_str_eq(cfg_json_get_str(group, "state", ""), condition);
    if (strcmp(condition, "pending") != 0)
        cr_assert_str_eq(cfg_json_get_str(group, "why", ""), why);
    cJSON_Delete(list);
    cJSON_Delete(sums);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &s);
}

Test(fleet, reasons_are_the_workers_own)
{
    expect_why("\"group\":{\"incarnation\":\"1\",\"formed\":false,\"why\":\"rank 2: it is gone\"}", "forming",
               "rank 2: it is gone");
    expect_why("\"rejects\":[{\"revision\":\"9-1\",\"path\":\"lr\",\"reason\":\"lr: above 1\"}]", "rejecting",
               "it has refused 9-1: lr: above 1");
    expect_why("\"draining\":[{\"path\":\"batch\",\"now\":8,\"target\":2}]", "draining", "batch: 8 in use, 2 allowed");
    expect_why("\"pending\":[\"data.workers\"]", "pending", "data.workers waits for a restart");
    expect_why("\"pending\":[\"a\",\"b\",\"c\"]", "pending", "a and 2 more wait for a restart");
}

Test(fleet, refused_processes_are_shown_until_they_come_in)
{
    struct stream s = {0};
    cr_assert_eq(enter("w0", A, "\"pin\":{\"tp\":8}", NULL), CFG_E_PIN_MISMATCH);
    cr_assert_eq(enter("w1", A, "\"store\":\"other\"", NULL), CFG_E_FOREIGN_STORE);
    cJSON *list = cfg_fleet_workers(fleet, "blue"), *workers = cfg_json_get(list, "workers");
    cr_assert_eq(cJSON_GetArraySize(workers), 2);
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(workers, 0), "condition", ""), "rejecting");
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(workers, 1), "condition", ""), "foreign");
    cJSON_Delete(list);
    cr_assert_eq(enter("w0", B, NULL, NULL), 0);
    cr_assert_eq(connect_stream("w0", B, &s), 0);
    list = cfg_fleet_workers(fleet, "blue");
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 2, "w0 once, and w1");
    cJSON_Delete(list);
    now_ms += 200000;
    list = cfg_fleet_workers(fleet, "blue");
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 1, "w1 tries no more");
    cJSON_Delete(list);
}

Test(fleet, presence_holds_each_contract_once)
{
    static const char declared[] = "\"contract\":{\"a\":{\"type\":\"f64\",\"class\":\"live\",\"default\":1}}";
    struct stream s[10] = {{0}};
    for (int i = 0; i < 10; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "w%d", i);
        cr_assert_eq(enter(id, A, i < 7 ? declared : NULL, NULL), 0);
        cr_assert_eq(connect_stream(id, A, &s[i]), 0);
    }
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    fleet_presence_print(&out, fleet, fleet_find_deployment(fleet, "blue"));
    cr_assert_str_eq(out.data, "{\"url\":\"http://r1\",\"replica\":\"r1\",\"workers\":10,\"contracts\":[{\"workers\":3,"
                               "\"contract\":{},\"names\":[\"w7\",\"w8\",\"w9\"],\"ids\":\"8G3HT03ny6wjO2G7xDovycYH\"},"
                               "{\"workers\":7,\"contract\":{\"a\":{"
                               "\"class\":\"live\",\"type\":"
                               "\"f64\"}},\"names\":[\"w0\",\"w1\",\"w2\"],"
                               "\"ids\":\"1bwY9ZeCuzSfJpl2h5zGeoRrVerlC3XiBvj66jtfYMVZD3LudiA24e8M\"}],"
                               "\"capabilities\":[{\"workers\":10,\"has\":[],\"names\":[\"w0\",\"w1\",\"w2\"]}]}");
    cfg_buf_finish(&out);
}

static double served(void)
{
    cJSON *list = cfg_fleet_exposures(fleet, "blue", false);
    double n = cfg_json_get_num(cJSON_GetArrayItem(cfg_json_get(list, "exposures"), 0), "count", -1);
    cJSON_Delete(list);
    return n;
}

static int tell_served(const char *worker, const char *incarnation, int count)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"incarnation\":\"%s\",\"exposures\":[{\"flag\":\"e/f\",\"variant\":\"on\",\"count\":%d}]}",
                   incarnation, count);
    cJSON *body = json(text);
    int rc = cfg_fleet_report(fleet, "blue", worker, body, NULL);
    cJSON_Delete(body);
    return rc;
}

Test(fleet, exposures_add_up_over_workers_and_incarnations)
{
    cr_assert_eq(served(), -1, "nobody has served anything");
    cr_assert_eq(enter("w0", A, NULL, NULL), 0);
    cr_assert_eq(enter("w1", A, NULL, NULL), 0);
    cr_assert_eq(tell_served("w0", A, 5), 0);
    cr_assert_eq(tell_served("w1", A, 7), 0);
    cr_assert_eq(tell_served("w0", A, 6), 0);
    cr_assert_eq(served(), 13);
    cr_assert_eq(tell_served("w0", A, -1), CFG_E_INVALID);
    cr_assert_eq(enter("w0", B, NULL, NULL), 0);
    cr_assert_eq(tell_served("w0", A, 100), CFG_E_SUPERSEDED);
    cr_assert_eq(tell_served("w0", B, 2), 0);
    cr_assert_eq(served(), 15);
}

/* --- rank groups --- */

static const char *root_address(const char *group, char out[64], const char **state, bool *partial)
{
    cJSON *g = cfg_fleet_group(fleet, "blue", group);
    const cJSON *first = cJSON_GetArrayItem(cfg_json_get(g, "ranks"), 0);
    static char kept[32];
    (void)snprintf(out, 64, "%s", cfg_json_get_str(cfg_json_get(g, "root"), "address", "none"));
    (void)snprintf(kept, sizeof kept, "%s", cfg_json_get_str(first, "state", "none"));
    *state = kept;
    *partial = cfg_json_get_bool(g, "partial", false);
    cJSON_Delete(g);
    return out;
}

Test(fleet, a_group_is_met_where_its_newest_rank_0_is)
{
    static const char zero[] = "\"group\":\"g\",\"rank\":0,\"world\":2,\"address\":\"n0:7\"";
    static const char moved[] = "\"group\":\"g\",\"rank\":0,\"world\":2,\"address\":\"n9:9\"";
    struct stream s = {0};
    char at[64];
    const char *state;
    bool partial;
    cr_assert_str_eq(root_address("g", at, &state, &partial), "none");
    cr_assert_eq(enter("w1", A, "\"group\":\"g\",\"rank\":1,\"world\":2,\"address\":\"n1:7\"", NULL), 0);
    cr_assert_str_eq(root_address("g", at, &state, &partial), "none", "only rank 0 is met");
    cr_assert_str_eq(state, "starting");
    cr_assert_eq(enter("w0", A, zero, NULL), 0);
    cr_assert_str_eq(root_address("g", at, &state, &partial), "n0:7");
    cr_assert_str_eq(root_address("h", at, &state, &partial), "none", "another group");
    cr_assert(cfg_fleet_group_has_root(fleet, "blue", "g") && !cfg_fleet_group_has_root(fleet, "blue", "h"));
    cr_assert_eq(connect_stream("w0", A, &s), 0);
    struct cfg_buf out;
    cfg_buf_init(&out, 4096);
    fleet_presence_print(&out, fleet, fleet_find_deployment(fleet, "blue"));
    cr_assert_not_null(strstr(out.data, ",\"groups\":1,\"roots\":[{\"group\":\"g\",\"worker\":\"w0\",\"address\":"
                                        "\"n0:7\",\"since_us\":1000000}]}"),
                       "%s", out.data);
    cfg_buf_finish(&out);
    cfg_fleet_stream_closed(fleet, "blue", "w0", &s);
    cr_assert_str_eq(root_address("g", at, &state, &partial), "none", "its address went with it");
    cr_assert_str_eq(state, "gone");
    now_ms += 1000;
    cr_assert_eq(enter("w0-b", B, moved, NULL), 0);
    cr_assert_str_eq(root_address("g", at, &state, &partial), "n9:9");
    cr_assert(!partial);
    presence("r2", "{\"workers\":1,\"roots\":[{\"group\":\"g\",\"worker\":\"old\",\"address\":\"x:1\",\"since_us\":"
                   "1500000}]}");
    cr_assert_str_eq(root_address("g", at, &state, &partial), "n9:9", "an older one elsewhere");
    cr_assert(partial);
    presence("r2", "{\"workers\":1,\"roots\":[{\"group\":\"g\",\"worker\":\"new\",\"address\":\"y:1\",\"since_us\":"
                   "2500000}]}");
    cr_assert_str_eq(root_address("g", at, &state, &partial), "y:1", "a newer one elsewhere");
}

static void count(void *arg)
{
    ++*(int *)arg;
}

Test(fleet, who_waits_for_a_rank_0_is_told_once)
{
    int here = 0, there = 0, late = 0, dropped = 0;
    cr_assert_eq(cfg_fleet_group_wait(fleet, "blue", "g", 60000, count, &here, NULL), 0);
    cr_assert_eq(cfg_fleet_group_wait(fleet, "blue", "h", 60000, count, &there, NULL), 0);
    cr_assert_eq(cfg_fleet_group_wait(fleet, "blue", "i", 5, count, &late, NULL), 0);
    cr_assert_eq(cfg_fleet_group_wait(fleet, "blue", "j", 60000, count, &dropped, NULL), 0);
    fixture_turn(&f, 1);
    cr_assert(here == 0 && there == 0 && late == 0);
    now_ms += 10;
    fixture_turn(&f, 20);
    cr_assert_eq(late, 1);
    cr_assert_eq(enter("w0", A, "\"group\":\"g\",\"world\":2,\"address\":\"n0:7\"", NULL), 0);
    cr_assert_eq(here, 0, "in a later turn");
    fixture_turn(&f, 5);
    presence("r2", "{\"workers\":1,\"roots\":[{\"group\":\"h\",\"worker\":\"x\",\"address\":\"x:1\",\"since_us\":1}]}");
    fixture_turn(&f, 5);
    cr_assert(here == 1 && there == 1 && late == 1 && dropped == 0, "%d %d %d %d", here, there, late, dropped);
}
