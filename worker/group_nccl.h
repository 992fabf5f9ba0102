/* A group whose rounds are NCCL's, around one that knows how ranks meet (group_tcp.c; group_solo.c for a world of one).
 *
 * The inner group forms first and carries the communicator's id to all ranks; broadcasts and the end of an incarnation
 * stay its own. A round is an all-reduce (MIN) of a few words on a stream: the caller's, in the order of its other work
 * there, or one of its own. Nobody waits on the device: the communicator is non-blocking, and a result is read a round
 * later (`deferred`). While a result is waited for, the communicator's asynchronous error and the inner group are
 * looked at; past the deadline the communicator is aborted, and a round of the inner group tells which rank is
 * missing. */
#ifndef CFG_WORKER_GROUP_NCCL_H
#define CFG_WORKER_GROUP_NCCL_H

#include "worker/group.h"

struct cfg_group_nccl_options {
    void *stream; /* a cudaStream_t of the current device, borrowed for the group's life; NULL: one of its own */
    unsigned deadline_ms;
};
/* On the calling thread's current device. inner is consumed on success; *out is returned-owned. CFG_E_UNSUPPORTED (no
 * device, CUDA's own error), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_group_nccl_new(struct cfg_group **out, struct cfg_group *inner,
                                      const struct cfg_group_nccl_options *o, struct cfg_error *err);

#endif
