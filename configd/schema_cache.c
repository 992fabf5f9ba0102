#include "configd/schema_cache.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 1024, BYTES_MAX = 16 * 1024 * 1024 };

struct cached {
    /* The record: which, and what it says. A store that went back may hold another under the same revision. */
    char ns[CFG_LIMIT_NAME + 1], digest[CFG_DIGEST_TEXT];
    uint64_t mod_revision;
    struct cfg_compiled *compiled; /* a reference */
    size_t bytes;                  /* of its text */
    struct cached *newer, *older;  /* by when it was last asked for */
};
struct cfg_schema_cache {
    void *by_record; /* tree of struct cached */
    struct cached *newest, *oldest;
    size_t n, bytes;
};

static int by_record(const void *a, const void *b)
{
    const struct cached *x = a, *y = b;
    if (x->mod_revision != y->mod_revision)
        return x->mod_revision < y->mod_revision ? -1 : 1;
    int c = strcmp(x->ns, y->ns);
    return c != 0 ? c : strcmp(x->digest, y->digest);
}

struct cfg_compiled *cfg_compiled_unref(struct cfg_compiled *c)
{
    if (c && --c->refs == 0) {
        cfg_schema_free(c->schema);
        free(c);
    }
    return NULL;
}

static void entry_free(void *p)
{
    struct cached *e = p;
    (void)cfg_compiled_unref(e->compiled);
    free(e);
}

struct cfg_schema_cache *cfg_schema_cache_new(void)
{
    return calloc(1, sizeof(struct cfg_schema_cache));
}

void cfg_schema_cache_free(struct cfg_schema_cache *c)
{
    if (c == NULL)
        return;
    tdestroy(c->by_record, entry_free);
    free(c);
}

static void unlink_entry(struct cfg_schema_cache *c, struct cached *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void put_first(struct cfg_schema_cache *c, struct cached *e)
{
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void drop_oldest(struct cfg_schema_cache *c)
{
    struct cached *e = c->oldest;
    unlink_entry(c, e);
    (void)tdelete(e, &c->by_record, by_record);
    c->n--;
    c->bytes -= e->bytes;
    entry_free(e);
}

/* What there is no memory for is compiled again the next time. */
static void remember(struct cfg_schema_cache *c, const struct cached *key, struct cfg_compiled *compiled)
{
    struct cached *e = malloc(sizeof *e);
    if (e == NULL)
        return;
    *e = *key;
    if (tsearch(e, &c->by_record, by_record) == NULL) {
        free(e);
        return;
    }
    e->compiled = compiled;
    compiled->refs++;
    put_first(c, e);
    c->n++;
    c->bytes += e->bytes;
    while (c->n > 1 && (c->n > ENTRIES_MAX || c->bytes > BYTES_MAX))
        drop_oldest(c);
}

static void look_for_ours(struct cfg_compiled *c, const cJSON *v)
{
    for (const cJSON *m = v->child; m; m = m->next) {
        bool named = cJSON_IsObject(v);
        c->has_capacity = c->has_capacity || (named && strcmp(m->string, "x-capacity") == 0);
        c->has_pinned = c->has_pinned || (named && strcmp(m->string, "x-apply") == 0 && cJSON_IsString(m) &&
                                          strcmp(m->valuestring, "pinned") == 0);
        look_for_ours(c, m);
    }
}

int cfg_compiled_new(struct cfg_compiled **out, const cJSON *body, struct cfg_error *err)
{
    const struct cfg_schema_options o = {.assert_formats = true};
    struct cfg_compiled *c = calloc(1, sizeof *c);
    if (c == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    c->refs = 1;
    look_for_ours(c, cfg_json_get(body, "schema"));
    int rc = cfg_schema_compile(&c->schema, cfg_json_get(body, "schema"), &o, err);
    if (rc == 0)
        *out = c;
    else
        free(c);
    return rc;
}

int cfg_schema_cache_get(struct cfg_compiled **out, struct cfg_schema_cache *cache, const struct cfg_object *o,
                         struct cfg_error *err)
{
    struct cached key = {.mod_revision = o->mod_revision, .bytes = cfg_bytes_slice(o->json).len};
    memcpy(key.ns, o->id.ns, sizeof key.ns);
    memcpy(key.digest, o->digest, sizeof key.digest);
    struct cached **found = cache ? tfind(&key, &cache->by_record, by_record) : NULL;
    if (found) {
        unlink_entry(cache, *found);
        put_first(cache, *found);
        (*found)->compiled->refs++;
        *out = (*found)->compiled;
        return 0;
    }
    cJSON *body = cfg_object_tree(o);
    int rc = body ? cfg_compiled_new(out, body, err) : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    cJSON_Delete(body);
    if (rc == 0 && cache)
        remember(cache, &key, *out);
    return rc;
}
