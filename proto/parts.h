/* A metric's samples by random groups of units: how sure a mean is when units give many samples, and not equally many.
 *
 * Samples of one unit (a person, a key) resemble each other, so their variance says little about the mean's; and a few
 * units that give most of the samples make it less sure still. Each unit belongs to one of 64 parts by its hash. Parts
 * are small independent experiments of the same kind: how far their sums scatter around the common mean is how sure it
 * is, whatever units do inside (the method of random groups: Wolter, "Introduction to Variance Estimation", chapter 2).
 * Parts of several workers add up, part by part. Zero is empty. Pure, no allocation. */
#ifndef CFG_PROTO_PARTS_H
#define CFG_PROTO_PARTS_H

#include "proto/stats.h"

enum { CFG_PARTS = 64 };

struct cfg_part {
    uint64_t n;
    double mean; /* 0 while n is */
};
struct cfg_parts {
    struct cfg_part of[CFG_PARTS];
};

/* unit: 64 well mixed bits, the same for the same unit everywhere. What is no sample (moments.h) is left out. */
void cfg_parts_add(struct cfg_parts *p, uint64_t unit, double x);
void cfg_parts_merge(struct cfg_parts *p, const struct cfg_parts *other);
uint64_t cfg_parts_count(const struct cfg_parts *p);
/* The mean of all samples, which m has the spread of, and its variance. Its degrees of freedom are 63, or fewer where a
 * few parts, and so perhaps a few units, make up most of the scatter. False, *out untouched: fewer than two parts have
 * samples. */
bool cfg_parts_estimate(struct cfg_estimate *out, const struct cfg_parts *p, const struct cfg_moments *m);

/* Appends [n, mean, n, mean, …], all 64, and reads it back. CFG_E_VALUE names "parts". */
void cfg_parts_print(struct cfg_buf *out, const struct cfg_parts *p);
CFG_MUST_CHECK int cfg_parts_parse(struct cfg_parts *out, const cJSON *v, struct cfg_error *err);

#endif
