/* Times as operators type them, and the way back to a time. */
#include "client/cfgctl/restore_point.h"
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
