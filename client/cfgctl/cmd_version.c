/* version: ours, and the server's where one answers. */
#include "client/cfgctl/commands.h"

#include <stdio.h>

int cmd_version(struct cli *c, struct cfg_error *err)
{
    cJSON *status = NULL, *both = cJSON_CreateObject();
    struct cfg_error why;
    int rc = cli_get(c, "/v1/status", &status, &why);
    const char *server = rc == 0 ? cfg_json_get_str(status, "configd", "?") : NULL;
    bool ok = both && cJSON_AddStringToObject(both, "cfgctl", cfg_client_version()) &&
              (server ? cJSON_AddStringToObject(both, "configd", server) : cJSON_AddNullToObject(both, "configd"));
    if (ok && !cli_show_tree(c, both)) {
        (void)printf("cfgctl   %s\n", cfg_client_version());
        (void)printf("configd  %s%s%s\n", server ? server : "(", server ? "" : why.text, server ? "" : ")");
    }
    cJSON_Delete(both);
    cJSON_Delete(status);
    return ok ? 0 : cli_no_memory(err);
}
