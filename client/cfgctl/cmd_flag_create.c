/* flag create: a new flag, of any type. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_change.h"
#include "client/cfgctl/flag_edit.h"

#include <stdio.h>
#include <stdlib.h>

int cmd_flag_create(struct cli *c, struct cfg_error *err)
{
    struct flag_new n = {.type = cli_value(c, OPT_TYPE),
                         .standard = cli_value(c, OPT_DEFAULT),
                         .off = cli_value(c, OPT_OFF),
                         .description = cli_value(c, OPT_DESCRIPTION)};
    const char **variants = calloc((size_t)c->n_args + c->n_given + 1, sizeof *variants);
    if (variants == NULL)
        return cli_no_memory(err);
    /* --variants a=1 b=2: the first belongs to the option, the others are words */
    for (size_t i = 0; i < c->n_given; i++)
        if (c->given[i].id == OPT_VARIANTS)
            variants[n.n_variants++] = c->given[i].value;
    for (int i = 1; i < c->n_args; i++)
        variants[n.n_variants++] = c->args[i];
    n.variants = variants;
    cJSON *envelope = NULL;
    int rc = flag_make(&envelope, &n, err);
    free((void *)variants);
    if (rc == 0)
        rc = flag_requires_put(c, envelope, err);
    if (rc == 0)
        rc = flag_change_create(c, envelope, err);
    if (rc == 0 && n.standard == NULL && c->output != OUTPUT_JSON && c->output != OUTPUT_YAML &&
        !cli_has(c, OPT_DRY_RUN))
        (void)printf("it is off; next: cfgctl flag on %s\n", c->args[0]);
    cJSON_Delete(envelope);
    return rc;
}
