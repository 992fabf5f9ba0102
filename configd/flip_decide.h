/* Time flips, decided: which namespace's flags answer otherwise next, when, and what a replica does about it. Pure.
 *
 * Whoever watches flags hears of a change by its revision; a rule such as {">=": [time, 1800000000]} changes answers
 * without one. So one replica, the holder of the lock "flips", writes live/flip/NS when the moment comes. A plan keeps,
 * for each namespace whose rules look at the time, up to when everything has been heard:
 *
 *   heard   the newest of: the last flip record's `at`; when the newest of the namespace's flags was written, by its
 *           record but never later than when this replica saw it (a writer's fast clock must not hide a flip)
 *   next    the first flip after that
 *
 * A flip at T is due once now >= T. Several that are due at once (nobody held the lock for a while) are one record, at
 * the latest of them, with all their flags. Every replica keeps the plan, so a new holder knows what is still to be
 * told. The record moves `heard` wherever it is seen, and is guarded by the lock and by the record before it: none is
 * written twice, however often the lock changes hands. */
#ifndef CFG_CONFIGD_FLIP_DECIDE_H
#define CFG_CONFIGD_FLIP_DECIDE_H

#include "flags/set.h"
#include "proto/limits.h"

struct cfg_flip_space {
    char ns[CFG_LIMIT_NAME + 1];
    struct cfg_flag_set *set; /* owned: the flags whose rules look at the time */
    int64_t heard, next;      /* seconds since 1970; next CFG_FLAG_NEVER */
};
struct cfg_flip_plan {
    struct cfg_flip_space *spaces; /* owned, in no order */
    size_t n, cap;
};
void cfg_flip_plan_finish(struct cfg_flip_plan *p); /* takes a zeroed struct, and leaves one */
/* What ns's flags are now. set is consumed, also on failure; NULL takes the namespace out. Flips up to `heard` have
 * been heard; an earlier value than before changes nothing. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_flip_plan_put(struct cfg_flip_plan *p, const char *ns, struct cfg_flag_set *set, int64_t heard,
                                     struct cfg_error *err);
void cfg_flip_plan_heard(struct cfg_flip_plan *p, const char *ns, int64_t heard); /* unknown ns: nothing */
/* The earliest of all; CFG_FLAG_NEVER. */
int64_t cfg_flip_plan_next(const struct cfg_flip_plan *p);
/* One namespace that has a flip due, with the record's `at`; NULL: none. Borrowed. */
const struct cfg_flip_space *cfg_flip_plan_due(const struct cfg_flip_plan *p, int64_t now, int64_t *at);
/* The record's body {"at","flags"}, flags in the order of their instants, each once,
 * at most 1000 of them. Returned-owned; NULL without
 * memory. */
cJSON *cfg_flip_body(const struct cfg_flip_space *s, int64_t at);

/* --- what a replica does next --- */

struct cfg_flip_state {
    bool may_write; /* the replica is complete, and its store is ours */
    bool busy;      /* a flip of ours is being written */
    bool held;      /* the lock is ours, as the replica shows it */
    bool taken;     /* it is another's */
};
enum cfg_flip_action {
    CFG_FLIP_WAIT,    /* for whatever comes, or until the plan's next flip when the lock is ours */
    CFG_FLIP_LOCK,    /* want the lock: it is nobody's, and something is planned */
    CFG_FLIP_WRITE,   /* the flip that is due */
    CFG_FLIP_RELEASE, /* want it no more: nothing is planned any more, or it is another's */
};
enum cfg_flip_action cfg_flip_decide(const struct cfg_flip_state *s, const struct cfg_flip_plan *p, int64_t now);

#endif
