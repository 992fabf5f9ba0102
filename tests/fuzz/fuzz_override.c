/* Overrides: a line is refused with a reason, or gives a valid address and a value that strict JSON can hold. */
#include "proto/override.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_value(const cJSON *v)
{
    struct cfg_buf text;
    cJSON *read = NULL;
    cfg_buf_init(&text, 1 << 24);
    cfg_json_print(&text, v);
    if (cfg_buf_status(&text) != 0 || cfg_json_parse(&read, cfg_buf_slice(&text), 0, NULL) != 0 ||
        !cfg_json_equal(v, read))
        abort();
    cJSON_Delete(read);
    cfg_buf_finish(&text);
}

static void check_override(int code, struct cfg_override *o, const struct cfg_error *err)
{
    if (code) {
        if (code != err->code || err->text[0] == '\0')
            abort();
        return;
    }
    if (cfg_check_name("namespace", cfg_slice_str(o->address.ns), NULL) != 0 ||
        cfg_path_check(cfg_slice_str(o->address.name), NULL) != 0 ||
        (o->value == NULL && o->mode != CFG_OVERRIDE_DELETE))
        abort();
    if (o->value)
        check_value(o->value);
    cfg_override_finish(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cfg_slice text = {(const char *)bytes, n};
    struct cfg_override o;
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *v = NULL;
    check_override(cfg_override_parse(&o, text, &err), &o, &err);
    check_override(cfg_override_parse_text(&o, text, &err), &o, &err);
    if (cfg_value_parse(&v, text, &err) == 0)
        check_value(v);
    else if (err.text[0] == '\0')
        abort();
    cJSON_Delete(v);
    return 0;
}
