/* The hub against its rules: shared frames, slow and leaving subscribers, A → B → A, resuming, staleness, epochs,
 * holds, views of the past; and a random walk whose every patch is applied and checked by digest. */
#include "configd/hub_topic.h"
#include "hub_fixture.h"

#include "proto/patch.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fixture f;

static void setup(void)
{
    fixture_init(&f);
    fixture_blue(&f);
}

static void teardown(void)
{
    fixture_finish(&f);
}

TestSuite(hub, .init = setup, .fini = teardown);

static struct cfg_topic *blue(void)
{
    struct cfg_topic *t = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", &err), 0, "%s", err.text);
    return t;
}

static void join(struct sub *s, struct cfg_rev have, const char *digest)
{
    sub_init(s, f.hub);
    cfg_hub_subscribe(f.hub, blue(), &s->s, have, digest);
}

static const struct cfg_rev nothing = {0, 0};

static void rev_text(char out[CFG_REV_TEXT], uint64_t epoch, uint64_t revision)
{
    (void)cfg_rev_format((struct cfg_rev){epoch, revision}, out);
}

static void expect(const struct sub *s, size_t i, const char *event, uint64_t revision)
{
    char id[CFG_REV_TEXT];
    rev_text(id, 1, revision);
    cr_assert_lt(i, s->n, "event %zu (%s) has not come", i, event);
    cr_assert_str_eq(s->got[i].event, event);
    cr_assert_str_eq(s->got[i].id, id);
    cr_assert_str_eq(sub_str(s, i, "revision"), id);
}

Test(hub, view_holds_parameters_pin_and_flags)
{
    struct sub s;
    join(&s, nothing, NULL);
    cr_assert_eq(s.n, 1u);
    expect(&s, 0, "view", f.revision);
    const cJSON *view = cfg_json_get(s.got[0].data, "view");
    struct cfg_buf text;
    cfg_buf_init(&text, 4096);
    cfg_json_canonical(&text, view);
    cr_assert_str_eq(text.data, "{\"flags\":{\"experiment\":{\"ab.flag\":{\"definition\":{\"defaultVariant\":\"on\","
                                "\"state\":\"ENABLED\",\"variants\":{\"off\":false,\"on\":true}},\"enabled\":true,"
                                "\"off_variant\":\"off\"}}},\"parameters\":{\"a\":1},\"pinned\":{\"tp\":4}}");
    cfg_buf_finish(&text);
    char digest[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_digest_json(digest, view), 0);
    cr_assert_str_eq(sub_str(&s, 0, "digest"), digest);
    cr_assert_str_eq(sub_str(&s, 0, "store"), "s1");
    cr_assert_eq(cfg_json_get_num(cfg_json_get(s.got[0].data, "versions"), "chat", 0), 1);
    struct cfg_slice json = cfg_topic_view_json(blue());
    cJSON *again = NULL;
    cr_assert_eq(cfg_json_parse(&again, json, 100, NULL), 0);
    cr_assert(cfg_json_equal(again, s.got[0].data));
    cJSON_Delete(again);
    sub_finish(&s);
}

Test(hub, one_frame_is_shared_by_all)
{
    enum { N = 50 };
    struct sub *s = calloc(N, sizeof *s);
    cr_assert_not_null(s);
    for (size_t i = 0; i < N; i++)
        join(&s[i], nothing, NULL);
    fixture_chat(&f, 2, "{\"a\":2,\"tp\":4}");
    for (size_t i = 0; i < N; i++) {
        expect(&s[i], 1, "patch", f.revision);
        cr_assert_eq(s[i].got[0].bytes, s[0].got[0].bytes, "built once");
        cr_assert_eq(s[i].got[1].bytes, s[0].got[1].bytes, "built once");
    }
    for (size_t i = 0; i < N; i++)
        sub_finish(&s[i]);
    free(s);
}

Test(hub, a_b_a_is_told_though_the_digest_returns)
{
    struct sub s;
    join(&s, nothing, NULL);
    fixture_chat(&f, 2, "{\"a\":2}");
    fixture_chat(&f, 3, "{\"a\":1}");
    cr_assert_eq(s.n, 3u);
    expect(&s, 2, "patch", f.revision);
    cr_assert_str_eq(sub_str(&s, 2, "digest"), sub_str(&s, 0, "digest"));
    cr_assert_eq(cfg_topic_since(blue()).revision, f.revision);
    sub_finish(&s);
}

/* chat v2 over base: a base's write is a change of blue's view, one of a stranger is not. */
static void put_base(uint64_t version, const char *document)
{
    char body[256];
    (void)snprintf(body, sizeof body, "{\"document\":%s,\"extends\":[]}", document);
    (void)fixture_put(&f, CFG_KIND_CONFIG, "base", "", version, body);
}

static void extend_chat(void)
{
    put_base(1, "{\"b\":1}");
    (void)fixture_put(&f, CFG_KIND_CONFIG, "chat", "", 2, "{\"document\":{\"a\":1,\"tp\":4},\"extends\":[\"base\"]}");
}

Test(hub, a_bases_write_is_told_with_the_whole_releases_versions)
{
    struct sub s;
    extend_chat();
    join(&s, nothing, NULL);
    const cJSON *versions = cfg_json_get(s.got[0].data, "versions");
    cr_assert(cfg_json_get_num(versions, "chat", 0) == 2 && cfg_json_get_num(versions, "base", 0) == 1);
    uint64_t views = blue()->stats.views;
    (void)fixture_put(&f, CFG_KIND_CONFIG, "other", "", 1, "{\"document\":{},\"extends\":[\"base\"]}");
    cr_assert_eq(s.n, 1);
    put_base(2, "{\"b\":2}");
    cr_assert_eq(s.n, 2);
    cr_assert_str_eq(s.got[1].event, "patch");
    cr_assert_eq(cfg_topic_rev(blue()).revision, f.revision);
    cr_assert_eq(blue()->stats.views, views + 1);
    sub_finish(&s);
}

Test(hub, a_b_a_of_a_base_is_told_though_the_digest_returns)
{
    struct sub s;
    extend_chat();
    join(&s, nothing, NULL);
    char a[CFG_DIGEST_TEXT];
    (void)snprintf(a, sizeof a, "%s", cfg_topic_digest(blue()));
    put_base(2, "{\"b\":2}");
    put_base(3, "{\"b\":1}");
    cr_assert_eq(s.n, 3);
    cr_assert_str_eq(cfg_topic_digest(blue()), a);
    cr_assert_eq(cfg_topic_since(blue()).revision, f.revision);
    sub_finish(&s);
}

Test(hub, a_base_that_vanishes_leaves_the_view_and_its_return_is_told)
{
    struct sub s;
    extend_chat();
    join(&s, nothing, NULL);
    (void)fixture_put(&f, CFG_KIND_CONFIG, "base", "", 2, NULL);
    cr_assert_eq(s.n, 1);
    put_base(3, "{\"b\":3}");
    cr_assert_eq(s.n, 2);
    cr_assert_eq(cfg_topic_rev(blue()).revision, f.revision);
    sub_finish(&s);
}

static void see_view(void *arg, struct cfg_slice view_json, const struct cfg_error *err)
{
    cJSON **out = arg;
    cr_assert_null(err, "%s", err ? err->text : "");
    cr_assert_eq(cfg_json_parse(out, view_json, 200, NULL), 0);
}

Test(hub, views_of_the_past_have_the_bases_of_then)
{
    cJSON *view = NULL;
    extend_chat();
    struct cfg_rev then = {1, f.revision};
    put_base(2, "{\"b\":2}");
    (void)fixture_put(&f, CFG_KIND_CONFIG, "chat", "", 3, "{\"document\":{\"a\":9,\"tp\":4},\"extends\":[]}");
    cfg_hub_view_at(f.hub, "blue", "base", then, see_view, &view);
    for (int i = 0; i < 200 && view == NULL; i++)
        fixture_turn(&f, 10);
    cr_assert_not_null(view);
    const cJSON *parameters = cfg_json_get(cfg_json_get(view, "view"), "parameters");
    cr_assert(cfg_json_get_num(parameters, "a", 0) == 1 && cfg_json_get_num(parameters, "b", 0) == 1);
    cr_assert_eq(cfg_json_get_num(cfg_json_get(view, "versions"), "base", 0), 1);
    cJSON_Delete(view);
}

Test(hub, a_b_a_while_away_ends_in_an_empty_patch)
{
    struct sub s;
    join(&s, nothing, NULL);
    char digest[CFG_DIGEST_TEXT];
    (void)snprintf(digest, sizeof digest, "%s", sub_str(&s, 0, "digest"));
    struct cfg_rev have = {1, f.revision};
    sub_finish(&s);
    fixture_chat(&f, 2, "{\"a\":2}");
    fixture_chat(&f, 3, "{\"a\":1}");
    join(&s, have, digest);
    cr_assert_eq(s.n, 1u);
    expect(&s, 0, "patch", f.revision);
    cr_assert_str_eq(sub_str(&s, 0, "from"), digest);
    cr_assert_str_eq(sub_str(&s, 0, "digest"), digest);
    cr_assert_eq(cJSON_GetArraySize(cfg_json_get(s.got[0].data, "patch")), 0);
    sub_finish(&s);
}

Test(hub, who_is_up_to_date_gets_a_mark)
{
    char digest[CFG_DIGEST_TEXT];
    (void)snprintf(digest, sizeof digest, "%s", cfg_topic_digest(blue()));
    struct cfg_rev have = cfg_topic_rev(blue());
    (void)fixture_put(&f, CFG_KIND_CONFIG, "other", "", 1, "{\"document\":{},\"extends\":[]}");
    struct sub s;
    join(&s, have, digest);
    expect(&s, 0, "mark", f.revision);
    cr_assert(cJSON_IsFalse(cfg_json_get(s.got[0].data, "stale")));
    fixture_chat(&f, 2, "{\"a\":7}");
    expect(&s, 1, "patch", f.revision);
    sub_finish(&s);
    join(&s, nothing, digest); /* an old digest */
    expect(&s, 0, "view", f.revision);
    sub_finish(&s);
}

Test(hub, a_change_that_leaves_the_view_is_a_mark)
{
    struct sub s;
    join(&s, nothing, NULL);
    fixture_chat(&f, 2, "{\"a\":1,\"tp\":8}"); /* pinned: the view keeps 4 */
    cr_assert_eq(s.n, 2u);
    expect(&s, 1, "mark", f.revision);
    cr_assert_eq(cfg_topic_rev(blue()).revision, f.revision);
    cr_assert_lt(cfg_topic_since(blue()).revision, f.revision);
    sub_finish(&s);
}

Test(hub, unrelated_changes_are_marked_later_and_together)
{
    struct sub s;
    join(&s, nothing, NULL);
    for (uint64_t v = 1; v <= 20; v++)
        (void)fixture_put(&f, CFG_KIND_CONFIG, "other", "", v, "{\"document\":{},\"extends\":[]}");
    cr_assert_eq(s.n, 1u);
    while (s.n == 1)
        cfg_loop_run_once(f.loop, 100);
    expect(&s, 1, "mark", f.revision);
    sub_finish(&s);
}

Test(hub, slow_reader_is_skipped_ahead)
{
    struct sub slow, quick;
    join(&slow, nothing, NULL);
    join(&quick, nothing, NULL);
    slow.full = true;
    fixture_chat(&f, 2, "{\"a\":2}"); /* taken, but it does not drain */
    for (uint64_t v = 3; v <= 10; v++) {
        char doc[32];
        (void)snprintf(doc, sizeof doc, "{\"a\":%d}", (int)v);
        fixture_chat(&f, v, doc);
    }
    cr_assert_eq(slow.n, 2u, "never more than one frame in flight");
    cr_assert_eq(quick.n, 10u);
    slow.full = false;
    cfg_hub_drained(f.hub, &slow.s);
    cr_assert_eq(slow.n, 3u);
    expect(&slow, 2, "view", f.revision);
    cr_assert_str_eq(sub_str(&slow, 2, "digest"), sub_str(&quick, 9, "digest"));
    fixture_chat(&f, 11, "{\"a\":11}");
    expect(&slow, 3, "patch", f.revision);
    slow.full = true;
    fixture_chat(&f, 12, "{\"a\":12}");
    fixture_chat(&f, 13, "{\"a\":13}");
    cfg_hub_drained(f.hub, &slow.s);
    expect(&slow, 5, "patch", f.revision); /* exactly one behind: the patch fits */
    sub_finish(&slow);
    sub_finish(&quick);
}

Test(hub, subscribers_may_leave_during_delivery)
{
    enum { N = 6 };
    struct sub s[N];
    for (size_t i = 0; i < N; i++)
        join(&s[i], nothing, NULL);
    s[4].leave = true;  /* itself */
    s[3].evict = &s[2]; /* the next to be served */
    s[1].evict = &s[5]; /* one that has been served */
    fixture_chat(&f, 2, "{\"a\":2}");
    static const size_t expected[N] = {2, 2, 1, 2, 2, 2};
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(s[i].n, expected[i], "subscriber %zu has %zu", i, s[i].n);
    cr_assert_eq(cfg_topic_subscribers(blue()), 3u);
    fixture_chat(&f, 3, "{\"a\":3}");
    cr_assert_eq(s[0].n, 3u);
    cr_assert_eq(s[4].n, 2u);
    for (size_t i = 0; i < N; i++)
        sub_finish(&s[i]);
}

Test(hub, stale_is_told_once_each_way)
{
    struct sub s, late;
    join(&s, nothing, NULL);
    fixture_state(&f, CFG_REPLICA_RECONNECTING);
    fixture_state(&f, CFG_REPLICA_LIVE); /* back before anyone noticed */
    fixture_state(&f, CFG_REPLICA_RECONNECTING);
    cr_assert_eq(s.n, 1u);
    while (s.n == 1)
        cfg_loop_run_once(f.loop, 100);
    expect(&s, 1, "mark", f.revision);
    cr_assert(cJSON_IsTrue(cfg_json_get(s.got[1].data, "stale")));
    join(&late, nothing, NULL);
    expect(&late, 0, "view", f.revision);
    cr_assert(cJSON_IsTrue(cfg_json_get(late.got[0].data, "stale")));
    fixture_state(&f, CFG_REPLICA_LIVE);
    cr_assert_eq(s.n, 3u);
    cr_assert_eq(late.n, 2u);
    cr_assert(cJSON_IsFalse(cfg_json_get(s.got[2].data, "stale")));
    cr_assert(cJSON_IsFalse(cfg_json_get(late.got[1].data, "stale")));
    sub_finish(&s);
    sub_finish(&late);
}

Test(hub, a_raised_epoch_gives_everyone_the_whole_view)
{
    struct sub s;
    fixture_chat(&f, 2, "{\"a\":2}");
    join(&s, nothing, NULL);
    fixture_epoch(&f, 2, f.revision - 1); /* the write of version 2 is lost */
    cr_assert_eq(s.n, 2u);
    cr_assert_str_eq(s.got[1].event, "view");
    cr_assert_str_eq(s.got[1].id, "2-4");
    cr_assert_eq(cfg_json_get_num(cfg_json_get(cfg_json_get(s.got[1].data, "view"), "parameters"), "a", 0), 1);
    struct sub same; /* a digest of the epoch before is no reason for a mark */
    join(&same, (struct cfg_rev){1, 4}, sub_str(&s, 1, "digest"));
    cr_assert_str_eq(same.got[0].event, "view");
    sub_finish(&s);
    sub_finish(&same);
}

Test(hub, what_flags_share_is_an_input_and_a_flip_moves_the_revision)
{
    struct sub s;
    struct cfg_topic *t;
    struct cfg_error err;
    join(&s, nothing, NULL);
    (void)fixture_put(&f, CFG_KIND_EVALUATORS, "experiment", "", 1, "{\"evaluators\":{\"e\":true},\"metadata\":{}}");
    expect(&s, 1, "patch", f.revision);
    (void)fixture_put(&f, CFG_KIND_EVALUATORS, "elsewhere", "", 1, "{\"evaluators\":{},\"metadata\":{}}");
    cr_assert_eq(s.n, 2u);
    (void)fixture_put(&f, CFG_KIND_FLIP, "experiment", "", 1, "{\"at\":1800000000,\"flags\":[\"ab.flag\"]}");
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", &err), 0);
    cr_assert_eq(cfg_topic_rev(t).revision, f.revision, "though the view is the same");
    cr_assert_eq(cfg_store_flag_revision(f.store, "experiment"), f.revision);
    cr_assert_eq(cfg_store_flag_revision(f.store, "nowhere"), 0);
    sub_finish(&s);
}

Test(hub, flags_and_deployment_are_inputs)
{
    struct sub s;
    join(&s, nothing, NULL);
    (void)fixture_put(&f, CFG_KIND_FLAG, "experiment", "ab.flag", 2,
                      "{\"enabled\":false,\"off_variant\":\"off\",\"definition\":{}}");
    expect(&s, 1, "patch", f.revision);
    (void)fixture_put(&f, CFG_KIND_FLAG, "experiment", "ab.flag", 3, NULL);
    expect(&s, 2, "patch", f.revision);
    (void)fixture_put(&f, CFG_KIND_FLAG, "elsewhere", "x", 1, "{\"enabled\":true,\"definition\":{}}");
    cr_assert_eq(s.n, 3u);
    fixture_chat(&f, 2, "{\"a\":2}");
    expect(&s, 3, "patch", f.revision);
    (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, "blue", "", 2, NULL);
    cr_assert(s.ended);
    cr_assert_null(s.s.topic);
    struct cfg_topic *t;
    struct cfg_error err;
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", &err), CFG_E_NOT_FOUND);
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "bluee", "base", &err), CFG_E_NOT_FOUND);
    sub_finish(&s);
}

Test(hub, empty_never_replaces_good)
{
    struct sub s, late;
    struct cfg_topic *t = NULL;
    struct cfg_error err;
    join(&s, nothing, NULL);
    fixture_chat(&f, 2, "{\"a\":2}");
    (void)fixture_put(&f, CFG_KIND_CONFIG, "chat", "", 3, NULL); /* deleted by force */
    cr_assert_eq(s.n, 2u, "what it has stays good");
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", &err), CFG_E_NOT_READY);
    cr_assert_not_null(strstr(err.text, "chat"));
    sub_init(&late, f.hub);
    cfg_hub_subscribe(f.hub, t, &late.s, nothing, NULL);
    cr_assert_eq(late.n, 0u);
    fixture_chat(&f, 4, "{\"a\":2}");
    expect(&late, 0, "view", f.revision);
    cr_assert_str_eq(sub_str(&late, 0, "digest"), sub_str(&s, 1, "digest"));
    sub_finish(&s);
    sub_finish(&late);
}

#define HOLD(v)                                                                                                  \
    "{\"config\":\"chat\",\"flags\":[\"experiment\"],\"track\":\"hold\",\"generation\":1,\"pin_keys\":[\"tp\"]," \
    "\"pin\":{\"tp\":4},\"arms\":{\"base\":{\"release\":{\"chat\":" #v                                           \
    "},\"follows\":\"fixed\"}},\"adopted_stores\":[]}"

Test(hub, held_release_waits_for_its_version)
{
    struct sub s, late;
    join(&s, nothing, NULL);
    fixture_chat(&f, 2, "{\"a\":2}");
    f.hide_history = true;
    (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, "blue", "", 2, HOLD(1));
    cr_assert_eq(s.n, 2u, "nothing is told while the version is on its way");
    sub_init(&late, f.hub);
    struct cfg_topic *t = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "base", &err), CFG_E_NOT_READY);
    cr_assert_not_null(t);
    cfg_hub_subscribe(f.hub, t, &late.s, nothing, NULL);
    cr_assert_eq(late.n, 0u);
    f.hide_history = false;
    cfg_hub_fetched(f.hub);
    expect(&s, 2, "patch", f.revision);
    expect(&late, 0, "view", f.revision);
    fixture_chat(&f, 3, "{\"a\":3}");
    cr_assert_eq(cfg_json_get_num(cfg_json_get(s.got[2].data, "versions"), "chat", 0), 1);
    cr_assert_eq(s.n, 3u, "held: the head moves without it");
    sub_finish(&s);
    sub_finish(&late);
}

/* --- views of the past --- */

struct past {
    bool done;
    int code;
    cJSON *view;
};

static void got_past(void *arg, struct cfg_slice json, const struct cfg_error *err)
{
    struct past *p = arg;
    p->done = true;
    p->code = err ? err->code : 0;
    if (err == NULL)
        cr_assert_eq(cfg_json_parse(&p->view, json, 100, NULL), 0);
}

static struct past past(uint64_t epoch, uint64_t revision)
{
    struct past p = {0};
    cfg_hub_view_at(f.hub, "blue", "base", (struct cfg_rev){epoch, revision}, got_past, &p);
    cr_assert(!p.done, "never from inside the call");
    while (!p.done)
        cfg_loop_run_once(f.loop, 100);
    return p;
}

Test(hub, every_past_view_can_be_rebuilt)
{
    struct sub s;
    join(&s, nothing, NULL);
    for (uint64_t v = 2; v <= 40; v++) {
        char doc[32];
        (void)snprintf(doc, sizeof doc, "{\"a\":%d}", (int)v);
        fixture_chat(&f, v, doc);
        if (v % 7 == 0)
            (void)fixture_put(&f, CFG_KIND_FLAG, "experiment", v == 7 ? "late" : "ab.flag", v == 7 ? 1 : v / 7,
                              v % 2 ? "{\"enabled\":true,\"definition\":{}}" : NULL);
        if (v == 30)
            (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, "blue", "", 2, HOLD(12));
    }
    size_t checked = 0;
    for (size_t i = 0; i < s.n; i++) {
        struct cfg_rev at;
        cr_assert_eq(cfg_rev_parse(&at, cfg_slice_str(s.got[i].id), NULL), 0);
        if (strcmp(s.got[i].event, "mark") == 0)
            continue;
        struct past p = past(at.epoch, at.revision);
        cr_assert_eq(p.code, 0, "%s at %s", cfg_code_name(p.code), s.got[i].id);
        cr_assert_str_eq(cfg_json_get_str(p.view, "digest", ""), sub_str(&s, i, "digest"), "at %s", s.got[i].id);
        cr_assert_str_eq(cfg_json_get_str(p.view, "revision", ""), s.got[i].id);
        cJSON_Delete(p.view);
        checked++;
    }
    cr_assert_gt(checked, 30u);
    cr_assert_eq(past(1, 3).code, CFG_E_NOT_FOUND); /* before the deployment */
    cr_assert_eq(past(0, 9).code, CFG_E_COMPACTED);
    cr_assert_eq(past(1, f.revision + 1).code, CFG_E_NOT_READY);
    sub_finish(&s);
}

/* --- a random walk: whoever applies what it is sent holds what the digest says --- */

static void check_walk(const struct sub *s)
{
    cJSON *view = NULL;
    struct cfg_rev last = {0, 0};
    for (size_t i = 0; i < s->n; i++) {
        struct cfg_rev id;
        cr_assert_eq(cfg_rev_parse(&id, cfg_slice_str(s->got[i].id), NULL), 0);
        cr_assert_geq(cfg_rev_cmp(id, last), 0, "never back");
        last = id;
        char digest[CFG_DIGEST_TEXT] = "";
        if (strcmp(s->got[i].event, "view") == 0) {
            cJSON_Delete(view);
            view = cJSON_Duplicate(cfg_json_get(s->got[i].data, "view"), true);
        } else if (strcmp(s->got[i].event, "patch") == 0) {
            cr_assert_eq(cfg_digest_json(digest, view), 0);
            cr_assert_str_eq(digest, sub_str(s, i, "from"), "the patch fits what is held");
            cJSON *next = NULL;
            struct cfg_error err = CFG_ERROR_INIT;
            cr_assert_eq(cfg_patch_apply(&next, view, cfg_json_get(s->got[i].data, "patch"), &err), 0, "%s", err.text);
            cJSON_Delete(view);
            view = next;
        }
        cr_assert_eq(cfg_digest_json(digest, view), 0);
        cr_assert_str_eq(digest, sub_str(s, i, "digest"));
    }
    char digest[CFG_DIGEST_TEXT];
    cr_assert_eq(cfg_digest_json(digest, view), 0);
    cr_assert_str_eq(digest, cfg_topic_digest(blue()), "all end on the same view");
    cJSON_Delete(view);
}

Test(hub, random_walk)
{
    enum { SUBS = 8, STEPS = 200 };
    struct sub *s = calloc(SUBS, sizeof *s);
    cr_assert_not_null(s);
    for (size_t i = 0; i < SUBS; i++)
        join(&s[i], nothing, NULL);
    srand(7);
    uint64_t chat = 1, flag = 1;
    for (int step = 0; step < STEPS; step++) {
        char doc[128];
        (void)snprintf(doc, sizeof doc, "{\"a\":%d,\"b\":{\"c\":[1,%d,3],\"~/\":null},\"tp\":%d}", rand() % 3,
                       rand() % 3, rand() % 2);
        if (rand() % 4)
            fixture_chat(&f, ++chat, rand() % 10 ? doc : "{}");
        else
            (void)fixture_put(&f, CFG_KIND_FLAG, "experiment", "ab.flag", ++flag,
                              rand() % 2 ? "{\"enabled\":true,\"definition\":{}}" : NULL);
        for (size_t i = 1; i < SUBS; i++) {
            s[i].full = rand() % 3 == 0;
            if (s[i].s.behind && rand() % 4 == 0)
                cfg_hub_drained(f.hub, &s[i].s);
        }
    }
    for (size_t i = 0; i < SUBS; i++) {
        s[i].full = false;
        while (s[i].s.behind)
            cfg_hub_drained(f.hub, &s[i].s);
        check_walk(&s[i]);
        sub_finish(&s[i]);
    }
    free(s);
}
