/* A backup file: what is read whole can be restored: keys in order and once each, every head with its record. So that
 * inputs get past the checksum, the file is also read with a last line that fits. */
#include "configd/backup_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(struct cfg_slice text)
{
    struct cfg_backup b = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_backup_read(&b, text, &err) != 0) {
        if (err.text[0] == '\0' || b.items != NULL)
            abort();
        return;
    }
    for (size_t i = 0; i < b.n; i++) {
        const struct cfg_backup_item *item = &b.items[i];
        if (!cfg_backup_wants(cfg_slice_str(item->key)) || (i > 0 && strcmp(b.items[i - 1].key, item->key) >= 0))
            abort();
        if (item->pair && (item->pair->pair != item || !cfg_slice_eq(item->pair->value, item->value)))
            abort();
    }
    cfg_backup_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char digest[CFG_DIGEST_TEXT];
    struct cfg_buf sealed;
    struct cfg_slice text = {(const char *)bytes, n};
    check(text);
    cfg_buf_init(&sealed, n + 1000);
    cfg_buf_put(&sealed, bytes, n);
    if (n > 0 && bytes[n - 1] == '\n' && cfg_digest_bytes(digest, cfg_buf_slice(&sealed)) == 0) {
        cfg_backup_print_end(&sealed, digest);
        check(cfg_buf_slice(&sealed));
    }
    cfg_buf_finish(&sealed);
    return 0;
}
