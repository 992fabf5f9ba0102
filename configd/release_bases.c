/* Bases merged once for all the releases that lie over them.
 *
 * Each release lays its own document and the pin on top of the merged set, takes what it needs, and takes them off
 * again. Whatever fails here is done again by release.c from the documents alone, whose errors are the ones that people
 * read. */
#include "configd/release_internal.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 8 };

struct base {
    const cJSON *bodies[CFG_LIMIT_LAYERS];
    char names[CFG_LIMIT_LAYERS][CFG_LIMIT_NAME + 1];
    size_t n;        /* 0: unused */
    cJSON *pin_keys; /* a copy; NULL: none */
    struct cfg_release_layers layers;
    struct cfg_layers *merged;
};
struct cfg_release_bases {
    struct base items[KEPT];
    size_t next; /* to be given up for another */
};

struct cfg_release_bases *cfg_release_bases_new(void)
{
    return calloc(1, sizeof(struct cfg_release_bases));
}

static void base_finish(struct base *b)
{
    cfg_layers_free(b->merged);
    cfg_release_layers_finish(&b->layers);
    cJSON_Delete(b->pin_keys);
    *b = (struct base){.n = 0};
}

void cfg_release_bases_free(struct cfg_release_bases *b)
{
    for (size_t i = 0; b && i < KEPT; i++)
        base_finish(&b->items[i]);
    free(b);
}

static bool same_keys(const cJSON *a, const cJSON *b)
{
    bool none_a = a == NULL || a->child == NULL, none_b = b == NULL || b->child == NULL;
    return none_a || none_b ? none_a && none_b : cfg_json_equal(a, b);
}

static bool is_base_of(const struct base *b, const struct cfg_closure *c, const cJSON *pin_keys)
{
    if (b->n + 1 != c->n || !same_keys(b->pin_keys, pin_keys))
        return false;
    for (size_t i = 0; i < b->n; i++)
        if (b->bodies[i] != c->items[i].body)
            return false;
    return true;
}

static bool merge_base(struct base *b, const struct cfg_closure *c, const cJSON *pin_keys)
{
    const struct cfg_layers_options options = {.env_mode = CFG_LAYERS_ENV_KEEP};
    int rc = 0;
    for (; b->n + 1 < c->n && rc == 0; b->n++) {
        b->bodies[b->n] = c->items[b->n].body;
        memcpy(b->names[b->n], c->items[b->n].ns, sizeof b->names[0]);
        rc = cfg_release_add_layer(&b->layers, &c->items[b->n], pin_keys, NULL);
        b->layers.items[b->n].name = b->names[b->n];
    }
    if (rc == 0 && pin_keys && pin_keys->child && (b->pin_keys = cJSON_Duplicate(pin_keys, true)) == NULL)
        rc = CFG_E_NOMEM;
    return rc == 0 && cfg_layers_merge(&b->merged, b->layers.items, b->layers.n, &options, NULL) == 0;
}

/* What lies below the closure's last namespace, merged. NULL where nothing does, and on failures. `keep` is in use. */
static struct cfg_layers *base_of(struct cfg_release_bases *bases, const struct cfg_closure *c, const cJSON *pin_keys,
                                  const struct cfg_layers *keep)
{
    if (bases == NULL || c->n < 2)
        return NULL;
    for (size_t i = 0; i < KEPT; i++)
        if (bases->items[i].n > 0 && is_base_of(&bases->items[i], c, pin_keys))
            return bases->items[i].merged;
    if (keep && bases->items[bases->next].merged == keep)
        bases->next = (bases->next + 1) % KEPT;
    struct base *b = &bases->items[bases->next];
    bases->next = (bases->next + 1) % KEPT;
    base_finish(b);
    if (merge_base(b, c, pin_keys))
        return b->merged;
    base_finish(b);
    return NULL;
}

/* The closure's own document and the pin; they must live as long as they lie on top. */
static bool lay_over(struct cfg_layers *merged, struct cfg_release_layers *own, const struct cfg_closure *c,
                     const struct cfg_release_options *o)
{
    bool ok = cfg_release_add_layer(own, &c->items[c->n - 1], o->pin_keys, NULL) == 0 &&
              cfg_release_add_pin(own, o->pin, NULL) == 0;
    for (size_t i = 0; i < own->n && ok; i++)
        ok = cfg_layers_push(merged, &own->items[i], NULL) == 0;
    return ok;
}

static bool is_complete(struct cfg_layers *merged)
{
    cJSON *missing = cJSON_CreateArray();
    bool complete = missing && cfg_layers_missing(missing, merged, NULL) == 0 && missing->child == NULL;
    cJSON_Delete(missing);
    return complete;
}

bool cfg_release_resolve_over(cJSON **out, const struct cfg_closure *c, const struct cfg_release_options *o)
{
    struct cfg_release_layers own = {.n = 0};
    struct cfg_layers *merged = o->incomplete ? NULL : base_of(o->bases, c, o->pin_keys, NULL);
    if (merged == NULL)
        return false;
    bool ok = lay_over(merged, &own, c, o) && is_complete(merged) && cfg_layers_resolve(out, merged, NULL) == 0;
    cfg_layers_pop(merged);
    cfg_release_layers_finish(&own);
    return ok;
}

static bool differ_over(cJSON **x, cJSON **y, const struct cfg_closure *before, const struct cfg_closure *after,
                        const struct cfg_release_options *o)
{
    struct cfg_release_layers was = {.n = 0}, is = {.n = 0};
    struct cfg_layers *below = base_of(o->bases, before, o->pin_keys, NULL);
    struct cfg_layers *below_after = below ? base_of(o->bases, after, o->pin_keys, below) : NULL;
    cJSON *failures = cJSON_CreateArray();
    if (below_after == NULL || below == below_after || failures == NULL) {
        cJSON_Delete(failures);
        return false;
    }
    cfg_layers_set_failures(below, failures);
    cfg_layers_set_failures(below_after, o->incomplete ? failures : NULL);
    bool ok = lay_over(below, &was, before, o) && lay_over(below_after, &is, after, o) &&
              (o->incomplete || is_complete(below_after)) && cfg_layers_differ(x, y, below, below_after, NULL) == 0;
    cfg_layers_set_failures(below, NULL);
    cfg_layers_set_failures(below_after, NULL);
    cfg_layers_pop(below);
    cfg_layers_pop(below_after);
    cfg_release_layers_finish(&was);
    cfg_release_layers_finish(&is);
    cJSON_Delete(failures);
    return ok;
}

int cfg_release_differ(cJSON **x, cJSON **y, const struct cfg_closure *before, const struct cfg_closure *after,
                       const struct cfg_release_options *o, struct cfg_error *err)
{
    struct cfg_release_options was = *o;
    cJSON *a = NULL, *b = NULL;
    if (before->n > 0 && differ_over(x, y, before, after, o))
        return 0;
    was.incomplete = true;
    was.failures = NULL;
    int rc = cfg_release_resolve(&b, NULL, after, o, err);
    if (rc != 0)
        return rc;
    if (before->n > 0)
        rc = cfg_release_resolve(&a, NULL, before, &was, NULL);
    if (before->n == 0 || (rc != 0 && rc != CFG_E_NOMEM)) /* what cannot be told any more is left out */
        rc = (a = cJSON_CreateObject()) ? 0 : CFG_E_NOMEM;
    if (rc != 0) {
        cJSON_Delete(b);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    *x = a;
    *y = b;
    return 0;
}
