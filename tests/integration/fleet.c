/* Two daemons that tell each other of their workers through presence, under a lease that outlives a
 * daemon for as long as its workers may need to find another. */
#include "stream_rig.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_test_etcd *etcd;
static struct daemon d[2];

#define BLUE "/v1/deployments/blue/stream?worker=%s&incarnation=%s"
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

TestSuite(fleet, .init = setup, .fini = teardown);

static struct stream *join(const struct daemon *at, const char *worker, const char *incarnation)
{
    daemon_register(at, worker, incarnation, 200);
    char *path = cfg_test_format(BLUE, worker, incarnation);
    struct stream *s = stream_open(at, path, NULL);
    cr_assert_eq(s->status, 200);
    (void)stream_expect(s, "view");
    free(path);
    return s;
}

/* Workers of the other replicas, as presence tells `at`; −1 while it does not answer. */
static double elsewhere(const struct daemon *at)
{
    cJSON *list;
    if (daemon_call(&list, at, "GET", "/v1/deployments/blue/contract", NULL, NULL) != 200) {
        cJSON_Delete(list); /* a problem, while etcd is away */
        return -1;
    }
    double n = cfg_json_get_num(list, "unknown", 0);
    const cJSON *c;
    cJSON_ArrayForEach(c, cfg_json_get(list, "contracts"))
    {
        n += cfg_json_get(c, "replica") ? cfg_json_get_num(c, "workers", 0) : 0;
    }
    cJSON_Delete(list);
    return n;
}

static bool sees(void *arg)
{
    return elsewhere(&d[1]) == *(double *)arg;
}

static void expect_elsewhere(double n, unsigned timeout_ms)
{
    cr_assert(cfg_test_poll(sees, &n, timeout_ms), "the other replica sees %g workers here, not %g", elsewhere(&d[1]),
              n);
}

static void reach_is(const struct daemon *at, const char *name, const char *value, double live, double unread)
{
    cJSON *reply;
    char *body = cfg_test_format("[{\"namespace\":\"chat\",\"set\":[{\"name\":\"%s\",\"mode\":\"set\",\"value\":%s}]}]",
                                 name, value);
    cr_assert_eq(daemon_call(&reply, at, "POST", "/v1/changes", NULL, body) / 100, 2);
    const cJSON *reach = cfg_json_get(cJSON_GetArrayItem(cfg_json_get(reply, "results"), 0), "reach");
    cr_assert_eq(cfg_json_get_num(reach, "live", -1), live, "%s", name);
    cr_assert_eq(cfg_json_get_num(reach, "unread", -1), unread, "%s", name);
    cr_assert_eq(cfg_json_get_num(reach, "unknown", -1), 0);
    cJSON_Delete(reply);
    free(body);
}

Test(fleet, a_write_anywhere_tells_its_reach_everywhere)
{
    struct stream *w0 = join(&d[0], "w0", A), *w1 = join(&d[0], "w1", A), *w2 = join(&d[1], "w2", A);
    expect_elsewhere(2, 10000);
    reach_is(&d[1], "a", "5", 3, 0);
    reach_is(&d[1], "b", "5", 0, 3);
    stream_close(w1);
    expect_elsewhere(1, 10000);
    reach_is(&d[1], "a", "6", 2, 0);
    cr_assert_eq(daemon_call(NULL, &d[1], "DELETE", "/v1/deployments/blue", NULL, NULL), 409, "workers are connected");
    stream_close(w0);
    expect_elsewhere(0, 10000);
    stream_close(w2);
}

/* --- what workers elsewhere would reject --- */

static int write_status(const struct daemon *at, const char *value, const char *query, cJSON **reply)
{
    char *path = cfg_test_format("/v1/changes%s", query);
    char *body = cfg_test_format("[{\"namespace\":\"chat\",\"set\":[{\"name\":\"a\",\"mode\":\"force\",\"value\":%s,"
                                 "\"change_type\":true}]}]",
                                 value);
    int status = daemon_call(reply, at, "POST", path, NULL, body);
    free(path);
    free(body);
    return status;
}

/* The worker is connected to one daemon, the write comes to the other. */
Test(fleet, a_write_that_a_worker_elsewhere_would_reject_is_refused)
{
    cJSON *reply = NULL;
    struct stream *w0 = join(&d[0], "w0", A);
    expect_elsewhere(1, 10000);
    cr_assert_eq(write_status(&d[1], "\"text\"", "", &reply), 409);
    cr_assert_str_eq(cfg_json_get_str(reply, "code", ""), "contract");
    const cJSON *v = cJSON_GetArrayItem(cfg_json_get(reply, "violations"), 0);
    cr_assert_str_eq(cfg_json_get_str(v, "path", ""), "a");
    cr_assert_str_eq(cfg_json_get_str(v, "worker", ""), "w0");
    cr_assert_str_eq(cfg_json_get_str(v, "deployment", ""), "blue");
    cr_assert(cfg_json_get(v, "replica"));
    cJSON_Delete(reply);
    cr_assert_eq(write_status(&d[1], "\"text\"", "?force=true", &reply), 200);
    const cJSON *result = cJSON_GetArrayItem(cfg_json_get(reply, "results"), 0);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(result, "forced")), 1);
    cJSON_Delete(reply);
    cr_assert_eq(write_status(&d[1], "7", "", NULL), 200);
    stream_close(w0);
    expect_elsewhere(0, 10000);
    cr_assert_eq(write_status(&d[1], "\"text\"", "", NULL), 200);
}

static void end(struct daemon *which, int signal)
{
    which->ending = true;
    cfg_test_proc_signal(which->proc, signal);
    (void)cfg_test_proc_wait(which->proc, 20000);
    cfg_test_proc_free(which->proc);
    which->proc = NULL;
}

static char *post(const char *path, const char *body)
{
    char *reply = NULL;
    cr_assert_eq(cfg_test_post(&reply, cfg_test_etcd_endpoint(etcd, 0), path, body), 200);
    return reply;
}

/* Seconds for which the lease of the first record in presence was granted. */
static double granted_s(void)
{
    char *key = cfg_test_base64("/configd/v1/live/presence/", 26),
         *until = cfg_test_base64("/configd/v1/live/presence0", 26);
    char *range = cfg_test_format("{\"key\":\"%s\",\"range_end\":\"%s\"}", key, until),
         *text = post("/v3/kv/range", range);
    cJSON *reply = NULL, *ttl = NULL;
    cr_assert_eq(cfg_json_parse(&reply, cfg_slice_str(text), 0, NULL), 0);
    const char *lease = cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(reply, "kvs"), 0), "lease", "");
    char *ask = cfg_test_format("{\"ID\":\"%s\"}", lease), *told = post("/v3/lease/timetolive", ask);
    cr_assert_eq(cfg_json_parse(&ttl, cfg_slice_str(told), 0, NULL), 0);
    double s = strtod(cfg_json_get_str(ttl, "grantedTTL", "0"), NULL);
    cJSON_Delete(reply);
    cJSON_Delete(ttl);
    free(key);
    free(until);
    free(range);
    free(text);
    free(ask);
    free(told);
    return s;
}

/* A worker notices after 45 seconds that its configd hangs, and may be ten more on its way to another. As long as
 * nobody knows better it is somebody, whose contract counts. */
Test(fleet, presence_outlives_its_daemon_until_its_workers_are_elsewhere)
{
    cJSON *reply = NULL;
    struct stream *w0 = join(&d[0], "w0", A), *w1 = join(&d[0], "w1", A), *w2 = join(&d[1], "w2", B);
    expect_elsewhere(2, 10000);
    cr_assert_geq(granted_s(), 45 + 10 + 5, "from the last renewal on");
    end(&d[0], SIGKILL);
    stream_close(w0);
    stream_close(w1);
    stream_close(w2);
    cr_assert_eq(write_status(&d[1], "\"text\"", "", &reply), 409);
    const cJSON *v = cJSON_GetArrayItem(cfg_json_get(reply, "violations"), 0);
    cr_assert_str_eq(cfg_json_get_str(v, "worker", ""), "w0");
    cr_assert_eq(cfg_json_get_num(v, "workers", 0), 2);
    cJSON_Delete(reply);
    w0 = join(&d[1], "w0", A);
    expect_elsewhere(1, 0);
    reach_is(&d[1], "a", "5", 2, 0); /* one is here, one is on its way */
    w1 = join(&d[1], "w1", A);
    expect_elsewhere(0, 0);
    reach_is(&d[1], "a", "6", 2, 0);
    stream_close(w0);
    stream_close(w1);
}

Test(fleet, who_is_sent_away_by_a_daemon_that_stops_is_not_nobody)
{
    struct stream *w0 = join(&d[0], "w0", A);
    expect_elsewhere(1, 10000);
    end(&d[0], SIGTERM);
    stream_close(w0);
    cr_assert_eq(elsewhere(&d[1]), 1);
    cr_assert_eq(write_status(&d[1], "\"text\"", "", NULL), 409);
    w0 = join(&d[1], "w0", A);
    expect_elsewhere(0, 0);
    stream_close(w0);
}

Test(fleet, a_daemon_that_nobody_is_connected_to_leaves_nothing)
{
    struct stream *w0 = join(&d[0], "w0", A);
    expect_elsewhere(1, 10000);
    stream_close(w0);
    expect_elsewhere(0, 10000);
    end(&d[0], SIGTERM);
    cr_assert_eq(elsewhere(&d[1]), 0);
}

Test(fleet, presence_returns_after_etcd_was_away)
{
    struct stream *w0 = join(&d[0], "w0", A);
    expect_elsewhere(1, 10000);
    char *key = cfg_test_format("/configd/v1/live/presence/");
    cr_assert_gt(cfg_test_delete_prefix(cfg_test_etcd_endpoint(etcd, 0), key), 0); /* as an expired lease does */
    expect_elsewhere(0, 10000);
    expect_elsewhere(1, 20000);
    cfg_test_etcd_kill(etcd, 0);
    struct stream *w1 = join(&d[0], "w1", A);
    cfg_test_etcd_restart(etcd, 0);
    expect_elsewhere(2, 30000);
    free(key);
    stream_close(w0);
    stream_close(w1);
}
