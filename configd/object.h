/* What lies in etcd, typed: one immutable version of one object, and its envelope. Pure. */
#ifndef CFG_CONFIGD_OBJECT_H
#define CFG_CONFIGD_OBJECT_H

#include "configd/flag_facts.h"
#include "proto/digest.h"
#include "proto/path.h"
#include "proto/revision.h"

enum cfg_kind {
    CFG_KIND_CONFIG,
    CFG_KIND_FLAG,
    CFG_KIND_EVALUATORS, /* shared rules and metadata of a namespace's flags: {"evaluators","metadata"} */
    CFG_KIND_SCHEMA,     /* what a namespace's document must keep to: {"schema"} */
    CFG_KIND_DEPLOYMENT,
    CFG_KIND_ROLLOUT,    /* how a deployment gets to another release, under the deployment's name (rollout.h) */
    CFG_KIND_EXPERIMENT, /* what is compared, since when, and what came of it (experiment.h); its name lies in ns */
    CFG_KIND_FLIP,       /* a time rule of a namespace's flags flips: {"at": unix seconds, "flags": [names]} */
    CFG_KIND_LOCK,       /* who does what must be done once: {"holder"} */
    CFG_KIND_PRESENCE,
    CFG_KIND_EXTENDS,  /* live/extends/BASE/NS: the namespace NS extends BASE. Written with NS, so that whoever reads or
                          writes BASE finds (and guards) everything above it; no version, no history */
    CFG_KIND_LOCKED,   /* live/locked/DEPLOYMENT: the view that a deployment was made from, {"digest","parameters",
                          "flags","inputs"}; no version, no history */
    CFG_KIND_PROGRESS, /* live/progress/DEPLOYMENT: how long the step of its rollout has baked; no version, no history
                        */
    CFG_KIND_OBSERVED, /* live/observed/DEPLOYMENT/REPLICA: what a replica sees of a deployment whose rollout runs,
                          under its lease */
    CFG_KIND_OTHER
};
/* Named by a deployment, whose name lies in an id's ns. */
static inline bool cfg_kind_is_of_deployment(enum cfg_kind k)
{
    return k == CFG_KIND_DEPLOYMENT || k == CFG_KIND_ROLLOUT || k == CFG_KIND_PRESENCE || k == CFG_KIND_LOCKED ||
           k == CFG_KIND_PROGRESS || k == CFG_KIND_OBSERVED;
}
/* Known by a name that is no namespace's, which lies in an id's ns; its record's "config" says whose it is. */
static inline bool cfg_kind_is_named(enum cfg_kind k)
{
    return cfg_kind_is_of_deployment(k) || k == CFG_KIND_EXPERIMENT;
}
/* The lock that whoever writes flips holds, and what its record says: {"holder": the author of those writes}. */
#define CFG_FLIP_LOCK_NAME "flips"
static inline bool cfg_kind_is_public(enum cfg_kind k)
{
    return k <= CFG_KIND_EXPERIMENT;
}
/* What a namespace's flags are made of: together they compile, and the newest of them is their revision. */
static inline bool cfg_kind_is_of_flags(enum cfg_kind k)
{
    return k == CFG_KIND_FLAG || k == CFG_KIND_EVALUATORS || k == CFG_KIND_FLIP;
}
static inline bool cfg_kind_is_versioned(enum cfg_kind k)
{
    return k <= CFG_KIND_FLIP;
}
const char *cfg_kind_name(enum cfg_kind k); /* "config", "flag", "deployment", … as in keys and in "object" */

struct cfg_object_id {
    enum cfg_kind kind;
    char ns[CFG_LIMIT_NAME +
            1]; /* namespace; a deployment's, experiment's or lock's name lies here too, of a locked view as well */
    char name[CFG_LIMIT_FLAG_NAME + 1]; /* flag name, replica of a presence, NS of an edge; else "" */
};
/* name NULL: "". A name longer than an id takes gives an id that no object has. */
struct cfg_object_id cfg_object_id_of(enum cfg_kind kind, const char *ns, const char *name);
bool cfg_object_id_eq(const struct cfg_object_id *a, const struct cfg_object_id *b);
int cfg_object_id_cmp(const struct cfg_object_id *a, const struct cfg_object_id *b); /* by kind, namespace, name */
/* "live/config/chat" ↔ id (keys without the prefix); CFG_KIND_OTHER for a live key of another kind. */
void cfg_object_key(struct cfg_buf *out, const struct cfg_object_id *id);
void cfg_object_history_key(struct cfg_buf *out, const struct cfg_object_id *id, uint64_t version); /* …/%010d */
CFG_MUST_CHECK int cfg_object_id_from_key(struct cfg_object_id *out, struct cfg_slice key, struct cfg_error *err);
/* "history/config/chat/0000000041" → id and version. CFG_E_ADDRESS for every other key. */
CFG_MUST_CHECK int cfg_object_id_from_history_key(struct cfg_object_id *out, uint64_t *version, struct cfg_slice key,
                                                  struct cfg_error *err);
/* "config/chat", "flag/experiment/ab.flag", "evaluators/experiment", "schema/chat", "deployment/chat-blue",
 * "rollout/chat-blue", "experiment/warm" ↔ id; public kinds only. CFG_E_ADDRESS. */
CFG_MUST_CHECK int cfg_object_id_parse(struct cfg_object_id *out, struct cfg_slice text, struct cfg_error *err);
void cfg_object_id_print(struct cfg_buf *out, const struct cfg_object_id *id);
/* The same into memory of the caller's, which the slice borrows; NUL-terminated. */
enum { CFG_OBJECT_ID_TEXT = CFG_LIMIT_NAME + CFG_LIMIT_FLAG_NAME + 16 };
struct cfg_slice cfg_object_id_text(const struct cfg_object_id *id, char out[CFG_OBJECT_ID_TEXT]);

/* One version as it lies under a key. Immutable and counted (one thread). The JSON text is what etcd holds; the small
 * fields and the facts are read out of it once, the tree is parsed on demand so that an idle replica stays small. */
struct cfg_object {
    uint32_t refs;
    struct cfg_object_id id;
    uint64_t version, parent, mod_revision;
    bool deleted; /* a tombstone: the head stays, with its version */
    char digest[CFG_DIGEST_TEXT];
    struct cfg_bytes *json;
    struct cfg_flag_facts *facts; /* of flags and evaluators; NULL: nothing to say, a tombstone, another kind */
};
/* CFG_E_JSON / CFG_E_VALUE for an envelope that is none of ours (a foreign hand wrote under the prefix).
 * Returned-owned. */
CFG_MUST_CHECK int cfg_object_new(struct cfg_object **out, const struct cfg_object_id *id, struct cfg_slice json,
                                  uint64_t mod_revision, struct cfg_error *err);
struct cfg_object *cfg_object_ref(struct cfg_object *o);
struct cfg_object *cfg_object_unref(struct cfg_object *o); /* returns NULL */
/* The envelope as a tree, returned-owned (cJSON_Delete). NULL only without memory: the text was checked when the object
 * was made. */
cJSON *cfg_object_tree(const struct cfg_object *o);
/* The envelope without the members that every envelope has: {"document","extends"}, a flag's
 * {"enabled","definition",…}, a deployment's record. What the digest covers. Returned-owned; NULL without memory. */
cJSON *cfg_object_body(const struct cfg_object *o);
/* When it was written, by its record: seconds since 1970; 0: it does not say, or there is no memory. */
int64_t cfg_object_time(const struct cfg_object *o);
/* Nesting that an envelope may have: a document at its limit, inside. */
enum { CFG_ENVELOPE_DEPTH = CFG_LIMIT_DEPTH + 8 };

/* What is common to every envelope when one is written. Strings borrowed. */
struct cfg_envelope {
    uint64_t version, parent;
    const char *author, *message, *time, *request_id;
    bool deleted;
};
/* body's members (consumed, also on failure) + the envelope's + digest, as compact JSON text; the digest, which covers
 * the body alone, also goes to `digest`. CFG_E_LIMIT by kind: document, definition, evaluators or record too large. */
CFG_MUST_CHECK int cfg_envelope_print(struct cfg_buf *out, char digest[CFG_DIGEST_TEXT], enum cfg_kind kind,
                                      cJSON *body, const struct cfg_envelope *e, struct cfg_error *err);

#endif
