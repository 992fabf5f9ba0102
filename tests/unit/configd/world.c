#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_object *get(void *arg, const struct cfg_object_id *id)
{
    struct world *w = arg;
    return cfg_store_get(w->store, id);
}

static void each(void *arg, enum cfg_kind kind, const char *ns, bool (*fn)(struct cfg_object *, void *), void *fn_arg)
{
    struct world *w = arg;
    cfg_store_each(w->store, kind, ns, fn, fn_arg);
}

void world_open(struct world *w)
{
    *w = (struct world){.revision = 10};
    w->heads = (struct cfg_heads){.get = get, .each = each, .arg = w};
    cr_assert_eq(cfg_store_new(&w->store, NULL), 0);
    const struct cfg_replica_sink *sink = cfg_store_sink(w->store);
    sink->identity(sink->arg, &(struct cfg_store_identity){.store_id = "5707e", .epoch = 1});
    sink->snapshot_begin(sink->arg);
    sink->snapshot_end(sink->arg, w->revision);
}

void world_close(struct world *w)
{
    for (size_t i = 0; i < w->n_history; i++)
        (void)cfg_object_unref(w->history[i]);
    cfg_decision_finish(&w->decision);
    cJSON_Delete(w->results);
    cfg_store_free(w->store);
}

struct cfg_object *world_version(struct world *w, const char *object, uint64_t version)
{
    struct cfg_object_id id;
    cr_assert_eq(cfg_object_id_parse(&id, cfg_slice_str(object), NULL), 0);
    for (size_t i = 0; i < w->n_history; i++)
        if (w->history[i]->version == version && cfg_object_id_eq(&w->history[i]->id, &id))
            return w->history[i];
    return NULL;
}

static void fill_sources(struct world *w, struct cfg_change *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct cfg_object_id id;
        uint64_t version;
        struct cfg_change_entry *e = &c->entries[i];
        char text[CFG_OBJECT_ID_TEXT];
        while (cfg_change_needs(&id, &version, e, e->n_sources, &w->heads)) {
            struct cfg_object *o = world_version(w, cfg_object_id_text(&id, text).ptr, version);
            cr_assert_eq(cfg_change_add_source(e, cfg_object_ref(o), NULL), 0);
        }
    }
}

int world_decide(struct world *w, const char *entries)
{
    cJSON *array = NULL;
    struct cfg_change c = {0};
    cfg_decision_finish(&w->decision);
    w->err = (struct cfg_error)CFG_ERROR_INIT;
    cr_assert_eq(cfg_json_parse(&array, cfg_slice_str(entries), 200, &w->err), 0, "%s: %s", entries, w->err.text);
    int rc = cfg_change_parse(&c, array, &w->err);
    cJSON_Delete(array);
    if (rc != 0)
        return rc;
    c.author = strdup("ann");
    c.message = w->message ? strdup(w->message) : NULL;
    c.time = strdup("2026-01-01T00:00:00.000000Z");
    c.request_id = strdup("r1");
    c.force = w->force;
    c.plan = w->plan;
    fill_sources(w, &c);
    rc = cfg_decide(&w->decision, &c, &w->heads, &w->err);
    cr_assert_eq(rc, w->err.code, "%s: %s", entries, w->err.text); /* nothing but a failure fills it */
    cfg_change_finish(&c);
    return rc;
}

static void commit(struct world *w)
{
    const struct cfg_decision *d = &w->decision;
    const struct cfg_replica_sink *sink = cfg_store_sink(w->store);
    struct cfg_etcd_event *events = calloc(d->n_writes + 1, sizeof *events);
    struct cfg_buf *keys = calloc(d->n_writes + 1, sizeof *keys);
    w->revision++;
    for (size_t i = 0; i < d->n_writes; i++) {
        const struct cfg_write *write = &d->writes[i];
        cfg_buf_init(&keys[i], 4096);
        cfg_object_key(&keys[i], &write->id);
        struct cfg_slice json = {write->json, write->json_len};
        events[i].kv =
            (struct cfg_etcd_kv){.key = cfg_buf_slice(&keys[i]), .value = json, .mod_revision = (int64_t)w->revision};
        events[i].is_delete = write->json == NULL;
        if (write->version == 0)
            continue;
        cr_assert_eq(cfg_object_new(&w->history[w->n_history++], &write->id, json, w->revision, NULL), 0);
    }
    if (d->n_writes > 0)
        sink->batch(sink->arg, w->revision, events, d->n_writes);
    for (size_t i = 0; i < d->n_writes; i++)
        cfg_buf_finish(&keys[i]);
    free(keys);
    free(events);
}

void world_put(struct world *w, const char *key, const char *json)
{
    const struct cfg_replica_sink *sink = cfg_store_sink(w->store);
    struct cfg_etcd_event event = {.kv = {.key = cfg_slice_str(key), .mod_revision = (int64_t)++w->revision},
                                   .is_delete = json == NULL};
    if (json)
        event.kv.value = cfg_slice_str(json);
    sink->batch(sink->arg, w->revision, &event, 1);
}

int world_change(struct world *w, const char *entries)
{
    int rc = world_decide(w, entries);
    if (rc != 0)
        return rc;
    cr_assert(world_guards_hold(w), "a fresh decision's guards must hold");
    cJSON_Delete(w->results);
    w->results = cJSON_CreateObject();
    cr_assert_eq(cfg_json_set(w->results, "r", w->decision.results), 0);
    w->decision.results = NULL;
    commit(w);
    return 0;
}

void world_ok(struct world *w, const char *entries)
{
    int rc = world_change(w, entries);
    cr_assert_eq(rc, 0, "%s: %s (%s)", entries, w->err.text, w->err.hint);
}

void world_fails(struct world *w, const char *entries, int code, const char *text)
{
    int rc = world_change(w, entries);
    cr_assert_eq(rc, code, "%s: %s instead of %s: %s", entries, cfg_code_name(rc), cfg_code_name(code), w->err.text);
    cr_assert(strstr(w->err.text, text) || strstr(w->err.hint, text), "'%s' (%s) does not say '%s'", w->err.text,
              w->err.hint, text);
}

static const char *print_at(const cJSON *tree, const char *path)
{
    static char text[65536];
    const cJSON *v = tree ? cfg_path_get(tree, path) : NULL;
    struct cfg_buf out;
    cfg_buf_init(&out, sizeof text - 1);
    if (v)
        cfg_json_print(&out, v);
    cr_assert_eq(cfg_buf_status(&out), 0);
    (void)snprintf(text, sizeof text, "%s", out.data ? out.data : "");
    cfg_buf_finish(&out);
    return text;
}

const char *world_result(struct world *w, const char *path)
{
    return print_at(w->results, path);
}

struct cfg_object *world_object(struct world *w, const char *object)
{
    struct cfg_object_id id;
    cr_assert_eq(cfg_object_id_parse(&id, cfg_slice_str(object), NULL), 0, "%s", object);
    return cfg_store_get(w->store, &id);
}

const char *world_head(struct world *w, const char *object, const char *path)
{
    struct cfg_object *o = world_object(w, object);
    if (o && o->deleted)
        return "deleted";
    cJSON *tree = o ? cfg_object_tree(o) : NULL;
    const char *text = print_at(tree, path);
    cJSON_Delete(tree);
    return text;
}

struct newest {
    uint64_t revision;
};

static bool take_newest(struct cfg_object *o, void *arg)
{
    struct newest *n = arg;
    if (o->mod_revision > n->revision)
        n->revision = o->mod_revision;
    return true;
}

bool world_guards_hold(const struct world *w)
{
    for (size_t i = 0; i < w->decision.n_guards; i++) {
        const struct cfg_guard *g = &w->decision.guards[i];
        struct newest n = {0};
        const struct cfg_object *o = cfg_store_get(w->store, &g->id);
        if (g->kind == CFG_GUARD_HEAD && (o ? o->mod_revision : 0) != g->mod_revision)
            return false;
        if (g->kind == CFG_GUARD_SPACE) {
            cfg_store_each(w->store, g->id.kind, g->id.ns[0] ? g->id.ns : NULL, take_newest, &n);
            if (n.revision > g->mod_revision)
                return false;
        }
    }
    return true;
}
