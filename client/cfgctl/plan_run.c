/* From a plan to the write. */
#include "client/cfgctl/confirm.h"
#include "client/cfgctl/plan.h"

#include <stdio.h>

int plan_show(const struct cli *c, cJSON *reply, bool quiet, bool ahead, struct cfg_error *err)
{
    bool tree = c->output == OUTPUT_JSON || c->output == OUTPUT_YAML;
    struct cfg_buf out;
    if (tree && !ahead) {
        bool blocked = plan_blocks(reply) > 0 || cfg_json_get_num(reply, "conflicts", 0) > 0;
        if (cfg_json_set(reply, "blocked", cJSON_CreateBool(blocked)) != 0)
            return cli_no_memory(err);
        (void)cli_show_tree(c, reply); /* a tree is wanted */
        return 0;
    }
    cfg_buf_init(&out, (size_t)1 << 26);
    plan_describe(&out, reply, quiet, c->color && !tree);
    if (cfg_buf_status(&out) != 0) {
        cfg_buf_finish(&out);
        return cli_no_memory(err);
    }
    if (out.len > 0)
        (void)fwrite(out.data, 1, out.len, tree ? stderr : stdout); /* main looks at the outcome */
    (void)fflush(stdout);                                           /* before it is done, or asked for */
    cfg_buf_finish(&out);
    return 0;
}

void plan_show_refusal(const struct cli *c, const struct cfg_error *why)
{
    cJSON *tree = cJSON_CreateObject();
    bool good = cJSON_AddArrayToObject(tree, "results") && cJSON_AddTrueToObject(tree, "blocked");
    cJSON *refused = good ? cJSON_AddObjectToObject(tree, "refused") : NULL;
    good = cJSON_AddStringToObject(refused, "code", cfg_code_name(why->code)) &&
           cJSON_AddStringToObject(refused, "detail", why->text);
    if (good && why->path[0])
        good = cJSON_AddStringToObject(refused, "path", why->path) != NULL;
    if (good && why->hint[0])
        good = cJSON_AddStringToObject(refused, "hint", why->hint) != NULL;
    if (good)
        (void)cli_show_tree(c, tree); /* the error itself follows either way */
    cJSON_Delete(tree);
}

int plan_carry_out(struct cli *c, const cJSON *changes, const char *message, const char *question,
                   struct cfg_error *err)
{
    cJSON *reply = NULL;
    bool dry = cli_has(c, OPT_DRY_RUN);
    int rc = plan_ask(c, changes, &reply, err);
    if (rc != 0)
        return rc;
    bool writes = !dry && plan_changes(reply);
    rc = plan_show(c, reply, false, writes, err);
    if (rc == 0)
        rc = plan_check(reply, err);
    cJSON_Delete(reply);
    if (rc != 0 || !writes)
        return rc;
    rc = confirm(c, question, err);
    if (rc != 0)
        return rc;
    rc = cli_write_saying(c, "POST", "/v1/changes", changes, NULL, message, err);
    if (rc == CFG_E_PRECONDITION) {
        (void)cfg_error_wrap(err, "somebody was faster"); /* the code stays */
        cfg_error_set_hint(err, "nothing was written; the same command makes a new plan on what is there now");
    }
    return rc;
}
