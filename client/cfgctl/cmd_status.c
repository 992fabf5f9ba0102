/* status: the server and its deployments, or a deployment's fleet: summed up, worker by worker, live. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/fleet.h"
#include "client/cfgctl/rollout_text.h"
#include "client/cfgctl/screen.h"
#include "client/cfgctl/status_text.h"
#include "client/cfgctl/table.h"
#include "client/cfgctl/when.h"
#include "proto/path.h"
#include "proto/rfc3339.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 1000 };

static void put_pair(struct cfg_buf *out, const char *name, const cJSON *value)
{
    if (value == NULL || cJSON_IsNull(value))
        return;
    cfg_buf_printf(out, "%-12s ", name);
    cli_put_value(out, value);
    cfg_buf_putc(out, '\n');
}

static void describe_server(struct cfg_buf *out, const cJSON *s)
{
    const cJSON *etcd = cfg_json_get(s, "etcd");
    static const char *const members[] = {"configd",    "replica", "state",       "store",   "revision",
                                          "namespaces", "flags",   "deployments", "workers", "streams"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        put_pair(out, members[i], cfg_json_get(s, members[i]));
    cfg_buf_printf(out, "%-12s ", "etcd");
    cli_put_text(out, cfg_json_get_str(etcd, "version", "?"));
    cfg_buf_puts(out, " at ");
    cli_put_text(out, cfg_json_get_str(etcd, "endpoint", "?"));
    cfg_buf_printf(out, ", %.1f MiB\n", cfg_json_get_num(etcd, "db_size", 0) / (1024 * 1024));
    cfg_buf_printf(out, "%-12s %.0f s\n", "up", cfg_json_get_num(s, "uptime_s", 0));
}

/* What is under way; without the right to see it, nothing. */
static void describe_under_way(struct cli *c, struct cfg_buf *out)
{
    cJSON *rollouts = NULL, *experiments = NULL;
    const cJSON *item;
    int running = 0;
    char age[32];
    if (cli_get(c, "/v1/rollouts", &rollouts, NULL) == 0)
        cJSON_ArrayForEach(item, cfg_json_get(rollouts, "items"))
        {
            if (rollout_is_final(item))
                continue;
            const char *name = cfg_json_get_str(item, "deployment", "?");
            cfg_buf_printf(out, "%-12s ", "rollout");
            cli_put_text(out, name);
            cfg_buf_printf(out, ": %s, step %.0f, since %s: cfgctl rollout status ",
                           cfg_json_get_str(cfg_json_get(item, "state"), "phase", "?"),
                           cfg_json_get_num(cfg_json_get(item, "state"), "step", 0) + 1,
                           cli_age(age, cfg_json_get_str(item, "time", "")));
            cli_put_text(out, name);
            cfg_buf_putc(out, '\n');
        }
    if (cli_get(c, "/v1/experiments", &experiments, NULL) == 0)
        cJSON_ArrayForEach(item, cfg_json_get(experiments, "items"))
        {
            running += strcmp(cfg_json_get_str(item, "state", ""), "running") == 0;
        }
    if (running > 0)
        cfg_buf_printf(out, "%-12s %d running\n", "experiments", running);
    cJSON_Delete(rollouts);
    cJSON_Delete(experiments);
}

static int server_status(struct cli *c, struct cfg_buf *out, struct cfg_error *err)
{
    cJSON *status = NULL;
    int rc = cli_get(c, "/v1/status", &status, err);
    if (rc == 0 && !cli_show_tree(c, status)) {
        describe_server(out, status);
        describe_under_way(c, out);
    }
    cJSON_Delete(status);
    return rc;
}

/* --- one deployment --- */

static void add_worker(struct table *t, const cJSON *w)
{
    const cJSON *applied = cfg_json_get(w, "applied");
    char age[48];
    table_add(t, cfg_json_get_str(w, "worker", "?"));
    table_add(t, cfg_json_get_str(w, "condition", "-"));
    table_add(t, cfg_json_get_str(w, "state", "-"));
    table_add_number(t, cfg_json_get_num(w, "step", 0));
    table_add(t, cfg_json_get_str(applied, "revision", "-"));
    (void)snprintf(age, sizeof age, "%.1fs", cfg_json_get_num(w, "age_ms", 0) / 1000);
    table_add(t, age);
    table_add(t, cfg_json_get_str(w, "host", "-"));
    table_add_number(t, cfg_json_get_num(w, "pid", 0));
    table_add(t, cfg_json_get_str(w, "replica", "-"));
    table_add(t, cfg_json_get_str(w, "group", "-"));
    table_add_number(t, cfg_json_get_num(w, "rank", 0));
    table_add(t, cfg_json_get_str(applied, "at", "-"));
    table_add_number(t, cfg_json_get_num(w, "last_report_ms", 0));
    cli_add_list(t, cfg_json_get(w, "overrides"));
    cli_add_list(t, cfg_json_get(w, "pending"));
    table_add(t, cfg_json_get_str(w, "why", "-"));
}

static void put_rejects(struct cfg_buf *out, const cJSON *w)
{
    const cJSON *reject;
    cJSON_ArrayForEach(reject, cfg_json_get(w, "rejects"))
    {
        cli_put_text(out, cfg_json_get_str(w, "worker", "?"));
        cfg_buf_puts(out, " rejects ");
        cli_put_text(out, cfg_json_get_str(reject, "revision", "?"));
        if (cfg_json_get_str(reject, "path", "")[0]) {
            cfg_buf_puts(out, " at ");
            cli_put_text(out, cfg_json_get_str(reject, "path", ""));
        }
        cfg_buf_puts(out, ": ");
        cli_put_text(out, cfg_json_get_str(reject, "reason", "?"));
        cfg_buf_putc(out, '\n');
    }
}

static void describe_fleet(struct cfg_buf *out, const struct cli *c, const cJSON *reply)
{
    struct table t;
    const cJSON *w;
    cli_put_text(out, cfg_json_get_str(reply, "deployment", "?"));
    cfg_buf_printf(out, ": %.0f of %.0f workers converged on %s\n", cfg_json_get_num(reply, "converged", 0),
                   cfg_json_get_num(reply, "total", 0),
                   cfg_json_get_str(cfg_json_get(reply, "target"), "revision", "?"));
    if (cfg_json_get_bool(reply, "partial", false))
        cfg_buf_printf(out, "%.0f more are connected to a configd that did not answer\n",
                       cfg_json_get_num(reply, "unknown", 0));
    table_init(&t,
               "WORKER|CONDITION|STATE|STEP|APPLIED|AGE|HOST|PID|REPLICA|GROUP|RANK|AT|REPORTED_MS|OVERRIDES|PENDING|"
               "WHY");
    cJSON_ArrayForEach(w, cfg_json_get(reply, "workers"))
    {
        add_worker(&t, w);
    }
    table_print(out, &t, 0, c->color);
    table_finish(&t);
    cJSON_ArrayForEach(w, cfg_json_get(reply, "workers"))
    {
        put_rejects(out, w);
    }
}

/* Returned-owned; NULL: it has had none, or that cannot be told now. */
static cJSON *newest_rollout(struct cli *c)
{
    cJSON *rollout = NULL;
    return fleet_fetch_rollout(c, c->args[0], "", &rollout, NULL) == 0 ? rollout : NULL;
}

/* The list, with the summary and the newest rollout as its members. */
static int show_tree(struct cli *c, struct cfg_error *err)
{
    cJSON *workers = NULL, *summary = NULL;
    int rc = fleet_fetch(c, c->args[0], &workers, err);
    rc = rc ? rc : fleet_fetch_summary(c, c->args[0], &summary, err);
    if (rc == 0 && cfg_json_set(workers, "summary", summary) != 0)
        rc = cli_no_memory(err);
    cJSON *rollout = rc == 0 ? newest_rollout(c) : NULL;
    if (rollout && cfg_json_set(workers, "rollout", rollout) != 0)
        rc = cli_no_memory(err);
    if (rc == 0)
        (void)cli_show_tree(c, workers); /* json or yaml: it is shown */
    cJSON_Delete(workers);
    return rc;
}

static int describe_workers(struct cli *c, struct cfg_buf *out, struct cfg_error *err)
{
    cJSON *workers = NULL;
    int rc = fleet_fetch(c, c->args[0], &workers, err);
    if (rc == 0)
        describe_fleet(out, c, workers);
    cJSON_Delete(workers);
    return rc;
}

static const char *clock_text(char out[16])
{
    time_t now = time(NULL);
    struct tm tm;
    out[0] = '\0';
    if (localtime_r(&now, &tm))
        (void)strftime(out, 16, "%H:%M:%S", &tm);
    return out;
}

static int fleet_status(struct cli *c, struct cfg_buf *out, struct cfg_error *err)
{
    struct status_size size = {.width = table_terminal_width(), .color = c->color};
    char clock[16];
    cJSON *summary = NULL;
    if (c->output == OUTPUT_JSON || c->output == OUTPUT_YAML)
        return show_tree(c, err);
    if (c->output == OUTPUT_WIDE)
        return describe_workers(c, out, err);
    int rc = fleet_fetch_summary(c, c->args[0], &summary, err);
    cJSON *rollout = rc == 0 ? newest_rollout(c) : NULL;
    if (rc == 0)
        status_describe(out, summary, rollout, clock_text(clock), NULL, &size);
    cJSON_Delete(rollout);
    cJSON_Delete(summary);
    return rc;
}

static int once(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 26);
    int rc = c->n_args == 1 ? fleet_status(c, &out, err) : server_status(c, &out, err);
    if (rc == 0)
        cli_print(&out);
    cfg_buf_finish(&out);
    return rc == 0 && fflush(stdout) != 0 ? cfg_fail(err, CFG_E_IO, "cannot write the result") : rc;
}

/* --- again and again --- */

struct known {
    cJSON *summary, *rollout; /* owned */
};

/* What is known stays on the screen while nobody answers, with a line that says so. */
static int draw(struct cli *c, struct known *last, struct cfg_error *err)
{
    struct cfg_buf out;
    struct status_size size = {.color = c->color};
    char clock[16];
    cJSON *summary = NULL;
    int rc = fleet_fetch_summary(c, c->args[0], &summary, err);
    if (rc != 0 && !cli_passes(rc))
        return rc;
    if (rc == 0) {
        cJSON_Delete(last->summary);
        cJSON_Delete(last->rollout);
        last->summary = summary;
        last->rollout = newest_rollout(c);
    }
    cfg_buf_init(&out, (size_t)1 << 22);
    screen_size(&size.width, &size.height);
    if (last->summary)
        status_describe(&out, last->summary, last->rollout, clock_text(clock), rc != 0 ? err->text : NULL, &size);
    else
        cli_put_text(&out, err->text);
    screen_draw(&out);
    cfg_buf_finish(&out);
    return 0;
}

static int watch_screen(struct cli *c, struct cfg_error *err)
{
    struct known last = {NULL, NULL};
    int rc = fleet_fetch_summary(c, c->args[0], &last.summary, err); /* what is wrong with the name shows as usual */
    if (rc != 0 || !screen_open()) {
        cJSON_Delete(last.summary);
        return rc;
    }
    do {
        rc = draw(c, &last, err);
    } while (rc == 0 && screen_wait(TICK_MS));
    screen_close();
    cJSON_Delete(last.summary);
    cJSON_Delete(last.rollout);
    return rc;
}

/* A line each second; an object each with -o json. */
static int print_tick(struct cli *c, struct cfg_error *err)
{
    struct cfg_buf out;
    char time[32];
    cJSON *summary = NULL;
    int rc = fleet_fetch_summary(c, c->args[0], &summary, err);
    if (rc != 0)
        return rc;
    cfg_buf_init(&out, (size_t)1 << 24);
    if (c->output == OUTPUT_JSON) {
        cfg_json_print(&out, summary);
        cfg_buf_putc(&out, '\n');
    } else {
        (void)cfg_rfc3339_print(time, when_now_us());
        status_line(&out, summary, time);
    }
    cli_print(&out);
    cJSON_Delete(summary);
    return fflush(stdout) != 0 ? cfg_fail(err, CFG_E_IO, "cannot write the result") : 0;
}

static int watch_lines(struct cli *c, struct cfg_error *err)
{
    int rc;
    do {
        rc = c->n_args == 1 && c->output != OUTPUT_WIDE && c->output != OUTPUT_YAML ? print_tick(c, err) : once(c, err);
        if (cli_passes(rc)) {
            cli_print_error(err);
            rc = 0;
        }
    } while (rc == 0 && screen_wait(TICK_MS));
    return rc;
}

int cmd_status(struct cli *c, struct cfg_error *err)
{
    int rc = c->n_args == 1 ? cfg_check_name("deployment", cfg_slice_str(c->args[0]), err) : 0;
    if (rc != 0)
        return rc;
    if (!cli_has(c, OPT_FOLLOW))
        return once(c, err);
    return c->n_args == 1 && c->output == OUTPUT_TABLE && isatty(STDOUT_FILENO) ? watch_screen(c, err)
                                                                                : watch_lines(c, err);
}
