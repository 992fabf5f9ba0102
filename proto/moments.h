/* A metric's samples as seven numbers that can be added up: count, mean, sum of squared deviations, extremes, the last.
 *
 * Welford's method sample by sample, Chan's to join two, so nothing is lost to large means with small spreads. What is
 * no finite number, or is beyond ±1e100 (its square has no place in a double), is counted as `bad` and touches nothing
 * else. Counts stop at 2^53−1, the greatest integer JSON vouches for. An all-zero struct has no samples; while n is 0
 * the other numbers are 0. min ≤ mean ≤ max and min ≤ last ≤ max hold always. Pure, no allocation. */
#ifndef CFG_PROTO_MOMENTS_H
#define CFG_PROTO_MOMENTS_H

#include "proto/json.h"

#define CFG_MOMENTS_LIMIT 1e100

struct cfg_moments {
    uint64_t n, bad; /* samples; what was none */
    double mean, m2; /* m2: the sum of (x − mean)² */
    double min, max, last;
};

/* Counts one sample. */
void cfg_moments_add(struct cfg_moments *m, double x);
/* Adds `later`, which is borrowed, to m; its last sample is the later one. */
void cfg_moments_merge(struct cfg_moments *m, const struct cfg_moments *later);
/* The sample variance m2/(n−1); 0 below two samples. */
double cfg_moments_variance(const struct cfg_moments *m);
/* Appends {"n":…,"mean":…,"m2":…,"min":…,"max":…,"last":…,"bad":…}. */
void cfg_moments_print(struct cfg_buf *out, const struct cfg_moments *m);
/* Reads that back from what another program sent. n and bad must be there; without samples the rest is not looked at;
 * with samples all must be numbers that samples can have. Other members are ignored. *out is untouched on failure.
 * CFG_E_VALUE (or CFG_E_JSON for a missing count) names the member. */
CFG_MUST_CHECK int cfg_moments_parse(struct cfg_moments *out, const cJSON *v, struct cfg_error *err);

#endif
