/* YAML in front of the strict JSON tree: what people's files say, as the programs that they were written for read it.
 *
 * Those programs read YAML 1.1, and not quite alike: Accelerate takes PyYAML's SafeLoader, OmegaConf and Hydra a
 * variant of it. Both dialects are kept to the letter; wherever a plain scalar means one thing to one of them and
 * another to the next (or to YAML 1.2), the reader takes its dialect's side and says so in a warning.
 *
 *     written     PYYAML         OMEGACONF      1.2            written      PYYAML        OMEGACONF  1.2
 *     no, Off     false          false          text           1_000        1000          1000       text
 *     014         12             12             14             0o14         text          text       12
 *     08          text           text           8              0b11         3             3          text
 *     12:30:45    45045          45045          text           2026-01-02   a date        text       text
 *     1e3         text           1000.0         1000.0         -.5          text          text       -0.5
 *
 * A date is no JSON: it comes in as its text, with a warning. The tree keeps to I-JSON and the limits of proto/json.h
 * (U+0000 as C0 80). Compiled into the library cfg_yaml, beside cfg_proto, so that only its users need libyaml. Pure,
 * thread-safe. */
#ifndef CFG_PROTO_YAML_H
#define CFG_PROTO_YAML_H

#include "proto/json.h"

enum cfg_yaml_dialect {
    CFG_YAML_OMEGACONF, /* OmegaConf, Hydra: a number is also 1e3, a date is text */
    CFG_YAML_PYYAML,    /* PyYAML's SafeLoader: Accelerate and most Python programs */
};

struct cfg_yaml_options { /* NULL or all zero: OmegaConf's dialect and the default limits */
    enum cfg_yaml_dialect dialect;
    unsigned max_depth; /* nesting; 0: CFG_LIMIT_DEPTH */
    size_t max_nodes;   /* nodes once aliases are expanded; 0: 65536 */
    size_t max_bytes;   /* bytes of their text, likewise; 0: 4 MiB */
};

/* Reads one document (a leading BOM is skipped; JSON is a subset). An empty one is null.
 *
 * Anchors and aliases are expanded, `<<` merges mappings (own keys win, then the first named). Refused, with line and
 * column in err->text and err->path: broken YAML or UTF-8, a tab outside of text and comments, a key given twice, a
 * second document, an alias that is unknown or inside its own anchor, .inf and .nan, integers beyond ±(2^53−1), tags
 * other than !!str !!int !!float !!bool !!null !!map !!seq, a key that is null, a list or a mapping, or whose spelling
 * is not that of the value it stands for (`no:`, `014:`; `1:` and `true:` are the keys "1" and "true").
 *
 * warnings: NULL, or an array that gets an object for each scalar that readers differ on, in the order of the file:
 * {"line","column","text","read":JSON text of what was taken,"otherwise":[{"reader","read"}],"message","hint"}.
 * *out is returned-owned (cJSON_Delete), untouched on failure. CFG_E_JSON, CFG_E_LIMIT (depth, nodes, bytes),
 * CFG_E_UNSUPPORTED (tags), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_yaml_parse(cJSON **out, struct cfg_slice text, const struct cfg_yaml_options *options,
                                  cJSON *warnings, struct cfg_error *err);

/* Appends one document, block style. Strings are quoted wherever one of the readers above would take something else
 * (no, on, 1e3, 12:30, ~, …); floats with an exponent carry a point and a sign (1.0e-07 to all of them). CFG_E_NOMEM,
 * CFG_E_LIMIT (out's maximum). */
CFG_MUST_CHECK int cfg_yaml_print(struct cfg_buf *out, const cJSON *v);

#endif
