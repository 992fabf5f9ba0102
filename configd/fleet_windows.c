/* What reports say of steps: windows, each with its number, its steps' durations and its metrics.
 *
 * A worker sends a window again, unchanged, until a report that held it was acknowledged, so every number of an
 * incarnation is counted once: the numbers rise, and what is not above the newest counted is known. A worker that moves
 * to another configd with a window under way may have it counted at both, once each. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"

#include <stdio.h>
#include <string.h>

enum { WINDOWS_MAX = 8 };

static int at(struct cfg_error *err, int index, const char *member)
{
    cfg_error_set_path(err, "windows[%d].%s", index, member);
    return err ? err->code : CFG_E_INVALID;
}

static int invalid(struct cfg_error *err, int index, const char *member, const char *must)
{
    int rc = cfg_fail(err, CFG_E_INVALID, "windows[%d].%s must be %s", index, member, must);
    cfg_error_set_path(err, "windows[%d].%s", index, member);
    return rc;
}

static int check_metrics(const cJSON *metrics, int i, struct cfg_error *err)
{
    struct cfg_moments m;
    const cJSON *v;
    int n = 0, rc = 0;
    if (metrics && !cJSON_IsObject(metrics))
        return invalid(err, i, "metrics", "an object");
    cJSON_ArrayForEach(v, metrics)
    {
        rc = rc                    ? rc
             : ++n > FLEET_METRICS ? cfg_fail(err, CFG_E_LIMIT, "a window has at most %d metrics", FLEET_METRICS)
                                   : 0;
        rc = rc ? rc : cfg_check_word("metric", cfg_slice_str(v->string), err);
        rc = rc ? rc : cfg_moments_parse(&m, v, err);
    }
    return rc ? at(err, i, "metrics") : 0;
}

static int check_numbers(const cJSON *w, int i, struct cfg_error *err)
{
    static const char *const counts[] = {"seq", "from_step", "to_step", "steps", "ms"};
    struct cfg_rev rev;
    uint64_t n[5];
    for (size_t k = 0; k < 5; k++)
        if (cfg_json_need_u64(w, counts[k], &n[k], NULL) != 0)
            return invalid(err, i, counts[k], "an integer of 0 or more");
    if (n[0] == 0)
        return invalid(err, i, "seq", "1 or more");
    if (cfg_rev_parse(&rev, cfg_slice_str(cfg_json_get_str(w, "revision", "")), NULL) != 0)
        return invalid(err, i, "revision", "an epoch and a revision, like 1-42");
    return 0;
}

static int check_window(const cJSON *w, int i, struct cfg_error *err)
{
    struct cfg_histogram latency;
    const cJSON *arm = cfg_json_get(w, "arm"), *durations = cfg_json_get(w, "latency");
    int rc = check_numbers(w, i, err);
    if (rc == 0 && arm && (!cJSON_IsString(arm) || cfg_check_name("arm", cfg_slice_str(arm->valuestring), NULL) != 0))
        rc = invalid(err, i, "arm", "the name of an arm");
    if (rc == 0 && durations && cfg_histogram_parse(&latency, durations, err) != 0)
        rc = at(err, i, "latency");
    return rc ? rc : check_metrics(cfg_json_get(w, "metrics"), i, err);
}

int fleet_windows_check(const cJSON *windows, struct cfg_error *err)
{
    int i = 0, rc = 0;
    if (windows && !cJSON_IsArray(windows))
        return fleet_invalid(err, "windows", "an array");
    for (const cJSON *w = windows ? windows->child : NULL; rc == 0 && w; w = w->next, i++)
        rc = i < WINDOWS_MAX ? check_window(w, i, err)
                             : cfg_fail(err, CFG_E_LIMIT, "a report carries at most %d windows", WINDOWS_MAX);
    return rc;
}

/* --- taking --- */

static uint32_t microseconds(uint64_t us)
{
    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* The newest window is what is shown of one worker; more is kept of arms alone. */
static void note_pace(struct fleet_worker *w, uint64_t now_ms, uint64_t steps, uint64_t ms,
                      const struct cfg_histogram *latency)
{
    w->window_ms = now_ms;
    w->step_rate = ms > 0 ? (float)steps * 1000.0f / (float)ms : 0;
    if (latency->n == 0)
        return;
    w->p50_us = microseconds(cfg_histogram_quantile(latency, 0.5));
    w->p99_us = microseconds(cfg_histogram_quantile(latency, 0.99));
}

struct fleet_pace fleet_pace_of(const struct fleet_worker *w, uint64_t now_ms)
{
    uint64_t slow_ms = 2 * (uint64_t)w->p99_us / 1000; /* whose steps take minutes has a window as seldom */
    if (w->window_ms == 0 || now_ms - w->window_ms > FLEET_SHOWN_MS + slow_ms)
        return (struct fleet_pace){0, 0, 0};
    return (struct fleet_pace){(double)w->step_rate, w->p50_us, w->p99_us};
}

static void take_window(const struct cfg_fleet *f, struct fleet_worker *w, const cJSON *window)
{
    struct cfg_histogram latency = {0};
    uint64_t steps = (uint64_t)cfg_json_get_num(window, "steps", 0), ms = (uint64_t)cfg_json_get_num(window, "ms", 0);
    const char *own = w->arm ? w->arm->name : "base";
    struct fleet_arm *arm = fleet_arm_at(w->deployment, cfg_json_get_str(window, "arm", own));
    const cJSON *durations = cfg_json_get(window, "latency"), *metric;
    struct cfg_moments m;
    if (durations && cfg_histogram_parse(&latency, durations, NULL) != 0)
        return; /* it was checked */
    note_pace(w, fleet_now_ms(f), steps, ms, &latency);
    struct cfg_rev rev = {0, 0};
    if (arm == NULL || cfg_rev_parse(&rev, cfg_slice_str(cfg_json_get_str(window, "revision", "")), NULL) != 0 ||
        cfg_rev_cmp(rev, arm->since) < 0)
        return;
    if (f->samples.window)
        f->samples.window(f->samples.arg, w->deployment->name, w->group, arm->name, cfg_json_get(window, "metrics"));
    uint64_t now = fleet_now_ms(f);
    bool peer = w->deployment->has_apart && !w->apart && strcmp(arm->name, "base") == 0;
    struct fleet_window *const sums[] = {&arm->window, &w->deployment->peers};
    for (size_t i = 0; i < (peer ? 2 : 1); i++)
        fleet_window_steps(sums[i], now, steps, ms, &latency);
    cJSON_ArrayForEach(metric, cfg_json_get(window, "metrics"))
    {
        for (size_t i = 0; i < (peer ? 2 : 1) && cfg_moments_parse(&m, metric, NULL) == 0; i++)
            fleet_window_metric(sums[i], now, metric->string, &m);
    }
}

void fleet_windows_take(const struct cfg_fleet *f, struct fleet_worker *w, const cJSON *windows)
{
    const cJSON *window;
    cJSON_ArrayForEach(window, windows)
    {
        uint64_t seq = (uint64_t)cfg_json_get_num(window, "seq", 0);
        if (seq <= w->window_seq)
            continue;
        w->window_seq = seq;
        take_window(f, w, window);
    }
}

/* --- asking --- */

uint64_t cfg_fleet_clock_ms(const struct cfg_fleet *f)
{
    return fleet_now_ms(f);
}

bool cfg_fleet_window(struct cfg_fleet_window *out, const struct cfg_fleet *f, const char *deployment, const char *arm,
                      uint64_t since_ms, uint64_t until_ms, const char *metric)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    const struct fleet_arm *a = d ? d->arms : NULL;
    struct fleet_sum sum;
    *out = (struct cfg_fleet_window){0};
    while (a && strcmp(a->name, arm) != 0)
        a = a->next;
    if (a == NULL)
        return false;
    fleet_window_sum(&sum, &a->window, since_ms, until_ms);
    out->steps = sum.steps;
    out->ms = sum.ms;
    out->latency = sum.latency;
    if (metric)
        fleet_window_moments(&out->metric, &a->window, since_ms, until_ms, metric);
    return true;
}
