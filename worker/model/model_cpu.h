/* Inside the cpu back end: model_cpu.c serves, model_cpu_train.c trains. */
#ifndef CFG_MODEL_CPU_H
#define CFG_MODEL_CPU_H

#include "worker/model/model_internal.h"

struct cfg_model_cpu {
    struct cfg_model base;
    size_t n;       /* parameters */
    float *weights; /* n */
    struct cfg_live_params live;
    /* Inference, for one tile of rows. */
    float *x, *h, *z, *logits;
    /* Training; NULL without. */
    float *gradient; /* n + CFG_GRADIENT_EXTRA */
    float *first, *second;
    float *inputs;        /* rows × context·embed; then the gradient with respect to it */
    float *states;        /* (layers) × rows × hidden: what each layer gives */
    float *slopes;        /* likewise: the derivative of its activation */
    float *outputs;       /* rows × 256 */
    float *back, *inward; /* rows × hidden, twice */
};

/* Allocates what training needs. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_model_cpu_train_new(struct cfg_model_cpu *m, struct cfg_error *err);
void cfg_model_cpu_train_free(struct cfg_model_cpu *m);
/* The embeddings of `rows` contexts, side by side. */
void cfg_model_cpu_embed(const struct cfg_model_cpu *m, float *out, const unsigned char *contexts, size_t rows);
/* count floats at a multiple of 64 bytes, all zero; returned-owned (free), NULL without memory. */
float *cfg_model_cpu_floats(size_t count);

int cfg_model_cpu_gradients(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets,
                            uint32_t n, double *loss, struct cfg_error *err);
int cfg_model_cpu_loss(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                       double *loss, struct cfg_error *err);
int cfg_model_cpu_update(struct cfg_model *m, const struct cfg_model_update *u, struct cfg_model_updated *out,
                         struct cfg_error *err);

#endif
