/* status: the server and its deployments, or the workers of one. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/fleet.h"
#include "client/cfgctl/table.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static int server_status(struct cli *c, struct cfg_buf *out, struct cfg_error *err)
{
    cJSON *status = NULL;
    int rc = cli_get(c, "/v1/status", &status, err);
    if (rc == 0 && !cli_show_tree(c, status))
        describe_server(out, status);
    cJSON_Delete(status);
    return rc;
}

/* --- one deployment --- */

static void add_worker(struct table *t, const cJSON *w, bool wide)
{
    const cJSON *applied = cfg_json_get(w, "applied");
    char age[48];
    table_add(t, cfg_json_get_str(w, "worker", "?"));
    table_add(t, !cfg_json_get_bool(w, "connected", true)   ? "gone"
                 : cfg_json_get_bool(w, "converged", false) ? "converged"
                                                            : "behind");
    table_add(t, cfg_json_get_str(w, "state", "-"));
    table_add_number(t, cfg_json_get_num(w, "step", 0));
    table_add(t, cfg_json_get_str(applied, "revision", "-"));
    (void)snprintf(age, sizeof age, "%.1fs", cfg_json_get_num(w, "age_ms", 0) / 1000);
    table_add(t, age);
    if (wide) {
        table_add(t, cfg_json_get_str(w, "host", "-"));
        table_add_number(t, cfg_json_get_num(w, "pid", 0));
        table_add(t, cfg_json_get_str(w, "replica", "-"));
        table_add(t, cfg_json_get_str(w, "group", "-"));
        table_add_number(t, cfg_json_get_num(w, "rank", 0));
        table_add(t, cfg_json_get_str(applied, "at", "-"));
        table_add_number(t, cfg_json_get_num(w, "last_report_ms", 0));
    }
    cli_add_list(t, cfg_json_get(w, "overrides"));
    cli_add_list(t, cfg_json_get(w, "pending"));
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
    bool wide = c->output == OUTPUT_WIDE;
    struct table t;
    const cJSON *w;
    cli_put_text(out, cfg_json_get_str(reply, "deployment", "?"));
    cfg_buf_printf(out, ": %.0f of %.0f workers converged on %s\n", cfg_json_get_num(reply, "converged", 0),
                   cfg_json_get_num(reply, "total", 0),
                   cfg_json_get_str(cfg_json_get(reply, "target"), "revision", "?"));
    if (cfg_json_get_bool(reply, "partial", false))
        cfg_buf_printf(out, "%.0f more are connected to a configd that could not be asked\n",
                       cfg_json_get_num(reply, "unasked", 0));
    table_init(&t,
               wide ? "WORKER|VIEW|STATE|STEP|APPLIED|AGE|HOST|PID|REPLICA|GROUP|RANK|AT|REPORTED_MS|OVERRIDES|PENDING"
                    : "WORKER|VIEW|STATE|STEP|APPLIED|AGE|OVERRIDES|PENDING");
    cJSON_ArrayForEach(w, cfg_json_get(reply, "workers"))
    {
        add_worker(&t, w, wide);
    }
    table_print(out, &t, wide ? 0 : table_terminal_width(), c->color);
    table_finish(&t);
    cJSON_ArrayForEach(w, cfg_json_get(reply, "workers"))
    {
        put_rejects(out, w);
    }
}

static int fleet_status(struct cli *c, struct cfg_buf *out, struct cfg_error *err)
{
    cJSON *fleet = NULL;
    int rc = fleet_fetch(c, c->args[0], &fleet, err);
    if (rc == 0 && !cli_show_tree(c, fleet))
        describe_fleet(out, c, fleet);
    cJSON_Delete(fleet);
    return rc;
}

/* On a terminal the picture is drawn over the last one; elsewhere each follows the other. */
static int once(struct cli *c, bool redraw, struct cfg_error *err)
{
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 26);
    cfg_buf_puts(&out, redraw ? "\033[H\033[J" : "");
    int rc = c->n_args == 1 ? fleet_status(c, &out, err) : server_status(c, &out, err);
    if (rc == 0)
        cli_print(&out);
    cfg_buf_finish(&out);
    return rc == 0 && fflush(stdout) != 0 ? cfg_fail(err, CFG_E_IO, "cannot write the result") : rc;
}

int cmd_status(struct cli *c, struct cfg_error *err)
{
    static const struct timespec second = {1, 0};
    int rc = c->n_args == 1 ? cfg_check_name("deployment", cfg_slice_str(c->args[0]), err) : 0;
    bool again = cli_has(c, OPT_FOLLOW), redraw = again && isatty(STDOUT_FILENO);
    while (rc == 0) {
        rc = once(c, redraw, err);
        if (!again)
            break;
        (void)nanosleep(&second, NULL); /* waking early is fine */
    }
    return rc;
}
