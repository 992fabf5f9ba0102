/* flag split: shares of the units for everybody whom no rule catches. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_change.h"
#include "client/cfgctl/flag_edit.h"

#include <string.h>

static int read_shares(struct flag_split *out, const struct cli *c, struct cfg_error *err)
{
    int rc = 0;
    for (int i = 1; rc == 0 && i < c->n_args; i++)
        rc = flag_split_add(out, c->args[i], err);
    return rc;
}

static int split(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    struct flag_split s = {.n = 0};
    const cJSON *present = flag_rule_outcome(job->envelope, 0);
    const char *standard = cfg_json_get_str(cfg_json_get(job->envelope, "definition"), "defaultVariant", NULL);
    const char *wanted = cli_value(job->c, OPT_DEFAULT);
    int rc = read_shares(&s, job->c, err);
    if (rc == 0)
        rc = flag_split_complete(&s, job->envelope, present, err);
    if (rc != 0)
        return rc;
    cJSON *outcome = flag_split_outcome(&s, present, cli_value(job->c, OPT_BY), cli_value(job->c, OPT_SEED));
    if (outcome == NULL)
        return cli_no_memory(err);
    flag_split_describe_moves(&job->notes, present, outcome, standard);
    if (wanted && (rc = flag_default_put(job->envelope, wanted, err)) != 0) {
        cJSON_Delete(outcome);
        return rc;
    }
    flag_split_describe_unnamed(&job->notes, job->envelope, outcome);
    if (!cfg_json_get_bool(job->envelope, "enabled", true))
        cfg_buf_printf(&job->notes, "it is off, so nobody sees the split yet; next: cfgctl flag on %s\n",
                       job->c->args[0]);
    return flag_rules_set_else(job->envelope, outcome, err);
}

static int unsplit(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    struct flag_split s;
    if (!flag_split_read(&s, flag_rule_outcome(job->envelope, 0)))
        return cfg_fail(err, CFG_E_VALUE, "%s has no split to remove", job->c->args[0]);
    return flag_rules_set_else(job->envelope, NULL, err);
}

int cmd_flag_split(struct cli *c, struct cfg_error *err)
{
    bool clear = cli_has(c, OPT_CLEAR);
    if (clear == (c->n_args > 1) || (clear && cli_has(c, OPT_DEFAULT))) {
        (void)cfg_fail(err, CFG_E_INVALID, clear ? "--clear takes no shares and no --default" : "a split of what?");
        cfg_error_set_hint(err, "cfgctl flag split %s on=10 off=90 --by user.id", c->args[0]);
        return CFG_E_INVALID;
    }
    return flag_change(c, false, clear ? unsplit : split, NULL, err);
}
