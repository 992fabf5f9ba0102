/* Building guarded transactions. */
#include "configd/service_internal.h"

#include <stdlib.h>
#include <string.h>

struct cfg_txn *cfg_txn_new(void)
{
    return calloc(1, sizeof(struct cfg_txn));
}

void cfg_txn_free(struct cfg_txn *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n_keys; i++)
        free(t->keys[i]);
    free(t->keys);
    free(t);
}

/* Takes the buffer's bytes over. */
static struct cfg_slice keep(struct cfg_txn *t, struct cfg_buf *key)
{
    size_t len = key->len;
    char *bytes = cfg_buf_steal(key);
    cfg_buf_finish(key);
    if (t->n_keys == t->cap_keys) {
        size_t cap = t->cap_keys ? t->cap_keys * 2 : 16;
        char **keys = realloc(t->keys, cap * sizeof *keys);
        if (keys) {
            t->keys = keys;
            t->cap_keys = cap;
        }
    }
    if (bytes == NULL || t->n_keys == t->cap_keys) {
        free(bytes);
        t->failed = CFG_E_NOMEM;
        return CFG_SLICE_LIT("");
    }
    t->keys[t->n_keys++] = bytes;
    return (struct cfg_slice){bytes, len};
}

enum { KEY_BYTES = 4096 };

struct cfg_slice cfg_txn_key(struct cfg_txn *t, const struct cfg_service *s, const char *rest)
{
    struct cfg_buf key;
    cfg_service_key(&key, s, rest);
    return keep(t, &key);
}

struct cfg_slice cfg_txn_live_key(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_object_id *id)
{
    struct cfg_buf key;
    cfg_service_key(&key, s, "");
    cfg_object_key(&key, id);
    return keep(t, &key);
}

struct cfg_slice cfg_txn_history_key(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_object_id *id,
                                     uint64_t version)
{
    struct cfg_buf key;
    cfg_service_key(&key, s, "");
    cfg_object_history_key(&key, id, version);
    return keep(t, &key);
}

struct cfg_slice cfg_txn_prefix_end(struct cfg_txn *t, struct cfg_slice prefix)
{
    struct cfg_buf key;
    cfg_buf_init(&key, KEY_BYTES);
    cfg_etcd_prefix_end(&key, prefix);
    return keep(t, &key);
}

void cfg_txn_compare(struct cfg_txn *t, const struct cfg_etcd_compare *c)
{
    if (t->n_compare == CFG_TXN_OPS)
        t->failed = CFG_E_LIMIT;
    else
        t->compare[t->n_compare++] = *c;
}

static void add_op(struct cfg_txn *t, struct cfg_etcd_op *ops, size_t *n, const struct cfg_etcd_op *op)
{
    if (*n == CFG_TXN_OPS)
        t->failed = CFG_E_LIMIT;
    else
        ops[(*n)++] = *op;
}

void cfg_txn_put(struct cfg_txn *t, struct cfg_slice key, struct cfg_slice value, int64_t lease)
{
    struct cfg_etcd_op op = {.kind = CFG_ETCD_PUT, .key = key, .value = value, .lease = lease};
    add_op(t, t->success, &t->n_success, &op);
}

void cfg_txn_delete(struct cfg_txn *t, struct cfg_slice key, struct cfg_slice range_end)
{
    struct cfg_etcd_op op = {.kind = CFG_ETCD_DELETE, .key = key, .range_end = range_end};
    add_op(t, t->success, &t->n_success, &op);
}

void cfg_txn_read(struct cfg_txn *t, bool on_success, struct cfg_slice key)
{
    struct cfg_etcd_op op = {.kind = CFG_ETCD_RANGE, .key = key};
    if (on_success)
        add_op(t, t->success, &t->n_success, &op);
    else
        add_op(t, t->failure, &t->n_failure, &op);
}

void cfg_txn_guard_store(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_store_identity *id)
{
    struct cfg_etcd_compare c = {.key = cfg_txn_key(t, s, "meta/store"),
                                 .target = CFG_ETCD_MOD,
                                 .result = CFG_ETCD_EQUAL,
                                 .number = (int64_t)id->mod_revision};
    cfg_txn_compare(t, &c);
}

static void guard_space(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_guard *g)
{
    struct cfg_buf key;
    cfg_service_key(&key, s, "live/");
    cfg_buf_puts(&key, cfg_kind_name(g->id.kind));
    cfg_buf_putc(&key, '/');
    if (g->id.ns[0]) {
        cfg_buf_puts(&key, g->id.ns);
        cfg_buf_putc(&key, '/');
    }
    struct cfg_slice first = keep(t, &key);
    struct cfg_etcd_compare c = {.key = first,
                                 .range_end = cfg_txn_prefix_end(t, first),
                                 .target = CFG_ETCD_MOD,
                                 .result = CFG_ETCD_LESS,
                                 .number = (int64_t)g->mod_revision + 1};
    cfg_txn_compare(t, &c);
}

void cfg_txn_guard(struct cfg_txn *t, const struct cfg_service *s, const struct cfg_guard *g)
{
    struct cfg_etcd_compare c = {.target = CFG_ETCD_MOD, .result = CFG_ETCD_EQUAL};
    switch (g->kind) {
    case CFG_GUARD_SPACE:
        guard_space(t, s, g);
        return;
    case CFG_GUARD_HISTORY:
        c.key = cfg_txn_history_key(t, s, &g->id, g->version);
        c.target = CFG_ETCD_CREATE;
        c.result = CFG_ETCD_GREATER;
        break;
    case CFG_GUARD_HEAD:
        c.key = cfg_txn_live_key(t, s, &g->id);
        c.number = (int64_t)g->mod_revision;
        break;
    }
    cfg_txn_compare(t, &c);
}

void cfg_txn_send(struct cfg_txn *t, struct cfg_service *s, unsigned timeout_ms, cfg_etcd_txn_fn fn, void *arg)
{
    struct cfg_etcd_txn_req r = {.compare = t->compare,
                                 .n_compare = t->n_compare,
                                 .success = t->success,
                                 .n_success = t->n_success,
                                 .failure = t->failure,
                                 .n_failure = t->n_failure};
    cfg_etcd_txn(s->etcd, &r, timeout_ms, fn, arg);
}
