/* The edges between namespaces, live/extends/BASE/NS: written in the transaction that changes what NS extends. Internal
 * to change_*.c. Pure. */
#ifndef CFG_CONFIGD_CHANGE_EDGES_H
#define CFG_CONFIGD_CHANGE_EDGES_H

#include "configd/change_draft.h"

enum { CFG_EDGES_MAX = 100 }; /* that one change adds or takes away */
/* Adds the edges that the change adds and takes away to the writes, which have room for CFG_EDGES_MAX more. CFG_E_LIMIT
 * when the change does not fit into one transaction with them, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_edges_write(struct cfg_decision *out, const struct cfg_bench *b, struct cfg_error *err);

#endif
