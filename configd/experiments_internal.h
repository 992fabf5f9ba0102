/* What the parts of the experiments' keeper share: experiments.c follows records, takes samples in and keeps totals;
 * experiments_look.c reads and reports them; experiments_sweep.c deletes what ended. */
#ifndef CFG_CONFIGD_EXPERIMENTS_INTERNAL_H
#define CFG_CONFIGD_EXPERIMENTS_INTERNAL_H

#include "configd/experiment_seen.h"
#include "configd/experiments.h"

/* An experiment that the store shows as running. */
struct running {
    char name[CFG_LIMIT_NAME + 1];
    uint64_t mod_revision; /* of its record */
    struct cfg_experiment spec;
    struct cfg_tally tally; /* of this process */
    uint64_t since_ms;      /* wall clock; in the key that the tally is kept under */
    bool dirty, saving;     /* dirty: since it was last written */
    struct running *next;
};

/* What requests to etcd hold: their replies may come after the rest is gone. */
struct experiments_link {
    struct cfg_experiments *x; /* NULL: gone */
    size_t refs;
};

struct cfg_experiments {
    struct cfg_experiments_options o;
    char *prefix, *replica_id; /* owned */
    struct running *running;
    struct cfg_seen seen;
    struct cfg_store_listener listener;
    struct cfg_timer *timer;
    struct experiments_link *link;
    unsigned idle_ticks; /* since the last sweep; many: one is due */
    bool sweeping;
};

struct experiments_link *experiments_hold(struct cfg_experiments *x);
/* What it led to, NULL when that is gone. */
struct cfg_experiments *experiments_drop(struct experiments_link *l);

struct running *experiments_find(const struct cfg_experiments *x, const char *name);
/* Appends tally/NAME/RUN/ under the prefix. */
void experiments_put_prefix(struct cfg_buf *out, const struct cfg_experiments *x, const char *name, uint64_t run);
/* The rest of its key, REPLICA.SINCE: what was begun anew, by another process or after a restore, has another key. */
void experiments_put_key(struct cfg_buf *out, const struct cfg_experiments *x, const struct running *r);
/* Writes the totals of this process now, unless that is under way. */
void experiments_save(struct cfg_experiments *x, struct running *r);
/* May this process write to the store, as it shows itself? */
bool experiments_may_write(const struct cfg_experiments *x);

/* Deletes totals of runs that have ended, one after the other; nothing while that is under way. A delete is guarded by
 * the very record that says so, so that whoever does it, and however often, none of a running one is touched. */
void experiments_sweep(struct cfg_experiments *x);

#endif
