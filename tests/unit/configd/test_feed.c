/* The feed of changes: order, namespaces, resuming, readers that fall behind, and what is too old. */
#include "configd/changes_feed.h"
#include "hub_fixture.h"

#include "proto/sse.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct fixture f;
static struct cfg_feed *feed;

static void setup(void)
{
    fixture_init(&f);
    fixture_blue(&f);
    struct cfg_feed_limits limits = {.changes = 16};
    cr_assert_eq(cfg_feed_new(&feed, f.loop, f.store, &limits, NULL), 0);
}

static void teardown(void)
{
    cfg_feed_free(feed);
    fixture_finish(&f);
}

TestSuite(feed, .init = setup, .fini = teardown);

struct reader {
    struct cfg_feed_reader r; /* first */
    const char *ns;           /* NULL: all */
    bool full, leave;
    size_t n;
    struct {
        char event[16], id[48];
        cJSON *data;
    } got[256];
};

static void take(const struct cfg_sse_event *ev, void *arg)
{
    struct reader *r = arg;
    memcpy(r->got[r->n].event, ev->event.ptr, ev->event.len);
    memcpy(r->got[r->n].id, ev->id.ptr, ev->id.len);
    cr_assert_eq(cfg_json_parse(&r->got[r->n].data, ev->data, 0, NULL), 0);
    r->n++;
}

static bool reader_send(struct cfg_feed_reader *base, struct cfg_bytes *frame)
{
    struct reader *r = (struct reader *)base;
    struct cfg_sse_reader sse;
    cfg_sse_reader_init(&sse, 1 << 20);
    cr_assert_eq(cfg_sse_reader_feed(&sse, cfg_bytes_slice(frame), take, r), 0);
    cfg_sse_reader_finish(&sse);
    if (r->leave)
        cfg_feed_leave(base);
    return !r->full;
}

static bool reader_wants(const struct cfg_feed_reader *base, const char *ns)
{
    const struct reader *r = (const struct reader *)base;
    return r->ns == NULL || strcmp(r->ns, ns) == 0;
}

static void start(struct reader *r, const char *ns, struct cfg_rev have)
{
    *r = (struct reader){.r = {.send = reader_send, .wants = reader_wants}, .ns = ns};
    cfg_feed_read(feed, &r->r, have);
}

static void stop(struct reader *r)
{
    cfg_feed_leave(&r->r);
    for (size_t i = 0; i < r->n; i++)
        cJSON_Delete(r->got[i].data);
}

static void chat(uint64_t version)
{
    char doc[64];
    (void)snprintf(doc, sizeof doc, "{\"a\":%d}", (int)version);
    fixture_chat(&f, version, doc);
}

static double version(const struct reader *r, size_t i)
{
    cr_assert_lt(i, r->n);
    cr_assert_str_eq(r->got[i].event, "change");
    return cfg_json_get_num(r->got[i].data, "version", 0);
}

Test(feed, a_change_says_what_who_and_from)
{
    struct reader r;
    start(&r, NULL, (struct cfg_rev){0, 0});
    cr_assert_str_eq(r.got[0].event, "mark");
    fixture_chat(&f, 2, "{\"a\":5}");
    cr_assert_eq(r.n, 2u);
    struct cfg_buf text;
    cfg_buf_init(&text, 4096);
    cfg_json_print(&text, r.got[1].data);
    cr_assert_str_eq(text.data,
                     "{\"kind\":\"config\",\"namespace\":\"chat\",\"version\":2,\"previous\":1,\"deleted\":false,"
                     "\"author\":\"t@t\",\"message\":\"\",\"time\":\"2026-01-01T00:00:00Z\",\"revision\":\"1-5\","
                     "\"changes\":[{\"op\":\"replace\",\"path\":\"a\",\"from\":1,\"to\":5},"
                     "{\"op\":\"remove\",\"path\":\"tp\",\"from\":4}]}");
    cfg_buf_finish(&text);
    cr_assert_str_eq(r.got[1].id, "1-5");
    (void)fixture_put(&f, CFG_KIND_FLAG, "experiment", "ab.flag", 2, NULL);
    cr_assert(cJSON_IsTrue(cfg_json_get(r.got[2].data, "deleted")));
    cr_assert_str_eq(cfg_json_get_str(r.got[2].data, "name", ""), "ab.flag");
    stop(&r);
}

/* Its own name is no namespace: who may see one called so must not see what another namespace's deployment pins. */
Test(feed, a_deployment_belongs_to_the_namespace_it_runs)
{
    struct reader runs, named;
    start(&runs, "chat", (struct cfg_rev){0, 0});
    start(&named, "red", (struct cfg_rev){0, 0});
    (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, "red", "", 1, "{\"config\":\"chat\",\"pin\":{\"key\":\"hidden\"}}");
    (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, "red", "", 2, NULL);
    cr_assert_eq(named.n, 1u);
    cr_assert_eq(runs.n, 3u);
    for (size_t i = 1; i < runs.n; i++) {
        cr_assert_str_eq(cfg_json_get_str(runs.got[i].data, "namespace", ""), "chat");
        cr_assert_str_eq(cfg_json_get_str(runs.got[i].data, "name", ""), "red");
    }
    stop(&runs);
    stop(&named);
}

Test(feed, namespaces_are_kept_apart)
{
    struct reader chats, others;
    start(&chats, "chat", (struct cfg_rev){0, 0});
    start(&others, "experiment", (struct cfg_rev){0, 0});
    chat(2);
    cr_assert_eq(chats.n, 2u);
    cr_assert_eq(others.n, 1u);
    stop(&chats);
    stop(&others);
}

Test(feed, resuming_loses_nothing)
{
    struct reader r;
    struct cfg_rev have = {1, f.revision};
    for (uint64_t v = 2; v <= 8; v++)
        chat(v);
    start(&r, "chat", have);
    cr_assert_eq(r.n, 7u);
    for (size_t i = 0; i < 7; i++)
        cr_assert_eq(version(&r, i), (double)(i + 2));
    struct cfg_rev mid;
    cr_assert_eq(cfg_rev_parse(&mid, cfg_slice_str(r.got[3].id), NULL), 0);
    stop(&r);
    start(&r, "chat", mid);
    cr_assert_eq(r.n, 3u);
    cr_assert_eq(version(&r, 0), 6);
    stop(&r);
    start(&r, "chat", (struct cfg_rev){1, f.revision});
    cr_assert_eq(r.n, 0u, "nothing new, nothing told");
    stop(&r);
}

Test(feed, too_old_is_a_reset)
{
    struct reader r;
    struct cfg_rev have = {1, f.revision};
    for (uint64_t v = 2; v <= 18; v++) /* 17 changes into a ring of 16 */
        chat(v);
    start(&r, "chat", have);
    cr_assert_eq(r.n, 1u);
    cr_assert_str_eq(r.got[0].event, "reset");
    chat(19);
    cr_assert_eq(version(&r, 1), 19);
    stop(&r);
    start(&r, "chat", (struct cfg_rev){1, have.revision + 2}); /* exactly what the ring still has */
    cr_assert_eq(r.n, 16u);
    cr_assert_eq(version(&r, 0), 4);
    cr_assert_eq(version(&r, 15), 19);
    stop(&r);
}

Test(feed, a_reader_that_falls_behind_goes_on_where_it_was)
{
    struct reader r;
    start(&r, "chat", (struct cfg_rev){0, 0});
    r.full = true;
    for (uint64_t v = 2; v <= 10; v++)
        chat(v);
    cr_assert_eq(r.n, 2u);
    r.full = false;
    cfg_feed_drained(&r.r);
    cr_assert_eq(r.n, 10u);
    cr_assert_eq(version(&r, 9), 10);
    r.full = true;
    for (uint64_t v = 11; v <= 40; v++)
        chat(v);
    cr_assert_eq(r.n, 11u);
    r.full = false;
    cfg_feed_drained(&r.r);
    cr_assert_eq(r.n, 12u);
    cr_assert_str_eq(r.got[11].event, "reset");
    stop(&r);
}

Test(feed, readers_may_leave_during_delivery)
{
    struct reader a, b, c;
    start(&a, NULL, (struct cfg_rev){0, 0});
    start(&b, NULL, (struct cfg_rev){0, 0});
    start(&c, NULL, (struct cfg_rev){0, 0});
    b.leave = true;
    chat(2);
    chat(3);
    cr_assert_eq(a.n, 3u);
    cr_assert_eq(b.n, 2u);
    cr_assert_eq(c.n, 3u);
    stop(&a);
    stop(&b);
    stop(&c);
}

Test(feed, a_fresh_snapshot_is_a_reset)
{
    struct reader r, slow;
    start(&r, NULL, (struct cfg_rev){0, 0});
    start(&slow, NULL, (struct cfg_rev){0, 0});
    slow.full = true;
    chat(2);
    fixture_epoch(&f, 2, f.revision);
    cr_assert_eq(r.n, 3u);
    cr_assert_str_eq(r.got[2].event, "reset");
    cr_assert_eq(slow.n, 2u);
    slow.full = false;
    cfg_feed_drained(&slow.r);
    cr_assert_str_eq(slow.got[2].event, "reset");
    chat(3);
    cr_assert_eq(version(&r, 3), 3);
    cr_assert_eq(version(&slow, 3), 3);
    struct reader old;
    start(&old, NULL, (struct cfg_rev){1, 5});
    cr_assert_str_eq(old.got[0].event, "reset");
    stop(&r);
    stop(&slow);
    stop(&old);
}

Test(feed, marks_follow_unrelated_changes)
{
    struct reader r;
    start(&r, "nowhere", (struct cfg_rev){0, 0});
    chat(2);
    while (r.n == 1)
        cfg_loop_run_once(f.loop, 100);
    cr_assert_str_eq(r.got[1].event, "mark");
    cr_assert_str_eq(r.got[1].id, "1-5");
    stop(&r);
}
