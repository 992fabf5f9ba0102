/* What a release comes to: its documents merged, a deployment's pin on top, interpolations resolved. Pure. */
#ifndef CFG_CONFIGD_RELEASE_H
#define CFG_CONFIGD_RELEASE_H

#include "configd/closure.h"

/* Bases that releases have in common, merged once and kept for those that follow. Holds on to the bodies of closures by
 * their address: they must live, unchanged, as long as it does. Returned-owned; NULL without memory. */
struct cfg_release_bases;
struct cfg_release_bases *cfg_release_bases_new(void);
void cfg_release_bases_free(struct cfg_release_bases *b); /* NULL is fine */

struct cfg_release_options {
    const cJSON *pin_keys, *pin;     /* borrowed; NULL: no pin. Values of the pin stand as they are */
    bool incomplete;                 /* values that are missing or cannot be resolved keep their text */
    struct cfg_release_bases *bases; /* borrowed; NULL: everything is merged anew */
    cJSON *failures; /* with incomplete; NULL, or an array that gets {"path","layer","code","message","hint"} of each */
};
/* *out is returned-owned. CFG_E_VALUE (missing, circular, mistyped), CFG_E_UNKNOWN_KEY, CFG_E_UNSUPPORTED, CFG_E_LIMIT,
 * CFG_E_NOMEM: err->path is the parameter, the text names the layer. kept may be NULL; else paths whose values depend
 * on the reader's environment are appended to it. */
CFG_MUST_CHECK int cfg_release_resolve(cJSON **out, cJSON *kept, const struct cfg_closure *c,
                                       const struct cfg_release_options *o, struct cfg_error *err);
/* What two releases come to, without members that are the same in both: cheaper than both documents where they share
 * bases. Of the release before everything that cannot be resolved keeps its text. *x and *y are returned-owned. Errors
 * as cfg_release_resolve of `after`. */
CFG_MUST_CHECK int cfg_release_differ(cJSON **x, cJSON **y, const struct cfg_closure *before,
                                      const struct cfg_closure *after, const struct cfg_release_options *o,
                                      struct cfg_error *err);
/* Merged only. With CFG_E_VALUE the path, and both layers in the text. */
CFG_MUST_CHECK int cfg_release_merge(cJSON **out, const struct cfg_closure *c, struct cfg_error *err);
/* Why a value is what it is: what cfg_layers_explain says, with "layers" as the names of the layers, lowest first (the
 * pin is the last one, where there is one). *out is returned-owned. CFG_E_UNKNOWN_KEY when no layer has the path. */
CFG_MUST_CHECK int cfg_release_explain(cJSON **out, const struct cfg_closure *c, const struct cfg_release_options *o,
                                       const char *path, struct cfg_error *err);
/* One document without anything to resolve: it is its own release. */
bool cfg_release_is_plain(const struct cfg_closure *c);
/* Takes the pinned keys out of doc, and objects that become empty by that. CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_release_cut(cJSON *doc, const cJSON *pin_keys, struct cfg_error *err);

#endif
