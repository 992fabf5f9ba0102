/* What a worker is said to be: one word out of one list, from what is known of it and what it ought to run. Pure.
 *
 * Several words may fit; the first of the enumeration that does is told, so that what hides other facts (a worker that
 * is gone, or says nothing) comes before what it hides, and what explains (it rejects the view) before what follows
 * from that (it is behind). docs/operations.md tells operators the same list. */
#ifndef CFG_CONFIGD_FLEET_STATE_H
#define CFG_CONFIGD_FLEET_STATE_H

#include "proto/digest.h"
#include "proto/revision.h"

#include <stddef.h>

enum fleet_state {
    FLEET_FLAPPING,   /* processes with one id keep replacing each other, or live at two replicas at once */
    FLEET_SUPERSEDED, /* a newer process has taken its id over elsewhere, and it has not gone yet */
    FLEET_GONE,       /* no stream is open */
    FLEET_FOREIGN,    /* its view comes from another store */
    FLEET_UNKNOWN,    /* connected, but nothing is known of it, or nothing to compare it with */
    FLEET_STALE,      /* its report is overdue, or it says that it hears nobody */
    FLEET_REJECTING,  /* it has refused the view, or cannot start on it */
    FLEET_FORMING,    /* its group has not formed: no step runs */
    FLEET_LAGGING,    /* behind the view */
    FLEET_DRIFTED,    /* another digest at the same revision, or values overridden at the worker */
    FLEET_DRAINING,   /* work above a lowered value is finishing */
    FLEET_PENDING,    /* values wait for a restart */
    FLEET_IDLE,       /* converged, and has no step to take */
    FLEET_CURRENT,
    FLEET_STATES
};
const char *fleet_state_name(enum fleet_state s);
/* FLEET_STATES for a word that is none. */
enum fleet_state fleet_state_parse(const char *name);

/* What is known of one worker. Ages count up to now. Borrowed. */
struct fleet_facts {
    bool connected, reported, idle;
    bool forming;                      /* its group says that it has not formed */
    bool foreign, refused;             /* it was refused at registration: another store, or anything else */
    unsigned flaps;                    /* live incarnations that replaced each other lately */
    uint64_t report_age_ms, silent_ms; /* since its last report, or its registration; since it last heard, as it says */
    uint64_t interval_ms;              /* between two reports */
    struct cfg_rev applied, rejected;  /* {0,0}: none */
    struct cfg_rev held;               /* when its stream began it knew that what it ought to run held up to here */
    const char *digest;                /* of what it runs */
    unsigned pending, draining, overrides; /* how many */
};
/* What it ought to run. */
struct fleet_target {
    bool known;
    bool foreign;              /* this configd itself has met another store */
    struct cfg_rev rev, since; /* since: the revision from which on this digest has held */
    const char *digest;
};

/* Runs the target: its digest, taken over since it became the target (after A → B → A the first A does not count). */
bool fleet_converged(const struct fleet_facts *x, const struct fleet_target *t);
enum fleet_state fleet_state_of(const struct fleet_facts *x, const struct fleet_target *t);
/* Why, in a few words; "" where the word says it all. */
enum { FLEET_WHY = 400 };
void fleet_state_why(char out[FLEET_WHY], enum fleet_state s, const struct fleet_facts *x,
                     const struct fleet_target *t);

/* One process as some replica tells of it, to find those that share an id. */
struct fleet_living {
    const char *worker, *replica, *incarnation; /* borrowed; of the incarnation some first digits are enough */
    uint64_t report_age_ms;
    enum fleet_state state;
    void *entry;       /* the caller's */
    bool dropped;      /* out: another entry tells of the same process, or of what took its place */
    const char *rival; /* out: the replica where its twin lives; NULL: none */
};
/* Looks at entries from several replicas, which it sorts by worker. Of one process known at two replicas the one heard
 * of last stays; whoever is gone here and connected there is dropped here; of two live processes both become flapping;
 * one that still reports and one that does not: the latter is superseded. live_ms: who has reported within that long is
 * alive. */
void fleet_living_resolve(struct fleet_living *all, size_t n, uint64_t live_ms);

#endif
