/* Every write ends here: options into the request, one round trip, what it did in words, and the waiting. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/reach.h"
#include "client/cfgctl/wait.h"
#include "client/url.h"

#include <stdio.h>
#include <time.h>

enum { PATH_ROOM = 3 * 4096 + 2048 }; /* a message of 4 KiB, percent-encoded */

static int64_t wall_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void show(const struct cli *c, const cJSON *reply)
{
    if (cli_show_tree(c, reply))
        return;
    struct cfg_buf out, warnings;
    cfg_buf_init(&out, (size_t)1 << 26);
    cfg_buf_init(&warnings, (size_t)1 << 20);
    reach_describe(&out, &warnings, reply);
    if (c->output == OUTPUT_WIDE)
        cfg_buf_printf(&out, "at %s\n", cfg_json_get_str(reply, "revision", "?"));
    cli_print(&out);
    (void)fflush(stdout); /* main looks at the outcome */
    if (warnings.len > 0)
        (void)fputs(warnings.data, stderr);
    cfg_buf_finish(&warnings);
}

/* With -o json or yaml the outcome joins the reply, as its member "wait". */
static int wait_and_show(struct cli *c, cJSON *reply, int64_t sent_us, struct cfg_error *err)
{
    bool tree = c->output == OUTPUT_JSON || c->output == OUTPUT_YAML;
    cJSON *outcome = NULL;
    if (!tree)
        show(c, reply);
    int rc = wait_converged(c, reply, sent_us, &outcome, err);
    if (tree) {
        if (outcome)
            cJSON_AddItemToObject(reply, "wait", outcome);
        show(c, reply);
        return rc;
    }
    struct cfg_buf out;
    cfg_buf_init(&out, (size_t)1 << 22);
    wait_describe(&out, outcome);
    cli_print(&out);
    cJSON_Delete(outcome);
    return rc;
}

/* Of other commands --force means something else, which they see to. */
static bool overrides_workers(const struct cli *c)
{
    return cli_has(c, OPT_FORCE) && c->command->run != cmd_unset && c->command->run != cmd_deployment_delete;
}

int cli_write(struct cli *c, const char *method, const char *path, const cJSON *body, const char *type,
              struct cfg_error *err)
{
    return cli_write_saying(c, method, path, body, type, cli_value(c, OPT_MESSAGE), err);
}

int cli_send(cJSON **reply, struct cli *c, const char *method, const char *path, const cJSON *body, const char *type,
             const char *message, struct cfg_error *err)
{
    struct cfg_buf full;
    cfg_buf_init(&full, PATH_ROOM);
    cfg_buf_puts(&full, path);
    if (message)
        cfg_url_query(&full, "message", message);
    if (cli_has(c, OPT_DRY_RUN))
        cfg_url_query(&full, "dry_run", "true");
    if (overrides_workers(c))
        cfg_url_query(&full, "force", "true");
    int rc = cfg_buf_status(&full) ? cfg_fail(err, CFG_E_LIMIT, "the message is longer than 4 KiB")
                                   : cli_call(c, method, full.data, body, type, reply, err);
    cfg_buf_finish(&full);
    return rc;
}

int cli_write_saying(struct cli *c, const char *method, const char *path, const cJSON *body, const char *type,
                     const char *message, struct cfg_error *err)
{
    cJSON *reply = NULL;
    int64_t sent_us = wall_us();
    int rc = cli_send(&reply, c, method, path, body, type, message, err);
    if (rc != 0)
        return rc;
    if (!cJSON_IsArray(cfg_json_get(reply, "results")))
        rc = cfg_fail(err, CFG_E_PROTOCOL, "the server's reply says nothing of what was done");
    else if (cli_has(c, OPT_WAIT) && !cli_has(c, OPT_DRY_RUN))
        rc = wait_and_show(c, reply, sent_us, err);
    else
        show(c, reply);
    cJSON_Delete(reply);
    return rc;
}
