/* Two daemons on one etcd, each with workers of its own: whoever is asked answers for both, and says so when it cannot.
 */
#include "stream_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_test_etcd *etcd;
static struct daemon d[2];

#define BLUE "/v1/deployments/blue"
#define A    "aaaaaaaaaaaaaaaa"
#define B    "bbbbbbbbbbbbbbbb"

static void setup(void)
{
    etcd = daemon_two(d, NULL, NULL);
    daemon_blue(&d[0]);
}

static void teardown(void)
{
    daemon_two_free(d, etcd);
}

TestSuite(fleet_whole, .init = setup, .fini = teardown);

static bool knows_blue(void *arg)
{
    return daemon_call(NULL, arg, "GET", BLUE, NULL, NULL) == 200;
}

static struct stream *join(struct daemon *at, const char *worker, const char *incarnation)
{
    cr_assert(cfg_test_poll(knows_blue, at, 10000));
    daemon_register(at, worker, incarnation, 200);
    char *path = cfg_test_format(BLUE "/stream?worker=%s&incarnation=%s", worker, incarnation);
    struct stream *s = stream_open(at, path, NULL);
    cr_assert_eq(s->status, 200);
    (void)stream_expect(s, "view");
    free(path);
    return s;
}

/* Runs what its stream shows. */
static int report(const struct daemon *at, const char *worker, const char *incarnation, const struct stream *s,
                  const char *more)
{
    const struct stream_event *e = &s->events[0];
    char *path = cfg_test_format(BLUE "/workers/%s/report", worker);
    char *body =
        cfg_test_format("{\"incarnation\":\"%s\",\"applied\":{\"revision\":\"%s\",\"digest\":\"%s\",\"step\":1,"
                        "\"at\":\"2026-01-01T00:00:00Z\"},\"step\":7%s%s}",
                        incarnation, e->id, s->digest, more ? "," : "", more ? more : "");
    int status = daemon_call(NULL, at, "POST", path, NULL, body);
    free(path);
    free(body);
    return status;
}

static cJSON *get(const struct daemon *at, const char *path)
{
    cJSON *reply = NULL;
    cr_assert_eq(daemon_call(&reply, at, "GET", path, NULL, NULL), 200, "%s", path);
    return reply;
}

static double state(const cJSON *fleet, const char *name)
{
    return cfg_json_get_num(cfg_json_get(fleet, "states"), name, 0);
}

struct wanted {
    struct daemon *at;
    double workers, current, unknown;
    bool partial;
};

static bool shows(void *arg)
{
    const struct wanted *w = arg;
    cJSON *fleet = NULL;
    if (daemon_call(&fleet, w->at, "GET", BLUE "/fleet", NULL, NULL) != 200)
        return false;
    bool same = cfg_json_get_num(fleet, "workers", -1) == w->workers && state(fleet, "current") == w->current &&
                cfg_json_get_num(fleet, "unknown", -1) == w->unknown && state(fleet, "unknown") == w->unknown &&
                cfg_json_get_bool(fleet, "partial", !w->partial) == w->partial;
    cJSON_Delete(fleet);
    return same;
}

static void expect_fleet(struct daemon *at, double workers, double current, double unknown)
{
    struct wanted w = {at, workers, current, unknown, unknown > 0};
    bool as_wanted = cfg_test_poll(shows, &w, 20000);
    cJSON *is = get(at, BLUE "/fleet");
    cr_assert(as_wanted, "%g workers, %g current, %g unknown were expected; it says %g, %g, %g", workers, current,
              unknown, cfg_json_get_num(is, "workers", -1), state(is, "current"), cfg_json_get_num(is, "unknown", -1));
    cJSON_Delete(is);
}

Test(fleet_whole, any_configd_answers_for_all_and_says_whom_it_could_not_ask)
{
    struct stream *w0 = join(&d[0], "w0", A), *w1 = join(&d[1], "w1", A), *w2 = join(&d[1], "w2", A);
    cr_assert_eq(report(&d[0], "w0", A, w0, NULL), 204);
    cr_assert_eq(report(&d[1], "w1", A, w1, NULL), 204);
    cr_assert_eq(report(&d[1], "w2", A, w2, NULL), 204);
    for (size_t i = 0; i < 2; i++)
        expect_fleet(&d[i], 3, 3, 0);
    cJSON *list = get(&d[0], BLUE "/workers"), *own = get(&d[0], BLUE "/workers?local=true");
    cr_assert_eq(cfg_json_get_num(list, "converged", 0), 3);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 3);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(own, "workers")), 1);
    cJSON_Delete(list);
    cJSON_Delete(own);
    cfg_test_proc_signal(d[0].proc, SIGSTOP); /* it takes connections still, and says nothing */
    expect_fleet(&d[1], 3, 2, 1);
    list = get(&d[1], BLUE "/workers");
    cr_assert(cfg_json_get_bool(list, "partial", false));
    cr_assert_eq(cfg_json_get_num(list, "unknown", 0), 1);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 2);
    cJSON_Delete(list);
    cfg_test_proc_signal(d[0].proc, SIGCONT);
    cr_assert_eq(report(&d[0], "w0", A, w0, NULL), 204);
    expect_fleet(&d[1], 3, 3, 0);
    cfg_test_proc_signal(d[0].proc, SIGKILL);
    d[0].ending = true;
    (void)cfg_test_proc_wait(d[0].proc, 10000);
    cfg_test_proc_free(d[0].proc);
    d[0].proc = NULL;
    expect_fleet(&d[1], 3, 2, 1); /* its presence lasts as long as its lease */
    stream_close(w0);
    stream_close(w1);
    stream_close(w2);
}

static bool see_each_other(void *arg)
{
    (void)arg;
    bool all = true;
    for (size_t i = 0; i < 2; i++) {
        cJSON *reply = get(&d[i], BLUE "/workers");
        all = all && cJSON_GetArraySize(cfg_json_get(reply, "replicas")) == 2;
        cJSON_Delete(reply);
    }
    return all;
}

Test(fleet_whole, twins_at_two_replicas_are_found_and_named)
{
    struct stream *w0 = join(&d[0], "w0", A), *other = join(&d[1], "w0", B);
    cr_assert_eq(report(&d[0], "w0", A, w0, NULL), 204);
    cr_assert_eq(report(&d[1], "w0", B, other, NULL), 204);
    cr_assert(cfg_test_poll(see_each_other, NULL, 10000));
    cJSON *list = get(&d[1], BLUE "/workers"), *w;
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 2);
    cJSON_ArrayForEach(w, cfg_json_get(list, "workers"))
    {
        cr_assert_str_eq(cfg_json_get_str(w, "condition", ""), "flapping");
        cr_assert(strstr(cfg_json_get_str(w, "error", ""), "two processes"));
    }
    cJSON_Delete(list);
    cJSON *fleet = get(&d[1], BLUE "/fleet");
    cr_assert_eq(state(fleet, "flapping"), 2);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(fleet, "stragglers")), 2);
    cJSON_Delete(fleet);
    stream_close(w0);
    stream_close(other);
}

Test(fleet_whole, a_worker_that_moved_is_one)
{
    struct stream *before = join(&d[0], "w0", A),
                  *after = join(&d[1], "w0", A); /* as after half of a lost connection */
    cr_assert_eq(report(&d[1], "w0", A, after, NULL), 204);
    cr_assert(cfg_test_poll(see_each_other, NULL, 10000));
    cJSON *list = get(&d[0], BLUE "/workers"), *fleet = get(&d[0], BLUE "/fleet");
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 1);
    cr_assert_eq(cfg_json_get_num(list, "converged", -1), 1);
    cr_assert_eq(cfg_json_get_num(fleet, "workers", -1), 1);
    cr_assert_eq(state(fleet, "current"), 1);
    cJSON_Delete(list);
    cJSON_Delete(fleet);
    stream_close(before);
    stream_close(after);
}

#define WINDOW                                                                                                  \
    "\"windows\":[{\"seq\":1,\"revision\":\"1-1\",\"arm\":\"base\",\"from_step\":1,\"to_step\":4,\"steps\":4,"  \
    "\"ms\":100,\"latency\":{\"80\":4},\"metrics\":{\"loss\":{\"n\":2,\"mean\":3,\"m2\":2,\"min\":2,\"max\":4," \
    "\"last\":4,\"bad\":1}}}]"

Test(fleet_whole, windows_add_up_over_replicas_and_count_once)
{
    struct stream *w0 = join(&d[0], "w0", A), *w1 = join(&d[1], "w1", A);
    cr_assert_eq(report(&d[0], "w0", A, w0, WINDOW), 204);
    cr_assert_eq(report(&d[0], "w0", A, w0, WINDOW), 204, "the same window once more, as after a lost reply");
    cr_assert_eq(report(&d[1], "w1", A, w1, WINDOW), 204);
    cr_assert(cfg_test_poll(see_each_other, NULL, 10000));
    cJSON *fleet = get(&d[1], BLUE "/fleet"), *arm = cJSON_GetArrayItem(cfg_json_get(fleet, "arms"), 0);
    const cJSON *loss = cfg_json_get(cfg_json_get(arm, "metrics"), "loss");
    cr_assert_eq(cfg_json_get_num(arm, "steps", 0), 8);
    cr_assert_eq(cfg_json_get_num(arm, "step_rate", 0), 80);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(arm, "latency"), "n", 0), 8);
    cr_assert_eq(cfg_json_get_num(loss, "n", 0), 4);
    cr_assert_eq(cfg_json_get_num(loss, "mean", 0), 3);
    cr_assert_eq(cfg_json_get_num(loss, "bad", 0), 2);
    cJSON_Delete(fleet);
    cr_assert_eq(report(&d[0], "w0", A, w0, "\"windows\":[{\"seq\":2}]"), 400);
    cr_assert_eq(report(&d[0], "w0", A, w0,
                        "\"windows\":[{\"seq\":2,\"revision\":\"1-1\",\"from_step\":1,\"to_step\":4,"
                        "\"steps\":4,\"ms\":1,\"metrics\":{\"a b\":{\"n\":0,\"bad\":0}}}]"),
                 400);
    stream_close(w0);
    stream_close(w1);
}

static cJSON *ran_at(const struct daemon *at, const char *query, cJSON **runs)
{
    char *path = cfg_test_format(BLUE "/at?%s", query);
    cJSON *reply = get(at, path);
    *runs = cfg_json_get(reply, "runs");
    free(path);
    return reply;
}

#define RUNS                                                                                   \
    "\"runs\":[{\"from_step\":0,\"revision\":\"1-5\",\"at\":\"2026-01-01T00:00:00.000001Z\"}," \
    "{\"from_step\":40,\"revision\":\"1-9\",\"at\":\"2026-01-01T00:01:00.000001Z\"}]"

Test(fleet_whole, a_past_run_is_told_of_by_any_configd)
{
    cJSON *runs;
    struct stream *w0 = join(&d[0], "w0", A);
    cr_assert_eq(report(&d[0], "w0", A, w0, RUNS), 204, "acknowledged when it lies in etcd");
    cr_assert_eq(report(&d[0], "w0", A, w0, RUNS), 204);
    stream_close(w0);
    w0 = join(&d[0], "w0", B); /* the run has ended, at the step that it last told of: 7 */
    cr_assert_eq(report(&d[0], "w0", B, w0,
                        "\"runs\":[{\"from_step\":3,\"revision\":\"1-9\",\"at\":\"2026-01-01T00:02:00.000001Z\"}]"),
                 204);
    cfg_test_proc_signal(d[0].proc, SIGKILL);
    d[0].ending = true;
    (void)cfg_test_proc_wait(d[0].proc, 10000);
    cfg_test_proc_free(d[0].proc);
    d[0].proc = NULL;
    cJSON *reply = ran_at(&d[1], "step=5", &runs);
    cr_assert_eq(cJSON_GetArraySize(runs), 2, "the newer process, and the one before");
    const cJSON *newer = cJSON_GetArrayItem(runs, 0), *older = cJSON_GetArrayItem(runs, 1);
    cr_assert_str_eq(cfg_json_get_str(newer, "incarnation", ""), B);
    cr_assert_str_eq(cfg_json_get_str(newer, "revision", ""), "1-9");
    cr_assert(cJSON_IsNull(cfg_json_get(newer, "to_step")));
    cr_assert_str_eq(cfg_json_get_str(older, "incarnation", ""), A);
    cr_assert_str_eq(cfg_json_get_str(older, "revision", ""), "1-5");
    cr_assert_eq(cfg_json_get_num(older, "to_step", 0), 39);
    cJSON_Delete(reply);
    reply = ran_at(&d[1], "step=2&group=w0", &runs);
    cr_assert_eq(cJSON_GetArraySize(runs), 1);
    cJSON_Delete(reply);
    reply = ran_at(&d[1], "step=2&group=w7", &runs);
    cr_assert_eq(cJSON_GetArraySize(runs), 0);
    cJSON_Delete(reply);
    cr_assert_eq(daemon_call(NULL, &d[1], "GET", BLUE "/at", NULL, NULL), 400);
    cr_assert_eq(daemon_call(NULL, &d[1], "GET", BLUE "/at?step=x", NULL, NULL), 400);
    cr_assert_eq(daemon_call(NULL, &d[1], "GET", "/v1/deployments/green/at?step=1", NULL, NULL), 404);
    stream_close(w0);
}

/* --- capabilities --- */

static int enter(const struct daemon *at, const char *worker, const char *more, cJSON **reply)
{
    char *body = cfg_test_format("{\"worker\":\"%s\",\"incarnation\":\"" A "\",\"contract\":{}%s}", worker, more);
    int status = daemon_call(reply, at, "POST", BLUE "/workers", NULL, body);
    free(body);
    return status;
}

static int patch_flag(const struct daemon *at, const char *query, const char *patch, cJSON **reply)
{
    char *path = cfg_test_format("/v1/flags/experiment/ab.flag%s", query);
    int status = daemon_call(reply, at, "PATCH", path, "application/merge-patch+json", patch);
    free(path);
    return status;
}

/* The worker that lacks it is connected to one daemon, the write comes to the other. */
Test(fleet_whole, a_flag_is_not_turned_on_for_workers_that_lack_what_it_requires)
{
    cJSON *reply = NULL;
    struct stream *w0 = join(&d[0], "w0", A);
    cr_assert(cfg_test_poll(knows_blue, &d[1], 10000));
    cr_assert_eq(patch_flag(&d[1], "", "{\"enabled\":false}", NULL), 200);
    cr_assert_eq(patch_flag(&d[1], "", "{\"requires\":[\"b f\"]}", NULL), 422);
    cr_assert_eq(patch_flag(&d[1], "", "{\"requires\":[\"bf16\"]}", NULL), 200, "it is off");
    struct wanted w = {&d[1], 1, 0, 0, false};
    (void)cfg_test_poll(shows, &w, 2000);
    cr_assert_eq(patch_flag(&d[1], "", "{\"enabled\":true}", &reply), 409);
    cr_assert_str_eq(cfg_json_get_str(reply, "code", ""), "capability");
    const cJSON *v = cJSON_GetArrayItem(cfg_json_get(reply, "violations"), 0);
    cr_assert_str_eq(cfg_json_get_str(v, "worker", ""), "w0");
    cr_assert_str_eq(cfg_json_get_str(v, "deployment", ""), "blue");
    cr_assert(strstr(cfg_json_get_str(v, "message", ""), "bf16"));
    cr_assert(cfg_json_get(v, "replica"));
    cJSON_Delete(reply);
    cr_assert_eq(patch_flag(&d[0], "", "{\"enabled\":true}", NULL), 409, "the same where it is connected");
    cr_assert_eq(patch_flag(&d[1], "?force=true", "{\"enabled\":true}", NULL), 200);
    cr_assert_eq(patch_flag(&d[1], "", "{\"definition\":{\"metadata\":{\"owner\":\"me\"}}}", NULL), 200,
                 "it demands no more than before");
    cr_assert_eq(enter(&d[1], "w1", "", &reply), 409);
    cr_assert_str_eq(cfg_json_get_str(reply, "code", ""), "capability");
    cJSON_Delete(reply);
    cJSON *ready = get(&d[1], "/v1/status");
    const char *store = cfg_json_get_str(ready, "store", "");
    char *running = cfg_test_format(",\"store\":\"%s\"", store);
    char *saved = cfg_test_format(",\"store\":\"%s\",\"fresh\":true", store);
    cr_assert_eq(enter(&d[1], "w1", saved, &reply), 409, "started again: its saved view is no way around");
    cr_assert_str_eq(cfg_json_get_str(reply, "code", ""), "capability");
    cJSON_Delete(reply);
    cr_assert_eq(enter(&d[1], "w2", running, NULL), 200, "it runs, and goes on");
    free(running);
    free(saved);
    cJSON_Delete(ready);
    cr_assert_eq(enter(&d[1], "w1", ",\"capabilities\":[\"bf16\"]", NULL), 200);
    reply = get(&d[1], "/v1/flags/experiment/ab.flag/versions");
    cr_assert(
        strstr(cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(reply, "items"), 1), "message", ""), "forced past"));
    cJSON_Delete(reply);
    stream_close(w0);
}

/* The other way round: the flag is on, and the deployment comes to see it. */
Test(fleet_whole, a_deployment_is_shown_no_flag_that_its_workers_cannot_bear)
{
    static const char *const patch = "{\"flags\":[\"experiment\",\"lab\"]}", *const merge =
                                                                                 "application/merge-patch+json";
    cJSON *reply = NULL;
    struct stream *w0 = join(&d[0], "w0", A);
    cr_assert(cfg_test_poll(knows_blue, &d[1], 10000));
    cr_assert_eq(daemon_call(NULL, &d[1], "POST", "/v1/changes", NULL,
                             "[{\"namespace\":\"lab\",\"set\":[{\"name\":\"fast\",\"mode\":\"set\",\"value\":true,"
                             "\"on_off\":\"on\"}]}]"),
                 200);
    cr_assert_eq(daemon_call(NULL, &d[1], "PATCH", "/v1/flags/lab/fast", merge, "{\"requires\":[\"bf16\"]}"), 200,
                 "nobody sees it");
    struct wanted w = {&d[1], 1, 0, 0, false};
    (void)cfg_test_poll(shows, &w, 2000);
    cr_assert_eq(daemon_call(&reply, &d[1], "PATCH", BLUE, merge, patch), 409);
    cr_assert_str_eq(cfg_json_get_str(reply, "code", ""), "capability");
    const cJSON *v = cJSON_GetArrayItem(cfg_json_get(reply, "violations"), 0);
    cr_assert_str_eq(cfg_json_get_str(v, "worker", ""), "w0");
    cr_assert_str_eq(cfg_json_get_str(v, "flag", ""), "lab/fast");
    cJSON_Delete(reply);
    cr_assert_eq(daemon_call(NULL, &d[1], "PATCH", BLUE "?force=true", merge, patch), 200);
    cr_assert_eq(daemon_call(NULL, &d[1], "PATCH", BLUE, merge, patch), 200, "it sees them already");
    stream_close(w0);
}

static int patch_blue(const char *query, const char *patch, cJSON **reply)
{
    char *path = cfg_test_format(BLUE "%s", query);
    int status = daemon_call(reply, &d[1], "PATCH", path, "application/merge-patch+json", patch);
    free(path);
    return status;
}

Test(fleet_whole, a_deployment_requires_of_every_worker)
{
    cJSON *reply = NULL;
    struct stream *w0 = join(&d[0], "w0", A);
    cr_assert(cfg_test_poll(knows_blue, &d[1], 10000));
    struct wanted w = {&d[1], 1, 0, 0, false};
    (void)cfg_test_poll(shows, &w, 2000);
    cr_assert_eq(patch_blue("", "{\"requires\":[\"b f\"]}", NULL), 400);
    cr_assert_eq(patch_blue("", "{\"requires\":\"bf16\"}", NULL), 422);
    cr_assert_eq(patch_blue("", "{\"requires\":[\"bf16\"]}", &reply), 409);
    cr_assert_str_eq(cfg_json_get_str(reply, "code", ""), "capability");
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(reply, "violations"), 0), "worker", ""), "w0");
    cJSON_Delete(reply);
    cr_assert_eq(patch_blue("?force=true", "{\"requires\":[\"bf16\"]}", NULL), 200);
    reply = get(&d[1], BLUE);
    cr_assert(strstr(cfg_json_get_str(reply, "message", ""), "forced past"));
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(reply, "requires")), 1);
    cJSON_Delete(reply);
    cr_assert_eq(patch_blue("", "{\"requires\":[\"bf16\"],\"track\":\"head\"}", NULL), 200, "it demands no more");
    cr_assert_eq(enter(&d[1], "w1", "", &reply), 409);
    cr_assert(strstr(cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(reply, "violations"), 0), "message", ""),
                     "the deployment requires it"));
    cJSON_Delete(reply);
    cr_assert_eq(enter(&d[1], "w1", ",\"capabilities\":[\"bf16\"]", NULL), 200);
    cr_assert_eq(patch_blue("", "{\"requires\":null}", NULL), 200);
    reply = get(&d[1], BLUE);
    cr_assert_null(cfg_json_get(reply, "requires"));
    cJSON_Delete(reply);
    stream_close(w0);
}
