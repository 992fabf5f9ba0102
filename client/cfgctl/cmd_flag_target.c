/* flag target: rules, in order; the first that holds decides. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/flag_change.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --if CONDITION or --rule JSON. */
static int read_condition(cJSON **out, const struct cli *c, struct cfg_error *err)
{
    const char *text = cli_value(c, OPT_IF), *json = cli_value(c, OPT_RULE);
    if ((text == NULL) == (json == NULL)) {
        (void)cfg_fail(err, CFG_E_INVALID, text ? "--if and --rule say the same thing" : "which condition?");
        cfg_error_set_hint(err, "cfgctl flag target %s --if 'email ends_with \"@example.com\"' --serve on", c->args[0]);
        return CFG_E_INVALID;
    }
    return flag_expr_read(
        out, text, json,
        "JsonLogic in single quotes: --rule '{\"==\": [{\"var\": \"plan\"}, \"pro\"]}'; --if takes words", err);
}

/* A variant, or shares: on=10,off=90. */
static int read_outcome(cJSON **out, struct flag_job *job, struct cfg_error *err)
{
    const char *serve = cli_value(job->c, OPT_SERVE);
    struct flag_split s = {.n = 0};
    if (strchr(serve, '=') == NULL) {
        int rc = flag_check_variant(job->envelope, serve, err);
        if (rc == 0 && (*out = cJSON_CreateString(serve)) == NULL)
            rc = cli_no_memory(err);
        return rc;
    }
    cJSON *items = cli_items(job->c, OPT_SERVE);
    const cJSON *item;
    int rc = items ? 0 : cli_no_memory(err);
    cJSON_ArrayForEach(item, items)
    {
        if (rc == 0)
            rc = flag_split_add(&s, item->valuestring, err);
    }
    cJSON_Delete(items);
    if (rc == 0)
        rc = flag_split_complete(&s, job->envelope, NULL, err);
    if (rc == 0)
        *out = flag_split_outcome(&s, NULL, cli_value(job->c, OPT_BY), cli_value(job->c, OPT_SEED));
    if (rc == 0 && *out)
        flag_split_describe_unnamed(&job->notes, job->envelope, *out);
    return rc == 0 && *out == NULL ? cli_no_memory(err) : rc;
}

static int add_rule(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    cJSON *condition = NULL, *outcome = NULL;
    uint64_t before = cli_has(job->c, OPT_FIRST) && flag_rules_count(job->envelope) > 0 ? 1 : FLAG_RULE_LAST;
    int rc = cli_number(job->c, OPT_BEFORE, &before, err);
    if (rc == 0)
        rc = read_outcome(&outcome, job, err);
    if (rc == 0)
        rc = read_condition(&condition, job->c, err);
    if (rc == 0)
        return flag_rule_add(job->envelope, condition, outcome, before, err);
    cJSON_Delete(outcome);
    return rc;
}

static int remove_rules(struct flag_job *job, void *arg, struct cfg_error *err)
{
    (void)arg;
    if (cli_has(job->c, OPT_CLEAR))
        return flag_rules_clear(job->envelope, err);
    uint64_t rule = 0;
    int rc = cli_number(job->c, OPT_REMOVE, &rule, err);
    return rc == 0 ? flag_rule_remove(job->envelope, rule, err) : rc;
}

static int list_rules(struct cli *c, struct cfg_error *err)
{
    struct cfg_address a;
    cJSON *flag = NULL;
    int rc = flag_change_read(c, &a, &flag, err);
    const cJSON *definition = cfg_json_get(flag, "definition"), *targeting = cfg_json_get(definition, "targeting");
    cJSON none = {.type = cJSON_NULL};
    if (rc == 0 && !cli_show_tree(c, targeting ? targeting : &none)) {
        struct cfg_buf out;
        cfg_buf_init(&out, (size_t)1 << 24);
        flag_describe_rules(&out, flag, true);
        if (out.len == 0)
            cfg_buf_puts(&out, "no rules\n");
        cli_print(&out);
    }
    cJSON_Delete(flag);
    return rc;
}

int cmd_flag_target(struct cli *c, struct cfg_error *err)
{
    bool adds = cli_has(c, OPT_IF) || cli_has(c, OPT_RULE) || cli_has(c, OPT_SERVE);
    int ways = adds + cli_has(c, OPT_LIST) + cli_has(c, OPT_REMOVE) + cli_has(c, OPT_CLEAR);
    if (ways != 1 || (adds && !cli_has(c, OPT_SERVE))) {
        (void)cfg_fail(err, CFG_E_INVALID,
                       ways > 1 ? "one thing at a time: a rule, --list, --remove or --clear"
                       : adds   ? "whom the condition holds for is served what?"
                                : "which rule?");
        cfg_error_set_hint(err, "cfgctl flag target %s --if 'plan in [pro, team]' --serve on", c->args[0]);
        return CFG_E_INVALID;
    }
    if (cli_has(c, OPT_LIST))
        return list_rules(c, err);
    return flag_change(c, false, adds ? add_rule : remove_rules, NULL, err);
}
