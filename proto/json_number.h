/* JSON numbers between text and double, without the locale: the library's strtod and printf are only ever shown digits
 * and an exponent, never a decimal point. Internal to proto. Pure, thread-safe. */
#ifndef CFG_PROTO_JSON_NUMBER_H
#define CFG_PROTO_JSON_NUMBER_H

#include "proto/buf.h"

/* 2^53−1, the greatest integer that I-JSON vouches for. */
#define CFG_JSON_MAX_INTEGER 9007199254740991.0

/* A number's text taken apart; slices are borrowed from the input. */
struct cfg_number {
    bool negative, is_integer; /* is_integer: written without fraction and exponent */
    struct cfg_slice whole, fraction;
    long long exponent; /* saturated far beyond what any double or text length can reach */
};

/* Scans RFC 8259's `number` at *p and moves *p behind it. NULL, or why it is none, with *p where it breaks. */
const char *cfg_number_scan(struct cfg_number *out, const char **p, const char *end);
/* Its nearest double, ±infinity beyond the range. CFG_E_NOMEM (texts of more than a hundred digits need memory). */
CFG_MUST_CHECK int cfg_number_value(double *out, const struct cfg_number *n);

enum { CFG_NUMBER_TEXT = 32 };
/* Number::toString of ECMAScript for a finite d, into out. With_exponent: integral values beyond 2^53−1 are written
 * with an exponent. Returns the length. */
size_t cfg_number_format(char out[CFG_NUMBER_TEXT], double d, bool with_exponent);

#endif
