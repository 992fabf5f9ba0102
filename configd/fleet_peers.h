/* Questions about the whole fleet: every other replica that presence names is asked for its part, and the parts are put
 * together.
 *
 * A question is GET URL/v1/deployments/{d}/NAME?local=true with the caller's Authorization, so that a replica tells
 * nobody what it would not tell to its face; the header goes over TLS or loopback only. A second is the bound: whoever
 * has not answered by then counts as not answering. The same question of the same caller asked again meanwhile waits
 * for the same answer. One thread. */
#ifndef CFG_CONFIGD_FLEET_PEERS_H
#define CFG_CONFIGD_FLEET_PEERS_H

#include "configd/fleet.h"
#include "configd/fleet_merge.h"

struct cfg_peers;

struct cfg_peers_options {
    struct cfg_loop *loop; /* borrowed, outlive the peers */
    struct cfg_fleet *fleet;
    const char *ca_file; /* for peers that speak TLS; copied; NULL: the system's */
    unsigned timeout_ms; /* 0: 1000 */
};
CFG_MUST_CHECK int cfg_peers_new(struct cfg_peers **out, const struct cfg_peers_options *o, struct cfg_error *err);
void cfg_peers_free(struct cfg_peers *p); /* whoever waits is not called any more; NULL is fine */

struct cfg_peers_question {
    const char *name; /* as in the URL */
    /* Puts the whole together once all have answered or not; answers and what lies in them are borrowed, bodies may be
     * taken apart. Returned-owned; NULL without memory. */
    cJSON *(*build)(struct cfg_fleet *f, const char *deployment, struct fleet_answer *answers, size_t n);
};
/* json: the whole, as text; empty without memory. Borrowed. */
typedef void (*cfg_peers_fn)(void *arg, struct cfg_slice json);
/* fn is called exactly once, perhaps from inside this call. q lives for ever; the strings are copied, authorization may
 * be NULL. */
void cfg_peers_ask(struct cfg_peers *p, const struct cfg_peers_question *q, const char *deployment,
                   const char *authorization, cfg_peers_fn fn, void *arg);

/* May a caller's token be sent to this URL? Over TLS, or to this host itself. Pure. */
bool cfg_peers_may_tell(const char *url);

#endif
