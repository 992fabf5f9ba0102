/* Backup: everything that lasts, as it was at ONE revision.
 *
 *   count history/ (gives the revision) → list live/ and meta/store at it → list tally/ at it → first line, heads and
 *   totals → list history/ at it → last line
 *
 * Heads and totals of experiments are collected first, because the first line says how many keys there are; history is
 * handed on page by page. */
#include "configd/backup_file.h"
#include "configd/replica_decide.h"
#include "configd/service_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS_BYTES = 1 << 30, LINE_BYTES = 4 * 1024 * 1024 };

struct backup {
    struct cfg_job job;
    cfg_backup_line_fn line;
    void (*done)(void *arg, const struct cfg_error *err);
    void *arg;
    struct cfg_store_identity identity;
    bool has_meta;
    struct cfg_buf out; /* heads until the first line is known, then the line in hand */
    EVP_MD_CTX *digest; /* over all that was handed on */
    int64_t revision, records;
    uint64_t heads, printed; /* lines in out; records handed on */
    struct cfg_error err;
};

static void release(struct backup *b)
{
    cfg_buf_finish(&b->out);
    EVP_MD_CTX_free(b->digest);
    b->digest = NULL;
}

static void backup_cancel(struct cfg_job *job, const struct cfg_error *err)
{
    struct backup *b = (struct backup *)(void *)job;
    release(b);
    b->done(b->arg, err);
}

static void end(struct backup *b, const struct cfg_error *err)
{
    struct backup ended = *b;
    struct cfg_error copy = err ? *err : (struct cfg_error)CFG_ERROR_INIT; /* it may lie in *b */
    release(b);
    cfg_job_end(&b->job);
    free(b);
    ended.done(ended.arg, err ? &copy : NULL);
}

/* Hands on what is in out. */
static void flush(struct backup *b)
{
    struct cfg_slice text = cfg_buf_slice(&b->out);
    if (cfg_buf_status(&b->out) != 0 || EVP_DigestUpdate(b->digest, text.ptr, text.len) != 1)
        (void)cfg_fail(&b->err, CFG_E_NOMEM, "out of memory");
    else if (text.len > 0)
        b->line(b->arg, text);
    cfg_buf_clear(&b->out);
}

static struct cfg_slice without_prefix(const struct backup *b, struct cfg_slice key)
{
    size_t n = strlen(b->job.service->prefix);
    return (struct cfg_slice){key.ptr + n, key.len - n};
}

static void finish(struct backup *b)
{
    unsigned char hash[32];
    char text[CFG_DIGEST_TEXT] = "sha256:";
    unsigned n = sizeof hash;
    if (b->err.code == 0 && b->printed != (uint64_t)b->records)
        (void)cfg_fail(&b->err, CFG_E_VALUE, "history holds a record that is not ours: the backup would not be whole");
    if (b->err.code == 0 && EVP_DigestFinal_ex(b->digest, hash, &n) != 1)
        (void)cfg_fail(&b->err, CFG_E_NOMEM, "out of memory");
    if (b->err.code != 0) {
        end(b, &b->err);
        return;
    }
    for (size_t i = 0; i < sizeof hash; i++)
        (void)snprintf(text + 7 + 2 * i, 3, "%02x", hash[i]);
    cfg_backup_print_end(&b->out, text);
    b->line(b->arg, cfg_buf_slice(&b->out));
    end(b, NULL);
}

/* --- history --- */

static void history_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct backup *b = arg;
    for (size_t i = 0; b->job.service && b->err.code == 0 && i < page->n; i++) {
        b->printed += cfg_backup_print_record(&b->out, without_prefix(b, page->kvs[i].key), page->kvs[i].value);
        flush(b);
    }
}

static void no_restart(void *arg)
{
    (void)arg; /* a list at a given revision fails when that is compacted */
}

static void history_done(void *arg, int64_t revision, const struct cfg_error *err)
{
    (void)revision;
    struct backup *b = arg;
    if (!cfg_job_alive(&b->job))
        return;
    if (err)
        end(b, err);
    else
        finish(b);
}

/* The range [from, to) of keys without the prefix. */
static void list(struct backup *b, const char *from, const char *to, const struct cfg_etcd_list_fns *fns)
{
    struct cfg_service *s = b->job.service;
    struct cfg_buf first, last;
    cfg_service_key(&first, s, from);
    cfg_service_key(&last, s, to);
    cfg_etcd_list(s->etcd, cfg_buf_slice(&first), cfg_buf_slice(&last), b->revision, fns, b);
    cfg_buf_finish(&first);
    cfg_buf_finish(&last);
}

/* --- heads --- */

static void read_meta(struct backup *b, struct cfg_slice value)
{
    if (cfg_store_is_restoring(value)) {
        (void)cfg_fail(&b->err, CFG_E_UNAVAILABLE, "a restore is under way: there is nothing whole to back up");
        cfg_error_set_hint(&b->err, "try again when it has ended");
    } else if (cfg_replica_meta_read(&b->identity, value, &b->err) == 0) {
        b->has_meta = true;
    }
}

static void heads_page(void *arg, const struct cfg_etcd_range_reply *page)
{
    struct backup *b = arg;
    for (size_t i = 0; b->job.service && i < page->n; i++) {
        struct cfg_slice key = without_prefix(b, page->kvs[i].key);
        if (cfg_slice_eq_str(key, "meta/store"))
            read_meta(b, page->kvs[i].value);
        else if (cfg_backup_wants(key))
            b->heads += cfg_backup_print_record(&b->out, key, page->kvs[i].value);
    }
}

static void totals_done(void *arg, int64_t revision, const struct cfg_error *err)
{
    static const struct cfg_etcd_list_fns fns = {history_page, no_restart, history_done};
    char time[CFG_TIME_TEXT];
    (void)revision;
    struct backup *b = arg;
    if (!cfg_job_alive(&b->job))
        return;
    if (err) {
        end(b, err);
        return;
    }
    const struct cfg_clock *clock = b->job.service->clock;
    struct cfg_buf heads = b->out;
    cfg_buf_init(&b->out, LINE_BYTES);
    cfg_backup_print_head(&b->out, &b->identity, (uint64_t)b->revision,
                          cfg_time_format(clock->wall_ns(clock->arg), time), b->heads + (uint64_t)b->records);
    flush(b);
    struct cfg_buf line = b->out;
    b->out = heads;
    flush(b);
    cfg_buf_finish(&b->out);
    b->out = line;
    if (b->err.code != 0)
        end(b, &b->err);
    else
        list(b, "history/", "history0", &fns);
}

static void heads_done(void *arg, int64_t revision, const struct cfg_error *err)
{
    static const struct cfg_etcd_list_fns fns = {heads_page, no_restart, totals_done};
    (void)revision;
    struct backup *b = arg;
    if (!cfg_job_alive(&b->job))
        return;
    if (!err && b->err.code == 0 && !b->has_meta)
        (void)cfg_fail(&b->err, CFG_E_FOREIGN_STORE, "there is no meta/store in etcd");
    if (err || b->err.code != 0)
        end(b, err ? err : &b->err);
    else
        list(b, "tally/", "tally0", &fns);
}

static void counted(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    static const struct cfg_etcd_list_fns fns = {heads_page, no_restart, heads_done};
    struct backup *b = arg;
    if (!cfg_job_alive(&b->job))
        return;
    if (err) {
        end(b, err);
        return;
    }
    b->revision = reply->header.revision;
    b->records = reply->count;
    list(b, "live/", "meta0", &fns);
}

static void count_history(struct backup *b)
{
    struct cfg_service *s = b->job.service;
    struct cfg_buf first, last;
    cfg_service_key(&first, s, "history/");
    cfg_buf_init(&last, 4096);
    cfg_etcd_prefix_end(&last, cfg_buf_slice(&first));
    const struct cfg_etcd_range_req r = {
        .key = cfg_buf_slice(&first), .range_end = cfg_buf_slice(&last), .count_only = true};
    cfg_etcd_range(s->etcd, &r, 0, counted, b);
    cfg_buf_finish(&first);
    cfg_buf_finish(&last);
}

void cfg_service_backup(struct cfg_service *s, cfg_backup_line_fn line,
                        void (*done)(void *arg, const struct cfg_error *err), void *arg)
{
    struct backup *b = calloc(1, sizeof *b);
    if (b == NULL)
        abort(); /* the caller is owed an answer that could not be given */
    *b = (struct backup){
        .job = {.cancel = backup_cancel}, .line = line, .done = done, .arg = arg, .digest = EVP_MD_CTX_new()};
    if (b->digest == NULL || EVP_DigestInit_ex(b->digest, EVP_sha256(), NULL) != 1)
        abort();
    cfg_buf_init(&b->out, HEADS_BYTES);
    cfg_job_begin(s, &b->job);
    count_history(b);
}
