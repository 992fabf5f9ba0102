/* How long things took: a log-linear histogram of microseconds that any two of a fleet's can be added up.
 *
 * Every power of two is cut into 16 buckets, so a bucket is never wider than 1/16 (6.25 %) of the values in it; values
 * below 32 µs have a bucket each. What takes 2^36 µs (19 hours) or more counts in the last bucket. Counts stop at
 * 2^53−1, the greatest integer JSON vouches for: adding up is associative and commutative to the last bit. An all-zero
 * struct is an empty histogram. Pure, no allocation; the caller's memory, one thread at a time. */
#ifndef CFG_PROTO_HISTOGRAM_H
#define CFG_PROTO_HISTOGRAM_H

#include "proto/json.h"

enum { CFG_HISTOGRAM_BUCKETS = 528 };

struct cfg_histogram {
    uint64_t n; /* the sum of counts */
    uint64_t counts[CFG_HISTOGRAM_BUCKETS];
};

/* The bucket that counts a duration of `us` microseconds. */
unsigned cfg_histogram_index(uint64_t us);
/* The shortest duration in µs that the bucket counts; of one beyond the last: where the last one would end. */
uint64_t cfg_histogram_floor(unsigned index);
/* Counts one duration. */
void cfg_histogram_add(struct cfg_histogram *h, uint64_t us);
/* Adds `other`, which is borrowed, to h. */
void cfg_histogram_merge(struct cfg_histogram *h, const struct cfg_histogram *other);
/* The duration in µs that a share q (0…1; beyond is taken as the end) of what was counted does not exceed: the middle
 * of its bucket, at most 6.25 % off the value itself. 0 for an empty histogram. */
uint64_t cfg_histogram_quantile(const struct cfg_histogram *h, double q);
/* Appends {"bucket":count,…}, empty buckets left out. */
void cfg_histogram_print(struct cfg_buf *out, const struct cfg_histogram *h);
/* Reads that back from what another program sent: an object whose keys are buckets' decimal numbers and whose values
 * are integers from 0 to 2^53−1. *out is untouched on failure. CFG_E_VALUE names the offending member. */
CFG_MUST_CHECK int cfg_histogram_parse(struct cfg_histogram *out, const cJSON *v, struct cfg_error *err);

#endif
