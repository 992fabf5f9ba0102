/* libcfgworker_nccl: the ranks of a group agree over NCCL, on the stream that they compute on.
 *
 *     cfg_worker_open(&w, &options, &err);              CONFIGD_GROUP=nccl, or any other way in which ranks meet
 *     cudaSetDevice(local_rank);
 *     cfg_worker_use_nccl(w, stream, &err);
 *     cfg_worker_start(w, 10000, &err);
 *
 * Ranks meet over tcp as without NCCL, which also hands out the communicator's id, and notices ranks that are gone.
 * From then on a round is one all-reduce of a few words. On the caller's stream it stands in step_begin, at the same
 * place on every rank among the caller's own collectives: that is what a second communicator needs. No step waits for
 * it: its result is read K steps later (K: CONFIGD_GROUP_EVERY), so that a change takes K steps more to arrive than
 * over tcp. One GPU per rank. */
#ifndef CFG_WORKER_NCCL_H
#define CFG_WORKER_NCCL_H

#include <cfg/worker.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Between open and start, on the thread that steps, with the rank's device current. stream: a cudaStream_t, borrowed
 * until the worker is closed; NULL: one of its own. CFG_E_UNSUPPORTED (no device), CFG_E_INVALID (started already, or
 * the worker belongs to no group), CFG_E_NOMEM. */
CFG_API CFG_MUST_CHECK int cfg_worker_use_nccl(struct cfg_worker *w, void *stream, struct cfg_error *err);

#ifdef __cplusplus
}
#endif
#endif
