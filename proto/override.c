/* Overrides: the mode, the address and where the value begins. The value's own grammar is in override_value.c. */
#include "proto/override.h"
#include "proto/override_value.h"
#include "proto/utf8.h"

#include <stdio.h>
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

/* The value of an override whose address is known, *equal pointing at its `=`; consumes nothing on failure. */
static int parse_value(struct cfg_override *o, struct cfg_slice text, const char *equal, bool as_text,
                       struct cfg_error *err)
{
    if (equal == NULL) {
        if (o->mode == CFG_OVERRIDE_DELETE)
            return 0;
        const char *slash = o->address.ns[0] ? "/" : "";
        cfg_fail(err, CFG_E_ADDRESS, "%s%s%s has no value", o->address.ns, slash, o->address.name);
        cfg_error_set_hint(err, "write %s%s%s=VALUE", o->address.ns, slash, o->address.name);
        return CFG_E_ADDRESS;
    }
    struct cfg_slice value = {equal + 1, (size_t)(text.ptr + text.len - (equal + 1))};
    o->on_off = as_text ? -1 : on_off_word(value);
    int code = as_text ? text_value(&o->value, value, err) : cfg_value_parse_at(&o->value, text.ptr, value, err);
    if (code == 0 && o->on_off >= 0) {
        cJSON_Delete(o->value);
        o->value = cJSON_CreateBool(o->on_off);
        code = o->value ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    return code;
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
    if (code == 0)
        code = parse_value(&o, text, equal, as_text, err);
    if (code == 0)
        *out = o;
    return code;
}

int cfg_override_parse_word(struct cfg_override *out, const char *ns, struct cfg_slice text, struct cfg_error *err)
{
    struct cfg_override o = {.on_off = -1};
    if (text.ptr == NULL)
        text.ptr = "";
    size_t start = take_mode(&o, text);
    struct cfg_slice key = {text.ptr + start, text.len - start};
    const char *equal = key.len ? memchr(key.ptr, '=', key.len) : NULL;
    if (equal)
        key.len = (size_t)(equal - key.ptr);
    if (key.len > 0 && (memchr(key.ptr, '/', key.len) || memchr(key.ptr, '@', key.len))) {
        cfg_fail(err, CFG_E_ADDRESS, "%.*s: config groups and packages have no place in a stored document",
                 (int)(key.len < 80 ? key.len : 80), key.ptr);
        cfg_error_set_hint(err, "name the key by its whole path: trainer.optimizer.lr=1e-4");
        return CFG_E_ADDRESS;
    }
    int code = cfg_path_check(key, err);
    if (code)
        return code;
    (void)snprintf(o.address.ns, sizeof o.address.ns, "%s", ns);
    (void)snprintf(o.address.name, sizeof o.address.name, "%.*s", (int)key.len, key.ptr);
    code = parse_value(&o, text, equal, false, err);
    if (code == 0)
        *out = o;
    return code;
}

/* --- keys alone --- */

static bool is_key_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
           (!first && ((c >= '0' && c <= '9') || c == '-'));
}

/* Parts with dots between them, each a word or (where there are several) a number without leading zeros. Stops at what
 * fits no longer; false when a part is none. */
static bool take_package(const char **p, const char *end)
{
    const char *begin = *p;
    bool number = false, dots = false;
    for (;;) {
        const char *part = *p;
        number = *p < end && **p >= '0' && **p <= '9';
        while (*p < end && (number ? **p >= '0' && **p <= '9' : is_key_char(**p, *p == part)))
            (*p)++;
        if (*p == part || (number && *part == '0' && *p - part > 1))
            return *p == begin; /* nothing at all is the package _global_ */
        if (*p >= end || **p != '.')
            return dots || !number;
        dots = true;
        (*p)++;
    }
}

/* `ID(/ID)+`: identifiers without $, with slashes between them. */
static bool is_group(struct cfg_slice key)
{
    bool first = true;
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        if (c == '/' ? first : c == '$' || !is_key_char(c, first))
            return false;
        first = c == '/';
    }
    return key.len > 0 && !first;
}

static int refuse_key(struct cfg_error *err, struct cfg_slice text, const char *at)
{
    size_t column = (size_t)(at - text.ptr) + 1;
    cfg_fail(err, CFG_E_ADDRESS, "column %zu: this is no key: keys look like a.b, group/option or key@package", column);
    cfg_error_set_path(err, "column %zu", column);
    return CFG_E_ADDRESS;
}

int cfg_override_key_parse(struct cfg_override_key *out, struct cfg_slice text, struct cfg_error *err)
{
    struct cfg_override o = {.on_off = -1};
    struct cfg_override_key key = {.mode = CFG_OVERRIDE_SET};
    if (text.ptr == NULL)
        text.ptr = "";
    size_t start = take_mode(&o, text);
    const char *p = text.ptr + start, *equal = text.len ? memchr(text.ptr, '=', text.len) : NULL;
    const char *end = equal ? equal : text.ptr + text.len;
    key.mode = o.mode;
    key.length = (size_t)(end - text.ptr);
    const char *at = p < end ? memchr(p, '@', (size_t)(end - p)) : NULL;
    key.key = (struct cfg_slice){p, (size_t)((at ? at : end) - p)};
    key.is_group = key.key.len > 0 && memchr(key.key.ptr, '/', key.key.len) != NULL;
    if (key.is_group ? !is_group(key.key) : !take_package(&p, end) || p != (at ? at : end))
        return refuse_key(err, text, p);
    if (at) {
        p = at + 1;
        key.package = (struct cfg_slice){p, (size_t)(end - p)};
        if (!take_package(&p, end) || p != end)
            return refuse_key(err, text, p);
    }
    if (end == text.ptr + start)
        return refuse_key(err, text, end);
    *out = key;
    return 0;
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
