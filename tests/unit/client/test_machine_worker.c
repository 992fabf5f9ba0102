/* What a worker is to the servers: stores, its cache, reports, registrations, and requests beside the stream. */
#include "tests/unit/client/memory.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(machine_worker, an_adopted_store_starts_the_order_afresh)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    memory_follow(&t, &memory_worker, digest);
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
Test(machine_worker, a_view_of_a_store_that_has_not_registered_us_is_foreign)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    memory_follow(&t, &memory_worker, digest);
    memory_view(view, sizeof view, NULL, "1-90", "S2", 9);
    memory_event(&t, "view", "1-90", view);
    cr_assert_eq(t.views, 1U);
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active);
    memory_tick(&t, 100);
    cr_assert_not_null(strstr(t.slots[CFG_SLOT_REGISTER].body, "\"store\":\"S1\""), "asks again under its own");
    memory_finish(&t);
}

Test(machine_worker, resumes_from_a_cache)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], mark[256];
    memory_digest(digest, 1);
    struct cfg_machine_options o = memory_worker;
    o.revision = "1-5";
    o.store = "S1";
    o.digest = digest;
    o.view = "{\"parameters\":{\"t\":1},\"pinned\":{},\"flags\":{}}";
    memory_start(&t, &o);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    cr_assert_str_eq(t.slots[CFG_SLOT_STREAM].last_event_id, "1-5");
    cr_assert_not_null(strstr(t.slots[CFG_SLOT_STREAM].path, "digest=sha256%3A"));
    snprintf(mark, sizeof mark, "{\"revision\":\"1-8\",\"digest\":\"%s\",\"stale\":false}", digest);
    memory_event(&t, "mark", "1-8", mark);
    cr_assert_eq(t.views, 0);
    memory_patch_to(&t, "1-9", 1, 2);
    cr_assert_eq(t.views, 1);
    memory_finish(&t);
}

Test(machine_worker, a_cache_that_does_not_match_its_digest_keeps_only_the_order)
{
    struct memory t;
    char view[2048];
    struct cfg_machine_options o = memory_worker;
    o.revision = "1-5";
    o.store = "S1";
    o.digest = "sha256:00";
    o.view = "{\"parameters\":{\"t\":1},\"pinned\":{},\"flags\":{}}";
    memory_start(&t, &o);
    memory_tick(&t, 0);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    cr_assert_null(strstr(t.slots[CFG_SLOT_STREAM].path, "digest="));
    memory_view(view, sizeof view, NULL, "1-4", "S1", 1);
    memory_event(&t, "view", "1-4", view);
    cr_assert_eq(t.views, 0);
    memory_finish(&t);
}

Test(machine_worker, reports_are_coalesced_and_survive_a_reconnect)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT], view[2048];
    struct cfg_error err;
    const struct memory_request *report = &t.slots[CFG_SLOT_REPORT];
    memory_start(&t, &memory_worker);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":0}", &err), 0);
    memory_tick(&t, 0);
    cr_assert_not(report->active, "not before the registration");
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
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
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    cr_assert_eq(report->count, 3, "what had no answer is sent again");
    cr_assert_str_eq(report->body, "{\"n\":2}");
    memory_finish(&t);
}

Test(machine_worker, a_report_that_could_not_be_sent_is_sent_later)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_error err;
    memory_follow(&t, &memory_worker, digest);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":1}", &err), 0);
    memory_break(&t, CFG_SLOT_REPORT, CFG_E_TIMEOUT);
    cr_assert_eq(cfg_machine_deadline(t.machine), t.now_ms + 1000);
    memory_tick(&t, 1000);
    cr_assert_eq(t.slots[CFG_SLOT_REPORT].count, 2);
    memory_finish(&t);
}

Test(machine_worker, an_unknown_worker_registers_again)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_error err;
    memory_follow(&t, &memory_worker, digest);
    cr_assert_eq(cfg_machine_report(t.machine, "{\"n\":1}", &err), 0);
    memory_reply(&t, CFG_SLOT_REPORT, 404, "{\"status\":404,\"code\":\"unknown_worker\",\"detail\":\"who?\"}");
    cr_assert_not(t.slots[CFG_SLOT_STREAM].active);
    memory_tick(&t, 100);
    memory_reply(&t, CFG_SLOT_REGISTER, 200, MEMORY_REGISTERED);
    cr_assert_eq(t.slots[CFG_SLOT_REPORT].count, 2);
    memory_finish(&t);
}

Test(machine_worker, a_report_refused_for_good_is_dropped)
{
    struct memory t;
    char digest[CFG_DIGEST_TEXT];
    struct cfg_error err;
    memory_follow(&t, &memory_worker, digest);
    cr_assert_eq(cfg_machine_report(t.machine, "{}", &err), 0);
    memory_reply(&t, CFG_SLOT_REPORT, 400, "{\"status\":400,\"code\":\"invalid_argument\",\"detail\":\"no\"}");
    memory_tick(&t, 5000);
    cr_assert_eq(t.slots[CFG_SLOT_REPORT].count, 1);
    cr_assert(t.slots[CFG_SLOT_STREAM].active);
    memory_finish(&t);
}

Test(machine_worker, bad_options)
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

Test(machine_worker, a_new_registration_counts_from_the_next_connection)
{
    struct memory t;
    struct cfg_error err = CFG_ERROR_INIT;
    char digest[CFG_DIGEST_TEXT];
    memory_follow(&t, &memory_worker, digest);
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
Test(machine_worker, asks_beside_the_stream)
{
    struct memory t;
    struct cfg_machine_options two = memory_worker;
    char digest[CFG_DIGEST_TEXT];
    struct answer a = {0};
    two.servers = 2;
    memory_follow(&t, &two, digest);
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
