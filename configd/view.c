#include "configd/view.h"
#include "configd/release.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* The release's document without the pinned keys. */
static int compose_parameters(cJSON **out, const struct cfg_view_inputs *in, struct cfg_error *err)
{
    const struct cfg_release_options o = {
        .pin_keys = in->deployment->pin_keys, .pin = in->deployment->pin, .bases = in->bases};
    cJSON *doc = NULL;
    int rc = 0;
    if (!cfg_release_is_plain(in->closure))
        rc = cfg_release_resolve(&doc, NULL, in->closure, &o, err);
    else if (in->closure->n == 0)
        doc = cJSON_CreateObject();
    else
        doc = cJSON_Duplicate(cfg_json_get(in->closure->items[0].body, "document"), true);
    if (rc == 0 && doc == NULL)
        return no_memory(err);
    if (rc == 0)
        rc = cfg_release_cut(doc, o.pin_keys, err);
    if (rc == 0)
        *out = doc;
    else
        cJSON_Delete(doc);
    return rc;
}

/* Consumes value. */
static bool add(cJSON *object, const char *key, cJSON *value)
{
    if (value && cJSON_AddItemToObject(object, key, value))
        return true;
    cJSON_Delete(value);
    return false;
}

/* Moves a member that is not empty under another name. */
static bool move_member(cJSON *space, const char *as, cJSON *body, const char *name)
{
    cJSON *member = cJSON_DetachItemFromObjectCaseSensitive(body, name);
    if (cJSON_IsObject(member) && member->child) {
        cfg_json_forget_key(member);
        return add(space, as, member);
    }
    cJSON_Delete(member);
    return true;
}

static bool add_flags_part(cJSON *space, const struct cfg_object *o)
{
    if (o->id.kind == CFG_KIND_FLAG)
        return add(space, o->id.name, cfg_object_body(o));
    if (o->id.kind != CFG_KIND_EVALUATORS)
        return true; /* a flip is heard by its revision */
    cJSON *body = cfg_object_body(o);
    bool ok = body && move_member(space, "$evaluators", body, "evaluators") &&
              move_member(space, "$metadata", body, "metadata");
    cJSON_Delete(body);
    return ok;
}

/* {"experiment":{"ab.flag":{…}}}: every namespace the deployment sees, also one without flags. */
static cJSON *compose_flags(const struct cfg_view_inputs *in)
{
    cJSON *flags = cJSON_CreateObject();
    for (size_t i = 0; flags && i < in->deployment->n_flags; i++) {
        if (cJSON_AddObjectToObject(flags, in->deployment->flags[i]) == NULL) {
            cJSON_Delete(flags);
            return NULL;
        }
    }
    for (size_t i = 0; flags && i < in->n_flags; i++) {
        cJSON *space = cfg_json_get(flags, in->flags[i]->id.ns);
        if (space == NULL || in->flags[i]->deleted)
            continue;
        if (!add_flags_part(space, in->flags[i])) {
            cJSON_Delete(flags);
            return NULL;
        }
    }
    return flags;
}

static uint64_t newest(const struct cfg_view_inputs *in)
{
    uint64_t r = in->deployment_object->mod_revision;
    if (cfg_closure_revision(in->closure) > r)
        r = cfg_closure_revision(in->closure);
    for (size_t i = 0; i < in->n_flags; i++)
        if (in->flags[i]->mod_revision > r)
            r = in->flags[i]->mod_revision;
    return r;
}

int cfg_view_compose(struct cfg_view_out *out, const struct cfg_view_inputs *in, struct cfg_error *err)
{
    cJSON *parameters = NULL;
    int rc = compose_parameters(&parameters, in, err);
    if (rc != 0)
        return cfg_error_wrap(err, "deployment %s", in->deployment->name);
    struct cfg_view_out v = {.revision = newest(in)};
    v.view = cJSON_CreateObject();
    /* All three in any case, so that nothing leaks when one fails. */
    bool ok = add(v.view, "parameters", parameters);
    ok = add(v.view, "pinned", cJSON_Duplicate(in->deployment->pin, true)) && ok;
    ok = add(v.view, "flags", compose_flags(in)) && ok;
    if (!ok || cfg_closure_release(&v.versions, in->closure, err) != 0 || cfg_digest_json(v.digest, v.view) != 0 ||
        cfg_digest_json(v.pin_digest, in->deployment->pin) != 0) {
        cfg_view_finish(&v);
        return no_memory(err);
    }
    *out = v;
    return 0;
}

static int copy_release(struct cfg_release *out, const struct cfg_release *r)
{
    out->items = calloc(r->n + 1, sizeof *out->items);
    if (out->items == NULL)
        return CFG_E_NOMEM;
    if (r->n > 0)
        memcpy(out->items, r->items, r->n * sizeof *r->items);
    out->n = r->n;
    return 0;
}

int cfg_view_locked(struct cfg_view_out *out, const struct cfg_deployment *d, const struct cfg_arm *arm,
                    const struct cfg_object *deployment_object, const struct cfg_object *locked, struct cfg_error *err)
{
    uint64_t revision = deployment_object->mod_revision;
    struct cfg_view_out v = {.revision = locked->mod_revision > revision ? locked->mod_revision : revision};
    cJSON *content = cfg_object_tree(locked);
    cJSON *parameters = cJSON_DetachItemFromObjectCaseSensitive(content, "parameters");
    cJSON *flags = cJSON_DetachItemFromObjectCaseSensitive(content, "flags");
    cJSON_Delete(content);
    v.view = cJSON_CreateObject();
    bool ok = add(v.view, "parameters", parameters);
    ok = add(v.view, "pinned", cJSON_Duplicate(d->pin, true)) && ok;
    ok = add(v.view, "flags", flags) && ok;
    if (!ok || copy_release(&v.versions, &arm->release) != 0 || cfg_digest_json(v.digest, v.view) != 0 ||
        cfg_digest_json(v.pin_digest, d->pin) != 0) {
        cfg_view_finish(&v);
        return no_memory(err);
    }
    if (strcmp(v.digest, arm->locked) != 0) {
        cfg_view_finish(&v);
        return cfg_fail(err, CFG_E_VALUE, "deployment %s: what lies under live/locked/%s is not what it was locked to",
                        d->name, d->name);
    }
    *out = v;
    return 0;
}

void cfg_view_finish(struct cfg_view_out *v)
{
    cJSON_Delete(v->view);
    cfg_release_finish(&v->versions);
    *v = (struct cfg_view_out){0};
}

/* --- comparing with a pin --- */

struct compare {
    const cJSON *pin;
    cJSON *list;
};

static bool compare_leaf(const char *path, const cJSON *value, void *arg)
{
    struct compare *c = arg;
    const cJSON *pinned = cfg_path_get(c->pin, path);
    if (pinned && cfg_json_equal(pinned, value))
        return true;
    cJSON *entry = cJSON_CreateObject();
    if (entry && cJSON_AddStringToObject(entry, "path", path) &&
        add(entry, "deployment", pinned ? cJSON_Duplicate(pinned, true) : cJSON_CreateNull()) &&
        add(entry, "worker", cJSON_Duplicate(value, true)) && cJSON_AddItemToArray(c->list, entry))
        return true;
    cJSON_Delete(entry);
    return false;
}

cJSON *cfg_pin_differences(const cJSON *pin, const cJSON *worker)
{
    struct compare c = {.pin = pin, .list = cJSON_CreateArray()};
    if (c.list && !cfg_path_each_leaf(worker, compare_leaf, &c)) {
        cJSON_Delete(c.list);
        return NULL;
    }
    return c.list;
}

struct kept {
    const struct cfg_deployment *deployment;
    const cJSON *other; /* the document on the other side of the change */
    bool from_after;    /* leaves come from the new document; else from the old one, for what was removed */
    cJSON *list;
};

static bool is_pinned(const struct cfg_deployment *d, const char *path)
{
    const cJSON *key;
    cJSON_ArrayForEach(key, d->pin_keys)
    {
        size_t n = strlen(key->valuestring);
        if (strncmp(path, key->valuestring, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '['))
            return true;
    }
    return false;
}

static bool kept_leaf(const char *path, const cJSON *value, void *arg)
{
    struct kept *k = arg;
    const cJSON *other = cfg_path_get(k->other, path);
    const cJSON *pinned = cfg_path_get(k->deployment->pin, path);
    bool changed = k->from_after ? other == NULL || !cfg_json_equal(other, value) : other == NULL;
    bool differs = !k->from_after || pinned == NULL || !cfg_json_equal(pinned, value);
    if (!is_pinned(k->deployment, path) || !changed || !differs)
        return true;
    cJSON *entry = cJSON_CreateObject();
    if (entry && cJSON_AddStringToObject(entry, "path", path) &&
        add(entry, "value", pinned ? cJSON_Duplicate(pinned, true) : cJSON_CreateNull()) &&
        cJSON_AddItemToArray(k->list, entry))
        return true;
    cJSON_Delete(entry);
    return false;
}

cJSON *cfg_pin_kept(const struct cfg_deployment *d, const cJSON *before, const cJSON *after)
{
    struct kept k = {.deployment = d, .other = before, .from_after = true, .list = cJSON_CreateArray()};
    bool ok = k.list && cfg_path_each_leaf(after, kept_leaf, &k);
    k.other = after;
    k.from_after = false;
    if (!ok || !cfg_path_each_leaf(before, kept_leaf, &k)) {
        cJSON_Delete(k.list);
        return NULL;
    }
    return k.list;
}
