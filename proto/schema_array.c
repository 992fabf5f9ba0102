/* Keywords of arrays. */
#include "proto/schema_internal.h"

#include <stdlib.h>
#include <string.h>

static struct schema_at item_at(const struct schema_at *up, const cJSON *v, size_t index)
{
    return (struct schema_at){.v = v, .type = cfg_schema_type_of(v), .index = index, .up = up};
}

static bool check_prefix_items(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    size_t i = 0;
    bool valid = true;
    for (const cJSON *v = at->v->child; v && i < k->u.nodes.n; v = v->next, i++) {
        struct schema_at item = item_at(at, v, i);
        cfg_schema_mark(at->marks, i);
        if (cfg_schema_eval(r, k->u.nodes.list[i], &item))
            continue;
        valid = false;
        if (r->quiet || r->failed)
            break;
    }
    return valid;
}

int cfg_schema_c_prefix_items(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    int code = cfg_schema_c_combine(c, n, k);
    k->check = check_prefix_items;
    return code;
}

static bool check_items(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    size_t i = 0;
    bool valid = true;
    const struct schema_node *n = k->u.items.node;
    unsigned types = cfg_schema_only_type(n) ? n->types : 0;
    cfg_schema_mark_all(at->marks);
    for (const cJSON *v = at->v->child; v; v = v->next, i++) {
        if (i < k->u.items.from || (cfg_schema_spend(r, 1) && (cfg_schema_type_of(v) & types)))
            continue;
        struct schema_at item = item_at(at, v, i);
        if (cfg_schema_eval(r, n, &item))
            continue;
        valid = false;
        if (r->quiet || r->failed)
            break;
    }
    return valid;
}

int cfg_schema_c_items(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    const cJSON *prefix = cfg_json_get(n->json, "prefixItems");
    k->u.items.node = cfg_schema_below(c, k->value);
    k->u.items.from = cJSON_IsArray(prefix) ? (size_t)cJSON_GetArraySize(prefix) : 0;
    k->check = check_items;
    return 0;
}

static bool check_contains(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    size_t i = 0, found = 0, least = k->u.contains.least, most = k->u.contains.most;
    for (const cJSON *v = at->v->child; v && !r->failed; v = v->next, i++) {
        struct schema_at item = item_at(at, v, i);
        if (!cfg_schema_eval_quiet(r, k->u.contains.node, &item))
            continue;
        cfg_schema_mark(at->marks, i);
        found++;
        if (at->marks == NULL && found >= least && most == SIZE_MAX)
            return true;
    }
    if (r->failed || (found >= least && found <= most))
        return !r->failed;
    struct schema_report what = {.keyword = found < least ? (least > 1 ? "minContains" : "contains") : "maxContains"};
    if (found < least)
        return cfg_schema_report(r, at, &what, "must contain at least %zu matching item%s, contains %zu", least,
                                 least == 1 ? "" : "s", found);
    return cfg_schema_report(r, at, &what, "must contain at most %zu matching item%s, contains %zu", most,
                             most == 1 ? "" : "s", found);
}

static size_t sibling_count(const struct schema_node *n, const char *name, size_t fallback)
{
    double d = cfg_json_get_num(n->json, name, -1);
    if (d < 0 || n->resource->no_validation)
        return fallback;
    return d > 9e15 ? SIZE_MAX - 1 : (size_t)d;
}

int cfg_schema_c_contains(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    k->u.contains.node = cfg_schema_below(c, k->value);
    k->u.contains.least = sibling_count(n, "minContains", 1);
    k->u.contains.most = sibling_count(n, "maxContains", SIZE_MAX);
    k->check = check_contains;
    return 0;
}

static bool check_unevaluated_items(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    size_t i = 0;
    bool valid = true;
    for (const cJSON *v = at->v->child; v && !at->marks->all; v = v->next, i++) {
        if (cfg_schema_marked(at->marks, i))
            continue;
        struct schema_at item = item_at(at, v, i);
        bool fits = true;
        if (k->u.node->constant == 0) {
            struct schema_report what = {.keyword = k->name};
            fits = cfg_schema_report(r, &item, &what, "is an item that nothing describes");
        } else {
            fits = cfg_schema_eval(r, k->u.node, &item);
        }
        valid = valid && fits;
        if (!fits && (r->quiet || r->failed))
            break;
    }
    cfg_schema_mark_all(at->marks);
    return valid;
}

int cfg_schema_c_unevaluated_items(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    n->tracks = true;
    k->u.node = cfg_schema_below(c, k->value);
    k->check = check_unevaluated_items;
    return 0;
}

/* --- uniqueItems --- */

struct item {
    uint64_t hash;
    const cJSON *v;
    size_t index;
};

static int by_hash(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* Two equal items among n that are sorted by their hash. */
static bool find_equal(struct schema_run *r, const struct item *items, size_t n, size_t pair[2])
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && items[k - 1].hash == items[i].hash; k--) {
            if (!cfg_schema_spend(r, 1))
                return false;
            if (cfg_json_equal(items[k - 1].v, items[i].v)) {
                pair[0] = items[k - 1].index;
                pair[1] = items[i].index;
                return true;
            }
        }
    return false;
}

static bool check_unique(struct schema_run *r, const struct schema_keyword *k, const struct schema_at *at)
{
    size_t n = 0, pair[2] = {0, 0};
    for (const cJSON *v = at->v->child; v; v = v->next)
        n++;
    if (n < 2)
        return true;
    if (!cfg_schema_spend(r, n))
        return false;
    struct item *items = malloc(n * sizeof *items);
    if (items == NULL) {
        r->failed = CFG_E_NOMEM;
        return false;
    }
    size_t i = 0;
    for (const cJSON *v = at->v->child; v; v = v->next, i++)
        items[i] = (struct item){cfg_schema_hash_value(v), v, i};
    qsort(items, n, sizeof *items, by_hash);
    bool twice = find_equal(r, items, n, pair);
    free(items);
    if (!twice)
        return !r->failed;
    struct schema_report what = {.keyword = k->name, .expected = "items that all differ"};
    return cfg_schema_report(r, at, &what, "must have no two equal items; items %zu and %zu are equal", pair[0],
                             pair[1]);
}

int cfg_schema_c_unique(struct schema_compiler *c, struct schema_node *n, struct schema_keyword *k)
{
    if (!cJSON_IsBool(k->value))
        return cfg_schema_fail(c, n, k->name, CFG_E_VALUE, "uniqueItems must be true or false");
    if (cJSON_IsTrue(k->value))
        k->check = check_unique;
    return 0;
}
