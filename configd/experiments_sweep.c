/* The totals of runs that have ended are deleted, by whoever notices first: who handled the stop, another configd that
 * saw it, or one that starts when all of them are gone. */
#include "configd/experiments_internal.h"

#include "proto/path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From one run's keys to the next's. */
struct sweep {
    struct experiments_link *link;
    char *at; /* owned: where the next key is looked for */
};

static void next(struct sweep *s);

static void finish(struct sweep *s)
{
    struct cfg_experiments *x = experiments_drop(s->link);
    if (x)
        x->sweeping = false;
    free(s->at);
    free(s);
}

/* Goes on behind a prefix, or behind a key. */
static void go_on(struct sweep *s, struct cfg_slice prefix, bool is_key)
{
    struct cfg_buf at;
    cfg_buf_init(&at, 8192);
    if (is_key) {
        cfg_buf_put(&at, prefix.ptr, prefix.len);
        cfg_buf_putc(&at, ' '); /* keys of ours hold nothing that sorts before it */
    } else {
        cfg_etcd_prefix_end(&at, prefix);
    }
    free(s->at);
    s->at = cfg_buf_status(&at) == 0 ? cfg_buf_steal(&at) : NULL;
    cfg_buf_finish(&at);
    next(s);
}

/* TALLY-PREFIX NAME/RUN/…: false, and nothing filled, for what is none of ours. */
static bool read_key(char name[CFG_LIMIT_NAME + 1], uint64_t *run, size_t *prefix, struct cfg_slice key, size_t root)
{
    char copy[512];
    int end = 0;
    if (key.len <= root || key.len - root >= sizeof copy)
        return false;
    (void)snprintf(copy, sizeof copy, "%.*s", (int)(key.len - root), key.ptr + root);
    if (sscanf(copy, "%63[a-z0-9-]/%" SCNu64 "/%n", name, run, &end) != 2 || end == 0)
        return false;
    *prefix = root + (size_t)end;
    return true;
}

static bool runs(const struct cfg_object *o, uint64_t run)
{
    struct cfg_experiment e;
    cJSON *record = o && !o->deleted ? cfg_object_body(o) : NULL;
    bool read = record && cfg_experiment_read(&e, record, NULL) == 0;
    /* One that cannot be read here may be another configd's: it is left alone. */
    bool is = o && !o->deleted && (!read || (e.running && e.run == run));
    if (read)
        cfg_experiment_finish(&e);
    cJSON_Delete(record);
    return is;
}

struct removal {
    struct sweep *sweep;
    struct cfg_buf prefix;
};

static void removed(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct removal *r = arg;
    (void)reply; /* the record has moved: whoever looks next decides again */
    if (err)
        finish(r->sweep);
    else
        go_on(r->sweep, cfg_buf_slice(&r->prefix), false);
    cfg_buf_finish(&r->prefix);
    free(r);
}

/* While the record is the one that says so: a run that began meanwhile keeps its totals. */
static bool remove_run(struct sweep *s, const char *name, const struct cfg_object *o, struct cfg_slice prefix)
{
    const struct cfg_experiments *x = s->link->x;
    const struct cfg_object_id id = cfg_object_id_of(CFG_KIND_EXPERIMENT, name, NULL);
    struct removal *r = calloc(1, sizeof *r);
    struct cfg_buf head, end;
    if (r == NULL)
        return false;
    r->sweep = s;
    cfg_buf_init(&r->prefix, 4096);
    cfg_buf_init(&head, 4096);
    cfg_buf_init(&end, 4096);
    cfg_buf_put(&r->prefix, prefix.ptr, prefix.len);
    cfg_buf_puts(&head, x->prefix);
    cfg_object_key(&head, &id);
    cfg_etcd_prefix_end(&end, prefix);
    bool ok = !cfg_buf_status(&r->prefix) && !cfg_buf_status(&head) && !cfg_buf_status(&end);
    const struct cfg_etcd_compare same = {.key = cfg_buf_slice(&head),
                                          .target = CFG_ETCD_MOD,
                                          .result = CFG_ETCD_EQUAL,
                                          .number = o ? (int64_t)o->mod_revision : 0};
    const struct cfg_etcd_op op = {
        .kind = CFG_ETCD_DELETE, .key = cfg_buf_slice(&r->prefix), .range_end = cfg_buf_slice(&end)};
    const struct cfg_etcd_txn_req req = {.compare = &same, .n_compare = 1, .success = &op, .n_success = 1};
    if (ok)
        cfg_etcd_txn(x->o.etcd, &req, 0, removed, r);
    cfg_buf_finish(&head);
    cfg_buf_finish(&end);
    if (!ok) {
        cfg_buf_finish(&r->prefix);
        free(r);
    }
    return ok;
}

static void found(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct sweep *s = arg;
    const struct cfg_experiments *x = s->link->x;
    char name[CFG_LIMIT_NAME + 1];
    uint64_t run;
    size_t prefix;
    if (x == NULL || err || reply->n == 0 || !experiments_may_write(x)) {
        finish(s);
        return;
    }
    struct cfg_slice key = reply->kvs[0].key;
    if (!read_key(name, &run, &prefix, key, strlen(x->prefix) + strlen("tally/"))) {
        go_on(s, key, true);
        return;
    }
    const struct cfg_object *o = cfg_store_find(x->o.store, CFG_KIND_EXPERIMENT, name, "");
    struct cfg_slice of_run = {key.ptr, prefix};
    if (runs(o, run))
        go_on(s, of_run, false);
    else if (!remove_run(s, name, o, of_run))
        finish(s);
}

static void next(struct sweep *s)
{
    const struct cfg_experiments *x = s->link->x;
    struct cfg_buf all, end;
    if (x == NULL || s->at == NULL) {
        finish(s);
        return;
    }
    cfg_buf_init(&all, 4096);
    cfg_buf_init(&end, 4096);
    cfg_buf_printf(&all, "%stally/", x->prefix);
    cfg_etcd_prefix_end(&end, cfg_buf_slice(&all));
    const struct cfg_etcd_range_req req = {
        .key = cfg_slice_str(s->at), .range_end = cfg_buf_slice(&end), .limit = 1, .keys_only = true};
    cfg_etcd_range(x->o.etcd, &req, 0, found, s);
    cfg_buf_finish(&all);
    cfg_buf_finish(&end);
}

void experiments_sweep(struct cfg_experiments *x)
{
    struct sweep *s = x->sweeping ? NULL : calloc(1, sizeof *s);
    struct cfg_buf at;
    if (s == NULL)
        return;
    cfg_buf_init(&at, 4096);
    cfg_buf_printf(&at, "%stally/", x->prefix);
    s->at = cfg_buf_status(&at) == 0 ? cfg_buf_steal(&at) : NULL;
    cfg_buf_finish(&at);
    s->link = experiments_hold(x);
    x->sweeping = true;
    next(s);
}
