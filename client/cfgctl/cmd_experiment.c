/* experiment start, plan, report, stop, list. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/experiment_text.h"
#include "client/cfgctl/experiment_words.h"
#include "client/cfgctl/screen.h"
#include "client/cfgctl/table.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 512, OUT_ROOM = 1 << 20, WATCH_MS = 2000 };

/* NAME-less: DEPLOYMENT NS/FLAG|arms WORD… */
static int read_request(cJSON *request, const struct cli *c, int at, struct cfg_error *err)
{
    const char *what = c->args[at + 1];
    bool arms = strcmp(what, "arms") == 0;
    if (!arms && strchr(what, '/') == NULL) {
        (void)cfg_fail(err, CFG_E_ADDRESS, "\"%.80s\" is no flag: NAMESPACE/NAME, or the word arms", what);
        return CFG_E_ADDRESS;
    }
    int rc = cfg_json_set(request, "deployment", cJSON_CreateString(c->args[at])) ||
                     cfg_json_set(request, arms ? "arms" : "flag", arms ? cJSON_CreateTrue() : cJSON_CreateString(what))
                 ? cli_no_memory(err)
                 : 0;
    for (int i = at + 2; rc == 0 && i < c->n_args; i++)
        rc = experiment_add_word(request, c->args[i], err);
    return rc;
}

static int path_of(char out[PATH_ROOM], const char *name, const char *rest, struct cfg_error *err)
{
    int rc = cfg_check_name("experiment", cfg_slice_str(name), err);
    (void)snprintf(out, PATH_ROOM, "/v1/experiments/%.63s%s", rc == 0 ? name : "", rest);
    return rc;
}

int cmd_experiment_start(struct cli *c, struct cfg_error *err)
{
    const char *name = c->args[0];
    cJSON *request = cJSON_CreateObject(), *reply = NULL;
    int rc = cfg_check_name("experiment", cfg_slice_str(name), err);
    if (rc == 0 && cfg_json_set(request, "name", cJSON_CreateString(name)) != 0)
        rc = cli_no_memory(err);
    rc = rc ? rc : read_request(request, c, 1, err);
    rc = rc ? rc : experiment_check_start(request, err);
    rc = rc ? rc : cli_send(&reply, c, "POST", "/v1/experiments", request, NULL, cli_value(c, OPT_MESSAGE), err);
    if (rc == 0 && !cli_show_tree(c, reply)) {
        const char *hint = cfg_json_get_str(cJSON_GetArrayItem(cfg_json_get(reply, "results"), 0), "hint", "");
        (void)printf("%s%s; look at it: cfgctl experiment report %s\n", name,
                     cli_has(c, OPT_DRY_RUN) ? ": this could be started" : ": running", name);
        if (hint[0])
            (void)fprintf(stderr, "cfgctl: warning: %s\n", hint);
    }
    cJSON_Delete(reply);
    cJSON_Delete(request);
    return rc;
}

/* --- plan --- */

static void put_duration(struct cfg_buf *out, double seconds)
{
    if (seconds < 120)
        cfg_buf_printf(out, "%.0f s", seconds);
    else if (seconds < 2 * 3600)
        cfg_buf_printf(out, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        cfg_buf_printf(out, "%.1f h", seconds / 3600);
    else if (seconds < 1000 * 365.25 * 86400)
        cfg_buf_printf(out, "%.1f days", seconds / 86400);
    else
        cfg_buf_puts(out, "more than 1000 years");
}

static void put_plan(struct cfg_buf *out, const cJSON *plan)
{
    const cJSON *base = cfg_json_get(plan, "baseline");
    cfg_buf_printf(out, "%.0f ", cfg_json_get_num(plan, "units", 0));
    cli_put_text(out, cfg_json_get_str(plan, "unit", "unit"));
    cfg_buf_printf(out, "s of all sides find a difference of %.4g with probability %.2g (alpha %.2g)\n",
                   cfg_json_get_num(plan, "effect", 0), cfg_json_get_num(plan, "power", 0),
                   cfg_json_get_num(plan, "alpha", 0));
    cfg_buf_puts(out, "baseline: ");
    cli_put_text(out, cfg_json_get_str(base, "metric", "?"));
    cfg_buf_printf(out, " %.4g, standard deviation %.4g (%s)\n", cfg_json_get_num(base, "mean", 0),
                   cfg_json_get_num(base, "sd", 0), cfg_json_get_bool(base, "measured", false) ? "measured" : "given");
    if (cJSON_IsNumber(cfg_json_get(plan, "seconds"))) {
        cfg_buf_puts(out, "duration: ");
        put_duration(out, cfg_json_get_num(plan, "seconds", 0));
        cfg_buf_printf(out, ", at %.4g new units an hour\n", cfg_json_get_num(plan, "units_per_hour", 0));
    } else {
        cfg_buf_puts(out, "duration: not known, since the rate of new units is not; say rate=UNITS-PER-HOUR\n");
    }
}

int cmd_experiment_plan(struct cli *c, struct cfg_error *err)
{
    cJSON *request = cJSON_CreateObject(), *reply = NULL;
    int rc = request ? read_request(request, c, 0, err) : cli_no_memory(err);
    rc = rc ? rc : cli_call(c, "POST", "/v1/experiments/plan", request, NULL, &reply, err);
    if (rc == 0 && !cli_show_tree(c, reply)) {
        struct cfg_buf out;
        cfg_buf_init(&out, OUT_ROOM);
        put_plan(&out, reply);
        cli_print(&out);
    }
    cJSON_Delete(reply);
    cJSON_Delete(request);
    return rc;
}

/* --- report --- */

static void put_page(struct cfg_buf *out, const cJSON *report, size_t width, bool color)
{
    char age[32];
    cli_put_text(out, cfg_json_get_str(report, "name", "?"));
    cfg_buf_puts(out, ": ");
    cli_put_text(out, cfg_json_get_str(report, "flag", "arms"));
    cfg_buf_puts(out, " of ");
    cli_put_text(out, cfg_json_get_str(report, "deployment", "?"));
    cfg_buf_puts(out, ", ");
    cli_put_text(out, cfg_json_get_str(report, "state", "?"));
    cfg_buf_puts(out, ", begun ");
    cli_put_text(out, cli_age(age, cfg_json_get_str(report, "started", "")));
    cfg_buf_puts(out, " ago\n");
    experiment_put_report(out, report, width, color);
}

static bool is_over(const cJSON *report)
{
    return strcmp(cfg_json_get_str(report, "state", "?"), "running") != 0;
}

/* On a terminal: what was known stays on the screen while nobody answers, and when it has ended, below the prompt. */
static int watch_screen(struct cli *c, const char *path, struct cfg_error *err)
{
    cJSON *last = NULL;
    struct cfg_buf out;
    size_t width = 80, height;
    int rc = cli_get(c, path, &last, err);
    bool going = rc == 0 && !is_over(last) && screen_open();
    while (going) {
        cJSON *report = NULL;
        screen_size(&width, &height);
        cfg_buf_init(&out, OUT_ROOM);
        rc = cli_get(c, path, &report, err);
        if (rc == 0) {
            cJSON_Delete(last);
            last = report;
        } else if (cli_passes(rc)) {
            cli_put_text(&out, err->text);
            cfg_buf_puts(&out, "\n\n");
            rc = 0;
        }
        put_page(&out, last, width, c->color);
        if (rc == 0)
            screen_draw(&out);
        cfg_buf_finish(&out);
        going = rc == 0 && !is_over(last) && screen_wait(WATCH_MS);
    }
    screen_close();
    cfg_buf_init(&out, OUT_ROOM);
    if (rc == 0)
        put_page(&out, last, width, c->color);
    cli_print(&out);
    cJSON_Delete(last);
    return rc;
}

/* In a pipe: a line every time, until it has ended. */
static int watch_lines(struct cli *c, const char *path, struct cfg_error *err)
{
    bool going = true;
    int rc = 0;
    while (going) {
        cJSON *report = NULL;
        struct cfg_buf out;
        cfg_buf_init(&out, OUT_ROOM);
        rc = cli_get(c, path, &report, err);
        if (rc == 0 && c->output == OUTPUT_JSON) {
            cfg_json_print(&out, report);
            cfg_buf_putc(&out, '\n');
        } else if (rc == 0 && !cli_show_tree(c, report)) {
            experiment_put_line(&out, report);
        }
        cli_print(&out);
        (void)fflush(stdout); /* main looks at the outcome */
        going = rc == 0 && !is_over(report) && screen_wait(WATCH_MS);
        cJSON_Delete(report);
    }
    return rc;
}

int cmd_experiment_report(struct cli *c, struct cfg_error *err)
{
    char path[PATH_ROOM];
    cJSON *report = NULL;
    int rc = path_of(path, c->args[0], "/report", err);
    if (rc == 0 && cli_has(c, OPT_FOLLOW))
        return isatty(STDOUT_FILENO) && c->output == OUTPUT_TABLE ? watch_screen(c, path, err)
                                                                  : watch_lines(c, path, err);
    rc = rc ? rc : cli_get(c, path, &report, err);
    if (rc == 0 && !cli_show_tree(c, report)) {
        struct cfg_buf out;
        size_t width = 80, height;
        if (isatty(STDOUT_FILENO))
            screen_size(&width, &height);
        cfg_buf_init(&out, OUT_ROOM);
        put_page(&out, report, width, c->color);
        cli_print(&out);
    }
    cJSON_Delete(report);
    return rc;
}

int cmd_experiment_stop(struct cli *c, struct cfg_error *err)
{
    char path[PATH_ROOM];
    cJSON *body = cJSON_CreateObject(), *reply = NULL, *report = NULL;
    int rc = path_of(path, c->args[0], "/stop", err);
    if (rc == 0 && cli_value(c, OPT_MESSAGE) &&
        cfg_json_set(body, "why", cJSON_CreateString(cli_value(c, OPT_MESSAGE))) != 0)
        rc = cli_no_memory(err);
    rc = rc ? rc : cli_send(&reply, c, "POST", path, body, NULL, cli_value(c, OPT_MESSAGE), err);
    if (rc == 0 && !cli_show_tree(c, reply)) {
        (void)printf("%s: %s\n", c->args[0], cli_has(c, OPT_DRY_RUN) ? "this would stop it" : "stopped");
        (void)path_of(path, c->args[0], "/report", NULL);
        if (cli_get(c, path, &report, NULL) == 0) { /* stopped by force, it may have no result */
            struct cfg_buf out;
            cfg_buf_init(&out, OUT_ROOM);
            experiment_put_report(&out, report, 0, c->color);
            cli_print(&out);
        }
    }
    cJSON_Delete(report);
    cJSON_Delete(reply);
    cJSON_Delete(body);
    return rc;
}

/* --- list --- */

static void add_row(struct table *t, const cJSON *item, bool wide)
{
    (void)wide;
    char age[32];
    const cJSON *sides = cfg_json_get(item, "sides"), *first = cJSON_GetArrayItem(cfg_json_get(item, "metrics"), 0);
    table_add(t, cfg_json_get_str(item, "name", "?"));
    table_add(t, cfg_json_get_str(item, "deployment", "?"));
    table_add(t, cfg_json_get_str(item, "flag", "arms"));
    table_add(t, cfg_json_get_str(item, "state", "?"));
    table_add(t, cfg_json_get_str(cJSON_GetArrayItem(sides, 0), "name", "?"));
    table_add(t, cfg_json_get_str(first, "name", "?"));
    table_add(t, cli_age(age, cfg_json_get_str(item, "started", "")));
}

int cmd_experiment_list(struct cli *c, struct cfg_error *err)
{
    return cli_list(c, "/v1/experiments", "NAME|DEPLOYMENT|FLAG|STATE|CONTROL|METRIC|BEGUN", add_row, err);
}
