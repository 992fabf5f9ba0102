/* Which revision how many workers of a deployment run on, and how long a revision took from the first of them that
 * heard of it to each that applied it. Pure: times come in. */
#ifndef CFG_FLEET_CHANGES_H
#define CFG_FLEET_CHANGES_H

#include "proto/histogram.h"

enum { CFG_CHANGES_KEPT = 8, CFG_CHANGE_REVISION = 48 };

struct cfg_change {
    uint64_t number; /* 1, 2, … in the order heard of; 0: none */
    char revision[CFG_CHANGE_REVISION];
    uint64_t heard_us, last_us; /* first heard of, last applied */
    size_t on;                  /* workers that run on it now */
    struct cfg_histogram took;
};

struct cfg_changes {
    struct cfg_change ring[CFG_CHANGES_KEPT];
    uint64_t newest;           /* its number */
    struct cfg_histogram took; /* of all */
    uint64_t max_us;
};

/* A worker has heard of `revision`: borrowed, and found or begun. */
struct cfg_change *cfg_changes_heard(struct cfg_changes *c, const char *revision, uint64_t now_us);
/* A worker that ran on number `from` (0: none) runs on `revision` now; counts tells whether the time does (a worker
 * that starts takes what was there). Returns the number. */
uint64_t cfg_changes_applied(struct cfg_changes *c, uint64_t from, const char *revision, uint64_t now_us, bool counts);
void cfg_changes_left(struct cfg_changes *c, uint64_t from); /* a worker is gone */
const struct cfg_change *cfg_changes_newest(const struct cfg_changes *c);

#endif
