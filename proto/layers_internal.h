/* The merged tree and how its parts work together. Internal to proto.
 *
 * layers_tree.c   nodes: made from documents, found by key, copied, named by path
 * layers_merge.c  OmegaConf's merge rules
 * layers_stack.c  layers laid on top for a while, and what two merged sets differ in
 * layers_eval.c   a text with interpolations into a node
 * layers_oc.c     the resolvers oc.* and eval
 * layers_text.c   values spelled as Python's str() does
 * layers_out.c    nodes into JSON
 * layers.c        the public functions */
#ifndef CFG_PROTO_LAYERS_INTERNAL_H
#define CFG_PROTO_LAYERS_INTERNAL_H

#include "proto/arena.h"
#include "proto/inter.h"
#include "proto/layers.h"

enum {
    LAYERS_MAX_ARENA = 128 << 20,
    LAYERS_MAX_BYTES = 16 << 20,
    LAYERS_MAX_CHAIN = 128,     /* interpolations that lead to one another */
    LAYERS_MAX_STEPS = 1 << 20, /* evaluated interpolations */
    LAYERS_VALUE_COST = 16,     /* what a value counts for besides its text */
    LAYERS_MAX_PUSHED = 2,
};

enum node_kind { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_ARRAY, NODE_OBJECT };
enum node_state { STATE_NEW, STATE_BUSY, STATE_DONE, STATE_KEPT };

struct node {
    const char *key; /* in an object; borrowed from a document or the arena */
    struct node *parent, *next, *child, *last;
    struct node **slots; /* of an object: a hash table once it is large; of an array: its items */
    const cJSON *src;    /* of an array that was not unfolded yet: no interpolation lies in it */
    const char *text;
    struct node *result;        /* of an interpolation, once resolved */
    const struct inter *parsed; /* its text, where it was parsed ahead; NULL: when it is resolved */
    double number;
    size_t n, cap, layer;
    unsigned born; /* the push it was made or noted in; 0: before any */
    uint32_t hash;
    uint32_t index;      /* in an array */
    unsigned generation; /* of the tree when state was set: merging makes older results void */
    uint8_t kind, state;
    bool is_float, boolean;
    bool inter; /* a string that holds `${` and is to be resolved */
    bool plain; /* made by a resolver or a literal: nothing inside is looked into or resolved again */
};

struct frame {
    const struct node *node;
    const struct frame *below;
};

/* How a node, or a place in an object's hash table, was before the push. In the arena. */
struct undo {
    struct undo *older;
    struct node *at, was;
    struct node **slot; /* instead: made empty */
};

struct cfg_layers {
    struct cfg_arena arena;
    struct cfg_layers_options options;
    struct cfg_layer *layers;
    size_t n;
    struct node *root;
    const struct frame *stack; /* the interpolations being resolved */
    size_t chain, steps, spent;
    unsigned generation;
    bool kept;    /* the failure is none: the value depends on the environment */
    bool located; /* the error names its place already */
    cJSON *kept_paths;
    struct undo *undo; /* newest first */
    unsigned push;     /* counts them; 0: none is on top */
    unsigned pushes;
    bool parsed;    /* interpolations were parsed ahead */
    size_t n_below; /* layers without those on top */
    struct cfg_arena_mark below;
};

/* --- layers_tree.c --- */

struct node *node_new(struct cfg_layers *l, enum node_kind kind); /* NULL: l->arena.failed says why */
CFG_MUST_CHECK int layers_no_memory(struct cfg_layers *l, struct cfg_error *err);
/* A node of a JSON value, borrowed from it; parent and key are the caller's to set. NULL as above. */
struct node *node_from_json(struct cfg_layers *l, const cJSON *v, size_t layer, bool plain);
/* A copy, interpolations as they stand; `plain` is taken off where configuration is wanted. NULL as above. */
struct node *node_copy(struct cfg_layers *l, const struct node *v, bool to_configuration);
CFG_MUST_CHECK bool node_add(struct cfg_layers *l, struct node *parent, struct node *child, const char *key);
/* Takes over what `from` is; place, key and parent stay. */
CFG_MUST_CHECK bool node_replace(struct cfg_layers *l, struct node *v, const struct node *from);
bool node_unfold(struct cfg_layers *l, struct node *array);
struct node *node_member(const struct node *object, struct cfg_slice key);
struct node *node_item(struct cfg_layers *l, struct node *array, size_t i);
bool node_is_missing(const struct node *v); /* "???" */
bool node_is_container(const struct node *v);
/* Appends the dotted path from the root. */
void node_path(struct cfg_buf *out, const struct node *v);
/* "key", "a.b": what did not exist below `parent`, with what is near it. CFG_E_UNKNOWN_KEY. */
CFG_MUST_CHECK int layers_unknown(struct cfg_layers *l, const struct node *parent, struct cfg_slice key,
                                  const char *whole, struct cfg_error *err);
bool text_holds_inter(const char *text);

/* --- layers_merge.c --- */

/* Is it "???"? */
bool layers_is_missing(const cJSON *v);
CFG_MUST_CHECK int layers_merge_all(struct cfg_layers *l, struct cfg_error *err);
/* The document of that layer into the tree. */
CFG_MUST_CHECK int layers_merge_one(struct cfg_layers *l, size_t layer, struct cfg_error *err);

/* --- layers_stack.c --- */

/* Before a node is changed, and after a place in a hash table was filled. False without memory. */
CFG_MUST_CHECK bool layers_note(struct cfg_layers *l, struct node *v);
CFG_MUST_CHECK bool layers_note_slot(struct cfg_layers *l, struct node **slot);

/* --- layers_eval.c --- */

/* What v leads to: itself, unless it is an interpolation. Codes as cfg_layers_resolve. */
CFG_MUST_CHECK int layers_deref(struct cfg_layers *l, struct node **out, struct node *v, struct cfg_error *err);
/* Parses every interpolation of the tree; those that are wrong say so when they are resolved. */
void layers_parse_ahead(struct cfg_layers *l, struct node *v);
/* A text in the place of a child of `parent`. */
CFG_MUST_CHECK int layers_eval_text(struct cfg_layers *l, struct node **out, struct node *parent, struct cfg_slice text,
                                    bool element, struct cfg_error *err);
enum select_flags {
    SELECT_NEEDS_VALUE = 1, /* "???" is an error */
    SELECT_LENIENT = 2,     /* nothing there, or a way through a scalar, is no error */
};
/* *out is NULL when the key leads nowhere; *parent (may be NULL) is then the container it ended in. `key` may begin
 * with dots: relative to `from`. */
CFG_MUST_CHECK int layers_select(struct cfg_layers *l, struct node **out, struct node *from, const char *key,
                                 unsigned flags, struct cfg_error *err);
/* Counts work and bytes. CFG_E_LIMIT. */
CFG_MUST_CHECK int layers_spend(struct cfg_layers *l, size_t bytes, struct cfg_error *err);
struct node *node_string(struct cfg_layers *l, struct cfg_slice text); /* plain; copied */

/* --- layers_oc.c --- */

struct call {
    const char *name;
    struct node *parent; /* the container that the calling value lies in */
    struct node **args;
    size_t n;
};
CFG_MUST_CHECK int layers_call(struct cfg_layers *l, struct node **out, const struct call *call, struct cfg_error *err);
CFG_MUST_CHECK int layers_eval_expr(struct cfg_layers *l, struct node **out, struct node *parent, struct cfg_slice text,
                                    struct cfg_error *err);

/* --- layers_text.c --- */

void node_str(struct cfg_buf *out, struct node *v, struct cfg_layers *l);

/* --- layers_out.c --- */

/* The node as JSON; resolve: interpolations resolved, else as they stand. *out is returned-owned. */
CFG_MUST_CHECK int layers_to_json(cJSON **out, struct cfg_layers *l, struct node *v, bool resolve,
                                  struct cfg_error *err);
/* The value at its own place, resolved, with what options.failures says. *out is returned-owned. */
CFG_MUST_CHECK int layers_place_to_json(cJSON **out, struct cfg_layers *l, struct node *v, unsigned depth,
                                        struct cfg_error *err);

/* --- layers.c --- */

void layers_begin(struct cfg_layers *l); /* counts from nothing, before anything is resolved */

#endif
