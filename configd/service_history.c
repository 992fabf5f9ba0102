/* History, read from etcd: it is not followed, and grows without bound of memory. */
#include "configd/service_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_BYTES = 32 * 1024 * 1024, MAX_LIMIT = 500 };

struct objects {
    struct cfg_object **items; /* owned references */
    size_t n, cap;
};

static void objects_finish(struct objects *o)
{
    for (size_t i = 0; i < o->n; i++)
        (void)cfg_object_unref(o->items[i]);
    free(o->items);
    *o = (struct objects){0};
}

/* Takes the reference over. */
static int objects_push(struct objects *o, struct cfg_object *object)
{
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 16;
        struct cfg_object **items = realloc(o->items, cap * sizeof(struct cfg_object *));
        if (items == NULL) {
            (void)cfg_object_unref(object);
            return CFG_E_NOMEM;
        }
        o->items = items;
        o->cap = cap;
    }
    o->items[o->n++] = object;
    return 0;
}

/* Records that a foreign hand wrote under history/ are left out. */
static int read_records(struct objects *out, const struct cfg_service *s, const struct cfg_etcd_range_reply *reply,
                        struct cfg_error *err)
{
    for (size_t i = 0; i < reply->n; i++) {
        struct cfg_object *o = NULL;
        struct cfg_error bad = CFG_ERROR_INIT;
        int rc = cfg_service_read_record(&o, s, &reply->kvs[i], &bad);
        if (rc == 0)
            rc = objects_push(out, o);
        if (rc == CFG_E_NOMEM)
            return cfg_fail(err, rc, "out of memory");
    }
    return 0;
}

/* --- one version, some versions, the log --- */

struct query {
    struct cfg_job job;
    struct cfg_object_id id;
    uint64_t version;
    cfg_object_fn one;
    cfg_objects_fn many;
    void *arg;
    unsigned limit, pending; /* ranges still to come */
    struct objects found;
    struct cfg_error err;
};

static void query_cancel(struct cfg_job *job, const struct cfg_error *err)
{
    struct query *q = (struct query *)(void *)job;
    objects_finish(&q->found);
    q->job.service = NULL;
    if (q->one)
        q->one(q->arg, NULL, err);
    else
        q->many(q->arg, NULL, 0, false, err);
}

static struct query *query_new(struct cfg_service *s)
{
    struct query *q = calloc(1, sizeof *q);
    if (q == NULL)
        abort(); /* the caller is owed an answer that could not be given */
    q->job.cancel = query_cancel;
    q->pending = 1;
    cfg_job_begin(s, &q->job);
    return q;
}

static int newest_first(const void *a, const void *b)
{
    const struct cfg_object *const *x = a, *const *y = b;
    if ((*x)->mod_revision != (*y)->mod_revision)
        return (*x)->mod_revision > (*y)->mod_revision ? -1 : 1;
    return cfg_object_id_cmp(&(*x)->id, &(*y)->id);
}

/* One struct, but a second range of the same query may still be on its way when the service goes: it is freed by the
 * last callback. */
static bool query_came(struct query *q)
{
    q->pending--;
    if (q->job.service)
        return true;
    if (q->pending == 0)
        free(q);
    return false;
}

static void query_end(struct query *q)
{
    struct query ended = *q;
    bool more = ended.found.n > ended.limit;
    cfg_job_end(&q->job);
    free(q);
    if (ended.err.code != 0) {
        ended.many(ended.arg, NULL, 0, false, &ended.err);
    } else {
        if (ended.found.n > 1 && ended.id.ns[0] == '\0')
            qsort(ended.found.items, ended.found.n, sizeof *ended.found.items, newest_first);
        ended.many(ended.arg, ended.found.items, more ? ended.limit : ended.found.n, more, NULL);
    }
    objects_finish(&ended.found);
}

static void got_many(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct query *q = arg;
    if (!query_came(q))
        return;
    if (err)
        q->err = *err;
    else if (read_records(&q->found, q->job.service, reply, &q->err) != 0)
        objects_finish(&q->found);
    if (q->pending == 0)
        query_end(q);
}

static void got_one(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct query *q = arg;
    struct cfg_object *o = NULL;
    struct cfg_error why = CFG_ERROR_INIT;
    char text[CFG_OBJECT_ID_TEXT];
    if (!query_came(q))
        return;
    if (err)
        why = *err;
    else if (reply->n == 0)
        (void)cfg_fail(&why, CFG_E_NOT_FOUND, "%s has no version %" PRIu64, cfg_object_id_text(&q->id, text).ptr,
                       q->version);
    else if (cfg_service_read_record(&o, q->job.service, &reply->kvs[0], &why) != 0)
        o = NULL;
    cfg_object_fn fn = q->one;
    void *fn_arg = q->arg;
    cfg_job_end(&q->job);
    free(q);
    fn(fn_arg, o, o ? NULL : &why);
    (void)cfg_object_unref(o);
}

void cfg_service_version(struct cfg_service *s, const struct cfg_object_id *id, uint64_t version, cfg_object_fn fn,
                         void *arg)
{
    struct query *q = query_new(s);
    struct cfg_buf key;
    q->id = *id;
    q->version = version;
    q->one = fn;
    q->arg = arg;
    cfg_service_key(&key, s, "");
    cfg_object_history_key(&key, id, version);
    const struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&key)};
    cfg_etcd_range(s->etcd, &r, 0, got_one, q);
    cfg_buf_finish(&key);
}

static unsigned bounded(unsigned limit)
{
    return limit == 0 ? 50 : limit < MAX_LIMIT ? limit : MAX_LIMIT;
}

void cfg_service_versions(struct cfg_service *s, const struct cfg_object_id *id, uint64_t before, unsigned limit,
                          cfg_objects_fn fn, void *arg)
{
    struct query *q = query_new(s);
    struct cfg_buf first, end;
    q->id = *id;
    q->limit = bounded(limit);
    q->many = fn;
    q->arg = arg;
    cfg_service_key(&first, s, "");
    cfg_service_key(&end, s, "");
    cfg_object_history_key(&first, id, 0);
    cfg_object_history_key(&end, id, before > 0 ? before : 9999999999999u);
    const struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&first),
                                         .range_end = cfg_buf_slice(&end),
                                         .limit = (int64_t)q->limit + 1,
                                         .descending = true};
    cfg_etcd_range(s->etcd, &r, 0, got_many, q);
    cfg_buf_finish(&first);
    cfg_buf_finish(&end);
}

static void ask_log(struct cfg_service *s, struct query *q, const char *rest, const char *ns, uint64_t before)
{
    struct cfg_buf first, end;
    cfg_service_key(&first, s, rest);
    if (ns) {
        cfg_buf_puts(&first, ns);
        cfg_buf_putc(&first, '/');
    }
    cfg_buf_init(&end, 4096);
    cfg_etcd_prefix_end(&end, cfg_buf_slice(&first));
    const struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&first),
                                         .range_end = cfg_buf_slice(&end),
                                         .limit = (int64_t)q->limit + 1,
                                         .max_mod_revision = before > 0 ? (int64_t)before - 1 : 0,
                                         .descending = true,
                                         .by_mod = true};
    cfg_etcd_range(s->etcd, &r, 0, got_many, q);
    cfg_buf_finish(&first);
    cfg_buf_finish(&end);
}

void cfg_service_log(struct cfg_service *s, const char *ns, uint64_t before_revision, unsigned limit, cfg_objects_fn fn,
                     void *arg)
{
    struct query *q = query_new(s);
    q->limit = bounded(limit);
    q->many = fn;
    q->arg = arg;
    if (ns == NULL) {
        ask_log(s, q, "history/", NULL, before_revision);
        return;
    }
    static const char *const kinds[] = {"history/config/", "history/flag/", "history/evaluators/", "history/flip/",
                                        "history/schema/"};
    q->pending = sizeof kinds / sizeof kinds[0];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        ask_log(s, q, kinds[i], ns, before_revision);
}

void cfg_service_log_of_kind(struct cfg_service *s, enum cfg_kind kind, uint64_t before_revision, unsigned limit,
                             cfg_objects_fn fn, void *arg)
{
    struct query *q = query_new(s);
    char rest[64];
    q->limit = bounded(limit);
    q->many = fn;
    q->arg = arg;
    (void)snprintf(rest, sizeof rest, "history/%s/", cfg_kind_name(kind));
    ask_log(s, q, rest, NULL, before_revision);
}

/* --- versions kept at hand, for arms that hold a release --- */

struct cfg_fetch {
    struct cfg_service *service; /* NULL: it has gone, and so has interest */
    struct cfg_object_id id;
    uint64_t version;
    struct cfg_fetch *next;
};

static struct cfg_object *cached(const struct cfg_cache *c, const struct cfg_object_id *id, uint64_t version)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i]->version == version && cfg_object_id_eq(&c->items[i]->id, id))
            return c->items[i];
    return NULL;
}

static void drop_oldest(struct cfg_cache *c)
{
    c->bytes -= c->items[0]->json->len;
    (void)cfg_object_unref(c->items[0]);
    c->n--;
    memmove(c->items, c->items + 1, c->n * sizeof *c->items);
}

static void remember(struct cfg_cache *c, struct cfg_object *o)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 8;
        struct cfg_object **items = realloc(c->items, cap * sizeof(struct cfg_object *));
        if (items == NULL)
            return; /* not remembered, then: it will be fetched again */
        c->items = items;
        c->cap = cap;
    }
    c->items[c->n++] = cfg_object_ref(o);
    c->bytes += o->json->len;
    while (c->bytes > CACHE_BYTES && c->n > 1)
        drop_oldest(c);
}

static void forget_fetch(struct cfg_fetch *f)
{
    for (struct cfg_fetch **p = &f->service->cache.fetches; *p; p = &(*p)->next) {
        if (*p == f) {
            *p = f->next;
            return;
        }
    }
}

static void got_cached(void *arg, const struct cfg_etcd_range_reply *reply, const struct cfg_error *err)
{
    struct cfg_fetch *f = arg;
    struct cfg_service *s = f->service;
    struct cfg_object *o = NULL;
    if (s == NULL) {
        free(f);
        return;
    }
    forget_fetch(f);
    free(f);
    if (err || reply->n == 0 || cfg_service_read_record(&o, s, &reply->kvs[0], NULL) != 0)
        return; /* whoever wants it asks again */
    remember(&s->cache, o);
    if (s->fetched)
        s->fetched(s->fetched_arg, o);
    (void)cfg_object_unref(o);
}

static void fetch(struct cfg_service *s, const struct cfg_object_id *id, uint64_t version)
{
    struct cfg_buf key;
    for (struct cfg_fetch *f = s->cache.fetches; f; f = f->next)
        if (f->version == version && cfg_object_id_eq(&f->id, id))
            return;
    struct cfg_fetch *f = malloc(sizeof *f);
    if (f == NULL)
        return; /* whoever wants it asks again */
    *f = (struct cfg_fetch){.service = s, .id = *id, .version = version, .next = s->cache.fetches};
    s->cache.fetches = f;
    cfg_service_key(&key, s, "");
    cfg_object_history_key(&key, id, version);
    const struct cfg_etcd_range_req r = {.key = cfg_buf_slice(&key)};
    cfg_etcd_range(s->etcd, &r, 0, got_cached, f);
    cfg_buf_finish(&key);
}

struct cfg_object *cfg_service_cached_version(struct cfg_service *s, const struct cfg_object_id *id, uint64_t version)
{
    struct cfg_object *o = cfg_store_get(s->store, id);
    if (o && o->version == version)
        return o;
    o = cached(&s->cache, id, version);
    if (o == NULL)
        fetch(s, id, version);
    return o;
}

void cfg_service_on_fetched(struct cfg_service *s, void (*fn)(void *arg, struct cfg_object *object), void *arg)
{
    s->fetched = fn;
    s->fetched_arg = arg;
}

void cfg_cache_clear(struct cfg_service *s)
{
    while (s->cache.n > 0)
        drop_oldest(&s->cache);
}

void cfg_cache_finish(struct cfg_service *s)
{
    cfg_cache_clear(s);
    free(s->cache.items);
    for (struct cfg_fetch *f = s->cache.fetches; f; f = f->next)
        f->service = NULL;
    s->cache = (struct cfg_cache){0};
}
