/* Parts of several replicas put together, and past runs looked up. */
#include "configd/fleet_merge.h"
#include "configd/fleet_past.h"
#include "configd/past_runs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s in %s", err.text, text);
    return v;
}

static double num(const cJSON *o, const char *key)
{
    return cfg_json_get_num(o, key, -1);
}

#define PART(replica, roll, groups, arms)                                                                          \
    "{\"deployment\":\"blue\",\"replica\":\"" replica "\",\"url\":\"http://" replica "\",\"revision\":\"1-10\","   \
    "\"digest\":\"sha256:x\",\"stale\":false,\"live_ms\":10000,\"connected\":2,\"stragglers\":[],\"roll\":\"" roll \
    "\",\"groups\":[" groups "],\"more\":0,\"arms\":[" arms "]}"
#define GROUP(name, ranks, state, rev)                                                            \
    "{\"group\":\"" name "\",\"arm\":\"base\",\"world\":4,\"ranks\":" ranks ",\"state\":\"" state \
    "\",\"revision\":\"" rev "\",\"step\":5,\"step_rate\":10,\"p50_us\":7,\"p99_us\":9}"
#define ARM(name, n)                                                                                                  \
    "{\"arm\":\"" name "\",\"workers\":2,\"groups\":1,\"step_rate\":10,\"steps\":5,\"counts\":{\"3\":5},\"metrics\":" \
    "{\"loss\":{\"n\":" n ",\"mean\":2,\"m2\":0,\"min\":2,\"max\":2,\"last\":2,\"bad\":0}}}"

Test(fleet_merge, who_does_not_answer_is_unknown_and_never_nobody)
{
    struct fleet_answer answers[] = {
        {.replica = "r2", .url = "http://r2", .workers = 5, .why = "it did not answer in time"}};
    cJSON *whole = fleet_merge_summary(
        json(PART("r1", "current 5 aa w0\\nidle 5 bb w1\\n", GROUP("g", "2", "current", "1-9"), "")), answers, 1,
        false);
    cr_assert(cfg_json_get_bool(whole, "partial", false));
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(whole, "groups"), 0), "state", ""), "unknown",
                     "its other ranks may be there");
    cr_assert_eq(num(whole, "unknown"), 5);
    cr_assert_eq(num(whole, "workers"), 7);
    cr_assert_eq(num(cfg_json_get(whole, "states"), "unknown"), 5);
    cr_assert_eq(num(cfg_json_get(whole, "states"), "idle"), 1);
    const cJSON *other = cJSON_GetArrayItem(cfg_json_get(whole, "replicas"), 1);
    cr_assert_eq(num(other, "workers"), 5);
    cr_assert_not(cfg_json_get_bool(other, "answered", true));
    cr_assert_str_eq(cfg_json_get_str(other, "why", ""), "it did not answer in time");
    cr_assert_null(cfg_json_get(whole, "roll"));
    cJSON_Delete(whole);
}

Test(fleet_merge, who_has_moved_on_is_no_straggler_where_it_was)
{
    struct fleet_answer answers[] = {{.replica = "r2",
                                      .url = "http://r2",
                                      .workers = 2,
                                      .body = json(PART("r2", "current 5 aa w0\\nlagging 5 bb w1\\n", "", ""))}};
    cJSON *own = json(PART("r1", "stale 60000 aa w0\\n", "", "")), *behind;
    cr_assert_eq(cfg_json_set(own, "stragglers",
                              json("[{\"worker\":\"w0\",\"state\":\"stale\",\"why\":\"x\",\"replica\":\"r1\"}]")),
                 0);
    cr_assert_eq(cfg_json_set(answers[0].body, "stragglers",
                              json("[{\"worker\":\"w1\",\"state\":\"lagging\",\"why\":\"y\",\"replica\":\"r2\"}]")),
                 0);
    cJSON *whole = fleet_merge_summary(own, answers, 1, false);
    behind = cfg_json_get(whole, "stragglers");
    cr_assert_eq(cJSON_GetArraySize(behind), 1);
    cr_assert_str_eq(cfg_json_get_str(behind->child, "worker", ""), "w1");
    cr_assert_eq(num(cfg_json_get(whole, "states"), "stale"), -1);
    cr_assert_eq(num(whole, "workers"), 2);
    cJSON_Delete(whole);
    cJSON_Delete(answers[0].body);
}

Test(fleet_merge, groups_and_arms_are_joined_over_replicas)
{
    struct fleet_answer answers[] = {{.replica = "r2",
                                      .url = "http://r2",
                                      .workers = 9,
                                      .body = json(PART("r2", "lagging 5 cc w2\\ncurrent 5 dd w3\\n",
                                                        GROUP("g", "2", "lagging", "1-9"), ARM("base", "3")))}};
    cJSON *own =
        json(PART("r1", "current 5 aa w0\\ncurrent 5 bb w1\\n",
                  GROUP("g", "2", "current", "1-10") "," GROUP("h", "3", "current", "1-10"), ARM("base", "1")));
    cJSON *whole = fleet_merge_summary(own, answers, 1, false);
    cr_assert_not(cfg_json_get_bool(whole, "partial", true));
    cr_assert_eq(num(whole, "workers"), 4, "what it answered counts, not what its presence had said");
    const cJSON *groups = cfg_json_get(whole, "groups"), *h = cJSON_GetArrayItem(groups, 0),
                *g = cJSON_GetArrayItem(groups, 1);
    cr_assert_str_eq(cfg_json_get_str(h, "group", ""), "h", "the worst comes first");
    cr_assert_str_eq(cfg_json_get_str(h, "state", ""), "gone");
    cr_assert_str_eq(cfg_json_get_str(h, "why", ""), "3 of 4 ranks are connected");
    cr_assert_eq(num(g, "ranks"), 4);
    cr_assert_str_eq(cfg_json_get_str(g, "state", ""), "lagging");
    cr_assert_str_eq(cfg_json_get_str(g, "revision", ""), "1-9");
    const cJSON *arm = cJSON_GetArrayItem(cfg_json_get(whole, "arms"), 0);
    cr_assert_eq(num(arm, "workers"), 4);
    cr_assert_eq(num(arm, "groups"), 1, "g is one group");
    cr_assert_eq(num(arm, "step_rate"), 10);
    cr_assert_eq(num(cfg_json_get(arm, "latency"), "n"), 10);
    cr_assert_eq(num(cfg_json_get(cfg_json_get(arm, "metrics"), "loss"), "n"), 4);
    cJSON_Delete(whole);
    cJSON_Delete(answers[0].body);
}

/* A rank that has told nothing yet is not one that stands still. */
Test(fleet_merge, a_pace_that_is_not_known_is_not_zero)
{
    static const char *const paces[][2] = {{"0", "8"}, {"8", "0"}, {"8", "8"}};
    for (size_t i = 0; i < sizeof paces / sizeof paces[0]; i++) {
        cJSON *parts[2];
        for (int k = 0; k < 2; k++) {
            parts[k] = json(k == 0 ? PART("r1", "", GROUP("g", "2", "current", "1-9"), ARM("base", "1"))
                                   : PART("r2", "", GROUP("g", "2", "current", "1-9"), ARM("base", "1")));
            cJSON_SetNumberValue(cfg_json_get(cJSON_GetArrayItem(cfg_json_get(parts[k], "groups"), 0), "step_rate"),
                                 atof(paces[i][k]));
            cJSON_SetNumberValue(cfg_json_get(cJSON_GetArrayItem(cfg_json_get(parts[k], "arms"), 0), "step_rate"),
                                 atof(paces[i][k]));
        }
        struct fleet_answer answers[] = {{.replica = "r2", .url = "http://r2", .workers = 2, .body = parts[1]}};
        cJSON *whole = fleet_merge_summary(parts[0], answers, 1, false);
        cr_assert_eq(num(cJSON_GetArrayItem(cfg_json_get(whole, "groups"), 0), "step_rate"), 8);
        cr_assert_eq(num(cJSON_GetArrayItem(cfg_json_get(whole, "arms"), 0), "step_rate"), 8);
        cJSON_Delete(whole);
        cJSON_Delete(parts[1]);
    }
}

Test(fleet_merge, a_part_of_a_part_is_the_same)
{
    cJSON *part = fleet_merge_summary(
        json(PART("r2", "lagging 5 cc w2\\n", GROUP("g", "2", "lagging", "1-9"), ARM("base", "3"))), NULL, 0, true);
    cr_assert_str_eq(cfg_json_get_str(part, "roll", ""), "lagging 5 cc w2\n");
    cr_assert_str_eq(cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(part, "groups"), 0), "state", ""), "lagging",
                     "ranks elsewhere are not missing");
    struct fleet_answer answers[] = {{.replica = "r2", .url = "http://r2", .workers = 1, .body = part}};
    cJSON *whole = fleet_merge_summary(json(PART("r1", "", GROUP("g", "2", "current", "1-10"), ARM("base", "1"))),
                                       answers, 1, false);
    const cJSON *arm = cJSON_GetArrayItem(cfg_json_get(whole, "arms"), 0);
    cr_assert_eq(num(cfg_json_get(arm, "latency"), "n"), 10);
    cr_assert_eq(num(cJSON_GetArrayItem(cfg_json_get(whole, "groups"), 0), "ranks"), 4);
    cJSON_Delete(whole);
    cJSON_Delete(part);
}

Test(fleet_merge, parts_of_another_version_do_no_harm)
{
    static const char *const strange[] = {
        "{}", "{\"roll\":7,\"groups\":{},\"arms\":[7],\"stragglers\":null}",
        "{\"roll\":\"x\\n  \\na b c\\nfine 1 a w9\\n\",\"groups\":[{}],\"arms\":[{}]}"};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        struct fleet_answer answers[] = {{.replica = "r2", .url = "", .workers = 1, .body = json(strange[i])}};
        cJSON *whole =
            fleet_merge_summary(json(PART("r1", "current 5 aa w0\\n", "", ARM("base", "1"))), answers, 1, false);
        cr_assert_not_null(whole, "%s", strange[i]);
        cr_assert_eq(num(cfg_json_get(whole, "states"), "current"), 1);
        cJSON_Delete(whole);
        cJSON *list = fleet_merge_workers(
            json("{\"replica\":\"r1\",\"workers\":[{\"worker\":\"w0\",\"connected\":true}]}"), answers, 1);
        cr_assert_eq(cJSON_GetArraySize(cfg_json_get(list, "workers")), 1);
        cJSON_Delete(list);
        cJSON_Delete(answers[0].body);
    }
}

#define SERVED(flag, count, sketch) \
    "{\"flag\":\"" flag "\",\"variant\":\"on\",\"arm\":\"base\",\"count\":" count ",\"units\":1" sketch "}"

Test(fleet_merge, exposures_of_the_same_flag_are_added)
{
    struct fleet_answer answers[] = {
        {.replica = "r2",
         .url = "http://r2",
         .workers = 1,
         .body = json("{\"exposures\":[" SERVED("e/b", "4", "") "," SERVED("e/c", "5", "") "]}")}};
    cJSON *own = json("{\"replica\":\"r1\",\"exposures\":[" SERVED("e/a", "1", "") "," SERVED("e/b", "2", "") "]}");
    cJSON *whole = fleet_merge_exposures(own, answers, 1, false), *list = cfg_json_get(whole, "exposures");
    cr_assert_eq(cJSON_GetArraySize(list), 3);
    cr_assert_eq(num(cJSON_GetArrayItem(list, 0), "count"), 1);
    cr_assert_eq(num(cJSON_GetArrayItem(list, 1), "count"), 6);
    cr_assert_eq(num(cJSON_GetArrayItem(list, 2), "count"), 5);
    cr_assert_null(cfg_json_get(cJSON_GetArrayItem(list, 1), "sketch"));
    cJSON_Delete(whole);
    cJSON_Delete(answers[0].body);
}

/* --- the past --- */

static void record(struct cfg_buf *out, const char *incarnation, uint64_t revision, uint64_t step, const char *at)
{
    char group[] = "g", worker[] = "w0";
    struct fleet_run r = {.group = group, .worker = worker, .from = step};
    r.incarnation = strdup(incarnation);
    r.revision = (struct cfg_rev){revision ? 1 : 0, revision};
    (void)snprintf(r.at, sizeof r.at, "%s", at);
    cfg_buf_puts(out, out->len > 0 ? "," : "{\"runs\":[");
    fleet_run_print(out, &r);
    free(r.incarnation);
}

/* "INCARNATION:REVISION:FROM-TO …" of the runs that had the step. */
static const char *ran(struct cfg_buf *records, uint64_t step)
{
    static char text[512];
    struct fleet_past p = {0};
    struct cfg_buf batch;
    bool partial = false;
    cfg_buf_init(&batch, 65536);
    cfg_buf_put(&batch, records->data, records->len);
    cfg_buf_puts(&batch, "]}");
    cr_assert_eq(fleet_past_take(&p, cfg_buf_slice(&batch), NULL, NULL), 0);
    cJSON *list = fleet_past_at(&p, step, 10, &partial), *r;
    cr_assert_not(partial);
    text[0] = '\0';
    cJSON_ArrayForEach(r, list)
    {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "%s%s:%s:%.0f-%.0f", n ? " " : "",
                       cfg_json_get_str(r, "incarnation", ""), cfg_json_get_str(r, "revision", ""), num(r, "from_step"),
                       num(r, "to_step"));
    }
    cJSON_Delete(list);
    fleet_past_finish(&p);
    cfg_buf_finish(&batch);
    return text;
}

Test(fleet_past, a_step_lies_under_the_revision_adopted_last)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 65536);
    record(&b, "a", 5, 0, "t1");
    record(&b, "a", 9, 40, "t2");
    record(&b, "a", 9, 40, "t2"); /* told twice */
    record(&b, "a", 12, 100, "t3");
    cr_assert_str_eq(ran(&b, 0), "a:1-5:0-39");
    cr_assert_str_eq(ran(&b, 39), "a:1-5:0-39");
    cr_assert_str_eq(ran(&b, 40), "a:1-9:40-99");
    cr_assert_str_eq(ran(&b, 100), "a:1-12:100--1");
    cr_assert_str_eq(ran(&b, 7000), "a:1-12:100--1", "its end is not known");
    record(&b, "a", 0, 150, "t4");
    cr_assert_str_eq(ran(&b, 150), "a:1-12:100-150");
    cr_assert_str_eq(ran(&b, 151), "");
    cfg_buf_finish(&b);
}

Test(fleet_past, a_step_may_have_run_more_than_once)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 65536);
    record(&b, "a", 5, 0, "t1");
    record(&b, "a", 9, 40, "t2");
    record(&b, "a", 9, 20, "t3"); /* back to a checkpoint */
    cr_assert_str_eq(ran(&b, 25), "a:1-9:20--1 a:1-5:0-39");
    cr_assert_str_eq(ran(&b, 60), "a:1-9:20--1 a:1-9:40--1", "how far it had come is not known");
    record(&b, "b", 12, 50, "t4"); /* the next process */
    cr_assert_str_eq(ran(&b, 50), "b:1-12:50--1 a:1-9:20--1 a:1-9:40--1");
    cr_assert_str_eq(ran(&b, 3), "a:1-5:0-39");
    cfg_buf_finish(&b);
}

Test(fleet_past, what_is_no_record_is_left_out)
{
    static const char strange[] =
        "{\"runs\":[7,{},{\"group\":\"g\"},{\"group\":\"g\",\"step\":-1,\"revision\":\"1-5\"},"
        "{\"group\":\"g\",\"step\":1,\"revision\":\"x\"}]}";
    struct fleet_past p = {0};
    cr_assert_eq(fleet_past_take(&p, cfg_slice_str(strange), NULL, NULL), 0);
    cr_assert_eq(fleet_past_take(&p, cfg_slice_str("no JSON"), NULL, NULL), 0);
    cr_assert_eq(p.n, 0u);
    fleet_past_finish(&p);
}

/* --- what the log tells of it --- */

static void add_run(struct fleet_past *p, const char *group, const char *incarnation, uint64_t revision, uint64_t step,
                    unsigned second)
{
    struct fleet_run *r = &p->runs[p->n];
    *r = (struct fleet_run){.group = strdup(group),
                            .incarnation = strdup(incarnation),
                            .worker = strdup(group),
                            .revision = {revision ? 1 : 0, revision},
                            .from = step,
                            .order = p->n++};
    (void)snprintf(r->at, sizeof r->at, "2026-12-01T02:%02u:%02uZ", second / 60 % 60, second % 60);
}

static struct fleet_past room_for(size_t n)
{
    struct fleet_past p = {.runs = calloc(n, sizeof *p.runs), .cap = n};
    cr_assert_not_null(p.runs);
    return p;
}

static const char *told(const cJSON *events, int i)
{
    static char text[160];
    const cJSON *e = cJSON_GetArrayItem(events, i);
    (void)snprintf(text, sizeof text, "%s %s", cfg_json_get_str(e, "object", ""), cfg_json_get_str(e, "what", ""));
    return text;
}

Test(past_runs, a_revision_is_told_once_and_a_restart_for_itself)
{
    struct fleet_past p = room_for(8);
    add_run(&p, "g", "a", 5, 0, 0);
    add_run(&p, "h", "x", 5, 3, 1);
    add_run(&p, "g", "a", 9, 40, 2);
    add_run(&p, "g", "a", 0, 70, 3);
    add_run(&p, "g", "b", 9, 60, 4);
    add_run(&p, "h", "x", 9, 80, 5);
    cJSON *events = cfg_past_runs(&p, NULL, 0, INT64_MAX, 100);
    cr_assert_eq(cJSON_GetArraySize(events), 4);
    cr_assert_str_eq(told(events, 0), "group/g started again, at step 60");
    cr_assert_str_eq(told(events, 1), "group/g ended at step 70");
    cr_assert_str_eq(told(events, 2), "group/g first to adopt 1-9, at step 40; 3 in all");
    cr_assert_str_eq(told(events, 3), "group/g first to adopt 1-5, at step 0; 2 in all");
    cJSON_Delete(events);
    events = cfg_past_runs(&p, NULL, 0, INT64_MAX, 2);
    cr_assert_eq(cJSON_GetArraySize(events), 2, "the latest ones");
    cr_assert_str_eq(told(events, 1), "group/g ended at step 70");
    cJSON_Delete(events);
    const int64_t since = INT64_C(1796090523) * 1000000; /* 02:02:03 */
    events = cfg_past_runs(&p, NULL, since, INT64_MAX, 100);
    cr_assert_eq(cJSON_GetArraySize(events), 0, "all were before");
    cJSON_Delete(events);
    fleet_past_finish(&p);
}

/* A fleet of thousands makes a record for each worker and change: a look at every pair of them would take minutes. */
Test(past_runs, a_hundred_thousand_records_are_no_hurdle, .timeout = 30)
{
    enum { WORKERS = 5000, CHANGES = 20 };
    struct fleet_past p = room_for((size_t)WORKERS * CHANGES);
    char group[24];
    for (unsigned c = 0; c < CHANGES; c++)
        for (unsigned w = 0; w < WORKERS; w++) {
            (void)snprintf(group, sizeof group, "w%u", w);
            add_run(&p, group, "a", 10 + c, c * 100, c);
        }
    cJSON *events = cfg_past_runs(&p, NULL, 0, INT64_MAX, 1000);
    cr_assert_eq(cJSON_GetArraySize(events), CHANGES);
    cr_assert_str_eq(told(events, CHANGES - 1), "group/w0 first to adopt 1-10, at step 0; 5000 in all");
    cJSON_Delete(events);
    fleet_past_finish(&p);
}
