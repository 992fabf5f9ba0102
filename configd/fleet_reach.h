/* What a worker declares (its contract), and from that whom a change reaches. Pure.
 *
 * A contract is kept once however many workers hold it: the declaration as text, and its paths with their classes in
 * sorted order. */
#ifndef CFG_CONFIGD_FLEET_REACH_H
#define CFG_CONFIGD_FLEET_REACH_H

#include "configd/fleet_seen.h"
#include "proto/digest.h"
#include "proto/limits.h"
#include "proto/schema.h"

struct cfg_contract {
    char digest[CFG_DIGEST_TEXT]; /* of the declaration */
    struct cfg_bytes *json;       /* the declaration, canonical, without defaults */
    cJSON *tree;                  /* the same */
    size_t n;
    struct cfg_contract_param {
        const char *path; /* inside `paths` */
        enum cfg_apply apply;
    } * params; /* sorted by path */
    char *paths;
};
/* Reads {PATH:{"type","class","min"?,"max"?,"default"?}}; NULL or an absent contract is the empty one. *out is
 * returned-owned. CFG_E_INVALID with the path, CFG_E_LIMIT (too many parameters), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_contract_read(struct cfg_contract **out, const cJSON *declaration, struct cfg_error *err);
void cfg_contract_free(struct cfg_contract *c); /* NULL is fine */

/* What a change is, as far as its reach goes. All borrowed. */
struct cfg_reach_change {
    const char *const *paths; /* dotted; "" touches everything */
    size_t n;
    bool flag; /* of a flag: everyone who sees its namespace evaluates it */
};
enum cfg_reach_kind {
    CFG_REACH_NONE,    /* only pinned keys are touched */
    CFG_REACH_UNREAD,  /* nothing that the worker declares */
    CFG_REACH_RESTART, /* only what waits for a restart */
    CFG_REACH_LIVE,
};
/* pin_keys: the deployment's array of pinned paths; NULL: none. */
enum cfg_reach_kind cfg_reach_of(const struct cfg_contract *c, const struct cfg_reach_change *change,
                                 const cJSON *pin_keys);
/* Does one path lie at, below or above the other? ("a" and "a.b", "a[0]"; not "a" and "ab") */
bool cfg_path_related(const char *a, const char *b);

struct cfg_reach {
    uint64_t live, pending_restart, unread, unknown;
};
void cfg_reach_count(struct cfg_reach *r, enum cfg_reach_kind kind, uint64_t workers);
/* Adds what another replica's presence record tells; one that cannot be read counts its workers, or one if not even
 * that is told, as unknown: never as nobody. Workers that
 * have been seen are not counted again. */
void cfg_reach_add_presence(struct cfg_reach *r, const cJSON *presence, const struct cfg_reach_change *change,
                            const cJSON *pin_keys, struct fleet_seen *seen);

#endif
