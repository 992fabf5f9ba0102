/* What a session holds: registration, whole views, patches in their order, marks and digests. */
#include "tests/unit/client/memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(machine, registers_then_follows)
{
    struct memory t;
    memory_start(&t, &memory_worker);
    memory_tick(&t, 0);
    const struct memory_request *reg = &t.slots[CFG_SLOT_REGISTER], *stream = &t.slots[CFG_SLOT_STREAM];
    cr_assert(reg->active);
    cr_assert_str_eq(reg->method, "POST");
    cr_assert_str_eq(reg->path, "/v1/deployments/blue/workers");
    cr_assert_str_eq(reg->body, MEMORY_REGISTRATION);
    cr_assert_not(stream->active);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
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
    memory_follow(&t, &memory_worker, digest);
    memory_patch_to(&t, "1-6", 1, 2);
    cr_assert_eq(t.views, 2);
    cr_assert_str_eq(t.revision, "1-6");
    cr_assert_str_eq(t.view, "{\"flags\":{},\"parameters\":{\"t\":2},\"pinned\":{}}");
    cr_assert_not_null(strstr(t.meta, "\"versions\":{\"chat\":2}"));
    cr_assert_not_null(strstr(t.meta, "\"arm\":\"base\""), "what a patch does not say stays");
    memory_patch_to(&t, "1-9", 2, 1);
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
        struct cfg_machine_options o = memory_worker;
        o.without_meta = without;
        memory_follow(&t, &o, digest);
        cr_assert_str_eq(t.arm, "base");
        (void)snprintf(patch, sizeof patch,
                       "{\"revision\":\"1-6\",\"arm\":\"canary\",\"from\":\"%s\",\"digest\":\"%s\",\"patch\":[]}",
                       digest, digest);
        memory_event(&t, "patch", "1-6", patch);
        cr_assert_eq(t.views, 2);
        cr_assert_str_eq(t.arm, "canary");
        memory_patch_to(&t, "1-7", 1, 2);
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
    struct cfg_machine_options two = memory_worker;
    two.servers = 2;
    memory_follow(&t, &two, digest);
    memory_view(view, sizeof view, NULL, "1-4", "S1", 9);
    memory_event(&t, "view", "1-4", view);
    cr_assert_eq(t.views, 1);
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active, "a server that lags is left");
    cr_assert_eq(t.state, CFG_SESSION_CONNECTING);
    memory_tick(&t, 100);
    cr_assert_eq(t.slots[CFG_SLOT_REGISTER].server, 1, "for the next one");
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
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
    memory_follow(&t, &memory_worker, digest);
    memory_patch_to(&t, "1-5", 1, 2);
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
    memory_reply(t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
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
    memory_follow(&t, &memory_worker, digest);
    memory_digest(wrong, 7);
    memory_patch(patch, sizeof patch, "1-6", digest, wrong, 2);
    memory_event(&t, "patch", "1-6", patch);
    expect_full_request(&t);
    memory_finish(&t);
}

Test(machine, a_patch_from_another_digest_asks_for_the_whole_view)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    memory_follow(&t, &memory_worker, digest);
    memory_patch_to(&t, "1-6", 3, 2);
    expect_full_request(&t);
    memory_finish(&t);
}

Test(machine, a_mark_for_another_digest_asks_for_the_whole_view)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    memory_follow(&t, &memory_worker, digest);
    memory_event(&t, "mark", "1-6", "{\"revision\":\"1-6\",\"digest\":\"sha256:00\",\"stale\":false}");
    expect_full_request(&t);
    memory_finish(&t);
}

Test(machine, a_server_that_keeps_lying_is_asked_ever_more_slowly)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    memory_follow(&t, &memory_worker, digest);
    t.random = UINT64_MAX / 2; /* not 0: the delays are then their limit modulo something */
    uint64_t waited = 0;
    for (int round = 0; round < 8; round++) {
        memory_patch_to(&t, "1-900", 3, 2);
        uint64_t at = cfg_machine_deadline(t.machine);
        waited += at - t.now_ms;
        memory_tick(&t, at - t.now_ms);
        memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
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
    memory_follow(&t, &memory_worker, digest);
    snprintf(mark, sizeof mark, "{\"revision\":\"1-20\",\"digest\":\"%s\",\"stale\":false}", digest);
    memory_event(&t, "mark", "1-20", mark);
    cr_assert_eq(t.marks, 1);
    cr_assert_str_eq(t.mark, "1-20");
    cr_assert_eq(t.views, 1);
    memory_break(&t, CFG_SLOT_STREAM, CFG_E_UNAVAILABLE);
    cr_assert_eq(t.state, CFG_SESSION_CONNECTING);
    memory_tick(&t, 100);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].last_event_id, "1-20");
    memory_finish(&t);
}

Test(machine, stale_marks_show_and_pass)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], mark[256];
    memory_follow(&t, &memory_worker, digest);
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
    memory_start(&t, &memory_worker);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    memory_event(&t, "view", "1-5",
                 "{\"revision\":\"1-5\",\"digest\":\"sha256:00\",\"store\":\"S1\",\"view\":{\"parameters\":{},"
                 "\"pinned\":{},\"flags\":{}}}");
    cr_assert_eq(t.views, 0);
    cr_assert_eq(t.why_code, CFG_E_PROTOCOL);
    memory_finish(&t);
}

Test(machine, a_mark_needs_a_digest)
{
    struct memory t;
    memory_start(&t, &memory_worker);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    memory_event(&t, "mark", "1-5", "{\"revision\":\"1-5\",\"digest\":\"\",\"stale\":false}");
    cr_assert_eq(t.marks, 0U, "nothing is held that it could speak of");
    cr_assert_neq(t.state, CFG_SESSION_CONNECTED);
    memory_finish(&t);
}
