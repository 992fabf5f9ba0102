/* Restore: a backup file replaces everything, and nobody ever sees half of it.
 *
 *   the whole file is checked → meta/store says {"restoring":…} → the old records go → the file's records come, in
 *   bounded transactions → meta/store: mark away, epoch raised
 *
 * From the mark on, no write can commit (each one guards meta/store), and every replica goes on showing what it held,
 * until the raised epoch makes it list afresh. Every transaction of a restore guards meta/store as its own mark left
 * it, so two restores exclude each other and a lost reply is settled by sending the same again. A restore that breaks
 * off leaves the mark: replicas keep what they show, new ones are not ready, and restoring again finishes the job. */
#include "configd/backup_rollouts.h"
#include "configd/replica_decide.h"
#include "configd/service_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_OPS = 100, CHUNK_BYTES = 1200 * 1024, PAUSE_MS = 200, PATIENCE_MS = 60000, META_BYTES = 65536 };

enum phase { PHASE_MARK, PHASE_CLEAR, PHASE_HISTORY, PHASE_HEADS, PHASE_UNMARK, PHASE_SHOW };

struct restore {
    struct cfg_job job;
    void (*done)(void *arg, uint64_t keys, struct cfg_rev rev, const struct cfg_error *err);
    void *arg;
    struct cfg_bytes *file;
    char *author; /* owned; NULL without memory: nobody is named */
    struct cfg_backup backup;
    enum phase phase;
    size_t at, next;                    /* items behind us, and behind the transaction under way */
    struct cfg_store_identity identity; /* as the mark says it; mod_revision: of the mark */
    struct cfg_buf mark, unmark;        /* the two values of meta/store */
    char id[17];                        /* in the mark */
    uint64_t written, give_up_ns, revision;
    struct cfg_timer *timer; /* pause before a repetition */
    bool asking;             /* a callback of etcd is to come */
};

static void release(struct restore *r)
{
    cfg_timer_free(r->timer);
    cfg_backup_finish(&r->backup);
    (void)cfg_bytes_unref(r->file);
    free(r->author);
    cfg_buf_finish(&r->mark);
    cfg_buf_finish(&r->unmark);
}

static void restore_cancel(struct cfg_job *job, const struct cfg_error *err)
{
    struct restore *r = (struct restore *)(void *)job;
    void (*done)(void *, uint64_t, struct cfg_rev, const struct cfg_error *) = r->done;
    void *arg = r->arg;
    release(r);
    if (!r->asking)
        free(r);
    done(arg, 0, (struct cfg_rev){0, 0}, err);
}

static void end(struct restore *r, const struct cfg_error *err)
{
    struct restore ended = *r;
    struct cfg_error copy = err ? *err : (struct cfg_error)CFG_ERROR_INIT;
    release(r);
    cfg_job_end(&r->job);
    free(r);
    ended.done(ended.arg, ended.written, (struct cfg_rev){ended.identity.epoch, ended.revision}, err ? &copy : NULL);
}

static void fail(struct restore *r, const struct cfg_error *err)
{
    struct cfg_error copy = *err;
    if (r->phase > PHASE_MARK) {
        (void)cfg_error_wrap(&copy, "the restore broke off after %llu records", (unsigned long long)r->written);
        cfg_error_set_hint(&copy, "restore again: until then this store serves what it held, and takes no writes");
    }
    end(r, &copy);
}

/* --- the transactions --- */

static void guard(struct cfg_txn *t, const struct restore *r)
{
    cfg_txn_guard_store(t, r->job.service, &r->identity);
    cfg_txn_read(t, false, cfg_txn_key(t, r->job.service, "meta/store"));
}

static void fill_clear(struct cfg_txn *t, const struct restore *r)
{
    const struct cfg_service *s = r->job.service;
    char rest[64];
    for (const char *const *kind = cfg_backup_kinds; *kind; kind++) {
        (void)snprintf(rest, sizeof rest, "live/%s/", *kind);
        struct cfg_slice key = cfg_txn_key(t, s, rest);
        cfg_txn_delete(t, key, cfg_txn_prefix_end(t, key));
    }
    /* bake time and totals belong to rollouts and experiments whose numbers may come again */
    static const char *const others[] = {"history/", "idem/", "live/progress/", "tally/"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct cfg_slice key = cfg_txn_key(t, s, others[i]);
        cfg_txn_delete(t, key, cfg_txn_prefix_end(t, key));
    }
}

static void put_item(struct cfg_txn *t, const struct restore *r, const struct cfg_backup_item *item, size_t *bytes)
{
    cfg_txn_put(t, cfg_txn_key(t, r->job.service, item->key), item->value, 0);
    *bytes += item->value.len + strlen(item->key) + 64;
}

/* Records of history without a head of their own first, then heads, each with its record. */
static bool is_due(const struct restore *r, const struct cfg_backup_item *item)
{
    bool is_head = item->key[0] == 'l';
    return r->phase == PHASE_HISTORY ? !is_head && item->pair == NULL : is_head;
}

static void fill_chunk(struct cfg_txn *t, struct restore *r)
{
    size_t bytes = 0;
    for (r->next = r->at; r->next < r->backup.n; r->next++) {
        const struct cfg_backup_item *item = &r->backup.items[r->next];
        if (!is_due(r, item))
            continue;
        size_t more = item->value.len * (item->pair ? 2 : 1);
        if (t->n_success > 0 && (t->n_success + 2 > CHUNK_OPS || bytes + more > CHUNK_BYTES))
            return;
        put_item(t, r, item, &bytes);
        if (item->pair)
            put_item(t, r, item->pair, &bytes);
    }
}

static void send(struct restore *r);

static void sent(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err);

static void send_now(void *arg)
{
    send(arg);
}

static void send(struct restore *r)
{
    struct cfg_service *s = r->job.service;
    struct cfg_txn *t = cfg_txn_new();
    struct cfg_error err;
    if (t) {
        guard(t, r);
        if (r->phase == PHASE_CLEAR)
            fill_clear(t, r);
        else if (r->phase == PHASE_HISTORY || r->phase == PHASE_HEADS)
            fill_chunk(t, r);
        else
            cfg_txn_put(t, cfg_txn_key(t, s, "meta/store"),
                        cfg_buf_slice(r->phase == PHASE_MARK ? &r->mark : &r->unmark), 0);
    }
    if (t == NULL || t->failed) {
        (void)cfg_fail(&err, CFG_E_NOMEM, "out of memory");
        fail(r, &err);
    } else {
        r->asking = true;
        cfg_txn_send(t, s, 0, sent, r);
    }
    cfg_txn_free(t);
}

/* --- from step to step --- */

static void shown(void *arg, const struct cfg_error *err)
{
    (void)err; /* restored in any case; this replica merely shows it a little later */
    end(arg, NULL);
}

static void show(struct restore *r, int64_t revision)
{
    struct cfg_service *s = r->job.service;
    r->phase = PHASE_SHOW;
    r->revision = (uint64_t)revision;
    cfg_cache_clear(s);
    s->idem.lease = 0;
    cfg_store_wait(s->store, s->loop, (struct cfg_rev){r->identity.epoch, r->revision}, s->visible_timeout_ms, shown,
                   r);
}

/* Time for lost replies and elections starts anew with every step that is done. */
static void be_patient(struct restore *r)
{
    const struct cfg_clock *clock = r->job.service->clock;
    r->give_up_ns = clock->monotonic_ns(clock->arg) + PATIENCE_MS * 1000000ull;
}

static void advance(struct restore *r, int64_t revision, size_t puts)
{
    be_patient(r);
    switch (r->phase) {
    case PHASE_MARK:
        r->identity.mod_revision = (uint64_t)revision;
        break;
    case PHASE_HISTORY:
    case PHASE_HEADS:
        r->written += puts;
        r->at = r->next;
        if (r->at < r->backup.n) {
            send(r);
            return;
        }
        r->at = 0;
        break;
    case PHASE_UNMARK:
        show(r, revision);
        return;
    case PHASE_CLEAR:
    case PHASE_SHOW:
        break;
    }
    r->phase = (enum phase)(r->phase + 1);
    send(r);
}

static int prepare(struct restore *r, const struct cfg_etcd_kv *kv, struct cfg_error *err);

static bool has_our_mark(const struct restore *r, struct cfg_slice value)
{
    cJSON *tree = NULL;
    bool ours = cfg_json_parse(&tree, value, 0, NULL) == 0 &&
                strcmp(cfg_json_get_str(cfg_json_get(tree, "restoring"), "id", ""), r->id) == 0;
    cJSON_Delete(tree);
    return ours;
}

/* The compare failed: meta/store is not as we left it. It may be as this very transaction, sent before, has left it; or
 * a replica has raised the epoch, which leaves our mark in place. */
static void not_guarded(struct restore *r, const struct cfg_etcd_txn_reply *reply)
{
    const struct cfg_etcd_kv *kv = reply->n > 0 && reply->ranges[0].n > 0 ? &reply->ranges[0].kvs[0] : NULL;
    struct cfg_error err;
    if (kv && has_our_mark(r, kv->value)) {
        if (prepare(r, kv, &err) != 0)
            fail(r, &err);
        else if (r->phase == PHASE_MARK)
            advance(r, kv->mod_revision, 0);
        else
            send(r);
    } else if (kv && r->phase == PHASE_UNMARK && cfg_slice_eq(kv->value, cfg_buf_slice(&r->unmark))) {
        advance(r, kv->mod_revision, 0);
    } else {
        (void)cfg_fail(&err, CFG_E_CONFLICT, "another restore came in between");
        fail(r, &err);
    }
}

static void sent(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct restore *r = arg;
    if (!cfg_job_alive(&r->job))
        return;
    r->asking = false;
    const struct cfg_clock *clock = r->job.service->clock;
    bool passing = err && (err->code == CFG_E_UNKNOWN_OUTCOME || err->code == CFG_E_UNAVAILABLE);
    if (passing && clock->monotonic_ns(clock->arg) < r->give_up_ns)
        cfg_timer_start(r->timer, PAUSE_MS);
    else if (err)
        fail(r, err);
    else if (reply->succeeded)
        advance(r, reply->header.revision, reply->n);
    else
        not_guarded(r, reply);
}

/* --- the beginning --- */

static bool set_mark(struct cfg_buf *out, const cJSON *meta, uint64_t epoch, const char *id)
{
    cJSON *copy = cJSON_Duplicate(meta, true);
    bool ok = copy && cfg_json_set(copy, "epoch", cJSON_CreateNumber((double)epoch)) == 0;
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "restoring");
    if (ok && id) {
        cJSON *mark = cJSON_AddObjectToObject(copy, "restoring");
        ok = mark && cJSON_AddStringToObject(mark, "id", id);
    }
    if (ok)
        cfg_json_print(out, copy);
    cJSON_Delete(copy);
    return ok && cfg_buf_status(out) == 0;
}

/* A store that was emptied becomes again the store that the backup is of. */
static cJSON *first_meta(const struct cfg_store_identity *id)
{
    cJSON *tree = NULL;
    struct cfg_buf text;
    cfg_buf_init(&text, META_BYTES);
    cfg_replica_meta_print(&text, id);
    int rc = cfg_buf_status(&text) == 0 ? cfg_json_parse(&tree, cfg_buf_slice(&text), 0, NULL) : CFG_E_NOMEM;
    cfg_buf_finish(&text);
    return rc == 0 ? tree : NULL;
}

static uint64_t above(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t most = a > b ? a : b;
    return (most > c ? most : c) + 1;
}

/* Both values of meta/store, from the one that lies there (NULL: none). */
static int prepare(struct restore *r, const struct cfg_etcd_kv *kv, struct cfg_error *err)
{
    uint64_t known = cfg_store_identity(r->job.service->store)->epoch;
    struct cfg_store_identity id = r->backup.identity;
    cJSON *meta = NULL;
    int rc = kv ? cfg_replica_meta_read(&id, kv->value, err) : 0;
    if (rc == 0 && kv)
        rc = cfg_json_parse(&meta, kv->value, 0, err);
    if (rc != 0)
        return rc;
    if (kv == NULL)
        id.epoch = above(id.epoch, known, 0) - 1;
    if (kv == NULL)
        meta = first_meta(&id);
    /* The mark keeps the epoch: what replicas hold still belongs to it. */
    cfg_buf_clear(&r->mark);
    cfg_buf_clear(&r->unmark);
    r->identity = (struct cfg_store_identity){.epoch = above(id.epoch, r->backup.identity.epoch, known),
                                              .mod_revision = kv ? (uint64_t)kv->mod_revision : 0};
    bool ok = meta && set_mark(&r->mark, meta, id.epoch, r->id) && set_mark(&r->unmark, meta, r->identity.epoch, NULL);
    cJSON_Delete(meta);
    return ok ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int pause_rollouts(struct restore *r, struct cfg_error *err)
{
    const struct cfg_clock *clock = r->job.service->clock;
    char now[CFG_TIME_TEXT];
    (void)cfg_time_format(clock->wall_ns(clock->arg), now);
    return cfg_backup_pause_rollouts(&r->backup, now, r->author ? r->author : "", r->id, err);
}

static void got_meta(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct restore *r = arg;
    struct cfg_error why = CFG_ERROR_INIT;
    if (!cfg_job_alive(&r->job))
        return;
    r->asking = false;
    if (err) {
        fail(r, err);
        return;
    }
    if (cfg_backup_read(&r->backup, cfg_bytes_slice(r->file), &why) != 0 || pause_rollouts(r, &why) != 0 ||
        prepare(r, reply->n > 0 ? &reply->kvs[0] : NULL, &why) != 0) {
        fail(r, &why);
        return;
    }
    send(r);
}

void cfg_service_restore(struct cfg_service *s, struct cfg_bytes *file, const char *author,
                         void (*done)(void *arg, uint64_t keys, struct cfg_rev rev, const struct cfg_error *err),
                         void *arg)
{
    struct restore *r = calloc(1, sizeof *r);
    struct cfg_buf key;
    if (r == NULL)
        abort(); /* the caller is owed an answer that could not be given */
    *r = (struct restore){.job = {.cancel = restore_cancel}, .done = done, .arg = arg, .file = file};
    r->author = cfg_slice_dup(cfg_slice_str(author));
    unsigned char random[sizeof r->id / 2];
    s->clock->random(s->clock->arg, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(r->id + 2 * i, 3, "%02x", random[i]);
    r->timer = cfg_timer_new(s->loop, send_now, r);
    if (r->timer == NULL)
        abort();
    cfg_buf_init(&r->mark, META_BYTES);
    cfg_buf_init(&r->unmark, META_BYTES);
    cfg_job_begin(s, &r->job);
    be_patient(r);
    r->asking = true;
    cfg_service_key(&key, s, "meta/store");
    const struct cfg_etcd_range_req q = {.key = cfg_buf_slice(&key)};
    cfg_etcd_range(s->etcd, &q, 0, got_meta, r);
    cfg_buf_finish(&key);
}
