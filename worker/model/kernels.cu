/* Kernels. See kernels.h. */
#include "worker/model/kernels.h"

#include <cuda_bf16.h>

namespace
{

const unsigned threads_per_block = 256;
const unsigned blocks_most = 4096;

unsigned blocks_for(size_t n)
{
    size_t blocks = (n + threads_per_block - 1) / threads_per_block;
    return blocks == 0 ? 1U : blocks > blocks_most ? blocks_most : (unsigned)blocks;
}

__device__ size_t first()
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ size_t stride()
{
    return (size_t)gridDim.x * blockDim.x;
}

/* --- element by element --- */

__global__ void embed_kernel(float *x, const float *table, const unsigned char *contexts, size_t n, uint32_t embed)
{
    for (size_t i = first(); i < n; i += stride()) {
        x[i] = table[(size_t)contexts[i / embed] * embed + i % embed];
    }
}

/* One block per symbol, one thread per member of its embedding. */
__global__ void embed_back_kernel(float *table, const float *x, const unsigned char *contexts, size_t count,
                                  uint32_t embed)
{
    for (uint32_t k = threadIdx.x; k < embed; k += blockDim.x) {
        float sum = 0;
        for (size_t i = 0; i < count; i++) {
            if (contexts[i] == blockIdx.x) {
                sum += x[i * embed + k];
            }
        }
        table[(size_t)blockIdx.x * embed + k] += sum;
    }
}

__global__ void rows_set_kernel(float *out, const float *bias, size_t n, size_t cols)
{
    for (size_t i = first(); i < n; i += stride()) {
        out[i] = bias[i % cols];
    }
}

__global__ void rows_sum_kernel(float *out, const float *x, size_t rows, size_t cols)
{
    for (size_t j = first(); j < cols; j += stride()) {
        float sum = 0;
        for (size_t r = 0; r < rows; r++) {
            sum += x[r * cols + j];
        }
        out[j] += sum;
    }
}

__global__ void silu_kernel(float *z, float *slope, size_t n)
{
    for (size_t i = first(); i < n; i += stride()) {
        float s = 1.0F / (1.0F + expf(-z[i]));
        float y = z[i] * s;
        if (slope != nullptr) {
            slope[i] = s + y * (1.0F - s);
        }
        z[i] = y;
    }
}

__global__ void add_kernel(float *out, const float *x, size_t n)
{
    for (size_t i = first(); i < n; i += stride()) {
        out[i] += x[i];
    }
}

__global__ void multiply_kernel(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = first(); i < n; i += stride()) {
        out[i] = a[i] * b[i];
    }
}

__global__ void bf16_kernel(__nv_bfloat16 *out, const float *x, size_t n)
{
    for (size_t i = first(); i < n; i += stride()) {
        out[i] = __float2bfloat16(x[i]);
    }
}

__global__ void adam_kernel(float *w, float *m, float *v, const float *g, size_t n, struct cfg_kernel_adam k)
{
    for (size_t i = first(); i < n; i += stride()) {
        float grad = g[i] * k.scale;
        m[i] = k.beta1 * m[i] + (1.0F - k.beta1) * grad;
        v[i] = k.beta2 * v[i] + (1.0F - k.beta2) * (grad * grad);
        w[i] -= k.rate * m[i] / (sqrtf(v[i] * k.correction) + k.zero);
    }
}

/* --- reductions: one block of 256 threads --- */

template <typename T> __device__ T block_sum(T value, T *room)
{
    room[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            room[threadIdx.x] += room[threadIdx.x + half];
        }
        __syncthreads();
    }
    T sum = room[0];
    __syncthreads();
    return sum;
}

__global__ void norm_kernel(double *squares, unsigned long long *nonfinite, const float *x, size_t n)
{
    __shared__ double sums[threads_per_block];
    __shared__ unsigned long long counts[threads_per_block];
    double sum = 0;
    unsigned long long bad = 0;
    for (size_t i = first(); i < n; i += stride()) {
        sum += (double)x[i] * (double)x[i];
        bad += isfinite(x[i]) ? 0U : 1U;
    }
    sum = block_sum(sum, sums);
    bad = block_sum(bad, counts);
    if (threadIdx.x == 0) {
        squares[blockIdx.x] = sum;
        nonfinite[blockIdx.x] = bad;
    }
}

/* The greatest value and, of equals, the smallest index; a NaN is never it. */
__device__ unsigned greatest(const float *values, float *room, unsigned *who)
{
    unsigned i = threadIdx.x;
    room[i] = isnan(values[i]) ? -INFINITY : values[i];
    who[i] = i;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (i < half && (room[i + half] > room[i] || (room[i + half] == room[i] && who[i + half] < who[i]))) {
            room[i] = room[i + half];
            who[i] = who[i + half];
        }
        __syncthreads();
    }
    unsigned best = who[0];
    __syncthreads();
    return best;
}

__global__ void cross_entropy_kernel(float *logits, float *losses, const unsigned char *targets, bool gradient)
{
    __shared__ float row[CFG_SYMBOLS], room[CFG_SYMBOLS];
    __shared__ unsigned who[CFG_SYMBOLS];
    unsigned i = threadIdx.x;
    float *mine = logits + (size_t)blockIdx.x * CFG_SYMBOLS;
    unsigned target = targets[blockIdx.x];
    row[i] = mine[i];
    __syncthreads();
    float most = row[greatest(row, room, who)];
    float e = expf(row[i] - most);
    float sum = block_sum(e, room);
    if (i == 0) {
        losses[blockIdx.x] = logf(sum) + most - row[target];
    }
    if (gradient) {
        mine[i] = e / sum - (i == target ? 1.0F : 0.0F);
    }
}

/* --- sampling: one block per row, one thread per symbol. Sums in the order of sample.c, by one thread. --- */

struct sampler {
    double p[CFG_SYMBOLS], sorted[CFG_SYMBOLS];
    double sum;
    unsigned keep;
    float logits[CFG_SYMBOLS], room[CFG_SYMBOLS];
    unsigned who[CFG_SYMBOLS];
};

__device__ void normalise(struct sampler *s)
{
    if (threadIdx.x == 0) {
        double sum = 0;
        for (unsigned j = 0; j < CFG_SYMBOLS; j++) {
            sum += s->p[j];
        }
        s->sum = sum;
    }
    __syncthreads();
    s->p[threadIdx.x] /= s->sum;
    __syncthreads();
}

__device__ unsigned rank_of(const struct sampler *s)
{
    unsigned i = threadIdx.x, before = 0;
    for (unsigned j = 0; j < CFG_SYMBOLS; j++) {
        before += s->p[j] > s->p[i] || (!(s->p[j] < s->p[i]) && j < i) ? 1U : 0U;
    }
    return before;
}

__device__ void keep_first(struct sampler *s, unsigned rank, unsigned n)
{
    __syncthreads(); /* everybody has looked at all */
    if (rank >= n) {
        s->p[threadIdx.x] = 0;
    }
    __syncthreads();
    normalise(s);
}

__device__ void nucleus(struct sampler *s, double mass)
{
    unsigned rank = rank_of(s);
    s->sorted[rank] = s->p[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned n = 1;
        for (double sum = s->sorted[0]; sum < mass && n < CFG_SYMBOLS; n++) {
            sum += s->sorted[n];
        }
        s->keep = n;
    }
    __syncthreads();
    keep_first(s, rank, s->keep);
}

__device__ unsigned draw(const struct sampler *s, double u)
{
    unsigned last = 0;
    for (unsigned j = 0; j < CFG_SYMBOLS; j++) {
        if (s->p[j] > 0) {
            last = j;
            u -= s->p[j];
            if (u < 0) {
                break;
            }
        }
    }
    return last;
}

__global__ void sample_kernel(unsigned char *bytes, uint64_t *version, const float *logits,
                              const struct cfg_model_row *rows, const struct cfg_live_params *live)
{
    __shared__ struct sampler s;
    const struct cfg_model_row row = rows[blockIdx.x];
    unsigned i = threadIdx.x;
    double temperature = (row.own & CFG_OWN_TEMPERATURE) != 0 ? row.temperature : live->temperature;
    double mass = (row.own & CFG_OWN_TOP_P) != 0 ? row.top_p : live->top_p;
    unsigned k = (row.own & CFG_OWN_TOP_K) != 0 ? row.top_k : live->top_k;
    s.logits[i] = logits[(size_t)blockIdx.x * CFG_SYMBOLS + i];
    __syncthreads();
    unsigned best = greatest(s.logits, s.room, s.who);
    unsigned byte = best;
    if (temperature > 0 && k != 1) {
        double d = ((double)s.logits[i] - (double)s.logits[best]) / temperature;
        s.p[i] = i == best ? 1.0 : d <= 0 ? exp(d) : 0.0;
        __syncthreads();
        normalise(&s);
        if (k > 0 && k < CFG_SYMBOLS) {
            keep_first(&s, rank_of(&s), k);
        }
        if (mass < 1) {
            nucleus(&s, mass);
        }
        byte = i == 0 ? draw(&s, row.uniform) : 0;
    }
    if (i == 0) {
        bytes[blockIdx.x] = (unsigned char)byte;
    }
    if (i == 0 && blockIdx.x == 0) {
        *version = live->version;
    }
}

cudaStream_t on(void *stream)
{
    return static_cast<cudaStream_t>(stream);
}

} // namespace

extern "C" {

void cfg_kernel_embed(float *x, const float *table, const unsigned char *contexts, size_t count, uint32_t embed,
                      void *stream)
{
    size_t n = count * embed;
    embed_kernel<<<blocks_for(n), threads_per_block, 0, on(stream)>>>(x, table, contexts, n, embed);
}

void cfg_kernel_embed_back(float *table, const float *x, const unsigned char *contexts, size_t count, uint32_t embed,
                           void *stream)
{
    unsigned threads = embed < threads_per_block ? (embed + 31) / 32 * 32 : threads_per_block;
    embed_back_kernel<<<CFG_SYMBOLS, threads, 0, on(stream)>>>(table, x, contexts, count, embed);
}

void cfg_kernel_rows_set(float *out, const float *bias, size_t rows, size_t cols, void *stream)
{
    size_t n = rows * cols;
    rows_set_kernel<<<blocks_for(n), threads_per_block, 0, on(stream)>>>(out, bias, n, cols);
}

void cfg_kernel_rows_sum(float *out, const float *x, size_t rows, size_t cols, void *stream)
{
    rows_sum_kernel<<<blocks_for(cols), threads_per_block, 0, on(stream)>>>(out, x, rows, cols);
}

void cfg_kernel_silu(float *z, float *slope, size_t n, void *stream)
{
    silu_kernel<<<blocks_for(n), threads_per_block, 0, on(stream)>>>(z, slope, n);
}

void cfg_kernel_add(float *out, const float *x, size_t n, void *stream)
{
    add_kernel<<<blocks_for(n), threads_per_block, 0, on(stream)>>>(out, x, n);
}

void cfg_kernel_multiply(float *out, const float *a, const float *b, size_t n, void *stream)
{
    multiply_kernel<<<blocks_for(n), threads_per_block, 0, on(stream)>>>(out, a, b, n);
}

void cfg_kernel_cross_entropy(float *logits, float *losses, const unsigned char *targets, size_t rows, bool gradient,
                              void *stream)
{
    cross_entropy_kernel<<<(unsigned)rows, CFG_SYMBOLS, 0, on(stream)>>>(logits, losses, targets, gradient);
}

void cfg_kernel_norm(double *squares, unsigned long long *nonfinite, const float *x, size_t n, void *stream)
{
    norm_kernel<<<CFG_KERNEL_PARTS, threads_per_block, 0, on(stream)>>>(squares, nonfinite, x, n);
}

void cfg_kernel_adam(float *w, float *m, float *v, const float *g, size_t n, const struct cfg_kernel_adam *a,
                     void *stream)
{
    adam_kernel<<<blocks_for(n), threads_per_block, 0, on(stream)>>>(w, m, v, g, n, *a);
}

void cfg_kernel_bf16(void *out, const float *x, size_t n, void *stream)
{
    bf16_kernel<<<blocks_for(n), threads_per_block, 0, on(stream)>>>(static_cast<__nv_bfloat16 *>(out), x, n);
}

void cfg_kernel_sample(unsigned char *bytes, uint64_t *version, const float *logits, const struct cfg_model_row *rows,
                       const struct cfg_live_params *live, uint32_t n, void *stream)
{
    sample_kernel<<<n, CFG_SYMBOLS, 0, on(stream)>>>(bytes, version, logits, rows, live);
}

} // extern "C"
