#include "configd/change_release.h"
#include "configd/change_checks.h"
#include "configd/release.h"

#include <inttypes.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* The namespace at a version that must be there, now and at the commit. */
static int find_version(const struct cfg_object **out, struct cfg_release_walk *r, const struct cfg_object_id *id,
                        uint64_t version, struct cfg_error *err)
{
    struct cfg_guard g = {.kind = CFG_GUARD_HISTORY, .id = *id, .version = version};
    const struct cfg_object *o = r->bench->heads->get(r->bench->heads->arg, id);
    if (o == NULL || o->version != version)
        o = cfg_change_source(r->entry, id, version);
    if (o == NULL)
        return cfg_fail(&r->no_version, CFG_E_NOT_FOUND, "namespace %s has no version %" PRIu64, id->ns, version);
    if (o->deleted)
        return cfg_fail(err, CFG_E_VALUE, "version %" PRIu64 " of namespace %s is a delete", version, id->ns);
    *out = o;
    return cfg_bench_guard(r->bench, &g, err);
}

static int read_version(struct cfg_closure_item *item, struct cfg_release_walk *r, uint64_t version,
                        struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
    const struct cfg_object *o = NULL;
    int rc = find_version(&o, r, &id, version, err);
    if (rc != 0)
        return rc;
    cJSON *tree = r->n_trees <= CFG_LIMIT_LAYERS ? cfg_object_tree(o) : NULL;
    if (tree == NULL)
        return no_memory(err);
    r->trees[r->n_trees++] = tree;
    item->body = tree;
    item->version = version;
    return 0;
}

static int read_head(struct cfg_closure_item *item, struct cfg_release_walk *r, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
    struct cfg_draft *d;
    int rc = cfg_bench_open(&d, r->bench, &id, err);
    if (rc != 0)
        return rc;
    item->body = r->after ? d->after : d->before;
    if (item->body == NULL)
        return cfg_bench_missing(r->bench, d, err);
    item->version = r->after ? cfg_draft_next_version(d) : d->head->version;
    return cfg_bench_guard_head(r->bench, d, err);
}

static int read_space(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    struct cfg_release_walk *r = arg;
    uint64_t version = cfg_release_version(r->named, item->ns);
    if (version == 0)
        version = cfg_release_version(r->held, item->ns);
    return version > 0 ? read_version(item, r, version, err) : read_head(item, r, err);
}

int cfg_release_walk(struct cfg_closure *out, struct cfg_release_walk *r, const char *ns, struct cfg_error *err)
{
    int rc = cfg_closure_walk(out, ns, &(struct cfg_closure_reader){read_space, r}, err);
    if (rc == CFG_E_NOT_FOUND && r->no_version.code != 0 && err)
        *err = r->no_version;
    return rc;
}

void cfg_release_walk_finish(struct cfg_release_walk *w)
{
    for (size_t i = 0; i < w->n_trees; i++)
        cJSON_Delete(w->trees[i]);
    w->n_trees = 0;
}

int cfg_release_check_named(const struct cfg_closure *c, const struct cfg_release *named, const char *ns,
                            struct cfg_error *err)
{
    for (size_t i = 0; i < named->n; i++)
        if (!cfg_closure_has(c, named->items[i].ns))
            return cfg_fail(err, CFG_E_VALUE, "release names %s, which is neither %s nor what it extends then",
                            named->items[i].ns, ns);
    return 0;
}

int cfg_release_check_view(cJSON **out, struct cfg_bench *b, const struct cfg_closure *c, const struct cfg_draft *d,
                           struct cfg_error *err)
{
    cJSON *document = NULL, *kept = cJSON_CreateArray();
    const struct cfg_release_options o = {.pin_keys = cfg_json_get(d->before, "pin_keys"),
                                          .pin = cfg_json_get(d->before, "pin")};
    int rc = kept ? cfg_release_resolve(&document, kept, c, &o, err) : no_memory(err);
    const struct cfg_checked checked = {.closure = c,
                                        .document = document,
                                        .kept = kept,
                                        .ns = cfg_json_get_str(d->before, "config", ""),
                                        .deployment = d->id.ns};
    rc = rc ? rc : cfg_checks_document(b, &checked, err);
    cJSON_Delete(kept);
    if (rc == 0 && out)
        *out = document;
    else
        cJSON_Delete(document);
    return rc == 0 ? 0 : cfg_error_wrap(err, "deployment %s", d->id.ns);
}

int cfg_release_decide(struct cfg_release *out, struct cfg_bench *b, const struct cfg_draft *d,
                       const struct cfg_change_entry *e, struct cfg_error *err)
{
    const char *ns = cfg_json_get_str(d->before, "config", "");
    const cJSON *held_json = cfg_json_get(cfg_json_get(cfg_json_get(d->before, "arms"), "base"), "release");
    struct cfg_release named = {0}, held = {0};
    struct cfg_release_walk w = {.bench = b, .entry = e, .named = &named, .held = &held};
    struct cfg_closure closure = {0};
    int rc = cfg_release_read(&named, cfg_json_get(e->body, "release"), err);
    if (rc == 0 && held_json)
        rc = cfg_release_read(&held, held_json, err);
    rc = rc ? rc : cfg_release_walk(&closure, &w, ns, err);
    rc = rc ? rc : cfg_release_check_named(&closure, &named, ns, err);
    rc = rc ? rc : cfg_release_check_view(NULL, b, &closure, d, err);
    rc = rc ? rc : cfg_closure_release(out, &closure, err);
    cfg_closure_finish(&closure);
    cfg_release_walk_finish(&w);
    cfg_release_finish(&named);
    cfg_release_finish(&held);
    return rc;
}
