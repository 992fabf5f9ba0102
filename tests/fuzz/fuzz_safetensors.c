/* The reader of weights: whatever lies in that file, it is refused with a reason, or every tensor lies inside the file
 * and the weights are numbers. */
#include "worker/model/safetensors.h"
#include "worker/model/weights.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const struct cfg_slice file = {(const char *)bytes, n};
    struct cfg_safetensors s = {0};
    struct cfg_weights w = {0};
    struct cfg_error err = CFG_ERROR_INIT;
    if (cfg_safetensors_parse(&s, file, &err) != 0) {
        if (err.text[0] == '\0' || cfg_weights_read(&w, file, "file", NULL) == 0) {
            abort();
        }
        return 0;
    }
    const char *at = NULL;
    for (size_t i = 0; i < s.n; i++) {
        const struct cfg_st_tensor *t = &s.tensors[i];
        if (t->bytes.ptr < file.ptr || t->bytes.ptr + t->bytes.len > file.ptr + n ||
            (at != NULL && t->bytes.ptr != at)) {
            abort();
        }
        at = t->bytes.ptr + t->bytes.len;
    }
    cfg_safetensors_finish(&s);
    if (cfg_weights_read(&w, file, "file", &err) == 0) {
        for (size_t i = 0; i < cfg_model_n_parameters(&w.shape); i++) {
            if (!isfinite(w.values[i])) {
                abort();
            }
        }
        cfg_weights_finish(&w);
    } else if (err.text[0] == '\0') {
        abort();
    }
    return 0;
}
