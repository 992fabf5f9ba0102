/* The service: what a client may ask for, free of HTTP. Writes are decided (change.h), committed in one guarded
 * transaction and answered once the local replica shows them; history is read from etcd. One thread; every callback
 * comes in a later turn, exactly once.
 *
 * Commit: decide on the replica → transaction. A failed compare: the history records are read back in the same round
 * trip; ours there (by request_id) means that an earlier attempt succeeded; only dependencies moved → decide again
 * (bounded); the object moved → 412, or decide again where the change named no version. A lost reply: the identical
 * guarded transaction is sent again until an answer is definite, within the deadline; then CFG_E_UNKNOWN_OUTCOME.
 * Idempotency keys are records of their own under idem/ with a lease, put in the same transaction. */
#ifndef CFG_CONFIGD_SERVICE_H
#define CFG_CONFIGD_SERVICE_H

#include "configd/change.h"
#include "configd/store.h"
#include "configd/view.h"

struct cfg_service;

struct cfg_service_options {
    struct cfg_loop *loop; /* all borrowed, outlive the service */
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    const struct cfg_clock *clock;
    const char *prefix;                      /* "/configd/v1/"; copied */
    unsigned history_versions, history_days; /* retention: whichever keeps more */
    unsigned visible_timeout_ms;             /* how long a reply waits for the replica; 0: 2000 */
    unsigned commit_timeout_ms;              /* 0: 10000 */
};
CFG_MUST_CHECK int cfg_service_new(struct cfg_service **out, const struct cfg_service_options *o,
                                   struct cfg_error *err);
void cfg_service_free(struct cfg_service *s);

/* result: the reply body {"revision","visible","dry_run","results"} without reach, borrowed. With err: {"violations"}
 * of a refusal for them, or NULL. */
typedef void (*cfg_change_fn)(void *arg, const cJSON *result, bool visible, const struct cfg_error *err);
/* Consumes *c. idempotency_key may be NULL. */
void cfg_service_change(struct cfg_service *s, struct cfg_change *c, const char *idempotency_key, cfg_change_fn fn,
                        void *arg);

/* Who is connected, for checks of contracts; borrowed, outlives the service. */
void cfg_service_set_crew(struct cfg_service *s, const struct cfg_crew *crew);

/* History. object borrowed (ref to keep). */
typedef void (*cfg_object_fn)(void *arg, struct cfg_object *object, const struct cfg_error *err);
void cfg_service_version(struct cfg_service *s, const struct cfg_object_id *id, uint64_t version, cfg_object_fn fn,
                         void *arg);
/* Newest first, below `before` (0: from the head), at most limit. objects borrowed. */
typedef void (*cfg_objects_fn)(void *arg, struct cfg_object *const *objects, size_t n, bool more,
                               const struct cfg_error *err);
void cfg_service_versions(struct cfg_service *s, const struct cfg_object_id *id, uint64_t before, unsigned limit,
                          cfg_objects_fn fn, void *arg);
/* Every kind, by revision, newest first: GET /v1/log. */
void cfg_service_log(struct cfg_service *s, const char *ns, uint64_t before_revision, unsigned limit, cfg_objects_fn fn,
                     void *arg);
/* The same of one kind alone, whatever its names. */
void cfg_service_log_of_kind(struct cfg_service *s, enum cfg_kind kind, uint64_t before_revision, unsigned limit,
                             cfg_objects_fn fn, void *arg);
/* A version that is in memory (head or cached history, for arms that hold a release); NULL starts a fetch and `fetched`
 * is called when it came. */
struct cfg_object *cfg_service_cached_version(struct cfg_service *s, const struct cfg_object_id *id, uint64_t version);
void cfg_service_on_fetched(struct cfg_service *s, void (*fn)(void *arg, struct cfg_object *object), void *arg);

/* Backup: the file's bytes (backup_file.h), whole lines, in order; then done. What was handed on is no backup unless
 * done says so (its last line is missing then). CFG_E_COMPACTED when etcd compacted its revision meanwhile,
 * CFG_E_UNAVAILABLE during a restore. */
typedef void (*cfg_backup_line_fn)(void *arg, struct cfg_slice lines);
void cfg_service_backup(struct cfg_service *s, cfg_backup_line_fn line,
                        void (*done)(void *arg, const struct cfg_error *err), void *arg);
/* Restore: consumes the reference to the file's bytes, checks them whole, then replaces everything (service_restore.c).
 * Rollouts that were under way come back paused, by `author` (copied). rev.epoch is above every epoch before.
 * CFG_E_JSON, CFG_E_VALUE (nothing was changed); anything else may leave the store in the middle, which restoring again
 * mends: the text says so. */
void cfg_service_restore(struct cfg_service *s, struct cfg_bytes *file, const char *author,
                         void (*done)(void *arg, uint64_t keys, struct cfg_rev rev, const struct cfg_error *err),
                         void *arg);

#endif
