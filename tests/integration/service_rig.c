#include "tests/integration/service_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cfg_node_open_unready(struct cfg_node *n, struct cfg_loop *loop, const struct cfg_node_options *o)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_etcd_options etcd = {.endpoints = &o->endpoint, .n_endpoints = 1};
    *n = (struct cfg_node){.loop = loop};
    struct cfg_service_options service = {.loop = loop,
                                          .clock = o->clock,
                                          .prefix = CFG_RIG_PREFIX,
                                          .history_versions = o->history_versions,
                                          .history_days = o->history_days,
                                          .commit_timeout_ms = o->commit_timeout_ms,
                                          .visible_timeout_ms = o->visible_timeout_ms};
    if (cfg_etcd_new(&n->etcd, loop, &etcd, &err) || cfg_store_new(&n->store, &err) ||
        cfg_replica_new(&n->replica, loop, n->etcd, CFG_RIG_PREFIX, NULL, cfg_store_sink(n->store), &err))
        cfg_test_die("node: %s", err.text);
    service.etcd = n->etcd;
    service.store = n->store;
    if (cfg_service_new(&n->service, &service, &err))
        cfg_test_die("node: %s", err.text);
    cfg_replica_start(n->replica);
}

static bool is_ready(void *arg)
{
    const struct cfg_node *n = arg;
    return cfg_store_ready(n->store) && cfg_store_state(n->store, NULL) == CFG_REPLICA_LIVE;
}

void cfg_node_open(struct cfg_node *n, struct cfg_loop *loop, const struct cfg_node_options *o)
{
    cfg_node_open_unready(n, loop, o);
    if (!cfg_node_until(n, is_ready, n, 20000))
        cfg_test_die("node: not ready in time");
}

void cfg_node_close(struct cfg_node *n)
{
    cfg_service_free(n->service);
    cfg_replica_free(n->replica);
    cfg_etcd_free(n->etcd);
    cfg_store_free(n->store);
    *n = (struct cfg_node){0};
}

bool cfg_node_until(struct cfg_node *n, bool (*ready)(void *arg), void *arg, unsigned timeout_ms)
{
    uint64_t end = cfg_test_now_ms() + timeout_ms;
    while (!ready(arg)) {
        uint64_t now = cfg_test_now_ms();
        if (now >= end)
            return false;
        cfg_loop_run_once(n->loop, end - now < 50 ? (unsigned)(end - now) : 50);
    }
    return true;
}

void cfg_pair_start(struct cfg_pair *p)
{
    p->etcd = cfg_test_etcd_start(NULL);
    if (cfg_loop_new(&p->loop, NULL) != 0)
        cfg_test_die("pair: no loop");
    const struct cfg_node_options o = {.endpoint = cfg_test_etcd_endpoint(p->etcd, 0)};
    for (int i = 0; i < 2; i++)
        cfg_node_open(&p->nodes[i], p->loop, &o);
}

void cfg_pair_stop(struct cfg_pair *p)
{
    for (int i = 0; i < 2; i++)
        cfg_node_close(&p->nodes[i]);
    cfg_loop_free(p->loop);
    cfg_test_etcd_free(p->etcd);
}

struct reached {
    const struct cfg_pair *pair;
    uint64_t revision;
};

static bool both_reached(void *arg)
{
    const struct reached *r = arg;
    return cfg_store_rev(r->pair->nodes[0].store).revision >= r->revision &&
           cfg_store_rev(r->pair->nodes[1].store).revision >= r->revision;
}

void cfg_pair_settle(struct cfg_pair *p)
{
    uint64_t a = cfg_store_rev(p->nodes[0].store).revision, b = cfg_store_rev(p->nodes[1].store).revision;
    struct reached r = {p, a > b ? a : b};
    if (!cfg_node_until(&p->nodes[0], both_reached, &r, 10000))
        cfg_test_die("pair: the replicas do not meet");
}

void cfg_answer_finish(struct cfg_answer *a)
{
    cJSON_Delete(a->body);
    *a = (struct cfg_answer){0};
}

static void answered(void *arg, const cJSON *result, bool visible, const struct cfg_error *err)
{
    struct cfg_answer *a = arg;
    if (a->done)
        cfg_test_die("answered twice");
    a->done = true;
    a->visible = visible;
    a->err = err ? *err : (struct cfg_error)CFG_ERROR_INIT;
    a->body = result ? cJSON_Duplicate(result, true) : NULL;
    if (result == NULL && err == NULL)
        cfg_test_die("an answer is a result or an error, with the violations that it is about");
    if (result && err && cfg_json_get(result, "violations") == NULL)
        cfg_test_die("an error brings nothing but violations");
}

void cfg_node_begin(struct cfg_node *n, struct cfg_answer *a, const char *entries, const char *key)
{
    cJSON *array = NULL;
    struct cfg_change c = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    *a = (struct cfg_answer){0};
    if (cfg_json_parse(&array, cfg_slice_str(entries), 0, &err) || cfg_change_parse(&c, array, &err))
        cfg_test_die("%s: %s", entries, err.text);
    cJSON_Delete(array);
    c.author = strdup("ann");
    c.dry_run = n->dry_run;
    cfg_service_change(n->service, &c, key, answered, a);
    if (a->done)
        cfg_test_die("answered from inside the call");
}

static bool is_done(void *arg)
{
    return ((struct cfg_answer *)arg)->done;
}

void cfg_node_await(struct cfg_node *n, struct cfg_answer *a)
{
    if (!cfg_node_until(n, is_done, a, 20000))
        cfg_test_die("no answer in time");
}

uint64_t cfg_node_write(struct cfg_node *n, const char *entries)
{
    struct cfg_answer a;
    cfg_node_begin(n, &a, entries, NULL);
    cfg_node_await(n, &a);
    if (a.err.code)
        cfg_test_die("%s: %s", entries, a.err.text);
    if (!a.visible)
        cfg_test_die("%s: not visible", entries);
    uint64_t version = (uint64_t)cfg_json_get_num(cfg_json_get(a.body, "results")->child, "version", 0);
    cfg_answer_finish(&a);
    return version;
}

int cfg_node_try(struct cfg_node *n, const char *entries, const char *key, struct cfg_error *err)
{
    struct cfg_answer a;
    cfg_node_begin(n, &a, entries, key);
    cfg_node_await(n, &a);
    int code = a.err.code;
    if (err)
        *err = a.err;
    cfg_answer_finish(&a);
    return code;
}

static struct cfg_object *head(struct cfg_node *n, const char *object)
{
    struct cfg_object_id id;
    if (cfg_object_id_parse(&id, cfg_slice_str(object), NULL) != 0)
        cfg_test_die("%s is no object", object);
    return cfg_store_get(n->store, &id);
}

uint64_t cfg_node_version(struct cfg_node *n, const char *object)
{
    struct cfg_object *o = head(n, object);
    return o ? o->version : 0;
}

const char *cfg_node_value(struct cfg_node *n, const char *object, const char *path)
{
    static char text[4096];
    struct cfg_object *o = head(n, object);
    cJSON *tree = o && !o->deleted ? cfg_object_tree(o) : NULL;
    const cJSON *v = tree ? cfg_path_get(tree, path) : NULL;
    struct cfg_buf out;
    cfg_buf_init(&out, sizeof text - 1);
    if (v)
        cfg_json_print(&out, v);
    (void)snprintf(text, sizeof text, "%s", out.data ? out.data : "");
    cfg_buf_finish(&out);
    cJSON_Delete(tree);
    return text;
}

struct tally {
    bool done, gapless, more;
    size_t n;
    uint64_t last; /* the version before the next page's first */
};

static void tallied(void *arg, struct cfg_object *const *objects, size_t n, bool more, const struct cfg_error *err)
{
    struct tally *t = arg;
    if (err)
        cfg_test_die("history: %s", err->text);
    for (size_t i = 0; i < n; i++) {
        t->gapless = t->gapless && objects[i]->parent == objects[i]->version - 1 &&
                     (t->last == 0 || objects[i]->version == t->last - 1);
        t->last = objects[i]->version;
    }
    t->n += n;
    t->more = more;
    t->done = true;
}

static bool is_tallied(void *arg)
{
    return ((struct tally *)arg)->done;
}

size_t cfg_node_history(struct cfg_node *n, const char *object, bool *gapless)
{
    struct cfg_object_id id;
    struct tally t = {.gapless = true, .more = true};
    if (cfg_object_id_parse(&id, cfg_slice_str(object), NULL) != 0)
        cfg_test_die("%s is no object", object);
    while (t.more) {
        t.done = false;
        cfg_service_versions(n->service, &id, t.last, 200, tallied, &t);
        if (!cfg_node_until(n, is_tallied, &t, 20000))
            cfg_test_die("history: no answer");
    }
    if (gapless)
        *gapless = t.gapless && t.last == 1;
    return t.n;
}
