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
