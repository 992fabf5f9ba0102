/* What the fleet's files share: fleet.c (registry), fleet_register.c (what workers send), fleet_list.c (what people
 * ask), fleet_presence.c (what other replicas are told), fleet_groups.c (where ranks meet). */
#ifndef CFG_CONFIGD_FLEET_INTERNAL_H
#define CFG_CONFIGD_FLEET_INTERNAL_H

#include "configd/contract_check.h"
#include "configd/fleet.h"
#include "configd/fleet_exposures.h"
#include "configd/fleet_reach.h"

enum {
    FLEET_INCARNATION = 64, /* bytes of one, at most */
    FLEET_OLD = 8,          /* superseded incarnations remembered per worker */
    FLEET_FLAPS = 4,
    FLEET_NAMES = 3,
};

/* One distinct contract among a deployment's workers. */
struct fleet_contract {
    struct cfg_contract *contract;  /* owned */
    const char *names[FLEET_NAMES]; /* some of those connected, gathered when they are asked for */
    size_t n_names;
    size_t workers, connected;
    struct fleet_contract *next;
};

/* What is only shown is kept as JSON text, a tenth of a tree's size: there may be tens of thousands. */
struct fleet_worker {
    const char *id; /* in id_text */
    struct fleet_deployment *deployment;
    char incarnation[FLEET_INCARNATION + 1];
    char (*old)[FLEET_INCARNATION + 1]; /* superseded ones, newest last; owned */
    size_t n_old;
    uint64_t replaced_ms[FLEET_FLAPS]; /* when a live incarnation was superseded, newest last; 0: unused */
    char *about;                       /* host, pid, group, rank, world, address, labels; owned */
    char *group;                       /* owned; its own id where it names none */
    char *address;                     /* where the others of its group meet it; owned, NULL: nowhere */
    uint32_t rank, world;
    struct fleet_contract *contract;
    cJSON *ceilings;                                     /* {PATH: number}; owned, NULL: none */
    uint64_t registered_wall_ns, registered_ms, gone_ms; /* gone: when its stream closed; 0: never had one */
    /* The last report. */
    bool reported;
    uint64_t report_ms, age_ms;
    double step;
    char state[16];
    struct cfg_rev applied;
    char digest[CFG_DIGEST_TEXT];
    char *kept;             /* applied, pending, rejects, overrides, metrics as reported; owned, NULL: none */
    struct fleet_told told; /* of exposures, by this incarnation */
    /* The stream. */
    cfg_fleet_superseded_fn superseded; /* NULL: not connected */
    void *stream;
    char id_text[];
};

struct fleet_deployment {
    char name[CFG_LIMIT_NAME + 1];
    void *workers; /* tsearch tree of struct fleet_worker by id */
    size_t n, connected;
    struct fleet_contract *contracts;
    struct fleet_exposures exposures;
    struct fleet_deployment *next;
    /* Presence. */
    bool dirty, writing, written; /* written: a record of ours may lie in the store */
    uint64_t written_ms;
};

/* What requests to etcd hold of the fleet: their replies may come after it is gone. */
struct fleet_link {
    struct cfg_fleet *f; /* NULL: gone */
    size_t refs;
};

enum fleet_lease { LEASE_NONE, LEASE_ASKED, LEASE_HELD };

struct cfg_fleet {
    struct cfg_loop *loop;
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_hub *hub;
    const struct cfg_clock *clock;
    char *prefix, *replica_id, *url;
    unsigned lease_ttl_s, report_interval_ms;
    struct fleet_deployment *deployments;
    size_t n_workers, n_connected;
    struct cfg_store_listener listener;
    struct cfg_crew crew;
    struct cfg_timer *tick;
    enum fleet_lease lease_state;
    int64_t lease;
    uint64_t renewed_ms, pruned_ms;
    bool renewing;
    struct fleet_link *link;
    struct fleet_group_wait *group_waits; /* fleet_groups.c */
    struct cfg_timer *group_timer;
};

uint64_t fleet_now_ms(const struct cfg_fleet *f);
struct fleet_deployment *fleet_find_deployment(const struct cfg_fleet *f, const char *name);  /* NULL: none */
struct fleet_worker *fleet_find_worker(const struct fleet_deployment *d, const char *worker); /* d may be NULL */
/* Finds or adds. NULL without memory. */
struct fleet_deployment *fleet_add_deployment(struct cfg_fleet *f, const char *name);
struct fleet_worker *fleet_add_worker(struct cfg_fleet *f, struct fleet_deployment *d, const char *worker);
void fleet_remove_worker(struct cfg_fleet *f, struct fleet_worker *w); /* its stream is not told */
/* Who is connected here, as decisions ask for it (fleet_crew.c). */
void fleet_crew_init(struct cfg_fleet *f);
/* Notes in every contract of d some of the connected workers that hold it. */
void fleet_name_workers(struct fleet_deployment *d);
/* {PATH: {"lowest","worker"}} of d's connected workers; returned-owned, NULL: none (or no memory). */
cJSON *fleet_lowest_ceilings(const struct fleet_deployment *d);
size_t fleet_count_groups(const struct fleet_deployment *d); /* of connected workers */
/* Would a worker with this contract and these ceilings take the deployment's view as it is now? *problem is
 * {"violations"} then. CFG_E_CONTRACT, CFG_E_CEILING, CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_check_contract(struct cfg_fleet *f, const char *deployment, const struct cfg_contract *c,
                                        const cJSON *ceilings, cJSON **problem, struct cfg_error *err);
/* Is this a registration's or report's member "ceilings" (NULL: none is fine)? CFG_E_INVALID with the path. */
CFG_MUST_CHECK int fleet_ceilings_check(const cJSON *ceilings, struct cfg_error *err);
/* Takes them over from a report or registration that was checked; NULL: they stay. CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_ceilings_take(struct cfg_fleet *f, struct fleet_worker *w, const cJSON *ceilings,
                                       struct cfg_error *err);

/* Exchanges a worker's contract; c is consumed. CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_set_contract(struct fleet_worker *w, struct cfg_contract *c);
/* The same by what the worker says about itself: an object with "group" and "labels" (fleet_arms.c). */
const char *fleet_assign(const struct cfg_deployment *d, const char *worker, const cJSON *about);
void fleet_disconnect(struct cfg_fleet *f, struct fleet_worker *w);
void fleet_each_worker(const struct fleet_deployment *d, void (*fn)(struct fleet_worker *w, void *arg), void *arg);
/* How often live incarnations of this worker replaced each other within ten seconds, lately; 0 most of the time. */
unsigned fleet_flaps(const struct fleet_worker *w, uint64_t now_ms);

/* The groups' part of a presence record, ",\"roots\":[…]" or nothing, while the record is below `most` bytes. */
void fleet_groups_print(struct cfg_buf *out, const struct fleet_deployment *d, size_t most);
void fleet_groups_moved(struct cfg_fleet *f); /* a rank 0 may have come, here or at another replica */
void fleet_groups_finish(struct cfg_fleet *f);

/* Who is connected where has changed: the presence record is written soon, at most once a second. */
void fleet_presence_touch(struct cfg_fleet *f, struct fleet_deployment *d);
CFG_MUST_CHECK int fleet_presence_start(struct cfg_fleet *f, struct cfg_error *err);
void fleet_presence_stop(struct cfg_fleet *f);
/* This replica's record for d: {"url","replica","workers","contracts":[{"workers","contract","names"}],"ceilings"?}.
 * Check cfg_buf_status. */
void fleet_presence_print(struct cfg_buf *out, const struct cfg_fleet *f, struct fleet_deployment *d);

#endif
