/* The replica in memory, driven through its sink. */
#include "configd/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct fixture {
    struct cfg_store *store;
    const struct cfg_replica_sink *sink;
    struct cfg_store_listener listener;
    char log[4096];
};

static void note(struct fixture *f, const char *text)
{
    cr_assert(strlen(f->log) + strlen(text) + 1 < sizeof f->log);
    size_t n = strlen(f->log);
    (void)snprintf(f->log + n, sizeof f->log - n, "%s", text);
}

static void on_changed(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    struct fixture *f = arg;
    char text[400], r[CFG_REV_TEXT];
    (void)snprintf(text, sizeof text, "%s%s:", full ? "full " : "", cfg_rev_format(rev, r));
    note(f, text);
    for (size_t i = 0; i < n; i++) {
        const struct cfg_object *o = changes[i].after ? changes[i].after : changes[i].before;
        const char *op = changes[i].before == NULL ? "+" : changes[i].after == NULL ? "-" : "~";
        (void)snprintf(text, sizeof text, " %s%s%s%s", op, o->id.ns, o->id.name[0] ? "/" : "", o->id.name);
        note(f, text);
    }
    note(f, "; ");
}

static void on_progress(void *arg, struct cfg_rev seen)
{
    char text[CFG_REV_TEXT];
    note(arg, "seen ");
    note(arg, cfg_rev_format(seen, text));
    note(arg, "; ");
}

static void open_store(struct fixture *f)
{
    *f = (struct fixture){.listener = {.changed = on_changed, .progress = on_progress}};
    f->listener.arg = f;
    cr_assert_eq(cfg_store_new(&f->store, NULL), 0);
    f->sink = cfg_store_sink(f->store);
    cfg_store_listen(f->store, &f->listener);
}

static void identity(struct fixture *f, uint64_t epoch)
{
    f->sink->identity(f->sink->arg, &(struct cfg_store_identity){.store_id = "abc", .epoch = epoch});
}

/* "key=version" pairs at a revision; "!key" is a delete. */
static void feed(struct fixture *f, int64_t revision, const char *const *pairs, bool snapshot)
{
    struct cfg_etcd_event events[16];
    char keys[16][300], values[16][300];
    size_t n = 0;
    for (; pairs[n]; n++) {
        unsigned version = 0, mod = (unsigned)revision;
        bool is_delete = pairs[n][0] == '!';
        (void)sscanf(pairs[n] + is_delete, "%299[^=]=%u@%u", keys[n], &version, &mod);
        (void)snprintf(values[n], sizeof values[n], "{\"version\":%u,\"document\":{},\"definition\":{}}", version);
        if (strcmp(keys[n], "meta/store") == 0)
            (void)snprintf(values[n], sizeof values[n], "%s",
                           version ? "{\"restoring\":{\"id\":\"x\"}}" : "{\"epoch\":1}");
        else if (version == 666)
            (void)snprintf(values[n], sizeof values[n], "rubbish");
        events[n] = (struct cfg_etcd_event){
            .is_delete = is_delete,
            .kv = {.key = cfg_slice_str(keys[n]), .value = cfg_slice_str(values[n]), .mod_revision = (int64_t)mod}};
    }
    if (!snapshot) {
        f->sink->batch(f->sink->arg, (uint64_t)revision, events, n);
        return;
    }
    f->sink->snapshot_begin(f->sink->arg);
    for (size_t i = 0; i < n; i++)
        f->sink->snapshot_put(f->sink->arg, &events[i].kv);
    f->sink->snapshot_end(f->sink->arg, (uint64_t)revision);
}
#define SNAPSHOT(f, rev, ...) feed(f, rev, (const char *const[]){__VA_ARGS__, NULL}, true)
#define BATCH(f, rev, ...)    feed(f, rev, (const char *const[]){__VA_ARGS__, NULL}, false)

static void expect_log(struct fixture *f, const char *expected)
{
    cr_assert_str_eq(f->log, expected);
    f->log[0] = '\0';
}

static uint64_t version_of(struct fixture *f, enum cfg_kind kind, const char *ns, const char *name)
{
    struct cfg_object *o = cfg_store_find(f->store, kind, ns, name);
    return o ? o->version : 0;
}

static bool collect(struct cfg_object *o, void *arg)
{
    note(arg, o->id.ns);
    note(arg, o->id.name[0] ? "/" : " ");
    note(arg, o->id.name);
    note(arg, o->id.name[0] ? " " : "");
    return true;
}

Test(store, is_not_ready_before_a_complete_snapshot)
{
    struct fixture f;
    open_store(&f);
    cr_assert_not(cfg_store_ready(f.store));
    identity(&f, 3);
    cr_assert_str_eq(cfg_store_identity(f.store)->store_id, "abc");
    f.sink->snapshot_begin(f.sink->arg);
    cr_assert_not(cfg_store_ready(f.store));
    f.sink->snapshot_end(f.sink->arg, 5);
    cr_assert(cfg_store_ready(f.store));
    cr_assert_eq(cfg_store_seen(f.store).revision, 5);
    cr_assert_eq(cfg_store_rev(f.store).epoch, 3);
    cfg_store_free(f.store);
}

Test(store, batches_are_shown_whole_and_told_once)
{
    struct fixture f;
    open_store(&f);
    identity(&f, 1);
    SNAPSHOT(&f, 9, "live/config/chat=1@4", "live/config/a-b=2@5", "live/flag/a/x.y=1@7", "live/other/z=1@8");
    expect_log(&f, "full 1-7: +a-b +chat +a/x.y; ");
    BATCH(&f, 12, "live/config/chat=2", "live/flag/chat/f=1", "!live/flag/a/x.y=0");
    expect_log(&f, "1-12: ~chat +chat/f -a/x.y; ");
    cr_assert_eq(version_of(&f, CFG_KIND_CONFIG, "chat", NULL), 2);
    cr_assert_eq(version_of(&f, CFG_KIND_FLAG, "chat", "f"), 1);
    cr_assert_eq(version_of(&f, CFG_KIND_FLAG, "a", "x.y"), 0);
    cr_assert_eq(cfg_store_find(f.store, CFG_KIND_CONFIG, "chat", NULL)->mod_revision, 12);
    f.sink->progress(f.sink->arg, 20);
    f.sink->progress(f.sink->arg, 19); /* never backwards, never told twice */
    expect_log(&f, "seen 1-20; ");
    cr_assert_eq(cfg_store_rev(f.store).revision, 12);
    cfg_store_each(f.store, CFG_KIND_CONFIG, NULL, collect, &f);
    expect_log(&f, "a-b chat ");
    cfg_store_each(f.store, CFG_KIND_FLAG, "chat", collect, &f);
    expect_log(&f, "chat/f ");
    cfg_store_free(f.store);
}

Test(store, a_second_snapshot_tells_the_differences)
{
    struct fixture f;
    open_store(&f);
    identity(&f, 1);
    SNAPSHOT(&f, 9, "live/config/a=1@3", "live/config/b=1@4", "live/config/c=1@9");
    expect_log(&f, "full 1-9: +a +b +c; ");
    SNAPSHOT(&f, 15, "live/config/a=1@3", "live/config/b=2@12", "live/config/d=1@14");
    expect_log(&f, "full 1-14: ~b -c +d; ");
    /* A key that was the newest vanished: the revision shown does not fall. */
    SNAPSHOT(&f, 20, "live/config/a=1@3");
    expect_log(&f, "full 1-14: -b -d; ");
    cr_assert_eq(cfg_store_seen(f.store).revision, 20);
    cfg_store_free(f.store);
}

Test(store, a_raised_epoch_shows_with_its_snapshot_only)
{
    struct fixture f;
    open_store(&f);
    identity(&f, 1);
    SNAPSHOT(&f, 90, "live/config/a=9@80");
    identity(&f, 2);
    cr_assert_eq(cfg_store_rev(f.store).epoch, 1);
    SNAPSHOT(&f, 30, "live/config/a=3@20");
    cr_assert_eq(cfg_store_rev(f.store).epoch, 2);
    cr_assert_eq(cfg_store_rev(f.store).revision, 20);
    cr_assert_eq(cfg_store_seen(f.store).revision, 30);
    cr_assert_eq(version_of(&f, CFG_KIND_CONFIG, "a", NULL), 3);
    cfg_store_free(f.store);
}

Test(store, a_restore_is_never_shown_half)
{
    struct fixture f;
    open_store(&f);
    identity(&f, 1);
    SNAPSHOT(&f, 10, "live/config/a=1@4", "meta/store=0@1");
    f.log[0] = '\0';
    BATCH(&f, 11, "meta/store=1");
    BATCH(&f, 12, "!live/config/a=0");
    f.sink->progress(f.sink->arg, 13);
    SNAPSHOT(&f, 14, "live/config/b=1@14", "meta/store=1@11");
    cr_assert(cfg_store_restoring(f.store));
    expect_log(&f, "");
    cr_assert_eq(version_of(&f, CFG_KIND_CONFIG, "a", NULL), 1);
    cr_assert_eq(cfg_store_seen(f.store).revision, 10);
    identity(&f, 2);
    SNAPSHOT(&f, 16, "live/config/b=1@14", "meta/store=0@16");
    cr_assert_not(cfg_store_restoring(f.store));
    expect_log(&f, "full 2-14: -a +b; ");
    cfg_store_free(f.store);
}

Test(store, starting_during_a_restore_is_not_ready)
{
    struct fixture f;
    open_store(&f);
    identity(&f, 1);
    SNAPSHOT(&f, 14, "live/config/b=1@14", "meta/store=1@11");
    cr_assert_not(cfg_store_ready(f.store));
    cr_assert(cfg_store_restoring(f.store));
    cr_assert_null(cfg_store_find(f.store, CFG_KIND_CONFIG, "b", NULL));
    identity(&f, 2);
    SNAPSHOT(&f, 16, "live/config/b=1@14");
    cr_assert(cfg_store_ready(f.store));
    cfg_store_free(f.store);
}

Test(store, rubbish_never_replaces_good)
{
    struct fixture f;
    const struct cfg_error *why;
    open_store(&f);
    identity(&f, 1);
    SNAPSHOT(&f, 10, "live/config/a=1@4");
    cr_assert_eq(cfg_store_rejected(f.store, &why), 0);
    cr_assert_null(why);
    BATCH(&f, 11, "live/config/a=666", "live/config/B=1");
    cr_assert_eq(version_of(&f, CFG_KIND_CONFIG, "a", NULL), 1);
    cr_assert_eq(cfg_store_rejected(f.store, &why), 2);
    cr_assert_not_null(why);
    SNAPSHOT(&f, 12, "live/config/a=666@11");
    cr_assert_eq(version_of(&f, CFG_KIND_CONFIG, "a", NULL), 1);
    cfg_store_free(f.store);
}

struct leaver {
    struct cfg_store_listener listener;
    struct cfg_store *store;
    struct cfg_store_listener *victims[3];
    int calls;
};

static void leave(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full)
{
    (void)rev, (void)changes, (void)n, (void)full;
    struct leaver *l = arg;
    l->calls++;
    for (size_t i = 0; i < 3; i++)
        if (l->victims[i])
            cfg_store_unlisten(l->store, l->victims[i]);
}

Test(store, listeners_may_leave_during_delivery)
{
    struct fixture f;
    struct leaver a = {0}, b = {0}, c = {0};
    open_store(&f);
    struct leaver *all[] = {&a, &b, &c};
    for (size_t i = 0; i < 3; i++) {
        all[i]->store = f.store;
        all[i]->listener = (struct cfg_store_listener){.changed = leave, .arg = all[i]};
        cfg_store_listen(f.store, &all[i]->listener);
    }
    a.victims[0] = &a.listener; /* itself and the next one */
    a.victims[1] = &b.listener;
    SNAPSHOT(&f, 10, "live/config/a=1@4");
    SNAPSHOT(&f, 11, "live/config/a=2@11");
    cr_assert(a.calls == 1 && b.calls == 0 && c.calls == 2);
    cfg_store_free(f.store);
}

struct waiter {
    int calls, code;
};

static void waited(void *arg, const struct cfg_error *err)
{
    struct waiter *w = arg;
    w->calls++;
    w->code = err ? err->code : 0;
}

Test(store, waits_end_when_the_revision_is_seen_or_time_is_up)
{
    struct fixture f;
    struct cfg_loop *loop;
    struct waiter now = {0}, later = {0}, never = {0}, dropped = {0};
    open_store(&f);
    cr_assert_eq(cfg_loop_new(&loop, NULL), 0);
    identity(&f, 2);
    SNAPSHOT(&f, 10, "live/config/a=1@4");
    cfg_store_wait(f.store, loop, (struct cfg_rev){1, 99}, 60000, waited, &now); /* an older epoch is past */
    cfg_store_wait(f.store, loop, (struct cfg_rev){2, 12}, 60000, waited, &later);
    cfg_store_wait(f.store, loop, (struct cfg_rev){2, 99}, 1, waited, &never);
    cfg_store_wait(f.store, loop, (struct cfg_rev){2, 12}, 60000, waited, &dropped);
    cr_assert_eq(now.calls, 0, "never from inside the call");
    cfg_store_wait_cancel(f.store, &dropped);
    while (now.calls == 0 || never.calls == 0)
        cfg_loop_run_once(loop, 1000);
    cr_assert_eq(never.code, CFG_E_TIMEOUT);
    cr_assert_eq(later.calls, 0);
    BATCH(&f, 12, "live/config/a=2");
    while (later.calls == 0)
        cfg_loop_run_once(loop, 1000);
    cr_assert(now.code == 0 && later.code == 0 && dropped.calls == 0);
    cfg_store_wait(f.store, loop, (struct cfg_rev){2, 99}, 60000, waited, &never); /* freed with the store */
    cfg_store_free(f.store);
    cfg_loop_free(loop);
}
