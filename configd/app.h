/* The daemon put together: what there is, who owns it, in which order it starts and stops.
 *
 *    embedded etcd → etcd client → store ← replica → service → hub → fleet → streams → http
 *
 * Everything runs on the one loop. Handlers (api_*.c, stream_http.c) get this struct; each uses the few members its job
 * needs. */
#ifndef CFG_CONFIGD_APP_H
#define CFG_CONFIGD_APP_H

#include "configd/stream_http.h"

#include <stdio.h>

struct cfg_embedded;
struct cfg_flag_spaces;
struct cfg_health;
struct cfg_http;
struct cfg_log;
struct cfg_peers;
struct cfg_settings;

struct cfg_app {
    const struct cfg_settings *settings; /* borrowed */
    struct cfg_log *log;                 /* borrowed */
    FILE *out;                           /* borrowed: where "listening on" and "ready" go */
    const struct cfg_clock *clock;
    struct cfg_loop *loop;
    struct cfg_embedded *embedded; /* NULL with --etcd */
    struct cfg_etcd *etcd;
    struct cfg_health *health; /* how etcd is */
    struct cfg_store *store;
    struct cfg_flag_spaces *flags; /* compiled, per namespace */
    struct cfg_flips *flips;       /* tells when their time rules flip */
    struct cfg_rollouts *rollouts; /* observes them, and drives them where it holds the lock */
    struct cfg_rollout_counts *rollout_counts;
    struct cfg_experiments *experiments; /* adds up what comes of them */
    struct cfg_experiment_looks *experiment_looks;
    struct cfg_replica *replica;
    struct cfg_service *service;
    struct cfg_hub *hub;
    struct cfg_fleet *fleet;
    struct cfg_peers *peers;
    const cJSON *listed; /* every replica's workers, while the start of a rollout is looked at again; else NULL */
    struct cfg_streams *streams;
    struct cfg_http *http;
    struct cfg_store_listener listener; /* says when the replica is ready, and why not */
    struct cfg_timer *drain;            /* runs while a stop waits for what is under way */
    uint64_t drain_until_ns;
    bool announced, stopping, failed; /* failed: ended by an error that is already logged */
    char replica_id[CFG_LIMIT_NAME + 1];
    char *password;      /* etcd's; owned */
    uint64_t started_ns; /* monotonic */
};

/* Puts everything together; nothing runs yet. Errors are for the operator: they name the option. settings, log and out
 * are borrowed and outlive the app. settings->embedded_etcd is set unless settings->etcd is. */
CFG_MUST_CHECK int cfg_app_new(struct cfg_app **out, const struct cfg_settings *settings, struct cfg_log *log,
                               FILE *stdout_file, struct cfg_error *err);
/* Runs until cfg_app_stop has done its work (true), or until going on would risk what is stored (false, and why is
 * logged). */
bool cfg_app_run(struct cfg_app *app);
/* Ends gracefully: streams are told to go elsewhere, requests under way are answered (for a few seconds at most), then
 * the loop ends. A second call does not wait. From the loop's thread. */
void cfg_app_stop(struct cfg_app *app);
/* Reads tokens and certificates again; keeps the old ones, and logs why, when they are bad. */
void cfg_app_reload(struct cfg_app *app);
void cfg_app_free(struct cfg_app *app); /* NULL is fine */

#endif
