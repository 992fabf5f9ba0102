/* The parameters that training follows: their paths, classes and ranges, and what a view says of them. */
#ifndef CFG_TRAIN_SETTINGS_H
#define CFG_TRAIN_SETTINGS_H

#include "worker/cfg-train/trainer.h"
#include <cfg/worker.h>

enum cfg_train_key {
    CFG_TRAIN_LR, /* barrier, down to GLOBAL_BATCH: all ranks change at the same step */
    CFG_TRAIN_CLIP,
    CFG_TRAIN_ACCUMULATION,
    CFG_TRAIN_GLOBAL_BATCH,
    CFG_TRAIN_LOG_EVERY, /* live */
    CFG_TRAIN_EVAL_EVERY,
    CFG_TRAIN_CHECKPOINT_EVERY,
    CFG_TRAIN_STOP_AT,
    CFG_TRAIN_WORLD_SIZE, /* pinned */
    CFG_TRAIN_CONTEXT,
    CFG_TRAIN_EMBED,
    CFG_TRAIN_HIDDEN,
    CFG_TRAIN_LAYERS,
    CFG_TRAIN_PRECISION,
    CFG_TRAIN_BACKEND,
    CFG_TRAIN_N_KEYS
};

struct cfg_train_keys {
    cfg_param params[CFG_TRAIN_N_KEYS];
    uint32_t world, micro_most;
};

const char *cfg_train_path(enum cfg_train_key k);

/* Declares all of them, for one of `world` ranks. backend and precision: the defaults, NULL for cpu and float32.
 * Borrowed until start. */
void cfg_train_declare(struct cfg_train_keys *out, struct cfg_worker *w, uint32_t world, uint32_t micro_most,
                       const char *backend, const char *precision);

struct cfg_train_settings cfg_train_settings_of(const struct cfg_train_keys *k, const struct cfg_view *v);
uint64_t cfg_train_number(const struct cfg_train_keys *k, const struct cfg_view *v, enum cfg_train_key key);
/* CFG_E_VALUE: a back end or a precision that there is not; CFG_E_PIN_MISMATCH: another number of ranks. */
CFG_MUST_CHECK int cfg_train_pin_of(struct cfg_train_pin *out, const struct cfg_train_keys *k, const struct cfg_view *v,
                                    struct cfg_error *err);
/* Whether training can run on the view: what a prepare hook answers. Errors as above, and
 * CFG_E_VALUE where batches do not divide. */
CFG_MUST_CHECK int cfg_train_acceptable(const struct cfg_train_keys *k, const struct cfg_view *v,
                                        struct cfg_error *err);
/* One value as JSON; all of them as an object. Returned-owned; NULL without memory. */
cJSON *cfg_train_value(const struct cfg_train_keys *k, const struct cfg_view *v, enum cfg_train_key key);
cJSON *cfg_train_values(const struct cfg_train_keys *k, const struct cfg_view *v);

#endif
