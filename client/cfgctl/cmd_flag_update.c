/* flag update: variants, the default, the off variant, metadata and state of a flag that is there. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_change.h"
#include "client/cfgctl/flag_edit.h"

#include <stdlib.h>

typedef int (*put_fn)(cJSON *envelope, const char *text, struct cfg_error *err);

/* Each value of a repeatable option, in order. */
static int put_each(struct flag_job *job, enum cli_option_id id, put_fn put, struct cfg_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < job->c->n_given; i++)
        if (job->c->given[i].id == id)
            rc = put(job->envelope, job->c->given[i].value, err);
    return rc;
}

static int put_variants(struct flag_job *job, struct cfg_error *err)
{
    int rc = put_each(job, OPT_VARIANTS, flag_variant_put, err);
    for (int i = 1; rc == 0 && i < job->c->n_args; i++)
        rc = flag_variant_put(job->envelope, job->c->args[i], err);
    return rc;
}

static int remove_variants(struct flag_job *job, struct cfg_error *err)
{
    cJSON *names = cli_items(job->c, OPT_REMOVE_VARIANT);
    const cJSON *name;
    int rc = names ? 0 : cli_no_memory(err);
    cJSON_ArrayForEach(name, names)
    {
        if (rc == 0)
            rc = flag_variant_remove(job->envelope, job->address.ns, job->address.name, name->valuestring, job->flags,
                                     err);
    }
    cJSON_Delete(names);
    return rc;
}

static int put_metadata(struct flag_job *job, struct cfg_error *err)
{
    const char *description = cli_value(job->c, OPT_DESCRIPTION);
    int rc = put_each(job, OPT_REMOVE_META, flag_meta_remove, err);
    if (rc == 0)
        rc = put_each(job, OPT_META, flag_meta_put, err);
    if (rc == 0 && description)
        rc = description[0] ? flag_meta_set(job->envelope, "description", cJSON_CreateString(description), err)
                            : flag_meta_remove(job->envelope, "description", err);
    return rc;
}

static int put_state(struct flag_job *job, struct cfg_error *err)
{
    const char *state = cli_value(job->c, OPT_STATE), *hash = cli_value(job->c, OPT_HASH_VERSION);
    cJSON *definition = cfg_json_get(job->envelope, "definition");
    if (state && cfg_json_set(definition, "state", cJSON_CreateString(state)) != 0)
        return cli_no_memory(err);
    if (hash && cfg_json_set(job->envelope, "hash_version", cJSON_CreateNumber(strtod(hash, NULL))) != 0)
        return cli_no_memory(err);
    if (hash)
        cfg_buf_puts(&job->notes, "splits deal units anew under another hash version: anyone may move\n");
    return 0;
}

/* New variants before what may name them, removals last: when nothing names them any more. */
static int update(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    const char *standard = cli_value(job->c, OPT_DEFAULT), *off = cli_value(job->c, OPT_OFF);
    int rc = put_variants(job, err);
    if (rc == 0 && standard)
        rc = flag_default_put(job->envelope, standard, err);
    if (rc == 0 && off)
        rc = flag_off_put(job->envelope, off, err);
    if (rc == 0)
        rc = put_metadata(job, err);
    if (rc == 0)
        rc = put_state(job, err);
    if (rc == 0)
        rc = flag_requires_put(job->c, job->envelope, err);
    return rc == 0 ? remove_variants(job, err) : rc;
}

int cmd_flag_update(struct cli *c, struct cfg_error *err)
{
    static const enum cli_option_id what[] = {OPT_VARIANTS,     OPT_REMOVE_VARIANT, OPT_DEFAULT,     OPT_OFF,
                                              OPT_DESCRIPTION,  OPT_META,           OPT_REMOVE_META, OPT_STATE,
                                              OPT_HASH_VERSION, OPT_REQUIRES};
    bool any = c->n_args > 1;
    for (size_t i = 0; i < sizeof what / sizeof what[0]; i++)
        any = any || cli_has(c, what[i]);
    if (any)
        return flag_change(c, cli_has(c, OPT_REMOVE_VARIANT), update, NULL, err);
    (void)cfg_fail(err, CFG_E_INVALID, "nothing to change");
    cfg_error_set_hint(err, "cfgctl flag update %s --default off; `cfgctl flag update --help` has more", c->args[0]);
    return CFG_E_INVALID;
}
