/* A group: the ranks that compute together, and the two collectives that the agreement needs of them.
 *
 * Implementations: group_solo.c (a world of one), group_tcp.c (ranks on one or many hosts; rank 0 gathers and answers),
 * group_nccl.c (rounds on a stream; in a library of its own).
 * Collectives are called by all ranks in the same order. Membership is fixed per incarnation: the first failure of any
 * kind (a rank gone, a deadline missed, rubbish received) ends the incarnation on every rank, named, and every later
 * collective fails until the group has formed again. Threading: one thread at a time. */
#ifndef CFG_WORKER_GROUP_H
#define CFG_WORKER_GROUP_H

#include "proto/buf.h"

enum { CFG_GROUP_WORDS_MAX = 64, CFG_GROUP_WORLD_MAX = 4096 };

struct cfg_group;
struct cfg_group_ops {
    /* Ends the incarnation there may be and meets the other ranks for a new one. CFG_E_TIMEOUT names the ranks that did
     * not come, CFG_E_AGREEMENT (another world size, another job), CFG_E_SUPERSEDED (a newer process is this rank). */
    int (*form)(struct cfg_group *g, unsigned timeout_ms, struct cfg_error *err);
    /* Contributes n ≤ CFG_GROUP_WORDS_MAX words to the next round. Never waits. CFG_E_AGREEMENT. */
    int (*contribute)(struct cfg_group *g, const int64_t *words, size_t n, struct cfg_error *err);
    /* Each word's minimum over all ranks, of the round contributed to; waits for the slowest rank up to the deadline.
     * CFG_E_AGREEMENT names the rank that failed. */
    int (*reduced)(struct cfg_group *g, int64_t *out, size_t n, struct cfg_error *err);
    /* The root's bytes to everybody; *bytes is replaced on the others. At most its own `max`. CFG_E_AGREEMENT. */
    int (*broadcast)(struct cfg_group *g, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err);
    /* Does the incarnation still stand, as far as can be known without waiting? CFG_E_AGREEMENT names the rank. */
    int (*check)(struct cfg_group *g, struct cfg_error *err);
    /* Ends the incarnation and tells the others why; no wait. */
    void (*leave)(struct cfg_group *g, const char *reason);
    void (*free)(struct cfg_group *g);
};

/* The first member of every implementation. */
struct cfg_group {
    const struct cfg_group_ops *ops;
    uint32_t rank, world;
    uint64_t incarnation; /* of the group as it stands; 0: not formed */
    bool deferred;        /* a result should be read a round later, so that nobody waits for it */
};

/* A world of one. *out is returned-owned (ops->free). CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_group_solo_new(struct cfg_group **out, struct cfg_error *err);

struct cfg_locator;
struct cfg_group_tcp_options {
    /* Rank 0's "HOST:PORT", "[::1]:PORT"; it listens there on every interface of that name; port 0: on any that is
     * free. NULL for the others with a locator, which is asked whenever they join. */
    const char *address;
    struct cfg_locator *locator; /* consumed, on failure too; NULL: the address is all there is to know */
    const char *name;            /* of the job: ranks of another one are refused */
    uint32_t rank, world;        /* world ≤ CFG_GROUP_WORLD_MAX */
    unsigned deadline_ms;        /* of a round: how much later than the first rank the last one may come */
};

/* Where rank 0 listens, with its true port, or where this rank last looked for it ("": nowhere yet). Borrowed until the
 * group forms again. */
const char *cfg_group_tcp_address(const struct cfg_group *g);
/* Rank 0 begins to listen. All strings are copied. *out is returned-owned (ops->free). CFG_E_INVALID (address, rank,
 * world), CFG_E_IO (cannot listen), CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_group_tcp_new(struct cfg_group **out, const struct cfg_group_tcp_options *o,
                                     struct cfg_error *err);

#endif
