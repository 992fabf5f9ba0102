/* The dotenv reader: what it takes is printed and read back the same, in both its forms. */
#include "proto/dotenv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_back(const cJSON *variables, const cJSON *entries)
{
    struct cfg_buf text;
    cJSON *again = NULL;
    cfg_buf_init(&text, 1 << 24);
    cfg_env_print(&text, variables, CFG_ENV_DOTENV);
    if (cfg_buf_status(&text) != 0 || cfg_dotenv_parse(&again, cfg_buf_slice(&text), NULL) != 0)
        abort();
    const cJSON *a = entries->child, *b = again->child;
    for (; a && b; a = a->next, b = b->next)
        if (strcmp(cfg_json_get_str(a, "name", ""), cfg_json_get_str(b, "name", "")) != 0 ||
            strcmp(cfg_json_get_str(a, "value", ""), cfg_json_get_str(b, "value", "?")) != 0)
            abort();
    if (a || b)
        abort();
    cJSON_Delete(again);
    cfg_buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    cJSON *entries = NULL, *variables = cJSON_CreateObject();
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_dotenv_parse(&entries, (struct cfg_slice){(const char *)bytes, n}, &err);
    if (code != 0 && (code != err.code || err.text[0] == '\0' || entries != NULL))
        abort();
    const cJSON *e;
    cJSON_ArrayForEach(e, entries)
    {
        if (!cJSON_AddStringToObject(variables, cfg_json_get_str(e, "name", ""), cfg_json_get_str(e, "value", "")))
            abort();
    }
    if (code == 0)
        check_back(variables, entries);
    cJSON_Delete(entries);
    cJSON_Delete(variables);
    return 0;
}
