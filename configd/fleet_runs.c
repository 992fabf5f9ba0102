#include "configd/fleet_runs.h"

#include "configd/fleet_body.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUNS_MAX = 64,               /* in one report */
    BATCH_MAX = 64 * 1024,       /* bytes of one write */
    QUEUE_MAX = 4 * 1024 * 1024, /* bytes that wait, of one deployment */
    WRITE_EVERY_MS = 1000,       /* on average, and … */
    WRITE_BURST = 4, /* … so many in a row: a worker's report is answered after the write, and the next waits */
    WRITE_TIMEOUT_MS = 3000,
    WAIT_MS = 5000,
};

struct run_wait {
    uint64_t target; /* records of the queue */
    uint64_t end_ms;
    cfg_fleet_recorded_fn fn;
    void *arg;
    struct run_wait *next;
};

struct fleet_queue {
    struct cfg_buf text;                      /* records, a line each, oldest first */
    size_t flying;                            /* bytes of it that a write under way holds */
    uint64_t queued, written, flying_records; /* records, ever */
    bool writing;
    uint64_t due_ms; /* by which all writes until now are paid for */
    uint64_t key_ms; /* in the newest key: each has its own */
    struct run_wait *waits;
};

struct write {
    struct fleet_link *link;
    struct fleet_deployment *d;
};

/* --- checking --- */

static int check_run(const cJSON *o, struct cfg_error *err)
{
    struct cfg_rev rev;
    uint64_t step;
    const char *at = cfg_json_get_str(o, "at", "");
    if (cfg_json_need_u64(o, "from_step", &step, NULL) != 0 ||
        cfg_rev_parse(&rev, cfg_slice_str(cfg_json_get_str(o, "revision", "")), NULL) != 0 || cfg_rev_is_none(rev) ||
        at[0] == '\0' || strlen(at) > FLEET_RUN_AT)
        return fleet_invalid(err, "runs", "an array of {from_step, revision, at}");
    return 0;
}

int fleet_runs_check(const cJSON *runs, struct cfg_error *err)
{
    int n = 0, rc = 0;
    if (runs && !cJSON_IsArray(runs))
        return fleet_invalid(err, "runs", "an array");
    for (const cJSON *o = runs ? runs->child : NULL; rc == 0 && o; o = o->next)
        rc = ++n > RUNS_MAX ? cfg_fail(err, CFG_E_LIMIT, "a report carries at most %d runs", RUNS_MAX)
                            : check_run(o, err);
    return rc;
}

/* --- the queue --- */

static struct fleet_queue *queue_of(struct fleet_deployment *d)
{
    if (d->queue == NULL && (d->queue = calloc(1, sizeof *d->queue)) != NULL)
        cfg_buf_init(&d->queue->text, QUEUE_MAX);
    return d->queue;
}

static int put_record(struct fleet_queue *q, const struct fleet_run *r, struct cfg_error *err)
{
    struct cfg_buf line;
    cfg_buf_init(&line, BATCH_MAX / 2);
    fleet_run_print(&line, r);
    cfg_buf_putc(&line, '\n');
    int rc = cfg_buf_status(&line);
    if (rc == 0 && q->text.len + line.len > QUEUE_MAX)
        rc = CFG_E_RATE;
    if (rc == 0) {
        cfg_buf_put(&q->text, line.data, line.len);
        rc = cfg_buf_status(&q->text);
    }
    cfg_buf_finish(&line);
    if (rc != 0)
        return cfg_fail(err, rc, "too many adoptions wait to be recorded: they have to be told again");
    q->queued++;
    return 0;
}

static struct fleet_run record_of(struct fleet_worker *w)
{
    return (struct fleet_run){.group = w->group, .worker = w->id_text, .incarnation = w->incarnation};
}

static bool is_last(const struct fleet_worker *w, const cJSON *o)
{
    struct cfg_rev rev = {0, 0};
    return cfg_rev_parse(&rev, cfg_slice_str(cfg_json_get_str(o, "revision", "")), NULL) == 0 &&
           cfg_rev_cmp(rev, w->run_revision) == 0 && cfg_json_get_num(o, "from_step", -1) == (double)w->run_step;
}

/* The first that is not known. Until it hears that a report was taken, a worker tells everything since again: what
 * comes behind the newest known one is new. */
static const cJSON *first_new(const struct fleet_worker *w, const cJSON *runs)
{
    const cJSON *first = runs->child, *o;
    cJSON_ArrayForEach(o, runs)
    {
        if (!cfg_rev_is_none(w->run_revision) && is_last(w, o))
            first = o->next;
    }
    return first;
}

int fleet_runs_take(struct cfg_fleet *f, struct fleet_worker *w, const cJSON *runs, struct cfg_error *err)
{
    struct fleet_queue *q = runs && runs->child && w->rank == 0 ? queue_of(w->deployment) : NULL;
    if (runs == NULL || runs->child == NULL || w->rank != 0)
        return 0;
    int rc = q ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory for what ran when");
    for (const cJSON *o = first_new(w, runs); rc == 0 && o; o = o->next) {
        struct fleet_run r = record_of(w);
        uint64_t step = 0;
        if (cfg_json_need_u64(o, "from_step", &step, NULL) != 0 ||
            cfg_rev_parse(&r.revision, cfg_slice_str(cfg_json_get_str(o, "revision", "")), NULL) != 0)
            continue; /* it was checked */
        r.from = step;
        (void)snprintf(r.at, sizeof r.at, "%s", cfg_json_get_str(o, "at", ""));
        rc = put_record(q, &r, err);
        if (rc == 0) {
            w->run_step = step;
            w->run_revision = r.revision;
            w->run_target = q->queued;
        }
    }
    fleet_runs_tick(f);
    return rc;
}

void fleet_runs_end(struct cfg_fleet *f, struct fleet_worker *w)
{
    struct fleet_run r = record_of(w);
    struct fleet_queue *q = w->deployment->queue;
    if (q == NULL || cfg_rev_is_none(w->run_revision) || !w->reported)
        return;
    r.from = (uint64_t)w->step;
    (void)cfg_time_format(f->clock->wall_ns(f->clock->arg), r.at);
    (void)put_record(q, &r, NULL); /* without room the run stays open */
    w->run_revision = (struct cfg_rev){0, 0};
}

/* --- waiting --- */

/* Tells those whose records are written, and those who have waited long enough. */
static void settle(struct cfg_fleet *f, struct fleet_queue *q)
{
    struct run_wait *all = q->waits, *w, **keep = &q->waits;
    uint64_t now = fleet_now_ms(f);
    q->waits = NULL;
    while ((w = all) != NULL) {
        struct cfg_error err = CFG_ERROR_INIT;
        all = w->next;
        bool done = w->target <= q->written;
        if (!done && now < w->end_ms) {
            w->next = NULL;
            *keep = w;
            keep = &w->next;
            continue;
        }
        if (!done)
            (void)cfg_fail(&err, CFG_E_UNAVAILABLE, "what ran when could not be recorded in etcd: tell it again");
        w->fn(w->arg, done ? NULL : &err);
        free(w);
    }
}

void cfg_fleet_when_recorded(struct cfg_fleet *f, const char *deployment, const char *worker, cfg_fleet_recorded_fn fn,
                             void *arg)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    const struct fleet_worker *who = d ? fleet_find_worker(d, worker) : NULL;
    struct fleet_queue *q = d ? d->queue : NULL;
    struct run_wait *w = q && who && q->written < who->run_target ? malloc(sizeof *w) : NULL;
    if (w == NULL) { /* nothing waits, or there is no memory to wait: then it is taken on trust */
        fn(arg, NULL);
        return;
    }
    *w = (struct run_wait){who->run_target, fleet_now_ms(f) + WAIT_MS, fn, arg, q->waits};
    q->waits = w;
}

/* --- writing --- */

static void write_done(void *arg, const struct cfg_etcd_txn_reply *reply, const struct cfg_error *err)
{
    struct write *w = arg;
    struct cfg_fleet *f = fleet_link_drop(w->link);
    struct fleet_queue *q = f ? w->d->queue : NULL;
    free(w);
    if (q == NULL)
        return;
    q->writing = false;
    if (err == NULL && reply->succeeded) {
        cfg_buf_consume(&q->text, q->flying);
        q->written += q->flying_records;
    }
    q->flying = q->flying_records = 0;
    settle(f, q);
    if (err == NULL)
        fleet_runs_tick(f); /* what came meanwhile */
}

/* Whole lines from the front, as far as a batch goes. */
static void print_batch(struct cfg_buf *out, const struct cfg_fleet *f, struct fleet_queue *q)
{
    cfg_buf_puts(out, "{\"replica\":");
    cfg_json_put_string(out, cfg_slice_str(f->replica_id));
    cfg_buf_puts(out, ",\"runs\":[");
    while (q->flying < q->text.len) {
        const char *line = q->text.data + q->flying, *end = memchr(line, '\n', q->text.len - q->flying);
        size_t n = (size_t)(end - line);
        if (q->flying_records > 0 && out->len + n > BATCH_MAX)
            break;
        cfg_buf_puts(out, q->flying_records > 0 ? "," : "");
        cfg_buf_put(out, line, n);
        q->flying += n + 1;
        q->flying_records++;
    }
    cfg_buf_puts(out, "]}");
}

static void write_batch(struct cfg_fleet *f, struct fleet_deployment *d)
{
    struct fleet_queue *q = d->queue;
    struct write *w = malloc(sizeof *w);
    struct cfg_buf key, meta, value;
    cfg_buf_init(&key, 4096);
    cfg_buf_init(&meta, 4096);
    cfg_buf_init(&value, 2 * BATCH_MAX);
    q->flying = q->flying_records = 0;
    uint64_t wall_ms = f->clock->wall_ns(f->clock->arg) / 1000000u;
    q->key_ms = wall_ms > q->key_ms ? wall_ms : q->key_ms + 1;
    cfg_buf_printf(&key, "%sruns/%s/%013" PRIu64 "-%s", f->prefix, d->name, q->key_ms, f->replica_id);
    cfg_buf_printf(&meta, "%smeta/store", f->prefix);
    print_batch(&value, f, q);
    if (w && !cfg_buf_status(&key) && !cfg_buf_status(&meta) && !cfg_buf_status(&value)) {
        struct cfg_etcd_compare same_store = {.key = cfg_buf_slice(&meta),
                                              .target = CFG_ETCD_MOD,
                                              .result = CFG_ETCD_EQUAL,
                                              .number = (int64_t)cfg_store_identity(f->store)->mod_revision};
        struct cfg_etcd_op op = {.kind = CFG_ETCD_PUT, .key = cfg_buf_slice(&key), .value = cfg_buf_slice(&value)};
        struct cfg_etcd_txn_req req = {.compare = &same_store, .n_compare = 1, .success = &op, .n_success = 1};
        *w = (struct write){fleet_link_hold(f), d};
        q->writing = true;
        cfg_etcd_txn(f->etcd, &req, WRITE_TIMEOUT_MS, write_done, w);
        w = NULL;
    }
    free(w); /* without memory it is tried again */
    cfg_buf_finish(&key);
    cfg_buf_finish(&meta);
    cfg_buf_finish(&value);
}

bool fleet_runs_may_write(uint64_t *due_ms, uint64_t now_ms)
{
    uint64_t from = *due_ms > now_ms ? *due_ms : now_ms;
    if (from - now_ms > (WRITE_BURST - 1) * WRITE_EVERY_MS)
        return false;
    *due_ms = from + WRITE_EVERY_MS;
    return true;
}

void fleet_runs_tick(struct cfg_fleet *f)
{
    uint64_t now = fleet_now_ms(f);
    bool may = fleet_may_write(f);
    for (struct fleet_deployment *d = f->deployments; d; d = d->next) {
        struct fleet_queue *q = d->queue;
        if (q == NULL)
            continue;
        if (may && q->text.len > 0 && !q->writing && fleet_runs_may_write(&q->due_ms, now))
            write_batch(f, d);
        settle(f, q);
    }
}

void fleet_runs_free(struct fleet_deployment *d)
{
    struct fleet_queue *q = d->queue;
    if (q == NULL)
        return;
    while (q->waits) {
        struct run_wait *w = q->waits;
        q->waits = w->next;
        free(w);
    }
    cfg_buf_finish(&q->text);
    free(q);
    d->queue = NULL;
}
