#include "configd/change_edges.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TXN_PUTS = 124 }; /* etcd takes 128 operations; an idempotency record may come with them */

static bool lists(const cJSON *extends, const char *base)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, extends)
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, base) == 0)
            return true;
    }
    return false;
}

/* version 0: takes the edge away. */
static int add(struct cfg_decision *out, const char *base, const char *ns, uint64_t version, size_t versioned,
               struct cfg_error *err)
{
    struct cfg_write w = {.id = cfg_object_id_of(CFG_KIND_EXTENDS, base, ns)};
    size_t edges = out->n_writes - versioned;
    if (edges == CFG_EDGES_MAX || 2 * versioned + edges + 1 > TXN_PUTS)
        return cfg_fail(err, CFG_E_LIMIT, "the change gives too many namespaces other bases to fit one transaction");
    if (version > 0) {
        char text[48];
        int n = snprintf(text, sizeof text, "{\"version\":%" PRIu64 "}", version);
        w.json = cfg_slice_dup((struct cfg_slice){text, (size_t)n});
        w.json_len = (size_t)n;
        if (w.json == NULL)
            return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    out->writes[out->n_writes++] = w;
    return 0;
}

static int of_draft(struct cfg_decision *out, const struct cfg_draft *d, size_t versioned, struct cfg_error *err)
{
    const cJSON *before = cfg_json_get(d->before, "extends"), *after = cfg_json_get(d->after, "extends"), *base;
    int rc = 0;
    cJSON_ArrayForEach(base, after)
    {
        if (rc == 0 && !lists(before, base->valuestring))
            rc = add(out, base->valuestring, d->id.ns, cfg_draft_next_version(d), versioned, err);
    }
    cJSON_ArrayForEach(base, before)
    {
        if (rc == 0 && cJSON_IsString(base) && !lists(after, base->valuestring))
            rc = add(out, base->valuestring, d->id.ns, 0, versioned, err);
    }
    return rc;
}

int cfg_edges_write(struct cfg_decision *out, const struct cfg_bench *b, struct cfg_error *err)
{
    size_t versioned = out->n_writes;
    int rc = 0;
    for (size_t i = 0; i < b->n && rc == 0; i++)
        if (b->items[i]->touched && b->items[i]->id.kind == CFG_KIND_CONFIG)
            rc = of_draft(out, b->items[i], versioned, err);
    return rc;
}
