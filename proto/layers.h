/* Layers: several documents merged into one by OmegaConf's rules, its interpolations resolved, and for every value the
 * layer that set it.
 *
 * Merging, left to right: objects merge key by key; arrays and scalars replace; null sets null; an object over an array
 * or the reverse is an error; "???" (required but missing) never overwrites, and stands where nothing is below it. An
 * object over an interpolation that leads to an object merges into a copy of that object.
 *
 * Resolving is lazy: `${a.b}`, `${.sibling}`, `${..uncle}`, `${list[0]}`, `${a[${k}]}`, `${oc.select:k,default}`,
 * `${oc.decode:…}`, `${oc.create:…}`, `${oc.dict.keys:…}`, `${oc.dict.values:…}`, `${oc.deprecated:…}`, `${oc.env:…}`
 * and `${eval: a * b}` (proto/expr.h; its text is an expression, not a list of arguments). A value that is one
 * interpolation keeps the type of what it leads to; text around it makes a string, spelled as Python's str() does.
 * docs/layers.md has the rules and where they differ.
 *
 * The work is bounded: depth, steps and bytes of the result have limits that end with CFG_E_LIMIT. One merged set
 * belongs to one thread; the documents must live and stay unchanged as long as it does. Pure: the environment is
 * reached through a vtable only. */
#ifndef CFG_PROTO_LAYERS_H
#define CFG_PROTO_LAYERS_H

#include "proto/json.h"

struct cfg_layers;

struct cfg_layer {
    const char *name;      /* for messages and explanations: "base", "chat"; borrowed */
    const cJSON *document; /* an object, or in all layers an array; borrowed */
};

/* What `${oc.env:…}` does. */
enum cfg_layers_env {
    CFG_LAYERS_ENV_REFUSE, /* CFG_E_UNSUPPORTED: the environment belongs to the reader */
    CFG_LAYERS_ENV_KEEP,   /* a value that depends on it keeps its text, and cfg_layers_kept names it */
    CFG_LAYERS_ENV_READ,   /* asks env() */
};

/* A call of a resolver: arguments are an array of resolved values, in their order. *out is returned-owned.
 * CFG_E_UNKNOWN_KEY says that there is no resolver of this name. */
typedef int (*cfg_layers_resolver_fn)(cJSON **out, void *arg, const char *name, const cJSON *arguments,
                                      struct cfg_error *err);

struct cfg_layers_options {
    enum cfg_layers_env env_mode;
    const char *(*env)(void *arg, const char *name); /* the variable, borrowed; NULL when it is not set */
    cfg_layers_resolver_fn resolver;                 /* resolvers beyond the built-in ones; NULL: none */
    void *arg;                                       /* handed to both */
    cJSON *failures;  /* NULL: the first failure ends resolving. Else an array: each failure is appended as {"path",
                         "layer","code","message","hint"}, and the value keeps its text */
    size_t max_bytes; /* of the resolved document and of everything on the way to it; 0: 16 MiB */
};

/* Merges. *out is returned-owned (cfg_layers_free); layers and their documents are borrowed while it lives, `options`
 * is copied (NULL: the defaults). CFG_E_VALUE with path and both layers when an object meets an array, CFG_E_LIMIT,
 * CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_layers_merge(struct cfg_layers **out, const struct cfg_layer *layers, size_t n,
                                    const struct cfg_layers_options *options, struct cfg_error *err);
void cfg_layers_free(struct cfg_layers *l); /* NULL is fine */

/* One more layer on top, until cfg_layers_pop takes everything off again that was pushed: many sets may share what they
 * have in common. At most two at a time; name and document are borrowed until then. A failed push is taken off too,
 * with all before it. Errors as cfg_layers_merge; CFG_E_INVALID for a third. */
CFG_MUST_CHECK int cfg_layers_push(struct cfg_layers *l, const struct cfg_layer *layer, struct cfg_error *err);
void cfg_layers_pop(struct cfg_layers *l);
void cfg_layers_set_failures(struct cfg_layers *l, cJSON *failures); /* as in the options; borrowed */
/* What two sets resolve to, without members that are the same in both: *a and *b are returned-owned objects. Every
 * value of both is looked at, so that errors are those of cfg_layers_resolve, of after first; before and after are two
 * sets. */
CFG_MUST_CHECK int cfg_layers_differ(cJSON **a, cJSON **b, struct cfg_layers *before, struct cfg_layers *after,
                                     struct cfg_error *err);

/* The merged document, interpolations as they stand. *out is returned-owned. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_layers_document(cJSON **out, struct cfg_layers *l, struct cfg_error *err);
/* The merged document with every interpolation resolved; "???" stays (cfg_layers_missing). *out is returned-owned.
 * CFG_E_VALUE (a key that is not there, with the near miss as the hint; syntax, type, cycle, arithmetic),
 * CFG_E_UNSUPPORTED (resolver), CFG_E_LIMIT, CFG_E_NOMEM; err->path is the dotted path of the value that failed, and
 * the text names the layer that set it. */
CFG_MUST_CHECK int cfg_layers_resolve(cJSON **out, struct cfg_layers *l, struct cfg_error *err);
/* One value, resolved, by its dotted path. Errors as above; CFG_E_UNKNOWN_KEY also when there is none. */
CFG_MUST_CHECK int cfg_layers_get(cJSON **out, struct cfg_layers *l, const char *path, struct cfg_error *err);
/* A text as if it stood at the top of the document (element: as cfg_interpolation_check). Numbers may be NaN or
 * infinite here. *out is returned-owned. Errors as cfg_layers_resolve. */
CFG_MUST_CHECK int cfg_layers_evaluate(cJSON **out, struct cfg_layers *l, const char *text, bool element,
                                       struct cfg_error *err);
/* Appends the paths of values that are "???" in the merged document to the array `paths`. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_layers_missing(cJSON *paths, struct cfg_layers *l, struct cfg_error *err);
/* Appends the paths whose values the last resolve kept as text because they depend on the environment. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_layers_kept(cJSON *paths, struct cfg_layers *l, struct cfg_error *err);

/* Why a value is what it is: {"path","layer","value","set":[{"layer","name","value"}, …],"resolved" or "error"}.
 * "layer" is the index of the layer that won (-1: none did alone, an object that several layers make up), "set" has one
 * entry per layer that says something at this path, lowest first, and "resolved" (or, when that fails, "error") is
 * there when "value" holds an interpolation. *out is returned-owned. CFG_E_UNKNOWN_KEY with the near miss when no layer
 * has the path. */
CFG_MUST_CHECK int cfg_layers_explain(cJSON **out, struct cfg_layers *l, const char *path, struct cfg_error *err);
/* Calls fn for every leaf (scalar, array, empty object) of the merged document with the index of the layer that set it.
 * Stops when fn returns false. CFG_E_NOMEM. */
typedef bool (*cfg_layers_leaf_fn)(const char *path, size_t layer, void *arg);
CFG_MUST_CHECK int cfg_layers_each_leaf(struct cfg_layers *l, cfg_layers_leaf_fn fn, void *arg, struct cfg_error *err);

/* Does the text hold an interpolation? (It may still be a wrong one.) */
bool cfg_is_interpolation(const char *text);
/* Makes every text in v, which came from where nothing is interpolated, one that resolves to itself: \ in front of ${,
 * and backslashes before that doubled. "???" has no such spelling. CFG_E_NOMEM, with some texts done. */
CFG_MUST_CHECK int cfg_layers_escape(cJSON *v, struct cfg_error *err);
/* Checks the syntax of a text that may hold interpolations (element: of what stands between the commas of a resolver's
 * arguments), without resolving it. CFG_E_VALUE with the column. */
CFG_MUST_CHECK int cfg_interpolation_check(const char *text, bool element, struct cfg_error *err);

#endif
