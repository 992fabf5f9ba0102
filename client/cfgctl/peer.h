/* Requests to one server that is named, whatever --server says: for what each replica must say for itself. */
#ifndef CFG_CFGCTL_PEER_H
#define CFG_CFGCTL_PEER_H

#include "client/cfgctl/cli.h"

/* GET path of the configd at url, with the line's token and CA. *out is returned-owned. Errors: the request's. */
CFG_MUST_CHECK int peer_get(const struct cli *c, const char *url, const char *path, unsigned timeout_ms, cJSON **out,
                            struct cfg_error *err);

#endif
