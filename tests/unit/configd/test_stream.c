/* Streams as values: requests, gates, lifetimes, care. */
#include "configd/stream.h"

#include <criterion/criterion.h>
#include <string.h>

#define DIGEST "sha256:0123456789012345678901234567890123456789012345678901234567890123"

Test(stream, request)
{
    struct cfg_stream_request r;
    struct cfg_stream_query q = {.deployment = "blue",
                                 .worker = "w0",
                                 .incarnation = "aaaaaaaaaaaaaaaa",
                                 .digest = DIGEST,
                                 .last_event_id = "2-41"};
    cr_assert_eq(cfg_stream_request_read(&r, &q, NULL), 0);
    cr_assert_str_eq(r.q.arm, "base");
    cr_assert_eq(r.have.epoch, 2u);
    cr_assert_eq(r.have.revision, 41u);
    struct cfg_stream_query observer = {.deployment = "blue", .last_event_id = ""};
    cr_assert_eq(cfg_stream_request_read(&r, &observer, NULL), 0);
    cr_assert(cfg_rev_is_none(r.have));
}

Test(stream, malformed_requests_name_the_parameter)
{
    static const struct {
        struct cfg_stream_query q;
        const char *path;
    } bad[] = {
        {{.worker = "w0"}, "incarnation"},
        {{.incarnation = "aaaaaaaaaaaaaaaa"}, "worker"},
        {{.digest = "md5:1"}, "digest"},
        {{.last_event_id = "41"}, "Last-Event-ID"},
        {{.last_event_id = "1--1"}, "Last-Event-ID"},
        {{.last_event_id = "01-2"}, "Last-Event-ID"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_stream_request r;
        struct cfg_error err = CFG_ERROR_INIT;
        cr_assert_eq(cfg_stream_request_read(&r, &bad[i].q, &err), CFG_E_INVALID);
        cr_assert_str_eq(err.path, bad[i].path);
    }
    struct cfg_stream_query q = {.arm = "../x"};
    struct cfg_stream_request r;
    cr_assert_eq(cfg_stream_request_read(&r, &q, NULL), CFG_E_ADDRESS);
}

Test(stream, a_token_is_never_answered_from_the_past)
{
    struct cfg_stream_gate g = {.has_token = true, .token = {1, 41}};
    cr_assert_not(cfg_stream_may_start(&g, (struct cfg_rev){1, 40}, false));
    cr_assert_not(cfg_stream_may_start(&g, (struct cfg_rev){1, 40}, true), "not even when etcd is away");
    cr_assert(cfg_stream_may_start(&g, (struct cfg_rev){1, 41}, false));
    cr_assert(cfg_stream_may_start(&g, (struct cfg_rev){1, 42}, true));
    cr_assert(cfg_stream_may_start(&g, (struct cfg_rev){2, 3}, false), "a later epoch is later");
}

Test(stream, without_a_token_the_newest_is_waited_for)
{
    struct cfg_stream_gate g = {0};
    cr_assert_not(cfg_stream_may_start(&g, (struct cfg_rev){1, 40}, false));
    cr_assert(cfg_stream_may_start(&g, (struct cfg_rev){1, 40}, true), "served and marked stale");
    g.asked = (struct cfg_rev){1, 41};
    cr_assert_not(cfg_stream_may_start(&g, (struct cfg_rev){1, 40}, false));
    cr_assert(cfg_stream_may_start(&g, (struct cfg_rev){1, 41}, false));
}

Test(stream, lives_are_spread)
{
    cr_assert_eq(cfg_stream_life_ms(1000, 0), 800u);
    uint64_t longest = cfg_stream_life_ms(1000, UINT32_MAX);
    cr_assert_geq(longest, 1199u);
    cr_assert_leq(longest, 1200u);
    cr_assert_eq(cfg_stream_life_ms(1000, 0x80000000u), 1000u);
}

Test(stream, care)
{
    struct cfg_stream_times t = {
        .now = 100000, .last_sent = 100000, .dies = 200000, .heartbeat_ms = 15000, .look_ms = 7500};
    cr_assert_eq(cfg_stream_care(&t), CFG_CARE_NOTHING);
    t.last_sent = t.now - 7500;
    cr_assert_eq(cfg_stream_care(&t), CFG_CARE_NOTHING);
    t.last_sent = t.now - 15000;
    cr_assert_eq(cfg_stream_care(&t), CFG_CARE_HEARTBEAT);
    t.queued = true;
    cr_assert_eq(cfg_stream_care(&t), CFG_CARE_NOTHING, "a heartbeat is never queued behind a frame");
    t.last_sent = t.now - 60000;
    cr_assert_eq(cfg_stream_care(&t), CFG_CARE_STUCK);
    t.queued = false;
    t.dies = t.now;
    cr_assert_eq(cfg_stream_care(&t), CFG_CARE_OLD);
}

Test(stream, a_silent_reader_hears_something_every_heartbeat_and_a_half)
{
    struct cfg_stream_times t = {.dies = UINT64_MAX, .heartbeat_ms = 15000, .look_ms = 7500};
    for (uint64_t phase = 0; phase < 7500; phase += 500) { /* when the first look comes */
        uint64_t gap = 0;
        t.last_sent = 0;
        for (t.now = phase; t.now < 300000; t.now += 7500) {
            if (cfg_stream_care(&t) != CFG_CARE_HEARTBEAT)
                continue;
            gap = t.now - t.last_sent > gap ? t.now - t.last_sent : gap;
            t.last_sent = t.now;
        }
        cr_assert_leq(gap, 22500u);
        cr_assert_geq(gap, 11000u);
    }
}

Test(stream, frames)
{
    struct cfg_bytes *bye = cfg_stream_bye("age"), *superseded = cfg_stream_superseded();
    cr_assert_str_eq(bye->data, "event: bye\ndata: {\"reason\":\"age\"}\n\n");
    cr_assert_str_eq(superseded->data, "event: superseded\ndata: {}\n\n");
    cr_assert_str_eq(cfg_stream_heartbeat, ": hb\n\n");
    (void)cfg_bytes_unref(bye);
    (void)cfg_bytes_unref(superseded);
}
