/* What operators type, and what they are told: times, the way back, a fleet's state, what is wrong. */
#include "client/cfgctl/doctor.h"
#include "client/cfgctl/restore_point.h"
#include "client/cfgctl/status_text.h"
#include "client/cfgctl/when.h"
#include "proto/rfc3339.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void in_berlin(void)
{
    (void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
}
TestSuite(when, .init = in_berlin);

/* Read at 2026-12-01T02:30:00+01:00. */
static const char *when(const char *text)
{
    static char out[CFG_RFC3339_TEXT];
    int64_t now = 0, us = 0;
    static struct cfg_error err;
    cr_assert_eq(cfg_rfc3339_parse(&now, CFG_SLICE_LIT("2026-12-01T01:30:00Z"), NULL), 0);
    if (when_parse(&us, text, now, &err) != 0)
        return err.text;
    return cfg_rfc3339_print(out, us);
}

Test(when, reads_what_operators_type)
{
    static const struct {
        const char *text, *means;
    } rows[] = {
        {"now", "2026-12-01T01:30:00.000000Z"},
        {"2h", "2026-11-30T23:30:00.000000Z"},
        {"2h ago", "2026-11-30T23:30:00.000000Z"},
        {"1h30m", "2026-12-01T00:00:00.000000Z"},
        {"1h 30min ago", "2026-12-01T00:00:00.000000Z"},
        {"90 s", "2026-12-01T01:28:30.000000Z"},
        {"500ms", "2026-12-01T01:29:59.500000Z"},
        {"1w", "2026-11-24T01:30:00.000000Z"},
        {"02:10", "2026-12-01T01:10:00.000000Z"},
        {"02:10:30", "2026-12-01T01:10:30.000000Z"},
        {"02:40", "2026-11-30T01:40:00.000000Z"}, /* still to come today: yesterday's */
        {"yesterday 02:10", "2026-11-30T01:10:00.000000Z"},
        {"2026-11-30", "2026-11-29T23:00:00.000000Z"},
        {"2026-11-30 22:00", "2026-11-30T21:00:00.000000Z"},
        {"2026-07-01 22:00", "2026-07-01T20:00:00.000000Z"}, /* summer time */
        {"2026-07-01T22:00:07", "2026-07-01T20:00:07.000000Z"},
        {"2026-07-01T22:00:07Z", "2026-07-01T22:00:07.000000Z"},
        {"2026-07-01T22:00:07.25+05:00", "2026-07-01T17:00:07.250000Z"},
        {"@1764556800", "2025-12-01T02:40:00.000000Z"},
        {"sometime", "'sometime' is no time"},
        {"", "'' is no time"},
        {"2x", "'2x' is no time"},
        {"h", "'h' is no time"},
        {"25:00", "'25:00' is no time"},
        {"2026-02-30", "'2026-02-30' is no time"},
        {"99999999h", "'99999999h' is no time"},
        {"9999999d", "'9999999d' is no time"},
        {"ago", "'ago' is no time"},
        {"@", "'@' is no time"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_str_eq(when(rows[i].text), rows[i].means, "%s: %s", rows[i].text, when(rows[i].text));
}

/* A rollout that shall begin at 02:10 begins tomorrow, not with yesterday's 02:10 at once. */
Test(when, what_shall_begin_lies_ahead)
{
    static const struct {
        const char *text, *means;
    } rows[] = {
        {"02:40", "2026-12-01T01:40:00.000000Z"},
        {"02:10", "2026-12-02T01:10:00.000000Z"}, /* over today: tomorrow's */
        {"02:30", "2026-12-02T01:30:00.000000Z"},
        {"10m", "2026-12-01T01:40:00.000000Z"},
        {"in 1h30m", "2026-12-01T03:00:00.000000Z"},
        {"+90s", "2026-12-01T01:31:30.000000Z"},
        {"now", "2026-12-01T01:30:00.000000Z"},
        {"2026-12-01 02:40", "2026-12-01T01:40:00.000000Z"},
        {"2026-12-01T02:40:00Z", "2026-12-01T02:40:00.000000Z"},
        {"2026-12-01 02:20", "'2026-12-01 02:20' is over: that was 2026-12-01 02:20:00 here"},
        {"@1764556800", "'@1764556800' is over: that was 2025-12-01 03:40:00 here"},
        {"2h ago", "'2h ago' is over: that was 2026-12-01 00:30:00 here"},
        {"yesterday 22:00", "'yesterday 22:00' is no time to come"},
        {"in 02:40", "'in 02:40' is no time to come"},
        {"+", "'+' is no time to come"},
        {"", "'' is no time to come"},
    };
    int64_t now = 0, us = 0;
    struct cfg_error err;
    char printed[CFG_RFC3339_TEXT];
    cr_assert_eq(cfg_rfc3339_parse(&now, CFG_SLICE_LIT("2026-12-01T01:30:00Z"), NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = when_parse_ahead(&us, rows[i].text, now, &err);
        cr_assert_str_eq(rc ? err.text : cfg_rfc3339_print(printed, us), rows[i].means, "%s", rows[i].text);
    }
}

Test(when, shows_local_times)
{
    char out[32];
    cr_assert_str_eq(when_local(out, "2026-07-01T22:00:07.25Z"), "2026-07-02 00:00:07");
    cr_assert_str_eq(when_local(out, "whenever"), "whenever");
}

static cJSON *read(const char *text)
{
    cJSON *tree = NULL;
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(text), 0, NULL), 0, "%s", text);
    return tree;
}

/* The entries, or the error. */
static const char *changes(const char *past, const char *deployment, const char *except)
{
    static char out[2048];
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf text;
    cJSON *p = read(past), *d = read(deployment), *e = except ? read(except) : NULL, *list = NULL;
    cfg_buf_init(&text, sizeof out - 1);
    if (restore_point_changes(&list, p, d, e, &err) == 0)
        cfg_json_print(&text, list);
    else
        cfg_buf_puts(&text, err.text);
    (void)snprintf(out, sizeof out, "%s", text.data);
    cfg_buf_finish(&text);
    cJSON_Delete(p);
    cJSON_Delete(d);
    cJSON_Delete(e);
    cJSON_Delete(list);
    return out;
}

#define HEAD "{\"name\":\"blue\",\"flags\":[\"f\"],\"arms\":{\"base\":{\"follows\":\"head\",\"release\":{\"chat\":5}}}}"
#define HOLDS \
    "{\"name\":\"blue\",\"flags\":[\"f\"],\"arms\":{\"base\":{\"follows\":\"fixed\",\"release\":{\"chat\":5}}}}"
#define OBJECTS                                                                         \
    "\"objects\":[{\"object\":\"config/chat\",\"then\":3,\"now\":5,\"deleted\":false}," \
    "{\"object\":\"config/low\",\"then\":0,\"now\":1,\"deleted\":false},"               \
    "{\"object\":\"flag/f/a\",\"then\":2,\"now\":4,\"deleted\":true},"                  \
    "{\"object\":\"flag/f/b\",\"then\":0,\"now\":1,\"deleted\":false}]"
#define PAST(held, locked, release, flags) \
    "{\"now\":7,\"held\":" held ",\"locked\":" locked ",\"release\":" release ",\"flags\":" flags "," OBJECTS "}"

Test(restore_point, one_that_follows_gets_its_documents_back)
{
    cr_assert_str_eq(changes(PAST("null", "false", "{\"chat\":3}", "[\"f\"]"), HEAD, NULL),
                     "[{\"object\":\"config/chat\",\"if_version\":5,\"rollback_to\":3},"
                     "{\"object\":\"flag/f/a\",\"if_version\":4,\"rollback_to\":2},"
                     "{\"object\":\"flag/f/b\",\"if_version\":1,\"delete\":true}]");
    cr_assert_str_eq(changes(PAST("null", "false", "{\"chat\":3}", "[\"f\"]"), HEAD, "[\"chat\",\"flag/f/b\"]"),
                     "[{\"object\":\"flag/f/a\",\"if_version\":4,\"rollback_to\":2}]");
    cr_assert_str_eq(
        changes(PAST("{\"chat\":2}", "false", "{\"chat\":2}", "[]"), HEAD, "[\"f/a\",\"f/b\",\"config/chat\"]"),
        "[{\"object\":\"deployment/blue\",\"if_version\":7,\"patch\":{\"flags\":[]}}]");
}

Test(restore_point, one_that_held_gets_what_it_held_into_its_documents)
{
    static const char then[] = "{\"now\":7,\"held\":{\"chat\":2,\"same\":4},\"locked\":false,"
                               "\"release\":{\"chat\":2,\"same\":4},\"flags\":[\"f\"],\"objects\":[]}",
                      now[] = "{\"name\":\"blue\",\"flags\":[\"f\"],\"arms\":{\"base\":{\"follows\":\"head\","
                              "\"release\":{\"chat\":5,\"same\":4}}}}";
    cr_assert_str_eq(changes(then, now, NULL), "[{\"object\":\"config/chat\",\"rollback_to\":2,\"if_version\":5}]");
    cr_assert_str_eq(changes(then, now, "[\"chat\"]"), "[]");
}

Test(restore_point, one_that_holds_is_moved)
{
    cr_assert_str_eq(changes(PAST("null", "false", "{\"chat\":3}", "[\"f\"]"), HOLDS, "[\"f/a\",\"f/b\"]"),
                     "[{\"object\":\"deployment/blue\",\"if_version\":7,\"patch\":{\"release\":{\"chat\":3}}}]");
    cr_assert_str_eq(changes(PAST("{\"chat\":5}", "false", "{\"chat\":5}", "[\"f\"]"), HOLDS, "[\"f/a\",\"f/b\"]"),
                     "[]");
}

Test(restore_point, a_lock_is_not_bridged)
{
    cr_assert(strstr(changes(PAST("null", "true", "{}", "[]"), HEAD, NULL), "blue ran a lock then and does not now"));
}

Test(restore_point, too_many_objects_are_not_halved)
{
    struct cfg_buf past;
    cfg_buf_init(&past, 1 << 16);
    cfg_buf_puts(&past, "{\"now\":7,\"held\":null,\"locked\":false,\"release\":{},\"flags\":[\"f\"],\"objects\":[");
    for (int i = 0; i < 61; i++)
        cfg_buf_printf(&past, "%s{\"object\":\"flag/f/n%d\",\"then\":1,\"now\":2,\"deleted\":false}", i > 0 ? "," : "",
                       i);
    cfg_buf_puts(&past, "]}");
    cr_assert_str_eq(changes(past.data, HEAD, NULL), "61 objects differ, and one change takes 60");
    cfg_buf_finish(&past);
}

/* --- status --- */

static const char *described_with(const char *summary, const char *rollout, size_t width, size_t height)
{
    static char out[8192];
    struct cfg_buf text;
    const struct status_size size = {width, height, false};
    cJSON *tree = read(summary), *beside = rollout ? read(rollout) : NULL;
    cfg_buf_init(&text, sizeof out - 1);
    status_describe(&text, tree, beside, "02:40:00", NULL, &size);
    cJSON_Delete(beside);
    (void)snprintf(out, sizeof out, "%s", text.data);
    cfg_buf_finish(&text);
    cJSON_Delete(tree);
    return out;
}

static const char *described(const char *summary, size_t width, size_t height)
{
    return described_with(summary, NULL, width, height);
}

#define SUMMARY                                                                                                        \
    "{\"deployment\":\"blue\",\"revision\":\"1-9\",\"workers\":7,\"partial\":true,\"unknown\":2,"                      \
    "\"states\":{\"unknown\":2,\"rejecting\":1,\"current\":4},"                                                        \
    "\"replicas\":[{\"replica\":\"r1\",\"workers\":5,\"answered\":true},{\"replica\":\"r2\",\"workers\":2,"            \
    "\"answered\":false,\"why\":\"no reply within 1 s\"}],"                                                            \
    "\"arms\":[{\"arm\":\"base\",\"workers\":5,\"groups\":3,\"step_rate\":12.34,"                                      \
    "\"latency\":{\"n\":9,\"p50_us\":8100,\"p90_us\":9000,\"p99_us\":1200000},"                                        \
    "\"metrics\":{\"loss\":{\"n\":9,\"mean\":0.5,\"sd\":0.1,\"bad\":1}}}],"                                            \
    "\"groups\":[{\"group\":\"g0\",\"arm\":\"base\",\"world\":2,\"ranks\":1,\"state\":\"rejecting\",\"why\":\"t: 3\"," \
    "\"revision\":\"1-8\",\"step\":80,\"step_rate\":0,\"p50_us\":0,\"p99_us\":0},"                                     \
    "{\"group\":\"g1\",\"arm\":\"base\",\"world\":2,\"ranks\":2,\"state\":\"current\",\"revision\":\"1-9\","           \
    "\"step\":90,\"step_rate\":4.5,\"p50_us\":850,\"p99_us\":15000},"                                                  \
    "{\"group\":\"g2\",\"arm\":\"base\",\"world\":2,\"ranks\":2,\"state\":\"current\",\"revision\":\"1-9\","           \
    "\"step\":91,\"step_rate\":4.5,\"p50_us\":850,\"p99_us\":15000},"                                                  \
    "{\"group\":\"g3\",\"arm\":\"base\",\"world\":2,\"ranks\":2,\"state\":\"current\",\"revision\":\"1-9\","           \
    "\"step\":92,\"step_rate\":4.5,\"p50_us\":850,\"p99_us\":15000}],\"more\":5,"                                      \
    "\"stragglers\":[{\"worker\":\"w3\",\"state\":\"rejecting\",\"why\":\"t: 3\\u001b lies "                           \
    "outside\",\"replica\":\"r1\"}]}"

Test(status, shows_arms_groups_and_who_is_behind)
{
    cr_assert_str_eq(described(SUMMARY, 0, 0),
                     "blue  1-9  7 workers  02:40:00\n"
                     "4 current, 1 rejecting, 2 unknown\n"
                     "partial: nothing is known of 2 workers\n"
                     "  r2 did not answer: no reply within 1 s\n"
                     "\n"
                     "ARM   WORKERS  GROUPS  STEPS/S  P50    P90    P99   METRICS\n"
                     "base  5        3       12.3     8.1ms  9.0ms  1.2s  loss 0.5±0.1 (1 not finite)\n"
                     "\n"
                     "GROUP  ARM   RANKS  STATE      REVISION  STEP  STEPS/S  P50    P99   WHY\n"
                     "g0     base  1/2    rejecting  1-8       80    -        -      -     t: 3\n"
                     "g1     base  2/2    current    1-9       90    4.5      850us  15ms  -\n"
                     "g2     base  2/2    current    1-9       91    4.5      850us  15ms  -\n"
                     "g3     base  2/2    current    1-9       92    4.5      850us  15ms  -\n"
                     "5 more groups\n"
                     "\n"
                     "w3 is rejecting: t: 3? lies outside\n");
    const char *small = described(SUMMARY, 60, 16);
    cr_assert_not_null(strstr(small, "\n6 more groups\n"), "those without room are counted: %s", small);
    cr_assert_not_null(
        strstr(described("{\"deployment\":\"blue\",\"revision\":null,\"workers\":0,\"states\":{}}", 0, 0),
               "no view yet  0 workers  02:40:00\nno workers\n"));
}

#define QUIET "{\"deployment\":\"blue\",\"revision\":\"1-9\",\"workers\":2,\"states\":{\"current\":2}}"
#define ROLLOUT(phase, more)                                                                                       \
    "{\"deployment\":\"blue\",\"config\":\"chat\",\"time\":\"2020-01-01T00:00:00Z\",\"state\":{\"phase\":\"" phase \
    "\",\"step\":1},\"from\":{\"release\":{\"chat\":41,\"low\":7}},\"to\":{\"release\":{\"chat\":42,\"low\":7}},"  \
    "\"steps\":[{\"share\":0.1},{\"share\":0.5,\"bake_ms\":60000},{\"share\":1}]" more "}"
#define LIVE(waits, waiting)                                                                        \
    ",\"live\":{\"driver\":\"r1\",\"baked_ms\":20000,\"waits\":\"" waits "\",\"waiting\":{" waiting \
    "},\"arms\":{},\"guards\":[]}"

Test(status, shows_a_rollout_and_what_comes_next)
{
    static const char head[] = "blue  1-9  2 workers  02:40:00\n2 current\n";
    static const struct {
        const char *rollout, *lines;
    } rows[] = {
        {ROLLOUT("baking", LIVE("bakes for 40 s more", "")),
         "\nrollout chat v41 → v42 · baking · 10% ▸ [50%] ▸ 100% · baked 20 of 60 s\n"
         "next: bakes for 40 s more · driven by r1\n"},
        {ROLLOUT("gate", LIVE("waits for an approval", "\"chat\":44,\"low\":9")),
         "\nrollout chat v41 → v42 · gate · 10% ▸ [50%] ▸ 100%\n"
         "next: waits for an approval: cfgctl rollout approve blue · driven by r1\n"
         "stored chat v44 waits; afterwards: cfgctl rollout start blue --to 44\n"
         "stored low v9 waits; afterwards: cfgctl rollout start blue --to low=9\n"},
        {ROLLOUT("paused", LIVE("paused", "")), "\nrollout chat v41 → v42 · paused · 10% ▸ [50%] ▸ 100%\n"
                                                "next: paused: cfgctl rollout resume blue · driven by r1\n"},
        {ROLLOUT("rolling", ",\"live\":{\"driver\":\"\",\"waits\":\"replica r2 is silent\"}"),
         "\nrollout chat v41 → v42 · rolling · 10% ▸ [50%] ▸ 100%\n"
         "next: replica r2 is silent · nobody drives it right now: another configd takes over within 6 s; if none "
         "does: "
         "cfgctl doctor\n"},
        {ROLLOUT("rolling", ",\"live\":{\"driver\":\"r1\",\"waits\":\"x\",\"observed\":{\"r1\":5000,\"r2\":20}}"),
         "\nrollout chat v41 → v42 · rolling · 10% ▸ [50%] ▸ 100%\n"
         "next: x · nobody drives it right now: r1 was last heard of 5 s ago; another configd takes over within 6 s; "
         "if none does: cfgctl doctor\n"},
        {ROLLOUT("rolling", ",\"live\":{\"driver\":\"r1\",\"waits\":\"x\",\"observed\":{\"r1\":900,\"r2\":9000}}"),
         "\nrollout chat v41 → v42 · rolling · 10% ▸ [50%] ▸ 100%\nnext: x · driven by r1\n"},
        {ROLLOUT("finished", ""), ""},
        {ROLLOUT("aborted", ",\"reason\":\"wrong\""), ""},
    };
    char wanted[1024];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(wanted, sizeof wanted, "%s%s", head, rows[i].lines);
        cr_assert_str_eq(described_with(QUIET, rows[i].rollout, 0, 0), wanted);
    }
    const char *back = described_with(QUIET, ROLLOUT("rolled-back", ",\"reason\":\"guard e<1% fails\""), 0, 0);
    cr_assert_not_null(strstr(back, "\nthe last rollout was rolled back "), "%s", back);
    cr_assert_not_null(
        strstr(back, " ago (chat v41 → v42): guard e<1% fails; all of it: cfgctl rollout history blue\n"), "%s", back);
}

Test(status, is_one_line_in_a_log)
{
    struct cfg_buf text;
    cJSON *tree = read(SUMMARY);
    cfg_buf_init(&text, 1024);
    status_line(&text, tree, "2026-12-01T02:40:00Z");
    cr_assert_str_eq(text.data, "2026-12-01T02:40:00Z blue 1-9 workers=7 current=4 rejecting=1 unknown=2 arm=base "
                                "steps/s=12.3 p50=8.1ms p99=1.2s partial\n");
    cfg_buf_finish(&text);
    cJSON_Delete(tree);
}

/* --- doctor --- */

#define WELL_ETCD                                                                                            \
    "\"etcd\":{\"embedded\":false,\"compacted\":0,\"quota\":1000,\"alarms\":[],\"members\":[{\"id\":\"1\"}," \
    "{\"id\":\"2\"},{\"id\":\"3\"}],\"endpoints\":[{\"endpoint\":\"a\",\"ok\":true,\"latency_ms\":1,"        \
    "\"version\":\"3.4.23\",\"db_size\":100,\"db_in_use\":90,\"has_leader\":true,\"revision\":9},"           \
    "{\"endpoint\":\"b\",\"ok\":true,\"version\":\"3.4.23\",\"revision\":9},"                                \
    "{\"endpoint\":\"c\",\"ok\":true,\"version\":\"3.4.23\",\"revision\":9}]}"
#define HEALTH(members) \
    "{\"replica\":\"r1\",\"state\":\"live\",\"configd\":\"1\",\"store\":\"s\",\"revision\":\"1-9\"," members "}"

/* The worst finding's severity and every "what", joined; the text it was found in. */
static const char *found(cJSON *findings)
{
    static char out[2048];
    size_t len = 0;
    const cJSON *f;
    (void)snprintf(out, sizeof out, "%s", doctor_severity_name(doctor_worst(findings)));
    cJSON_ArrayForEach(f, findings)
    {
        len = strlen(out);
        (void)snprintf(out + len, sizeof out - len, "; %s", cfg_json_get_str(f, "what", "?"));
        cr_assert(cfg_json_get_str(f, "why", "")[0] && cfg_json_get_str(f, "next", "")[0], "%s", out);
    }
    cJSON_Delete(findings);
    return out;
}

static const char *judge_server(const char *health, double offset_s)
{
    int64_t now = 0;
    cJSON *tree = read(health), *findings = cJSON_CreateArray();
    cr_assert_eq(cfg_rfc3339_parse(&now, CFG_SLICE_LIT("2026-12-01T00:00:00Z"), NULL), 0);
    doctor_judge_server(findings, tree, offset_s, 0.01, now);
    cJSON_Delete(tree);
    return found(findings);
}

Test(doctor, finds_what_is_wrong_with_a_server)
{
    static const struct {
        const char *health;
        double offset_s;
        const char *found;
    } rows[] = {
        {HEALTH(WELL_ETCD), 0.2, "ok"},
        {HEALTH(WELL_ETCD), -2.5, "warning; its clock is 2.5 s behind this machine's"},
        {HEALTH(WELL_ETCD), 1.005, "ok"}, /* as far as a request can tell */
        {HEALTH(WELL_ETCD), 40, "error; its clock is 40.0 s ahead of this machine's"},
        {"{\"replica\":\"r1\",\"state\":\"foreign\",\"why\":\"store x\"," WELL_ETCD "}", 0,
         "error; the replica faces a foreign store: store x"},
        {"{\"replica\":\"r1\",\"state\":\"reconnecting\"," WELL_ETCD "}", 0, "error; the replica is reconnecting"},
        {HEALTH("\"silence_ms\":9000," WELL_ETCD), 0, "warning; nothing was heard from etcd for 9 s"},
        {HEALTH("\"restoring\":true,\"rejected_records\":2," WELL_ETCD), 0,
         "error; a restore is under way, or was broken off; 2 records under the prefix are none of configd's"},
        {HEALTH("\"tls\":{\"certificate\":\"c.pem\",\"not_after\":\"2026-12-20T00:00:00Z\"}," WELL_ETCD), 0,
         "warning; the certificate c.pem ends in 19.0 days"},
        {HEALTH("\"tls\":{\"certificate\":\"c.pem\",\"not_after\":\"2026-12-03T00:00:00Z\"}," WELL_ETCD), 0,
         "error; the certificate c.pem ends in 2.0 days"},
        {HEALTH("\"tls\":{\"certificate\":\"c.pem\",\"not_after\":\"2026-11-30T00:00:00Z\"}," WELL_ETCD), 0,
         "error; the certificate c.pem ended 1.0 days ago"},
        {HEALTH("\"tls\":{\"certificate\":\"c.pem\",\"not_after\":\"2027-12-03T00:00:00Z\"}," WELL_ETCD), 0, "ok"},
        {HEALTH("\"token_file\":{\"file\":\"t\",\"mode\":\"0600\"},\"key_file\":{\"file\":\"k\",\"mode\":\"0640\"}"
                "," WELL_ETCD),
         0, "error; the TLS key k can be read by others (0640)"},
        {HEALTH("\"token_file\":{\"file\":\"t\",\"mode\":\"0644\"}," WELL_ETCD), 0,
         "warning; the token file t can be read by others (0644)"},
        {HEALTH("\"token_file\":{\"file\":\"t\"}," WELL_ETCD), 0, "warning; the token file t cannot be looked at"},
        {HEALTH("\"etcd\":{\"members\":[{},{},{}],\"quota\":100,\"endpoints\":[{\"endpoint\":\"a\",\"ok\":true,"
                "\"db_size\":96},{\"ok\":true},{\"ok\":true}]}"),
         0, "error; etcd's database has 0 of 0 MiB, 96 %"},
        {HEALTH("\"etcd\":{\"members\":[{},{},{}],\"quota\":100,\"endpoints\":[{\"endpoint\":\"a\",\"ok\":true,"
                "\"db_size\":80},{\"ok\":true},{\"ok\":true}]}"),
         0, "warning; etcd's database has 0 of 0 MiB, 80 %"},
        {HEALTH("\"etcd\":{\"members\":[{},{},{}],\"alarms\":[{\"member\":\"a1\",\"alarm\":\"NOSPACE\"}],"
                "\"endpoints\":[{\"ok\":true},{\"ok\":true},{\"ok\":true}]}"),
         0, "error; etcd member a1 has raised NOSPACE"},
        {HEALTH("\"token_file\":{\"file\":\"t\",\"mode\":\"0666\"}," WELL_ETCD), 0,
         "error; the token file t can be written by others (0666)"},
        {HEALTH(
             "\"etcd\":{\"members\":[{},{}],\"alarms\":[{\"member\":\"a1\",\"alarm\":\"NOSPACE\"}],\"quota\":100,"
             "\"endpoints\":[{\"endpoint\":\"a\",\"ok\":false,\"error\":\"refused\"},{\"endpoint\":\"b\",\"ok\":true,"
             "\"latency_ms\":250,\"has_leader\":true,\"db_size\":96,\"db_in_use\":20,\"version\":\"3\"}]}"),
         0,
         "error; etcd at a does not answer: refused; etcd at b took 250 ms to answer; etcd member a1 has raised "
         "NOSPACE; "
         "etcd's database has 0 of 0 MiB, 96 %; etcd has 2 voting members"},
        {HEALTH("\"etcd\":{\"members\":[{},{},{}],\"compacted\":5,\"endpoints\":[{\"endpoint\":\"a\",\"ok\":true,"
                "\"has_leader\":false,\"version\":\"3\",\"revision\":2000000}]}"),
         0,
         "error; etcd at a knows no leader; configd was told of 1 of etcd's 3 members; etcd keeps 1999995 revisions"},
        {HEALTH("\"etcd\":{\"members\":null,\"endpoints\":[{\"endpoint\":\"a\",\"ok\":true,\"version\":\"3.4\"},"
                "{\"endpoint\":\"b\",\"ok\":true,\"version\":\"3.5\"}]}"),
         0, "info; etcd at b is 3.5, at a 3.4; etcd did not tell its members"},
        {HEALTH("\"etcd\":{\"embedded\":true,\"members\":[{}],\"endpoints\":[{\"endpoint\":\"a\",\"ok\":true}]}"), 0,
         "ok"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *what = judge_server(rows[i].health, rows[i].offset_s);
        cr_assert_str_eq(what, rows[i].found, "row %zu: %s", i, what);
    }
}

Test(doctor, compares_servers)
{
    cJSON *servers =
        read("[{\"offset_s\":0,\"error_s\":0.1,\"health\":{\"replica\":\"r1\",\"configd\":\"1\",\"store\":\"s\","
             "\"revision\":\"1-9\"}},"
             "{\"offset_s\":-3,\"error_s\":0.1,\"expected\":\"1-9\",\"health\":{\"replica\":\"r2\","
             "\"configd\":\"2\",\"store\":\"t\",\"revision\":\"1-7\"}}]");
    cJSON *findings = cJSON_CreateArray();
    doctor_judge_together(findings, servers);
    cJSON_Delete(servers);
    cr_assert_str_eq(found(findings),
                     "error; it runs configd 2, r1 1; it serves store t, r1 s; the replica stays at revision "
                     "1-7, others show 1-9; its clock is 3.0 s behind that of r1");
    servers = read("[{\"health\":{\"replica\":\"r1\",\"revision\":\"1-9\"}},"
                   "{\"expected\":\"1-9\",\"health\":{\"replica\":\"r2\",\"revision\":\"1-12\"}}]");
    findings = cJSON_CreateArray();
    doctor_judge_together(findings, servers);
    cJSON_Delete(servers);
    cr_assert_str_eq(found(findings), "ok", "it has caught up meanwhile");
}

Test(doctor, tells_of_workers)
{
    cJSON *fleet =
        read("{\"deployment\":\"blue\",\"unknown\":2,\"states\":{\"current\":9,\"rejecting\":1,\"pending\":3}}");
    cJSON *findings = cJSON_CreateArray();
    doctor_judge_fleet(findings, fleet);
    cr_assert_str_eq(cfg_json_get_str(findings->child, "next", ""), "cfgctl status blue names path and reason");
    cJSON_Delete(fleet);
    cr_assert_str_eq(found(findings),
                     "error; 1 worker rejecting the newest view; 3 workers waiting for a restart to take "
                     "everything; nothing is known of 2 workers");
}
