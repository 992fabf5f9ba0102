/* The files as a change: what POST /v1/changes is to be given, cut into transactions. */
#include "client/cfgctl/gitops.h"

#include <stdlib.h>
#include <string.h>

struct item {
    const struct gitops_object *o;
    cJSON *entry;       /* owned until it is in a part */
    size_t bytes, puts; /* of JSON; into etcd: head, history and an edge for each base that comes or goes */
    int depth;          /* bases below it, at most */
    bool last;          /* deletes come last */
};

/* --- entries --- */

static cJSON *extends_to_write(const struct gitops_object *o)
{
    const cJSON *wanted = cfg_json_get(o->wanted, "extends"), *is = cfg_json_get(o->head, "extends");
    bool same = is ? cfg_json_equal(wanted, is) : wanted && wanted->child == NULL;
    return same ? NULL : cJSON_Duplicate(wanted, true);
}

static cJSON *make_entry(const struct gitops_object *o)
{
    char object[GITOPS_OBJECT_ROOM];
    cJSON *entry = cJSON_CreateObject();
    gitops_object_text(object, o);
    bool good =
        cJSON_AddStringToObject(entry, "object", object) && cJSON_AddNumberToObject(entry, "if_version", o->version);
    if (o->action == RECONCILE_DELETE) {
        good = good && cJSON_AddTrueToObject(entry, "delete");
    } else {
        const cJSON *body = o->kind == GITOPS_CONFIG ? cfg_json_get(o->wanted, "document") : o->wanted;
        cJSON *extends = o->kind == GITOPS_CONFIG ? extends_to_write(o) : NULL;
        good = good && cfg_json_set(entry, "put", cJSON_Duplicate(body, true)) == 0;
        if (good && extends)
            good = cfg_json_set(entry, "extends", extends) == 0;
        else
            cJSON_Delete(extends);
    }
    if (good)
        return entry;
    cJSON_Delete(entry);
    return NULL;
}

static size_t count_other(const cJSON *extends, const cJSON *in)
{
    const cJSON *base, *other;
    size_t n = 0;
    cJSON_ArrayForEach(base, extends)
    {
        bool found = false;
        cJSON_ArrayForEach(other, in)
        {
            found |= cfg_json_equal(base, other);
        }
        n += !found;
    }
    return n;
}

static size_t count_puts(const struct gitops_object *o)
{
    const cJSON *after = cfg_json_get(o->wanted, "extends"), *before = cfg_json_get(o->head, "extends");
    size_t edges = o->kind == GITOPS_CONFIG ? count_other(after, before) + count_other(before, after) : 0;
    return 2 + edges;
}

static int depth_of(const struct gitops *g, const char *ns, int level)
{
    const struct gitops_object *o = gitops_find(g, GITOPS_CONFIG, ns, "");
    const cJSON *base;
    int depth = 0;
    if (o == NULL || level == CFG_LIMIT_EXTENDS_DEPTH) /* a circle is the server's to refuse */
        return 0;
    cJSON_ArrayForEach(base, cfg_json_get(o->wanted ? o->wanted : o->head, "extends"))
    {
        int below = cJSON_IsString(base) ? 1 + depth_of(g, base->valuestring, level + 1) : 0;
        depth = below > depth ? below : depth;
    }
    return depth;
}

static int order(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->last != y->last)
        return x->last ? 1 : -1;
    if (x->depth != y->depth)
        return (x->depth < y->depth) != x->last ? -1 : 1;
    int by_ns = strcmp(x->o->ns, y->o->ns);
    if (by_ns != 0)
        return by_ns;
    return x->o->kind != y->o->kind ? (x->o->kind < y->o->kind ? -1 : 1) : strcmp(x->o->name, y->o->name);
}

static int make_items(struct item **out, size_t *n, const struct gitops *g, struct cfg_error *err)
{
    struct item *items = calloc(g->n + 1, sizeof *items);
    *n = 0;
    if (items == NULL)
        return cli_no_memory(err);
    *out = items;
    for (size_t i = 0; i < g->n; i++) {
        const struct gitops_object *o = &g->objects[i];
        struct cfg_buf text;
        if (!reconcile_writes(o->action))
            continue;
        struct item *item = &items[(*n)++];
        *item = (struct item){o, make_entry(o), 0, count_puts(o), depth_of(g, o->ns, 0), o->action == RECONCILE_DELETE};
        cfg_buf_init(&text, (size_t)1 << 26);
        cfg_json_print(&text, item->entry);
        item->bytes = text.len + 1;
        bool good = item->entry && cfg_buf_status(&text) == 0;
        cfg_buf_finish(&text);
        if (!good)
            return cli_no_memory(err);
    }
    qsort(items, *n, sizeof *items, order);
    return 0;
}

/* --- parts --- */

struct cutter {
    cJSON *parts, *part; /* part is borrowed from parts */
    size_t puts, bytes, max_puts, max_bytes;
};

static bool new_part(struct cutter *k)
{
    k->part = cJSON_CreateArray();
    k->puts = k->bytes = 0;
    if (k->part && cJSON_AddItemToArray(k->parts, k->part))
        return true;
    cJSON_Delete(k->part);
    return false;
}

/* Makes room for so much; what is too large for any part gets one of its own, and the server refuses it. */
static bool make_room(struct cutter *k, size_t puts, size_t bytes)
{
    bool fits = k->part && k->puts + puts <= k->max_puts && k->bytes + bytes <= k->max_bytes;
    return fits || (k->part && k->puts == 0) || new_part(k);
}

static bool put_item(struct cutter *k, struct item *item)
{
    if (!make_room(k, item->puts, item->bytes) || !cJSON_AddItemToArray(k->part, item->entry))
        return false;
    item->entry = NULL;
    k->puts += item->puts;
    k->bytes += item->bytes;
    return true;
}

/* A namespace begins a part of its own when it does not fit into the rest of this one. */
static int cut(struct cutter *k, struct item *items, size_t n, struct cfg_error *err)
{
    for (size_t i = 0; i < n;) {
        size_t end = i, bytes = 0, puts = 0;
        for (; end < n && items[end].last == items[i].last && strcmp(items[end].o->ns, items[i].o->ns) == 0; end++) {
            bytes += items[end].bytes;
            puts += items[end].puts;
        }
        if (!make_room(k, puts, bytes))
            return cli_no_memory(err);
        for (; i < end; i++)
            if (!put_item(k, &items[i]))
                return cli_no_memory(err);
    }
    return 0;
}

int gitops_entries(cJSON **out, const struct gitops *g, size_t max_objects, size_t max_bytes, struct cfg_error *err)
{
    struct item *items = NULL;
    size_t n = 0;
    struct cutter k = {.parts = cJSON_CreateArray(), .max_puts = 2 * max_objects, .max_bytes = max_bytes};
    int rc = k.parts ? make_items(&items, &n, g, err) : cli_no_memory(err);
    if (rc == 0)
        rc = cut(&k, items, n, err);
    for (size_t i = 0; i < n; i++)
        cJSON_Delete(items[i].entry);
    free(items);
    if (rc == 0)
        *out = k.parts;
    else
        cJSON_Delete(k.parts);
    return rc;
}
