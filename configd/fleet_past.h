/* Attribution: under which revision a step ran, from records of adoptions. Pure.
 *
 * A run is one process that speaks for its group (rank 0), by its incarnation. Its records, in the order in which they
 * were made, say "from this step on, this revision"; a program that goes back to a checkpoint goes back in steps, so a
 * step may have run more than once. A record of the end says which step was the last. */
#ifndef CFG_CONFIGD_FLEET_PAST_H
#define CFG_CONFIGD_FLEET_PAST_H

#include "proto/json.h"
#include "proto/revision.h"

#include <stddef.h>

enum { FLEET_RUN_AT = 40 }; /* bytes of a time's text */

struct fleet_run {
    char *group, *incarnation, *worker; /* owned */
    struct cfg_rev revision;            /* {0,0}: the run ended at step `from` */
    uint64_t from;
    char at[FLEET_RUN_AT + 1];
    uint64_t order; /* in which records were read */
};
/* What is looked up. */
struct fleet_past {
    struct fleet_run *runs; /* owned */
    size_t n, cap;
    bool partial; /* there was no room for all */
};

/* Appends {"group","incarnation","worker","revision","step","at"}, or without revision for an end. Check
 * cfg_buf_status. */
void fleet_run_print(struct cfg_buf *out, const struct fleet_run *r);
/* Takes in what such records lie in: {"runs":[…]}. What is none is left out (another version of configd wrote it);
 * group and worker: only theirs, NULL: all. CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_past_take(struct fleet_past *p, struct cfg_slice batch, const char *group, const char *worker);
/* [{"group","incarnation","revision","from_step","to_step","at"}] of the runs that had this step, newest first, at most
 * `most`; sets *partial where there were more. Sorts p. Returned-owned; NULL without memory. */
cJSON *fleet_past_at(struct fleet_past *p, uint64_t step, int most, bool *partial);
void fleet_past_finish(struct fleet_past *p);

#endif
