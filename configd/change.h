/* Deciding a write: (heads, request) → (guards, puts, answer). Pure: the caller looks heads up and carries the
 * transaction out.
 *
 * A decision names every head it read, so that the transaction commits only if none of them has changed (design §3.2).
 * What later issues add to a decision (schemas, bases, presence) is one more head that it reads. */
#ifndef CFG_CONFIGD_CHANGE_H
#define CFG_CONFIGD_CHANGE_H

#include "configd/object.h"

/* One entry of a change, as the API takes it. */
enum cfg_change_op {
    CFG_CHANGE_PUT,
    CFG_CHANGE_MERGE_PATCH,
    CFG_CHANGE_JSON_PATCH,
    CFG_CHANGE_SET,
    CFG_CHANGE_DELETE,
    CFG_CHANGE_ROLLBACK,
    CFG_CHANGE_CREATE
};
struct cfg_change_entry {
    enum cfg_change_op op;
    struct cfg_object_id id; /* for SET: the namespace (kind CONFIG); its flags are found by name */
    bool has_if_version;
    uint64_t if_version; /* 0: must not exist */
    cJSON *body;         /* owned: document, patch, or array of set items */
    uint64_t rollback_to;
    struct cfg_object *rollback_source; /* that version, fetched from history by the caller; owned reference */
};
struct cfg_change {
    struct cfg_change_entry *entries; /* owned */
    size_t n;
    char *message, *author, *time, *request_id; /* owned */
    bool dry_run, force;
};
/* Reads POST /v1/changes' array. CFG_E_INVALID, CFG_E_ADDRESS, CFG_E_VALUE, CFG_E_LIMIT with the entry's index in
 * err->path. */
CFG_MUST_CHECK int cfg_change_parse(struct cfg_change *out, const cJSON *array, struct cfg_error *err);
void cfg_change_finish(struct cfg_change *c);

/* How a decision reads heads. get must return the same object for the same id during one decision. */
struct cfg_heads {
    struct cfg_object *(*get)(void *arg, const struct cfg_object_id *id);
    void (*each)(void *arg, enum cfg_kind kind, const char *ns, bool (*fn)(struct cfg_object *o, void *fn_arg),
                 void *fn_arg);
    /* A version other than the head (holds, diffs), when it is in memory; NULL otherwise. */
    struct cfg_object *(*version)(void *arg, const struct cfg_object_id *id, uint64_t version);
    void *arg;
};

struct cfg_decision {
    struct cfg_guard {
        struct cfg_object_id id;
        uint64_t mod_revision; /* 0: must not exist */
        bool own;              /* the object itself (moved: 412 or decide again), not a dependency */
    } * guards;
    size_t n_guards;
    struct cfg_write {
        struct cfg_object_id id;
        uint64_t version;
        char *json; /* the new head and history record, owned */
        size_t json_len;
    } * writes;
    size_t n_writes;
    cJSON *results; /* the reply's "results", owned: changes, kept, held, hints; reach is added at the edge */
    size_t bytes;
};
/* CFG_E_PRECONDITION (both versions in text), CFG_E_EXISTS, CFG_E_NOT_FOUND, CFG_E_UNKNOWN_KEY, CFG_E_TYPE_CHANGE,
 * CFG_E_PATCH, CFG_E_PINNED, CFG_E_VALUE, CFG_E_LIMIT, CFG_E_CONFLICT. All or nothing. */
CFG_MUST_CHECK int cfg_decide(struct cfg_decision *out, const struct cfg_change *c, const struct cfg_heads *heads,
                              struct cfg_error *err);
void cfg_decision_finish(struct cfg_decision *d);

#endif
