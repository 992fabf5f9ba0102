/* The fleet as this replica knows it: workers registered here, what they last reported, and, through presence records,
 * how many are elsewhere.
 *
 * Reports stay in memory. Presence (live/presence/<deployment>/<replica>, under this replica's lease, rate-limited)
 * carries URL, and per distinct contract its parameters' classes and how many workers hold it, so that any replica can
 * tell a write's reach. One thread. */
#ifndef CFG_CONFIGD_FLEET_H
#define CFG_CONFIGD_FLEET_H

#include "configd/hub.h"

struct cfg_fleet;

struct cfg_fleet_options {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_hub *hub;
    const struct cfg_clock *clock;
    const char *prefix, *replica_id, *advertise_url; /* copied */
    unsigned lease_ttl_s;                            /* 0: 15 */
    unsigned report_interval_ms;                     /* told to workers; 0: 2000 */
};
CFG_MUST_CHECK int cfg_fleet_new(struct cfg_fleet **out, const struct cfg_fleet_options *o, struct cfg_error *err);
void cfg_fleet_free(struct cfg_fleet *f); /* revokes the lease as far as it can without waiting */

/* Registration (the API's JSON). *reply is returned-owned; *problem (returned-owned or NULL) holds extra members for
 * the error reply
 * ("differences"). CFG_E_NOT_FOUND, CFG_E_PIN_MISMATCH, CFG_E_SUPERSEDED, CFG_E_FOREIGN_STORE, CFG_E_INVALID,
 * CFG_E_LIMIT, CFG_E_NOT_READY. */
CFG_MUST_CHECK int cfg_fleet_register(struct cfg_fleet *f, const char *deployment, const cJSON *body, cJSON **reply,
                                      cJSON **problem, struct cfg_error *err);
CFG_MUST_CHECK int cfg_fleet_report(struct cfg_fleet *f, const char *deployment, const char *worker, const cJSON *body,
                                    struct cfg_error *err); /* CFG_E_UNKNOWN_WORKER, CFG_E_SUPERSEDED, CFG_E_INVALID */
/* A worker's stream came or went: connected workers are those with an open stream. closed_fn is how a superseded stream
 * is told. */
CFG_MUST_CHECK int cfg_fleet_stream_opened(struct cfg_fleet *f, const char *deployment, const char *worker,
                                           const char *incarnation, void (*superseded)(void *arg), void *arg,
                                           struct cfg_error *err);
void cfg_fleet_stream_closed(struct cfg_fleet *f, const char *deployment, const char *worker, const char *incarnation);

cJSON *cfg_fleet_workers(struct cfg_fleet *f, const char *deployment);         /* the API's reply, returned-owned */
size_t cfg_fleet_connected(const struct cfg_fleet *f, const char *deployment); /* NULL: all */
/* Adds "reach" to each result of a change (see the API). results: array, changed in place. */
void cfg_fleet_add_reach(struct cfg_fleet *f, cJSON *results);

#endif
