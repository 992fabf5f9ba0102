/* A base under many deployments: their views are composed a few at a time, and nobody sees an old one meanwhile. */
#include "configd/hub_topic.h"
#include "hub_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 150 };

static struct fixture f;
static struct sub *subs;

static void put_base(uint64_t version, int value)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"document\":{\"b\":%d},\"extends\":[]}", value);
    (void)fixture_put(&f, CFG_KIND_CONFIG, "base", "", version, body);
}

static struct cfg_topic *topic(unsigned i)
{
    struct cfg_topic *t = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    char name[16];
    (void)snprintf(name, sizeof name, "d%u", i);
    cr_assert_eq(cfg_hub_topic(&t, f.hub, name, "base", &err), 0, "%s", err.text);
    return t;
}

static void setup(void)
{
    fixture_init(&f);
    put_base(1, 1);
    (void)fixture_put(&f, CFG_KIND_CONFIG, "chat", "", 1,
                      "{\"document\":{\"a\":\"${b}\",\"tp\":4},\"extends\":[\"base\"]}");
    subs = calloc(MANY, sizeof *subs);
    cr_assert_not_null(subs);
    for (unsigned i = 0; i < MANY; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "d%u", i);
        (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, name, "", 1,
                          "{\"config\":\"chat\",\"flags\":[],\"track\":\"head\",\"generation\":1,\"pin_keys\":[\"tp\"],"
                          "\"pin\":{\"tp\":4},\"arms\":{\"base\":{\"release\":{\"chat\":1},\"follows\":\"head\"}},"
                          "\"adopted_stores\":[]}");
        sub_init(&subs[i], f.hub);
        cfg_hub_subscribe(f.hub, topic(i), &subs[i].s, (struct cfg_rev){0, 0}, NULL);
        cr_assert_eq(subs[i].n, 1);
    }
}

static void teardown(void)
{
    for (unsigned i = 0; i < MANY; i++)
        sub_finish(&subs[i]);
    free(subs);
    fixture_finish(&f);
}
TestSuite(hub_slices, .init = setup, .fini = teardown);

static unsigned told(size_t events)
{
    unsigned n = 0;
    for (unsigned i = 0; i < MANY; i++)
        n += subs[i].n == events;
    return n;
}

static void until_all_are(size_t events)
{
    for (int turns = 0; told(events) < MANY; turns++) {
        cr_assert_lt(turns, 1000, "%u of %d were told", told(events), MANY);
        cfg_loop_run_once(f.loop, 100);
    }
}

static void until_composed(const struct cfg_topic *t)
{
    for (int turns = 0; t->due; turns++) {
        cr_assert_lt(turns, 1000);
        cfg_loop_run_once(f.loop, 100);
    }
}

Test(hub_slices, a_write_is_told_in_several_turns_and_once)
{
    put_base(2, 2);
    cr_assert(told(2) > 0 && told(2) < MANY, "%u at once", told(2));
    until_all_are(2);
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_str_eq(subs[i].got[1].event, "patch");
        cr_assert_str_eq(sub_str(&subs[i], 1, "digest"), cfg_topic_digest(topic(0)));
    }
    fixture_turn(&f, 5);
    cr_assert_eq(told(2), MANY);
}

/* d0 comes last: the hub's list begins with the newest topic. */
Test(hub_slices, who_asks_meanwhile_finds_the_newest)
{
    struct sub late;
    put_base(2, 2);
    cr_assert_eq(subs[0].n, 1);
    cr_assert_eq(cfg_topic_rev(topic(0)).revision, f.revision);
    cr_assert_eq(subs[0].n, 2); /* the others who wait for it are told with it */
    cr_assert_eq(subs[1].n, 1);
    sub_init(&late, f.hub);
    cfg_hub_subscribe(f.hub, topic(1), &late.s, (struct cfg_rev){0, 0}, NULL);
    cr_assert_str_eq(late.got[0].event, "view");
    cr_assert_str_eq(sub_str(&late, 0, "digest"), cfg_topic_digest(topic(0)));
    cr_assert_eq(subs[1].n, 2);
    until_all_are(2);
    sub_finish(&late);
}

Test(hub_slices, a_b_a_before_its_turn_holds_anew)
{
    struct cfg_topic *t = topic(0);
    char a[CFG_DIGEST_TEXT];
    (void)snprintf(a, sizeof a, "%s", cfg_topic_digest(t));
    put_base(2, 2);
    put_base(3, 1);
    cr_assert_eq(subs[0].n, 1);
    until_composed(t);
    cr_assert_str_eq(cfg_topic_digest(t), a);
    cr_assert_eq(cfg_topic_since(t).revision, f.revision); /* B was skipped, and may have been seen elsewhere */
    cr_assert_eq(subs[0].n, 2); /* with a mark alone nobody would ever count as running it since then */
    cr_assert_str_eq(subs[0].got[1].event, "patch");
    cr_assert_str_eq(sub_str(&subs[0], 1, "from"), a);
    cr_assert_str_eq(sub_str(&subs[0], 1, "digest"), a);
}

Test(hub_slices, who_takes_nothing_before_its_turn_gets_the_view_anew)
{
    const struct cfg_topic *t = topic(0);
    subs[0].full = true;
    put_base(2, 2);
    until_all_are(2);
    put_base(3, 1);
    put_base(4, 2);
    until_composed(t);
    cr_assert_eq(subs[0].n, 2);
    subs[0].full = false;
    cfg_hub_drained(f.hub, &subs[0].s);
    cr_assert_eq(subs[0].n, 3);
    cr_assert_str_eq(subs[0].got[2].event, "view");
    cr_assert_eq(cfg_topic_since(t).revision, f.revision);
}

Test(hub_slices, what_is_composed_anew_from_the_same_holds_as_long_as_before)
{
    struct cfg_topic *t = topic(0);
    put_base(2, 2);
    until_all_are(2);
    struct cfg_rev since = cfg_topic_since(t);
    (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, "d0", "", 2,
                      "{\"config\":\"chat\",\"flags\":[],\"track\":\"head\",\"generation\":1,\"pin_keys\":[\"tp\"],"
                      "\"pin\":{\"tp\":4},\"arms\":{\"base\":{\"release\":{\"chat\":1},\"follows\":\"head\"}},"
                      "\"adopted_stores\":[\"s2\"]}");
    cr_assert_eq(subs[0].n, 3);
    cr_assert_str_eq(subs[0].got[2].event, "mark");
    t->dirty = true; /* as after a listing */
    struct cfg_rev label = cfg_topic_rev(topic(0));
    cr_assert(cfg_rev_cmp(cfg_topic_since(t), since) == 0 && cfg_rev_cmp(label, since) > 0);
}

Test(hub_slices, who_leaves_before_its_turn_is_not_told)
{
    put_base(2, 2);
    cfg_hub_unsubscribe(f.hub, &subs[0].s);
    fixture_turn(&f, 20);
    cr_assert_eq(subs[0].n, 1);
    cr_assert_eq(cfg_topic_rev(topic(0)).revision, f.revision);
}
