/* Changes (POST /v1/changes' arrays, a byte FF between them) decided and committed one after another on a store in
 * memory. Whatever they are: a decision's guards hold where it was made, versions count by one, refusals leave nothing
 * but guards, a name is never both parameter and flag, a namespace's flags compile as one set, and every deployment has
 * a view with its pin in it. */
#include "configd/change.h"
#include "configd/closure.h"
#include "configd/store.h"
#include "configd/view.h"
#include "flags/set.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { CHANGES = 12 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct cfg_object *get(void *arg, const struct cfg_object_id *id)
{
    const struct cfg_store *s = arg;
    return cfg_store_get(s, id);
}

static void each(void *arg, enum cfg_kind kind, const char *ns, bool (*fn)(struct cfg_object *, void *), void *fn_arg)
{
    const struct cfg_store *s = arg;
    cfg_store_each(s, kind, ns, fn, fn_arg);
}

static bool add_flag(struct cfg_object *o, void *flags)
{
    if (!o->deleted)
        must(cJSON_AddItemToObject(flags, o->id.name, cfg_object_body(o)));
    return true;
}

/* The flags of a namespace compile together, with what they share: one write checks only what it touches. */
static void check_space(const struct cfg_store *s, const char *ns)
{
    struct cfg_flag_set *set = NULL;
    struct cfg_object *shared = cfg_store_find(s, CFG_KIND_EVALUATORS, ns, NULL);
    cJSON *flags = cJSON_CreateObject(), *body = shared && !shared->deleted ? cfg_object_body(shared) : NULL;
    cfg_store_each(s, CFG_KIND_FLAG, ns, add_flag, flags);
    const struct cfg_flag_source source = {
        .flags = flags, .evaluators = cfg_json_get(body, "evaluators"), .metadata = cfg_json_get(body, "metadata")};
    must(cfg_flag_set_compile(&set, &source, NULL) == 0);
    cfg_flag_set_free(set);
    cJSON_Delete(flags);
    cJSON_Delete(body);
}

static bool check_evaluators(struct cfg_object *o, void *arg)
{
    check_space(arg, o->id.ns);
    return true;
}

static bool check_flag(struct cfg_object *o, void *arg)
{
    const struct cfg_store *s = arg;
    struct cfg_object *config = cfg_store_find(s, CFG_KIND_CONFIG, o->id.ns, NULL);
    cJSON *tree = config ? cfg_object_tree(config) : NULL;
    must(o->deleted || cfg_path_get(cfg_json_get(tree, "document"), o->id.name) == NULL);
    cJSON_Delete(tree);
    check_space(s, o->id.ns);
    return true;
}

/* Namespaces as they are now; their trees live until the view has been made of them. */
struct spaces {
    const struct cfg_store *store;
    cJSON *trees[CFG_LIMIT_LAYERS];
    size_t n;
};

static int read_space(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    struct spaces *s = arg;
    const struct cfg_object *o = cfg_store_find(s->store, CFG_KIND_CONFIG, item->ns, NULL);
    if (o == NULL || o->deleted)
        return cfg_fail(err, CFG_E_NOT_FOUND, "namespace %s is not there", item->ns);
    must(s->n < CFG_LIMIT_LAYERS);
    s->trees[s->n] = cfg_object_tree(o);
    item->body = s->trees[s->n++];
    item->version = o->version;
    item->mod_revision = o->mod_revision;
    return 0;
}

static bool check_deployment(struct cfg_object *o, void *arg)
{
    struct cfg_deployment d;
    struct cfg_view_out v;
    struct cfg_closure closure;
    struct spaces spaces = {.store = arg};
    if (o->deleted)
        return true;
    must(cfg_deployment_read(&d, o, NULL) == 0);
    must(cfg_closure_walk(&closure, d.config, &(struct cfg_closure_reader){read_space, &spaces}, NULL) == 0);
    const struct cfg_view_inputs in = {.deployment = &d, .deployment_object = o, .closure = &closure};
    must(cfg_view_compose(&v, &in, NULL) == 0);
    must(cfg_json_equal(cfg_json_get(v.view, "pinned"), d.pin));
    must(v.revision >= o->mod_revision);
    cfg_view_finish(&v);
    cfg_closure_finish(&closure);
    for (size_t i = 0; i < spaces.n; i++)
        cJSON_Delete(spaces.trees[i]);
    cfg_deployment_finish(&d);
    return true;
}

static void check_guards(const struct cfg_decision *d, const struct cfg_store *s)
{
    for (size_t i = 0; i < d->n_guards; i++) {
        const struct cfg_object *o = cfg_store_get(s, &d->guards[i].id);
        must(d->guards[i].kind != CFG_GUARD_HEAD || (o ? o->mod_revision : 0) == d->guards[i].mod_revision);
    }
}

static void commit(struct cfg_store *s, const struct cfg_decision *d, uint64_t revision)
{
    const struct cfg_replica_sink *sink = cfg_store_sink(s);
    for (size_t i = 0; i < d->n_writes; i++) {
        const struct cfg_write *w = &d->writes[i];
        const struct cfg_object *head = cfg_store_get(s, &w->id);
        struct cfg_buf key;
        must(w->version == (head ? head->version : 0) + 1);
        cfg_buf_init(&key, 4096);
        cfg_object_key(&key, &w->id);
        struct cfg_etcd_event ev = {
            .kv = {.key = cfg_buf_slice(&key), .value = {w->json, w->json_len}, .mod_revision = (int64_t)revision}};
        sink->batch(sink->arg, revision, &ev, 1);
        cfg_buf_finish(&key);
    }
    must(cfg_store_rejected(s, NULL) == 0);
}

static void change(struct cfg_store *s, struct cfg_slice text, uint64_t revision)
{
    const struct cfg_heads heads = {.get = get, .each = each, .arg = s};
    cJSON *array = NULL;
    struct cfg_change c = {0};
    struct cfg_decision d = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_json_parse(&array, text, 0, NULL) != 0)
        return;
    int rc = cfg_change_parse(&c, array, &err);
    must((rc == 0) == (err.code == 0));
    if (rc == 0) {
        rc = cfg_decide(&d, &c, &heads, &err);
        must((rc == 0) == (err.code == 0));
        must(rc == 0 ? d.results != NULL : d.results == NULL && d.n_writes == 0 && err.text[0] != '\0');
        check_guards(&d, s);
        commit(s, &d, revision);
    }
    cfg_decision_finish(&d);
    cfg_change_finish(&c);
    cJSON_Delete(array);
    cfg_store_each(s, CFG_KIND_FLAG, NULL, check_flag, s);
    cfg_store_each(s, CFG_KIND_EVALUATORS, NULL, check_evaluators, s);
    cfg_store_each(s, CFG_KIND_DEPLOYMENT, NULL, check_deployment, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cfg_store *s = NULL;
    must(cfg_store_new(&s, NULL) == 0);
    const struct cfg_replica_sink *sink = cfg_store_sink(s);
    sink->identity(sink->arg, &(struct cfg_store_identity){.store_id = "ab", .epoch = 1, .mod_revision = 1});
    sink->snapshot_begin(sink->arg);
    sink->snapshot_end(sink->arg, 1);
    for (uint64_t i = 0; i < CHANGES && n > 0; i++) {
        const uint8_t *cut = memchr(bytes, 0xFF, n);
        size_t len = cut ? (size_t)(cut - bytes) : n;
        change(s, (struct cfg_slice){(const char *)bytes, len}, 2 + i);
        size_t used = len + (cut ? 1 : 0);
        bytes += used;
        n -= used;
    }
    cfg_store_free(s);
    return 0;
}
