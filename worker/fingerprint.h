/* What must be the same on all ranks for good: lines "KEY<tab>VALUE", and where several of them differ. Pure. */
#ifndef CFG_WORKER_FINGERPRINT_H
#define CFG_WORKER_FINGERPRINT_H

#include "worker/prepare.h"

/* Appends the contract, the local overrides, `every`, and, once there is a boot view, its values of parameters that
 * keep it. boot may be NULL. */
void cfg_fingerprint_print(struct cfg_buf *out, const struct cfg_contract *c, const struct cfg_local *l,
                           const struct cfg_box *boot, uint32_t every);

/* The first key that differs, with what which rank says: "data.path: rank 0, 1: "/a"; rank 2: "/b"". texts: by rank,
 * n of them. False when none does; out is cut to size. *key is borrowed from texts. */
bool cfg_fingerprint_difference(struct cfg_slice *key, char *out, size_t size, const char *const *texts, uint32_t n);

#endif
