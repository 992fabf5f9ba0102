/* Errors: one number space, one struct, for every folder of this project.
 *
 * A fallible function returns 0 or a negative `enum cfg_code` and, where it takes one, fills a caller-owned
 * `struct cfg_error` on failure (never on success). The stable code string is what HTTP clients and scripts match on;
 * numbers may change before 1.0. Thread-safety: everything here is pure or touches only its arguments. */
#ifndef CFG_ERROR_H
#define CFG_ERROR_H

#include <stdbool.h>

#if defined(__GNUC__)
#define CFG_API          __attribute__((visibility("default")))
#define CFG_MUST_CHECK   __attribute__((warn_unused_result))
#define CFG_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define CFG_API
#define CFG_MUST_CHECK
#define CFG_PRINTF(f, a)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, number, stable code, HTTP status, exit code of cfgctl) */
#define CFG_ERROR_CODES(X)                                               \
    X(CFG_E_NOMEM, -1, "out_of_memory", 503, 7)                          \
    X(CFG_E_INTERNAL, -2, "internal", 500, 1)                            \
    X(CFG_E_IO, -3, "io", 500, 1)                                        \
    X(CFG_E_INVALID, -10, "invalid_argument", 400, 2)                    \
    X(CFG_E_JSON, -11, "bad_json", 400, 5)                               \
    X(CFG_E_ADDRESS, -12, "bad_address", 400, 2)                         \
    X(CFG_E_VALUE, -13, "bad_value", 422, 5)                             \
    X(CFG_E_PATCH, -14, "patch_failed", 422, 5)                          \
    X(CFG_E_TYPE_CHANGE, -15, "type_change", 422, 5)                     \
    X(CFG_E_LIMIT, -16, "too_large", 413, 5)                             \
    X(CFG_E_UNSUPPORTED, -17, "unsupported", 422, 5)                     \
    X(CFG_E_MEDIA_TYPE, -18, "unsupported_media_type", 415, 2)           \
    X(CFG_E_METHOD, -19, "method_not_allowed", 405, 2)                   \
    X(CFG_E_HEADERS, -20, "headers_too_large", 431, 2)                   \
    X(CFG_E_REQUEST_TIMEOUT, -21, "request_timeout", 408, 8)             \
    X(CFG_E_SCHEMA, -22, "schema", 422, 5)                               \
    X(CFG_E_UNAUTHORIZED, -30, "unauthorized", 401, 6)                   \
    X(CFG_E_FORBIDDEN, -31, "forbidden", 403, 6)                         \
    X(CFG_E_ORIGIN, -32, "cross_origin", 403, 6)                         \
    X(CFG_E_NOT_FOUND, -40, "not_found", 404, 3)                         \
    X(CFG_E_UNKNOWN_KEY, -41, "unknown_key", 404, 3)                     \
    X(CFG_E_UNKNOWN_WORKER, -42, "unknown_worker", 404, 3)               \
    X(CFG_E_EXISTS, -50, "exists", 409, 4)                               \
    X(CFG_E_CONFLICT, -51, "conflict", 409, 4)                           \
    X(CFG_E_PINNED, -52, "pinned", 409, 4)                               \
    X(CFG_E_PIN_MISMATCH, -53, "pin_mismatch", 409, 4)                   \
    X(CFG_E_SUPERSEDED, -54, "superseded", 409, 4)                       \
    X(CFG_E_FOREIGN_STORE, -55, "foreign_store", 409, 4)                 \
    X(CFG_E_IN_USE, -56, "in_use", 409, 4)                               \
    X(CFG_E_COMPACTED, -57, "compacted", 410, 4)                         \
    X(CFG_E_CONTRACT, -58, "contract", 409, 4)                           \
    X(CFG_E_CEILING, -59, "ceiling", 409, 4)                             \
    X(CFG_E_PRECONDITION, -60, "precondition_failed", 412, 4)            \
    X(CFG_E_PRECONDITION_REQUIRED, -61, "precondition_required", 428, 4) \
    X(CFG_E_RATE, -62, "too_many_requests", 429, 7)                      \
    X(CFG_E_STORE_FULL, -70, "store_full", 507, 7)                       \
    X(CFG_E_UNAVAILABLE, -71, "unavailable", 503, 7)                     \
    X(CFG_E_NOT_READY, -72, "not_ready", 503, 7)                         \
    X(CFG_E_TIMEOUT, -73, "timeout", 504, 8)                             \
    X(CFG_E_UNKNOWN_OUTCOME, -74, "unknown_outcome", 504, 8)             \
    X(CFG_E_CONNECT, -75, "no_server", 503, 7)                           \
    X(CFG_E_PROTOCOL, -76, "protocol", 502, 9)                           \
    X(CFG_E_CANCELED, -77, "canceled", 503, 1)                           \
    X(CFG_E_AGREEMENT, -80, "agreement", 409, 4)                         \
    X(CFG_E_CAPABILITY, -81, "capability", 409, 4)                       \
    X(CFG_E_NOT_LET_IN, -82, "not_let_in", 409, 12)

enum cfg_code {
    CFG_OK = 0,
#define CFG_ERROR_ENUM(name, number, text, http, exit_code) name = number,
    CFG_ERROR_CODES(CFG_ERROR_ENUM)
#undef CFG_ERROR_ENUM
};

/* What went wrong, for a person and for a program. All strings are NUL-terminated and may be empty.
 * text: one line, names the thing and the reason. hint: the next command or step. path: the offending parameter path,
 * JSON position ("line 3 column 14") or key. */
struct cfg_error {
    int code;
    bool retryable;
    char text[384];
    char path[160];
    char hint[256];
};

#define CFG_ERROR_INIT       \
    {                        \
        0, false, "", "", "" \
    }

/* Fills *err (which may be NULL) with `code` and a formatted text, clears path and hint, sets retryable for codes that
 * a later identical call may survive (unavailable, timeout, …). Returns `code`, so callers write `return cfg_fail(…)`.
 */
CFG_API int cfg_fail(struct cfg_error *err, int code, const char *format, ...) CFG_PRINTF(3, 4);

/* Add to an error that cfg_fail filled. err may be NULL. */
CFG_API void cfg_error_set_hint(struct cfg_error *err, const char *format, ...) CFG_PRINTF(2, 3);
CFG_API void cfg_error_set_path(struct cfg_error *err, const char *format, ...) CFG_PRINTF(2, 3);

/* Puts "context: " in front of the text on the way up. Returns err->code (CFG_E_INTERNAL when err is NULL). */
CFG_API int cfg_error_wrap(struct cfg_error *err, const char *format, ...) CFG_PRINTF(2, 3);

/* The stable string of a code ("not_found"); "unknown" for a number outside the table. Static storage. */
CFG_API const char *cfg_code_name(int code);
/* The code of a stable string; CFG_E_PROTOCOL when there is none. */
CFG_API int cfg_code_from_name(const char *name);
/* HTTP status (200 for CFG_OK, 500 for an unknown code) and the exit code cfgctl ends with. */
CFG_API int cfg_code_http(int code);
CFG_API int cfg_code_exit(int code);

#ifdef __cplusplus
}
#endif
#endif
