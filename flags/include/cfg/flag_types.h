/* The words of flags that the engine and a worker's program share: types, reasons, and the attributes that a flag is
 * asked about. Plain values: no functions, nothing to free. */
#ifndef CFG_FLAG_TYPES_H
#define CFG_FLAG_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A flag is of one of the first four; the others are only asked for: a whole number, and whatever it is. */
enum cfg_flag_type { CFG_FLAG_BOOL, CFG_FLAG_STRING, CFG_FLAG_NUMBER, CFG_FLAG_OBJECT, CFG_FLAG_INTEGER, CFG_FLAG_ANY };

/* Why a flag answers what it does, as OpenFeature names it. */
enum cfg_flag_reason {
    CFG_REASON_STATIC,
    CFG_REASON_DEFAULT,
    CFG_REASON_TARGETING_MATCH,
    CFG_REASON_DISABLED,
    CFG_REASON_ERROR
};

enum cfg_flag_kind {
    CFG_VALUE_NULL,
    CFG_VALUE_BOOL,
    CFG_VALUE_NUMBER,
    CFG_VALUE_STRING,
    CFG_VALUE_ARRAY,
    CFG_VALUE_OBJECT
};

struct cfg_flag_member;

struct cfg_flag_value {
    enum cfg_flag_kind kind;
    uint32_t len; /* bytes of a string, items of an array, members of an object */
    union {
        bool boolean;
        double number;
        const char *string; /* UTF-8, not NUL-terminated; U+0000 is the byte 00 */
        const struct cfg_flag_value *items;
        const struct cfg_flag_member *members;
    } as;
};

/* A named value: an attribute of a context, a member of an object. */
struct cfg_flag_member {
    uint32_t hash; /* of the name, the engine's own */
    uint32_t name_len;
    const char *name;
    struct cfg_flag_value value;
};

#ifdef __cplusplus
}
#endif
#endif
