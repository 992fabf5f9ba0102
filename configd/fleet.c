#include "configd/fleet_internal.h"
#include "configd/fleet_runs.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Longer than a worker of a replica that hangs takes to notice (45 s of silence) and to connect elsewhere (ten at
     * most between two attempts): until then it has to be in somebody's record, or it would be nobody. */
    LEASE_TTL_S = 75,
    REPORT_INTERVAL_MS = 2000,
    FLAP_WINDOW_MS = 10000, /* this many replacements within it are an error … */
    FLAP_SHOWN_MS = 60000,  /* … that is shown this long */
};

uint64_t fleet_now_ms(const struct cfg_fleet *f)
{
    return f->clock->monotonic_ns(f->clock->arg) / 1000000u + 1; /* never 0, which means "not yet" */
}

/* --- the registry --- */

static int by_id(const void *a, const void *b)
{
    const struct fleet_worker *x = a, *y = b;
    return strcmp(x->id, y->id);
}

struct fleet_deployment *fleet_find_deployment(const struct cfg_fleet *f, const char *name)
{
    struct fleet_deployment *d = f->deployments;
    while (d && strcmp(d->name, name) != 0)
        d = d->next;
    return d;
}

struct fleet_worker *fleet_find_worker(const struct fleet_deployment *d, const char *worker)
{
    struct fleet_worker key = {.id = worker};
    if (d == NULL)
        return NULL;
    struct fleet_worker *const *found = tfind(&key, &d->workers, by_id);
    return found ? *found : NULL;
}

struct fleet_deployment *fleet_add_deployment(struct cfg_fleet *f, const char *name)
{
    struct fleet_deployment *d = fleet_find_deployment(f, name);
    if (d || (d = calloc(1, sizeof *d)) == NULL)
        return d;
    (void)snprintf(d->name, sizeof d->name, "%s", name);
    d->next = f->deployments;
    f->deployments = d;
    return d;
}

struct fleet_worker *fleet_add_worker(struct cfg_fleet *f, struct fleet_deployment *d, const char *worker)
{
    size_t id = strlen(worker) + 1;
    struct fleet_worker *w = calloc(1, sizeof *w + id);
    if (w == NULL)
        return NULL;
    w->deployment = d;
    w->id = memcpy(w->id_text, worker, id);
    w->mark = fleet_mark(worker);
    w->added_ms = fleet_now_ms(f);
    if (tsearch(w, &d->workers, by_id) == NULL) {
        free(w);
        return NULL;
    }
    d->n++;
    f->n_workers++;
    return w;
}

static void drop_contract(struct fleet_worker *w)
{
    struct fleet_contract *c = w->contract;
    w->contract = NULL;
    if (c == NULL)
        return;
    if (w->superseded)
        c->connected--;
    if (--c->workers > 0)
        return;
    struct fleet_contract **p = &w->deployment->contracts;
    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    cfg_contract_free(c->contract);
    free(c);
}

int fleet_set_contract(struct fleet_worker *w, struct cfg_contract *contract)
{
    struct fleet_contract *c = w->deployment->contracts;
    while (c && strcmp(c->contract->digest, contract->digest) != 0)
        c = c->next;
    if (c) {
        cfg_contract_free(contract);
    } else {
        c = calloc(1, sizeof *c);
        if (c == NULL) {
            cfg_contract_free(contract);
            return CFG_E_NOMEM;
        }
        c->contract = contract;
        c->next = w->deployment->contracts;
        w->deployment->contracts = c;
    }
    c->workers++;
    if (w->superseded)
        c->connected++;
    drop_contract(w);
    w->contract = c;
    return 0;
}

void fleet_disconnect(struct cfg_fleet *f, struct fleet_worker *w)
{
    if (w->superseded == NULL)
        return;
    w->superseded = NULL;
    w->stream = NULL;
    w->gone_ms = fleet_now_ms(f);
    w->contract->connected--;
    if (w->skills)
        w->skills->connected--;
    w->deployment->connected--;
    f->n_connected--;
    fleet_presence_touch(f, w->deployment);
}

/* Reports of all workers together stay under about a thousand a second. */
double fleet_report_interval_ms(const struct cfg_fleet *f)
{
    return f->n_workers > f->report_interval_ms ? (double)f->n_workers : f->report_interval_ms;
}

static void free_worker(struct fleet_worker *w)
{
    drop_contract(w);
    fleet_drop_skills(w);
    free(w->about);
    free(w->group);
    free(w->address);
    free(w->kept);
    free(w->old);
    cJSON_Delete(w->ceilings);
    fleet_told_finish(&w->told);
    free(w);
}

void fleet_remove_worker(struct cfg_fleet *f, struct fleet_worker *w)
{
    fleet_disconnect(f, w);
    (void)tdelete(w, &w->deployment->workers, by_id);
    w->deployment->n--;
    f->n_workers--;
    free_worker(w);
}

struct walk {
    void (*fn)(struct fleet_worker *w, void *arg);
    void *arg;
};

static void visit(const void *node, VISIT which, void *closure)
{
    const struct walk *walk = closure;
    if (which == postorder || which == leaf) /* in order, once each */
        walk->fn(*(struct fleet_worker *const *)node, walk->arg);
}

void fleet_each_worker(const struct fleet_deployment *d, void (*fn)(struct fleet_worker *w, void *arg), void *arg)
{
    struct walk walk = {fn, arg};
    twalk_r(d->workers, visit, &walk);
}

unsigned fleet_flaps(const struct fleet_worker *w, uint64_t now_ms)
{
    uint64_t last = w->replaced_ms[FLEET_FLAPS - 1];
    unsigned n = 0;
    if (last == 0 || now_ms - last > FLAP_SHOWN_MS)
        return 0;
    for (size_t i = 0; i < FLEET_FLAPS; i++)
        if (w->replaced_ms[i] != 0 && last - w->replaced_ms[i] <= FLAP_WINDOW_MS)
            n++;
    return n >= FLEET_FLAPS - 1 ? n : 0;
}

/* --- streams --- */

int cfg_fleet_stream_opened(struct cfg_fleet *f, const char *deployment, const char *worker, const char *incarnation,
                            cfg_fleet_superseded_fn superseded, void *arg, struct cfg_error *err)
{
    struct fleet_worker *w = fleet_find_worker(fleet_find_deployment(f, deployment), worker);
    if (w == NULL || strcmp(w->incarnation, incarnation) != 0) {
        for (size_t i = 0; w && i < w->n_old; i++)
            if (strcmp(w->old[i], incarnation) == 0)
                return cfg_fail(err, CFG_E_SUPERSEDED, "worker %s of %s has been replaced by a newer incarnation",
                                worker, deployment);
        (void)cfg_fail(err, CFG_E_UNKNOWN_WORKER, "worker %s of %s is not registered here", worker, deployment);
        cfg_error_set_hint(err, "register with POST /v1/deployments/%s/workers", deployment);
        return CFG_E_UNKNOWN_WORKER;
    }
    cfg_fleet_superseded_fn before = w->superseded;
    void *stream = w->stream;
    w->superseded = superseded;
    w->stream = arg;
    if (before) { /* the same process, back before its lost connection was noticed here */
        before(stream, false);
        return 0;
    }
    w->contract->connected++;
    if (w->skills)
        w->skills->connected++;
    w->deployment->connected++;
    f->n_connected++;
    fleet_presence_touch(f, w->deployment);
    return 0;
}

void cfg_fleet_stream_closed(struct cfg_fleet *f, const char *deployment, const char *worker, void *arg)
{
    struct fleet_worker *w = fleet_find_worker(fleet_find_deployment(f, deployment), worker);
    if (w && w->superseded && w->stream == arg)
        fleet_disconnect(f, w);
}

void cfg_fleet_stream_holds(struct cfg_fleet *f, const char *deployment, const char *worker, void *arg,
                            struct cfg_rev have)
{
    struct fleet_worker *w = fleet_find_worker(fleet_find_deployment(f, deployment), worker);
    if (w && w->superseded && w->stream == arg)
        w->held = have;
}

/* --- life --- */

static char *copy(const char *s)
{
    return strdup(s ? s : "");
}

int cfg_fleet_new(struct cfg_fleet **out, const struct cfg_fleet_options *o, struct cfg_error *err)
{
    struct cfg_fleet *f = calloc(1, sizeof *f);
    if (f == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for the fleet");
    f->loop = o->loop;
    f->etcd = o->etcd;
    f->store = o->store;
    f->hub = o->hub;
    f->clock = o->clock ? o->clock : &cfg_clock_system;
    f->prefix = copy(o->prefix);
    f->replica_id = copy(o->replica_id);
    f->url = copy(o->advertise_url);
    f->lease_ttl_s = o->lease_ttl_s ? o->lease_ttl_s : LEASE_TTL_S;
    f->report_interval_ms = o->report_interval_ms ? o->report_interval_ms : REPORT_INTERVAL_MS;
    fleet_crew_init(f);
    int rc = f->prefix && f->replica_id && f->url ? fleet_presence_start(f, err)
                                                  : cfg_fail(err, CFG_E_NOMEM, "out of memory for the fleet");
    if (rc != 0) {
        cfg_fleet_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

static void free_tree_worker(void *w)
{
    free_worker(w);
}

void cfg_fleet_free(struct cfg_fleet *f)
{
    if (f == NULL)
        return;
    fleet_presence_stop(f);
    fleet_groups_finish(f);
    fleet_earlier_free(f);
    while (f->deployments) {
        struct fleet_deployment *d = f->deployments;
        f->deployments = d->next;
        tdestroy(d->workers, free_tree_worker);
        fleet_window_finish(&d->peers);
        fleet_exposures_finish(&d->exposures);
        fleet_refused_finish(d);
        fleet_runs_free(d);
        while (d->arms) {
            struct fleet_arm *a = d->arms;
            d->arms = a->next;
            fleet_window_finish(&a->window);
            free(a);
        }
        free(d);
    }
    free(f->prefix);
    free(f->replica_id);
    free(f->url);
    free(f);
}
