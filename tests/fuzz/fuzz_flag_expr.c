/* Conditions: refused with a reason, or a rule whose words mean the same rule. */
#include "client/cfgctl/flag_expr.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_words(const cJSON *rule)
{
    struct cfg_buf words;
    cJSON *again = NULL;
    cfg_buf_init(&words, 1 << 24);
    flag_expr_print(&words, rule);
    /* what has no words is JSON, inside a condition too: that is not read back */
    if (cfg_buf_status(&words) != 0 || (flag_expr_parse(&again, words.data, NULL) == 0 && !cfg_json_equal(rule, again)))
        abort();
    cJSON_Delete(again);
    cfg_buf_finish(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *text = malloc(n + 1);
    cJSON *rule = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (text == NULL)
        return 0;
    if (n > 0)
        memcpy(text, bytes, n);
    text[n] = '\0';
    int rc = flag_expr_parse(&rule, text, &err);
    if (rc == 0)
        check_words(rule);
    else if (rc != err.code || err.text[0] == '\0')
        abort();
    cJSON_Delete(rule);
    free(text);
    return 0;
}
