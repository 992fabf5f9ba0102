/* rollback --at: what a deployment ran at a time, back again. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/plan.h"
#include "client/cfgctl/restore_point.h"
#include "client/cfgctl/when.h"
#include "client/url.h"
#include "proto/path.h"

#include <stdio.h>
#include <string.h>

enum { NAMED = 1500 }; /* bytes of a message that list what went back */

static int fetch(struct cli *c, const char *pattern, const char *name, const char *at, cJSON **out,
                 struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, pattern, name);
    if (at)
        cfg_url_query(&path, "at", at);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    return rc;
}

/* "why (chat-blue as at 2026-12-01T02:40:00Z: chat v41, base v7)" */
static void put_message(struct cfg_buf *out, const struct cli *c, const char *name, const char *at,
                        const cJSON *changes)
{
    const char *why = cli_value(c, OPT_MESSAGE);
    struct cfg_buf list;
    cfg_buf_init(&list, (size_t)1 << 16);
    restore_point_put(&list, changes);
    cfg_buf_printf(out, "%s%s%s as at %.19sZ: %.*s%s%s", why ? why : "", why ? " (" : "rolled back ", name, at, NAMED,
                   list.data ? list.data : "", list.len > NAMED ? "…" : "", why ? ")" : "");
    cfg_buf_finish(&list);
}

static int carry_out(struct cli *c, const char *name, const char *at, const cJSON *changes, struct cfg_error *err)
{
    struct cfg_buf message, question;
    char local[32];
    if (cJSON_GetArraySize(changes) == 0) {
        if (c->output == OUTPUT_JSON || c->output == OUTPUT_YAML)
            (void)cli_show_tree(c, changes); /* [], in the form that is wanted */
        else
            (void)printf("%s is told what it was told at %s\n", name, when_local(local, at)); /* main flushes */
        return 0;
    }
    cfg_buf_init(&message, CFG_LIMIT_MESSAGE);
    cfg_buf_init(&question, 256);
    put_message(&message, c, name, at, changes);
    cfg_buf_printf(&question, "bring %s back to what it was told at %s?", name, when_local(local, at));
    int rc = cfg_buf_status(&message) != 0    ? cfg_fail(err, CFG_E_LIMIT, "the message is longer than 4 KiB")
             : cfg_buf_status(&question) != 0 ? cli_no_memory(err)
                                              : plan_carry_out(c, changes, message.data, question.data, err);
    cfg_buf_finish(&message);
    cfg_buf_finish(&question);
    return rc;
}

int rollback_at(struct cli *c, struct cfg_error *err)
{
    static const char prefix[] = "deployment/";
    const char *name = c->args[0];
    char at[32];
    cJSON *past = NULL, *deployment = NULL, *changes = NULL, *except = NULL;
    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        name += sizeof prefix - 1;
    int rc = cfg_check_name("deployment", cfg_slice_str(name), err);
    if (rc == 0 && (cli_has(c, OPT_TO) || cli_has(c, OPT_IF_VERSION)))
        rc = cfg_fail(err, CFG_E_INVALID, "--at finds the versions by itself: it goes without --to and --if-version");
    rc = rc ? rc : when_option(at, c, OPT_WHEN, err);
    rc = rc ? rc : fetch(c, "/v1/deployments/*/past", name, at, &past, err);
    rc = rc ? rc : fetch(c, "/v1/deployments/*", name, NULL, &deployment, err);
    if (rc == CFG_E_NOT_FOUND && err->hint[0] == '\0')
        cfg_error_set_hint(err, "--at takes a deployment; a namespace goes back with --to N");
    if (rc == 0 && (except = cli_items(c, OPT_EXCEPT)) == NULL)
        rc = cli_no_memory(err);
    rc = rc ? rc : restore_point_changes(&changes, past, deployment, except, err);
    rc = rc ? rc : carry_out(c, name, at, changes, err);
    cJSON_Delete(past);
    cJSON_Delete(deployment);
    cJSON_Delete(changes);
    cJSON_Delete(except);
    return rc;
}
