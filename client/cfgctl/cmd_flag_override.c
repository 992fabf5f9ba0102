/* flag override: parameters that a variant carries for one request. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_change.h"
#include "client/cfgctl/flag_edit.h"

static int override(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    const struct cli *c = job->c;
    const char *variant = c->n_args > 1 ? c->args[1] : NULL, *gone = cli_value(c, OPT_REMOVE);
    int rc = variant ? flag_check_variant(job->envelope, variant, err) : 0;
    if (rc == 0 && (gone || cli_has(c, OPT_CLEAR)))
        return flag_unoverride(job->envelope, variant, gone, err);
    for (int i = 2; rc == 0 && i < c->n_args; i++)
        rc = flag_override(job->envelope, variant, c->args[i], err);
    return rc;
}

int cmd_flag_override(struct cli *c, struct cfg_error *err)
{
    bool removes = cli_has(c, OPT_REMOVE) || cli_has(c, OPT_CLEAR);
    if ((c->n_args > 2) == removes || (cli_has(c, OPT_REMOVE) && (c->n_args < 2 || cli_has(c, OPT_CLEAR)))) {
        (void)cfg_fail(err, CFG_E_INVALID,
                       removes ? "either set or remove overrides of a variant" : "which parameters of which variant?");
        cfg_error_set_hint(err, "cfgctl flag override %s on sampling.temperature=0.9, or on --remove PARAMETER",
                           c->args[0]);
        return CFG_E_INVALID;
    }
    return flag_change(c, false, override, NULL, err);
}
