/* How a library of its own (libcfgworker_nccl) puts its collectives around a worker's group. */
#ifndef CFG_WORKER_GROUP_WRAP_H
#define CFG_WORKER_GROUP_WRAP_H

#include "worker/group.h"
#include <cfg/worker.h>

/* Replaces *io, the group that a worker was opened with, by one that owns it. On failure *io stays the worker's. */
typedef int (*cfg_group_wrap_fn)(struct cfg_group **io, unsigned deadline_ms, void *arg, struct cfg_error *err);

/* Between open and start. CFG_E_INVALID: started already, or no group (CONFIGD_GROUP); what wrap says. */
CFG_API CFG_MUST_CHECK int cfg_worker_wrap_group(struct cfg_worker *w, cfg_group_wrap_fn wrap, void *arg,
                                                 struct cfg_error *err);

#endif
