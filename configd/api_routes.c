/* The table of routes. Its order shows in Allow headers and near misses, nothing else. */
#include "configd/api.h"

enum { PATCHES = CFG_BODY_MERGE_PATCH | CFG_BODY_JSON_PATCH };

#define READ(pattern, handler)                                         \
    {                                                                  \
        "GET", pattern, CFG_ROLE_READER, false, CFG_BODY_NONE, handler \
    }
#define WRITE(method, pattern, body, handler)                  \
    {                                                          \
        method, pattern, CFG_ROLE_WRITER, false, body, handler \
    }
#define WORKER(method, pattern, role, body, handler) \
    {                                                \
        method, pattern, role, true, body, handler   \
    }
#define OPEN(pattern, handler)                                       \
    {                                                                \
        "GET", pattern, CFG_ROLE_NONE, false, CFG_BODY_NONE, handler \
    }

#define EVALUATE(pattern, handler)                                      \
    {                                                                   \
        "POST", pattern, CFG_ROLE_READER, false, CFG_BODY_JSON, handler \
    }

static const struct cfg_route routes[] = {
    READ("/v1/config", cfg_api_list_configs),
    READ("/v1/config/{ns}", cfg_api_get_config),
    WRITE("PUT", "/v1/config/{ns}", CFG_BODY_JSON, cfg_api_write),
    WRITE("PATCH", "/v1/config/{ns}", PATCHES, cfg_api_write),
    WRITE("DELETE", "/v1/config/{ns}", CFG_BODY_NONE, cfg_api_write),
    WRITE("PUT", "/v1/config/{ns}/extends", CFG_BODY_JSON, cfg_api_write_extends),
    READ("/v1/config/{ns}/explain", cfg_api_explain),
    READ("/v1/config/{ns}/dependents", cfg_api_dependents),
    READ("/v1/config/{ns}/versions", cfg_api_versions),
    READ("/v1/config/{ns}/versions/{n}", cfg_api_get_version),
    READ("/v1/config/{ns}/diff", cfg_api_diff_config),
    WRITE("POST", "/v1/config/{ns}/rollback", CFG_BODY_JSON, cfg_api_rollback),

    READ("/v1/flags", cfg_api_list_flags),
    READ("/v1/flags/{ns}", cfg_api_flagd),
    READ("/v1/flags/{ns}/{name}", cfg_api_get_flag),
    WRITE("PUT", "/v1/flags/{ns}/{name}", CFG_BODY_JSON, cfg_api_write),
    WRITE("PATCH", "/v1/flags/{ns}/{name}", PATCHES, cfg_api_write),
    WRITE("DELETE", "/v1/flags/{ns}/{name}", CFG_BODY_NONE, cfg_api_write),
    READ("/v1/flags/{ns}/{name}/versions", cfg_api_versions),
    READ("/v1/flags/{ns}/{name}/versions/{n}", cfg_api_get_version),
    WRITE("POST", "/v1/flags/{ns}/{name}/rollback", CFG_BODY_JSON, cfg_api_rollback),

    READ("/v1/evaluators/{ns}", cfg_api_get_evaluators),
    WRITE("PUT", "/v1/evaluators/{ns}", CFG_BODY_JSON, cfg_api_write),
    WRITE("PATCH", "/v1/evaluators/{ns}", PATCHES, cfg_api_write),
    WRITE("DELETE", "/v1/evaluators/{ns}", CFG_BODY_NONE, cfg_api_write),
    READ("/v1/evaluators/{ns}/versions", cfg_api_versions),
    READ("/v1/evaluators/{ns}/versions/{n}", cfg_api_get_version),
    WRITE("POST", "/v1/evaluators/{ns}/rollback", CFG_BODY_JSON, cfg_api_rollback),

    READ("/v1/schemas/{ns}", cfg_api_get_schema),
    WRITE("PUT", "/v1/schemas/{ns}", CFG_BODY_JSON, cfg_api_write),
    WRITE("DELETE", "/v1/schemas/{ns}", CFG_BODY_NONE, cfg_api_write),
    READ("/v1/schemas/{ns}/versions", cfg_api_versions),
    READ("/v1/schemas/{ns}/versions/{n}", cfg_api_get_version),
    WRITE("POST", "/v1/schemas/{ns}/rollback", CFG_BODY_JSON, cfg_api_rollback),

    EVALUATE("/ns/{ns}/ofrep/v1/evaluate/flags", cfg_api_ofrep_bulk),
    EVALUATE("/ns/{ns}/ofrep/v1/evaluate/flags/{key}", cfg_api_ofrep_flag),
    READ("/ns/{ns}/ofrep/v1/events", cfg_api_ofrep_events),
    EVALUATE("/ofrep/v1/evaluate/flags", cfg_api_ofrep_bulk),
    EVALUATE("/ofrep/v1/evaluate/flags/{key}", cfg_api_ofrep_flag),
    READ("/ofrep/v1/events", cfg_api_ofrep_events),

    WRITE("POST", "/v1/changes", CFG_BODY_JSON, cfg_api_change),

    READ("/v1/deployments", cfg_api_list_deployments),
    WRITE("POST", "/v1/deployments", CFG_BODY_JSON, cfg_api_create_deployment),
    WORKER("GET", "/v1/deployments/{d}", CFG_ROLE_READER, CFG_BODY_NONE, cfg_api_get_deployment),
    WRITE("PATCH", "/v1/deployments/{d}", PATCHES, cfg_api_write),
    WRITE("DELETE", "/v1/deployments/{d}", CFG_BODY_NONE, cfg_api_write),
    READ("/v1/deployments/{d}/versions", cfg_api_versions),
    READ("/v1/deployments/{d}/versions/{n}", cfg_api_get_version),
    READ("/v1/deployments/{d}/lock", cfg_api_lock),
    READ("/v1/deployments/{d}/log", cfg_api_deployment_log),
    READ("/v1/deployments/{d}/past", cfg_api_past),
    WORKER("GET", "/v1/deployments/{d}/view", CFG_ROLE_READER, CFG_BODY_NONE, cfg_api_view),
    WORKER("GET", "/v1/deployments/{d}/stream", CFG_ROLE_READER, CFG_BODY_NONE, cfg_stream_deployment),
    READ("/v1/deployments/{d}/fleet", cfg_api_fleet),
    READ("/v1/deployments/{d}/at", cfg_api_ran_at),
    READ("/v1/deployments/{d}/workers", cfg_api_workers),
    READ("/v1/deployments/{d}/outcomes", cfg_api_outcomes),
    READ("/v1/deployments/{d}/exposures", cfg_api_exposures),
    READ("/v1/deployments/{d}/contract", cfg_api_contract),
    EVALUATE("/v1/deployments/{d}/contract/check", cfg_api_check_contract),
    WORKER("GET", "/v1/deployments/{d}/groups/{g}", CFG_ROLE_READER, CFG_BODY_NONE, cfg_api_group),
    WORKER("POST", "/v1/deployments/{d}/workers", CFG_ROLE_WRITER, CFG_BODY_JSON, cfg_api_register),
    WORKER("POST", "/v1/deployments/{d}/workers/{id}/report", CFG_ROLE_WRITER, CFG_BODY_JSON, cfg_api_report),

    READ("/v1/experiments", cfg_api_list_experiments),
    WRITE("POST", "/v1/experiments", CFG_BODY_JSON, cfg_api_start_experiment),
    EVALUATE("/v1/experiments/plan", cfg_api_plan_experiment),
    READ("/v1/experiments/{e}", cfg_api_get_experiment),
    READ("/v1/experiments/{e}/report", cfg_api_experiment_report),
    WRITE("POST", "/v1/experiments/{e}/stop", CFG_BODY_JSON, cfg_api_stop_experiment),

    READ("/v1/rollouts", cfg_api_list_rollouts),
    WRITE("POST", "/v1/rollouts", CFG_BODY_JSON, cfg_api_start_rollout),
    READ("/v1/rollouts/{d}", cfg_api_get_rollout),
    READ("/v1/rollouts/{d}/history", cfg_api_rollout_history),
    WRITE("POST", "/v1/rollouts/{d}/pause", CFG_BODY_JSON, cfg_api_move_rollout),
    WRITE("POST", "/v1/rollouts/{d}/resume", CFG_BODY_JSON, cfg_api_move_rollout),
    WRITE("POST", "/v1/rollouts/{d}/approve", CFG_BODY_JSON, cfg_api_move_rollout),
    WRITE("POST", "/v1/rollouts/{d}/advance", CFG_BODY_JSON, cfg_api_move_rollout),
    WRITE("POST", "/v1/rollouts/{d}/abort", CFG_BODY_JSON, cfg_api_move_rollout),

    READ("/v1/watch", cfg_api_watch),
    READ("/v1/status", cfg_api_status),
    READ("/v1/health", cfg_api_health_details),
    READ("/v1/log", cfg_api_log),
    {"GET", "/v1/backup", CFG_ROLE_ADMIN, false, CFG_BODY_NONE, cfg_api_backup},
    {"POST", "/v1/restore", CFG_ROLE_ADMIN, false, CFG_BODY_NDJSON, cfg_api_restore},
    READ("/metrics", cfg_api_metrics),
    OPEN("/healthz", cfg_api_health),
    OPEN("/readyz", cfg_api_ready),
    OPEN("/openapi.json", cfg_api_openapi),
};

const struct cfg_route *cfg_api_routes(size_t *n)
{
    *n = sizeof routes / sizeof routes[0];
    return routes;
}
