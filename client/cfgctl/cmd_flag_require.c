/* flag require, group, holdout: who takes part in a flag at all. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_change.h"
#include "client/cfgctl/flag_edit.h"

#include <string.h>

/* What is added is in the words, what is removed in --remove; --clear removes all. */
static int check(const struct cli *c, const char *example, struct cfg_error *err)
{
    if ((c->n_args > 1) + cli_has(c, OPT_REMOVE) + cli_has(c, OPT_CLEAR) == 1)
        return 0;
    (void)cfg_fail(err, CFG_E_INVALID, c->n_args > 1 ? "either add or remove" : "nothing to change");
    cfg_error_set_hint(err, "cfgctl %s %s %s, or --remove NAME, or --clear", c->command->name, c->args[0], example);
    return CFG_E_INVALID;
}

static int clear(struct flag_job *job, void *member, struct cfg_error *err)
{
    (void)err;
    cJSON_DeleteItemFromObjectCaseSensitive(job->envelope, (const char *)member);
    return 0;
}

static int change(struct cli *c, const char *example, bool with_flags, flag_edit_fn fn, const char *member,
                  struct cfg_error *err)
{
    int rc = check(c, example, err);
    if (rc != 0)
        return rc;
    if (cli_has(c, OPT_CLEAR))
        return flag_change(c, false, clear, (void *)(uintptr_t)member, err);
    return flag_change(c, with_flags && c->n_args > 1, fn, NULL, err);
}

static int require(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    const char *gone = cli_value(job->c, OPT_REMOVE);
    int rc = gone ? flag_unrequire(job->envelope, gone, err) : 0;
    for (int i = 1; rc == 0 && i < job->c->n_args; i++)
        rc = flag_require(job->envelope, job->c->args[i], job->flags, err);
    return rc;
}

int cmd_flag_require(struct cli *c, struct cfg_error *err)
{
    return change(c, "OTHER=on", true, require, "prerequisites", err);
}

static int join(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    return flag_join_group(job->envelope, job->address.name, job->c->args[1], cli_value(job->c, OPT_BY), job->flags,
                           err);
}

int cmd_flag_group(struct cli *c, struct cfg_error *err)
{
    return change(c, "checkout=25%", true, join, "group", err);
}

static int hold_out(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    const char *gone = cli_value(job->c, OPT_REMOVE);
    int rc = gone ? flag_unhold(job->envelope, gone, err) : 0;
    for (int i = 1; rc == 0 && i < job->c->n_args; i++)
        rc = flag_hold_out(job->envelope, job->c->args[i], cli_value(job->c, OPT_BY), err);
    if (rc == 0)
        flag_compare_holdouts(&job->notes, job->envelope, job->address.name, job->flags);
    return rc;
}

int cmd_flag_holdout(struct cli *c, struct cfg_error *err)
{
    return change(c, "q4=5%", true, hold_out, "holdouts", err);
}
