/* The service against real etcd: what is acknowledged is there, once; what is refused is not; races lose no update. */
#include "tests/integration/service_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_test_etcd *etcd;
static struct cfg_loop *loop;

static void start(void)
{
    etcd = cfg_test_etcd_start(NULL);
    cr_assert_eq(cfg_loop_new(&loop, NULL), 0);
}

static void stop(void)
{
    cfg_loop_free(loop);
    cfg_test_etcd_free(etcd);
}
TestSuite(service, .init = start, .fini = stop, .timeout = 120);

static void open_node(struct cfg_node *n)
{
    const struct cfg_node_options o = {.endpoint = cfg_test_etcd_endpoint(etcd, 0)};
    cfg_node_open(n, loop, &o);
}

#define SET(ns, name, value) "[{\"namespace\":\"" ns "\",\"set\":[{\"name\":\"" name "\",\"value\":" value "}]}]"

Test(service, a_write_is_one_request_and_is_read_back)
{
    struct cfg_node n;
    struct cfg_answer a;
    struct cfg_etcd_stats before, after;
    char key[] = CFG_RIG_PREFIX "history/config/chat/0000000001";
    open_node(&n);
    cr_assert_eq(cfg_node_write(&n, SET("warm", "up", "1")), 1);
    cfg_etcd_stats(n.etcd, &before);
    cfg_node_begin(&n, &a, SET("chat", "a.b", "1"), NULL);
    cfg_node_await(&n, &a);
    cfg_etcd_stats(n.etcd, &after);
    cr_assert_eq(after.requests - before.requests, 1);
    cr_assert(a.visible && a.err.code == 0);
    cr_assert_str_eq(cfg_node_value(&n, "config/chat", "document.a.b"), "1");
    char revision[CFG_REV_TEXT];
    cr_assert_str_eq(cfg_json_get_str(a.body, "revision", ""), cfg_rev_format(cfg_store_rev(n.store), revision));
    char *head = cfg_test_get(cfg_test_etcd_endpoint(etcd, 0), CFG_RIG_PREFIX "live/config/chat", NULL);
    char *record = cfg_test_get(cfg_test_etcd_endpoint(etcd, 0), key, NULL);
    cr_assert_str_eq(head, record);
    free(head);
    free(record);
    cfg_answer_finish(&a);
    cfg_node_close(&n);
}

Test(service, a_change_of_nothing_writes_nothing)
{
    struct cfg_node n;
    struct cfg_answer a;
    open_node(&n);
    (void)cfg_node_write(&n, SET("chat", "a", "1"));
    int64_t revision = cfg_test_revision(cfg_test_etcd_endpoint(etcd, 0));
    cfg_node_begin(&n, &a, SET("chat", "a", "1"), NULL);
    cfg_node_await(&n, &a);
    cr_assert(cfg_json_get_bool(cfg_json_get(a.body, "results")->child, "unchanged", false));
    cr_assert_eq(cfg_test_revision(cfg_test_etcd_endpoint(etcd, 0)), revision);
    cfg_answer_finish(&a);
    cfg_node_close(&n);
}

Test(service, dry_runs_write_nothing)
{
    struct cfg_node n;
    struct cfg_answer a;
    open_node(&n);
    (void)cfg_node_write(&n, SET("chat", "a", "1"));
    int64_t revision = cfg_test_revision(cfg_test_etcd_endpoint(etcd, 0));
    n.dry_run = true;
    cfg_node_begin(&n, &a, SET("chat", "a", "2"), "key");
    cfg_node_await(&n, &a);
    cr_assert(cfg_json_get_bool(a.body, "dry_run", false));
    cr_assert_eq(cfg_json_get_num(cfg_json_get(a.body, "results")->child, "version", 0), 2);
    cfg_answer_finish(&a);
    cr_assert_eq(cfg_node_try(&n, "[{\"object\":\"config/chat\",\"if_version\":7,\"put\":{}}]", NULL, NULL),
                 CFG_E_PRECONDITION);
    cr_assert_eq(cfg_test_revision(cfg_test_etcd_endpoint(etcd, 0)), revision);
    cfg_node_close(&n);
}

/* Two services, each with a replica of its own, and many writers on one counter: every acknowledged increment counts.
 */
struct writer {
    struct cfg_node *node;
    struct cfg_answer answer;
    unsigned done, lost;
    uint64_t last;
    bool busy;
};

Test(service, racing_writers_lose_no_update)
{
    enum { NODES = 2, WRITERS = 8, ROUNDS = 25 };
    struct cfg_node nodes[NODES];
    struct writer writers[WRITERS] = {0};
    for (int i = 0; i < NODES; i++)
        open_node(&nodes[i]);
    for (int i = 0; i < WRITERS; i++)
        writers[i].node = &nodes[i % NODES];
    unsigned left = WRITERS;
    while (left > 0) {
        left = 0;
        for (int i = 0; i < WRITERS; i++) {
            struct writer *w = &writers[i];
            if (w->busy && w->answer.done) {
                cr_assert_eq(w->answer.err.code, 0, "%s", w->answer.err.text);
                w->busy = false;
                w->done++;
                cfg_answer_finish(&w->answer);
            }
            if (!w->busy && w->done < ROUNDS) {
                char entries[200];
                (void)snprintf(entries, sizeof entries, SET("race", "w%d", "%u"), i, w->done + 1);
                cfg_node_begin(w->node, &w->answer, entries, NULL);
                w->busy = true;
            }
            left += w->busy;
        }
        cfg_loop_run_once(loop, 50);
    }
    bool gapless;
    cr_assert_eq(cfg_node_history(&nodes[0], "config/race", &gapless), WRITERS * ROUNDS);
    cr_assert(gapless, "each version was decided on the one before it");
    for (int i = 0; i < WRITERS; i++) {
        char path[32], value[16];
        (void)snprintf(path, sizeof path, "document.w%d", i);
        (void)snprintf(value, sizeof value, "%d", ROUNDS);
        cr_assert_str_eq(cfg_node_value(&nodes[0], "config/race", path), value);
    }
    for (int i = 0; i < NODES; i++)
        cfg_node_close(&nodes[i]);
}

Test(service, of_two_conditional_writers_one_wins)
{
    struct cfg_node a, b;
    open_node(&a);
    open_node(&b);
    (void)cfg_node_write(&a, SET("chat", "x", "0"));
    for (uint64_t version = 1; version < 20; version++) {
        struct cfg_answer x, y;
        char entries[200];
        (void)snprintf(entries, sizeof entries, "[{\"object\":\"config/chat\",\"if_version\":%u,\"patch\":{\"x\":%u}}]",
                       (unsigned)version, (unsigned)version * 2);
        cfg_node_begin(&a, &x, entries, NULL);
        (void)snprintf(entries, sizeof entries, "[{\"object\":\"config/chat\",\"if_version\":%u,\"patch\":{\"x\":%u}}]",
                       (unsigned)version, (unsigned)version * 2 + 1);
        cfg_node_begin(&b, &y, entries, NULL);
        cfg_node_await(&a, &x);
        cfg_node_await(&b, &y);
        cr_assert((x.err.code == 0) != (y.err.code == 0), "%s / %s", x.err.text, y.err.text);
        cr_assert_eq(x.err.code + y.err.code, CFG_E_PRECONDITION);
        cfg_answer_finish(&x);
        cfg_answer_finish(&y);
    }
    cfg_node_close(&a);
    cfg_node_close(&b);
}

Test(service, a_refusal_is_checked_against_etcd_not_the_replica)
{
    /* b is cut off from the watch's news but not from the gateway: it must not refuse by what it remembers. */
    struct cfg_node a, b;
    open_node(&a);
    open_node(&b);
    for (int i = 1; i <= 10; i++) {
        char entries[200];
        (void)cfg_node_write(&a, i % 2 ? SET("chat", "x", "true") : SET("chat", "x", "false"));
        (void)snprintf(entries, sizeof entries, "[{\"object\":\"config/chat\",\"if_version\":%d,\"patch\":{\"y\":%d}}]",
                       2 * i - 1, i);
        cr_assert_eq(cfg_node_try(&b, entries, NULL, NULL), 0, "version %d was acknowledged to a", 2 * i - 1);
    }
    cfg_node_close(&a);
    cfg_node_close(&b);
}

Test(service, a_flip_and_back_through_a_replica_that_lags_is_no_no_op)
{
    struct cfg_node a, b;
    open_node(&a);
    open_node(&b);
    (void)cfg_node_write(&a, SET("chat", "x", "1"));
    for (int i = 0; i < 10; i++) {
        (void)cfg_node_write(&a, SET("chat", "x", "2"));
        cr_assert_eq(cfg_node_try(&b, SET("chat", "x", "1"), NULL, NULL), 0);
    }
    bool gapless;
    cr_assert_eq(cfg_node_history(&a, "config/chat", &gapless), 21);
    cr_assert(gapless);
    cfg_node_close(&a);
    cfg_node_close(&b);
}

Test(service, several_objects_are_one_revision)
{
    struct cfg_node n;
    open_node(&n);
    (void)cfg_node_write(&n, "[{\"object\":\"config/a\",\"put\":{\"x\":1}},{\"object\":\"config/b\",\"put\":{\"x\":1}},"
                             "{\"namespace\":\"exp\",\"set\":[{\"name\":\"f\",\"on_off\":\"on\"}]}]");
    cr_assert_eq(cfg_store_find(n.store, CFG_KIND_CONFIG, "a", NULL)->mod_revision,
                 cfg_store_find(n.store, CFG_KIND_FLAG, "exp", "f")->mod_revision);
    struct cfg_error err;
    cr_assert_eq(
        cfg_node_try(&n,
                     "[{\"object\":\"config/a\",\"patch\":{\"x\":2}},{\"object\":\"config/b\",\"if_version\":7,"
                     "\"patch\":{\"x\":2}}]",
                     NULL, &err),
        CFG_E_PRECONDITION);
    cr_assert_eq(cfg_node_version(&n, "config/a"), 1);
    cfg_node_close(&n);
}

Test(service, sixty_objects_fit_into_one_change)
{
    struct cfg_node n;
    struct cfg_buf text;
    open_node(&n);
    cfg_buf_init(&text, 1 << 20);
    for (int i = 0; i < CFG_LIMIT_CHANGE_OBJECTS; i++)
        cfg_buf_printf(&text, "%c{\"namespace\":\"n%d\",\"set\":[{\"name\":\"f\",\"on_off\":\"on\"}]}", i ? ',' : '[',
                       i);
    cfg_buf_putc(&text, ']');
    cr_assert_eq(cfg_node_write(&n, text.data), 1);
    cfg_buf_finish(&text);
    cfg_node_close(&n);
}

static bool has_value(void *arg)
{
    return strcmp(cfg_node_value(arg, "config/chat", "document.a"), "1") == 0;
}

Test(service, tombstones_and_rollback_past_them)
{
    struct cfg_node a, b;
    open_node(&a);
    open_node(&b);
    cr_assert_eq(cfg_node_write(&a, SET("chat", "a", "1")), 1);
    cr_assert_eq(cfg_node_write(&a, SET("chat", "a", "2")), 2);
    cr_assert_eq(cfg_node_write(&a, "[{\"object\":\"config/chat\",\"delete\":true}]"), 3);
    cr_assert(cfg_store_find(a.store, CFG_KIND_CONFIG, "chat", NULL)->deleted);
    cr_assert_eq(cfg_node_try(&b, "[{\"object\":\"config/chat\",\"rollback_to\":3}]", NULL, NULL), CFG_E_VALUE);
    cr_assert_eq(cfg_node_try(&b, "[{\"object\":\"config/chat\",\"rollback_to\":99}]", NULL, NULL), CFG_E_NOT_FOUND);
    cr_assert_eq(cfg_node_write(&b, "[{\"object\":\"config/chat\",\"rollback_to\":1}]"), 4);
    cr_assert(cfg_node_until(&a, has_value, &a, 10000));
    bool gapless;
    cr_assert_eq(cfg_node_history(&a, "config/chat", &gapless), 4);
    cr_assert(gapless);
    cfg_node_close(&a);
    cfg_node_close(&b);
}

Test(service, a_deployment_is_moved_to_an_old_release)
{
    struct cfg_node n;
    open_node(&n);
    (void)cfg_node_write(&n, SET("chat", "a", "1"));
    (void)cfg_node_write(&n, SET("chat", "a", "2"));
    (void)cfg_node_write(
        &n, "[{\"object\":\"deployment/blue\",\"put\":{\"config\":\"chat\",\"pin\":[\"a\"],\"track\":\"hold\"}}]");
    cr_assert_str_eq(cfg_node_value(&n, "deployment/blue", "arms.base.release.chat"), "2");
    (void)cfg_node_write(&n, "[{\"object\":\"deployment/blue\",\"patch\":{\"release\":{\"chat\":1}}}]");
    cr_assert_str_eq(cfg_node_value(&n, "deployment/blue", "arms.base.release.chat"), "1");
    cr_assert_eq(
        cfg_node_try(&n, "[{\"object\":\"deployment/blue\",\"patch\":{\"release\":{\"chat\":9}}}]", NULL, NULL),
        CFG_E_NOT_FOUND);
    cfg_node_close(&n);
}

Test(service, a_key_used_again_gives_the_first_result)
{
    struct cfg_node a, b;
    struct cfg_answer first, again;
    struct cfg_error err;
    open_node(&a);
    open_node(&b);
    cfg_node_begin(&a, &first, SET("chat", "n", "1"), "key-1");
    cfg_node_await(&a, &first);
    cr_assert_eq(first.err.code, 0, "%s", first.err.text);
    (void)cfg_node_write(&b, SET("chat", "n", "2"));
    cfg_node_begin(&b, &again, SET("chat", "n", "1"), "key-1"); /* through another replica, too */
    cfg_node_await(&b, &again);
    cr_assert_eq(again.err.code, 0, "%s", again.err.text);
    cr_assert(cfg_json_equal(first.body, again.body));
    cr_assert_str_eq(cfg_node_value(&b, "config/chat", "document.n"), "2");
    cr_assert_eq(cfg_node_try(&a, SET("chat", "n", "3"), "key-1", &err), CFG_E_CONFLICT);
    /* A refusal by a precondition that the first attempt itself has moved is the first attempt's success. */
    const char *conditional = "[{\"object\":\"config/chat\",\"if_version\":2,\"patch\":{\"n\":7}}]";
    cr_assert_eq(cfg_node_try(&a, conditional, "key-2", &err), 0, "%s", err.text);
    cr_assert_eq(cfg_node_try(&b, conditional, "key-2", &err), 0, "%s", err.text);
    cr_assert_eq(cfg_node_try(&b, conditional, "key-3", &err), CFG_E_PRECONDITION);
    cr_assert_eq(cfg_node_history(&a, "config/chat", NULL), 3);
    /* A change of nothing is remembered as well. */
    cr_assert_eq(cfg_node_try(&a, SET("chat", "n", "7"), "key-4", &err), 0);
    (void)cfg_node_write(&a, SET("chat", "n", "8"));
    cr_assert_eq(cfg_node_try(&a, SET("chat", "n", "7"), "key-4", &err), 0);
    cr_assert_str_eq(cfg_node_value(&a, "config/chat", "document.n"), "8");
    cfg_answer_finish(&first);
    cfg_answer_finish(&again);
    cfg_node_close(&a);
    cfg_node_close(&b);
}

struct page {
    bool done;
    size_t n;
    bool more;
    uint64_t versions[64];
    enum cfg_kind kinds[64];
    struct cfg_error err;
};

static void got_page(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct page *p = arg;
    p->done = true;
    p->n = n;
    p->more = more;
    p->err = err ? *err : (struct cfg_error)CFG_ERROR_INIT;
    for (size_t i = 0; i < n && i < 64; i++) {
        p->versions[i] = objects[i]->version;
        p->kinds[i] = objects[i]->id.kind;
    }
}

static bool page_done(void *arg)
{
    return ((struct page *)arg)->done;
}

Test(service, history_pages_and_the_log)
{
    struct cfg_node n;
    struct page p = {0};
    struct cfg_object_id id = {.kind = CFG_KIND_CONFIG, .ns = "chat"};
    open_node(&n);
    for (int i = 0; i < 12; i++)
        (void)cfg_node_write(&n, i % 2 ? SET("chat", "a", "1") : SET("chat", "a", "2"));
    (void)cfg_node_write(&n, "[{\"namespace\":\"chat\",\"set\":[{\"name\":\"f\",\"on_off\":\"on\"}]}]");
    (void)cfg_node_write(&n, SET("chat2", "a", "1"));
    cfg_service_versions(n.service, &id, 0, 5, got_page, &p);
    cr_assert(cfg_node_until(&n, page_done, &p, 10000));
    cr_assert(p.n == 5 && p.more && p.versions[0] == 12 && p.versions[4] == 8);
    p.done = false;
    cfg_service_versions(n.service, &id, 4, 5, got_page, &p);
    cr_assert(cfg_node_until(&n, page_done, &p, 10000));
    cr_assert(p.n == 3 && !p.more && p.versions[0] == 3 && p.versions[2] == 1);
    p.done = false;
    cfg_service_log(n.service, NULL, 0, 3, got_page, &p);
    cr_assert(cfg_node_until(&n, page_done, &p, 10000));
    cr_assert(p.n == 3 && p.more && p.kinds[1] == CFG_KIND_FLAG && p.versions[2] == 12);
    p.done = false;
    cfg_service_log(n.service, "chat", 0, 50, got_page, &p);
    cr_assert(cfg_node_until(&n, page_done, &p, 10000));
    cr_assert(p.n == 13 && !p.more && p.kinds[0] == CFG_KIND_FLAG && p.versions[1] == 12);
    cfg_node_close(&n);
}

struct one {
    bool done;
    uint64_t version;
    int code;
};

static void got_one(void *arg, struct cfg_object *object, const struct cfg_error *err)
{
    *(struct one *)arg = (struct one){true, object ? object->version : 0, err ? err->code : 0};
}

static bool one_done(void *arg)
{
    return ((struct one *)arg)->done;
}

static void fetched(void *arg, struct cfg_object *object)
{
    got_one(arg, object, NULL);
}

Test(service, single_versions)
{
    struct cfg_node n;
    struct one one = {0};
    struct cfg_object_id id = {.kind = CFG_KIND_CONFIG, .ns = "chat"};
    open_node(&n);
    (void)cfg_node_write(&n, SET("chat", "a", "1"));
    (void)cfg_node_write(&n, SET("chat", "a", "2"));
    cfg_service_version(n.service, &id, 1, got_one, &one);
    cr_assert(cfg_node_until(&n, one_done, &one, 10000) && one.version == 1);
    one.done = false;
    cfg_service_version(n.service, &id, 3, got_one, &one);
    cr_assert(cfg_node_until(&n, one_done, &one, 10000) && one.code == CFG_E_NOT_FOUND);
    one.done = false;
    cfg_service_on_fetched(n.service, fetched, &one);
    cr_assert_eq(cfg_service_cached_version(n.service, &id, 2)->version, 2, "the head is at hand");
    cr_assert_null(cfg_service_cached_version(n.service, &id, 1));
    cr_assert_null(cfg_service_cached_version(n.service, &id, 1));
    cr_assert(cfg_node_until(&n, one_done, &one, 10000));
    cr_assert_eq(cfg_service_cached_version(n.service, &id, 1)->version, 1);
    /* Going away with questions open answers them. */
    one.done = false;
    cfg_service_version(n.service, &id, 1, got_one, &one);
    struct cfg_answer a;
    cfg_node_begin(&n, &a, SET("chat", "a", "3"), NULL);
    cfg_service_free(n.service);
    n.service = NULL;
    cr_assert(one.done && one.code == CFG_E_CANCELED);
    cr_assert(a.done && a.err.code == CFG_E_CANCELED);
    cfg_node_close(&n);
}

static uint64_t far_future(void *arg)
{
    (void)arg;
    return cfg_clock_system.wall_ns(NULL) + 100ull * 24 * 3600 * 1000000000ull;
}

struct few {
    struct cfg_node *node;
    size_t n;
};

static bool is_few(void *arg)
{
    struct few *f = arg;
    f->n = cfg_node_history(f->node, "config/chat", NULL);
    return f->n < 60;
}

Test(service, retention_keeps_what_is_new_young_or_held)
{
    struct cfg_node n, later;
    open_node(&n);
    (void)cfg_node_write(&n, SET("chat", "a", "0"));
    (void)cfg_node_write(&n, "[{\"object\":\"deployment/blue\",\"put\":{\"config\":\"chat\",\"track\":\"hold\"}}]");
    struct cfg_clock clock = cfg_clock_system;
    clock.wall_ns = far_future;
    const struct cfg_node_options young = {
        .endpoint = cfg_test_etcd_endpoint(etcd, 0), .history_versions = 10, .history_days = 30};
    const struct cfg_node_options old = {
        .endpoint = cfg_test_etcd_endpoint(etcd, 0), .history_versions = 10, .history_days = 30, .clock = &clock};
    cfg_node_close(&n);
    cfg_node_open(&n, loop, &young);
    for (unsigned i = 2; i < 96; i++) {
        char entries[100];
        (void)snprintf(entries, sizeof entries, SET("chat", "a", "%u"), i);
        (void)cfg_node_write(&n, entries);
    }
    cr_assert_eq(cfg_node_history(&n, "config/chat", NULL), 95, "nothing is old enough");
    cfg_node_open(&later, loop, &old);
    (void)cfg_node_write(&later, SET("chat", "a", "96"));
    struct few few = {&later, 0};
    cr_assert(cfg_node_until(&later, is_few, &few, 10000), "%zu", few.n);
    struct one one = {0};
    struct cfg_object_id id = {.kind = CFG_KIND_CONFIG, .ns = "chat"};
    cfg_service_version(later.service, &id, 1, got_one, &one);
    cr_assert(cfg_node_until(&later, one_done, &one, 10000));
    cr_assert_eq(one.version, 1, "a deployment runs it");
    one.done = false;
    cfg_service_version(later.service, &id, 2, got_one, &one);
    cr_assert(cfg_node_until(&later, one_done, &one, 10000));
    cr_assert_eq(one.code, CFG_E_NOT_FOUND);
    one.done = false;
    cfg_service_version(later.service, &id, 87, got_one, &one);
    cr_assert(cfg_node_until(&later, one_done, &one, 10000));
    cr_assert_eq(one.version, 87);
    cfg_node_close(&n);
    cfg_node_close(&later);
}

Test(service, a_record_of_a_foreign_hand_is_a_clear_conflict)
{
    struct cfg_node n;
    struct cfg_error err;
    const struct cfg_node_options o = {.endpoint = cfg_test_etcd_endpoint(etcd, 0), .commit_timeout_ms = 1500};
    cfg_node_open(&n, loop, &o);
    (void)cfg_node_write(&n, SET("chat", "a", "1"));
    cr_assert_gt(cfg_test_put(cfg_test_etcd_endpoint(etcd, 0), CFG_RIG_PREFIX "live/config/chat", "rubbish"), 0);
    cr_assert_eq(cfg_node_try(&n, SET("chat", "a", "2"), NULL, &err), CFG_E_CONFLICT);
    cr_assert(strstr(err.hint, "foreign record"), "%s", err.hint);
    cr_assert_str_eq(cfg_node_value(&n, "config/chat", "document.a"), "1");
    cfg_node_close(&n);
}
