/* flag eval --batch: whatever a line holds, one line of strict JSON with the four members comes out. */
#include "client/cfgctl/flag_batch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct flag_batch *batch;
    struct cfg_buf out;
    cJSON *answer = NULL;
    if (memchr(bytes, '\n', n)) /* the caller's matter */
        return 0;
    if (batch == NULL && (batch = flag_batch_new()) == NULL)
        abort();
    cfg_buf_init(&out, 1 << 24);
    flag_batch_line(batch, &out, (struct cfg_slice){(const char *)bytes, n}, 1750000000, NULL);
    if (cfg_buf_status(&out) != 0 || memchr(out.data, '\n', out.len) != out.data + out.len - 1)
        abort();
    if (cfg_json_parse(&answer, cfg_buf_slice(&out), 400, NULL) != 0 || cJSON_GetArraySize(answer) != 4 ||
        !cJSON_IsString(cfg_json_get(answer, "reason")))
        abort();
    cJSON_Delete(answer);
    cfg_buf_finish(&out);
    return 0;
}
