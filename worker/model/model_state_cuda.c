/* The cuda back end's state, in and out of host memory. Each call waits for its copy. */
#include "worker/model/model_cuda.h"

static struct cfg_model_cuda *self(struct cfg_model *m)
{
    return (struct cfg_model_cuda *)m;
}

static int move(void *to, const void *from, size_t floats, enum cudaMemcpyKind kind, struct cfg_model_cuda *m,
                struct cfg_error *err)
{
    int rc = cfg_cuda_use(m, err);
    rc = rc == 0 ? cfg_cuda_check(cudaMemcpyAsync(to, from, floats * sizeof(float), kind, m->stream), "a copy", err)
                 : rc;
    return rc == 0 ? cfg_cuda_check(cudaStreamSynchronize(m->stream), "a copy", err) : rc;
}

int cfg_cuda_load(struct cfg_model *base, const float *weights, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    int rc = move(m->weights, weights, m->n, cudaMemcpyHostToDevice, m, err);
    if (rc == 0) {
        cfg_cuda_round_weights(m);
        rc = cfg_cuda_check(cudaStreamSynchronize(m->stream), "weights", err);
    }
    return rc;
}

int cfg_cuda_store(struct cfg_model *base, float *weights, struct cfg_error *err)
{
    return move(weights, self(base)->weights, self(base)->n, cudaMemcpyDeviceToHost, self(base), err);
}

float *cfg_cuda_gradient(struct cfg_model *base)
{
    return self(base)->gradient;
}

int cfg_cuda_gradient_read(struct cfg_model *base, float *out, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    return move(out, m->gradient, m->n + CFG_GRADIENT_EXTRA, cudaMemcpyDeviceToHost, m, err);
}

int cfg_cuda_gradient_write(struct cfg_model *base, const float *in, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    return move(m->gradient, in, m->n + CFG_GRADIENT_EXTRA, cudaMemcpyHostToDevice, m, err);
}

int cfg_cuda_extra_read(struct cfg_model *base, float out[CFG_GRADIENT_EXTRA], struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    return move(out, m->gradient + m->n, CFG_GRADIENT_EXTRA, cudaMemcpyDeviceToHost, m, err);
}

int cfg_cuda_extra_write(struct cfg_model *base, const float in[CFG_GRADIENT_EXTRA], struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    return move(m->gradient + m->n, in, CFG_GRADIENT_EXTRA, cudaMemcpyHostToDevice, m, err);
}

int cfg_cuda_moments_read(struct cfg_model *base, float *first, float *second, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    int rc = move(first, m->first, m->n, cudaMemcpyDeviceToHost, m, err);
    return rc == 0 ? move(second, m->second, m->n, cudaMemcpyDeviceToHost, m, err) : rc;
}

int cfg_cuda_moments_write(struct cfg_model *base, const float *first, const float *second, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    int rc = move(m->first, first, m->n, cudaMemcpyHostToDevice, m, err);
    return rc == 0 ? move(m->second, second, m->n, cudaMemcpyHostToDevice, m, err) : rc;
}
