/* The formats by name, and the short ones: UUIDs and JSON pointers. All read the grammar of their RFC, character by
 * character. */
#include "proto/schema_format.h"
#include "proto/path.h"
#include "proto/schema_internal.h"

#include <string.h>

static const struct schema_format formats[] = {
    {"date-time", cfg_format_date_time},
    {"date", cfg_format_date},
    {"time", cfg_format_time},
    {"duration", cfg_format_duration},
    {"email", cfg_format_email},
    {"idn-email", cfg_format_idn_email},
    {"hostname", cfg_format_hostname},
    {"idn-hostname", cfg_format_idn_hostname},
    {"ipv4", cfg_format_ipv4},
    {"ipv6", cfg_format_ipv6},
    {"uri", cfg_format_uri},
    {"uri-reference", cfg_format_uri_reference},
    {"iri", cfg_format_iri},
    {"iri-reference", cfg_format_iri_reference},
    {"uri-template", cfg_format_uri_template},
    {"uuid", cfg_format_uuid},
    {"json-pointer", cfg_format_json_pointer},
    {"relative-json-pointer", cfg_format_relative_json_pointer},
    {"regex", cfg_schema_pattern_valid},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

const struct schema_format *cfg_schema_format(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

const char *cfg_schema_format_near(const char *name)
{
    const char *names[N_FORMATS];
    for (size_t i = 0; i < N_FORMATS; i++)
        names[i] = formats[i].name;
    return cfg_near_miss(name, names, N_FORMATS);
}

/* RFC 4122 §3: 8-4-4-4-12 hex digits. */
bool cfg_format_uuid(struct cfg_slice s)
{
    if (s.len != 36)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.ptr[i] != '-' : !format_is_hex(s.ptr[i]))
            return false;
    }
    return true;
}

/* RFC 6901 §3. */
bool cfg_format_json_pointer(struct cfg_slice s)
{
    if (s.len > 0 && s.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '~' && (i + 1 == s.len || (s.ptr[i + 1] != '0' && s.ptr[i + 1] != '1')))
            return false;
    return true;
}

/* draft-bhutton-relative-json-pointer-00 §3, with its index manipulation (+1, -1). */
bool cfg_format_relative_json_pointer(struct cfg_slice s)
{
    size_t i = 0;
    if (!format_number(s, &i))
        return false;
    if (i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-')) {
        i++;
        if (!format_number(s, &i))
            return false;
    }
    if (i + 1 == s.len && s.ptr[i] == '#')
        return true;
    return cfg_format_json_pointer((struct cfg_slice){s.ptr + i, s.len - i});
}
