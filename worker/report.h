/* What a worker tells configd: its registration and its reports, and the memory of refused views. Pure. */
#ifndef CFG_WORKER_REPORT_H
#define CFG_WORKER_REPORT_H

#include "worker/ceiling.h"
#include "worker/drain.h"
#include "worker/exposures.h"
#include "worker/identity.h"
#include "worker/prepare.h"

enum { CFG_REJECTS_MAX = 8 };

struct cfg_reject {
    char revision[CFG_REV_TEXT];
    char path[160];
    char reason[384];
};

/* Views refused since the newest good one, oldest first; when full the oldest goes. */
struct cfg_rejects {
    struct cfg_reject items[CFG_REJECTS_MAX];
    size_t n;
    uint64_t total; /* ever */
};

void cfg_rejects_add(struct cfg_rejects *r, const char *revision, const struct cfg_error *why);
void cfg_rejects_clear(struct cfg_rejects *r); /* keeps `total` */

/* A rank's group, as the rank sees it. */
struct cfg_group_state {
    uint64_t incarnation;
    bool formed;
    char why[256]; /* not formed: why */
};

struct cfg_report {
    const char *incarnation;
    const struct cfg_box *applied; /* NULL before the first adoption */
    uint64_t step;
    bool idle;
    uint64_t age_ms;
    const struct cfg_contract *contract;
    const struct cfg_local *local;
    const struct cfg_rejects *rejects;
    const char *metrics;                 /* a JSON object's text, checked by the caller; NULL: none */
    const char *telemetry;               /* windows and runs: members of the report, each behind a comma; NULL: none */
    const struct cfg_drains *drains;     /* NULL: none */
    struct cfg_exposures *exposures;     /* what has changed is offered with this report; NULL: none */
    const struct cfg_ceilings *ceilings; /* NULL: none */
    const struct cfg_group_state *group; /* NULL: on its own */
};

/* The report's JSON. */
void cfg_report_print(struct cfg_buf *out, const struct cfg_report *r);

/* The registration's JSON: identity, contract, ceilings (NULL: none) and what is structural: a pinned parameter whose
 * declared range is one value, and, once there is a view, this process's value (boot's) of whatever the view says is
 * pinned. Its own defaults are nobody's pin. boot and view are both NULL before the first view: the process is "fresh"
 * then, also where store says that it has found a saved view. */
void cfg_registration_print(struct cfg_buf *out, const struct cfg_identity *id, const struct cfg_contract *c,
                            const struct cfg_box *boot, const struct cfg_box *view, const char *store,
                            const struct cfg_ceilings *ceilings);

/* RFC 3339 in UTC with microseconds: "2026-11-22T18:01:41.000123Z". */
enum { CFG_TIME_TEXT = 40 };
const char *cfg_time_print(char out[CFG_TIME_TEXT], int64_t wall_us);

#endif
