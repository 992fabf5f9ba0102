/* The cuda back end: its life, products, and inference by captured graphs. See model.h and model_cuda.h.
 *
 * A bucket is computed in tiles of CFG_CUDA_TILE rows, each by the same products, whatever the bucket: cuBLAS chooses
 * kernels by shape, so a product over the whole bucket would make a row's bits depend on its size. Everything of a step
 * is one graph but the copies in and out, which move only the rows that there are. */
#include "worker/model/model_cuda.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKSPACE = 32 << 20 }; /* what cuBLAS wants on Hopper */

static struct cfg_model_cuda *self(struct cfg_model *m)
{
    return (struct cfg_model_cuda *)m;
}

int cfg_cuda_check(cudaError_t rc, const char *what, struct cfg_error *err)
{
    if (rc == cudaSuccess) {
        return 0;
    }
    return cfg_fail(err, rc == cudaErrorMemoryAllocation ? CFG_E_NOMEM : CFG_E_IO, "CUDA, %s: %s", what,
                    cudaGetErrorString(rc));
}

int cfg_cuda_blas(cublasStatus_t rc, const char *what, struct cfg_error *err)
{
    return rc == CUBLAS_STATUS_SUCCESS ? 0
                                       : cfg_fail(err, rc == CUBLAS_STATUS_ALLOC_FAILED ? CFG_E_NOMEM : CFG_E_IO,
                                                  "cuBLAS, %s: %s", what, cublasGetStatusString(rc));
}

int cfg_cuda_alloc(void **out, size_t bytes, struct cfg_error *err)
{
    int rc = cfg_cuda_check(cudaMalloc(out, bytes > 0 ? bytes : 1), "device memory", err);
    rc = rc == 0 ? cfg_cuda_check(cudaMemset(*out, 0, bytes), "device memory", err) : rc;
    /* The memset went to the default stream, which the model's own does not wait for. */
    return rc == 0 ? cfg_cuda_check(cudaStreamSynchronize(NULL), "device memory", err) : rc;
}

int cfg_cuda_use(const struct cfg_model_cuda *m, struct cfg_error *err)
{
    return cfg_cuda_check(cudaSetDevice(m->device), "the device", err);
}

int cfg_cuda_launched(struct cfg_error *err)
{
    return cfg_cuda_check(cudaGetLastError(), "a kernel", err);
}

bool cfg_model_cuda_there(const char **why)
{
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);
    *why = rc != cudaSuccess ? cudaGetErrorString(rc) : n == 0 ? "no CUDA device" : "";
    return rc == cudaSuccess && n > 0;
}

/* --- products --- */

static bool is_weight(const struct cfg_model_cuda *m, const float *p)
{
    return p >= m->weights && p < m->weights + m->n;
}

/* The operand in bf16: the weights' copy, else rounded into `room` now. */
static const void *rounded(const struct cfg_model_cuda *m, const float *p, size_t n, void *room)
{
    if (is_weight(m, p)) {
        return (const char *)m->weights16 + (size_t)(p - m->weights) * 2;
    }
    cfg_kernel_bf16(room, p, n, m->stream);
    return room;
}

int cfg_cuda_multiply(struct cfg_model_cuda *m, const struct cfg_cuda_product *p, struct cfg_error *err)
{
    const float one = 1;
    const bool bf16 = m->weights16 != NULL;
    const cudaDataType_t type = bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const void *a = p->a, *b = p->b;
    if (bf16) {
        a = rounded(m, p->a, p->rows * p->in, m->a16);
        b = rounded(m, p->b, p->in * p->cols, m->b16);
    }
    /* cuBLAS is column-major: seen so, our arrays are the transposes, and cᵀ = op(b)ᵀ op(a)ᵀ. */
    cublasStatus_t rc =
        cublasGemmEx(m->blas, p->turn_b ? CUBLAS_OP_T : CUBLAS_OP_N, p->turn_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                     (int)p->cols, (int)p->rows, (int)p->in, &one, b, type, (int)(p->turn_b ? p->in : p->cols), a, type,
                     (int)(p->turn_a ? p->rows : p->in), &p->keep, p->c, CUDA_R_32F, (int)p->cols, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT);
    return cfg_cuda_blas(rc, "a product", err);
}

void cfg_cuda_round_weights(struct cfg_model_cuda *m)
{
    if (m->weights16 != NULL) {
        cfg_kernel_bf16(m->weights16, m->weights, m->n, m->stream);
    }
}

/* --- one step of inference, queued --- */

static int affine(struct cfg_model_cuda *m, float *out, const float *x, size_t weight, size_t bias, size_t in,
                  size_t cols, struct cfg_error *err)
{
    const struct cfg_cuda_product p = {
        .c = out, .a = x, .b = m->weights + weight, .rows = CFG_CUDA_TILE, .in = in, .cols = cols, .keep = 1};
    cfg_kernel_rows_set(out, m->weights + bias, CFG_CUDA_TILE, cols, m->stream);
    return cfg_cuda_multiply(m, &p, err);
}

static int forward_tile(struct cfg_model_cuda *m, uint32_t row, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t plane = (size_t)CFG_CUDA_TILE * s->hidden;
    int rc = 0;
    cfg_kernel_embed(m->x, m->weights, m->contexts + (size_t)row * s->context, (size_t)CFG_CUDA_TILE * s->context,
                     s->embed, m->stream);
    for (uint32_t l = 0; rc == 0 && l < s->layers; l++) {
        float *out = l == 0 ? m->h : m->z;
        rc = affine(m, out, l == 0 ? m->x : m->h, cfg_model_at_weight(s, l), cfg_model_at_bias(s, l),
                    cfg_model_layer_inputs(s, l), s->hidden, err);
        cfg_kernel_silu(out, NULL, plane, m->stream);
        if (l > 0) {
            cfg_kernel_add(m->h, m->z, plane, m->stream);
        }
    }
    return rc == 0 ? affine(m, m->logits + (size_t)row * CFG_MODEL_SYMBOLS, m->h, cfg_model_at_head(s),
                            cfg_model_at_head_bias(s), s->hidden, CFG_MODEL_SYMBOLS, err)
                   : rc;
}

static int forward(struct cfg_model_cuda *m, uint32_t bucket, struct cfg_error *err)
{
    int rc = 0;
    for (uint32_t row = 0; rc == 0 && row < bucket; row += CFG_CUDA_TILE) {
        rc = forward_tile(m, row, err);
    }
    cfg_kernel_sample(m->bytes, m->version, m->logits, m->how, m->live, bucket, m->stream);
    return rc == 0 ? cfg_cuda_launched(err) : rc;
}

/* --- capture --- */

static void drop_buckets(struct cfg_model_cuda *m)
{
    for (size_t i = 0; i < CFG_MODEL_BUCKETS_MAX; i++) {
        if (m->graphs[i] != NULL) {
            (void)cudaGraphExecDestroy(m->graphs[i]);
            m->graphs[i] = NULL;
        }
    }
    void *device[] = {m->contexts, m->bytes, m->how, m->logits};
    void *host[] = {m->host.contexts, m->host.bytes, m->host.rows, m->host.logits};
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++) {
        (void)cudaFree(device[i]);
        (void)cudaFreeHost(host[i]);
    }
    m->contexts = m->bytes = m->host.contexts = m->host.bytes = NULL;
    m->how = m->host.rows = NULL;
    m->logits = m->host.logits = NULL;
}

/* Alike on the device and in pinned memory. */
static int pair(void **device, void **host, size_t bytes, struct cfg_error *err)
{
    int rc = cfg_cuda_alloc(device, bytes, err);
    return rc == 0 ? cfg_cuda_check(cudaMallocHost(host, bytes), "pinned memory", err) : rc;
}

static int make_room(struct cfg_model_cuda *m, struct cfg_error *err)
{
    uint32_t most = m->base.buckets[m->base.n_buckets - 1];
    size_t rows = (most + CFG_CUDA_TILE - 1) / CFG_CUDA_TILE * CFG_CUDA_TILE;
    m->rows = (uint32_t)rows;
    int rc = pair((void **)&m->contexts, (void **)&m->host.contexts, rows * m->base.shape.context, err);
    rc = rc == 0 ? pair((void **)&m->bytes, (void **)&m->host.bytes, rows, err) : rc;
    rc = rc == 0 ? pair((void **)&m->how, (void **)&m->host.rows, rows * sizeof *m->how, err) : rc;
    return rc == 0 ? pair((void **)&m->logits, (void **)&m->host.logits, rows * CFG_MODEL_SYMBOLS * sizeof(float), err)
                   : rc;
}

static int capture_one(struct cfg_model_cuda *m, size_t i, struct cfg_error *err)
{
    cudaGraph_t graph = NULL;
    int rc = cfg_cuda_check(cudaStreamBeginCapture(m->stream, cudaStreamCaptureModeThreadLocal), "capture", err);
    if (rc != 0) {
        return rc;
    }
    rc = forward(m, m->base.buckets[i], err);
    cudaError_t ended =
        cudaStreamEndCapture(m->stream, &graph); /* also after a failure, or the stream stays unusable */
    rc = rc == 0 ? cfg_cuda_check(ended, "capture", err) : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaGraphInstantiate(&m->graphs[i], graph, 0), "a graph", err) : rc;
    if (graph != NULL) {
        (void)cudaGraphDestroy(graph);
    }
    return rc;
}

static int cuda_capture(struct cfg_model *base, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    int rc = cfg_cuda_use(m, err);
    if (rc != 0) {
        return rc;
    }
    drop_buckets(m);
    rc = make_room(m, err);
    /* Once without capturing: libraries load their kernels at first use, which a capture does not allow. */
    rc = rc == 0 ? forward(m, base->buckets[0], err) : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaStreamSynchronize(m->stream), "a first step", err) : rc;
    for (size_t i = 0; rc == 0 && i < base->n_buckets; i++) {
        rc = capture_one(m, i, err);
    }
    if (rc != 0) {
        drop_buckets(m);
    }
    return rc;
}

/* --- serving --- */

static int cuda_live(struct cfg_model *base, const struct cfg_live_params *p, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    unsigned slot = m->slot;
    int rc = cfg_cuda_use(m, err);
    rc = rc == 0 ? cfg_cuda_check(cudaEventSynchronize(m->copied[slot]), "live parameters", err) : rc;
    if (rc != 0) {
        return rc;
    }
    m->host.words->live[slot] = *p;
    rc = cfg_cuda_check(
        cudaMemcpyAsync(m->live, &m->host.words->live[slot], sizeof *p, cudaMemcpyHostToDevice, m->stream),
        "live parameters", err);
    rc = rc == 0 ? cfg_cuda_check(cudaEventRecord(m->copied[slot], m->stream), "live parameters", err) : rc;
    m->slot = (slot + 1) % CFG_CUDA_SLOTS;
    return rc;
}

static int copy(void *to, const void *from, size_t n, enum cudaMemcpyKind kind, struct cfg_model_cuda *m,
                struct cfg_error *err)
{
    return cfg_cuda_check(cudaMemcpyAsync(to, from, n, kind, m->stream), "a copy", err);
}

static int copy_in(struct cfg_model_cuda *m, const struct cfg_model_batch *b, struct cfg_error *err)
{
    size_t bytes = (size_t)b->n * m->base.shape.context;
    memcpy(m->host.contexts, b->contexts, bytes);
    int rc = copy(m->contexts, m->host.contexts, bytes, cudaMemcpyHostToDevice, m, err);
    if (rc != 0 || b->rows == NULL) {
        return rc;
    }
    memcpy(m->host.rows, b->rows, b->n * sizeof *b->rows);
    return copy(m->how, m->host.rows, b->n * sizeof *b->rows, cudaMemcpyHostToDevice, m, err);
}

static int copy_out(struct cfg_model_cuda *m, struct cfg_model_batch *b, struct cfg_error *err)
{
    size_t floats = (size_t)b->n * CFG_MODEL_SYMBOLS;
    int rc = copy(&m->host.words->version, m->version, sizeof m->host.words->version, cudaMemcpyDeviceToHost, m, err);
    rc = rc == 0 && b->rows != NULL ? copy(m->host.bytes, m->bytes, b->n, cudaMemcpyDeviceToHost, m, err) : rc;
    rc = rc == 0 && b->logits != NULL
             ? copy(m->host.logits, m->logits, floats * sizeof(float), cudaMemcpyDeviceToHost, m, err)
             : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaStreamSynchronize(m->stream), "a step", err) : rc;
    if (rc != 0) {
        return rc;
    }
    if (b->rows != NULL) {
        memcpy(b->bytes, m->host.bytes, b->n);
    }
    if (b->logits != NULL) {
        memcpy(b->logits, m->host.logits, floats * sizeof(float));
    }
    b->version = m->host.words->version;
    return 0;
}

static int cuda_infer(struct cfg_model *base, struct cfg_model_batch *b, struct cfg_error *err)
{
    struct cfg_model_cuda *m = self(base);
    size_t i = 0;
    while (base->buckets[i] != b->bucket) {
        i++;
    }
    int rc = cfg_cuda_use(m, err);
    rc = rc == 0 ? copy_in(m, b, err) : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaGraphLaunch(m->graphs[i], m->stream), "a graph", err) : rc;
    return rc == 0 ? copy_out(m, b, err) : rc;
}

/* --- life --- */

static void cuda_free(struct cfg_model *base)
{
    struct cfg_model_cuda *m = self(base);
    (void)cudaSetDevice(m->device);
    if (m->stream != NULL) {
        (void)cudaStreamSynchronize(m->stream);
    }
    drop_buckets(m);
    cfg_cuda_train_free(m);
    void *device[] = {m->weights, m->weights16, m->a16, m->b16, m->live, m->version, m->x, m->h, m->z};
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++) {
        (void)cudaFree(device[i]);
    }
    for (size_t i = 0; i < CFG_CUDA_SLOTS; i++) {
        if (m->copied[i] != NULL) {
            (void)cudaEventDestroy(m->copied[i]);
        }
    }
    if (m->blas != NULL) {
        (void)cublasDestroy(m->blas);
    }
    (void)cudaFree(m->workspace);
    if (m->stream != NULL) {
        (void)cudaStreamDestroy(m->stream);
    }
    (void)cudaFreeHost(m->host.words);
    free(m);
}

static int open_device(struct cfg_model_cuda *m, struct cfg_error *err)
{
    int rc = cfg_cuda_use(m, err);
    rc = rc == 0 ? cfg_cuda_check(cudaStreamCreateWithFlags(&m->stream, cudaStreamNonBlocking), "a stream", err) : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaMallocHost((void **)&m->host.words, sizeof *m->host.words), "pinned memory", err)
                 : rc;
    for (size_t i = 0; rc == 0 && i < CFG_CUDA_SLOTS; i++) {
        rc = cfg_cuda_check(cudaEventCreateWithFlags(&m->copied[i], cudaEventDisableTiming), "an event", err);
    }
    rc = rc == 0 ? cfg_cuda_blas(cublasCreate(&m->blas), "a handle", err) : rc;
    rc = rc == 0 ? cfg_cuda_blas(cublasSetStream(m->blas, m->stream), "its stream", err) : rc;
    rc = rc == 0 ? cfg_cuda_alloc(&m->workspace, WORKSPACE, err) : rc;
    rc = rc == 0 ? cfg_cuda_blas(cublasSetWorkspace(m->blas, m->workspace, WORKSPACE), "its workspace", err) : rc;
    m->base.stream = m->stream;
    return rc;
}

static int attribute(enum cudaDeviceAttr a, int device)
{
    int v = 0;
    return cudaDeviceGetAttribute(&v, a, device) == cudaSuccess ? v : 0; /* 0: the figure is not known */
}

/* What the device could do at best, for who compares. Clocks are in kHz, the bus in bits, at double data rate. */
static int describe(struct cfg_model_cuda *m, struct cfg_error *err)
{
    struct cudaDeviceProp p;
    int rc = cfg_cuda_check(cudaGetDeviceProperties(&p, m->device), "the device", err);
    if (rc == 0) {
        const double lanes = p.major == 8 && p.minor == 0 ? 64 : 128; /* float32 units of a multiprocessor */
        (void)snprintf(m->base.device, sizeof m->base.device, "%.90s", p.name);
        m->base.device_bytes_per_s = 2e3 * attribute(cudaDevAttrMemoryClockRate, m->device) *
                                     (attribute(cudaDevAttrGlobalMemoryBusWidth, m->device) / 8.0);
        m->base.device_flops = 2e3 * attribute(cudaDevAttrClockRate, m->device) * p.multiProcessorCount * lanes;
    }
    return rc;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int allocate(struct cfg_model_cuda *m, struct cfg_error *err)
{
    const struct cfg_model_shape *s = &m->base.shape;
    size_t rows = larger(m->base.train_rows, CFG_CUDA_TILE);
    size_t wide = larger(larger((size_t)s->context * s->embed, s->hidden), CFG_MODEL_SYMBOLS);
    m->n = cfg_model_n_parameters(s);
    m->room16 = rows * wide;
    struct {
        void **at;
        size_t bytes;
    } all[] = {
        {(void **)&m->weights, m->n * sizeof(float)},
        {&m->weights16, m->n * 2},
        {&m->a16, m->room16 * 2},
        {&m->b16, m->room16 * 2},
        {(void **)&m->live, sizeof *m->live},
        {(void **)&m->version, sizeof *m->version},
        {(void **)&m->x, (size_t)CFG_CUDA_TILE * s->context * s->embed * sizeof(float)},
        {(void **)&m->h, (size_t)CFG_CUDA_TILE * s->hidden * sizeof(float)},
        {(void **)&m->z, (size_t)CFG_CUDA_TILE * s->hidden * sizeof(float)},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof all[0]; i++) {
        bool for_bf16 = i >= 1 && i <= 3;
        rc = for_bf16 && m->base.precision != CFG_BF16 ? 0 : cfg_cuda_alloc(all[i].at, all[i].bytes, err);
    }
    return rc == 0 && m->base.train_rows > 0 ? cfg_cuda_train_new(m, err) : rc;
}

int cfg_model_cuda_new(struct cfg_model **out, const struct cfg_model_options *o, struct cfg_error *err)
{
    static const struct cfg_model_ops ops = {
        .name = "cuda",
        .load = cfg_cuda_load,
        .store = cfg_cuda_store,
        .capture = cuda_capture,
        .live = cuda_live,
        .infer = cuda_infer,
        .gradients = cfg_cuda_gradients,
        .loss = cfg_cuda_loss,
        .update = cfg_cuda_update,
        .gradient = cfg_cuda_gradient,
        .gradient_read = cfg_cuda_gradient_read,
        .gradient_write = cfg_cuda_gradient_write,
        .extra_read = cfg_cuda_extra_read,
        .extra_write = cfg_cuda_extra_write,
        .moments_read = cfg_cuda_moments_read,
        .moments_write = cfg_cuda_moments_write,
        .free = cuda_free,
    };
    const char *why;
    if (!cfg_model_cuda_there(&why)) {
        return cfg_fail(err, CFG_E_UNSUPPORTED, "no GPU can be used: %s", why);
    }
    struct cfg_model_cuda *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    m->base = (struct cfg_model){
        .ops = &ops, .shape = o->shape, .precision = o->precision, .train_rows = o->train_rows, .on_device = true};
    m->device = o->device;
    int rc = open_device(m, err);
    rc = rc == 0 ? describe(m, err) : rc;
    rc = rc == 0 ? allocate(m, err) : rc;
    rc = rc == 0 ? cfg_cuda_check(cudaStreamSynchronize(m->stream), "the device", err) : rc;
    if (rc != 0) {
        cuda_free(&m->base);
        return rc;
    }
    *out = &m->base;
    return 0;
}
