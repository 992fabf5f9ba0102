#include "configd/closure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- versions --- */

int cfg_release_read(struct cfg_release *out, const cJSON *object, struct cfg_error *err)
{
    int n = cJSON_GetArraySize(object);
    if (!cJSON_IsObject(object) || n == 0)
        return cfg_fail(err, CFG_E_VALUE, "a release must be an object of versions by namespace");
    if (n > CFG_LIMIT_LAYERS)
        return cfg_fail(err, CFG_E_LIMIT, "a release has at most %d namespaces", CFG_LIMIT_LAYERS);
    struct cfg_release r = {.items = calloc((size_t)n, sizeof *r.items)};
    int rc = r.items ? 0 : no_memory(err);
    for (const cJSON *m = object->child; m && rc == 0; m = m->next) {
        struct cfg_release_item *item = &r.items[r.n];
        rc = cfg_check_name("namespace", cfg_slice_str(m->string), err);
        if (rc == 0)
            rc = cfg_json_need_u64(object, m->string, &item->version, err);
        if (rc == 0 && item->version == 0)
            rc = cfg_fail(err, CFG_E_VALUE, "release: versions of %s count from 1", m->string);
        if (rc == 0)
            (void)snprintf(r.items[r.n++].ns, sizeof item->ns, "%s", m->string);
    }
    if (rc != 0) {
        cfg_release_finish(&r);
        return rc;
    }
    *out = r;
    return 0;
}

void cfg_release_finish(struct cfg_release *r)
{
    free(r->items);
    *r = (struct cfg_release){0};
}

uint64_t cfg_release_version(const struct cfg_release *r, const char *ns)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->items[i].ns, ns) == 0)
            return r->items[i].version;
    return 0;
}

bool cfg_release_equal(const struct cfg_release *a, const struct cfg_release *b)
{
    for (size_t i = 0; i < a->n; i++)
        if (cfg_release_version(b, a->items[i].ns) != a->items[i].version)
            return false;
    return a->n == b->n;
}

cJSON *cfg_release_json(const struct cfg_release *r)
{
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; object && i < r->n; i++) {
        if (cJSON_AddNumberToObject(object, r->items[i].ns, (double)r->items[i].version) == NULL) {
            cJSON_Delete(object);
            return NULL;
        }
    }
    return object;
}

/* --- the walk --- */

struct walk {
    const struct cfg_closure_reader *reader;
    struct cfg_closure done;
    const char *path[CFG_LIMIT_EXTENDS_DEPTH + 1]; /* from the root to where it is */
    size_t depth;
    struct cfg_error *err;
};

static int circle(const struct walk *w, size_t from, const char *ns)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 256);
    for (size_t i = from; i < w->depth; i++)
        cfg_buf_printf(&text, "%s extends ", w->path[i]);
    cfg_buf_puts(&text, ns);
    bool whole = cfg_buf_status(&text) == 0;
    (void)cfg_fail(w->err, CFG_E_VALUE, "extends runs in a circle: %s", whole ? text.data : ns);
    cfg_error_set_path(w->err, "extends");
    cfg_error_set_hint(w->err, "cfgctl extend %s with other bases, or with none, breaks it", w->path[from]);
    cfg_buf_finish(&text);
    return CFG_E_VALUE;
}

static int too_much(const struct walk *w, const char *ns)
{
    if (w->done.n == CFG_LIMIT_LAYERS)
        (void)cfg_fail(w->err, CFG_E_LIMIT, "%s extends more than %d namespaces in all", w->path[0],
                       CFG_LIMIT_LAYERS - 1);
    else
        (void)cfg_fail(w->err, CFG_E_LIMIT, "%s extends %s through more than %d namespaces", w->path[0], ns,
                       CFG_LIMIT_EXTENDS_DEPTH);
    cfg_error_set_path(w->err, "extends");
    return CFG_E_LIMIT;
}

static int read_item(const struct walk *w, struct cfg_closure_item *item)
{
    int rc = w->reader->read(w->reader->arg, item, w->err);
    if (rc != CFG_E_NOT_FOUND || w->depth == 0)
        return rc;
    char hint[sizeof w->err->hint] = "";
    if (w->err)
        memcpy(hint, w->err->hint, sizeof hint);
    (void)cfg_fail(w->err, CFG_E_NOT_FOUND, "namespace %s, which %s extends, does not exist", item->ns,
                   w->path[w->depth - 1]);
    cfg_error_set_path(w->err, "extends");
    cfg_error_set_hint(w->err, "%s", hint[0] ? hint : "create it first");
    return CFG_E_NOT_FOUND;
}

static int visit(struct walk *w, const char *ns);

static int visit_bases(struct walk *w, const struct cfg_closure_item *item)
{
    const cJSON *base;
    cJSON_ArrayForEach(base, cfg_json_get(item->body, "extends"))
    {
        if (!cJSON_IsString(base) || strlen(base->valuestring) > CFG_LIMIT_NAME)
            return cfg_fail(w->err, CFG_E_VALUE, "namespace %s: extends is no list of namespaces", item->ns);
        int rc = visit(w, base->valuestring);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ns is borrowed from the caller until it returns. */
static int visit(struct walk *w, const char *ns)
{
    struct cfg_closure_item item = {.version = 0};
    if (cfg_closure_has(&w->done, ns))
        return 0;
    for (size_t i = 0; i < w->depth; i++)
        if (strcmp(w->path[i], ns) == 0)
            return circle(w, i, ns);
    if (w->depth > CFG_LIMIT_EXTENDS_DEPTH || w->done.n == CFG_LIMIT_LAYERS)
        return too_much(w, ns);
    (void)snprintf(item.ns, sizeof item.ns, "%s", ns);
    int rc = read_item(w, &item);
    if (rc != 0)
        return rc;
    w->path[w->depth++] = item.ns;
    rc = visit_bases(w, &item);
    w->depth--;
    if (rc == 0 && w->done.n == CFG_LIMIT_LAYERS)
        return too_much(w, ns);
    if (rc == 0)
        w->done.items[w->done.n++] = item;
    return rc;
}

int cfg_closure_walk(struct cfg_closure *out, const char *root, const struct cfg_closure_reader *reader,
                     struct cfg_error *err)
{
    struct walk w = {.reader = reader, .err = err};
    w.done.items = calloc(CFG_LIMIT_LAYERS, sizeof *w.done.items);
    int rc = w.done.items ? visit(&w, root) : no_memory(err);
    if (rc != 0) {
        cfg_closure_finish(&w.done);
        return rc;
    }
    *out = w.done;
    return 0;
}

void cfg_closure_finish(struct cfg_closure *c)
{
    free(c->items);
    *c = (struct cfg_closure){0};
}

bool cfg_closure_has(const struct cfg_closure *c, const char *ns)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->items[i].ns, ns) == 0)
            return true;
    return false;
}

uint64_t cfg_closure_revision(const struct cfg_closure *c)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].mod_revision > newest)
            newest = c->items[i].mod_revision;
    return newest;
}

int cfg_closure_release(struct cfg_release *out, const struct cfg_closure *c, struct cfg_error *err)
{
    struct cfg_release r = {.items = calloc(c->n + 1, sizeof *r.items), .n = c->n};
    if (r.items == NULL)
        return no_memory(err);
    for (size_t i = 0; i < c->n; i++) {
        memcpy(r.items[i].ns, c->items[i].ns, sizeof r.items[i].ns);
        r.items[i].version = c->items[i].version;
    }
    *out = r;
    return 0;
}

static int bad_list(struct cfg_error *err, int rc)
{
    cfg_error_set_path(err, "extends");
    return rc;
}

int cfg_extends_check(const cJSON *list, const char *ns, struct cfg_error *err)
{
    if (!cJSON_IsArray(list))
        return bad_list(err, cfg_fail(err, CFG_E_VALUE, "extends must be an array of namespaces"));
    if (cJSON_GetArraySize(list) > CFG_LIMIT_EXTENDS)
        return bad_list(err, cfg_fail(err, CFG_E_LIMIT, "%s extends more than %d namespaces", ns, CFG_LIMIT_EXTENDS));
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        int rc = cJSON_IsString(item) ? cfg_check_name("namespace", cfg_slice_str(item->valuestring), err)
                                      : cfg_fail(err, CFG_E_VALUE, "extends must be an array of namespaces");
        if (rc == 0 && strcmp(item->valuestring, ns) == 0)
            rc = cfg_fail(err, CFG_E_VALUE, "extends runs in a circle: %s extends itself", ns);
        for (const cJSON *o = list->child; o != item && rc == 0; o = o->next)
            if (strcmp(o->valuestring, item->valuestring) == 0)
                rc = cfg_fail(err, CFG_E_VALUE, "extends names %s twice", item->valuestring);
        if (rc != 0)
            return bad_list(err, rc);
    }
    return 0;
}
