/* Rounds by NCCL. See group_nccl.h. */
#include "worker/group_nccl.h"
#include <cuda_runtime.h>
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_US = 100, NAP_US = 50 };

struct nccl_group {
    struct cfg_group base;
    struct cfg_group *inner; /* owned */
    unsigned deadline_ms;
    int device;
    cudaStream_t stream;
    bool own_stream;
    ncclComm_t comm; /* NULL: none */
    int64_t *host;   /* pinned: words sent, words received */
    int64_t *words;  /* on the device */
    cudaEvent_t done;
    size_t n; /* of the round under way */
};

static struct nccl_group *self(struct cfg_group *g)
{
    return (struct nccl_group *)g;
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- errors --- */

static int cuda_failed(cudaError_t rc, const char *what, struct cfg_error *err)
{
    return rc == cudaSuccess ? 0 : cfg_fail(err, CFG_E_UNSUPPORTED, "%s: %s", what, cudaGetErrorString(rc));
}

/* What the device still has to do for the communicator is thrown away. */
static void drop(struct nccl_group *g)
{
    if (g->comm != NULL) {
        (void)ncclCommAbort(g->comm);
        g->comm = NULL;
    }
    g->base.incarnation = 0;
    g->n = 0;
}

/* The incarnation ends on every rank; the inner group says by whose doing, where it knows. */
static int end(struct nccl_group *g, const char *what, const char *why, struct cfg_error *err)
{
    char text[300];
    (void)snprintf(text, sizeof text, "%s: %s", what, why);
    drop(g);
    struct cfg_error known = CFG_ERROR_INIT;
    if (g->inner->ops->check(g->inner, &known) != 0) {
        return cfg_fail(err, CFG_E_AGREEMENT, "%.400s", known.text);
    }
    g->inner->ops->leave(g->inner, text);
    (void)cfg_fail(err, CFG_E_AGREEMENT, "the group has ended: rank %u: %s", g->base.rank, text);
    cfg_error_set_hint(err, "no step runs until all %u ranks have formed the group again", g->base.world);
    return CFG_E_AGREEMENT;
}

/* A rank is missing: those that are not meet once more without the device, which names it. */
static int name_late(struct nccl_group *g, struct cfg_error *err)
{
    int64_t word = 0;
    struct cfg_error known = CFG_ERROR_INIT;
    drop(g);
    int rc = g->inner->ops->contribute(g->inner, &word, 1, &known);
    rc = rc == 0 ? g->inner->ops->reduced(g->inner, &word, 1, &known) : rc;
    if (rc != 0) {
        return cfg_fail(err, CFG_E_AGREEMENT, "%.400s", known.text);
    }
    char text[120];
    (void)snprintf(text, sizeof text, "a round has not ended within %u ms, though all ranks are there", g->deadline_ms);
    return end(g, "NCCL", text, err);
}

/* --- waiting --- */

/* True while there is time; naps between looks once it has lasted. */
static bool go_on(uint64_t since_us, uint64_t deadline_us)
{
    uint64_t now = now_us();
    if (now - since_us > SPIN_US) {
        (void)usleep(NAP_US);
    }
    return now < deadline_us;
}

/* What a call of a non-blocking communicator has begun is through. */
static int settled(struct nccl_group *g, ncclResult_t rc, const char *what, uint64_t deadline_us, struct cfg_error *err)
{
    uint64_t since = now_us();
    while (rc == ncclInProgress && g->comm != NULL) {
        ncclResult_t asked = ncclCommGetAsyncError(g->comm, &rc);
        rc = asked != ncclSuccess ? asked : rc;
        if (rc == ncclInProgress && !go_on(since, deadline_us)) {
            return name_late(g, err);
        }
        struct cfg_error gone = CFG_ERROR_INIT;
        if (rc == ncclInProgress && g->inner->ops->check(g->inner, &gone) != 0) {
            drop(g);
            return cfg_fail(err, CFG_E_AGREEMENT, "%.400s", gone.text);
        }
    }
    return rc == ncclSuccess ? 0 : end(g, what, ncclGetErrorString(rc), err);
}

static int wait_for_result(struct nccl_group *g, struct cfg_error *err)
{
    uint64_t since = now_us(), deadline = since + (uint64_t)g->deadline_ms * 1000;
    for (;;) {
        cudaError_t done = cudaEventQuery(g->done);
        ncclResult_t async = ncclSuccess;
        struct cfg_error gone = CFG_ERROR_INIT;
        if (done == cudaSuccess) {
            return 0;
        }
        if (done != cudaErrorNotReady) {
            return end(g, "CUDA", cudaGetErrorString(done), err);
        }
        (void)cudaGetLastError(); /* CUDA keeps "not ready", and the caller's next check of a launch would find it */
        if (ncclCommGetAsyncError(g->comm, &async) != ncclSuccess ||
            (async != ncclSuccess && async != ncclInProgress)) {
            return end(g, "NCCL", ncclGetErrorString(async), err);
        }
        if (now_us() - since > SPIN_US && g->inner->ops->check(g->inner, &gone) != 0) {
            drop(g);
            return cfg_fail(err, CFG_E_AGREEMENT, "%.400s", gone.text);
        }
        if (!go_on(since, deadline)) {
            return name_late(g, err);
        }
    }
}

/* --- the group --- */

static int make_comm(struct nccl_group *g, const ncclUniqueId *id, uint64_t deadline_us, struct cfg_error *err)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclResult_t rc = ncclCommInitRankConfig(&g->comm, (int)g->base.world, *id, (int)g->base.rank, &config);
    int failed = settled(g, rc, "a communicator", deadline_us, err);
    if (failed == 0) {
        g->base.incarnation = g->inner->incarnation;
    }
    return failed;
}

static int nccl_form(struct cfg_group *base, unsigned timeout_ms, struct cfg_error *err)
{
    struct nccl_group *g = self(base);
    uint64_t deadline = now_us() + (uint64_t)timeout_ms * 1000;
    ncclUniqueId id;
    struct cfg_buf bytes;
    drop(g);
    int rc = cuda_failed(cudaSetDevice(g->device), "cudaSetDevice", err);
    rc = rc == 0 ? g->inner->ops->form(g->inner, timeout_ms, err) : rc;
    if (rc != 0) {
        return rc;
    }
    cfg_buf_init(&bytes, 2 * sizeof id);
    if (base->rank == 0 && ncclGetUniqueId(&id) == ncclSuccess) {
        cfg_buf_put(&bytes, (const char *)&id, sizeof id);
    }
    rc = g->inner->ops->broadcast(g->inner, 0, &bytes, err); /* empty: rank 0 has none, and all fail alike */
    if (rc == 0 && (cfg_buf_status(&bytes) != 0 || bytes.len != sizeof id)) {
        rc = end(g, "NCCL", "rank 0 has no id for a communicator", err);
    }
    if (rc == 0) {
        memcpy(&id, bytes.data, sizeof id);
        rc = make_comm(g, &id, deadline, err);
    }
    cfg_buf_finish(&bytes);
    return rc;
}

static int need_formed(const struct nccl_group *g, struct cfg_error *err)
{
    return g->base.incarnation != 0 ? 0 : cfg_fail(err, CFG_E_AGREEMENT, "the group has not formed");
}

static int nccl_contribute(struct cfg_group *base, const int64_t *words, size_t n, struct cfg_error *err)
{
    struct nccl_group *g = self(base);
    int rc = need_formed(g, err);
    if (rc != 0) {
        return rc;
    }
    memcpy(g->host, words, n * sizeof *words);
    cudaError_t cuda = cudaMemcpyAsync(g->words, g->host, n * sizeof *words, cudaMemcpyHostToDevice, g->stream);
    if (cuda == cudaSuccess) {
        uint64_t deadline = now_us() + (uint64_t)g->deadline_ms * 1000;
        rc = settled(g, ncclAllReduce(g->words, g->words, n, ncclInt64, ncclMin, g->comm, g->stream), "an all-reduce",
                     deadline, err);
    }
    if (rc == 0 && cuda == cudaSuccess) {
        cuda = cudaMemcpyAsync(g->host + CFG_GROUP_WORDS_MAX, g->words, n * sizeof *words, cudaMemcpyDeviceToHost,
                               g->stream);
        cuda = cuda == cudaSuccess ? cudaEventRecord(g->done, g->stream) : cuda;
    }
    g->n = n;
    return rc != 0 || cuda == cudaSuccess ? rc : end(g, "CUDA", cudaGetErrorString(cuda), err);
}

static int nccl_reduced(struct cfg_group *base, int64_t *out, size_t n, struct cfg_error *err)
{
    struct nccl_group *g = self(base);
    int rc = need_formed(g, err);
    if (rc == 0 && n != g->n) {
        rc = cfg_fail(err, CFG_E_AGREEMENT, "a round of %zu words, contributed were %zu", n, g->n);
    }
    rc = rc == 0 ? wait_for_result(g, err) : rc;
    if (rc == 0) {
        memcpy(out, g->host + CFG_GROUP_WORDS_MAX, n * sizeof *out);
        g->n = 0;
    }
    return rc;
}

static int nccl_broadcast(struct cfg_group *base, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err)
{
    struct nccl_group *g = self(base);
    int rc = need_formed(g, err);
    rc = rc == 0 ? g->inner->ops->broadcast(g->inner, root, bytes, err) : rc;
    if (rc != 0) {
        drop(g);
    }
    return rc;
}

static int nccl_check(struct cfg_group *base, struct cfg_error *err)
{
    struct nccl_group *g = self(base);
    int rc = need_formed(g, err);
    rc = rc == 0 ? g->inner->ops->check(g->inner, err) : rc;
    if (rc != 0) {
        drop(g);
    }
    return rc;
}

static void nccl_leave(struct cfg_group *base, const char *reason)
{
    struct nccl_group *g = self(base);
    g->inner->ops->leave(g->inner, reason);
    drop(g);
}

static void release(struct nccl_group *g)
{
    if (g->done != NULL) {
        (void)cudaEventDestroy(g->done);
    }
    (void)cudaFreeHost(g->host);
    (void)cudaFree(g->words);
    if (g->own_stream) {
        (void)cudaStreamDestroy(g->stream);
    }
    free(g);
}

static void nccl_free(struct cfg_group *base)
{
    struct nccl_group *g = self(base);
    (void)cudaSetDevice(g->device);
    drop(g);
    g->inner->ops->free(g->inner);
    release(g);
}

static int allocate(struct nccl_group *g, void *stream, struct cfg_error *err)
{
    int rc = cuda_failed(cudaGetDevice(&g->device), "no CUDA device", err);
    if (rc == 0 && stream == NULL) {
        rc = cuda_failed(cudaStreamCreateWithFlags(&g->stream, cudaStreamNonBlocking), "a stream", err);
        g->own_stream = rc == 0;
    } else {
        g->stream = stream;
    }
    size_t bytes = CFG_GROUP_WORDS_MAX * sizeof(int64_t);
    rc = rc == 0 ? cuda_failed(cudaMallocHost((void **)&g->host, 2 * bytes), "pinned memory", err) : rc;
    rc = rc == 0 ? cuda_failed(cudaMalloc((void **)&g->words, bytes), "memory on the device", err) : rc;
    return rc == 0 ? cuda_failed(cudaEventCreateWithFlags(&g->done, cudaEventDisableTiming), "an event", err) : rc;
}

int cfg_group_nccl_new(struct cfg_group **out, struct cfg_group *inner, const struct cfg_group_nccl_options *o,
                       struct cfg_error *err)
{
    static const struct cfg_group_ops ops = {.form = nccl_form,
                                             .contribute = nccl_contribute,
                                             .reduced = nccl_reduced,
                                             .broadcast = nccl_broadcast,
                                             .check = nccl_check,
                                             .leave = nccl_leave,
                                             .free = nccl_free};
    struct nccl_group *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    g->base = (struct cfg_group){.ops = &ops, .rank = inner->rank, .world = inner->world, .deferred = true};
    g->deadline_ms = o->deadline_ms;
    int rc = allocate(g, o->stream, err);
    if (rc != 0) {
        release(g);
        return rc;
    }
    g->inner = inner;
    *out = &g->base;
    return 0;
}
