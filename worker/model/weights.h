/* The model's weights as a safetensors file: the tensors of shape.h by name, and in the metadata what they are.
 *
 * Metadata: "format" = "configd.byte-lm.1", "shape" (JSON), "step", "revision", "text_digest", "precision" and whatever
 * the trainer adds. Tensors may be F32 or BF16. A file that holds other tensors than the shape's is refused by name,
 * except under "optimizer.", which a checkpoint has and a served model does not need. */
#ifndef CFG_MODEL_WEIGHTS_H
#define CFG_MODEL_WEIGHTS_H

#include "proto/buf.h"
#include "proto/digest.h"
#include "worker/model/shape.h"

#define CFG_WEIGHTS_FORMAT "configd.byte-lm.1"
struct cfg_safetensors;

struct cfg_weights {
    struct cfg_model_shape shape;
    float *values; /* cfg_model_n_parameters, owned */
    uint64_t step; /* of training */
    char revision[48], text_digest[CFG_DIGEST_TEXT];
    char digest[CFG_DIGEST_TEXT]; /* of the file's bytes */
};

/* From a file's bytes (borrowed for the call) or from a path. *out is filled whole or untouched; cfg_weights_finish
 * frees. `name` is what errors call it. CFG_E_VALUE (what is wrong, and the tensor), CFG_E_IO, CFG_E_NOMEM,
 * CFG_E_LIMIT. */
CFG_MUST_CHECK int cfg_weights_read(struct cfg_weights *out, struct cfg_slice file, const char *name,
                                    struct cfg_error *err);
CFG_MUST_CHECK int cfg_weights_load(struct cfg_weights *out, const char *path, struct cfg_error *err);
/* From a file that has been parsed (borrowed for the call); the digest stays empty. Errors as above. */
CFG_MUST_CHECK int cfg_weights_take(struct cfg_weights *out, const struct cfg_safetensors *s, struct cfg_error *err);
void cfg_weights_finish(struct cfg_weights *w); /* takes a zeroed struct */

#endif
