/* Strict JSON in front of cJSON: I-JSON (RFC 7493) in, compact or canonical (RFC 8785) text out.
 *
 * cJSON is the tree; it is never used to parse, because it accepts trailing bytes, duplicate keys and broken UTF-8 and
 * cuts strings at U+0000. Inside a tree U+0000 is held as the two bytes C0 80 (which no valid input contains), so C
 * strings stay whole; the printers turn it back into \u0000. Always use cJSON's …CaseSensitive lookups. Pure,
 * thread-safe. */
#ifndef CFG_PROTO_JSON_H
#define CFG_PROTO_JSON_H

#include "proto/buf.h"
#include <cjson/cJSON.h>

/* Parses one value. Refused with line and column in err->text and err->path ("line 3 column 14"): duplicate keys,
 * invalid UTF-8, a BOM, lone surrogates, integer literals beyond ±(2^53−1), numbers that overflow a double,
 * NaN/Infinity, trailing bytes, nesting above max_depth (0 = CFG_LIMIT_DEPTH). *out is returned-owned (cJSON_Delete),
 * untouched on failure. Columns count bytes from 1. Errors: CFG_E_JSON, CFG_E_LIMIT (depth), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_json_parse(cJSON **out, struct cfg_slice in, unsigned max_depth, struct cfg_error *err);

/* The same for what other programs wrote to be read once, such as a context to try a flag with: of a key given twice
 * the last counts and an integer beyond ±(2^53−1) is the nearest double, as Go, JavaScript and flagd have it. Never for
 * what is stored. */
CFG_MUST_CHECK int cfg_json_parse_lenient(cJSON **out, struct cfg_slice in, unsigned max_depth, struct cfg_error *err);
/* Compact text, keys in tree order, numbers as ECMAScript prints them except that integral values beyond 2^53−1 keep an
 * exponent (so that the strict reader takes back what the printer gives). NaN and infinities, which no text can have
 * given, become null. Appends; check cfg_buf_status. */
void cfg_json_print(struct cfg_buf *out, const cJSON *v);
/* The same, indented by two spaces, for people. Ends without a newline. */
void cfg_json_print_pretty(struct cfg_buf *out, const cJSON *v);
/* RFC 8785 (JCS): keys sorted by UTF-16 code units, ECMAScript numbers, minimal escapes. */
void cfg_json_canonical(struct cfg_buf *out, const cJSON *v);
/* Appends s (len bytes, tree encoding) as a quoted JSON string; cfg_json_put_number appends a finite double. */
void cfg_json_put_string(struct cfg_buf *out, struct cfg_slice s);
void cfg_json_put_number(struct cfg_buf *out, double d);

/* Order of keys by UTF-16 code units, as RFC 8785 sorts them: <0, 0, >0. */
int cfg_json_key_cmp(const char *a, const char *b);
/* The members of an object in that order: *out is a returned-owned array (free) of *n borrowed nodes, NULL when it has
 * none. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_json_sorted(const cJSON ***out, size_t *n, const cJSON *object);

/* Deep equality as JSON: object order does not matter, 1 equals 1.0. */
bool cfg_json_equal(const cJSON *a, const cJSON *b);
/* "object", "array", "string", "number", "boolean", "null". */
const char *cfg_json_type(const cJSON *v);
/* Member of an object by exact key; NULL when absent or when o is not an object. Borrowed from o. */
cJSON *cfg_json_get(const cJSON *o, const char *key);
/* Sets a member: in place of one with this key, else at the end. key is copied; value is consumed, also on failure
 * (NULL counts as failed memory). CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_json_set(cJSON *object, const char *key, cJSON *value);
/* Frees the key that a node from an object carries, before it becomes an item or a document. */
void cfg_json_forget_key(cJSON *v);
/* Typed members with a fallback; a member of another type counts as absent. The string is borrowed from o. */
const char *cfg_json_get_str(const cJSON *o, const char *key, const char *fallback);
double cfg_json_get_num(const cJSON *o, const char *key, double fallback);
bool cfg_json_get_bool(const cJSON *o, const char *key, bool fallback);
/* A member that must be a non-negative integer ≤ 2^53−1. CFG_E_JSON names the key when it is missing or of another
 * kind. */
CFG_MUST_CHECK int cfg_json_need_u64(const cJSON *o, const char *key, uint64_t *out, struct cfg_error *err);

#endif
