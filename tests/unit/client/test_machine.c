#include "proto/digest.h"
#include "tests/unit/client/memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define REGISTRATION "{\"worker\":\"w0\",\"incarnation\":\"abc\",\"contract\":{}}"
#define REGISTERED   "{\"deployment\":\"blue\",\"worker\":\"w0\",\"store\":\"S1\",\"revision\":\"1-5\"}"

static const struct cfg_machine_options worker = {
    .servers = 1, .deployment = "blue", .registration = REGISTRATION, .backoff_min_ms = 100, .backoff_max_ms = 10000};

/* Up to a stream that has delivered {"t":1} at 1-5 of store S1; digest gets its digest. */
static void follow(struct memory *t, const struct cfg_machine_options *o, char digest[CFG_DIGEST_TEXT])
{
    char view[2048];
    memory_start(t, o);
    memory_tick(t, 0);
    if (o->registration)
        memory_reply(t, CFG_SLOT_REGISTER, 200, REGISTERED);
    memory_view(view, sizeof view, digest, "1-5", "S1", 1);
    memory_event(t, "view", "1-5", view);
}

static void digest_for(char out[CFG_DIGEST_TEXT], int value)
{
    char ignored[2048];
    memory_view(ignored, sizeof ignored, out, "1-1", "S1", value);
}

static void patch_to(struct memory *t, const char *revision, int from, int to)
{
    char a[CFG_DIGEST_TEXT], b[CFG_DIGEST_TEXT], patch[2048];
    digest_for(a, from);
    digest_for(b, to);
    memory_patch(patch, sizeof patch, revision, a, b, to);
    memory_event(t, "patch", revision, patch);
}

Test(machine, registers_then_follows)
{
    struct memory t;
    memory_start(&t, &worker);
    memory_tick(&t, 0);
    const struct memory_request *reg = &t.slots[CFG_SLOT_REGISTER], *stream = &t.slots[CFG_SLOT_STREAM];
    cr_assert(reg->active);
    cr_assert_str_eq(reg->method, "POST");
    cr_assert_str_eq(reg->path, "/v1/deployments/blue/workers");
    cr_assert_str_eq(reg->body, REGISTRATION);
    cr_assert_not(stream->active);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_eq(t.registrations, 1);
    cr_assert_str_eq(stream->path, "/v1/deployments/blue/stream?worker=w0&incarnation=abc&store=S1");
    cr_assert_str_eq(stream->last_event_id, "");
    cr_assert_eq(t.states, 0, "an open stream without an event proves nothing");

    char view[2048], digest[CFG_DIGEST_TEXT];
    memory_view(view, sizeof view, digest, "1-5", "S1", 1);
    memory_event(&t, "view", "1-5", view);
    cr_assert_eq(t.state, CFG_SESSION_CONNECTED);
    cr_assert_eq(t.views, 1);
    cr_assert_str_eq(t.revision, "1-5");
    cr_assert_str_eq(t.digest, digest);
    cr_assert_str_eq(t.view, "{\"flags\":{},\"parameters\":{\"t\":1},\"pinned\":{}}");
    cr_assert_not_null(strstr(t.meta, "\"versions\":{\"chat\":1}"));
    cr_assert_null(strstr(t.meta, "parameters"), "meta is the rest of the event");
    memory_finish(&t);
}

Test(machine, applies_patches_in_order)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    follow(&t, &worker, digest);
    patch_to(&t, "1-6", 1, 2);
    cr_assert_eq(t.views, 2);
    cr_assert_str_eq(t.revision, "1-6");
    cr_assert_str_eq(t.view, "{\"flags\":{},\"parameters\":{\"t\":2},\"pinned\":{}}");
    cr_assert_not_null(strstr(t.meta, "\"versions\":{\"chat\":2}"));
    cr_assert_not_null(strstr(t.meta, "\"arm\":\"base\""), "what a patch does not say stays");
    patch_to(&t, "1-9", 2, 1);
    cr_assert_eq(t.views, 3, "back to the first value is a change like any other");
    memory_finish(&t);
}

/* Who is moved to another arm that runs the same hears of it by an empty patch, also a session that reads no meta data.
 */
Test(machine, a_patch_says_whose_arm_it_is_of)
{
    for (int without = 0; without < 2; without++) {
        struct memory t;
        char digest[CFG_DIGEST_TEXT], patch[512];
        struct cfg_machine_options o = worker;
        o.without_meta = without;
        follow(&t, &o, digest);
        cr_assert_str_eq(t.arm, "base");
        (void)snprintf(patch, sizeof patch,
                       "{\"revision\":\"1-6\",\"arm\":\"canary\",\"from\":\"%s\",\"digest\":\"%s\",\"patch\":[]}",
                       digest, digest);
        memory_event(&t, "patch", "1-6", patch);
        cr_assert_eq(t.views, 2);
        cr_assert_str_eq(t.arm, "canary");
        patch_to(&t, "1-7", 1, 2);
        cr_assert_str_eq(t.arm, "canary", "a patch that does not say leaves it as it is");
        memory_finish(&t);
    }
}

Test(machine, events_split_at_every_byte)
{
    struct memory t;
    char view[2048], one[2] = "";
    memory_start(&t, &(struct cfg_machine_options){.servers = 1, .deployment = "blue"});
    memory_tick(&t, 0);
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].path, "/v1/deployments/blue/stream");
    memory_view(view, sizeof view, NULL, "1-5", "S1", 1);
    const char *parts[] = {"retry: 1000\n: hb\nevent: view\nid: 1-5\ndata: ", view, "\n\n"};
    for (size_t i = 0; i < 3; i++)
        for (const char *p = parts[i]; *p; p++) {
            one[0] = *p;
            memory_stream(&t, one);
        }
    cr_assert_eq(t.views, 1);
    memory_finish(&t);
}

Test(machine, an_older_view_never_replaces_a_newer)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    struct cfg_machine_options two = worker;
    two.servers = 2;
    follow(&t, &two, digest);
    memory_view(view, sizeof view, NULL, "1-4", "S1", 9);
    memory_event(&t, "view", "1-4", view);
    cr_assert_eq(t.views, 1);
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active, "a server that lags is left");
    cr_assert_eq(t.state, CFG_SESSION_CONNECTING);
    memory_tick(&t, 100);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].server, 1, "for the next one");
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].last_event_id, "1-5");
    cr_assert_not_null(strstr(t.slots[CFG_SLOT_STREAM].path, digest + 7));
    memory_view(view, sizeof view, NULL, "2-3", "S1", 9);
    memory_event(&t, "view", "2-3", view);
    cr_assert_eq(t.views, 2, "a greater epoch is newer, whatever the revision");
    memory_finish(&t);
}

Test(machine, an_older_or_equal_patch_is_refused)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    follow(&t, &worker, digest);
    patch_to(&t, "1-5", 1, 2);
    cr_assert_eq(t.views, 1);
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active);
    memory_finish(&t);
}

/* After a wrong digest, the whole view is asked for on the same server, which is not told a digest. */
static void expect_full_request(struct memory *t)
{
    cr_assert_eq(t->views, 1);
    cr_assert_not(t->slots[CFG_SLOT_STREAM].active);
    cr_assert_eq(t->state, CFG_SESSION_CONNECTED, "a patch that failed is no loss of configd");
    memory_tick(t, 100);
    memory_reply(t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_null(strstr(t->slots[CFG_SLOT_STREAM].path, "digest="));
    char view[2048];
    memory_view(view, sizeof view, NULL, "1-6", "S1", 2);
    memory_event(t, "view", "1-6", view);
    cr_assert_eq(t->views, 2);
}

Test(machine, a_patch_to_another_digest_asks_for_the_whole_view)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], wrong[CFG_DIGEST_TEXT], patch[2048];
    follow(&t, &worker, digest);
    digest_for(wrong, 7);
    memory_patch(patch, sizeof patch, "1-6", digest, wrong, 2);
    memory_event(&t, "patch", "1-6", patch);
    expect_full_request(&t);
    memory_finish(&t);
}

Test(machine, a_patch_from_another_digest_asks_for_the_whole_view)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    follow(&t, &worker, digest);
    patch_to(&t, "1-6", 3, 2);
    expect_full_request(&t);
    memory_finish(&t);
}

Test(machine, a_mark_for_another_digest_asks_for_the_whole_view)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    follow(&t, &worker, digest);
    memory_event(&t, "mark", "1-6", "{\"revision\":\"1-6\",\"digest\":\"sha256:00\",\"stale\":false}");
    expect_full_request(&t);
    memory_finish(&t);
}

Test(machine, a_server_that_keeps_lying_is_asked_ever_more_slowly)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    follow(&t, &worker, digest);
    t.random = UINT64_MAX / 2; /* not 0: the delays are then their limit modulo something */
    uint64_t waited = 0;
    for (int round = 0; round < 8; round++) {
        patch_to(&t, "1-900", 3, 2);
        uint64_t at = cfg_machine_deadline(t.machine);
        waited += at - t.now_ms;
        memory_tick(&t, at - t.now_ms);
        memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
        memory_view(view, sizeof view, NULL, "1-5", "S1", 1);
        memory_event(&t, "view", "1-5", view);
    }
    cr_assert_gt(waited, 1000);
    memory_finish(&t);
}

Test(machine, marks_move_the_resume_token)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], mark[256];
    follow(&t, &worker, digest);
    snprintf(mark, sizeof mark, "{\"revision\":\"1-20\",\"digest\":\"%s\",\"stale\":false}", digest);
    memory_event(&t, "mark", "1-20", mark);
    cr_assert_eq(t.marks, 1);
    cr_assert_str_eq(t.mark, "1-20");
    cr_assert_eq(t.views, 1);
    memory_break(&t, CFG_SLOT_STREAM, CFG_E_UNAVAILABLE);
    cr_assert_eq(t.state, CFG_SESSION_CONNECTING);
    memory_tick(&t, 100);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].last_event_id, "1-20");
    memory_finish(&t);
}

Test(machine, stale_marks_show_and_pass)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], mark[256];
    follow(&t, &worker, digest);
    snprintf(mark, sizeof mark, "{\"revision\":\"1-5\",\"digest\":\"%s\",\"stale\":true}", digest);
    memory_event(&t, "mark", "1-5", mark);
    cr_assert_eq(t.state, CFG_SESSION_STALE);
    cr_assert_eq(t.why_code, CFG_E_UNAVAILABLE);
    snprintf(mark, sizeof mark, "{\"revision\":\"1-5\",\"digest\":\"%s\",\"stale\":false}", digest);
    memory_event(&t, "mark", "1-5", mark);
    cr_assert_eq(t.state, CFG_SESSION_CONNECTED);
    memory_finish(&t);
}

Test(machine, a_view_that_fails_its_digest_is_not_adopted)
{
    struct memory t;
    memory_start(&t, &worker);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    memory_event(&t, "view", "1-5",
                 "{\"revision\":\"1-5\",\"digest\":\"sha256:00\",\"store\":\"S1\",\"view\":{\"parameters\":{},"
                 "\"pinned\":{},\"flags\":{}}}");
    cr_assert_eq(t.views, 0);
    cr_assert_eq(t.why_code, CFG_E_PROTOCOL);
    memory_finish(&t);
}

Test(machine, rubbish_on_the_stream_ends_the_connection_not_the_view)
{
    static const char *const rubbish[] = {
        "{", "[]", "null", "{\"revision\":\"1-6\"}", "{\"revision\":\"x\"}", "{\"revision\":\"1-6\",\"view\":{}}"};
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        struct memory t;
        char digest[CFG_DIGEST_TEXT];
        follow(&t, &worker, digest);
        memory_event(&t, "view", "1-6", rubbish[i]);
        cr_assert_eq(t.views, 1);
        cr_assert_eq(t.state, CFG_SESSION_CONNECTING, "%s", rubbish[i]);
        memory_finish(&t);
    }
}

Test(machine, backs_off_with_full_jitter_and_rotates)
{
    struct memory t;
    struct cfg_machine_options three = worker;
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

Test(machine, backoff_is_bounded)
{
    struct memory t;
    memory_start(&t, &worker);
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

Test(machine, silence_is_a_dead_connection)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    follow(&t, &worker, digest);
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

Test(machine, bye_moves_on_at_once_and_is_no_trouble)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_machine_options two = worker;
    two.servers = 2;
    follow(&t, &two, digest);
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
    follow(&t, &worker, digest);
    t.random = UINT64_MAX / 2;
    uint64_t waited = 0;
    for (int round = 0; round < 8; round++) {
        end(&t);
        uint64_t at = cfg_machine_deadline(t.machine);
        waited += at - t.now_ms;
        memory_tick(&t, at - t.now_ms);
        memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
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

Test(machine, a_server_that_sends_us_away_at_once_is_asked_ever_more_slowly)
{
    cr_assert_gt(waited_over(end_by_bye), 1000);
    cr_assert_gt(waited_over(end_by_unknown_report), 1000, "behind a balancer");
}

Test(machine, a_stream_for_an_unknown_worker_backs_off)
{
    struct memory t;
    memory_start(&t, &worker);
    t.random = UINT64_MAX / 2;
    memory_tick(&t, 0);
    uint64_t waited = 0;
    for (int round = 0; round < 8; round++) {
        memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
        memory_reply(&t, CFG_SLOT_STREAM, 404, "{\"status\":404,\"code\":\"unknown_worker\",\"detail\":\"who?\"}");
        uint64_t at = cfg_machine_deadline(t.machine);
        waited += at - t.now_ms;
        memory_tick(&t, at - t.now_ms);
    }
    cr_assert_gt(waited, 1000);
    memory_finish(&t);
}

Test(machine, a_stream_of_heartbeats_alone_is_left)
{
    struct memory t;
    struct cfg_machine_options two = worker;
    two.servers = 2;
    memory_start(&t, &two);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    for (int i = 0; i < 3; i++) {
        memory_stream(&t, ": hb\n\n");
        memory_tick(&t, 15000);
    }
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active, "it may wait for what never comes; another server has it");
    memory_tick(&t, 10000);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].server, 1);
    memory_finish(&t);
}

Test(machine, a_mark_needs_a_digest)
{
    struct memory t;
    memory_start(&t, &worker);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    memory_event(&t, "mark", "1-5", "{\"revision\":\"1-5\",\"digest\":\"\",\"stale\":false}");
    cr_assert_eq(t.marks, 0U, "nothing is held that it could speak of");
    cr_assert_neq(t.state, CFG_SESSION_CONNECTED);
    memory_finish(&t);
}

Test(machine, superseded_is_final)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    follow(&t, &worker, digest);
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
    memory_start(t, &worker);
    memory_tick(t, 0);
    memory_reply(t, CFG_SLOT_REGISTER, status, body);
}

Test(machine, refusals)
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

Test(machine, an_adopted_store_starts_the_order_afresh)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    follow(&t, &worker, digest);
    memory_break(&t, CFG_SLOT_STREAM, CFG_E_UNAVAILABLE);
    memory_tick(&t, 100);
    cr_assert_not_null(strstr(t.slots[CFG_SLOT_REGISTER].body, "\"store\":\"S1\""), "the server is told what we hold");
    memory_reply(&t, CFG_SLOT_REGISTER, 200, "{\"store\":\"S2\",\"revision\":\"1-2\"}");
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].path, "/v1/deployments/blue/stream?worker=w0&incarnation=abc&store=S2");
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].last_event_id, "");
    memory_view(view, sizeof view, NULL, "1-2", "S2", 4);
    memory_event(&t, "view", "1-2", view);
    cr_assert_eq(t.views, 2);
    cr_assert_str_eq(t.store, "S2");
    memory_finish(&t);
}

/* Two clusters behind one name: the stream may end at the one that has not registered us. */
Test(machine, a_view_of_a_store_that_has_not_registered_us_is_foreign)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    follow(&t, &worker, digest);
    memory_view(view, sizeof view, NULL, "1-90", "S2", 9);
    memory_event(&t, "view", "1-90", view);
    cr_assert_eq(t.views, 1U);
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active);
    memory_tick(&t, 100);
    cr_assert_not_null(strstr(t.slots[CFG_SLOT_REGISTER].body, "\"store\":\"S1\""), "asks again under its own");
    memory_finish(&t);
}

Test(machine, resumes_from_a_cache)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], mark[256];
    digest_for(digest, 1);
    struct cfg_machine_options o = worker;
    o.revision = "1-5";
    o.store = "S1";
    o.digest = digest;
    o.view = "{\"parameters\":{\"t\":1},\"pinned\":{},\"flags\":{}}";
    memory_start(&t, &o);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].last_event_id, "1-5");
    cr_assert_not_null(strstr(t.slots[CFG_SLOT_STREAM].path, "digest=sha256%3A"));
    snprintf(mark, sizeof mark, "{\"revision\":\"1-8\",\"digest\":\"%s\",\"stale\":false}", digest);
    memory_event(&t, "mark", "1-8", mark);
    cr_assert_eq(t.views, 0);
    patch_to(&t, "1-9", 1, 2);
    cr_assert_eq(t.views, 1);
    memory_finish(&t);
}

Test(machine, a_cache_that_does_not_match_its_digest_keeps_only_the_order)
{
    struct memory t;
    char view[2048];
    struct cfg_machine_options o = worker;
    o.revision = "1-5";
    o.store = "S1";
    o.digest = "sha256:00";
    o.view = "{\"parameters\":{\"t\":1},\"pinned\":{},\"flags\":{}}";
    memory_start(&t, &o);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_null(strstr(t.slots[CFG_SLOT_STREAM].path, "digest="));
    memory_view(view, sizeof view, NULL, "1-4", "S1", 1);
    memory_event(&t, "view", "1-4", view);
    cr_assert_eq(t.views, 0);
    memory_finish(&t);
}

Test(machine, reports_are_coalesced_and_survive_a_reconnect)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    struct cfg_error err;
    const struct memory_request *report = &t.slots[CFG_SLOT_REPORT];
    memory_start(&t, &worker);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":0}", &err), 0);
    memory_tick(&t, 0);
    cr_assert_not(report->active, "not before the registration");
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_str_eq(report->path, "/v1/deployments/blue/workers/w0/report");
    cr_assert_str_eq(report->body, "{\"n\":0}");
    memory_view(view, sizeof view, digest, "1-5", "S1", 1);
    memory_event(&t, "view", "1-5", view);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":1}", &err), 0);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":2}", &err), 0);
    cr_assert_eq(report->count, 1, "one at a time");
    memory_reply(&t, CFG_SLOT_REPORT, 204, "");
    cr_assert_str_eq(report->body, "{\"n\":2}", "only the newest");
    memory_break(&t, CFG_SLOT_STREAM, CFG_E_UNAVAILABLE);
    cr_assert_not(report->active);
    memory_tick(&t, 100);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_eq(report->count, 3, "what had no answer is sent again");
    cr_assert_str_eq(report->body, "{\"n\":2}");
    memory_finish(&t);
}

Test(machine, a_report_that_could_not_be_sent_is_sent_later)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_error err;
    follow(&t, &worker, digest);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":1}", &err), 0);
    memory_break(&t, CFG_SLOT_REPORT, CFG_E_TIMEOUT);
    cr_assert_eq(cfg_machine_deadline(t.machine), t.now_ms + 1000);
    memory_tick(&t, 1000);
    cr_assert_eq(t.slots[CFG_SLOT_REPORT].count, 2);
    memory_finish(&t);
}

Test(machine, an_unknown_worker_registers_again)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_error err;
    follow(&t, &worker, digest);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":1}", &err), 0);
    memory_reply(&t, CFG_SLOT_REPORT, 404, "{\"status\":404,\"code\":\"unknown_worker\",\"detail\":\"who?\"}");
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active);
    memory_tick(&t, 100);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, REGISTERED);
    cr_assert_eq(t.slots[CFG_SLOT_REPORT].count, 2);
    memory_finish(&t);
}

Test(machine, a_report_refused_for_good_is_dropped)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_error err;
    follow(&t, &worker, digest);
    cr_assert_eq(cfg_machine_report(t.machine, "{}", &err), 0);
    memory_reply(&t, CFG_SLOT_REPORT, 400, "{\"status\":400,\"code\":\"invalid_argument\",\"detail\":\"no\"}");
    memory_tick(&t, 5000);
    cr_assert_eq(t.slots[CFG_SLOT_REPORT].count, 1);
    cr_assert(t.slots[CFG_SLOT_STREAM].active);
    memory_finish(&t);
}

Test(machine, bad_options)
{
    static const struct cfg_session_callbacks none = {0};
    static const struct cfg_transport nothing = {0};
    struct cfg_machine *m = NULL;
    struct cfg_error err;
    const struct cfg_machine_options cases[] = {
        {.servers = 0, .deployment = "blue"},
        {.servers = 1},
        {.servers = 1, .deployment = "blue", .registration = "{}"},
        {.servers = 1, .deployment = "blue", .registration = "{\"worker\":\"w\"}"},
        {.servers = 1, .deployment = "blue", .revision = "7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(cfg_machine_new(&m, &cases[i], &none, &nothing, &err), CFG_E_INVALID, "case %zu", i);
        cr_assert_null(m);
    }
    const struct cfg_machine_options bad = {.servers = 1, .deployment = "blue", .registration = "{"};
    cr_assert_eq(cfg_machine_new(&m, &bad, &none, &nothing, &err), CFG_E_JSON);
}

Test(machine, a_new_registration_counts_from_the_next_connection)
{
    struct memory t;
    struct cfg_error err = CFG_ERROR_INIT;
    char digest[CFG_DIGEST_TEXT];
    follow(&t, &worker, digest);
    const char *later = "{\"worker\":\"w0\",\"incarnation\":\"abc\",\"contract\":{},\"pin\":{\"tp\":4}}";
    cr_assert_eq(cfg_machine_set_registration(t.machine, later, &err), 0);
    cr_assert_eq(cfg_machine_set_registration(t.machine, "{\"worker\":\"w1\",\"incarnation\":\"abc\"}", &err),
                 CFG_E_INVALID);
    cr_assert_eq(cfg_machine_set_registration(t.machine, "{", &err), CFG_E_JSON);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].count, 1U, "nothing is sent now");
    memory_break(&t, CFG_SLOT_STREAM, CFG_E_CONNECT);
    memory_tick(&t, 60000);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].count, 2U);
    cr_assert_not_null(strstr(t.slots[CFG_SLOT_REGISTER].body, "\"pin\":{\"tp\":4}"));
    memory_finish(&t);
}

struct answer {
    unsigned count;
    int code;
    char body[64];
};

static void on_answer(void *arg, const char *body, size_t len, const struct cfg_error *why)
{
    struct answer *a = arg;
    a->count++;
    a->code = why ? why->code : 0;
    (void)snprintf(a->body, sizeof a->body, "%.*s", (int)len, body ? body : "");
}

/* One question at a time, whatever becomes of the stream; after a server that did not answer the next one. */
Test(machine, asks_beside_the_stream)
{
    struct memory t;
    struct cfg_machine_options two = worker;
    char digest[CFG_DIGEST_TEXT];
    struct answer a = {0};
    two.servers = 2;
    follow(&t, &two, digest);
    const struct memory_request *ask = &t.slots[CFG_SLOT_ASK];
    cr_assert_eq(cfg_machine_ask(t.machine, "/v1/x?y=1", on_answer, &a, NULL), 0);
    cr_assert_eq(cfg_machine_ask(t.machine, "/v1/z", on_answer, &a, NULL), CFG_E_IN_USE);
    cr_assert(ask->active && strcmp(ask->method, "GET") == 0 && ask->server == 0);
    cr_assert_str_eq(ask->path, "/v1/x?y=1");
    memory_break(&t, CFG_SLOT_STREAM, CFG_E_CONNECT);
    cr_assert(ask->active, "the stream has ended, not the question");
    memory_reply(&t, CFG_SLOT_ASK, 200, "{\"a\":1}");
    cr_assert(a.count == 1 && a.code == 0 && strcmp(a.body, "{\"a\":1}") == 0, "%u %d %s", a.count, a.code, a.body);
    cr_assert_eq(cfg_machine_ask(t.machine, "/v1/x", on_answer, &a, NULL), 0);
    size_t server = ask->server;
    memory_break(&t, CFG_SLOT_ASK, CFG_E_CONNECT);
    cr_assert(a.count == 2 && a.code == CFG_E_CONNECT && a.body[0] == '\0');
    cr_assert_eq(cfg_machine_ask(t.machine, "/v1/x", on_answer, &a, NULL), 0);
    cr_assert_neq(ask->server, server);
    memory_reply(&t, CFG_SLOT_ASK, 404, "{\"code\":\"not_found\",\"title\":\"no\",\"status\":404}");
    cr_assert(a.count == 3 && a.code == CFG_E_NOT_FOUND);
    memory_finish(&t);
}
