/* Deciding a write: (heads, request) → (guards, puts, answer). Pure: the caller looks heads up and carries the
 * transaction out.
 *
 * A decision names every head it read, so that the transaction commits only if none of them has changed.
 * What later issues add to a decision (schemas, bases, presence) is one more head that it reads. */
#ifndef CFG_CONFIGD_CHANGE_H
#define CFG_CONFIGD_CHANGE_H

#include "configd/contract_check.h"
#include "configd/schema_cache.h"

/* One entry of a change, as the API takes it. */
enum cfg_change_op {
    CFG_CHANGE_PUT,
    CFG_CHANGE_MERGE_PATCH,
    CFG_CHANGE_JSON_PATCH,
    CFG_CHANGE_SET,
    CFG_CHANGE_DELETE,
    CFG_CHANGE_ROLLBACK,
    CFG_CHANGE_CREATE,
    CFG_CHANGE_EXTEND /* nothing but `extends` */
};
struct cfg_change_entry {
    enum cfg_change_op op;
    struct cfg_object_id id; /* for SET: the namespace (kind CONFIG); its flags are found by name */
    bool must_exist;         /* at whatever version */
    bool has_if_version;
    uint64_t if_version; /* 0: must not exist. For SET: of every object that it touches */
    cJSON *body;         /* owned: document, patch, new deployment, or array of set items */
    uint64_t rollback_to;
    cJSON *extends;              /* owned: the namespace's new bases; NULL: they stay. Beside every op but delete */
    struct cfg_object **sources; /* what cfg_change_needs asked for, in its order, found in history by the caller; owned
                                    references; NULL: there is no such version */
    size_t n_sources;
    cJSON *seen; /* owned: what belongs to it and was not asked for, so that an idempotency key does not stand for it: a
                    rollout's drawn "seed"; of a person's input, what was seen when it came, kept with the decision */
};
struct cfg_change {
    struct cfg_change_entry *entries; /* owned */
    size_t n;
    char *message, *author, *time, *request_id; /* owned; NULL counts as "" */
    bool dry_run, force, plan;                  /* plan, of a dry run: tell what would happen to whom */
};
/* Reads the entries of POST /v1/changes' array, which is borrowed; message, author, time and request_id are the
 * caller's to add. CFG_E_INVALID, CFG_E_ADDRESS, CFG_E_LIMIT, CFG_E_NOMEM; the text names the entry. */
CFG_MUST_CHECK int cfg_change_parse(struct cfg_change *out, const cJSON *array, struct cfg_error *err);
void cfg_change_finish(struct cfg_change *c); /* takes a zeroed struct */

/* How a decision reads heads. get must return the same object for the same id during one decision. */
struct cfg_heads {
    struct cfg_object *(*get)(void *arg, const struct cfg_object_id *id);
    /* In order of namespace, then name; ns NULL: all. Tombstones included. */
    void (*each)(void *arg, enum cfg_kind kind, const char *ns, bool (*fn)(struct cfg_object *o, void *fn_arg),
                 void *fn_arg);
    void *arg;
    struct cfg_schema_cache *schemas; /* borrowed; NULL: schemas are compiled anew */
    const struct cfg_crew *crew;      /* borrowed; NULL: nobody is connected here */
};

/* The versions from history that an entry is decided on: what a rollback goes back to, the release that a deployment is
 * moved to (what the request names, then what the arm holds already), what a lock is made of. The caller asks for i =
 * e->n_sources and adds what it found, until this is false. */
bool cfg_change_needs(struct cfg_object_id *id, uint64_t *version, const struct cfg_change_entry *e, size_t i,
                      const struct cfg_heads *heads);
/* object's reference is consumed; NULL: there is no such version. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_change_add_source(struct cfg_change_entry *e, struct cfg_object *object, struct cfg_error *err);
void cfg_change_drop_sources(struct cfg_change_entry *e);
/* The source with this version; NULL: none. Borrowed. */
struct cfg_object *cfg_change_source(const struct cfg_change_entry *e, const struct cfg_object_id *id,
                                     uint64_t version);

/* What a decision read and the transaction must find unchanged. */
enum cfg_guard_kind {
    CFG_GUARD_HEAD,    /* a head that is written or was read: its mod_revision, 0 = must not exist */
    CFG_GUARD_SPACE,   /* every head of id.kind in id.ns ("" = all namespaces): none above mod_revision */
    CFG_GUARD_HISTORY, /* a version in history that must (still) exist */
};
struct cfg_guard {
    enum cfg_guard_kind kind;
    struct cfg_object_id id;
    uint64_t mod_revision, version;
};
struct cfg_write {
    struct cfg_object_id id;
    uint64_t version; /* 0: an object without versions, which has no history record */
    char *json;       /* the new head and history record, owned; NULL: the head's key is taken away */
    size_t json_len;
};
struct cfg_decision {
    struct cfg_guard *guards; /* owned */
    size_t n_guards;
    struct cfg_write *writes; /* owned; none when nothing changes */
    size_t n_writes;
    cJSON *results; /* the reply's "results", owned: changes, kept, held, affected, hints; reach is added at the edge */
    cJSON
        *violations; /* of a refusal for CFG_E_SCHEMA, CFG_E_CONTRACT or CFG_E_CEILING: all of them; else NULL; owned */
    size_t bytes;    /* of all puts */
};
/* All or nothing. CFG_E_PRECONDITION (both versions in text), CFG_E_EXISTS, CFG_E_NOT_FOUND, CFG_E_UNKNOWN_KEY,
 * CFG_E_TYPE_CHANGE, CFG_E_PATCH, CFG_E_PINNED, CFG_E_VALUE, CFG_E_LIMIT, CFG_E_CONFLICT, CFG_E_IN_USE (a namespace
 * that deployments run, unless c->force), CFG_E_INVALID, CFG_E_UNSUPPORTED, CFG_E_SCHEMA, CFG_E_CONTRACT and
 * CFG_E_CEILING (with out->violations; of the workers' ones not with c->force). *c is borrowed.
 * On failure *out holds the guards of what had been read until then, the violations, and nothing else: a refusal holds
 * only while they do (the replica may have been behind). */
CFG_MUST_CHECK int cfg_decide(struct cfg_decision *out, const struct cfg_change *c, const struct cfg_heads *heads,
                              struct cfg_error *err);
void cfg_decision_finish(struct cfg_decision *d); /* takes a zeroed struct */

#endif
