/* What the replica decides, as functions over values: the state machine's table, meta/store's bytes, whether a store is
 * the one we know and still where we left it. Pure. */
#ifndef CFG_CONFIGD_REPLICA_DECIDE_H
#define CFG_CONFIGD_REPLICA_DECIDE_H

#include "configd/replica.h"
#include "proto/digest.h"

/* The table of the picture in replica.h; staying is no move. */
bool cfg_replica_may_move(enum cfg_replica_state from, enum cfg_replica_state to);

/* --- meta/store: {"store_id": …, "epoch": …, "format": 1} --- */
enum { CFG_STORE_FORMAT = 1 };

/* A first meta/store. Appends to out. */
void cfg_replica_meta_print(struct cfg_buf *out, const struct cfg_store_identity *id);
/* CFG_E_FOREIGN_STORE with the reason when it is unreadable or of a newer format. mod_revision is not in it. */
CFG_MUST_CHECK int cfg_replica_meta_read(struct cfg_store_identity *out, struct cfg_slice value, struct cfg_error *err);
/* The same record with another epoch; whatever else lies in it stays. Appends to out. */
CFG_MUST_CHECK int cfg_replica_meta_raise(struct cfg_buf *out, struct cfg_slice value, uint64_t epoch,
                                          struct cfg_error *err);

/* --- continuity --- */

/* The newest write the replica has taken in; what it looks like in etcd proves that this is still the same history. */
struct cfg_replica_newest {
    bool known, is_delete;
    int64_t mod_revision;
    char digest[CFG_DIGEST_TEXT];
};

enum cfg_replica_evidence {
    CFG_EVIDENCE_NONE,      /* nothing to ask for */
    CFG_EVIDENCE_SAME,      /* it lies there as we know it */
    CFG_EVIDENCE_DIFFERENT, /* something else lies there */
    CFG_EVIDENCE_COMPACTED, /* nobody can tell any more */
};
/* From a read of that key at the replica's revision; kv NULL: absent. */
enum cfg_replica_evidence cfg_replica_compare(const struct cfg_replica_newest *known, const struct cfg_etcd_kv *kv);

struct cfg_replica_known {
    struct cfg_store_identity identity; /* store_id "" before the first contact */
    bool complete;                      /* a whole snapshot was taken */
    int64_t revision;
};
struct cfg_replica_seen {
    int64_t revision; /* of a linearizable read */
    bool meta_present, live_empty;
    struct cfg_store_identity meta;
    enum cfg_replica_evidence newest;
};
enum cfg_replica_step {
    CFG_STEP_INITIALISE, /* a fresh store: write meta/store */
    CFG_STEP_LIST,       /* take its identity, list it */
    CFG_STEP_RESUME,     /* watch on behind the known revision */
    CFG_STEP_RAISE,      /* it went back: raise the epoch, then list */
    CFG_STEP_FOREIGN,    /* not our store: keep what we hold */
};
enum cfg_replica_step cfg_replica_decide(const struct cfg_replica_known *known, const struct cfg_replica_seen *seen);

/* Does reading the newest write help to decide? Only when everything else says "resume". */
bool cfg_replica_wants_evidence(const struct cfg_replica_known *known, const struct cfg_replica_seen *seen);

/* --- tokens --- */
enum cfg_token_verdict {
    CFG_TOKEN_FINE,  /* nothing to do, or not believable */
    CFG_TOKEN_CHECK, /* the store is not as we know it: check continuity */
    CFG_TOKEN_RAISE, /* the token was given out by a later state of this store than the one that lies there */
};
enum cfg_token_verdict cfg_replica_judge_token(const struct cfg_store_identity *known, struct cfg_rev token,
                                               const struct cfg_replica_seen *seen);
/* Above every epoch seen. */
uint64_t cfg_replica_next_epoch(uint64_t known, uint64_t stored, uint64_t token);
/* A token this far above the store's epoch was never given out by it. */
enum { CFG_REPLICA_EPOCH_SLACK = 1024 };

/* --- is the watch still hearing? --- */

/* A read of all keys of the range that are newer than the replica, at `revision`: nothing newer, and as many keys as
 * the replica counts, means that its content equals etcd's at that revision. */
bool cfg_replica_is_level(size_t newer, int64_t count_there, int64_t count_here);

#endif
