/* What this replica sees of the arms of a deployment whose rollout runs. */
#include "configd/fleet_observe.h"
#include "configd/fleet_internal.h"
#include "configd/rollout_census.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct observing {
    struct cfg_observation *out;
    const struct cfg_fleet *fleet;
    struct fleet_targets targets;
    struct cfg_census census;
    uint64_t now_ms, gone_ms;
    uint64_t came[2], went[2]; /* of the base, of the canary */
};

/* What a worker says of itself is parsed only where it counts. */
static void count_group(struct observing *x, const struct fleet_worker *w, struct cfg_arm_report *r)
{
    const char *group = w->group ? w->group : w->id;
    cJSON *about = NULL;
    if (!cfg_census_wants(&x->census, group))
        return;
    if (x->census.split->arm[0] && w->about &&
        cfg_json_parse(&about, cfg_slice_str(w->about), CFG_LIMIT_DEPTH + 8, NULL) != 0)
        about = NULL;
    r->groups += cfg_census_add(&x->census, group, cfg_json_get(about, "labels"));
    cJSON_Delete(about);
}

static void count_worker(struct fleet_worker *w, void *arg)
{
    struct observing *x = arg;
    const char *arm = w->arm ? w->arm->name : CFG_ARM_BASE;
    bool canary = strcmp(arm, CFG_ARM_CANARY) == 0;
    struct cfg_arm_report *r = canary ? &x->out->canary : &x->out->base;
    struct fleet_facts facts;
    x->came[canary] += w->added_ms >= x->gone_ms;
    x->went[canary] += w->superseded == NULL && w->gone_ms >= x->gone_ms;
    if (w->superseded == NULL)
        return;
    const struct fleet_target *target = fleet_targets_at(&x->targets, arm);
    fleet_facts_of(&facts, x->fleet, w, x->now_ms);
    r->workers++;
    r->converged += target->known && fleet_converged(&facts, target);
    r->rejecting += target->known && fleet_state_of(&facts, target) == FLEET_REJECTING;
    count_group(x, w, r);
}

static void add_metrics(struct cfg_arm_report *r, const struct fleet_window *w, const struct cfg_fleet_lately *lately)
{
    struct fleet_sum sum;
    fleet_window_sum(&sum, w, lately->since_ms, lately->until_ms);
    r->latency = sum.latency;
    for (size_t i = 0; i < lately->n_metrics; i++) {
        struct cfg_moments *m = cfg_arm_report_add(r, lately->metrics[i]);
        if (m)
            fleet_window_moments(m, w, lately->since_ms, lately->until_ms, lately->metrics[i]);
    }
}

/* A canary that is chosen by labels is compared with those who have them, too: others may be faster by nature. */
static const struct fleet_window *window_of(const struct fleet_deployment *d, const char *arm)
{
    static const struct fleet_window none;
    if (d->has_apart && strcmp(arm, CFG_ARM_BASE) == 0)
        return &d->peers;
    for (const struct fleet_arm *a = d->arms; a; a = a->next)
        if (strcmp(a->name, arm) == 0)
            return &a->window;
    return &none;
}

bool cfg_fleet_observe(struct cfg_observation *out, struct cfg_fleet *f, const struct cfg_deployment *record,
                       const struct cfg_fleet_lately *lately)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, record->name);
    struct observing x = {.out = out, .fleet = f, .now_ms = fleet_now_ms(f), .gone_ms = lately->gone_ms};
    if (d == NULL || d->connected == 0)
        return false;
    x.targets = (struct fleet_targets){.fleet = f, .deployment = record->name};
    cfg_census_begin(&x.census, &record->split);
    fleet_each_worker(d, count_worker, &x);
    cfg_census_tell(out, &x.census);
    out->base.lost = x.went[0] > x.came[0] ? x.went[0] - x.came[0] : 0;
    out->canary.lost = x.went[1] > x.came[1] ? x.went[1] - x.came[1] : 0;
    add_metrics(&out->base, window_of(d, CFG_ARM_BASE), lately);
    add_metrics(&out->canary, window_of(d, CFG_ARM_CANARY), lately);
    return true;
}

uint64_t cfg_fleet_now_ms(const struct cfg_fleet *f)
{
    return fleet_now_ms(f);
}

void cfg_fleet_forget_arm(struct cfg_fleet *f, const char *deployment, const char *arm, struct cfg_rev since)
{
    struct fleet_deployment *d = fleet_add_deployment(f, deployment); /* its workers may come later */
    struct fleet_arm *a = d ? fleet_arm_at(d, arm) : NULL;
    if (a == NULL)
        return;
    fleet_window_finish(&a->window);
    a->since = since;
}

static bool has(const char *const names[], size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

size_t cfg_fleet_metrics(const struct cfg_fleet *f, const char *deployment, const char *names[], size_t max)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    size_t n = 0;
    for (const struct fleet_arm *a = d ? d->arms : NULL; a; a = a->next)
        for (size_t i = 0; i < a->window.n_names && n < max; i++)
            if (!has(names, n, a->window.names[i]))
                names[n++] = a->window.names[i];
    return n;
}

size_t cfg_fleet_connected_here(const struct cfg_fleet *f, const char *deployment)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    return d ? d->connected : 0;
}
