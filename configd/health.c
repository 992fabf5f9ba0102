#include "configd/health.h"

#include "configd/health_read.h"

#include <stdlib.h>
#include <string.h>

enum { INTERVAL_MS = 30000, PROBE_TIMEOUT_MS = 2000, CONNECT_TIMEOUT_MS = 1000 };

struct probe { /* one endpoint, by a client of its own, which cannot turn to another */
    struct cfg_health *health;
    struct cfg_etcd *client;
    char *name;
    uint64_t sent_ns;
};

struct waiter {
    cfg_health_fn fn;
    void *arg;
    struct waiter *next;
};

struct cfg_health {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
    const struct cfg_clock *clock;
    unsigned interval_ms;
    struct cfg_timer *timer;
    struct probe *probes;
    struct cfg_health_endpoint *endpoints;
    size_t n;
    cJSON *members, *alarms;
    double quota_bytes, compacted;
    uint64_t checked_ns;
    unsigned pending; /* answers of the round under way */
    struct waiter *waiters;
    struct link { /* outlives the health while questions to the shared client are on their way */
        struct cfg_health *health;
        unsigned refs;
    } * link;
};

static uint64_t now_ns(const struct cfg_health *h)
{
    return h->clock->monotonic_ns(h->clock->arg);
}

static void tell(struct cfg_health *h, const struct cfg_error *err)
{
    struct waiter *list = h->waiters;
    h->waiters = NULL;
    while (list) {
        struct waiter w = *list;
        free(list);
        list = w.next;
        w.fn(w.arg, err);
    }
}

static void one_came(struct cfg_health *h)
{
    if (--h->pending > 0)
        return;
    h->checked_ns = now_ns(h);
    cfg_timer_start(h->timer, h->interval_ms);
    tell(h, NULL);
}

/* --- the endpoints --- */

static void on_status(void *arg, const struct cfg_etcd_status *reply, const struct cfg_error *err)
{
    struct probe *p = arg;
    struct cfg_health *h = p->health;
    struct cfg_health_endpoint *e = &h->endpoints[p - h->probes];
    if (err && err->code == CFG_E_CANCELED)
        return; /* it is being taken apart */
    e->asked = true;
    e->ok = err == NULL;
    e->error[0] = '\0';
    if (err) {
        size_t n = strlen(err->text) < sizeof e->error - 1 ? strlen(err->text) : sizeof e->error - 1;
        memcpy(e->error, err->text, n);
        e->error[n] = '\0';
    } else {
        e->status = *reply;
        e->latency_s = (double)(now_ns(h) - p->sent_ns) / 1e9;
    }
    one_came(h);
}

/* --- what any member can say --- */

/* The health, or NULL when it is gone. */
static struct cfg_health *came(struct link *link)
{
    struct cfg_health *h = link->health;
    if (--link->refs == 0)
        free(link);
    return h;
}

static void replace(cJSON **at, cJSON *value)
{
    cJSON_Delete(*at);
    *at = value;
}

static void on_members(void *arg, struct cfg_slice text, const struct cfg_error *err)
{
    struct cfg_health *h = came(arg);
    if (h == NULL)
        return;
    replace(&h->members, err ? NULL : cfg_health_members(text));
    one_came(h);
}

static void on_alarms(void *arg, struct cfg_slice text, const struct cfg_error *err)
{
    struct cfg_health *h = came(arg);
    if (h == NULL)
        return;
    replace(&h->alarms, err ? NULL : cfg_health_alarms(text));
    one_came(h);
}

/* Every member has the same quota, or should: the last one known stands when none is told. */
static void on_metrics(void *arg, struct cfg_slice text, const struct cfg_error *err)
{
    struct cfg_health *h = came(arg);
    if (h == NULL)
        return;
    if (err == NULL) {
        h->quota_bytes = cfg_health_metric(text, "etcd_server_quota_backend_bytes", h->quota_bytes);
        h->compacted = cfg_health_metric(text, "etcd_debugging_mvcc_compact_revision", h->compacted);
    }
    one_came(h);
}

static void ask(struct cfg_health *h, enum cfg_etcd_question question, cfg_etcd_text_fn fn)
{
    h->link->refs++;
    h->pending++;
    cfg_etcd_ask(h->etcd, question, fn, h->link);
}

static void begin_round(void *arg)
{
    struct cfg_health *h = arg;
    if (h->pending > 0)
        return;
    cfg_timer_stop(h->timer);
    for (size_t i = 0; i < h->n; i++) {
        h->pending++;
        h->probes[i].sent_ns = now_ns(h);
        cfg_etcd_status(h->probes[i].client, on_status, &h->probes[i]);
    }
    ask(h, CFG_ETCD_MEMBERS, on_members);
    ask(h, CFG_ETCD_ALARMS, on_alarms);
    ask(h, CFG_ETCD_METRICS, on_metrics);
}

void cfg_health_check(struct cfg_health *h, cfg_health_fn fn, void *arg)
{
    struct waiter *w = malloc(sizeof *w);
    if (w == NULL)
        abort(); /* the caller is owed an answer that could not be given */
    *w = (struct waiter){fn, arg, h->waiters};
    h->waiters = w;
    begin_round(h);
}

/* --- life --- */

static int make_probe(struct cfg_health *h, size_t i, const struct cfg_etcd_options *o, struct cfg_error *err)
{
    struct cfg_etcd_options one = *o;
    one.endpoints = &o->endpoints[i];
    one.n_endpoints = 1;
    one.request_timeout_ms = PROBE_TIMEOUT_MS;
    one.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    h->probes[i] = (struct probe){.health = h, .name = strdup(o->endpoints[i])};
    h->endpoints[i].name = h->probes[i].name;
    h->n = i + 1;
    return h->probes[i].name ? cfg_etcd_new(&h->probes[i].client, h->loop, &one, err)
                             : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

int cfg_health_new(struct cfg_health **out, const struct cfg_health_options *o, struct cfg_error *err)
{
    const struct cfg_etcd_options *e = o->endpoints;
    struct cfg_health *h = calloc(1, sizeof *h);
    if (h == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    h->loop = o->loop;
    h->etcd = o->etcd;
    h->clock = o->clock;
    h->interval_ms = o->interval_ms ? o->interval_ms : INTERVAL_MS;
    h->probes = calloc(e->n_endpoints, sizeof *h->probes);
    h->endpoints = calloc(e->n_endpoints, sizeof *h->endpoints);
    h->timer = cfg_timer_new(o->loop, begin_round, h);
    h->link = calloc(1, sizeof *h->link);
    int rc = h->probes && h->endpoints && h->timer && h->link ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    if (h->link)
        *h->link = (struct link){h, 1};
    for (size_t i = 0; rc == 0 && i < e->n_endpoints; i++)
        rc = make_probe(h, i, e, err);
    if (rc != 0) {
        cfg_health_free(h);
        return rc;
    }
    cfg_timer_start(h->timer, 0);
    *out = h;
    return 0;
}

void cfg_health_free(struct cfg_health *h)
{
    struct cfg_error err;
    if (h == NULL)
        return;
    (void)cfg_fail(&err, CFG_E_CANCELED, "configd is stopping");
    for (size_t i = 0; i < h->n; i++) {
        cfg_etcd_free(h->probes[i].client);
        free(h->probes[i].name);
    }
    if (h->link) {
        h->link->health = NULL;
        (void)came(h->link);
    }
    tell(h, &err);
    cfg_timer_free(h->timer);
    cJSON_Delete(h->members);
    cJSON_Delete(h->alarms);
    free(h->probes);
    free(h->endpoints);
    free(h);
}

struct cfg_health_facts cfg_health_facts(const struct cfg_health *h)
{
    return (struct cfg_health_facts){.endpoints = h->endpoints,
                                     .n_endpoints = h->n,
                                     .members = h->members,
                                     .alarms = h->alarms,
                                     .quota_bytes = h->quota_bytes,
                                     .compacted = h->compacted > 0 ? h->compacted : 0,
                                     .checked_ns = h->checked_ns};
}
