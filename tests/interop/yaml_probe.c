/* One JSON line in, one out, for tests that compare with other readers: {"text","dialect"} → {"value"} or {"error"} and
 * {"warnings"}; {"print": tree} → {"text"}. */
#include "proto/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse(cJSON *reply, const cJSON *request)
{
    bool pyyaml = strcmp(cfg_json_get_str(request, "dialect", ""), "pyyaml") == 0;
    const struct cfg_yaml_options o = {.dialect = pyyaml ? CFG_YAML_PYYAML : CFG_YAML_OMEGACONF};
    cJSON *value = NULL, *warnings = cJSON_CreateArray();
    struct cfg_error err;
    int rc = cfg_yaml_parse(&value, cfg_slice_str(cfg_json_get_str(request, "text", "")), &o, warnings, &err);
    bool ok = rc == 0 ? cJSON_AddItemToObject(reply, "value", value)
                      : cJSON_AddStringToObject(reply, "error", err.text) != NULL;
    return cJSON_AddItemToObject(reply, "warnings", warnings) && ok;
}

static bool print(cJSON *reply, const cJSON *tree)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 24);
    bool ok = cfg_yaml_print(&text, tree) == 0 && cJSON_AddStringToObject(reply, "text", text.data) != NULL;
    cfg_buf_finish(&text);
    return ok;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, stdin)) > 0) {
        cJSON *request = NULL, *reply = cJSON_CreateObject();
        if (cfg_json_parse(&request, (struct cfg_slice){line, (size_t)n}, 0, NULL) != 0)
            return 2;
        const cJSON *tree = cfg_json_get(request, "print");
        if (!(tree ? print(reply, tree) : parse(reply, request)))
            return 3;
        struct cfg_buf out;
        cfg_buf_init(&out, 1 << 24);
        cfg_json_print(&out, reply);
        (void)puts(out.data); /* checked by fflush below */
        cfg_buf_finish(&out);
        cJSON_Delete(request);
        cJSON_Delete(reply);
    }
    free(line);
    return fflush(stdout) == 0 ? 0 : 1;
}
