/* Which arm a worker's group runs: by what the worker said of itself when it registered. */
#include "configd/fleet_internal.h"

#include <stdlib.h>

/* A worker that names no group is a group of its own. */
const char *fleet_assign(const struct cfg_deployment *d, const char *worker, const cJSON *about)
{
    const char *group = cfg_json_get_str(about, "group", "");
    return cfg_deployment_assign(d, group[0] ? group : worker, cfg_json_get(about, "labels"));
}

const char *cfg_fleet_arm(const struct cfg_fleet *f, const struct cfg_deployment *d, const char *worker)
{
    const struct fleet_worker *w = fleet_find_worker(fleet_find_deployment(f, d->name), worker);
    cJSON *about = NULL;
    if (w == NULL || d->split.arm[0] == '\0')
        return CFG_ARM_BASE;
    if (w->about && cfg_json_parse(&about, cfg_slice_str(w->about), CFG_LIMIT_DEPTH + 8, NULL) != 0)
        return CFG_ARM_BASE;
    const char *arm = fleet_assign(d, worker, about);
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
    w->arm = fleet_arm_at(a->d, fleet_assign(a->record, w->id, about));
    cJSON_Delete(about);
}

void fleet_arms_assign(struct cfg_fleet *f, struct fleet_deployment *d)
{
    struct cfg_deployment record = {0};
    const struct cfg_object *o = cfg_store_find(f->store, CFG_KIND_DEPLOYMENT, d->name, "");
    if (o == NULL || o->deleted || cfg_deployment_read(&record, o, NULL) != 0)
        return;
    struct assigning a = {&record, d};
    fleet_each_worker(d, assign, &a);
    cfg_deployment_finish(&record);
}
