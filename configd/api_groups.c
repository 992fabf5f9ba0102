/* Rank groups: where a group's ranks meet. */
#include "configd/api.h"
#include "configd/fleet_groups.h"

static void answer(void *call)
{
    struct cfg_call *c = call;
    cfg_api_reply(c, 200, cfg_fleet_group(cfg_call_app(c)->fleet, cfg_call_param(c, "d"), cfg_call_param(c, "g")));
}

void cfg_api_group(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    struct cfg_object *o;
    uint64_t wait_ms = 0;
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_DEPLOYMENT, c, &err);
    rc = rc ? rc : cfg_check_id("group", cfg_slice_str(cfg_call_param(c, "g")), &err);
    rc = rc ? rc : cfg_api_number(&wait_ms, c, "wait_ms", 0, &err);
    rc = rc ? rc : cfg_api_head(&o, app, &id, &err);
    if (rc == 0 && wait_ms > CFG_GROUP_WAIT_MAX_MS)
        wait_ms = CFG_GROUP_WAIT_MAX_MS;
    bool waits = rc == 0 && wait_ms > 0 && !cfg_fleet_group_has_root(app->fleet, id.ns, cfg_call_param(c, "g"));
    if (waits)
        rc = cfg_fleet_group_wait(app->fleet, id.ns, cfg_call_param(c, "g"), (unsigned)wait_ms, answer, c, &err);
    if (rc != 0)
        cfg_call_fail(c, &err, NULL);
    else if (!waits)
        answer(c);
}
