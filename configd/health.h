/* How etcd is, asked now and then: every member that --etcd names for itself, the list of members, alarms, and the
 * quota of its database. For GET /v1/health and /metrics. One thread. */
#ifndef CFG_CONFIGD_HEALTH_H
#define CFG_CONFIGD_HEALTH_H

#include "configd/etcd.h"

struct cfg_health;

struct cfg_health_options {
    struct cfg_loop *loop; /* borrowed, as etcd and clock; they outlive it */
    struct cfg_etcd *etcd; /* answers what any member can */
    const struct cfg_clock *clock;
    const struct cfg_etcd_options *endpoints; /* each of its endpoints is asked by itself; borrowed for the call */
    unsigned interval_ms;                     /* 0: 30000 */
};
CFG_MUST_CHECK int cfg_health_new(struct cfg_health **out, const struct cfg_health_options *o, struct cfg_error *err);
void cfg_health_free(struct cfg_health *h); /* before etcd; NULL is fine. Pending answers are called with CANCELED */

struct cfg_health_endpoint {
    const char *name; /* as --etcd has it; borrowed */
    bool asked, ok;
    double latency_s; /* of the last answer */
    struct cfg_etcd_status status;
    char error[160]; /* "" while ok */
};
struct cfg_health_facts {
    const struct cfg_health_endpoint *endpoints;
    size_t n_endpoints;
    const cJSON *members, *alarms; /* see health_read.h; NULL: not known */
    double quota_bytes;            /* of the database; 0: not known */
    double compacted;              /* revision below which etcd has thrown away; 0: none, or not known */
    uint64_t checked_ns;           /* monotonic, when the last round ended; 0: never */
};
/* As they were found last. Borrowed until the next turn. */
struct cfg_health_facts cfg_health_facts(const struct cfg_health *h);

/* Asks everything afresh, and calls fn when the round is over; err: it was broken off. Calls during a round share it.
 */
typedef void (*cfg_health_fn)(void *arg, const struct cfg_error *err);
void cfg_health_check(struct cfg_health *h, cfg_health_fn fn, void *arg);

#endif
