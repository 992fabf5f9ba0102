/* The grammar of interpolations: OmegaConf's, read into a tree. Internal to proto. Pure.
 *
 * A configuration value is text with `${…}` in it; an element is what stands between the commas of a resolver's
 * arguments (and what `oc.decode` reads): a word, number, quoted string, list or dict. */
#ifndef CFG_PROTO_INTER_H
#define CFG_PROTO_INTER_H

#include "proto/arena.h"

enum inter_kind {
    INTER_NULL,
    INTER_BOOL,
    INTER_NUMBER,
    INTER_STRING,   /* text, unescaped */
    INTER_CONCAT,   /* items, joined as strings; a quoted string even when there is one only */
    INTER_NODE,     /* ${a.b}: items are the pieces of the key (dots, brackets, names, nested interpolations) */
    INTER_RESOLVER, /* ${name:args}: names are the pieces of the name, items the arguments */
    INTER_EVAL,     /* ${eval: …}: text is the expression */
    INTER_LIST,     /* items */
    INTER_DICT,     /* names are the keys (strings), items the values */
};

struct inter {
    enum inter_kind kind;
    bool boolean, is_float;
    double number;
    struct cfg_slice text;
    struct inter **items, **names;
    size_t n, n_names;
};

/* Reads a configuration value, or a single element. *out lives in the arena, its texts there or in `text` (borrowed).
 * CFG_E_VALUE with the column, CFG_E_LIMIT (nesting), CFG_E_NOMEM. */
CFG_MUST_CHECK int inter_parse(struct inter **out, struct cfg_arena *arena, struct cfg_slice text, bool element,
                               struct cfg_error *err);

#endif
