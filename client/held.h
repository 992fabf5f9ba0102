/* The view a session holds, and the rules under which another may take its place.
 *
 * Nothing older ever replaces what is held (within one store), every view and every patch is proved by its digest
 * before it counts, and a patch applies only to the view it was made from. Pure: events in, verdicts out. One thread.
 */
#ifndef CFG_CLIENT_HELD_H
#define CFG_CLIENT_HELD_H

#include "proto/digest.h"
#include "proto/revision.h"

enum { CFG_STORE_TEXT = 64 };

struct cfg_held {
    char store[CFG_STORE_TEXT];   /* "" before the first view */
    struct cfg_rev rev;           /* of the view held; {0,0}: none */
    struct cfg_rev seen;          /* nothing of ours changed up to here; ≥ rev. The resume token */
    char digest[CFG_DIGEST_TEXT]; /* "" : no view, or not one a patch may be applied to */
    cJSON *view;                  /* owned: {"parameters","pinned","flags"} */
    cJSON *meta;                  /* owned: the last event without its view */
    struct cfg_buf text;          /* the view in canonical form */
    bool without_meta;            /* nobody reads it: a patch leaves it as it is, but for the arm */
    bool stale;                   /* the server said that it has lost etcd */
    bool bound;                   /* only cfg_held_accept_store changes the store; else a view does too (observers) */
};

enum cfg_verdict {
    CFG_VERDICT_NEW,    /* the view held is another now: tell the caller */
    CFG_VERDICT_SAME,   /* nothing changed; `seen` may have moved */
    CFG_VERDICT_FULL,   /* ask for a whole view: what is held is not what the server patches */
    CFG_VERDICT_BEHIND, /* the server is older than what is held: go elsewhere */
    CFG_VERDICT_BROKEN, /* no event of configd's; *err says why */
};

void cfg_held_init(struct cfg_held *h);
void cfg_held_finish(struct cfg_held *h);
/* Goes on from a cache. All strings may be NULL. A view that does not match its digest is left out, the order is kept:
 * revision and store still stand against older views. CFG_E_INVALID for a malformed revision, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_held_resume(struct cfg_held *h, const char *revision, const char *digest, const char *store,
                                   const char *view, struct cfg_error *err);
/* The server that was told our store has accepted us and holds `store`. Another one than ours means that an operator
 * adopted it: order starts afresh, the view stays until a view of the new store arrives. */
void cfg_held_accept_store(struct cfg_held *h, const char *store);
/* One event each. `event` is consumed. *err is filled for BROKEN, BEHIND and FULL. */
enum cfg_verdict cfg_held_view(struct cfg_held *h, cJSON *event, struct cfg_error *err);
enum cfg_verdict cfg_held_patch(struct cfg_held *h, cJSON *event, struct cfg_error *err);
enum cfg_verdict cfg_held_mark(struct cfg_held *h, cJSON *event, struct cfg_error *err);

#endif
