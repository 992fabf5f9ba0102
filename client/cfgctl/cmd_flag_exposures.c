/* flag exposures: which variants a deployment's workers have served, and to how many. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/table.h"
#include "client/url.h"

#include <stdio.h>

static void table_of(const struct cli *c, const cJSON *reply)
{
    struct table t;
    const cJSON *e;
    table_init(&t, "FLAG|VARIANT|ARM|SERVED|UNITS");
    cJSON_ArrayForEach(e, cfg_json_get(reply, "exposures"))
    {
        table_add(&t, cfg_json_get_str(e, "flag", "?"));
        table_add(&t, cfg_json_get_str(e, "variant", "?"));
        table_add(&t, cfg_json_get_str(e, "arm", "?"));
        table_add_number(&t, cfg_json_get_num(e, "count", 0));
        table_add_number(&t, cfg_json_get_num(e, "units", 0));
    }
    cli_print_table(c, &t);
    if (cfg_json_get_bool(reply, "partial", false))
        (void)fputs("partial: other replicas of configd hold workers too, and count theirs\n", stderr);
}

int cmd_flag_exposures(struct cli *c, struct cfg_error *err)
{
    cJSON *reply = NULL;
    struct cfg_buf path;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/exposures", c->args[0]);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &reply, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == 0 && !cli_show_tree(c, reply))
        table_of(c, reply);
    cJSON_Delete(reply);
    return rc;
}
