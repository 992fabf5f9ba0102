/* Problem documents: whatever a server sends is read, printed again as strict JSON, and read back as the same error. */
#include "proto/problem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cfg_error first = CFG_ERROR_INIT, second = CFG_ERROR_INIT;
    long status = n > 0 ? 100 + bytes[0] * 2 : 0;
    if (cfg_problem_read(&first, status, (struct cfg_slice){(const char *)bytes, n}) == 0)
        abort();
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    cfg_problem_print(&out, &first, NULL);
    if (cfg_buf_status(&out) != 0)
        abort();
    cJSON *doc = NULL;
    if (cfg_json_parse(&doc, cfg_buf_slice(&out), 0, NULL) != 0)
        abort();
    cJSON_Delete(doc);
    int code = cfg_problem_read(&second, cfg_code_http(first.code), cfg_buf_slice(&out));
    if (code != first.code || strcmp(first.path, second.path) != 0 || strcmp(first.hint, second.hint) != 0)
        abort();
    if (first.text[0] && strcmp(first.text, second.text) != 0)
        abort();
    cfg_buf_finish(&out);
    return 0;
}
