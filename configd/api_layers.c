/* Reading through layers: a namespace resolved, and what extends it. */
#include "configd/api.h"
#include "configd/release.h"

#include <stdio.h>
#include <string.h>

/* --- heads, with the trees that a closure borrows --- */

struct reading {
    struct cfg_app *app;
    cJSON *trees[CFG_LIMIT_LAYERS + 1];
    size_t n;
};

static void reading_finish(struct reading *r)
{
    for (size_t i = 0; i < r->n; i++)
        cJSON_Delete(r->trees[i]);
}

static int read_head(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    struct reading *r = arg;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
    struct cfg_object *o;
    int rc = cfg_api_head(&o, r->app, &id, err);
    if (rc != 0)
        return rc;
    item->version = o->version;
    item->mod_revision = o->mod_revision;
    item->body = r->trees[r->n] = r->n <= CFG_LIMIT_LAYERS ? cfg_object_tree(o) : NULL;
    return r->trees[r->n++] ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- resolved --- */

static cJSON *print_resolved(struct cfg_app *app, const struct cfg_closure *c, cJSON *document, cJSON *failures,
                             cJSON *kept)
{
    char rev[CFG_REV_TEXT];
    const struct cfg_closure_item *own = &c->items[c->n - 1];
    struct cfg_release release = {0};
    cJSON *body = cJSON_CreateObject();
    const cJSON *extends = cfg_json_get(own->body, "extends");
    bool ok = cfg_closure_release(&release, c, NULL) == 0 && cJSON_AddStringToObject(body, "namespace", own->ns) &&
              cJSON_AddNumberToObject(body, "version", (double)own->version) &&
              cJSON_AddStringToObject(body, "revision", cfg_api_rev(app, cfg_closure_revision(c), rev)) &&
              cfg_json_set(body, "extends", cJSON_Duplicate(extends, true)) == 0 &&
              cfg_json_set(body, "release", cfg_release_json(&release)) == 0;
    cfg_release_finish(&release);
    /* All three in any case, so that nothing leaks when one fails. */
    ok = body && cfg_json_set(body, "document", document) == 0 && ok;
    ok = body && cfg_json_set(body, "unresolved", failures) == 0 && ok;
    ok = body && cfg_json_set(body, "environment", kept) == 0 && ok;
    if (!ok) {
        cJSON_Delete(body);
        return NULL;
    }
    return body;
}

void cfg_api_get_resolved(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_object_id id;
    struct reading r = {.app = app};
    struct cfg_closure closure = {0};
    cJSON *document = NULL, *kept = cJSON_CreateArray();
    const struct cfg_release_options o = {.incomplete = true, .failures = cJSON_CreateArray()};
    if (!cfg_api_at(app, c)) {
        cJSON_Delete(kept);
        cJSON_Delete(o.failures);
        return;
    }
    int rc =
        kept && o.failures ? cfg_api_id(&id, CFG_KIND_CONFIG, c, &err) : cfg_fail(&err, CFG_E_NOMEM, "out of memory");
    if (rc == 0 && cfg_call_query(c, "version")) {
        rc = cfg_fail(&err, CFG_E_INVALID,
                      "resolved and version exclude each other: an old version has no bases of its "
                      "own");
        cfg_error_set_hint(&err, "what a deployment ran: GET /v1/deployments/{d}/view?revision=");
    }
    if (rc == 0)
        rc = cfg_closure_walk(&closure, id.ns, &(struct cfg_closure_reader){read_head, &r}, &err);
    if (rc == 0)
        rc = cfg_release_resolve(&document, kept, &closure, &o, &err);
    if (rc == 0) {
        char rev[CFG_REV_TEXT], etag[CFG_REV_TEXT + 2];
        (void)snprintf(etag, sizeof etag, "\"%s\"", cfg_api_rev(app, cfg_closure_revision(&closure), rev));
        cfg_call_set_header(c, "ETag", etag);
        cfg_api_reply(c, 200, print_resolved(app, &closure, document, o.failures, kept));
    } else {
        cJSON_Delete(kept);
        cJSON_Delete(o.failures);
        cfg_call_fail(c, &err, NULL);
    }
    cfg_closure_finish(&closure);
    reading_finish(&r);
}

/* --- dependents --- */

enum { DEPENDENTS_MAX = 10000 };

struct climb {
    struct cfg_app *app;
    cJSON *list;    /* {"namespace","direct","deployments"}, breadth first */
    cJSON *by_name; /* the same entries, found by name: references */
    bool direct, ok;
};

static bool take_edge(struct cfg_object *o, void *arg)
{
    struct climb *c = arg;
    if (cfg_json_get(c->by_name, o->id.name))
        return true;
    cJSON *entry = cJSON_CreateObject();
    c->ok = entry && cJSON_AddStringToObject(entry, "namespace", o->id.name) &&
            cJSON_AddBoolToObject(entry, "direct", c->direct) && cJSON_AddArrayToObject(entry, "deployments") &&
            cJSON_AddItemReferenceToObject(c->by_name, o->id.name, entry) && cJSON_AddItemToArray(c->list, entry);
    return c->ok && cJSON_GetArraySize(c->by_name) < DEPENDENTS_MAX;
}

static bool take_deployment(struct cfg_object *o, void *arg)
{
    struct climb *c = arg;
    struct cfg_deployment d;
    if (o->deleted || cfg_deployment_read(&d, o, NULL) != 0)
        return true;
    cJSON *list = cfg_json_get(cfg_json_get(c->by_name, d.config), "deployments");
    if (list && cfg_deployment_follows(&d))
        c->ok = cJSON_AddItemToArray(list, cJSON_CreateString(d.name)) && c->ok;
    cfg_deployment_finish(&d);
    return c->ok;
}

static cJSON *print_dependents(struct cfg_app *app, const char *ns, const cJSON *extends)
{
    cJSON *body = cJSON_CreateObject();
    struct climb c = {.app = app, .by_name = cJSON_CreateObject(), .direct = true};
    bool ok = c.by_name && cJSON_AddStringToObject(body, "namespace", ns) &&
              cfg_json_set(body, "extends", extends ? cJSON_Duplicate(extends, true) : cJSON_CreateArray()) == 0;
    c.list = ok ? cJSON_AddArrayToObject(body, "dependents") : NULL;
    c.ok = c.list != NULL;
    if (c.ok)
        cfg_store_each(app->store, CFG_KIND_EXTENDS, ns, take_edge, &c);
    c.direct = false;
    for (const cJSON *e = c.ok ? c.list->child : NULL; e && c.ok; e = e->next)
        cfg_store_each(app->store, CFG_KIND_EXTENDS, cfg_json_get_str(e, "namespace", ""), take_edge, &c);
    if (c.ok)
        cfg_store_each(app->store, CFG_KIND_DEPLOYMENT, NULL, take_deployment, &c);
    cJSON_Delete(c.by_name);
    if (!c.ok) {
        cJSON_Delete(body);
        return NULL;
    }
    return body;
}

void cfg_api_dependents(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *o;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_CONFIG, c, &err);
    rc = rc ? rc : cfg_api_head(&o, app, &id, &err);
    if (rc != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cJSON *tree = cfg_object_tree(o);
    cfg_api_reply(c, 200, tree ? print_dependents(app, id.ns, cfg_json_get(tree, "extends")) : NULL);
    cJSON_Delete(tree);
}
