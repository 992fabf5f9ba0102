/* A store fed by hand, a history in memory and subscribers that remember what they were sent: the hub without etcd and
 * sockets. */
#ifndef CFG_TESTS_HUB_FIXTURE_H
#define CFG_TESTS_HUB_FIXTURE_H

#include "configd/fleet.h"
#include "configd/hub.h"

enum { FIXTURE_HISTORY = 256, FIXTURE_EVENTS = 512 };

struct fixture {
    struct cfg_loop *loop;
    struct cfg_store *store;
    struct cfg_hub *hub;
    uint64_t revision;
    struct cfg_object *history[FIXTURE_HISTORY]; /* every version ever written, in order */
    size_t n_history;
    bool hide_history; /* version() answers NULL, as while a fetch is under way */
};
void fixture_init(struct fixture *f); /* empty store, LIVE, store id "s1", epoch 1 */
void fixture_finish(struct fixture *f);
/* One revision with one object; body without envelope; NULL: tombstone. Returns the revision. */
uint64_t fixture_put(struct fixture *f, enum cfg_kind kind, const char *ns, const char *name, uint64_t version,
                     const char *body);
/* chat v1 {"a":1,"tp":4}, experiment/ab.flag v1 on, deployment blue on chat with pin tp and flags experiment. */
void fixture_blue(struct fixture *f);
/* A registry over it, of replica r1 at http://r1. Returned-owned: freed before the fixture. clock: borrowed. */
struct cfg_fleet *fixture_fleet(struct fixture *f, const struct cfg_clock *clock);
void fixture_chat(struct fixture *f, uint64_t version, const char *document);
void fixture_epoch(struct fixture *f, uint64_t epoch, uint64_t revision); /* the store went back: all afresh */
void fixture_state(struct fixture *f, enum cfg_replica_state state);
void fixture_turn(struct fixture *f, unsigned ms); /* runs the loop for about that long */

struct sub {
    struct cfg_subscriber s; /* first */
    bool full;               /* takes a frame, then says it takes no more */
    bool leave;              /* unsubscribes inside send */
    struct sub *evict;       /* unsubscribes that one inside send */
    struct cfg_hub *hub;
    bool ended;
    struct { /* as a client would read them */
        char event[16], id[48];
        cJSON *data;
        struct cfg_bytes *bytes;
    } got[FIXTURE_EVENTS];
    size_t n;
};
void sub_init(struct sub *s, struct cfg_hub *hub);
void sub_finish(struct sub *s);
const char *sub_str(const struct sub *s, size_t i, const char *key);

#endif
