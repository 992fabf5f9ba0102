/* `--embedded-etcd DIR`: the installed etcd as a child of ours, on a unix socket in a 0700 directory, data in DIR/data.
 *
 * It compacts itself, is stopped with SIGTERM then SIGKILL by cfg_embedded_stop, and dies with us even by kill −9
 * (PR_SET_PDEATHSIG set in the child, with a check for a parent that died in between). A second configd on the same DIR
 * is refused by a lock file that names the holder's pid. etcd's own log goes to DIR/etcd.log. A child that dies is
 * started again with backoff; the client sees a lost connection. Where DIR is too long for a socket's address, this
 * process reaches the socket through an open descriptor of DIR (/proc/self/fd). Start it from the main thread: the
 * child dies with the thread that started it. */
#ifndef CFG_CONFIGD_EMBEDDED_H
#define CFG_CONFIGD_EMBEDDED_H

#include "configd/loop.h"

struct cfg_embedded;

struct cfg_embedded_options {
    const char *dir;         /* created (0700) when missing; copied */
    const char *etcd_binary; /* NULL: "etcd" from PATH; copied */
    uint64_t quota_bytes;    /* 0: etcd's default */
};

/* Starts the child; it need not answer yet. CFG_E_IO with a hint (the package to install) when there is no etcd binary,
 * CFG_E_IN_USE when another process holds DIR. */
CFG_MUST_CHECK int cfg_embedded_start(struct cfg_embedded **out, struct cfg_loop *loop,
                                      const struct cfg_embedded_options *o, struct cfg_error *err);
const char *cfg_embedded_endpoint(const struct cfg_embedded *e); /* "unix:/…/NAME:1", borrowed */
/* To be called once etcd has served and before a write is taken: until then a killed first start is begun anew
 * (embedded_birth.h). CFG_E_IO: take no writes. NULL is fine: no embedded etcd, nothing to remember. */
CFG_MUST_CHECK int cfg_embedded_served(struct cfg_embedded *e, struct cfg_error *err);
int cfg_embedded_pid(const struct cfg_embedded *e); /* 0 while none runs */
void cfg_embedded_stop(struct cfg_embedded *e);     /* waits for the child; frees; NULL is fine */

#endif
