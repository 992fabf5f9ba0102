/* Sums of float arrays over the ranks of a training job: how data-parallel training adds up its gradients.
 *
 * Implementations: allreduce_solo.c (a world of one), allreduce_tcp.c (a ring over tcp, host memory), allreduce_nccl.c
 * (NCCL, device memory). Apart from the group that agrees on configuration (group.h): that one moves a few words and
 * may fail and form again while the library decides; this one moves megabytes at every step. All ranks call in the same
 * order. Every rank gets the same bits. With tcp the order of additions is a function of rank, world and length alone,
 * so a run can be repeated bit for bit. The first failure ends it on every rank: the error names the rank that is the
 * cause, and every later call fails. Threading: one thread at a time. */
#ifndef CFG_WORKER_ALLREDUCE_H
#define CFG_WORKER_ALLREDUCE_H

#include "proto/buf.h"

struct cfg_allreduce;
struct cfg_allreduce_ops {
    const char *name; /* "solo", "tcp", "nccl" */
    bool device;      /* values lie in device memory, and the work is ordered by the stream given at creation */
    /* values[i] becomes the sum over all ranks. CFG_E_AGREEMENT. */
    int (*sum)(struct cfg_allreduce *a, float *values, size_t n, struct cfg_error *err);
    /* The root's bytes to everybody; *bytes is replaced on the others. At most its own `max`. CFG_E_AGREEMENT. */
    int (*broadcast)(struct cfg_allreduce *a, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err);
    /* Ends it and tells the others why, as far as that goes without waiting. */
    void (*leave)(struct cfg_allreduce *a, const char *reason);
    void (*free)(struct cfg_allreduce *a);
};

/* The first member of every implementation. */
struct cfg_allreduce {
    const struct cfg_allreduce_ops *ops;
    uint32_t rank, world;
};

struct cfg_allreduce_options {
    const char *kind;     /* "solo", "tcp", "nccl"; NULL: solo for a world of one, else tcp */
    const char *address;  /* where rank 0 listens while the ranks meet: "HOST:PORT"; not for solo */
    const char *name;     /* of the job: ranks of another one are refused */
    uint32_t rank, world; /* world ≥ 1 */
    unsigned join_ms;     /* how long meeting waits for all */
    unsigned deadline_ms; /* how long a sum waits for a rank that does not move */
    int device;           /* nccl: the CUDA device */
    void *stream;         /* nccl: the cudaStream_t that sums are queued on */
};

/* Meets the other ranks. *out is returned-owned (cfg_allreduce_free). CFG_E_INVALID (kind, rank, address),
 * CFG_E_UNSUPPORTED (a build without NCCL), CFG_E_TIMEOUT names the ranks that did not come, CFG_E_AGREEMENT,
 * CFG_E_IO, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_allreduce_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o,
                                     struct cfg_error *err);
void cfg_allreduce_free(struct cfg_allreduce *a); /* NULL is fine */

/* Constructors; cfg_allreduce_new calls them. */
CFG_MUST_CHECK int cfg_allreduce_tcp_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o,
                                         struct cfg_error *err);
CFG_MUST_CHECK int cfg_allreduce_nccl_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o,
                                          struct cfg_error *err);

#endif
