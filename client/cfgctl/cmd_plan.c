/* plan: what a set, or a folder of files, would do. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/gitops.h"
#include "client/cfgctl/plan.h"

#include <string.h>

/* What the server refuses outright blocks the plan, too. */
static int as_blocked(int rc, struct cfg_error *err)
{
    static const char word[] = "blocked";
    int exit_code = cfg_code_exit(rc);
    if (exit_code != cfg_code_exit(CFG_E_CONFLICT) && exit_code != cfg_code_exit(CFG_E_VALUE))
        return rc;
    err->code = CFG_E_VALUE;
    return strncmp(err->text, word, sizeof word - 1) == 0 ? CFG_E_VALUE : cfg_error_wrap(err, word);
}

static int plan_words(struct cli *c, struct cfg_error *err)
{
    cJSON *changes = NULL, *reply = NULL;
    int rc = set_changes(&changes, c, err);
    if (rc == 0 && (rc = plan_ask(c, changes, &reply, err)) != 0)
        plan_show_refusal(c, err);
    cJSON_Delete(changes);
    if (rc == 0)
        rc = plan_show(c, reply, false, false, err);
    if (rc == 0)
        rc = plan_check(reply, err);
    cJSON_Delete(reply);
    return rc;
}

/* Options of apply mean nothing to a set. */
static int check_options(const struct cli *c, bool folder, struct cfg_error *err)
{
    if (folder && c->n_args > 0) {
        (void)cfg_fail(err, CFG_E_INVALID, "%s is a folder: it says what each namespace should be",
                       cli_value(c, OPT_FILE));
        cfg_error_set_hint(err, "cfgctl plan -f DIR, or cfgctl plan NS -f FILE");
        return CFG_E_INVALID;
    }
    if (!folder && cli_has(c, OPT_FILE) && c->n_args == 0) {
        (void)cfg_fail(err, CFG_E_INVALID, "%s is no folder", cli_value(c, OPT_FILE));
        cfg_error_set_hint(err, "cfgctl plan -f DIR, or cfgctl plan NS -f FILE");
        return CFG_E_INVALID;
    }
    if (!folder && (cli_has(c, OPT_PRUNE) || cli_has(c, OPT_TAKE) || cli_has(c, OPT_SOURCE)))
        return cfg_fail(err, CFG_E_INVALID, "--prune, --take and --source are for a folder: -f DIR");
    return 0;
}

int cmd_plan(struct cli *c, struct cfg_error *err)
{
    bool folder = cli_has(c, OPT_FILE) && gitops_is_folder(cli_value(c, OPT_FILE));
    int rc = check_options(c, folder, err);
    if (rc != 0)
        return rc;
    rc = folder ? apply_folder(c, true, err) : plan_words(c, err);
    return rc != 0 ? as_blocked(rc, err) : 0;
}
