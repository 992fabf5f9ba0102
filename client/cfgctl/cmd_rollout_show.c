/* rollout status, list, history. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/fleet.h"
#include "client/cfgctl/rollout_plot.h"
#include "client/cfgctl/rollout_text.h"
#include "client/cfgctl/screen.h"
#include "client/cfgctl/table.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OUT_ROOM = 1 << 24, TICK_MS = 1000 };

static int show_once(struct cli *c, bool *over, struct cfg_error *err)
{
    cJSON *rollout = NULL;
    struct cfg_buf out;
    int rc = fleet_fetch_rollout(c, c->args[0], "", &rollout, err);
    if (rc != 0)
        return rc;
    *over = rollout_is_final(rollout);
    cfg_buf_init(&out, OUT_ROOM);
    if (cli_has(c, OPT_FOLLOW) && c->output == OUTPUT_JSON) { /* one object a line */
        cfg_json_print(&out, rollout);
        cfg_buf_putc(&out, '\n');
    } else if (!cli_show_tree(c, rollout)) {
        rollout_describe(&out, rollout, c->color);
    }
    cli_print(&out);
    cJSON_Delete(rollout);
    return fflush(stdout) != 0 ? cfg_fail(err, CFG_E_IO, "cannot write the result") : 0;
}

/* What was known stays on the screen while nobody answers. */
static int draw(struct cli *c, cJSON **last, struct cfg_error *err)
{
    cJSON *rollout = NULL;
    struct cfg_buf out;
    int rc = fleet_fetch_rollout(c, c->args[0], "", &rollout, err);
    if (rc != 0 && !cli_passes(rc))
        return rc;
    cfg_buf_init(&out, OUT_ROOM);
    if (rc == 0) {
        cJSON_Delete(*last);
        *last = rollout;
    } else {
        cli_put_text(&out, err->text);
        cfg_buf_puts(&out, "\n\n");
    }
    if (*last) {
        rollout_describe(&out, *last, c->color);
        rollout_plot_live(&out, *last, table_terminal_width(), c->color);
    }
    screen_draw(&out);
    cfg_buf_finish(&out);
    return 0;
}

/* How it has ended stays to be read when the screen is as it was. */
static int watch_screen(struct cli *c, struct cfg_error *err)
{
    cJSON *last = NULL;
    struct cfg_buf out;
    int rc = fleet_fetch_rollout(c, c->args[0], "", &last, err);
    if (rc == 0 && !rollout_is_final(last) && screen_open()) {
        do {
            rc = draw(c, &last, err);
        } while (rc == 0 && !rollout_is_final(last) && screen_wait(TICK_MS));
        screen_close();
    }
    cfg_buf_init(&out, OUT_ROOM);
    if (rc == 0)
        rollout_describe(&out, last, c->color);
    cli_print(&out);
    cJSON_Delete(last);
    return rc;
}

int cmd_rollout_status(struct cli *c, struct cfg_error *err)
{
    bool again = cli_has(c, OPT_FOLLOW), over = false;
    if (again && c->output == OUTPUT_TABLE && isatty(STDOUT_FILENO))
        return watch_screen(c, err);
    int rc = show_once(c, &over, err);
    while (rc == 0 && again && !over && screen_wait(TICK_MS))
        rc = show_once(c, &over, err);
    return rc;
}

int cmd_rollout_history(struct cli *c, struct cfg_error *err)
{
    uint64_t limit = 50;
    char rest[64];
    cJSON *history = NULL;
    struct cfg_buf out;
    int rc = cli_number(c, OPT_LIMIT, &limit, err);
    (void)snprintf(rest, sizeof rest, "/history?limit=%llu", (unsigned long long)limit);
    rc = rc ? rc : fleet_fetch_rollout(c, c->args[0], rest, &history, err);
    if (rc == 0 && !cli_show_tree(c, history)) {
        const cJSON *items = cfg_json_get(history, "items");
        cfg_buf_init(&out, OUT_ROOM);
        for (int i = cJSON_GetArraySize(items); i-- > 0;) {
            const cJSON *v = cJSON_GetArrayItem(items, i);
            bool begins = strcmp(cfg_json_get_str(cfg_json_get(v, "decision"), "input", ""), "start") == 0;
            cfg_buf_puts(&out, begins && out.len > 0 ? "\n" : "");
            rollout_tell(&out, v);
        }
        rollout_plot_history(&out, items, table_terminal_width(), c->color);
        cli_print(&out);
    }
    cJSON_Delete(history);
    return rc;
}

static void add_row(struct table *t, const cJSON *item, bool wide)
{
    (void)wide;
    char age[32];
    table_add(t, cfg_json_get_str(item, "deployment", "?"));
    table_add(t, cfg_json_get_str(item, "config", "?"));
    table_add(t, cfg_json_get_str(cfg_json_get(item, "state"), "phase", "?"));
    table_add_number(t, cfg_json_get_num(cfg_json_get(item, "state"), "step", 0) + 1);
    table_add(t, cli_age(age, cfg_json_get_str(item, "time", "")));
    table_add(t, cfg_json_get_str(item, "author", ""));
    const char *reason = cfg_json_get_str(item, "reason", "");
    table_add(t, reason[0] ? reason : cfg_json_get_str(item, "message", ""));
}

int cmd_rollout_list(struct cli *c, struct cfg_error *err)
{
    return cli_list(c, "/v1/rollouts", "DEPLOYMENT|CONFIG|PHASE|STEP|SINCE|BY|LAST", add_row, err);
}
