#include "proto/histogram.h"

#include <string.h>

enum { SUB_BITS = 4, SUB = 1 << SUB_BITS, TOP_BITS = 36 };

_Static_assert(CFG_HISTOGRAM_BUCKETS == (TOP_BITS - SUB_BITS + 1) * SUB, "one set of buckets per power of two");

static const uint64_t COUNT_MAX = (UINT64_C(1) << 53) - 1;

static uint64_t add_up(uint64_t a, uint64_t b)
{
    return a + b < COUNT_MAX ? a + b : COUNT_MAX;
}

unsigned cfg_histogram_index(uint64_t us)
{
    if (us < SUB) {
        return (unsigned)us;
    }
    unsigned power = 63u - (unsigned)__builtin_clzll(us);
    if (power >= TOP_BITS) {
        return CFG_HISTOGRAM_BUCKETS - 1;
    }
    return (power - SUB_BITS + 1) * SUB + (unsigned)((us >> (power - SUB_BITS)) - SUB);
}

uint64_t cfg_histogram_floor(unsigned index)
{
    return index < SUB ? index : (uint64_t)(SUB + index % SUB) << (index / SUB - 1);
}

/* The middle of what a bucket counts. */
static uint64_t middle(unsigned index)
{
    uint64_t first = cfg_histogram_floor(index);
    return first + (cfg_histogram_floor(index + 1) - 1 - first) / 2;
}

void cfg_histogram_add(struct cfg_histogram *h, uint64_t us)
{
    unsigned i = cfg_histogram_index(us);
    h->counts[i] = add_up(h->counts[i], 1);
    h->n = add_up(h->n, 1);
}

void cfg_histogram_merge(struct cfg_histogram *h, const struct cfg_histogram *other)
{
    for (unsigned i = 0; i < CFG_HISTOGRAM_BUCKETS; i++) {
        h->counts[i] = add_up(h->counts[i], other->counts[i]);
    }
    h->n = add_up(h->n, other->n);
}

uint64_t cfg_histogram_quantile(const struct cfg_histogram *h, double q)
{
    double share = q > 0 ? (q < 1 ? q : 1) : 0;
    double want = share * (double)h->n;
    uint64_t seen = 0;
    unsigned last = 0;
    for (unsigned i = 0; i < CFG_HISTOGRAM_BUCKETS; i++) {
        if (h->counts[i] > 0) {
            last = i;
            seen = add_up(seen, h->counts[i]);
            if ((double)seen >= want) {
                break;
            }
        }
    }
    return middle(last);
}

void cfg_histogram_print(struct cfg_buf *out, const struct cfg_histogram *h)
{
    const char *comma = "";
    cfg_buf_putc(out, '{');
    for (unsigned i = 0; i < CFG_HISTOGRAM_BUCKETS; i++) {
        if (h->counts[i] > 0) {
            cfg_buf_printf(out, "%s\"%u\":%llu", comma, i, (unsigned long long)h->counts[i]);
            comma = ",";
        }
    }
    cfg_buf_putc(out, '}');
}

/* A bucket's number as it is printed: decimal, no sign, no leading zero. */
static bool parse_index(unsigned *out, const char *key)
{
    size_t n = strspn(key, "0123456789");
    if (n == 0 || n > 3 || key[n] != '\0' || (key[0] == '0' && n > 1)) {
        return false;
    }
    unsigned index = 0;
    for (size_t i = 0; i < n; i++) {
        index = index * 10 + (unsigned)(key[i] - '0');
    }
    *out = index;
    return index < CFG_HISTOGRAM_BUCKETS;
}

static int parse_bucket(struct cfg_histogram *h, const cJSON *item, struct cfg_error *err)
{
    unsigned index = 0;
    if (!parse_index(&index, item->string)) {
        cfg_fail(err, CFG_E_VALUE, "\"%.32s\" is no bucket of a histogram: they are 0 to %d", item->string,
                 CFG_HISTOGRAM_BUCKETS - 1);
        cfg_error_set_path(err, "%.32s", item->string);
        return CFG_E_VALUE;
    }
    double d = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(d >= 0 && d <= (double)COUNT_MAX) || d != (double)(uint64_t)d) {
        cfg_fail(err, CFG_E_VALUE, "bucket %u of a histogram is no count: they are integers from 0 to 2^53-1", index);
        cfg_error_set_path(err, "%u", index);
        return CFG_E_VALUE;
    }
    h->counts[index] = add_up(h->counts[index], (uint64_t)d);
    h->n = add_up(h->n, (uint64_t)d);
    return 0;
}

int cfg_histogram_parse(struct cfg_histogram *out, const cJSON *v, struct cfg_error *err)
{
    if (!cJSON_IsObject(v)) {
        return cfg_fail(err, CFG_E_VALUE, "a histogram is an object of counts by bucket, not %s",
                        v != NULL ? cfg_json_type(v) : "nothing");
    }
    struct cfg_histogram h;
    memset(&h, 0, sizeof h);
    int rc = 0;
    for (const cJSON *i = v->child; rc == 0 && i != NULL; i = i->next) {
        rc = parse_bucket(&h, i, err);
    }
    if (rc == 0) {
        *out = h;
    }
    return rc;
}
