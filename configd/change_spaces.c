#include "configd/change_spaces.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

/* --- heads, parsed once each --- */

struct space {
    char ns[CFG_LIMIT_NAME + 1];
    const struct cfg_object *head; /* NULL: never written */
    cJSON *tree;                   /* NULL: none, or deleted */
};
struct cfg_spaces {
    void *by_name; /* tree of struct space */
};

static int by_name(const void *a, const void *b)
{
    const struct space *x = a, *y = b;
    return strcmp(x->ns, y->ns);
}

static void space_free(void *p)
{
    struct space *s = p;
    cJSON_Delete(s->tree);
    free(s);
}

void cfg_spaces_free(struct cfg_spaces *s)
{
    if (s == NULL)
        return;
    tdestroy(s->by_name, space_free);
    free(s);
}

static int head_of(const struct space **out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct space *s = calloc(1, sizeof *s);
    if (b->spaces == NULL)
        b->spaces = calloc(1, sizeof *b->spaces);
    if (s == NULL || b->spaces == NULL) {
        free(s);
        return no_memory(err);
    }
    (void)snprintf(s->ns, sizeof s->ns, "%s", ns);
    struct space **found = tsearch(s, &b->spaces->by_name, by_name);
    if (found == NULL || *found != s) {
        free(s);
        *out = found ? *found : NULL;
        return found ? 0 : no_memory(err);
    }
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
    s->head = b->heads->get(b->heads->arg, &id);
    if (s->head && !s->head->deleted && (s->tree = cfg_object_tree(s->head)) == NULL)
        return no_memory(err);
    struct cfg_guard g = {.kind = CFG_GUARD_HEAD, .id = id, .mod_revision = s->head ? s->head->mod_revision : 0};
    *out = s;
    return cfg_bench_guard(b, &g, err);
}

/* --- releases --- */

struct reading {
    struct cfg_bench *bench;
    bool after;
};

static int missing(struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, ns, NULL);
    struct cfg_draft *d;
    int rc = cfg_bench_open(&d, b, &id, err);
    return rc == 0 ? cfg_bench_missing(b, d, err) : rc;
}

static int read_space(void *arg, struct cfg_closure_item *item, struct cfg_error *err)
{
    const struct reading *r = arg;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, item->ns, NULL);
    const struct cfg_draft *d = cfg_bench_find(r->bench, &id);
    if (d) {
        item->body = r->after ? d->after : d->before;
        item->version = r->after ? cfg_draft_next_version(d) : d->head ? d->head->version : 0;
        int rc = cfg_bench_guard_head(r->bench, d, err);
        return item->body || rc != 0 ? rc : cfg_bench_missing(r->bench, d, err);
    }
    const struct space *s = NULL;
    int rc = head_of(&s, r->bench, item->ns, err);
    if (rc != 0)
        return rc;
    if (s->tree == NULL)
        return missing(r->bench, item->ns, err);
    item->body = s->tree;
    item->version = s->head->version;
    return 0;
}

int cfg_spaces_closure(struct cfg_closure *out, struct cfg_bench *b, const char *ns, bool after, struct cfg_error *err)
{
    struct reading r = {b, after};
    return cfg_closure_walk(out, ns, &(struct cfg_closure_reader){read_space, &r}, err);
}

/* --- names --- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void keep(void *name)
{
    (void)name; /* they lie in the array */
}

void cfg_names_finish(struct cfg_names *n)
{
    tdestroy(n->index, keep);
    free(n->items);
    *n = (struct cfg_names){0};
}

bool cfg_names_has(const struct cfg_names *n, const char *name)
{
    return tfind(name, &n->index, compare_names) != NULL;
}

/* The index points into the array, so a grown array is indexed anew. */
static int grow(struct cfg_names *n)
{
    size_t cap = n->cap ? n->cap * 4 : 16;
    char(*items)[CFG_LIMIT_NAME + 1] = malloc(cap * sizeof *items);
    if (items == NULL)
        return CFG_E_NOMEM;
    tdestroy(n->index, keep);
    n->index = NULL;
    if (n->n > 0)
        memcpy(items, n->items, n->n * sizeof *items);
    free(n->items);
    n->items = items;
    n->cap = cap;
    for (size_t i = 0; i < n->n; i++)
        if (tsearch(n->items[i], &n->index, compare_names) == NULL)
            return CFG_E_NOMEM;
    return 0;
}

int cfg_names_add(struct cfg_names *n, const char *name, struct cfg_error *err)
{
    if (cfg_names_has(n, name))
        return 0;
    if (n->n == n->cap && grow(n) != 0)
        return no_memory(err);
    (void)snprintf(n->items[n->n], sizeof *n->items, "%s", name);
    if (tsearch(n->items[n->n], &n->index, compare_names) == NULL)
        return no_memory(err);
    n->n++;
    return 0;
}

/* --- what lies above --- */

struct climb {
    struct cfg_bench *bench;
    struct cfg_names *names;
    const char *base;
    struct cfg_error *err;
    int rc;
};

static bool extends(const cJSON *body, const char *base)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cfg_json_get(body, "extends"))
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, base) == 0)
            return true;
    }
    return false;
}

static bool take_edge(struct cfg_object *o, void *arg)
{
    struct climb *c = arg;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_CONFIG, o->id.name, NULL);
    const struct cfg_draft *d = cfg_bench_find(c->bench, &id);
    if (d == NULL || extends(d->after, c->base))
        c->rc = cfg_names_add(c->names, o->id.name, c->err);
    return c->rc == 0;
}

int cfg_spaces_above(struct cfg_names *out, struct cfg_bench *b, const char *ns, struct cfg_error *err)
{
    struct cfg_names names = {0};
    int rc = cfg_names_add(&names, ns, err);
    for (size_t i = 0; i < names.n && rc == 0; i++) {
        char base[CFG_LIMIT_NAME + 1]; /* the array moves when it grows */
        memcpy(base, names.items[i], sizeof base);
        struct climb c = {.bench = b, .names = &names, .base = base, .err = err};
        rc = cfg_bench_guard_space(b, CFG_KIND_EXTENDS, base, err);
        if (rc == 0)
            b->heads->each(b->heads->arg, CFG_KIND_EXTENDS, base, take_edge, &c);
        rc = rc ? rc : c.rc;
        for (size_t k = 0; k < b->n && rc == 0; k++) /* edges that this change adds */
            if (b->items[k]->touched && b->items[k]->id.kind == CFG_KIND_CONFIG && extends(b->items[k]->after, base))
                rc = cfg_names_add(&names, b->items[k]->id.ns, err);
    }
    if (rc != 0) {
        cfg_names_finish(&names);
        return rc;
    }
    *out = names;
    return 0;
}
