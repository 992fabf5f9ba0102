#include "configd/rollout_waits.h"

#include <string.h>

static bool holds_any(const cJSON *guards)
{
    const cJSON *g;
    cJSON_ArrayForEach(g, guards)
    {
        if (strcmp(cfg_json_get_str(g, "verdict", ""), "holds") == 0)
            return true;
    }
    return false;
}

static const char *of_phase(const char *phase)
{
    static const struct {
        const char *phase, *reason;
    } rows[] = {{"gate", "gate"}, {"paused", "paused"}, {"frozen", "frozen"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(phase, rows[i].phase) == 0)
            return rows[i].reason;
    return NULL;
}

const char *cfg_rollout_waits(const cJSON *record, const cJSON *live, int64_t now_s)
{
    const cJSON *state = cfg_json_get(record, "state"), *arms = cfg_json_get(live, "arms");
    const cJSON *canary = cfg_json_get(arms, "canary");
    const cJSON *step = cJSON_GetArrayItem(cfg_json_get(record, "steps"), (int)cfg_json_get_num(state, "step", 0));
    const char *phase = cfg_json_get_str(state, "phase", ""), *reason = of_phase(phase);
    double groups = cfg_json_get_num(canary, "groups", 0), workers = cfg_json_get_num(canary, "workers", 0);
    bool baking = strcmp(phase, "baking") == 0, rolling = strcmp(phase, "rolling") == 0;
    bool scheduled = strcmp(phase, "scheduled") == 0;
    if (live == NULL)
        return "nothing";
    if (cfg_json_get_str(live, "driver", "")[0] == '\0')
        return "driver";
    if (reason)
        return reason;
    if (scheduled && cfg_json_get_num(record, "start_at", 0) > (double)now_s)
        return "schedule";
    if (baking && cfg_json_get_num(live, "baked_ms", 0) < cfg_json_get_num(step, "bake_ms", 0))
        return "baking";
    if (cfg_json_get_num(arms, "unknown", 0) > 0)
        return "replica";
    if (scheduled)
        return groups + cfg_json_get_num(cfg_json_get(arms, "base"), "groups", 0) > 0 ? "nothing" : "groups";
    if ((baking || rolling) && groups == 0)
        return "groups";
    if (rolling)
        return cfg_json_get_num(canary, "converged", 0) < workers ? "converging" : "nothing";
    if (baking)
        return holds_any(cfg_json_get(live, "guards")) ? "guard" : "nothing";
    return strcmp(phase, "rolling-back") == 0 ? "converging" : "nothing";
}
