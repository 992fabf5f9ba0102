/* Inside a tcp group: connections, and who does what. Only group_tcp*.c include this.
 *
 * A star: every rank has one connection, to rank 0, which gathers the words of a round and answers with the minima. The
 * deadline names the right rank: rank 0 waits `deadline_ms` for the others, counted from when it came itself; the
 * others wait twice as long for rank 0, so rank 0's verdict on who is missing reaches them first unless rank 0 itself
 * is the one that is late. */
#ifndef CFG_WORKER_GROUP_TCP_H
#define CFG_WORKER_GROUP_TCP_H

#include "worker/group.h"
#include "worker/group_frame.h"
#include "worker/group_locate.h"

enum { CFG_GROUP_ADDRESS = 288, CFG_PEER_PATIENCE_MS = 4 };

/* One connection; only cfg_peer_await and a send that the other side does not drain wait. */
struct cfg_peer {
    int fd; /* −1: none */
    struct cfg_buf in;
    size_t taken;       /* bytes at the front of `in` that belong to the frame handed out last */
    bool there;         /* rank 0's: has said hello */
    bool counted;       /* rank 0's: its words of this round are in */
    uint64_t process;   /* rank 0's: which process it is, among those that may claim a rank */
    unsigned displaced; /* rank 0's: how often a live process of this rank has lost its place, since it last formed */
};

struct cfg_group_tcp {
    struct cfg_group base;
    char address[CFG_GROUP_ADDRESS], *name; /* address "": nobody has said yet */
    struct cfg_locator *locator;            /* NULL: the address is fixed */
    uint64_t process;                       /* of this one, never 0 */
    unsigned deadline_ms;
    int listener;           /* rank 0's; −1 */
    struct cfg_peer *peers; /* rank 0: by rank, [0] unused; others: [0] is rank 0 */
    uint32_t n_peers;
    uint32_t round; /* of the next collective */
    int64_t words[CFG_GROUP_WORDS_MAX];
    size_t n_words;
    struct cfg_buf out;
};

/* --- group_peer.c --- */
void cfg_peer_init(struct cfg_peer *p);
void cfg_peer_close(struct cfg_peer *p);
/* Makes fd the peer's: without delay, and with the patience of cfg_peer_await. */
void cfg_peer_take(struct cfg_peer *p, int fd);
/* What has arrived, without waiting: 1 and a frame (borrowed until the next call for this peer), 0 for none yet,
 * CFG_E_CONNECT when the other side is gone, CFG_E_PROTOCOL, CFG_E_NOMEM. */
int cfg_peer_receive(struct cfg_peer *p, struct cfg_frame *out, struct cfg_error *err);
/* The same, waiting for CFG_PEER_PATIENCE_MS: one call where a poll and a receive would be two. */
int cfg_peer_await(struct cfg_peer *p, struct cfg_frame *out, struct cfg_error *err);
/* Sends everything, waiting until `end_ms` (monotonic) while the other side does not drain. CFG_E_TIMEOUT,
 * CFG_E_CONNECT. */
CFG_MUST_CHECK int cfg_peer_send(struct cfg_peer *p, struct cfg_slice bytes, uint64_t end_ms, struct cfg_error *err);
/* One frame, built in `scratch` and sent. May be ignored where the other side need not hear it. */
int cfg_peer_send_frame(struct cfg_peer *p, struct cfg_buf *scratch, const struct cfg_frame *f, uint64_t end_ms,
                        struct cfg_error *err);
uint64_t cfg_group_now_ms(void); /* monotonic */
int cfg_group_left_ms(uint64_t end_ms);

/* --- group_rendezvous.c --- */
CFG_MUST_CHECK int cfg_group_random(uint64_t *out, struct cfg_error *err); /* never 0. CFG_E_IO */
CFG_MUST_CHECK int cfg_group_listen(struct cfg_group_tcp *g, struct cfg_error *err);
CFG_MUST_CHECK int cfg_group_gather(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err); /* rank 0 */
CFG_MUST_CHECK int cfg_group_join(struct cfg_group_tcp *g, uint64_t end_ms, struct cfg_error *err);   /* others */

#endif
