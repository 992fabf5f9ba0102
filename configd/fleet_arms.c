/* Which arm a worker's group runs: by what the worker said of itself when it registered. */
#include "configd/fleet_internal.h"

#include <stdlib.h>

/* A worker that names no group is a group of its own. */
const char *fleet_assign(bool *apart, const struct cfg_deployment *d, const char *worker, const cJSON *about)
{
    const char *group = cfg_json_get_str(about, "group", "");
    const cJSON *labels = cfg_json_get(about, "labels");
    double point;
    group = group[0] ? group : worker;
    *apart = d->split.arm[0] != '\0' && !cfg_split_point(&point, &d->split, group, labels);
    return cfg_deployment_assign(d, group, labels);
}

const char *cfg_fleet_arm(const struct cfg_fleet *f, const struct cfg_deployment *d, const char *worker)
{
    const struct fleet_worker *w = fleet_find_worker(fleet_find_deployment(f, d->name), worker);
    cJSON *about = NULL;
    if (w == NULL || d->split.arm[0] == '\0')
        return CFG_ARM_BASE;
    if (w->about && cfg_json_parse(&about, cfg_slice_str(w->about), CFG_LIMIT_DEPTH + 8, NULL) != 0)
        return CFG_ARM_BASE;
    bool apart;
    const char *arm = fleet_assign(&apart, d, worker, about);
    cJSON_Delete(about);
    return arm;
}

struct assigning {
    const struct cfg_deployment *record;
    struct fleet_deployment *d;
};

static void assign(struct fleet_worker *w, void *arg)
{
    const struct assigning *a = arg;
    cJSON *about = NULL;
    if (a->record->split.arm[0] && w->about &&
        cfg_json_parse(&about, cfg_slice_str(w->about), CFG_LIMIT_DEPTH + 8, NULL) != 0)
        about = NULL;
    w->arm = fleet_arm_at(a->d, fleet_assign(&w->apart, a->record, w->id, about));
    cJSON_Delete(about);
}

void fleet_arms_assign(struct cfg_fleet *f, struct fleet_deployment *d)
{
    struct cfg_deployment record = {0};
    const struct cfg_object *o = cfg_store_find(f->store, CFG_KIND_DEPLOYMENT, d->name, "");
    if (o == NULL || o->deleted || cfg_deployment_read(&record, o, NULL) != 0)
        return;
    struct assigning a = {&record, d};
    d->has_apart = record.split.where || record.split.by[0];
    if (!d->has_apart)
        fleet_window_finish(&d->peers);
    fleet_each_worker(d, assign, &a);
    cfg_deployment_finish(&record);
}
