/* In place of allreduce_nccl.c where a build has no NCCL. */
#include "worker/allreduce.h"

int cfg_allreduce_nccl_new(struct cfg_allreduce **out, const struct cfg_allreduce_options *o, struct cfg_error *err)
{
    (void)out;
    (void)o;
    (void)cfg_fail(err, CFG_E_UNSUPPORTED, "this build has no NCCL (cmake did not find it, or CFG_CUDA=OFF)");
    cfg_error_set_hint(err, "--reduce-by tcp adds up gradients through host memory");
    return CFG_E_UNSUPPORTED;
}
