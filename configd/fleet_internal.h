/* What the fleet's files share: fleet.c (registry), fleet_register.c and fleet_report.c (what workers send),
 * fleet_facts.c (what is known of them), fleet_list.c and fleet_summary.c (what people ask), fleet_presence.c (what
 * other replicas are told), fleet_groups.c (where ranks meet). */
#ifndef CFG_CONFIGD_FLEET_INTERNAL_H
#define CFG_CONFIGD_FLEET_INTERNAL_H

#include "configd/contract_check.h"
#include "configd/fleet.h"
#include "configd/fleet_exposures.h"
#include "configd/fleet_reach.h"
#include "configd/fleet_seen.h"
#include "configd/fleet_state.h"
#include "configd/fleet_window.h"

enum {
    FLEET_INCARNATION = 64, /* bytes of one, at most */
    FLEET_OLD = 8,          /* superseded incarnations remembered per worker */
    FLEET_FLAPS = 4,
    FLEET_NAMES = 3,
    FLEET_ARMS = 16,         /* of one deployment that are added up */
    FLEET_REFUSED = 64,      /* refusals remembered per deployment */
    FLEET_CAPABILITIES = 64, /* of one worker */
};

/* One distinct set of capabilities among a deployment's workers. */
struct fleet_skills {
    char *text; /* the sorted names, each behind a line break and before one: "\nbf16\nfp8\n"; owned */
    size_t workers, connected;
    const char *names[FLEET_NAMES]; /* some of those connected, gathered when they are asked for */
    size_t n_names;
    struct fleet_skills *next;
};

/* The workers of one arm, and what they did lately. */
struct fleet_arm {
    char name[CFG_LIMIT_NAME + 1];
    struct fleet_window window;
    struct cfg_rev since; /* windows of an older revision are of another release under the same name: left out */
    bool used;            /* while it is looked for which of them are */
    struct fleet_arm *next;
};

/* A process that was not let in: it keeps trying, and would be invisible otherwise. */
struct fleet_refused {
    char *worker, *incarnation, *host, *text; /* owned; text: why */
    int code;
    uint64_t at_ms;
};

/* One distinct contract among a deployment's workers. */
struct fleet_contract {
    struct cfg_contract *contract;  /* owned */
    const char *names[FLEET_NAMES]; /* some of those connected, gathered when they are asked for */
    size_t n_names;
    struct fleet_worker *first; /* all of those, linked by same_contract when they are asked for */
    size_t workers, connected;
    struct fleet_contract *next;
};

/* What is only shown is kept as JSON text, a tenth of a tree's size: there may be tens of thousands. */
struct fleet_worker {
    const char *id; /* in id_text */
    struct fleet_deployment *deployment;
    uint64_t mark; /* in presence records */
    char incarnation[FLEET_INCARNATION + 1];
    char (*old)[FLEET_INCARNATION + 1]; /* superseded ones, newest last; owned */
    size_t n_old;
    uint64_t replaced_ms[FLEET_FLAPS]; /* when a live incarnation was superseded, newest last; 0: unused */
    char *about;                       /* host, pid, group, rank, world, address, labels; owned */
    char *group;                       /* owned; its own id where it names none */
    char *address;                     /* where the others of its group meet it; owned, NULL: nowhere */
    uint32_t rank, world;
    struct fleet_contract *contract;
    struct fleet_worker *same_contract;
    struct fleet_skills *skills;
    struct fleet_arm *arm;                               /* that it is assigned to; NULL without memory */
    bool apart;                                          /* its labels keep its group out of the split */
    cJSON *ceilings;                                     /* {PATH: number}; owned, NULL: none */
    uint64_t registered_wall_ns, registered_ms, gone_ms; /* gone: when its stream closed; 0: never had one */
    uint64_t added_ms;                                   /* when this replica first heard of it */
    /* The last report. */
    bool reported;
    uint64_t report_ms, age_ms;
    double step;
    char state[16];
    struct cfg_rev applied;
    struct cfg_rev
        held; /* its stream began with the digest that it ought to hold, and it had heard of all up to here */
    char digest[CFG_DIGEST_TEXT];
    char *kept; /* applied, pending, rejects, overrides, draining, group, metrics as reported; owned, NULL: none */
    struct cfg_rev rejected;               /* the newest revision that it has refused */
    uint16_t pending, draining, overrides; /* how many */
    bool forming;
    uint64_t window_seq;     /* the newest window that was counted */
    uint64_t outcomes_seq;   /* the newest outcomes */
    uint32_t p50_us, p99_us; /* of the newest window's steps */
    float step_rate;         /* per second, in it; 0: not known */
    uint64_t window_ms;      /* when it came */
    uint64_t run_step;       /* the newest adoption that was recorded */
    struct cfg_rev run_revision;
    uint64_t run_target;    /* when its deployment's queue has written so many, it is recorded */
    struct fleet_told told; /* of exposures, by this incarnation */
    /* The stream. */
    cfg_fleet_superseded_fn superseded; /* NULL: not connected */
    void *stream;
    char id_text[];
};

struct fleet_queue;
struct fleet_deployment {
    char name[CFG_LIMIT_NAME + 1];
    void *workers; /* tsearch tree of struct fleet_worker by id */
    size_t n, connected;
    struct fleet_contract *contracts;
    struct fleet_skills *skills;
    struct fleet_arm *arms;
    bool has_apart;                /* the split goes by labels */
    struct fleet_window peers;     /* then: of the base, those alone who could run the canary */
    struct fleet_refused *refused; /* owned; the oldest first */
    size_t n_refused;
    struct fleet_exposures exposures;
    struct fleet_queue *queue; /* adoptions to be recorded (fleet_runs.c); owned, NULL: none yet */
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

/* Whoever asks etcd holds the link until the reply; dropping it returns the fleet, or NULL when it is gone. */
struct fleet_link *fleet_link_hold(struct cfg_fleet *f);
struct cfg_fleet *fleet_link_drop(struct fleet_link *link);
bool fleet_may_write(const struct cfg_fleet *f); /* into the store that the replica shows */

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
    uint64_t outcomes_left_out; /* variants' samples that came without parts */
    struct cfg_store_listener listener;
    struct cfg_crew crew;
    struct cfg_timer *tick;
    enum fleet_lease lease_state;
    int64_t lease;
    uint64_t renewed_ms, pruned_ms, runs_pruned_ms;
    bool renewing, leaving;        /* leaving: workers are sent away, the record of them stays */
    struct fleet_earlier *earlier; /* fleet_elsewhere.c: workers before a restart, who may be on their way back */
    uint64_t earlier_until_ms;     /* 0: not looked for yet */
    struct fleet_link *link;
    struct cfg_fleet_samples samples;     /* who hears of them */
    struct fleet_group_wait *group_waits; /* fleet_groups.c */
    struct cfg_timer *group_timer;
};

uint64_t fleet_now_ms(const struct cfg_fleet *f);
/* What workers are told: reports of all together stay under about a thousand a second, however large the fleet. */
double fleet_report_interval_ms(const struct cfg_fleet *f);
struct fleet_deployment *fleet_find_deployment(const struct cfg_fleet *f, const char *name);  /* NULL: none */
struct fleet_worker *fleet_find_worker(const struct fleet_deployment *d, const char *worker); /* d may be NULL */
/* Finds or adds. NULL without memory. */
struct fleet_deployment *fleet_add_deployment(struct cfg_fleet *f, const char *name);
struct fleet_worker *fleet_add_worker(struct cfg_fleet *f, struct fleet_deployment *d, const char *worker);
void fleet_remove_worker(struct cfg_fleet *f, struct fleet_worker *w); /* its stream is not told */
/* The arm of that name, found or added; NULL without memory or room. */
struct fleet_arm *fleet_arm_at(struct fleet_deployment *d, const char *name);
/* Assigns every worker anew, as the deployment's record is now. */
void fleet_arms_assign(struct cfg_fleet *f, struct fleet_deployment *d);
/* Notes that a process was not let in, or (code 0) that it was. What there is no memory for is left out. */
void fleet_refused_note(struct cfg_fleet *f, const char *deployment, const cJSON *registration, int code,
                        const char *text);
void fleet_refused_finish(struct fleet_deployment *d);
/* Exchanges a worker's capabilities; list: an array of strings, or NULL. CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_set_skills(struct fleet_worker *w, const cJSON *list);
void fleet_drop_skills(struct fleet_worker *w);
bool fleet_has_skill(const struct fleet_skills *s, const char *name); /* s may be NULL: none */
/* Adds the names to an array of strings. False without memory. */
bool fleet_skills_list(cJSON *array, const struct fleet_skills *s);
/* What is known of a worker now, and what those of an arm ought to run. */
void fleet_facts_of(struct fleet_facts *out, const struct cfg_fleet *f, const struct fleet_worker *w, uint64_t now_ms);
/* Why it is in that state, as fleet_state_why, with what the worker itself has told: which value, whose reason. */
void fleet_worker_why(char out[FLEET_WHY], enum fleet_state s, const struct fleet_facts *x,
                      const struct fleet_target *t, const struct fleet_worker *w);
/* Who of rank groups holds the others up (fleet_blame.c), as of one look. */
struct fleet_blame {
    struct fleet_blamed {
        const struct fleet_worker *worker;
        unsigned guilt;
        uint64_t age_ms; /* since its last report */
        bool connected;
    } * items; /* owned; by group, the worst first */
    size_t n;
    uint64_t now_ms;
};
/* d may be NULL. Without memory nobody is named. Borrows workers until something changes. */
void fleet_blame_init(struct fleet_blame *out, const struct cfg_fleet *f, const struct fleet_deployment *d,
                      uint64_t now_ms);
void fleet_blame_finish(struct fleet_blame *b);
/* Why a rank is behind, where that is another of its group, or that it is the one; else out stays as it was. */
void fleet_blame_why(char out[FLEET_WHY], enum fleet_state s, const struct fleet_blame *b,
                     const struct fleet_worker *w);
void fleet_target_of(struct fleet_target *out, const struct cfg_fleet *f, const char *deployment, const char *arm);
/* The targets of a deployment's arms, looked up once each. Fill fleet and deployment; arm is borrowed as long. */
struct fleet_targets {
    const struct cfg_fleet *fleet;
    const char *deployment;
    const char *arms[FLEET_ARMS + 1];
    struct fleet_target targets[FLEET_ARMS + 1];
    size_t n;
};
const struct fleet_target *fleet_targets_at(struct fleet_targets *t, const char *arm);
/* Is the refusal still of interest: lately, of one that has not come in since? And what to call the worker. */
bool fleet_refused_counts(const struct fleet_deployment *d, const struct fleet_refused *r, uint64_t now_ms);
enum fleet_state fleet_refused_state(const struct fleet_refused *r);
/* Who has reported within that long is alive. */
double fleet_live_ms(const struct cfg_fleet *f);
/* Every other replica's presence record of a deployment, the newest first, and what this one's said before it was
 * restarted while its workers may still be on their way back. `seen` holds who is connected here and who was counted in
 * newer records; fn counts its part with fleet_seen_count. Strings and trees are borrowed for the call. */
typedef void (*fleet_presence_fn)(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg);
void fleet_each_other(const struct cfg_fleet *f, const char *deployment, fleet_presence_fn fn, void *arg);

/* Who is connected here, as decisions ask for it (fleet_crew.c). */
void fleet_crew_init(struct cfg_fleet *f);
/* Notes in every contract of d some of the connected workers that hold it. */
void fleet_name_workers(struct fleet_deployment *d);
void fleet_name_skilled(struct fleet_deployment *d); /* the same of sets of capabilities */
/* {PATH: {"lowest","worker"}} of d's connected workers; returned-owned, NULL: none (or no memory). */
cJSON *fleet_lowest_ceilings(const struct fleet_deployment *d);
size_t fleet_count_groups(const struct fleet_deployment *d); /* of connected workers */
/* Would a worker with this contract and these ceilings take the deployment's view as it is now? *problem is
 * {"violations"} then. CFG_E_CONTRACT, CFG_E_CEILING, CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_check_contract(struct cfg_fleet *f, const char *deployment, const struct cfg_contract *c,
                                        const cJSON *ceilings, cJSON **problem, struct cfg_error *err);
/* Would a worker that can do this (array of names; NULL: nothing) lack what flags require that are on? *problem as
 * above. CFG_E_CAPABILITY, CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_check_skills(struct cfg_fleet *f, const struct cfg_deployment *d, const cJSON *capabilities,
                                      cJSON **problem, struct cfg_error *err);
/* Is this a report's member "windows" (NULL: none is fine)? CFG_E_INVALID, CFG_E_VALUE, CFG_E_LIMIT with the path. */
CFG_MUST_CHECK int fleet_windows_check(const cJSON *windows, struct cfg_error *err);
/* How fast a worker steps, by its newest window; zeros: not known, or it came so long ago that it tells nothing of now.
 */
struct fleet_pace {
    double step_rate;
    uint32_t p50_us, p99_us;
};
struct fleet_pace fleet_pace_of(const struct fleet_worker *w, uint64_t now_ms);
/* Adds up those that were checked and have not been counted for this incarnation. */
void fleet_windows_take(const struct cfg_fleet *f, struct fleet_worker *w, const cJSON *windows);
/* Is this a report's member "outcomes" (NULL: none is fine)? CFG_E_INVALID, CFG_E_VALUE, CFG_E_LIMIT with the path. */
CFG_MUST_CHECK int fleet_outcomes_check(const cJSON *outcomes, struct cfg_error *err);
/* Hands on what was checked and has not been counted for this incarnation; outcomes NULL: nothing. */
void fleet_outcomes_take(struct cfg_fleet *f, struct fleet_worker *w, const cJSON *outcomes);
/* Is this a registration's or report's member "ceilings" (NULL: none is fine)? CFG_E_INVALID with the path. */
CFG_MUST_CHECK int fleet_ceilings_check(const cJSON *ceilings, struct cfg_error *err);
/* Takes them over from a report or registration that was checked; NULL: they stay. CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_ceilings_take(struct cfg_fleet *f, struct fleet_worker *w, const cJSON *ceilings,
                                       struct cfg_error *err);

/* Exchanges a worker's contract; c is consumed. CFG_E_NOMEM. */
CFG_MUST_CHECK int fleet_set_contract(struct fleet_worker *w, struct cfg_contract *c);
/* The same by what the worker says about itself: an object with "group" and "labels" (fleet_arms.c). *apart: its labels
 * keep its group out of the split. */
const char *fleet_assign(bool *apart, const struct cfg_deployment *d, const char *worker, const cJSON *about);
void fleet_disconnect(struct cfg_fleet *f, struct fleet_worker *w);
void fleet_each_worker(const struct fleet_deployment *d, void (*fn)(struct fleet_worker *w, void *arg), void *arg);
/* How often live incarnations of this worker replaced each other within ten seconds, lately; 0 most of the time. */
unsigned fleet_flaps(const struct fleet_worker *w, uint64_t now_ms);

/* The groups' part of a presence record, ",\"roots\":[…]" or nothing, while the record is below `most` bytes. */
void fleet_groups_print(struct cfg_buf *out, const struct fleet_deployment *d, size_t most);
void fleet_groups_moved(struct cfg_fleet *f); /* a rank 0 may have come, here or at another replica */
void fleet_groups_finish(struct cfg_fleet *f);

/* What presence says of this replica before its restart: looked at with the first snapshot, before a record is written
 * anew. */
void fleet_earlier_look(struct cfg_fleet *f);
/* Notes who is connected here. */
void fleet_see_here(struct fleet_seen *seen, const struct cfg_fleet *f, const char *deployment);
/* That record of a deployment, while its workers may still come back; NULL: none. Borrowed. */
const cJSON *fleet_earlier_record(const struct cfg_fleet *f, const char *deployment);
size_t fleet_absent(const struct cfg_fleet *f, const char *deployment); /* who of them is nowhere else */
extern const char fleet_earlier_name[];                                 /* what stands for a replica's name there */
void fleet_earlier_free(struct cfg_fleet *f);
void fleet_earlier_tick(struct cfg_fleet *f); /* when their time is over, their records are taken back */
/* Who is connected where has changed: the presence record is written soon, at most once a second. */
void fleet_presence_touch(struct cfg_fleet *f, struct fleet_deployment *d);
CFG_MUST_CHECK int fleet_presence_start(struct cfg_fleet *f, struct cfg_error *err);
void fleet_presence_stop(struct cfg_fleet *f);
/* This replica's record for d: {"url","replica","workers","contracts":[{"workers","contract","names"}],"ceilings"?}.
 * Check cfg_buf_status. */
void fleet_presence_print(struct cfg_buf *out, const struct cfg_fleet *f, struct fleet_deployment *d);

#endif
