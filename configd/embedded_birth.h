/* Telling an etcd directory that has never served from one that holds something.
 *
 * An etcd that is killed in the first milliseconds of its first start leaves a log without the entry that makes it a
 * member: it starts again and again, never elects itself, and never serves (etcd 3.4 and 3.5). Nothing was ever
 * acknowledged there, so starting over loses nothing; but only we can know that. The file DIR/unborn is made before the
 * first start and removed, durably, once etcd has served and before anybody's write is taken. A directory without it,
 * whoever made it, is never touched. */
#ifndef CFG_CONFIGD_EMBEDDED_BIRTH_H
#define CFG_CONFIGD_EMBEDDED_BIRTH_H

#include "cfg/error.h"

/* Before the child is started: removes DIR/data when DIR/unborn says that it never served; marks a directory without
 * data as unborn. CFG_E_IO. */
CFG_MUST_CHECK int cfg_birth_prepare(const char *dir, struct cfg_error *err);
/* etcd has served: from now on the data counts. CFG_E_IO: the caller must not take writes, or a later start would throw
 * them away. */
CFG_MUST_CHECK int cfg_birth_done(const char *dir, struct cfg_error *err);

#endif
