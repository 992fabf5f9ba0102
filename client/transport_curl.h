/* The machine's transport over libcurl: three requests at most, one epoll descriptor for all of it.
 *
 * curl's sockets, a timer (curl's and the machine's deadlines) and an event descriptor (wake, and work queued outside
 * of `process`) sit in one epoll set, whose descriptor the caller polls. Bytes go from curl's buffer straight into the
 * machine. send and cancel only note what is wanted, since curl forbids changing its set from inside its callbacks;
 * `process` carries it out. One thread, except wake. */
#ifndef CFG_CLIENT_TRANSPORT_CURL_H
#define CFG_CLIENT_TRANSPORT_CURL_H

#include "client/machine.h"
#include "client/target.h"

struct cfg_curl_transport;

/* `target` is borrowed for the transport's life. CFG_E_IO (descriptors), CFG_E_NOMEM, CFG_E_INTERNAL (libcurl). */
CFG_MUST_CHECK int cfg_curl_transport_new(struct cfg_curl_transport **out, const struct cfg_target *target,
                                          struct cfg_error *err);
void cfg_curl_transport_free(struct cfg_curl_transport *t); /* NULL is fine */
/* The vtable to make a machine with; then the machine that gets what comes in (borrowed). */
struct cfg_transport cfg_curl_transport_vtable(struct cfg_curl_transport *t);
void cfg_curl_transport_attach(struct cfg_curl_transport *t, struct cfg_machine *m);

int cfg_curl_transport_fd(const struct cfg_curl_transport *t);
void cfg_curl_transport_process(struct cfg_curl_transport *t); /* never blocks */
void cfg_curl_transport_wake(struct cfg_curl_transport *t);    /* any thread, signal handlers */

#endif
