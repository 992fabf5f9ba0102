/* The model as this process serves it: weights from a file or from inside the program, on the back end and at the
 * precision that the deployment pins, with every batch size prepared. */
#ifndef CFG_INFER_ENGINE_H
#define CFG_INFER_ENGINE_H

#include "worker/cfg-infer/live.h"
#include "worker/model/model.h"
#include "worker/model/weights.h"

/* file: a path, or NULL for the model inside. *out is the caller's (cfg_weights_finish). Errors: cfg_weights_load's. */
CFG_MUST_CHECK int cfg_engine_weights(struct cfg_weights *out, const char *file, struct cfg_error *err);

/* After start, once v (the first view) says what is pinned. CFG_E_PIN_MISMATCH: the weights have another shape, or the
 * command line asks for another back end or precision than the pin; else cfg_model_new's and cfg_model_capture's. *out
 * is returned-owned. */
CFG_MUST_CHECK int cfg_engine_new(struct cfg_model **out, const struct cfg_weights *weights,
                                  const struct cfg_live *live, const struct cfg_view *v,
                                  const struct cfg_infer_options *o, struct cfg_error *err);

#endif
