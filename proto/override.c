/* Overrides: the mode, the address and where the value begins. The value's own grammar is in override_value.c. */
#include "proto/override.h"
#include "proto/override_value.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static size_t take_mode(struct cfg_override *out, struct cfg_slice text)
{
    if (cfg_slice_starts(text, "++")) {
        out->mode = CFG_OVERRIDE_FORCE;
        return 2;
    }
    out->mode = CFG_OVERRIDE_SET;
    if (cfg_slice_starts(text, "+"))
        out->mode = CFG_OVERRIDE_ADD;
    else if (cfg_slice_starts(text, "~"))
        out->mode = CFG_OVERRIDE_DELETE;
    return out->mode != CFG_OVERRIDE_SET;
}

static int on_off_word(struct cfg_slice value)
{
    while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t')) {
        value.ptr++;
        value.len--;
    }
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    if (value.len == 2 && strncasecmp(value.ptr, "on", 2) == 0)
        return 1;
    return value.len == 3 && strncasecmp(value.ptr, "off", 3) == 0 ? 0 : -1;
}

static int text_value(cJSON **out, struct cfg_slice text, struct cfg_error *err)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = text.ptr[i] ? cfg_utf8_length((const unsigned char *)text.ptr + i,
                                                 (const unsigned char *)text.ptr + text.len)
                               : 0;
        if (n == 0)
            return cfg_fail(err, CFG_E_VALUE, "the value is not UTF-8 text");
        i += n;
    }
    char *copy = cfg_slice_dup(text);
    cJSON *value = copy ? cJSON_CreateString(copy) : NULL;
    free(copy);
    if (value == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    *out = value;
    return 0;
}

static int parse_override(struct cfg_override *out, struct cfg_slice text, bool as_text, struct cfg_error *err)
{
    struct cfg_override o = {.on_off = -1};
    if (text.ptr == NULL)
        text.ptr = "";
    size_t start = take_mode(&o, text);
    struct cfg_slice key = {text.ptr + start, text.len - start};
    const char *equal = key.len ? memchr(key.ptr, '=', key.len) : NULL;
    if (equal)
        key.len = (size_t)(equal - key.ptr);
    int code = cfg_address_parse(&o.address, key, false, err);
    if (code)
        return code;
    if (equal == NULL && o.mode != CFG_OVERRIDE_DELETE) {
        cfg_fail(err, CFG_E_ADDRESS, "%s/%s has no value", o.address.ns, o.address.name);
        cfg_error_set_hint(err, "write %s/%s=VALUE", o.address.ns, o.address.name);
        return CFG_E_ADDRESS;
    }
    if (equal) {
        struct cfg_slice value = {equal + 1, (size_t)(text.ptr + text.len - (equal + 1))};
        o.on_off = as_text ? -1 : on_off_word(value);
        code = as_text ? text_value(&o.value, value, err) : cfg_value_parse_at(&o.value, text.ptr, value, err);
        if (code == 0 && o.on_off >= 0) {
            cJSON_Delete(o.value);
            o.value = cJSON_CreateBool(o.on_off);
            code = o.value ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
        }
    }
    if (code == 0)
        *out = o;
    return code;
}

int cfg_override_parse(struct cfg_override *out, struct cfg_slice text, struct cfg_error *err)
{
    return parse_override(out, text, false, err);
}

int cfg_override_parse_text(struct cfg_override *out, struct cfg_slice text, struct cfg_error *err)
{
    return parse_override(out, text, true, err);
}

void cfg_override_finish(struct cfg_override *o)
{
    cJSON_Delete(o->value);
    *o = (struct cfg_override){.on_off = -1};
}
