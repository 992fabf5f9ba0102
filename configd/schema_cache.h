/* Compiled schemas, kept by the record that they come from, so that a write does not compile what has not changed.
 *
 * Bounded in number and in bytes of schema text; the one that was asked for longest ago goes first. A schema that is in
 * use stays until it is let go. One thread. */
#ifndef CFG_CONFIGD_SCHEMA_CACHE_H
#define CFG_CONFIGD_SCHEMA_CACHE_H

#include "configd/object.h"
#include "proto/schema.h"

struct cfg_schema_cache;
/* NULL without memory. */
struct cfg_schema_cache *cfg_schema_cache_new(void);
void cfg_schema_cache_free(struct cfg_schema_cache *c); /* NULL is fine; after what was handed out has been let go */

/* One compiled schema, counted. */
struct cfg_compiled {
    uint32_t refs;
    struct cfg_schema *schema;     /* owned */
    bool has_capacity, has_pinned; /* it says x-capacity, x-apply: pinned somewhere */
};
struct cfg_compiled *cfg_compiled_unref(struct cfg_compiled *c); /* returns NULL; NULL is fine */

/* The schema of a body {"schema"}, compiled strictly and with formats asserted. *out is a reference of the caller's.
 * What cfg_schema_compile says. */
CFG_MUST_CHECK int cfg_compiled_new(struct cfg_compiled **out, const cJSON *body, struct cfg_error *err);
/* The same of a record, which is not deleted. cache may be NULL: compiled anew. */
CFG_MUST_CHECK int cfg_schema_cache_get(struct cfg_compiled **out, struct cfg_schema_cache *cache,
                                        const struct cfg_object *o, struct cfg_error *err);

#endif
