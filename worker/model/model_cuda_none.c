/* In place of model_cuda.c where a build has no CUDA compiler. */
#include "worker/model/model.h"

static const char reason[] =
    "this build has no CUDA back end (cmake found no CUDA compiler, CFG_CUDA=OFF, or sanitizers are on)";

bool cfg_model_cuda_there(const char **why)
{
    *why = reason;
    return false;
}

int cfg_model_cuda_new(struct cfg_model **out, const struct cfg_model_options *o, struct cfg_error *err)
{
    (void)out;
    (void)o;
    return cfg_fail(err, CFG_E_UNSUPPORTED, "%s", reason);
}
