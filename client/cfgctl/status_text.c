#include "client/cfgctl/status_text.h"
#include "client/cfgctl/rollout_text.h"
#include "client/cfgctl/table.h"

#include <stdio.h>
#include <string.h>

enum { METRICS = 4, LEAST_GROUPS = 3 };

static const char *const states[] = {"current",   "idle",     "draining", "pending",    "lagging", "forming", "drifted",
                                     "rejecting", "flapping", "stale",    "superseded", "foreign", "unknown", "gone"};
enum { STATES = sizeof states / sizeof states[0], GOOD = 4 }; /* the first GOOD run what they should */

const char *status_duration(char out[24], double us)
{
    if (us <= 0)
        (void)snprintf(out, 24, "-");
    else if (us < 1000)
        (void)snprintf(out, 24, "%.0fus", us);
    else if (us < 1e6)
        (void)snprintf(out, 24, us < 1e4 ? "%.1fms" : "%.0fms", us / 1000);
    else
        (void)snprintf(out, 24, us < 1e7 ? "%.1fs" : "%.0fs", us / 1e6);
    return out;
}

static const char *rate(char out[24], double per_second)
{
    (void)snprintf(out, 24, per_second <= 0 ? "-" : per_second < 100 ? "%.1f" : "%.0f", per_second);
    return out;
}

/* --- who is what --- */

static const char *color_of(size_t state)
{
    return state < GOOD ? "\033[32m" : state < 6 ? "\033[33m" : "\033[31m";
}

static void put_states(struct cfg_buf *out, const cJSON *summary, bool color)
{
    const char *comma = "";
    for (size_t i = 0; i < STATES; i++) {
        double n = cfg_json_get_num(cfg_json_get(summary, "states"), states[i], 0);
        if (n < 1)
            continue;
        cfg_buf_printf(out, "%s%s%.0f %s%s", comma, color ? color_of(i) : "", n, states[i], color ? "\033[0m" : "");
        comma = ", ";
    }
    cfg_buf_puts(out, comma[0] ? "\n" : "no workers\n");
}

static void put_head(struct cfg_buf *out, const cJSON *summary, const char *time, const struct status_size *size)
{
    const cJSON *replica;
    double unknown = cfg_json_get_num(summary, "unknown", 0);
    cfg_buf_puts(out, size->color ? "\033[1m" : "");
    cli_put_text(out, cfg_json_get_str(summary, "deployment", "?"));
    cfg_buf_puts(out, size->color ? "\033[0m" : "");
    cfg_buf_printf(out, "  %s  %.0f workers  %s\n", cfg_json_get_str(summary, "revision", "no view yet"),
                   cfg_json_get_num(summary, "workers", 0), time);
    put_states(out, summary, size->color);
    if (cfg_json_get_bool(summary, "stale", false))
        cfg_buf_puts(out, "this configd has lost etcd: there may be something newer\n");
    if (cfg_json_get_bool(summary, "partial", false))
        cfg_buf_printf(out, "partial: nothing is known of %.0f workers\n", unknown);
    cJSON_ArrayForEach(replica, cfg_json_get(summary, "replicas"))
    {
        if (cfg_json_get_bool(replica, "answered", true))
            continue;
        cfg_buf_puts(out, "  ");
        cli_put_text(out, cfg_json_get_str(replica, "replica", "?"));
        cfg_buf_puts(out, " did not answer: ");
        cli_put_text(out, cfg_json_get_str(replica, "why", "?"));
        cfg_buf_putc(out, '\n');
    }
}

/* --- arms --- */

static void put_metric(struct cfg_buf *out, const cJSON *m)
{
    double sd = cfg_json_get_num(m, "sd", 0), bad = cfg_json_get_num(m, "bad", 0);
    cli_put_text(out, m->string);
    cfg_buf_printf(out, " %.4g", cfg_json_get_num(m, "mean", 0));
    if (sd > 0)
        cfg_buf_printf(out, "±%.2g", sd);
    if (bad > 0)
        cfg_buf_printf(out, " (%.0f not finite)", bad);
}

static void add_arm(struct table *t, const cJSON *arm)
{
    struct cfg_buf metrics;
    char text[24];
    const cJSON *latency = cfg_json_get(arm, "latency"), *m;
    int n = 0, all = cJSON_GetArraySize(cfg_json_get(arm, "metrics"));
    table_add(t, cfg_json_get_str(arm, "arm", "?"));
    table_add_number(t, cfg_json_get_num(arm, "workers", 0));
    table_add_number(t, cfg_json_get_num(arm, "groups", 0));
    table_add(t, rate(text, cfg_json_get_num(arm, "step_rate", 0)));
    table_add(t, status_duration(text, cfg_json_get_num(latency, "p50_us", 0)));
    table_add(t, status_duration(text, cfg_json_get_num(latency, "p90_us", 0)));
    table_add(t, status_duration(text, cfg_json_get_num(latency, "p99_us", 0)));
    cfg_buf_init(&metrics, (size_t)1 << 16);
    cJSON_ArrayForEach(m, cfg_json_get(arm, "metrics"))
    {
        if (n++ == METRICS)
            break;
        cfg_buf_puts(&metrics, metrics.len > 0 ? ", " : "");
        put_metric(&metrics, m);
    }
    if (all > METRICS)
        cfg_buf_printf(&metrics, ", %d more", all - METRICS);
    table_add(t, metrics.len > 0 ? metrics.data : "-");
    cfg_buf_finish(&metrics);
}

static void put_arms(struct cfg_buf *out, const cJSON *summary, const struct status_size *size)
{
    const cJSON *arm, *arms = cfg_json_get(summary, "arms");
    struct table t;
    if (cJSON_GetArraySize(arms) == 0)
        return;
    table_init(&t, "ARM|WORKERS|GROUPS|STEPS/S|P50|P90|P99|METRICS");
    cJSON_ArrayForEach(arm, arms)
    {
        add_arm(&t, arm);
    }
    cfg_buf_putc(out, '\n');
    table_print(out, &t, size->width, size->color);
    table_finish(&t);
}

/* --- groups --- */

static void add_group(struct table *t, const cJSON *g)
{
    char text[32], duration[24];
    table_add(t, cfg_json_get_str(g, "group", "?"));
    table_add(t, cfg_json_get_str(g, "arm", "?"));
    (void)snprintf(text, sizeof text, "%.0f/%.0f", cfg_json_get_num(g, "ranks", 0), cfg_json_get_num(g, "world", 0));
    table_add(t, text);
    table_add(t, cfg_json_get_str(g, "state", "?"));
    table_add(t, cfg_json_get_str(g, "revision", "-"));
    table_add_number(t, cfg_json_get_num(g, "step", 0));
    table_add(t, rate(duration, cfg_json_get_num(g, "step_rate", 0)));
    table_add(t, status_duration(duration, cfg_json_get_num(g, "p50_us", 0)));
    table_add(t, status_duration(duration, cfg_json_get_num(g, "p99_us", 0)));
    table_add(t, cfg_json_get_str(g, "why", "-"));
}

static size_t lines_of(const struct cfg_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < out->len; i++)
        n += out->data[i] == '\n';
    return n;
}

/* How many groups there is room for, when the stragglers below them need some as well. */
static size_t room_for_groups(const struct cfg_buf *out, size_t stragglers, const struct status_size *size)
{
    size_t used = lines_of(out) + 3 + (stragglers > 0 ? stragglers + 2 : 0);
    if (size->height == 0)
        return SIZE_MAX;
    return size->height > used + LEAST_GROUPS ? size->height - used : LEAST_GROUPS;
}

static void put_groups(struct cfg_buf *out, const cJSON *summary, size_t most, const struct status_size *size)
{
    const cJSON *g, *groups = cfg_json_get(summary, "groups");
    double hidden = cfg_json_get_num(summary, "more", 0);
    size_t n = 0;
    struct table t;
    if (cJSON_GetArraySize(groups) == 0)
        return;
    table_init(&t, "GROUP|ARM|RANKS|STATE|REVISION|STEP|STEPS/S|P50|P99|WHY");
    cJSON_ArrayForEach(g, groups)
    {
        if (n++ < most)
            add_group(&t, g);
    }
    cfg_buf_putc(out, '\n');
    table_print(out, &t, size->width, size->color);
    table_finish(&t);
    hidden += n > most ? (double)(n - most) : 0;
    if (hidden > 0)
        cfg_buf_printf(out, "%.0f more groups\n", hidden);
}

static void put_stragglers(struct cfg_buf *out, const cJSON *summary, size_t most)
{
    const cJSON *s, *list = cfg_json_get(summary, "stragglers");
    size_t n = 0;
    cJSON_ArrayForEach(s, list)
    {
        if (n++ >= most)
            break;
        cfg_buf_puts(out, n == 1 ? "\n" : "");
        cli_put_text(out, cfg_json_get_str(s, "worker", "?"));
        cfg_buf_printf(out, " is %s: ", cfg_json_get_str(s, "state", "?"));
        cli_put_text(out, cfg_json_get_str(s, "why", "?"));
        cfg_buf_putc(out, '\n');
    }
}

/* One that is under way; or that the newest went back, which somebody may have to look into. */
static void put_rollout(struct cfg_buf *out, const cJSON *rollout, const struct status_size *size)
{
    const char *phase = cfg_json_get_str(cfg_json_get(rollout, "state"), "phase", "");
    bool went_back = strcmp(phase, "rolled-back") == 0;
    char age[32];
    if (rollout == NULL || (rollout_is_final(rollout) && !went_back))
        return;
    cfg_buf_puts(out, size->color ? went_back ? "\n\033[31m" : "\n\033[1m" : "\n");
    cfg_buf_puts(out, went_back ? "the last rollout was rolled back" : "rollout");
    cfg_buf_puts(out, size->color ? "\033[0m " : " ");
    if (!went_back) {
        rollout_summarize(out, rollout);
        return;
    }
    cfg_buf_printf(out, "%s ago (", cli_age(age, cfg_json_get_str(rollout, "time", "")));
    rollout_put_sides(out, rollout);
    cfg_buf_puts(out, "): ");
    cli_put_text(out, cfg_json_get_str(rollout, "reason", "?"));
    cfg_buf_puts(out, "; all of it: cfgctl rollout history ");
    cli_put_text(out, cfg_json_get_str(rollout, "deployment", "?"));
    cfg_buf_putc(out, '\n');
}

void status_describe(struct cfg_buf *out, const cJSON *summary, const cJSON *rollout, const char *time,
                     const char *note, const struct status_size *size)
{
    size_t stragglers = (size_t)cJSON_GetArraySize(cfg_json_get(summary, "stragglers")), most = stragglers;
    if (size->height > 0 && most > size->height / 4)
        most = size->height / 4;
    if (note) {
        cfg_buf_puts(out, size->color ? "\033[31m" : "");
        cli_put_text(out, note);
        cfg_buf_puts(out, size->color ? "\033[0m\n" : "\n");
    }
    put_head(out, summary, time, size);
    put_rollout(out, rollout, size);
    put_arms(out, summary, size);
    put_groups(out, summary, room_for_groups(out, most, size), size);
    put_stragglers(out, summary, most);
}

void status_line(struct cfg_buf *out, const cJSON *summary, const char *time)
{
    char text[24];
    const cJSON *arm;
    cfg_buf_printf(out, "%s ", time);
    cli_put_text(out, cfg_json_get_str(summary, "deployment", "?"));
    cfg_buf_printf(out, " %s workers=%.0f", cfg_json_get_str(summary, "revision", "-"),
                   cfg_json_get_num(summary, "workers", 0));
    for (size_t i = 0; i < STATES; i++) {
        double n = cfg_json_get_num(cfg_json_get(summary, "states"), states[i], 0);
        if (n > 0)
            cfg_buf_printf(out, " %s=%.0f", states[i], n);
    }
    cJSON_ArrayForEach(arm, cfg_json_get(summary, "arms"))
    {
        const cJSON *latency = cfg_json_get(arm, "latency");
        cfg_buf_puts(out, " arm=");
        cli_put_text(out, cfg_json_get_str(arm, "arm", "?"));
        cfg_buf_printf(out, " steps/s=%s", rate(text, cfg_json_get_num(arm, "step_rate", 0)));
        cfg_buf_printf(out, " p50=%s", status_duration(text, cfg_json_get_num(latency, "p50_us", 0)));
        cfg_buf_printf(out, " p99=%s", status_duration(text, cfg_json_get_num(latency, "p99_us", 0)));
    }
    if (cfg_json_get_bool(summary, "partial", false))
        cfg_buf_puts(out, " partial");
    cfg_buf_putc(out, '\n');
}
