/* /metrics about workers: those of this replica, by deployment, so that replicas add up. */
#include "configd/api.h"

#include "configd/http_auth.h"
#include "proto/histogram.h"

#include <stdio.h>
#include <string.h>

struct gathering {
    struct cfg_app *app;
    const struct cfg_principal *principal;
    cJSON *list; /* summaries */
};

static bool add_summary(struct cfg_object *o, void *arg)
{
    struct gathering *g = arg;
    char config[CFG_LIMIT_NAME + 1];
    const char *ns = cfg_api_deployment_config(g->app, o->id.ns, config);
    if (o->deleted || ns == NULL || !cfg_principal_sees(g->principal, ns))
        return true;
    cJSON *summary = cfg_fleet_summary(g->app->fleet, o->id.ns);
    if (summary && !cJSON_AddItemToArray(g->list, summary))
        cJSON_Delete(summary);
    return true;
}

/* A summary's part of this replica has a line per worker, which begins with its state: {STATE: how many}. */
static cJSON *count_states(const cJSON *summary)
{
    cJSON *states = cJSON_CreateObject();
    const char *line = cfg_json_get_str(summary, "roll", "");
    for (size_t n; states && *line; line += n + (line[n] == '\n')) {
        char state[32];
        n = strcspn(line, "\n");
        size_t word = strcspn(line, " \n");
        if (word == 0 || word >= sizeof state)
            continue;
        (void)snprintf(state, sizeof state, "%.*s", (int)word, line);
        double have = cfg_json_get_num(states, state, 0);
        if (cfg_json_set(states, state, cJSON_CreateNumber(have + 1)) != 0)
            continue; /* without memory one is not counted */
    }
    return states;
}

static void put_states(struct cfg_buf *out, const cJSON *list)
{
    const cJSON *summary, *state;
    cfg_metrics_head(out, "configd_deployment_workers", "gauge", "Workers of this replica by deployment and state.");
    cJSON_ArrayForEach(summary, list)
    {
        cJSON *states = count_states(summary);
        cJSON_ArrayForEach(state, states)
        {
            cfg_buf_puts(out, "configd_deployment_workers{deployment=");
            cfg_metrics_label(out, cfg_json_get_str(summary, "deployment", ""));
            cfg_buf_puts(out, ",state=");
            cfg_metrics_label(out, state->string);
            cfg_buf_printf(out, "} %.17g\n", state->valuedouble);
        }
        cJSON_Delete(states);
    }
}

static void put_arm(struct cfg_buf *out, const char *name, const cJSON *summary, const cJSON *arm, const char *quantile,
                    double value)
{
    cfg_buf_printf(out, "%s{deployment=", name);
    cfg_metrics_label(out, cfg_json_get_str(summary, "deployment", ""));
    cfg_buf_puts(out, ",arm=");
    cfg_metrics_label(out, cfg_json_get_str(arm, "arm", ""));
    cfg_buf_printf(out, "%s%s%s} %.17g\n", quantile ? ",quantile=\"" : "", quantile ? quantile : "",
                   quantile ? "\"" : "", value);
}

static void put_rates(struct cfg_buf *out, const cJSON *list)
{
    const cJSON *summary, *arm;
    cfg_metrics_head(out, "configd_arm_steps_per_second", "gauge",
                     "Steps of an arm's groups here, by their latest reports.");
    cJSON_ArrayForEach(summary, list)
    {
        cJSON_ArrayForEach(arm, cfg_json_get(summary, "arms"))
        {
            put_arm(out, "configd_arm_steps_per_second", summary, arm, NULL, cfg_json_get_num(arm, "step_rate", 0));
        }
    }
}

/* A replica's part tells durations as a histogram. */
static void put_arm_durations(struct cfg_buf *out, const cJSON *summary, const cJSON *arm)
{
    static const struct {
        double share;
        const char *quantile;
    } rows[] = {{0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}};
    struct cfg_histogram h;
    const cJSON *counts = cfg_json_get(arm, "counts");
    if (counts == NULL || counts->child == NULL || cfg_histogram_parse(&h, counts, NULL) != 0)
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        put_arm(out, "configd_arm_step_duration_seconds", summary, arm, rows[i].quantile,
                (double)cfg_histogram_quantile(&h, rows[i].share) / 1e6);
}

static void put_durations(struct cfg_buf *out, const cJSON *list)
{
    const cJSON *summary, *arm;
    cfg_metrics_head(out, "configd_arm_step_duration_seconds", "gauge", "How long its steps took, over a minute.");
    cJSON_ArrayForEach(summary, list)
    {
        cJSON_ArrayForEach(arm, cfg_json_get(summary, "arms"))
        {
            put_arm_durations(out, summary, arm);
        }
    }
}

void cfg_metrics_fleet(struct cfg_buf *out, struct cfg_app *app, const struct cfg_principal *p)
{
    struct gathering g = {app, p, cJSON_CreateArray()};
    if (g.list)
        cfg_store_each(app->store, CFG_KIND_DEPLOYMENT, NULL, add_summary, &g);
    put_states(out, g.list);
    put_rates(out, g.list);
    put_durations(out, g.list);
    cJSON_Delete(g.list);
}
