/* Arms as topics: who is moved when the deployment's record changes, and that nobody goes back by it. */
#include "configd/hub_topic.h"
#include "configd/view.h"
#include "hub_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fixture f;
static uint64_t record; /* version of blue */

static void setup(void)
{
    fixture_init(&f);
    fixture_blue(&f);
    fixture_chat(&f, 2, "{\"a\":2,\"tp\":4}");
    record = 1;
}

static void teardown(void)
{
    fixture_finish(&f);
}

TestSuite(hub_arms, .init = setup, .fini = teardown);

/* A worker: its group decides the arm. */
struct worker {
    struct sub sub; /* first */
    char group[16];
};

static const char *worker_arm(struct cfg_subscriber *s, const struct cfg_deployment *d)
{
    return cfg_deployment_assign(d, ((const struct worker *)s)->group, NULL);
}

static void put_blue(const char *arms, const char *split)
{
    char body[1024];
    (void)snprintf(body, sizeof body,
                   "{\"config\":\"chat\",\"flags\":[\"experiment\"],\"track\":\"hold\",\"generation\":1,"
                   "\"pin_keys\":[\"tp\"],\"pin\":{\"tp\":4},\"arms\":{%s},%s\"adopted_stores\":[]}",
                   arms, split);
    (void)fixture_put(&f, CFG_KIND_DEPLOYMENT, "blue", "", ++record, body);
}

#define BASE(v)         "\"base\":{\"follows\":\"fixed\",\"release\":{\"chat\":" #v "}}"
#define CANARY(v, more) "\"canary\":{\"follows\":\"fixed\",\"release\":{\"chat\":" #v "}" more "}"

static void put_share(double share)
{
    char split[128];
    (void)snprintf(split, sizeof split, "\"split\":{\"arm\":\"canary\",\"seed\":\"5eed\",\"share\":%g},", share);
    put_blue(BASE(1) "," CANARY(2, ""), split);
}

static struct cfg_topic *topic(const char *arm)
{
    struct cfg_topic *t = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_hub_topic(&t, f.hub, "blue", arm, &err);
    cr_assert(rc == 0 || rc == CFG_E_NOT_READY, "%s", err.text);
    return t;
}

static void join(struct worker *w, unsigned i)
{
    sub_init(&w->sub, f.hub);
    (void)snprintf(w->group, sizeof w->group, "job-%u", i);
    w->sub.s.arm = worker_arm;
    cfg_hub_subscribe(f.hub, topic("base"), &w->sub.s, (struct cfg_rev){0, 0}, NULL);
}

static double point_of(const struct worker *w)
{
    const struct cfg_split s = {.arm = "canary", .seed = "5eed"};
    double point = 1;
    cr_assert(cfg_split_point(&point, &s, w->group, NULL));
    return point;
}

static const char *last(const struct worker *w, const char *key)
{
    return sub_str(&w->sub, w->sub.n - 1, key);
}

/* What was sent never goes back, and every patch starts where the worker is. */
static void check_order(const struct worker *w)
{
    struct cfg_rev newest = {0, 0}, rev;
    const char *digest = "";
    for (size_t i = 0; i < w->sub.n; i++) {
        cr_assert_eq(cfg_rev_parse(&rev, cfg_slice_str(sub_str(&w->sub, i, "revision")), NULL), 0);
        cr_assert_geq(cfg_rev_cmp(rev, newest), 0, "%s went back", w->group);
        if (strcmp(w->sub.got[i].event, "patch") == 0)
            cr_assert(strcmp(sub_str(&w->sub, i, "from"), digest) == 0 && cfg_rev_cmp(rev, newest) > 0);
        if (strcmp(w->sub.got[i].event, "mark") == 0)
            cr_assert_str_eq(sub_str(&w->sub, i, "digest"), digest);
        newest = rev;
        digest = sub_str(&w->sub, i, "digest");
    }
}

/* Everybody holds the view of the arm that its group runs. */
static void check_all(struct worker *w, size_t n, double share)
{
    for (size_t i = 0; i < n; i++) {
        const char *arm = point_of(&w[i]) < share ? "canary" : "base";
        cr_assert_str_eq(w[i].sub.s.topic->arm, arm, "%s", w[i].group);
        cr_assert_str_eq(last(&w[i], "digest"), cfg_topic_digest(topic(arm)), "%s", w[i].group);
        check_order(&w[i]);
    }
}

enum { WORKERS = 40 };

static struct worker *start(void)
{
    struct worker *w = calloc(WORKERS, sizeof *w);
    cr_assert_not_null(w);
    put_blue(BASE(1), "");
    for (unsigned i = 0; i < WORKERS; i++)
        join(&w[i], i);
    return w;
}

static void stop(struct worker *w)
{
    for (size_t i = 0; i < WORKERS; i++)
        sub_finish(&w[i].sub);
    free(w);
}

Test(hub_arms, workers_are_moved_up_and_back)
{
    struct worker *w = start();
    static const double shares[] = {0, 0.1, 0.5, 0.5, 1, 0.3, 0};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        put_share(shares[i]);
        check_all(w, WORKERS, shares[i]);
    }
    stop(w);
}

Test(hub_arms, the_end_of_a_rollout_is_a_new_label_for_those_who_run_it_already)
{
    struct worker *w = start();
    put_share(1);
    put_blue(BASE(2), "");
    check_all(w, WORKERS, 0);
    for (size_t i = 0; i < WORKERS; i++) {
        cr_assert_str_eq(w[i].sub.got[w[i].sub.n - 1].event, "patch");
        cr_assert_eq(cJSON_GetArraySize(cfg_json_get(w[i].sub.got[w[i].sub.n - 1].data, "patch")), 0);
    }
    stop(w);
}

Test(hub_arms, an_arm_that_is_being_fetched_is_waited_for)
{
    struct worker *w = start();
    fixture_chat(&f, 3, "{\"a\":3,\"tp\":4}");
    f.hide_history = true;
    put_share(0.5);
    for (size_t i = 0; i < WORKERS; i++) {
        cr_assert_str_eq(w[i].sub.s.topic->arm, point_of(&w[i]) < 0.5 ? "canary" : "base");
        cr_assert_str_eq(last(&w[i], "digest"), sub_str(&w[i].sub, 0, "digest"), "the view it has stands meanwhile");
    }
    f.hide_history = false;
    cfg_hub_fetched(f.hub);
    check_all(w, WORKERS, 0.5);
    stop(w);
}

/* A worker that takes nothing while it is moved, and moved again, ends with the newest view of where it is. */
Test(hub_arms, a_slow_worker_is_moved_without_a_frame)
{
    struct worker *w = start();
    size_t slow = 0;
    while (point_of(&w[slow]) >= 0.5)
        slow++;
    w[slow].sub.full = true;
    put_share(0.5);
    size_t n = w[slow].sub.n;
    put_share(0);
    put_share(0.6);
    cr_assert_eq(w[slow].sub.n, n);
    w[slow].sub.full = false;
    cfg_hub_drained(f.hub, &w[slow].sub.s);
    check_all(w, WORKERS, 0.6);
    stop(w);
}

Test(hub_arms, an_observer_of_an_arm_ends_with_it)
{
    struct sub s;
    put_share(0.5);
    sub_init(&s, f.hub);
    cfg_hub_subscribe(f.hub, topic("canary"), &s.s, (struct cfg_rev){0, 0}, NULL);
    cr_assert_str_eq(sub_str(&s, 0, "arm"), "canary");
    put_share(0.7);
    cr_assert(!s.ended);
    put_blue(BASE(1), "");
    cr_assert(s.ended);
    sub_finish(&s);
    struct cfg_topic *t = NULL;
    cr_assert_eq(cfg_hub_topic(&t, f.hub, "blue", "canary", NULL), CFG_E_NOT_FOUND);
}

Test(hub_arms, an_arm_fixes_a_flags_version)
{
    struct worker *w = start();
    (void)fixture_put(&f, CFG_KIND_FLAG, "experiment", "ab.flag", 2,
                      "{\"enabled\":false,\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\",\"variants\":"
                      "{\"on\":true,\"off\":false},\"defaultVariant\":\"on\"}}");
    put_blue("\"base\":{\"follows\":\"fixed\",\"release\":{\"chat\":1},\"flags\":{\"experiment/ab.flag\":1}}"
             "," CANARY(1, ",\"flags\":{\"experiment/ab.flag\":2}"),
             "\"split\":{\"arm\":\"canary\",\"seed\":\"5eed\",\"share\":0.5},");
    check_all(w, WORKERS, 0.5);
    struct cfg_slice base = cfg_topic_view_json(topic("base")), canary = cfg_topic_view_json(topic("canary"));
    cr_assert(memmem(base.ptr, base.len, "\"enabled\":true", 14) &&
              !memmem(base.ptr, base.len, "\"enabled\":false", 15));
    cr_assert_not_null(memmem(canary.ptr, canary.len, "\"enabled\":false", 15));
    (void)fixture_put(&f, CFG_KIND_FLAG, "experiment", "ab.flag", 3, NULL);
    check_all(w, WORKERS, 0.5);
    cr_assert_not_null(memmem(cfg_topic_view_json(topic("base")).ptr, base.len, "\"enabled\":true", 14),
                       "deleted since: the arm keeps its version");
    stop(w);
}

/* Shares, publishes and slow readers in any order: everybody ends on the arm of its group, and nobody goes back. */
Test(hub_arms, random_walk)
{
    struct worker *w = start();
    unsigned seed = 7;
    double share = 0;
    uint64_t version = 2;
    for (unsigned i = 0; i < 150; i++) {
        struct worker *one = &w[(unsigned)rand_r(&seed) % WORKERS];
        switch ((unsigned)rand_r(&seed) % 4) {
        case 0:
            share = (rand_r(&seed) % 11) / 10.0;
            put_share(share);
            break;
        case 1:
            version++;
            fixture_chat(&f, version, version % 2 ? "{\"a\":9,\"tp\":4}" : "{\"a\":8,\"tp\":4}");
            break;
        case 2:
            one->sub.full = true;
            break;
        default:
            one->sub.full = false;
            cfg_hub_drained(f.hub, &one->sub.s);
            break;
        }
        if (one->sub.n > FIXTURE_EVENTS - 20)
            break;
    }
    for (size_t i = 0; i < WORKERS; i++) {
        w[i].sub.full = false;
        cfg_hub_drained(f.hub, &w[i].sub.s);
    }
    put_share(share);
    check_all(w, WORKERS, share);
    stop(w);
}
