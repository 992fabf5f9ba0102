#include "hub_fixture.h"

#include "proto/sse.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_object *find_version(const struct fixture *f, const struct cfg_object_id *id, uint64_t version)
{
    for (size_t i = 0; i < f->n_history; i++)
        if (cfg_object_id_eq(&f->history[i]->id, id) && f->history[i]->version == version)
            return f->history[i];
    return NULL;
}

static struct cfg_object *version_of(void *arg, const struct cfg_object_id *id, uint64_t version)
{
    struct fixture *f = arg;
    return f->hide_history ? NULL : find_version(f, id, version);
}

struct page {
    struct fixture *f;
    struct cfg_object_id id;
    uint64_t before;
    unsigned limit;
    cfg_objects_fn fn;
    void *arg;
};

static void answer(void *arg)
{
    struct page *p = arg;
    struct cfg_object *found[64];
    size_t n = 0;
    bool more = false;
    for (size_t i = p->f->n_history; i-- > 0;) {
        struct cfg_object *o = p->f->history[i];
        if (!cfg_object_id_eq(&o->id, &p->id) || (p->before && o->version >= p->before))
            continue;
        more = n == p->limit;
        if (more)
            break;
        found[n++] = o;
    }
    p->fn(p->arg, found, n, more, NULL);
    free(p);
}

static void versions_of(void *arg, const struct cfg_object_id *id, uint64_t before, unsigned limit, cfg_objects_fn fn,
                        void *fn_arg)
{
    struct fixture *f = arg;
    struct page *p = malloc(sizeof *p);
    cr_assert_not_null(p);
    *p = (struct page){f, *id, before, limit, fn, fn_arg};
    cfg_loop_defer(f->loop, answer, p);
}

void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.revision = 1};
    struct cfg_error err;
    cr_assert_eq(cfg_loop_new(&f->loop, &err), 0);
    cr_assert_eq(cfg_store_new(&f->store, &err), 0);
    struct cfg_hub_history history = {version_of, versions_of, f};
    cr_assert_eq(cfg_hub_new_with(&f->hub, f->loop, f->store, &history, &err), 0);
    fixture_epoch(f, 1, 1);
    fixture_state(f, CFG_REPLICA_LIVE);
}

void fixture_finish(struct fixture *f)
{
    cfg_hub_free(f->hub);
    cfg_store_free(f->store);
    cfg_loop_free(f->loop);
    for (size_t i = 0; i < f->n_history; i++)
        (void)cfg_object_unref(f->history[i]);
}

void fixture_epoch(struct fixture *f, uint64_t epoch, uint64_t revision)
{
    const struct cfg_replica_sink *sink = cfg_store_sink(f->store);
    struct cfg_store_identity id = {.store_id = "s1", .epoch = epoch};
    f->revision = revision;
    sink->identity(sink->arg, &id);
    sink->snapshot_begin(sink->arg);
    for (size_t i = 0; i < f->n_history; i++) { /* the newest version of each that is old enough */
        struct cfg_object *o = f->history[i];
        bool newest = o->mod_revision <= revision;
        for (size_t k = i + 1; k < f->n_history; k++)
            if (cfg_object_id_eq(&f->history[k]->id, &o->id) && f->history[k]->mod_revision <= revision)
                newest = false;
        struct cfg_buf key;
        cfg_buf_init(&key, 1024);
        cfg_object_key(&key, &o->id);
        struct cfg_etcd_kv kv = {
            .key = cfg_buf_slice(&key), .value = cfg_bytes_slice(o->json), .mod_revision = (int64_t)o->mod_revision};
        if (newest)
            sink->snapshot_put(sink->arg, &kv);
        cfg_buf_finish(&key);
    }
    sink->snapshot_end(sink->arg, revision);
}

void fixture_state(struct fixture *f, enum cfg_replica_state state)
{
    const struct cfg_replica_sink *sink = cfg_store_sink(f->store);
    sink->state(sink->arg, state, NULL);
}

uint64_t fixture_put(struct fixture *f, enum cfg_kind kind, const char *ns, const char *name, uint64_t version,
                     const char *body)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *tree = NULL;
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(body ? body : "{}"), 0, &err), 0, "%s", err.text);
    struct cfg_envelope e = {version, version - 1, "t@t", "", "2026-01-01T00:00:00Z", "r", body == NULL};
    char digest[CFG_DIGEST_TEXT];
    struct cfg_buf json, key;
    cfg_buf_init(&json, 1 << 20);
    cfg_buf_init(&key, 1024);
    cr_assert_eq(cfg_envelope_print(&json, digest, kind, tree, &e, &err), 0, "%s", err.text);
    struct cfg_object_id id = {.kind = kind};
    (void)snprintf(id.ns, sizeof id.ns, "%s", ns);
    (void)snprintf(id.name, sizeof id.name, "%s", name);
    cfg_object_key(&key, &id);
    f->revision++;
    struct cfg_etcd_event ev = {
        .kv = {.key = cfg_buf_slice(&key), .value = cfg_buf_slice(&json), .mod_revision = (int64_t)f->revision}};
    cr_assert_lt(f->n_history, (size_t)FIXTURE_HISTORY);
    cr_assert_eq(cfg_object_new(&f->history[f->n_history], &id, ev.kv.value, f->revision, &err), 0, "%s", err.text);
    f->n_history++;
    const struct cfg_replica_sink *sink = cfg_store_sink(f->store);
    sink->batch(sink->arg, f->revision, &ev, 1);
    cfg_buf_finish(&json);
    cfg_buf_finish(&key);
    return f->revision;
}

struct cfg_fleet *fixture_fleet(struct fixture *f, const struct cfg_clock *clock)
{
    struct cfg_fleet *fleet = NULL;
    const struct cfg_fleet_options o = {.loop = f->loop,
                                        .store = f->store,
                                        .hub = f->hub,
                                        .clock = clock,
                                        .prefix = "/configd/v1/",
                                        .replica_id = "r1",
                                        .advertise_url = "http://r1"};
    cr_assert_eq(cfg_fleet_new(&fleet, &o, NULL), 0);
    return fleet;
}

void fixture_chat(struct fixture *f, uint64_t version, const char *document)
{
    char body[4096];
    cr_assert_lt(snprintf(body, sizeof body, "{\"document\":%s,\"extends\":[]}", document), (int)sizeof body);
    (void)fixture_put(f, CFG_KIND_CONFIG, "chat", "", version, body);
}

void fixture_blue(struct fixture *f)
{
    fixture_chat(f, 1, "{\"a\":1,\"tp\":4}");
    (void)fixture_put(f, CFG_KIND_FLAG, "experiment", "ab.flag", 1,
                      "{\"enabled\":true,\"off_variant\":\"off\",\"definition\":{\"state\":\"ENABLED\",\"variants\":"
                      "{\"on\":true,\"off\":false},\"defaultVariant\":\"on\"}}");
    (void)fixture_put(f, CFG_KIND_DEPLOYMENT, "blue", "", 1,
                      "{\"config\":\"chat\",\"flags\":[\"experiment\"],\"track\":\"head\",\"generation\":1,"
                      "\"pin_keys\":[\"tp\"],\"pin\":{\"tp\":4},\"arms\":{\"base\":{\"release\":{\"chat\":1},"
                      "\"follows\":\"head\"}},\"adopted_stores\":[]}");
}

static void stop_loop(void *arg)
{
    cfg_loop_stop(arg);
}

void fixture_turn(struct fixture *f, unsigned ms)
{
    struct cfg_timer *t = cfg_timer_new(f->loop, stop_loop, f->loop);
    cr_assert_not_null(t);
    cfg_timer_start(t, ms);
    cfg_loop_run(f->loop);
    cfg_timer_free(t);
}

/* --- subscribers --- */

static void take(const struct cfg_sse_event *ev, void *arg)
{
    struct sub *s = arg;
    cr_assert_lt(s->n, (size_t)FIXTURE_EVENTS);
    memcpy(s->got[s->n].event, ev->event.ptr, ev->event.len);
    memcpy(s->got[s->n].id, ev->id.ptr, ev->id.len);
    struct cfg_error err;
    cr_assert_eq(cfg_json_parse(&s->got[s->n].data, ev->data, 100, &err), 0, "%s", err.text);
    s->n++;
}

static bool sub_send(struct cfg_subscriber *base, struct cfg_bytes *frame)
{
    struct sub *s = (struct sub *)base;
    struct cfg_sse_reader r;
    size_t i = s->n;
    cfg_sse_reader_init(&r, CFG_LIMIT_EVENT);
    cr_assert_eq(cfg_sse_reader_feed(&r, cfg_bytes_slice(frame), take, s), 0);
    cfg_sse_reader_finish(&r);
    cr_assert_eq(s->n, i + 1, "a frame is one event");
    s->got[i].bytes = cfg_bytes_ref(frame);
    if (s->leave)
        cfg_hub_unsubscribe(s->hub, base);
    if (s->evict)
        cfg_hub_unsubscribe(s->hub, &s->evict->s);
    return !s->full;
}

static void sub_ended(struct cfg_subscriber *base)
{
    ((struct sub *)base)->ended = true;
}

void sub_init(struct sub *s, struct cfg_hub *hub)
{
    *s = (struct sub){.s = {.send = sub_send, .ended = sub_ended}, .hub = hub};
}

void sub_finish(struct sub *s)
{
    cfg_hub_unsubscribe(s->hub, &s->s);
    for (size_t i = 0; i < s->n; i++) {
        cJSON_Delete(s->got[i].data);
        (void)cfg_bytes_unref(s->got[i].bytes);
    }
}

const char *sub_str(const struct sub *s, size_t i, const char *key)
{
    cr_assert_lt(i, s->n);
    return cfg_json_get_str(s->got[i].data, key, "");
}
