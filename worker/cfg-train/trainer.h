/* Data-parallel training, step by step: who computes what, what is added up, and what a checkpoint holds. Knows nothing
 * of configd: settings come in as values at every step, so a run is a function of seed, text, pin and the history of
 * its settings, bit for bit on a CPU. One thread. */
#ifndef CFG_TRAIN_TRAINER_H
#define CFG_TRAIN_TRAINER_H

#include "worker/allreduce.h"
#include "worker/cfg-train/text.h"
#include "worker/model/model.h"

/* What a run is built for; a checkpoint resumes only under the same. */
struct cfg_train_pin {
    struct cfg_model_shape shape;
    uint32_t world;
    enum cfg_model_precision precision;
    char backend[16]; /* "cpu", "cuda" */
};

/* The pin as an object of parameters ("model.hidden": 256, …); returned-owned, NULL without memory. */
cJSON *cfg_train_pin_json(const struct cfg_train_pin *p);
/* Canonical digest of that. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_train_pin_digest(char out[CFG_DIGEST_TEXT], const struct cfg_train_pin *p);

/* What may change between two steps. */
struct cfg_train_settings {
    double lr, clip; /* clip 0: none */
    uint32_t global_batch, accumulation;
};

/* The rows of one micro batch under these settings: global_batch / (world × accumulation). CFG_E_VALUE when that is no
 * whole number, or more than `most`. */
CFG_MUST_CHECK int cfg_train_micro(uint32_t *out, const struct cfg_train_settings *s, uint32_t world, uint32_t most,
                                   struct cfg_error *err);

struct cfg_trainer {
    struct cfg_train_pin pin;
    struct cfg_model *model;      /* owned */
    struct cfg_allreduce *reduce; /* borrowed; NULL until it has joined */
    const struct cfg_text *text;  /* borrowed */
    uint64_t seed, step, samples; /* steps done; samples seen by all ranks together */
    unsigned char *contexts, *targets;
    float *host; /* the gradient on its way through host memory, where the reduction knows no device */
};

struct cfg_trained {
    double loss;      /* mean over the global batch, nats per byte */
    double grad_norm; /* before clipping */
    uint64_t nonfinite;
    uint32_t stops; /* ranks that want to stop */
};

struct cfg_trainer_options {
    struct cfg_train_pin pin;
    const struct cfg_text *text;
    uint64_t seed;
    uint32_t micro_most;
    unsigned threads;
    int device; /* of cuda */
};

/* A model at its beginning. Everything borrowed lives as long as the trainer. CFG_E_*: those of cfg_model_new. */
CFG_MUST_CHECK int cfg_trainer_new(struct cfg_trainer **out, const struct cfg_trainer_options *o,
                                   struct cfg_error *err);
void cfg_trainer_free(struct cfg_trainer *t); /* NULL is fine */

/* Before the first step: with whom. Compares step, seed, text and weights with rank 0's. CFG_E_AGREEMENT names the rank
 * that differs; CFG_E_NOMEM, CFG_E_IO. */
CFG_MUST_CHECK int cfg_trainer_join(struct cfg_trainer *t, struct cfg_allreduce *reduce, struct cfg_error *err);

/* One step on every rank. want_stop: this rank would like to stop; the sum is known to all. CFG_E_VALUE: the settings
 * do not divide, or loss or gradient is not finite (nothing was updated; the step does not count); CFG_E_AGREEMENT: a
 * rank is gone; CFG_E_IO. */
CFG_MUST_CHECK int cfg_trainer_step(struct cfg_trainer *t, const struct cfg_train_settings *s, bool want_stop,
                                    struct cfg_trained *out, struct cfg_error *err);
/* The mean loss on at most `rows` samples of the text kept aside; on this rank alone. */
CFG_MUST_CHECK int cfg_trainer_evaluate(struct cfg_trainer *t, size_t rows, double *loss, struct cfg_error *err);

/* --- checkpoint.c --- */

/* What of the configuration goes into a checkpoint. */
struct cfg_train_snapshot {
    const char *revision;    /* "E-R" */
    const cJSON *parameters; /* what the last step ran on; borrowed */
};

/* Weights, optimizer, position and snapshot in one safetensors file, replaced whole. weights_only: what cfg-infer needs
 * and no more. CFG_E_IO, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_trainer_save(struct cfg_trainer *t, const char *path, const struct cfg_train_snapshot *s,
                                    bool weights_only, struct cfg_error *err);
/* Continues from a checkpoint. CFG_E_PIN_MISMATCH names the key that differs, with both values; CFG_E_VALUE: no
 * checkpoint, damaged, another text; CFG_E_NOT_FOUND, CFG_E_IO, CFG_E_NOMEM. The trainer is untouched on failure. */
CFG_MUST_CHECK int cfg_trainer_resume(struct cfg_trainer *t, const char *path, struct cfg_error *err);
/* The step that a checkpoint was written at. Errors as above, but for the pin. */
CFG_MUST_CHECK int cfg_checkpoint_step(uint64_t *out, const char *path, struct cfg_error *err);

#endif
