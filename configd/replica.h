/* Keeps an in-memory replica true to etcd: list, watch, list again when in doubt. THE only way state enters memory.
 *
 * Watches the range [PREFIX live/, PREFIX meta0): heads and meta/store, nothing of the history.
 *
 *    STARTING → LISTING → LIVE ⇄ RECONNECTING → (continuity check) → LIVE | LISTING
 *                                     └→ FOREIGN (another or no store_id; left only by a restart or the old store's
 * return)
 *
 * After a lost connection it asks (1) the header revision, linearizable, (2) meta/store, (3) whether the newest write
 * it knows still lies in etcd with the same mod_revision and bytes. All as expected: the watch resumes behind the last
 * revision. A revision lower than known or a different write at that place means the store went back (a restored
 * backup): the epoch is raised in one guarded transaction, epoch = max(every epoch seen) + 1, and everything is listed
 * afresh. Compaction: listed again, the deletes are synthesised. A store without meta/store is initialised only when
 * the replica has never held one and `live/` is empty; an emptied store under a running replica is FOREIGN, never a
 * reason to forget what it holds ("empty or foreign never replaces good"). A lease of liveness: while LIVE but silent,
 * header revisions of the client's own probes tell a dead watch. One thread: the loop's. */
#ifndef CFG_CONFIGD_REPLICA_H
#define CFG_CONFIGD_REPLICA_H

#include "configd/etcd.h"
#include "proto/revision.h"

enum cfg_replica_state {
    CFG_REPLICA_STARTING,
    CFG_REPLICA_LISTING,
    CFG_REPLICA_LIVE,
    CFG_REPLICA_RECONNECTING,
    CFG_REPLICA_FOREIGN,
};
const char *cfg_replica_state_name(enum cfg_replica_state s);

struct cfg_store_identity {
    char store_id[40]; /* random hex, created once */
    uint64_t epoch;
    uint64_t mod_revision; /* of meta/store, which every write guards: nothing is committed into another store */
};

/* Where the replica's content goes (store.h implements it; tests use their own). Keys are without the prefix:
 * "live/config/chat"; "meta/store" comes in snapshots and batches like any other, because the store must know of a
 * restore under way ({"restoring":{…}} in it, see store.h). A snapshot is begin, put…, end(revision): keys not put are
 * gone; batches are whole revisions in order. `identity` comes before the first snapshot and again whenever the epoch
 * rises (followed by a snapshot). */
struct cfg_replica_sink {
    void (*identity)(void *arg, const struct cfg_store_identity *id);
    void (*snapshot_begin)(void *arg);
    void (*snapshot_put)(void *arg, const struct cfg_etcd_kv *kv);
    void (*snapshot_end)(void *arg, uint64_t revision);
    void (*batch)(void *arg, uint64_t revision, const struct cfg_etcd_event *events, size_t n);
    void (*progress)(void *arg, uint64_t revision); /* nothing of ours changed up to here */
    void (*state)(void *arg, enum cfg_replica_state state,
                  const struct cfg_error *why); /* why is NULL when all is well */
    void *arg;
};

struct cfg_replica;

CFG_MUST_CHECK int cfg_replica_new(struct cfg_replica **out, struct cfg_loop *loop, struct cfg_etcd *etcd,
                                   const char *prefix, const struct cfg_clock *clock,
                                   const struct cfg_replica_sink *sink, struct cfg_error *err);
void cfg_replica_start(struct cfg_replica *r);
/* Before the etcd client. The sink hears nothing more; reads under way end with CFG_E_CANCELED. Not from inside a
 * callback of the replica. NULL is fine. */
void cfg_replica_free(struct cfg_replica *r);
/* Monotonic time in ms since etcd was last heard from (0 while LIVE and answering). */
uint64_t cfg_replica_silence_ms(const struct cfg_replica *r);

/* A linearizable revision, coalesced: all callers that ask while one read is under way share the next one. err NULL:
 * etcd's revision now; the replica may still be behind it. */
typedef void (*cfg_replica_rev_fn)(void *arg, uint64_t revision, const struct cfg_error *err);
void cfg_replica_read_revision(struct cfg_replica *r, cfg_replica_rev_fn fn, void *arg);
/* A client showed a token. If it is above what a linearizable read shows (or of a later epoch), the store went back:
 * the epoch is raised and the sink hears of it. Cheap when the token is not ahead of the replica. */
void cfg_replica_check_token(struct cfg_replica *r, struct cfg_rev token);

#endif
