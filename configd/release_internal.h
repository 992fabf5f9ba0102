/* What release.c and release_bases.c share. */
#ifndef CFG_CONFIGD_RELEASE_INTERNAL_H
#define CFG_CONFIGD_RELEASE_INTERNAL_H

#include "configd/release.h"
#include "proto/layers.h"

struct cfg_release_layers {
    struct cfg_layer items[CFG_LIMIT_LAYERS + 1]; /* names borrowed */
    cJSON *owned[CFG_LIMIT_LAYERS + 1];           /* copies that were changed */
    size_t n;
};
void cfg_release_layers_finish(struct cfg_release_layers *l);
/* CFG_E_NOMEM, CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_release_add_layer(struct cfg_release_layers *l, const struct cfg_closure_item *item,
                                         const cJSON *pin_keys, struct cfg_error *err);
/* The pin's values as a layer, where there are any. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_release_add_pin(struct cfg_release_layers *l, const cJSON *values, struct cfg_error *err);

/* What cfg_release_resolve does, over bases that are merged already. False where there are none, or something fails:
 * resolving without them then tells what. *out is returned-owned. */
CFG_MUST_CHECK bool cfg_release_resolve_over(cJSON **out, const struct cfg_closure *c,
                                             const struct cfg_release_options *o);

#endif
