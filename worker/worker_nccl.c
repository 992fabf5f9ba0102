/* The whole of libcfgworker_nccl's interface: puts NCCL's rounds around a worker's group. */
#include "worker/group_nccl.h"
#include "worker/group_wrap.h"
#include <cfg/worker_nccl.h>

static int wrap(struct cfg_group **io, unsigned deadline_ms, void *stream, struct cfg_error *err)
{
    const struct cfg_group_nccl_options o = {stream, deadline_ms};
    return cfg_group_nccl_new(io, *io, &o, err);
}

int cfg_worker_use_nccl(struct cfg_worker *w, void *stream, struct cfg_error *err)
{
    return cfg_worker_wrap_group(w, wrap, stream, err);
}
