/* What the driver of rollouts asks etcd, the service, its lock and the fleet for, written down and answered by hand.
 * The program is linked with --wrap for each of the functions that rollouts_edge.c replaces. One thread. */
#ifndef CFG_TESTS_ROLLOUTS_EDGE_H
#define CFG_TESTS_ROLLOUTS_EDGE_H

#include "configd/etcd.h"
#include "configd/fleet_observe.h"
#include "configd/service.h"

struct asked {
    unsigned n;
    char key[128], guard[128], value[8192];
    int64_t lease, number;
    size_t n_compare;
    cfg_etcd_txn_fn fn; /* NULL: answered */
    void *arg;
};
extern struct asked progress, observed;
extern struct asked_decision {
    unsigned n;
    char input[32], author[32];
    bool has_if_version;
    uint64_t if_version;
    cfg_change_fn fn; /* NULL: answered */
    void *arg;
} decision;
extern struct asked_history {
    unsigned n, forgotten; /* how often it was read, and an arm forgotten */
    char key[128];
    struct cfg_rev since;
    cfg_etcd_range_fn fn; /* NULL: answered */
    void *arg;
} history;

/* What the fleet and the lock answer. */
enum { EDGE_LEASE = 7 };
extern uint64_t now_ms, seen_workers;
extern bool held;
extern struct cfg_fleet_lately lately; /* what was last asked for */

void answer(struct asked *a, bool well); /* nothing where nothing is open */
void answer_history(int64_t revision);
void answer_decision(void);

#endif
