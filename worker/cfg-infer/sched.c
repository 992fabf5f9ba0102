/* See sched.h. */
#include "worker/cfg-infer/sched.h"
#include <stdlib.h>
#include <string.h>

struct cfg_sched_tenant {
    struct cfg_sched_tenant *next;
    struct cfg_sched_entry *first, *last; /* waiting, oldest first */
    unsigned n_running;
    uint64_t turn; /* when it came, or a request of it began or ended last */
    char name[];
};

void cfg_sched_init(struct cfg_sched *s, unsigned capacity)
{
    memset(s, 0, sizeof *s);
    s->capacity = capacity;
}

void cfg_sched_finish(struct cfg_sched *s)
{
    while (s->tenants != NULL) {
        struct cfg_sched_tenant *t = s->tenants;
        s->tenants = t->next;
        free(t);
    }
    cfg_sched_init(s, s->capacity);
}

static struct cfg_sched_tenant *tenant_of(struct cfg_sched *s, const char *name)
{
    for (struct cfg_sched_tenant *t = s->tenants; t != NULL; t = t->next) {
        if (strcmp(t->name, name) == 0) {
            return t;
        }
    }
    size_t size = strlen(name) + 1;
    struct cfg_sched_tenant *t = malloc(sizeof *t + size);
    if (t != NULL) {
        memset(t, 0, sizeof *t);
        memcpy(t->name, name, size);
        t->turn = ++s->turns; /* behind those who wait already, however many new ones come */
        t->next = s->tenants;
        s->tenants = t;
    }
    return t;
}

/* One that has nothing here is forgotten, so that the list is as long as the tenants are active. */
static void forget_if_idle(struct cfg_sched *s, const struct cfg_sched_tenant *t)
{
    if (t->first != NULL || t->n_running > 0) {
        return;
    }
    for (struct cfg_sched_tenant **at = &s->tenants; *at != NULL; at = &(*at)->next) {
        if (*at == t) {
            struct cfg_sched_tenant *idle = *at;
            *at = idle->next;
            free(idle);
            return;
        }
    }
}

static void append(struct cfg_sched_entry **first, struct cfg_sched_entry **last, struct cfg_sched_entry *e)
{
    e->prev = *last;
    e->next = NULL;
    *(*last != NULL ? &(*last)->next : first) = e;
    *last = e;
}

static void take_out(struct cfg_sched_entry **first, struct cfg_sched_entry **last, struct cfg_sched_entry *e)
{
    *(e->prev != NULL ? &e->prev->next : first) = e->next;
    *(e->next != NULL ? &e->next->prev : last) = e->prev;
    e->prev = e->next = NULL;
}

static unsigned places(const struct cfg_sched *s, unsigned cap)
{
    unsigned most = cap < s->capacity ? cap : s->capacity;
    return most > s->n_running ? most - s->n_running : 0;
}

int cfg_sched_submit(struct cfg_sched *s, struct cfg_sched_entry *e, const char *tenant, unsigned cap, unsigned limit,
                     struct cfg_error *err)
{
    if (s->n_waiting >= (uint64_t)places(s, cap) + limit) {
        return cfg_fail(err, CFG_E_RATE, "%u requests are waiting already", s->n_waiting);
    }
    struct cfg_sched_tenant *t = tenant_of(s, tenant);
    if (t == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    e->tenant = t;
    e->running = false;
    append(&t->first, &t->last, e);
    s->n_waiting++;
    return 0;
}

void cfg_sched_remove(struct cfg_sched *s, struct cfg_sched_entry *e)
{
    struct cfg_sched_tenant *t = e->tenant;
    if (t == NULL) {
        return;
    }
    if (e->running) {
        take_out(&s->first, &s->last, e);
        s->n_running--;
        t->n_running--;
        t->turn = ++s->turns;
    } else {
        take_out(&t->first, &t->last, e);
        s->n_waiting--;
    }
    e->tenant = NULL;
    e->running = false;
    forget_if_idle(s, t);
}

static struct cfg_sched_tenant *whose_turn(const struct cfg_sched *s)
{
    struct cfg_sched_tenant *best = NULL;
    for (struct cfg_sched_tenant *t = s->tenants; t != NULL; t = t->next) {
        if (t->first != NULL && (best == NULL || t->n_running < best->n_running ||
                                 (t->n_running == best->n_running && t->turn < best->turn))) {
            best = t;
        }
    }
    return best;
}

struct cfg_sched_entry *cfg_sched_plan(struct cfg_sched *s, unsigned cap)
{
    while (s->n_waiting > 0 && places(s, cap) > 0) {
        struct cfg_sched_tenant *t = whose_turn(s);
        struct cfg_sched_entry *e = t->first;
        take_out(&t->first, &t->last, e);
        append(&s->first, &s->last, e);
        e->running = true;
        t->n_running++;
        t->turn = ++s->turns;
        s->n_running++;
        s->n_waiting--;
    }
    return s->first;
}

bool cfg_sched_draining(const struct cfg_sched *s, unsigned cap)
{
    return s->n_running > cap;
}

static void sweep(struct cfg_sched *s, struct cfg_sched_entry *e, bool (*leaves)(const struct cfg_sched_entry *e),
                  struct cfg_sched_entry **gone)
{
    while (e != NULL) {
        struct cfg_sched_entry *next = e->next;
        if (leaves(e)) {
            cfg_sched_remove(s, e);
            e->next = *gone;
            *gone = e;
        }
        e = next;
    }
}

struct cfg_sched_entry *cfg_sched_sweep(struct cfg_sched *s, bool (*leaves)(const struct cfg_sched_entry *e))
{
    struct cfg_sched_entry *gone = NULL;
    struct cfg_sched_tenant *next;
    sweep(s, s->first, leaves, &gone);
    for (struct cfg_sched_tenant *t = s->tenants; t != NULL; t = next) {
        next = t->next; /* the last entry takes its tenant along */
        sweep(s, t->first, leaves, &gone);
    }
    return gone;
}

size_t cfg_sched_buckets(uint32_t *out, size_t max, unsigned capacity)
{
    size_t n = 0;
    for (uint32_t size = 1; size < capacity && n + 1 < max; size *= 2) {
        out[n++] = size;
    }
    out[n++] = capacity;
    return n;
}
