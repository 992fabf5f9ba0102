/* Changes to JSON trees: RFC 6902 patches, RFC 7396 merge patches, RFC 6901 pointers, and the patch between two trees.
 * Pure. Functions that change a tree change nothing when they fail. */
#ifndef CFG_PROTO_PATCH_H
#define CFG_PROTO_PATCH_H

#include "proto/json.h"

/* Applies an RFC 6902 patch to a copy of doc; *out is returned-owned. CFG_E_PATCH with the failing operation's index
 * (from 0) in text and its pointer in text and path; CFG_E_LIMIT for a patch whose copies, moves or look-ups cost too
 * much or nest deeper than 128; CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_patch_apply(cJSON **out, const cJSON *doc, const cJSON *patch, struct cfg_error *err);
/* Applies an RFC 7396 merge patch to a copy of doc (which may be NULL: absent). CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_patch_merge(cJSON **out, const cJSON *doc, const cJSON *patch, struct cfg_error *err);
/* The RFC 6902 patch that turns a into b: deterministic (keys in sorted order), minimal per member, arrays of equal
 * prefix and suffix patched by element. Returned-owned array, empty when equal; NULL without memory. */
cJSON *cfg_patch_diff(const cJSON *a, const cJSON *b);
/* For people: returned-owned array of {"op":"add|remove|replace","path":"a.b[0]","from":…,"to":…} with dotted paths. */
cJSON *cfg_patch_describe(const cJSON *a, const cJSON *b);

#endif
