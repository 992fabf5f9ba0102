/* The YAML reader in both dialects: what it takes is a tree that JSON holds, and the printer's text of it is read as
 * the same tree by both, without a warning. */
#include "proto/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_tree(const cJSON *v)
{
    struct cfg_buf json;
    cJSON *read = NULL;
    cfg_buf_init(&json, 1 << 26);
    cfg_json_print(&json, v);
    if (cfg_json_parse(&read, cfg_buf_slice(&json), 0, NULL) != 0 || !cfg_json_equal(v, read))
        abort();
    cJSON_Delete(read);
    cfg_buf_finish(&json);
}

static void check_print(const cJSON *v, enum cfg_yaml_dialect dialect)
{
    struct cfg_buf text;
    cJSON *read = NULL, *warnings = cJSON_CreateArray();
    const struct cfg_yaml_options o = {.dialect = dialect, .max_bytes = (size_t)1 << 26};
    cfg_buf_init(&text, 1 << 26);
    if (cfg_yaml_print(&text, v) != 0 || cfg_yaml_parse(&read, cfg_buf_slice(&text), &o, warnings, NULL) != 0 ||
        !cfg_json_equal(v, read) || warnings->child)
        abort();
    cJSON_Delete(read);
    cJSON_Delete(warnings);
    cfg_buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    for (int d = CFG_YAML_OMEGACONF; d <= CFG_YAML_PYYAML; d++) {
        cJSON *v = NULL, *warnings = cJSON_CreateArray();
        struct cfg_error err = CFG_ERROR_INIT;
        const struct cfg_yaml_options o = {
            .dialect = (enum cfg_yaml_dialect)d, .max_nodes = 2000, .max_bytes = 1 << 16};
        int code = cfg_yaml_parse(&v, (struct cfg_slice){(const char *)bytes, n}, &o, warnings, &err);
        if (code && (code != err.code || err.text[0] == '\0' || v != NULL))
            abort();
        if (code == 0) {
            check_tree(v);
            check_tree(warnings);
            check_print(v, CFG_YAML_OMEGACONF);
            check_print(v, CFG_YAML_PYYAML);
        }
        cJSON_Delete(v);
        cJSON_Delete(warnings);
    }
    return 0;
}
