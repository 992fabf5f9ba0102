#include "proto/etcd_msg.h"

#include <inttypes.h>

/* Members of the object being written. `first` decides the comma; all fields of these messages are base64, int64 or
 * flags. */
struct obj {
    struct cfg_buf *out;
    bool first;
};

static struct obj obj_open(struct cfg_buf *out)
{
    cfg_buf_putc(out, '{');
    return (struct obj){out, true};
}

static void obj_close(struct obj *o)
{
    cfg_buf_putc(o->out, '}');
}

static void put_name(struct obj *o, const char *name)
{
    if (!o->first)
        cfg_buf_putc(o->out, ',');
    o->first = false;
    cfg_buf_putc(o->out, '"');
    cfg_buf_puts(o->out, name);
    cfg_buf_puts(o->out, "\":");
}

static void put_bytes(struct obj *o, const char *name, struct cfg_slice bytes)
{
    put_name(o, name);
    cfg_buf_putc(o->out, '"');
    cfg_base64_encode(o->out, bytes);
    cfg_buf_putc(o->out, '"');
}

static void put_bytes_if(struct obj *o, const char *name, struct cfg_slice bytes)
{
    if (bytes.len > 0)
        put_bytes(o, name, bytes);
}

static void put_int(struct obj *o, const char *name, int64_t n)
{
    put_name(o, name);
    cfg_buf_printf(o->out, "\"%" PRId64 "\"", n);
}

static void put_int_if(struct obj *o, const char *name, int64_t n)
{
    if (n != 0)
        put_int(o, name, n);
}

static void put_true_if(struct obj *o, const char *name, bool b)
{
    if (b) {
        put_name(o, name);
        cfg_buf_puts(o->out, "true");
    }
}

static void put_word(struct obj *o, const char *name, const char *word)
{
    put_name(o, name);
    cfg_buf_printf(o->out, "\"%s\"", word);
}

void cfg_etcd_range_print(struct cfg_buf *out, const struct cfg_etcd_range_req *r)
{
    struct obj o = obj_open(out);
    put_bytes(&o, "key", r->key);
    put_bytes_if(&o, "range_end", r->range_end);
    put_int_if(&o, "limit", r->limit);
    put_int_if(&o, "revision", r->revision);
    put_int_if(&o, "min_mod_revision", r->min_mod_revision);
    put_int_if(&o, "max_mod_revision", r->max_mod_revision);
    put_int_if(&o, "min_create_revision", r->min_create_revision);
    if (r->descending || r->by_mod) { /* ascending by key is what etcd does unasked, and without a sort */
        put_word(&o, "sort_order", r->descending ? "DESCEND" : "ASCEND");
        put_word(&o, "sort_target", r->by_mod ? "MOD" : "KEY");
    }
    put_true_if(&o, "serializable", r->serializable);
    put_true_if(&o, "keys_only", r->keys_only);
    put_true_if(&o, "count_only", r->count_only);
    obj_close(&o);
}

static void print_compare(struct cfg_buf *out, const struct cfg_etcd_compare *c)
{
    static const char *const targets[] = {"MOD", "CREATE", "VERSION", "LEASE", "VALUE"};
    static const char *const members[] = {"mod_revision", "create_revision", "version", "lease"};
    static const char *const results[] = {"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
    struct obj o = obj_open(out);
    put_bytes(&o, "key", c->key);
    put_bytes_if(&o, "range_end", c->range_end);
    put_word(&o, "target", targets[c->target]);
    put_word(&o, "result", results[c->result]);
    if (c->target == CFG_ETCD_VALUE)
        put_bytes(&o, "value", c->value);
    else
        put_int(&o, members[c->target], c->number);
    obj_close(&o);
}

static void print_op(struct cfg_buf *out, const struct cfg_etcd_op *op)
{
    static const char *const names[] = {"request_put", "request_delete_range", "request_range"};
    struct obj outer = obj_open(out);
    put_name(&outer, names[op->kind]);
    struct obj o = obj_open(out);
    put_bytes(&o, "key", op->key);
    if (op->kind == CFG_ETCD_PUT) {
        put_bytes(&o, "value", op->value);
        put_int_if(&o, "lease", op->lease);
    } else {
        put_bytes_if(&o, "range_end", op->range_end);
        if (op->kind == CFG_ETCD_RANGE)
            put_int_if(&o, "limit", op->limit);
    }
    obj_close(&o);
    obj_close(&outer);
}

static void print_ops(struct obj *o, const char *name, const struct cfg_etcd_op *ops, size_t n)
{
    put_name(o, name);
    for (size_t i = 0; i < n; i++) {
        cfg_buf_putc(o->out, i == 0 ? '[' : ',');
        print_op(o->out, &ops[i]);
    }
    cfg_buf_puts(o->out, n == 0 ? "[]" : "]");
}

void cfg_etcd_txn_print(struct cfg_buf *out, const struct cfg_etcd_txn_req *r)
{
    struct obj o = obj_open(out);
    put_name(&o, "compare");
    for (size_t i = 0; i < r->n_compare; i++) {
        cfg_buf_putc(out, i == 0 ? '[' : ',');
        print_compare(out, &r->compare[i]);
    }
    cfg_buf_puts(out, r->n_compare == 0 ? "[]" : "]");
    print_ops(&o, "success", r->success, r->n_success);
    print_ops(&o, "failure", r->failure, r->n_failure);
    obj_close(&o);
}

void cfg_etcd_watch_print(struct cfg_buf *out, const struct cfg_etcd_watch_req *r)
{
    struct obj outer = obj_open(out);
    put_name(&outer, "create_request");
    struct obj o = obj_open(out);
    put_bytes(&o, "key", r->key);
    put_bytes_if(&o, "range_end", r->range_end);
    put_int_if(&o, "start_revision", r->start_revision);
    put_true_if(&o, "prev_kv", r->prev_kv);
    put_true_if(&o, "fragment", r->fragment);
    put_true_if(&o, "progress_notify", r->progress_notify);
    obj_close(&o);
    obj_close(&outer);
}

void cfg_etcd_lease_grant_print(struct cfg_buf *out, int64_t ttl_s)
{
    struct obj o = obj_open(out);
    put_int(&o, "TTL", ttl_s);
    obj_close(&o);
}

void cfg_etcd_lease_id_print(struct cfg_buf *out, int64_t id)
{
    struct obj o = obj_open(out);
    put_int(&o, "ID", id);
    obj_close(&o);
}

void cfg_etcd_compact_print(struct cfg_buf *out, int64_t revision)
{
    struct obj o = obj_open(out);
    put_int(&o, "revision", revision);
    obj_close(&o);
}

void cfg_etcd_auth_print(struct cfg_buf *out, const char *user, const char *password)
{
    struct obj o = obj_open(out);
    put_name(&o, "name");
    cfg_json_put_string(out, cfg_slice_str(user));
    put_name(&o, "password");
    cfg_json_put_string(out, cfg_slice_str(password));
    obj_close(&o);
}

void cfg_etcd_prefix_end(struct cfg_buf *out, struct cfg_slice prefix)
{
    size_t n = prefix.len;
    while (n > 0 && (unsigned char)prefix.ptr[n - 1] == 0xFF)
        n--;
    if (n == 0) { /* nothing sorts behind all of it: etcd's spelling of "to the end" is one zero byte */
        cfg_buf_putc(out, '\0');
        return;
    }
    cfg_buf_put(out, prefix.ptr, n - 1);
    cfg_buf_putc(out, (char)(prefix.ptr[n - 1] + 1));
}
