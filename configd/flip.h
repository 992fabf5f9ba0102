/* Time flips, told: keeps the plan of flip_decide.h from what the store shows, holds the lock live/lock/flips under a
 * lease while anything is planned, and writes live/flip/NS through the service when a moment comes. It wakes exactly
 * then (a timer on the wall clock, which also wakes when that clock is set), when the store changes, and to keep its
 * lease. A holder that dies loses the lock with its lease (FLIP_LEASE_S); the others hear that and one takes over. One
 * thread. */
#ifndef CFG_CONFIGD_FLIP_H
#define CFG_CONFIGD_FLIP_H

#include "configd/service.h"

struct cfg_flips;

struct cfg_flips_options {
    struct cfg_loop *loop; /* all borrowed, outlive the flips */
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_service *service;
    const struct cfg_clock *clock;
    const char *prefix;     /* "/configd/v1/"; copied */
    const char *replica_id; /* names the holder, and is the author of its flips; copied */
};
CFG_MUST_CHECK int cfg_flips_new(struct cfg_flips **out, const struct cfg_flips_options *o, struct cfg_error *err);
/* Before the service and the etcd client; gives the lock back. NULL is fine. */
void cfg_flips_free(struct cfg_flips *f);

#endif
