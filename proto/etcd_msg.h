/* Messages of etcd's v3 JSON gateway: requests out, replies in. Pure; no I/O.
 *
 * On this wire keys and values are base64, every int64 is a JSON string, and zero or false fields are left out. Replies
 * are read with the strict reader; unknown fields are ignored (3.4, 3.5 and 3.6 differ). Slices in a parsed reply point
 * into memory the reply owns, which its finish function frees (it takes a zeroed struct and NULL too). Printers append;
 * check cfg_buf_status. Parsers leave *out untouched on failure: CFG_E_PROTOCOL for what makes no sense, CFG_E_NOMEM.
 */
#ifndef CFG_PROTO_ETCD_MSG_H
#define CFG_PROTO_ETCD_MSG_H

#include "proto/json.h"

struct cfg_etcd_kv {
    struct cfg_slice key, value;
    int64_t create_revision, mod_revision, version, lease;
};

struct cfg_etcd_header {
    uint64_t cluster_id, member_id;
    int64_t revision;
};

/* --- range --- */
struct cfg_etcd_range_req {
    struct cfg_slice key, range_end;                                 /* range_end empty: the one key */
    int64_t limit;                                                   /* 0: none */
    int64_t revision;                                                /* 0: newest */
    int64_t min_mod_revision, max_mod_revision, min_create_revision; /* 0: no bound */
    bool serializable, keys_only, count_only;
    bool descending; /* by key; by default ascending */
    bool by_mod;     /* order by mod_revision instead of key */
};
struct cfg_etcd_range_reply {
    struct cfg_etcd_header header;
    struct cfg_etcd_kv *kvs; /* owned by the reply */
    size_t n;
    bool more;
    int64_t count;
};
void cfg_etcd_range_print(struct cfg_buf *out, const struct cfg_etcd_range_req *r);
CFG_MUST_CHECK int cfg_etcd_range_parse(struct cfg_etcd_range_reply *out, struct cfg_slice body, struct cfg_error *err);
void cfg_etcd_range_finish(struct cfg_etcd_range_reply *r);

/* --- txn --- */
enum cfg_etcd_target { CFG_ETCD_MOD, CFG_ETCD_CREATE, CFG_ETCD_VERSION, CFG_ETCD_LEASE, CFG_ETCD_VALUE };
enum cfg_etcd_result { CFG_ETCD_EQUAL, CFG_ETCD_GREATER, CFG_ETCD_LESS, CFG_ETCD_NOT_EQUAL };
struct cfg_etcd_compare {
    struct cfg_slice key, range_end; /* range_end set: every key of the range must compare so */
    enum cfg_etcd_target target;
    enum cfg_etcd_result result;
    int64_t number;         /* for all targets but VALUE */
    struct cfg_slice value; /* for VALUE */
};
enum cfg_etcd_op_kind { CFG_ETCD_PUT, CFG_ETCD_DELETE, CFG_ETCD_RANGE };
struct cfg_etcd_op {
    enum cfg_etcd_op_kind kind;
    struct cfg_slice key, range_end, value;
    int64_t lease; /* PUT */
    int64_t limit; /* RANGE */
};
struct cfg_etcd_txn_req {
    const struct cfg_etcd_compare *compare;
    size_t n_compare;
    const struct cfg_etcd_op *success, *failure;
    size_t n_success, n_failure;
};
struct cfg_etcd_txn_reply {
    struct cfg_etcd_header header;
    bool succeeded;
    /* One entry per operation of the branch that ran; a put or delete has an empty range. Owned by the reply. */
    struct cfg_etcd_range_reply *ranges;
    size_t n;
};
void cfg_etcd_txn_print(struct cfg_buf *out, const struct cfg_etcd_txn_req *r);
CFG_MUST_CHECK int cfg_etcd_txn_parse(struct cfg_etcd_txn_reply *out, struct cfg_slice body, struct cfg_error *err);
void cfg_etcd_txn_finish(struct cfg_etcd_txn_reply *r);

/* --- watch: newline-delimited replies --- */
struct cfg_etcd_watch_req {
    struct cfg_slice key, range_end;
    int64_t start_revision;
    bool prev_kv, fragment, progress_notify;
};
struct cfg_etcd_event {
    bool is_delete;
    struct cfg_etcd_kv kv; /* value empty for a delete; mod_revision is the event's revision */
};
struct cfg_etcd_watch_reply {
    struct cfg_etcd_header header;    /* revision is 0 in the reply that cancels for compaction */
    bool created, canceled, fragment; /* fragment: more of this batch follows, perhaps of the same revision */
    int64_t compact_revision;         /* > 0 with canceled: the start was compacted away */
    char cancel_reason[160];
    struct cfg_etcd_event *events; /* owned by the reply */
    size_t n;
};
void cfg_etcd_watch_print(struct cfg_buf *out, const struct cfg_etcd_watch_req *r);
/* One line. A line holding "error" instead of "result" fills *err as cfg_etcd_error_read does. */
CFG_MUST_CHECK int cfg_etcd_watch_parse(struct cfg_etcd_watch_reply *out, struct cfg_slice line, struct cfg_error *err);
void cfg_etcd_watch_finish(struct cfg_etcd_watch_reply *r);

/* --- the small ones: lease, maintenance, auth --- */
void cfg_etcd_lease_grant_print(struct cfg_buf *out, int64_t ttl_s);
void cfg_etcd_lease_id_print(struct cfg_buf *out, int64_t id); /* keepalive and revoke */
/* Replies to grant and to keepalive ({"result":…}). A lease that is gone answers a keepalive with a TTL of 0. */
CFG_MUST_CHECK int cfg_etcd_lease_parse(int64_t *id, int64_t *ttl_s, struct cfg_slice body, struct cfg_error *err);
void cfg_etcd_compact_print(struct cfg_buf *out, int64_t revision);
void cfg_etcd_auth_print(struct cfg_buf *out, const char *user, const char *password);
/* *token is returned-owned. */
CFG_MUST_CHECK int cfg_etcd_auth_parse(char **token, struct cfg_slice body, struct cfg_error *err);
struct cfg_etcd_status {
    struct cfg_etcd_header header;
    char version[32];
    int64_t db_size, db_size_in_use;
    uint64_t leader;
};
CFG_MUST_CHECK int cfg_etcd_status_parse(struct cfg_etcd_status *out, struct cfg_slice body, struct cfg_error *err);

/* Turns an error reply into *err by what its message says, and where that says nothing, by the HTTP status:
 * CFG_E_COMPACTED, CFG_E_STORE_FULL (NOSPACE), CFG_E_UNAUTHORIZED (token invalid, expired or missing; wrong password),
 * CFG_E_FORBIDDEN, CFG_E_LIMIT (request too large, too many operations), CFG_E_NOT_FOUND (lease), CFG_E_UNAVAILABLE (no
 * leader, timed out, 429, 5xx), else CFG_E_PROTOCOL. http_status 0: unknown, as inside a stream. A body that is no JSON
 * counts as the message, so a watch's cancel_reason can be read too. Returns the code, never 0.
 */
int cfg_etcd_error_read(struct cfg_error *err, long http_status, struct cfg_slice body);

/* The key behind the last key of a prefix ("a/" → "a0"), for range_end. Appends to out; one zero byte (etcd: "to the
 * end") for an empty prefix. */
void cfg_etcd_prefix_end(struct cfg_buf *out, struct cfg_slice prefix);
void cfg_base64_encode(struct cfg_buf *out, struct cfg_slice in);
/* Strict: padding required, no white space, unused bits zero. Appends; a failure leaves *out as it was. CFG_E_JSON, or
 * what cfg_buf_status says. */
CFG_MUST_CHECK int cfg_base64_decode(struct cfg_buf *out, struct cfg_slice in);
/* The same into memory of the caller's, which must hold in.len / 4 * 3 bytes. False when malformed: *len is then 0 or
 * counts bytes of no meaning. */
CFG_MUST_CHECK bool cfg_base64_decode_to(char *out, size_t *len, struct cfg_slice in);

#endif
