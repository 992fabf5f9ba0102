/* How the embedded etcd is called: the binary, its arguments and environment, and the fork. */
#ifndef CFG_CONFIGD_EMBEDDED_CHILD_H
#define CFG_CONFIGD_EMBEDDED_CHILD_H

#include "proto/buf.h"

#include <sys/types.h>

/* etcd takes this for host and port and makes a socket of that name in its working directory. */
#define CFG_CHILD_SOCKET "client:1"
enum { CFG_CHILD_MAX_ARGS = 48 };

/* Everything that execve needs, made before the fork. Owned. */
struct cfg_child_command {
    char *binary, *dir, *log;
    char *argv[CFG_CHILD_MAX_ARGS];
    char **env; /* this process's without ETCD_…: etcd refuses to start when a variable and an argument disagree */
};

/* binary NULL: "etcd" from PATH. Asks it for its version, since the names of options differ. CFG_E_IO with a hint when
 * it is missing or does not run; *c is to be finished in every case. */
CFG_MUST_CHECK int cfg_child_prepare(struct cfg_child_command *c, const char *dir, const char *binary,
                                     uint64_t quota_bytes, struct cfg_error *err);
void cfg_child_finish(struct cfg_child_command *c); /* takes a zeroed struct */
/* The child dies with the calling thread, whatever ends it. CFG_E_IO. */
CFG_MUST_CHECK int cfg_child_start(pid_t *out, const struct cfg_child_command *c, struct cfg_error *err);

/* "etcd Version: 3.5.1\n…" → 3005; 0 when it says something else. Pure. */
unsigned cfg_child_version(const char *text);

#endif
