/* For whom do the ranks of a group wait? One that is silent, gone or refuses the view holds all of them: every one is
 * behind then, and it is the one that has to be named. */
#include "configd/fleet_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORTS_LATE = 2 }; /* a rank that has not reported for so many intervals may be the one */

struct blaming {
    struct fleet_blame *blame;
    const struct cfg_fleet *fleet;
    struct fleet_targets targets;
};

/* 0: it holds nobody up, as far as can be told. */
static unsigned guilt(const struct fleet_facts *x, enum fleet_state s)
{
    switch (s) {
    case FLEET_GONE:
        return 4;
    case FLEET_STALE:
        return 3;
    case FLEET_REJECTING:
        return 2;
    default:
        return x->report_age_ms >= REPORTS_LATE * x->interval_ms;
    }
}

static void look_at(struct fleet_worker *w, void *arg)
{
    struct blaming *b = arg;
    struct fleet_facts x;
    if (w->world < 2 || w->group == NULL)
        return;
    fleet_facts_of(&x, b->fleet, w, b->blame->now_ms);
    const struct fleet_target *t = fleet_targets_at(&b->targets, w->arm ? w->arm->name : CFG_ARM_BASE);
    b->blame->items[b->blame->n++] =
        (struct fleet_blamed){w, guilt(&x, fleet_state_of(&x, t)), x.report_age_ms, x.connected};
}

static int by_rank(const void *a, const void *b)
{
    const struct fleet_blamed *x = a, *y = b;
    int c = strcmp(x->worker->group, y->worker->group);
    if (c == 0)
        c = (x->worker->rank > y->worker->rank) - (x->worker->rank < y->worker->rank);
    return c ? c : (int)y->connected - (int)x->connected;
}

/* Keeps the guilty. A rank that is gone is history where another process is that rank now. */
static void drop_others(struct fleet_blame *b)
{
    size_t kept = 0;
    bool filled = false;
    qsort(b->items, b->n, sizeof *b->items, by_rank);
    for (size_t i = 0; i < b->n; i++) {
        struct fleet_blamed x = b->items[i];
        bool same = i > 0 && b->items[i - 1].worker->rank == x.worker->rank &&
                    strcmp(b->items[i - 1].worker->group, x.worker->group) == 0;
        filled = (same && filled) || x.connected;
        x.guilt = filled && !x.connected ? 0 : x.guilt;
        b->items[i].guilt = x.guilt;
    }
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].guilt > 0)
            b->items[kept++] = b->items[i];
    b->n = kept;
}

static int by_group(const void *a, const void *b)
{
    const struct fleet_blamed *x = a, *y = b;
    int c = strcmp(x->worker->group, y->worker->group);
    if (c == 0)
        c = (x->guilt < y->guilt) - (x->guilt > y->guilt);
    return c ? c : (x->age_ms < y->age_ms) - (x->age_ms > y->age_ms);
}

void fleet_blame_init(struct fleet_blame *out, const struct cfg_fleet *f, const struct fleet_deployment *d,
                      uint64_t now_ms)
{
    *out = (struct fleet_blame){.now_ms = now_ms, .items = d ? calloc(d->n + 1, sizeof *out->items) : NULL};
    struct blaming b = {out, f, {.fleet = f, .deployment = d ? d->name : ""}};
    if (out->items == NULL)
        return;
    fleet_each_worker(d, look_at, &b);
    drop_others(out);
    qsort(out->items, out->n, sizeof *out->items, by_group);
}

void fleet_blame_finish(struct fleet_blame *b)
{
    free(b->items);
    *b = (struct fleet_blame){.items = NULL};
}

static int is_of(const void *group, const void *item)
{
    return strcmp(group, ((const struct fleet_blamed *)item)->worker->group);
}

/* The worst of its group; NULL: none. */
static const struct fleet_blamed *worst_of(const struct fleet_blame *b, const char *group)
{
    const struct fleet_blamed *found = b->n > 0 ? bsearch(group, b->items, b->n, sizeof *b->items, is_of) : NULL;
    while (found && found > b->items && strcmp(found[-1].worker->group, group) == 0)
        found--;
    return found;
}

void fleet_blame_why(char out[FLEET_WHY], enum fleet_state s, const struct fleet_blame *b, const struct fleet_worker *w)
{
    const struct fleet_blamed *x = s == FLEET_LAGGING && w->group ? worst_of(b, w->group) : NULL;
    char told[48];
    if (x == NULL)
        return;
    (void)snprintf(told, sizeof told, "silent for %" PRIu64 " s", x->age_ms / 1000);
    if (x->worker == w)
        (void)snprintf(out, FLEET_WHY, "its group waits for it: it has been %s", told);
    else
        (void)snprintf(out, FLEET_WHY, "waiting for rank %u (%.200s), which %s%s", x->worker->rank, x->worker->id,
                       x->guilt == 4   ? "is gone"
                       : x->guilt == 2 ? "refuses the view"
                                       : "has been ",
                       x->guilt == 4 || x->guilt == 2 ? "" : told);
}
