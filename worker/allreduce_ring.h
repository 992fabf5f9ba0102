/* The ring of a tcp all-reduce: every rank sends to the next one and receives from the one before. Only allreduce_*.c
 * include this. */
#ifndef CFG_WORKER_ALLREDUCE_RING_H
#define CFG_WORKER_ALLREDUCE_RING_H

#include "worker/allreduce.h"

enum { CFG_RING_PLACE = 64 }; /* bytes of a printed address */

struct cfg_ring {
    int listener, next, previous; /* −1: none */
    uint32_t rank, world;
    uint64_t incarnation; /* strangers are told apart by it */
    uint64_t sums;        /* how many so far: both ends of a connection must be at the same one */
    unsigned deadline_ms;
    float *incoming; /* room for one chunk */
    size_t room;
};

void cfg_ring_init(struct cfg_ring *r, uint32_t rank, uint32_t world, unsigned deadline_ms);
void cfg_ring_close(struct cfg_ring *r); /* connections and memory; the struct may be closed again */
/* Listens on a free port of this machine's address towards `root` ("HOST:PORT", rank 0's) and prints it: "HOST PORT".
 * CFG_E_IO, CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_ring_listen(struct cfg_ring *r, char place[CFG_RING_PLACE], const char *root,
                                   struct cfg_error *err);
/* Connects to the next rank's place and accepts the previous rank. CFG_E_TIMEOUT, CFG_E_IO. */
CFG_MUST_CHECK int cfg_ring_connect(struct cfg_ring *r, const char *next_place, uint64_t incarnation, uint64_t end_ms,
                                    struct cfg_error *err);
/* Reduce-scatter, then all-gather: 2 (world − 1) exchanges of n / world values. CFG_E_CONNECT or CFG_E_TIMEOUT name the
 * neighbour, CFG_E_PROTOCOL (it is at another sum, or its arrays are longer), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_ring_sum(struct cfg_ring *r, float *values, size_t n, struct cfg_error *err);

#endif
