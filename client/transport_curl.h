/* The machine's transport over libcurl: four requests at most, on a loop that it may share with thousands.
 *
 * Bytes go from curl's buffer straight into the machine. send and cancel only note what is wanted, since curl forbids
 * changing its set from inside its callbacks; the loop's turn carries it out. One thread: the loop's. */
#ifndef CFG_CLIENT_TRANSPORT_CURL_H
#define CFG_CLIENT_TRANSPORT_CURL_H

#include "client/machine.h"
#include "client/session_loop.h"

struct cfg_curl_transport;

/* `target` is borrowed for the transport's life. Returned-owned; NULL without memory. */
struct cfg_curl_transport *cfg_curl_transport_new(const struct cfg_target *target);
void cfg_curl_transport_free(struct cfg_curl_transport *t); /* stops its requests and leaves the loop; NULL is fine */
/* The vtable to make a machine with; then the loop to run on and the machine that gets what comes in (both borrowed).
 * CFG_E_NOMEM. */
struct cfg_transport cfg_curl_transport_vtable(struct cfg_curl_transport *t);
CFG_MUST_CHECK int cfg_curl_transport_join(struct cfg_curl_transport *t, struct cfg_session_loop *loop,
                                           struct cfg_machine *m);
void cfg_curl_transport_touch(struct cfg_curl_transport *t); /* the machine's deadline may have changed */

#endif
