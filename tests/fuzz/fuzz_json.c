/* The strict reader: what it takes, every printer gives back as the same value and the same canonical form. */
#include "proto/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void print(struct cfg_buf *out, void (*fn)(struct cfg_buf *, const cJSON *), const cJSON *v)
{
    cfg_buf_init(out, 1 << 26);
    fn(out, v);
    if (cfg_buf_status(out) != 0)
        abort();
}

static void check_round_trip(const cJSON *v, void (*fn)(struct cfg_buf *, const cJSON *))
{
    struct cfg_buf text, canonical, again;
    cJSON *read = NULL;
    print(&text, fn, v);
    print(&canonical, cfg_json_canonical, v);
    if (cfg_json_parse(&read, cfg_buf_slice(&text), 0, NULL) != 0 || !cfg_json_equal(v, read))
        abort();
    print(&again, cfg_json_canonical, read);
    if (!cfg_slice_eq(cfg_buf_slice(&canonical), cfg_buf_slice(&again)))
        abort();
    cJSON_Delete(read);
    cfg_buf_finish(&text);
    cfg_buf_finish(&canonical);
    cfg_buf_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_json_parse(&v, (struct cfg_slice){(const char *)bytes, n}, 0, &err);
    if (code) {
        if (code != err.code || err.text[0] == '\0' || err.path[0] == '\0' || v != NULL)
            abort();
        return 0;
    }
    check_round_trip(v, cfg_json_print);
    check_round_trip(v, cfg_json_print_pretty);
    cJSON_Delete(v);
    return 0;
}
