/* When a session leaves a server, for which other, how long it waits, and what ends it for good. */
#include "tests/unit/client/memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(machine_connection, rubbish_on_the_stream_ends_the_connection_not_the_view)
{
    static const char *const rubbish[] = {
        "{", "[]", "null", "{\"revision\":\"1-6\"}", "{\"revision\":\"x\"}", "{\"revision\":\"1-6\",\"view\":{}}"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        struct memory t;
        char digest[CFG_DIGEST_TEXT];
        memory_follow(&t, &memory_worker, digest);
        memory_event(&t, "view", "1-6", rubbish[i]);
        cr_assert_eq(t.views, 1);
        cr_assert_eq(t.state, CFG_SESSION_CONNECTING, "%s", rubbish[i]);
        memory_finish(&t);
    }
}

Test(machine_connection, backs_off_with_full_jitter_and_rotates)
{
    struct memory t;
    struct cfg_machine_options three = memory_worker;
    three.servers = 3;
    memory_start(&t, &three);
    memory_tick(&t, 0);
    uint64_t limits[] = {100, 100, 100, 200, 200, 200, 400};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        cr_assert_eq(t.slots[CFG_SLOT_REGISTER].server, i % 3);
        t.random = limits[i]; /* the greatest draw: random % (limit + 1) */
        memory_break(&t, CFG_SLOT_REGISTER, CFG_E_CONNECT);
        cr_assert_eq(cfg_machine_deadline(t.machine), t.now_ms + limits[i], "attempt %zu", i);
        memory_tick(&t, limits[i] - 1);
        cr_assert_not(t.slots[CFG_SLOT_REGISTER].active);
        memory_tick(&t, 1);
        cr_assert(t.slots[CFG_SLOT_REGISTER].active);
    }
    cr_assert_eq(t.states, 1, "the same trouble is told once");
    memory_finish(&t);
}

Test(machine_connection, backoff_is_bounded)
{
    struct memory t;
    memory_start(&t, &memory_worker);
    memory_tick(&t, 0);
    for (int i = 0; i < 80; i++) {
        t.random = 10000;
        memory_break(&t, CFG_SLOT_REGISTER, CFG_E_CONNECT);
        uint64_t delay = cfg_machine_deadline(t.machine) - t.now_ms;
        cr_assert_leq(delay, 10000);
        memory_tick(&t, delay);
    }
    memory_finish(&t);
}

Test(machine_connection, silence_is_a_dead_connection)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    memory_follow(&t, &memory_worker, digest);
    memory_tick(&t, 44000);
    cr_assert(t.slots[CFG_SLOT_STREAM].active);
    memory_stream(&t, ": hb\n\n");
    cr_assert_eq(cfg_machine_deadline(t.machine), t.now_ms + 45000);
    memory_tick(&t, 45000);
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active);
    cr_assert_eq(t.state, CFG_SESSION_CONNECTING);
    cr_assert_eq(t.why_code, CFG_E_TIMEOUT);
    memory_finish(&t);
}

Test(machine_connection, bye_moves_on_at_once_and_is_no_trouble)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_machine_options two = memory_worker;
    two.servers = 2;
    memory_follow(&t, &two, digest);
    memory_tick(&t, 2000);
    memory_event(&t, "bye", "", "{\"reason\":\"age\"}");
    cr_assert_eq(t.state, CFG_SESSION_CONNECTED);
    memory_tick(&t, 100);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].server, 1);
    memory_finish(&t);
}

/* Eight connections that end at once by what `end` does; how long the machine waited between them. */
static uint64_t waited_over(void (*end)(struct memory *))
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    memory_follow(&t, &memory_worker, digest);
    t.random = UINT64_MAX / 2;
    uint64_t waited = 0;
    for (int round = 0; round < 8; round++) {
        end(&t);
        uint64_t at = cfg_machine_deadline(t.machine);
        waited += at - t.now_ms;
        memory_tick(&t, at - t.now_ms);
        memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
        memory_view(view, sizeof view, NULL, "1-5", "S1", 1);
        memory_event(&t, "view", "1-5", view);
    }
    memory_finish(&t);
    return waited;
}

static void end_by_bye(struct memory *t)
{
    memory_event(t, "bye", "", "{\"reason\":\"shutdown\"}");
}

static void end_by_unknown_report(struct memory *t)
{
    struct cfg_error err;
    if (!t->slots[CFG_SLOT_REPORT].active)
        cr_assert_eq(cfg_machine_report(t->machine, "{}", &err), 0);
    memory_reply(t, CFG_SLOT_REPORT, 404, "{\"status\":404,\"code\":\"unknown_worker\",\"detail\":\"who?\"}");
}

Test(machine_connection, a_server_that_sends_us_away_at_once_is_asked_ever_more_slowly)
{
    cr_assert_gt(waited_over(end_by_bye), 1000);
    cr_assert_gt(waited_over(end_by_unknown_report), 1000, "behind a balancer");
}

Test(machine_connection, a_stream_for_an_unknown_worker_backs_off)
{
    struct memory t;
    memory_start(&t, &memory_worker);
    t.random = UINT64_MAX / 2;
    memory_tick(&t, 0);
    uint64_t waited = 0;
    for (int round = 0; round < 8; round++) {
        memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
        memory_reply(&t, CFG_SLOT_STREAM, 404, "{\"status\":404,\"code\":\"unknown_worker\",\"detail\":\"who?\"}");
        uint64_t at = cfg_machine_deadline(t.machine);
        waited += at - t.now_ms;
        memory_tick(&t, at - t.now_ms);
    }
    cr_assert_gt(waited, 1000);
    memory_finish(&t);
}

Test(machine_connection, a_stream_of_heartbeats_alone_is_left)
{
    struct memory t;
    struct cfg_machine_options two = memory_worker;
    two.servers = 2;
    memory_start(&t, &two);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    for (int i = 0; i < 3; i++) {
        memory_stream(&t, ": hb\n\n");
        memory_tick(&t, 15000);
    }
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active, "it may wait for what never comes; another server has it");
    memory_tick(&t, 10000);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].server, 1);
    memory_finish(&t);
}

Test(machine_connection, superseded_is_final)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    memory_follow(&t, &memory_worker, digest);
    memory_event(&t, "superseded", "", "{}");
    cr_assert_eq(t.state, CFG_SESSION_SUPERSEDED);
    cr_assert_eq(cfg_machine_deadline(t.machine), UINT64_MAX);
    memory_tick(&t, 1000000);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].count, 1);
    struct cfg_error err;
    cr_assert_eq(cfg_machine_report(t.machine, "{}", &err), CFG_E_SUPERSEDED);
    memory_finish(&t);
}

static void refuse(struct memory *t, const char *code, long status)
{
    char body[256];
    snprintf(body, sizeof body, "{\"type\":\"about:blank\",\"status\":%ld,\"code\":\"%s\",\"detail\":\"no\"}", status,
             code);
    memory_start(t, &memory_worker);
    memory_tick(t, 0);
    memory_reply(t, CFG_SLOT_REGISTER, status, body);
}

Test(machine_connection, refusals)
{
    static const struct {
        const char *code;
        long status;
        enum cfg_session_state state;
        int why;
    } cases[] = {
        {"pin_mismatch", 409, CFG_SESSION_REFUSED, CFG_E_PIN_MISMATCH},
        {"not_found", 404, CFG_SESSION_REFUSED, CFG_E_NOT_FOUND},
        {"unauthorized", 401, CFG_SESSION_REFUSED, CFG_E_UNAUTHORIZED},
        {"foreign_store", 409, CFG_SESSION_FOREIGN, CFG_E_FOREIGN_STORE},
        {"superseded", 409, CFG_SESSION_SUPERSEDED, CFG_E_SUPERSEDED},
        {"not_ready", 503, CFG_SESSION_CONNECTING, CFG_E_NOT_READY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct memory t;
        refuse(&t, cases[i].code, cases[i].status);
        cr_assert_eq(t.state, cases[i].state, "%s", cases[i].code);
        cr_assert_eq(t.why_code, cases[i].why, "%s", cases[i].code);
        if (cases[i].state == CFG_SESSION_REFUSED || cases[i].state == CFG_SESSION_FOREIGN) {
            uint64_t delay = cfg_machine_deadline(t.machine) - t.now_ms;
            cr_assert(delay >= 5000 && delay <= 10000, "retried slowly");
            memory_tick(&t, delay);
            cr_assert_eq(t.slots[CFG_SLOT_REGISTER].count, 2);
        }
        memory_finish(&t);
    }
}
