/* Backup and restore: all or nothing, for every replica, also one that starts in the middle. */
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
TestSuite(restore, .init = start, .fini = stop, .timeout = 120);

static void open_node(struct cfg_node *n)
{
    const struct cfg_node_options o = {.endpoint = cfg_test_etcd_endpoint(etcd, 0), .commit_timeout_ms = 2000};
    cfg_node_open(n, loop, &o);
}

#define SET(ns, name, value) "[{\"namespace\":\"" ns "\",\"set\":[{\"name\":\"" name "\",\"value\":" value "}]}]"

struct saved {
    struct cfg_buf text;
    bool done;
    struct cfg_error err;
};

static void take_lines(void *arg, struct cfg_slice lines)
{
    struct saved *s = arg;
    cfg_buf_put(&s->text, lines.ptr, lines.len);
}

static void backup_done(void *arg, const struct cfg_error *err)
{
    struct saved *s = arg;
    s->done = true;
    s->err = err ? *err : (struct cfg_error)CFG_ERROR_INIT;
}

static bool saved_done(void *arg)
{
    return ((struct saved *)arg)->done;
}

static void backup(struct cfg_node *n, struct saved *s)
{
    *s = (struct saved){0};
    cfg_buf_init(&s->text, 1 << 28);
    cfg_service_backup(n->service, take_lines, backup_done, s);
    cr_assert(cfg_node_until(n, saved_done, s, 20000));
}

struct restored {
    bool done;
    uint64_t keys;
    struct cfg_rev rev;
    struct cfg_error err;
};

static void restore_done(void *arg, uint64_t keys, struct cfg_rev rev, const struct cfg_error *err)
{
    struct restored *r = arg;
    cr_assert_not(r->done);
    *r = (struct restored){true, keys, rev, err ? *err : (struct cfg_error)CFG_ERROR_INIT};
}

static bool restored_done(void *arg)
{
    return ((struct restored *)arg)->done;
}

static void begin_restore(struct cfg_node *n, struct restored *r, const struct saved *s)
{
    *r = (struct restored){0};
    cfg_service_restore(n->service, cfg_bytes_new(cfg_buf_slice(&s->text)), "ann", restore_done, r);
    cr_assert_not(r->done);
}

static void restore(struct cfg_node *n, struct restored *r, const struct saved *s)
{
    begin_restore(n, r, s);
    cr_assert(cfg_node_until(n, restored_done, r, 60000));
    cr_assert_eq(r->err.code, 0, "%s", r->err.text);
}

/* Everything that lies in etcd below live/ and history/, but for what is of the moment. */
static char *dump(struct cfg_node *n)
{
    struct cfg_buf out;
    struct saved s;
    backup(n, &s);
    cr_assert_eq(s.err.code, 0, "%s", s.err.text);
    const char *records = strchr(s.text.data, '\n');
    cfg_buf_init(&out, 1 << 28);
    cfg_buf_put(&out, records, (size_t)(strstr(records, "{\"end\"") - records));
    cfg_buf_finish(&s.text);
    return cfg_buf_steal(&out);
}

static void fill(struct cfg_node *n)
{
    for (int i = 0; i < 40; i++) {
        char entries[300];
        (void)snprintf(
            entries, sizeof entries,
            "[{\"object\":\"config/ns%d\",\"put\":{\"round\":1}},{\"namespace\":\"ns%d\",\"set\":[{\"name\":\"f\","
            "\"on_off\":\"on\"}]}]",
            i, i);
        (void)snprintf(entries, sizeof entries, "[{\"object\":\"config/ns%d\",\"put\":{\"round\":1}}]", i);
        (void)cfg_node_write(n, entries);
    }
    (void)cfg_node_write(n, "[{\"namespace\":\"exp\",\"set\":[{\"name\":\"f\",\"on_off\":\"on\"}]}]");
    (void)cfg_node_write(n, "[{\"object\":\"deployment/blue\",\"put\":{\"config\":\"ns0\",\"track\":\"hold\"}}]");
    (void)cfg_node_write(n, SET("ns0", "round", "2"));
    (void)cfg_node_write(n, SET("gone", "x", "1"));
    (void)cfg_node_write(n, "[{\"object\":\"config/gone\",\"delete\":true}]");
}

Test(restore, brings_everything_back_under_a_higher_epoch)
{
    struct cfg_node n;
    struct saved s;
    struct restored r;
    open_node(&n);
    fill(&n);
    char *before = dump(&n);
    backup(&n, &s);
    cr_assert_eq(s.err.code, 0);
    struct cfg_rev old = cfg_store_rev(n.store);
    (void)cfg_node_write(&n, SET("ns1", "round", "9"));
    (void)cfg_node_write(&n, SET("later", "x", "1"));
    restore(&n, &r, &s);
    cr_assert_gt(r.rev.epoch, old.epoch);
    cr_assert_eq(cfg_store_rev(n.store).epoch, r.rev.epoch, "the reply waited for the replica");
    char *after = dump(&n);
    cr_assert_str_eq(before, after);
    cr_assert_eq(cfg_node_version(&n, "config/later"), 0);
    cr_assert_str_eq(cfg_node_value(&n, "config/ns1", "document.round"), "1");
    cr_assert(cfg_store_find(n.store, CFG_KIND_CONFIG, "gone", NULL)->deleted);
    /* Life goes on from there. */
    cr_assert_eq(cfg_node_write(&n, SET("ns1", "round", "3")), 2);
    (void)cfg_node_write(&n, "[{\"object\":\"deployment/blue\",\"patch\":{\"release\":{\"ns0\":2}}}]");
    (void)cfg_node_write(&n, "[{\"object\":\"config/gone\",\"rollback_to\":1}]");
    free(before);
    free(after);
    cfg_buf_finish(&s.text);
    cfg_node_close(&n);
}

/* A replica looking on: everything it is ever told must be one of the two whole contents. */
struct onlooker {
    struct cfg_node *node;
    struct cfg_store_listener listener;
    unsigned told, full, torn;
    struct cfg_rev last;
};

static bool count_round(struct cfg_object *o, void *arg)
{
    unsigned *rounds = arg;
    cJSON *tree = o->deleted ? NULL : cfg_object_tree(o);
    double round = cfg_json_get_num(cfg_json_get(tree, "document"), "round", 0);
    if (round >= 1 && round <= 2)
        rounds[(int)round - 1]++;
    cJSON_Delete(tree);
    return true;
}

static void look(struct onlooker *l)
{
    unsigned rounds[2] = {0, 0};
    cfg_store_each(l->node->store, CFG_KIND_CONFIG, NULL, count_round, rounds);
    bool whole = (rounds[0] == 150 && rounds[1] == 0) || (rounds[0] == 0 && rounds[1] == 150);
    l->torn += !whole;
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    (void)changes, (void)n;
    struct onlooker *l = arg;
    l->told++;
    l->full += full;
    cr_assert_geq(cfg_rev_cmp(rev, l->last), 0, "never backwards");
    l->last = rev;
    look(l);
}

static void put_rounds(struct cfg_node *n, int round)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 20);
    for (int i = 0; i < 150; i++) {
        if (i % 50 == 0) {
            cfg_buf_clear(&text);
            cfg_buf_putc(&text, '[');
        }
        cfg_buf_printf(&text, "%s{\"object\":\"config/ns%d\",\"put\":{\"round\":%d}}", i % 50 ? "," : "", i, round);
        if (i % 50 == 49) {
            cfg_buf_putc(&text, ']');
            (void)cfg_node_write(n, text.data);
        }
    }
    cfg_buf_finish(&text);
}

static bool at_epoch(void *arg)
{
    const struct onlooker *l = arg;
    return cfg_store_rev(l->node->store).epoch > 1;
}

Test(restore, no_replica_ever_shows_half_of_it)
{
    struct cfg_node a, b, late;
    struct saved s;
    struct restored r;
    open_node(&a);
    put_rounds(&a, 1);
    backup(&a, &s);
    put_rounds(&a, 2);
    open_node(&b);
    struct onlooker on_a = {.node = &a, .listener = {.changed = on_changed}};
    struct onlooker on_b = {.node = &b, .listener = {.changed = on_changed}};
    on_a.listener.arg = &on_a;
    on_b.listener.arg = &on_b;
    cfg_store_listen(a.store, &on_a.listener);
    cfg_store_listen(b.store, &on_b.listener);
    begin_restore(&a, &r, &s);
    const struct cfg_node_options o = {.endpoint = cfg_test_etcd_endpoint(etcd, 0)};
    bool opened = false, ready_early = false;
    while (!r.done) {
        cfg_loop_run_once(loop, 50);
        look(&on_a);
        look(&on_b);
        if (!opened && cfg_store_restoring(b.store)) {
            cfg_node_open_unready(&late, loop, &o); /* in the middle */
            opened = true;
        }
        if (opened && cfg_store_ready(late.store) && cfg_store_rev(late.store).epoch == 1)
            ready_early = true;
    }
    cr_assert_eq(r.err.code, 0, "%s", r.err.text);
    cr_assert_eq(r.keys, 300);
    cr_assert(cfg_node_until(&b, at_epoch, &on_b, 20000));
    cr_assert(on_a.torn == 0 && on_b.torn == 0, "%u %u", on_a.torn, on_b.torn);
    cr_assert(on_a.full == 1 && on_b.full == 1);
    cr_assert_str_eq(cfg_node_value(&b, "config/ns7", "document.round"), "1");
    cr_assert(opened, "the test must see the restore under way");
    cr_assert_not(ready_early);
    struct onlooker on_late = {.node = &late};
    cr_assert(cfg_node_until(&late, at_epoch, &on_late, 20000));
    look(&on_late);
    cr_assert_eq(on_late.torn, 0);
    cfg_buf_finish(&s.text);
    cfg_node_close(&late);
    cfg_node_close(&a);
    cfg_node_close(&b);
}

Test(restore, a_broken_off_one_fences_writes_and_can_be_repeated)
{
    struct cfg_node a, b, fresh;
    struct saved s;
    struct restored r;
    struct cfg_error err;
    open_node(&a);
    fill(&a);
    backup(&a, &s);
    (void)cfg_node_write(&a, SET("ns1", "round", "2"));
    open_node(&b);
    begin_restore(&a, &r, &s);
    while (!cfg_store_restoring(b.store))
        cfg_loop_run_once(loop, 50);
    cfg_node_close(&a); /* dies in the middle */
    cr_assert(r.done && r.err.code == CFG_E_CANCELED);
    cr_assert_str_eq(cfg_node_value(&b, "config/ns1", "document.round"), "2", "b shows what it held");
    cr_assert_eq(cfg_node_try(&b, SET("ns1", "round", "3"), NULL, &err), CFG_E_UNAVAILABLE);
    cr_assert(strstr(err.text, "restore"), "%s", err.text);
    struct saved none;
    backup(&b, &none);
    cr_assert_eq(none.err.code, CFG_E_UNAVAILABLE);
    cfg_buf_finish(&none.text);
    const struct cfg_node_options o = {.endpoint = cfg_test_etcd_endpoint(etcd, 0)};
    cfg_node_open_unready(&fresh, loop, &o);
    while (!cfg_store_restoring(fresh.store))
        cfg_loop_run_once(loop, 50);
    cr_assert_not(cfg_store_ready(fresh.store));
    restore(&fresh, &r, &s); /* also one that is not ready can finish it */
    cr_assert(cfg_store_ready(fresh.store));
    cr_assert_str_eq(cfg_node_value(&fresh, "config/ns1", "document.round"), "1");
    struct onlooker on_b = {.node = &b};
    cr_assert(cfg_node_until(&b, at_epoch, &on_b, 20000));
    cr_assert_eq(cfg_node_write(&b, SET("ns1", "round", "3")), 2);
    cfg_buf_finish(&s.text);
    cfg_node_close(&fresh);
    cfg_node_close(&b);
}

Test(restore, a_bad_file_changes_nothing)
{
    struct cfg_node n;
    struct saved s;
    struct restored r;
    open_node(&n);
    fill(&n);
    backup(&n, &s);
    int64_t revision = cfg_test_revision(cfg_test_etcd_endpoint(etcd, 0));
    s.text.len -= 3;
    begin_restore(&n, &r, &s);
    cr_assert(cfg_node_until(&n, restored_done, &r, 20000));
    cr_assert_eq(r.err.code, CFG_E_VALUE, "%s", r.err.text);
    cr_assert_eq(cfg_test_revision(cfg_test_etcd_endpoint(etcd, 0)), revision);
    cfg_buf_finish(&s.text);
    cfg_node_close(&n);
}

static bool is_foreign(void *arg)
{
    return cfg_store_state(((struct cfg_node *)arg)->store, NULL) == CFG_REPLICA_FOREIGN;
}

static bool is_live_again(void *arg)
{
    const struct cfg_node *n = arg;
    return cfg_store_state(n->store, NULL) == CFG_REPLICA_LIVE && cfg_store_rev(n->store).epoch > 1;
}

Test(restore, a_wiped_store_becomes_itself_again)
{
    struct cfg_node n;
    struct saved s;
    struct restored r;
    struct cfg_error err;
    open_node(&n);
    fill(&n);
    backup(&n, &s);
    const struct cfg_store_identity id = *cfg_store_identity(n.store);
    cfg_test_etcd_wipe(etcd, 0);
    cr_assert(cfg_node_until(&n, is_foreign, &n, 30000));
    cr_assert_eq(cfg_node_try(&n, SET("ns1", "round", "3"), NULL, &err), CFG_E_FOREIGN_STORE);
    cr_assert_str_eq(cfg_node_value(&n, "config/ns1", "document.round"), "1", "reads go on");
    begin_restore(&n, &r, &s);
    cr_assert(cfg_node_until(&n, restored_done, &r, 60000));
    cr_assert_eq(r.err.code, 0, "%s", r.err.text);
    cr_assert(cfg_node_until(&n, is_live_again, &n, 60000));
    cr_assert_str_eq(cfg_store_identity(n.store)->store_id, id.store_id);
    cr_assert_eq(cfg_node_write(&n, SET("ns1", "round", "3")), 2);
    cfg_buf_finish(&s.text);
    cfg_node_close(&n);
}

Test(restore, large_records_fit_their_transactions)
{
    struct cfg_node n;
    struct saved s;
    struct restored r;
    struct cfg_buf text;
    open_node(&n);
    cfg_buf_init(&text, 4 << 20);
    for (int i = 0; i < 5; i++) {
        cfg_buf_clear(&text);
        cfg_buf_printf(&text, "[{\"object\":\"config/big%d\",\"put\":{\"a\":\"", i % 3);
        for (int k = 0; k < CFG_LIMIT_DOCUMENT - 8; k++)
            cfg_buf_putc(&text, (char)('a' + i));
        cfg_buf_puts(&text, "\"}}]");
        (void)cfg_node_write(&n, text.data);
    }
    char *before = dump(&n);
    backup(&n, &s);
    (void)cfg_node_write(&n, SET("other", "x", "1"));
    restore(&n, &r, &s);
    char *after = dump(&n);
    cr_assert_str_eq(before, after);
    free(before);
    free(after);
    cfg_buf_finish(&text);
    cfg_buf_finish(&s.text);
    cfg_node_close(&n);
}
