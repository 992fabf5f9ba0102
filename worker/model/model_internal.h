/* What back ends share and users of model.h need not see. */
#ifndef CFG_MODEL_INTERNAL_H
#define CFG_MODEL_INTERNAL_H

#include "worker/model/model.h"
#include "worker/model/vec.h"

/* The numbers of one update. grad_norm: of the mean gradient. */
struct cfg_vec_adam cfg_model_adam(const struct cfg_model_update *u, double grad_norm);
/* How a row is sampled: the live parameters, except what is its own. */
static inline struct cfg_sample_how cfg_model_how(const struct cfg_live_params *p, const struct cfg_model_row *r)
{
    return (struct cfg_sample_how){
        (r->own & CFG_OWN_TEMPERATURE) != 0 ? r->temperature : p->temperature,
        (r->own & CFG_OWN_TOP_P) != 0 ? r->top_p : p->top_p,
        (r->own & CFG_OWN_TOP_K) != 0 ? r->top_k : p->top_k,
    };
}

#endif
