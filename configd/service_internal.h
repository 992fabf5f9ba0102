/* What service_*.c share: jobs that outlive a round trip to etcd, writes under way, the txn they send. */
#ifndef CFG_CONFIGD_SERVICE_INTERNAL_H
#define CFG_CONFIGD_SERVICE_INTERNAL_H

#include "configd/service.h"

/* Something waiting for etcd. When the service goes first, `cancel` answers the caller, and the job, orphaned (service
 * NULL), is freed by its own callback. Embedded first in the struct around it, which is allocated with calloc. */
struct cfg_job {
    struct cfg_service *service;
    struct cfg_job *prev, *next;
    void (*cancel)(struct cfg_job *job, const struct cfg_error *err);
};

/* Cached versions of configs, oldest first; see service_history.c. */
struct cfg_cache {
    struct cfg_object **items; /* owned references */
    size_t n, cap, bytes;
    struct cfg_fetch *fetches; /* under way, so that none is started twice */
};

/* Leases for idempotency records; see service_idem.c. */
struct cfg_idem {
    int64_t lease; /* 0: none */
    uint64_t granted_ns;
};

struct cfg_service {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    const struct cfg_clock *clock;
    char *prefix;
    unsigned history_versions, history_days, visible_timeout_ms, commit_timeout_ms;
    struct cfg_store_listener listener;
    struct cfg_job *jobs;
    struct cfg_op *first, *last; /* writes, in order of arrival */
    struct cfg_cache cache;
    struct cfg_idem idem;
    struct cfg_schema_cache *schemas; /* owned */
    const struct cfg_crew *crew;
    void (*fetched)(void *arg, struct cfg_object *object);
    void *fetched_arg;
};

void cfg_job_begin(struct cfg_service *s, struct cfg_job *job);
/* First thing in every callback of etcd: false when the service is gone; the job has been freed then. */
bool cfg_job_alive(struct cfg_job *job);
void cfg_job_end(struct cfg_job *job); /* unlinks; the caller frees */

/* PREFIX + what print adds, as an owned buffer (cfg_buf_finish). */
void cfg_service_key(struct cfg_buf *out, const struct cfg_service *s, const char *rest);
/* The object of a history record as a range brought it. CFG_E_ADDRESS, CFG_E_JSON, CFG_E_VALUE, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_service_read_record(struct cfg_object **out, const struct cfg_service *s,
                                           const struct cfg_etcd_kv *kv, struct cfg_error *err);

/* --- a guarded transaction (service_txn.c) --- */

enum { CFG_TXN_OPS = 128 }; /* etcd's limit, for compares and for each branch */
/* Owns the bytes of its keys; values are borrowed. Zeroed: empty. */
struct cfg_txn {
    struct cfg_etcd_compare compare[CFG_TXN_OPS];
    struct cfg_etcd_op success[CFG_TXN_OPS], failure[CFG_TXN_OPS];
    size_t n_compare, n_success, n_failure;
    char **keys;
    size_t n_keys, cap_keys;
    int failed; /* sticky: CFG_E_NOMEM, CFG_E_LIMIT */
};
struct cfg_txn *cfg_txn_new(void); /* returned-owned; NULL without memory */
void cfg_txn_free(struct cfg_txn *t);
/* Keys, built in the transaction's own memory; the empty slice when it failed. */
struct cfg_slice cfg_txn_key(struct cfg_txn *t, const struct cfg_service *s, const char *rest);
struct cfg_slice cfg_txn_live_key(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_object_id *id);
struct cfg_slice cfg_txn_history_key(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_object_id *id,
                                     uint64_t version);
struct cfg_slice cfg_txn_prefix_end(struct cfg_txn *t, struct cfg_slice prefix);
void cfg_txn_compare(struct cfg_txn *t, const struct cfg_etcd_compare *c);
void cfg_txn_put(struct cfg_txn *t, struct cfg_slice key, struct cfg_slice value, int64_t lease);
void cfg_txn_delete(struct cfg_txn *t, struct cfg_slice key, struct cfg_slice range_end);
void cfg_txn_read(struct cfg_txn *t, bool on_success, struct cfg_slice key); /* one key, in that branch */
/* The store is the one the replica shows, and no restore began. */
void cfg_txn_guard_store(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_store_identity *id);
void cfg_txn_guard(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_guard *g);
void cfg_txn_send(struct cfg_txn *t, struct cfg_service *s, unsigned timeout_ms, cfg_etcd_txn_fn fn, void *arg);

/* --- writes (service_op.c, service_commit.c) --- */

enum cfg_op_state {
    CFG_OP_QUEUED,  /* other writes to the same object go first */
    CFG_OP_ASKING,  /* etcd is being asked: its callback comes, whatever happens */
    CFG_OP_PAUSING, /* before the same transaction is sent again */
    CFG_OP_BEHIND,  /* the replica does not show yet what etcd decided by */
    CFG_OP_SHOWING, /* committed; the replica will show it */
};
struct cfg_op {
    struct cfg_job job;
    struct cfg_op *next, *prev;
    struct cfg_change change;
    char *idem_key;                       /* "idem/…", without the prefix; NULL: none */
    char request_digest[CFG_DIGEST_TEXT]; /* what an idempotency key stands for */
    char *idem_record;                    /* the record to put, for the decision in hand */
    cfg_change_fn fn;
    void *arg;
    enum cfg_op_state state;
    uint64_t deadline_ns;
    struct cfg_timer *timer; /* pause before a repetition, or the end of waiting for the replica */
    bool ambiguous, probed, lease_renewed;
    size_t next_source; /* entries before it have their source */
    struct cfg_decision decision;
    struct cfg_error refusal;           /* code 0: not refused */
    struct cfg_store_identity identity; /* what it was decided under */
    uint64_t revision;                  /* of the commit */
};
void cfg_op_start(struct cfg_op *op); /* from QUEUED: fetches sources, decides, sends */
void cfg_op_decide(struct cfg_op *op);
void cfg_op_send(struct cfg_op *op);                              /* the decision's transaction, (again) */
void cfg_op_behind(struct cfg_op *op);                            /* BEHIND: decides again if its ground has moved */
void cfg_op_fail(struct cfg_op *op, const struct cfg_error *err); /* answers, frees, lets others go on */
void cfg_op_reply(struct cfg_op *op, const cJSON *results, struct cfg_rev rev, bool visible);
uint64_t cfg_op_left_ms(const struct cfg_op *op);

/* --- idempotency (service_idem.c) --- */
void cfg_idem_prepare(struct cfg_op *op, const char *key);
/* The error says that the lease is gone: true once, the caller sends again with a new one. */
bool cfg_idem_lease_lost(struct cfg_op *op, const struct cfg_error *err);
/* True when a lease is at hand; else one is being asked for and cfg_op_send is called again (or the op failed). */
bool cfg_idem_lease(struct cfg_op *op);
CFG_MUST_CHECK int cfg_idem_record(struct cfg_op *op, struct cfg_error *err);
/* Answers the op from a record that was found. */
void cfg_idem_answer(struct cfg_op *op, const struct cfg_etcd_kv *kv);

/* --- the rest --- */
void cfg_cache_clear(struct cfg_service *s); /* after a restore: versions are others now */
void cfg_cache_finish(struct cfg_service *s);
/* After a commit: removes versions that nobody needs any more (service_retention.c). */
void cfg_retention_consider(struct cfg_service *s, const struct cfg_decision *d);

#endif
