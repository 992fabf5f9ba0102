/* Records of adoptions, kept in etcd so that a past run can be told about: runs/DEPLOYMENT/TIME-REPLICA, each a batch
 * {"runs":[…]} (fleet_past.h). Not watched; on average at most one write per second, deployment and replica, of at most
 * 64 KiB, and four in a row after a pause; pruned by age and number. See docs/adr/0015-adoptions-are-kept-in-etcd.md.
 * One thread.
 *
 * Whoever speaks for its group (rank 0) is recorded. A report that told of adoptions is acknowledged once they lie in
 * etcd: until then its worker keeps them, and tells them again. */
#ifndef CFG_CONFIGD_FLEET_RUNS_H
#define CFG_CONFIGD_FLEET_RUNS_H

#include "configd/fleet_internal.h"
#include "configd/fleet_past.h"

/* Is this a report's member "runs" (NULL: none is fine)? CFG_E_INVALID with the path. */
CFG_MUST_CHECK int fleet_runs_check(const cJSON *runs, struct cfg_error *err);
/* Queues what is new of it. CFG_E_RATE when too much waits to be written, CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_runs_take(struct cfg_fleet *f, struct fleet_worker *w, const cJSON *runs,
                                   struct cfg_error *err);
/* Queues that the worker's process has ended, at the step it last told of. */
void fleet_runs_end(struct cfg_fleet *f, struct fleet_worker *w);
/* May a write be made now? Notes it then. *due_ms, 0 at first, is the caller's memory. Pure. */
bool fleet_runs_may_write(uint64_t *due_ms, uint64_t now_ms);
void fleet_runs_tick(struct cfg_fleet *f);        /* about once a second: writes what is due */
void fleet_runs_free(struct fleet_deployment *d); /* whoever waits is not called */
void fleet_runs_prune(struct cfg_fleet *f);       /* about once an hour (fleet_runs_read.c) */

#endif
