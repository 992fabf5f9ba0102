/* How workers come by their sources. */
#ifndef CFG_WORKER_OPEN_H
#define CFG_WORKER_OPEN_H

#include "worker/internal.h"

/* cfg_worker_open with a source of the caller's (tests: source_memory.h); consumed on success, the caller's on
 * failure. NULL: the one that the options name. */
CFG_MUST_CHECK int cfg_worker_open_source(struct cfg_worker **out, const struct cfg_worker_options *o,
                                          struct cfg_source *source, struct cfg_error *err);

/* Follows configd for w, over a session of libcfgclient. Reads w's identity, contract and connection options when it is
 * started; w is borrowed for the source's life. */
CFG_MUST_CHECK int cfg_source_configd_new(struct cfg_source **out, struct cfg_worker *w, struct cfg_error *err);

#endif
