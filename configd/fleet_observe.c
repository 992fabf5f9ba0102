/* What this replica sees of the arms of a deployment whose rollout runs. */
#include "configd/fleet_observe.h"
#include "configd/fleet_internal.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct seen_group {
    const char *name; /* borrowed from a worker */
};

struct observing {
    struct cfg_observation *out;
    const struct cfg_fleet *fleet;
    const struct cfg_deployment *record;
    struct fleet_targets targets;
    uint64_t now_ms;
    void *groups; /* tsearch tree of names */
    void *units;  /* likewise, owned: values of the label that groups move by */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void keep(void *name)
{
    (void)name; /* a worker's */
}

/* Whether the group is met for the first time. Without memory it is counted again. */
static bool is_new_group(struct observing *x, const char *group)
{
    if (tfind(group, &x->groups, by_name))
        return false;
    (void)tsearch(group, &x->groups, by_name);
    return true;
}

/* Groups that move together count once. Without memory they count each. */
static void count_unit(struct observing *x, const cJSON *labels)
{
    const char *value = cfg_json_get_str(labels, x->record->split.by, "");
    if (x->record->split.by[0] && tfind(value, &x->units, by_name))
        return;
    x->out->units++;
    char *copy = x->record->split.by[0] ? cfg_slice_dup(cfg_slice_str(value)) : NULL;
    if (copy && tsearch(copy, &x->units, by_name) == NULL)
        free(copy);
}

static void count_group(struct observing *x, const struct fleet_worker *w, struct cfg_arm_report *r)
{
    double point;
    cJSON *about = NULL;
    r->groups++;
    if (x->record->split.arm[0] == '\0')
        return;
    if (w->about && cfg_json_parse(&about, cfg_slice_str(w->about), CFG_LIMIT_DEPTH + 8, NULL) != 0)
        about = NULL;
    if (cfg_split_point(&point, &x->record->split, w->group ? w->group : w->id, cfg_json_get(about, "labels"))) {
        x->out->eligible++;
        count_unit(x, cfg_json_get(about, "labels"));
        if (point < x->out->lowest)
            x->out->lowest = point;
        if (point > x->out->highest)
            x->out->highest = point;
    }
    cJSON_Delete(about);
}

static void count_worker(struct fleet_worker *w, void *arg)
{
    struct observing *x = arg;
    const char *arm = w->arm ? w->arm->name : CFG_ARM_BASE;
    struct cfg_arm_report *r = strcmp(arm, CFG_ARM_CANARY) == 0 ? &x->out->canary : &x->out->base;
    struct fleet_facts facts;
    if (w->superseded == NULL)
        return;
    const struct fleet_target *target = fleet_targets_at(&x->targets, arm);
    fleet_facts_of(&facts, x->fleet, w, x->now_ms);
    r->workers++;
    r->converged += target->known && fleet_converged(&facts, target);
    r->rejecting += target->known && fleet_state_of(&facts, target) == FLEET_REJECTING;
    if (is_new_group(x, w->group ? w->group : w->id))
        count_group(x, w, r);
}

static void add_metrics(struct cfg_arm_report *r, const struct fleet_deployment *d, const char *arm,
                        const struct cfg_fleet_lately *lately)
{
    const struct fleet_arm *a = d->arms;
    struct fleet_sum sum;
    while (a && strcmp(a->name, arm) != 0)
        a = a->next;
    if (a == NULL)
        return;
    fleet_window_sum(&sum, &a->window, lately->since_ms, lately->until_ms);
    r->latency = sum.latency;
    for (size_t i = 0; i < lately->n_metrics; i++) {
        struct cfg_moments *m = cfg_arm_report_add(r, lately->metrics[i]);
        if (m)
            fleet_window_moments(m, &a->window, lately->since_ms, lately->until_ms, lately->metrics[i]);
    }
}

bool cfg_fleet_observe(struct cfg_observation *out, struct cfg_fleet *f, const struct cfg_deployment *record,
                       const struct cfg_fleet_lately *lately)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, record->name);
    struct observing x = {.out = out, .fleet = f, .record = record, .now_ms = fleet_now_ms(f)};
    if (d == NULL || d->connected == 0)
        return false;
    x.targets = (struct fleet_targets){.fleet = f, .deployment = record->name};
    out->lowest = 1;
    fleet_each_worker(d, count_worker, &x);
    tdestroy(x.groups, keep);
    tdestroy(x.units, free);
    add_metrics(&out->base, d, CFG_ARM_BASE, lately);
    add_metrics(&out->canary, d, CFG_ARM_CANARY, lately);
    return true;
}

uint64_t cfg_fleet_now_ms(const struct cfg_fleet *f)
{
    return fleet_now_ms(f);
}

void cfg_fleet_forget_arm(struct cfg_fleet *f, const char *deployment, const char *arm, struct cfg_rev since)
{
    struct fleet_deployment *d = fleet_find_deployment(f, deployment);
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

bool cfg_fleet_knows_metric(const struct cfg_fleet *f, const char *deployment, const char *metric)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    for (const struct fleet_arm *a = d ? d->arms : NULL; a; a = a->next)
        if (has((const char *const *)a->window.names, a->window.n_names, metric))
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
