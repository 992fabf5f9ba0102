/* The fleet as this replica knows it: workers registered here, what they last reported, and, through presence records,
 * how many are elsewhere.
 *
 * Reports stay in memory. Presence (live/presence/<deployment>/<replica>, under this replica's lease, rate-limited)
 * carries URL, and per distinct contract its parameters' classes and how many workers hold it, so that any replica can
 * tell a write's reach. One thread. */
#ifndef CFG_CONFIGD_FLEET_H
#define CFG_CONFIGD_FLEET_H

#include "configd/contract_check.h"
#include "configd/hub.h"
#include "proto/histogram.h"
#include "proto/moments.h"

struct cfg_fleet;
struct fleet_answer;

struct cfg_fleet_options {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_hub *hub;
    const struct cfg_clock *clock;
    const char *prefix, *replica_id, *advertise_url; /* copied */
    unsigned lease_ttl_s;                            /* 0: 75 */
    unsigned report_interval_ms;                     /* told to workers, longer for fleets above that many; 0: 2000 */
};
CFG_MUST_CHECK int cfg_fleet_new(struct cfg_fleet **out, const struct cfg_fleet_options *o, struct cfg_error *err);
/* Before the streams are closed because this daemon stops: the presence record stays, until its lease ends, and names
 * the workers that now have to find another configd. */
void cfg_fleet_leave(struct cfg_fleet *f);
bool cfg_fleet_is_leaving(const struct cfg_fleet *f); /* what it knows is of nobody any more */
void cfg_fleet_free(struct cfg_fleet *f); /* revokes the lease as far as it can without waiting, if nobody was left */

/* Registration (the API's JSON). *reply is returned-owned; *problem (returned-owned or NULL) holds extra members for
 * the error reply
 * ("differences", "violations"). CFG_E_NOT_FOUND, CFG_E_PIN_MISMATCH, CFG_E_CONTRACT, CFG_E_CEILING, CFG_E_SUPERSEDED,
 * CFG_E_FOREIGN_STORE, CFG_E_INVALID, CFG_E_LIMIT, CFG_E_NOT_READY. */
CFG_MUST_CHECK int cfg_fleet_register(struct cfg_fleet *f, const char *deployment, const cJSON *body, cJSON **reply,
                                      cJSON **problem, struct cfg_error *err);
CFG_MUST_CHECK int cfg_fleet_report(struct cfg_fleet *f, const char *deployment, const char *worker, const cJSON *body,
                                    struct cfg_error *err); /* CFG_E_UNKNOWN_WORKER, CFG_E_SUPERSEDED, CFG_E_INVALID */
/* May a worker whose view comes from store `claimed` (NULL or "": from none) follow d in this store? *problem as above:
 * {"store","adopted"}. CFG_E_FOREIGN_STORE. */
CFG_MUST_CHECK int cfg_fleet_check_store(const struct cfg_deployment *d, const char *store_id, const char *claimed,
                                         cJSON **problem, struct cfg_error *err);
/* A worker's stream came or went: connected workers are those with an open stream.
 * `superseded` is how a stream is told that a newer incarnation, or a newer stream of its own incarnation, has taken
 * its place; it counts as closed then and is not told again. May be called from inside register and stream_opened.
 * Errors of opened: CFG_E_UNKNOWN_WORKER, CFG_E_SUPERSEDED. closed: arg names the stream; one that has been superseded
 * is ignored. */
typedef void (*cfg_fleet_superseded_fn)(void *arg, bool newer_incarnation);
CFG_MUST_CHECK int cfg_fleet_stream_opened(struct cfg_fleet *f, const char *deployment, const char *worker,
                                           const char *incarnation, cfg_fleet_superseded_fn superseded, void *arg,
                                           struct cfg_error *err);
/* The arm that a worker registered here runs by this record of its deployment: of its group, by the labels it gave.
 * Borrowed from d, or static; the base for an unknown worker. */
const char *cfg_fleet_arm(const struct cfg_fleet *f, const struct cfg_deployment *d, const char *worker);
void cfg_fleet_stream_closed(struct cfg_fleet *f, const char *deployment, const char *worker, void *arg);
/* The worker whose stream (arg) begins holds the view that it ought to, and has heard of all up to `have`. It may have
 * been told so by another replica, long after it adopted that view; this one may know less about how long the view has
 * held. */
void cfg_fleet_stream_holds(struct cfg_fleet *f, const char *deployment, const char *worker, void *arg,
                            struct cfg_rev have);

/* What this replica alone knows, as its part of the API's replies (fleet_merge.h puts parts together): its workers, the
 * deployment summed up, what flags have served to workers that report here (sketches: as sets that can be united, too).
 * Returned-owned; NULL without memory. */
cJSON *cfg_fleet_workers(struct cfg_fleet *f, const char *deployment);
cJSON *cfg_fleet_summary(struct cfg_fleet *f, const char *deployment);
cJSON *cfg_fleet_exposures(struct cfg_fleet *f, const char *deployment, bool sketches);
/* What workers that report here did under an arm in [since, until), times of cfg_fleet_clock_ms, in slots of five
 * seconds that overlap it; a little over five minutes are kept. All zero: nobody told anything, which is no health.
 * metric may be NULL. False for an unknown deployment or arm. */
struct cfg_fleet_window {
    uint64_t steps, ms;
    struct cfg_histogram latency;
    struct cfg_moments metric;
};
bool cfg_fleet_window(struct cfg_fleet_window *out, const struct cfg_fleet *f, const char *deployment, const char *arm,
                      uint64_t since_ms, uint64_t until_ms, const char *metric);
uint64_t cfg_fleet_clock_ms(const struct cfg_fleet *f); /* monotonic */
/* Who hears of samples as reports bring them, each once; *to is copied, NULL: nobody. outcome: a report's
 * {"flag","variant","units","metrics"}; window: the metrics of a window, of a rank group under an arm. All was checked,
 * and is borrowed for the call, which may not touch the fleet. */
struct cfg_fleet_samples {
    void (*outcome)(void *arg, const char *deployment, const cJSON *outcome);
    void (*window)(void *arg, const char *deployment, const char *group, const char *arm, const cJSON *metrics);
    void *arg;
};
void cfg_fleet_on_samples(struct cfg_fleet *f, const struct cfg_fleet_samples *to);
/* How many outcomes were left out since the start, as told by workers of a version that sends them without parts. */
uint64_t cfg_fleet_outcomes_left_out(const struct cfg_fleet *f);
/* Calls fn when all adoptions that this worker's reports have told of until now lie in etcd: at once where they do, and
 * for a rank whose group another speaks for. err: they could not be written in time, and have to be told again. */
typedef void (*cfg_fleet_recorded_fn)(void *arg, const struct cfg_error *err);
void cfg_fleet_when_recorded(struct cfg_fleet *f, const char *deployment, const char *worker, cfg_fleet_recorded_fn fn,
                             void *arg);
/* Under which revision a step ran, from what lies in etcd: the API's reply, returned-owned by fn (NULL with err).
 * group and worker, copied, restrict it; NULL: all. fn is called once, in a later turn; not after cfg_fleet_free. */
typedef void (*cfg_fleet_past_fn)(void *arg, cJSON *reply, const struct cfg_error *err);
void cfg_fleet_at(struct cfg_fleet *f, const char *deployment, uint64_t step, const char *group, const char *worker,
                  cfg_fleet_past_fn fn, void *arg);
/* Tells of every other replica that has workers of the deployment: its URL, and how many it last said (at least one,
 * where that cannot be read). Borrowed strings. */
typedef void (*cfg_fleet_other_fn)(void *arg, const char *replica, const char *url, uint64_t workers);
void cfg_fleet_others(const struct cfg_fleet *f, const char *deployment, cfg_fleet_other_fn fn, void *arg);
/* Fills in `elsewhere` of those that did not answer. */
void cfg_fleet_find_elsewhere(const struct cfg_fleet *f, const char *deployment, struct fleet_answer *answers,
                              size_t n);
/* Does a presence record tell of a worker that is known to be nowhere else by now? A replica that was killed leaves its
 * record behind for a minute; its workers are soon connected to others. */
bool cfg_fleet_presence_stands(const struct cfg_fleet *f, const struct cfg_object *presence);
const char *cfg_fleet_replica(const struct cfg_fleet *f); /* this one's id, borrowed */
/* Connected workers of a deployment, those that other replicas' presence tells of included; NULL: all deployments, this
 * replica only. */
size_t cfg_fleet_connected(const struct cfg_fleet *f, const char *deployment);
/* What the deployment's connected workers declare, here and by presence:
 * {"deployment","contracts":[{"workers","contract","names"?,"replica"?}],"ceilings":{PATH:{"lowest","worker"}},"unknown"}.
 * Returned-owned; NULL without memory. */
cJSON *cfg_fleet_contracts(struct cfg_fleet *f, const char *deployment);
/* Would they take these parameters (NULL: the view as it is)? {"deployment","workers","unknown","violations"}.
 * Returned-owned; NULL without memory. */
cJSON *cfg_fleet_check_contracts(struct cfg_fleet *f, const char *deployment, const cJSON *parameters);
const struct cfg_crew *cfg_fleet_crew(const struct cfg_fleet *f); /* borrowed; who is connected here */
/* Adds "reach" to each result of a change (see the API). results: array, changed in place. */
void cfg_fleet_add_reach(struct cfg_fleet *f, cJSON *results);

#endif
