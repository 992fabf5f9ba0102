/* What every back end shares: who is made, and what calls are refused before they reach one. See model.h. */
#include "worker/model/model_internal.h"
#include <math.h>
#include <string.h>

static const char *const precisions[] = {[CFG_FLOAT32] = "float32", [CFG_BF16] = "bf16"};
enum { N_PRECISIONS = sizeof precisions / sizeof precisions[0] };

const char *cfg_model_precision_name(enum cfg_model_precision p)
{
    return precisions[p];
}

int cfg_model_precision_read(enum cfg_model_precision *out, const char *name, struct cfg_error *err)
{
    for (size_t i = 0; i < N_PRECISIONS; i++) {
        if (strcmp(name, precisions[i]) == 0) {
            *out = (enum cfg_model_precision)i;
            return 0;
        }
    }
    return cfg_fail(err, CFG_E_INVALID, "no precision is called '%s'; there are float32 and bf16", name);
}

bool cfg_model_has_backend(const char *backend, const char **why)
{
    *why = "";
    if (strcmp(backend, "cuda") == 0) {
        return cfg_model_cuda_there(why);
    }
    *why = "there are cpu and cuda";
    return strcmp(backend, "cpu") == 0;
}

int cfg_model_new(struct cfg_model **out, const struct cfg_model_options *o, struct cfg_error *err)
{
    const char *why;
    const char *backend = o->backend;
    int rc = cfg_model_shape_check(&o->shape, err);
    if (rc != 0) {
        return rc;
    }
    if (o->train_rows > CFG_MODEL_ROWS_MAX) {
        return cfg_fail(err, CFG_E_INVALID, "a micro batch of %u rows is more than %d", o->train_rows,
                        CFG_MODEL_ROWS_MAX);
    }
    if (backend == NULL || strcmp(backend, "auto") == 0) {
        backend = cfg_model_cuda_there(&why) ? "cuda" : "cpu";
    }
    if (strcmp(backend, "cpu") == 0) {
        return cfg_model_cpu_new(out, o, err);
    }
    if (strcmp(backend, "cuda") == 0) {
        return cfg_model_cuda_new(out, o, err);
    }
    return cfg_fail(err, CFG_E_INVALID, "no back end is called '%s'; there are cpu and cuda", backend);
}

void cfg_model_free(struct cfg_model *m)
{
    if (m != NULL) {
        m->ops->free(m);
    }
}

int cfg_model_load(struct cfg_model *m, const float *weights, struct cfg_error *err)
{
    return m->ops->load(m, weights, err);
}

int cfg_model_store(struct cfg_model *m, float *weights, struct cfg_error *err)
{
    return m->ops->store(m, weights, err);
}

/* --- inference --- */

int cfg_model_capture(struct cfg_model *m, const uint32_t *buckets, size_t n, struct cfg_error *err)
{
    if (n == 0 || n > CFG_MODEL_BUCKETS_MAX) {
        return cfg_fail(err, CFG_E_INVALID, "%zu batch sizes: there may be 1 to %d", n, CFG_MODEL_BUCKETS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (buckets[i] == 0 || buckets[i] > CFG_MODEL_BUCKET_MAX || (i > 0 && buckets[i] <= buckets[i - 1])) {
            return cfg_fail(err, CFG_E_INVALID, "batch size %u: they rise, from 1 to at most %d", buckets[i],
                            CFG_MODEL_BUCKET_MAX);
        }
    }
    memcpy(m->buckets, buckets, n * sizeof *buckets);
    m->n_buckets = (uint32_t)n;
    int rc = m->ops->capture(m, err);
    if (rc != 0) {
        m->n_buckets = 0;
        return rc;
    }
    m->figures.captures += n;
    return 0;
}

int cfg_model_live(struct cfg_model *m, const struct cfg_live_params *p, struct cfg_error *err)
{
    return m->ops->live(m, p, err);
}

uint32_t cfg_model_bucket(const struct cfg_model *m, uint32_t n)
{
    for (uint32_t i = 0; i < m->n_buckets; i++) {
        if (m->buckets[i] >= n) {
            return m->buckets[i];
        }
    }
    return 0;
}

int cfg_model_infer(struct cfg_model *m, struct cfg_model_batch *b, struct cfg_error *err)
{
    uint32_t bucket = cfg_model_bucket(m, b->n);
    if (b->n == 0) {
        return cfg_fail(err, CFG_E_INVALID, "a batch without rows");
    }
    if (bucket == 0) {
        return cfg_fail(err, CFG_E_LIMIT, "a batch of %u rows; the largest captured has %u", b->n,
                        m->n_buckets > 0 ? m->buckets[m->n_buckets - 1] : 0);
    }
    b->bucket = bucket;
    int rc = m->ops->infer(m, b, err);
    m->figures.launches += rc == 0 ? 1 : 0;
    return rc;
}

/* --- training --- */

static int check_rows(const struct cfg_model *m, uint32_t n, struct cfg_error *err)
{
    return n > 0 && n <= m->train_rows
               ? 0
               : cfg_fail(err, CFG_E_LIMIT, "a micro batch of %u rows; this model has room for %u", n, m->train_rows);
}

int cfg_model_gradients(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                        double *loss, struct cfg_error *err)
{
    int rc = check_rows(m, n, err);
    return rc != 0 ? rc : m->ops->gradients(m, contexts, targets, n, loss, err);
}

int cfg_model_loss(struct cfg_model *m, const unsigned char *contexts, const unsigned char *targets, uint32_t n,
                   double *loss, struct cfg_error *err)
{
    int rc = check_rows(m, n, err);
    return rc != 0 ? rc : m->ops->loss(m, contexts, targets, n, loss, err);
}

float *cfg_model_gradient(struct cfg_model *m)
{
    return m->ops->gradient(m);
}

int cfg_model_gradient_read(struct cfg_model *m, float *out, struct cfg_error *err)
{
    return m->ops->gradient_read(m, out, err);
}

int cfg_model_gradient_write(struct cfg_model *m, const float *in, struct cfg_error *err)
{
    return m->ops->gradient_write(m, in, err);
}

int cfg_model_extra_read(struct cfg_model *m, float out[CFG_GRADIENT_EXTRA], struct cfg_error *err)
{
    return m->ops->extra_read(m, out, err);
}

int cfg_model_extra_write(struct cfg_model *m, const float in[CFG_GRADIENT_EXTRA], struct cfg_error *err)
{
    return m->ops->extra_write(m, in, err);
}

int cfg_model_apply(struct cfg_model *m, const struct cfg_model_update *u, struct cfg_model_updated *out,
                    struct cfg_error *err)
{
    int rc = check_rows(m, 1, err);
    return rc != 0 ? rc : m->ops->update(m, u, out, err);
}

struct cfg_vec_adam cfg_model_adam(const struct cfg_model_update *u, double grad_norm)
{
    double beta1 = CFG_ADAM_BETA1_PERMILLE / 1000.0;
    double beta2 = CFG_ADAM_BETA2_PERMILLE / 1000.0;
    double clipped = u->clip > 0 && grad_norm > u->clip ? u->clip / grad_norm : 1;
    return (struct cfg_vec_adam){
        .beta1 = (float)beta1,
        .beta2 = (float)beta2,
        .scale = (float)(u->scale * clipped),
        .rate = (float)(u->lr / (1 - pow(beta1, (double)u->step))),
        .correction = (float)(1 / (1 - pow(beta2, (double)u->step))),
        .zero = 1e-8F,
    };
}

int cfg_model_moments_read(struct cfg_model *m, float *first, float *second, struct cfg_error *err)
{
    return m->ops->moments_read(m, first, second, err);
}

int cfg_model_moments_write(struct cfg_model *m, const float *first, const float *second, struct cfg_error *err)
{
    return m->ops->moments_write(m, first, second, err);
}
