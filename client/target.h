/* Where requests go and as whom: the options of a caller, completed from the environment, checked once.
 *
 * Read-only after init, so any number of requests of one thread may share it. */
#ifndef CFG_CLIENT_TARGET_H
#define CFG_CLIENT_TARGET_H

#include "client/include/cfg/client.h"

enum { CFG_CLIENT_MAX_SERVERS = 16 };

struct cfg_target {
    char *servers[CFG_CLIENT_MAX_SERVERS]; /* base URLs without a trailing slash; owned */
    size_t n;
    char *token;   /* owned, NULL: none */
    char *ca_file; /* owned, NULL: the system's */
    char *user;    /* owned, NULL with a token */
    unsigned timeout_ms;
};

/* Reads CONFIGD_SERVER, CONFIGD_TOKEN and CONFIGD_CA_FILE for what `o` leaves open (`o` may be NULL; it is copied).
 * CFG_E_INVALID: an address that is no http or https URL, a token or user that cannot stand in a header. */
CFG_MUST_CHECK int cfg_target_init(struct cfg_target *out, const struct cfg_client_options *o, struct cfg_error *err);
void cfg_target_finish(struct cfg_target *t); /* takes a zeroed struct */

#endif
