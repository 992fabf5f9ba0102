/* Names: namespaces, flags, dotted parameter paths and addresses. Pure. */
#ifndef CFG_PROTO_PATH_H
#define CFG_PROTO_PATH_H

#include "proto/json.h"
#include "proto/limits.h"

/* A DNS label: [a-z0-9]([a-z0-9-]*[a-z0-9])?, at most 63 bytes. Used for namespaces, deployments. `what` names it in
 * the error. CFG_E_ADDRESS with a hint that shows a valid spelling where one is near. */
CFG_MUST_CHECK int cfg_check_name(const char *what, struct cfg_slice name, struct cfg_error *err);
/* Worker, replica and group ids: [A-Za-z0-9][A-Za-z0-9._:-]*, at most 127 bytes. CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_check_id(const char *what, struct cfg_slice id, struct cfg_error *err);
/* Names of metrics and capabilities: [a-zA-Z0-9_.:/-], 1 to 64 bytes. CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_check_word(const char *what, struct cfg_slice word, struct cfg_error *err);
/* A flag's name: dot-separated segments without / [ ] = or white space and without $ in front, at most 255 bytes.
 * CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_check_flag_name(struct cfg_slice name, struct cfg_error *err);

/* `NAMESPACE/NAME` or, where name_optional, `NAMESPACE`. ns and name are NUL-terminated copies; name is "" when absent.
 */
struct cfg_address {
    char ns[CFG_LIMIT_NAME + 1];
    char name[CFG_LIMIT_PATH + 1];
};
CFG_MUST_CHECK int cfg_address_parse(struct cfg_address *out, struct cfg_slice text, bool name_optional,
                                     struct cfg_error *err);

/* Dotted paths: `a.b`, `a.list[0].c`. Segments are object keys (never empty, never with . / [ ] =) or array indices.
 * get: borrowed value or NULL. set: creates missing objects on the way; consumes `value` always; an index must exist or
 * be one past the end. remove: CFG_E_UNKNOWN_KEY when absent. All: CFG_E_ADDRESS for a malformed path, CFG_E_VALUE when
 * the way is blocked by a scalar (err->path names where). */
CFG_MUST_CHECK int cfg_path_check(struct cfg_slice path, struct cfg_error *err);
cJSON *cfg_path_get(const cJSON *doc, const char *path);
CFG_MUST_CHECK int cfg_path_set(cJSON *doc, const char *path, cJSON *value, struct cfg_error *err);
CFG_MUST_CHECK int cfg_path_remove(cJSON *doc, const char *path, struct cfg_error *err);
/* Refuses objects whose keys are empty or contain . / [ ] = anywhere in doc: CFG_E_VALUE with the path. The root must
 * be an object. */
CFG_MUST_CHECK int cfg_path_check_document(const cJSON *doc, struct cfg_error *err);
/* Calls fn for every leaf (scalar, array or empty object) with its dotted path. Stops when fn returns false
 * (or memory is out); true when every leaf was seen. */
typedef bool (*cfg_path_leaf_fn)(const char *path, const cJSON *value, void *arg);
bool cfg_path_each_leaf(const cJSON *doc, cfg_path_leaf_fn fn, void *arg);
/* The candidate nearest to `name` by edit distance (≤ 1/3 of its length), for "did you mean". NULL when none; borrowed.
 */
const char *cfg_near_miss(const char *name, const char *const *candidates, size_t n);

#endif
