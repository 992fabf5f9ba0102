/* The YAML reader's parts to one another: yaml_read.c (nodes), yaml_map.c (mappings, keys, merges), yaml_check.c (tabs
 * and warnings). Internal to them. */
#ifndef CFG_PROTO_YAML_READ_H
#define CFG_PROTO_YAML_READ_H

#include "proto/json_number.h"
#include "proto/yaml.h"
#include "proto/yaml_scalar.h"
#include <yaml.h>

struct cfg_yaml_anchor {
    char *name;  /* owned */
    cJSON *node; /* borrowed from the tree or the graveyard; NULL while it is being read */
};
struct cfg_yaml_span {
    size_t begin, end; /* in characters */
};
struct cfg_yaml_loader {
    yaml_parser_t parser;
    enum cfg_yaml_dialect dialect;
    unsigned max_depth;
    size_t max_nodes, max_bytes, nodes, bytes;
    struct cfg_slice text; /* behind a BOM */
    struct cfg_buf path;   /* dotted, of the node being read */
    cJSON *warnings;       /* the caller's; may be NULL */
    struct cfg_error *err; /* never NULL */
    struct cfg_yaml_anchor *anchors;
    size_t n_anchors;
    cJSON *graveyard;            /* nodes outside of the tree that anchors may point to */
    struct cfg_yaml_span *spans; /* where scalars lie; kept only when the text has tabs */
    size_t n_spans, cap_spans;
};

/* Fills l->err with the place and returns code. */
int cfg_yaml_fail_at(struct cfg_yaml_loader *l, int code, const yaml_mark_t *at, const char *what);
int cfg_yaml_fail_tab(struct cfg_yaml_loader *l, const yaml_mark_t *at);
yaml_mark_t cfg_yaml_mark_of_byte(struct cfg_slice text, size_t offset);
char cfg_yaml_char_at(struct cfg_slice text, size_t index); /* index in characters; '\0' past the end */

/* The tag as text; NULL for none and for `!`, which says nothing. */
const char *cfg_yaml_tag(const yaml_char_t *tag);
CFG_MUST_CHECK int cfg_yaml_next(struct cfg_yaml_loader *l, yaml_event_t *event);
/* *out is returned-owned. `event` begins the node. */
CFG_MUST_CHECK int cfg_yaml_load_node(struct cfg_yaml_loader *l, cJSON **out, const yaml_event_t *event,
                                      unsigned depth);
CFG_MUST_CHECK int cfg_yaml_load_members(struct cfg_yaml_loader *l, cJSON **out, unsigned depth);
CFG_MUST_CHECK int cfg_yaml_bury(struct cfg_yaml_loader *l, cJSON *v); /* consumes v */
void cfg_yaml_shorten_path(struct cfg_yaml_loader *l, size_t length);

CFG_MUST_CHECK int cfg_yaml_note_span(struct cfg_yaml_loader *l, const yaml_event_t *scalar);
CFG_MUST_CHECK int cfg_yaml_check_tabs(struct cfg_yaml_loader *l);
/* Adds a warning for a plain scalar that was taken as `read` and that another reader takes otherwise. */
CFG_MUST_CHECK int cfg_yaml_warn(struct cfg_yaml_loader *l, const yaml_event_t *scalar,
                                 const struct cfg_yaml_reading *read);

#endif
