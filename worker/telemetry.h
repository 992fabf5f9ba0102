/* What reports tell of the steps: windows, runs and outcomes, each until configd has taken it, and then never again.
 *
 * What has been sent is one piece of text, sent again unchanged with every report until one with it has been taken;
 * meanwhile what happens is gathered beside it, windows of one revision in one, so that a long absence of configd costs
 * no memory. Pure but for memory; the library's thread. */
#ifndef CFG_WORKER_TELEMETRY_H
#define CFG_WORKER_TELEMETRY_H

#include "worker/gather.h"
#include "worker/outcomes.h"
#include "worker/runs.h"

enum { CFG_WINDOWS_MAX = 8 }; /* one report carries */

struct cfg_telemetry {
    struct cfg_window *ready; /* not sent yet, the earliest first; at most CFG_WINDOWS_MAX */
    char *sent;            /* `,"windows":[…],"runs":[…],"outcomes":{…}`, not known to be taken; NULL: nothing */
    uint64_t seq;          /* of the newest window sent */
    uint64_t outcomes_seq; /* of the newest outcomes sent */
    uint64_t runs_taken, runs_sent;
    uint64_t lost;  /* steps that found no place */
    unsigned tries; /* reports with `sent` since it might have been taken first; 0: none waits */
};

void cfg_telemetry_finish(struct cfg_telemetry *t); /* takes a zeroed struct */
/* Takes over what g has gathered; NULL: nothing. */
void cfg_telemetry_collect(struct cfg_telemetry *t, struct cfg_gather *g);
/* What a report carries now: `sent` as it is, or, when that has been taken, all that is ready, with the outcomes so
 * far, which are taken out of o. Borrowed until the next call; "" for nothing. g NULL: runs alone. Without memory
 * windows and runs stay ready. */
const char *cfg_telemetry_send(struct cfg_telemetry *t, const struct cfg_gather *g, const struct cfg_runs *runs,
                               struct cfg_outcomes *o);
/* This report has been taken. True when it carried `sent`, and there is more to tell already. */
bool cfg_telemetry_taken(struct cfg_telemetry *t, const char *report, const struct cfg_runs *runs);
/* Given up: nobody will take what was sent. */
void cfg_telemetry_drop(struct cfg_telemetry *t);

#endif
