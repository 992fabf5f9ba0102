/* Where rank 0 is, when configd says so: it listens on a free port and tells configd in its registration; the others
 * ask. Blocks (the stepper forms the group); one thread at a time. */
#ifndef CFG_WORKER_GROUP_LOCATE_H
#define CFG_WORKER_GROUP_LOCATE_H

#include "proto/buf.h"

struct cfg_locator;
struct cfg_locator_options {
    const char *servers, *token, *ca_file; /* as in cfg_client_options */
    const char *deployment, *group;
};
/* Everything is copied. *out is returned-owned. CFG_E_INVALID, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_locator_new(struct cfg_locator **out, const struct cfg_locator_options *o,
                                   struct cfg_error *err);
void cfg_locator_free(struct cfg_locator *l); /* NULL is fine */
/* Asks for rank 0's "HOST:PORT", waiting about wait_ms for it to be known. CFG_E_CONNECT: not known, or configd cannot
 * be asked now; others as configd says. */
CFG_MUST_CHECK int cfg_locator_ask(struct cfg_locator *l, char *out, size_t size, unsigned wait_ms,
                                   struct cfg_error *err);

/* The numeric address by which this host reaches the first of `servers` (NULL: CONFIGD_SERVER, else this very host):
 * what others can reach it by, where there is one network. In brackets for IPv6. CFG_E_IO, CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_local_host(char *out, size_t size, const char *servers, struct cfg_error *err);

#endif
