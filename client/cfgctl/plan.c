#include "client/cfgctl/plan.h"

#include <string.h>

/* --- asking --- */

int plan_ask(struct cli *c, const cJSON *changes, cJSON **out, struct cfg_error *err)
{
    cJSON *reply = NULL;
    bool force = cli_has(c, OPT_FORCE);
    const char *with = "/v1/changes?dry_run=true&plan=true", *without = "/v1/changes?dry_run=true";
    if (force) {
        with = "/v1/changes?dry_run=true&plan=true&force=true";
        without = "/v1/changes?dry_run=true&force=true";
    }
    int rc = cli_call(c, "POST", with, changes, NULL, &reply, err);
    if (rc == CFG_E_INVALID && strstr(err->text, "\"plan\"")) /* a configd that is older than this cfgctl */
        rc = cli_call(c, "POST", without, changes, NULL, &reply, err);
    if (rc == 0 && !cJSON_IsArray(cfg_json_get(reply, "results")))
        rc = cfg_fail(err, CFG_E_PROTOCOL, "the server's reply says nothing of what would be done");
    if (rc == 0)
        rc = plan_complete(reply, err);
    if (rc != 0)
        cJSON_Delete(reply);
    else
        *out = reply;
    return rc;
}

/* --- a plan out of a dry run's reach --- */

/* workers < 0: unknown. NULL without memory. */
static cJSON *add_action(cJSON *plan, const char *deployment, const char *action, const char *path, double workers)
{
    cJSON *o = cJSON_CreateObject();
    bool good = o && cJSON_AddStringToObject(o, "deployment", deployment) &&
                cJSON_AddStringToObject(o, "action", action) && cJSON_AddStringToObject(o, "path", path);
    if (good && workers >= 0)
        good = cJSON_AddNumberToObject(o, "workers", workers) != NULL;
    if (good && cJSON_AddItemToArray(plan, o))
        return o;
    cJSON_Delete(o);
    return NULL;
}

static bool add_held(cJSON *plan, const cJSON *result)
{
    const cJSON *held;
    bool good = true;
    cJSON_ArrayForEach(held, cfg_json_get(result, "held"))
    {
        struct cfg_buf reason;
        cfg_buf_init(&reason, 256);
        cfg_buf_printf(&reason, "holds v%.0f", cfg_json_get_num(held, "version", 0));
        cJSON *o = add_action(plan, cfg_json_get_str(held, "deployment", "?"), "held", "", -1);
        good = good && o && cfg_buf_status(&reason) == 0 && cJSON_AddStringToObject(o, "reason", reason.data);
        cfg_buf_finish(&reason);
    }
    return good;
}

/* A dry run counts the workers of all deployments together. */
static bool add_reach(cJSON *plan, const cJSON *result)
{
    static const struct {
        const char *member, *action;
    } counts[] = {{"live", "live"}, {"pending_restart", "restart"}, {"unread", "unread"}, {"unknown", "unknown"}};
    const cJSON *reach = cfg_json_get(result, "reach"), *name;
    struct cfg_buf names;
    bool good = true;
    cfg_buf_init(&names, (size_t)1 << 16);
    cfg_buf_puts(&names, "");
    cJSON_ArrayForEach(name, cfg_json_get(reach, "deployments"))
    {
        cfg_buf_printf(&names, "%s%s", names.len > 0 ? "," : "", cJSON_IsString(name) ? name->valuestring : "?");
    }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        double workers = cfg_json_get_num(reach, counts[i].member, 0);
        if (workers > 0)
            good = good && add_action(plan, names.data, counts[i].action, "", workers) != NULL;
    }
    good = good && cfg_buf_status(&names) == 0;
    cfg_buf_finish(&names);
    return good;
}

int plan_complete(cJSON *reply, struct cfg_error *err)
{
    cJSON *result;
    const cJSON *kept;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        if (cfg_json_get(result, "plan"))
            continue;
        cJSON *plan = cJSON_AddArrayToObject(result, "plan");
        bool good = plan != NULL;
        if (cfg_json_get_bool(result, "unchanged", false))
            continue;
        good = good && add_held(plan, result);
        cJSON_ArrayForEach(kept, cfg_json_get(result, "kept"))
        {
            good = good && add_action(plan, cfg_json_get_str(kept, "deployment", "?"), "pinned",
                                      cfg_json_get_str(kept, "path", ""), -1);
        }
        if (!good || !add_reach(plan, result))
            return cli_no_memory(err);
    }
    return 0;
}

/* --- what blocks --- */

static unsigned count_refused(const cJSON *result)
{
    const cJSON *o;
    unsigned n = 0;
    cJSON_ArrayForEach(o, cfg_json_get(result, "plan"))
    {
        n += strcmp(cfg_json_get_str(o, "action", ""), "refused") == 0;
    }
    return n;
}

unsigned plan_blocks(const cJSON *reply)
{
    const cJSON *result;
    unsigned violations = 0, refused = 0;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        violations += (unsigned)cJSON_GetArraySize(cfg_json_get(result, "violations"));
        refused += count_refused(result);
    }
    return violations > 0 ? violations : refused; /* a refusal is a violation seen from its deployment */
}

bool plan_changes(const cJSON *reply)
{
    const cJSON *result;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        if (!cfg_json_get_bool(result, "unchanged", false))
            return true;
    }
    return false;
}

int plan_check(const cJSON *reply, struct cfg_error *err)
{
    unsigned n = plan_blocks(reply);
    if (n == 0)
        return 0;
    return cfg_fail(err, CFG_E_VALUE, "blocked by %u violation%s, named above", n, n == 1 ? "" : "s");
}
