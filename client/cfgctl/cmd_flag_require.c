/* flag require, group, holdout: who takes part in a flag at all. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_change.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_load.h"
#include "client/cfgctl/table.h"

#include <stdio.h>
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

/* Who has how much of each group of a namespace, and what nobody has. */
static void put_groups(struct table *t, const cJSON *flags)
{
    const cJSON *first, *flag;
    cJSON_ArrayForEach(first, flags)
    {
        const char *name = cfg_json_get_str(cfg_json_get(first, "group"), "name", NULL);
        double left = 100;
        bool told = false;
        for (flag = flags->child; name && flag; flag = flag->next) {
            const cJSON *g = cfg_json_get(flag, "group");
            if (strcmp(cfg_json_get_str(g, "name", ""), name) != 0)
                continue;
            if (left == 100 && flag != first) { /* an earlier flag has brought it up */
                told = true;
                break;
            }
            double share = (cfg_json_get_num(g, "to", 0) - cfg_json_get_num(g, "from", 0)) / 100;
            char text[32];
            (void)snprintf(text, sizeof text, "%g %%", share);
            left -= share;
            table_add(t, name);
            table_add(t, flag->string);
            table_add(t, text);
            table_add(t, cfg_json_get_str(g, "by", "targetingKey"));
        }
        if (name && !told) {
            char text[32];
            (void)snprintf(text, sizeof text, "%.4g %%", left > 1e-9 ? left : 0.0);
            table_add(t, name);
            table_add(t, "(free)");
            table_add(t, text);
            table_add(t, "-");
        }
    }
}

static int list_groups(struct cli *c, struct cfg_error *err)
{
    char ns[CFG_LIMIT_NAME + 1];
    size_t n = strcspn(c->args[0], "/");
    cJSON *space = NULL;
    (void)snprintf(ns, sizeof ns, "%.*s", (int)(n < sizeof ns ? n : sizeof ns - 1), c->args[0]);
    int rc = cfg_check_name("namespace", cfg_slice_str(ns), err);
    if (rc == 0)
        rc = flag_fetch_space(c, ns, &space, err);
    const cJSON *flags = cfg_json_get(space, "flags");
    if (rc == 0 && !cli_show_tree(c, flags)) {
        struct table t;
        table_init(&t, "GROUP|FLAG|SHARE|BY");
        put_groups(&t, flags);
        cli_print_table(c, &t);
    }
    cJSON_Delete(space);
    return rc;
}

int cmd_flag_group(struct cli *c, struct cfg_error *err)
{
    if (cli_has(c, OPT_LIST) && c->n_args == 1 && !cli_has(c, OPT_CLEAR))
        return list_groups(c, err);
    if (cli_has(c, OPT_LIST))
        return cfg_fail(err, CFG_E_INVALID, "--list takes a namespace and nothing else");
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
