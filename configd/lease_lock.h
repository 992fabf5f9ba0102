/* A lock in etcd: live/lock/NAME with {"holder"}, under a lease. Whoever wants it keeps a lease (which other records
 * may lie under), and puts the lock where none is; a holder that dies loses it with its lease, and the others hear of
 * that.
 *
 *    IDLE ─want─► ASKING (a lease) ─► LEASED ──lock free──► HELD
 *      ▲                                │  ▲                  │ taken away, or the lease ran out
 *      └──────────── not wanted ────────┘  └──────────────────┘
 *
 * The lock orders work; what must not happen twice has guards of its own. One thread. */
#ifndef CFG_CONFIGD_LEASE_LOCK_H
#define CFG_CONFIGD_LEASE_LOCK_H

#include "configd/store.h"

struct cfg_lease_lock;
struct cfg_lease_lock_options {
    struct cfg_loop *loop; /* all borrowed, outlive the lock */
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    const char *prefix, *name, *holder; /* copied */
    unsigned ttl_s;
    void (*moved)(void *arg); /* it is held, or not any more; the lease is another. May not free the lock */
    void *arg;
};
CFG_MUST_CHECK int cfg_lease_lock_new(struct cfg_lease_lock **out, const struct cfg_lease_lock_options *o,
                                      struct cfg_error *err);
void cfg_lease_lock_free(struct cfg_lease_lock *l); /* gives it back; before the etcd client; NULL is fine */
void cfg_lease_lock_want(struct cfg_lease_lock *l, bool want);
bool cfg_lease_lock_held(const struct cfg_lease_lock *l);
bool cfg_lease_lock_taken(const struct cfg_lease_lock *l);    /* another has it, as the store shows it */
int64_t cfg_lease_lock_lease(const struct cfg_lease_lock *l); /* 0: none */

#endif
