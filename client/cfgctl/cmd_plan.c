/* plan: what a set would do. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/plan.h"

/* What the server refuses outright blocks the plan, too. */
static int as_blocked(int rc, struct cfg_error *err)
{
    int exit_code = cfg_code_exit(rc);
    if (exit_code != cfg_code_exit(CFG_E_CONFLICT) && exit_code != cfg_code_exit(CFG_E_VALUE))
        return rc;
    err->code = CFG_E_VALUE;
    return cfg_error_wrap(err, "blocked");
}

int cmd_plan(struct cli *c, struct cfg_error *err)
{
    cJSON *changes = NULL, *reply = NULL;
    int rc = set_changes(&changes, c, err);
    if (rc != 0)
        return rc;
    rc = plan_ask(c, changes, &reply, err);
    cJSON_Delete(changes);
    if (rc != 0)
        return as_blocked(rc, err);
    rc = plan_show(c, reply, false, false, err);
    if (rc == 0)
        rc = plan_check(reply, err);
    cJSON_Delete(reply);
    return rc;
}
