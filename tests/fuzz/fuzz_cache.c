/* The reader of a worker's saved view: whatever lies in that file, it is refused or it is exactly what the writer would
 * write. Inputs that begin with `=` get a sum that fits, so that the parts behind the sum are reached too. */
#include "worker/cache.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(struct cfg_slice file)
{
    struct cfg_cached c;
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_cache_decode(&c, file, "blue", &err) != 0) {
        if (err.text[0] == '\0') {
            abort();
        }
        return;
    }
    struct cfg_rev rev;
    if (c.view == NULL || strlen(c.view) != c.view_len || strcmp(c.deployment, "blue") != 0 ||
        cfg_rev_parse(&rev, cfg_slice_str(c.revision), NULL) != 0) {
        abort();
    }
    cfg_cached_finish(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    check((struct cfg_slice){(const char *)bytes, n});
    if (n == 0 || bytes[0] != '=') {
        return 0;
    }
    char sum[CFG_DIGEST_TEXT];
    struct cfg_buf b;
    cfg_buf_init(&b, n + CFG_DIGEST_TEXT + 1);
    cfg_buf_put(&b, bytes + 1, n - 1);
    if (cfg_digest_bytes(sum, cfg_buf_slice(&b)) == 0) {
        cfg_buf_printf(&b, "%s\n", sum);
        check(cfg_buf_slice(&b));
    }
    cfg_buf_finish(&b);
    return 0;
}
