/* The in-memory replica: heads of every object, fed by replica.h alone, read by everyone else. One thread.
 *
 * Heads lie in one sorted array: an idle replica is the records' bytes and little else. Listeners hear of each
 * committed revision once, after the store shows all of it ("no reader ever sees half of it"). A record that cannot be
 * read (a foreign hand wrote it) leaves the last good one in place.
 *
 * While meta/store says that a restore is under way, batches are left aside: the store shows what it held before until
 * the fresh snapshot at the restore's end replaces it as a whole. */
#ifndef CFG_CONFIGD_STORE_H
#define CFG_CONFIGD_STORE_H

#include "configd/object.h"
#include "configd/replica.h"

struct cfg_store;

CFG_MUST_CHECK int cfg_store_new(struct cfg_store **out, struct cfg_error *err);
void cfg_store_free(struct cfg_store *s);
/* The sink to hand to cfg_replica_new; lives as long as the store. */
const struct cfg_replica_sink *cfg_store_sink(struct cfg_store *s);

/* Head of an object, tombstones included; NULL when never written. Borrowed until the next turn of the loop (ref it to
 * keep it). */
struct cfg_object *cfg_store_get(const struct cfg_store *s, const struct cfg_object_id *id);
struct cfg_object *cfg_store_find(const struct cfg_store *s, enum cfg_kind kind, const char *ns, const char *name);
/* In order of namespace, then name: every object of a kind, within ns where it is not NULL, tombstones included. Stops
 * when fn returns false. fn must not run the loop. */
typedef bool (*cfg_store_fn)(struct cfg_object *o, void *arg);
void cfg_store_each(const struct cfg_store *s, enum cfg_kind kind, const char *ns, cfg_store_fn fn, void *arg);

/* Flags, evaluators and flip of one namespace, tombstones included: all that its flags answer by. */
void cfg_store_each_of_flags(const struct cfg_store *s, const char *ns, cfg_store_fn fn, void *arg);
/* The newest mod_revision among them: no answer of this namespace's flags has changed since. 0: there are none. */
uint64_t cfg_store_flag_revision(const struct cfg_store *s, const char *ns);

struct cfg_rev cfg_store_rev(const struct cfg_store *s);  /* newest revision under the prefix shown here */
struct cfg_rev cfg_store_seen(const struct cfg_store *s); /* ≥ rev: nothing of ours changed up to here */
const struct cfg_store_identity *cfg_store_identity(const struct cfg_store *s); /* store_id "" while unknown */
bool cfg_store_ready(const struct cfg_store *s); /* a complete snapshot has been taken (it may be stale) */
/* A restore is under way (or was broken off): what is shown here is the content from before it, and no write can
 * commit. See docs/adr/0008-restore-behind-a-mark.md. */
bool cfg_store_restoring(const struct cfg_store *s);
/* The same, of meta/store's value. Pure. */
bool cfg_store_is_restoring(struct cfg_slice meta);
/* Records under the prefix that no hand of ours wrote and that were left out; the last one's reason in *why (may be
 * NULL). */
uint64_t cfg_store_rejected(const struct cfg_store *s, const struct cfg_error **why);
enum cfg_replica_state cfg_store_state(const struct cfg_store *s, const struct cfg_error **why);

/* A change as listeners hear it. before is NULL for a new object; after is NULL only when the key itself vanished
 * (retention, presence). */
struct cfg_store_change {
    struct cfg_object *before, *after; /* borrowed */
};
struct cfg_store_listener {
    /* All changes of one revision, or of a whole fresh snapshot (full: forget what was derived). */
    void (*changed)(void *arg, struct cfg_rev rev, const struct cfg_store_change *changes, size_t n, bool full);
    void (*progress)(void *arg, struct cfg_rev seen);
    void (*state)(void *arg, enum cfg_replica_state state);
    void *arg;
    struct cfg_store_listener *next; /* intrusive; owned by the store while listening */
};
void cfg_store_listen(struct cfg_store *s, struct cfg_store_listener *l); /* borrowed until unlisten */
void cfg_store_unlisten(struct cfg_store *s, struct cfg_store_listener *l);

/* Calls fn once the store has seen `rev` (at once, in a later turn, when it has already), or with CFG_E_TIMEOUT after
 * timeout_ms. Waits that are pending when the store is freed are dropped. */
typedef void (*cfg_store_wait_fn)(void *arg, const struct cfg_error *err);
void cfg_store_wait(struct cfg_store *s, struct cfg_loop *loop, struct cfg_rev rev, unsigned timeout_ms,
                    cfg_store_wait_fn fn, void *arg);

/* Drops every wait with this arg: none of them is called any more. */
void cfg_store_wait_cancel(struct cfg_store *s, const void *arg);

#endif
