/* Deterministic CBOR (RFC 8949, section 4.2) straight into the hash: shortest heads and floats, whole numbers as
 * integers, members by their encoded names. Nothing is built in memory. */
#include "flags/logic.h"
#include "flags/murmur3.h"

#include <math.h>
#include <string.h>

enum { MAJOR_UNSIGNED = 0, MAJOR_NEGATIVE = 1, MAJOR_TEXT = 3, MAJOR_ARRAY = 4, MAJOR_MAP = 5, MAJOR_SIMPLE = 7 };
enum { SIMPLE_FALSE = 0xF4, SIMPLE_TRUE = 0xF5, SIMPLE_NULL = 0xF6, FLOAT16 = 25, FLOAT32 = 26, FLOAT64 = 27 };

static void put_bits(struct cfg_murmur3 *h, unsigned major, unsigned info, uint64_t bits, unsigned bytes)
{
    uint8_t out[9] = {(uint8_t)(major << 5 | info)};
    for (unsigned i = 0; i < bytes; i++)
        out[1 + i] = (uint8_t)(bits >> 8 * (bytes - 1 - i));
    cfg_murmur3_add(h, out, 1 + bytes);
}

static void put_head(struct cfg_murmur3 *h, unsigned major, uint64_t n)
{
    if (n < 24)
        put_bits(h, major, (unsigned)n, 0, 0);
    else if (n <= UINT8_MAX)
        put_bits(h, major, 24, n, 1);
    else if (n <= UINT16_MAX)
        put_bits(h, major, 25, n, 2);
    else if (n <= UINT32_MAX)
        put_bits(h, major, 26, n, 4);
    else
        put_bits(h, major, 27, n, 8);
}

/* As a half, if that is exact. d is finite and not 0. */
static bool as_half(uint16_t *out, double d)
{
    int exponent;
    double m = frexp(fabs(d), &exponent); /* |d| = m · 2^exponent, m in [½, 1) */
    int e = exponent - 1;
    double scaled =
        e >= -14 ? ldexp(m, 11) : ldexp(fabs(d), 24); /* 11 bits of a normal half, steps of a subnormal one */
    if (e > 15 || scaled < 1 || scaled != floor(scaled))
        return false;
    unsigned bits = (unsigned)scaled;
    if (e >= -14)
        bits = (bits & 0x3FF) | (unsigned)(e + 15) << 10;
    *out = (uint16_t)(bits | (d < 0 ? 0x8000U : 0U));
    return true;
}

static void put_float(struct cfg_murmur3 *h, double d)
{
    uint16_t half;
    float single = fabs(d) <= 3.4028234663852886e+38 ? (float)d : 0;
    if (as_half(&half, d)) {
        put_bits(h, MAJOR_SIMPLE, FLOAT16, half, 2);
    } else if ((double)single == d) {
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        put_bits(h, MAJOR_SIMPLE, FLOAT32, bits, 4);
    } else {
        uint64_t bits;
        memcpy(&bits, &d, sizeof bits);
        put_bits(h, MAJOR_SIMPLE, FLOAT64, bits, 8);
    }
}

static void put_number(struct cfg_murmur3 *h, double d)
{
    bool whole = d == floor(d) && d >= -9223372036854775808.0 && d < 18446744073709551616.0;
    if (whole && d >= 0)
        put_head(h, MAJOR_UNSIGNED, (uint64_t)d);
    else if (whole)
        put_head(h, MAJOR_NEGATIVE, (uint64_t)(-(int64_t)(d + 1)));
    else
        put_float(h, d);
}

static bool put_value(struct cfg_murmur3 *h, struct logic_run *r, const struct cfg_flag_value *v);

static void put_text(struct cfg_murmur3 *h, const char *text, size_t n)
{
    put_head(h, MAJOR_TEXT, n);
    cfg_murmur3_add(h, text, n);
}

/* The member after `before` (NULL: the first) in the order of encoded names. Contexts from JSON are in that order; for
 * others it is sought, because there is no memory to sort in. */
static const struct cfg_flag_member *next_member(const struct cfg_flag_value *v, const struct cfg_flag_member *before)
{
    const struct cfg_flag_member *members = v->as.members, *best = NULL;
    for (uint32_t i = 0; i < v->len; i++)
        if ((before == NULL || cfg_flag_member_order(&members[i], before) > 0) &&
            (best == NULL || cfg_flag_member_order(&members[i], best) < 0))
            best = &members[i];
    return best;
}

static bool is_sorted(const struct cfg_flag_value *v)
{
    for (uint32_t i = 1; i < v->len; i++)
        if (cfg_flag_member_order(&v->as.members[i - 1], &v->as.members[i]) >= 0)
            return false;
    return true;
}

static bool put_map(struct cfg_murmur3 *h, struct logic_run *r, const struct cfg_flag_value *v)
{
    bool sorted = is_sorted(v), good = true;
    const struct cfg_flag_member *m = NULL;
    uint32_t distinct = v->len;
    if (!sorted)
        for (distinct = 0; (m = next_member(v, m)) != NULL; distinct++)
            if (!cfg_logic_charge(r, v->len))
                return false;
    put_head(h, MAJOR_MAP, distinct);
    for (uint32_t i = 0; good && i < distinct; i++) {
        m = sorted ? &v->as.members[i] : next_member(v, m);
        put_text(h, m->name, m->name_len);
        good = cfg_logic_charge(r, sorted ? 1 : v->len) && put_value(h, r, &m->value);
    }
    return good;
}

static bool put_array(struct cfg_murmur3 *h, struct logic_run *r, const struct cfg_flag_value *v)
{
    put_head(h, MAJOR_ARRAY, v->len);
    for (uint32_t i = 0; i < v->len; i++)
        if (!cfg_logic_charge(r, 1) || !put_value(h, r, &v->as.items[i]))
            return false;
    return true;
}

static bool put_value(struct cfg_murmur3 *h, struct logic_run *r, const struct cfg_flag_value *v)
{
    uint8_t simple = SIMPLE_NULL;
    switch (v->kind) {
    case CFG_VALUE_NUMBER:
        put_number(h, v->as.number);
        return true;
    case CFG_VALUE_STRING:
        put_text(h, v->as.string, v->len);
        return cfg_logic_charge(r, v->len / 64);
    case CFG_VALUE_ARRAY:
        return put_array(h, r, v);
    case CFG_VALUE_OBJECT:
        return put_map(h, r, v);
    case CFG_VALUE_BOOL:
        simple = v->as.boolean ? SIMPLE_TRUE : SIMPLE_FALSE;
        break;
    case CFG_VALUE_NULL:
        break;
    }
    cfg_murmur3_add(h, &simple, 1);
    return true;
}

bool cfg_cbor_hash(uint32_t *out, struct logic_run *r, const struct cfg_flag_value *v)
{
    struct cfg_murmur3 h;
    cfg_murmur3_init(&h);
    bool good = put_value(&h, r, v);
    *out = cfg_murmur3_end(&h);
    return good;
}
